//! The server and its guests, and what a story may ask about them.

use core::net::{IpAddr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::collections::BTreeSet;
use std::time::Instant;

use stillpoint::{Epoch, Task, TaskId};
use stillpoint_sim::{BusLink, Failure, Link, NodeId, World};
use whip_whep::{MediaConfig, MediaPort, Signaling, SignalingConfig};

use super::camera::CameraConfig;
use super::peer::{Codecs, Peer, PeerConfig, Role, Stage};
use super::stranger::{Stranger, StrangerConfig};
use super::{Ask, Certificate, Lab, Spawn, ms, spawn};

/// What the server is like, and the way to it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub workers: u16,
    /// To and from everybody, unless a story says otherwise.
    pub link: Link,
    /// Between the workers.
    pub bus: BusLink,
    pub publish_token: Option<&'static str>,
    pub watch_token: Option<&'static str>,
    /// What the server is reached by.
    pub families: Families,
    /// Sessions at each port.
    pub sessions_max: usize,
    pub camera: CameraConfig,
}

impl Plan {
    /// Two workers, and ways of 5 to 15 ms without loss.
    pub fn new() -> Self {
        Self {
            workers: 2,
            link: Link::new(ms(5)..=ms(15)),
            bus: BusLink::default(),
            publish_token: None,
            watch_token: None,
            families: Families::V4,
            sessions_max: 2_000,
            camera: CameraConfig::default(),
        }
    }

    /// The same, with cameras that film no faster than this.
    pub fn with_a_picture_every(mut self, picture_every: Duration) -> Self {
        self.camera.picture_every = picture_every;
        self
    }
}

/// Families of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    V4,
    V6,
    Both,
}

/// Somebody who has come: the node and the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Guest {
    pub node: NodeId,
    pub task: TaskId,
}

/// The server and its guests.
pub struct Place<'a> {
    pub world: &'a mut World<Lab>,
    pub server: NodeId,
    pub plan: Plan,
    pub guests: Vec<Guest>,
    nodes: u16,
    epoch: Epoch,
}

