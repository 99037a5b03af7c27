//! A laboratory: hosts with puppets on them, over real sockets or in the simulator. A behaviour
//! that is written against it is the same story in all worlds.

#![allow(dead_code, reason = "several test crates use it, each some of it")]

use core::fmt;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::VecDeque;

use stillpoint::backend::sockets::{SocketBackend, SocketPort};
use stillpoint::backend::{Backend, BackendConfig, BackendKind, Port};
use stillpoint::runtime::SystemClock;
use stillpoint::{
    BufferPool, Capabilities, Clock, End, Entropy, NetworkEvent, StreamCounters, TaskId, TcpListen,
    Timestamp, Token, TransmitBuffer, Worker, WorkerConfig, WorkerInput, WorkerOutput,
    WorkerOutputs,
};
use stillpoint_sim::{NodeId, World};

#[path = "puppet.rs"]
mod puppet;
#[cfg(all(feature = "io-uring", target_os = "linux"))]
#[path = "../support/rings.rs"]
mod rings;
use puppet::{Act, Hands, News, Probe, Told, spawn};

/// Which world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sockets(BackendKind),
    /// A ring that has hardly any room.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    TinyRing,
    /// A ring whose operations a thread of the kernel takes.
    #[cfg(all(feature = "io-uring", target_os = "linux"))]
    PolledRing,
    Simulator,
}

impl Kind {
    pub(crate) const fn is_simulated(self) -> bool {
        matches!(self, Self::Simulator)
    }

    fn backend(self, config: &BackendConfig) -> SocketBackend {
        let backend = match self {
            Self::Sockets(kind) => SocketBackend::new(kind, config),
            #[cfg(all(feature = "io-uring", target_os = "linux"))]
            Self::TinyRing => {
                let mut config = config.clone();
                config.io_uring = rings::whole();
                config.io_uring.entries = 8;
                config.io_uring.completions = 16;
                config.io_uring.buffers = 2;
                SocketBackend::new(BackendKind::IoUring, &config)
            }
            #[cfg(all(feature = "io-uring", target_os = "linux"))]
            Self::PolledRing => {
                let mut config = config.clone();
                config.io_uring = rings::whole().polling(Duration::from_millis(1));
                // That thread fills them whenever it likes, as if a socket's own were larger.
                config.io_uring.buffers = 8;
                SocketBackend::new(BackendKind::IoUring, &config)
            }
            Self::Simulator => unreachable!("sockets of another world"),
        };
        backend.unwrap()
    }
}

/// Hosts, each with one worker, in one world.
pub(crate) struct Lab {
    pub(crate) kind: Kind,
    limits: fn(&mut WorkerConfig),
    pub(crate) inner: Inner,
    puppets: Vec<Heard>,
    /// Connections that nobody takes in.
    waiting: Vec<std::net::TcpStream>,
}

pub(crate) enum Inner {
    Sockets(Vec<Machine>),
    /// And how many ends of tasks were gathered.
    Simulator(Box<World<Probe>>, Vec<NodeId>, usize),
}

/// One host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Host(pub(crate) usize);

/// One task of a host, which does what it is told and tells what it hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Puppet {
    pub(crate) host: Host,
    pub(crate) task: TaskId,
}

/// What a puppet has told and nobody has asked for.
struct Heard {
    puppet: Puppet,
    news: VecDeque<(Timestamp, News)>,
    end: Option<End>,
}

impl Lab {
    pub(crate) fn new(kind: Kind) -> Self {
        Self::with_limits(kind, |_| {})
    }

    /// With other limits for each worker.
    pub(crate) fn with_limits(kind: Kind, limits: fn(&mut WorkerConfig)) -> Self {
        let inner = match kind {
            Kind::Simulator => {
                let mut world = World::new(3);
                world.tolerate_task_failures();
                Inner::Simulator(Box::new(world), Vec::new(), 0)
            }
            _ => Inner::Sockets(Vec::new()),
        };
        Self {
            kind,
            limits,
            inner,
            puppets: Vec::new(),
            waiting: Vec::new(),
        }
    }

    /// What this world can do.
    pub(crate) fn capabilities(&mut self) -> Capabilities {
        let host = self.host();
        match &self.inner {
            Inner::Sockets(machines) => machines[host.0].backend.capabilities(),
            Inner::Simulator(..) => stillpoint_sim::capabilities(),
        }
    }

    /// A new host with one puppet.
    pub(crate) fn puppet(&mut self) -> Puppet {
        let host = self.host();
        self.puppet_on(host)
    }

