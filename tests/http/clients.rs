//! Clients that are slow, silent, gone or too many, and what they cost.

use core::time::Duration;

use stillpoint::http::{HttpConfig, StaleExchange, StatusCode, text};
use stillpoint::{NetworkError, NetworkEvent, Outbox, Reading, StreamId};

use super::bench::{Bench, Fate};
use super::site::Web;

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LATER: &str = "GET /later HTTP/1.1\r\nHost: a\r\n\r\n";
const LONG: &str = "GET /long HTTP/1.1\r\nHost: a\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n";

const SECOND: Duration = Duration::from_secs(1);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Buffers that somebody holds, once the bench lets go of what clients have heard.
fn held(bench: &mut Bench) -> usize {
    bench.forget_writes();
    bench.buffers.live()
}

#[test]
fn a_request_has_ten_seconds_to_come_however_it_comes() {
    for request in [
        GET,
        POST,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5",
    ] {
        let mut bench = Bench::new();
        let client = bench.connect();
        bench.wait(seconds(29));
        for byte in request.bytes().take(request.len() - 1) {
            bench.say(client, [byte]);
            bench.wait(seconds(9) / u32::try_from(request.len()).unwrap());
        }
        assert!(bench.client(client).heard.is_empty());
        bench.wait(seconds(2));
        assert_eq!(
            (bench.statuses(client), bench.client(client).ends),
            (vec![408], 1)
        );
        // It has two seconds to read that and go.
        bench.say(client, "behind the end");
        bench.wait(Duration::from_millis(900));
        assert_eq!(bench.client(client).fate, Fate::Open);
        bench.wait(SECOND);
        assert_eq!(
            (bench.client(client).fate, bench.connections()),
            (Fate::Closed, 0)
        );
        assert_eq!(
            (bench.counters().timed_out, bench.counters().requests),
            (1, 0)
        );
    }
}

#[test]
fn each_request_in_one_go_has_its_time_from_when_its_turn_comes() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.say(client, [LATER, "GET /"].concat());
    bench.wait(seconds(60));
    assert_eq!(
        bench.client(client).fate,
        Fate::Open,
        "the task may take its time"
    );
    bench.answer("here");
    bench.wait(seconds(9));
    bench.say(client, " HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(bench.statuses(client), [200, 200]);
}

#[test]
fn silence_between_requests_ends_a_connection_without_a_word() {
    let mut bench = Bench::new();
    let (silent, asks) = (bench.connect(), bench.connect());
    bench.wait(seconds(20));
    bench.say(asks, GET);
    // Empty lines are no request, and do not count as a sign of life.
    bench.say(silent, "\r\n\r\n");
    bench.wait(seconds(10));
    assert_eq!(bench.client(silent).fate, Fate::Closed);
    assert!(bench.client(silent).heard.is_empty());
    assert_eq!(bench.client(asks).fate, Fate::Open);
    bench.wait(seconds(20));
    assert_eq!(bench.client(asks).fate, Fate::Closed);
    assert_eq!(bench.counters().idle_closed, 2);
}

#[test]
fn who_does_not_take_its_answers_is_not_read_from_and_broken_off_in_the_end() {
    let mut bench = Bench::new();
    let client = bench.connect_with_room(1_000);
    bench.say(client, LONG.repeat(3));
    let now = bench.client(client);
    assert_eq!((now.heard.len(), now.reading), (1_000, Reading::Paused));
    assert_eq!(
        bench.counters().requests,
        1,
        "the next is looked at behind the first"
    );
    for _ in 0..3 {
        bench.wait(seconds(29));
        bench.make_room(client, 10);
    }
    assert_eq!(bench.client(client).fate, Fate::Open, "it takes something");
    bench.make_room(client, 1 << 20);
    assert_eq!(bench.statuses(client), [200; 3]);
    assert_eq!(bench.client(client).reading, Reading::Flowing);

    bench.make_room(client, 100);
    bench.say(client, LONG);
    bench.wait(seconds(29));
    assert_eq!(bench.client(client).fate, Fate::Open);
    bench.wait(seconds(1));
    assert_eq!(
        (bench.client(client).fate, bench.connections()),
        (Fate::Reset, 0)
    );
    assert_eq!((bench.counters().stalled, held(&mut bench)), (1, 0));
}

#[test]
fn while_an_answer_is_owed_little_is_read() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.say(client, LATER);
    bench.say(client, [b'x'; 4_096]);
    assert_eq!(bench.client(client).reading, Reading::Flowing);
    bench.say(client, "x");
    assert_eq!(bench.client(client).reading, Reading::Paused);
    bench.answer("here");
    assert_eq!(bench.client(client).reading, Reading::Flowing);
    bench.say(client, " / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(bench.statuses(client), [200, 200]);
}

