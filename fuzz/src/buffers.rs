//! Bytes become operations on buffers that share memory; each must have what a vector of its own
//! would have, whatever is done to those that share with it, and the pool must count them.

use stillpoint::{Buffer, BufferPool};

use crate::Script;

/// Buffers at a time.
const BUFFERS_MAX: usize = 8;
/// Bytes of one buffer.
const BYTES_MAX: usize = 4_096;

/// Runs the script.
pub fn run_bytes(bytes: &[u8]) {
    let mut script = Script::new(bytes);
    let pool = BufferPool::with_free_bytes_max(script.word());
    let mut buffers: Vec<(Buffer, Vec<u8>)> = Vec::new();
    while !script.is_over() {
        step(&mut script, &pool, &mut buffers);
        for (buffer, model) in &buffers {
            assert_eq!(&buffer[..], &model[..]);
            assert_eq!(
                (buffer.len(), buffer.is_empty()),
                (model.len(), model.is_empty())
            );
            let room = buffer.headroom() + buffer.len() + buffer.tailroom();
            assert!(
                room <= buffer.memory().max(room),
                "no more room than memory"
            );
        }
        assert!(pool.live() <= buffers.len(), "no more memory than buffers");
    }
    drop(buffers);
    assert_eq!(pool.live(), 0, "memory comes back");
}

fn step(script: &mut Script<'_>, pool: &BufferPool, buffers: &mut Vec<(Buffer, Vec<u8>)>) {
    let (what, which) = (script.byte() % 12, usize::from(script.byte()));
    if buffers.is_empty() || (what < 3 && buffers.len() < BUFFERS_MAX) {
        let content = script.take(which);
        let buffer = match what {
            0 => Buffer::copy_from(content),
            1 => pool.copy_from(content),
            _ => {
                let mut buffer = pool.take(content.len() + which);
                buffer.push_back(content);
                buffer
            }
        };
        return buffers.push((buffer, content.to_vec()));
    }
    let count = buffers.len();
    let (buffer, model) = &mut buffers[which % count];
    match what {
        3 | 4 => {
            let pushed = script.take(which);
            if model.len() + pushed.len() <= BYTES_MAX && what == 3 {
                buffer.push_back(pushed);
                model.extend_from_slice(pushed);
            } else if model.len() + pushed.len() <= BYTES_MAX {
                buffer.push_front(pushed);
                model.splice(..0, pushed.iter().copied());
            }
        }
        5 => {
            let popped = script.word() % (BYTES_MAX + 1);
            let fits = popped <= model.len();
            assert_eq!(buffer.pop_front(popped).is_some(), fits);
            if fits {
                model.drain(..popped);
            }
        }
        6 => {
            let len = script.word();
            buffer.truncate(len);
            model.truncate(len);
        }
        7 => {
            let (from, to) = (script.word(), script.word());
            let slice = buffer.slice(from.min(to)..from.max(to));
            let wanted = model.get(from.min(to)..from.max(to)).map(<[u8]>::to_vec);
            assert_eq!(slice.as_deref(), wanted.as_deref());
            if let (Some(slice), Some(wanted), true) = (slice, wanted, count < BUFFERS_MAX) {
                buffers.push((slice, wanted));
            }
        }
        8 => {
            for (at, byte) in buffer.make_mut().iter_mut().enumerate() {
                *byte = byte.wrapping_mul(3) ^ at.to_le_bytes()[0];
            }
            for (at, byte) in model.iter_mut().enumerate() {
                *byte = byte.wrapping_mul(3) ^ at.to_le_bytes()[0];
            }
        }
        9 => {
            let wanted = script.byte();
            let room = buffer.unfilled();
            let filled = room.len().min(usize::from(wanted));
            room[..filled].fill(wanted);
            buffer.commit(filled);
            model.extend(core::iter::repeat_n(wanted, filled));
        }
        10 if count < BUFFERS_MAX => {
            let (copy, same) = (buffer.clone(), model.clone());
            buffers.push((copy, same));
        }
        _ => {
            buffers.swap_remove(which % count);
        }
    }
}
