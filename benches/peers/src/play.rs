//! A host of a peer's simulation: the same lines for all whose sockets look like tokio's.

/// Defines `play`, which is one host.
macro_rules! define_play {
    ($socket:ty, $sleep:path) => {
        /// Sends on what it gets, or back. `address` knows where the hosts are; `done` is told at
        /// the end.
        async fn play(
            host: u32,
            score: std::sync::Arc<Score>,
            address: impl Fn(u32) -> std::net::SocketAddr,
            done: std::sync::Arc<tokio::sync::Notify>,
        ) {
            let bind = std::net::SocketAddr::from(([0, 0, 0, 0], PORT));
            let socket = <$socket>::bind(bind).await.expect("the port is free");
            let payload = [7; PAYLOAD_BYTES];
            let mut buffer = [0; 2 * PAYLOAD_BYTES];
            let mut dice = Dice::new(host);
            let program = score.program;
            if score.bind() {
                done.notify_one();
            }
            // The others are to be there too.
            $sleep(std::time::Duration::from_millis(2)).await;
            if program == Program::Idle && host == 0 {
                loop {
                    $sleep(std::time::Duration::from_secs(1)).await;
                    let sent = socket.send_to(&payload, address(1)).await;
                    let _ = sent.expect("it can be sent");
                }
            }
            for _ in 0..program.window(host) {
                let sent = socket.send_to(&payload, address(host ^ 1)).await;
                let _ = sent.expect("it can be sent");
            }
            loop {
                let received = socket.recv_from(&mut buffer).await;
                let (len, from) = received.expect("it can be received");
                if score.deliver() {
                    done.notify_one();
                }
                if program == Program::Idle {
                    continue;
                }
                let to = if program.is_mesh() {
                    address(dice.below(program.hosts()))
                } else {
                    from
                };
                let sent = socket.send_to(&buffer[..len], to).await;
                let _ = sent.expect("it can be sent");
            }
        }
    };
}

pub(crate) use define_play;
