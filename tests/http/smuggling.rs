//! Requests that others may understand in another way: none of them is served, and nothing behind
//! them is taken for a request.

use super::bench::Bench;

const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn whatever_leaves_doubt_about_its_end_is_refused_with_its_connection() {
    let chunked = "Transfer-Encoding: chunked\r\n\r\n";
    for (headers, status) in [
        // Two ways to delimit one body, or none that is known.
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            400,
        ),
        ("Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
        ("Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
        ("Content-Length: 5, 5\r\n\r\n", 400),
        ("Content-Length: +5\r\n\r\n", 400),
        ("Content-Length: 0x5\r\n\r\n", 400),
        ("Content-Length: 5 5\r\n\r\n", 400),
        ("Content-Length: -1\r\n\r\n", 400),
        ("Content-Length:\r\n\r\n", 400),
        ("Content-Length : 5\r\n\r\n", 400),
        (" Content-Length: 5\r\n\r\n", 400),
        ("X: y\r\n Content-Length: 5\r\n\r\n", 400),
        ("X: y\nContent-Length: 5\r\n\r\n", 400),
        ("X: y\rContent-Length: 5\r\n\r\n", 400),
        ("X: y\0Content-Length: 5\r\n\r\n", 400),
        ("Transfer-Encoding: xchunked\r\n\r\n", 501),
        ("Transfer-Encoding: identity\r\n\r\n", 501),
        ("Transfer-Encoding: chunked, identity\r\n\r\n", 501),
        ("Transfer-Encoding: chunked;q=1\r\n\r\n", 501),
        ("Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
        ("Transfer-Encoding: chunked, chunked\r\n\r\n", 400),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            400,
        ),
        ("Transfer-Encoding:\r\n\r\n", 400),
        ("Transfer-Encoding : chunked\r\n\r\n", 400),
        ("Transfer-Encoding:\r\n chunked\r\n\r\n", 400),
    ] {
        refuse(&format!("{headers}0\r\n\r\n"), status);
    }
    for (chunks, status) in [
        ("5\nhello\n0\n\n", 400),
        ("5\r\nhello0\r\n\r\n", 400),
        ("5\r\nhello\n0\r\n\r\n", 400),
        ("5 \r\nhello\r\n0\r\n\r\n", 400),
        (" 5\r\nhello\r\n0\r\n\r\n", 400),
        ("0x5\r\nhello\r\n0\r\n\r\n", 400),
        ("+5\r\nhello\r\n0\r\n\r\n", 400),
        ("\r\n", 400),
        (";x\r\n", 400),
        ("5;x\nhello\r\n0\r\n\r\n", 400),
        ("5;x\ry\r\nhello\r\n0\r\n\r\n", 400),
        ("00000000000000005\r\nhello\r\n0\r\n\r\n", 400),
        ("10000000000000005\r\nhello\r\n0\r\n\r\n", 400),
        ("0\r\nX: y\n\r\n", 400),
        ("0\r\nX: y\r\n\n", 400),
        ("0\r\n X: y\r\n\r\n", 400),
        ("0\r\nX: y\r\rZ: a\r\n\r\n", 400),
    ] {
        refuse(&format!("{chunked}{chunks}"), status);
    }
}

/// What is sent behind a head that begins well is refused, and nothing behind it is looked at.
fn refuse(rest: &str, status: u16) {
    for one_by_one in [false, true] {
        let mut bench = Bench::new();
        let client = bench.connect();
        let bytes = format!("POST / HTTP/1.1\r\nHost: a\r\n{rest}{HIDDEN}{HIDDEN}");
        let size = if one_by_one { 1 } else { bytes.len() };
        for part in bytes.as_bytes().chunks(size) {
            bench.say(client, part);
        }
        assert_eq!(bench.statuses(client), [status], "{rest:?}");
        assert_eq!(
            (bench.client(client).ends, bench.counters().requests),
            (1, 0)
        );
    }
}

#[test]
fn an_old_request_has_no_chunks() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let head = "POST / HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n";
    bench.say(client, format!("{head}0\r\n\r\n{HIDDEN}"));
    assert_eq!(bench.statuses(client), [400]);
}

#[test]
fn a_body_is_not_taken_for_a_request_though_it_looks_like_one() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let len = HIDDEN.len();
    bench.say(
        client,
        format!("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: {len}\r\n\r\n{HIDDEN}"),
    );
    bench.say(client, format!("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{len:x}\r\n{HIDDEN}\r\n0\r\n\r\n"));
    let answers = bench.answers(client);
    let expected = format!("PUT / of a with \"{}\"\n", HIDDEN.escape_default());
    assert_eq!(answers, [(200, expected.clone()), (200, expected)]);
}
