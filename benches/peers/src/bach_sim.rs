//! The contestant bach.

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bach::environment::default::Runtime;
use bach::environment::net::queue;
use bach::ext::*;
use bach::net::UdpSocket;
use tokio::sync::Notify;

use crate::play::define_play;
use crate::program::{Dice, PAYLOAD_BYTES, PORT, Program, Score};

define_play!(UdpSocket, bach::time::sleep);

pub(crate) fn run(program: Program, size: u64) -> u64 {
    let score = Arc::new(Score::new(program, size));
    let done = Arc::new(Notify::new());
    let queues = queue::Fixed::default().with_net_latency(Duration::from_millis(1));
    let mut runtime = Runtime::new()
        .with_seed(1)
        .with_net_queues(Some(Box::new(queues)));
    runtime.run(|| {
        // Hosts have names here, and get their addresses when they are first asked for.
        let known = Rc::new(RefCell::new(vec![None; program.hosts() as usize]));
        for host in 0..program.hosts() {
            let known = known.clone();
            let address = move |host: u32| look_up(&known, host);
            play(host, score.clone(), address, done.clone())
                .group(name(host))
                .spawn();
        }
        let done = done.clone();
        async move { done.notified().await }
            .group("observer")
            .primary()
            .spawn();
    });
    score.resident()
}

fn look_up(known: &RefCell<Vec<Option<SocketAddr>>>, host: u32) -> SocketAddr {
    let mut known = known.borrow_mut();
    *known[host as usize].get_or_insert_with(|| {
        let found = bach::net::try_lookup((name(host).as_str(), PORT));
        found.expect("all hosts have names")
    })
}

fn name(host: u32) -> String {
    format!("host-{host}")
}