#[test]
fn who_has_said_all_gets_all_its_answers() {
    let mut bench = Bench::new();
    let client = bench.connect_with_room(1_000);
    bench.say(client, [LATER, LONG, GET, "GET /half"].concat());
    bench.end(client);
    assert_eq!(bench.client(client).ends, 0);
    bench.answer("here");
    bench.make_room(client, 1 << 20);
    assert_eq!(bench.statuses(client), [200; 3]);
    assert_eq!(
        (bench.client(client).fate, bench.connections()),
        (Fate::Ended, 0)
    );

    let silent = bench.connect();
    bench.end(silent);
    assert_eq!(bench.client(silent).fate, Fate::Ended);
    assert_eq!(held(&mut bench), 0);
}

#[test]
fn what_follows_a_refusal_is_read_and_dropped_so_that_it_is_heard() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let post = POST.replace('9', "999999");
    bench.say(client, post);
    assert_eq!(bench.statuses(client), [413]);
    for _ in 0..100 {
        assert_eq!(bench.client(client).reading, Reading::Flowing);
        bench.say(client, [b'x'; 10_000]);
    }
    assert_eq!(held(&mut bench), 0);
    bench.end(client);
    assert_eq!(
        (bench.client(client).fate, bench.connections()),
        (Fate::Ended, 0)
    );
}

#[test]
fn an_answer_to_somebody_who_is_gone_goes_to_nobody_else() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.say(client, LATER);
    bench.vanish(client);
    assert_eq!((bench.exchanges(), bench.connections()), (0, 0));
    // The next connection may have the same place in the worker.
    let next = bench.connect();
    bench.say(next, LATER);
    let asked = bench.desk.borrow().held[0].0;
    bench.answer("for the first");
    assert_eq!(
        bench.desk.borrow().answered,
        [Err(StaleExchange { exchange: asked })]
    );
    assert!(bench.client(next).heard.is_empty());
    bench.answer("for the second");
    assert_eq!(bench.answers(next), [(200, "for the second".to_owned())]);
    let counters = bench.counters();
    assert_eq!((counters.responses, counters.responses_stale), (1, 1));
    assert_eq!(asked.stream(), client);
}

#[test]
fn an_answer_that_was_given_is_not_given_again() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.say(client, LATER.repeat(2));
    let exchange = bench.desk.borrow().held[0].0;
    bench.answer("first");
    let mut outbox = Outbox::<Web>::new();
    let again = text(StatusCode::OK, "again");
    let desk = &bench.desk;
    let answered = desk
        .borrow_mut()
        .http
        .respond(bench.now, exchange, again, &mut outbox);
    assert_eq!(
        (answered, outbox.is_empty()),
        (Err(StaleExchange { exchange }), true)
    );
    assert_eq!(desk.borrow().http.peer(exchange), None);
    bench.answer("second");
    assert_eq!(bench.answers(client)[1].1, "second");
}

#[test]
fn who_waits_for_a_word_and_does_not_read_it_has_ten_seconds_all_the_same() {
    let mut bench = Bench::new();
    let client = bench.connect_with_room(10);
    bench.say(
        client,
        POST.replace("\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n"),
    );
    bench.wait(seconds(10));
    assert_eq!(bench.counters().timed_out, 1);
    bench.wait(seconds(30));
    assert_eq!(bench.client(client).fate, Fate::Reset);
}

#[test]
fn those_who_are_too_many_are_told_so_and_those_beyond_are_closed() {
    let mut bench = Bench::with(HttpConfig::new().with_connections_max(3));
    let clients: Vec<StreamId> = (0..8).map(|_| bench.connect()).collect();
    for &client in &clients[..3] {
        bench.say(client, GET);
        assert_eq!(bench.statuses(client), [200]);
    }
    for &client in &clients[3..6] {
        assert_eq!(
            (bench.statuses(client), bench.client(client).ends),
            (vec![503], 1)
        );
        let heard = String::from_utf8(bench.client(client).heard.clone()).unwrap();
        assert!(heard.contains("\r\nRetry-After: 1\r\n"), "{heard}");
    }
    for &client in &clients[6..] {
        let client = bench.client(client);
        assert_eq!((client.heard.len(), client.fate), (0, Fate::Closed));
    }
    assert_eq!(bench.connections(), 6);
    // Who was refused takes nobody's place.
    bench.vanish(clients[0]);
    let next = bench.connect();
    bench.say(next, GET);
    assert_eq!(bench.statuses(next), [200]);
    bench.wait(seconds(2));
    assert_eq!(bench.connections(), 3);
    for client in [next, clients[1], clients[2]] {
        bench.say(client, &POST[..10]);
    }
    let late = bench.connect();
    assert_eq!(bench.statuses(late), [503], "all places are taken still");
    let counters = bench.counters();
    assert_eq!(
        (counters.connections, counters.connections_refused),
        (10, 4)
    );
    assert_eq!(counters.connections_dropped, 2);
}

