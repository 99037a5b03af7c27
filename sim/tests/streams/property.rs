//! Any conversation over any link: what is heard is what was said.

use core::time::Duration;

use proptest::prelude::*;
use stillpoint::TcpOptions;
use stillpoint_sim::{Latency, Link, Queue, World};

use super::conversation::Conversation;
use super::talker::{Script, ms};

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
        let conversation = Conversation {
            links,
            scripts,
            options,
        };
        let hold = || {
            let mut world = World::new(seed);
            let held = conversation.hold(&mut world);
            (held, world.trace_hash())
        };
        let (held, hash) = hold();
        prop_assert!(held.is_ok(), "{held:?}");
        prop_assert_eq!(hash, hold().1);
    }
}
