//! Which pipeline a command line chooses, before anything else of it is known.

use std::ffi::OsString;

/// The pipeline, unless another is chosen.
pub const DEFAULT: &str = "emissions";
/// The variable that chooses one.
pub const VARIABLE: &str = "PIPELINE";

/// The name `--pipeline` gives, or else the variable, or else the default.
///
/// A pipeline has options of its own, so that the command line can be parsed only when it is known.
pub fn pipeline(args: &[OsString], variable: Option<OsString>) -> String {
    let given = args.iter().enumerate().skip(1).take_while(|(_, arg)| *arg != "--").find_map(|(at, arg)| {
        let arg = arg.to_str()?;
        match arg.strip_prefix("--pipeline")? {
            "" => args.get(at + 1).cloned(),
            value => value.strip_prefix('=').map(OsString::from),
        }
    });
    let chosen = given.or(variable).filter(|name| !name.is_empty());
    chosen.map_or_else(|| DEFAULT.to_owned(), |name| name.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_goes_before_the_variable() {
        let check = |args: &str, variable: Option<&str>, expected: &str| {
            let args: Vec<OsString> = args.split(' ').map(OsString::from).collect();
            assert_eq!(pipeline(&args, variable.map(OsString::from)), expected, "{args:?}");
        };
        check("producer", None, "emissions");
        check("producer", Some(""), "emissions");
        check("producer", Some("energy"), "energy");
        check("producer --from-year 1 --pipeline taxi", Some("energy"), "taxi");
        check("producer --pipeline=taxi --input x", Some("energy"), "taxi");
        check("producer --pipelines taxi", None, "emissions");
        check("producer -- --pipeline taxi", None, "emissions");
        check("producer --pipeline", None, "emissions");
    }
}
