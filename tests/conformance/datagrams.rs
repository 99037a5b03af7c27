//! Datagrams on their way, as stories.

use core::net::SocketAddr;
use core::time::Duration;

use stillpoint::{
    Buffer, BufferPool, DATAGRAM_BYTES_MAX, Dscp, Ecn, InterfaceIndex, NetworkError, NetworkEvent,
    ResourceId, Transmit, WhenFull, segments,
};

use super::lab::{Kind, Lab};
use super::udp::{at, bound, pattern};

pub(crate) fn datagrams_of_every_length_arrive_whole(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    for (our_ip, their_ip) in [
        (lab.ip(ours.host), lab.ip(theirs.host)),
        (lab.ip_v6(ours.host), lab.ip_v6(theirs.host)),
    ] {
        let from = lab.open_with(ours, at(our_ip, 0));
        let to = lab.open_with(theirs, at(their_ip, 0));
        for len in [0, 1, 511, 1_472, 9_000, 16_320, 65_506, DATAGRAM_BYTES_MAX] {
            let sent = pattern(len);
            lab.send(ours, from.socket, to.local, &sent);
            let run = lab.hear(theirs, to.socket);
            assert_eq!(run.payload, sent, "{len} bytes");
            assert_eq!(run.count(), 1);
            assert_eq!(run.peer, from.local);
        }
    }
}

pub(crate) fn a_datagram_too_long_is_refused_whole_and_the_next_one_passes(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (from, to) = (lab.open(ours), lab.open(theirs));
    let len = DATAGRAM_BYTES_MAX + 1;
    lab.send(ours, from.socket, to.local, &vec![1; len]);
    let told = lab.failed(ours);
    let max = DATAGRAM_BYTES_MAX;
    assert_eq!(told.error, NetworkError::TooLong { len, max });
    assert_eq!((told.peer, told.datagrams), (to.local, 1));
    lab.send(ours, from.socket, to.local, b"short");
    lab.hear_only(theirs, to.socket, b"short");
}

pub(crate) fn a_burst_arrives_in_order_and_whole(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (from, to) = (lab.open(ours), lab.open(theirs));
    // Sizes that join into runs, sizes that do not, and empty ones between.
    let sent: Vec<Vec<u8>> = (0..100)
        .map(|number| pattern(number * 37 % 400 / 50 * 50))
        .collect();
    let burst = sent.clone();
    lab.act(ours, move |hands| {
        for bytes in burst {
            hands
                .outbox
                .send(from.socket, to.local, Buffer::copy_from(&bytes));
        }
    });
    assert_eq!(lab.hear_all(theirs, to.socket, sent.len()), sent);
}

pub(crate) fn a_run_arrives_as_its_datagrams_and_where_it_can_in_one_go(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (from, to) = (lab.open(ours), lab.open(theirs));
    for (len, segment_size) in [(32 * 100, 100), (1_200 * 30 - 1, 1_200), (1_201, 1_200)] {
        let payload = pattern(len);
        let transmit = Transmit::new(from.socket, to.local, Buffer::copy_from(&payload));
        lab.transmit(ours, transmit.with_segment_size(segment_size));
        let sent: Vec<Vec<u8>> = segments(&payload, segment_size)
            .map(<[u8]>::to_vec)
            .collect();
        if lab.carries_runs(theirs.host) {
            let run = lab.hear(theirs, to.socket);
            assert_eq!((run.segment_size, run.count()), (segment_size, sent.len()));
            assert_eq!(run.payload, payload);
        } else {
            assert_eq!(lab.hear_all(theirs, to.socket, sent.len()), sent);
        }
    }
}

pub(crate) fn one_payload_goes_to_many_peers_without_a_copy(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let from = lab.open(ours);
    let peers: Vec<_> = (0..50).map(|_| lab.open(theirs)).collect();
    let pool = BufferPool::new();
    let (shared, to) = (pool.copy_from(&pattern(1_200)), peers.clone());
    lab.act(ours, move |hands| {
        for peer in &to {
            hands.outbox.send(from.socket, peer.local, shared.clone());
        }
    });
    for peer in &peers {
        assert_eq!(lab.hear(theirs, peer.socket).payload, pattern(1_200));
    }
    assert_eq!(pool.live() + pool.free(), 1, "the payload was copied");
}

