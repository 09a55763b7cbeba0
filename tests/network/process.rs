//! A member as a process of its own, which does what it is told on its standard input until that ends.

use super::messages::{make, Ledger, Verdict};
use super::words::{Order, Said, Setup};
use crate::orders::orders;
use rtcswarm::signaling::SignalingConfig;
use rtcswarm::swarm::{IceServer, Signaling};
use rtcswarm::{Config, Error, Event, Swarm};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// An order waits for so long at most.
const TICK: Duration = Duration::from_millis(5);

struct Sending {
    count: u64,
    every: Duration,
    sizes: Vec<usize>,
    next: Instant,
}

struct Process {
    swarm: Swarm,
    /// The open peer; there is one other member.
    peer: Option<u64>,
    sending: Option<Sending>,
    sent: u64,
    ledger: Ledger,
}

fn say(said: &Said) {
    let mut out = std::io::stdout().lock();
    // Nobody listens any more when the test is over.
    let _ = writeln!(out, "{}", serde_json::to_string(said).unwrap());
}

fn config(setup: &Setup) -> Config {
    let mut config = Config::new("room", &setup.user);
    let mut signaling = SignalingConfig::new(&setup.url, &setup.token);
    // Of the library's own 30 s, any part may be left when the server can be reached again.
    signaling.backoff_max = Duration::from_secs(5);
    config.signaling = Signaling::WebSocket(signaling);
    config.interfaces.clone_from(&setup.interfaces);
    config.loopback = false;
    let server = |url: &String| IceServer {
        url: url.clone(),
        username: crate::coturn::USER.into(),
        credential: crate::coturn::PASSWORD.into(),
    };
    config.ice_servers = setup.ice_servers.iter().map(server).collect();
    if let Some(seconds) = setup.connect_timeout {
        config.connect_timeout = Duration::from_secs(seconds);
    }
    config
}

pub fn run() {
    let (setup, orders) = orders::<Setup, Order>();
    let swarm = Swarm::new(config(&setup)).unwrap();
    say(&Said::Started);
    swarm.start().unwrap();
    Process { swarm, peer: None, sending: None, sent: 0, ledger: Ledger::default() }.live(&orders);
}

impl Process {
    fn live(&mut self, orders: &mpsc::Receiver<Order>) {
        loop {
            while let Ok(order) = orders.try_recv() {
                self.obey(order);
            }
            match self.swarm.next_event(Some(TICK)) {
                Ok(Some(Event::Closed { error })) => return say(&Said::Over { error }),
                Ok(Some(event)) => self.hear(event),
                Ok(None) => {}
                Err(error) => panic!("{error}"),
            }
            self.send();
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Send { count, every, sizes } => {
                let every = Duration::from_millis(every);
                self.sending = Some(Sending { count, every, sizes, next: Instant::now() });
            }
            Order::Stop => {
                self.sending = None;
                say(&Said::Sent { count: self.sent });
            }
            Order::Stats => self.stats(),
            Order::Close => self.swarm.close(),
        }
    }

    fn stats(&self) {
        let swarm = self.swarm.stats();
        let (mut local, mut remote, mut relayed) = (String::new(), String::new(), false);
        if let Some(stats) = self.peer.and_then(|peer| self.swarm.peer_stats(peer).ok()) {
            (local, remote) = (stats.local_candidate_type.to_owned(), stats.remote_candidate_type.to_owned());
            relayed = stats.relayed;
        }
        let texts = |addresses: &[SocketAddr]| addresses.iter().map(ToString::to_string).collect();
        let (reflexive, allocated) = (texts(&swarm.reflexive_addresses), texts(&swarm.relayed_addresses));
        say(&Said::Stats { local, remote, relayed, reflexive, allocated, errors: swarm.ice_server_errors });
    }

    fn hear(&mut self, event: Event) {
        say(&match event {
            Event::PeerOpen { peer, .. } => {
                // The first is the one that is sent to.
                self.peer.get_or_insert(peer.id());
                Said::Open { peer: peer.id() }
            }
            Event::PeerClosed { peer, reason, detail } => {
                self.peer.take_if(|open| *open == peer.id());
                Said::Closed { peer: peer.id(), reason: format!("{reason:?}: {detail}") }
            }
            Event::PeerFailed { reason, detail, .. } => Said::Failed { reason: format!("{reason:?}: {detail}") },
            Event::PeerState { peer, state, .. } => Said::State { peer: peer.id(), state: format!("{state:?}") },
            Event::SignalingState { state, .. } => Said::Signaling { state: format!("{state:?}") },
            Event::Binary { data, .. } => {
                let after = self.ledger.last;
                match self.ledger.take(&data) {
                    Verdict::Next(number) => Said::Got { number },
                    Verdict::AfterHole(next) => {
                        say(&Said::Hole { after, next });
                        Said::Got { number: next }
                    }
                    Verdict::Wrong(what) => Said::Wrong { what },
                }
            }
            Event::Error { code, detail } => return eprintln!("{}: {code:?}: {detail}", self.swarm.config().user_id),
            _ => return,
        });
    }

    /// What is due, if there is somebody to send to and room for it. A number is used when its message was taken.
    fn send(&mut self) {
        let (Some(sending), Some(peer)) = (&mut self.sending, self.peer) else { return };
        while Instant::now() >= sending.next {
            let size = sending.sizes[self.sent as usize % sending.sizes.len()];
            match self.swarm.send(peer, &make(self.sent, size)) {
                Ok(()) => {}
                Err(Error::WouldBlock) => return,
                // Its end is among the events.
                Err(Error::NoPeer(_)) => return self.peer = None,
                Err(error) => panic!("{error}"),
            }
            self.sent += 1;
            // What could not be sent in time is not made up for.
            sending.next = (sending.next + sending.every).max(Instant::now());
            sending.count -= 1;
            if sending.count == 0 {
                self.sending = None;
                return say(&Said::Sent { count: self.sent });
            }
        }
    }
}
