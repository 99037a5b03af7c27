//! UDP sockets and their options, as stories.

use std::collections::BTreeMap;

use core::net::SocketAddr;

use stillpoint::{Buffer, NetworkError, NetworkEvent, Token, Transmit};

use super::lab::{Kind, Lab};
use super::udp::{at, bound};

pub(crate) fn sockets_open_under_both_families_and_say_where(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let (v4, v6) = (lab.ip(puppet.host), lab.ip_v6(puppet.host));
    let everywhere = ["0.0.0.0:0", "[::]:0"].map(bound);
    for open in [at(v4, 0), at(v6, 0)].into_iter().chain(everywhere) {
        let opened = lab.open_with(puppet, open);
        assert_eq!(opened.local.ip(), open.bind.ip());
        assert_ne!(opened.local.port(), 0);
    }
}

pub(crate) fn the_reason_for_a_socket_that_cannot_be_is_told(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let taken = lab.open(puppet).local;
    let cases = [
        (taken, NetworkError::AddressInUse),
        (
            SocketAddr::new(lab.nobody(), 0),
            NetworkError::AddressNotAvailable,
        ),
    ];
    for (address, reason) in cases {
        let open = stillpoint::UdpOpen::new(Token(7), address);
        lab.act(puppet, move |hands| hands.outbox.open_udp(open));
        let told = lab.next(puppet, |event| match event {
            NetworkEvent::UdpOpenFailed {
                token, bind, error, ..
            } => Some((*token, *bind, *error)),
            _ => None,
        });
        assert_eq!(told, (Token(7), address, reason));
    }
}

pub(crate) fn a_port_is_free_once_its_socket_is_closed(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let first = lab.open(puppet);
    let again = at(first.local.ip(), first.local.port());
    assert_eq!(lab.try_open(puppet, again), Err(NetworkError::AddressInUse));
    lab.close(puppet, first.socket);
    let second = lab.open_with(puppet, again);
    assert_eq!(second.local, first.local);
    assert_ne!(second.socket, first.socket);
}

pub(crate) fn flows_to_a_shared_port_keep_to_one_socket_each(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (asking, answering) = (lab.puppet(), lab.puppet());
    let ip = lab.ip(answering.host);
    let first = lab.open_with(answering, at(ip, 0).shared());
    let port = first.local.port();
    let second = lab.open_with(answering, at(ip, port).shared());
    assert_eq!(second.local, first.local);
    assert_eq!(
        lab.try_open(answering, at(ip, port)),
        Err(NetworkError::AddressInUse),
        "one that does not share cannot have it"
    );
    let mut heard_at = BTreeMap::new();
    for _ in 0..40 {
        let from = lab.open(asking);
        for _ in 0..3 {
            lab.send(asking, from.socket, first.local, b"x");
            let socket = lab.next(answering, |event| match event {
                NetworkEvent::Datagrams { socket, run } if run.peer == from.local => Some(*socket),
                _ => None,
            });
            let before = *heard_at.entry(from.local).or_insert(socket);
            assert_eq!(socket, before, "a flow changed its socket");
        }
    }
    let of = |wanted| {
        heard_at
            .values()
            .filter(|&&socket| socket == wanted)
            .count()
    };
    assert!(of(first.socket) > 0 && of(second.socket) > 0);
}

pub(crate) fn a_connected_socket_hears_and_reaches_its_peer_alone(kind: Kind) {
    for v6 in [false, true] {
        let mut lab = Lab::new(kind);
        let (ours, friend, stranger) = (lab.puppet(), lab.puppet(), lab.puppet());
        let ip = |lab: &Lab, host| if v6 { lab.ip_v6(host) } else { lab.ip(host) };
        let (only, other) = (ip(&lab, friend.host), ip(&lab, stranger.host));
        let only = lab.open_with(friend, at(only, 0));
        let other = lab.open_with(stranger, at(other, 0));
        let everywhere = if v6 { "[::]:0" } else { "0.0.0.0:0" };
        let connected = lab.open_with(ours, bound(everywhere).connected(only.local));
        assert_eq!(connected.local.ip(), ip(&lab, ours.host));
        lab.send(stranger, other.socket, connected.local, b"psst");
        lab.send(friend, only.socket, connected.local, b"hello");
        lab.hear_only(ours, connected.socket, b"hello");
        lab.send(ours, connected.socket, only.local, b"hello too");
        lab.hear_only(friend, only.socket, b"hello too");
        lab.send(ours, connected.socket, other.local, b"psst");
        let told = lab.failed(ours);
        assert_eq!(
            (told.peer, told.error),
            (other.local, NetworkError::OtherPeer)
        );
        lab.close(friend, only.socket);
        lab.send(ours, connected.socket, only.local, b"anybody?");
        let refused = (
            connected.socket,
            Some(only.local),
            NetworkError::ConnectionRefused,
        );
        assert_eq!(lab.socket_error(ours), refused);
    }
}

