//! Plans of faults: what a seed makes of them, and what is left when all is healed.

use core::time::Duration;
use std::collections::BTreeSet;

use super::common::{self, Echo, client, heard, ms, pair};
use super::shop::{self, Report, Shop};
use stillpoint::Timestamp;
use stillpoint_sim::{
    Failure, Fault, FaultKind, FaultPlan, Link, Nat, NodeId, TraceKind, Who, World, check,
    self_check,
};

/// The name of what happens.
fn name(fault: &Fault) -> String {
    let text = format!("{fault:?}");
    let end = text.find([' ', '(']).unwrap_or(text.len());
    text[..end].to_owned()
}

#[test]
fn scheduled_faults_happen_at_their_time_and_are_in_the_trace() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    let at = |millis| Timestamp::EPOCH.after(ms(millis));
    world.record_trace();
    world.script([
        (at(80), Fault::Restart(answering)),
        (at(40), Fault::Crash(answering)),
    ]);
    world.spawn(asking, 0, client("10.0.0.2:7", 10, ms(10)));
    world.run_for(ms(50)).unwrap();
    assert!(world.is_down(answering));
    assert_eq!(world.last_fault_at(), Some(at(40)));
    world.run_until_idle(ms(100)).unwrap();
    assert!(!world.is_down(answering));
    let trace = world.take_trace();
    let faults: Vec<_> = trace
        .iter()
        .filter(|event| event.kind == TraceKind::Fault)
        .collect();
    assert_eq!(
        faults.iter().map(|fault| fault.at).collect::<Vec<_>>(),
        [at(40), at(80)]
    );
    let text = world.describe(faults[0]);
    assert!(text.contains("server/0 Fault: Crash(NodeId(1))"), "{text}");
}

#[test]
fn a_fault_comes_before_what_else_is_due_then() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(10)));
    let arrives = world.now().after(ms(1));
    world.schedule(arrives, Fault::Crash(answering));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(world.counters().delivered, 0);
}

#[test]
fn a_way_and_a_link_are_as_a_fault_has_them_until_it_ends() {
    let mut world = World::new(1);
    let (asking, answering) = pair(&mut world, &Link::fixed(ms(1)));
    let (from, to) = (asking, answering);
    let link = |link: Link| Fault::SetLink {
        from,
        to,
        link: Some(Box::new(link)),
    };
    let (one, other) = (vec![asking], vec![answering]);
    let far = Link::fixed(ms(30));
    let ask = |world: &mut World<Echo>, fault: Fault| {
        world.inject(fault);
        world.spawn(asking, 0, client("10.0.0.2:7", 1, ms(10)));
        let (before, since) = (heard(world, answering).len(), world.now());
        world.run_for(ms(100)).unwrap();
        let (_, server) = world.tasks::<common::Server>(answering).next().unwrap();
        server.heard.get(before).map(|(at, _)| at.since(since))
    };
    assert_eq!(ask(&mut world, Fault::Cut { from, to }), None);
    assert_eq!(ask(&mut world, Fault::Mend { from, to }), Some(ms(1)));
    let duration = ms(50);
    assert_eq!(
        ask(&mut world, Fault::Clog { from, to, duration }),
        Some(ms(51))
    );
    let (a, b) = (one.clone(), other.clone());
    assert_eq!(ask(&mut world, Fault::Partition { one: a, other: b }), None);
    assert_eq!(ask(&mut world, Fault::Rejoin { one, other }), Some(ms(1)));
    assert_eq!(ask(&mut world, link(Link::fixed(ms(9)))), Some(ms(9)));
    assert_eq!(ask(&mut world, link(far.clone())), Some(ms(30)));
    let none = Fault::SetLink {
        from,
        to,
        link: None,
    };
    assert_eq!(ask(&mut world, none), Some(ms(1)), "as the scenario had it");
    // What the scenario sets meanwhile is for later.
    world.inject(link(far));
    world.link(asking, answering, &Link::fixed(ms(5)));
    assert_eq!(ask(&mut world, Fault::Cut { from, to }), None);
    world.heal();
    let nothing = Fault::Resume(asking);
    assert_eq!(ask(&mut world, nothing), Some(ms(5)));
}

