//! Whatever links do, everything is accounted for, and nothing arrives that nobody has sent.

use core::cell::Cell;
use core::time::Duration;

use stillpoint::Ecn;
use stillpoint_sim::{
    Failure, Latency, Link, Loss, NodeId, Order, Oversize, Queue, World, check, self_check,
};

use super::common::ms;
use super::poster::{Parcel, Post, parcel, poster, run, send, two};

/// Any link.
fn any_link(world: &mut World<Post>) -> Link {
    let mut chance = |name| {
        let drawn = world.draw(name, 0..=9);
        // Mostly none, so that features meet in many combinations.
        if drawn < 6 {
            0.0
        } else {
            (drawn as f64 - 5.0) * 0.07
        }
    };
    let mut link = Link::new(ms(1)..=ms(20))
        .loss(chance("loss"))
        .duplicate(chance("duplicate"))
        .reorder(chance("reorder"), ms(30))
        .truncate(chance("truncate"))
        .split_runs(chance("split"))
        .refuse_runs(chance("refuse"));
    link = match world.draw("latency", 0..=5) {
        0 => link.latency(Latency::normal(ms(10), ms(4))),
        1 => link.latency(Latency::log_normal(ms(10), 0.8)),
        2 => link.latency(Latency::pareto(ms(2), 1.1)),
        3 => link.latency(Latency::uniform(ms(0)..=ms(9))),
        _ => link,
    };
    if world.draw("order", 0..=1) == 1 {
        link = link.order(Order::Free);
    }
    if world.draw("bursts", 0..=3) == 0 {
        link = link.loss_model(Loss::bursts(0.1, 3.0));
    }
    if world.draw("bandwidth", 0..=1) == 1 {
        let bandwidth = [100_000, 10_000_000, 1_000_000_000];
        let bandwidth = bandwidth[usize::try_from(world.draw("rate", 0..=2)).unwrap()];
        let room = world.draw("room", 0..=100_000);
        let queue = match world.draw("queue", 0..=1) {
            0 => Queue::tail_drop(room),
            _ => Queue::codel(ms(2), ms(20)).bytes_max(room),
        };
        link = link.bandwidth(bandwidth).queue(queue);
    }
    if world.draw("mtu", 0..=1) == 1 {
        let oversize = [Oversize::TooBig, Oversize::Fragment, Oversize::Drop];
        let oversize = oversize[usize::try_from(world.draw("oversize", 0..=2)).unwrap()];
        let mtu = u32::try_from(world.draw("mtu bytes", 68..=2_000)).unwrap();
        link = link.mtu(mtu).oversize(oversize);
    }
    if world.draw("flapping", 0..=3) == 0 {
        link = link.flapping(ms(5)..=ms(50), ms(1)..=ms(20));
    }
    link
}

/// Changes something about the way from one node to the other.
fn meddle(world: &mut World<Post>, a: NodeId, b: NodeId) {
    match world.draw("meddling", 0..=19) {
        0 => world.cut(a, b),
        1 => world.cut(b, a),
        2 => world.clog(a, b, ms(30)),
        3 => world.heal_links(),
        4 => world.mend(a, b),
        5 => {
            let link = any_link(world);
            world.one_way(a, b, &link);
        }
        6 => world.one_way(a, b, &Link::default()),
        7 => {
            let link = any_link(world);
            world.one_way(b, a, &link);
        }
        _ => {}
    }
}

/// Datagrams filled with their numbers, over whatever link. Says how many were sent.
fn traffic(world: &mut World<Post>) -> Result<(NodeId, u64), Failure> {
    let link = any_link(world);
    let (a, b) = two(world, &link);
    let mut sent = 0;
    for _ in 0..40 {
        meddle(world, a, b);
        let bytes = usize::try_from(world.draw("bytes", 1..=1_500)).unwrap();
        let count = u8::try_from(world.draw("count", 1..=20)).unwrap();
        let ecn = [Ecn::NotCapable, Ecn::Capable0][usize::from(count % 2)];
        let parcel = match world.draw("kind", 0..=3) {
            0 => parcel(vec![200; bytes]),
            1 => Parcel {
                to: "[fd00::2]:7".parse().unwrap(),
                ..run(count, bytes)
            },
            _ => run(count, bytes),
        };
        sent += match parcel.segment_size {
            0 => 1,
            _ => u64::from(count),
        };
        send(world, a, Parcel { ecn, ..parcel });
        let pause = world.draw("pause", 0..=10_000);
        world.run_for(Duration::from_micros(pause))?;
    }
    world.run_until_idle(ms(100_000_000))?;
    Ok((b, sent))
}

#[test]
fn everything_is_accounted_for_and_nothing_is_made_up() {
    let (delivered, dropped) = (Cell::new(0), Cell::new(0));
    check("any_link", 0..120, |world: &mut World<Post>| {
        let (b, sent) = traffic(world)?;
        let counters = world.counters();
        assert_eq!((counters.sent, counters.in_flight), (sent, 0));
        assert_eq!(world.buffers_in_use(), 0);
        for heard in &poster(world, b).heard {
            for datagram in &heard.datagrams {
                // Cut short, but never another than it was.
                assert!(datagram.windows(2).all(|pair| pair[0] == pair[1]));
                assert!(datagram.len() <= 1_500);
            }
        }
        delivered.set(delivered.get() + counters.delivered);
        dropped.set(dropped.get() + counters.dropped.total());
        Ok(())
    });
    let counts = [delivered.get(), dropped.get()];
    assert!(counts[0] > 12_000 && counts[1] > 4_000, "{counts:?}");
}

#[test]
fn any_link_replays() {
    for seed in 0..15 {
        self_check(seed, |world: &mut World<Post>| traffic(world).map(|_| ())).unwrap();
    }
}
