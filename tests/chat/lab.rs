//! A laboratory: a chat on one node, and crowds of people on others.

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{App, Keepalive, Spawned, Spawner, TaskId, TcpListen, TcpOptions, Token};
use stillpoint_sim::{BusLink, Failure, Link, NodeId, World};

use super::crowd::{Ask, Crowd, CrowdConfig, Person};
use crate::chat::{Door, DoorConfig, Name, Report, Said, Stats};

/// An application with doors and, on other nodes, crowds.
#[derive(Debug)]
pub struct Lab;

impl App for Lab {
    type Channel = Name;
    type Message = Said;
    type Command = Ask;
    type Report = Report;
    type Spawn = Spawn;
}

#[derive(Debug)]
pub enum Spawn {
    Door(Box<DoorConfig>),
    Crowd(Box<CrowdConfig>),
}

pub fn spawn(spawn: Spawn, spawner: Spawner<'_, Lab>) -> Spawned {
    match spawn {
        Spawn::Door(config) => spawner.insert(Door::new(*config)),
        Spawn::Crowd(config) => spawner.insert(Crowd::new(*config)),
    }
}

/// What a chat is like, and the crowds around it.
#[derive(Debug, Clone)]
pub struct Plan {
    pub workers: u16,
    pub crowds: u8,
    pub people: usize,
    /// Rooms that people choose from; 0: they join none by themselves.
    pub rooms: u64,
    pub link: Link,
    /// The bus between the doors.
    pub bus: BusLink,
    /// Buffers of people's systems, in bytes.
    pub buffers: u32,
    pub door: DoorConfig,
}

impl Plan {
    /// Four people at one worker, who join no room by themselves.
    pub fn small() -> Self {
        Self {
            workers: 1,
            crowds: 1,
            people: 4,
            rooms: 0,
            link: Link::new(ms(1)..=ms(9)),
            bus: BusLink::default(),
            buffers: 65_536,
            door: door(16_384, 65_536),
        }
    }
}

/// A door whose streams have queues and system buffers of these sizes.
pub fn door(queue: usize, buffers: u32) -> DoorConfig {
    let options = TcpOptions::new()
        .with_send_queue_max(queue)
        .with_buffers(buffers, buffers)
        .with_keepalive(Keepalive::new(
            Duration::from_secs(20),
            Duration::from_secs(5),
            4,
        ));
    let listen = TcpListen::new(Token(0), server())
        .with_backlog(16_384)
        .with_options(options);
    DoorConfig::new(listen)
}

/// A chat with crowds that have come in.
pub struct Place<'a> {
    pub world: &'a mut World<Lab>,
    pub server: NodeId,
    pub crowds: Vec<(NodeId, TaskId)>,
}

impl<'a> Place<'a> {
    /// Builds it, and waits until all are there and, if they are to, have joined their rooms.
    pub fn new(world: &'a mut World<Lab>, plan: &Plan) -> Result<Self, Failure> {
        let server = world
            .node("server", [10, 0, 0, 1])
            .workers(plan.workers)
            .bus(plan.bus.clone())
            .spawner(spawn);
        for worker in 0..plan.workers {
            let mut config = plan.door;
            config.listen = config.listen.shared();
            world.spawn(server, worker, Spawn::Door(Box::new(config)));
        }
        world.run_for(ms(1))?;
        let crowds = Vec::new();
        let mut place = Self {
            world,
            server,
            crowds,
        };
        for _ in 0..plan.crowds {
            place.add_crowd(plan)?;
        }
        place.run_until(120, |place| place.all().all(Crowd::is_settled))?;
        Ok(place)
    }

