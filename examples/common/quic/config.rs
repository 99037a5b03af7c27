//! How endpoints are set up: TLS 1.3 by rustls and ring, connection ids, keys and limits.
//!
//! All chance comes from the crypto provider: keys of the endpoint and the seed of its generator are
//! taken from its `secure_random` once, connection ids are made with one of the keys. ring's key
//! exchange asks the system by itself. In a simulation both are the shim's (`stillpoint-shim`).

use core::fmt;
use core::ops::RangeInclusive;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use quinn_proto::congestion::CubicConfig;
use quinn_proto::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn_proto::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, NoneTokenStore,
    ServerConfig, TransportConfig, VarInt,
};
use ring::{hkdf, hmac};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::clock::Today;

/// A certificate, in DER.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate(pub Vec<u8>);

impl Certificate {
    /// The example's own, for `localhost` and `stillpoint.test`.
    pub fn example() -> Self {
        Self(include_bytes!("certificate.der").to_vec())
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Certificate({} B)", self.0.len())
    }
}

/// Who a server says it is, and the key that proves it.
#[derive(Clone)]
pub struct Identity {
    pub certificate: Certificate,
    /// PKCS #8, in DER.
    pub key: Vec<u8>,
}

impl Identity {
    /// The example's own. Its key is in the repository: it proves nothing.
    pub fn example() -> Self {
        Self {
            certificate: Certificate::example(),
            key: include_bytes!("key.der").to_vec(),
        }
    }
}

/// Shows no key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Identity({:?})", self.certificate)
    }
}

/// Limits of connections.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// After how long without a word a connection is lost.
    pub idle: Duration,
    /// After how long without a word something is said, if at all. Whoever only receives is forgotten by
    /// a NAT, and the peer can say nothing any more.
    pub keep_alive: Option<Duration>,
    /// Bytes of UDP payload in a datagram. Sockets do not forbid fragments, so nothing larger is
    /// tried out.
    pub datagram_bytes: u16,
    /// Bytes that may be on their way, not acknowledged, in a connection.
    pub window_bytes: u32,
    /// Streams that a peer may have open in a connection.
    pub streams_max: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(10),
            keep_alive: None,
            datagram_bytes: 1_200,
            window_bytes: 1 << 20,
            streams_max: 64,
        }
    }
}

impl Limits {
    fn transport(&self) -> Result<Arc<TransportConfig>, String> {
        if !DATAGRAM_BYTES.contains(&self.datagram_bytes) {
            // quinn-proto takes in no more, and waits for ever to send more than its first window.
            return Err(format!(
                "datagrams of {} bytes; they have to be {DATAGRAM_BYTES:?}",
                self.datagram_bytes
            ));
        }
        let mut transport = TransportConfig::default();
        let idle = IdleTimeout::try_from(self.idle);
        let idle = idle.map_err(|_| format!("an idle timeout of {:?} is too long", self.idle))?;
        transport
            .max_idle_timeout(Some(idle))
            .keep_alive_interval(self.keep_alive)
            .initial_mtu(self.datagram_bytes)
            .mtu_discovery_config(None)
            .congestion_controller_factory(Arc::new(CubicConfig::default()))
            .send_window(self.window_bytes.into())
            .receive_window(self.window_bytes.into())
            .stream_receive_window(self.window_bytes.into())
            .max_concurrent_bidi_streams(self.streams_max.into())
            .max_concurrent_uni_streams(VarInt::from_u32(0))
            .datagram_receive_buffer_size(None);
        Ok(Arc::new(transport))
    }
}

/// The configuration of an endpoint, of either side.
pub fn endpoint(provider: &CryptoProvider) -> Result<Arc<EndpointConfig>, String> {
    let (reset, ids) = (random::<64>(provider)?, random::<32>(provider)?);
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, &reset)));
    config.rng_seed(Some(random::<32>(provider)?));
    config.cid_generator(move || Box::new(Ids::new(&ids)));
    Ok(Arc::new(config))
}

/// The configuration of a server.
pub fn server(
    provider: &CryptoProvider,
    today: &Arc<Today>,
    identity: Identity,
    limits: &Limits,
) -> Result<Arc<ServerConfig>, String> {
    let certificate = CertificateDer::from(identity.certificate.0);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key));
    let provided = Arc::new(provider.clone());
    let mut tls = rustls::ServerConfig::builder_with_details(provided, Arc::clone(today) as _)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(|error| format!("the server's certificate and key: {error}"))?;
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    tls.send_tls13_tickets = 0;
    let crypto = QuicServerConfig::try_from(tls).map_err(|error| error.to_string())?;
    let salt = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]);
    let token_key = salt.extract(&random::<32>(provider)?);
    let mut config = ServerConfig::new(Arc::new(crypto), Arc::new(token_key));
    config.transport_config(limits.transport()?);
    config.time_source(Arc::clone(today) as _);
    Ok(Arc::new(config))
}

/// The configuration of a client that trusts this certificate.
pub fn client(
    provider: &CryptoProvider,
    today: &Arc<Today>,
    trusted: Certificate,
    limits: &Limits,
) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let trusted = CertificateDer::from(trusted.0);
    let added = roots.add(trusted);
    added.map_err(|error| format!("the trusted certificate: {error}"))?;
    let provided = Arc::new(provider.clone());
    let mut tls = rustls::ClientConfig::builder_with_details(provided, Arc::clone(today) as _)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![PROTOCOL.to_vec()];
    tls.resumption = rustls::client::Resumption::disabled();
    let crypto = QuicClientConfig::try_from(tls).map_err(|error| error.to_string())?;
    let mut config = ClientConfig::new(Arc::new(crypto));
    let ids = Ids::new(&random::<32>(provider)?);
    config.initial_dst_cid_provider(Arc::new(move || ids.next(INITIAL_ID_BYTES)));
    config.transport_config(limits.transport()?);
    config.token_store(Arc::new(NoneTokenStore));
    Ok(config)
}

fn random<const N: usize>(provider: &CryptoProvider) -> Result<[u8; N], String> {
    let mut bytes = [0; N];
    let filled = provider.secure_random.fill(&mut bytes);
    filled.map_err(|_| "the system gives no randomness".to_owned())?;
    Ok(bytes)
}

/// Makes connection ids: a keyed hash of how many were made before.
struct Ids {
    key: hmac::Key,
    made: AtomicU64,
}

impl Ids {
    fn new(key: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            made: AtomicU64::new(0),
        }
    }

    fn next(&self, bytes: usize) -> ConnectionId {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let tag = hmac::sign(&self.key, &number.to_le_bytes());
        ConnectionId::new(&tag.as_ref()[..bytes])
    }
}

impl ConnectionIdGenerator for Ids {
    fn generate_cid(&mut self) -> ConnectionId {
        self.next(ID_BYTES)
    }

    fn cid_len(&self) -> usize {
        ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The application's protocol, for ALPN (RFC 7301): see [`super::request`].
pub const PROTOCOL: &[u8] = b"stillpoint-bytes/1";

/// Bytes of UDP payload that a datagram may have: what QUIC demands of every path, and what Ethernet
/// carries over IPv4.
pub const DATAGRAM_BYTES: RangeInclusive<u16> = 1_200..=1_472;

/// Length of the ids by which our peers name our connections.
const ID_BYTES: usize = 8;

/// Length of the id that a client makes up for a server that it does not know yet (RFC 9000, 7.2).
const INITIAL_ID_BYTES: usize = 20;
