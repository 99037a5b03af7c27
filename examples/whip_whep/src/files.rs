//! The pages, which are part of the program.

use stillpoint::Buffer;
use stillpoint::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY};
use stillpoint::http::{HeaderValue, Response, StatusCode, answer};

/// A path, and the file there.
type File = (&'static str, &'static str, &'static str);

const FILES: [File; 9] = [
    ("/", HTML, include_str!("../pages/index.html")),
    ("/publish", HTML, include_str!("../pages/publish.html")),
    ("/watch", HTML, include_str!("../pages/watch.html")),
    (
        "/style.css",
        "text/css; charset=utf-8",
        include_str!("../pages/style.css"),
    ),
    ("/client.js", SCRIPT, include_str!("../pages/client.js")),
    ("/index.js", SCRIPT, include_str!("../pages/index.js")),
    ("/publish.js", SCRIPT, include_str!("../pages/publish.js")),
    ("/watch.js", SCRIPT, include_str!("../pages/watch.js")),
    (
        "/icon.svg",
        "image/svg+xml",
        include_str!("../pages/icon.svg"),
    ),
];

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// The file at a path.
pub(crate) fn get(path: &str) -> Option<Response<Buffer>> {
    let (_, content_type, text) = FILES.iter().find(|(known, ..)| *known == path)?;
    let mut response = answer(StatusCode::OK, content_type, text);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'"),
    );
    Some(response)
}
