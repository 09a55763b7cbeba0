//! The driver's task, and what it shares with the connections.

use super::connection::Connection;
use super::gather::{bind, usable_servers, Gathering, News, Server};
use super::lead::Lead;
use super::outbox::Bounds;
use super::pacer::SharedPace;
use super::readdress::Addresses;
use super::spin::Spin;
use super::table::{Key, Table, Timers};
use super::{DriverConfig, DriverError, DriverStats, Handler, IceServer};
use crate::link::{stun, Datagram, Link, LinkConfig};
use crate::media::LocalStreams;
use crate::net::candidate::{Kind, LocalCandidate};
use crate::net::socket::{Socket, Watch};
use crate::protocol::ConnectionId;
use futures_util::FutureExt;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{watch, Notify};

/// Batches taken from a socket before the others have their turn.
const BATCHES: usize = 8;
/// Datagrams after which the connections that got them are pumped: the other side can go on, and this one has it in its cache.
const SLICE: usize = 128;
/// A message later than this after the last is another conversation's: until it comes, the task reads.
pub const CONVERSATION: Duration = Duration::from_millis(50);
/// Before a socket that could not be watched is tried again.
const WATCH_AGAIN: Duration = Duration::from_millis(100);
/// Nothing to do.
const LONG: Duration = Duration::from_secs(3600);

pub(super) struct Shared {
    handler: Arc<dyn Handler>,
    links: LinkConfig,
    /// What this side gives, on connections to come.
    streams: RwLock<Arc<LocalStreams>>,
    pub bounds: Bounds,
    sockets: RwLock<Vec<Arc<Socket>>>,
    table: Mutex<Table>,
    timers: Mutex<Timers>,
    dirty: Mutex<Vec<Key>>,
    pace: Mutex<SharedPace>,
    pub wake: Notify,
    /// Held from the socket to the connections, and while they are pumped in between.
    reading: Mutex<()>,
    lead: Lead,
    spin: Spin,
    pub gathering: Mutex<Gathering>,
    pub servers: Mutex<Vec<Server>>,
    relay_only: bool,
    /// Whether there is an allocation that a datagram might have to go through, or come from.
    pub has_servers: AtomicBool,
    pub addresses: Addresses,
    pub runtime: tokio::runtime::Handle,
    unrouted: AtomicU64,
    pub stopping: AtomicBool,
    done: watch::Sender<bool>,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Shared by all who use a swarm's sockets; its task ends when [`Driver::shut_down`] is called.
#[derive(Clone)]
pub struct Driver(Arc<Shared>);

impl Driver {
    /// Binds the sockets and starts the driver's task on `runtime`; begins with STUN and TURN at once, so that candidates are there
    /// before the first offer where they can be. Any thread, in the runtime or not.
    pub fn start(
        runtime: &tokio::runtime::Handle,
        config: DriverConfig,
        handler: Arc<dyn Handler>,
    ) -> Result<Self, DriverError> {
        let (servers, errors) = usable_servers(&config.ice_servers, config.relay_only)?;
        let (sockets, hosts) = bind(&config)?;
        let window = receive_window(&sockets);
        let gathering = Gathering::new(hosts, &config, servers.len(), errors);
        let shared = Arc::new(Shared {
            handler,
            links: LinkConfig::new(&config, window).map_err(DriverError::Io)?,
            streams: RwLock::default(),
            bounds: Bounds::of(&config),
            sockets: RwLock::new(sockets.clone()),
            table: Mutex::default(),
            timers: Mutex::default(),
            dirty: Mutex::default(),
            pace: Mutex::default(),
            wake: Notify::new(),
            reading: Mutex::default(),
            lead: Lead::default(),
            spin: Spin::default(),
            gathering: Mutex::new(gathering),
            has_servers: AtomicBool::new(!config.ice_servers.is_empty()),
            servers: Mutex::new(servers),
            relay_only: config.relay_only,
            addresses: Addresses::new(&config, &sockets),
            runtime: runtime.clone(),
            unrouted: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            done: watch::Sender::new(false),
        });
        shared.resolve(shared.servers(), 0);
        runtime.spawn({
            let shared = shared.clone();
            async move {
                if AssertUnwindSafe(shared.run(sockets)).catch_unwind().await.is_err() {
                    shared.crashed();
                }
                shared.sockets.write().unwrap_or_else(PoisonError::into_inner).clear();
                // Who is told that the swarm is gone finds its sockets closed.
                while !shared.lead.end() {
                    shared.wake.notified().await;
                }
                shared.done.send_replace(true);
            }
        });
        Ok(Self(shared))
    }

