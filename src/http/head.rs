//! Heads of requests: what they say, and which are refused.

use ::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use ::http::uri::Authority;
use ::http::{Method, Request, StatusCode, Uri, Version};

use super::chunked::Chunked;
use super::config::HttpConfig;

/// The head of a request, and what follows from it.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) request: Request<()>,
    pub(super) after: After,
    pub(super) framing: Framing,
    pub(super) expects: Expects,
    /// How long it is.
    pub(super) bytes: usize,
}

/// What becomes of a connection after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    KeepAlive,
    Close,
}

/// How the body is delimited, and what of it is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(usize),
    Chunked(Chunked),
}

/// Whether the client waits for a word before it sends the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Expects {
    Nothing,
    Continue,
}

/// Why a request is refused, and its connection with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Malformed,
    TimedOut,
    BodyTooLong,
    Expectation,
    HeadTooLong,
    NotImplemented,
    Overloaded,
    Version,
}

impl Refusal {
    pub(super) const fn status(self) -> StatusCode {
        match self {
            Self::Malformed => StatusCode::BAD_REQUEST,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::BodyTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::HeadTooLong => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::NotImplemented => StatusCode::NOT_IMPLEMENTED,
            Self::Overloaded => StatusCode::SERVICE_UNAVAILABLE,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
        }
    }

    pub(super) const fn detail(self) -> &'static str {
        match self {
            Self::Malformed => "This is no request.",
            Self::TimedOut => "The request did not come in time.",
            Self::BodyTooLong => "The request's body is too long.",
            Self::Expectation => "The request expects something unknown.",
            Self::HeadTooLong => "The request's head is too long.",
            Self::NotImplemented => "The request needs something that is not offered.",
            Self::Overloaded => "Too many connections.",
            Self::Version => "This server speaks HTTP/1.1.",
        }
    }
}

/// The head that `bytes` begin with. `None` if more of it has to come.
pub(super) fn parse(bytes: &[u8], config: &HttpConfig) -> Result<Option<Head>, Refusal> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut found = httparse::Request::new(&mut headers);
    let considered = &bytes[..bytes.len().min(config.head_bytes_max)];
    let len = match found.parse(considered) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) if bytes.len() < config.head_bytes_max => return Ok(None),
        Ok(httparse::Status::Partial) | Err(httparse::Error::TooManyHeaders) => {
            return Err(Refusal::HeadTooLong);
        }
        Err(httparse::Error::Version) if names_version(considered) => return Err(Refusal::Version),
        Err(_) => return Err(Refusal::Malformed),
    };
    // What takes a single LF for an end of a line, and what does not, see different headers.
    let mut lines = considered[..len].split_inclusive(|&byte| byte == b'\n');
    if !lines.all(|line| line.ends_with(b"\r\n")) {
        return Err(Refusal::Malformed);
    }
    head(&found, len, config).map(Some)
}

