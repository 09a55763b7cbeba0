//! Where datagrams go, how long they take, and which are lost.

use rand::rngs::StdRng;
use rand::Rng;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// How the network is. Probabilities are per datagram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weather {
    pub delay: Duration,
    /// On top of it, up to this: later ones overtake.
    pub jitter: Duration,
    pub loss: f64,
    pub duplication: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Arrives,
    Twice,
    Lost,
    /// No way there now.
    Cut,
    /// Nobody has that address, or not any more.
    Nowhere,
}

pub(super) struct Network {
    pub weather: Weather,
    /// Who is reached at which address.
    hosts: BTreeMap<SocketAddr, usize>,
    /// Ways on which nothing passes, from and to whom.
    cuts: BTreeMap<(usize, usize), Duration>,
    next_port: u16,
}

impl Network {
    pub fn new(weather: Weather) -> Self {
        Self { weather, hosts: BTreeMap::new(), cuts: BTreeMap::new(), next_port: 20_000 }
    }

    /// An address that nobody has had.
    pub fn fresh_address(&mut self) -> SocketAddr {
        self.next_port += 1;
        SocketAddr::from(([198, 51, 100, 1 + (self.next_port % 200) as u8], self.next_port))
    }

    pub fn attach(&mut self, address: SocketAddr, node: usize) {
        self.hosts.insert(address, node);
    }

    pub fn detach(&mut self, address: SocketAddr) {
        self.hosts.remove(&address);
    }

    pub fn host(&self, address: SocketAddr) -> Option<usize> {
        self.hosts.get(&address).copied()
    }

    /// One way.
    pub fn cut(&mut self, from: usize, to: usize, until: Duration) {
        let cut = self.cuts.entry((from, to)).or_default();
        *cut = (*cut).max(until);
    }

    pub fn mend(&mut self) {
        self.cuts.clear();
        self.weather.loss = 0.0;
        self.weather.duplication = 0.0;
    }

    pub fn fate(&self, random: &mut StdRng, now: Duration, from: usize, to: SocketAddr) -> Fate {
        let Some(to) = self.host(to) else { return Fate::Nowhere };
        if self.cuts.get(&(from, to)).is_some_and(|until| now < *until) {
            return Fate::Cut;
        }
        match random.random::<f64>() {
            die if die < self.weather.loss => Fate::Lost,
            die if die >= 1.0 - self.weather.duplication => Fate::Twice,
            _ => Fate::Arrives,
        }
    }

    pub fn way(&self, random: &mut StdRng) -> Duration {
        let jitter = self.weather.jitter.as_micros() as u64;
        self.weather.delay + Duration::from_micros(random.random_range(0..=jitter))
    }
}
