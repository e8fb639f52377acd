//! What a server's response means: pure, no I/O.

use std::time::Duration;

use service::Exit;
use ureq::http::{HeaderMap, HeaderName, StatusCode, header};

/// What is known of the input from its first response.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// Its length, where the server has sent it.
    pub(super) length: Option<u64>,
    /// By what the server distinguishes this version of the input from others, byte for byte.
    pub(super) validator: Option<String>,
}

/// What to do after a response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Response {
    /// Its body goes on where reading broke off, once so many bytes are skipped.
    Body {
        /// What was read before.
        skip: u64,
    },
    /// The server may give another response later, after the time it names.
    Again(String, Option<Duration>),
    /// There will be no other response.
    Never(Exit, String),
}

impl Known {
    /// Reads what the first response says.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        // A weak tag says that two versions mean the same, not that they are the same bytes.
        let tag = text(headers, header::ETAG).filter(|tag| tag.starts_with('"'));
        Self {
            length: text(headers, header::CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            validator: tag.or_else(|| text(headers, header::LAST_MODIFIED)).map(str::to_owned),
        }
    }

    /// Classifies the response to a request for all from byte `from` on; for the first request that is 0.
    pub(super) fn classify(&self, status: StatusCode, headers: &HeaderMap, from: u64) -> Response {
        if let Some(packed) = text(headers, header::CONTENT_ENCODING).filter(|name| !is_readable(name)) {
            return Response::Never(Exit::Input, format!("its server packs it with {packed}, which is not understood"));
        }
        match status {
            StatusCode::OK if from == 0 => Response::Body { skip: 0 },
            StatusCode::PARTIAL_CONTENT if from > 0 && range_start(headers) == Some(from) => Response::Body { skip: 0 },
            // The server does not know ranges, or has another version by now.
            StatusCode::OK if self.is_same(headers) => Response::Body { skip: from },
            StatusCode::OK | StatusCode::RANGE_NOT_SATISFIABLE => {
                Response::Never(Exit::Unavailable, "it was changed while it was read; send it again".to_owned())
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
                Response::Never(
                    Exit::Usage,
                    format!("its server refuses to give it ({status}); check user and password"),
                )
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
                Response::Again(format!("its server answers {status}"), retry_after(headers))
            }
            status if status.is_server_error() => {
                Response::Again(format!("its server answers {status}"), retry_after(headers))
            }
            status => Response::Never(Exit::Input, format!("its server answers {status}")),
        }
    }

    fn is_same(&self, headers: &HeaderMap) -> bool {
        self.validator.is_some() && self.validator == Self::of(headers).validator
    }
}

/// Whether the body is what was published, or that packed with gzip, which is known by its first bytes.
fn is_readable(encoding: &str) -> bool {
    ["", "identity", "gzip", "x-gzip"].iter().any(|known| encoding.eq_ignore_ascii_case(known))
}

/// Where the part begins that `Content-Range: bytes 10-99/100` names.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let (start, _) = text(headers, header::CONTENT_RANGE)?.strip_prefix("bytes ")?.split_once('-')?;
    start.trim().parse().ok()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    text(headers, header::RETRY_AFTER)?.parse().ok().map(Duration::from_secs)
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use ureq::http::HeaderValue;

    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        lines.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    /// The response to a request for all from byte 10 on, of an input whose tag was `"a"`.
    fn check(status: u16, lines: &[(&'static str, &'static str)], expected: Response) {
        let known = Known { length: Some(100), validator: Some("\"a\"".to_owned()) };
        let response = known.classify(StatusCode::from_u16(status).unwrap(), &headers(lines), 10);
        assert_eq!(response, expected, "{status} {lines:?}");
    }

    #[test]
    fn reading_goes_on_with_the_same_bytes_only() {
        let changed =
            || Response::Never(Exit::Unavailable, "it was changed while it was read; send it again".to_owned());
        check(206, &[("content-range", "bytes 10-99/100")], Response::Body { skip: 0 });
        check(200, &[("etag", "\"a\"")], Response::Body { skip: 10 });
        check(200, &[("etag", "\"b\"")], changed());
        check(200, &[("etag", "W/\"a\"")], changed());
        check(200, &[], changed());
        check(416, &[], changed());
        let elsewhere = Response::Never(Exit::Input, "its server answers 206 Partial Content".to_owned());
        check(206, &[("content-range", "bytes 0-99/100")], elsewhere);
    }

    #[test]
    fn what_may_pass_is_tried_again_and_what_stays_is_not() {
        let again = |said: &str, seconds| Response::Again(format!("its server answers {said}"), seconds);
        check(503, &[("retry-after", "7")], again("503 Service Unavailable", Some(Duration::from_secs(7))));
        check(429, &[], again("429 Too Many Requests", None));
        let never = |exit, said: &str| Response::Never(exit, said.to_owned());
        check(404, &[], never(Exit::Input, "its server answers 404 Not Found"));
        check(410, &[], never(Exit::Input, "its server answers 410 Gone"));
        check(403, &[], never(Exit::Usage, "its server refuses to give it (403 Forbidden); check user and password"));
        let packed = "its server packs it with br, which is not understood";
        check(200, &[("content-encoding", "br")], never(Exit::Input, packed));
    }

    #[test]
    fn a_weak_tag_does_not_count() {
        let known = |lines: &[(&'static str, &'static str)]| Known::of(&headers(lines)).validator;
        assert_eq!(known(&[("etag", "\"a\""), ("last-modified", "Thu")]).as_deref(), Some("\"a\""));
        assert_eq!(known(&[("etag", "W/\"a\""), ("last-modified", "Thu")]).as_deref(), Some("Thu"));
        assert_eq!(known(&[("etag", "W/\"a\"")]), None);
    }
}