    /// A new connection with its `fast` channel, and its offer. Candidates follow by the handler.
    pub fn offer(&self, id: ConnectionId) -> Result<(Arc<Connection>, String), DriverError> {
        self.begin(id, Link::offer)
    }

    /// A new connection from a remote offer, with its answer.
    pub fn answer(&self, id: ConnectionId, offer: &str) -> Result<(Arc<Connection>, String), DriverError> {
        self.begin(id, |links, now, streams| Link::answer(links, now, offer, streams))
    }

    fn begin(
        &self,
        id: ConnectionId,
        make: impl FnOnce(&LinkConfig, Instant, Arc<LocalStreams>) -> Result<(Link, String), String>,
    ) -> Result<(Arc<Connection>, String), DriverError> {
        let shared = &self.0;
        if shared.stopping.load(Ordering::Acquire) {
            return Err(DriverError::Engine("the swarm is closed".into()));
        }
        let now = Instant::now();
        let streams = shared.streams();
        let made = std::panic::catch_unwind(AssertUnwindSafe(|| make(&shared.links, now, streams)));
        let made = made.map_err(|_| DriverError::Engine("the WebRTC engine failed on this".into()))?;
        let (link, sdp) = made.map_err(DriverError::Engine)?;
        let key = shared.table().next_key();
        let connection = Connection::new(id, key, shared, link);
        // Known before any candidate is told: the other end may be quick.
        shared.table().insert(&connection, connection.ufrag());
        if shared.stopping.load(Ordering::Acquire) {
            // It may have come too late for the shutting down to see it.
            connection.abandon();
            return Err(DriverError::Engine("the swarm is closed".into()));
        }
        let (candidates, complete) = shared.candidates();
        connection.announce(&candidates, complete);
        // They may have changed before the connection was known to who changed them.
        connection.set_streams(&shared.streams());
        connection.pump_now(now);
        Ok((connection, sdp))
    }

    /// Other STUN and TURN servers, or other credentials for the same. Links go on; one that was relayed by a server that is no more
    /// among them loses its path.
    pub fn set_ice_servers(&self, ice_servers: &[IceServer]) -> Result<(), DriverError> {
        let (servers, errors) = usable_servers(ice_servers, self.0.relay_only)?;
        self.0.set_servers(servers, errors);
        Ok(())
    }

    /// Everything that this side gives from now on, on every connection that there is or will be.
    pub fn set_streams(&self, streams: &Arc<LocalStreams>) {
        let shared = &self.0;
        let mut current = shared.streams.write().unwrap_or_else(PoisonError::into_inner);
        if current.version < streams.version {
            current.clone_from(streams);
        }
        drop(current);
        // In a statement of its own: the loop would hold the table's lock.
        let connections = shared.table().all();
        for connection in connections {
            connection.set_streams(streams);
        }
    }

    /// Waits at the sockets, reads once if something comes, and returns: for a thread that waits for an event and has heard a
    /// message within the last [`CONVERSATION`]. Also returns when `bell` (a descriptor) is readable, and after `wait`. `false`,
    /// at once, where another thread is at it, or nobody may be any more.
    #[cfg(unix)]
    pub fn lead(&self, bell: i32, wait: Duration) -> bool {
        let shared = &self.0;
        let Some(first) = shared.lead.enter() else { return false };
        let _log = crate::log::while_working();
        if first {
            shared.wake.notify_one();
        }
        let read = std::panic::catch_unwind(AssertUnwindSafe(|| shared.read_once(bell, wait)));
        let idle = read.unwrap_or_else(|_| {
            shared.crashed();
            true
        });
        if shared.lead.leave(idle && wait >= CONVERSATION) {
            shared.wake.notify_one();
        }
        true
    }

