//! Bytes decide what two ends of a simulated TCP connection say to each other, how they read it, and
//! what their link does to it. Each must hear what the other said, byte for byte, or of an error.

use core::time::Duration;

use stillpoint::TcpOptions;
use stillpoint_sim::{Driver, Failure, Latency, Link, Queue, Watch, World, drive};

#[path = "../../sim/tests/streams/conversation.rs"]
mod conversation;
#[path = "../../sim/tests/streams/talker.rs"]
mod talker;

use conversation::Conversation;
use talker::{Script, Talk, ms};

/// Events of one run.
const EVENTS_MAX: u64 = 10_000;

/// Holds the conversation.
pub fn run_bytes(bytes: &[u8]) {
    let run = drive(Driver::Bytes(bytes), Watch::Outcome, talk);
    match run.failure {
        None | Some(Failure::Budget { .. }) => {}
        Some(failure) => panic!("{failure}"),
    }
}

fn talk(world: &mut World<Talk>) -> Result<(), Failure> {
    world.set_events_max(EVENTS_MAX);
    let conversation = Conversation {
        links: (link(world), link(world)),
        scripts: (script(world, 0x55), script(world, 0xaa)),
        options: (options(world), options(world)),
    };
    conversation.hold(world)
}

/// The bytes of a seed's run: a start for a corpus.
#[must_use]
pub fn bytes_of_seed(seed: u64) -> Option<Vec<u8>> {
    drive(Driver::Seed(seed), Watch::Outcome, talk)
        .choices
        .to_bytes()
}

/// How much somebody says, and how it is read.
fn script(world: &mut World<Talk>, voice: u8) -> Script {
    let writes = (0..world.draw("writes", 0..=3)).map(|_| world.draw("bytes", 1..=5_000));
    let writes = writes
        .filter_map(|bytes| usize::try_from(bytes).ok())
        .collect();
    let pauses = (0..world.draw("pauses", 0..=3))
        .map(|_| {
            let after = world.draw("read before a pause", 0..=8_000);
            let pause = ms(world.draw("pause in ms", 1..=5_000));
            (usize::try_from(after).unwrap_or_default(), pause)
        })
        .collect();
    Script {
        writes,
        voice,
        pauses,
        ends: true,
    }
}

fn link(world: &mut World<Talk>) -> Link {
    let micros = Duration::from_micros;
    let least = world.draw("least latency in us", 0..=50_000);
    let width = world.draw("width of the latency in us", 0..=50_000);
    let mut percent = |what| world.draw(what, 0..=30) as f64 / 100.0;
    let (loss, doubled, held) = (percent("lost"), percent("doubled"), percent("held back"));
    let damage = percent("damaged") / 3.0;
    let by = micros(world.draw("held back by us", 1..=100_000));
    let mut link = Link::default()
        .latency(Latency::wander(micros(least)..=micros(least + width)))
        .loss(loss)
        .duplicate(doubled)
        .reorder(held, by)
        .corrupt(damage);
    if world.draw("narrow", 0..=1) == 1 {
        let bandwidth = world.draw("bandwidth", 100_000..=100_000_000);
        let room = world.draw("queue", 1_000..=200_000);
        let queue = match world.draw("codel", 0..=1) {
            0 => Queue::tail_drop(room),
            _ => Queue::codel(ms(5), ms(100)).bytes_max(room),
        };
        link = link.bandwidth(bandwidth).queue(queue);
    }
    match u32::try_from(world.draw("mtu", 0..=1_600)) {
        Ok(mtu) if mtu >= 100 => link.mtu(mtu),
        _ => link,
    }
}

fn options(world: &mut World<Talk>) -> TcpOptions {
    let queue = world.draw("send queue", 1..=100_000);
    let mut buffer = |what| u32::try_from(world.draw(what, 1..=70_000)).unwrap_or(1);
    let (send, receive) = (buffer("send buffer"), buffer("receive buffer"));
    let options = TcpOptions::new()
        .with_send_queue_max(usize::try_from(queue).unwrap_or(1))
        .with_buffers(send, receive);
    match world.draw("nagle", 0..=1) {
        0 => options,
        _ => options.with_nagle(),
    }
}
