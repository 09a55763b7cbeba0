//! One TURN allocation (RFC 8656) over UDP, shared by all links of a swarm.
//!
//! Data goes to the server in Send indications. Bound channels would save 32 bytes a datagram, but the client loses a binding
//! whose renewal meets a stale nonce: it asks for another number, which the server refuses for as long as it keeps the first,
//! and does not know the first one any more when data comes on it.

use crate::link::{stun, Datagram};
use bytes::BytesMut;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use webrtc::sansio::Protocol;
use webrtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use webrtc::turn::client::{Client, ClientConfig, Event};

/// Datagrams for one peer that wait for the permission to send to it.
const PENDING: usize = 32;
/// Peers that we may ask permissions for.
const MAX_PEERS: usize = 4096;
/// A permission that was asked for and not given after this long is asked for again.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// The allocation is refreshed so often: the mapping of a NAT before the server lives by it, and the nonce that permissions are
/// asked for with stays fresh.
const REFRESH: Duration = Duration::from_secs(25);

pub(crate) struct Allocation {
    client: Client,
    server: SocketAddr,
    local: SocketAddr,
    relayed: Option<SocketAddr>,
    permitted: HashSet<SocketAddr>,
    pending: HashMap<SocketAddr, Pending>,
    /// To be sent, now that they may be.
    ready: Vec<Datagram>,
}

/// What waits for a permission that was asked for.
struct Pending {
    asked: Instant,
    datagrams: VecDeque<BytesMut>,
}

/// What came of it.
pub(crate) enum TurnEvent {
    Allocated(SocketAddr),
    Failed(String),
    /// A datagram of a peer, relayed.
    Data {
        from: SocketAddr,
        data: BytesMut,
    },
}

impl Allocation {
    pub fn new(
        now: Instant,
        local: SocketAddr,
        server: SocketAddr,
        username: &str,
        credential: &str,
    ) -> Result<Self, String> {
        let config = ClientConfig {
            turn_serv_addr: server.to_string(),
            local_addr: local,
            transport_protocol: TransportProtocol::UDP,
            username: username.to_owned(),
            password: credential.to_owned(),
            allocation_refresh_interval_cap: Some(REFRESH),
            ..ClientConfig::default()
        };
        let provider = webrtc::crypto::default_provider().map_err(|e| e.to_string())?;
        let mut client = Client::new(config, provider).map_err(|e| e.to_string())?;
        client.allocate(now).map_err(|e| e.to_string())?;
        let (permitted, pending) = (HashSet::new(), HashMap::new());
        Ok(Self { client, server, local, relayed: None, permitted, pending, ready: Vec::new() })
    }

    pub fn server(&self) -> SocketAddr {
        self.server
    }

    pub fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    /// Gives what is to be sent to the server for this; nothing where it waits for a permission.
    pub fn send(&mut self, now: Instant, to: SocketAddr, data: BytesMut) -> Option<Datagram> {
        if self.permitted.contains(&to) {
            return Some(self.indication(to, &data));
        }
        if self.pending.len() >= MAX_PEERS && !self.pending.contains_key(&to) {
            return None;
        }
        let mut relay = self.relayed.and_then(|relayed| self.client.relay(relayed).ok())?;
        let ask = self.pending.get(&to).is_none_or(|pending| now.saturating_duration_since(pending.asked) >= ASK_AGAIN);
        if ask && relay.create_permission(now, to).is_err() {
            self.pending.remove(&to);
            return None;
        }
        let pending = self.pending.entry(to).or_insert_with(|| Pending { asked: now, datagrams: VecDeque::new() });
        if ask {
            pending.asked = now;
        }
        if pending.datagrams.len() < PENDING {
            pending.datagrams.push_back(data);
        }
        None
    }

    fn indication(&self, to: SocketAddr, data: &[u8]) -> Datagram {
        Datagram { local: self.local, remote: self.server, data: stun::send_indication(to, data) }
    }

