//! The contestant madsim, built with `--cfg madsim`.

#[cfg(madsim)]
#[path = "../../src/play.rs"]
mod play;
#[cfg(madsim)]
#[path = "../../src/program.rs"]
#[allow(dead_code, reason = "the other program needs more of it")]
mod program;

#[cfg(madsim)]
mod contestant {
    use std::net::{IpAddr, Ipv4Addr, SocketAddr};
    use std::sync::Arc;
    use std::time::Duration;

    use madsim::runtime::Runtime;
    use tokio::sync::Notify;

    use crate::play::define_play;
    use crate::program::{Dice, PAYLOAD_BYTES, PORT, Program, Score};

    /// madsim's socket, with the arguments in the order that tokio has them in.
    struct Socket(madsim::net::UdpSocket);

    impl Socket {
        async fn bind(address: SocketAddr) -> std::io::Result<Self> {
            madsim::net::UdpSocket::bind(address).await.map(Self)
        }

        async fn send_to(&self, payload: &[u8], to: SocketAddr) -> std::io::Result<()> {
            self.0.send_to(to, payload).await
        }

        async fn recv_from(&self, buffer: &mut [u8]) -> std::io::Result<(usize, SocketAddr)> {
            self.0.recv_from(buffer).await
        }
    }

    define_play!(Socket, madsim::time::sleep);

    pub(crate) fn run(program: Program, size: u64) -> u64 {
        let ms = Duration::from_millis;
        let mut config = madsim::Config::default();
        config.net.send_latency = ms(1)..ms(2);
        let runtime = Runtime::with_seed_and_config(1, config);
        let score = Arc::new(Score::new(program, size));
        let done = Arc::new(Notify::new());
        for host in 0..program.hosts() {
            let node = runtime.create_node().name(format!("host {host}"));
            let node = node.ip(ip(host)).build();
            let address = |host| SocketAddr::new(ip(host), PORT);
            let _detached = node.spawn(play(host, score.clone(), address, done.clone()));
        }
        runtime.block_on(done.notified());
        score.resident()
    }

    fn ip(host: u32) -> IpAddr {
        Ipv4Addr::from_bits(0x0a00_0001 + host).into()
    }
}

#[cfg(madsim)]
fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    program::contestant(&[("madsim", contestant::run)], &arguments);
}

#[cfg(not(madsim))]
fn main() {
    eprintln!(
        "built without `--cfg madsim`: run `stillpoint-peers`, which builds this as it is to be"
    );
    std::process::exit(1);
}
