//! What is said of a world that does not come to its end: who waits for whom, and what is left.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "common/hand.rs"]
mod hand;

use std::collections::BTreeSet;

use hand::{Hand, Hands, Manner, act, hand, ms, node};
use stillpoint::{DeviceOpen, TaskId, Timestamp, Token};
use stillpoint_sim::{
    Core, Failure, LeakKind, Link, NodeId, Wait, WaitFor, World, find_failure, run_seed, self_check,
};

type Who = (NodeId, TaskId);

/// Two nodes with a hand each.
fn two(world: &mut World<Hands>) -> (Who, Who) {
    world.default_link(&Link::fixed(ms(1)));
    let (ada, bob) = (node(world, "ada", 1, 1), node(world, "bob", 2, 1));
    let first = hand(world, ada, 0, Manner::default());
    let second = hand(world, bob, 0, Manner::default());
    ((ada, first), (bob, second))
}

/// The only wait of a task.
fn wait_of(world: &World<Hands>, who: Who) -> Wait {
    let waits = world.waits().into_iter();
    let mut own = waits.filter(|wait| (wait.who.node, wait.who.task) == (who.0, Some(who.1)));
    own.next().unwrap()
}

#[test]
fn a_deadline_is_there_with_its_reason() {
    let mut world = World::new(1);
    let (ada, bob) = two(&mut world);
    act(&mut world, ada, |hand| hand.wait(ms(7), "tea"));
    let wait = wait_of(&world, ada);
    let deadline = WaitFor::Deadline {
        at: Timestamp::from_nanos(7_000_002),
        reason: "tea",
    };
    assert_eq!(wait.reasons, [deadline]);
    assert_eq!(wait.kind, "Hand");
    assert!(
        wait.to_string()
            .contains("its deadline at 0.007000002s (tea)"),
        "{wait}"
    );
    assert_eq!(wait_of(&world, bob).reasons, []);
    act(&mut world, ada, |hand| hand.deadline = None);
    assert_eq!(wait_of(&world, ada).reasons, []);
}

#[test]
fn a_request_is_there_until_it_is_answered() {
    let mut world = World::new(1);
    let here = node(&mut world, "here", 1, 2);
    let ada = (here, hand(&mut world, here, 0, Manner::default()));
    let bob = (here, hand(&mut world, here, 1, Manner::default()));
    let to = bob.1;
    act(&mut world, ada, move |hand| hand.ask(to, 7));
    world.run_for(ms(1)).unwrap();
    let told = wait_of(&world, ada).to_string();
    assert!(
        told.contains(&format!("an answer from {to} on `here` until 10.")),
        "{told}"
    );
    act(&mut world, bob, |hand| {
        let request = hand.asked.remove(0);
        hand.outbox.answer(request, 8);
    });
    world.run_for(ms(1)).unwrap();
    assert_eq!(wait_of(&world, ada).reasons, []);
}

#[test]
fn those_who_wait_for_each_other_are_named_as_a_circle() {
    let mut world = World::new(1);
    let here = node(&mut world, "here", 1, 3);
    let all = [0, 1, 2].map(|worker| (here, hand(&mut world, here, worker, Manner::default())));
    for (number, &who) in all.iter().enumerate() {
        let to = all[(number + 1) % 3].1;
        act(&mut world, who, move |hand| hand.ask(to, 1));
    }
    world.run_for(ms(1)).unwrap();
    let circles = Wait::cycles(&world.waits());
    let tasks: Vec<_> = circles[0].iter().map(|party| party.task.unwrap()).collect();
    assert_eq!(tasks, all.map(|(_, task)| task));
    assert_eq!(circles.len(), 1, "the same circle is named once");
    let told = world.run_until(ms(1), |_| false).unwrap_err().to_string();
    let [a, b, c] = tasks[..] else { panic!() };
    let circle = format!(
        "in a circle: {a} on `here` waits for {b} on `here` waits for {c} on `here` waits for {a} \
        on `here`"
    );
    assert!(told.contains(&circle), "{told}");
}

