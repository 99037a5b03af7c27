//! What third-party code is told that asks the system: the simulation's answers with the shim on,
//! the real ones without.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "the tests play code that asks the system"
)]
#![cfg(all(
    target_os = "linux",
    any(target_arch = "x86_64", target_arch = "aarch64")
))]

use core::ffi::c_void;
use core::hash::BuildHasher;
use core::time::Duration;
use std::collections::HashMap;
use std::hash::RandomState;
use std::thread;
use std::time::{Instant, SystemTime};

use ring::rand::SecureRandom;
use stillpoint::{Entity, Entropy, Timestamp};
use stillpoint_shim::{MONOTONIC_EPOCH, SharedClock, Shim, WALL_EPOCH, fresh_thread};

mod calls;

#[test]
fn chance_follows_from_the_seed_with_the_shim_and_from_nothing_without() {
    for (name, ask) in calls::CHANCE {
        let with = |seed| {
            fresh_thread(move || {
                let _shim = shim(seed);
                ask()
            })
        };
        assert_eq!(with(1), with(1), "{name} does not follow from the seed");
        assert_ne!(with(1), with(2), "the seed decides nothing for {name}");
        let without = || fresh_thread(ask);
        assert_ne!(without(), without(), "{name} without the shim");
        assert_ne!(with(1), without(), "{name} without the shim");
    }
}

#[test]
fn all_who_ask_for_chance_at_the_same_moment_are_told_the_same() {
    // Whichever way they ask, it is the first draw of the same turn.
    let first: Vec<_> = calls::DIRECT
        .iter()
        .map(|(name, ask)| {
            let _shim = shim(7);
            (name, ask())
        })
        .collect();
    for (name, told) in &first {
        assert_eq!(*told, first[0].1, "{name} asks somewhere else");
    }
}

#[test]
fn clocks_follow_the_virtual_time_with_the_shim() {
    for (name, epoch, ask) in calls::CLOCKS {
        let clock = SharedClock::at(Timestamp::EPOCH);
        let shim = Shim::on(&Entropy::from_seed(1), clock.clone());
        assert_eq!(ask(), epoch, "{name} at the epoch");
        assert_eq!(ask(), epoch, "{name} went on by itself");
        clock.set(Timestamp::from_nanos(5_000_000_000));
        assert_eq!(ask(), epoch + Duration::from_secs(5), "{name} later");
        drop(shim);
        assert_ne!(
            ask(),
            epoch + Duration::from_secs(5),
            "{name} without the shim"
        );
    }
}

#[test]
fn clocks_go_on_without_the_shim() {
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    for (name, epoch, ask) in calls::CLOCKS {
        let (first, second) = (ask(), ask());
        assert!(first <= second, "{name} runs backwards");
        if epoch == WALL_EPOCH {
            // Each has its own resolution, of a second at most.
            let apart = first.abs_diff(*wall.as_ref().unwrap());
            assert!(apart < Duration::from_secs(60), "{name} says {first:?}");
        }
    }
    let before = Instant::now();
    while Instant::now() == before {}
    assert!(before.elapsed() < Duration::from_secs(60));
}

#[test]
fn an_instant_can_be_reckoned_with() {
    let clock = SharedClock::at(Timestamp::EPOCH);
    let _shim = Shim::on(&Entropy::from_seed(1), clock.clone());
    let before = Instant::now();
    assert!(before.checked_sub(Duration::from_secs(86_400)).is_some());
    clock.set(Timestamp::from_nanos(1_234_567_891));
    assert_eq!(before.elapsed(), Duration::from_nanos(1_234_567_891));
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    assert_eq!(
        wall.unwrap(),
        WALL_EPOCH + Duration::from_nanos(1_234_567_891)
    );
    assert_eq!(calls::monotonic(), MONOTONIC_EPOCH + before.elapsed());
}

#[test]
fn other_threads_are_told_the_truth() {
    let _shim = shim(1);
    let here = (calls::random(), calls::realtime());
    let there = thread::spawn(|| (calls::random(), calls::realtime()));
    let there = there.join().unwrap();
    assert_eq!(here.1, WALL_EPOCH);
    assert_ne!(there.1, WALL_EPOCH);
    assert_ne!(here.0, there.0);
    let again = shim(1);
    assert_eq!(here, (calls::random(), calls::realtime()));
    drop(again);
}

