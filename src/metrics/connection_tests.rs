//! One connection, driven by hand.

use proptest::prelude::*;

use super::*;
use crate::id::StreamId;
use crate::slots::Key;
use crate::status::WorkerStatus;
use crate::task::Output;

#[derive(Debug)]
struct Demo;

impl App for Demo {
    type Channel = ();
    type Message = ();
    type Command = ();
    type Report = ();
    type Spawn = ();
}

const STREAM: StreamId = StreamId {
    worker: 0,
    key: Key {
        slot: 0,
        generation: 0,
    },
};

const IDLE_MAX: Duration = Duration::from_secs(30);

/// A connection, its clock, and all that it has said.
struct Bench {
    connection: Connection,
    pages: Pages,
    outbox: Outbox<Demo>,
    now: Timestamp,
    /// What may still be written.
    room: usize,
    said: Vec<u8>,
    reading: Reading,
    ends: usize,
    life: Life,
}

impl Bench {
    fn new(room: usize) -> Self {
        let writer = StreamWriter::new(STREAM, room);
        Self {
            connection: Connection::new(Timestamp::EPOCH, writer, IDLE_MAX),
            pages: Pages::new(|| vec![WorkerStatus::default()]),
            outbox: Outbox::new(),
            now: Timestamp::EPOCH,
            room,
            said: Vec::new(),
            reading: Reading::Flowing,
            ends: 0,
            life: Life::GoesOn,
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        assert_eq!(self.reading, Reading::Flowing);
        let (pages, outbox) = (&mut self.pages, &mut self.outbox);
        self.connection
            .handle_received(self.now, bytes, pages, outbox);
        self.drain();
    }

    fn make_room(&mut self, room: usize) {
        self.room = room;
        let (pages, outbox) = (&mut self.pages, &mut self.outbox);
        self.connection
            .handle_writable(self.now, room, pages, outbox);
        self.drain();
    }

    fn wait(&mut self, duration: Duration) {
        self.now = self.now.after(duration);
        if self.connection.poll_timeout().at <= self.now {
            let (pages, outbox) = (&self.pages, &mut self.outbox);
            self.life = self.connection.handle_timeout(self.now, pages, outbox);
            self.drain();
        }
    }

    #[expect(clippy::wildcard_enum_match_arm, reason = "a test looks for some")]
    fn drain(&mut self) {
        while let Some(output) = self.outbox.pop() {
            match output {
                Output::Write(write) => {
                    let data = write.payload.into_buffer().expect("a buffer");
                    assert!(
                        data.len() <= self.room && self.ends == 0,
                        "not asked to write"
                    );
                    self.room -= data.len();
                    self.said.extend_from_slice(&data);
                }
                Output::EndWrite(STREAM) => self.ends += 1,
                Output::SetReading { reading, .. } => self.reading = reading,
                Output::Close(_) | Output::Reset(STREAM) => {}
                other => panic!("{other:?}"),
            }
        }
        if self.life == Life::GoesOn {
            assert!(self.connection.poll_timeout().at > self.now, "would spin");
        }
    }

    /// The first lines of its answers, which have to be whole.
    fn answers(&self, heads_only: bool) -> Vec<String> {
        let mut rest = &self.said[..];
        let mut lines = Vec::new();
        while !rest.is_empty() {
            let mut headers = [httparse::EMPTY_HEADER; 8];
            let mut head = httparse::Response::new(&mut headers);
            let len = head.parse(rest).unwrap().unwrap();
            let mut headers = head.headers.iter();
            let body = headers.find(|header| header.name == "Content-Length");
            let body = core::str::from_utf8(body.unwrap().value).unwrap();
            let body: usize = if heads_only { 0 } else { body.parse().unwrap() };
            lines.push(format!("{} {}", head.code.unwrap(), head.reason.unwrap()));
            rest = &rest[len + body..];
        }
        lines
    }
}

fn request(line: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: here\r\n\r\n")
}

#[test]
fn each_request_gets_its_answer_in_turn() {
    let mut bench = Bench::new(1 << 20);
    let lines = ["GET /metrics", "GET /", "GET /other", "DELETE /metrics"];
    bench.hear(lines.map(request).concat().as_bytes());
    let expected = [
        "200 OK",
        "200 OK",
        "404 Not Found",
        "405 Method Not Allowed",
    ];
    assert_eq!(bench.answers(false), expected);
    let said = String::from_utf8(bench.said.clone()).unwrap();
    assert!(said.contains("\r\nAllow: GET, HEAD\r\n"));
    let mut page = String::new();
    super::super::render(&[WorkerStatus::default()], &mut page);
    assert!(said.contains(&page));
    assert_eq!((bench.ends, bench.reading), (0, Reading::Flowing));
}

#[test]
fn a_head_is_what_the_whole_answer_begins_with() {
    let (mut whole, mut head) = (Bench::new(1 << 20), Bench::new(1 << 20));
    whole.hear(request("GET /metrics").as_bytes());
    head.hear(request("HEAD /metrics").as_bytes());
    assert!(whole.said.starts_with(&head.said));
    assert_eq!(head.answers(true), ["200 OK"]);
}

#[test]
fn a_connection_ends_behind_an_answer_when_it_is_to_be_the_last() {
    let long = "x".repeat(HEAD_BYTES_MAX);
    for (text, answer) in [
        ("GET / HTTP/1.0\r\n\r\n".to_owned(), "200 OK"),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_owned(),
            "200 OK",
        ),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
            "413 Content Too Large",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".to_owned(),
            "405 Method Not Allowed",
        ),
        ("\u{1}\u{2}\u{3}".to_owned(), "400 Bad Request"),
        (
            format!("GET /{long}"),
            "431 Request Header Fields Too Large",
        ),
    ] {
        let mut bench = Bench::new(1 << 20);
        bench.hear(text.as_bytes());
        assert_eq!(bench.answers(false), [answer]);
        assert_eq!(bench.ends, 1, "{answer}");
        bench.hear(request("GET /").as_bytes());
        assert_eq!(bench.answers(false), [answer], "answered behind the end");
        bench.wait(ENDING_MAX);
        assert_eq!(bench.life, Life::Over);
    }
}