#[test]
fn streams_say_how_they_stand() {
    let mut world = World::new(1);
    let (ada, bob) = two(&mut world);
    act(&mut world, ada, |hand| hand.connect("10.0.0.2:80"));
    let told = wait_of(&world, ada).to_string();
    let wanted = "a connection to 10.0.0.2:80 (`bob` worker 0), being made since 0.000000002s";
    assert!(told.contains(wanted), "{told}");
    world.run_for(ms(5)).unwrap();

    act(&mut world, bob, |hand| hand.listen("0.0.0.0:80"));
    act(&mut world, ada, |hand| hand.connect("10.0.0.2:80"));
    world.run_for(ms(5)).unwrap();
    let told = wait_of(&world, ada).to_string();
    let wanted = format!(
        "bytes from 10.0.0.2:80 ({} on `bob`), nothing heard since 0.007",
        bob.1
    );
    assert!(told.contains(&wanted), "{told}");
    let circles = Wait::cycles(&world.waits());
    assert_eq!(
        circles.len(),
        1,
        "each waits for the other to say something"
    );

    world.link(ada.0, bob.0, &Link::default().loss(1.0));
    act(&mut world, ada, |hand| hand.write(b"hello"));
    world.run_for(ms(5)).unwrap();
    let told = wait_of(&world, ada).to_string();
    assert!(
        told.contains("to acknowledge 5 bytes, nothing heard since 0.007"),
        "{told}"
    );
}

#[test]
fn a_worker_that_stands_still_is_what_its_tasks_wait_for() {
    let mut world = World::new(1);
    let (ada, _) = two(&mut world);
    world.stall_worker(ada.0, 0, ms(50));
    let told = wait_of(&world, ada).to_string();
    assert!(
        told.contains("its worker, which stands still until 0.050000002s"),
        "{told}"
    );
}

#[test]
fn a_failure_tells_what_sockets_heard_last() {
    // The first datagram arrives and is answered; the second is lost.
    let found = find_failure("sockets", [1], |world: &mut World<Hands>| {
        let (ada, bob) = two(world);
        for who in [ada, bob] {
            act(world, who, |hand| hand.open("0.0.0.0:7"));
        }
        act(world, ada, |hand| hand.send("10.0.0.2:7", b"one"));
        world.run_for(ms(2))?;
        act(world, bob, |hand| hand.send("10.0.0.1:7", b"two"));
        world.run_for(ms(2))?;
        world.link(ada.0, bob.0, &Link::default().loss(1.0));
        act(world, ada, |hand| hand.send("10.0.0.2:7", b"three"));
        world.run_until(ms(100), move |world| {
            world.only_task::<Hand>(bob.0).bytes.len() > 3
        })
    });
    let found = found.unwrap();
    let told = found.failure.to_string();
    let ada = "datagrams, after one to 10.0.0.2:7 (task 0/0/0.0 on `bob`) at 0.004000006s; \
        last heard from 10.0.0.2:7 at 0.003000005s";
    assert!(told.contains(ada), "{told}");
    assert!(found.to_string().contains(ada));
}

