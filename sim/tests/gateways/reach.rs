//! Who reaches whom through NATs: the classic four kinds, hairpins, homes with the same addresses,
//! NATs behind NATs, and holes that are punched.

use core::net::SocketAddr;

use stillpoint_sim::{
    Denial, DropCause, Hairpin, Link, Nat, NatBehaviour, NodeId, Protocol, World, self_check,
};

use super::lab::{Call, Lab, Say, address, ms, spawn};

/// A home with a phone at 192.168.1.10:5000, and two servers outside, of which one has two ports.
struct Street {
    world: World<Call>,
    home: NodeId,
    alice: NodeId,
    one: NodeId,
    two: NodeId,
}

const ONE: &str = "198.51.100.1:7000";
const ONE_ELSE: &str = "198.51.100.1:7001";
const TWO: &str = "198.51.100.2:7000";

impl Street {
    fn new(seed: u64, nat: Nat) -> Self {
        let mut world = World::new(seed);
        let home = world
            .gateway("home")
            .address([203, 0, 113, 7])
            .nat(nat)
            .build();
        let alice = world
            .node("alice", [192, 168, 1, 10])
            .behind(home)
            .spawner(spawn);
        let one = world.node("one", [198, 51, 100, 1]).spawner(spawn);
        let two = world.node("two", [198, 51, 100, 2]).spawner(spawn);
        world.start(alice, "0.0.0.0:5000");
        world.start(one, "0.0.0.0:7000");
        world.start(one, "0.0.0.0:7001");
        world.start(two, "0.0.0.0:7000");
        Self {
            world,
            home,
            alice,
            one,
            two,
        }
    }

    /// Alice says hello to server one, who then knows her as this.
    fn hello(&mut self) -> SocketAddr {
        self.world.say(self.alice, address(ONE), 0);
        self.world.caller(self.one)
    }
}

#[test]
fn each_kind_of_nat_lets_those_in_that_it_should() {
    // Whether somebody comes in who is at the address and port that something was sent to; at that
    // address and another port; elsewhere.
    for (name, nat, let_in) in [
        ("full cone", Nat::full_cone(), [true, true, true]),
        ("restricted", Nat::restricted(), [true, true, false]),
        (
            "port restricted",
            Nat::port_restricted(),
            [true, false, false],
        ),
        ("symmetric", Nat::symmetric(), [true, false, false]),
    ] {
        for seed in 0..5 {
            let mut street = Street::new(seed, nat.clone());
            let seen = street.hello();
            assert_eq!(seen.ip(), address("203.0.113.7:0").ip(), "{name}");
            let Street {
                world,
                alice,
                one,
                two,
                ..
            } = &mut street;
            world.say_from(*one, 7000, seen, 1);
            world.say_from(*one, 7001, seen, 2);
            world.say_from(*two, 7000, seen, 3);
            let numbers = [1, 2, 3].into_iter().zip(let_in);
            let wanted: Vec<u64> = numbers
                .filter(|(_, passes)| *passes)
                .map(|(n, _)| n)
                .collect();
            assert_eq!(world.numbers(*alice), wanted, "{name}");
            let kept_out = 3 - wanted.len() as u64;
            assert_eq!(world.dropped(DropCause::Filtered), kept_out, "{name}");
            let heard = world.first(*alice).heard[0];
            assert_eq!(
                (heard.from, heard.to),
                (address(ONE), [192, 168, 1, 10].into())
            );
        }
    }
}

#[test]
fn each_kind_of_nat_maps_as_it_should() {
    let by_address = Nat::full_cone().mapping(NatBehaviour::AddressDependent);
    // Whether another port of the same address, and another address, see the same port.
    for (name, nat, same) in [
        ("full cone", Nat::full_cone(), [true, true]),
        ("restricted", Nat::restricted(), [true, true]),
        ("port restricted", Nat::port_restricted(), [true, true]),
        ("address dependent", by_address, [true, false]),
        ("symmetric", Nat::symmetric(), [false, false]),
    ] {
        let mut street = Street::new(1, nat);
        let seen = street.hello();
        let Street {
            world,
            home,
            alice,
            one,
            two,
        } = &mut street;
        world.say(*alice, address(ONE_ELSE), 0);
        let by_one = world.caller(*one);
        world.say(*alice, address(TWO), 0);
        let by_two = world.caller(*two);
        assert_eq!([by_one == seen, by_two == seen], same, "{name}");
        let mut ports = vec![seen, by_one, by_two];
        ports.sort_unstable();
        ports.dedup();
        let mappings = world.mappings(*home);
        assert_eq!(mappings.len(), ports.len(), "{name}");
        for mapping in mappings {
            assert_eq!(mapping.inner, address("192.168.1.10:5000"));
            assert_eq!(mapping.protocol, Protocol::Udp);
            assert!(ports.contains(&mapping.outer), "{name}");
        }
    }
}

