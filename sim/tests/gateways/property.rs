//! Random topologies, traffic and moves: whatever happens, each datagram is accounted for, and it
//! happens again.

use core::net::{IpAddr, Ipv4Addr, SocketAddr};

use proptest::prelude::*;
use stillpoint_sim::{
    Failure, Firewall, Link, Nat, NodeId, RunSummary, World, run_seed, self_check,
};

use super::lab::{Call, Lab, Say, ms, secs, spawn};

/// What a network is made of. Whoever is behind somebody names it by its place among those before.
#[derive(Debug, Clone)]
struct Plan {
    gateways: Vec<(Option<usize>, Kind)>,
    phones: Vec<Option<usize>>,
    moves: Vec<Move>,
}

#[derive(Debug, Clone)]
enum Kind {
    Router,
    Walled,
    Nat(Nat),
}

#[derive(Debug, Clone, Copy)]
enum Move {
    /// One sends to an address of another, or to the last that it has heard.
    Say {
        from: usize,
        to: usize,
        count: u64,
        answers: bool,
    },
    Rebind(usize),
    Roam {
        phone: usize,
        to: Option<usize>,
    },
    Renumber(usize),
}

fn kinds() -> impl Strategy<Value = Kind> {
    prop_oneof![
        Just(Kind::Router),
        Just(Kind::Walled),
        Just(Kind::Nat(Nat::full_cone())),
        Just(Kind::Nat(Nat::restricted().mappings_max(3))),
        Just(Kind::Nat(Nat::port_restricted().udp_timeout(ms(50)))),
        Just(Kind::Nat(Nat::symmetric())),
    ]
}

fn moves() -> impl Strategy<Value = Move> {
    let say = (0..8usize, 0..12usize, 1..5u64, any::<bool>());
    prop_oneof![
        8 => say.prop_map(|(from, to, count, answers)| Move::Say { from, to, count, answers }),
        1 => (0..5usize).prop_map(Move::Rebind),
        1 => (0..8usize, proptest::option::of(0..5usize))
            .prop_map(|(phone, to)| Move::Roam { phone, to }),
        1 => (0..5usize).prop_map(Move::Renumber),
    ]
}

fn plans() -> impl Strategy<Value = Plan> {
    let behind = || proptest::option::of(0..5usize);
    let gateways = proptest::collection::vec((behind(), kinds()), 1..5);
    let phones = proptest::collection::vec(behind(), 2..8);
    let moves = proptest::collection::vec(moves(), 1..40);
    (gateways, phones, moves).prop_map(|(gateways, phones, moves)| Plan {
        gateways,
        phones,
        moves,
    })
}

/// Addresses that are given once each.
struct Fresh(u32);

impl Fresh {
    fn next(&mut self) -> IpAddr {
        self.0 += 1;
        Ipv4Addr::from_bits(0x0a00_0000 + self.0).into()
    }
}

fn play(world: &mut World<Call>, plan: &Plan) -> Result<(), Failure> {
    let link = Link::new(ms(1)..=ms(20))
        .loss(0.05)
        .duplicate(0.05)
        .reorder(0.1, ms(10));
    world.default_link(&link.bandwidth(100_000).mtu(68));
    let mut fresh = Fresh(0);
    let mut gateways: Vec<(NodeId, bool)> = Vec::new();
    for (behind, kind) in &plan.gateways {
        let mut gateway = world.gateway(format!("gateway {}", gateways.len()));
        if let Some(&(above, _)) = behind.and_then(|behind| gateways.get(behind)) {
            gateway = gateway.behind(above);
        }
        let gateway = gateway.address(fresh.next());
        let gateway = match kind {
            Kind::Router => gateway.build(),
            Kind::Walled => gateway.firewall(Firewall::stateful()).build(),
            Kind::Nat(nat) => gateway.nat(nat.clone()).build(),
        };
        gateways.push((gateway, matches!(kind, Kind::Nat(_))));
    }
    let mut phones = Vec::new();
    for behind in &plan.phones {
        let mut phone = world.node(format!("phone {}", phones.len()), fresh.next());
        if let Some(&(above, _)) = behind.and_then(|behind| gateways.get(behind)) {
            phone = phone.behind(above);
        }
        let phone = phone.spawner(spawn);
        world.start(phone, "0.0.0.0:5000");
        phones.push(phone);
    }
    for step in &plan.moves {
        make_move(world, &gateways, &phones, &mut fresh, *step);
        world.run_for(ms(7))?;
    }
    world.run_until_idle(secs(60))
}

fn make_move(
    world: &mut World<Call>,
    gateways: &[(NodeId, bool)],
    phones: &[NodeId],
    fresh: &mut Fresh,
    step: Move,
) {
    let gateway = |index: usize| gateways[index % gateways.len()];
    let phone = |index: usize| phones[index % phones.len()];
    match step {
        Move::Say {
            from,
            to,
            count,
            answers,
        } => {
            let last = world.first(phone(from)).heard.last();
            let node = if to < 8 { phone(to) } else { gateway(to).0 };
            let to = match last {
                Some(heard) if answers => heard.from,
                _ => SocketAddr::new(world.address(node), 5_000),
            };
            world.tell(phone(from), Say::Numbers { to, from: 0, count });
        }
        Move::Rebind(index) => {
            if let (gateway, true) = gateway(index) {
                world.rebind(gateway);
            }
        }
        Move::Roam { phone: index, to } => {
            let to = to.map(|to| gateway(to).0);
            world.move_behind(phone(index), to, fresh.next());
        }
        Move::Renumber(index) => world.set_gateway_address(gateway(index).0, fresh.next()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_datagram_is_accounted_for_and_every_run_replays(plan in plans(), seed: u64) {
        let scenario = |world: &mut World<Call>| play(world, &plan);
        let (summary, ran): (RunSummary, _) = run_seed(seed, scenario);
        prop_assert_eq!(ran, Ok(()));
        prop_assert_eq!(self_check(seed, scenario).unwrap(), summary);
        let mut world = World::new(seed);
        play(&mut world, &plan).unwrap();
        // What is nowhere any more was delivered or dropped: the world itself asserts the sum.
        let counters = world.counters();
        prop_assert_eq!(counters.in_flight, 0);
        let heard: usize = plan.phones.iter().enumerate().map(|(index, _)| {
            let phone = world.find(&format!("phone {index}")).unwrap();
            world.first(phone).heard.len()
        }).sum();
        prop_assert_eq!(counters.delivered, heard as u64);
    }
}
