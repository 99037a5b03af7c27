//! The set by itself: what is under way and what is lent, and kernels that do not do all of it.
#![allow(
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "these are tests"
)]

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;

use super::*;
use crate::backend::readiness::failed as backend_failed;
use crate::backend::sockets::SocketBackend;
use crate::backend::{Backend, BackendConfig, BackendKind};
use crate::id::StreamId;
use crate::net::NetworkError;
use crate::slots::Key;

/// All but the waker's.
const NOTHING_UNDER_WAY: usize = 1;

#[test]
fn operations_end_with_what_they_are_for() {
    let pool = BufferPool::new();
    let mut set = UringSet::new(&all_by_itself(), &pool).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    for generation in 0..100 {
        let key = |slot| Key { slot, generation };
        let ids: [(ResourceId, BorrowedFd<'_>); 3] = [
            (socket(key(0)).into(), datagrams.as_fd()),
            (listener_id(key(1)).into(), listener.as_fd()),
            (stream_id(key(2)).into(), stream.as_fd()),
        ];
        for (id, fd) in ids {
            set.add(id, fd, Interest::Read).unwrap();
        }
        datagrams
            .send_to(b"x", datagrams.local_addr().unwrap())
            .unwrap();
        let ready = wait(&mut set);
        assert!(ready.iter().any(|(id, _)| *id == ids[0].0), "{ready:?}");
        assert!(set.ring.under_way() > NOTHING_UNDER_WAY);
        for (id, fd) in ids {
            set.change(id, fd, Interest::ReadAndWrite);
            set.change(id, fd, Interest::Nothing);
            set.change(id, fd, Interest::Read);
            set.remove(id, fd);
        }
        set.settling = Settling::Yes; // Those that were changed have still to tell of their end.
        poll(&mut set);
        assert_eq!(set.ring.under_way(), NOTHING_UNDER_WAY);
        assert_eq!(set.take_undelivered(), 1, "the datagram is nobody's");
    }
    assert_eq!(pool.live(), set.buffers_lent());
    drop(set);
    assert_eq!(pool.live(), 0);
}

/// The kernel holds on to a descriptor, and so to its port and its connection, until then.
#[test]
fn what_is_removed_has_ended_before_it_is_closed() {
    let mut set = UringSet::new(&all_by_itself(), &BufferPool::new()).unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _taken_in = listener.accept().unwrap();
    let key = |slot| Key {
        slot,
        generation: 0,
    };
    let ids: [(ResourceId, BorrowedFd<'_>); 3] = [
        (socket(key(0)).into(), datagrams.as_fd()),
        (listener_id(key(1)).into(), listener.as_fd()),
        (stream_id(key(2)).into(), stream.as_fd()),
    ];
    for (id, fd) in ids {
        for interest in [Interest::Read, Interest::Write, Interest::Errors] {
            set.add(id, fd, interest).unwrap();
            poll(&mut set);
            set.remove(id, fd);
            assert_eq!(
                set.ring.under_way(),
                NOTHING_UNDER_WAY,
                "{id}, {interest:?}"
            );
        }
    }
}

#[test]
fn where_buffers_run_out_the_socket_is_asked_and_then_receives_by_itself_again() {
    let mut config = IoUringConfig::new();
    config.buffers = 2;
    let pool = BufferPool::new();
    let mut set = UringSet::new(&config, &pool).unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.set_nonblocking(true).unwrap();
    let to = receiver.local_addr().unwrap();
    let id = socket(Key {
        slot: 7,
        generation: 3,
    });
    set.add(id.into(), receiver.as_fd(), Interest::Read)
        .unwrap();
    for round in 0..10 {
        for byte in 0..5 {
            receiver.send_to(&[byte], to).unwrap();
        }
        assert_eq!(wait(&mut set).len(), 1, "round {round}");
        for byte in 0..2 {
            let Taken::Message(_, payload) = set.take_received(id) else {
                panic!("datagram {byte} of round {round}");
            };
            assert_eq!(payload, [byte]);
        }
        assert!(matches!(set.take_received(id), Taken::Ask));
        for byte in 2..5 {
            let mut bytes = [9; 1];
            receiver.recv(&mut bytes).unwrap();
            assert_eq!(bytes, [byte]);
        }
        set.asked(id.into());
        assert!(matches!(set.take_received(id), Taken::Nothing));
    }
}

#[test]
fn who_was_taken_in_before_a_pause_is_told_of_behind_it() {
    let mut set = UringSet::new(&all_by_itself(), &BufferPool::new()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let id = listener_id(Key {
        slot: 1,
        generation: 0,
    });
    set.add(id.into(), listener.as_fd(), Interest::Read)
        .unwrap();
    let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut clients = vec![connect(), connect()];
    assert_eq!(wait(&mut set).len(), 1);
    set.change(id.into(), listener.as_fd(), Interest::Nothing);
    clients.push(connect());
    poll(&mut set);
    set.change(id.into(), listener.as_fd(), Interest::Read);
    assert_eq!(wait(&mut set).len(), 1, "they are told of");
    let mut taken = 0;
    while taken < clients.len() {
        match set.take_accepted(id) {
            Accepted::Connection(_) => taken += 1,
            Accepted::Nothing => drop(wait(&mut set)),
            Accepted::Failed(error) => panic!("{error:?}"),
            Accepted::Ask => panic!("this kernel takes nobody in by itself"),
        }
    }
    set.remove(id.into(), listener.as_fd());
    assert!(matches!(set.take_accepted(id), Accepted::Nothing));
}

#[test]
fn long_datagrams_are_handed_on_where_they_are() {
    let pool = BufferPool::new();
    let mut set = UringSet::new(&IoUringConfig::new(), &pool).unwrap();
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = receiver.local_addr().unwrap();
    let id = socket(Key {
        slot: 0,
        generation: 0,
    });
    set.add(id.into(), receiver.as_fd(), Interest::Read)
        .unwrap();
    for (len, in_place) in [
        (100, false),
        (16_000, false),
        (17_000, true),
        (65_507, true),
    ] {
        let sent: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
        receiver.send_to(&sent, to).unwrap();
        wait(&mut set);
        let Taken::Message(received, payload) = set.take_received(id) else {
            panic!("{len} bytes");
        };
        assert_eq!((received.len, received.peer), (len, Some(to)));
        assert!(payload == sent, "{len} bytes");
        assert_eq!(payload.memory() > 60_000, in_place, "{len} bytes");
        assert_eq!(pool.live(), set.buffers_lent() + 1);
    }
}

/// What a worker without the right to a ring gets: the error says what can be done, and another
/// backend that was named takes its place.
#[test]
fn where_the_ring_is_refused_the_error_says_what_to_do_and_another_is_taken() {
    for (errno, advice, error) in [
        (
            libc::EPERM,
            "kernel.io_uring_disabled",
            NetworkError::PermissionDenied,
        ),
        (
            libc::ENOSYS,
            "choose another backend",
            NetworkError::Other(libc::ENOSYS),
        ),
        (libc::ENOMEM, "ulimit -l", NetworkError::Other(libc::ENOMEM)),
    ] {
        std::thread::scope(|scope| {
            scope.spawn(|| {
                refuse_rings(errno);
                let config = BackendConfig::new(BufferPool::new());
                let refused = SocketBackend::new(BackendKind::IoUring, &config).unwrap_err();
                assert!(refused.operation.contains(advice), "{refused}");
                assert_eq!(refused.error, error);
                let (best, other) = (BackendKind::IoUring, BackendKind::Poll);
                let backend = SocketBackend::first_of(best, &[other], &config).unwrap();
                assert_eq!(backend.kind(), BackendKind::Poll);
                assert!(backend.capabilities().streams);
                let alone = SocketBackend::first_of(best, &[], &config);
                assert_eq!(alone.unwrap_err(), refused);
            });
        });
    }
}

#[test]
fn a_failure_outside_of_a_wait_is_told_by_the_next() {
    let mut set = UringSet::new(&IoUringConfig::new(), &BufferPool::new()).unwrap();
    let error = backend_failed("io_uring_enter", Errno(libc::EIO));
    set.note(Err(error));
    let timeout = Timeout::After(Duration::ZERO);
    assert_eq!(set.wait(timeout, &mut Vec::new()), Err(error));
}

fn all_by_itself() -> IoUringConfig {
    let mut config = IoUringConfig::new();
    config.receive_bytes = IoUringReceive::ByItself;
    config.accept = IoUringReceive::ByItself;
    config
}

/// Waits until something is ready.
fn wait(set: &mut UringSet) -> Vec<(ResourceId, Ready)> {
    let mut ready = Vec::new();
    while ready.is_empty() {
        let timeout = Timeout::After(Duration::from_secs(20));
        set.wait(timeout, &mut ready).unwrap();
    }
    ready
}

/// Gathers what there is.
fn poll(set: &mut UringSet) {
    let timeout = Timeout::After(Duration::ZERO);
    set.wait(timeout, &mut Vec::new()).unwrap();
}

const fn socket(key: Key) -> SocketId {
    SocketId { worker: 0, key }
}

const fn listener_id(key: Key) -> ListenerId {
    ListenerId { worker: 0, key }
}

const fn stream_id(key: Key) -> StreamId {
    StreamId { worker: 0, key }
}

/// Has the kernel refuse new rings to this thread, with this error, as containers do it.
fn refuse_rings(errno: i32) {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const SKIP_IF_OTHER: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let line = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
    let refusal = libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
    let mut program = [
        line(LOAD, 0, 0), // The call's number.
        line(SKIP_IF_OTHER, 1, libc::SYS_io_uring_setup as u32),
        line(RETURN, 0, refusal),
        line(RETURN, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: no pointers are passed.
    let set = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    assert_eq!(set, 0, "prctl");
    let filter = &raw const filter;
    // SAFETY: it points at a filter, and that at its lines, all of which live during the call. It
    // is a matter of this thread alone.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, filter) };
    assert_eq!(set, 0, "seccomp");
}