#[test]
fn the_last_fault_is_known_however_it_came() {
    type Goes = fn(&mut World<Echo>, NodeId, NodeId);
    let ways: [Goes; 7] = [
        |world, node, _| world.stall_worker(node, 0, ms(1)),
        |world, node, _| world.kill_worker(node, 0),
        |world, node, other| world.cut(node, other),
        |world, node, other| world.clog(node, other, ms(1)),
        |world, node, other| world.mend(node, other),
        |world, node, _| world.jump_clock(node, ms(1)),
        |world, node, _| world.schedule(world.now(), Fault::Crash(node)),
    ];
    for goes in ways {
        let mut world = World::new(1);
        let (asking, answering) = pair(&mut world, &Link::default());
        assert_eq!(world.last_fault_at(), None);
        let now = world.now();
        goes(&mut world, asking, answering);
        world.run_for(ms(5)).unwrap();
        assert_eq!(world.last_fault_at(), Some(now));
    }
}

#[test]
fn nats_forget_and_nodes_move() {
    let mut world = World::new(1);
    let answering = world.node("server", [10, 0, 0, 2]).spawner(common::spawn);
    let home = world
        .gateway("home")
        .address([10, 0, 0, 9])
        .nat(Nat::full_cone())
        .build();
    let asking = world.node("client", [192, 168, 0, 2]).behind(home);
    let asking = asking.spawner(common::spawn);
    world.spawn(answering, 0, common::server("10.0.0.2:7"));
    world.run_for(ms(1)).unwrap();
    world.spawn(asking, 0, client("10.0.0.2:7", 100, ms(10)));
    world.run_for(ms(200)).unwrap();
    let seen = |world: &World<Echo>| world.mappings(home).len();
    assert_eq!(seen(&world), 1);
    world.inject(Fault::Rebind(home));
    assert_eq!(seen(&world), 0);
    world.run_for(ms(200)).unwrap();
    assert_eq!(seen(&world), 1, "what it sends next is mapped anew");

    let address = [10, 0, 0, 10].into();
    world.inject(Fault::Readdress {
        gateway: home,
        address,
    });
    assert_eq!(world.address(home), address);
    let address = [10, 0, 0, 77].into();
    world.inject(Fault::Roam {
        node: asking,
        gateway: None,
        address,
    });
    assert_eq!(world.address(asking), address);
    assert!(world.last_fault_at().is_some());

    // A plan may have it happen, if there is a NAT.
    let plan = FaultPlan::new()
        .with(FaultKind::Rebind, 2..=2, ms(0)..=ms(0))
        .switch_chance(1.0);
    world.plan(&plan, ms(100));
    let planned = world.planned().into_iter().map(|(_, fault)| fault);
    assert_eq!(
        planned.collect::<Vec<_>>(),
        [Fault::Rebind(home), Fault::Rebind(home)]
    );
}

#[test]
fn a_fault_that_is_for_nobody_does_nothing() {
    let mut world = World::<Shop>::new(1);
    let (till, buyers) = shop::open(&mut world, 1);
    world.crash(buyers[0]);
    for fault in [
        Fault::Crash(buyers[0]),
        Fault::Pause(buyers[0]),
        Fault::Resume(buyers[0]),
        Fault::StallWorker {
            node: till,
            worker: 9,
            stall: ms(5),
        },
        Fault::KillWorker {
            node: buyers[0],
            worker: 0,
        },
        Fault::SlowInputs {
            who: Who::from(buyers[0]),
            cost: None,
        },
        Fault::ResetStreams {
            who: Who::from(buyers[0]),
            chance: 1.0,
        },
    ] {
        world.inject(fault);
        world.run_for(ms(1)).unwrap();
    }
    assert_eq!((world.workers(till), world.life(buyers[0])), (2, 0));
}

#[test]
fn healing_cancels_what_is_to_come_and_ends_what_is() {
    let mut world = World::<Shop>::new(1);
    let (till, buyers) = shop::open(&mut world, 3);
    world.run_for(ms(100)).unwrap();
    world.schedule(world.now().after(ms(50)), Fault::Crash(till));
    world.crash(buyers[0]);
    world.pause(buyers[1]);
    world.partition(&[till], &[buyers[2]]);
    world.inject(Fault::StallWorker {
        node: till,
        worker: 0,
        stall: ms(100_000),
    });
    world.inject(Fault::KillWorker {
        node: till,
        worker: 1,
    });
    let (error, chance) = (stillpoint::NetworkError::QueueFull, 1.0);
    world.inject(Fault::SendErrors {
        node: till,
        error,
        chance,
    });
    world.run_for(ms(20)).unwrap();
    world.heal();
    assert_eq!(world.workers(till), 2, "it lacked the clerk");
    world.take_reports();
    world.run_for(ms(3_000)).unwrap();
    assert_all_is_well(&mut world, till, &buyers);
    assert_eq!(world.life(till), 1);
}

