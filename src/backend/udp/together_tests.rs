//! What goes with a wait, where the kernel does not take all of it.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    reason = "these are tests"
)]

use std::net::UdpSocket;

use super::super::tests::{Host, client_of, id, received};
use crate::backend::sys::refuse_runs;
use crate::backend::{Backend, BackendKind, IoUringSend};
use crate::buffer::Buffer;
use crate::datagram::Transmit;
use crate::net::{NetworkCommand, NetworkError, NetworkEvent};

#[test]
fn behind_a_run_that_is_refused_all_goes_out_in_order_and_once() {
    let mut host = host();
    let local = host.open(id(0, 0), "127.0.0.1:0");
    let client = client_of(local);
    refuse_runs(host.backend.port().fd(id(0, 0)).unwrap());
    for round in 0..3_u64 {
        submit(&mut host, &client, b"aabbccd", 2);
        submit(&mut host, &client, b"xx", 0);
        submit(&mut host, &client, b"yyyzzz", 3);
        let counted = host.backend.counters().datagrams_out;
        assert_eq!(counted, 7 * (round + 1), "what is queued counts as sent");
        assert!(host.turn_if_any().is_empty());
        for datagram in [&b"aa"[..], b"bb", b"cc", b"d", b"xx", b"yyy", b"zzz"] {
            assert_eq!(received(&client), datagram, "round {round}");
        }
        client.set_nonblocking(true).unwrap();
        assert!(client.recv(&mut [0; 8]).is_err(), "one came twice");
        client.set_nonblocking(false).unwrap();
        assert_eq!(host.backend.counters().datagrams_out, counted);
    }
}

#[test]
fn one_that_cannot_be_sent_is_told_and_those_behind_it_are_sent() {
    let mut host = host();
    let local = host.open(id(0, 0), "127.0.0.1:0");
    let client = client_of(local);
    let nobody = "255.255.255.255:9".parse().unwrap(); // Nobody has asked to broadcast.
    submit(&mut host, &client, b"one", 0);
    let transmit = Transmit::new(id(0, 0), nobody, Buffer::copy_from(b"two"));
    host.submit(NetworkCommand::Transmit(transmit));
    submit(&mut host, &client, b"three", 0);
    let mut events = host.turn_if_any();
    events.extend(host.turn_if_any());
    let [
        NetworkEvent::SendFailed {
            peer,
            error,
            datagrams,
            ..
        },
    ] = events[..]
    else {
        panic!("{events:?}");
    };
    let expected = (nobody, NetworkError::PermissionDenied, 1);
    assert_eq!((peer, error, datagrams), expected);
    assert_eq!(received(&client), b"one");
    assert_eq!(received(&client), b"three");
    let counters = host.backend.counters();
    assert_eq!((counters.datagrams_out, counters.send_failed), (2, 1));
}

fn host() -> Host {
    Host::of(BackendKind::IoUring, |config| {
        config.io_uring.send_datagrams = IoUringSend::WithWait;
    })
}

fn submit(host: &mut Host, to: &UdpSocket, payload: &[u8], segment_size: usize) {
    let to = to.local_addr().unwrap();
    let transmit = Transmit::new(id(0, 0), to, Buffer::copy_from(payload));
    let transmit = transmit.with_segment_size(segment_size);
    host.submit(NetworkCommand::Transmit(transmit));
}
