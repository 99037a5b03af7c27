//! Any conversation over any link: what is heard is what was said.

use core::time::Duration;

use proptest::prelude::*;
use stillpoint::{NetworkError, TcpOptions};
use stillpoint_sim::{Failure, Latency, Link, NodeId, Queue, World};

use super::both_closed;
use super::talker::{Script, Spawn, Talk, Talker, connect, ear, listen, ms, only, pair, secs};

fn script(voice: u8) -> impl Strategy<Value = Script> {
    let writes = prop::collection::vec(1..20_000usize, 0..8);
    let pauses = prop::collection::vec((0..30_000usize, 1..5_000u64), 0..4);
    (writes, pauses).prop_map(move |(writes, pauses)| Script {
        writes,
        voice,
        pauses: pauses
            .into_iter()
            .map(|(after, millis)| (after, ms(millis)))
            .collect(),
        ends: true,
    })
}

fn link() -> impl Strategy<Value = Link> {
    let chance = 0.0..0.3f64;
    (
        0..50_000u64,
        0..50_000u64,
        chance.clone(),
        chance.clone(),
        chance,
        1..100_000u64,
        path(),
    )
        .prop_map(|(least, width, loss, duplicate, reorder, by, path)| {
            let micros = Duration::from_micros;
            path.latency(Latency::wander(micros(least)..=micros(least + width)))
                .loss(loss)
                .duplicate(duplicate)
                .reorder(reorder, micros(by))
        })
}

/// What is narrow about a link, and what it damages.
fn path() -> impl Strategy<Value = Link> {
    (
        prop::option::of(100_000..100_000_000u64),
        1_000..200_000u64,
        any::<bool>(),
        prop::option::of(100..1_600u32),
        0.0..0.1f64,
    )
        .prop_map(|(bandwidth, room, codel, mtu, damage)| {
            let mut link = Link::default().corrupt(damage).truncate(damage / 2.0);
            if let Some(bandwidth) = bandwidth {
                let queue = if codel {
                    Queue::codel(ms(5), ms(100)).bytes_max(room)
                } else {
                    Queue::tail_drop(room)
                };
                link = link.bandwidth(bandwidth).queue(queue);
            }
            match mtu {
                Some(mtu) => link.mtu(mtu),
                None => link,
            }
        })
}

fn options() -> impl Strategy<Value = TcpOptions> {
    (1..100_000usize, 1..70_000u32, 1..70_000u32, any::<bool>()).prop_map(
        |(queue, send, receive, nagle)| {
            let options = TcpOptions::new()
                .with_send_queue_max(queue)
                .with_buffers(send, receive);
            if nagle { options.with_nagle() } else { options }
        },
    )
}

/// Whether an end has heard nothing of the other for so long that its system gave it up.
fn gave_up(world: &World<Talk>, nodes: (NodeId, NodeId)) -> bool {
    [nodes.0, nodes.1].into_iter().any(|node| {
        let closed = ear(world, node).closed;
        closed.is_some_and(|(_, error)| error == Some(NetworkError::TimedOut))
    })
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 96,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn each_end_hears_what_the_other_said_or_of_an_error(
        seed: u64,
        links in (link(), link()),
        scripts in (script(0x55), script(0xaa)),
        options in (options(), options()),
    ) {
        let hold = || {
            let mut world = World::new(seed);
            let listen = listen().with_options(options.0);
            let nodes = pair(&mut world, &links.0, listen, scripts.0.clone());
            world.one_way(nodes.0, nodes.1, &links.1);
            let connect = connect().with_timeout(Duration::MAX).with_options(options.1);
            world.spawn(nodes.0, 0, Spawn::Connect(connect, scripts.1.clone()));
            let over = world.run_until(secs(1_000_000), |world| {
                let mut callers = world.tasks::<Talker>(nodes.0);
                let failed = callers.next().is_some_and(|(_, task)| task.failed.is_some());
                failed || both_closed(world, nodes)
            });
            // Whoever gives up says so by a reset, which may be lost like anything else. The other,
            // with nothing to send and no keepalive, then waits for ever.
            let over = match over {
                Err(Failure::Deadlock { .. }) if gave_up(&world, nodes) => Ok(()),
                over => over,
            };
            (world, nodes, over)
        };
        let (world, nodes, over) = hold();
        prop_assert!(over.is_ok(), "{over:?}");
        if only(&world, nodes.0).failed.is_none() {
            let mut errors = Vec::new();
            for (node, said) in [(nodes.0, &scripts.0), (nodes.1, &scripts.1)] {
                let ear = ear(&world, node);
                prop_assert_eq!(ear.refused, 0, "none writes more than there is room for");
                let said = said.text();
                let error = ear.closed.and_then(|(_, error)| error);
                if ear.closed.is_some() && error.is_none() {
                    prop_assert!(ear.read_ended.is_some());
                    prop_assert!(ear.heard == said, "{} of {} B", ear.heard.len(), said.len());
                } else {
                    prop_assert!(said.starts_with(&ear.heard));
                    errors.extend(error);
                }
            }
            // Nobody breaks anything off, unless the other was given up.
            prop_assert!(errors.is_empty() || errors.contains(&NetworkError::TimedOut));
        }
        let (again, ..) = hold();
        prop_assert_eq!(world.trace_hash(), again.trace_hash());
    }
}
