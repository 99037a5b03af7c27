//! Multicast groups, as stories.

use core::net::{IpAddr, SocketAddr};

use stillpoint::{Interface, InterfaceIndex, Membership, NetworkError, NetworkEvent};

use super::lab::{Kind, Lab, Puppet};
use super::udp::{Opened, at, bound};

/// A group that nobody else uses.
const GROUP: IpAddr = IpAddr::V4(core::net::Ipv4Addr::new(239, 77, 3, 9));

/// The same for IPv6, within a machine's own network.
const GROUP_V6: IpAddr = IpAddr::V6(core::net::Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0x4d, 0x39));

/// The groups that this world has ways to: over loopback interfaces, systems have no route to
/// those of IPv6. Over others they have: `tests/privileged_udp.rs`.
fn groups(kind: Kind) -> impl Iterator<Item = IpAddr> {
    let v6 = kind.is_simulated().then_some(GROUP_V6);
    core::iter::once(GROUP).chain(v6)
}

/// The interface of this world, by number.
fn here(lab: &Lab) -> Interface {
    Interface::Index(lab.interface_index())
}

/// A socket on all addresses of both families that shares the port with its like.
fn listening(lab: &mut Lab, puppet: Puppet, port: u16) -> Opened {
    let mut open = bound("[::]:0").shared();
    open.bind.set_port(port);
    lab.open_with(puppet, open)
}

/// A socket that sends to groups in this world.
fn sending(lab: &mut Lab, puppet: Puppet) -> Opened {
    let interface = here(lab);
    lab.open_with(puppet, bound("[::]:0").with_multicast_interface(interface))
}

pub(crate) fn members_of_a_group_get_what_is_sent_to_it_and_others_do_not(kind: Kind) {
    for group in groups(kind) {
        let mut lab = Lab::new(kind);
        let (speaker, one, two, outsider) =
            (lab.puppet(), lab.puppet(), lab.puppet(), lab.puppet());
        let from = sending(&mut lab, speaker);
        let at_one = listening(&mut lab, one, 0);
        let port = at_one.local.port();
        let at_two = listening(&mut lab, two, port);
        let at_outsider = listening(&mut lab, outsider, port);
        let interface = here(&lab);
        for (puppet, opened) in [(one, at_one), (two, at_two)] {
            let membership = Membership::new(opened.socket, group).at(interface);
            lab.join(puppet, membership).unwrap();
        }
        lab.send(
            speaker,
            from.socket,
            SocketAddr::new(group, port),
            b"members!",
        );
        for (puppet, opened) in [(one, at_one), (two, at_two)] {
            let run = lab.hear(puppet, opened.socket);
            assert_eq!(&run.payload[..], b"members!");
            assert_eq!(run.local, Some(group));
            assert_eq!(run.interface, Some(lab.interface_index()));
        }
        let other = Membership::new(at_outsider.socket, group).at(interface);
        lab.join(outsider, other).unwrap();
        lab.send(speaker, from.socket, SocketAddr::new(group, port), b"again");
        lab.hear_only(outsider, at_outsider.socket, b"again");
    }
}

pub(crate) fn a_member_that_has_left_hears_no_more(kind: Kind) {
    for group in groups(kind) {
        let mut lab = Lab::new(kind);
        let (speaker, member) = (lab.puppet(), lab.puppet());
        let (from, to) = (sending(&mut lab, speaker), listening(&mut lab, member, 0));
        let membership = Membership::new(to.socket, group).at(here(&lab));
        lab.join(member, membership).unwrap();
        let target = SocketAddr::new(group, to.local.port());
        lab.send(speaker, from.socket, target, b"one");
        lab.hear_only(member, to.socket, b"one");
        lab.leave(member, membership).unwrap();
        lab.send(speaker, from.socket, target, b"two");
        lab.join(member, membership).unwrap();
        lab.send(speaker, from.socket, target, b"three");
        lab.hear_only(member, to.socket, b"three");
    }
}

pub(crate) fn a_socket_may_be_in_several_groups_and_tells_them_apart(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (speaker, member) = (lab.puppet(), lab.puppet());
    let (from, to) = (sending(&mut lab, speaker), listening(&mut lab, member, 0));
    let groups: Vec<IpAddr> = groups(kind).chain([[239, 77, 3, 10].into()]).collect();
    let interface = here(&lab);
    for &group in &groups {
        lab.join(member, Membership::new(to.socket, group).at(interface))
            .unwrap();
    }
    for group in groups {
        let target = SocketAddr::new(group, to.local.port());
        lab.send(speaker, from.socket, target, b"to whom?");
        assert_eq!(lab.hear(member, to.socket).local, Some(group));
    }
}

