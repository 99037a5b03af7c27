//! Whatever strangers send by UDP: it is dropped and counted, and nobody else notices.

use core::net::SocketAddr;
use core::ops::RangeInclusive;

use crate::support::place::port;
use crate::support::siege::siege;
use crate::support::{Ask, Guest, Place, Plan, ms, secs};

/// A STUN binding request (RFC 8489) with this user name, without a signature that anybody knows.
fn stun(username: &str) -> Vec<u8> {
    let mut attributes = Vec::new();
    let mut attribute = |kind: u16, value: &[u8]| {
        attributes.extend(kind.to_be_bytes());
        attributes.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
        attributes.extend(value);
        attributes.resize(attributes.len().next_multiple_of(4), 0);
    };
    attribute(0x0006, username.as_bytes());
    attribute(0x0024, &1_845_501_695_u32.to_be_bytes()); // PRIORITY
    attribute(0x802a, &[7; 8]); // ICE-CONTROLLING
    attribute(0x0025, &[]); // USE-CANDIDATE
    attribute(0x0008, &[0x5a; 20]); // MESSAGE-INTEGRITY
    let mut message = vec![0, 1];
    message.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
    message.extend([0x21, 0x12, 0xa4, 0x42]);
    message.extend([9; 12]);
    message.extend(attributes);
    message
}

#[test]
fn a_flood_of_stun_with_unknown_names_is_counted_and_not_answered() {
    siege("a_flood_of_stun", &Plan::new(), |place, stranger, _| {
        for round in 0..20 {
            let flood = (0..100).map(|number| stun(&format!("u{round}x{number}:peer")));
            place.ask(stranger, Ask::Throw(port(0), flood.collect()));
            place.run(ms(50))?;
        }
        assert_eq!(place.count("sfu_unknown_users_total"), 2_000);
        assert_eq!(place.mischief(stranger).datagrams, 0);
        Ok(())
    });
}

#[test]
fn stun_with_a_known_name_and_a_wrong_signature_moves_nobody() {
    siege(
        "stun_with_a_known_name",
        &Plan::new(),
        |place, stranger, [_, viewer]| {
            // The name is in each of the peer's own requests, for all to read.
            let answer = place.peer(viewer).answers[0].text();
            let ufrag = answer
                .lines()
                .find_map(|line| line.strip_prefix("a=ice-ufrag:"));
            let name = format!("{}:whoever", ufrag.unwrap().trim());
            let addresses = place.count("sfu_addresses");
            let both = [port(0), port(1)];
            for _ in 0..20 {
                for to in both {
                    place.ask(stranger, Ask::Throw(to, vec![stun(&name); 10]));
                }
                place.run(ms(50))?;
            }
            assert_eq!(place.count("sfu_addresses"), addresses);
            assert_eq!(place.count("sfu_not_the_peers_total"), 200);
            assert_eq!(place.count("sfu_unknown_users_total"), 200);
            assert_eq!(place.mischief(stranger).datagrams, 0);
            Ok(())
        },
    );
}

#[test]
fn datagrams_of_strangers_are_counted_and_dropped() {
    siege(
        "datagrams_of_strangers",
        &Plan::new(),
        |place, stranger, _| {
            let rtp = |number: u8| {
                [
                    &[0x80, 96, 0, number, 0, 0, 0, 1, 0, 0, 0, 2][..],
                    &[7; 100],
                ]
                .concat()
            };
            let dtls = |number: u8| {
                [
                    &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, number, 0, 9][..],
                    &[1; 9],
                ]
                .concat()
            };
            let mut noise: Vec<Vec<u8>> = (0..200).map(rtp).chain((0..200).map(dtls)).collect();
            noise.extend((0..=255).map(|first| vec![first; 1 + usize::from(first) * 5]));
            noise.push(Vec::new());
            let count = noise.len() as u64;
            place.ask(stranger, Ask::Throw(port(0), noise.clone()));
            place.ask(stranger, Ask::Throw(port(1), noise));
            place.run(secs(1))?;
            let counted = ["strangers", "unknown_users", "malformed"];
            let counted = counted.map(|name| place.count(&format!("sfu_{name}_total")));
            assert_eq!(counted.iter().sum::<u64>(), 2 * count, "{counted:?}");
            assert_eq!(place.mischief(stranger).datagrams, 0);
            Ok(())
        },
    );
}

/// What a peer has sent last, of these kinds (RFC 7983), and where to.
fn kept(place: &Place<'_>, guest: Guest, first: RangeInclusive<u8>) -> Vec<(SocketAddr, Vec<u8>)> {
    let kept = place.peer(guest).kept.iter();
    let kept = kept.filter(|(_, datagram)| first.contains(&datagram[0]));
    kept.cloned().collect()
}

#[test]
fn what_peers_have_sent_is_worth_nothing_to_who_sends_it_again() {
    siege(
        "what_peers_have_sent",
        &Plan::new(),
        |place, stranger, guests| {
            for _ in 0..5 {
                place.run(ms(700))?;
                for guest in guests {
                    let media = kept(place, guest, 128..=191);
                    assert!(media.len() > 20, "{}", media.len());
                    for (to, datagram) in media {
                        place.ask(stranger, Ask::Throw(to, vec![datagram]));
                    }
                }
            }
            assert!(place.count("sfu_strangers_total") > 200);
            assert_eq!(place.mischief(stranger).datagrams, 0);
            Ok(())
        },
    );
}

