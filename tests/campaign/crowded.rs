//! The chat example, among faults.

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{Keepalive, TcpListen, TcpOptions, Token};
use stillpoint_sim::{Failure, FaultPlan, Link, NodeId, World};

use super::chat::DoorConfig;
use super::guest::{Guest, GuestConfig};
use super::lab::{Lab, Spawn, spawn};
use super::ms;

/// Guests talk in a room at two doors while anything may go wrong. Whatever they hear, they hear
/// once and in order; a guest panics if not. Once all is well again, each hears each other.
pub fn scenario(world: &mut World<Lab>) -> Result<(), Failure> {
    let server = world
        .node("server", [10, 0, 0, 1])
        .workers(2)
        .boot(|boot| {
            for worker in 0..2 {
                boot.spawn(worker, Spawn::Door(Box::new(door())));
            }
        })
        .spawner(spawn);
    let count = world.draw("guests", 2..=4);
    let guests: Vec<NodeId> = (0..count)
        .map(|number| {
            let address = [10, 0, 1, u8::try_from(number).expect("few guests")];
            world
                .node(format!("guest {number}"), address)
                .boot(move |boot| {
                    let life = u64::from(boot.life());
                    boot.spawn(
                        0,
                        Spawn::Guest(GuestConfig {
                            number,
                            life,
                            server: address_of_door(),
                        }),
                    );
                })
                .spawner(spawn)
        })
        .collect();
    world.default_link(
        &Link::new(ms(1)..=ms(40))
            .loss(0.02)
            .duplicate(0.02)
            .reorder(0.05, ms(90)),
    );
    world.plan(&FaultPlan::everything(), ms(3_000));
    world.run_for(ms(3_000))?;

    world.heal();
    world.default_link(&Link::new(ms(1)..=ms(40)));
    world.run_for(ms(100))?;
    if world.task_count(server) < 2 {
        world.restart(server); // A port was taken, say: somebody has to look after that.
    }
    let clocks: Vec<_> = guests
        .iter()
        .map(|&node| (node, world.local_time(node)))
        .collect();
    // Clocks that were set back stand still for as long.
    world.run_until(Duration::from_secs(600), |world| {
        clocks.iter().all(|&(node, healed)| {
            let mut here = world.tasks::<Guest>(node);
            here.next()
                .is_some_and(|(_, guest)| guest.has_heard_all(count, healed))
        })
    })
}

fn door() -> DoorConfig {
    let keepalive = Keepalive::new(Duration::from_secs(4), Duration::from_secs(1), 3);
    let options = TcpOptions::new()
        .with_send_queue_max(16_384)
        .with_keepalive(keepalive);
    let listen = TcpListen::new(Token(0), address_of_door()).shared();
    DoorConfig::new(listen.with_options(options))
}

fn address_of_door() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 7_000))
}
