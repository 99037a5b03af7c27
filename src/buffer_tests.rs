//! Buffers against a `Vec<u8>`, and what their pool promises.

use super::*;
use proptest::prelude::*;

#[test]
fn push_front_within_headroom_does_not_move_the_bytes() {
    let pool = BufferPool::new();
    let mut buffer = pool.copy_from(b"payload");
    let before = buffer.as_ptr();
    buffer.push_front(&[1; Buffer::HEADROOM]);
    assert_eq!(buffer[Buffer::HEADROOM..].as_ptr(), before);
    assert_eq!(buffer.headroom(), 0);
}

#[test]
fn push_front_past_part_of_the_headroom_keeps_every_byte() {
    let pool = BufferPool::new();
    let mut buffer = pool.copy_from(b"payload");
    buffer.push_front(&[1; 10]); // Part of the headroom is used up.
    buffer.push_front(&[2; 100]); // More than what is left of it.
    assert_eq!(buffer[..100], [2; 100]);
    assert_eq!(buffer[100..110], [1; 10]);
    assert_eq!(buffer[110..], *b"payload");
}

#[test]
fn a_range_outside_the_bytes_gives_none() {
    let buffer = Buffer::copy_from(b"abc");
    #[expect(clippy::reversed_empty_ranges, reason = "that is the case under test")]
    let reversed = 3..2;
    assert!(buffer.slice(reversed).is_none());
    assert!(buffer.slice(..4).is_none());
    assert!(buffer.slice(..=usize::MAX).is_none());
    assert_eq!(buffer.slice(3..).unwrap(), *b"");
}

#[test]
fn writing_to_a_clone_leaves_the_other_alone() {
    let pool = BufferPool::new();
    let first = pool.copy_from(b"shared");
    let mut second = first.clone();
    second.make_mut()[0] = b'S';
    second.push_back(b"!");
    assert_eq!((&first[..], &second[..]), (&b"shared"[..], &b"Shared!"[..]));
}

#[test]
fn a_shared_buffer_cannot_be_received_into() {
    let pool = BufferPool::new();
    let mut buffer = pool.take(100);
    let other = buffer.clone();
    assert!(buffer.unfilled().is_empty());
    drop(other);
    assert!(buffer.unfilled().len() >= 100);
}

#[test]
fn memory_goes_back_to_its_pool_with_the_last_clone() {
    let pool = BufferPool::new();
    let buffer = pool.copy_from(b"x");
    let memory = buffer.as_ptr();
    let slice = buffer.slice(..).unwrap();
    drop(buffer);
    assert_eq!((pool.live(), pool.free()), (1, 0));
    drop(slice);
    assert_eq!((pool.live(), pool.free()), (0, 1));
    assert_eq!(
        pool.copy_from(b"y").as_ptr(),
        memory,
        "the next buffer uses it again"
    );
}

#[test]
fn clones_dropped_on_two_threads_give_the_memory_back_once() {
    let pool = BufferPool::new();
    for _ in 0..2_000 {
        let buffer = pool.copy_from(b"x");
        let other = buffer.clone();
        std::thread::scope(|scope| {
            scope.spawn(move || drop(other));
            drop(buffer);
        });
        assert_eq!((pool.live(), pool.free()), (0, 1));
    }
}

#[test]
fn a_buffer_outlives_its_pool() {
    let pool = BufferPool::new();
    let mut buffer = pool.copy_from(b"x");
    drop(pool);
    buffer.push_front(&[0; 1_000]);
    assert_eq!(buffer.len(), 1_001);
}

#[test]
fn a_pool_keeps_no_more_free_memory_than_it_may() {
    let pool = BufferPool::with_free_bytes_max(2 * SIZES[0]);
    let buffers: Vec<_> = (0..5).map(|_| pool.copy_from(b"x")).collect();
    drop(buffers);
    assert_eq!((pool.live(), pool.free()), (0, 2));
}

#[test]
fn a_small_datagram_does_not_pin_a_large_block() {
    let pool = BufferPool::new();
    assert!(pool.copy_from(&[0; 200]).memory() <= 512);
    assert!(pool.take(65_535).tailroom() >= 65_535);
}

#[derive(Debug, Clone)]
enum Step {
    PushFront(Vec<u8>),
    PushBack(Vec<u8>),
    PopFront(usize),
    Truncate(usize),
    Slice(usize, usize),
    Share,
    Unshare,
    Write(u8),
    Receive(Vec<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..150);
    prop_oneof![
        bytes().prop_map(Step::PushFront),
        bytes().prop_map(Step::PushBack),
        (0..200usize).prop_map(Step::PopFront),
        (0..400usize).prop_map(Step::Truncate),
        (0..100usize, 0..300usize).prop_map(|(from, to)| Step::Slice(from, to)),
        Just(Step::Share),
        Just(Step::Unshare),
        any::<u8>().prop_map(Step::Write),
        bytes().prop_map(Step::Receive),
    ]
}

proptest! {
    /// Whatever is done to a buffer, it holds what a `Vec<u8>` would, and its clones keep theirs.
    #[test]
    fn a_buffer_is_a_vec_of_bytes(pooled: bool, script in prop::collection::vec(step(), 0..60)) {
        let pool = BufferPool::new();
        let mut buffer = if pooled { pool.take(0) } else { Buffer::empty() };
        let mut model: Vec<u8> = Vec::new();
        let mut shares: Vec<(Buffer, Vec<u8>)> = Vec::new();
        for step in script {
            match step {
                Step::PushFront(bytes) => {
                    buffer.push_front(&bytes);
                    model.splice(0..0, bytes);
                }
                Step::PushBack(bytes) => {
                    buffer.push_back(&bytes);
                    model.extend(bytes);
                }
                Step::PopFront(count) => {
                    prop_assert_eq!(buffer.pop_front(count).is_some(), count <= model.len());
                    if count <= model.len() {
                        model.drain(..count);
                    }
                }
                Step::Truncate(len) => {
                    buffer.truncate(len);
                    model.truncate(len);
                }
                Step::Slice(from, to) => {
                    let slice = buffer.slice(from..to);
                    prop_assert_eq!(slice.as_deref(), model.get(from..to));
                }
                Step::Share => shares.push((buffer.clone(), model.clone())),
                Step::Unshare => drop(shares.pop()),
                Step::Write(value) => {
                    buffer.make_mut().fill(value);
                    model.fill(value);
                }
                Step::Receive(bytes) => {
                    let room = buffer.unfilled();
                    let count = bytes.len().min(room.len());
                    room[..count].copy_from_slice(&bytes[..count]);
                    buffer.commit(count);
                    model.extend(&bytes[..count]);
                }
            }
            prop_assert_eq!(&buffer[..], &model[..]);
            for (share, bytes) in &shares {
                prop_assert_eq!(&share[..], &bytes[..]);
            }
        }
        drop((buffer, shares));
        prop_assert_eq!(pool.live(), 0);
    }
}
