//! Stock quinn over tokio: a client of our server, and a server for our client.
#![allow(unreachable_pub, reason = "a module of a test program")]

use core::error::Error;
use core::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, Incoming, ReadToEndError, ServerConfig, VarInt};
use rustls::RootCertStore;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::runtime::{Builder, Runtime};
use xxhash_rust::xxh3::xxh3_128;

use crate::quic::config::{Identity, PROTOCOL};
use crate::quic::content::fill;
use crate::quic::request;

type Failure = Box<dyn Error + Send + Sync>;

/// The first so many bytes of content.
pub fn content(bytes: u64) -> Vec<u8> {
    let mut content = vec![0; usize::try_from(bytes).unwrap()];
    fill(0, &mut content);
    content
}

/// Fetches responses of these lengths, all at once; gives their lengths and hashes.
pub fn fetch(server: SocketAddr, sizes: &[u64]) -> Result<Vec<(u64, u128)>, Failure> {
    runtime()?.block_on(async {
        let (endpoint, connection) = connect(server).await?;
        let fetches = sizes.iter().map(|&bytes| {
            let connection = connection.clone();
            tokio::spawn(async move { ask(&connection, &request::encode(bytes)).await })
        });
        let mut fetched = Vec::new();
        for fetch in fetches.collect::<Vec<_>>() {
            let response = fetch.await??;
            fetched.push((response.len() as u64, xxh3_128(&response)));
        }
        connection.close(VarInt::from_u32(request::DONE), b"done");
        endpoint.wait_idle().await;
        Ok(fetched)
    })
}

/// Sends a request that is too short, and one for too much; then fetches a thousand bytes. Gives the
/// codes that the first two were refused with.
pub fn ask_for_nonsense(server: SocketAddr) -> Result<Vec<u32>, Failure> {
    runtime()?.block_on(async {
        let (endpoint, connection) = connect(server).await?;
        let mut codes = Vec::new();
        for nonsense in [&b"short"[..], &u64::MAX.to_be_bytes()] {
            match ask(&connection, nonsense).await {
                Err(ReadToEndError::Read(quinn::ReadError::Reset(code))) => {
                    codes.push(u32::try_from(code.into_inner())?);
                }
                other => return Err(format!("{nonsense:?} gave {other:?}").into()),
            }
        }
        let response = ask(&connection, &request::encode(1_000)).await?;
        assert_eq!(response, content(1_000));
        connection.close(VarInt::from_u32(request::DONE), b"done");
        endpoint.wait_idle().await;
        Ok(codes)
    })
}

async fn connect(server: SocketAddr) -> Result<(Endpoint, Connection), Failure> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(Identity::example().certificate.0))?;
    let provider = Arc::new(default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    let config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let mut endpoint = Endpoint::client(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    endpoint.set_default_client_config(config);
    let connection = endpoint.connect(server, "localhost")?.await?;
    Ok((endpoint, connection))
}

/// Sends a request on a stream of its own, and reads the response.
async fn ask(connection: &Connection, request: &[u8]) -> Result<Vec<u8>, ReadToEndError> {
    let closed = |error| ReadToEndError::Read(quinn::ReadError::ConnectionLost(error));
    let (mut send, mut receive) = connection.open_bi().await.map_err(closed)?;
    // If the server resets the stream meanwhile, the reading says why.
    drop(send.write_all(request).await);
    _ = send.finish();
    receive.read_to_end(RESPONSE_BYTES_MAX).await
}

/// A stock server on a thread of its own.
pub struct Server {
    pub address: SocketAddr,
    endpoint: Endpoint,
    thread: JoinHandle<()>,
}

impl Server {
    pub fn start() -> Result<Self, Failure> {
        let runtime = runtime()?;
        let endpoint = {
            let _context = runtime.enter();
            Endpoint::server(server_config()?, SocketAddr::from(([127, 0, 0, 1], 0)))?
        };
        let address = endpoint.local_addr()?;
        let accepting = endpoint.clone();
        #[expect(clippy::disallowed_methods, reason = "it is not ours that runs there")]
        let thread = thread::spawn(move || runtime.block_on(serve(accepting)));
        Ok(Self {
            address,
            endpoint,
            thread,
        })
    }

    pub fn stop(self) {
        self.endpoint
            .close(VarInt::from_u32(request::DONE), b"done");
        self.thread.join().unwrap();
    }
}

async fn serve(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        // It ends when its client is done; what goes wrong there, the client says.
        drop(tokio::spawn(answer_all(incoming)));
    }
    endpoint.wait_idle().await;
}

/// Answers requests until the client closes the connection.
async fn answer_all(incoming: Incoming) -> Result<(), Failure> {
    let connection = incoming.await?;
    loop {
        let (mut send, mut receive) = connection.accept_bi().await?;
        let answering = tokio::spawn(async move {
            let request = receive.read_to_end(8).await?;
            let bytes = u64::from_be_bytes(request.as_slice().try_into()?);
            send.write_all(&content(bytes)).await?;
            send.finish()?;
            Ok::<(), Failure>(())
        });
        drop(answering);
    }
}

fn server_config() -> Result<ServerConfig, Failure> {
    let Identity { certificate, key } = Identity::example();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key));
    let certificate = CertificateDer::from(certificate.0);
    let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)?;
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    let crypto = QuicServerConfig::try_from(tls)?;
    Ok(ServerConfig::with_crypto(Arc::new(crypto)))
}

fn runtime() -> Result<Runtime, Failure> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

const RESPONSE_BYTES_MAX: usize = 100_000_000;
