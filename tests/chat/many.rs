//! Crowds: who is in a room hears each line once and in order, or is told how many it missed.

use core::time::Duration;
use std::collections::BTreeMap;

use stillpoint::Reading;
use stillpoint_sim::{BusLink, Failure, Link, World, check, self_check};

use crate::chat::Stats;
use crate::chat::allowance::Allowance;
use crate::crowd::{Ask, Crowd, Person};
use crate::lab::{Lab, Place, Plan, door, ms};

/// 200 people in 12 rooms, at three workers, over links that lose and reorder.
fn plan() -> Plan {
    Plan {
        workers: 3,
        crowds: 4,
        people: 50,
        rooms: 12,
        link: Link::new(ms(1)..=ms(20)).loss(0.02).reorder(0.02, ms(20)),
        bus: BusLink::default(),
        buffers: 65_536,
        door: door(16_384, 65_536),
    }
}

fn talk(place: &mut Place<'_>, lines: u32, within: Duration) -> Result<(), Failure> {
    place.ask_all(&Ask::Talk { lines, within });
    place.world.run_for(within + ms(1))?;
    assert!(place.all().all(Crowd::has_spoken));
    // What was lost is sent again, and again.
    place.world.run_for(Duration::from_secs(30))
}

/// People by room.
fn rooms<'a>(place: &'a Place<'_>) -> BTreeMap<&'a str, Vec<&'a Person>> {
    let mut rooms: BTreeMap<&str, Vec<&Person>> = BTreeMap::new();
    for person in place.people() {
        rooms.entry(&person.room).or_default().push(person);
    }
    rooms
}

/// Everybody has heard, or been told to have missed, all that others in the room have said. Gives
/// how many lines were heard, and how many missed.
fn all_is_heard(place: &Place<'_>) -> (u64, u64) {
    let (mut heard, mut missed) = (0, 0);
    for (room, people) in rooms(place) {
        let said: u32 = people.iter().map(|person| person.said).sum();
        for person in people {
            let expected = said - person.said;
            let name = &person.name;
            assert_eq!(person.heard + person.missed, expected, "{name} in {room}");
            heard += u64::from(person.heard);
            missed += u64::from(person.missed);
        }
    }
    (heard, missed)
}

fn said(place: &Place<'_>) -> u64 {
    place.people().map(|person| u64::from(person.said)).sum()
}

#[test]
fn every_line_reaches_everybody_in_the_room_once_and_in_order() {
    check("every_line", 0..4, |world: &mut World<Lab>| {
        let mut plan = plan();
        // Who is told to be in a room is heard and hears at once, however slow the bus is.
        plan.bus = BusLink::new(ms(0)..=ms(400));
        let mut place = Place::new(world, &plan)?;
        let mut doors = place.doors().map(|door| door.stats().open);
        assert!(doors.all(|open| open > 20), "each has some");
        drop(doors);
        talk(&mut place, 5, Duration::from_secs(1))?;
        let (heard, missed) = all_is_heard(&place);
        assert_eq!((said(&place), missed), (1_000, 0));
        let stats = place.stats();
        assert_eq!((stats.said, stats.heard, stats.missed), (1_000, heard, 0));
        assert!(heard > 10_000, "{heard} times a line was heard");
        place.everybody_leaves()
    });
}

#[test]
fn slow_readers_are_told_what_they_missed_and_disturb_nobody() {
    check("slow_readers", 0..4, |world: &mut World<Lab>| {
        let mut plan = plan();
        plan.rooms = 2;
        (plan.door, plan.buffers) = (door(4_096, 2_048), 2_048);
        let mut place = Place::new(world, &plan)?;
        let slow = |reading| Ask::Read { person: 7, reading };
        place.ask_all(&slow(Reading::Paused));
        talk(&mut place, 5, Duration::from_secs(10))?;
        place.ask_all(&slow(Reading::Flowing));
        place.world.run_for(Duration::from_secs(30))?;
        let (heard, missed) = all_is_heard(&place);
        for crowd in place.all() {
            for (number, person) in crowd.people.iter().enumerate() {
                assert_eq!(person.missed > 0, number == 7, "{}", person.name);
            }
        }
        let stats = place.stats();
        assert_eq!((stats.heard, stats.missed), (heard, missed));
        place.everybody_leaves()
    });
}

