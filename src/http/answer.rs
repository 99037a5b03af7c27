//! Answers: their heads, and some that every application gives.

use core::fmt::Write;

use ::http::header::{self, HeaderName, HeaderValue};
use ::http::{HeaderMap, Method, Request, Response, StatusCode, Version};

use crate::buffer::Buffer;

use super::head::{After, has_option};

/// An answer in plain text.
#[must_use]
pub fn text(status: StatusCode, text: &str) -> Response<Buffer> {
    answer(status, "text/plain; charset=utf-8", text)
}

/// An answer that says what is wrong, for programs and for people: an object in JSON with `title`,
/// `status` and `detail` (RFC 9457).
#[must_use]
pub fn problem(status: StatusCode, detail: &str) -> Response<Buffer> {
    let title = status.canonical_reason().unwrap_or("Unknown");
    let mut json = format!("{{\"title\":\"{title}\",\"status\":{},", status.as_u16());
    json.push_str("\"detail\":\"");
    for char in detail.chars() {
        match char {
            '"' | '\\' => json.extend(['\\', char]),
            '\0'..' ' => {
                let written = write!(json, "\\u{:04x}", u32::from(char));
                debug_assert!(written.is_ok(), "a string takes everything");
            }
            _ => json.push(char),
        }
    }
    json.push_str("\"}\n");
    answer(status, "application/problem+json", &json)
}

/// To a request by a method that is not among `methods`, such as `"GET, HEAD"`: they are told to
/// `OPTIONS`, with what a browser wants to know before it asks from another site (CORS: `methods` from
/// anywhere, with `Authorization` and `Content-Type`); to all others it is a 405.
#[must_use]
pub fn only(methods: &'static str, request: &Request<Buffer>) -> Response<Buffer> {
    let mut response = if *request.method() == Method::OPTIONS {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        for (name, value) in [
            (header::ACCESS_CONTROL_ALLOW_METHODS, methods),
            (
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Authorization, Content-Type",
            ),
            (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
            (header::ACCESS_CONTROL_MAX_AGE, "86400"),
        ] {
            response
                .headers_mut()
                .insert(name, HeaderValue::from_static(value));
        }
        response
    } else {
        problem(
            StatusCode::METHOD_NOT_ALLOWED,
            &format!("Here are only {methods}."),
        )
    };
    let allow = HeaderValue::from_static(methods);
    response.headers_mut().insert(header::ALLOW, allow);
    response
}

/// The token that a request was sent with, `Authorization: Bearer TOKEN` (RFC 6750). Compare it in
/// constant time.
#[must_use]
pub fn bearer_token(request: &Request<Buffer>) -> Option<&[u8]> {
    let given = request.headers().get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = given.split_at_checked("Bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
}

/// The media type of a request's body, without parameters; empty if it says none.
#[must_use]
pub fn media_type(request: &Request<Buffer>) -> &str {
    let given = request.headers().get(header::CONTENT_TYPE);
    let given = given
        .and_then(|given| given.to_str().ok())
        .unwrap_or_default();
    given.split(';').next().unwrap_or_default().trim()
}

/// An answer with this body, of this media type.
#[must_use]
pub fn answer(status: StatusCode, content_type: &'static str, body: &str) -> Response<Buffer> {
    let mut response = Response::new(Buffer::copy_from(body.as_bytes()));
    *response.status_mut() = status;
    let content_type = HeaderValue::from_static(content_type);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, content_type);
    response
}

/// Whether an answer says that it is to be the last.
pub(super) fn closes(headers: &HeaderMap) -> bool {
    has_option(headers, "close")
}

/// Whether an answer of this status has no body, whatever the request (RFC 9110, 6.4.1).
pub(super) fn is_bodiless(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

/// Writes the head of an answer behind what `text` holds.
pub(super) fn write_head(
    response: &Response<Buffer>,
    after: After,
    version: Version,
    text: &mut Vec<u8>,
) {
    let status = response.status();
    text.extend_from_slice(b"HTTP/1.1 ");
    text.extend_from_slice(status.as_str().as_bytes());
    text.push(b' ');
    text.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    text.extend_from_slice(b"\r\n");
    for (name, value) in response.headers() {
        if !is_ours(name) {
            write_header(name, value.as_bytes(), text);
        }
    }
    if !is_bodiless(status) {
        let len = response.body().len().to_string();
        write_header(&header::CONTENT_LENGTH, len.as_bytes(), text);
    } else if status == StatusCode::RESET_CONTENT {
        write_header(&header::CONTENT_LENGTH, b"0", text);
    }
    match after {
        After::Close => write_header(&header::CONNECTION, b"close", text),
        After::KeepAlive if version == Version::HTTP_10 => {
            write_header(&header::CONNECTION, b"keep-alive", text);
        }
        After::KeepAlive => {}
    }
    text.extend_from_slice(b"\r\n");
}

/// Headers that are about the connection or the framing, and so not the task's.
fn is_ours(name: &HeaderName) -> bool {
    const OURS: [HeaderName; 6] = [
        header::CONNECTION,
        header::CONTENT_LENGTH,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    OURS.contains(name) || name == "keep-alive" || name == "proxy-connection"
}

/// Names begin their words with capitals, for the few clients that look for that.
fn write_header(name: &HeaderName, value: &[u8], text: &mut Vec<u8>) {
    let mut begins = true;
    for &byte in name.as_str().as_bytes() {
        text.push(if begins {
            byte.to_ascii_uppercase()
        } else {
            byte
        });
        begins = byte == b'-';
    }
    text.extend_from_slice(b": ");
    text.extend_from_slice(value);
    text.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: Method, name: HeaderName, value: &'static str) -> Request<Buffer> {
        let mut request = Request::new(Buffer::empty());
        *request.method_mut() = method;
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
        request
    }

    #[test]
    fn who_asks_for_options_is_told_them_and_others_that_there_are_no_more() {
        let asked = request(Method::OPTIONS, header::ORIGIN, "https://elsewhere.example");
        let told = only("POST, OPTIONS", &asked);
        assert_eq!(told.status(), StatusCode::NO_CONTENT);
        let headers = told.headers();
        assert_eq!(headers[header::ALLOW], "POST, OPTIONS");
        assert_eq!(
            headers[header::ACCESS_CONTROL_ALLOW_METHODS],
            "POST, OPTIONS"
        );
        let refused = only("POST, OPTIONS", &request(Method::PUT, header::HOST, "here"));
        assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(refused.headers()[header::ALLOW], "POST, OPTIONS");
    }

    #[test]
    fn a_token_is_what_stands_behind_bearer_however_that_is_written() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bEARER a b", Some("a b")),
            ("Bearer ", Some("")),
            ("Bearer", None),
            ("Basic abc", None),
        ] {
            let request = request(Method::GET, header::AUTHORIZATION, value);
            assert_eq!(bearer_token(&request), token.map(str::as_bytes), "{value}");
        }
    }

    #[test]
    fn a_media_type_has_no_parameters() {
        for (value, expected) in [
            ("application/sdp", "application/sdp"),
            (" text/plain ; charset=utf-8", "text/plain"),
            ("", ""),
        ] {
            let request = request(Method::POST, header::CONTENT_TYPE, value);
            assert_eq!(media_type(&request), expected);
        }
    }
}
