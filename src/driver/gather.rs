//! Gathering of local candidates: hosts at once, then what STUN and TURN servers say, for all links of a swarm alike.

use super::readdress::source_towards;
use super::task::Shared;
use super::{DriverConfig, DriverError, IceServer};
use crate::link::stun::binding_indication;
use crate::net::candidate::{preference, Kind, LocalCandidate};
use crate::net::interfaces;
use crate::net::server::{self, BindingRequest, ServerAddress};
use crate::net::socket::Socket;
use crate::net::turn::{Allocation, TurnEvent};
use bytes::BytesMut;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// After this the candidates are complete, whoever has not answered.
const PATIENCE: Duration = Duration::from_secs(5);
/// A mapping that no link uses is kept alive so much more slowly than one that a link uses.
const KEEPALIVES: u32 = 3;
/// Errors of servers that are kept to be shown.
const MAX_ERRORS: usize = 32;

/// What is known and what is awaited.
pub(super) struct Gathering {
    /// In the order of their numbers, which are never used again.
    pub candidates: Vec<(u64, LocalCandidate)>,
    last_number: u64,
    pub complete: bool,
    pub errors: Vec<String>,
    /// Those that the owner has not heard of.
    pub fresh_errors: Vec<String>,
    relay_only: bool,
    /// Servers whose names are not resolved yet.
    resolving: usize,
    requests: Vec<BindingRequest>,
    pub allocations: Vec<Allocation>,
    allocating: usize,
    deadline: Instant,
    /// Those that have told our address, as long as a NAT's mapping before them is to live.
    mapped: Vec<SocketAddr>,
    keepalive: Duration,
    next_keepalive: Instant,
}

