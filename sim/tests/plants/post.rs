//! The application, its wire format, and the scenario.
#![allow(unreachable_pub, reason = "a module of a test program")]
#![allow(dead_code, reason = "each of the test programs needs some of it")]

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{App, Buffer, Spawned, Spawner, TaskId};
use stillpoint_sim::{BusLink, Failure, FaultKind, FaultPlan, Link, World};

use super::courier::Courier;
use super::depot::Depot;
use super::ledger::Ledger;
use super::ms;

/// What is wrong with the protocol, if anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plant {
    Nothing,
    /// What was sent again once is not sent again once more.
    ForgottenRetransmission,
    /// A session's generation is not compared.
    StaleIdAccepted,
    /// What has been delivered is delivered again, if it comes again next.
    DoubleDelivery,
    /// Whoever goes to sleep is not looked after: what came meanwhile waits for ever.
    LostWakeUp,
    /// The deadline is set with new parcels only, and gone with an acknowledgement.
    ForgottenDeadline,
    /// The window is one parcel wider than the memory for it.
    WindowOffByOne,
}

impl Plant {
    /// All that are wrong.
    pub const ALL: [Self; 6] = [
        Self::ForgottenRetransmission,
        Self::StaleIdAccepted,
        Self::DoubleDelivery,
        Self::LostWakeUp,
        Self::ForgottenDeadline,
        Self::WindowOffByOne,
    ];
}

/// The application.
#[derive(Debug)]
pub struct Post;

impl App for Post {
    type Channel = ();
    type Message = Message;
    type Command = ();
    type Report = Report;
    type Spawn = Spawn;
}

/// Between depot and ledger.
#[derive(Debug, Clone)]
pub enum Message {
    /// To the depot: give me what you have.
    Take,
    /// To the ledger: here it is.
    Parcels(Vec<Parcel>),
    /// To the ledger: there is nothing.
    Nothing,
    /// To the depot: wake me when there is something.
    Asleep,
    /// To the ledger: there is something.
    Wake,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Report {
    /// A courier has brought all that it had.
    Done,
}

#[derive(Debug, Clone)]
pub enum Spawn {
    Courier {
        name: u64,
        parcels: u32,
        plant: Plant,
    },
    Depot {
        ledger: TaskId,
        plant: Plant,
    },
    Ledger,
}

pub fn spawn(spawn: Spawn, spawner: Spawner<'_, Post>) -> Spawned {
    match spawn {
        Spawn::Courier {
            name,
            parcels,
            plant,
        } => spawner.insert(Courier::new(name, parcels, plant)),
        Spawn::Depot { ledger, plant } => spawner.insert(Depot::new(ledger, plant)),
        Spawn::Ledger => spawner.insert(Ledger::new()),
    }
}

/// One parcel, as the ledger has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Parcel {
    /// Whose session it came in.
    pub name: u64,
    pub seq: u32,
    pub value: u64,
}

impl Parcel {
    /// What courier `name` sends as its `seq`-th parcel.
    pub const fn content(name: u64, seq: u32) -> u64 {
        name * 1_000_000 + seq as u64
    }
}

/// A session at the depot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    pub slot: u32,
    pub generation: u32,
}

/// What travels by datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Courier `name` wants a session.
    Hello {
        name: u64,
    },
    Welcome {
        name: u64,
        session: Session,
    },
    Data {
        session: Session,
        seq: u32,
        value: u64,
    },
    /// All before `next` has come.
    Ack {
        session: Session,
        next: u32,
    },
    /// All is acknowledged.
    Bye {
        session: Session,
    },
}

impl Wire {
    pub fn encode(self) -> Buffer {
        let (kind, words) = match self {
            Self::Hello { name } => (0, [name, 0, 0]),
            Self::Welcome { name, session } => (1, [session.word(), name, 0]),
            Self::Data {
                session,
                seq,
                value,
            } => (2, [session.word(), seq.into(), value]),
            Self::Ack { session, next } => (3, [session.word(), next.into(), 0]),
            Self::Bye { session } => (4, [session.word(), 0, 0]),
        };
        let mut bytes = vec![kind];
        for word in words {
            bytes.extend(word.to_be_bytes());
        }
        Buffer::copy_from(&bytes)
    }

    /// `None` if it is nothing that anybody sends.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (&kind, words) = bytes.split_first()?;
        let mut words = words.chunks_exact(8);
        let mut word = || Some(u64::from_be_bytes(words.next()?.try_into().ok()?));
        let [first, second, third] = [word()?, word()?, word()?];
        let session = Session::of(first);
        Some(match kind {
            0 => Self::Hello { name: first },
            1 => Self::Welcome {
                name: second,
                session,
            },
            2 => Self::Data {
                session,
                seq: u32::try_from(second).ok()?,
                value: third,
            },
            3 => Self::Ack {
                session,
                next: u32::try_from(second).ok()?,
            },
            4 => Self::Bye { session },
            _ => return None,
        })
    }
}

impl Session {
    const fn word(self) -> u64 {
        (self.slot as u64) << 32 | self.generation as u64
    }