impl<'a> Place<'a> {
    /// A server that listens.
    pub fn new(world: &'a mut World<Lab>, plan: &Plan) -> Result<Self, Failure> {
        #[expect(clippy::disallowed_methods, reason = "answered by the shim")]
        let epoch = Epoch::new(Instant::now());
        let config = plan.clone();
        let mut node = world.node("server", server().ip());
        if plan.families == Families::Both {
            node = node.address(SERVER_V6);
        }
        let server = node
            .workers(plan.workers)
            .bus(plan.bus.clone())
            .boot(move |boot| {
                let is_both = config.families == Families::Both;
                let bind = |of_v4: SocketAddr| match is_both {
                    true => SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), of_v4.port()),
                    false => of_v4,
                };
                let mut signaling = SignalingConfig::new(bind(server()));
                signaling.publish_token = config.publish_token.map(str::to_owned);
                signaling.watch_token = config.watch_token.map(str::to_owned);
                let signaling = whip_whep::Spawn::Signaling(Box::new(signaling));
                for worker in 0..boot.workers() {
                    let certificate = Certificate::pinned().0;
                    let mut media = MediaConfig::new(bind(port(worker)), epoch, certificate);
                    if is_both {
                        media.public = vec![server().ip(), SERVER_V6.into()];
                    }
                    media.sessions_max = config.sessions_max;
                    let media = whip_whep::Spawn::MediaPort(Box::new(media));
                    boot.spawn(worker, Spawn::Server(media));
                }
                boot.spawn(0, Spawn::Server(signaling));
            })
            .spawner(spawn);
        world.default_link(&plan.link);
        world.run_for(ms(10))?;
        Ok(Self {
            world,
            server,
            plan: plan.clone(),
            guests: Vec::new(),
            nodes: 0,
            epoch,
        })
    }

    /// A node for guests, and its address.
    pub fn add_node(&mut self, name: &str) -> (NodeId, IpAddr) {
        self.add_node_of(Families::V4, name)
    }

    /// The same, with an address of this family.
    pub fn add_node_of(&mut self, family: Families, name: &str) -> (NodeId, IpAddr) {
        self.nodes += 1;
        let [high, low] = self.nodes.to_be_bytes();
        let address = match family {
            Families::V6 => IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 1, self.nodes]),
            Families::V4 | Families::Both => IpAddr::from([10, 1, high, low]),
        };
        let name = format!("{name} {}", self.nodes);
        let node = self.world.node(name, address).spawner(spawn);
        (node, address)
    }

    /// Has a task made, and gives it.
    fn add_task<T: Task<App = Lab> + 'static>(
        &mut self,
        node: NodeId,
        spawn: Spawn,
    ) -> Result<Guest, Failure> {
        let ids = |place: &Self| -> BTreeSet<TaskId> {
            place.world.tasks::<T>(node).map(|(task, _)| task).collect()
        };
        let before = ids(self);
        self.world.spawn(node, 0, spawn);
        self.world.run_for(Duration::from_micros(1))?;
        let task = *ids(self).difference(&before).next().expect("made just now");
        let guest = Guest { node, task };
        self.guests.push(guest);
        Ok(guest)
    }

    /// Somebody begins to come in at a node.
    pub fn add_peer(&mut self, node: NodeId, config: PeerConfig) -> Result<Guest, Failure> {
        self.add_task::<Peer>(node, Spawn::Peer(Box::new(config)))
    }

    /// A publisher to be, at this address.
    pub fn publisher(&self, local: IpAddr, room: &str) -> PeerConfig {
        PeerConfig {
            epoch: self.epoch,
            server: match local {
                IpAddr::V4(_) => server(),
                IpAddr::V6(_) => SocketAddr::new(SERVER_V6.into(), server().port()),
            },
            local,
            room: room.to_owned(),
            role: Role::Publish(self.plan.camera.clone()),
            token: self.plan.publish_token.map(str::to_owned),
            certificate: Certificate::pinned(),
            codecs: Codecs::All,
            kept_max: 200,
            unsent: None,
        }
    }

    /// A viewer to be, at this address.
    pub fn viewer(&self, local: IpAddr, room: &str) -> PeerConfig {
        PeerConfig {
            role: Role::Watch,
            token: self.plan.watch_token.map(str::to_owned),
            ..self.publisher(local, room)
        }
    }

    /// Somebody on a node of its own begins to publish.
    pub fn publish(&mut self, room: &str) -> Result<Guest, Failure> {
        let (node, local) = self.add_node("publisher");
        let config = self.publisher(local, room);
        self.add_peer(node, config)
    }

    /// Somebody on a node of its own begins to watch.
    pub fn watch(&mut self, room: &str) -> Result<Guest, Failure> {
        let (node, local) = self.add_node("viewer");
        let config = self.viewer(local, room);
        self.add_peer(node, config)
    }

    /// The same, and media may flow.
    pub fn publishing(&mut self, room: &str) -> Result<Guest, Failure> {
        let publisher = self.publish(room)?;
        self.run_until(20, |place| place.stage(publisher) == Stage::Joined)?;
        Ok(publisher)
    }

    /// The same, and a picture is seen.
    pub fn watching(&mut self, room: &str) -> Result<Guest, Failure> {
        let viewer = self.watch(room)?;
        self.run_until(20, |place| place.peer(viewer).video.shown > 0)?;
        Ok(viewer)
    }

    /// Somebody of whom no good is to be expected.
    pub fn stranger(&mut self) -> Result<Guest, Failure> {
        let (node, local) = self.add_node("stranger");
        let server = server();
        let config = StrangerConfig { local, server };
        self.add_task::<Stranger>(node, Spawn::Stranger(config))
    }

    pub fn peer(&self, guest: Guest) -> &Peer {
        let peer = self.world.task(guest.node, guest.task);
        peer.expect("a peer that lives")
    }

    pub fn stage(&self, guest: Guest) -> Stage {
        self.peer(guest).stage
    }

    pub fn mischief(&self, guest: Guest) -> &Stranger {
        let stranger = self.world.task(guest.node, guest.task);
        stranger.expect("a stranger that lives")
    }

    pub fn ask(&mut self, guest: Guest, ask: Ask) {
        self.world.command(guest.node, guest.task, ask);
    }

    pub fn run(&mut self, duration: Duration) -> Result<(), Failure> {
        self.world.run_for(duration)
    }

    /// Looks twenty times a second whether it holds.
    #[track_caller]
    pub fn run_until(
        &mut self,
        seconds: u32,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), Failure> {
        for _ in 0..seconds * 20 {
            if holds(self) {
                return Ok(());
            }
            self.world.run_for(ms(50))?;
        }
        assert!(holds(self), "not within {seconds} s: {}", self.describe());
        Ok(())
    }

    /// A node gets another address, and loses the one it has had.
    pub fn rename(&mut self, guest: Guest) -> IpAddr {
        let before = self.world.addresses(guest.node);
        self.nodes += 1;
        let [high, low] = self.nodes.to_be_bytes();
        let address = IpAddr::from([10, 1, high, low]);
        self.world.add_address(guest.node, address);
        for address in before {
            self.world.remove_address(guest.node, address);
        }
        address
    }

    /// Whether all its tasks live.
    pub fn server_is_whole(&self) -> bool {
        let ports = self.world.tasks::<MediaPort<Lab>>(self.server).count();
        let signaling = self.world.tasks::<Signaling<Lab>>(self.server).count();
        (ports, signaling) == (usize::from(self.plan.workers), 1)
    }

    pub fn signaling(&self) -> &Signaling<Lab> {
        self.world.only_task(self.server)
    }

    /// What the server's tasks have counted under this name.
    pub fn count(&self, name: &str) -> u64 {
        let statuses = self.world.status(self.server);
        statuses.iter().map(|status| status.metric(name)).sum()
    }

    /// How much there is of all that must not pile up.
    pub fn live(&self) -> [u64; 8] {
        LIVE.map(|name| self.count(name))
    }

    /// No session is left, nor anything that leads to one.
    pub fn nobody_is_there(&self) -> bool {
        self.live() == [0; 8]
    }

    /// How all stand, for people who read failures.
    pub fn describe(&self) -> String {
        let mut text = String::new();
        for (name, live) in LIVE.iter().zip(self.live()) {
            text += &format!("{name} {live} ");
        }
        for (node, task, peer) in self.world.all_tasks::<Peer>().take(12) {
            let name = self.world.node_name(node);
            text += &format!("\n{name} {task}: {}", peer.describe());
        }
        text
    }

    /// All guests are gone, and the server notices. Then all is ended, and nothing is left.
    pub fn end(&mut self) -> Result<(), Failure> {
        for guest in core::mem::take(&mut self.guests) {
            self.ask(guest, Ask::Finish);
        }
        self.run_until(60, Self::nobody_is_there)?;
        self.world.finish(Duration::from_secs(300))
    }
}

const LIVE: [&str; 8] = [
    "sfu_publishers",
    "sfu_viewers",
    "sfu_connected",
    "sfu_addresses",
    "sfu_subscriptions",
    "sfu_sessions",
    "sfu_rooms",
    "sfu_requests",
];

/// The server's other address, if it has one.
const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

/// Where the server listens for requests.
pub fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 8_080))
}

/// Where a worker takes media.
pub fn port(worker: u16) -> SocketAddr {
    SocketAddr::new(server().ip(), 20_000 + worker)
}
