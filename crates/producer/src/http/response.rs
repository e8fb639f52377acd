//! What a server's response means: pure, no I/O.

use std::time::Duration;

use service::Exit;
use ureq::http::{HeaderMap, HeaderName, StatusCode, header};

use super::agent::Remedy;

/// Whether the body is the input.
///
/// # Errors
/// What to do instead.
pub(super) fn check(status: StatusCode, headers: &HeaderMap) -> Result<(), Remedy> {
    if let Some(packed) = text(headers, header::CONTENT_ENCODING).filter(|name| !is_readable(name)) {
        return Err(Remedy::Never(Exit::Input, format!("its server packs it with {packed}, which is not understood")));
    }
    Err(match status {
        StatusCode::OK => return Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            Remedy::Never(Exit::Usage, format!("its server refuses to give it ({status}); check user and password"))
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => again(status, headers),
        status if status.is_server_error() => again(status, headers),
        status => Remedy::Never(Exit::Input, format!("its server answers {status}")),
    })
}

fn again(status: StatusCode, headers: &HeaderMap) -> Remedy {
    let after = text(headers, header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    Remedy::Again(format!("its server answers {status}"), after)
}

/// Whether the body is what was published, or that packed with gzip, which is known by its first bytes.
fn is_readable(encoding: &str) -> bool {
    ["", "identity", "gzip", "x-gzip"].iter().any(|known| encoding.eq_ignore_ascii_case(known))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use ureq::http::HeaderValue;

    use super::*;

    fn check(status: u16, lines: &[(&'static str, &'static str)], expected: Result<(), Remedy>) {
        let line = |&(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value));
        let headers = lines.iter().map(line).collect();
        assert_eq!(super::check(StatusCode::from_u16(status).unwrap(), &headers), expected, "{status} {lines:?}");
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_stays_is_not() {
        let again = |said: &str, seconds| Err(Remedy::Again(format!("its server answers {said}"), seconds));
        check(503, &[("retry-after", "7")], again("503 Service Unavailable", Some(Duration::from_secs(7))));
        check(429, &[], again("429 Too Many Requests", None));
        let never = |exit, said: &str| Err(Remedy::Never(exit, said.to_owned()));
        check(404, &[], never(Exit::Input, "its server answers 404 Not Found"));
        check(410, &[], never(Exit::Input, "its server answers 410 Gone"));
        check(206, &[], never(Exit::Input, "its server answers 206 Partial Content"));
        check(403, &[], never(Exit::Usage, "its server refuses to give it (403 Forbidden); check user and password"));
        let packed = "its server packs it with br, which is not understood";
        check(200, &[("content-encoding", "br")], never(Exit::Input, packed));
        check(200, &[("content-encoding", "gzip")], Ok(()));
    }
}
