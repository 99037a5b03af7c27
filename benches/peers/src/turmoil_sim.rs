//! The contestant turmoil.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use turmoil::net::UdpSocket;

use crate::play::define_play;
use crate::program::{Dice, PAYLOAD_BYTES, PORT, Program, Score};

define_play!(UdpSocket, tokio::time::sleep);

pub(crate) fn run(program: Program, size: u64) -> u64 {
    let score = Arc::new(Score::new(program, size));
    let ms = Duration::from_millis;
    let mut sim = turmoil::Builder::new()
        .simulation_duration(Duration::from_secs(1 << 40))
        .tick_duration(ms(1))
        .min_message_latency(ms(1))
        .max_message_latency(ms(2))
        .fail_rate(0.0)
        .udp_capacity(1_024)
        .rng_seed(1)
        .build();
    for host in 0..program.hosts() {
        let score = score.clone();
        sim.host(ip(host), move || {
            let score = score.clone();
            async move {
                let address = |host| SocketAddr::new(ip(host), PORT);
                play(host, score, address, Arc::new(Notify::new())).await;
                Ok(())
            }
        });
    }
    while !score.is_done() {
        let _over = sim.step().expect("no host fails");
    }
    score.resident()
}

fn ip(host: u32) -> IpAddr {
    Ipv4Addr::from_bits(0x0a00_0001 + host).into()
}
