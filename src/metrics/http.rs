//! HTTP/1.1, as much as it takes to serve pages that are read and never changed: the heads of
//! requests and of answers.

use core::fmt::Write;

/// A request without body, or with one that nobody will read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) after: After,
    pub(super) body: Body,
    /// How long its head is, in bytes.
    pub(super) head_bytes: usize,
}

/// What is to be done with a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
    Other,
}

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Target {
    Welcome,
    Metrics,
    Unknown,
}

/// What becomes of the connection after the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
}

/// Whether something follows the head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Body {
    Absent,
    Announced,
}

/// Why what came is no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadHead {
    Malformed,
    TooLong,
}

/// The request that `bytes` begin with. `None` if more of them have to come.
pub(super) fn parse(bytes: &[u8]) -> Result<Option<Request>, BadHead> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut head = httparse::Request::new(&mut headers);
    let considered = &bytes[..bytes.len().min(HEAD_BYTES_MAX)];
    let head_bytes = match head.parse(considered) {
        Ok(httparse::Status::Complete(head_bytes)) => head_bytes,
        Ok(httparse::Status::Partial) if bytes.len() < HEAD_BYTES_MAX => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(BadHead::TooLong);
        }
        Err(_) => return Err(BadHead::Malformed),
    };
    let is_old = head.version == Some(0);
    let hosts = values(head.headers, "host").count();
    if hosts > 1 || (hosts == 0 && !is_old) {
        return Err(BadHead::Malformed);
    }
    let closes = values(head.headers, "connection")
        .flat_map(|value| value.split(|&byte| byte == b','))
        .any(|option| option.trim_ascii().eq_ignore_ascii_case(b"close"));
    Ok(Some(Request {
        method: match head.method {
            Some("GET") => Method::Get,
            Some("HEAD") => Method::Head,
            _ => Method::Other,
        },
        target: target(head.path.unwrap_or_default()),
        after: if closes || is_old {
            After::Close
        } else {
            After::KeepAlive
        },
        body: body(head.headers)?,
        head_bytes,
    }))
}

fn values<'a>(
    headers: &'a [httparse::Header<'a>],
    name: &'static str,
) -> impl Iterator<Item = &'a [u8]> {
    let headers = headers.iter();
    let named = headers.filter(move |header| header.name.eq_ignore_ascii_case(name));
    named.map(|header| header.value)
}

fn body(headers: &[httparse::Header<'_>]) -> Result<Body, BadHead> {
    let mut body = Body::Absent;
    if values(headers, "transfer-encoding").next().is_some() {
        body = Body::Announced;
    }
    for value in values(headers, "content-length") {
        let digits = value.trim_ascii();
        if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            return Err(BadHead::Malformed);
        }
        if digits.iter().any(|&digit| digit != b'0') {
            body = Body::Announced;
        }
    }
    Ok(body)
}

/// The page that a request asks for, by its path or as a whole URL.
fn target(uri: &str) -> Target {
    let path = match uri.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => uri,
    };
    match path.split('?').next() {
        Some("/") => Target::Welcome,
        Some("/metrics") => Target::Metrics,
        _ => Target::Unknown,
    }
}