    const fn of(word: u64) -> Self {
        Self {
            slot: (word >> 32) as u32,
            generation: (word & 0xffff_ffff) as u32,
        }
    }
}

/// Parcels that may be under way.
pub const WINDOW: u32 = 4;

/// Where the depot is.
pub fn depot() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7))
}

/// How much there is to bring, and how bad the links are.
#[derive(Debug, Clone)]
pub struct Season {
    pub couriers_max: u64,
    pub parcels_max: u64,
    /// In microseconds.
    pub slow_bus_max: u64,
    /// In percent.
    pub loss_max: u64,
    pub duplicate_max: u64,
    pub reorder: f64,
    /// What else goes wrong, and for how long.
    pub plan: Option<(FaultPlan, Duration)>,
}

impl Season {
    /// Few parcels, over very bad links.
    pub const fn quiet() -> Self {
        Self {
            couriers_max: 4,
            parcels_max: 12,
            slow_bus_max: 5_000,
            loss_max: 30,
            duplicate_max: 30,
            reorder: 0.1,
            plan: None,
        }
    }

    /// Many parcels, over links that are fair: it takes a while until something goes wrong. Workers
    /// and nodes stand still meanwhile, and are late.
    pub fn busy() -> Self {
        let faults = FaultPlan::new()
            .with(FaultKind::Pause, 1..=4, ms(10)..=ms(300))
            .with(FaultKind::Stall, 1..=4, ms(10)..=ms(300))
            .with(FaultKind::LateTimers, 1..=4, ms(10)..=ms(300))
            .with(FaultKind::SlowInputs, 1..=4, ms(10)..=ms(300));
        Self {
            couriers_max: 30,
            parcels_max: 40,
            slow_bus_max: 5_000,
            loss_max: 6,
            duplicate_max: 2,
            reorder: 0.01,
            plan: Some((faults, Duration::from_secs(3))),
        }
    }
}

/// Couriers with parcels for one depot, over bad links, while workers stand still now and then.
/// At any time each parcel is delivered once and in order, and when the links are good again all
/// are, soon.
pub fn scenario(plant: Plant) -> impl Fn(&mut World<Post>) -> Result<(), Failure> {
    scenario_in(plant, Season::quiet())
}

/// The same in another season.
pub fn scenario_in(
    plant: Plant,
    season: Season,
) -> impl Fn(&mut World<Post>) -> Result<(), Failure> {
    move |world| {
        let server = world.node("depot", [10, 0, 0, 1]).workers(2).spawner(spawn);
        world.spawn(server, 1, Spawn::Ledger);
        let slow = Duration::from_micros(world.draw("slow bus", 1..=season.slow_bus_max));
        world.set_bus(server, BusLink::new(Duration::ZERO..=slow));
        world.run_for(ms(1))?;
        let (ledger, _) = world.tasks::<Ledger>(server).next().expect("a ledger");
        world.spawn(server, 0, Spawn::Depot { ledger, plant });
        world.run_for(ms(1))?;
        let couriers = world.draw("couriers", 1..=season.couriers_max);
        let parcels = world.draw("parcels", 1..=season.parcels_max);
        let parcels = u32::try_from(parcels).expect("few parcels");
        let mut bad = Link::new(ms(1)..=ms(20)).reorder(season.reorder, ms(300));
        bad = bad.loss(world.draw("loss", 0..=season.loss_max) as f64 / 100.0);
        bad = bad.duplicate(world.draw("duplicate", 0..=season.duplicate_max) as f64 / 100.0);
        world.default_link(&bad);
        demand_order(world);
        if let Some((plan, duration)) = &season.plan {
            world.plan(plan, *duration);
        }
        for name in 1..=couriers {
            let address = [10, 0, 1, u8::try_from(name).expect("few couriers")];
            let node = world
                .node(format!("courier {name}"), address)
                .spawner(spawn);
            let spawn = Spawn::Courier {
                name,
                parcels,
                plant,
            };
            world.spawn(node, 0, spawn);
            let pause = ms(world.draw("pause", 0..=400));
            world.run_for(pause)?;
            if world.draw("stall", 0..=3) == 0 {
                let worker = u16::try_from(world.draw("stalled", 0..=1)).expect("two workers");
                world.stall_worker(server, worker, ms(50));
            }
        }
        world.default_link(&Link::new(ms(1)..=ms(20)));
        let all = couriers * u64::from(parcels);
        world.run_until(Duration::from_secs(60), |world| {
            ledgers(world).map(|ledger| ledger.parcels).sum::<u64>() == all
        })
    }
}

fn demand_order(world: &mut World<Post>) {
    world.always("each parcel is what was sent", move |world| {
        ledgers(world).all(|ledger| ledger.is_right)
    });
    world.always("parcels come in order and once", move |world| {
        ledgers(world).all(|ledger| ledger.is_in_order)
    });
}

fn ledgers(world: &World<Post>) -> impl Iterator<Item = &Ledger> {
    let server = world.find("depot").expect("the scenario makes it first");
    world.tasks::<Ledger>(server).map(|(_, ledger)| ledger)
}
