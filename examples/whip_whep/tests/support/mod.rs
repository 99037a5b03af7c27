//! A laboratory: the SFU on one node of the simulator, and peers and strangers on others.
//!
//! [`story`] tells a story for a few seeds, in a [`Place`]. Each seed is a run of its own, on a thread
//! of its own: what std and rand keep for a thread is part of what a seed decides.
#![allow(dead_code, reason = "each test uses what it needs")]
#![allow(unreachable_pub, reason = "a module of several tests")]
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "the enums are non-exhaustive"
)]

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::sync::Once;

use stillpoint::{App, Buffer, Outbox, SocketId, Spawned, Spawner};
use stillpoint_shim::{Shim, fresh_thread};
use stillpoint_sim::{Failure, World, check};
use str0m::config::DtlsCert;
use whip_whep::{Channel, Message, Report};

pub mod call;
pub mod camera;
pub mod frames;
pub mod http;
pub mod line;
pub mod peer;
pub mod place;
pub mod siege;
pub mod stranger;

use peer::{Peer, PeerConfig, Roam};
pub use place::{Families, Guest, Place, Plan};
use stranger::{Stranger, StrangerConfig};

/// An application with the SFU and those who come to it.
#[derive(Debug)]
pub struct Lab;

impl App for Lab {
    type Channel = Channel;
    type Message = Message;
    type Command = Ask;
    type Report = Report;
    type Spawn = Spawn;
}

#[derive(Debug)]
pub enum Spawn {
    Server(whip_whep::Spawn),
    Peer(Box<PeerConfig>),
    Stranger(StrangerConfig),
}

pub fn spawn(spawn: Spawn, spawner: Spawner<'_, Lab>) -> Spawned {
    match spawn {
        Spawn::Server(spawn) => whip_whep::spawn(spawn, spawner),
        Spawn::Peer(config) => spawner.insert(Peer::new(*config)),
        Spawn::Stranger(config) => spawner.insert(Stranger::new(config)),
    }
}

/// What peers and strangers are asked for.
#[derive(Debug, Clone)]
pub enum Ask {
    /// A peer: end the session, and say so.
    Leave,
    /// A peer: be gone without a word.
    Vanish,
    /// A peer: have another address.
    Roam(Roam, IpAddr),
    /// A stranger: connect, and write these bytes; if there is a pause, one at a time.
    Dial(Vec<u8>, Option<Duration>),
    /// A stranger: break all connections off.
    HangUp,
    /// Send these datagrams, one after the other, from where its media goes.
    Throw(SocketAddr, Vec<Vec<u8>>),
    /// Anybody: end the task.
    Finish,
}

/// A key and a certificate, for DTLS.
#[derive(Clone)]
pub struct Certificate(pub DtlsCert);

impl Certificate {
    /// The one that all have in these tests: what str0m makes them with has a source of chance of
    /// its own, which no seed decides.
    pub fn pinned() -> Self {
        Self(DtlsCert {
            certificate: include_bytes!("certificate.der").to_vec(),
            private_key: include_bytes!("key.der").to_vec(),
        })
    }
}

/// What is spawned is part of traces: a key need not be.
impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate")
    }
}

/// Tells a story for each of the seeds. `STILLPOINT_SEED=7` has it told for that one instead.
#[track_caller]
pub fn story(
    name: &str,
    seeds: impl IntoIterator<Item = u64>,
    plan: &Plan,
    tell: impl Fn(&mut Place<'_>) -> Result<(), Failure> + Sync,
) {
    for seed in seeds {
        fresh_thread(|| check(name, [seed], |world| scenario(world, plan, &tell)));
    }
}

/// One telling: begins with a server that is there, and ends with nobody and nothing left.
pub fn scenario(
    world: &mut World<Lab>,
    plan: &Plan,
    tell: impl Fn(&mut Place<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let _shim = pin(world);
    let mut place = Place::new(world, plan)?;
    tell(&mut place)?;
    place.end()
}

/// Has all that str0m and its like ask for come from the world.
pub fn pin(world: &mut World<Lab>) -> Shim {
    static ONCE: Once = Once::new();
    // The other provider, in C, has a source of chance of its own.
    ONCE.call_once(|| {
        let mut provider = dimpl::crypto::rust_crypto::default_provider();
        // One way to agree upon keys will do (X25519): all that there are would be tried each time.
        provider.kx_groups = &provider.kx_groups[..1];
        dimpl::crypto::CryptoProvider::install_default(provider);
    });
    let shim = Shim::simulate(world);
    let seeds = world.entropy().site("seeds of fastrand");
    world.before_each_input(move |upcoming| {
        fastrand::seed(seeds.source(upcoming.turn()).u64());
    });
    shim
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Sends datagrams one after the other.
fn throw(outbox: &mut Outbox<Lab>, socket: SocketId, to: SocketAddr, datagrams: &[Vec<u8>]) {
    for datagram in datagrams {
        outbox.send(socket, to, Buffer::copy_from(datagram));
    }
}
