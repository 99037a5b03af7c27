//! tokio, on a runtime of one thread: what its documentation shows.

use core::net::{Ipv4Addr, SocketAddr};
use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::listening;
use crate::job::{Job, QUESTION_BYTES, answer, viewers};
use crate::socket;

pub fn serve(job: Job) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        if job == Job::TcpEcho {
            return tcp_echo().await;
        }
        let socket = UdpSocket::from_std(socket::udp(Ipv4Addr::LOCALHOST)?)?;
        listening(socket.local_addr()?)?;
        match job {
            Job::UdpEcho => udp_echo(&socket).await,
            Job::UdpSink => udp_sink(&socket).await,
            Job::UdpFanOut { port } => udp_fan_out(&socket, port).await,
            Job::TcpEcho => Ok(()),
        }
    })
}

async fn udp_echo(socket: &UdpSocket) -> io::Result<()> {
    let mut buffer = [0; 65_535];
    loop {
        let (len, peer) = socket.recv_from(&mut buffer).await?;
        socket.send_to(&buffer[..len], peer).await?;
    }
}

async fn udp_sink(socket: &UdpSocket) -> io::Result<()> {
    let (mut buffer, mut counted) = ([0; 65_535], 0u64);
    loop {
        let (len, peer) = socket.recv_from(&mut buffer).await?;
        if len == QUESTION_BYTES {
            let answer = answer(&buffer[..len], counted);
            socket.send_to(&answer, peer).await?;
        } else {
            counted += 1;
        }
    }
}

async fn udp_fan_out(socket: &UdpSocket, port: u16) -> io::Result<()> {
    let viewers: Vec<SocketAddr> = viewers(port).into_iter().map(SocketAddr::V4).collect();
    let mut buffer = [0; 65_535];
    loop {
        let (len, _) = socket.recv_from(&mut buffer).await?;
        for &viewer in &viewers {
            socket.send_to(&buffer[..len], viewer).await?;
        }
    }
}

async fn tcp_echo() -> io::Result<()> {
    let listener = TcpListener::from_std(socket::listener()?)?;
    listening(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(connection(stream));
    }
}

/// Sends back what a connection brings, until it ends one way or another.
async fn connection(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut memory = vec![0; 65_536];
    loop {
        let count = stream.read(&mut memory).await?;
        if count == 0 {
            return Ok(());
        }
        stream.write_all(&memory[..count]).await?;
    }
}