    pub(crate) fn host(&mut self) -> Host {
        match &mut self.inner {
            Inner::Sockets(machines) => {
                machines.push(Machine::new(self.kind, self.limits));
                Host(machines.len() - 1)
            }
            Inner::Simulator(world, nodes, _) => {
                let number = nodes.len();
                let last = u8::try_from(number + 1).unwrap();
                let node = world
                    .node(format!("host {number}"), [10, 0, 0, last])
                    .address([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)])
                    .limits(self.limits)
                    .spawner(spawn);
                nodes.push(node);
                Host(number)
            }
        }
    }

    /// One more puppet on a host.
    pub(crate) fn puppet_on(&mut self, host: Host) -> Puppet {
        match &mut self.inner {
            Inner::Sockets(machines) => machines[host.0].input(WorkerInput::Spawn(())),
            Inner::Simulator(world, nodes, _) => world.spawn(nodes[host.0], 0, ()),
        }
        let before = self.puppets.len();
        self.pump_until(|lab| lab.puppets.len() > before);
        self.puppets[before].puppet
    }

    /// The address that others reach a host at.
    pub(crate) fn ip(&self, host: Host) -> IpAddr {
        match &self.inner {
            Inner::Sockets(_) => [127, 0, 0, 1].into(),
            Inner::Simulator(..) => [10, 0, 0, u8::try_from(host.0 + 1).unwrap()].into(),
        }
    }

    /// The same of IPv6.
    pub(crate) fn ip_v6(&self, host: Host) -> IpAddr {
        match &self.inner {
            Inner::Sockets(_) => [0, 0, 0, 0, 0, 0, 0, 1_u16].into(),
            Inner::Simulator(..) => {
                let last = u16::try_from(host.0 + 1).unwrap();
                [0xfd00, 0, 0, 0, 0, 0, 0, last].into()
            }
        }
    }

    /// An address of this world at which nobody is.
    pub(crate) fn nobody(&self) -> IpAddr {
        [192, 0, 2, 1].into()
    }

    /// An address at which a connection is never answered, neither with yes nor with no.
    pub(crate) fn silent(&mut self) -> SocketAddr {
        if self.kind.is_simulated() {
            return SocketAddr::new(self.nobody(), 9);
        }
        // The kernel drops whoever comes when this many wait already to be taken in.
        const BACKLOG: u32 = 0;
        let host = self.host();
        let puppet = self.puppet_on(host);
        let bind = SocketAddr::new(self.ip(host), 0);
        self.act(puppet, move |hands| {
            let listen = TcpListen::new(Token(0), bind).with_backlog(BACKLOG);
            hands.outbox.listen(listen);
        });
        let address = self.next(puppet, |event| match event {
            NetworkEvent::Listening { local, .. } => Some(*local),
            _ => None,
        });
        let Inner::Sockets(machines) = &mut self.inner else {
            unreachable!("checked above");
        };
        machines[host.0].stalled = true;
        self.waiting
            .push(std::net::TcpStream::connect(address).unwrap());
        address
    }

    pub(crate) fn now(&self) -> Timestamp {
        match &self.inner {
            Inner::Sockets(machines) => machines
                .first()
                .map_or(Timestamp::EPOCH, |machine| machine.clock.now()),
            Inner::Simulator(world, ..) => world.now(),
        }
    }

    /// Has a puppet do something, and waits until it has.
    pub(crate) fn act(&mut self, puppet: Puppet, act: impl FnOnce(&mut Hands) + Send + 'static) {
        let command = Act(Box::new(act));
        match &mut self.inner {
            Inner::Sockets(machines) => machines[puppet.host.0].input(WorkerInput::Command {
                task: puppet.task,
                command,
            }),
            Inner::Simulator(world, nodes, _) => {
                world.command(nodes[puppet.host.0], puppet.task, command);
            }
        }
        self.pump_until(|lab| {
            let heard = lab.heard(puppet);
            let acted = heard.news.iter().position(|(_, news)| *news == News::Acted);
            acted.map(|at| heard.news.remove(at)).is_some() || heard.end.is_some()
        });
    }

    /// From now on a puppet does this with each event, before it tells of it.
    pub(crate) fn react(
        &mut self,
        puppet: Puppet,
        react: impl FnMut(&NetworkEvent, &mut Hands) + Send + 'static,
    ) {
        self.act(puppet, |hands| hands.react = Some(Box::new(react)));
    }

    /// The oldest event of a puppet that `pick` wants. Others are kept for later.
    pub(crate) fn next<R>(
        &mut self,
        puppet: Puppet,
        mut pick: impl FnMut(&NetworkEvent) -> Option<R>,
    ) -> R {
        self.next_at(puppet, |event| pick(event)).1
    }

    /// The same, with the time.
    pub(crate) fn next_at<R>(
        &mut self,
        puppet: Puppet,
        mut pick: impl FnMut(&NetworkEvent) -> Option<R>,
    ) -> (Timestamp, R) {
        let mut picked = None;
        self.pump_until(|lab| {
            picked = lab.take(puppet, |news| match news {
                News::Network(event) => pick(event),
                _ => None,
            });
            picked.is_some()
        });
        picked.expect("it was waited for")
    }

    /// Waits until a puppet's deadline has passed, and tells when that was.
    pub(crate) fn next_timeout(&mut self, puppet: Puppet) -> Timestamp {
        let mut at = None;
        self.pump_until(|lab| {
            at = lab.take(puppet, |news| (*news == News::Timeout).then_some(()));
            at.is_some()
        });
        at.expect("it was waited for").0
    }

    /// Waits until a puppet is no more, and tells why.
    pub(crate) fn end(&mut self, puppet: Puppet) -> End {
        self.pump_until(|lab| lab.heard(puppet).end.is_some());
        self.heard(puppet).end.clone().expect("it was waited for")
    }

    /// Deadlines of a puppet that have passed and nobody has asked for.
    pub(crate) fn timeouts(&mut self, puppet: Puppet) -> usize {
        let news = &self.heard(puppet).news;
        let timeouts = news.iter().filter(|(_, news)| *news == News::Timeout);
        timeouts.count()
    }

    /// What a puppet has heard and nobody has asked for.
    pub(crate) fn unasked(&mut self, puppet: Puppet) -> Vec<NetworkEvent> {
        let news = core::mem::take(&mut self.heard(puppet).news);
        let events = news.into_iter().filter_map(|(_, news)| match news {
            News::Network(event) => Some(event),
            _ => None,
        });
        events.collect()
    }

    /// Lets this much time pass.
    pub(crate) fn pass(&mut self, duration: Duration) {
        if let Inner::Simulator(world, ..) = &mut self.inner {
            world.run_for(duration).unwrap();
            return self.gather();
        }
        let end = self.now().after(duration);
        while self.now() < end {
            self.pump();
        }
    }

    /// Asks a host's worker to stop.
    pub(crate) fn shutdown(&mut self, host: Host) {
        match &mut self.inner {
            Inner::Sockets(machines) => machines[host.0].input(WorkerInput::Shutdown),
            Inner::Simulator(world, nodes, _) => world.shutdown(nodes[host.0]),
        }
    }

    /// Waits until a host's worker has stopped: without tasks, sockets and streams.
    pub(crate) fn wait_until_stopped(&mut self, host: Host) {
        self.pump_until(|lab| match &lab.inner {
            Inner::Sockets(machines) => machines[host.0].worker.is_stopped(),
            Inner::Simulator(world, nodes, _) => world.is_stopped(nodes[host.0]),
        });
    }

    /// What passed through the streams of a host; in the simulator, through those of the world.
    pub(crate) fn stream_counters(&self, host: Host) -> StreamCounters {
        match &self.inner {
            Inner::Sockets(machines) => machines[host.0].backend.counters().streams,
            Inner::Simulator(world, ..) => world.counters().streams,
        }
    }

    /// Buffers in use on a host; in the simulator, in the world.
    pub(crate) fn buffers_in_use(&self, host: Host) -> usize {
        match &self.inner {
            Inner::Sockets(machines) => {
                let machine = &machines[host.0];
                machine.buffers.live() - machine.backend.buffers_lent()
            }
            Inner::Simulator(world, ..) => world.buffers_in_use(),
        }
    }

    fn heard(&mut self, puppet: Puppet) -> &mut Heard {
        let found = self.puppets.iter_mut().find(|heard| heard.puppet == puppet);
        found.expect("a puppet of this laboratory")
    }

    fn take<R>(
        &mut self,
        puppet: Puppet,
        mut pick: impl FnMut(&News) -> Option<R>,
    ) -> Option<(Timestamp, R)> {
        let heard = self.heard(puppet);
        let mut all = heard.news.iter().enumerate();
        let (index, at, picked) =
            all.find_map(|(index, (at, news))| Some((index, *at, pick(news)?)))?;
        heard.news.remove(index);
        Some((at, picked))
    }

    pub(crate) fn pump_until(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let limit = self.now().after(PATIENCE);
        while !done(self) {
            assert!(self.now() < limit, "not within {PATIENCE:?}: {self:?}");
            self.pump();
        }
    }

    /// Lets a little happen.
    fn pump(&mut self) {
        match &mut self.inner {
            Inner::Sockets(machines) => {
                for machine in machines.iter_mut().filter(|machine| !machine.stalled) {
                    machine.wait(Some(Timestamp::EPOCH));
                }
            }
            Inner::Simulator(world, ..) => {
                if !world.step().unwrap() {
                    world.run_for(Duration::from_millis(1)).unwrap();
                }
            }
        }
        self.gather();
    }

    /// Puts what was told where it can be asked for.
    fn gather(&mut self) {
        let (mut told, mut ended) = (Vec::new(), Vec::new());
        match &mut self.inner {
            Inner::Sockets(machines) => {
                for (index, machine) in machines.iter_mut().enumerate() {
                    let host = Host(index);
                    told.extend(
                        machine
                            .told
                            .drain(..)
                            .map(|(task, said)| (host, task, said)),
                    );
                    ended.extend(machine.ended.drain(..).map(|(task, end)| (host, task, end)));
                }
            }
            Inner::Simulator(world, nodes, gathered) => {
                let host = |node| Host(nodes.iter().position(|known| *known == node).unwrap());
                let reports = world.take_reports();
                told.extend(
                    reports
                        .into_iter()
                        .map(|said| (host(said.node), said.task, said.report)),
                );
                let new = world.ended()[*gathered..].iter();
                ended.extend(new.map(|ended| (host(ended.node), ended.task, ended.end.clone())));
                *gathered = world.ended().len();
            }
        }
        for (host, task, Told(at, news)) in told {
            let puppet = Puppet { host, task };
            if news == News::Started {
                self.puppets.push(Heard {
                    puppet,
                    news: VecDeque::new(),
                    end: None,
                });
            } else {
                self.heard(puppet).news.push_back((at, news));
            }
        }
        for (host, task, end) in ended {
            self.heard(Puppet { host, task }).end = Some(end);
        }
    }
}

