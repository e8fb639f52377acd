//! `--help` as people see it.

#[test]
fn help_is_as_recorded() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
