//! However the bytes of a client are cut, and whatever room there is for answers, the answers are
//! the same.

use proptest::prelude::*;
use stillpoint::http::HttpConfig;

use super::play::heard;

/// Requests, half requests, and bytes that are none.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /later HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /long HTTP/1.1\r\nHost: a\r\nX-Long: abcdefghijklmnopqrstuvwxyz\r\n\r\n",
            "HEAD /x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "3\r\nabc\r\n", "5;x=y\r\n12345\r\n", "0\r\n\r\n", "0\r\nA: b\r\n\r\n", "fffff\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        2 => prop::sample::select(vec![
            "\r\n", "\n", "\r", "GET /", " HTTP/1.1", " HTTP/2", "Host: a", ": ", "\r\n\r\n",
            "Content-Length: 9", "Connection: close\r\n", "*", "CONNECT ", "http://b/",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (any::<u8>(), 0..20_000usize).prop_map(|(byte, count)| vec![byte; count]),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    /// Whatever comes, cut however it is, and whatever room there is: no panic, never more written
    /// than there is room for, and the answers are those that it would get in one piece. (The end of
    /// a head follows, since what is wrong before may be noticed only then.)
    #[test]
    fn what_is_said_does_not_depend_on_how_it_is_cut(
        bytes in anything(),
        cuts in prop::collection::vec(1..200usize, 1..50),
        rooms in prop::collection::vec(1..5_000usize, 1..20),
    ) {
        let bytes = [&bytes[..], b"\r\n\r\n"].concat();
        let whole = heard(HttpConfig::new(), &bytes, core::iter::empty(), core::iter::empty());
        let cut = heard(HttpConfig::new(), &bytes, cuts.into_iter().cycle(), rooms.into_iter().cycle());
        prop_assert_eq!(whole, cut);
    }
}
