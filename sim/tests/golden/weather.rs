//! The scenarios of links that are not plain, networks behind gateways, clocks, and faults.

use stillpoint_sim::{
    Failure, FaultPlan, Firewall, InputCost, Latency, Link, Loss, Nat, NodeClock, NodeId, Order,
    Queue, Schedule, Who, World,
};

use crate::common::{self, Command, Echo, Server, client, server};
use crate::hand::{ms, us};

/// A server, and a client that asks it 20 times and then sends it runs.
fn asked(world: &mut World<Echo>, link: &Link) -> Result<[NodeId; 2], Failure> {
    let (asking, answering) = common::pair(world, link);
    world.spawn(asking, 0, client("10.0.0.2:7", 20, ms(3)));
    world.run_for(ms(30))?;
    let client = world.tasks::<common::Client>(asking).next();
    let (task, _) = client.expect("it is there");
    for count in 2..12 {
        world.command(asking, task, Command::SendRun(count));
        world.run_for(ms(3))?;
    }
    Ok([asking, answering])
}

/// Each way of a link to be other than plain, one after the other.
pub(crate) fn links_of_each_kind(world: &mut World<Echo>) -> Result<(), Failure> {
    let [asking, answering] = asked(world, &Link::home_wifi())?;
    let plain = Link::fixed(ms(2));
    let spread = [
        Latency::constant(ms(2)),
        Latency::uniform(ms(1)..=ms(9)),
        Latency::normal(ms(9), ms(2)),
        Latency::log_normal(ms(5), 0.5),
        Latency::pareto(ms(2), 2.5),
    ];
    let spread = spread.map(|latency| plain.clone().latency(latency).order(Order::Free));
    let other = [
        plain.clone().loss_model(Loss::bursts(0.2, 3.0)),
        plain.clone().corrupt(0.3).truncate(0.3),
        plain.clone().split_runs(0.5).refuse_runs(0.3),
        plain.clone().bandwidth(1_000_000),
        plain
            .clone()
            .bandwidth(200_000)
            .queue(Queue::codel(ms(5), ms(50))),
        plain
            .clone()
            .bandwidth(200_000)
            .queue(Queue::tail_drop(500)),
        plain.clone().flapping(ms(5)..=ms(20), ms(5)..=ms(20)),
    ];
    let client = world.tasks::<common::Client>(asking).next();
    let (task, _) = client.expect("it is there");
    for link in spread.iter().chain(&other) {
        world.link(asking, answering, link);
        for count in [1, 7, 19] {
            world.command(asking, task, Command::SendRun(count));
            world.run_for(ms(10))?;
        }
    }
    world.run_until_idle(ms(10_000))
}

/// Homes with the same addresses inside, behind NATs that forget, one of them behind another; a
/// firewall; and a node that moves.
pub(crate) fn homes_behind_gateways(world: &mut World<Echo>) -> Result<(), Failure> {
    let hub = world.node("hub", [203, 0, 113, 1]);
    let hub = hub.firewall(Firewall::open()).spawner(common::spawn);
    let carrier = world.gateway("carrier").address([203, 0, 113, 2]);
    let carrier = carrier.nat(Nat::symmetric()).build();
    let one = world.gateway("one").address([203, 0, 113, 3]);
    let one = one.nat(Nat::port_restricted()).build();
    let other = world
        .gateway("other")
        .address([100, 64, 0, 2])
        .behind(carrier);
    let other = other.nat(Nat::full_cone()).build();
    let homes: Vec<NodeId> = [("ada", one), ("bob", other)]
        .map(|(name, home)| {
            let node = world.node(name, [192, 168, 1, 10]).behind(home);
            node.spawner(common::spawn)
        })
        .into();
    world.default_link(&Link::new(ms(1)..=ms(20)).loss(0.05).reorder(0.1, ms(9)));
    world.spawn(hub, 0, server("0.0.0.0:7"));
    world.run_for(ms(1))?;
    for &node in &homes {
        world.spawn(node, 0, client("203.0.113.1:7", 30, ms(9)));
    }
    world.run_for(ms(100))?;
    world.rebind(one);
    world.run_for(ms(50))?;
    world.move_behind(homes[1], Some(one), [192, 168, 1, 11]);
    world.run_until_idle(ms(1_000))
}

/// Clocks that are off and drift, timers that are late, and inputs that take time; with
/// preemptions.
pub(crate) fn clocks_and_slow_workers(world: &mut World<Echo>) -> Result<(), Failure> {
    world.set_schedule(Schedule::pct(5));
    let busy = world.node("busy", [10, 0, 0, 1]).workers(2);
    let busy = busy
        .clock(NodeClock::new().offset(ms(7)))
        .spawner(common::spawn);
    let fast = world.node("fast", [10, 0, 0, 2]);
    let fast = fast
        .clock(NodeClock::new().drift(40_000))
        .spawner(common::spawn);
    world.set_timer_lateness(Who::All, us(0)..=us(900));
    world.set_input_cost(busy, InputCost::new(us(10)..=us(4_000)));
    world.spawn(busy, 0, server("0.0.0.0:7"));
    world.spawn(busy, 1, server("0.0.0.0:8"));
    world.run_for(ms(10))?;
    for peer in ["10.0.0.1:7", "10.0.0.1:8"] {
        world.spawn(fast, 0, client(peer, 20, ms(2)));
    }
    world.run_for(ms(20))?;
    world.jump_clock(fast, ms(11));
    world.run_until_idle(ms(1_000))
}

/// A plan with faults of every kind, and what comes after.
pub(crate) fn every_kind_of_fault(world: &mut World<Echo>) -> Result<(), Failure> {
    let home = world.node("home", [10, 0, 0, 1]).workers(2).boot(|boot| {
        for (worker, bind) in [(0, "0.0.0.0:7"), (1, "0.0.0.0:8")] {
            boot.spawn(worker, server(bind));
        }
    });
    let home = home.spawner(common::spawn);
    for number in 2..5 {
        let node = world.node(format!("guest {number}"), [10, 0, 0, number]);
        node.boot(move |boot| {
            let peer = format!("10.0.0.1:{}", 7 + number % 2);
            boot.spawn(0, client(&peer, 100, ms(7)));
        })
        .spawner(common::spawn);
    }
    let plan = FaultPlan::everything().switch_chance(1.0);
    world.plan(&plan, ms(800));
    world.run_for(ms(800))?;
    world.heal();
    world.run_until_idle(ms(500_000))?;
    if world.tasks::<Server>(home).count() == 0 {
        world.restart(home);
    }
    world.run_until_idle(ms(1_000))
}
