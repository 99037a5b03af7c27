//! Transfers while anything may go wrong.
#![allow(unreachable_pub, reason = "a module of a test program")]

use stillpoint_shim::Shim;
use stillpoint_sim::{Boot, Failure, FaultPlan, Link, Nat, World};

use crate::lab::{NAT, SERVER, client_setup, hash, ms, secs, setup};
use crate::quic::client::Client;
use crate::quic::{Command, Quic, Report, Spawn, spawn};

/// Clients fetch from a server while nodes, links, clocks and sockets fail: nobody ever gets other
/// bytes than were to be sent. Once all is well again, each client gets all that it asks for.
pub fn scenario(world: &mut World<Quic>) -> Result<(), Failure> {
    let _shim = Shim::simulate(world);
    let server = world
        .node("server", SERVER.ip())
        .boot(|boot| boot.spawn(0, Spawn::Server(setup())))
        .spawner(spawn);
    let nat = world.gateway("nat").address(NAT).nat(Nat::symmetric());
    let nat = nat.build();
    let boot = |boot: &mut Boot<'_, Quic>| boot.spawn(0, client(20));
    let at_large = world.node("at large", [10, 0, 1, 1]).boot(boot);
    let at_large = at_large.spawner(spawn);
    let at_home = world.node("at home", [192, 168, 0, 2]).behind(nat);
    let clients = [at_large, at_home.boot(boot).spawner(spawn)];
    let faulty = Link::new(ms(1)..=ms(40))
        .loss(0.02)
        .duplicate(0.02)
        .reorder(0.02, ms(30))
        .corrupt(0.01)
        .truncate(0.005)
        .split_runs(0.2)
        .refuse_runs(0.02);
    world.default_link(&faulty);
    world.plan(&FaultPlan::everything(), ms(3_000));
    world.run_for(ms(3_000))?;
    world.heal();
    world.default_link(&Link::new(ms(1)..=ms(40)));
    // To a client whose clock has jumped, a round trip takes minutes: nobody waits for that.
    world.run_for(secs(20))?;
    for node in clients {
        let tasks: Vec<_> = world.tasks::<Client>(node).map(|(task, _)| task).collect();
        for task in tasks {
            world.command(node, task, Command::Stop);
        }
    }
    // What is late or too much may still be lost, and clocks stand still that were set back.
    world.run_for(secs(200))?;
    check_reports(world)?;
    if world.task_count(server) == 0 {
        world.restart(server); // A port was taken, say: somebody has to look after that.
        world.run_for(ms(100))?;
    }
    assert!(clients.iter().all(|&node| world.task_count(node) == 0));
    world.take_reports();
    for node in clients {
        let worker = world.worker_indexes(node)[0];
        world.spawn(node, worker, client(0));
    }
    let done = |report: &Report| matches!(report, Report::Done(_));
    world.run_until(secs(30), |world| {
        let reports = world.reports().iter();
        reports.filter(|reported| done(&reported.report)).count() == clients.len()
    })?;
    match check_reports(world)? {
        2 => Ok(()),
        fetched => Err(Failure::new(format!("{fetched} of 2 fetched all"))),
    }
}

fn client(attempts_max: u32) -> Spawn {
    let mut setup = client_setup(1, 1, BYTES);
    setup.attempts_max = attempts_max;
    setup.limits.keep_alive = Some(secs(1));
    Spawn::Client(setup)
}

/// Whether all that was fetched is what was to be sent; and how often that was.
fn check_reports(world: &World<Quic>) -> Result<usize, Failure> {
    let mut whole = 0;
    for reported in world.reports() {
        if let Report::Fetched(fetched) = &reported.report {
            if (fetched.bytes, fetched.hash) != (BYTES, hash(BYTES)) {
                return Err(Failure::new(format!("other bytes: {fetched:?}")));
            }
            whole += 1;
        }
    }
    Ok(whole)
}

const BYTES: u64 = 100_000;
