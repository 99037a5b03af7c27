//! monoio: io_uring, one operation after the other on each socket, as its documentation shows.

use core::net::{Ipv4Addr, SocketAddr};
use std::io;

use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::udp::UdpSocket;
use monoio::net::{TcpListener, TcpStream};
use monoio::{IoUringDriver, RuntimeBuilder};

use super::listening;
use crate::job::{Job, QUESTION_BYTES, answer, viewers};
use crate::socket;

pub fn serve(job: Job) -> io::Result<()> {
    let mut runtime = RuntimeBuilder::<IoUringDriver>::new()
        .with_entries(4_096)
        .build()?;
    runtime.block_on(async {
        match job {
            Job::TcpEcho => tcp_echo().await,
            Job::UdpEcho | Job::UdpSink | Job::UdpFanOut { .. } => datagrams(job).await,
        }
    })
}

async fn datagrams(job: Job) -> io::Result<()> {
    let socket = UdpSocket::from_std(socket::udp(Ipv4Addr::LOCALHOST)?)?;
    let viewers: Vec<SocketAddr> = match job {
        Job::UdpFanOut { port } => viewers(port).into_iter().map(SocketAddr::V4).collect(),
        Job::UdpEcho | Job::UdpSink | Job::TcpEcho => Vec::new(),
    };
    let mut counted = 0u64;
    let mut buffer = Vec::with_capacity(65_535);
    listening(socket.local_addr()?)?;
    loop {
        let (received, mut datagram) = socket.recv_from(buffer).await;
        let (len, peer) = received?;
        match job {
            Job::UdpEcho => {
                let (sent, back) = socket.send_to(datagram, peer).await;
                sent?;
                datagram = back;
            }
            Job::UdpSink if len == QUESTION_BYTES => {
                let answer = answer(&datagram[..len], counted).to_vec();
                socket.send_to(answer, peer).await.0?;
            }
            Job::UdpSink => counted += 1,
            Job::UdpFanOut { .. } => {
                for &viewer in &viewers {
                    let (sent, back) = socket.send_to(datagram, viewer).await;
                    sent?;
                    datagram = back;
                }
            }
            Job::TcpEcho => unreachable!("that has no datagrams"),
        }
        datagram.clear();
        buffer = datagram;
    }
}

async fn tcp_echo() -> io::Result<()> {
    let listener = TcpListener::from_std(socket::listener()?)?;
    listening(listener.local_addr()?)?;
    loop {
        let (stream, _) = listener.accept().await?;
        monoio::spawn(connection(stream));
    }
}

/// Sends back what a connection brings, until it ends one way or another.
async fn connection(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut memory: Vec<u8> = Vec::with_capacity(65_536);
    loop {
        let (count, received) = stream.read(memory).await;
        if count? == 0 {
            return Ok(());
        }
        let (sent, back) = stream.write_all(received).await;
        sent?;
        memory = back;
        memory.clear();
    }
}