/// Sockets, one per family at most, with their host candidates.
pub(super) fn bind(config: &DriverConfig) -> Result<(Vec<Arc<Socket>>, Vec<LocalCandidate>), DriverError> {
    let mut addresses = if config.bind_addresses.is_empty() {
        let found = interfaces::addresses(&config.interfaces, config.loopback);
        found.map_err(|e| DriverError::Io(format!("the interfaces cannot be listed: {e}")))?
    } else {
        config.bind_addresses.clone()
    };
    addresses.retain(|ip| if ip.is_ipv4() { config.ipv4 } else { config.ipv6 });
    let mut sockets = Vec::new();
    let mut refused = String::from("there is no usable local address");
    for ipv4 in [true, false] {
        let of_family: Vec<IpAddr> = addresses.iter().copied().filter(|ip| ip.is_ipv4() == ipv4).collect();
        let bound = match of_family.as_slice() {
            [] => continue,
            // One address of its own needs no wildcard.
            [only] if !config.bind_addresses.is_empty() => *only,
            _ if ipv4 => Ipv4Addr::UNSPECIFIED.into(),
            _ => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = match Socket::bind(SocketAddr::new(bound, config.port), config.socket_buffer) {
            Ok(socket) => socket,
            Err(error) => {
                refused = format!("no UDP socket on {bound} port {}: {error}", config.port);
                if !config.bind_addresses.is_empty() {
                    return Err(DriverError::Io(refused));
                }
                continue;
            }
        };
        sockets.push(Arc::new(socket));
    }
    if sockets.is_empty() {
        return Err(DriverError::Io(refused));
    }
    let candidates = hosts(&sockets, &addresses);
    Ok((sockets, candidates))
}

/// The candidates that these addresses are, each by the socket of its family.
pub(super) fn hosts(sockets: &[Arc<Socket>], addresses: &[IpAddr]) -> Vec<LocalCandidate> {
    let mut candidates = Vec::new();
    for socket in sockets {
        let of_family = addresses.iter().filter(|ip| ip.is_ipv4() == socket.bound().is_ipv4());
        for (index, ip) in of_family.enumerate() {
            let address = SocketAddr::new(*ip, socket.bound().port());
            let preference = preference(*ip, index);
            candidates.push(LocalCandidate { kind: Kind::Host, address, base: address, preference });
        }
    }
    candidates
}

/// A server with what its URL says.
pub(super) type Server = (ServerAddress, IceServer);

/// The servers that can be used; an error if there has to be one and is none.
pub(super) fn usable_servers(
    ice_servers: &[IceServer],
    relay_only: bool,
) -> Result<(Vec<Server>, Vec<String>), DriverError> {
    let (mut servers, mut errors) = (Vec::new(), Vec::new());
    for ice_server in ice_servers {
        match server::parse(ice_server) {
            Ok(address) => servers.push((address, ice_server.clone())),
            Err(error) => errors.push(error),
        }
    }
    if relay_only && !servers.iter().any(|(address, _)| address.turn) {
        let why = errors.first().cloned().unwrap_or_else(|| "there is no TURN server".into());
        return Err(DriverError::Config(format!("the transport policy is relay, but {why}")));
    }
    Ok((servers, errors))
}

impl Gathering {
    pub fn new(hosts: Vec<LocalCandidate>, config: &DriverConfig, servers: usize, errors: Vec<String>) -> Self {
        let relay_only = config.relay_only;
        let hosts = if relay_only { Vec::new() } else { hosts };
        Self {
            last_number: hosts.len() as u64,
            candidates: (1..).zip(hosts).collect(),
            complete: servers == 0,
            fresh_errors: errors.clone(),
            errors,
            relay_only,
            resolving: servers,
            requests: Vec::new(),
            allocations: Vec::new(),
            allocating: 0,
            deadline: Instant::now() + PATIENCE,
            mapped: Vec::new(),
            keepalive: config.ice_keepalive * KEEPALIVES,
            next_keepalive: Instant::now(),
        }
    }

    /// Our addresses are these now. What servers said of the old ones counts no more; an allocation lives on where what is sent to its
    /// server still leaves from the address that it was made from (RFC 8656, 2.2).
    pub fn begin_anew(&mut self, now: Instant, hosts: Vec<LocalCandidate>, servers: usize) {
        self.errors.clear();
        self.allocations.retain(|allocation| allocation.source() == source_towards(allocation.server()));
        let relayed: Vec<SocketAddr> = self.allocations.iter().filter_map(Allocation::relayed).collect();
        let hosts = if self.relay_only { Vec::new() } else { hosts };
        self.candidates.retain(|(_, candidate)| match candidate.kind {
            Kind::Host => hosts.contains(candidate),
            Kind::ServerReflexive => false,
            Kind::Relay => relayed.contains(&candidate.address),
        });
        for host in hosts {
            self.add(host);
        }
        self.requests.clear();
        self.mapped.clear();
        self.resolving = servers;
        self.allocating = self.allocations.len() - relayed.len();
        self.complete = servers == 0;
        self.deadline = now + PATIENCE;
    }

    /// Asks the servers that have told our address, unless they are being asked.
    pub fn ask_again(&mut self, now: Instant) {
        for server in &self.mapped {
            if !self.requests.iter().any(|request| request.server == *server) {
                self.requests.extend(BindingRequest::new(*server, now));
            }
        }
    }

    /// Allocations whose credentials are others now go on with those (RFC 8656, 7.1); those of servers that are used no more are given
    /// back.
    pub fn renew(&mut self, now: Instant, servers: &[Server]) -> Vec<crate::link::Datagram> {
        let mut datagrams = Vec::new();
        self.allocations.retain_mut(|allocation| {
            let server = servers.iter().find(|(address, server)| address.turn && server.url == allocation.url());
            match server {
                Some((_, server)) => allocation.renew(now, &server.username, &server.credential),
                None => allocation.release(now),
            }
            allocation.poll_datagrams(&mut datagrams);
            server.is_some()
        });
        datagrams
    }

    pub fn hosts(&self) -> Vec<LocalCandidate> {
        let hosts = self.candidates.iter().filter(|(_, candidate)| candidate.kind == Kind::Host);
        hosts.map(|(_, candidate)| candidate.clone()).collect()
    }

    pub fn error(&mut self, error: String) {
        tracing::warn!(%error, "an ICE server gives nothing");
        if self.errors.len() < MAX_ERRORS {
            self.errors.push(error.clone());
            self.fresh_errors.push(error);
        }
    }

    /// A server's name was resolved, or not.
    pub fn resolved(
        &mut self,
        now: Instant,
        sockets: &[Arc<Socket>],
        server: &IceServer,
        turn: bool,
        addresses: Result<Vec<SocketAddr>, String>,
    ) {
        self.resolving = self.resolving.saturating_sub(1);
        let addresses = match addresses {
            Ok(addresses) => addresses,
            Err(error) => return self.error(format!("{}: {error}", server.url)),
        };
        let mut reached = false;
        // One per family that we have a socket for.
        for socket in sockets {
            let of_family = |address: &&SocketAddr| address.is_ipv4() == socket.bound().is_ipv4();
            let Some(address) = addresses.iter().find(of_family) else { continue };
            reached = true;
            // A server keeps one allocation for each of our sockets (RFC 8656, 2.2): the first URL that leads to it counts.
            let allocated = self.allocations.iter().any(|allocation| allocation.server() == *address);
            if turn && !allocated {
                match Allocation::new(now, socket.bound(), source_towards(*address), *address, server) {
                    Ok(allocation) => {
                        self.allocations.push(allocation);
                        self.allocating += 1;
                    }
                    Err(error) => self.error(format!("{}: {error}", server.url)),
                }
            }
            // A TURN server tells our address as well (RFC 8656, 7.3), by the same question.
            if !self.relay_only {
                self.requests.extend(BindingRequest::new(*address, now));
            }
        }
        if !reached {
            self.error(format!("{}: it has no address of a family that is in use here", server.url));
        }
    }

    /// Whether it is new.
    fn add(&mut self, candidate: LocalCandidate) -> bool {
        let known = self.candidates.iter().any(|(_, known)| known.address == candidate.address);
        if !known {
            self.last_number += 1;
            self.candidates.push((self.last_number, candidate));
        }
        !known
    }

    /// A datagram that may be a server's: whether it was, and the candidate or the relayed datagrams that it brought.
    pub fn handle(
        &mut self,
        now: Instant,
        local: SocketAddr,
        from: SocketAddr,
        datagram: &[u8],
        news: &mut News,
    ) -> bool {
        let answered = self
            .requests
            .iter()
            .enumerate()
            .find_map(|(index, request)| Some((index, request.answer(from, datagram)?)));
        if let Some((index, mapped)) = answered {
            self.requests.remove(index);
            if !self.mapped.contains(&from) {
                self.mapped.push(from);
                self.next_keepalive = now + self.keepalive;
            }
            let preference = preference(mapped.ip(), index);
            let candidate = LocalCandidate { kind: Kind::ServerReflexive, address: mapped, base: local, preference };
            news.reflexive.push(mapped);
            news.candidates |= self.add(candidate);
            return true;
        }
        let Some(index) = self.allocations.iter().position(|allocation| allocation.server() == from) else {
            return false;
        };
        self.allocations[index].handle(now, datagram);
        self.hear(now, index, news);
        // What has waited for this answer, and what follows it.
        self.allocations[index].poll_datagrams(&mut news.datagrams);
        true
    }

    fn hear(&mut self, now: Instant, index: usize, news: &mut News) {
        let mut events = Vec::new();
        let allocation = &mut self.allocations[index];
        allocation.poll_events(now, |event| events.push(event));
        let (server, relayed) = (allocation.server(), allocation.relayed());
        for event in events {
            match event {
                TurnEvent::Allocated(relayed) => {
                    self.allocating = self.allocating.saturating_sub(1);
                    let preference = preference(relayed.ip(), index);
                    let candidate = LocalCandidate { kind: Kind::Relay, address: relayed, base: relayed, preference };
                    news.candidates |= self.add(candidate);
                }
                TurnEvent::Failed(error) => {
                    self.allocating = self.allocating.saturating_sub(1);
                    self.error(format!("TURN server {server}: {error}"));
                }
                TurnEvent::Data { from, data } => {
                    if let Some(relayed) = relayed {
                        news.relayed.push((relayed, from, data));
                    }
                }
            }
        }
    }

    /// Does what is due, and says whether gathering has just come to its end.
    pub fn handle_timeout(&mut self, now: Instant, shared: &Shared, news: &mut News) {
        for request in &mut self.requests {
            let server = request.server;
            if let Some(datagram) = request.poll(now) {
                shared.send_raw(server, datagram);
            }
        }
        for index in 0..self.allocations.len() {
            self.allocations[index].handle_timeout(now);
            self.hear(now, index, news);
            self.allocations[index].poll_datagrams(&mut news.datagrams);
        }
        if !self.mapped.is_empty() && now >= self.next_keepalive {
            self.next_keepalive = now + self.keepalive;
            for server in &self.mapped {
                shared.send_raw(*server, &binding_indication());
            }
        }
        if self.complete {
            return;
        }
        let waiting = self.resolving + self.requests.len() + self.allocating;
        if waiting == 0 || now >= self.deadline {
            for request in std::mem::take(&mut self.requests) {
                self.error(format!("STUN server {}: it does not answer", request.server));
            }
            self.complete = true;
            news.completed = true;
        }
    }

    pub fn next_timeout(&mut self) -> Option<Instant> {
        let requests = self.requests.iter().map(BindingRequest::deadline).min();
        let allocations = self.allocations.iter_mut().filter_map(Allocation::deadline).min();
        let deadline = (!self.complete).then_some(self.deadline);
        let keepalive = (!self.mapped.is_empty()).then_some(self.next_keepalive);
        [requests, allocations, deadline, keepalive].into_iter().flatten().min()
    }

    /// Sends by the allocation that this address is of; `None` if it is none of ours.
    pub fn relay(
        &mut self,
        now: Instant,
        local: SocketAddr,
        to: SocketAddr,
        data: BytesMut,
    ) -> Option<Vec<crate::link::Datagram>> {
        let allocation = self.allocations.iter_mut().find(|allocation| allocation.relayed() == Some(local))?;
        let mut datagrams = Vec::from_iter(allocation.send(now, to, data));
        allocation.poll_datagrams(&mut datagrams);
        Some(datagrams)
    }
}

/// What came of a datagram or a timeout, to be acted on without the lock.
#[derive(Default)]
pub(super) struct News {
    /// There are new ones.
    pub candidates: bool,
    pub reflexive: Vec<SocketAddr>,
    pub relayed: Vec<(SocketAddr, SocketAddr, BytesMut)>,
    pub datagrams: Vec<crate::link::Datagram>,
    pub completed: bool,
    /// Why servers give nothing.
    pub errors: Vec<String>,
}
