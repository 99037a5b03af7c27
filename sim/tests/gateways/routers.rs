//! Gateways without NAT: networks behind networks, and the links that all of one share.

use stillpoint::{NetworkError, Token, UdpOpen};
use stillpoint_sim::{Core, DropCause, Link, NodeId, World};

use super::lab::{Call, Lab, Say, address, ms, secs, spawn};

/// Three phones behind a router, 10.1.0.1 to 10.1.0.3, and a server at 10.2.0.1.
fn office(world: &mut World<Call>) -> (NodeId, [NodeId; 3], NodeId) {
    let router = world.gateway("router").address([10, 2, 0, 254]).build();
    let phones = [1, 2, 3].map(|last| {
        let node = world.node(format!("phone {last}"), [10, 1, 0, last]);
        let node = node.behind(router).spawner(spawn);
        world.start(node, "0.0.0.0:5000");
        node
    });
    let server = world.node("server", [10, 2, 0, 1]).spawner(spawn);
    world.start(server, "0.0.0.0:7000");
    (router, phones, server)
}

#[test]
fn all_behind_a_router_share_its_link() {
    let mut world = World::new(1);
    let (router, phones, server) = office(&mut world);
    world.link(router, server, &Link::fixed(ms(20)));
    let before = world.now();
    for (phone, number) in phones.into_iter().zip(1..) {
        let (to, from, count) = (address("10.2.0.1:7000"), number, 1);
        world.tell(phone, Say::Numbers { to, from, count });
    }
    world.settle();
    assert_eq!(world.now().since(before), ms(21));
    let heard = &world.first(server).heard;
    let mut callers: Vec<_> = heard.iter().map(|heard| heard.from).collect();
    callers.sort_unstable();
    let wanted = ["10.1.0.1:5000", "10.1.0.2:5000", "10.1.0.3:5000"].map(address);
    assert_eq!(callers, wanted, "a router translates nothing");
    world.say(server, wanted[1], 9);
    assert_eq!(world.numbers(phones[1]), [9], "and lets everybody in");

    // The one link fails, and none of them has another.
    world.link(router, server, &Link::default().loss(1.0));
    for phone in phones {
        world.say(phone, address("10.2.0.1:7000"), 4);
    }
    assert_eq!(world.dropped(DropCause::Loss), 3);
    world.say(phones[0], wanted[2], 5);
    assert_eq!(world.numbers(phones[2]), [5], "those behind it need it not");
}

#[test]
fn runs_pass_routers_as_runs_and_lose_some_of_theirs_on_each_link() {
    let mut world = World::new(3);
    let (router, phones, server) = office(&mut world);
    let (to, from, count) = (address("10.2.0.1:7000"), 0, 1_000);
    world.tell(phones[0], Say::Numbers { to, from, count });
    world.settle();
    assert_eq!(world.numbers(server), (0..1_000).collect::<Vec<_>>());
    world.link(phones[0], router, &Link::default().loss(0.3));
    world.link(router, server, &Link::default().loss(0.5));
    world.tell(phones[0], Say::Numbers { to, from, count });
    world.settle();
    let arrived = world.numbers(server).len() - 1_000;
    assert!(
        (300..400).contains(&arrived),
        "{arrived} of 1,000 where 350 are to be expected"
    );
    assert_eq!(world.dropped(DropCause::Loss), 1_000 - arrived as u64);
}

#[test]
fn the_way_through_several_routers_is_that_up_and_down_the_tree() {
    let mut world = World::<Call>::new(1);
    let campus = world.gateway("campus").build();
    let floors = [1, 2].map(|floor| {
        world
            .gateway(format!("floor {floor}"))
            .behind(campus)
            .build()
    });
    let mut phone = |name: &str, last: u8, gateway| {
        let node = world
            .node(name, [10, 0, 0, last])
            .behind(gateway)
            .spawner(spawn);
        world.start(node, "0.0.0.0:5000");
        node
    };
    let (one, two) = (phone("one", 1, floors[0]), phone("two", 2, floors[1]));
    let (near, hall) = (phone("near", 3, floors[0]), phone("hall", 4, campus));
    let outside = world.node("outside", [10, 0, 0, 9]).spawner(spawn);
    world.start(outside, "0.0.0.0:5000");
    for (from, to, name, links) in [
        (one, near, "10.0.0.3:5000", 1),
        (one, hall, "10.0.0.4:5000", 2),
        (hall, one, "10.0.0.1:5000", 2),
        (one, two, "10.0.0.2:5000", 3),
        (one, outside, "10.0.0.9:5000", 3),
        (outside, two, "10.0.0.2:5000", 3),
    ] {
        let before = world.now();
        world.say(from, address(name), links);
        assert_eq!(world.numbers(to).last(), Some(&links));
        assert_eq!(world.now().since(before), ms(links), "to {name}");
    }
}

