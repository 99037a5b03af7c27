//! The same seed is the same run, on any machine; and one part of a world does not disturb another.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

mod common;

use core::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use common::{Client, Command, Echo, Report, Spawn, client, golden, ms, reported, server, spawn};
use stillpoint::{Choices, Draw, Entropy, Spawner};
use stillpoint_sim::{DrawsCompared, Link, RunSummary, World, run_seed, self_check};

#[test]
fn the_same_seed_gives_the_same_hash_and_another_seed_another() {
    let hash = |seed| run_seed(seed, golden).0;
    assert_eq!(hash(1), hash(1));
    let hashes: BTreeSet<_> = (0..50).map(|seed| hash(seed).trace_hash).collect();
    assert_eq!(hashes.len(), 50);
}

#[test]
fn two_processes_agree_on_every_seed() {
    let hashes = || (0..10).map(|seed| run_seed(seed, golden).0.trace_hash.to_string());
    let all: Vec<String> = hashes().collect();
    println!("hashes: {}", all.join(" "));
    let program = std::env::current_exe().unwrap();
    if std::env::args().any(|arg| arg == "--nocapture") {
        return; // This is the other process.
    }
    let other = std::process::Command::new(program)
        .args([
            "two_processes_agree_on_every_seed",
            "--exact",
            "--nocapture",
        ])
        .output()
        .unwrap();
    let told = String::from_utf8(other.stdout).unwrap();
    assert!(
        told.contains(&format!("hashes: {}", all.join(" "))),
        "{told}"
    );
}

#[test]
fn the_payload_is_part_of_the_hash() {
    // Two requests of the same length, at the same times, of different numbers.
    let hash = |number: u64| {
        let mut world = World::new(1);
        common::pair(&mut world, &Link::fixed(ms(1)));
        let make = move |wanted, spawner: Spawner<'_, Echo>| match wanted {
            Spawn::Client(requests) => {
                let mut client = Client::new(requests);
                client.sent = number;
                spawner.insert(client)
            }
            other => spawn(other, spawner),
        };
        let asking = world.node("asking", [10, 0, 0, 3]).spawner(make);
        world.spawn(asking, 0, client("10.0.0.2:7", 0, ms(1)));
        world.run_for(ms(1)).unwrap();
        let (task, _) = world.tasks::<Client>(asking).next().unwrap();
        world.command(asking, task, Command::Send(1));
        world.run_until_idle(ms(100)).unwrap();
        assert_eq!(common::the_client(&world, asking).replies.len(), 1);
        world.trace_hash()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}

#[test]
fn a_seed_that_asks_the_outside_is_found_out() {
    let runs = Cell::new(0_u64);
    let diverged = self_check(1, |world: &mut World<Echo>| {
        let (asking, _) = common::pair(world, &Link::default());
        runs.set(runs.get() + 1);
        world.run_for(ms(runs.get()))?;
        world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(1)));
        world.run_until_idle(ms(100))
    });
    let told = diverged.unwrap_err().to_string();
    assert!(told.contains("client/0 Spawn"), "{told}");
    self_check(1, golden).unwrap();
}

#[test]
fn a_task_with_a_static_is_found_out_and_what_was_drawn_last_is_named() {
    use core::sync::atomic::{AtomicU64, Ordering};
    static CLIENTS: AtomicU64 = AtomicU64::new(0);
    let make = |wanted, spawner: Spawner<'_, Echo>| match wanted {
        Spawn::Client(requests) => {
            let mut client = Client::new(requests);
            client.sent = CLIENTS.fetch_add(1, Ordering::Relaxed);
            spawner.insert(client)
        }
        other => spawn(other, spawner),
    };
    let diverged = self_check(1, |world: &mut World<Echo>| {
        common::pair(world, &Link::new(ms(1)..=ms(20)));
        let asking = world.node("asking", [10, 0, 0, 3]).spawner(make);
        let server = world.find("server").expect("there");
        world.link(asking, server, &Link::new(ms(1)..=ms(20)));
        world.spawn(asking, 0, client("10.0.0.2:7", 0, ms(1)));
        world.run_for(ms(1))?;
        let (task, _) = world.tasks::<Client>(asking).next().expect("a client");
        world.command(asking, task, Command::Send(1));
        world.run_until_idle(ms(100))
    });
    let diverged = *diverged.unwrap_err();
    // The number that it sends arrives at the server, and is another one.
    assert!(diverged.first.contains("server/0 Datagrams"), "{diverged}");
    let DrawsCompared::Same { last: Some(last) } = &diverged.draws else {
        panic!("{diverged}")
    };
    assert_eq!(last.draw.site, "link latency");
    assert_eq!(last.who, "the link from `asking` to `server`");
    let told = diverged.to_string();
    let drawn = "`link latency` of the link from `asking` to `server`, draw ";
    assert!(told.contains(drawn), "{told}");
    assert_ne!(diverged.first, diverged.second, "they say what differs");
    let [.., sent] = &diverged.led_by[..] else {
        panic!("nothing has led to it: {diverged}")
    };
    assert!(sent.contains("asking/0 Carried"), "{diverged}");
    assert!(told.contains(&format!("          {sent}\n")), "{diverged}");
}

