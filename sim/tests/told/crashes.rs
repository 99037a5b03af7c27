//! A bug that takes faults of a plan.
#![allow(unreachable_pub, reason = "a module of a test program")]

use stillpoint_sim::{Failure, Fault, FaultKind, FaultPlan, NumberedFault, World};

use super::ms;
use super::post::{Post, spawn};

/// Fails if some node crashes twice.
pub fn crashes(world: &mut World<Post>) -> Result<(), Failure> {
    for number in 1..=3 {
        let name = format!("idler {number}");
        world.node(name, [10, 9, 9, number]).spawner(spawn);
    }
    let plan = FaultPlan::everything().without(FaultKind::PowerCycle);
    world.plan(&plan, ms(500));
    world.run_for(ms(600))?;
    let crashed = |fault: &&NumberedFault| matches!(fault.fault, Fault::Crash(_));
    match world.faults().iter().filter(crashed).count() {
        2.. => Err(Failure::new("somebody has crashed twice")),
        _ => Ok(()),
    }
}
