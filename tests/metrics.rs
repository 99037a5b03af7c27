//! The server of metrics and its clients, good ones and bad ones, on nodes of the simulator.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]

#[path = "metrics/client.rs"]
mod client;
#[path = "../examples/common/top/mod.rs"]
#[allow(dead_code, reason = "fetching takes a real network")]
mod top;
#[path = "metrics/watched.rs"]
mod watched;

use core::net::SocketAddr;
use core::time::Duration;

use client::{Client, Report, Spawn, Step, Watched, spawn, statuses};
use stillpoint::metrics::{MetricsServer, render};
use stillpoint::{NetworkError, Reading};
use stillpoint_sim::{Failure, Link, NodeId, World, check};

const GET: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: server\r\n\r\n";
const GET_LAST: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: server\r\nConnection: close\r\n\r\n";

fn address() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1], 9_100))
}

/// A server of the metrics of so many workers, and a node for its clients.
fn server(
    world: &mut World<Watched>,
    workers: u16,
    link: &Link,
) -> Result<(NodeId, NodeId), Failure> {
    let server = world.node("server", [10, 0, 0, 1]).spawner(spawn);
    let clients = world.node("clients", [10, 0, 0, 2]).spawner(spawn);
    world.link(server, clients, link);
    let bind = address();
    world.spawn(server, 0, Spawn::Server { bind, workers });
    world.run_for(Duration::from_millis(1))?;
    let reports = world.take_reports();
    let [said] = &reports[..] else {
        panic!("{reports:?}");
    };
    assert!(matches!(said.report, Report::Listening(Ok(at)) if at == bind));
    Ok((server, clients))
}

fn near() -> Link {
    Link::fixed(Duration::from_millis(1))
}

fn client(world: &mut World<Watched>, node: NodeId, plan: &[Step]) {
    let plan = plan.to_vec();
    let server = address();
    world.spawn(node, 0, Spawn::Client { server, plan });
}

/// What so many clients heard, once all of them are done.
fn heard(
    world: &mut World<Watched>,
    count: usize,
    limit: Duration,
) -> Result<Vec<(String, Option<NetworkError>)>, Failure> {
    world.run_until(limit, |world| world.reports().len() == count)?;
    let reports = world.take_reports().into_iter();
    Ok(reports
        .map(|said| match said.report {
            Report::Heard(bytes, error) => (String::from_utf8(bytes).unwrap(), error),
            Report::Listening(listening) => panic!("{listening:?}"),
        })
        .collect())
}

fn connections(world: &World<Watched>, server: NodeId) -> usize {
    let (_, server) = world
        .tasks::<MetricsServer<Watched>>(server)
        .next()
        .unwrap();
    server.connections()
}

/// Nothing of any client is left.
fn is_clean(world: &World<Watched>, server: NodeId) -> bool {
    connections(world, server) == 0 && world.buffers_in_use() == 0
}

fn page(workers: u16) -> String {
    let mut text = String::new();
    render(&statuses(workers), &mut text);
    text
}

#[test]
fn a_page_comes_whole_however_it_is_asked_for_over_a_link_that_loses_and_reorders() {
    check("metrics_pages", 0..10, |world: &mut World<Watched>| {
        let ms = Duration::from_millis;
        let link = Link::new(ms(1)..=ms(20)).loss(0.05).reorder(0.05, ms(30));
        let (server, clients) = server(world, 3, &link)?;
        let byte_by_byte = GET_LAST.iter();
        let byte_by_byte =
            byte_by_byte.flat_map(|&byte| [Step::Say(vec![byte]), Step::Wait(ms(3))]);
        client(world, clients, &byte_by_byte.collect::<Vec<_>>());
        let pipelined = [GET, GET, GET_LAST].concat();
        client(world, clients, &[Step::Say(pipelined)]);
        let half_closed = [Step::Say([GET, GET].concat()), Step::End];
        client(world, clients, &half_closed);
        let one_by_one =
            [GET, GET, GET_LAST].map(|get| [Step::Say(get.to_vec()), Step::Wait(ms(700))]);
        client(world, clients, &one_by_one.concat());
        let mut pages: Vec<usize> = heard(world, 4, Duration::from_secs(120))?
            .into_iter()
            .map(|(text, error)| {
                assert_eq!(error, None);
                assert_eq!(
                    text.matches("HTTP/1.1 200 OK\r\n").count(),
                    text.matches(&page(3)).count()
                );
                text.matches("HTTP/1.1 200 OK\r\n").count()
            })
            .collect();
        pages.sort_unstable();
        assert_eq!(pages, [1, 2, 3, 3]);
        world.run_for(Duration::from_secs(60))?;
        assert!(is_clean(world, server));
        Ok(())
    });
}

#[test]
fn what_is_no_request_for_a_page_is_told_so() {
    check("metrics_refusals", 0..5, |world: &mut World<Watched>| {
        let (server, clients) = server(world, 1, &near())?;
        for (text, status) in [
            (
                b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
                "400",
            ),
            (b"GET /metrics HTTP/1.1\r\n\r\n".to_vec(), "400"),
            (vec![b'A'; 10_000], "431"),
            (b"GET /secret HTTP/1.0\r\n\r\n".to_vec(), "404"),
            (b"PUT /metrics HTTP/1.0\r\n\r\n".to_vec(), "405"),
            (
                b"GET / HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
                "413",
            ),
            (b"GET / HTTP/1.0\r\n\r\n".to_vec(), "200"),
            (b"GET / HTTP/1.1\r\nHost:".to_vec(), "408"),
        ] {
            client(world, clients, &[Step::Say(text.clone())]);
            let heard = heard(world, 1, Duration::from_secs(60))?;
            let (said, error) = &heard[0];
            assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{said}");
            assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
            let has_allow = said.contains("\r\nAllow: GET, HEAD\r\n");
            assert_eq!(has_allow, status == "405", "{said}");
            assert_eq!(*error, None, "{status}");
        }
        world.run_for(Duration::from_secs(1))?;
        assert!(is_clean(world, server));
        Ok(())
    });
}