pub(crate) fn congestion_bits_pass_both_ways(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    for (our_ip, their_ip) in [
        (lab.ip(ours.host), lab.ip(theirs.host)),
        (lab.ip_v6(ours.host), lab.ip_v6(theirs.host)),
    ] {
        let from = lab.open_with(ours, at(our_ip, 0));
        let to = lab.open_with(theirs, at(their_ip, 0));
        for ecn in [
            Ecn::NotCapable,
            Ecn::Capable0,
            Ecn::Capable1,
            Ecn::CongestionExperienced,
        ] {
            let transmit = Transmit::new(from.socket, to.local, Buffer::copy_from(b"there"));
            lab.transmit(ours, transmit.with_ecn(ecn));
            let there = lab.hear(theirs, to.socket);
            let transmit = Transmit::new(to.socket, from.local, Buffer::copy_from(b"back"));
            lab.transmit(theirs, transmit.with_ecn(ecn));
            let back = lab.hear(ours, from.socket);
            assert_eq!((there.ecn, back.ecn), (ecn, ecn), "to {their_ip}");
        }
    }
}

pub(crate) fn code_points_are_the_sockets_unless_a_datagram_has_its_own(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let everywhere = "[::]:0".parse::<SocketAddr>().unwrap().ip();
    for (our_ip, their_ip) in [
        (lab.ip(ours.host), lab.ip(theirs.host)),
        (lab.ip_v6(ours.host), lab.ip_v6(theirs.host)),
        (everywhere, lab.ip(theirs.host)),
        (everywhere, lab.ip_v6(theirs.host)),
    ] {
        let from = lab.open_with(ours, at(our_ip, 0).with_dscp(Dscp::EF));
        let to = lab.open_with(theirs, at(their_ip, 0));
        let plain = Transmit::new(from.socket, to.local, Buffer::copy_from(b"x"));
        for (transmit, dscp, ecn) in [
            (plain.clone(), Dscp::EF, Ecn::NotCapable),
            (
                plain.clone().with_ecn(Ecn::Capable0),
                Dscp::EF,
                Ecn::Capable0,
            ),
            (
                plain.clone().with_dscp(Dscp::AF41),
                Dscp::AF41,
                Ecn::NotCapable,
            ),
            (
                plain.clone().with_dscp(Dscp::CS0),
                Dscp::CS0,
                Ecn::NotCapable,
            ),
            (
                plain.with_dscp(Dscp::LE).with_ecn(Ecn::Capable1),
                Dscp::LE,
                Ecn::Capable1,
            ),
        ] {
            lab.transmit(ours, transmit);
            let run = lab.hear(theirs, to.socket);
            assert_eq!((run.dscp, run.ecn), (dscp, ecn), "{our_ip} to {their_ip}");
        }
    }
}

pub(crate) fn datagrams_of_different_treatment_are_not_joined(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (from, to) = (lab.open(ours), lab.open(theirs));
    lab.act(ours, move |hands| {
        for dscp in [Dscp::EF, Dscp::EF, Dscp::AF41, Dscp::EF] {
            let transmit = Transmit::new(from.socket, to.local, Buffer::copy_from(b"same"));
            hands.outbox.transmit(transmit.with_dscp(dscp));
        }
    });
    let mut heard = Vec::new();
    while heard.len() < 4 {
        let run = lab.hear(theirs, to.socket);
        heard.extend(run.iter().map(|_| run.dscp));
    }
    assert_eq!(heard, [Dscp::EF, Dscp::EF, Dscp::AF41, Dscp::EF]);
}

pub(crate) fn the_address_that_was_asked_is_told_and_answers(kind: Kind) {
    let mut lab = Lab::new(kind);
    let host = lab.host();
    let (asking, answering) = (lab.puppet_on(host), lab.puppet_on(host));
    lab.echo(answering);
    let from = lab.open_with(asking, bound("127.0.0.1:0"));
    let open = lab.open_with(answering, bound("0.0.0.0:0"));
    // One machine has many loopback addresses.
    for ip in [[127, 0, 0, 1], [127, 0, 0, 5], [127, 9, 9, 9]] {
        let asked = SocketAddr::new(ip.into(), open.local.port());
        lab.send(asking, from.socket, asked, b"who?");
        let question = lab.hear(answering, open.socket);
        assert_eq!(question.local, Some(asked.ip()));
        assert_eq!(lab.hear(asking, from.socket).peer, asked);
    }
}

