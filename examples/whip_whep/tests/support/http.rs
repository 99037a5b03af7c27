//! A client's side of HTTP/1.1 (RFC 9112), by hand: requests as bytes, and answers out of bytes.

use core::fmt::Write as _;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The first value of a header; the name is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let (_, value) = headers.find(|(known, _)| known == name)?;
        Some(value)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Takes the first whole answer out of what was received. Interim ones (RFC 9110, 15.2) are
    /// passed over.
    ///
    /// # Panics
    ///
    /// If it is none, or has a body whose end cannot be known: our server sends neither.
    pub fn take(received: &mut Vec<u8>) -> Option<Self> {
        loop {
            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut head = httparse::Response::new(&mut headers);
            let parsed = head.parse(received).unwrap_or_else(|error| {
                panic!("{error} in the answer `{}`", received.escape_ascii())
            });
            let httparse::Status::Complete(head_len) = parsed else {
                return None;
            };
            let status = head.code.expect("it is complete");
            let header = |header: &httparse::Header<'_>| {
                let value = String::from_utf8_lossy(header.value).into_owned();
                (header.name.to_ascii_lowercase(), value)
            };
            let headers = head.headers.iter().map(header).collect();
            let mut answer = Self {
                status,
                headers,
                body: Vec::new(),
            };
            if (100..200).contains(&status) {
                received.drain(..head_len);
                continue;
            }
            let len = match answer.header("content-length") {
                Some(len) => len.parse().expect("a number"),
                None => {
                    assert!([204, 304].contains(&status), "no length in {answer:?}");
                    0
                }
            };
            if received.len() < head_len + len {
                return None;
            }
            answer.body = received[head_len..head_len + len].to_vec();
            received.drain(..head_len + len);
            return Some(answer);
        }
    }
}

/// A request, with a body if there is a type of one.
pub fn request(
    method: &str,
    target: &str,
    headers: &[(String, String)],
    body: Option<(&str, &[u8])>,
) -> Vec<u8> {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: sfu.example\r\n");
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("memory");
    }
    if let Some((kind, body)) = body {
        write!(
            head,
            "Content-Type: {kind}\r\nContent-Length: {}\r\n",
            body.len()
        )
        .expect("memory");
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend(body.map_or(&b""[..], |(_, body)| body));
    bytes
}

/// Offers and answers (RFC 8866).
pub const SDP: &str = "application/sdp";
/// What a PATCH has (RFC 8840).
pub const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