    /// A datagram of the server.
    pub fn handle(&mut self, now: Instant, data: &[u8]) {
        let transport = TransportContext {
            local_addr: self.local,
            peer_addr: self.server,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        // What the client refuses is not ours to act on.
        let _ = self.client.handle_read(TaggedBytesMut { now, transport, message: data.into() });
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        // It gives no errors but those that come as events.
        let _ = self.client.handle_timeout(now);
    }

    pub fn deadline(&mut self) -> Option<Instant> {
        self.client.poll_timeout()
    }

    /// Gives the allocation back.
    pub fn release(&mut self, now: Instant) {
        if let Some(mut relay) = self.relayed.and_then(|relayed| self.client.relay(relayed).ok()) {
            // The server forgets it by itself in ten minutes otherwise.
            let _ = relay.close(now);
        }
    }

    pub fn poll_events(&mut self, mut hear: impl FnMut(TurnEvent)) {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::AllocateResponse(_, relayed) => {
                    self.relayed = Some(relayed);
                    hear(TurnEvent::Allocated(relayed));
                }
                Event::AllocateError(_, error) => hear(TurnEvent::Failed(error.to_string())),
                Event::TransactionTimeout(_) if self.relayed.is_none() => {
                    hear(TurnEvent::Failed("it does not answer".into()));
                }
                Event::CreatePermissionResponse(_, peer) => {
                    self.permitted.insert(peer);
                    let waited = self.pending.remove(&peer).map(|pending| pending.datagrams).unwrap_or_default();
                    for data in waited {
                        let datagram = self.indication(peer, &data);
                        self.ready.push(datagram);
                    }
                }
                Event::CreatePermissionError(_, error) => {
                    // Whose it was is not told; whoever still waits asks again. A stale nonce is a fresh one by then.
                    tracing::debug!(%error, server = %self.server, "the TURN server refuses a permission");
                }
                Event::DataIndicationOrChannelData(_, from, data) => hear(TurnEvent::Data { from, data }),
                _ => {}
            }
        }
    }

    pub fn poll_datagrams(&mut self, datagrams: &mut Vec<Datagram>) {
        datagrams.append(&mut self.ready);
        while let Some(packet) = self.client.poll_write() {
            datagrams.push(Datagram { local: self.local, remote: packet.transport.peer_addr, data: packet.message });
        }
    }
}

#[cfg(test)]
#[allow(dead_code, reason = "shared with tests/turn.rs, which needs more of it")]
#[path = "../../tests/common/coturn.rs"]
mod coturn;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    /// Seconds of the client's for each of the server's.
    const HASTE: u32 = 60;

    /// So that what is renewed every five minutes is due when the nonce has just gone stale.
    const LATE: Duration = Duration::from_millis(2600);

    /// A quarter of an hour in seconds: nonces go stale, permissions and bindings run out, and the data still flows.
    #[test]
    fn data_flows_for_as_long_as_the_allocation_is_used() {
        let short = ["--stale-nonce=6", "--permission-lifetime=5", "--channel-lifetime=10"];
        let Some(server) = coturn::coturn("127.0.0.1", &short) else { return };
        let (ours, peer) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        for socket in [&ours, &peer] {
            socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        }
        let started = Instant::now();
        let now = || started + started.elapsed() * HASTE;
        let local = ours.local_addr().unwrap();
        let mut allocation = Allocation::new(now(), local, server.address, coturn::USER, coturn::PASSWORD).unwrap();
        let peer_address = peer.local_addr().unwrap();
        let (mut there, mut back, mut rounds) = (0, 0, 0);
        while started.elapsed() < Duration::from_secs(14) {
            let mut buffer = [0; 2048];
            if let Ok((length, from)) = ours.recv_from(&mut buffer) {
                assert_eq!(from, server.address);
                allocation.handle(now(), &buffer[..length]);
            }
            allocation.handle_timeout(now());
            allocation.poll_events(|event| match event {
                TurnEvent::Data { from, data } => {
                    assert_eq!((from, &data[..]), (peer_address, &b"back"[..]));
                    back += 1;
                }
                TurnEvent::Failed(error) => panic!("{error}"),
                TurnEvent::Allocated(_) => {}
            });
            let mut datagrams = Vec::new();
            if allocation.relayed().is_some() && started.elapsed() > LATE {
                rounds += 1;
                datagrams.extend(allocation.send(now(), peer_address, b"there"[..].into()));
            }
            allocation.poll_datagrams(&mut datagrams);
            assert!(datagrams.len() < 20, "{} datagrams for one", datagrams.len());
            for datagram in datagrams {
                ours.send_to(&datagram.data, datagram.remote).unwrap();
            }
            if let Ok((length, from)) = peer.recv_from(&mut buffer) {
                assert_eq!((&buffer[..length], Some(from)), (&b"there"[..], allocation.relayed()));
                there += 1;
                peer.send_to(b"back", from).unwrap();
            }
        }
        assert!(rounds > 100 && there * 50 > rounds * 49 && back * 50 > there * 49, "{rounds}, {there}, {back}");
        assert!(!server.log().contains("error 400"), "{}", server.log());
    }
}
