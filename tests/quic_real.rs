//! QUIC in tasks over real sockets: the example's server and client, each with a stock quinn at the
//! other end, over every backend.
#![allow(clippy::unwrap_used, reason = "a test may")]
#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "a test looks for one variant"
)]
#![cfg(feature = "poll")]

#[path = "../examples/common/quic/mod.rs"]
mod quic;
#[path = "quic_real/stock.rs"]
mod stock;

use core::net::SocketAddr;
use core::time::Duration;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use quic::client::{ClientSetup, Summary, WhenDone};
use quic::clock::Epoch;
use quic::config::{Certificate, Identity, Limits};
use quic::server::ServerSetup;
use quic::{Command, Quic, Report, Spawn, server, spawn};
use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, ControllerEvent, RuntimeConfig};
use xxhash_rust::xxh3::xxh3_128;

#[test]
fn a_stock_client_gets_from_our_server_what_it_asks_for() {
    for &backend in BackendKind::ALL {
        let (controller, address) = serve(backend);
        let sizes = [0, 1, 100_000, 3_000_000, 10_000_000];
        let fetched = stock::fetch(address, &sizes).unwrap();
        let wanted: Vec<_> = sizes.iter().map(|&bytes| (bytes, hash(bytes))).collect();
        assert_eq!(fetched, wanted, "over {backend}");
        let served = stop_server(controller);
        assert_eq!((served.connections, served.lost), (1, 0), "{served:?}");
        assert_eq!(served.bytes, 13_100_001, "{served:?}");
        let host = served.host;
        assert!(
            host.datagrams > 3 * host.runs,
            "bulk leaves in runs: {host:?}"
        );
    }
}

#[test]
fn a_stock_client_that_asks_for_nonsense_is_told_so_and_served_again() {
    let (controller, address) = serve(BackendKind::default());
    let codes = stock::ask_for_nonsense(address).unwrap();
    assert_eq!(codes, [quic::request::MALFORMED, quic::request::TOO_MANY]);
    let served = stop_server(controller);
    assert_eq!((served.broken, served.bytes), (2, 1_000), "{served:?}");
}

#[test]
fn our_client_gets_from_a_stock_server_what_it_asks_for() {
    for &backend in BackendKind::ALL {
        let stock = stock::Server::start().unwrap();
        let client = client_setup(stock.address, 3, 4, 1_000_000);
        let (reports, summary) = fetch(backend, client);
        let got: Vec<_> = fetched(&reports);
        assert_eq!(got, [(1_000_000, hash(1_000_000)); 12], "over {backend}");
        assert_eq!((summary.failed, summary.lost), (0, 0), "{summary:?}");
        stock.stop();
    }
}

#[test]
fn our_client_goes_on_from_another_port_of_a_stock_server_and_of_ours() {
    let backend = BackendKind::default();
    let stock = stock::Server::start().unwrap();
    rebind(backend, stock.address);
    stock.stop();
    let (controller, address) = serve(backend);
    rebind(backend, address);
    let served = stop_server(controller);
    assert_eq!((served.connections, served.moved), (1, 1), "{served:?}");
}

#[test]
fn ours_fetch_from_each_other_over_many_connections() {
    for &backend in BackendKind::ALL {
        let (controller, address) = serve(backend);
        let (reports, summary) = fetch(backend, client_setup(address, 20, 5, 100_000));
        assert_eq!(fetched(&reports), [(100_000, hash(100_000)); 100]);
        assert_eq!((summary.fetched, summary.lost), (100, 0), "{summary:?}");
        let served = stop_server(controller);
        assert_eq!((served.connections, served.lost), (20, 0), "{served:?}");
    }
}