pub(crate) fn the_interface_of_arrival_is_told(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    for open in [
        bound("0.0.0.0:0"),
        bound("[::]:0").v6_only(),
        bound("[::]:0"),
    ] {
        let listening = lab.open_with(theirs, open);
        let mut targets = Vec::new();
        if open.bind.is_ipv4() || open.v6_only == stillpoint::V6Only::No {
            targets.push(lab.ip(theirs.host));
        }
        if open.bind.is_ipv6() {
            targets.push(lab.ip_v6(theirs.host));
        }
        for ip in targets {
            let from = match ip.is_ipv4() {
                true => lab.open(ours),
                false => {
                    let ip = lab.ip_v6(ours.host);
                    lab.open_with(ours, at(ip, 0))
                }
            };
            let to = SocketAddr::new(ip, listening.local.port());
            lab.send(ours, from.socket, to, b"where?");
            let run = lab.hear(theirs, listening.socket);
            assert_eq!(run.interface, Some(lab.interface_index()), "{to}");
            assert_eq!(run.local, Some(ip));
        }
    }
    // Whoever talks to itself hears itself at the loopback interface, which is the first.
    let own = lab.open_with(ours, bound("127.0.0.1:0"));
    lab.send(ours, own.socket, own.local, b"me");
    let run = lab.hear(ours, own.socket);
    assert_eq!(run.interface, InterfaceIndex::new(1));
}

pub(crate) fn a_refused_datagram_names_its_peer_and_disturbs_no_other(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (from, to, deaf) = (lab.open(ours), lab.open(theirs), lab.open(theirs));
    lab.close(theirs, deaf.socket);
    for round in 0..10 {
        lab.send(ours, from.socket, deaf.local, b"anybody?");
        lab.send(ours, from.socket, to.local, &[round]);
        lab.hear_only(theirs, to.socket, &[round]);
        lab.send(theirs, to.socket, from.local, &[round]);
        lab.hear_only(ours, from.socket, &[round]);
        let refused = (
            from.socket,
            Some(deaf.local),
            NetworkError::ConnectionRefused,
        );
        assert_eq!(lab.socket_error(ours), refused);
    }
}

pub(crate) fn a_peer_of_the_other_family_is_refused(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (v4, v6) = (lab.ip(ours.host), lab.ip_v6(ours.host));
    let (v4, v6) = (
        lab.open_with(ours, at(v4, 0)),
        lab.open_with(ours, at(v6, 0)),
    );
    let to = lab.ip(theirs.host);
    let to_v6 = lab.ip_v6(theirs.host);
    for (from, ip) in [(v4, to_v6), (v6, to)] {
        let peer = SocketAddr::new(ip, 9);
        lab.send(ours, from.socket, peer, b"x");
        let told = lab.failed(ours);
        assert_eq!(told.error, NetworkError::AddressFamily);
        assert_eq!((told.socket, told.peer), (from.socket, peer));
    }
}

pub(crate) fn a_source_of_others_is_refused(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (from, to) = (lab.open_with(ours, bound("0.0.0.0:0")), lab.open(theirs));
    let transmit = Transmit::new(from.socket, to.local, Buffer::copy_from(b"x"));
    let nobody = lab.nobody();
    lab.transmit(ours, transmit.from_source(nobody));
    assert_eq!(lab.failed(ours).peer, to.local);
}

pub(crate) fn what_was_sent_before_a_close_arrives(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (from, to) = (lab.open(ours), lab.open(theirs));
    lab.act(ours, move |hands| {
        let bye = Buffer::copy_from(b"bye");
        hands.outbox.send(from.socket, to.local, bye);
        hands.outbox.close(from.socket);
    });
    lab.hear_only(theirs, to.socket, b"bye");
}

pub(crate) fn a_socket_closed_in_the_middle_of_a_burst_gives_no_more(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (from, to, other) = (lab.open(ours), lab.open(theirs), lab.open(theirs));
    let mut heard = 0;
    lab.react(theirs, move |event, hands| {
        if let NetworkEvent::Datagrams { socket, .. } = event
            && *socket == to.socket
        {
            heard += 1;
            if heard == 3 {
                hands.outbox.close(to.socket);
            }
        }
    });
    lab.act(ours, move |hands| {
        // Each longer than the one before, so that none travel together.
        for len in 1..=8 {
            let payload = Buffer::copy_from(&pattern(len));
            hands.outbox.send(from.socket, to.local, payload);
        }
        let payload = Buffer::copy_from(b"last");
        hands.outbox.send(from.socket, other.local, payload);
    });
    assert_eq!(lab.hear_all(theirs, to.socket, 3).len(), 3);
    lab.hear_only(theirs, other.socket, b"last");
    lab.pass(Duration::from_millis(20));
    let more = lab.unasked(theirs);
    let more = more
        .iter()
        .filter(|event| matches!(event, NetworkEvent::Datagrams { .. }));
    assert_eq!(more.count(), 0);
}

