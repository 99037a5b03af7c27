//! The scenarios: between them they use everything that there is.

use stillpoint::{
    App, DeviceOpen, Membership, NoRoom, Packet, Reading, TaskId, Token, UdpOpen, WhenWorkerFails,
};
use stillpoint_sim::{
    BusLink, Core, Failure, Link, NodeId, TraceDetail, TraceLog, World, run_seed,
};

use crate::Scenario;
use crate::common::{self, Command, Echo, client, golden, server};
use crate::hand::{self, Hands, Manner, act, hand, ms, node, order, us};
use crate::weather::{
    clocks_and_slow_workers, every_kind_of_fault, homes_behind_gateways, links_of_each_kind,
};
use crate::wire::{self, Wire, frame, give, ipv4, large, tun};

/// A scenario by the name of its function.
macro_rules! scenario {
    ($seed:literal, $run:ident) => {
        Scenario {
            name: stringify!($run),
            seed: $seed,
            run: |seed| run_seed(seed, $run),
            record: |seed| record(seed, $run),
        }
    };
}

pub(crate) const SCENARIOS: &[Scenario] = &[
    scenario!(1, golden),
    scenario!(2, runs_over_bad_links),
    scenario!(3, two_families_and_loopback),
    scenario!(4, refused_and_unreachable),
    scenario!(5, a_crowd_at_one_instant),
    scenario!(6, streams_over_bad_links),
    scenario!(7, streams_that_break),
    scenario!(8, groups),
    scenario!(9, the_bus_under_load),
    scenario!(10, workers_that_stall_and_fail),
    scenario!(11, a_controller_at_work),
    scenario!(12, a_core_that_converges),
    scenario!(13, packets_of_devices),
    scenario!(14, frames_on_a_switch),
    scenario!(15, links_of_each_kind),
    scenario!(16, homes_behind_gateways),
    scenario!(17, clocks_and_slow_workers),
    scenario!(18, every_kind_of_fault),
];

/// The log of a run, with all that a log can hold.
fn record<A: App>(seed: u64, scenario: impl Fn(&mut World<A>) -> Result<(), Failure>) -> TraceLog {
    let mut world = World::new(seed);
    world.record_log(TraceDetail::new().payloads(1 << 30).states());
    scenario(&mut world).and_then(|()| world.decide()).unwrap();
    world.take_log()
}

type Who = (NodeId, TaskId);

fn bad() -> Link {
    Link::new(ms(1)..=ms(20))
        .loss(0.1)
        .duplicate(0.1)
        .reorder(0.1, ms(10))
}

fn runs_over_bad_links(world: &mut World<Echo>) -> Result<(), Failure> {
    let (asking, _) = common::pair(world, &bad());
    world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(1)));
    world.run_for(ms(1))?;
    let (task, _) = world
        .tasks::<common::Client>(asking)
        .next()
        .expect("a client");
    for count in 2..20 {
        world.command(asking, task, Command::SendRun(count));
        world.run_for(ms(3))?;
    }
    world.run_until_idle(ms(1_000))
}

fn two_families_and_loopback(world: &mut World<Echo>) -> Result<(), Failure> {
    let both = world
        .node("both", [10, 0, 0, 1])
        .address([0xfd00, 0, 0, 0, 0, 0, 0, 1]);
    let both = both.workers(2).spawner(common::spawn);
    let other = world
        .node("other", [10, 0, 0, 2])
        .address([0xfd00, 0, 0, 0, 0, 0, 0, 2]);
    let other = other.spawner(common::spawn);
    world.link(both, other, &bad());
    world.spawn(both, 0, server("[::]:7"));
    world.spawn(both, 1, server("127.0.0.1:8"));
    world.run_for(ms(1))?;
    world.spawn(other, 0, client("[fd00::1]:7", 10, ms(3)));
    world.spawn(other, 0, client("10.0.0.1:7", 10, ms(3)));
    world.spawn(both, 1, client("127.0.0.1:8", 10, ms(3)));
    world.spawn(both, 0, client("[::1]:7", 10, ms(3)));
    world.run_until_idle(ms(1_000))?;
    world.finish(ms(1_000))
}

fn refused_and_unreachable(world: &mut World<Echo>) -> Result<(), Failure> {
    let (asking, answering) = common::pair(world, &bad());
    world.spawn(asking, 0, client("10.0.0.2:9", 10, ms(3)));
    world.spawn(asking, 0, client("10.9.9.9:7", 10, ms(3)));
    world.spawn(asking, 0, server("10.0.0.2:7"));
    world.spawn(answering, 0, server("0.0.0.0:7"));
    world.run_until_idle(ms(1_000))
}