/// Fetches once, goes on from another port, and fetches again.
fn rebind(backend: BackendKind, server: SocketAddr) {
    let mut setup = client_setup(server, 1, 1, 10_000);
    setup.when_done = WhenDone::Wait;
    let mut controller = Controller::start(RuntimeConfig::new(backend), spawn).unwrap();
    controller.spawn(0, Spawn::Client(setup)).unwrap();
    let is_fetched = |report: &Report| matches!(report, Report::Fetched(_));
    let (task, _) = wait(&mut controller, is_fetched);
    let bind = SocketAddr::from(([127, 0, 0, 1], 0));
    controller.command(task, Command::Rebind(bind)).unwrap();
    let (_, rebound) = wait(&mut controller, |report| {
        matches!(report, Report::Rebound(_))
    });
    assert!(matches!(rebound, Report::Rebound(local) if local.port() != 0));
    controller.command(task, Command::Fetch(2_000_000)).unwrap();
    let (_, second) = wait(&mut controller, is_fetched);
    assert_eq!(fetched(&[second]), [(2_000_000, hash(2_000_000))]);
    let summary = controller.shutdown(PATIENCE);
    let done = reports(summary.events)
        .into_iter()
        .find_map(|report| match report {
            Report::Done(summary) => Some(summary),
            _ => None,
        });
    let done = done.unwrap();
    assert_eq!((done.fetched, done.failed, done.lost), (2, 0, 0));
}

fn serve(backend: BackendKind) -> (Controller<Quic>, SocketAddr) {
    let mut controller = Controller::start(RuntimeConfig::new(backend), spawn).unwrap();
    let setup = ServerSetup {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        epoch: epoch(),
        identity: Identity::example(),
        limits: Limits::default(),
        connections_max: 100,
    };
    controller.spawn(0, Spawn::Server(setup)).unwrap();
    let listening = wait(&mut controller, |report| {
        matches!(report, Report::Listening(_))
    });
    let Report::Listening(address) = listening.1 else {
        unreachable!("that is what was waited for");
    };
    (controller, address)
}

fn stop_server(controller: Controller<Quic>) -> server::Summary {
    let summary = controller.shutdown(PATIENCE);
    let served = reports(summary.events)
        .into_iter()
        .find_map(|report| match report {
            Report::Served(summary) => Some(summary),
            _ => None,
        });
    served.expect("the server says what it did")
}

fn client_setup(server: SocketAddr, connections: u16, streams: u16, bytes: u64) -> ClientSetup {
    ClientSetup {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        server,
        server_name: "localhost".to_owned(),
        trusted: Certificate::example(),
        epoch: epoch(),
        limits: Limits::default(),
        connections,
        streams,
        bytes,
        attempts_max: 0,
        when_done: WhenDone::Finish,
    }
}

/// Runs a client to its end.
fn fetch(backend: BackendKind, setup: ClientSetup) -> (Vec<Report>, Summary) {
    let mut controller = Controller::start(RuntimeConfig::new(backend), spawn).unwrap();
    controller.spawn(0, Spawn::Client(setup)).unwrap();
    let mut reports = Vec::new();
    let summary = loop {
        match wait(&mut controller, |_| true).1 {
            Report::Done(summary) => break summary,
            report => reports.push(report),
        }
    };
    controller.shutdown(PATIENCE);
    (reports, summary)
}

/// The next report of interest.
fn wait(
    controller: &mut Controller<Quic>,
    is_of_interest: impl Fn(&Report) -> bool,
) -> (stillpoint::TaskId, Report) {
    let mut seen = Vec::new();
    while let Some(event) = controller.wait(Some(PATIENCE)) {
        match event {
            ControllerEvent::Report { task, report } if is_of_interest(&report) => {
                return (task, report);
            }
            other => seen.push(other),
        }
    }
    panic!("nothing of interest within {PATIENCE:?}; saw {seen:?}");
}

fn reports(events: Vec<ControllerEvent<Quic>>) -> Vec<Report> {
    let reports = events.into_iter().filter_map(|event| match event {
        ControllerEvent::Report { report, .. } => Some(report),
        _ => None,
    });
    reports.collect()
}

/// Lengths and hashes of what was fetched.
fn fetched(reports: &[Report]) -> Vec<(u64, u128)> {
    let fetched = reports.iter().filter_map(|report| match report {
        Report::Fetched(fetched) => Some((fetched.bytes, fetched.hash)),
        _ => None,
    });
    fetched.collect()
}

/// The hash of the first so many bytes of content.
fn hash(bytes: u64) -> u128 {
    xxh3_128(&stock::content(bytes))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a program asks for the time once"
)]
fn epoch() -> Epoch {
    let day = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Epoch::new(Instant::now(), day)
}

/// What nothing takes on a working machine, however loaded.
const PATIENCE: Duration = Duration::from_secs(20);