#[test]
fn a_hop_limit_counts_gateways_and_the_sender_is_told_where_it_ends() {
    let mut world = World::new(1);
    let outer = world.gateway("outer").build();
    let inner = world.gateway("inner").behind(outer).build();
    let phone = world
        .node("phone", [10, 0, 0, 1])
        .behind(inner)
        .spawner(spawn);
    let server = world.node("server", [10, 0, 0, 2]).spawner(spawn);
    world.start(server, "0.0.0.0:7000");
    for (hosts, arrives) in [(1, false), (2, false), (3, true)] {
        let open = UdpOpen::new(Token(0), address("0.0.0.0:0")).with_hop_limit(hosts);
        world.start_with(phone, open);
        let before = world.now();
        let phones = world.tasks::<super::lab::Phone>(phone);
        let local = phones.last().unwrap().1.local.unwrap();
        world.say_from(phone, local.port(), address("10.0.0.2:7000"), hosts.into());
        assert_eq!(world.numbers(server) == [u64::from(hosts)], arrives);
        let found = world.tasks::<super::lab::Phone>(phone).last().unwrap().1;
        if arrives {
            assert_eq!(found.errors, []);
        } else {
            let told_at = before.after(ms(2 * u64::from(hosts)));
            let unreachable = NetworkError::HostUnreachable;
            assert_eq!(
                found.errors,
                [(told_at, address("10.0.0.2:7000"), unreachable)]
            );
        }
    }
    assert_eq!(world.dropped(DropCause::HopLimit), 2);
}

#[test]
fn a_gateway_itself_refuses_what_it_is_sent() {
    let mut world = World::new(1);
    let (_, phones, _) = office(&mut world);
    world.say(phones[0], address("10.2.0.254:7"), 1);
    let errors = &world.first(phones[0]).errors;
    assert_eq!(errors[0].2, NetworkError::ConnectionRefused);
    assert_eq!(world.dropped(DropCause::NoSocket), 1);
}

#[test]
fn groups_and_broadcasts_stay_within_their_network() {
    let mut world = World::<Call>::new(1);
    let router = world.gateway("router").address([10, 0, 0, 254]).build();
    let group = address("239.1.1.1:5000");
    let everybody = address("10.0.0.255:5000");
    let mut phone = |name: &str, last: u8, behind: Option<NodeId>| {
        let mut node = world.node(name, [10, 0, 0, last]);
        if let Some(gateway) = behind {
            node = node.behind(gateway);
        }
        let node = node.spawner(spawn);
        let open = UdpOpen::new(Token(0), address("0.0.0.0:5000"));
        world.start_with(node, open.with_broadcast().with_multicast_hop_limit(9));
        world.tell(node, Say::Join(group.ip()));
        world.settle();
        node
    };
    // One prefix, and two networks.
    let (one, other) = (
        phone("one", 1, Some(router)),
        phone("other", 2, Some(router)),
    );
    let outside = phone("outside", 3, None);
    world.say(one, group, 1);
    world.say(one, everybody, 2);
    assert_eq!(world.numbers(other), [1, 2]);
    assert_eq!(world.numbers(outside), []);
    world.move_behind(outside, Some(router), [10, 0, 0, 3]);
    world.say(one, group, 3);
    world.say(one, everybody, 4);
    assert_eq!(world.numbers(other), [1, 2, 3, 4]);
    assert_eq!(world.numbers(outside), [3, 4], "it was a member all along");
    world.move_behind(other, None, [10, 0, 0, 2]);
    world.say(one, group, 5);
    world.say(one, everybody, 6);
    assert_eq!(world.numbers(other), [1, 2, 3, 4]);
    world.run_until_idle(secs(1)).unwrap();
}

