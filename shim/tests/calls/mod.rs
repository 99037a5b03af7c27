//! The ways to ask the system.
#![allow(unreachable_pub, reason = "a module of a test program")]

use core::hash::BuildHasher;
use core::time::Duration;
use std::hash::RandomState;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::rand::SecureRandom;
use stillpoint_shim::{MONOTONIC_EPOCH, WALL_EPOCH};

/// Asks for sixteen bytes.
type Chance = (&'static str, fn() -> [u8; 16]);

/// A clock, what it says at the epoch, and how it is asked.
type Clock = (&'static str, Duration, fn() -> Duration);

/// Ways to ask for chance that keep nothing.
pub const DIRECT: [Chance; 7] = [
    ("getrandom(2)", random),
    ("getentropy(3)", || {
        filled(|bytes| {
            // SAFETY: the memory is valid for as many bytes.
            let answer = unsafe { libc::getentropy(bytes.as_mut_ptr().cast(), 16) };
            assert_eq!(answer, 0);
        })
    }),
    ("syscall(SYS_getrandom)", || {
        filled(|bytes| {
            // SAFETY: the memory is valid for as many bytes.
            let got = unsafe { libc::syscall(libc::SYS_getrandom, bytes.as_mut_ptr(), 16, 0) };
            assert_eq!(got, 16);
        })
    }),
    ("getrandom 0.2", || {
        filled(|bytes| getrandom_02::getrandom(bytes).unwrap())
    }),
    ("getrandom 0.3", || {
        filled(|bytes| getrandom_03::fill(bytes).unwrap())
    }),
    ("getrandom 0.4", || {
        filled(|bytes| getrandom_04::fill(bytes).unwrap())
    }),
    ("ring's SystemRandom", || {
        filled(|bytes| ring::rand::SystemRandom::new().fill(bytes).unwrap())
    }),
];

/// All ways to ask for chance. Those that keep something for their thread are asked once in it.
pub const CHANCE: [Chance; 8] = [
    DIRECT[0],
    DIRECT[1],
    DIRECT[2],
    DIRECT[3],
    DIRECT[4],
    DIRECT[5],
    DIRECT[6],
    ("std's RandomState", || {
        let keys = RandomState::new();
        let hashes = [keys.hash_one(1), keys.hash_one(2)];
        u128::from(hashes[0])
            .wrapping_shl(64)
            .wrapping_add(hashes[1].into())
            .to_le_bytes()
    }),
];

/// Ways to ask for the time.
pub const CLOCKS: [Clock; 8] = [
    ("SystemTime::now", WALL_EPOCH, || {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap()
    }),
    ("clock_gettime(CLOCK_REALTIME)", WALL_EPOCH, realtime),
    ("clock_gettime(CLOCK_REALTIME_COARSE)", WALL_EPOCH, || {
        clock(libc::CLOCK_REALTIME_COARSE)
    }),
    ("gettimeofday", WALL_EPOCH, || {
        let mut told = libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        };
        // SAFETY: the place is ours, and there may be no zone.
        let answer = unsafe { libc::gettimeofday(&raw mut told, core::ptr::null_mut()) };
        assert_eq!(answer, 0);
        Duration::new(
            told.tv_sec.try_into().unwrap(),
            u32::try_from(told.tv_usec).unwrap() * 1_000,
        )
    }),
    ("time", WALL_EPOCH, || {
        // SAFETY: there may be no place.
        let told = unsafe { libc::time(core::ptr::null_mut()) };
        Duration::from_secs(told.try_into().unwrap())
    }),
    ("clock_gettime(CLOCK_MONOTONIC)", MONOTONIC_EPOCH, monotonic),
    ("clock_gettime(CLOCK_BOOTTIME)", MONOTONIC_EPOCH, || {
        clock(libc::CLOCK_BOOTTIME)
    }),
    ("syscall(SYS_clock_gettime)", MONOTONIC_EPOCH, || {
        told(|place| {
            // SAFETY: the place is valid for the write.
            let answer =
                unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_MONOTONIC, place) };
            assert_eq!(answer, 0);
        })
    }),
];

pub fn random() -> [u8; 16] {
    filled(|bytes| {
        // SAFETY: the memory is valid for as many bytes.
        let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), 16, 0) };
        assert_eq!(got, 16);
    })
}

pub fn realtime() -> Duration {
    clock(libc::CLOCK_REALTIME)
}

pub fn monotonic() -> Duration {
    clock(libc::CLOCK_MONOTONIC)
}

fn clock(which: libc::clockid_t) -> Duration {
    told(|place| {
        // SAFETY: the place is valid for the write.
        assert_eq!(unsafe { libc::clock_gettime(which, place) }, 0);
    })
}

fn told(ask: impl FnOnce(*mut libc::timespec)) -> Duration {
    let mut told = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    ask(&raw mut told);
    Duration::new(
        told.tv_sec.try_into().unwrap(),
        told.tv_nsec.try_into().unwrap(),
    )
}

fn filled(fill: impl FnOnce(&mut [u8])) -> [u8; 16] {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    assert_ne!(bytes, [0; 16]);
    bytes
}