    /// One more crowd begins to come in.
    pub fn add_crowd(&mut self, plan: &Plan) -> Result<(), Failure> {
        let crowd = u8::try_from(self.crowds.len()).expect("few crowds");
        let world = &mut self.world;
        let node = world
            .node(format!("crowd {crowd}"), [10, 0, 1, crowd])
            .spawner(spawn);
        world.link(self.server, node, &plan.link);
        let config = CrowdConfig {
            crowd,
            server: server(),
            people: plan.people,
            rooms: plan.rooms,
            buffers: plan.buffers,
        };
        world.spawn(node, 0, Spawn::Crowd(Box::new(config)));
        world.run_for(Duration::from_micros(1))?;
        let (task, _) = world.tasks::<Crowd>(node).next().expect("a crowd");
        self.crowds.push((node, task));
        Ok(())
    }

    pub fn crowd(&self, crowd: usize) -> &Crowd {
        let (node, task) = self.crowds[crowd];
        self.world.task(node, task).expect("a crowd")
    }

    pub fn all(&self) -> impl Iterator<Item = &Crowd> {
        (0..self.crowds.len()).map(|crowd| self.crowd(crowd))
    }

    pub fn people(&self) -> impl Iterator<Item = &Person> {
        self.all().flat_map(|crowd| &crowd.people)
    }

    pub fn ask(&mut self, crowd: usize, ask: Ask) {
        let (node, task) = self.crowds[crowd];
        self.world.command(node, task, ask);
    }

    pub fn ask_all(&mut self, ask: &Ask) {
        for crowd in 0..self.crowds.len() {
            self.ask(crowd, ask.clone());
        }
    }

    /// Has somebody of the first crowd send these bytes, and lets them arrive.
    pub fn say(&mut self, person: usize, bytes: impl AsRef<[u8]>) -> Result<(), Failure> {
        let bytes = bytes.as_ref().to_vec();
        self.ask(0, Ask::Send { person, bytes });
        self.world.run_for(Duration::from_secs(1))
    }

    /// What somebody of the first crowd has read since this was last asked for.
    pub fn read(&self, person: usize) -> Vec<String> {
        let person = &self.crowd(0).people[person];
        let lines = person.transcript.borrow_mut().split_off(0);
        let text = |line: &Vec<u8>| line.escape_ascii().to_string();
        lines.iter().map(text).collect()
    }

    /// All of the first crowd have read what there is.
    pub fn read_all(&self) {
        for person in 0..self.crowd(0).people.len() {
            self.read(person);
        }
    }

    /// What all doors have counted.
    pub fn stats(&self) -> Stats {
        let mut total = Stats::default();
        for (_, door) in self.world.tasks::<Door<Lab>>(self.server) {
            total.add(&door.stats());
        }
        total
    }

    pub fn doors(&self) -> impl Iterator<Item = &Door<Lab>> {
        self.world.tasks(self.server).map(|(_, door)| door)
    }

    /// Looks ten times a second whether it holds.
    pub fn run_until(
        &mut self,
        seconds: u32,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), Failure> {
        for _ in 0..seconds * 10 {
            if holds(self) {
                return Ok(());
            }
            self.world.run_for(ms(100))?;
        }
        assert!(holds(self), "not within {seconds} s: {:?}", self.stats());
        Ok(())
    }

    /// All leave in an orderly way, or have left; then nothing may be left of them.
    pub fn everybody_leaves(&mut self) -> Result<(), Failure> {
        self.ask_all(&Ask::Leave);
        self.run_until(120, |place| {
            place.all().all(Crowd::is_gone) && place.stats().open == 0
        })?;
        self.nothing_is_left()
    }

    /// No person, room, buffer or connection is left.
    pub fn nothing_is_left(&mut self) -> Result<(), Failure> {
        // Once nothing is to happen any more, no connection is left either.
        self.world.run_until_idle(Duration::from_secs(1_200))?;
        for door in self.doors() {
            assert_eq!(
                (door.stats().open, door.rooms(), door.kept_bytes()),
                (0, 0, 0)
            );
        }
        for status in self.world.controller(self.server).status() {
            assert_eq!(status.subscriptions, 0);
            assert_eq!(status.resources, 1, "what is open besides the listener");
        }
        assert_eq!(self.world.buffers_in_use(), 0);
        Ok(())
    }
}

pub fn server() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7_000))
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