/// The head of an answer: of so many bytes of this type.
pub(super) fn head(status: Status, content_type: &str, len: usize, after: After) -> Vec<u8> {
    let Status(line) = status;
    let mut head = format!("HTTP/1.1 {line}\r\n");
    let mut add = |name: &str, value: &dyn core::fmt::Display| {
        let written = write!(head, "{name}: {value}\r\n");
        debug_assert!(written.is_ok(), "a string takes everything");
    };
    add("Content-Type", &content_type);
    add("Content-Length", &len);
    if status == Status::METHOD_NOT_ALLOWED {
        add("Allow", &"GET, HEAD");
    }
    if status == Status::UNAVAILABLE {
        add("Retry-After", &"1");
    }
    if after == After::Close {
        add("Connection", &"close");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// How a request went, as the first line of its answer says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Status(&'static str);

impl Status {
    pub(super) const OK: Self = Self("200 OK");
    pub(super) const BAD_REQUEST: Self = Self("400 Bad Request");
    pub(super) const NOT_FOUND: Self = Self("404 Not Found");
    pub(super) const METHOD_NOT_ALLOWED: Self = Self("405 Method Not Allowed");
    pub(super) const TIMED_OUT: Self = Self("408 Request Timeout");
    pub(super) const BODY_TOO_LONG: Self = Self("413 Content Too Large");
    pub(super) const HEAD_TOO_LONG: Self = Self("431 Request Header Fields Too Large");
    pub(super) const UNAVAILABLE: Self = Self("503 Service Unavailable");
}

/// The longest head of a request, in bytes.
pub(super) const HEAD_BYTES_MAX: usize = 8 << 10;

/// The most headers that a request may have.
const HEADERS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn get(target: Target, head_bytes: usize) -> Request {
        Request {
            method: Method::Get,
            target,
            after: After::KeepAlive,
            body: Body::Absent,
            head_bytes,
        }
    }

    #[test]
    fn a_page_is_asked_for_by_path_or_by_url_with_a_query_or_without() {
        for (uri, page) in [
            ("/", Target::Welcome),
            ("/metrics", Target::Metrics),
            ("/metrics?name[]=up", Target::Metrics),
            ("http://host:9100/metrics", Target::Metrics),
            ("http://host", Target::Welcome),
            ("/metrics/", Target::Unknown),
            ("*", Target::Unknown),
        ] {
            let head = format!("GET {uri} HTTP/1.1\r\nHost: host\r\n\r\n");
            let expected = get(page, head.len());
            assert_eq!(parse(head.as_bytes()), Ok(Some(expected)), "{uri}");
            assert_eq!(parse(&head.as_bytes()[..head.len() - 1]), Ok(None));
        }
    }

    #[test]
    fn a_request_must_say_once_which_host_it_is_for_unless_it_is_old() {
        assert_eq!(parse(b"GET / HTTP/1.1\r\n\r\n"), Err(BadHead::Malformed));
        let twice = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
        assert_eq!(parse(twice), Err(BadHead::Malformed));
        let old = parse(b"GET / HTTP/1.0\r\n\r\n").unwrap().unwrap();
        assert_eq!(old.after, After::Close);
    }

    #[test]
    fn a_connection_ends_if_one_of_its_options_says_so() {
        let head = "GET / HTTP/1.1\r\nHost:\r\nConnection: TE\r\nconnection: x , CLOSE\r\n\r\n";
        let request = parse(head.as_bytes()).unwrap().unwrap();
        assert_eq!(request.after, After::Close);
    }

    #[test]
    fn a_body_is_announced_by_a_length_or_by_its_coding() {
        for (header, expected) in [
            ("Content-Length: 0", Ok(Body::Absent)),
            ("Content-Length: 7", Ok(Body::Announced)),
            (
                "Content-Length: 99999999999999999999999",
                Ok(Body::Announced),
            ),
            ("Transfer-Encoding: chunked", Ok(Body::Announced)),
            ("Content-Length: -1", Err(BadHead::Malformed)),
            ("Content-Length:", Err(BadHead::Malformed)),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n");
            let found = parse(head.as_bytes()).map(|request| request.unwrap().body);
            assert_eq!(found, expected, "{header}");
        }
    }

    #[test]
    fn a_head_has_a_longest_length_and_a_most_of_headers() {
        let long = |len: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "x".repeat(len));
        assert_eq!(parse(long(8_000).as_bytes()), Ok(None));
        assert_eq!(parse(long(9_000).as_bytes()), Err(BadHead::TooLong));
        let whole = long(9_000) + "\r\n\r\n";
        assert_eq!(parse(whole.as_bytes()), Err(BadHead::TooLong));
        let many = format!("GET / HTTP/1.1\r\n{}\r\n", "Host: a\r\n".repeat(65));
        assert_eq!(parse(many.as_bytes()), Err(BadHead::TooLong));
    }
}