#[test]
fn who_sends_a_recorded_request_from_elsewhere_does_not_get_the_media() {
    siege(
        "who_sends_a_recorded",
        &Plan::new(),
        |place, stranger, guests| {
            // Signed requests, that say which path is to be taken.
            for _ in 0..10 {
                place.run(ms(500))?;
                for guest in guests {
                    for (to, datagram) in kept(place, guest, 0..=3) {
                        place.ask(stranger, Ask::Throw(to, vec![datagram]));
                    }
                }
            }
            assert_eq!(place.mischief(stranger).datagrams, 0);
            assert!(place.count("sfu_not_the_peers_total") > 40);
            assert_eq!(place.count("sfu_addresses"), 2);
            Ok(())
        },
    );
}

#[test]
fn media_from_another_peer_reaches_nobody() {
    siege(
        "media_from_another_peer",
        &Plan::new(),
        |place, _, [publisher, _]| {
            let other = place.publishing("milk")?;
            let (viewer, at_other) = (place.watching("milk")?, kept(place, other, 128..=191));
            let of_publisher = kept(place, publisher, 128..=191);
            let (theirs, its_own) = (of_publisher[0].0, at_other[0].0);
            let strangers = place.count("sfu_strangers_total");
            let stolen: Vec<_> = of_publisher
                .into_iter()
                .map(|(_, datagram)| datagram)
                .collect();
            let count = stolen.len() as u64;
            // What another has sent, to where that one has a session, and to its own.
            if theirs != its_own {
                place.ask(other, Ask::Throw(theirs, stolen.clone()));
                place.run(ms(100))?;
                assert_eq!(place.count("sfu_strangers_total"), strangers + count);
            }
            place.ask(other, Ask::Throw(its_own, stolen));
            // Its own once more, and what only looks like media.
            let again: Vec<_> = at_other.into_iter().map(|(_, datagram)| datagram).collect();
            let noise = again.iter().map(|datagram| {
                let mut noise = datagram.clone();
                noise[12..].fill(0x5a);
                noise
            });
            let noise = noise.collect();
            place.ask(other, Ask::Throw(its_own, again));
            place.ask(other, Ask::Throw(its_own, noise));
            place.run(secs(2))?;
            let video = &place.peer(viewer).video;
            assert_eq!((video.stale, video.corrupt, video.sources), (0, 0, 1));
            assert_eq!(
                (video.missing, video.broken),
                (0, 0),
                "{}",
                place.describe()
            );
            for guest in [viewer, other] {
                place.ask(guest, Ask::Leave);
            }
            place.run(secs(1))
        },
    );
}

#[test]
fn what_is_written_in_a_peers_name_ends_no_session() {
    // Anybody may write any address on a datagram: here the peers themselves do it.
    siege("in_a_peers_name", &Plan::new(), |place, _, guests| {
        let dtls = |kind: u8, epoch: u8, body: &[u8]| {
            let len = u8::try_from(body.len()).unwrap();
            let head = [kind, 254, 253, 0, epoch, 0, 0, 0, 0, 1, 0, 0, len];
            [&head[..], body].concat()
        };
        let hello = [1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 2, 254, 253];
        let mut forged = vec![
            dtls(21, 0, &[2, 40]), // An alert: the handshake has failed.
            dtls(21, 0, &[1, 0]),  // An alert: goodbye.
            dtls(22, 0, &hello),
            dtls(22, 0, &[7; 40]),
            dtls(20, 0, &[1]),
            dtls(23, 1, &[9; 60]),
            dtls(21, 1, &[9; 60]),
            stun("x:y"),
        ];
        forged.extend((0..=255).map(|first| vec![first; 60]));
        for guest in guests {
            let to = kept(place, guest, 128..=191)[0].0;
            // Its own first words, and all else that it has said so far but media.
            let spoken = kept(place, guest, 20..=63);
            let spoken = spoken.into_iter().map(|(_, datagram)| datagram);
            let forged = forged.iter().cloned().chain(spoken).collect();
            place.ask(guest, Ask::Throw(to, forged));
            place.run(secs(1))?;
        }
        Ok(())
    });
}

#[test]
fn media_of_other_sources_in_a_publishers_name_does_not_keep_key_frames_from_coming() {
    siege(
        "of_other_sources",
        &Plan::new(),
        |place, _, [publisher, _]| {
            let media = kept(place, publisher, 128..=191);
            let to = media[0].0;
            let forged = media.into_iter().map(|(_, mut datagram)| {
                datagram[8] ^= 0x55; // Where the source is named.
                datagram
            });
            place.ask(publisher, Ask::Throw(to, forged.collect()));
            place.run(secs(1))?;
            // Who comes now needs one.
            let viewer = place.watching("tea")?;
            let waited = place
                .world
                .now()
                .since(place.peer(viewer).joined_at.unwrap());
            assert!(waited < secs(1), "{waited:?}");
            place.ask(viewer, Ask::Leave);
            place.run(secs(1))
        },
    );
}
