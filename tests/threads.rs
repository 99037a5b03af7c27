//! No thread and no file descriptor outlives its controller. A program of its own, since it counts
//! those of the whole process.
#![allow(clippy::unwrap_used, reason = "these are tests")]
#![cfg(all(feature = "poll", target_os = "linux"))]

mod support;

use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;

use stillpoint::backend::BackendKind;
use stillpoint::{Token, UdpOpen};
use support::{Kind, report, start_over};

fn entries(of: &str) -> usize {
    std::fs::read_dir(of).unwrap().count()
}

#[test]
fn controllers_dropped_without_a_shutdown_leave_nothing_behind() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (threads, files) = (entries("/proc/self/task"), entries("/proc/self/fd"));
    for round in 0..30 {
        let backend = BackendKind::ALL[round % BackendKind::ALL.len()];
        let mut controller = start_over(backend, 2);
        let open = UdpOpen::new(Token(0), "127.0.0.1:0".parse().unwrap());
        controller.spawn(0, Kind::Socket(open)).unwrap();
        report(&mut controller);
        controller
            .spawn(1, Kind::Counted(Arc::clone(&alive)))
            .unwrap();
        drop(controller);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
        // The counts after a join are exact: a joined thread is gone.
        assert_eq!(
            (entries("/proc/self/task"), entries("/proc/self/fd")),
            (threads, files)
        );
    }
}
