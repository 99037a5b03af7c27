//! The echo example, among faults.

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{Token, UdpOpen};
use stillpoint_sim::{Failure, FaultPlan, Link, NodeId, World};

use super::echo::{Care, Client, ClientConfig, Echo, Report, Spawn, spawn};
use super::ms;

/// Clients load a server with two workers while anything may go wrong: what they count adds up at
/// any time. Once all is well again, each gets an answer to each request.
pub fn scenario(world: &mut World<Echo>) -> Result<(), Failure> {
    let server = world
        .node("server", [10, 0, 0, 1])
        .workers(2)
        .boot(|boot| {
            for worker in 0..2 {
                boot.spawn(
                    worker,
                    Spawn::Server(UdpOpen::new(Token(0), address()).shared()),
                );
            }
        })
        .spawner(spawn);
    let window = usize::try_from(world.draw("window", 1..=8)).expect("small");
    let payload_bytes = usize::try_from(world.draw("payload", 16..=1_400)).expect("small");
    let clients: Vec<NodeId> = (0..3)
        .map(|number: u8| {
            let config = client(window, payload_bytes, ms(4_000));
            world
                .node(format!("client {number}"), [10, 0, 1, number])
                .boot(move |boot| boot.spawn(0, Spawn::Client(config.clone())))
                .spawner(spawn)
        })
        .collect();
    world.default_link(
        &Link::new(ms(1)..=ms(40))
            .loss(0.02)
            .duplicate(0.02)
            .reorder(0.05, ms(90)),
    );
    let all = clients.clone();
    world.always("what clients count adds up", move |world| {
        all.iter().all(|&node| {
            world
                .tasks::<Client>(node)
                .all(|(_, client)| adds_up(client))
        })
    });
    world.plan(&FaultPlan::everything(), ms(3_000));
    world.run_for(ms(3_000))?;

    world.heal();
    world.default_link(&Link::new(ms(1)..=ms(40)));
    // What is late or too much may still be lost, and clocks stand still that were set back.
    world.run_for(Duration::from_secs(200))?;
    if world.task_count(server) < 2 {
        world.restart(server); // A port was taken, say: somebody has to look after that.
        world.run_for(ms(100))?;
    }
    world.take_reports();
    for &node in &clients {
        let worker = world.worker_indexes(node)[0];
        world.spawn(
            node,
            worker,
            Spawn::Client(client(window, payload_bytes, ms(500))),
        );
    }
    world.run_until(Duration::from_secs(5), |world| {
        world.reports().len() == clients.len()
    })?;
    all_were_answered(world)
}

fn all_were_answered(world: &mut World<Echo>) -> Result<(), Failure> {
    for reported in world.take_reports() {
        let Report::Done(stats) = reported.report else {
            return Err(Failure::new(format!("{:?}", reported.report)));
        };
        let answered = stats.round_trips.count;
        if answered != stats.sent || answered < 5 {
            return Err(Failure::new(format!(
                "{answered} answers to {} requests, with {} late",
                stats.sent, stats.no_reply
            )));
        }
    }
    Ok(())
}

fn adds_up(client: &Client) -> bool {
    let stats = client.stats();
    let known = stats.round_trips.count + stats.no_reply + stats.unfinished;
    stats.sent == known + client.in_flight() as u64
}

fn client(window: usize, payload_bytes: usize, duration: Duration) -> ClientConfig {
    ClientConfig {
        server: address(),
        window,
        payload_bytes,
        duration,
        care: Care::Careful,
    }
}

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7))
}