#[test]
fn a_draw_that_the_outside_decides_is_named_though_the_events_agree() {
    let runs = Cell::new(0_u64);
    let diverged = self_check(1, |world: &mut World<Echo>| {
        let (asking, _) = common::pair(world, &Link::fixed(ms(1)));
        runs.set(runs.get() + 1);
        world.draw("requests", 0..=runs.get());
        world.spawn(asking, 0, client("10.0.0.2:7", 5, ms(1)));
        world.run_until_idle(ms(1_000))
    });
    let diverged = *diverged.unwrap_err();
    assert_eq!(
        (diverged.first.as_str(), diverged.second.as_str()),
        ("(none)", "(none)")
    );
    let DrawsCompared::Differ {
        first: Some(first),
        second: Some(second),
        ..
    } = &diverged.draws
    else {
        panic!("{diverged}")
    };
    assert_eq!(first.who, "the scenario's `requests`");
    assert_eq!((first.draw.options, second.draw.options), (4, 5));
}

#[test]
#[allow(clippy::disallowed_types, reason = "the mistake that is to be found")]
fn the_order_of_a_hash_table_is_found_out() {
    use std::collections::HashSet;
    // Which of the clients begins is left to a table with a random seed.
    let diverged = self_check(1, |world: &mut World<Echo>| {
        common::pair(world, &Link::new(ms(1)..=ms(20)).loss(0.1));
        let all: HashSet<u8> = (10..40).collect();
        #[allow(clippy::iter_over_hash_type, reason = "the mistake")]
        for number in all {
            let node = world.node(format!("client {number}"), [10, 0, 0, number]);
            let node = node.spawner(spawn);
            world.spawn(node, 0, client("10.0.0.2:7", 2, ms(1)));
            world.run_for(ms(1))?;
        }
        world.run_until_idle(ms(1_000))
    });
    let diverged = *diverged.unwrap_err();
    let told = diverged.to_string();
    assert_ne!(diverged.first, diverged.second);
    assert!(told.contains("the order of a `HashMap`"), "{told}");
    let DrawsCompared::Differ { first, second, .. } = &diverged.draws else {
        panic!("{told}")
    };
    let whose = [first, second].map(|draw| draw.as_ref().unwrap().who.clone());
    assert!(whose.iter().any(|who| who.contains("client ")), "{told}");
}

#[test]
fn recorded_choices_give_the_same_run_as_their_seed() {
    let recorder = Rc::new(Recorder::default());
    let recorded = run_with(Entropy::with_choices(
        7,
        Rc::clone(&recorder) as Rc<dyn Choices>,
    ));
    let (seeded, _) = run_seed(7, golden);
    assert_eq!(recorded.trace_hash(), seeded.trace_hash);

    // Played back over another seed, the choices alone decide.
    let list = recorder.list.take();
    assert!(list.len() > 100);
    let player = Rc::new(Player {
        list,
        next: Cell::new(0),
    });
    let played = run_with(Entropy::with_choices(
        8,
        Rc::clone(&player) as Rc<dyn Choices>,
    ));
    assert_eq!(played.trace_hash(), seeded.trace_hash);
    assert_eq!(player.next.get(), player.list.len());
}

#[test]
fn choices_of_a_fuzzer_keep_the_promises_of_links() {
    // Draws that are never the same twice must still not let datagrams overtake.
    for start in 0..20 {
        let noise = Rc::new(Noise(Cell::new(start)));
        let mut world = World::with_entropy(Entropy::with_choices(0, noise));
        let (asking, server) = common::pair(&mut world, &Link::new(ms(1)..=ms(40)));
        world.spawn(asking, 0, client("10.0.0.2:7", 200, ms(1)));
        world.run_until_idle(ms(1_000)).unwrap();
        assert_eq!(common::heard(&world, server), (0..200).collect::<Vec<_>>());
    }
}

