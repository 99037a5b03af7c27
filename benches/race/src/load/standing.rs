//! What connections cost that are there and quiet.

use core::time::Duration;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use super::Measured;
use super::tcp::connect;
use crate::server::Server;

/// Memory of the server for each connection that has brought and taken a message, in bytes.
pub(super) fn memory(server: &Server, connections: usize) -> io::Result<Measured> {
    // What is made for the first one is not for each.
    let first = connect(server, 1)?;
    greet(&first)?;
    let before = server.memory()?;
    let streams = connect(server, connections)?;
    greet(&streams)?;
    let after = server.memory()?;
    Ok(Measured {
        figure: after.saturating_sub(before) as f64 / connections as f64,
        more: vec![("process, MB", after as f64 / 1e6)],
        ..Measured::default()
    })
}

/// CPU time that the server uses in a second in which nothing happens, in microseconds.
pub(super) fn idle(server: &Server, connections: usize) -> io::Result<Measured> {
    let streams = connect(server, connections)?;
    greet(&streams)?;
    idle_now(server)
}

/// The same, whatever there is.
pub(super) fn idle_now(server: &Server) -> io::Result<Measured> {
    std::thread::sleep(SETTLING);
    let (cpu, switches) = (server.cpu()?, server.switches()?);
    std::thread::sleep(SECOND);
    let (cpu, switches) = (server.cpu()? - cpu, server.switches()? - switches);
    Ok(Measured {
        figure: cpu.as_nanos() as f64 / 1_000.0,
        more: vec![("switches", switches as f64)],
        ..Measured::default()
    })
}

/// Has each connection bring a message and take it back.
fn greet(streams: &[TcpStream]) -> io::Result<()> {
    let (message, mut answer) = ([7; 64], [0; 64]);
    for mut stream in streams {
        stream.write_all(&message)?;
        stream.read_exact(&mut answer)?;
    }
    Ok(())
}

/// After so long, what comes to rest has done so.
const SETTLING: Duration = Duration::from_millis(200);
const SECOND: Duration = Duration::from_secs(1);