#[test]
fn who_comes_when_all_places_are_taken_gets_that_of_whoever_has_been_idle_for_longest() {
    let mut bench = Bench::with(HttpConfig::new().with_connections_max(3));
    let [first, second, busy] = [0; 3].map(|_| {
        bench.wait(SECOND / 2);
        bench.connect()
    });
    bench.say(busy, &POST[..10]);
    bench.say(first, GET); // So the second is the one that has been silent for longest.
    let early = bench.connect();
    assert_eq!(
        bench.statuses(early),
        [503],
        "nobody has been silent for a second"
    );

    bench.wait(SECOND);
    let late = bench.connect();
    bench.say(late, GET);
    assert_eq!(bench.statuses(late), [200]);
    assert_eq!(bench.counters().idle_closed, 1);
    bench.say(first, GET);
    assert_eq!(bench.statuses(first), [200, 200]);
    assert!(bench.client(second).heard.is_empty());
    bench.say(busy, &POST[10..]);
    bench.say(busy, "123456789");
    assert_eq!(bench.statuses(busy), [200]);
}

#[test]
fn a_thousand_half_open_connections_hold_little_and_disturb_nobody() {
    let mut bench = Bench::with(HttpConfig::new().with_connections_max(1_001));
    let slow: Vec<StreamId> = (0..1_000).map(|_| bench.connect()).collect();
    assert_eq!(
        bench.buffers.live(),
        0,
        "an idle connection holds no buffer"
    );
    for (index, &client) in slow.iter().enumerate() {
        bench.say(client, &POST[..index % POST.len()]);
    }
    assert!(bench.buffers.live() <= 1_000);
    let client = bench.connect();
    for _ in 0..20 {
        bench.say(client, GET);
        bench.wait(SECOND);
    }
    assert_eq!(bench.statuses(client), [200; 20]);
    assert_eq!(
        held(&mut bench),
        0,
        "those that began were told that it is too late"
    );
    let silent = slow
        .iter()
        .filter(|&&client| bench.client(client).heard.is_empty());
    let silent: Vec<&StreamId> = silent.collect();
    assert_eq!(silent.len(), 1_000_usize.div_ceil(POST.len()));
    bench.wait(seconds(60));
    assert_eq!(bench.connections(), 0);
}

#[test]
fn what_is_little_is_not_kept_in_memory_that_is_much() {
    let mut bench = Bench::new();
    let client = bench.connect();
    let large = |bench: &mut Bench, bytes: &str| {
        let mut data = bench.buffers.take(65_000);
        data.push_back(bytes.as_bytes());
        bench.tell(NetworkEvent::Received {
            stream: client,
            data,
        });
        bench.forget_writes();
        // The memory of the receive is free again.
        let (live, free) = (bench.buffers.live(), bench.buffers.free());
        drop(bench.buffers.take(65_000));
        assert_eq!((bench.buffers.live(), bench.buffers.free()), (live, free));
        live
    };
    let live = large(&mut bench, &[&GET.repeat(10), "POST / HTTP/1"].concat());
    assert_eq!(live, 1, "the beginning of a request");
    let live = large(&mut bench, &[&POST[13..], "1234"].concat());
    assert_eq!(live, 1, "and of its body");
    let live = large(&mut bench, &["56789", LATER].concat());
    assert_eq!(live, 0);
    let live = large(&mut bench, GET);
    assert_eq!(live, 1, "what comes while an answer is owed");
    bench.answer("here");
    assert_eq!((bench.answers(client).len(), held(&mut bench)), (13, 0));
}

#[test]
fn a_shutdown_finishes_what_was_asked_and_closes_the_rest() {
    let mut bench = Bench::new();
    let [idle, half, asks, slow] = [(); 4].map(|()| bench.connect_with_room(1_000));
    bench.say(half, "GET /");
    bench.say(asks, [LATER, GET].concat());
    bench.say(slow, [LONG, GET].concat());
    bench.shut_down();
    assert!(!bench.wire().is_listening);
    for client in [idle, half] {
        assert_eq!(bench.client(client).fate, Fate::Closed);
    }
    bench.answer("here");
    assert_eq!(
        (bench.statuses(asks), bench.client(asks).ends),
        (vec![200], 1)
    );
    bench.end(asks);
    bench.make_room(slow, 1 << 20);
    assert_eq!(
        (bench.statuses(slow), bench.client(slow).ends),
        (vec![200], 1)
    );
    assert!(bench.wire().ends.is_empty());
    bench.end(slow);
    assert_eq!(bench.wire().ends, ["finished"]);
}

#[test]
fn a_shutdown_does_not_wait_for_ever() {
    let mut bench = Bench::new();
    let [asks, slow] = [(); 2].map(|()| bench.connect_with_room(1_000));
    bench.say(asks, LATER);
    bench.say(slow, LONG);
    bench.shut_down();
    bench.wait(Duration::from_millis(1_999));
    assert!(bench.wire().ends.is_empty());
    bench.wait(Duration::from_millis(1));
    assert_eq!(bench.wire().ends, ["finished"]);
    for client in [asks, slow] {
        assert_eq!(bench.client(client).fate, Fate::Reset);
    }
}

#[test]
fn a_write_that_is_refused_ends_the_connection() {
    let mut bench = Bench::new();
    let client = bench.connect();
    bench.say(client, LATER);
    bench.tell(NetworkEvent::WriteFailed {
        stream: client,
        bytes: 3,
        error: NetworkError::ConnectionReset,
    });
    assert_eq!(
        (bench.client(client).fate, bench.exchanges()),
        (Fate::Reset, 0)
    );
}