pub(crate) fn a_peer_of_the_other_family_cannot_be_connected_to(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let (v4, v6) = (lab.ip(puppet.host), lab.ip_v6(puppet.host));
    for (ours, theirs) in [(v4, v6), (v6, v4)] {
        let open = at(ours, 0).connected(SocketAddr::new(theirs, 7));
        assert_eq!(lab.try_open(puppet, open), Err(NetworkError::AddressFamily));
    }
}

pub(crate) fn a_dual_stack_socket_speaks_with_both_families_under_their_own_addresses(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (asking, answering) = (lab.puppet(), lab.puppet());
    lab.echo(answering);
    let both = lab.open_with(answering, bound("[::]:0"));
    let here = [lab.ip(asking.host), lab.ip_v6(asking.host)];
    let there = [lab.ip(answering.host), lab.ip_v6(answering.host)];
    for (our_ip, their_ip) in here.into_iter().zip(there) {
        let from = lab.open_with(asking, at(our_ip, 0));
        let to = SocketAddr::new(their_ip, both.local.port());
        lab.send(asking, from.socket, to, b"hello");
        let question = lab.hear(answering, both.socket);
        assert_eq!(question.peer, from.local);
        assert_eq!(question.local, Some(their_ip));
        assert_eq!(lab.hear(asking, from.socket).peer, to);
        // It may speak first, too.
        lab.send(answering, both.socket, from.local, b"how are you?");
        lab.hear_only(asking, from.socket, b"how are you?");
        // And is told who refuses it.
        lab.close(asking, from.socket);
        lab.send(answering, both.socket, from.local, b"gone?");
        let refused = (
            both.socket,
            Some(from.local),
            NetworkError::ConnectionRefused,
        );
        assert_eq!(lab.socket_error(answering), refused);
    }
}

pub(crate) fn a_dual_stack_socket_takes_the_port_of_both_families(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let both = lab.open_with(puppet, bound("[::]:0"));
    let port = both.local.port();
    let v4 = at(lab.ip(puppet.host), port);
    let everywhere = at([0, 0, 0, 0].into(), port);
    assert_eq!(lab.try_open(puppet, v4), Err(NetworkError::AddressInUse));
    assert_eq!(
        lab.try_open(puppet, everywhere),
        Err(NetworkError::AddressInUse)
    );
}

pub(crate) fn a_socket_for_ipv6_only_leaves_ipv4_to_another(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let only = lab.open_with(theirs, bound("[::]:0").v6_only());
    let port = only.local.port();
    let v4 = lab.open_with(theirs, at([0, 0, 0, 0].into(), port));
    let from = lab.open_with(ours, bound("[::]:0"));
    let (there, there_v6) = (lab.ip(theirs.host), lab.ip_v6(theirs.host));
    lab.send(ours, from.socket, SocketAddr::new(there, port), b"four");
    lab.hear_only(theirs, v4.socket, b"four");
    lab.send(ours, from.socket, SocketAddr::new(there_v6, port), b"six");
    lab.hear_only(theirs, only.socket, b"six");
    let peer = SocketAddr::new(there, 9);
    lab.send(theirs, only.socket, peer, b"x");
    let told = lab.failed(theirs);
    assert_eq!((told.peer, told.error), (peer, NetworkError::AddressFamily));
}

pub(crate) fn a_mapped_address_is_bound_as_ipv4(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let core::net::IpAddr::V4(ip) = lab.ip(theirs.host) else {
        panic!("an IPv4 address")
    };
    let to = lab.open_with(theirs, at(ip.to_ipv6_mapped().into(), 0));
    assert_eq!(to.local.ip(), ip);
    let from = lab.open(ours);
    lab.send(ours, from.socket, to.local, b"plain");
    lab.hear_only(theirs, to.socket, b"plain");
}

pub(crate) fn what_was_asked_for_buffers_is_granted_and_told(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let ip = lab.ip(puppet.host);
    let opened = lab.open_with(puppet, at(ip, 0).with_buffers(20_000, 30_000));
    assert_eq!(opened.buffers.send, 40_000);
    assert_eq!(opened.buffers.receive, 60_000);
    let least = lab.open_with(puppet, at(ip, 0).with_buffers(0, 0)).buffers;
    assert!(least.send > 0 && least.receive > 0, "{least:?}");
    let usual = lab.open(puppet).buffers;
    assert!(usual.send > 40_000 && usual.receive > 60_000, "{usual:?}");
}