    pub fn stats(&self) -> DriverStats {
        let shared = &self.0;
        let mut stats = DriverStats {
            connections: shared.table().len(),
            datagrams_unrouted: shared.unrouted.load(Ordering::Relaxed),
            ..DriverStats::default()
        };
        for socket in shared.sockets() {
            let (sent, received) = socket.counters();
            stats.datagrams_sent += sent;
            stats.datagrams_received += received;
            (stats.socket_receive_buffer, stats.socket_send_buffer) = socket.buffers();
        }
        let gathering = lock(&shared.gathering);
        for (_, candidate) in &gathering.candidates {
            match candidate.kind {
                Kind::Host => stats.local_addresses.push(candidate.address),
                Kind::Relay => stats.relayed_addresses.push(candidate.address),
                Kind::ServerReflexive => {}
            }
        }
        // Those that are our own, too, which make no candidate.
        stats.reflexive_addresses = gathering.reflexive();
        stats.ice_server_errors.clone_from(&gathering.errors);
        stats
    }

    /// Waits for connections that are flushing (their deadlines bound it), closes every other at once, releases TURN
    /// allocations, closes the sockets; completes when the task is gone.
    pub async fn shut_down(&self) {
        self.0.stopping.store(true, Ordering::Release);
        // In a statement of its own: the loop would hold the table's lock, which closing takes.
        let connections = self.0.table().all();
        for connection in connections {
            if !connection.is_flushing() {
                connection.abandon();
            }
        }
        self.0.wake.notify_one();
        self.ended().await;
    }

    /// Completes when the task is gone, whoever wanted it.
    pub async fn ended(&self) {
        let mut done = self.0.done.subscribe();
        // The sender lives in what we hold.
        let _ = done.wait_for(|done| *done).await;
    }
}

#[cfg(test)]
impl Driver {
    /// As if a handler had panicked on a thread that leads.
    pub fn crash(&self) {
        self.0.crashed();
    }

    pub fn table_sizes(&self) -> (usize, usize, usize) {
        self.0.table().sizes()
    }

    /// As if the machine had these addresses from now on.
    pub fn move_to(&self, addresses: &[std::net::IpAddr]) {
        self.0.readdress(Instant::now(), addresses);
    }

    /// As if the machine had lost its power: nothing leaves it any more, until what this gives is given to [`Self::speak_again`].
    pub fn fall_silent(&self) -> Vec<Arc<Socket>> {
        std::mem::take(&mut *self.0.sockets.write().unwrap())
    }

    pub fn speak_again(&self, sockets: Vec<Arc<Socket>>) {
        *self.0.sockets.write().unwrap() = sockets;
    }
}

/// Where the kernel gave less than was asked for, a smaller SCTP window keeps bursts from overrunning it: a datagram that is lost there
/// costs a second.
fn receive_window(sockets: &[Arc<Socket>]) -> Option<u32> {
    const USUAL: usize = 1 << 20;
    let smallest = sockets.iter().map(|socket| socket.buffers().0).min()?;
    // The kernel counts its own overhead, about as much again, in what it gives.
    (smallest < 2 * USUAL).then(|| (smallest / 2).clamp(128 * 1024, USUAL) as u32)
}

impl Shared {
    pub fn handler(&self) -> &Arc<dyn Handler> {
        &self.handler
    }

