//! Logs as files: what is written is read, and whatever else there is, is an error.

use stillpoint_sim::{Link, TraceDetail, TraceLog, TraceLogError, World};
use xxhash_rust::xxh3::xxh3_64;

use crate::common::{Command, Echo, client, pair};
use crate::hand::ms;

/// A log with all that a log can hold.
fn log() -> TraceLog {
    let mut world = World::<Echo>::new(4);
    let (asking, answering) = pair(&mut world, &Link::new(ms(1)..=ms(5)).loss(0.2));
    world.record_log(TraceDetail::new().payloads(150).states());
    world.spawn(asking, 0, client("10.0.0.2:7", 20, ms(1)));
    world.spawn(asking, 0, client("[fd00::2]:7", 2, ms(1)));
    world.run_for(ms(50)).unwrap();
    let (task, _) = world
        .tasks::<crate::common::Server>(answering)
        .next()
        .unwrap();
    world.command(answering, task, Command::Panic);
    world.run_for(ms(50)).unwrap_err();
    let log = world.take_log();
    assert!(log.failure().is_some() && log.left_out().payloads > 0);
    log
}

/// The same bytes with a checksum that fits.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let body = bytes.len() - 8;
    let sum = xxh3_64(&bytes[..body]);
    bytes[body..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

#[test]
fn what_is_written_is_read() {
    let log = log();
    assert_eq!(TraceLog::from_bytes(&log.to_bytes()).as_ref(), Ok(&log));
    let log = log.named("calls");
    assert_eq!(TraceLog::from_bytes(&log.to_bytes()), Ok(log));
    let mut nothing = World::<Echo>::new(1);
    let nothing = nothing.take_log();
    assert_eq!(TraceLog::from_bytes(&nothing.to_bytes()), Ok(nothing));
}

#[test]
fn an_event_takes_few_bytes() {
    let mut world = World::<Echo>::new(4);
    let (asking, _) = pair(&mut world, &Link::new(ms(1)..=ms(5)).loss(0.2));
    world.record_trace();
    world.spawn(asking, 0, client("10.0.0.2:7", 5_000, ms(1)));
    world.run_until_idle(ms(60_000)).unwrap();
    let log = world.take_log();
    let each = log.to_bytes().len() as f64 / log.len() as f64;
    assert!(each < 13.0, "{each} bytes");
}

#[test]
fn what_is_cut_off_is_missed() {
    let bytes = log().to_bytes();
    for len in 0..bytes.len() {
        let error = TraceLog::from_bytes(&bytes[..len]).unwrap_err();
        if len < 8 {
            assert_eq!(error, TraceLogError::Foreign);
        } else {
            assert!(matches!(error, TraceLogError::Length { .. }), "{error}");
        }
    }
    let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
    let error = TraceLog::from_bytes(&longer).unwrap_err().to_string();
    let (wanted, there) = (bytes.len(), longer.len());
    assert_eq!(
        error,
        format!("the trace log has {wanted} bytes, and here are {there}")
    );
}

#[test]
fn a_bit_that_has_flipped_is_noticed() {
    let bytes = log().to_bytes();
    for place in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[place] ^= 1 << (place % 8);
        let error = TraceLog::from_bytes(&damaged).unwrap_err();
        let fits = match place {
            0..8 => error == TraceLogError::Foreign,
            8 => matches!(error, TraceLogError::Version { .. }),
            9..17 => matches!(error, TraceLogError::Length { .. }),
            _ => error == TraceLogError::Damaged,
        };
        assert!(fits, "byte {place}: {error}");
    }
}

#[test]
fn whatever_is_written_with_a_good_checksum_is_a_log_or_an_error() {
    let bytes = log().to_bytes();
    let mut errors = 0;
    for place in (17..bytes.len() - 8).step_by(3) {
        for value in [0, 1, 0x7f, 0x80, 0xff, bytes[place].wrapping_add(1)] {
            let mut changed = bytes.clone();
            changed[place] = value;
            match TraceLog::from_bytes(&sealed(changed)) {
                Ok(log) => {
                    // What can be read can be shown, too.
                    for index in 0..log.len() {
                        drop(log.line(index));
                        drop(log.causes(index));
                    }
                    assert_eq!(TraceLog::from_bytes(&log.to_bytes()), Ok(log));
                }
                Err(TraceLogError::Malformed { .. }) => errors += 1,
                Err(other) => panic!("{other}"),
            }
        }
    }
    assert!(errors > 100, "{errors}");
}

#[test]
fn something_else_is_no_log() {
    for foreign in [
        &b""[..],
        b"\x7fELF",
        b"{\"seed\": 1}",
        b"\x89PNG\r\n\x1a\n and more of it",
    ] {
        let error = TraceLog::from_bytes(foreign).unwrap_err();
        assert_eq!(error, TraceLogError::Foreign);
        assert_eq!(
            error.to_string(),
            "this is no trace log: it does not begin as one"
        );
    }
}