pub(crate) fn what_was_sent_to_a_group_is_answered_by_each_member(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (asking, one, two) = (lab.puppet(), lab.puppet(), lab.puppet());
    let (own, interface) = (lab.ip(asking.host), here(&lab));
    let from = lab.open_with(asking, at(own, 0).with_multicast_interface(interface));
    let at_one = listening(&mut lab, one, 0);
    let port = at_one.local.port();
    let at_two = listening(&mut lab, two, port);
    for (puppet, opened) in [(one, at_one), (two, at_two)] {
        lab.echo(puppet);
        let by_address = lab.interface(puppet.host);
        lab.join(puppet, Membership::new(opened.socket, GROUP).at(by_address))
            .unwrap();
    }
    lab.send(asking, from.socket, SocketAddr::new(GROUP, port), b"who?");
    let mut answers = [0; 2].map(|_| {
        let run = lab.hear(asking, from.socket);
        assert_eq!(run.peer.port(), port);
        run.peer.ip()
    });
    answers.sort();
    assert_eq!(answers, [lab.ip(one.host), lab.ip(two.host)]);
}

pub(crate) fn a_socket_bound_to_a_group_hears_that_group_alone(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (speaker, member) = (lab.puppet(), lab.puppet());
    let from = sending(&mut lab, speaker);
    let to = lab.open_with(member, at(GROUP, 0));
    let interface = here(&lab);
    let port = to.local.port();
    lab.join(member, Membership::new(to.socket, GROUP).at(interface))
        .unwrap();
    let unicast = SocketAddr::new(lab.ip(member.host), port);
    lab.send(speaker, from.socket, unicast, b"you");
    lab.send(speaker, from.socket, SocketAddr::new(GROUP, port), b"all");
    lab.hear_only(member, to.socket, b"all");
}

pub(crate) fn a_membership_that_cannot_be_is_refused_with_the_reason(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let both = listening(&mut lab, puppet, 0).socket;
    let v4 = lab.open_with(puppet, bound("0.0.0.0:0")).socket;
    let v6 = lab.open_with(puppet, bound("[::]:0").v6_only()).socket;
    let interface = here(&lab);
    let member = Membership::new(both, GROUP).at(interface);
    lab.join(puppet, member).unwrap();
    let far = Interface::Index(InterfaceIndex::new(4_000_000).unwrap());
    let nobody = Interface::Address(lab.nobody());
    let joins = [
        (member, NetworkError::AlreadyMember),
        (member.at(far), NetworkError::NoSuchInterface),
        (member.at(nobody), NetworkError::NoSuchInterface),
        (
            Membership::new(both, GROUP_V6).at(nobody),
            NetworkError::NoSuchInterface,
        ),
        (
            Membership::new(both, [192, 0, 2, 9]).at(interface),
            NetworkError::NotAGroup,
        ),
        (
            Membership::new(v4, GROUP_V6).at(interface),
            NetworkError::AddressFamily,
        ),
        (
            Membership::new(v6, GROUP).at(interface),
            NetworkError::AddressFamily,
        ),
    ];
    for (membership, error) in joins {
        assert_eq!(lab.join(puppet, membership), Err(error), "{membership:?}");
    }
    let never = Membership::new(v4, GROUP).at(interface);
    assert_eq!(lab.leave(puppet, never), Err(NetworkError::NotMember));
    let never = Membership::new(v6, GROUP_V6).at(interface);
    assert_eq!(lab.leave(puppet, never), Err(NetworkError::NotMember));
    lab.leave(puppet, member).unwrap();
    assert_eq!(lab.leave(puppet, member), Err(NetworkError::NotMember));
}

pub(crate) fn a_stale_socket_joins_nothing(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let old = listening(&mut lab, puppet, 0);
    lab.close(puppet, old.socket);
    let membership = Membership::new(old.socket, GROUP);
    lab.act(puppet, move |hands| {
        hands.outbox.join_group(membership);
        hands.outbox.leave_group(membership);
    });
    let stale = lab.next(puppet, |event| match event {
        NetworkEvent::Stale { id, outputs } => Some((*id, *outputs)),
        _ => None,
    });
    assert_eq!(stale, (old.socket.into(), 2));
}

pub(crate) fn a_closed_socket_has_left_its_groups(kind: Kind) {
    let mut lab = Lab::new(kind);
    let (speaker, member) = (lab.puppet(), lab.puppet());
    let (from, old) = (sending(&mut lab, speaker), listening(&mut lab, member, 0));
    let interface = here(&lab);
    lab.join(member, Membership::new(old.socket, GROUP).at(interface))
        .unwrap();
    lab.close(member, old.socket);
    let port = old.local.port();
    let new = listening(&mut lab, member, port);
    let target = SocketAddr::new(GROUP, port);
    lab.send(speaker, from.socket, target, b"for the old one");
    let unicast = SocketAddr::new(lab.ip(member.host), port);
    lab.send(speaker, from.socket, unicast, b"for the new one");
    lab.hear_only(member, new.socket, b"for the new one");
}

pub(crate) fn an_interface_that_is_not_there_cannot_be_sent_through(kind: Kind) {
    let mut lab = Lab::new(kind);
    let puppet = lab.puppet();
    let far = Interface::Index(InterfaceIndex::new(4_000_000).unwrap());
    for address in ["0.0.0.0:0", "[::]:0"] {
        for interface in [far, Interface::Address(lab.nobody())] {
            let open = bound(address).with_multicast_interface(interface);
            assert_eq!(
                lab.try_open(puppet, open),
                Err(NetworkError::NoSuchInterface),
                "{open:?}"
            );
        }
    }
}
