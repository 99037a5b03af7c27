//! The SFU of this crate: one worker over real sockets, asked by HTTP as anybody would.

use core::net::{Ipv4Addr, SocketAddr};
use std::io::{Read, Write};
use std::net::TcpStream;

use stillpoint::backend::BackendKind;
use stillpoint::runtime::{Controller, RuntimeConfig};
use str0m::crypto;
use whip_whep::{MediaConfig, Report, Sfu, SignalingConfig, Spawn, spawn};

use crate::Contestant;

pub struct Ours {
    _controller: Controller<Sfu>,
    address: SocketAddr,
}

impl Ours {
    pub fn start(backend: BackendKind) -> Self {
        let mut config = RuntimeConfig::new(backend);
        config.outputs_max = 1 << 22;
        config.threads.name = "ours-".to_owned();
        let mut controller = Controller::start(config, spawn::<Sfu>).unwrap();
        let provider = crypto::from_feature_flags();
        let certificate = provider.dtls_provider.generate_certificate().unwrap();
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let media = MediaConfig::new(any, controller.epoch(), certificate);
        controller
            .spawn(0, Spawn::MediaPort(Box::new(media)))
            .unwrap();
        let signaling = SignalingConfig::new(any);
        controller
            .spawn(0, Spawn::Signaling(Box::new(signaling)))
            .unwrap();
        let address = loop {
            if let Some(Report::Listening(at)) = controller.wait_report().unwrap() {
                break at;
            }
        };
        Self {
            _controller: controller,
            address,
        }
    }

    fn post(&self, path: &str, offer: &str) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        write!(
            stream,
            "POST {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\nContent-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
            offer.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
        answer.split_once("\r\n\r\n").unwrap().1.to_owned()
    }
}

impl Contestant for Ours {
    fn thread(&self) -> &'static str {
        "ours-0"
    }

    fn publish(&mut self, offer: String) -> String {
        self.post("/whip/bench", &offer)
    }

    fn watch(&mut self, offer: String) -> String {
        self.post("/whep/bench", &offer)
    }
}
