//! What `--input` names: a file, standard input, or an address.

use std::{
    ffi::OsString,
    fmt,
    path::{Path, PathBuf},
};

use percent_encoding::percent_decode_str;
use service::settings::check_secret;
use ureq::http::Uri;

/// Where the input is. Prints without what an address may hold of credentials: user, password and query.
#[derive(Clone)]
pub(crate) enum Location {
    /// Standard input.
    Stdin,
    /// A file, or what the system shows as one.
    File(PathBuf),
    /// An `http://` or `https://` address.
    Address(Uri),
}

impl Location {
    /// Reads the setting.
    ///
    /// # Errors
    /// When it is an address that cannot be one, or of a kind that is not read.
    pub(crate) fn parse(text: OsString) -> Result<Self, String> {
        if text == "-" {
            return Ok(Self::Stdin);
        }
        let address = text.to_str().filter(|text| text.contains("://")).unwrap_or_default();
        check_secret("INPUT", address)?;
        let login = address.rsplit_once('@').map_or("", |(login, _)| login);
        check_secret("INPUT", &percent_decode_str(login).decode_utf8_lossy())?;
        Self::read(text).map_err(str::to_owned)
    }

    fn read(text: OsString) -> Result<Self, &'static str> {
        match text.to_str().and_then(|text| text.split_once("://").map(|(scheme, _)| (scheme, text))) {
            Some((scheme, address)) if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known)) => {
                let uri = address
                    .parse::<Uri>()
                    .ok()
                    .filter(|_| address.is_ascii())
                    .ok_or("not an address; non-ASCII is written as %XX")?;
                if uri.host().is_none_or(str::is_empty) {
                    Err("an address without a host")
                } else {
                    Ok(Self::Address(uri))
                }
            }
            Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                Err("only http:// and https:// addresses are read; a file of such a name is written ./NAME")
            }
            _ => Ok(Self::File(PathBuf::from(text))),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdin => f.write_str("-"),
            Self::File(path) => Path::display(path).fmt(f),
            Self::Address(uri) => {
                let authority = uri.authority().map_or("", |authority| authority.as_str());
                let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
                write!(f, "{}://{host}{}", uri.scheme_str().unwrap_or_default(), uri.path())
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let location = Location::parse(text.into());
        let said = location.as_ref().map(|location| format!("{location:?}"));
        assert_eq!(said.as_deref().map_err(|error| error.as_str()), expected, "{text}");
    }

    #[test]
    fn credentials_are_never_printed() {
        check("https://me:s3cret@host.example:8443/data.csv?sig=s3cret", Ok("https://host.example:8443/data.csv"));
        check("HTTP://t0ken@host.example", Ok("http://host.example/"));
    }

    #[test]
    fn an_address_with_a_line_end_is_refused_by_its_variables_name() {
        for address in ["https://me:s3cret@host/data.csv\n", "https://me:s3cret\n@host", "https://me:s3cret%0a@host"] {
            let said = Location::parse(address.into()).unwrap_err();
            assert!(said.starts_with("INPUT holds a control character") && !said.contains("s3cret"), "{said}");
        }
        check("a\nfile", Ok("a\nfile"));
    }

    #[test]
    fn files_are_distinguished_from_addresses() {
        for file in ["data.csv", "/data/emissions", "./ftp://x", "a b://c"] {
            check(file, Ok(file));
            assert!(matches!(Location::parse(file.into()), Ok(Location::File(_))), "{file}");
        }
        check("-", Ok("-"));
        check("https:///data.csv", Err("not an address; non-ASCII is written as %XX"));
        check("https://host/é", Err("not an address; non-ASCII is written as %XX"));
        check(
            "s3://bucket/key",
            Err("only http:// and https:// addresses are read; a file of such a name is written ./NAME"),
        );
    }
}