    pub fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.table)
    }

    pub fn pace(&self) -> MutexGuard<'_, SharedPace> {
        lock(&self.pace)
    }

    fn streams(&self) -> Arc<LocalStreams> {
        self.streams.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn servers(&self) -> Vec<Server> {
        lock(&self.servers).clone()
    }

    fn has_servers(&self) -> bool {
        self.has_servers.load(Ordering::Relaxed)
    }

    pub fn sockets(&self) -> Vec<Arc<Socket>> {
        self.sockets.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn arm(&self, at: Instant, key: Key) {
        let wake = lock(&self.timers).arm(at, key);
        if wake {
            self.wake.notify_one();
        }
    }

    /// To be pumped by the task soon.
    pub fn mark_dirty(&self, key: Key) {
        lock(&self.dirty).push(key);
        self.wake.notify_one();
    }

    /// The same for what can wait until the thread that reads comes back, or the task looks for it.
    pub fn see_to_later(&self, key: Key) {
        lock(&self.dirty).push(key);
    }

    pub fn forget(&self, key: Key, ufrag: Option<&str>, addresses: &[SocketAddr]) {
        self.table().remove(key, ufrag, addresses);
        if self.stopping.load(Ordering::Acquire) {
            self.wake.notify_one();
        }
    }

    /// Sends datagrams of a link, each by the socket or the relay that its local address is of. Bursts go out as segments of one send
    /// only to natives: a browser's socket is easily overrun.
    pub fn send(&self, mut datagrams: Vec<Datagram>, native: bool) {
        if self.has_servers() {
            datagrams = self.send_relayed(datagrams);
        }
        let sockets = self.sockets.read().unwrap_or_else(PoisonError::into_inner);
        let mut rest = datagrams.as_slice();
        let mut waits = false;
        while let Some(first) = rest.first() {
            // Nearly always all of them.
            let family = first.remote.is_ipv4();
            let run = rest.iter().take_while(|datagram| datagram.remote.is_ipv4() == family).count();
            let (together, after) = rest.split_at(run);
            rest = after;
            if let Some(socket) = sockets.iter().find(|socket| socket.bound().is_ipv4() == family) {
                waits |= socket.send(together, native);
            }
        }
        if waits {
            self.wake.notify_one();
        }
    }

    /// Sends what has to go through a TURN server; gives the rest, what the server is to be sent included.
    fn send_relayed(&self, datagrams: Vec<Datagram>) -> Vec<Datagram> {
        let mut gathering = lock(&self.gathering);
        if gathering.allocations.is_empty() && !self.relay_only {
            return datagrams;
        }
        let sockets = if self.relay_only { self.sockets() } else { Vec::new() };
        let now = Instant::now();
        let mut direct = Vec::with_capacity(datagrams.len());
        for datagram in datagrams {
            let ours = gathering.allocations.iter().any(|allocation| allocation.relayed() == Some(datagram.local));
            if ours {
                direct
                    .extend(gathering.relay(now, datagram.local, datagram.remote, datagram.data).into_iter().flatten());
            } else if !self.relay_only || sockets.iter().any(|socket| socket.bound() == datagram.local) {
                // What was to go by an allocation that is gone would show the address that the policy hides.
                direct.push(datagram);
            }
        }
        direct
    }

    /// To a server, by whichever of our addresses leads there.
    pub fn send_raw(&self, to: SocketAddr, data: &[u8]) {
        let sockets = self.sockets.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = sockets.iter().find(|socket| socket.bound().is_ipv4() == to.is_ipv4()) {
            socket.send(&[Datagram { local: socket.bound(), remote: to, data: data.into() }], false);
        }
    }

    /// Ours so far, numbered, and whether there will be no more.
    pub fn candidates(&self) -> (Vec<(u64, LocalCandidate)>, bool) {
        let gathering = lock(&self.gathering);
        (gathering.candidates.clone(), gathering.complete)
    }

    /// The task panicked, in a handler most likely: nobody will serve the connections any more.
    fn crashed(&self) {
        tracing::error!("the driver's task failed");
        self.stopping.store(true, Ordering::Release);
        let connections = self.table().all();
        for connection in connections {
            // The handler may fail again.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(|| connection.fail("the network task failed")));
            let _ = std::panic::catch_unwind(AssertUnwindSafe(|| connection.abandon()));
        }
        // It may have been a thread that leads, and no connection that wakes the task by its end.
        self.wake.notify_one();
    }

    async fn run(self: &Arc<Self>, sockets: Vec<Arc<Socket>>) {
        let sleep = tokio::time::sleep(Duration::ZERO);
        tokio::pin!(sleep);
        let mut watches = Vec::new();
        loop {
            let now = Instant::now();
            self.pump_dirty(now);
            let mut next = self.serve_timers(now);
            self.look_at_addresses(now);
            next = self.addresses.next_look().map_or(next, |look| next.min(look));
            if self.stopping.load(Ordering::Acquire) && self.table().len() == 0 {
                return self.release();
            }
            let (reading, look) = self.lead.look(now);
            next = look.map_or(next, |look| next.min(look));
            // A socket that the kernel takes nothing from is watched even where another thread reads.
            if !reading && !sockets.iter().any(|socket| socket.is_backlogged()) {
                watches.clear();
            } else if !watch_all(&sockets, &mut watches) {
                next = next.min(now + WATCH_AGAIN);
            }
            if sleep.deadline().into_std() != next {
                sleep.as_mut().reset(next.into());
            }
            let blocked = sockets.iter().zip(&watches).fold(false, |any, (socket, watch)| !socket.flush(watch) || any);
            let (first, second) = (watches.first(), watches.get(1));
            tokio::select! {
                true = readable(first), if reading => { self.receive(&sockets[0], first); }
                true = readable(second), if reading => { self.receive(&sockets[1], second); }
                () = writable(first, second), if blocked => {}
                () = self.wake.notified() => {}
                () = &mut sleep => {}
            }
        }
    }

    /// Whether there was anything to pump.
    fn pump_dirty(&self, now: Instant) -> bool {
        let dirty = std::mem::take(&mut *lock(&self.dirty));
        let mut any = false;
        for key in dirty {
            let connection = self.table().get(key).cloned();
            if let Some(connection) = connection {
                any |= connection.pump_dirty(now);
            }
        }
        any
    }

    /// Pumps every connection that is due; gives when to look again.
    fn serve_timers(self: &Arc<Self>, now: Instant) -> Instant {
        let mut servers = None;
        if self.has_servers() {
            let mut news = News::default();
            {
                let mut gathering = lock(&self.gathering);
                gathering.handle_timeout(now, |to, data| self.send_raw(to, data), &mut news);
                news.errors.append(&mut gathering.fresh_errors);
                servers = gathering.next_timeout();
            }
            self.spread(now, news);
        }
        loop {
            let due = {
                let mut timers = lock(&self.timers);
                match timers.pop_due(now) {
                    Ok(key) => key,
                    Err(next) => {
                        let next = [next, servers].into_iter().flatten().min().unwrap_or(now + LONG);
                        timers.sleeping_until = Some(next);
                        return next;
                    }
                }
            };
            let connection = self.table().get(due).cloned();
            if let Some(connection) = connection {
                connection.pump_due(now);
            }
        }
    }

    /// Takes what waits at a socket, and pumps the connections that got something. How many datagrams they were.
    fn receive(self: &Arc<Self>, socket: &Socket, watch: Option<&Watch>) -> usize {
        // Without a watch one is enough: `poll` says if there is more.
        let batches = if watch.is_some() { BATCHES } else { 1 };
        let mut touched: Vec<Arc<Connection>> = Vec::new();
        let pump = |touched: &mut Vec<Arc<Connection>>, now: Instant| {
            for connection in touched.drain(..) {
                match watch {
                    Some(_) => connection.pump_now(now),
                    None => connection.pump_led(now),
                }
            }
        };
        let mut received = 0;
        for _ in 0..batches {
            let now = Instant::now();
            let mut news = News::default();
            let mut routed = 0;
            // Datagrams go to their connections in the order in which they came, whoever reads: DTLS takes one that is overtaken by
            // 64 others for a replay (RFC 6347, section 4.1.2.6), and SCTP waits a second to send it again.
            let order = lock(&self.reading);
            let more = socket.receive(watch, |local, remote, datagram| {
                received += 1;
                if self.has_servers() && lock(&self.gathering).handle(now, local, remote, datagram, &mut news) {
                    return;
                }
                self.route(now, local, remote, datagram, &mut touched);
                routed += 1;
                if routed % SLICE == 0 {
                    pump(&mut touched, now);
                }
            });
            for (relayed, remote, data) in std::mem::take(&mut news.relayed) {
                self.route(now, relayed, remote, &data, &mut touched);
            }
            drop(order);
            self.spread(now, news);
            pump(&mut touched, now);
            if !more {
                break;
            }
        }
        received
    }

    /// Whether nothing came.
    #[cfg(unix)]
    fn read_once(self: &Arc<Self>, bell: i32, wait: Duration) -> bool {
        if self.pump_dirty(Instant::now()) {
            // It may be that what the thread waits for came of it.
            return false;
        }
        let sockets = self.sockets();
        let descriptors = sockets.iter().map(|socket| socket.descriptor()).chain([bell]);
        let mut polled: Vec<libc::pollfd> =
            descriptors.map(|fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 }).collect();
        // Up: a wait that ends too soon would be begun again, and again.
        let millis = i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        // SAFETY: as many valid entries as it says.
        let mut poll = |millis| unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
        let ready = if millis > 0 && self.spin.look(|| poll(0) != 0) { 1 } else { poll(millis) };
        if ready > 0 {
            let readable = sockets.iter().zip(&polled).filter(|(_, polled)| polled.revents != 0);
            self.spin.came(readable.map(|(socket, _)| self.receive(socket, None)).sum());
        }
        ready == 0
    }

    fn route(
        &self,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        datagram: &[u8],
        touched: &mut Vec<Arc<Connection>>,
    ) {
        let connection = {
            let table = self.table();
            match stun::local_ufrag(datagram) {
                Some(ufrag) => table.by_ufrag(ufrag).cloned(),
                None => table.by_address(&remote).cloned(),
            }
        };
        match connection {
            Some(connection) if connection.handle_datagram(now, local, remote, datagram) => {
                if !touched.iter().any(|other| Arc::ptr_eq(other, &connection)) {
                    touched.push(connection);
                }
            }
            _ => {
                self.unrouted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Tells the connections of new candidates, and sends what the servers are to hear.
    fn spread(self: &Arc<Self>, now: Instant, news: News) {
        for (relayed, remote, data) in news.relayed {
            let mut touched = Vec::new();
            self.route(now, relayed, remote, &data, &mut touched);
            touched.iter().for_each(|connection| connection.pump_now(now));
        }
        for error in news.errors {
            self.handler.ice_server_failed(error);
        }
        self.send(news.datagrams, false);
        if news.wake {
            self.wake.notify_one();
        }
        if news.others {
            self.tell_addresses();
            self.handler.addresses_changed();
        }
        if !news.candidates && !news.completed {
            return;
        }
        let (candidates, complete) = self.candidates();
        // In a statement of its own: the loop would hold the table's lock, which the connections take.
        let connections = self.table().all();
        for connection in connections {
            // One that is open has found its path, unless it looks for another.
            if !connection.is_open() || connection.wants_candidates() {
                connection.announce(&candidates, complete);
            }
        }
    }

    /// Gives the TURN allocations back.
    fn release(&self) {
        let now = Instant::now();
        let mut datagrams = Vec::new();
        for allocation in &mut lock(&self.gathering).allocations {
            allocation.release(now);
            allocation.poll_datagrams(&mut datagrams);
        }
        self.send(datagrams, false);
    }
}

/// In the order of the sockets. `false` when it could not be done for all.
fn watch_all(sockets: &[Arc<Socket>], watches: &mut Vec<Watch>) -> bool {
    while let Some(socket) = sockets.get(watches.len()) {
        match Watch::over(socket) {
            Ok(watch) => watches.push(watch),
            Err(error) => {
                // Out of memory, most likely: some will come back.
                tracing::warn!(%error, "a socket cannot be watched");
                return false;
            }
        }
    }
    true
}

/// Never, for a socket that is not there.
async fn readable(watch: Option<&Watch>) -> bool {
    match watch {
        Some(watch) => watch.readable().await.is_ok(),
        None => std::future::pending().await,
    }
}

async fn writable(first: Option<&Watch>, second: Option<&Watch>) {
    async fn wait(watch: Option<&Watch>) {
        match watch {
            // An error shows at the next send.
            Some(watch) => drop(watch.writable().await),
            None => std::future::pending().await,
        }
    }
    tokio::select! {
        () = wait(first) => {}
        () = wait(second) => {}
    }
}