fn head(
    found: &httparse::Request<'_, '_>,
    bytes: usize,
    config: &HttpConfig,
) -> Result<Head, Refusal> {
    let version = match found.version {
        Some(0) => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let method = Method::from_bytes(found.method.unwrap_or_default().as_bytes());
    let method = method.map_err(|_| Refusal::Malformed)?;
    if method == Method::CONNECT {
        return Err(Refusal::NotImplemented);
    }
    let uri = target(&method, found.path.unwrap_or_default())?;
    let mut headers = HeaderMap::with_capacity(found.headers.len());
    for header in &*found.headers {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let value = HeaderValue::from_bytes(header.value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(Refusal::Malformed);
        };
        headers.append(name, value);
    }
    check_host(&mut headers, &uri, version)?;
    let framing = framing(&headers, version, config)?;
    let expects = expects(&headers, version)?;
    let after = if has_option(&headers, "close")
        || (version == Version::HTTP_10 && !has_option(&headers, "keep-alive"))
    {
        After::Close
    } else {
        After::KeepAlive
    };
    let mut request = Request::new(());
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    *request.version_mut() = version;
    *request.headers_mut() = headers;
    Ok(Head {
        request,
        after,
        framing,
        expects,
        bytes,
    })
}

/// Whether the first line ends in a version of HTTP, which is another one then.
fn names_version(bytes: &[u8]) -> bool {
    let line = bytes.split(|&byte| byte == b'\n').next();
    let version = line.and_then(|line| line.split(|&byte| byte == b' ').nth(2));
    version.is_some_and(|version| version.starts_with(b"HTTP/"))
}

/// The target: a path, a whole URL, or `*` for `OPTIONS` (RFC 9112, 3.2).
fn target(method: &Method, text: &str) -> Result<Uri, Refusal> {
    let uri = Uri::try_from(text).map_err(|_| Refusal::Malformed)?;
    let is_absolute = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_all = text == "*" && *method == Method::OPTIONS;
    if text.starts_with('/') || is_absolute || is_all {
        Ok(uri)
    } else {
        Err(Refusal::Malformed)
    }
}

/// Demands that there is one host (in HTTP/1.0: at most one). If the target names one, that is it
/// (RFC 9112, 3.2.2).
fn check_host(headers: &mut HeaderMap, uri: &Uri, version: Version) -> Result<(), Refusal> {
    let is_valid = |host: &[u8]| {
        host.is_empty() || (!host.contains(&b'@') && Authority::try_from(host).is_ok())
    };
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => {}
        (Some(host), None) if is_valid(host.as_bytes()) => {}
        _ => return Err(Refusal::Malformed),
    }
    if let Some(named) = uri.authority() {
        let host = HeaderValue::from_str(named.as_str());
        let host = host.map_err(|_| Refusal::Malformed)?;
        if !is_valid(host.as_bytes()) {
            return Err(Refusal::Malformed);
        }
        headers.insert(header::HOST, host);
    }
    Ok(())
}

/// How the body is delimited (RFC 9112, 6.3), where there is no doubt.
fn framing(headers: &HeaderMap, version: Version, config: &HttpConfig) -> Result<Framing, Refusal> {
    let mut lengths = headers.get_all(header::CONTENT_LENGTH).iter();
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(Refusal::Malformed);
    }
    if headers.contains_key(header::TRANSFER_ENCODING) {
        if length.is_some() || version == Version::HTTP_10 {
            return Err(Refusal::Malformed);
        }
        let is_chunked = |coding: &&[u8]| coding.eq_ignore_ascii_case(b"chunked");
        return match items(headers, &header::TRANSFER_ENCODING).find(|item| !is_chunked(item)) {
            Some(_) => Err(Refusal::NotImplemented),
            None if items(headers, &header::TRANSFER_ENCODING).count() == 1 => {
                Ok(Framing::Chunked(Chunked::new()))
            }
            None => Err(Refusal::Malformed),
        };
    }
    let Some(length) = length else {
        return Ok(Framing::Length(0));
    };
    let digits = length.as_bytes();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Refusal::Malformed);
    }
    // What fits no number is too long, too.
    let length = length.to_str().ok().and_then(|digits| digits.parse().ok());
    match length {
        Some(length) if length <= config.body_bytes_max => Ok(Framing::Length(length)),
        _ => Err(Refusal::BodyTooLong),
    }
}

/// What the client expects (RFC 9110, 10.1.1).
fn expects(headers: &HeaderMap, version: Version) -> Result<Expects, Refusal> {
    let mut expects = Expects::Nothing;
    for item in items(headers, &header::EXPECT) {
        if !item.eq_ignore_ascii_case(b"100-continue") {
            return Err(Refusal::Expectation);
        }
        if version != Version::HTTP_10 {
            expects = Expects::Continue;
        }
    }
    Ok(expects)
}

/// Whether the options of the connection have this one.
pub(super) fn has_option(headers: &HeaderMap, option: &str) -> bool {
    items(headers, &header::CONNECTION).any(|item| item.eq_ignore_ascii_case(option.as_bytes()))
}

/// The items of a list, which may be spread over several headers.
fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let values = headers.get_all(name).iter();
    let items = values.flat_map(|value| value.as_bytes().split(|&byte| byte == b','));
    items
        .map(<[u8]>::trim_ascii)
        .filter(|item| !item.is_empty())
}

/// The most headers that a request may have. Fewer than it takes for a map of headers to suspect an
/// attack, and ask the system for chance.
const HEADERS_MAX: usize = 100;
