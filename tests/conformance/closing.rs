//! How streams end.

use core::time::Duration;

use stillpoint::{Buffer, End, NetworkError, NetworkEvent, Reading, TcpOptions};

use super::lab::Kind;
use super::streams::{Pair, closed, read_ended};

/// A pair with little room everywhere, of which the server does not read.
fn clogged(kind: Kind, options: TcpOptions) -> Pair {
    let options = options
        .with_send_queue_max(1 << 20)
        .with_buffers(8_192, 8_192);
    let mut pair = Pair::with(kind, options);
    let theirs = pair.theirs;
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.set_reading(theirs, Reading::Paused);
    });
    pair.write(&vec![5; 1 << 20]);
    pair
}

/// What the server receives until its stream is closed, and why it was.
fn heard(pair: &mut Pair) -> (usize, Option<NetworkError>) {
    let mut bytes = 0;
    loop {
        let closed = pair.lab.next(pair.server, |event| match event {
            NetworkEvent::Received { data, .. } => Some(Err(data.len())),
            NetworkEvent::StreamClosed { error, .. } => Some(Ok(*error)),
            _ => None,
        });
        match closed {
            Ok(error) => return (bytes, error),
            Err(more) => bytes += more,
        }
    }
}

pub(crate) fn without_lingering_a_close_breaks_off_at_once(kind: Kind) {
    let mut pair = clogged(kind, TcpOptions::new().with_linger(Duration::ZERO));
    let (ours, theirs) = (pair.ours, pair.theirs);
    pair.lab
        .act(pair.client, move |hands| hands.outbox.close(ours));
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.set_reading(theirs, Reading::Flowing);
    });
    let (bytes, error) = heard(&mut pair);
    assert_eq!(error, Some(NetworkError::ConnectionReset));
    assert!(bytes < 1 << 20, "all of it came");
}

pub(crate) fn what_is_not_sent_within_the_linger_time_is_lost_and_the_peer_is_told(kind: Kind) {
    let linger = Duration::from_millis(30);
    let mut pair = clogged(kind, TcpOptions::new().with_linger(linger));
    let (ours, theirs) = (pair.ours, pair.theirs);
    pair.lab
        .act(pair.client, move |hands| hands.outbox.close(ours));
    pair.lab.shutdown(pair.client.host);
    pair.lab.wait_until_stopped(pair.client.host);
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.set_reading(theirs, Reading::Flowing);
    });
    let (bytes, error) = heard(&mut pair);
    assert_eq!(error, Some(NetworkError::ConnectionReset));
    assert!(bytes < 1 << 20, "all of it came");
}

pub(crate) fn a_close_waits_for_a_slow_reader_within_the_linger_time(kind: Kind) {
    let mut pair = clogged(kind, TcpOptions::new());
    let (ours, theirs) = (pair.ours, pair.theirs);
    pair.lab
        .act(pair.client, move |hands| hands.outbox.close(ours));
    pair.lab.pass(Duration::from_millis(20));
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.set_reading(theirs, Reading::Flowing);
    });
    assert_eq!(pair.received(1 << 20).len(), 1 << 20);
    assert_eq!(pair.lab.next(pair.server, read_ended), theirs);
}

pub(crate) fn what_arrives_behind_a_close_disturbs_nobody(kind: Kind) {
    let mut pair = Pair::new(kind);
    let (ours, theirs) = (pair.ours, pair.theirs);
    pair.write(b"a question that needs no answer");
    pair.lab
        .act(pair.client, move |hands| hands.outbox.close(ours));
    assert_eq!(pair.received(31), b"a question that needs no answer");
    assert_eq!(pair.lab.next(pair.server, read_ended), theirs);
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.write(theirs, Buffer::copy_from(&[1; 10_000]));
        hands.outbox.end_write(theirs);
    });
    // Whether the answer still finds somebody to take it is a matter of time.
    let why = pair.lab.next(pair.server, closed);
    assert!(
        matches!(why, None | Some(NetworkError::ConnectionReset)),
        "{why:?}"
    );
    let news = pair.lab.unasked(pair.client);
    assert!(news.is_empty(), "told of what it has closed: {news:?}");
}

pub(crate) fn the_streams_of_a_task_that_panicked_are_reset(kind: Kind) {
    let mut pair = Pair::new(kind);
    pair.lab.act(pair.client, |_| panic!("as it was told"));
    assert!(matches!(pair.lab.end(pair.client), End::Panicked { .. }));
    assert_eq!(
        pair.lab.next(pair.server, closed),
        Some(NetworkError::ConnectionReset)
    );
}