#[test]
fn a_thousand_at_a_time_are_served_or_told_that_they_are_too_many() {
    check("metrics_crowd", 0..2, |world: &mut World<Watched>| {
        let (server, clients) = server(world, 2, &near())?;
        let patient = [
            Step::Wait(Duration::from_secs(1)),
            Step::Say(GET_LAST.to_vec()),
        ];
        for _ in 0..1_000 {
            client(world, clients, &patient);
        }
        world.always("connections have a limit", move |world| {
            connections(world, server) <= 128
        });
        let heard = heard(world, 1_000, Duration::from_secs(60))?;
        let count = |start: &str| {
            heard
                .iter()
                .filter(|(text, _)| text.starts_with(start))
                .count()
        };
        assert_eq!(count("HTTP/1.1 200 "), 64);
        // Those beyond twice the limit may be broken off before they have read it.
        assert!(count("HTTP/1.1 503 ") >= 64, "{}", count("HTTP/1.1 503 "));
        client(world, clients, &[Step::Say(GET_LAST.to_vec())]);
        let (text, _) = self::heard(world, 1, Duration::from_secs(10))?.remove(0);
        assert!(text.ends_with(&page(2)));
        world.run_for(Duration::from_secs(15))?;
        assert!(is_clean(world, server));
        Ok(())
    });
}

#[test]
fn who_is_silent_does_not_read_or_breaks_off_leaves_nothing_behind() {
    check("metrics_bad_clients", 0..3, |world: &mut World<Watched>| {
        let (server, clients) = server(world, 100, &near())?;
        let many = || Step::Say(GET.repeat(500));
        let forever = Step::Wait(Duration::from_secs(1_000));
        client(world, clients, core::slice::from_ref(&forever));
        client(
            world,
            clients,
            &[Step::Read(Reading::Paused), many(), forever.clone()],
        );
        client(world, clients, &[many(), Step::Reset]);
        client(
            world,
            clients,
            &[many(), Step::Wait(Duration::from_millis(50)), Step::Reset],
        );
        let drips = Step::Wait(Duration::from_secs(5));
        let drips = [Step::Say(b"G".to_vec()), drips];
        client(world, clients, &vec![drips; 100].concat());
        world.run_for(Duration::from_secs(5))?;
        assert_eq!(connections(world, server), 3);
        // Who does not read holds a page and what the stream and the network have room for.
        assert!(world.buffers_in_use() < 200, "{}", world.buffers_in_use());
        client(world, clients, &[Step::Say(GET_LAST.to_vec())]);
        let served = heard(world, 3, Duration::from_secs(10))?;
        assert!(served.iter().any(|(text, _)| text.ends_with(&page(100))));
        world.run_for(Duration::from_secs(100))?;
        assert_eq!(connections(world, server), 0);
        // The client that reads no more holds what it has not read; nobody else holds anything.
        let open = world.tasks::<Client>(clients);
        let open: Vec<_> = open
            .filter(|(_, client)| client.stream().is_some())
            .collect();
        assert!(open.len() <= 1, "{} clients", open.len());
        world.abort(clients);
        world.run_for(Duration::from_secs(60))?;
        assert!(is_clean(world, server), "{}", world.buffers_in_use());
        Ok(())
    });
}

#[test]
fn a_shutdown_finishes_the_answer_that_is_on_its_way() {
    check("metrics_shutdown", 0..5, |world: &mut World<Watched>| {
        let (server, clients) = server(world, 100, &near())?;
        client(world, clients, &[Step::Wait(Duration::from_secs(100))]);
        client(world, clients, &[Step::Say(GET.to_vec())]);
        world.run_for(Duration::from_millis(4))?;
        world.shutdown(server);
        let heard = heard(world, 2, Duration::from_secs(10))?;
        assert!(heard.iter().any(|(text, _)| text.is_empty()));
        assert!(heard.iter().any(|(text, _)| text.ends_with(&page(100))));
        world.run_for(Duration::from_millis(10))?;
        assert!(world.is_stopped(server));
        world.run_for(Duration::from_secs(60))?;
        assert_eq!(world.buffers_in_use(), 0);
        Ok(())
    });
}

#[test]
fn a_server_that_cannot_listen_says_why_and_finishes() {
    check("metrics_no_listener", 0..1, |world: &mut World<Watched>| {
        let (server, _) = server(world, 1, &near())?;
        let (bind, workers) = (address(), 1);
        world.spawn(server, 0, Spawn::Server { bind, workers });
        world.run_for(Duration::from_millis(1))?;
        let reports = world.take_reports();
        let error = NetworkError::AddressInUse;
        assert!(matches!(reports[0].report, Report::Listening(Err(why)) if why == error));
        assert_eq!(world.task_count(server), 1);
        Ok(())
    });
}