pub(crate) fn a_stale_id_is_told_once_for_a_row_of_the_same(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (old, to) = (lab.open(ours), lab.open(theirs));
    lab.close(ours, old.socket);
    let new = lab.open(ours); // Likely in the slot of the old one.
    lab.act(ours, move |hands| {
        for _ in 0..3 {
            let stale = Buffer::copy_from(b"stale");
            hands.outbox.send(old.socket, to.local, stale);
        }
        hands.outbox.close(old.socket);
        let fresh = Buffer::copy_from(b"fresh");
        hands.outbox.send(new.socket, to.local, fresh);
    });
    let stale = lab.next(ours, |event| match event {
        NetworkEvent::Stale { id, outputs } => Some((*id, *outputs)),
        _ => None,
    });
    assert_eq!(stale, (ResourceId::from(old.socket), 4));
    lab.hear_only(theirs, to.socket, b"fresh");
}

pub(crate) fn a_socket_of_another_task_is_stale_too(kind: Kind) {
    let mut lab = Lab::new(kind);
    let host = lab.host();
    let (owner, thief) = (lab.puppet_on(host), lab.puppet_on(host));
    let own = lab.open(owner);
    lab.send(thief, own.socket, own.local, b"stolen");
    let stale = lab.next(thief, |event| match event {
        NetworkEvent::Stale { id, .. } => Some(*id),
        _ => None,
    });
    assert_eq!(stale, own.socket.into());
    lab.send(owner, own.socket, own.local, b"mine");
    lab.hear_only(owner, own.socket, b"mine");
}

pub(crate) fn every_policy_for_full_queues_loses_nothing_while_there_is_room(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let to = lab.open(theirs);
    for policy in [WhenFull::Fail, WhenFull::DropNewest, WhenFull::DropOldest] {
        let ip = lab.ip(ours.host);
        let from = lab.open_with(ours, at(ip, 0).when_full(policy));
        lab.act(ours, move |hands| {
            for number in 0..200_u8 {
                let payload = Buffer::copy_from(&vec![number; usize::from(number) + 1]);
                hands.outbox.send(from.socket, to.local, payload);
            }
        });
        let heard = lab.hear_all(theirs, to.socket, 200);
        assert!(
            (0..200).eq(heard.iter().map(|bytes| bytes[0])),
            "{policy:?}"
        );
    }
}

pub(crate) fn a_thousand_sockets_of_one_worker_each_answer(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (asking, answering) = (lab.puppet(), lab.puppet());
    let from = lab.open(asking);
    lab.echo(answering);
    let ip = lab.ip(answering.host);
    lab.act(answering, move |hands| {
        (0..1_000).for_each(|_| hands.outbox.open_udp(at(ip, 0)));
    });
    let mut open = Vec::new();
    while open.len() < 1_000 {
        open.push(lab.next(answering, |event| match event {
            NetworkEvent::UdpOpened { local, .. } => Some(*local),
            NetworkEvent::UdpOpenFailed { error, .. } => panic!("{error}"),
            _ => None,
        }));
    }
    for peers in open.chunks(50) {
        let to = peers.to_vec();
        lab.act(asking, move |hands| {
            for peer in to {
                let question = Buffer::copy_from(&peer.port().to_le_bytes());
                hands.outbox.send(from.socket, peer, question);
            }
        });
        let mut answered: Vec<_> = (0..peers.len())
            .map(|_| {
                let run = lab.hear(asking, from.socket);
                assert_eq!(run.payload, run.peer.port().to_le_bytes());
                run.peer
            })
            .collect();
        let mut asked = peers.to_vec();
        asked.sort();
        answered.sort();
        assert_eq!(answered, asked);
    }
}

pub(crate) fn a_storm_at_one_socket_does_not_keep_another_waiting(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (storm, server, client) = (lab.puppet(), lab.puppet(), lab.puppet());
    let (from, flooded) = (lab.open(storm), lab.open(server));
    let (asking, quiet) = (lab.open(client), lab.open(server));
    lab.echo(storm);
    lab.echo(server);
    // Each comes back for ever.
    lab.act(storm, move |hands| {
        for len in 1..=150 {
            let payload = Buffer::copy_from(&pattern(len));
            hands.outbox.send(from.socket, flooded.local, payload);
        }
    });
    for round in 0..20 {
        lab.send(client, asking.socket, quiet.local, &[round]);
        lab.hear_only(client, asking.socket, &[round]);
    }
    // It has been a storm all the while.
    (0..100).for_each(|_| drop(lab.hear(server, flooded.socket)));
}
