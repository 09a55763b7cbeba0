//! The event queue between the swarm's threads and the application's.
//!
//! Events are never dropped. What peers cause is bounded by back-pressure: when what waits of it passes the limit, their connections
//! are told to read no more, and resumed when half of it was taken. What a peer can cause all the same, by way of the server, has a
//! limit of its own, past which the peer is cut off; and while too much waits of what the server causes, the server is not listened to.

use super::event::{Event, Peer};
use super::readiness::Readiness;
use crate::driver::{Connection, Driver, CONVERSATION};
use crate::media::TrackId;
use once_cell::sync::OnceCell;
use std::collections::{HashSet, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::thread::ThreadId;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// What the server has caused may wait up to this weight, however little the application lets wait of messages.
const LEAST_OWN: usize = 256 * 1024;

/// What links that have ended may leave behind beside the limit, so that their ends need not wait for a slow reader: as much as 32 have in
/// their windows. What is more waits with its end until it is read.
const MAX_LEFT: usize = 32 << 20;

/// Beside its bytes, a waiting message costs about this much.
const EVENT_OVERHEAD: usize = 128;

/// Events that may wait of one connection beside its messages. Those of 2,048 channels and 128 tracks are fewer.
const MAX_ASIDES: usize = 8192;

pub(crate) struct EventQueue {
    state: Mutex<State>,
    arrived: Condvar,
    readiness: OnceCell<Readiness>,
    /// Calls back the thread that reads the sockets.
    bell: OnceCell<Readiness>,
    /// There is room for what the server causes.
    lighter: Notify,
    limit: usize,
    media_limit: usize,
}

/// What the application was too slow for, of one track.
pub(crate) struct Drops {
    connection: Weak<Connection>,
    track: TrackId,
    count: AtomicU64,
    /// What comes next comes after a gap.
    broken: AtomicBool,
}

impl Drops {
    pub fn new(connection: &Arc<Connection>, track: TrackId) -> Arc<Self> {
        let connection = Arc::downgrade(connection);
        Arc::new(Self { connection, track, count: AtomicU64::new(0), broken: AtomicBool::new(false) })
    }

    /// The other side is asked for what heals it.
    pub fn heal(&self) {
        if let Some(connection) = self.connection.upgrade() {
            connection.request_key_frame(self.track);
        }
    }

    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

#[derive(Default)]
struct State {
    events: VecDeque<Waiting>,
    /// What those weigh that a connection is held up for.
    weight: usize,
    /// What frames and packets weigh: they hold nobody up.
    media_weight: usize,
    /// What the rest weighs: the server's doing, and the room's.
    own_weight: usize,
    /// Who wants a key frame of what, by peer and track.
    wanted: HashSet<(u64, u64)>,
    paused: Vec<Weak<Connection>>,
    waiting: usize,
    /// The waiting thread that reads the sockets meanwhile.
    reader: Option<ThreadId>,
    /// When the message came that was taken last.
    heard: Option<Instant>,
    /// Calls of [`EventQueue::wake`] that nobody has heard yet.
    wakes: usize,
    /// `Closed` is in the queue or was taken: nothing comes after it.
    last: bool,
    waker: Option<Waker>,
}

struct Waiting {
    at: Instant,
    event: Event,
    weight: usize,
    /// Of media.
    drops: Option<Arc<Drops>>,
    /// Of a connection; how many of its wait that are no messages.
    asides: Option<Arc<AtomicUsize>>,
    /// Of no connection.
    own: bool,
}

impl Waiting {
    fn track(&self) -> Option<u64> {
        match &self.event {
            Event::Frame { track, .. } | Event::Rtp { track, .. } => Some(*track),
            _ => None,
        }
    }
}

impl State {
    /// Drops the oldest frames and packets until the rest is light enough, or only the one is left that came last. Gives whose
    /// they were.
    fn lighten(&mut self, limit: usize) -> Vec<Arc<Drops>> {
        let mut dropped: Vec<Arc<Drops>> = Vec::new();
        let mut from = 0;
        while self.media_weight > limit {
            let older = from..self.events.len() - 1;
            let Some(at) = older.into_iter().find(|at| self.events[*at].drops.is_some()) else { break };
            from = at;
            let Some(oldest) = self.events.remove(at) else { break };
            self.media_weight -= oldest.weight;
            let (Some(track), Some(drops)) = (oldest.track(), &oldest.drops) else { continue };
            drops.count.fetch_add(1, Ordering::Relaxed);
            if !dropped.iter().any(|known| Arc::ptr_eq(known, drops)) {
                dropped.push(drops.clone());
            }
            match self
                .events
                .iter_mut()
                .skip(at)
                .find(|waiting| waiting.track() == Some(track))
                .map(|next| &mut next.event)
            {
                Some(Event::Frame { gap, .. }) => *gap = true,
                _ => drops.broken.store(true, Ordering::Relaxed),
            }
        }
        dropped
    }

    /// Adds an event that the other end of a connection has caused. Past `limit` it reads no more until it is resumed.
    fn add(&mut self, connection: &Arc<Connection>, now: Instant, event: Event, limit: usize, aside: bool) {
        let weight = event.weight() + EVENT_OVERHEAD;
        self.weight += weight;
        let asides = aside.then(|| connection.asides().clone());
        if let Some(asides) = &asides {
            asides.fetch_add(1, Ordering::Relaxed);
        }
        self.events.push_back(Waiting { at: now, event, weight, drops: None, asides, own: false });
        let draining = connection.is_draining();
        let limit = if draining { limit.saturating_add(MAX_LEFT) } else { limit };
        if self.weight >= limit && !connection.is_paused() {
            if draining {
                connection.hold_the_rest();
            } else {
                connection.pause_reading();
            }
            self.paused.push(Arc::downgrade(connection));
        }
    }

    /// Messages come one after the other, and no other thread is at the sockets.
    fn may_read(&self, now: Instant) -> bool {
        self.reader.is_none() && self.heard.is_some_and(|heard| now.saturating_duration_since(heard) < CONVERSATION)
    }
}

/// Who lets a waiting thread read the sockets.
pub(crate) trait Lead {
    /// See [`Driver::lead`].
    #[cfg(unix)]
    fn lead(&self, bell: i32, wait: Duration) -> bool;
}

impl Lead for Driver {
    #[cfg(unix)]
    fn lead(&self, bell: i32, wait: Duration) -> bool {
        self.lead(bell, wait)
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Popped {
    /// With the time at which it happened.
    Event(Event, Instant),
    TimedOut,
    Woken,
    /// `Closed` was taken.
    Finished,
}

impl EventQueue {
    pub fn new(limit: usize, media_limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            readiness: OnceCell::new(),
            bell: OnceCell::new(),
            lighter: Notify::new(),
            limit,
            media_limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, event: Event) {
        let mut state = self.lock();
        if state.last {
            return;
        }
        state.last = matches!(event, Event::Closed { .. });
        self.append(state, event);
    }

    /// Messages of one connection: `event` makes each of them, until it says that there are no more. Past the limit the
    /// connection reads no more, which ends it too; it is resumed by itself later.
    pub fn push_messages(&self, connection: &Arc<Connection>, mut event: impl FnMut() -> Option<Event>) {
        let mut state = self.lock();
        let before = state.events.len();
        let now = Instant::now();
        // Its owner closes a connection before it tells the application that the peer is gone, which is to be the last word.
        while !state.last && !connection.is_closed() {
            let Some(event) = event() else { break };
            state.add(connection, now, event, self.limit, false);
            if connection.is_paused() {
                break;
            }
        }
        let added = state.events.len() - before;
        if added > 0 {
            self.announce(state, added);
        }
    }

    /// The same for what is no message: it comes even if the connection is held up, but holds it up too.
    pub fn push_of(&self, connection: &Arc<Connection>, event: Event) {
        self.add_of(self.lock(), connection, event);
    }

    fn add_of(&self, mut state: MutexGuard<'_, State>, connection: &Arc<Connection>, event: Event) {
        if state.last || connection.is_closed() {
            return;
        }
        if connection.asides().load(Ordering::Relaxed) >= MAX_ASIDES {
            drop(state);
            return connection.exceed("it causes events without end");
        }
        if let Event::KeyFrameWanted { peer, track } = &event {
            state.wanted.insert((peer.id(), *track));
        }
        state.add(connection, Instant::now(), event, self.limit, true);
        self.announce(state, 1);
    }

    /// That a peer wants a key frame of a track is said once, until it is taken.
    pub fn push_wanted(&self, connection: &Arc<Connection>, peer: Peer, track: u64) {
        let state = self.lock();
        if !state.wanted.contains(&(peer.id(), track)) {
            self.add_of(state, connection, Event::KeyFrameWanted { peer, track });
        }
    }

    /// Whoever takes no more than a message at a time still hears the server.
    fn own_limit(&self) -> usize {
        self.limit.max(LEAST_OWN)
    }

    /// Too much waits of what the server has caused.
    pub fn is_crowded(&self) -> bool {
        self.lock().own_weight > self.own_limit()
    }

    /// When it may be crowded no more.
    pub async fn lightened(&self) {
        self.lighter.notified().await;
    }

    /// A frame or a packet: when too much of them waits the oldest go. Gives whose did: their tracks need a
    /// key frame.
    pub fn push_media(&self, connection: &Arc<Connection>, mut event: Event, drops: Arc<Drops>) -> Vec<Arc<Drops>> {
        let mut state = self.lock();
        if state.last || connection.is_closed() {
            return Vec::new();
        }
        if let Event::Frame { gap, .. } = &mut event {
            *gap |= drops.broken.swap(false, Ordering::Relaxed);
        }
        let weight = event.media_weight() + EVENT_OVERHEAD;
        state.media_weight += weight;
        let (asides, own) = (None, false);
        state.events.push_back(Waiting { at: Instant::now(), event, weight, drops: Some(drops), asides, own });
        let dropped = state.lighten(self.media_limit);
        self.announce(state, 1);
        dropped
    }

    /// Lets a connection read no more until [`Self::release`] finds the queue light.
    pub fn hold(&self, connection: &Arc<Connection>) {
        connection.pause_reading();
        self.lock().paused.push(Arc::downgrade(connection));
    }

    /// Resumes what is paused, unless too many messages still wait.
    pub fn release(&self) {
        self.resume_if_light(self.lock());
    }

    fn append(&self, mut state: MutexGuard<'_, State>, event: Event) {
        let weight = event.own_weight() + EVENT_OVERHEAD;
        state.own_weight += weight;
        state.events.push_back(Waiting { at: Instant::now(), event, weight, drops: None, asides: None, own: true });
        self.announce(state, 1);
    }

    /// There is something to take for so many.
    fn announce(&self, mut state: MutexGuard<'_, State>, count: usize) {
        if let Some(readiness) = self.readiness.get() {
            readiness.set();
        }
        if state.reader.is_some_and(|reader| reader != std::thread::current().id()) {
            if let Some(bell) = self.bell.get() {
                bell.set();
            }
        }
        let waker = state.waker.take();
        let waiting = state.waiting;
        drop(state);
        match waiting {
            0 => {}
            _ if count == 1 => self.arrived.notify_one(),
            _ => self.arrived.notify_all(),
        }
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Makes one waiting (or the next) `pop` return [`Popped::Woken`], each time.
    pub fn wake(&self) {
        let mut state = self.lock();
        state.wakes = state.wakes.saturating_add(1);
        self.announce(state, 1);
        self.arrived.notify_all();
    }

    /// Waits until `deadline`; `None` is forever. While messages come one after the other, the thread reads the sockets itself.
    pub fn pop(&self, deadline: Option<Instant>, driver: Option<&dyn Lead>) -> Popped {
        let mut state = self.lock();
        loop {
            if let Some(popped) = self.take(&mut state) {
                return self.hand_out(state, popped);
            }
            let now = Instant::now();
            let wait = match deadline {
                Some(deadline) if deadline <= now => return Popped::TimedOut,
                Some(deadline) => deadline - now,
                None => Duration::from_secs(3600),
            };
            #[cfg(unix)]
            if let Some(driver) = driver.filter(|_| state.may_read(now)) {
                // Whatever came of it, or meanwhile, nobody is notified of.
                state = self.read(state, driver, wait);
                continue;
            }
            state.waiting += 1;
            state = self.arrived.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
    }

    /// Lets this thread read, if nothing is in its way; if something is, there will be no further try until a message was taken.
    #[cfg(unix)]
    fn read<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        driver: &dyn Lead,
        wait: Duration,
    ) -> MutexGuard<'a, State> {
        let Ok(bell) = self.bell.get_or_try_init(Readiness::new) else {
            state.heard = None;
            return state;
        };
        state.reader = Some(std::thread::current().id());
        drop(state);
        let led = driver.lead(bell.descriptor(), wait.min(CONVERSATION));
        let mut state = self.lock();
        state.reader = None;
        bell.clear();
        state.heard = state.heard.filter(|_| led);
        state
    }

    /// The same for a task: registers its waker when there is nothing yet.
    pub fn poll_pop(&self, waker: &Waker) -> Option<Popped> {
        let mut state = self.lock();
        let Some(popped) = self.take(&mut state) else {
            state.waker = Some(waker.clone());
            return None;
        };
        Some(self.hand_out(state, popped))
    }

    fn take(&self, state: &mut State) -> Option<Popped> {
        if state.wakes > 0 {
            state.wakes -= 1;
            self.settle_readiness(state);
            return Some(Popped::Woken);
        }
        match state.events.pop_front() {
            Some(Waiting { at, event, weight, drops, asides, own }) => {
                if let Some(asides) = asides {
                    asides.fetch_sub(1, Ordering::Relaxed);
                }
                match &event {
                    Event::Text { .. } | Event::Binary { .. } => state.heard = Some(at),
                    Event::KeyFrameWanted { peer, track } => {
                        state.wanted.remove(&(peer.id(), *track));
                    }
                    _ => {}
                }
                if drops.is_some() {
                    state.media_weight -= weight;
                } else if own {
                    let crowded = state.own_weight > self.own_limit();
                    state.own_weight -= weight;
                    if crowded && state.own_weight <= self.own_limit() {
                        self.lighter.notify_one();
                    }
                } else {
                    state.weight -= weight;
                }
                self.settle_readiness(state);
                Some(Popped::Event(event, at))
            }
            None => state.last.then_some(Popped::Finished),
        }
    }

    /// Level-triggered: readable as long as there is something to take, and for ever after `Closed`.
    fn settle_readiness(&self, state: &State) {
        if state.events.is_empty() && state.wakes == 0 && !state.last {
            if let Some(readiness) = self.readiness.get() {
                readiness.clear();
            }
        }
    }

    fn hand_out(&self, state: MutexGuard<'_, State>, popped: Popped) -> Popped {
        self.resume_if_light(state);
        popped
    }

    /// Resumes paused connections without the lock: they deliver on this thread.
    fn resume_if_light(&self, mut state: MutexGuard<'_, State>) {
        if !state.paused.is_empty() && state.weight <= self.limit / 2 {
            let paused = std::mem::take(&mut state.paused);
            drop(state);
            for connection in paused.iter().filter_map(Weak::upgrade) {
                connection.resume_reading();
            }
        }
    }

    /// A descriptor that is readable while an event waits. It belongs to the queue.
    pub fn descriptor(&self) -> io::Result<i32> {
        let readiness = self.readiness.get_or_try_init(Readiness::new)?;
        // Settled under the lock: an event may have come before the descriptor did.
        let state = self.lock();
        if !state.events.is_empty() || state.wakes > 0 || state.last {
            readiness.set();
        }
        Ok(readiness.descriptor())
    }

    pub fn len(&self) -> usize {
        self.lock().events.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mesh::ErrorCode;
    use crate::swarm::tests::driver;

    fn signal(n: u32) -> Event {
        Event::Signal { json: n.to_string() }
    }

    fn now() -> Option<Instant> {
        Some(Instant::now())
    }

    fn pop(queue: &EventQueue) -> Option<Event> {
        match queue.pop(Some(Instant::now() + Duration::from_secs(10)), None) {
            Popped::Event(event, _) => Some(event),
            _ => None,
        }
    }

    #[test]
    fn events_come_out_in_order_and_closed_is_last() {
        let queue = EventQueue::new(1000, 1000);
        assert_eq!(queue.pop(now(), None), Popped::TimedOut);
        queue.push(signal(1));
        queue.push(signal(2));
        queue.push(Event::Closed { error: None });
        queue.push(signal(3));
        assert_eq!(pop(&queue), Some(signal(1)));
        assert_eq!(pop(&queue), Some(signal(2)));
        assert_eq!(pop(&queue), Some(Event::Closed { error: None }));
        assert_eq!(queue.pop(None, None), Popped::Finished);
        assert_eq!(queue.pop(None, None), Popped::Finished);
    }

    /// Lets nobody read; meanwhile something happens.
    struct Meanwhile<'a>(&'a EventQueue);

    impl Lead for Meanwhile<'_> {
        #[cfg(unix)]
        fn lead(&self, _: i32, _: Duration) -> bool {
            self.0.push(Event::Closed { error: None });
            false
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_comes_while_a_thread_is_not_let_to_read_is_seen() {
        let queue = EventQueue::new(1000, 1000);
        queue.lock().heard = now();
        let deadline = Instant::now() + Duration::from_secs(10);
        assert!(matches!(queue.pop(Some(deadline), Some(&Meanwhile(&queue))), Popped::Event(Event::Closed { .. }, _)));
        assert!(Instant::now() < deadline, "seen at once, and not at the deadline");
    }

    #[test]
    fn each_wake_is_heard_once() {
        let queue = EventQueue::new(1000, 1000);
        queue.wake();
        queue.wake();
        assert_eq!(queue.pop(now(), None), Popped::Woken);
        assert_eq!(queue.pop(now(), None), Popped::Woken);
        assert_eq!(queue.pop(now(), None), Popped::TimedOut);
    }

    #[test]
    fn another_thread_wakes_a_waiting_one() {
        let queue = Arc::new(EventQueue::new(1000, 1000));
        let popper = std::thread::spawn({
            let queue = queue.clone();
            move || pop(&queue)
        });
        queue.push(signal(1));
        assert_eq!(popper.join().unwrap(), Some(signal(1)));
    }

    #[test]
    fn whatever_a_peer_causes_holds_its_connection_up_and_ends_with_it() {
        let (_runtime, driver) = driver();
        let (connection, _) = driver.offer("c".into()).unwrap();
        let queue = EventQueue::new(10 * (EVENT_OVERHEAD + 4), 1000);
        let junk = || Event::Error { code: ErrorCode::Protocol, detail: "junk".into() };
        for _ in 0..9 {
            queue.push_of(&connection, junk());
        }
        assert!(!connection.is_paused());
        queue.push_of(&connection, junk());
        assert!(connection.is_paused(), "the tenth is one too many");
        for _ in 0..4 {
            pop(&queue);
        }
        assert!(connection.is_paused());
        pop(&queue);
        assert!(!connection.is_paused(), "half of it was taken");
        connection.close(None);
        queue.push_of(&connection, junk());
        assert_eq!(queue.len(), 5, "nothing comes after it was closed");
    }

    #[test]
    fn what_an_ended_link_leaves_behind_is_bounded() {
        let (_runtime, driver) = driver();
        let (connection, _) = driver.offer("c".into()).unwrap();
        let (queue, peer) = (EventQueue::new(1000, 1000), Peer::new(crate::mesh::PeerId(12), "bo".into()));
        let message = || Some(Event::Binary { peer: peer.clone(), channel: 0, data: [0; 100_000][..].into() });
        connection.pause_reading();
        // It has ended.
        connection.exceed("everything");
        queue.push_messages(&connection, message);
        assert!(connection.is_paused(), "it would go on for ever");
        assert!((MAX_LEFT / 101_000..MAX_LEFT / 99_000).contains(&queue.len()), "{}", queue.len());
        while connection.is_paused() {
            pop(&queue).expect("it is resumed when it is read");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_descriptor_is_readable_exactly_while_something_waits() {
        let queue = EventQueue::new(1000, 1000);
        queue.push(signal(1));
        let fd = queue.descriptor().unwrap();
        assert!(readable(fd));
        queue.pop(None, None);
        assert!(!readable(fd));
        queue.push(signal(2));
        queue.push(signal(3));
        assert!(readable(fd));
        queue.pop(None, None);
        assert!(readable(fd));
        queue.pop(None, None);
        assert!(!readable(fd));
        queue.wake();
        assert!(readable(fd));
        queue.pop(None, None);
        assert!(!readable(fd));
        queue.push(Event::Closed { error: None });
        queue.pop(None, None);
        assert!(readable(fd), "a loop that polls learns that it is over");
    }

    #[cfg(unix)]
    fn readable(fd: i32) -> bool {
        let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut poll, 1, 0) == 1 }
    }
}
