//! Whatever strangers send by TCP: it is answered or dropped, and counted, and nobody else notices.

use stillpoint_sim::Failure;

use crate::support::http::{self, Answer};
use crate::support::peer::Stage;
use crate::support::place::port;
use crate::support::siege::siege;
use crate::support::{Ask, Guest, Place, Plan, ms, secs};

/// Sends a request on a connection of its own, and gives what is answered.
fn ask(
    place: &mut Place<'_>,
    stranger: Guest,
    (method, target): (&str, &str),
    headers: &[(&str, &str)],
    body: Option<(&str, &[u8])>,
) -> Result<Answer, Failure> {
    let headers: Vec<_> = headers
        .iter()
        .map(|&(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let request = http::request(method, target, &headers, body);
    let number = place.mischief(stranger).connections.len();
    place.ask(stranger, Ask::Dial(request, None));
    place.run(secs(1))?;
    let connection = &place.mischief(stranger).connections[number];
    let mut received = connection.received.clone();
    let answer = Answer::take(&mut received);
    Ok(answer.unwrap_or_else(|| panic!("no answer to {method} {target}")))
}

/// Says what is wrong with it, as RFC 9457 wants it.
fn assert_problem(answer: &Answer, status: u16) {
    assert_eq!(answer.status, status, "{answer:?} {}", answer.text());
    let kind = answer.header("content-type").unwrap();
    assert!(kind.starts_with("application/problem+json"), "{kind}");
    let text = answer.text();
    assert!(text.contains(&format!("\"status\":{status}")), "{text}");
    assert!(text.contains("\"detail\":\""), "{text}");
    // Neither places in memory nor our secrets.
    assert!(!text.contains("0x"), "{text}");
}

/// An offer that is one: what a viewer has sent.
fn offer() -> String {
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
     m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtcp-mux\r\n\
     a=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\n\
     a=fingerprint:sha-256 00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:\
     00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF\r\na=setup:actpass\r\na=mid:0\r\n\
     a=recvonly\r\na=rtpmap:111 opus/48000/2\r\na=fmtp:111 minptime=10\r\n"
        .to_owned()
}

#[test]
fn garbage_in_place_of_an_offer_is_told_what_is_wrong() {
    siege("garbage_in_place", &Plan::new(), |place, stranger, _| {
        let good = offer();
        let answer = ask(
            place,
            stranger,
            ("POST", "/whep/tea"),
            &[],
            Some((http::SDP, good.as_bytes())),
        )?;
        assert_eq!(answer.status, 201, "{}", answer.text());
        let session = answer.header("location").unwrap().to_owned();
        let gone = ask(place, stranger, ("DELETE", &session), &[], None)?;
        assert_eq!(gone.status, 200);
        let mut bad: Vec<(Vec<u8>, &[u16])> = vec![
            (Vec::new(), &[400, 422]),
            (b"hello".to_vec(), &[400]),
            (b"\xff\xfe\x00\x01".to_vec(), &[400]),
            (b"v=0\r\n".repeat(3_000), &[400, 422]),
            (
                b"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n".to_vec(),
                &[400, 422],
            ),
            (
                good.replace("opus/48000/2", "nonsense/8000").into_bytes(),
                &[422],
            ),
            (
                good.replace("a=recvonly", "a=sendonly").into_bytes(),
                &[422],
            ),
            (
                good.replace("a=fingerprint:", "a=finger:").into_bytes(),
                &[400, 422],
            ),
            (
                good.replace("a=ice-ufrag:abcd\r\n", "").into_bytes(),
                &[400, 422],
            ),
            (
                good.replace("a=group:", "a=ice-lite\r\na=group:")
                    .into_bytes(),
                &[400, 422],
            ),
        ];
        // Cut anywhere, or with any byte turned over, it may still be one; but then it is answered.
        for cut in (0..good.len()).step_by(29) {
            bad.push((good.as_bytes()[..cut].to_vec(), &[201, 400, 422]));
            let mut turned = good.clone().into_bytes();
            turned[cut] ^= 0x15;
            bad.push((turned, &[201, 400, 422]));
        }
        let mut opened = 0;
        for (body, expected) in bad {
            let sdp = Some((http::SDP, &body[..]));
            let answer = ask(place, stranger, ("POST", "/whep/tea"), &[], sdp)?;
            let status = answer.status;
            assert!(
                expected.contains(&status),
                "{status} for `{}`",
                body.escape_ascii()
            );
            match answer.header("location") {
                Some(_) => opened += 1,
                None => assert_problem(&answer, answer.status),
            }
        }
        // Those that were opened never connect.
        place.run(secs(16))?;
        assert!(place.count("sfu_sessions_opened_total") >= 3 + opened);
        assert!(place.count("sfu_sessions_refused_total") > 10);
        Ok(())
    });
}

/// A request of which nothing is to come: with a token, or a body with its type; and the status of
/// the answer.
struct Refused<'a>(
    &'a str,
    &'a str,
    Option<&'a str>,
    Option<(&'a str, &'a [u8])>,
    u16,
);

/// Sends each of them to a server that asks for tokens.
fn assert_refused(
    place: &mut Place<'_>,
    stranger: Guest,
    requests: &[Refused<'_>],
) -> Result<(), Failure> {
    for Refused(method, target, token, body, status) in requests {
        let headers: Vec<_> = token
            .iter()
            .map(|&token| ("Authorization", token))
            .collect();
        let answer = ask(place, stranger, (method, target), &headers, *body)?;
        assert_problem(&answer, *status);
        match status {
            401 => assert_eq!(answer.header("www-authenticate"), Some("Bearer")),
            405 => assert!(answer.header("allow").is_some()),
            _ => {}
        }
    }
    Ok(())
}

fn with_tokens() -> Plan {
    Plan {
        publish_token: Some("s3cret"),
        watch_token: Some("w4tch"),
        ..Plan::new()
    }
}

const RIGHT: Option<&str> = Some("Bearer w4tch");

#[test]
fn who_does_not_know_the_token_may_do_nothing() {
    siege(
        "who_does_not_know",
        &with_tokens(),
        |place, stranger, [publisher, _]| {
            let sdp = offer();
            let sdp = Some((http::SDP, sdp.as_bytes()));
            let session = place.peer(publisher).session.clone().unwrap();
            let requests = [
                Refused("POST", "/whip/milk", None, sdp, 401),
                Refused("POST", "/whip/milk", RIGHT, sdp, 401),
                Refused("POST", "/whip/milk", Some("Bearer s3cretx"), sdp, 401),
                Refused("POST", "/whip/milk", Some("Bearer s3cre"), sdp, 401),
                Refused("POST", "/whip/milk", Some("Basic s3cret"), sdp, 401),
                Refused("POST", "/whip/milk", Some("s3cret"), sdp, 401),
                Refused("POST", "/whep/tea", None, sdp, 401),
                Refused("POST", "/whep/tea", Some("Bearer s3cret"), sdp, 401),
                Refused("DELETE", &session, None, None, 401),
                Refused("DELETE", &session, RIGHT, None, 401),
            ];
            assert_refused(place, stranger, &requests)
        },
    );
}

#[test]
fn requests_that_mean_nothing_here_are_answered_with_why() {
    siege(
        "requests_that_mean",
        &with_tokens(),
        |place, stranger, [publisher, _]| {
            let sdp = offer();
            let sdp = Some((http::SDP, sdp.as_bytes()));
            let session = place.peer(publisher).session.clone().unwrap();
            let long = format!("/whep/{}", "x".repeat(200));
            let text: Option<(&str, &[u8])> = Some(("text/plain", b"v=0"));
            let fragment: Option<(&str, &[u8])> = Some((http::FRAGMENT, b"a=x"));
            let requests = [
                Refused("POST", "/whep/nowhere", RIGHT, sdp, 404),
                Refused("POST", &long, RIGHT, sdp, 404),
                Refused("POST", "/whep/..%2f..%2fetc", RIGHT, sdp, 404),
                Refused("POST", "/whep/tea", RIGHT, text, 415),
                Refused("POST", "/whep/tea", RIGHT, None, 415),
                Refused("GET", "/whep/tea", RIGHT, None, 405),
                Refused("PUT", "/whip/tea", RIGHT, sdp, 405),
                Refused("PATCH", &session, RIGHT, fragment, 405),
                Refused("DELETE", "/sessions/0123456789abcdef", RIGHT, None, 404),
                Refused("GET", "/../../etc/passwd", None, None, 404),
                Refused("POST", "/nothing", None, sdp, 404),
            ];
            assert_refused(place, stranger, &requests)?;
            let preflight = ask(place, stranger, ("OPTIONS", "/whep/tea"), &[], None)?;
            assert!([200, 204].contains(&preflight.status));
            assert_eq!(preflight.header("access-control-allow-origin"), Some("*"));
            Ok(())
        },
    );
}

#[test]
fn what_happens_can_be_read() {
    siege(
        "what_happens_can_be_read",
        &Plan::new(),
        |place, stranger, _| {
            let rooms = ask(place, stranger, ("GET", "/rooms"), &[], None)?;
            assert_eq!(rooms.header("content-type"), Some("application/json"));
            let text = rooms.text();
            for part in [r#""room":"tea""#, r#""viewers":1"#, r#""publishing":true"#] {
                assert!(text.contains(part), "{text}");
            }
            let nobody = ask(place, stranger, ("GET", "/rooms/milk"), &[], None)?;
            assert_problem(&nobody, 404);
            place.ask(stranger, Ask::Throw(port(0), vec![vec![200; 9]; 7]));
            place.ask(stranger, Ask::Dial(b"noise\r\n\r\n".to_vec(), None));
            place.run(secs(1))?;
            let metrics = ask(place, stranger, ("GET", "/metrics"), &[], None)?;
            assert_eq!(metrics.status, 200);
            for page in ["/", "/publish", "/watch"] {
                let page = ask(place, stranger, ("GET", page), &[], None)?;
                assert_eq!(page.status, 200);
                assert!(
                    page.header("content-type")
                        .unwrap()
                        .starts_with("text/html")
                );
                let head = page.header("content-length").unwrap().to_owned();
                assert_eq!(head, page.body.len().to_string());
            }
            Ok(())
        },
    );
}

#[test]
fn a_session_can_be_ended_once() {
    siege(
        "a_session_can_be_ended_once",
        &Plan::new(),
        |place, stranger, _| {
            let viewer = place.watching("tea")?;
            let session = place.peer(viewer).session.clone().unwrap();
            let first = ask(place, stranger, ("DELETE", &session), &[], None)?;
            assert_eq!(first.status, 200);
            assert_eq!(place.stage(viewer), Stage::Told);
            let second = ask(place, stranger, ("DELETE", &session), &[], None)?;
            assert_problem(&second, 404);
            Ok(())
        },
    );
}

#[test]
fn who_finds_all_places_taken_is_told_to_come_later() {
    let plan = Plan {
        sessions_max: 2,
        ..Plan::new()
    };
    siege("who_finds_all_places", &plan, |place, stranger, _| {
        let others = [place.watching("tea")?, place.watching("tea")?];
        let sdp = offer();
        let sdp = Some((http::SDP, sdp.as_bytes()));
        for target in ["/whep/tea", "/whip/milk"] {
            let answer = ask(place, stranger, ("POST", target), &[], sdp)?;
            assert_problem(&answer, 503);
            assert!(answer.header("retry-after").is_some());
        }
        assert_eq!(place.count("sfu_rooms"), 1);
        for guest in others {
            place.ask(guest, Ask::Leave);
        }
        place.run(secs(1))?;
        let viewer = place.watching("tea")?;
        place.ask(viewer, Ask::Leave);
        place.run(secs(1))
    });
}

#[test]
fn an_offer_of_a_megabyte_and_a_head_without_an_end_are_not_kept() {
    siege(
        "an_offer_of_a_megabyte",
        &Plan::new(),
        |place, stranger, _| {
            let huge = vec![b'x'; 1 << 20];
            let body = Some((http::SDP, &huge[..]));
            let answer = ask(place, stranger, ("POST", "/whep/tea"), &[], body)?;
            assert_problem(&answer, 413);
            let endless = [b"GET / HTTP/1.1\r\nX: ".to_vec(), vec![b'y'; 100_000]].concat();
            place.ask(stranger, Ask::Dial(endless, None));
            place.run(secs(1))?;
            let last = place.mischief(stranger).connections.last().unwrap();
            assert_eq!(last.statuses(), [431]);
            let chunked = b"POST /whep/tea HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffff\r\n";
            place.ask(stranger, Ask::Dial(chunked.to_vec(), None));
            place.run(secs(1))?;
            let last = place.mischief(stranger).connections.last().unwrap();
            assert_eq!(last.statuses(), [413]);
            place.run(secs(10))?;
            assert!(place.world.buffers_in_use() < 100);
            let open = |place: &Place<'_>| {
                let connections = place.mischief(stranger).connections.iter();
                connections
                    .filter(|connection| connection.closed_at.is_none())
                    .count()
            };
            assert_eq!(open(place), 0);
            Ok(())
        },
    );
}

#[test]
fn noise_by_tcp_is_refused_and_the_connection_ended() {
    siege("noise_by_tcp", &Plan::new(), |place, stranger, _| {
        let noise: [&[u8]; 6] = [
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 tls, perhaps\r\n\r\n",
            b"\0\0\0\0\0\0\0\0\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9\r\n\r\n",
            b"POST /whep/tea HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
            b"POST /whep/tea HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        ];
        for bytes in noise {
            place.ask(stranger, Ask::Dial(bytes.to_vec(), None));
        }
        place.run(secs(15))?;
        for connection in &place.mischief(stranger).connections {
            let statuses = connection.statuses();
            assert!(statuses.iter().all(|&status| status >= 400), "{statuses:?}");
            assert_eq!(statuses.len(), 1);
            assert!(connection.closed_at.is_some());
        }
        assert!(place.signaling().http().counters().malformed >= 4);
        Ok(())
    });
}

#[test]
fn who_says_one_byte_at_a_time_is_not_waited_for() {
    siege("who_says_one_byte", &Plan::new(), |place, stranger, _| {
        let head = b"POST /whep/tea HTTP/1.1\r\nHost: x\r\nContent-Type: application/sdp\r\n";
        for _ in 0..50 {
            place.ask(stranger, Ask::Dial(head.to_vec(), Some(ms(900))));
        }
        place.run(secs(20))?;
        for connection in &place.mischief(stranger).connections {
            assert_eq!(connection.statuses(), [408]);
            assert!(connection.closed_at.is_some());
        }
        assert_eq!(place.signaling().http().counters().timed_out, 50);
        Ok(())
    });
}

/// Whether all connections of a stranger are over.
fn are_over(place: &Place<'_>, stranger: Guest) -> bool {
    let mut connections = place.mischief(stranger).connections.iter();
    connections.all(|connection| connection.closed_at.is_some())
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    siege("that_say_nothing", &Plan::new(), |place, stranger, _| {
        for _ in 0..1_500 {
            place.ask(stranger, Ask::Dial(Vec::new(), None));
        }
        place.run(secs(2))?;
        // Those that have been idle for longest make room.
        let viewer = place.watching("tea")?;
        place.ask(viewer, Ask::Leave);
        place.run(secs(1))?;
        assert_eq!(place.stage(viewer), Stage::Left);
        place.run(secs(32))?;
        assert!(are_over(place, stranger));
        let counters = place.signaling().http().counters();
        assert!(
            counters.idle_closed + counters.connections_refused >= 1_500,
            "{counters:?}"
        );
        Ok(())
    });
}

#[test]
fn connections_that_never_finish_what_they_say_keep_others_out_for_a_while_only() {
    siege("that_never_finish", &Plan::new(), |place, stranger, _| {
        let head = b"POST /whep/tea HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nhello";
        for _ in 0..1_500 {
            place.ask(stranger, Ask::Dial(head.to_vec(), None));
        }
        place.run(secs(2))?;
        let counters = place.signaling().http().counters();
        let turned_away = counters.connections_refused + counters.connections_dropped;
        assert!(turned_away >= 400, "{counters:?}");
        place.run(secs(12))?;
        assert!(are_over(place, stranger));
        assert!(place.signaling().http().counters().timed_out >= 1_000);
        let viewer = place.watching("tea")?;
        place.ask(viewer, Ask::Leave);
        place.run(secs(1))?;
        assert_eq!(place.stage(viewer), Stage::Left);
        Ok(())
    });
}
