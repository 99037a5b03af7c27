//! Workers that come and go in good order.

use super::puppet::{Act, Heard, Role, heard, messages, ms, node, numbers, puppet, puppet_as};
use super::{World, events};
use stillpoint::{ControlError, ControllerEvent, NoRoom, RequestError, TaskId};
use stillpoint_sim::BusLink;

fn send(to: TaskId, count: u64) -> Act {
    let no_room = NoRoom::Wait;
    Act::Send { to, count, no_room }
}

#[test]
fn a_worker_that_is_added_knows_the_others_and_they_know_it() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let node = node(&mut world, 2, BusLink::new(ms(0)..=ms(2)));
        let [one, two] = [0, 1].map(|worker| puppet(&mut world, node, worker));
        world.command(node, one, Act::Subscribe(1));
        world.run_until_idle(ms(10)).unwrap();
        let added = world.controller(node).add_worker().unwrap();
        assert_eq!((added, world.workers(node)), (2, 3));
        let new = puppet(&mut world, node, added);
        // At once, before anybody had time to hear of it.
        world.command(node, new, send(two, 5));
        world.run_until_idle(ms(10)).unwrap();
        assert_eq!(numbers(&world, node, two), [0, 1, 2, 3, 4], "seed {seed}");
        let publish = Act::Publish {
            channel: 1,
            number: 7,
            no_room: NoRoom::Wait,
        };
        world.command(node, new, publish);
        world.command(node, two, send(new, 3));
        world.run_until_idle(ms(10)).unwrap();
        assert_eq!(messages(&world, node, one), [(Some(new), 7)]);
        assert_eq!(numbers(&world, node, new), [0, 1, 2]);
        let events = events(&mut world, node);
        assert!(events.iter().any(|event| matches!(
            event,
            ControllerEvent::WorkerStarted {
                worker: 2,
                instead_of: None
            }
        )));
    }
}

#[test]
fn a_worker_that_is_removed_lets_its_tasks_finish_and_is_gone() {
    let mut world = World::new(1);
    let node = node(&mut world, 3, BusLink::default());
    let [one, two, three] = [0, 1, 2].map(|worker| puppet(&mut world, node, worker));
    world.controller(node).remove_worker(1).unwrap();
    world.run_until_idle(ms(10)).unwrap();
    assert_eq!(world.workers(node), 2);
    assert_eq!(world.ended().len(), 1);
    let gone = ControlError::Stopped { worker: 1 };
    let mut controller = world.controller(node);
    assert_eq!(controller.remove_worker(1), Err(gone));
    assert_eq!(controller.abort_worker(1), Err(gone));
    let stopped = events(&mut world, node);
    let stopped = stopped.iter().find_map(|event| match event {
        ControllerEvent::WorkerStopped(summary) => Some(summary),
        _ => None,
    });
    let summary = stopped.unwrap();
    assert_eq!((summary.worker, &summary.failure), (1, &None));
    assert_eq!((summary.tasks_lost, summary.bus.lost), (0, 0));

    // Whoever writes to it now is told, and the others go on.
    world.command(node, one, send(two, 4));
    let ask = Act::Ask {
        to: two,
        number: 1,
        within: ms(5),
    };
    world.command(node, one, ask);
    world.command(node, one, send(three, 2));
    world.run_until_idle(ms(10)).unwrap();
    let told = heard(&world, node, one);
    assert!(told.contains(&Heard::Undelivered(4)), "{told:?}");
    assert!(
        told.contains(&Heard::Failed(RequestError::WorkerGone)),
        "{told:?}"
    );
    assert_eq!(numbers(&world, node, three).len(), 2);
    // An index is not given twice.
    assert_eq!(world.controller(node).add_worker(), Ok(3));
}

#[test]
fn a_worker_whose_tasks_do_not_finish_can_be_removed_by_force() {
    let mut world = World::new(1);
    let node = node(&mut world, 2, BusLink::default());
    let stubborn = Role {
        stubborn: true,
        ..Role::default()
    };
    puppet_as(&mut world, node, 1, stubborn);
    world.controller(node).remove_worker(1).unwrap();
    world.run_until_idle(ms(10)).unwrap();
    assert_eq!(world.workers(node), 2);
    world.controller(node).abort_worker(1).unwrap();
    world.run_until_idle(ms(10)).unwrap();
    assert_eq!(world.workers(node), 1);
    assert_eq!(world.ended().len(), 1);
}

#[test]
fn what_a_worker_sent_before_it_went_arrives() {
    for seed in 0..20 {
        let mut world = World::new(seed);
        let node = node(&mut world, 2, BusLink::new(ms(0)..=ms(3)));
        let [one, two] = [0, 1].map(|worker| puppet(&mut world, node, worker));
        world.command(node, one, send(two, 50));
        world.controller(node).remove_worker(0).unwrap();
        world
            .run_until(ms(1), |world| world.workers(node) == 1)
            .unwrap();
        assert!(world.counters().bus_waiting > 0);
        world.run_until_idle(ms(10)).unwrap();
        assert_eq!(numbers(&world, node, two), (0..50).collect::<Vec<_>>());
    }
}