/// Everybody got answers lately, over both, and the clerk writes them down.
fn assert_all_is_well(world: &mut World<Shop>, till: NodeId, buyers: &[NodeId]) {
    let lately = world.now().as_nanos().saturating_sub(1_000_000_000);
    let reports = world.take_reports();
    let told = reports
        .iter()
        .filter(|reported| reported.at.as_nanos() > lately);
    let told: BTreeSet<(NodeId, u8)> = told
        .map(|reported| match reported.report {
            Report::Sold(_) => (reported.node, 0),
            Report::Answered => (reported.node, 1),
            Report::Echoed => (reported.node, 2),
        })
        .collect();
    assert!(told.contains(&(till, 0)), "the clerk writes nothing down");
    for &buyer in buyers {
        assert!(
            told.contains(&(buyer, 1)),
            "no answers over UDP for {buyer:?}"
        );
        assert!(
            told.contains(&(buyer, 2)),
            "no answers over TCP for {buyer:?}"
        );
    }
}

#[test]
fn a_seed_switches_kinds_on_and_every_kind_is_drawn_by_some_seed() {
    let mut seen = BTreeSet::new();
    let (mut lists, mut counts) = (BTreeSet::new(), 0);
    for seed in 0..60 {
        let mut world = World::<Shop>::new(seed);
        shop::open(&mut world, 3);
        world.plan(&FaultPlan::everything(), Duration::from_secs(20));
        let planned = world.planned();
        assert!(planned.is_sorted_by_key(|(at, _)| *at));
        let end = Timestamp::EPOCH.after(Duration::from_secs(20));
        assert!(planned.iter().all(|(at, _)| *at <= end));
        let kinds: BTreeSet<_> = planned.iter().map(|(_, fault)| name(fault)).collect();
        counts += kinds.len();
        seen.extend(kinds.clone());
        lists.insert(kinds);
    }
    let all = [
        "Crash",
        "Restart",
        "PowerCycle",
        "Pause",
        "Resume",
        "StallWorker",
        "KillWorker",
        "Cut",
        "Mend",
        "Clog",
        "Partition",
        "Rejoin",
        "SetLink",
        "JumpClock",
        "SetBackClock",
        "LateTimers",
        "SlowInputs",
        "SendErrors",
        "BindErrors",
        "DescriptorsMax",
        "BusQueue",
        "ResetStreams",
        "SlowReaders",
        "Buggify",
    ];
    assert_eq!(seen, all.map(str::to_owned).into());
    assert!(lists.len() > 50, "seeds differ in what is on");
    assert!(
        (400..900).contains(&counts),
        "about half of 24, each: {counts}"
    );
}

#[test]
fn a_plan_draws_what_it_says() {
    let plan = FaultPlan::new()
        .with(FaultKind::Crash, 2..=4, ms(100)..=ms(200))
        .switch_chance(1.0);
    let mut all = BTreeSet::new();
    for seed in 0..50 {
        let mut world = World::<Shop>::new(seed);
        let (_, buyers) = shop::open(&mut world, 3);
        let plan = plan.clone().on(buyers.clone());
        world.plan(&plan, ms(10_000));
        let planned = world.planned();
        let crashes = planned.iter().filter_map(|(at, fault)| match fault {
            Fault::Crash(node) => Some((*at, *node)),
            _ => None,
        });
        let crashes: Vec<_> = crashes.collect();
        assert!((2..=4).contains(&crashes.len()));
        assert_eq!(planned.len(), 2 * crashes.len());
        for (at, node) in crashes {
            assert!(buyers.contains(&node));
            let up = planned.iter().any(|(up, fault)| {
                let down = up.since(at);
                *fault == Fault::Restart(node) && (ms(100)..=ms(200)).contains(&down)
                    || *up == Timestamp::EPOCH.after(ms(10_000))
            });
            assert!(up, "it starts again");
            all.insert(node);
        }
    }
    assert_eq!(all.len(), 3, "each is hit by some seed");
}

