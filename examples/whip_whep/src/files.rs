//! The pages, which are part of the program.

use stillpoint::Buffer;
use stillpoint::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use stillpoint::http::{HeaderValue, Response};

const FILES: [(&str, &str, &str); 9] = [
    (
        "/",
        "text/html; charset=utf-8",
        include_str!("../pages/index.html"),
    ),
    (
        "/publish",
        "text/html; charset=utf-8",
        include_str!("../pages/publish.html"),
    ),
    (
        "/watch",
        "text/html; charset=utf-8",
        include_str!("../pages/watch.html"),
    ),
    (
        "/style.css",
        "text/css; charset=utf-8",
        include_str!("../pages/style.css"),
    ),
    (
        "/client.js",
        "text/javascript; charset=utf-8",
        include_str!("../pages/client.js"),
    ),
    (
        "/index.js",
        "text/javascript; charset=utf-8",
        include_str!("../pages/index.js"),
    ),
    (
        "/publish.js",
        "text/javascript; charset=utf-8",
        include_str!("../pages/publish.js"),
    ),
    (
        "/watch.js",
        "text/javascript; charset=utf-8",
        include_str!("../pages/watch.js"),
    ),
    (
        "/icon.svg",
        "image/svg+xml",
        include_str!("../pages/icon.svg"),
    ),
];

/// The file at a path.
pub(crate) fn get(path: &str) -> Option<Response<Buffer>> {
    let (_, content_type, text) = FILES.iter().find(|(known, ..)| *known == path)?;
    let mut response = Response::new(Buffer::copy_from(text.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'"),
    );
    Some(response)
}