impl fmt::Debug for Lab {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heard = self.puppets.iter().map(|heard| (heard.puppet, &heard.news));
        f.debug_map().entries(heard).finish()?;
        if let Inner::Sockets(machines) = &self.inner {
            for machine in machines {
                write!(f, "\n{:?}", machine.backend)?;
            }
        }
        Ok(())
    }
}

/// What nothing takes on a working machine, however loaded.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A worker over a real backend, driven by hand.
pub(crate) struct Machine {
    worker: Worker<Probe>,
    pub(crate) backend: SocketBackend,
    clock: SystemClock,
    buffers: BufferPool,
    told: Vec<(TaskId, Told)>,
    ended: Vec<(TaskId, End)>,
    /// Whether it is never run again.
    stalled: bool,
}

impl Machine {
    fn new(kind: Kind, limits: fn(&mut WorkerConfig)) -> Self {
        let mut config = WorkerConfig::new(0, Entropy::from_seed(1));
        limits(&mut config);
        let buffers = BufferPool::new();
        Self {
            worker: Worker::new(config, spawn),
            backend: kind.backend(&BackendConfig::new(buffers.clone())),
            clock: SystemClock::new(),
            buffers,
            told: Vec::new(),
            ended: Vec::new(),
            stalled: false,
        }
    }