#[test]
fn all_that_a_task_has_is_listed_with_its_owner_and_gone_when_it_is_gone() {
    let mut world = World::new(1);
    let here = node(&mut world, "here", 1, 2);
    let ada = (here, hand(&mut world, here, 0, Manner::default()));
    let bob = (here, hand(&mut world, here, 1, Manner::default()));
    let to = bob.1;
    act(&mut world, ada, move |hand| {
        hand.open("0.0.0.0:7");
        hand.listen("0.0.0.0:80");
        hand.connect("10.0.0.1:80");
        hand.outbox.open_device(DeviceOpen::tap(Token(0)));
        hand.outbox.subscribe(3);
        hand.ask(to, 1);
        hand.wait(ms(1_000), "tea");
    });
    world.run_for(ms(10)).unwrap();
    let leaks = world.leaks();
    let kinds: BTreeSet<LeakKind> = leaks.iter().map(|leak| leak.kind).collect();
    let wanted = [
        LeakKind::Task,
        LeakKind::Timer,
        LeakKind::Socket,
        LeakKind::Listener,
        LeakKind::Stream,
        LeakKind::Device,
        LeakKind::Subscription,
        LeakKind::Request,
    ];
    assert!(wanted.iter().all(|kind| kinds.contains(kind)), "{leaks:?}");
    let told: Vec<String> = leaks.iter().map(ToString::to_string).collect();
    let socket = format!(
        "socket 0/0.0 of {} on `here` worker 0, since 0.000000002s",
        ada.1
    );
    assert!(told.contains(&socket), "{told:?}");
    world.finish(ms(10_000)).unwrap();
    assert_eq!(world.leaks(), []);
}

#[test]
fn who_does_not_finish_is_named_with_all_that_it_has() {
    let (_, end) = run_seed(1, |world: &mut World<Hands>| {
        let here = node(world, "here", 1, 1);
        let manner = Manner {
            stubborn: true,
            ..Manner::default()
        };
        let ada = (here, hand(world, here, 0, manner));
        hand(world, here, 0, Manner::default());
        act(world, ada, |hand| {
            hand.open("0.0.0.0:7");
            hand.every = Some(ms(10));
            hand.wait(ms(1), "tick");
        });
        world.finish(ms(1_000))
    });
    let Err(Failure::Leaked { at, leaks }) = &end else {
        panic!("{end:?}")
    };
    assert_eq!(
        *at,
        Timestamp::EPOCH
            .after(ms(1_000))
            .after(core::time::Duration::from_nanos(3))
    );
    let kinds: Vec<LeakKind> = leaks.iter().map(|leak| leak.kind).collect();
    assert_eq!(kinds, [LeakKind::Task, LeakKind::Timer, LeakKind::Socket]);
    let told = end.unwrap_err().to_string();
    assert!(told.contains("3 left at"), "{told}");
    assert!(
        told.contains("task 0/0/0.0 (Hand) on `here` worker 0, since 0.000000000s"),
        "{told}"
    );
}

#[test]
fn memory_that_the_scenario_holds_is_left_too() {
    let mut world = World::<Hands>::new(1);
    let (ada, _) = two(&mut world);
    let (give, take) = std::sync::mpsc::channel();
    act(&mut world, ada, move |hand| {
        give.send(hand.pool().copy_from(b"mine")).unwrap();
    });
    let held = take.recv().unwrap();
    let told = world.finish(ms(100)).unwrap_err().to_string();
    assert!(told.contains("1 left at"), "{told}");
    assert!(told.contains("1 buffers in use"), "{told}");
    drop(held);
    world.finish(ms(100)).unwrap();
}

#[test]
fn what_is_on_its_way_is_left_too() {
    let mut world = World::<Hands>::new(1);
    let (ada, bob) = two(&mut world);
    world.default_link(&Link::fixed(ms(50)));
    act(&mut world, ada, |hand| hand.open("0.0.0.0:7"));
    act(&mut world, bob, |hand| hand.open("0.0.0.0:7"));
    act(&mut world, ada, |hand| hand.send("10.0.0.2:7", b"late"));
    let told = world.finish(ms(10)).unwrap_err().to_string();
    assert!(told.contains("1 datagrams on their way"), "{told}");
    world.finish(ms(100)).unwrap();
}

/// Three nodes in a ring; each tells the next, every 10 ms, over datagrams.
fn ring(world: &mut World<Hands>, nodes: u8) -> Vec<Who> {
    world.default_link(&Link::fixed(ms(1)));
    let ring: Vec<Who> = (1..=nodes)
        .map(|number| {
            let node = node(world, &format!("node {number}"), number, 1);
            (node, hand(world, node, 0, Manner::default()))
        })
        .collect();
    for &who in &ring {
        act(world, who, |hand| hand.open("0.0.0.0:7"));
    }
    ring
}