#[test]
fn who_talks_too_fast_is_not_heard_more_often_than_it_may() {
    check("too_fast", 0..4, |world: &mut World<Lab>| {
        let mut place = Place::new(world, &plan())?;
        place.world.run_for(Duration::from_secs(5))?;
        talk(&mut place, 40, Duration::from_secs(2))?;
        let Stats {
            said: taken,
            too_fast,
            heard,
            ..
        } = place.stats();
        assert_eq!(taken + too_fast, said(&place), "each line is counted");
        let most = Allowance::BURST + 2 * 5 + 1;
        for (room, people) in rooms(&place) {
            for person in &people {
                assert!(person.too_fast >= 1, "{} was told", person.name);
                // The others agree how much of it there was.
                let others = people.iter().filter(|other| other.name != person.name);
                let counts: Vec<u32> = others.map(|other| other.heard_from(&person.name)).collect();
                assert!(
                    counts.iter().all(|&count| count == counts[0]),
                    "{room}: {counts:?}"
                );
                // Retransmission may bring lines later, at a time when more are allowed.
                assert!(
                    counts[0] >= Allowance::BURST && counts[0] <= most + 5,
                    "{counts:?}"
                );
            }
        }
        let read: u64 = place.people().map(|person| u64::from(person.heard)).sum();
        assert_eq!(read, heard);
        place.everybody_leaves()
    });
}

#[test]
fn what_the_bus_has_no_room_for_is_said_to_nobody_and_its_speaker_knows() {
    check("full_bus", 0..4, |world: &mut World<Lab>| {
        let mut plan = plan();
        plan.rooms = 4;
        plan.bus = BusLink::new(ms(10)..=ms(100)).queue_max(20);
        let mut place = Place::new(world, &plan)?;
        talk(&mut place, 5, Duration::from_secs(1))?;
        let stats = place.stats();
        let unsaid: u32 = place.people().map(|person| person.unsaid).sum();
        assert_eq!((u64::from(unsaid), stats.too_fast), (stats.unsaid, 0));
        assert!(unsaid > 10, "only {unsaid} lines had no room");
        for (room, people) in rooms(&place) {
            let taken: u32 = people
                .iter()
                .map(|person| person.said - person.unsaid)
                .sum();
            for person in people {
                let expected = taken - (person.said - person.unsaid);
                assert_eq!(person.heard, expected, "{} in {room}", person.name);
            }
        }
        place.everybody_leaves()
    });
}

#[test]
fn when_all_break_off_at_once_nothing_of_them_is_left() {
    check("storm", 0..4, |world: &mut World<Lab>| {
        let plan = plan();
        let mut place = Place::new(world, &plan)?;
        let within = Duration::from_secs(4);
        place.ask_all(&Ask::Talk { lines: 5, within });
        place.world.run_for(within / 2)?;
        place.ask_all(&Ask::Storm);
        // A lost reset is made up for by the next that is written, or by keepalive.
        place.run_until(120, |place| place.stats().open == 0)?;
        place.add_crowd(&plan)?;
        place.run_until(60, |place| place.crowd(4).is_settled())?;
        place.everybody_leaves()
    });
}

#[test]
fn ten_thousand_people() {
    let plan = Plan {
        workers: 4,
        crowds: 4,
        people: 2_500,
        rooms: 1_500,
        link: Link::new(ms(1)..=ms(20)).loss(0.005),
        ..plan()
    };
    check("ten_thousand_people", 0..1, |world: &mut World<Lab>| {
        let mut place = Place::new(world, &plan)?;
        talk(&mut place, 1, Duration::from_secs(2))?;
        let (heard, missed) = all_is_heard(&place);
        assert_eq!((said(&place), missed), (10_000, 0));
        let stats = place.stats();
        assert_eq!(
            (stats.welcomed, stats.said, stats.heard),
            (10_000, 10_000, heard)
        );
        eprintln!(
            "MEASURE {heard} {} {}",
            place.world.events(),
            place.world.now()
        );
        place.everybody_leaves()
    });
}

#[test]
fn a_seed_has_one_trace() {
    let plan = Plan {
        people: 10,
        rooms: 3,
        ..plan()
    };
    let run = |world: &mut World<Lab>| {
        let mut place = Place::new(world, &plan)?;
        talk(&mut place, 3, Duration::from_secs(3))?;
        place.everybody_leaves()
    };
    let first = self_check(3, run).unwrap();
    let other = self_check(4, run).unwrap();
    assert_ne!(first.trace_hash, other.trace_hash);
}