#[test]
fn nobody_is_behind_a_port_that_nothing_has_left_through() {
    let mut street = Street::new(1, Nat::full_cone());
    let Street {
        world, alice, one, ..
    } = &mut street;
    world.say(*one, address("203.0.113.7:5000"), 1);
    assert_eq!(world.numbers(*alice), []);
    assert_eq!(world.dropped(DropCause::NoMapping), 1);
    assert_eq!(world.first(*one).errors, []);

    let mut street = Street::new(1, Nat::full_cone().unsolicited(Denial::Reject));
    let Street { world, one, .. } = &mut street;
    let target = address("203.0.113.7:5000");
    world.say(*one, target, 1);
    let errors = &world.first(*one).errors;
    assert_eq!(errors[0].1, target);
    assert_eq!(errors[0].2, stillpoint::NetworkError::ConnectionRefused);
}

#[test]
fn inner_addresses_are_not_reached_from_outside() {
    let mut street = Street::new(1, Nat::full_cone());
    street.hello();
    let Street {
        world, alice, one, ..
    } = &mut street;
    world.say(*one, address("192.168.1.10:5000"), 1);
    assert_eq!(world.numbers(*alice), []);
    assert_eq!(world.dropped(DropCause::NoRoute), 1);
}

#[test]
fn two_behind_one_nat_meet_at_its_outer_address_if_it_has_hairpins() {
    for hairpin in [Hairpin::On, Hairpin::Off] {
        let mut street = Street::new(1, Nat::full_cone().hairpin(hairpin));
        let seen = street.hello();
        let Street {
            world, home, alice, ..
        } = &mut street;
        let bob = world
            .node("bob", [192, 168, 1, 11])
            .behind(*home)
            .spawner(spawn);
        world.start(bob, "0.0.0.0:6000");
        world.say(bob, seen, 1);
        if hairpin == Hairpin::Off {
            assert_eq!(world.numbers(*alice), []);
            assert_eq!(world.dropped(DropCause::Filtered), 1);
            continue;
        }
        assert_eq!(world.numbers(*alice), [1]);
        assert_eq!(
            world.caller(*alice),
            address("203.0.113.7:6000"),
            "as others see bob"
        );
        world.say(*alice, address("203.0.113.7:6000"), 2);
        assert_eq!((world.numbers(bob), world.caller(bob)), (vec![2], seen));
    }
}

#[test]
fn those_behind_one_nat_talk_to_each_other_without_it() {
    let mut street = Street::new(1, Nat::symmetric());
    let Street {
        world, home, alice, ..
    } = &mut street;
    let bob = world
        .node("bob", [192, 168, 1, 11])
        .behind(*home)
        .spawner(spawn);
    world.start(bob, "0.0.0.0:6000");
    world.link(*alice, *home, &Link::default().loss(1.0));
    world.link(*alice, bob, &Link::fixed(ms(3)));
    let before = world.now();
    world.say(*alice, address("192.168.1.11:6000"), 1);
    assert_eq!(
        (world.numbers(bob), world.now().since(before)),
        (vec![1], ms(3))
    );
    assert_eq!(world.caller(bob), address("192.168.1.10:5000"));
    assert_eq!(world.mappings(*home), []);
}

#[test]
fn two_homes_may_have_the_same_inner_addresses() {
    let mut world = World::new(1);
    let server = world.node("server", [198, 51, 100, 1]).spawner(spawn);
    world.start(server, "0.0.0.0:7000");
    let phones = [7, 8].map(|last| {
        let home = world
            .gateway(format!("home {last}"))
            .address([203, 0, 113, last]);
        let home = home.nat(Nat::port_restricted()).build();
        let name = format!("phone {last}");
        let phone = world
            .node(name, [192, 168, 1, 10])
            .behind(home)
            .spawner(spawn);
        world.start(phone, "0.0.0.0:5000");
        phone
    });
    for (phone, outer) in phones
        .into_iter()
        .zip(["203.0.113.7:5000", "203.0.113.8:5000"])
    {
        world.say(phone, address(ONE), 1);
        assert_eq!(world.caller(server), address(outer));
        world.say(server, address(outer), 2);
        assert_eq!(world.numbers(phone), [2]);
    }
}