    fn input(&mut self, input: WorkerInput<Probe>) {
        let mut outputs = Outputs {
            port: self.backend.port(),
            told: &mut self.told,
            ended: &mut self.ended,
        };
        self.worker
            .handle_input(self.clock.now(), input, &mut outputs);
        self.backend.flush().unwrap();
    }

    fn wait(&mut self, until: Option<Timestamp>) {
        let (worker, told, ended) = (&mut self.worker, &mut self.told, &mut self.ended);
        let now = self
            .backend
            .wait(until, &self.clock, &mut |now, event, port| {
                let mut outputs = Outputs { port, told, ended };
                worker.handle_input(now, WorkerInput::Network(event), &mut outputs);
            });
        let now = now.unwrap();
        if worker
            .poll_timeout()
            .is_some_and(|deadline| deadline.at <= now)
        {
            self.input(WorkerInput::Timeout);
        }
        self.backend.flush_before_wait().unwrap(); // As a worker's thread does it.
    }
}

/// Sends what concerns the network to the backend and keeps the rest.
struct Outputs<'a> {
    port: &'a mut SocketPort,
    told: &'a mut Vec<(TaskId, Told)>,
    ended: &'a mut Vec<(TaskId, End)>,
}

impl WorkerOutputs<Probe> for Outputs<'_> {
    fn lend(&mut self) -> TransmitBuffer<'_> {
        self.port.lend()
    }

    fn push(&mut self, output: WorkerOutput<Probe>) {
        match output {
            WorkerOutput::Network(command) => self.port.submit(command),
            WorkerOutput::Report { task, report } => self.told.push((task, report)),
            WorkerOutput::Ended { task, end } => self.ended.push((task, end)),
            WorkerOutput::Started { .. } => {}
            other => panic!("nobody expected {other:?}"),
        }
    }
}
