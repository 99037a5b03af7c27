//! Answers: their heads, and some that every application gives.

use core::fmt::Write;

use ::http::header::{self, HeaderName, HeaderValue};
use ::http::{HeaderMap, Response, StatusCode, Version};

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

fn answer(status: StatusCode, content_type: &'static str, body: &str) -> Response<Buffer> {
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