fn a_crowd_at_one_instant(world: &mut World<Echo>) -> Result<(), Failure> {
    world.default_link(&Link::fixed(ms(5)));
    let server_node = world.node("server", [10, 0, 1, 1]).spawner(common::spawn);
    world.spawn(server_node, 0, server("0.0.0.0:7"));
    world.run_for(ms(1))?;
    let count = world.draw("clients", 50..=100);
    for number in 0..u8::try_from(count).expect("up to 100") {
        let node = world.node(format!("client {number}"), [10, 0, 0, number]);
        let node = node.spawner(common::spawn);
        world.spawn(node, 0, client("10.0.1.1:7", 5, ms(10)));
    }
    world.run_until_idle(ms(1_000))
}

/// Two nodes with a hand each, and this link between.
fn two(world: &mut World<Hands>, link: &Link) -> (Who, Who) {
    world.default_link(link);
    let (ada, bob) = (node(world, "ada", 1, 1), node(world, "bob", 2, 1));
    let first = hand(world, ada, 0, Manner::default());
    let second = hand(world, bob, 0, Manner::default());
    ((ada, first), (bob, second))
}

fn streams_over_bad_links(world: &mut World<Hands>) -> Result<(), Failure> {
    let (ada, bob) = two(world, &bad());
    act(world, bob, |hand| hand.listen("0.0.0.0:80"));
    act(world, ada, |hand| {
        hand.connect("10.0.0.2:80");
        hand.connect("10.0.0.2:80");
        hand.connect("10.0.0.2:81");
    });
    let connected =
        move |world: &World<Hands>| world.only_task::<hand::Hand>(bob.0).streams.len() == 2;
    world.run_until(ms(60_000), connected)?;
    act(world, ada, |hand| hand.write(&[7; 60_000]));
    act(world, bob, |hand| hand.write(&[8; 30_000]));
    world.run_for(ms(500))?;
    world.finish(ms(600_000))
}

fn streams_that_break(world: &mut World<Hands>) -> Result<(), Failure> {
    let (ada, bob) = two(world, &Link::new(ms(1)..=ms(5)));
    act(world, bob, |hand| hand.listen("0.0.0.0:80"));
    for _ in 0..4 {
        act(world, ada, |hand| hand.connect("10.0.0.2:80"));
        world.run_for(ms(50))?;
    }
    act(world, bob, |hand| {
        let (stream, _) = hand.streams[0];
        hand.outbox.set_reading(stream, Reading::Paused);
    });
    act(world, ada, |hand| hand.write(&[7; 300_000]));
    world.run_for(ms(100))?;
    act(world, bob, |hand| {
        let (stream, _) = hand.streams[1];
        hand.outbox.reset(stream);
        let (stream, _) = hand.streams[2];
        hand.outbox.close(stream);
    });
    world.run_for(ms(100))?;
    world.link(ada.0, bob.0, &Link::fixed(ms(1)).loss(1.0));
    world.run_until_idle(ms(2_000_000))
}

fn groups(world: &mut World<Hands>) -> Result<(), Failure> {
    world.default_link(&bad());
    let members: Vec<Who> = (1..=4)
        .map(|number| {
            let node = node(world, &format!("member {number}"), number, 1);
            (node, hand(world, node, 0, Manner::default()))
        })
        .collect();
    for &who in &members {
        act(world, who, |hand| {
            let open = UdpOpen::new(Token(0), ([0, 0, 0, 0], 7).into());
            hand.outbox.open_udp(open.with_broadcast());
        });
    }
    for &who in &members[..3] {
        act(world, who, |hand| {
            let membership = Membership::new(hand.sockets[0], [239, 0, 0, 7]);
            hand.outbox.join_group(membership);
        });
    }
    for &who in &members {
        order(world, who, |hand| hand.send("239.0.0.7:7", b"to the group"));
        order(world, who, |hand| {
            hand.send("10.0.0.255:7", b"to everybody")
        });
        order(world, who, |hand| hand.send("239.0.0.8:7", b"to nobody"));
    }
    world.run_until_idle(ms(1_000))
}

fn the_bus_under_load(world: &mut World<Hands>) -> Result<(), Failure> {
    let here = node(world, "here", 1, 4);
    world.set_bus(here, BusLink::new(us(1)..=us(300)).queue_max(16));
    let manner = Manner {
        answers: true,
        ..Manner::default()
    };
    let all: Vec<Who> = (0..8)
        .map(|number| (here, hand(world, here, number % 4, manner)))
        .collect();
    for &who in &all {
        act(world, who, |hand| hand.outbox.subscribe(1));
    }
    for (number, &who) in all.iter().enumerate() {
        let to = all[(number + 3) % 8].1;
        order(world, who, move |hand| {
            for number in 0..40 {
                hand.outbox.send_to(to, number, NoRoom::Drop);
                hand.ask(to, number);
            }
            hand.outbox.publish(1, 7, NoRoom::Drop);
        });
    }
    world.run_until_idle(ms(20_000))?;
    world.finish(ms(1_000))
}