#[test]
fn what_happens_at_one_instant_comes_in_an_order_that_the_seed_chooses() {
    let order = |seed| {
        let mut world = World::new(seed);
        for number in 0..4 {
            let node = world
                .node(format!("node {number}"), [10, 0, 0, number])
                .spawner(spawn);
            world.spawn(node, 0, server(&format!("0.0.0.0:{}", number + 1)));
        }
        world.run_until_idle(ms(1)).unwrap();
        let ports = reported(&mut world)
            .into_iter()
            .filter_map(|report| match report {
                Report::Opened(local) => Some(local.port()),
                _ => None,
            });
        ports.collect::<Vec<_>>()
    };
    let orders: BTreeSet<_> = (0..200).map(order).collect();
    assert_eq!(orders.len(), 24, "all orders of four");
}

#[test]
fn one_more_node_with_traffic_of_its_own_changes_nothing_for_the_others() {
    for seed in 0..20 {
        let alone = pair_trace(seed, |_| {});
        let joined = pair_trace(seed, |world| {
            let faulty = Link::new(ms(1)..=ms(10))
                .loss(0.5)
                .duplicate(0.3)
                .reorder(0.5, ms(9));
            let third = world.node("third", [10, 0, 1, 1]).workers(2).spawner(spawn);
            let fourth = world.node("fourth", [10, 0, 1, 2]).spawner(spawn);
            world.link(third, fourth, &faulty);
            world.spawn(third, 1, server("10.0.1.1:7"));
            world.spawn(fourth, 0, client("10.0.1.1:7", 500, ms(1)));
        });
        assert_eq!(alone, joined, "seed {seed}");
    }
}

#[test]
fn more_loss_elsewhere_changes_nothing_for_the_others() {
    let with = |seed, loss| {
        pair_trace(seed, |world| {
            let third = world.node("third", [10, 0, 1, 1]).spawner(spawn);
            let server = world.find("server").expect("there");
            world.link(third, server, &Link::new(ms(1)..=ms(10)).loss(loss));
            world.spawn(third, 0, client("10.0.0.2:7", 300, ms(3)));
        })
    };
    // The server itself is shared, so its answers to the third are set aside too.
    for seed in 0..20 {
        assert_eq!(with(seed, 0.0), with(seed, 0.6), "seed {seed}");
    }
}

/// The events of a pair with a faulty link, besides whatever `others` adds to their world.
fn pair_trace(seed: u64, others: impl Fn(&mut World<Echo>)) -> Vec<String> {
    let mut world = World::new(seed);
    world.record_trace();
    let asking = world.node("client", [10, 0, 0, 1]).spawner(spawn);
    let answering = world.node("server", [10, 0, 0, 2]).spawner(spawn);
    let faulty = Link::new(ms(1)..=ms(40))
        .loss(0.2)
        .duplicate(0.2)
        .reorder(0.3, ms(20));
    world.link(asking, answering, &faulty);
    others(&mut world);
    world.spawn(answering, 0, server("10.0.0.2:7"));
    world.run_for(ms(2)).unwrap();
    world.spawn(asking, 0, client("10.0.0.2:7", 200, ms(2)));
    world.run_until_idle(ms(10_000)).unwrap();
    let trace = world.take_trace();
    assert!(trace.len() > 500);
    let told = trace
        .iter()
        .filter(|event| [asking, answering].contains(&event.node));
    let told = told.map(|event| world.describe(event));
    told.filter(|event| !event.contains("10.0.1.")).collect()
}

fn run_with(entropy: Entropy) -> World<Echo> {
    let mut world = World::with_entropy(entropy);
    golden(&mut world).unwrap();
    world
}

/// Writes down what the seed gives.
#[derive(Default)]
struct Recorder {
    list: RefCell<Vec<u64>>,
}

impl Choices for Recorder {
    fn choose(&self, _: Draw, drawn: u64) -> u64 {
        self.list.borrow_mut().push(drawn);
        drawn
    }
}

/// Gives out a list.
struct Player {
    list: Vec<u64>,
    next: Cell<usize>,
}

impl Choices for Player {
    fn choose(&self, _: Draw, _: u64) -> u64 {
        self.next.set(self.next.get() + 1);
        self.list[self.next.get() - 1]
    }
}

/// Another number each time.
struct Noise(Cell<u64>);

impl Choices for Noise {
    fn choose(&self, draw: Draw, _: u64) -> u64 {
        let next = self
            .0
            .get()
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.0.set(next);
        (next >> 33) % draw.options.max(1)
    }
}

#[test]
fn a_summary_tells_how_far_a_run_came() {
    let (
        RunSummary {
            seed, events, at, ..
        },
        _,
    ) = run_seed(1, golden);
    assert_eq!(seed, 1);
    assert!(events > 300 && at > stillpoint::Timestamp::EPOCH.after(ms(100)));
}
