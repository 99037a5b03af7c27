//! Whatever happens to workers, each message is accounted for and nobody is stuck.

use super::World;
use super::puppet::{self, Act, Heard, Puppet, Role, Show, all, ms, us};
use proptest::prelude::*;
use stillpoint::{CommandTarget, NoRoom, Placement, WhenWorkerFails};
use stillpoint_sim::{BusLink, NodeId};

/// One thing that a script does. Numbers choose among what there is.
#[derive(Debug, Clone)]
enum Step {
    Send {
        from: u8,
        to: u8,
        count: u8,
        no_room: NoRoom,
    },
    Publish {
        from: u8,
        channel: u8,
    },
    Subscribe {
        task: u8,
        channel: u8,
    },
    Unsubscribe {
        task: u8,
        channel: u8,
    },
    Ask {
        from: u8,
        to: u8,
    },
    Broadcast {
        from: u8,
    },
    BecomeAgent(u8),
    Finish(u8),
    Spawn,
    PublishFromOutside(u8),
    Stall {
        worker: u8,
        micros: u16,
    },
    Kill(u8),
    Remove(u8),
    Add,
    SetBus {
        micros: u16,
        queue_max: u8,
    },
    Run(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let no_room = prop_oneof![Just(NoRoom::Wait), Just(NoRoom::Drop)];
    prop_oneof![
        6 => (any::<u8>(), any::<u8>(), 1..30u8, no_room)
            .prop_map(|(from, to, count, no_room)| Step::Send { from, to, count, no_room }),
        3 => (any::<u8>(), 0..3u8).prop_map(|(from, channel)| Step::Publish { from, channel }),
        3 => (any::<u8>(), 0..3u8).prop_map(|(task, channel)| Step::Subscribe { task, channel }),
        1 => (any::<u8>(), 0..3u8).prop_map(|(task, channel)| Step::Unsubscribe { task, channel }),
        3 => (any::<u8>(), any::<u8>()).prop_map(|(from, to)| Step::Ask { from, to }),
        1 => any::<u8>().prop_map(|from| Step::Broadcast { from }),
        1 => any::<u8>().prop_map(Step::BecomeAgent),
        1 => any::<u8>().prop_map(Step::Finish),
        3 => Just(Step::Spawn),
        1 => (0..3u8).prop_map(Step::PublishFromOutside),
        2 => (any::<u8>(), any::<u16>()).prop_map(|(worker, micros)| Step::Stall { worker, micros }),
        1 => any::<u8>().prop_map(Step::Kill),
        1 => any::<u8>().prop_map(Step::Remove),
        1 => Just(Step::Add),
        1 => (0..2_000u16, 1..10u8).prop_map(|(micros, queue_max)| Step::SetBus { micros, queue_max }),
        8 => (0..3_000u16).prop_map(Step::Run),
    ]
}

fn pick<T: Copy>(list: &[T], number: u8) -> Option<T> {
    let count = list.len();
    (count > 0).then(|| list[usize::from(number) % count])
}

fn take(world: &mut World<Show>, node: NodeId, step: &Step) {
    let tasks = all(world, node);
    let act = |number: u8, act: Act| Some((pick(&tasks, number)?, act));
    let command = match *step {
        Step::Send {
            from,
            to,
            count,
            no_room,
        } => pick(&tasks, to).and_then(|to| {
            let count = u64::from(count);
            act(from, Act::Send { to, count, no_room })
        }),
        Step::Publish { from, channel } => {
            let no_room = NoRoom::Wait;
            act(
                from,
                Act::Publish {
                    channel,
                    number: 1,
                    no_room,
                },
            )
        }
        Step::Subscribe { task, channel } => act(task, Act::Subscribe(channel)),
        Step::Unsubscribe { task, channel } => act(task, Act::Unsubscribe(channel)),
        Step::Ask { from, to } => pick(&tasks, to).and_then(|to| {
            let within = ms(5);
            act(
                from,
                Act::Ask {
                    to,
                    number: 1,
                    within,
                },
            )
        }),
        Step::Broadcast { from } => act(from, Act::Broadcast(1)),
        Step::BecomeAgent(task) => act(task, Act::BecomeAgent),
        Step::Finish(task) => act(task, Act::Finish),
        Step::Spawn => {
            _ = world
                .controller(node)
                .spawn(Placement::RoundRobin, Role::default());
            None
        }
        Step::PublishFromOutside(channel) => {
            _ = world.controller(node).publish(channel, 1);
            None
        }
        Step::Stall { .. } | Step::Kill(_) | Step::Remove(_) | Step::Add => {
            change_workers(world, node, step);
            None
        }
        Step::SetBus { micros, queue_max } => {
            let bus = BusLink::new(us(0)..=us(u64::from(micros)));
            world.set_bus(node, bus.queue_max(usize::from(queue_max)));
            None
        }
        Step::Run(micros) => {
            world.run_for(us(u64::from(micros))).unwrap();
            None
        }
    };
    if let Some((task, act)) = command {
        let to = CommandTarget::Task(task);
        _ = world.controller(node).command(to, act);
    }
}

fn change_workers(world: &mut World<Show>, node: NodeId, step: &Step) {
    let status = world.controller(node).status();
    let workers: Vec<u16> = status.iter().map(|status| status.worker).collect();
    match *step {
        Step::Stall { worker, micros } => {
            if let Some(worker) = pick(&workers, worker) {
                world.stall_worker(node, worker, us(u64::from(micros)));
            }
        }
        Step::Kill(worker) => {
            if let Some(worker) = pick(&workers, worker) {
                world.kill_worker(node, worker);
            }
        }
        Step::Remove(worker) => {
            if let Some(worker) = pick(&workers, worker) {
                _ = world.controller(node).remove_worker(worker);
            }
        }
        _ => _ = world.controller(node).add_worker(),
    }
}

/// Runs a script, checks what must hold at its end, and gives the hash of the run.
fn run(seed: u64, script: &[Step]) -> stillpoint_sim::TraceHash {
    let mut world = World::new(seed);
    world.tolerate_task_failures();
    let node = world.node("node", [10, 0, 0, 1]).workers(3);
    let node = node
        .bus(BusLink::new(us(0)..=us(100)).queue_max(3))
        .when_worker_fails(WhenWorkerFails::Restart { restarts_max: 3 })
        .limits(|limits| {
            limits.batch_max = 3;
            limits.messages_max = 8;
            limits.messages_per_task_max = 4;
            limits.requests_max = 4;
        })
        .spawner(puppet::spawn);
    for worker in 0..3 {
        world.spawn(node, worker, Role::default());
        world.spawn(node, worker, Role::default());
    }
    world.always("order", move |world| {
        world
            .tasks::<Puppet<0>>(node)
            .all(|(_, puppet)| is_in_order(puppet))
    });
    for step in script {
        take(&mut world, node, step);
    }
    // Stalls end, and whoever waits for room has it at last.
    world.run_until_idle(ms(1_000)).unwrap();
    assert_eq!(world.counters().bus_waiting, 0);
    for (task, puppet) in world.tasks::<Puppet<0>>(node) {
        assert_eq!(puppet.waiting(), 0, "{task} waits for room that there is");
        assert_eq!(puppet.unanswered(), 0, "{task} waits for an answer");
    }
    world.controller(node).shutdown(ms(10));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(world.workers(node), 0);
    assert_eq!(world.buffers_in_use(), 0);
    world.trace_hash()
}

/// Numbers of one sender come in ascending order, whatever was dropped or lost in between.
fn is_in_order(puppet: &Puppet<0>) -> bool {
    let mut last = std::collections::BTreeMap::new();
    puppet.heard.iter().all(|(_, heard)| match heard {
        Heard::Message {
            from: Some(from),
            to: stillpoint::Destination::Task(_),
            number,
        } => {
            // Those that may be dropped overtake others that came back.
            let hasty = *number >= puppet::HASTY;
            let before = last.insert((*from, hasty), *number);
            before.is_none_or(|before| before < *number)
        }
        _ => true,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn each_message_is_accounted_for_and_nobody_is_stuck(
        seed in any::<u64>(),
        script in prop::collection::vec(step(), 1..80),
    ) {
        let hash = run(seed, &script);
        prop_assert_eq!(hash, run(seed, &script));
    }
}