#[test]
fn a_shim_within_a_shim_ends_with_the_outer_one_as_it_was() {
    let draws = |inner: bool| {
        let _outer = shim(1);
        let first = calls::random();
        if inner {
            let _inner = shim(2);
            calls::random();
        }
        (first, calls::random())
    };
    assert_eq!(draws(false), draws(true));
}

#[test]
fn what_one_turn_asks_for_changes_nothing_for_the_next() {
    let later = |draws: usize| {
        let shim = shim(3);
        shim.turn(Entity::new(1));
        for _ in 0..draws {
            calls::random();
        }
        shim.turn(Entity::new(2));
        calls::random()
    };
    assert_eq!(later(0), later(5));
}

#[test]
fn the_first_hash_table_of_a_thread_takes_nothing_from_a_turn() {
    fresh_thread(|| {
        let run = || {
            let shim = shim(3);
            shim.turn(Entity::new(1));
            let table: HashMap<u8, u8> = HashMap::new();
            (calls::random(), table.len())
        };
        assert_eq!(run(), run());
    });
}

#[test]
fn a_hash_table_has_one_order_for_each_seed() {
    let order = |seed| {
        fresh_thread(move || {
            let _shim = shim(seed);
            let table: HashMap<u32, ()> = (0..100).map(|key| (key, ())).collect();
            table.into_keys().collect::<Vec<u32>>()
        })
    };
    assert_eq!(order(1), order(1));
    assert_ne!(order(1), order(2));
    let hash = || fresh_thread(|| RandomState::new().hash_one(1));
    assert_ne!(hash(), hash());
}

#[test]
fn ring_makes_the_same_keys() {
    let key = |seed| {
        let _shim = shim(seed);
        let random = ring::rand::SystemRandom::new();
        let algorithm = &ring::agreement::X25519;
        let private = ring::agreement::EphemeralPrivateKey::generate(algorithm, &random).unwrap();
        let mut nonce = [0; 12];
        random.fill(&mut nonce).unwrap();
        (
            private.compute_public_key().unwrap().as_ref().to_vec(),
            nonce,
        )
    };
    assert_eq!(key(1), key(1));
    assert_ne!(key(1), key(2));
}

#[test]
fn what_the_kernel_refuses_is_refused() {
    let told = || {
        let nowhere: *mut c_void = core::ptr::null_mut();
        // SAFETY: refused, without a look at memory.
        let clock = unsafe { libc::clock_gettime(99_999, nowhere.cast()) };
        // SAFETY: refused, since there is no memory there.
        let random = unsafe { libc::getrandom(nowhere, 1, 0) };
        // SAFETY: as before; the flags are unknown, too.
        let flags = unsafe { libc::getrandom(nowhere, 1, 0xffff) };
        // SAFETY: refused, since it is too long.
        let entropy = unsafe { libc::getentropy(nowhere, 257) };
        // SAFETY: no file has that number.
        let closed = unsafe { libc::syscall(libc::SYS_close, -1) };
        [
            clock.into(),
            random as i64,
            flags as i64,
            entropy.into(),
            closed,
        ]
    };
    let error = || std::io::Error::last_os_error().raw_os_error();
    assert_eq!((told(), error()), ([-1; 5], Some(libc::EBADF)));
    let _shim = shim(1);
    assert_eq!((told(), error()), ([-1; 5], Some(libc::EBADF)));
}

#[test]
fn other_system_calls_go_through_with_all_their_arguments() {
    let _shim = shim(1);
    // SAFETY: it has no preconditions.
    let process = unsafe { libc::syscall(libc::SYS_getpid) };
    assert_eq!(process, i64::from(std::process::id()));
    // A call of six: memory is mapped at no particular place, from no file, from its start.
    // SAFETY: it makes new memory and touches none.
    let memory = unsafe {
        libc::syscall(
            libc::SYS_mmap,
            0_usize,
            4_096_usize,
            libc::PROT_READ,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
            -1,
            0_usize,
        )
    };
    assert!(memory > 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the memory is ours, and nobody has a reference to it.
    let unmapped = unsafe { libc::syscall(libc::SYS_munmap, memory, 4_096_usize) };
    assert_eq!(unmapped, 0);
}

fn shim(seed: u64) -> Shim {
    Shim::on(&Entropy::from_seed(seed), SharedClock::default())
}
