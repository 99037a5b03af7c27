//! Time, and the lives of tasks.

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{Buffer, End, NetworkEvent, Timestamp, Token, UdpOpen};

use super::lab::{Kind, Lab, Puppet};

fn arm(lab: &mut Lab, puppet: Puppet, after: Duration) -> Timestamp {
    let at = lab.now().after(after);
    lab.act(puppet, move |hands| hands.deadline = Some(at));
    at
}

pub(crate) fn a_deadline_is_met_and_never_before_its_time(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    for micros in [1, 50, 400, 1_500, 12_345] {
        let at = arm(&mut lab, puppet, Duration::from_micros(micros));
        let ticked = lab.next_timeout(puppet);
        assert!(ticked >= at, "{ticked} is before {at}");
    }
}

pub(crate) fn a_deadline_that_has_passed_is_met_at_once(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    lab.pass(Duration::from_millis(2));
    let armed = lab.now();
    lab.act(puppet, |hands| hands.deadline = Some(Timestamp::EPOCH));
    assert!(lab.next_timeout(puppet) >= armed);
}

pub(crate) fn a_deadline_put_off_is_not_met_at_its_first_time(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    arm(&mut lab, puppet, Duration::from_millis(3));
    let later = arm(&mut lab, puppet, Duration::from_millis(15));
    assert!(lab.next_timeout(puppet) >= later);
}

pub(crate) fn a_deadline_taken_back_is_never_met(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (idle, busy) = (lab.puppet(), lab.puppet());
    arm(&mut lab, idle, Duration::from_millis(3));
    lab.act(idle, |hands| hands.deadline = None);
    arm(&mut lab, busy, Duration::from_millis(12));
    lab.next_timeout(busy);
    assert_eq!(lab.timeouts(idle), 0);
}

pub(crate) fn many_deadlines_are_met_in_their_order(kind: Kind) {
    let mut lab = Lab::new(kind);
    let host = lab.host();
    let puppets: Vec<Puppet> = (0..50).map(|_| lab.puppet_on(host)).collect();
    let begin = lab.now().after(Duration::from_millis(20));
    // 7 and 50 have no common divisor, so each comes once.
    let due = |index: usize| begin.after(Duration::from_micros(index as u64 * 7 % 50 * 100));
    for (index, &puppet) in puppets.iter().enumerate() {
        let at = due(index);
        lab.act(puppet, move |hands| hands.deadline = Some(at));
    }
    let mut ticks: Vec<(Timestamp, Timestamp)> = puppets
        .iter()
        .enumerate()
        .map(|(index, &puppet)| (due(index), lab.next_timeout(puppet)))
        .collect();
    ticks.sort();
    assert!(ticks.iter().all(|(due, ticked)| ticked >= due));
    assert!(
        ticks.is_sorted_by_key(|(_, ticked)| *ticked),
        "not in the order of deadlines: {ticks:?}"
    );
}

pub(crate) fn a_flood_of_datagrams_does_not_stop_the_clock(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (one, other) = (lab.puppet(), lab.puppet());
    let [(ours, here), (theirs, there)] = [one, other].map(|puppet| {
        let bind = SocketAddr::new(lab.ip(puppet.host), 0);
        lab.act(puppet, move |hands| {
            hands.outbox.open_udp(UdpOpen::new(Token(1), bind));
        });
        lab.next(puppet, |event| match event {
            NetworkEvent::UdpOpened { socket, local, .. } => Some((*socket, *local)),
            _ => None,
        })
    });
    // Each sends back whatever comes, so that there is always something to be handled.
    for (puppet, socket, peer) in [(one, ours, there), (other, theirs, here)] {
        lab.react(puppet, move |event, hands| {
            if let NetworkEvent::Datagrams { run, .. } = event {
                hands.outbox.send(socket, peer, run.payload.clone());
            }
        });
    }
    lab.act(one, move |hands| {
        for _ in 0..20 {
            let payload = Buffer::copy_from(b"to and fro");
            hands.outbox.send(ours, there, payload);
        }
    });
    // Where a thread of the kernel has to be woken for each datagram, a loaded machine takes its time.
    let mut events = 0;
    for _ in 0..200 {
        for puppet in [one, other] {
            let at = arm(&mut lab, puppet, Duration::from_millis(10));
            assert!(lab.next_timeout(puppet) >= at);
        }
        events += lab.unasked(one).len();
        if events > 10 {
            return;
        }
    }
    panic!("that was no flood: {events}");
}

pub(crate) fn tasks_of_one_host_live_for_themselves(kind: Kind) {
    let mut lab = Lab::new(kind);
    let host = lab.host();
    let (doomed, other) = (lab.puppet_on(host), lab.puppet_on(host));
    lab.act(doomed, |_| panic!("as it was told"));
    let End::Panicked { message } = lab.end(doomed) else {
        panic!("it did not panic: {:?}", lab.end(doomed));
    };
    assert!(message.contains("as it was told"), "{message}");
    let at = arm(&mut lab, other, Duration::from_millis(1));
    assert!(lab.next_timeout(other) >= at);
}

pub(crate) fn a_task_that_never_stops_asking_is_stopped(kind: Kind) {
    let mut lab = Lab::new(kind);
    let host = lab.host();
    let (greedy, other) = (lab.puppet_on(host), lab.puppet_on(host));
    let bind = SocketAddr::new(lab.ip(host), 0);
    lab.act(greedy, move |hands| {
        for token in 0..10_001 {
            hands.outbox.open_udp(UdpOpen::new(Token(token), bind));
        }
    });
    assert!(matches!(lab.end(greedy), End::Runaway { .. }));
    lab.act(other, |_| {});
}

pub(crate) fn a_worker_that_is_asked_to_stop_lets_go_of_everything(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let bind = SocketAddr::new(lab.ip(puppet.host), 0);
    lab.act(puppet, move |hands| {
        hands.outbox.open_udp(UdpOpen::new(Token(1), bind));
    });
    lab.shutdown(puppet.host);
    assert_eq!(lab.end(puppet), End::Finished);
    lab.wait_until_stopped(puppet.host);
}
