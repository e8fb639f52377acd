//! What `--help` and mistakes on the command line print.

#[test]
fn help() {
    trycmd::TestCases::new().case("tests/cmd/*.trycmd");
}