#[test]
fn the_bandwidth_of_a_shared_link_is_divided_among_all_behind_it() {
    // So many numbers of 8 bytes, each with 28 bytes of headers, at a million bits a second.
    let time_for = |count: u64| ms(count * 36 * 8 / 1_000);
    for senders in [1, 3] {
        let mut world = World::new(1);
        let (router, phones, server) = office(&mut world);
        world.link(router, server, &Link::fixed(ms(5)).bandwidth(1_000_000));
        let before = world.now();
        for &phone in &phones[..senders] {
            let (to, from, count) = (address("10.2.0.1:7000"), 0, 500);
            world.tell(phone, Say::Numbers { to, from, count });
        }
        world.settle();
        let heard = &world.first(server).heard;
        assert_eq!(heard.len(), 500 * senders);
        let taken = heard.last().unwrap().at.since(before);
        let wanted = time_for(500 * senders as u64) + ms(6);
        let off = taken.abs_diff(wanted);
        assert!(off <= ms(1), "{senders}: {taken:?} instead of {wanted:?}");
    }
}

#[test]
fn what_is_too_long_for_a_link_behind_a_nat_is_told_to_its_sender() {
    let mut world = World::new(1);
    let nat = stillpoint_sim::Nat::symmetric();
    let home = world
        .gateway("home")
        .address([10, 0, 0, 7])
        .nat(nat)
        .build();
    let phone = world
        .node("phone", [192, 168, 1, 1])
        .behind(home)
        .spawner(spawn);
    let server = world.node("server", [10, 0, 0, 2]).spawner(spawn);
    world.start(phone, "0.0.0.0:5000");
    world.start(server, "0.0.0.0:7000");
    world.link(home, server, &Link::fixed(ms(5)).mtu(100));
    let target = address("10.0.0.2:7000");
    world.tell(
        phone,
        Say::Long {
            to: target,
            bytes: 72,
        },
    );
    world.settle();
    assert_eq!(
        (world.caller(server).ip(), world.first(phone).errors.len()),
        (world.address(home), 0)
    );
    let before = world.now();
    world.tell(
        phone,
        Say::Long {
            to: target,
            bytes: 73,
        },
    );
    world.settle();
    let error = NetworkError::TooLong { len: 73, max: 72 };
    assert_eq!(
        world.first(phone).errors,
        [(before.after(ms(2)), target, error)]
    );
    assert_eq!(world.first(server).heard.len(), 1);
    assert_eq!(world.dropped(DropCause::TooLong), 1);
    // It is not its own link, so it is told again, and no send fails.
    world.tell(
        phone,
        Say::Long {
            to: target,
            bytes: 73,
        },
    );
    world.settle();
    assert_eq!(world.first(phone).errors.len(), 2);
    assert_eq!(world.first(phone).unsent, []);
}

#[test]
fn no_task_is_told_that_a_router_cannot_send_runs() {
    let mut world = World::new(1);
    let (router, phones, server) = office(&mut world);
    world.link(router, server, &Link::fixed(ms(1)).refuse_runs(1.0));
    let (to, from, count) = (address("10.2.0.1:7000"), 0, 10);
    world.tell(phones[0], Say::Numbers { to, from, count });
    world.settle();
    assert_eq!(world.numbers(server), (0..10).collect::<Vec<_>>());
    assert_eq!(world.first(phones[0]).unsent, []);
}

#[test]
fn who_is_cut_off_from_a_core_does_not_come_in_by_a_gateway() {
    let mut cut_off = 0;
    for seed in 0..40 {
        let mut world = World::new(seed);
        let (_, phones, server) = office(&mut world);
        let core = Core::at_least(1).with(server).among(&[server, phones[0]]);
        let inside = world.converge(secs(1), &core, |_, _| true).unwrap();
        if inside.contains(&phones[0]) || world.is_down(phones[0]) {
            continue;
        }
        cut_off += 1;
        world.say(phones[0], address("10.2.0.1:7000"), 1);
        world.say(phones[1], address("10.2.0.1:7000"), 2);
        assert_eq!(world.numbers(server), [2]);
    }
    assert!(cut_off > 0);
}
