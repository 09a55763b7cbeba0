//! Gathering of local candidates: hosts at once, then what STUN and TURN servers say, for all links of a swarm alike.

use super::readdress::source_towards;
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
/// Before an allocation that failed is tried again; then twice as long, and so on …
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// … up to this.
const LAST_RETRY: Duration = Duration::from_secs(120);
/// The server still knows our port by another user's name. coturn does for a minute, even one that it has refused.
const LEFT_OVER: &str = "error 437";
/// … which is waited for no longer than this at a time.
const LEFT_OVER_RETRY: Duration = Duration::from_secs(8);

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
    /// Raised with each change of servers or addresses: what was looked up before is of no use.
    generation: u64,
    requests: Vec<BindingRequest>,
    pub allocations: Vec<Allocation>,
    retries: Vec<Retry>,
    deadline: Instant,
    /// Those that have told our address, and that, as long as a NAT's mapping before them is to live.
    mapped: Vec<(SocketAddr, SocketAddr)>,
    keepalive: Duration,
    next_keepalive: Instant,
}

/// An allocation that failed and is made anew.
struct Retry {
    server: SocketAddr,
    local: SocketAddr,
    account: IceServer,
    /// `None` while one is being made.
    at: Option<Instant>,
    pause: Duration,
    /// The owner has heard of it.
    told: bool,
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
            generation: 0,
            requests: Vec::new(),
            allocations: Vec::new(),
            retries: Vec::new(),
            deadline: Instant::now() + PATIENCE,
            mapped: Vec::new(),
            keepalive: config.ice_keepalive * KEEPALIVES,
            next_keepalive: Instant::now(),
        }
    }

    /// Our addresses are these now. What servers said of the old ones counts no more; an allocation lives on where what is sent to its
    /// server still leaves from the address that it was made from (RFC 8656, 2.2). Gives the generation of what is looked up for it.
    pub fn begin_anew(&mut self, now: Instant, hosts: Vec<LocalCandidate>, servers: usize) -> u64 {
        self.errors.clear();
        self.retries.clear();
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
        self.complete = servers == 0;
        self.deadline = now + PATIENCE;
        self.generation += 1;
        self.generation
    }

    /// Asks the servers that have told our address, and those that are being asked, now.
    pub fn ask_again(&mut self, now: Instant) {
        self.requests.iter_mut().for_each(|request| request.begin_anew(now));
        for (server, _) in &self.mapped {
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
        generation: u64,
        sockets: &[Arc<Socket>],
        server: &IceServer,
        turn: bool,
        addresses: Result<Vec<SocketAddr>, String>,
    ) {
        if generation != self.generation {
            return;
        }
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
            match self.mapped.iter_mut().find(|(server, _)| *server == from) {
                Some((_, known)) => {
                    let former = std::mem::replace(known, mapped);
                    let told = self.mapped.iter().any(|(_, known)| *known == former);
                    // A NAT gives us another.
                    self.candidates.retain(|(_, candidate)| {
                        told || candidate.kind != Kind::ServerReflexive || candidate.address != former
                    });
                }
                None => {
                    self.mapped.push((from, mapped));
                    self.next_keepalive = now + self.keepalive;
                }
            }
            let preference = preference(mapped.ip(), index);
            let candidate = LocalCandidate { kind: Kind::ServerReflexive, address: mapped, base: local, preference };
            news.candidates |= self.add(candidate);
            return true;
        }
        let Some(index) = self.allocations.iter().position(|allocation| allocation.server() == from) else {
            return false;
        };
        self.allocations[index].handle(now, datagram);
        self.hear(now, index, news);
        true
    }

    /// What STUN servers say that this machine's addresses are, each once.
    pub fn reflexive(&self) -> Vec<SocketAddr> {
        let mut told: Vec<SocketAddr> = self.mapped.iter().map(|(_, mapped)| *mapped).collect();
        told.sort();
        told.dedup();
        told
    }

    /// Whether the allocation is still there.
    fn hear(&mut self, now: Instant, index: usize, news: &mut News) -> bool {
        let mut events = Vec::new();
        let allocation = &mut self.allocations[index];
        allocation.poll_events(now, |event| events.push(event));
        // What has waited for this, and what follows it.
        allocation.poll_datagrams(&mut news.datagrams);
        let (server, relayed) = (allocation.server(), allocation.relayed());
        for event in events {
            match event {
                TurnEvent::Allocated(relayed) => {
                    self.retries.retain(|retry| retry.server != server);
                    let preference = preference(relayed.ip(), index);
                    let candidate = LocalCandidate { kind: Kind::Relay, address: relayed, base: relayed, preference };
                    let added = self.add(candidate);
                    news.candidates |= added;
                    // Everybody has been told that there would be no more.
                    news.others |= added && self.complete;
                }
                TurnEvent::Failed(error) => {
                    self.failed(now, index, Some(error), news);
                    return false;
                }
                TurnEvent::Lost => {
                    self.failed(now, index, None, news);
                    return false;
                }
                TurnEvent::Refused(error) => self.error(format!("TURN server {server}: {error}")),
                TurnEvent::Data { from, data } => {
                    if let Some(relayed) = relayed {
                        news.relayed.push((relayed, from, data));
                    }
                }
            }
        }
        true
    }

    /// There is no such allocation, or none any more, and it is tried again: at once where nothing speaks against it.
    fn failed(&mut self, now: Instant, index: usize, error: Option<String>, news: &mut News) {
        let allocation = self.allocations.remove(index);
        let server = allocation.server();
        let present: Vec<SocketAddr> = self.allocations.iter().filter_map(Allocation::relayed).collect();
        let before = self.candidates.len();
        self.candidates.retain(|(_, candidate)| candidate.kind != Kind::Relay || present.contains(&candidate.address));
        news.others |= self.candidates.len() < before;
        let at = self.retries.iter().position(|retry| retry.server == server).unwrap_or_else(|| {
            let (local, account) = (allocation.local(), allocation.account().clone());
            self.retries.push(Retry { server, local, account, at: None, pause: FIRST_RETRY, told: false });
            self.retries.len() - 1
        });
        let retry = &mut self.retries[at];
        retry.account = allocation.account().clone();
        match error {
            None => {
                retry.at = Some(now);
                // More candidates are to come, most likely.
                (self.complete, self.deadline) = (false, now + PATIENCE);
            }
            Some(error) => {
                retry.at = Some(now + retry.pause);
                let last = if error.contains(LEFT_OVER) { LEFT_OVER_RETRY } else { LAST_RETRY };
                retry.pause = (retry.pause * 2).min(last);
                if !std::mem::replace(&mut retry.told, true) {
                    self.error(format!("TURN server {server}: {error}"));
                }
            }
        }
        news.wake = true;
    }

    /// How many allocations are being made, or are about to be.
    fn allocating(&self, now: Instant) -> usize {
        let made = self.allocations.iter().filter(|allocation| allocation.relayed().is_none());
        made.count() + self.retries.iter().filter(|retry| retry.at.is_some_and(|at| at <= now)).count()
    }

    fn retry(&mut self, now: Instant) {
        let due = self.retries.iter_mut().filter(|retry| retry.at.is_some_and(|at| at <= now));
        let mut failed = Vec::new();
        for retry in due {
            retry.at = None;
            match Allocation::new(now, retry.local, source_towards(retry.server), retry.server, &retry.account) {
                Ok(allocation) => self.allocations.push(allocation),
                Err(error) => failed.push(error),
            }
        }
        failed.into_iter().for_each(|error| self.error(error));
    }

    /// Does what is due, and says whether gathering has just come to its end.
    pub fn handle_timeout(&mut self, now: Instant, mut send: impl FnMut(SocketAddr, &[u8]), news: &mut News) {
        if self.complete {
            // A server that has answered once and does not now.
            self.requests.retain(|request| now < request.since() + PATIENCE);
        }
        for request in &mut self.requests {
            let server = request.server;
            if let Some(datagram) = request.poll(now) {
                send(server, datagram);
            }
        }
        self.retry(now);
        let mut index = 0;
        while index < self.allocations.len() {
            self.allocations[index].handle_timeout(now);
            index += usize::from(self.hear(now, index, news));
        }
        if !self.mapped.is_empty() && now >= self.next_keepalive {
            self.next_keepalive = now + self.keepalive;
            for (server, _) in &self.mapped {
                send(*server, &binding_indication());
            }
        }
        if self.complete {
            return;
        }
        let waiting = self.resolving + self.requests.len() + self.allocating(now);
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
        let retry = self.retries.iter().filter_map(|retry| retry.at).min();
        let deadline = (!self.complete).then_some(self.deadline);
        let keepalive = (!self.mapped.is_empty()).then_some(self.next_keepalive);
        [requests, allocations, retry, deadline, keepalive].into_iter().flatten().min()
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
    /// All are to be told anew: one is gone, or one has come after their end.
    pub others: bool,
    /// The time of what is next may have changed.
    pub wake: bool,
    pub relayed: Vec<(SocketAddr, SocketAddr, BytesMut)>,
    pub datagrams: Vec<crate::link::Datagram>,
    pub completed: bool,
    /// Why servers give nothing.
    pub errors: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::stun;

    const OURS: &str = "192.0.2.1:1";
    const SERVER: &str = "192.0.2.9:3478";

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn gathering(servers: usize) -> Gathering {
        Gathering::new(Vec::new(), &DriverConfig::for_tests(), servers, Vec::new())
    }

    fn sockets() -> Vec<Arc<Socket>> {
        vec![Arc::new(Socket::bind(address("127.0.0.1:0"), 1 << 16).unwrap())]
    }

    fn stun_server() -> IceServer {
        IceServer { url: format!("stun:{SERVER}"), ..IceServer::default() }
    }

    /// What is sent by then, to whom does not matter.
    fn asks(gathering: &mut Gathering, now: Instant) -> Vec<Vec<u8>> {
        let mut sent = Vec::new();
        gathering.handle_timeout(now, |_, datagram| sent.push(datagram.to_vec()), &mut News::default());
        sent.retain(|datagram| stun::is_binding_request(datagram));
        sent
    }

    fn answers(gathering: &mut Gathering, now: Instant, request: &[u8], mapped: &str) {
        let transaction = stun::transaction_id(request).unwrap();
        let answer = stun::message(0x0101, transaction, &[(0x0020, &stun::xored(address(mapped), transaction))]);
        assert!(gathering.handle(now, address(OURS), address(SERVER), &answer, &mut News::default()));
    }

    #[test]
    fn a_name_that_was_looked_up_for_others_is_of_no_use() {
        let (now, sockets) = (Instant::now(), sockets());
        let mut gathering = gathering(1);
        let generation = gathering.begin_anew(now, Vec::new(), 1);
        gathering.resolved(now, generation - 1, &sockets, &stun_server(), false, Ok(vec![address(SERVER)]));
        assert_eq!((gathering.resolving, gathering.requests.len()), (1, 0));
        gathering.resolved(now, generation, &sockets, &stun_server(), false, Ok(vec![address(SERVER)]));
        assert_eq!((gathering.resolving, gathering.requests.len()), (0, 1));
    }

    #[test]
    fn who_was_asked_in_vain_is_asked_at_once_when_it_is_wanted_again() {
        let (mut now, sockets) = (Instant::now(), sockets());
        let mut gathering = gathering(1);
        gathering.resolved(now, 0, &sockets, &stun_server(), false, Ok(vec![address(SERVER)]));
        let request = asks(&mut gathering, now).remove(0);
        answers(&mut gathering, now, &request, "203.0.113.1:1");
        asks(&mut gathering, now);
        assert!(gathering.complete);
        // The network is away.
        gathering.ask_again(now);
        for _ in 0..30 {
            asks(&mut gathering, now);
            now += Duration::from_millis(150);
        }
        gathering.ask_again(now);
        assert_eq!(asks(&mut gathering, now).len(), 1);
        now += FIRST_RETRY / 8;
        let request = asks(&mut gathering, now).remove(0);
        answers(&mut gathering, now, &request, "203.0.113.1:2");
        // The NAT's former address is no more.
        let known: Vec<SocketAddr> = gathering.candidates.iter().map(|(_, candidate)| candidate.address).collect();
        assert_eq!(known, [address("203.0.113.1:2")]);
        // Nor is it asked for ever.
        gathering.ask_again(now);
        asks(&mut gathering, now);
        now += PATIENCE;
        assert!(asks(&mut gathering, now).is_empty() && gathering.requests.is_empty());
    }

    #[test]
    fn a_server_that_refuses_is_tried_again_ever_more_rarely_and_told_of_once() {
        let (mut now, sockets) = (Instant::now(), sockets());
        let mut gathering = gathering(1);
        let turn = IceServer { url: format!("turn:{SERVER}"), username: "u".into(), credential: "c".into() };
        gathering.relay_only = true;
        gathering.resolved(now, 0, &sockets, &turn, true, Ok(vec![address(SERVER)]));
        let mut tries = 0;
        // Without a nonce, so that each question is the first.
        for _ in 0..6000 {
            let mut news = News::default();
            gathering.handle_timeout(now, |_, _| (), &mut news);
            for datagram in std::mem::take(&mut news.datagrams) {
                tries += 1;
                let transaction = stun::transaction_id(&datagram.data).unwrap();
                let answer = stun::message(0x0113, transaction, &[(0x0009, b"\0\0\x04\x01")]);
                gathering.handle(now, address(OURS), address(SERVER), &answer, &mut news);
                assert!(gathering.allocations.is_empty());
            }
            now += Duration::from_millis(100);
        }
        assert!(gathering.complete);
        assert!((8..14).contains(&tries), "{tries} in ten minutes");
        assert_eq!(gathering.errors.len(), 1, "{:?}", gathering.errors);
        // With other credentials at once.
        let generation = gathering.begin_anew(now, Vec::new(), 1);
        gathering.resolved(now, generation, &sockets, &turn, true, Ok(vec![address(SERVER)]));
        assert_eq!((gathering.allocations.len(), gathering.allocating(now)), (1, 1));
    }
}
