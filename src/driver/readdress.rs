//! When this machine's addresses change: a phone leaves its Wi-Fi, a laptop wakes up somewhere else.
//!
//! The sockets stay, as they are bound to no single address. Candidates are gathered anew, and every connection hears of them; one
//! that was sending from an address that is no more says so, and its owner restarts ICE.

use super::gather::{self, Server};
use super::task::{lock, Shared};
use crate::net::candidate::LocalCandidate;
use crate::net::interfaces;
use crate::net::socket::Socket;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How often the system is asked for its addresses: 0.1 ms a time.
const LOOK: Duration = Duration::from_secs(2);
/// For a server's name to be resolved.
const RESOLVE_TIMEOUT: Duration = Duration::from_secs(4);

/// What is looked at.
pub(super) struct Addresses {
    /// Those of the configuration are what they are, whatever the system says.
    watched: bool,
    names: Vec<String>,
    loopback: bool,
    state: Mutex<State>,
}

struct State {
    known: Vec<IpAddr>,
    next: Instant,
}

impl Addresses {
    pub fn new(config: &super::DriverConfig, sockets: &[Arc<Socket>]) -> Self {
        // A socket that is bound to one address would not send from another.
        let watched =
            config.bind_addresses.is_empty() && sockets.iter().all(|socket| socket.bound().ip().is_unspecified());
        let (names, loopback) = (config.interfaces.clone(), config.loopback);
        let known = if watched { interfaces::addresses(&names, loopback).unwrap_or_default() } else { Vec::new() };
        Self { watched, names, loopback, state: Mutex::new(State { known, next: Instant::now() + LOOK }) }
    }

    pub fn next_look(&self) -> Option<Instant> {
        self.watched.then(|| lock(&self.state).next)
    }

    /// The addresses, if they are others than before. None at all is a moment between two: nothing is lost by waiting.
    fn changed(&self, now: Instant) -> Option<Vec<IpAddr>> {
        let mut state = lock(&self.state);
        if !self.watched || now < state.next {
            return None;
        }
        state.next = now + LOOK;
        let present = interfaces::addresses(&self.names, self.loopback).ok()?;
        if present.is_empty() || present == state.known {
            return None;
        }
        state.known.clone_from(&present);
        Some(present)
    }
}

/// From which of our addresses the system would send there. Nothing is sent for it.
pub(super) fn source_towards(server: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect(server).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

impl Shared {
    /// Looks whether the addresses are others, from time to time.
    pub fn look_at_addresses(self: &Arc<Self>, now: Instant) {
        if let Some(present) = self.addresses.changed(now) {
            self.readdress(now, &present);
        }
    }

    /// From now on these are our addresses.
    pub fn readdress(self: &Arc<Self>, now: Instant, present: &[IpAddr]) {
        tracing::info!(?present, "the addresses of this machine changed");
        let hosts = gather::hosts(&self.sockets(), present);
        let servers = self.servers();
        let generation = lock(&self.gathering).begin_anew(now, hosts, servers.len());
        self.tell_addresses();
        self.resolve(servers, generation);
        self.handler().addresses_changed();
    }

    /// A NAT before us may have given us another address, which nothing here shows: the STUN servers are asked once more.
    pub fn ask_again(&self) {
        lock(&self.gathering).ask_again(Instant::now());
        self.wake.notify_one();
    }

    /// Other servers, or other credentials for the same, from now on.
    pub fn set_servers(self: &Arc<Self>, servers: Vec<Server>, errors: Vec<String>) {
        let now = Instant::now();
        lock(&self.servers).clone_from(&servers);
        // Even where none can be used: why is to be said.
        self.has_servers.store(true, Ordering::Relaxed);
        let (datagrams, generation) = {
            let mut gathering = lock(&self.gathering);
            let datagrams = gathering.renew(now, &servers);
            let hosts = gathering.hosts();
            let generation = gathering.begin_anew(now, hosts, servers.len());
            errors.into_iter().for_each(|error| gathering.error(error));
            (datagrams, generation)
        };
        self.send(datagrams, false);
        self.tell_addresses();
        self.resolve(servers, generation);
        self.wake.notify_one();
        self.handler().servers_changed();
    }

    /// All connections are told what our candidates are now.
    pub(super) fn tell_addresses(self: &Arc<Self>) {
        let (candidates, complete) = self.candidates();
        let bases: Vec<SocketAddr> =
            candidates.iter().map(|(_, candidate): &(u64, LocalCandidate)| candidate.base).collect();
        let connections = self.table().all();
        for connection in connections {
            connection.addresses_changed(&candidates, complete, &bases);
        }
    }

    /// Asks for the addresses of the servers, and then the servers.
    pub fn resolve(self: &Arc<Self>, servers: Vec<Server>, generation: u64) {
        for (address, server) in servers {
            let shared = self.clone();
            self.runtime.spawn(async move {
                let lookup = tokio::net::lookup_host((address.host.as_str(), address.port));
                let found = match tokio::time::timeout(RESOLVE_TIMEOUT, lookup).await {
                    Ok(Ok(addresses)) => Ok(addresses.collect()),
                    Ok(Err(error)) => Err(error.to_string()),
                    Err(_) => Err("its name is not resolved in time".to_owned()),
                };
                if shared.stopping.load(Ordering::Acquire) {
                    return;
                }
                let sockets = shared.sockets();
                lock(&shared.gathering).resolved(Instant::now(), generation, &sockets, &server, address.turn, found);
                shared.wake.notify_one();
            });
        }
    }
}
