#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]
use super::*;
use crate::slots::Key;
use proptest::prelude::*;

fn to(peer: &str) -> Destination {
    Destination {
        socket: SocketId {
            worker: 0,
            key: Key {
                slot: 0,
                generation: 0,
            },
        },
        peer: peer.parse().unwrap(),
        source: None,
        traffic_class: 0,
    }
}

fn datagrams(queue: &SendQueue, entry: &Entry) -> Vec<Vec<u8>> {
    (0..entry.datagrams)
        .map(|index| queue.datagram(entry, index).to_vec())
        .collect()
}

#[derive(Debug, Clone)]
struct Submitted {
    peer: bool,
    lent: bool,
    len: usize,
    segment_size: usize,
}

fn submitted() -> impl Strategy<Value = Submitted> {
    let len = prop_oneof![0..5usize, 0..3_000usize, Just(1_200usize), Just(2_400usize)];
    let segment_size = prop_oneof![Just(0usize), Just(1_200usize), 1..1_300usize];
    (any::<bool>(), any::<bool>(), len, segment_size).prop_map(|(peer, lent, len, segment_size)| {
        Submitted {
            peer,
            lent,
            len,
            segment_size,
        }
    })
}

proptest! {
    /// Joining and splitting lose nothing, keep the order, and leave only runs that are legal.
    #[test]
    fn what_is_queued_comes_out_as_the_same_datagrams(script in prop::collection::vec(submitted(), 0..60)) {
        let mut queue = SendQueue::new();
        let mut expected: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        for (round, step) in script.iter().enumerate() {
            let bytes: Vec<u8> = (0..step.len).map(|at| (round * 7 + at) as u8).collect();
            let to = to(if step.peer { "192.0.2.1:1" } else { "192.0.2.2:2" });
            let memory = if step.lent && queue.has_room_to_lend() {
                queue.lend()[..step.len].copy_from_slice(&bytes);
                queue.take_lent(step.len)
            } else {
                Memory::Owned(Buffer::copy_from(&bytes))
            };
            queue.push(to, memory, step.len, step.segment_size, Joining::Allowed);
            expected.extend(crate::datagram::segments(&bytes, step.segment_size)
                .map(|datagram| (to.peer, datagram.to_vec())));
        }
        let mut seen = Vec::new();
        for entry in queue.entries() {
            let parts = queue.parts(entry).collect::<Vec<_>>().concat();
            let singly = datagrams(&queue, entry);
            prop_assert_eq!(&parts, &singly.concat());
            prop_assert!(entry.datagrams <= SEGMENTS_MAX && entry.len <= DATAGRAM_BYTES_MAX);
            prop_assert_eq!(segment_count(entry.len, entry.segment_size), entry.datagrams);
            let (last, full) = singly.split_last().unwrap();
            prop_assert!(full.iter().all(|datagram| datagram.len() == entry.segment_size));
            prop_assert!(last.len() <= entry.segment_size);
            seen.extend(singly.into_iter().map(|datagram| (entry.to.peer, datagram)));
        }
        prop_assert_eq!(seen, expected);
    }
}

#[test]
fn lent_datagrams_of_one_size_become_one_run_in_one_piece() {
    let mut queue = SendQueue::new();
    for byte in 0..10 {
        queue.lend()[..100].fill(byte);
        let memory = queue.take_lent(100);
        queue.push(to("192.0.2.1:1"), memory, 100, 0, Joining::Allowed);
    }
    let [run] = queue.entries() else {
        panic!("one run expected")
    };
    assert_eq!((run.datagrams, run.segment_size), (10, 100));
    assert_eq!(queue.parts(run).count(), 1);
}

#[test]
fn a_longer_datagram_begins_a_new_run_and_a_shorter_one_ends_it() {
    let mut queue = SendQueue::new();
    for len in [100, 100, 40, 40, 41] {
        let memory = Memory::Owned(Buffer::copy_from(&[1; 41].repeat(3)[..len]));
        queue.push(to("192.0.2.1:1"), memory, len, 0, Joining::Allowed);
    }
    let lens: Vec<usize> = queue.entries().iter().map(|entry| entry.len).collect();
    assert_eq!(lens, [240, 40, 41]);
}

#[test]
fn a_run_too_long_for_the_kernel_is_split_into_legal_ones() {
    let mut queue = SendQueue::new();
    let memory = Memory::Owned(Buffer::copy_from(&[7; 100 * 150 + 1]));
    queue.push(
        to("192.0.2.1:1"),
        memory,
        100 * 150 + 1,
        100,
        Joining::Allowed,
    );
    let counts: Vec<usize> = queue
        .entries()
        .iter()
        .map(|entry| entry.datagrams)
        .collect();
    assert_eq!(counts, [64, 64, 23]);
}

#[test]
fn what_is_left_of_a_run_goes_into_a_buffer_of_its_own() {
    let mut queue = SendQueue::new();
    let pool = crate::buffer::BufferPool::new();
    for bytes in [b"aabb", b"ccdd"] {
        let memory = Memory::Owned(Buffer::copy_from(bytes));
        queue.push(to("192.0.2.1:1"), memory, 4, 2, Joining::Allowed);
    }
    let [run] = queue.entries() else {
        panic!("one run expected")
    };
    assert_eq!(queue.to_buffer(run, 0, &pool), *b"aabbccdd");
    assert_eq!(queue.to_buffer(run, 3, &pool), *b"dd");
}

#[test]
fn what_waits_keeps_no_memory_that_is_many_times_its_length() {
    let mut queue = SendQueue::new();
    let pool = crate::buffer::BufferPool::new();
    let mut received = pool.take(65_535);
    received.push_back(&[7; 3_000]);
    let memory = Memory::Owned(received);
    queue.push(to("192.0.2.1:1"), memory, 3_000, 1_000, Joining::Allowed);
    let waiting = queue.to_buffer(&queue.entries()[0], 1, &pool);
    assert_eq!(waiting, [7; 2_000]);
    assert!(waiting.memory() <= 16_384);
}