pub(crate) fn the_streams_of_a_task_that_finished_are_closed_behind_its_last_words(kind: Kind) {
    let mut pair = Pair::new(kind);
    let ours = pair.ours;
    pair.lab.act(pair.client, move |hands| {
        hands.outbox.write(ours, Buffer::copy_from(b"farewell"));
        hands.outbox.finish();
    });
    assert_eq!(pair.lab.end(pair.client), End::Finished);
    assert_eq!(pair.received(8), b"farewell");
    assert_eq!(pair.lab.next(pair.server, read_ended), pair.theirs);
}

pub(crate) fn both_may_end_at_the_same_time(kind: Kind) {
    let mut pair = Pair::new(kind);
    let (ours, theirs) = (pair.ours, pair.theirs);
    pair.lab
        .act(pair.client, move |hands| hands.outbox.end_write(ours));
    pair.lab
        .act(pair.server, move |hands| hands.outbox.end_write(theirs));
    assert_eq!(pair.lab.next(pair.client, closed), None);
    assert_eq!(pair.lab.next(pair.server, closed), None);
}

pub(crate) fn an_ended_direction_does_not_hurry_the_other(kind: Kind) {
    let mut pair = Pair::new(kind);
    let theirs = pair.theirs;
    pair.lab
        .act(pair.server, move |hands| hands.outbox.end_write(theirs));
    assert_eq!(pair.lab.next(pair.client, read_ended), pair.ours);
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at * 7 % 251) as u8).collect();
    for part in bytes.chunks(50_000) {
        pair.write(part);
        assert_eq!(pair.received(part.len()), part);
    }
    let ours = pair.ours;
    pair.lab
        .act(pair.client, move |hands| hands.outbox.end_write(ours));
    assert_eq!(pair.lab.next(pair.server, closed), None);
    assert_eq!(pair.lab.next(pair.client, closed), None);
}

pub(crate) fn a_reset_is_told_also_to_those_whose_peer_had_ended(kind: Kind) {
    let mut pair = Pair::new(kind);
    let theirs = pair.theirs;
    pair.lab
        .act(pair.server, move |hands| hands.outbox.end_write(theirs));
    assert_eq!(pair.lab.next(pair.client, read_ended), pair.ours);
    pair.lab.pass(Duration::from_millis(2));
    pair.lab
        .act(pair.server, move |hands| hands.outbox.reset(theirs));
    assert_eq!(
        pair.lab.next(pair.client, closed),
        Some(NetworkError::ConnectionReset)
    );
}

pub(crate) fn a_reset_throws_away_what_was_not_sent(kind: Kind) {
    let mut pair = clogged(kind, TcpOptions::new());
    let (ours, theirs) = (pair.ours, pair.theirs);
    pair.lab
        .act(pair.client, move |hands| hands.outbox.reset(ours));
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.set_reading(theirs, Reading::Flowing);
    });
    let (bytes, error) = heard(&mut pair);
    assert_eq!(error, Some(NetworkError::ConnectionReset));
    assert!(bytes < 1 << 20, "all of it came");
}

pub(crate) fn a_paused_reader_is_not_told_of_the_end_before_it_goes_on(kind: Kind) {
    let mut pair = Pair::new(kind);
    let (ours, theirs) = (pair.ours, pair.theirs);
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.set_reading(theirs, Reading::Paused);
    });
    pair.write(b"before the end");
    pair.lab
        .act(pair.client, move |hands| hands.outbox.end_write(ours));
    pair.lab.pass(Duration::from_millis(5));
    let news = pair.lab.unasked(pair.server);
    assert!(news.is_empty(), "heard while paused: {news:?}");
    pair.lab.act(pair.server, move |hands| {
        hands.outbox.set_reading(theirs, Reading::Flowing);
    });
    assert_eq!(pair.received(14), b"before the end");
    assert_eq!(pair.lab.next(pair.server, read_ended), theirs);
}

pub(crate) fn buffers_go_back_when_a_stream_is_gone(kind: Kind) {
    let mut pair = clogged(kind, TcpOptions::new());
    let ours = pair.ours;
    pair.lab
        .act(pair.client, move |hands| hands.outbox.reset(ours));
    let host = pair.client.host;
    pair.lab.pump_until(|lab| lab.buffers_in_use(host) == 0);
}

pub(crate) fn what_was_taken_and_never_sent_is_counted(kind: Kind) {
    let mut pair = clogged(kind, TcpOptions::new());
    let ours = pair.ours;
    pair.lab
        .act(pair.client, move |hands| hands.outbox.reset(ours));
    pair.lab.pass(Duration::from_millis(5));
    let counters = pair.lab.stream_counters(pair.client.host);
    assert!(counters.bytes_unsent > 0, "{counters:?}");
    assert_eq!(counters.bytes_out + counters.bytes_unsent, 1 << 20);
    assert_eq!(counters.bytes_refused, 0);
}