fn workers_that_stall_and_fail(world: &mut World<Hands>) -> Result<(), Failure> {
    let here = world.node("here", [10, 0, 0, 1]).workers(3);
    let restarts = WhenWorkerFails::Restart { restarts_max: 2 };
    let here = here.when_worker_fails(restarts).spawner(hand::spawn);
    let all = [0, 1, 2].map(|worker| (here, hand(world, here, worker, Manner::default())));
    for (number, &who) in all.iter().enumerate() {
        let to = all[(number + 1) % 3].1;
        act(world, who, move |hand| {
            hand.open("0.0.0.0:0");
            hand.ask(to, 1);
            hand.every = Some(ms(2));
            hand.wait(ms(1), "tick");
        });
    }
    world.stall_worker(here, 1, ms(20));
    world.run_for(ms(10))?;
    world.kill_worker(here, 2);
    world.run_for(ms(30))?;
    world.finish(ms(1_000))
}

fn a_controller_at_work(world: &mut World<Hands>) -> Result<(), Failure> {
    let here = node(world, "here", 1, 2);
    for _ in 0..6 {
        let placed = world
            .controller(here)
            .spawn(stillpoint::Placement::LeastLoaded, Manner::default());
        placed.expect("it is placed");
        world.run_for(us(50))?;
    }
    world.controller(here).publish(1, 7).expect("published");
    world.controller(here).broadcast(8).expect("broadcast");
    world.controller(here).add_worker().expect("added");
    world.run_for(ms(1))?;
    world.controller(here).remove_worker(0).expect("removed");
    world.run_for(ms(1))?;
    while world.controller(here).poll().is_some() {}
    world.controller(here).shutdown(ms(10));
    world.run_until_idle(ms(1_000))
}

fn a_core_that_converges(world: &mut World<Hands>) -> Result<(), Failure> {
    world.default_link(&bad());
    let all: Vec<Who> = (1..=5)
        .map(|number| {
            let node = node(world, &format!("node {number}"), number, 1);
            (node, hand(world, node, 0, Manner::default()))
        })
        .collect();
    for &who in &all {
        act(world, who, |hand| {
            hand.open("0.0.0.0:7");
            hand.every = Some(ms(10));
            hand.wait(ms(10), "tick");
            hand.on_timeout = Some(|hand| {
                for number in 1..=5 {
                    hand.send(&format!("10.0.0.{number}:7"), b"x");
                }
            });
        });
    }
    world.run_for(ms(50))?;
    let heard = |world: &World<Hands>, core: &[NodeId]| {
        let mut hands = core.iter().map(|&node| world.only_task::<hand::Hand>(node));
        hands.all(|hand| hand.bytes.len() > 60)
    };
    world.converge(ms(10_000), &Core::majority(), heard)?;
    Ok(())
}

fn packets_of_devices(world: &mut World<Wire>) -> Result<(), Failure> {
    let here = wire::opened(world, 1, tun("10.0.1.1"));
    let there = wire::opened(world, 2, tun("10.0.2.1"));
    world.link(here, there, &bad());
    for port in 0..20 {
        give(world, here, [ipv4("10.0.1.2", "10.0.2.2", port, b"hello")]);
        give(world, there, [ipv4("10.0.2.2", "10.0.1.1", port, b"hello")]);
        world.run_for(ms(2))?;
    }
    world.inject_packet(here, "tun0", large("10.0.1.1", "10.0.2.2"));
    world.inject_packet(
        here,
        "tun0",
        Packet::new(ipv4("10.0.1.1", "10.9.9.9", 7, b"")),
    );
    world.run_until_idle(ms(1_000))?;
    world.remove_device(there, "tun0");
    world.run_until_idle(ms(1_000))
}

fn frames_on_a_switch(world: &mut World<Wire>) -> Result<(), Failure> {
    let open = || DeviceOpen::tap(Token(0));
    let nodes = [1, 2, 3].map(|number| wire::opened(world, number, open()));
    world.default_link(&bad());
    for round in 0..10 {
        for (number, &node) in nodes.iter().enumerate() {
            let to = [255, 2, 3, 1][(number + round) % 4];
            give(world, node, [frame(number + 1, to)]);
        }
        world.run_for(ms(5))?;
    }
    world.run_until_idle(ms(1_000))
}