#[test]
fn who_does_not_listen_is_not_read_from_and_broken_off_in_the_end() {
    let mut bench = Bench::new(100);
    bench.hear(request("GET /metrics").repeat(3).as_bytes());
    assert_eq!((bench.said.len(), bench.reading), (100, Reading::Paused));
    bench.wait(IDLE_MAX / 2);
    bench.make_room(10);
    bench.wait(IDLE_MAX / 2);
    assert_eq!((bench.said.len(), bench.life), (110, Life::GoesOn));
    bench.make_room(1 << 20);
    assert_eq!(bench.answers(false).len(), 3);
    assert_eq!(bench.reading, Reading::Flowing);

    bench.make_room(100);
    bench.hear(request("GET /metrics").as_bytes());
    bench.wait(IDLE_MAX);
    assert_eq!(bench.life, Life::Over);
}

#[test]
fn a_head_has_to_come_in_time_however_it_comes() {
    let mut bench = Bench::new(1 << 20);
    bench.wait(IDLE_MAX - Duration::from_secs(1));
    for byte in request("GET /metrics").bytes().take(30) {
        bench.hear(&[byte]);
        bench.wait(Duration::from_secs(1));
    }
    assert_eq!(bench.answers(false), ["408 Request Timeout"]);
    assert_eq!(bench.ends, 1);

    let mut silent = Bench::new(1 << 20);
    silent.wait(IDLE_MAX);
    assert_eq!((silent.life, silent.said.len()), (Life::Over, 0));
}

#[test]
fn those_who_ask_at_a_time_share_a_page() {
    let mut pages = Pages::new(|| vec![WorkerStatus::default()]);
    let first = pages.metrics(Timestamp::EPOCH);
    let (memory, len) = (first.as_ptr(), first.len());
    let second = pages.metrics(Timestamp::EPOCH.after(Duration::from_millis(49)));
    assert_eq!((second.as_ptr(), second.len()), (memory, len));
    let third = pages.metrics(Timestamp::EPOCH.after(Duration::from_millis(50)));
    assert_ne!(third.as_ptr(), memory);
}

/// Requests, half requests, and bytes that are none.
fn anything() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(vec![
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "HEAD /x HTTP/1.1\nHost: a\n\n",
            "GET /metrics HTTP/1.1\r\nHost: a\r\nX-Long: abcdefghijklmnopqrstuvwxyz\r\n\r\n",
            "\r\n", "\n", "\r", "GET /", " HTTP/1.1", "Host: a", ": ", "\r\n\r\n",
            "Content-Length: 9", "Connection: close\r\n",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => (any::<u8>(), 0..9_000usize).prop_map(|(byte, count)| vec![byte; count]),
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
        let mut whole = Bench::new(1 << 24);
        whole.hear(&bytes);
        let mut cut = Bench::new(rooms[0]);
        let mut rest = &bytes[..];
        let (mut cuts, mut rooms) = (cuts.iter().cycle(), rooms.iter().cycle());
        while !rest.is_empty() || cut.reading == Reading::Paused
            || cut.connection.writer.waiting() > 0 {
            if cut.reading == Reading::Flowing && !rest.is_empty() {
                let (part, later) = rest.split_at(rest.len().min(*cuts.next().unwrap()));
                cut.hear(part);
                rest = later;
            } else {
                cut.make_room(*rooms.next().unwrap());
            }
        }
        prop_assert_eq!(whole.said.len(), cut.said.len());
        prop_assert!(whole.said == cut.said);
        prop_assert_eq!(whole.ends, cut.ends);
    }
}