#[test]
fn a_core_is_drawn_and_what_is_not_in_it_is_of_no_help() {
    let mut cores = BTreeSet::new();
    for seed in 0..60 {
        let mut world = World::new(seed);
        let ring = ring(&mut world, 5);
        let core = world
            .converge(ms(100), &Core::majority(), |_, _| true)
            .unwrap();
        assert!((3..=5).contains(&core.len()));
        // Whoever is in hears each other; whoever is out is heard by nobody.
        for &who in ring
            .iter()
            .filter(|(node, _)| world.task_count(*node) > 0)
            .collect::<Vec<_>>()
        {
            for number in 1..=5 {
                let to = format!("10.0.0.{number}:7");
                act(&mut world, who, move |hand| hand.send(&to, b"x"));
            }
        }
        world.run_for(ms(10)).unwrap();
        for &node in &core {
            let heard = world.only_task::<Hand>(node).bytes.len();
            assert_eq!(heard, core.len(), "seed {seed}");
        }
        cores.insert(core);
    }
    let sizes: BTreeSet<usize> = cores.iter().map(Vec::len).collect();
    assert_eq!(sizes, [3, 4, 5].into());
    assert!(cores.len() > 10, "{cores:?}");
}

#[test]
fn some_outsiders_are_crashed_and_some_are_cut_off() {
    let mut alive = BTreeSet::new();
    for seed in 0..20 {
        let mut world = World::new(seed);
        let ring = ring(&mut world, 3);
        let core = Core::at_least(1)
            .among(&[ring[0].0, ring[1].0])
            .with(ring[0].0);
        let core = world.converge(ms(100), &core, |_, _| true).unwrap();
        assert!(core.contains(&ring[0].0));
        assert_eq!(
            world.task_count(ring[2].0),
            1,
            "who is not among them stays"
        );
        if core.len() == 1 {
            alive.insert(world.task_count(ring[1].0));
        }
    }
    assert_eq!(alive, [0, 1].into());
}

#[test]
fn a_core_that_does_not_converge_says_who_waits_for_whom() {
    let scenario = |world: &mut World<Hands>| {
        let ring = ring(world, 3);
        // The first waits for the second for ever, as the datagram was lost before.
        world.link(ring[0].0, ring[1].0, &Link::default().loss(1.0));
        act(world, ring[0], |hand| hand.send("10.0.0.2:7", b"lost"));
        world.run_for(ms(10))?;
        let wanted = ring[0].0;
        let core = world.converge(ms(500), &Core::all(), move |world: &World<Hands>, core| {
            assert_eq!(core.len(), 3);
            match world.only_task::<Hand>(wanted).bytes.len() {
                0 => Err("no answer".to_owned()),
                _ => Ok(()),
            }
        })?;
        assert_eq!(core.len(), 3);
        Ok(())
    };
    let failure = find_failure("stuck", [1], scenario).unwrap().failure;
    let Failure::Stuck { at, core, saw, .. } = &failure else {
        panic!("{failure}")
    };
    assert_eq!(core.join(" "), "node 1 node 2 node 3");
    assert_eq!(saw, "no answer");
    assert!(
        *at < Timestamp::EPOCH.after(ms(20)),
        "nothing was left to happen: {at}"
    );
    let told = failure.to_string();
    let wanted = "datagrams, after one to 10.0.0.2:7 (task 0/0/0.0 on `node 2`)";
    assert!(
        told.contains("the core of `node 1`, `node 2`, `node 3` does not converge"),
        "{told}"
    );
    assert!(told.contains(wanted), "{told}");
    self_check(1, scenario).unwrap();
}
