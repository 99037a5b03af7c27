//! The contestant turmoil-net, with the scheduler that it brings.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use turmoil_net::Latency;
use turmoil_net::fixture::ClientServer;
use turmoil_net::shim::tokio::net::UdpSocket;

use crate::play::define_play;
use crate::program::{Dice, PAYLOAD_BYTES, PORT, Program, Score};

define_play!(UdpSocket, tokio::time::sleep);

pub(crate) fn run(program: Program, size: u64) -> u64 {
    let score = Arc::new(Score::new(program, size));
    let done = Arc::new(Notify::new());
    let mut fixture = ClientServer::new();
    for host in 0..program.hosts() {
        let address = |host| SocketAddr::new(ip(host), PORT);
        fixture = fixture.server(ip(host), play(host, score.clone(), address, done.clone()));
    }
    let observer = Ipv4Addr::new(172, 16, 0, 1);
    fixture.run(IpAddr::V4(observer), async move {
        let _latency = turmoil_net::rule(Latency::fixed(Duration::from_millis(1)));
        done.notified().await;
    });
    score.resident()
}

fn ip(host: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0001 + host).into()
}