pub(crate) fn a_receive_buffer_bounds_a_burst_and_what_is_lost_is_counted(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let (from, ip) = (lab.open(ours), lab.ip(theirs.host));
    let to = lab.open_with(theirs, at(ip, 0).with_buffers(20_000, 20_000));
    lab.act(ours, move |hands| {
        // Each longer than the one before, so that none travel together.
        for len in 1_000..1_200 {
            let payload = Buffer::copy_from(&vec![1; len]);
            hands.outbox.send(from.socket, to.local, payload);
        }
    });
    let mut heard = 0;
    let mut longest = 0;
    let mut send_last = true;
    while longest != 2_000 {
        let run = lab.hear(theirs, to.socket);
        (heard, longest) = (heard + 1, run.payload.len());
        if core::mem::take(&mut send_last) {
            lab.pass(core::time::Duration::from_millis(50));
            // The system tells what it dropped with the next that it does not drop.
            lab.send(ours, from.socket, to.local, &[2; 2_000]);
        }
    }
    assert!((8..=40).contains(&heard), "{heard} of 201 got in");
    assert_eq!(heard + lab.receive_dropped(theirs.host), 201);
}

pub(crate) fn a_hop_limit_of_one_reaches_the_neighbours(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    for (our_ip, their_ip) in [
        (lab.ip(ours.host), lab.ip(theirs.host)),
        (lab.ip_v6(ours.host), lab.ip_v6(theirs.host)),
    ] {
        let from = lab.open_with(ours, at(our_ip, 0).with_hop_limit(1));
        let to = lab.open_with(theirs, at(their_ip, 0));
        lab.send(ours, from.socket, to.local, b"near");
        lab.hear_only(theirs, to.socket, b"near");
        let none = at(our_ip, 0).with_hop_limit(0);
        assert_eq!(lab.try_open(ours, none), Err(NetworkError::InvalidOption));
    }
}

pub(crate) fn broadcast_is_for_those_who_ask_for_it(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, theirs) = (lab.puppet(), lab.puppet());
    let to = lab.open_with(theirs, bound("0.0.0.0:0"));
    let everybody = SocketAddr::new(lab.broadcast(), to.local.port());
    let plain = lab.open_with(ours, bound("0.0.0.0:0"));
    lab.send(ours, plain.socket, everybody, b"hear!");
    let told = lab.failed(ours);
    assert_eq!(
        (told.peer, told.error),
        (everybody, NetworkError::PermissionDenied)
    );
    let loud = lab.open_with(ours, bound("0.0.0.0:0").with_broadcast());
    lab.send(ours, loud.socket, everybody, b"hear, hear!");
    lab.hear_only(theirs, to.socket, b"hear, hear!");
}

pub(crate) fn a_broadcast_reaches_all_and_is_answered_from_their_own_addresses(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (ours, others) = (lab.puppet(), [lab.puppet(), lab.puppet(), lab.puppet()]);
    let loud = lab.open_with(ours, bound("0.0.0.0:0").with_broadcast());
    let first = lab.open_with(others[0], bound("0.0.0.0:0").shared());
    let port = first.local.port();
    let mut open = vec![first];
    for other in &others[1..] {
        // One of them over both families.
        let everywhere = if open.len() == 1 {
            "0.0.0.0:0"
        } else {
            "[::]:0"
        };
        let mut shared = bound(everywhere).shared();
        shared.bind.set_port(port);
        open.push(lab.open_with(*other, shared));
    }
    for other in others {
        lab.echo(other);
    }
    let everybody = SocketAddr::new(lab.broadcast(), port);
    lab.transmit(
        ours,
        Transmit::new(loud.socket, everybody, Buffer::copy_from(b"who is there?")),
    );
    for (puppet, opened) in others.into_iter().zip(open) {
        let run = lab.hear(puppet, opened.socket);
        assert_eq!(&run.payload[..], b"who is there?");
        assert_eq!(run.interface, Some(lab.interface_index()));
        assert_eq!(run.local, Some(lab.ip(puppet.host)));
    }
    for _ in others {
        let answer = lab.hear(ours, loud.socket);
        assert!(
            others
                .map(|other| lab.ip(other.host))
                .contains(&answer.peer.ip()),
            "{}",
            answer.peer
        );
    }
}