#[test]
fn one_more_kind_or_node_changes_little_of_a_plan() {
    let planned = |plan: &FaultPlan, buyers: u8| {
        let mut world = World::<Shop>::new(11);
        shop::open(&mut world, buyers);
        world.plan(plan, ms(10_000));
        world.planned()
    };
    let plan = FaultPlan::new()
        .with(FaultKind::Pause, 20..=20, ms(10)..=ms(100))
        .switch_chance(1.0);
    let alone = planned(&plan, 9);
    let more = plan.clone().with(FaultKind::Stall, 3..=3, ms(10)..=ms(20));
    let mut with_more = planned(&more, 9);
    with_more.retain(|(_, fault)| name(fault) != "StallWorker");
    assert_eq!(alone, with_more);
    let with_one_more = planned(&plan, 10);
    let same = alone
        .iter()
        .filter(|fault| with_one_more.contains(fault))
        .count();
    assert!(same >= 30, "of 40: {same}");
}

#[test]
fn a_plan_that_is_written_down_makes_the_same_run_as_a_script() {
    for seed in 0..10 {
        let run = |script: Option<Vec<(Timestamp, Fault)>>| {
            let mut world = World::<Shop>::new(seed);
            world.tolerate_task_failures();
            shop::open(&mut world, 2);
            match script {
                None => world.plan(&FaultPlan::everything(), ms(5_000)),
                Some(script) => world.script(script),
            }
            world.run_for(ms(6_000)).unwrap();
            (world.planned(), world.trace_hash())
        };
        let (planned, hash) = run(None);
        let (again, scripted) = run(Some(planned.clone()));
        assert_eq!((planned, hash), (again, scripted));
    }
}

/// Whatever happens: nothing is lost that is not counted, and once all is healed, all is well.
fn anything(world: &mut World<Shop>) -> Result<(), Failure> {
    let (till, buyers) = shop::open(world, 3);
    world.run_for(ms(50))?;
    let plan = FaultPlan::everything().with(FaultKind::ClockBack, 1..=2, ms(1)..=ms(3_000));
    world.plan(&plan, ms(5_000));
    world.run_for(ms(5_000))?;
    world.heal();
    world.take_reports();
    // Clocks that were set back stand still for up to six seconds.
    world.run_for(ms(10_000))?;
    assert_all_is_well(world, till, &buyers);
    for node in buyers.into_iter().chain([till]) {
        world.abort(node);
    }
    world.run_until_idle(Duration::from_secs(2_000))?;
    let bytes = world.counters().stream_bytes;
    assert_eq!((bytes.waiting, bytes.under_way), (0, 0));
    assert_eq!((world.counters().in_flight, world.buffers_in_use()), (0, 0));
    Ok(())
}

#[test]
fn whatever_happens_healing_brings_everything_back() {
    check("whatever_happens", 0..50, anything);
}

#[test]
fn whatever_happens_happens_again() {
    for seed in 0..5 {
        self_check(seed, anything).unwrap();
    }
}

#[test]
fn without_healing_not_everything_is_well() {
    // Else the test above would say nothing.
    let mut world = World::<Shop>::new(1);
    let (till, buyers) = shop::open(&mut world, 2);
    world.crash(till);
    world.run_for(ms(5_000)).unwrap();
    assert!(world.take_reports().is_empty());
    world.heal();
    world.run_for(ms(5_000)).unwrap();
    assert_all_is_well(&mut world, till, &buyers);
}

#[test]
#[should_panic(expected = "a chance of 2 for the error `send queue full`")]
fn a_chance_is_from_0_to_1() {
    let mut world = World::<Shop>::new(1);
    let (node, _) = shop::open(&mut world, 0);
    let error = stillpoint::NetworkError::QueueFull;
    world.inject(Fault::SendErrors {
        node,
        error,
        chance: 2.0,
    });
}

#[test]
#[should_panic(expected = "a plan of faults for no node")]
fn a_plan_needs_nodes() {
    World::<Shop>::new(1).plan(&FaultPlan::everything(), ms(1));
}
