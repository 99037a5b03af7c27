//! What becomes of runs as runs.

use stillpoint::NetworkError;
use stillpoint_sim::{DropCause, Link, World, self_check};

use super::common::ms;
use super::poster::{Post, Told, heard, parcel, poster, run, send, two};

fn datagrams(world: &World<Post>, node: stillpoint_sim::NodeId) -> Vec<Vec<u8>> {
    heard(world, node).into_iter().map(|(_, one)| one).collect()
}

#[test]
fn a_run_that_is_split_arrives_in_parts_and_in_order() {
    let mut counts = Vec::new();
    for seed in 0..20 {
        let mut world = World::new(seed);
        let (a, b) = two(&mut world, &Link::default().split_runs(0.2));
        send(&mut world, a, run(40, 8));
        world.run_until_idle(ms(100)).unwrap();
        let whole: Vec<_> = (0..40).map(|number| vec![number; 8]).collect();
        assert_eq!(datagrams(&world, b), whole);
        counts.push(poster(&world, b).heard.len());
    }
    let parts: usize = counts.iter().sum();
    assert!((20 * 6..20 * 12).contains(&parts), "{counts:?}");
}

#[test]
fn a_run_that_is_split_everywhere_is_single_datagrams() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &Link::default().split_runs(1.0));
    send(&mut world, a, run(40, 8));
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(poster(&world, b).heard.len(), 40);
}

#[test]
fn a_run_that_the_system_refuses_is_told_of_at_once_and_none_of_it_arrives() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &Link::default().refuse_runs(1.0));
    send(&mut world, a, run(40, 8));
    let sent_at = world.now();
    world.run_until_idle(ms(100)).unwrap();
    let told = [(sent_at, Told::Failed(NetworkError::Other(5), 40))];
    assert_eq!(poster(&world, a).told, told);
    assert_eq!(world.counters().dropped.by(DropCause::Unsendable), 40);

    // Sent one by one, as a task does then, they pass.
    for number in 0..40 {
        send(&mut world, a, parcel([number; 8]));
    }
    world.run_until_idle(ms(100)).unwrap();
    assert_eq!(datagrams(&world, b).len(), 40);
}

#[test]
fn some_runs_are_refused_and_the_others_go() {
    let mut world = World::new(1);
    let (a, b) = two(&mut world, &Link::default().refuse_runs(0.5));
    for _ in 0..100 {
        send(&mut world, a, run(10, 8));
        world.run_for(ms(1)).unwrap();
    }
    world.run_until_idle(ms(100)).unwrap();
    let refused = poster(&world, a).told.len();
    assert!((30..70).contains(&refused), "{refused}");
    assert_eq!(datagrams(&world, b).len(), 1_000 - 10 * refused);
}

#[test]
fn runs_that_are_split_and_refused_replay() {
    let link = Link::default().split_runs(0.3).refuse_runs(0.3).loss(0.1);
    for seed in 0..5 {
        self_check(seed, |world: &mut World<Post>| {
            let (a, _) = two(world, &link);
            for _ in 0..20 {
                send(world, a, run(10, 8));
                world.run_for(ms(1))?;
            }
            world.run_until_idle(ms(100))
        })
        .unwrap();
    }
}
