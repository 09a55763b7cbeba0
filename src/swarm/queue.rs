//! The event queue between the swarm's threads and the application's.
//!
//! Control events are never dropped. Messages are bounded by back-pressure: when those that wait pass the
//! limit, their connections are told to read no more, and resumed when half of it was taken.

use super::event::Event;
use super::readiness::Readiness;
use crate::driver::{Connection, Driver, CONVERSATION};
use once_cell::sync::OnceCell;
use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::Waker;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

/// Beside its bytes, a waiting message costs about this much.
const EVENT_OVERHEAD: usize = 128;

pub(crate) struct EventQueue {
    state: Mutex<State>,
    arrived: Condvar,
    readiness: OnceCell<Readiness>,
    /// Calls back the thread that reads the sockets.
    bell: OnceCell<Readiness>,
    limit: usize,
}

#[derive(Default)]
struct State {
    events: VecDeque<(Instant, Event)>,
    /// What the waiting messages weigh.
    weight: usize,
    paused: Vec<Weak<Connection>>,
    waiting: usize,
    /// The waiting thread that reads the sockets meanwhile.
    reader: Option<ThreadId>,
    /// When the message came that was taken last.
    heard: Option<Instant>,
    woken: bool,
    /// `Closed` is in the queue or was taken: nothing comes after it.
    last: bool,
    waker: Option<Waker>,
}

impl State {
    /// Messages come one after the other, and no other thread is at the sockets.
    fn may_read(&self, now: Instant) -> bool {
        self.reader.is_none() && self.heard.is_some_and(|heard| now.saturating_duration_since(heard) < CONVERSATION)
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
    pub fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            arrived: Condvar::new(),
            readiness: OnceCell::new(),
            bell: OnceCell::new(),
            limit,
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
            state.weight += event.data_len() + EVENT_OVERHEAD;
            state.events.push_back((now, event));
            if state.weight >= self.limit {
                connection.pause_reading();
                state.paused.push(Arc::downgrade(connection));
                break;
            }
        }
        let added = state.events.len() - before;
        if added > 0 {
            self.announce(state, added);
        }
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
        state.events.push_back((Instant::now(), event));
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

    /// Makes one waiting (or the next) `pop` return [`Popped::Woken`].
    pub fn wake(&self) {
        let mut state = self.lock();
        state.woken = true;
        self.announce(state, 1);
        self.arrived.notify_all();
    }

    /// Waits until `deadline`; `None` is forever. While messages come one after the other, the thread reads the sockets itself.
    pub fn pop(&self, deadline: Option<Instant>, driver: Option<&Driver>) -> Popped {
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
                let led;
                (state, led) = self.read(state, driver, wait);
                if led {
                    continue;
                }
            }
            state.waiting += 1;
            state = self.arrived.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            state.waiting -= 1;
        }
    }

    /// Whether this thread was let to read.
    #[cfg(unix)]
    fn read<'a>(
        &'a self,
        mut state: MutexGuard<'a, State>,
        driver: &Driver,
        wait: Duration,
    ) -> (MutexGuard<'a, State>, bool) {
        let Ok(bell) = self.bell.get_or_try_init(Readiness::new) else { return (state, false) };
        state.reader = Some(std::thread::current().id());
        drop(state);
        let led = driver.lead(bell.descriptor(), wait.min(CONVERSATION));
        let mut state = self.lock();
        state.reader = None;
        bell.clear();
        // For the next time that anybody wants to read.
        state.heard = state.heard.filter(|_| led);
        (state, led)
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
        if std::mem::take(&mut state.woken) {
            self.settle_readiness(state);
            return Some(Popped::Woken);
        }
        match state.events.pop_front() {
            Some((at, event)) => {
                if matches!(event, Event::Text { .. } | Event::Binary { .. }) {
                    state.heard = Some(at);
                    state.weight -= event.data_len() + EVENT_OVERHEAD;
                }
                self.settle_readiness(state);
                Some(Popped::Event(event, at))
            }
            None => state.last.then_some(Popped::Finished),
        }
    }

    /// Level-triggered: readable as long as there is something to take, and for ever after `Closed`.
    fn settle_readiness(&self, state: &State) {
        if state.events.is_empty() && !state.woken && !state.last {
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
        if !state.events.is_empty() || state.woken || state.last {
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
        let queue = EventQueue::new(1000);
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

    #[test]
    fn a_wake_is_heard_once() {
        let queue = EventQueue::new(1000);
        queue.wake();
        assert_eq!(queue.pop(now(), None), Popped::Woken);
        assert_eq!(queue.pop(now(), None), Popped::TimedOut);
    }

    #[test]
    fn another_thread_wakes_a_waiting_one() {
        let queue = Arc::new(EventQueue::new(1000));
        let popper = std::thread::spawn({
            let queue = queue.clone();
            move || pop(&queue)
        });
        queue.push(signal(1));
        assert_eq!(popper.join().unwrap(), Some(signal(1)));
    }

    #[cfg(unix)]
    #[test]
    fn the_descriptor_is_readable_exactly_while_something_waits() {
        let queue = EventQueue::new(1000);
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
