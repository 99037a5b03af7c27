//! What a few people at one door see of each other.

use core::time::Duration;

use stillpoint::Reading;
use stillpoint_sim::{BusLink, Failure, check};

use crate::crowd::{Ask, Crowd, Stage};
use crate::lab::{Lab, Place, Plan, door, ms};

type World = stillpoint_sim::World<Lab>;

/// A story about people at one door, for a few seeds.
fn story(name: &str, plan: &Plan, tell: impl Fn(&mut Place<'_>) -> Result<(), Failure>) {
    check(name, 0..5, |world: &mut World| {
        let mut place = Place::new(world, plan)?;
        for person in 0..plan.people {
            let welcome = place.crowd(0).people[person].transcript.borrow();
            let welcome = [welcome[0].escape_ascii().to_string()];
            assert!(welcome[0].starts_with("* welcome, guest-"), "{welcome:?}");
        }
        place.read_all();
        tell(&mut place)?;
        place.everybody_leaves()
    });
}

/// Ada and Bob are in one room, and what led there is read.
fn ada_and_bob(place: &mut Place<'_>) -> Result<(), Failure> {
    place.say(0, "/nick Ada\n/join tea\n")?;
    place.say(1, "/nick Bob\n/join tea\n")?;
    place.read(0);
    place.read(1);
    Ok(())
}

const NONE: [&str; 0] = [];

#[test]
fn two_hear_each_other_and_a_third_elsewhere_does_not() {
    story("two", &Plan::small(), |place| {
        place.say(0, "/nick Ada\n/join tea\n")?;
        assert_eq!(place.read(0), ["* you are Ada", "* you are in tea"]);
        place.say(1, "/nick Bob\r\n/join tea\r\n")?;
        assert_eq!(place.read(0), ["* Bob joined"]);
        assert_eq!(place.read(1), ["* you are Bob", "* you are in tea"]);
        place.say(2, "/join coffee\n")?;
        assert_eq!(place.read(2), ["* you are in coffee"]);
        place.say(0, "hello\nthere\r\n\n//etc\n")?;
        assert_eq!(place.read(1), ["Ada: hello", "Ada: there", "Ada: /etc"]);
        assert_eq!((place.read(0).len(), place.read(2).len()), (0, 0));
        place.say(1, "/join coffee\n")?;
        assert_eq!(place.read(0), ["* Bob left"]);
        assert_eq!(place.read(2), ["* Bob joined"]);
        place.say(1, "/quit\n")?;
        assert_eq!(place.read(1), ["* you are in coffee", "* bye"]);
        assert_eq!(place.read(2), ["* Bob left"]);
        Ok(())
    });
}

#[test]
fn who_joins_is_announced_before_its_first_words() {
    // Two at different doors, of which the second learns of the room only now.
    let plan = Plan {
        workers: 4,
        people: 6,
        ..Plan::small()
    };
    story("announced", &plan, |place| {
        place.say(0, "/nick Ada\n/join tea\n")?;
        place.read(0);
        for person in 1..6 {
            place.say(person, "/nick Bob\n/join tea\nhello\n/join out\n")?;
            let heard = place.read(0);
            assert_eq!(heard, ["* Bob joined", "Bob: hello", "* Bob left"]);
        }
        Ok(())
    });
}

#[test]
fn commands_are_answered() {
    story("commands", &Plan::small(), |place| {
        place.say(0, "hello\n/who\n/nick a b\n/dance\n")?;
        let answers = place.read(0);
        assert_eq!(answers[0], "* you are in no room: /join ROOM");
        assert_eq!(answers[1], answers[0]);
        assert_eq!(answers[2], "* names have 1 to 16 letters, digits, - and _");
        assert!(answers[3].starts_with("* no such command"), "{answers:?}");
        ada_and_bob(place)?;
        place.say(0, "/who\n")?;
        let here = place.read(0);
        assert!(
            ["* here: Ada Bob", "* here: Bob Ada"].contains(&&*here[0]),
            "{here:?}"
        );
        place.say(0, "/echo\nhi\n/nick Eve\n")?;
        let echoed = ["* what you say comes back", "* you are Eve", "Ada: hi"];
        let mut read = place.read(0);
        read.sort();
        let mut echoed = echoed.map(str::to_owned);
        echoed.sort();
        assert_eq!(read, echoed);
        assert_eq!(place.read(1), ["Ada: hi", "* Ada is now Eve"]);
        place.say(0, "/help\n")?;
        assert_eq!(place.read(0).len(), 4);
        Ok(())
    });
}

#[test]
fn who_is_told_to_be_in_a_room_hears_what_is_said_at_other_doors() {
    check("other door", 0..10, |world: &mut World| {
        let mut plan = Plan::small();
        (plan.workers, plan.bus) = (2, BusLink::new(ms(100)..=ms(400)));
        let mut place = Place::new(world, &plan)?;
        let doors: Vec<String> = (0..4).map(|person| place.read(person).remove(0)).collect();
        let door = |person: usize| doors[person].split('-').nth(1);
        let Some(other) = (1..4).find(|&other| door(other) != door(0)) else {
            return place.everybody_leaves(); // All came in by the same door.
        };
        place.say(0, "/nick Ada\n/join r0\n")?;
        let bytes = b"/join r0\n".to_vec();
        place.ask(
            0,
            Ask::Send {
                person: other,
                bytes,
            },
        );
        let (node, task) = place.crowds[0];
        place.world.run_until(ms(5_000), |world| {
            let crowd = world.task::<Crowd>(node, task).unwrap();
            crowd.people[other].stage == Stage::InRoom
        })?;
        place.say(0, "hello\n")?;
        assert_eq!(place.read(other), ["* you are in r0", "Ada: hello"]);
        place.everybody_leaves()
    });
}

#[test]
fn bytes_that_are_no_text_pass_and_control_characters_do_not() {
    story("bytes", &Plan::small(), |place| {
        ada_and_bob(place)?;
        place.say(0, b"\xff\xfe caf\xc3\xa9\t\x1b[2J\x07\n")?;
        assert_eq!(place.read(1), [r"Ada: \xff\xfe caf\xc3\xa9\t?[2J?"]);
        Ok(())
    });
}

#[test]
fn a_line_may_come_in_pieces_and_not_be_too_long() {
    story("long lines", &Plan::small(), |place| {
        ada_and_bob(place)?;
        for part in ["he", "llo", "\r", "\nwor", "ld\n"] {
            place.say(0, part)?;
        }
        assert_eq!(place.read(1), ["Ada: hello", "Ada: world"]);
        let longest = "x".repeat(1_024);
        place.say(0, format!("{longest}\n{longest}x\nstill here\n"))?;
        let heard = [format!("Ada: {longest}"), "Ada: still here".to_owned()];
        assert_eq!(place.read(1), heard);
        let told = place.read(0);
        assert_eq!(told, ["* too long, not said: lines have up to 1024 bytes"]);
        Ok(())
    });
}

#[test]
fn a_flood_without_a_newline_costs_nothing() {
    story("flood", &Plan::small(), |place| {
        ada_and_bob(place)?;
        for _ in 0..20 {
            place.say(0, vec![b'x'; 100_000])?;
            let kept: usize = place.doors().map(|door| door.kept_bytes()).sum();
            assert!(kept <= 1_025, "{kept} bytes are kept");
        }
        place.say(0, "\nsorry\n")?;
        assert_eq!(place.read(0).len(), 1);
        assert_eq!(place.read(1), ["Ada: sorry"]);
        Ok(())
    });
}

#[test]
fn ten_lines_at_once_and_five_a_second_are_said() {
    story("too fast", &Plan::small(), |place| {
        ada_and_bob(place)?;
        place.world.run_for(Duration::from_secs(10))?;
        let burst: String = (1..=40).map(|line| format!("{line} of 40\n")).collect();
        place.say(0, burst)?;
        // The bytes may come in parts, and each moment brings a little.
        let heard = place.read(1).len();
        assert!((10..=11).contains(&heard), "{heard} lines were said");
        assert_eq!(place.read(0).len(), 1, "one notice for a burst");
        place.world.run_for(Duration::from_secs(1))?;
        place.say(0, "and on\n")?;
        assert_eq!(place.read(1), ["Ada: and on"]);
        assert_eq!(place.read(0), NONE);
        let stats = place.stats();
        assert_eq!(stats.too_fast, 40 - heard as u64);
        assert_eq!(stats.said, heard as u64 + 1);
        Ok(())
    });
}

#[test]
fn who_ends_one_direction_is_heard_to_the_last_and_then_gone() {
    story("half-close", &Plan::small(), |place| {
        ada_and_bob(place)?;
        place.say(0, "that was it\nalmost")?;
        place.ask(0, Ask::End { person: 0 });
        place.world.run_for(Duration::from_secs(2))?;
        let heard = ["Ada: that was it", "Ada: almost", "* Ada left"];
        assert_eq!(place.read(1), heard);
        assert_eq!(place.read(0), ["* bye"]);
        assert_eq!(place.stats().open, 3);
        Ok(())
    });
}

#[test]
fn who_breaks_off_is_gone_for_the_others() {
    story("reset", &Plan::small(), |place| {
        ada_and_bob(place)?;
        place.ask(0, Ask::Reset { person: 0 });
        place.world.run_for(Duration::from_secs(1))?;
        assert_eq!(place.read(1), ["* Ada left"]);
        assert_eq!((place.stats().open, place.stats().resets), (3, 1));
        Ok(())
    });
}

#[test]
fn a_slow_reader_is_told_how_many_lines_it_missed() {
    let mut plan = Plan::small();
    (plan.door, plan.buffers) = (door(4_096, 2_048), 2_048);
    story("slow reader", &plan, |place| {
        ada_and_bob(place)?;
        let (person, mut said, mut missed) = (1, 0, 0);
        for round in 0..2 {
            let reading = Reading::Paused;
            place.ask(0, Ask::Read { person, reading });
            for number in 0..60 {
                // There may be room for short ones, but they are not to come before what was missed.
                said += 1;
                let rest = "x".repeat(if number % 4 == 3 { 1 } else { 400 });
                place.say(0, format!("{said} {rest}\n"))?;
            }
            let kept: usize = place.doors().map(|door| door.kept_bytes()).sum();
            assert_eq!(kept, 0);
            let reading = Reading::Flowing;
            place.ask(0, Ask::Read { person, reading });
            place.world.run_for(Duration::from_secs(10))?;
            said += 1;
            place.say(0, format!("{said} is after it\n"))?;
            let bob = &place.crowd(0).people[1];
            let newly = bob.missed - missed;
            assert!(
                (20..60).contains(&newly),
                "{newly} of 60 missed in round {round}"
            );
            missed = bob.missed;
            assert_eq!((bob.heard + missed, bob.gaps), (said, missed));
            assert_eq!(u64::from(missed), place.stats().missed);
            // First what it heard, without a gap; then how many it missed; then what is new.
            let read = place.read(1);
            let first = said - 60;
            for (number, line) in (first..).zip(&read[..read.len() - 2]) {
                assert!(
                    line.starts_with(&format!("Ada: {number} ")),
                    "{number}: {line}"
                );
            }
            let last = [
                format!("* you missed {newly} lines"),
                format!("Ada: {said} is after it"),
            ];
            assert_eq!(read[read.len() - 2..], last);
        }
        Ok(())
    });
}

#[test]
fn who_reads_nothing_for_a_minute_has_to_leave() {
    let mut plan = Plan::small();
    (plan.door, plan.buffers) = (door(4_096, 2_048), 2_048);
    story("stuck reader", &plan, |place| {
        ada_and_bob(place)?;
        let (person, reading) = (1, Reading::Paused);
        place.ask(0, Ask::Read { person, reading });
        for number in 1..=90 {
            place.say(0, format!("{number} {}\n", "x".repeat(300)))?;
        }
        assert_eq!((place.stats().stuck, place.stats().open), (1, 3));
        assert_eq!(place.read(0), ["* Bob left"]);
        let reading = Reading::Flowing;
        place.ask(0, Ask::Read { person, reading });
        Ok(())
    });
}

#[test]
fn who_says_nothing_for_an_hour_has_to_leave_and_is_broken_off_if_it_does_not() {
    story("silence", &Plan::small(), |place| {
        ada_and_bob(place)?;
        place.world.run_for(Duration::from_secs(3_000))?;
        place.say(0, "still here\n")?;
        let (person, reading) = (2, Reading::Paused);
        place.ask(0, Ask::Read { person, reading });
        place.world.run_for(Duration::from_secs(700))?;
        let stats = place.stats();
        assert_eq!((stats.silent, stats.open), (3, 1), "{stats:?}");
        assert_eq!(place.read(0), ["* Bob left"]);
        let bye = "* you said nothing for too long: bye";
        assert_eq!(place.read(1), ["Ada: still here", bye]);
        assert_eq!(
            (place.read(2).len(), place.read(3)),
            (0, vec![bye.to_owned()])
        );
        Ok(())
    });
}

#[test]
fn who_comes_when_all_places_are_taken_is_told_so() {
    let mut plan = Plan::small();
    plan.door.people_max = 4;
    story("too many", &plan, |place| {
        place.add_crowd(&plan)?;
        place.world.run_for(Duration::from_secs(1))?;
        let crowd = place.crowd(1);
        for person in &crowd.people {
            let read = person.transcript.borrow();
            assert_eq!(
                read[..],
                [b"* too many people are here; come back later".to_vec()]
            );
        }
        assert!(crowd.is_gone());
        let stats = place.stats();
        assert_eq!((stats.welcomed, stats.turned_away, stats.open), (4, 4, 4));
        Ok(())
    });
}

#[test]
fn a_chat_that_closes_says_goodbye() {
    check("goodbye", 0..5, |world: &mut World| {
        let mut place = Place::new(world, &Plan::small())?;
        ada_and_bob(&mut place)?;
        let server = place.server;
        place.world.shutdown(server);
        place.world.run_for(ms(1_000))?;
        assert_eq!(place.read(1), ["* the chat closes: bye"]);
        assert!(place.world.is_stopped(server) && place.crowd(0).is_gone());
        Ok(())
    });
}
