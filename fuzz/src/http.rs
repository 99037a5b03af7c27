//! Bytes are what a client says to a server of HTTP, how that is cut on its way, and what room there
//! is for answers. Those must be the same as to the whole in one piece, and nothing may be left of
//! the client in the end.

use stillpoint::http::HttpConfig;

use crate::Script;

#[allow(dead_code, reason = "shared with the tests, which use all of it")]
#[path = "../../tests/http/bench.rs"]
mod bench;
#[path = "../../tests/http/play.rs"]
mod play;
#[path = "../../tests/http/site.rs"]
mod site;

use play::heard;

/// Says it.
pub fn run_bytes(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    // Limits that short inputs reach, too.
    let config = HttpConfig::new()
        .with_head_bytes_max(32 << (script.byte() % 10))
        .with_body_bytes_max((1 << (script.byte() % 17)) - 1);
    let cuts = numbers(&mut script);
    let rooms = numbers(&mut script);
    // What is wrong with a head may be noticed only at its end.
    let said = [script.take(usize::MAX), b"\r\n\r\n"].concat();
    let whole = heard(config, &said, core::iter::empty(), core::iter::empty());
    let cut = heard(
        config,
        &said,
        cuts.into_iter().cycle(),
        rooms.into_iter().cycle(),
    );
    assert_eq!(whole, cut);
}

fn numbers(script: &mut Script<'_>) -> Vec<usize> {
    let count = script.number() % 16;
    (0..count).map(|_| script.number()).collect()
}

/// Requests of each kind: starts for a corpus.
#[must_use]
pub fn requests() -> Vec<Vec<u8>> {
    let head = "POST / HTTP/1.1\r\nHost: a\r\n";
    let said = [
        "GET /a HTTP/1.1\r\nHost: a\r\n\r\nHEAD /b HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /later HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET /long HTTP/1.0\r\n\r\n"
            .to_owned(),
        "OPTIONS * HTTP/1.1\r\nHost:\r\nConnection: x, close\r\n\r\n".to_owned(),
        "GET http://b:80/c?d HTTP/1.1\r\nHost: a\r\n\r\nPRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            .to_owned(),
        format!("{head}Content-Length: 5\r\n\r\nhello\r\n{head}Content-Length: 99999\r\n\r\n"),
        format!("{head}Content-Length: 5\r\nExpect: 100-continue\r\n\r\n"),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nC: d\r\n\r\n"),
        format!("{head}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{head}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"),
        "GET /status/204 HTTP/1.1\r\nHost: a\r\n\r\nGET /last HTTP/1.1\r\nHost: a\r\n\r\n"
            .to_owned(),
    ];
    let with_cuts = |said: &String| [&[9, 16, 2, 1, 7, 2, 100, 1], said.as_bytes()].concat();
    said.iter().map(with_cuts).collect()
}