#[test]
fn a_nat_behind_a_nat_translates_twice() {
    let mut world = World::new(1);
    let carrier = world
        .gateway("carrier")
        .address([203, 0, 113, 7])
        .nat(Nat::symmetric())
        .build();
    let server = world.node("server", [198, 51, 100, 1]).spawner(spawn);
    world.start(server, "0.0.0.0:7000");
    let phones = [2, 3].map(|last| {
        let home = world
            .gateway(format!("home {last}"))
            .address([100, 64, 0, last]);
        let home = home.behind(carrier).nat(Nat::full_cone()).build();
        let name = format!("phone {last}");
        let phone = world
            .node(name, [192, 168, 1, 10])
            .behind(home)
            .spawner(spawn);
        world.start(phone, "0.0.0.0:5000");
        (home, phone)
    });
    for (home, phone) in phones {
        let before = world.now();
        world.say(phone, address(ONE), 1);
        assert_eq!(world.now().since(before), ms(3), "three links");
        let seen = world.caller(server);
        assert_eq!(seen.ip(), address("203.0.113.7:0").ip());
        world.say(server, seen, 2);
        assert_eq!(world.numbers(phone), [2]);
        let [mapping] = world.mappings(home)[..] else {
            panic!("one mapping at {home:?}");
        };
        let outer = world.mappings(carrier);
        assert!(
            outer
                .iter()
                .any(|at| (at.inner, at.outer) == (mapping.outer, seen))
        );
    }
    // Within the carrier's network, homes see each other's addresses there.
    world.say(phones[0].1, address("100.64.0.3:5000"), 3);
    assert_eq!(world.caller(phones[1].1), address("100.64.0.2:5000"));
}

#[test]
fn what_is_refused_finds_back_to_the_socket_that_sent_it() {
    let mut street = Street::new(1, Nat::symmetric());
    let Street {
        world,
        home,
        alice,
        one,
        ..
    } = &mut street;
    world.link(*alice, *home, &Link::fixed(ms(2)));
    world.link(*home, *one, &Link::fixed(ms(7)));
    let (before, nobody) = (world.now(), address("198.51.100.1:9"));
    world.say(*alice, nobody, 1);
    let refused = stillpoint::NetworkError::ConnectionRefused;
    assert_eq!(
        world.first(*alice).errors,
        [(before.after(ms(18)), nobody, refused)]
    );

    // If the NAT forgets meanwhile who has asked, nobody is told.
    let (to, from, count) = (nobody, 1, 1);
    world.tell(*alice, Say::Numbers { to, from, count });
    world.run_for(ms(5)).unwrap();
    world.rebind(*home);
    world.settle();
    assert_eq!(world.dropped(DropCause::NoSocket), 2);
    assert_eq!(world.first(*alice).errors.len(), 1);
}

/// Two phones behind NATs of their own learn of each other from a server, and then send to each
/// other at once. Says whether both hear the other in the end.
fn punch(seed: u64, nats: [Nat; 2]) -> bool {
    let mut world = World::new(seed);
    punch_in(&mut world, nats)
}

fn punch_in(world: &mut World<Call>, nats: [Nat; 2]) -> bool {
    let server = world.node("server", [198, 51, 100, 1]).spawner(spawn);
    world.start(server, "0.0.0.0:7000");
    let mut last = 7;
    let phones = nats.map(|nat| {
        last += 1;
        let home = world
            .gateway(format!("home {last}"))
            .address([203, 0, 113, last]);
        let home = home.nat(nat).build();
        let name = format!("phone {last}");
        let phone = world
            .node(name, [192, 168, 1, 10])
            .behind(home)
            .spawner(spawn);
        world.start(phone, "0.0.0.0:5000");
        phone
    });
    let seen = phones.map(|phone| {
        world.say(phone, address(ONE), 0);
        world.caller(server)
    });
    let mut others = [seen[1], seen[0]];
    for number in 1..4 {
        for (phone, to) in phones.into_iter().zip(others) {
            let (from, count) = (number, 1);
            world.tell(phone, Say::Numbers { to, from, count });
        }
        world.settle();
        for (phone, other) in phones.into_iter().zip(&mut others) {
            // Whoever hears something answers to where it came from.
            if let Some(heard) = world.first(phone).heard.last() {
                *other = heard.from;
            }
        }
    }
    phones
        .into_iter()
        .all(|phone| world.numbers(phone).contains(&3))
}

#[test]
fn holes_are_punched_where_they_can_be() {
    let (cone, restricted, port_restricted, symmetric) = (
        Nat::full_cone(),
        Nat::restricted(),
        Nat::port_restricted(),
        Nat::symmetric(),
    );
    // RFC 5128, 3.3 and 3.4.
    for (one, other, works) in [
        (&cone, &cone, true),
        (&port_restricted, &port_restricted, true),
        (&restricted, &port_restricted, true),
        (&cone, &symmetric, true),
        (&restricted, &symmetric, true),
        (&port_restricted, &symmetric, false),
        (&symmetric, &symmetric, false),
    ] {
        for seed in 0..10 {
            let nats = [one.clone(), other.clone()];
            assert_eq!(
                punch(seed, nats),
                works,
                "seed {seed}: {one:?} and {other:?}"
            );
        }
    }
}

#[test]
fn punched_holes_replay() {
    for seed in 0..10 {
        let scenario = |world: &mut World<Call>| {
            world.default_link(&Link::new(ms(1)..=ms(40)).loss(0.1).duplicate(0.1));
            punch_in(world, [Nat::symmetric(), Nat::restricted()]);
            Ok(())
        };
        self_check(seed, scenario).unwrap();
    }
}
