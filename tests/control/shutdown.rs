//! Shutdown, as stories.

use core::time::Duration;

use stillpoint::{End, NoRoom, TaskId};

use super::lab::{Kind, Lab, PATIENCE, Step};
use super::messages::send;
use super::puppet::{News, Role};

pub(crate) fn the_phases_of_a_shutdown_follow_one_another_over_all_workers(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    let roles = [Role::First, Role::Second, Role::Last];
    let of = |lab: &mut Lab, role| -> Vec<TaskId> {
        (0..3).map(|worker| lab.puppet_as(worker, role)).collect()
    };
    let phases = roles.map(|role| of(&mut lab, role));
    let ended = lab.shutdown(PATIENCE);
    for pair in phases.windows(2) {
        for &earlier in &pair[0] {
            let end = ended.place(&Step::Ended(earlier, End::Finished));
            for &later in &pair[1] {
                let told = ended.place(&Step::Told(later));
                assert!(end < told, "{later} was told before {earlier} had ended");
            }
        }
    }
    assert_eq!(ended.workers.len(), 3);
    assert!(ended.workers.iter().all(|worker| worker.failure.is_none()));
}

pub(crate) fn a_phase_waits_for_a_task_on_another_worker(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    // It ends when it hears of its neighbour, which is told to finish in the second phase only
    // once it has ended itself: so it must be the message from the first that ends it.
    let slow = lab.puppet_as(0, Role::Stubborn);
    let first = lab.puppet_as(1, Role::First);
    let second = lab.puppet_as(1, Role::Second);
    lab.react(slow, |_, hands| hands.outbox.finish());
    lab.act(first, move |hands| {
        hands.last_words = Some(slow);
    });
    let ended = lab.shutdown(PATIENCE);
    let over = ended.place(&Step::Ended(slow, End::Finished));
    assert!(over < ended.place(&Step::Told(second)));
    ended.place(&Step::Ended(second, End::Finished));
}

pub(crate) fn phases_that_nobody_is_in_are_passed_over(kind: Kind) {
    let mut lab = Lab::new(kind, 3);
    let last = lab.puppet_as(1, Role::Last);
    let ended = lab.shutdown(PATIENCE);
    ended.place(&Step::Ended(last, End::Finished));
    assert_eq!(ended.workers.len(), 3);
    assert!(ended.stuck.is_empty());
}

pub(crate) fn who_does_not_finish_in_time_is_removed(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let stubborn = lab.puppet_as(0, Role::Stubborn);
    let (first, second) = (lab.puppet(1), lab.puppet_as(1, Role::Second));
    let ended = lab.shutdown(Duration::from_millis(100));
    assert!(ended.stuck.is_empty());
    ended.place(&Step::Told(stubborn));
    ended.place(&Step::Ended(stubborn, End::Removed));
    ended.place(&Step::Ended(first, End::Finished));
    ended.place(&Step::Ended(second, End::Removed));
    assert!(!ended.steps.contains(&Step::Told(second)));
    assert!(ended.workers.iter().all(|worker| worker.tasks_lost == 0));
}

pub(crate) fn what_is_under_way_at_the_end_is_accounted_for(kind: Kind) {
    let mut lab = Lab::with(kind, 3, |limits| limits.bus_queue_max = 16);
    let puppets: Vec<TaskId> = (0..9).map(|number| lab.puppet(number % 3)).collect();
    for &puppet in &puppets {
        lab.subscribe(puppet, 1);
    }
    for &puppet in &puppets {
        let all = puppets.clone();
        lab.tell(puppet, move |hands| {
            hands.outbox.publish(1, 0, NoRoom::Drop);
            for &to in &all {
                (0..20).for_each(|number| hands.outbox.send_to(to, number, NoRoom::Drop));
            }
        });
    }
    let ended = lab.shutdown(PATIENCE);
    let bus = ended.bus();
    assert_eq!(bus.sent, bus.received + bus.lost, "{bus:?}");
    // A worker that is done early loses commands that it has not taken, and says how many.
    let lost: u64 = ended.workers.iter().map(|worker| worker.inputs_lost).sum();
    let direct = (9 - lost) * 9 * 20;
    assert!(bus.sent + bus.dropped >= direct, "{lost} lost, {bus:?}");
    assert_eq!(ended.steps.len(), 18);
}

pub(crate) fn commands_before_a_shutdown_arrive_before_it(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let puppets = [lab.puppet(0), lab.puppet(1)];
    let counter = std::sync::Arc::new(core::sync::atomic::AtomicUsize::new(0));
    for puppet in puppets {
        for _ in 0..100 {
            let counter = std::sync::Arc::clone(&counter);
            lab.tell(puppet, move |_| {
                counter.fetch_add(1, core::sync::atomic::Ordering::SeqCst);
            });
        }
    }
    let ended = lab.shutdown(PATIENCE);
    assert_eq!(counter.load(core::sync::atomic::Ordering::SeqCst), 200);
    assert!(ended.workers.iter().all(|worker| worker.inputs_lost == 0));
}

pub(crate) fn who_is_dropped_without_a_shutdown_drops_its_tasks(kind: Kind) {
    let mut lab = Lab::new(kind, 2);
    let alive = std::sync::Arc::new(());
    for worker in 0..2 {
        let puppet = lab.puppet_as(worker, Role::Stubborn);
        let alive = std::sync::Arc::clone(&alive);
        lab.react(puppet, move |_, hands| {
            drop(std::sync::Arc::clone(&alive));
            hands.tell(News::Said(0));
        });
        lab.act(puppet, send(puppet, 0..10));
    }
    drop(lab);
    assert_eq!(std::sync::Arc::strong_count(&alive), 1);
}
