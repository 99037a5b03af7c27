//! How the servers among the examples show what they do: `/metrics`, which `top` watches.

use core::net::SocketAddr;

use stillpoint::metrics::MetricsServer;
use stillpoint::runtime::{Controller, StatusReader};
use stillpoint::{App, NetworkError};

use super::output::{fail, line};

/// A server of metrics that is to be made.
#[derive(Debug, Clone)]
pub struct Metrics {
    bind: SocketAddr,
    statuses: StatusReader,
}

impl Metrics {
    /// The task. It tells its controller where it listens, in the application's words.
    pub fn server<A: App>(
        self,
        report: fn(Result<SocketAddr, NetworkError>) -> A::Report,
    ) -> MetricsServer<A> {
        let Self { bind, statuses } = self;
        MetricsServer::new(
            bind,
            move || statuses.read(),
            move |listening| Some(report(listening)),
        )
    }
}

/// Has the first worker serve metrics, if they are wanted.
pub fn serve<A: App>(
    controller: &mut Controller<A>,
    bind: Option<SocketAddr>,
    spawn: fn(Metrics) -> A::Spawn,
) {
    if let Some(bind) = bind {
        let statuses = controller.status_reader();
        let spawned = controller.spawn(0, spawn(Metrics { bind, statuses }));
        spawned.unwrap_or_else(|error| fail(error));
    }
}

/// Says where the metrics are.
pub fn tell(listening: Result<SocketAddr, NetworkError>) {
    match listening {
        Ok(local) => line(format_args!("metrics on http://{local}/metrics")),
        Err(error) => fail(format_args!("cannot serve metrics: {error}")),
    }
}
