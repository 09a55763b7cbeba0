//! One link of a swarm, with its lock, its timer and its place in the table.

use super::deliveries::{Aside, Deliveries, Next, Notice};
use super::outbox::{Admitted, Outbox};
use super::pacer::Pacer;
use super::table::Key;
use super::task::Shared;
use super::DriverError;
use crate::link::{
    stun, ChannelId, ChannelOptions, ConnectionStats, Datagram, Link, OpenError, Output, Payload, Report, SendError,
    TrackStats,
};
use crate::media::{Codec, LocalStreams, TrackId};
use crate::mesh::LinkEnd;
use crate::net::candidate::LocalCandidate;
use crate::protocol::{ConnectionId, IceCandidate};
use bytes::BytesMut;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

/// Remote addresses by which datagrams find a connection: as many as its candidates, and some that nobody has told of.
const MAX_ADDRESSES: usize = 512;

/// What another thread is telling is told by then, unless the machine is in trouble.
const TELLING: Duration = Duration::from_secs(1);

/// One link of a swarm. All methods may be called from any thread.
pub struct Connection {
    id: ConnectionId,
    key: Key,
    shared: Weak<Shared>,
    tag: AtomicU64,
    native: AtomicBool,
    /// Of what its owner was told beside messages, how many wait for the application.
    asides: Arc<AtomicUsize>,
    /// The owner takes no messages now.
    paused: AtomicBool,
    /// Nothing more comes, and what is left is told, paused or not: what is to be heard after it does not wait for a slow reader.
    draining: AtomicBool,
    /// The owner has closed it.
    closed: AtomicBool,
    core: Mutex<Core>,
    /// Locked after `core`, where both are.
    outbox: Mutex<Outbox>,
    /// Locked after `core`, and held until the datagrams that were made under it are with the kernel: they leave in order.
    wire: Mutex<()>,
    deliveries: Mutex<Deliveries>,
    /// No thread tells any more.
    told: Condvar,
}

struct Core {
    link: Link,
    ufrag: Option<String>,
    /// What the table knows of us.
    addresses: Vec<SocketAddr>,
    /// So many of them, the first, are from before ICE was last restarted.
    former: usize,
    /// The address that answers us: no other needs to be learned.
    settled: Option<SocketAddr>,
    /// The earliest of our deadlines in the heap.
    armed: Option<Instant>,
    /// In the driver's list of connections to be pumped.
    dirty: bool,
    /// `fast` was opened, and the owner has begun to read. What came before that waits.
    started: bool,
    open: bool,
    /// What it had is told, and no more is taken.
    drained: bool,
    /// Closing, but what is queued may leave until then.
    flushing: Option<Instant>,
    gone: bool,
    pacer: Pacer,
    /// An acknowledgement that may leave with the answer.
    held: Vec<Datagram>,
}

/// What a call on the link gives back, and what is to be done after the lock is gone.
struct Pumped<'a> {
    /// Taken under the lock of the link.
    wire: MutexGuard<'a, ()>,
    datagrams: Vec<Datagram>,
    native: bool,
    remove: Option<(Option<String>, Vec<SocketAddr>)>,
}

impl Connection {
    pub(super) fn new(id: ConnectionId, key: Key, shared: &Arc<Shared>, link: Link) -> Arc<Self> {
        let ufrag = link.local_ufrag();
        let native = AtomicBool::new(link.is_native());
        let core = Core {
            link,
            ufrag,
            addresses: Vec::new(),
            former: 0,
            settled: None,
            armed: None,
            dirty: false,
            started: false,
            open: false,
            drained: false,
            flushing: None,
            gone: false,
            pacer: Pacer::default(),
            held: Vec::new(),
        };
        Arc::new(Self {
            id,
            key,
            shared: Arc::downgrade(shared),
            tag: AtomicU64::new(0),
            native,
            asides: Arc::default(),
            paused: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            core: Mutex::new(core),
            outbox: Mutex::new(Outbox::new(shared.bounds)),
            wire: Mutex::default(),
            deliveries: Mutex::default(),
            told: Condvar::new(),
        })
    }

    pub fn id(&self) -> &ConnectionId {
        &self.id
    }

    pub(super) fn key(&self) -> Key {
        self.key
    }

    /// A number of the owner's, 0 at first; lock-free.
    pub fn set_tag(&self, tag: u64) {
        self.tag.store(tag, Ordering::Release);
    }

    pub fn tag(&self) -> u64 {
        self.tag.load(Ordering::Acquire)
    }

    /// The other end is a rtcswarm: its SDP says so. Known once a remote description is set.
    pub fn is_native(&self) -> bool {
        self.native.load(Ordering::Relaxed)
    }

    /// A count of the owner's.
    pub fn asides(&self) -> &Arc<AtomicUsize> {
        &self.asides
    }

    pub(super) fn ufrag(&self) -> Option<String> {
        self.core().ufrag.clone()
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wire(&self) -> MutexGuard<'_, ()> {
        self.wire.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn deliveries(&self) -> MutexGuard<'_, Deliveries> {
        self.deliveries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `call` on the link, then takes out what came of it. A panic of the engine ends this connection only.
    pub(super) fn with<T>(self: &Arc<Self>, now: Instant, call: impl FnOnce(&mut Link) -> T) -> Result<T, DriverError> {
        let (result, pumped) = {
            let mut core = self.core();
            if core.gone {
                return Err(DriverError::Engine("the connection is closed".into()));
            }
            let result = std::panic::catch_unwind(AssertUnwindSafe(|| call(&mut core.link)));
            if result.is_err() {
                self.broken(&mut core);
            }
            (result, self.pump(&mut core, now, false))
        };
        self.finish(pumped);
        result.map_err(|_| DriverError::Engine("the WebRTC engine failed on this".into()))
    }

    /// Opens so many channels, however many there are.
    #[cfg(test)]
    pub fn open_many(self: &Arc<Self>, count: usize) {
        let _ = self.with(Instant::now(), |link| (0..count).for_each(|_| link.open_one_more()));
    }

    pub fn apply_answer(self: &Arc<Self>, sdp: &str) -> Result<(), DriverError> {
        let now = Instant::now();
        self.with(now, |link| link.apply_answer(now, sdp))?.map_err(DriverError::Engine)?;
        self.note_descriptions();
        Ok(())
    }

    /// A renegotiation by the other side: gives the answer, unless an offer of ours goes before.
    pub fn apply_offer(self: &Arc<Self>, sdp: &str) -> Result<Option<String>, DriverError> {
        let now = Instant::now();
        if let Some(shared) = self.shared.upgrade().filter(|_| self.is_settled()) {
            // It may restart ICE: what the answer does not name yet is told after it.
            let (candidates, complete) = shared.candidates();
            self.take_candidates(&candidates);
            if !complete {
                self.deliveries().begin_candidates_anew();
            }
        }
        let answer = self.with(now, |link| link.apply_offer(now, sdp))?.map_err(DriverError::Engine)?;
        self.note_descriptions();
        Ok(answer)
    }

    fn note_descriptions(self: &Arc<Self>) {
        self.native.store(self.core().link.is_native(), Ordering::Relaxed);
    }

    /// Looks for a path anew; [`super::Handler::description`] follows.
    pub fn restart_ice(self: &Arc<Self>) {
        if let Some(shared) = self.shared.upgrade() {
            self.take_candidates(&shared.candidates().0);
            self.deliveries().begin_candidates_anew();
            shared.ask_again();
        }
        // One that is closed needs none.
        let _ = self.with(Instant::now(), Link::restart_ice);
    }

    /// What it has offered and is not answered may not have arrived.
    pub fn repeat_offer(self: &Arc<Self>) {
        let now = Instant::now();
        // One that is closed has nothing to say.
        let _ = self.with(now, |link| link.repeat_offer(now));
    }

    /// Our addresses are these now; `bases` can be sent from.
    pub(super) fn addresses_changed(
        self: &Arc<Self>,
        candidates: &[(u64, LocalCandidate)],
        complete: bool,
        bases: &[SocketAddr],
    ) {
        if self.is_settled() {
            // It needs none, and a full room's would be more than the server takes.
            self.take_candidates(candidates);
        } else {
            self.deliveries().begin_candidates_anew();
            self.announce(candidates, complete);
        }
        let current: Vec<String> = candidates.iter().map(|(_, candidate)| candidate.to_string()).collect();
        let mut output = Output::default();
        // One that is closed has no path to lose.
        let now = Instant::now();
        let _ = self.with(now, |link| link.keep_local_candidates(now, &current, bases, &mut output));
        self.queue(output.reports);
        self.deliver();
    }

    /// Candidates may come before the remote description; unusable ones (TCP, names) are passed over.
    pub fn add_remote_candidate(self: &Arc<Self>, candidate: Option<&IceCandidate>) {
        // The end of candidates needs nothing: a connection without a path ends by its deadline.
        if let Some(candidate) = candidate {
            // A connection that is closed needs no candidates.
            let _ = self.with(Instant::now(), |link| link.add_remote_candidate(candidate));
        }
    }

    /// Takes and tells those of our candidates that it does not know yet, and their end, each once and in order, whichever threads
    /// come with them.
    pub(super) fn announce(self: &Arc<Self>, candidates: &[(u64, LocalCandidate)], complete: bool) {
        let ufrag = self.ufrag();
        let (fresh, ends) = self.deliveries().announce(candidates, complete, ufrag.as_deref());
        if fresh.is_empty() && !ends {
            return;
        }
        // A connection that was closed meanwhile needs no candidates.
        let _ = self.with(Instant::now(), |link| {
            for text in fresh {
                if let Err(error) = link.add_local_candidate(&text) {
                    tracing::warn!(%error, candidate = text, "a local candidate is of no use");
                }
            }
            if ends {
                link.end_local_candidates();
            }
        });
    }

    /// Has the link know those of our candidates that it does not know yet, and nobody else.
    fn take_candidates(self: &Arc<Self>, candidates: &[(u64, LocalCandidate)]) {
        let fresh = self.deliveries().keep_to_the_link(candidates);
        if fresh.is_empty() {
            return;
        }
        // One that is closed needs none; and one of no use is said to be so where it is told.
        let _ = self.with(Instant::now(), |link| {
            fresh.iter().for_each(|text| drop(link.add_local_candidate(text)));
        });
    }

    /// It is open, has its path, and looks for no other.
    fn is_settled(&self) -> bool {
        let core = self.core();
        core.open && core.link.is_connected() && !self.deliveries().wants_candidates()
    }

    /// Its candidates are gathered anew.
    pub(super) fn wants_candidates(&self) -> bool {
        self.deliveries().wants_candidates()
    }

    pub fn is_open(&self) -> bool {
        self.core().open
    }

    /// Everything that this side gives, from now on. The same twice changes nothing.
    pub fn set_streams(self: &Arc<Self>, streams: &Arc<LocalStreams>) {
        let set = self.with(Instant::now(), |link| link.set_streams(streams.clone()));
        if let Ok(Err(error)) = set {
            self.fail(&error);
        }
    }

    /// One frame in its payloads, on this thread. Gives whether the other side takes the track.
    pub fn send_frame(self: &Arc<Self>, track: TrackId, codec: Codec, timestamp: u32, payloads: &[Payload]) -> bool {
        let now = Instant::now();
        self.with(now, |link| link.send_frame(now, track, codec, timestamp, payloads)).unwrap_or(false)
    }

    /// Its owner listens to this one again: what it was told of media meanwhile is told once more.
    pub fn tell_media_again(self: &Arc<Self>) {
        // One that is closed has nothing to tell.
        let _ = self.with(Instant::now(), Link::tell_media_again);
    }

    /// Whether there is such a track of the other side's.
    pub fn request_key_frame(self: &Arc<Self>, track: TrackId) -> bool {
        self.with(Instant::now(), |link| link.request_key_frame(track)).unwrap_or(false)
    }

    pub fn track_stats(&self, track: TrackId) -> Option<TrackStats> {
        self.core().link.track_stats(track)
    }

    /// Asks for a further channel; [`super::Handler::channel_open`] follows.
    pub fn open_channel(self: &Arc<Self>, label: &str, options: &ChannelOptions) -> Result<ChannelId, OpenError> {
        let opened = self.with(Instant::now(), |link| link.open_channel(label, options));
        opened.unwrap_or(Err(OpenError::NotOpen))
    }

    /// Whether there is such a channel: a connection that is closed has none.
    pub fn close_channel(self: &Arc<Self>, channel: ChannelId) -> bool {
        self.with(Instant::now(), |link| link.close_channel(channel)).unwrap_or(false)
    }

    /// Queues one message whole, or nothing. Sends on this thread when little is on its way; what a busy link is to send is left to
    /// the driver's task, which bundles small messages. The limit is for the application; `urgent` (control messages) may pass it.
    pub fn send(
        self: &Arc<Self>,
        channel: ChannelId,
        is_text: bool,
        data: &[u8],
        urgent: bool,
    ) -> Result<(), SendError> {
        let fast = channel == ChannelId::FAST;
        if fast && !urgent {
            let admitted = self.outbox().admit(is_text, data)?;
            if let Admitted::Later { first } = admitted {
                self.wake_if(first);
                return Ok(());
            }
        }
        let now = Instant::now();
        let pumped = {
            let mut core = self.core();
            if core.gone || core.flushing.is_some() || core.drained && !urgent {
                return Err(SendError::NotOpen);
            }
            let sent = std::panic::catch_unwind(AssertUnwindSafe(|| {
                if !fast {
                    return core.link.send(now, channel, is_text, data.into(), urgent);
                }
                // What was sent before goes before; and it is admitted, by the outbox or because it is urgent.
                let taken = self.feed(&mut core.link, now, true);
                let sent = core.link.send(now, channel, is_text, data.into(), true);
                self.outbox().look(core.link.fast(), taken);
                sent
            }));
            let idle = match sent {
                Ok(idle) => idle?,
                Err(_) => {
                    self.broken(&mut core);
                    drop(core);
                    self.deliver();
                    return Err(SendError::NotOpen);
                }
            };
            if idle {
                Some(self.pump(&mut core, now, false))
            } else {
                let first = !std::mem::replace(&mut core.dirty, true);
                drop(core);
                self.wake_if(first);
                None
            }
        };
        if let Some(pumped) = pumped {
            self.finish(pumped);
        }
        Ok(())
    }

    /// Has the driver's task pump it.
    fn wake_if(&self, wake: bool) {
        if let Some(shared) = self.shared.upgrade().filter(|_| wake) {
            shared.mark_dirty(self.key);
        }
    }

    /// Gives the engine what waits in the outbox, `all` or the next slice; how many bytes that were.
    fn feed(&self, link: &mut Link, now: Instant, all: bool) -> usize {
        let waiting = self.outbox().take(all);
        let mut bytes = 0;
        for message in waiting {
            bytes += message.data.len();
            // Nothing but the end of the link can be in its way: it was admitted.
            let _ = link.send(now, ChannelId::FAST, message.is_text, message.data, true);
        }
        bytes
    }

    /// Bytes accepted by `send` and not yet acknowledged by the other side.
    pub fn buffered(&self, channel: ChannelId) -> Option<usize> {
        let mut core = self.core();
        let waiting = if channel == ChannelId::FAST { self.outbox().bytes() } else { 0 };
        core.link.buffered(channel).map(|buffered| buffered + waiting)
    }

    pub fn stats(&self) -> ConnectionStats {
        let mut core = self.core();
        let mut stats = core.link.stats();
        stats.buffered += self.outbox().bytes();
        stats.media_dropped = core.pacer.dropped();
        stats
    }

    /// Take no more messages until [`Self::resume_reading`]. Lock-free, and callable from inside [`super::Handler::messages`] and under
    /// locks of the owner's: a resume that comes after it, from any thread, is never lost.
    pub fn pause_reading(&self) {
        self.paused.store(true, Ordering::SeqCst);
    }

    /// Whether the owner takes no messages now: never while it drains.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::SeqCst) && !self.is_draining()
    }

    /// Whether it has come to its end, and what is left is told whatever the owner thinks of it.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Also what is left waits until [`Self::resume_reading`].
    pub fn hold_the_rest(&self) {
        self.pause_reading();
        self.draining.store(false, Ordering::SeqCst);
    }

    /// Whether the owner has closed it; what it still hears then is from before.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Delivers what was held back since `open`.
    pub fn start_reading(self: &Arc<Self>) {
        self.core().started = true;
        self.deliveries().start();
        self.resume_reading();
    }

    pub fn resume_reading(self: &Arc<Self>) {
        self.paused.store(false, Ordering::SeqCst);
        self.pump_now(Instant::now());
        self.deliver();
    }

    /// The owner is about to close it: tells it at once all that has come, paused or not, and nothing after that. What was sent is
    /// acknowledged or counts as buffered for good. Not from inside a [`super::Handler`]. Gives the messages for which the owner had no
    /// room, which are lost.
    pub fn drain(self: &Arc<Self>) -> usize {
        self.outbox().close();
        self.draining.store(true, Ordering::SeqCst);
        let pumped = {
            let mut core = self.core();
            core.drained = true;
            (!core.gone).then(|| self.pump(&mut core, Instant::now(), false))
        };
        match pumped {
            Some(pumped) => self.finish(pumped),
            None => self.deliver(),
        }
        let mut deliveries = self.deliveries();
        let until = Instant::now() + TELLING;
        while deliveries.busy {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            deliveries.awaited = true;
            deliveries = self.told.wait_timeout(deliveries, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        let untold = deliveries.messages();
        deliveries.close();
        untold
    }

    /// Ends the connection at once, or (`flush`) when what is queued has left, then at the latest. Idempotent; the owner hears nothing
    /// more.
    pub fn close(self: &Arc<Self>, flush: Option<Instant>) {
        self.closed.store(true, Ordering::SeqCst);
        self.outbox().close();
        self.deliveries().close();
        let now = Instant::now();
        let pumped = {
            let mut core = self.core();
            if core.gone {
                return;
            }
            core.flushing = Some(flush.unwrap_or(now));
            self.pump(&mut core, now, false)
        };
        self.finish(pumped);
    }

    pub(super) fn handle_datagram(
        self: &Arc<Self>,
        now: Instant,
        local: SocketAddr,
        remote: SocketAddr,
        data: &[u8],
    ) -> bool {
        let mut core = self.core();
        if core.gone {
            return false;
        }
        if core.drained && core.flushing.is_none() {
            // The other end is not to take for delivered what nobody will hear.
            return true;
        }
        let data = BytesMut::from(data);
        let handled = std::panic::catch_unwind(AssertUnwindSafe(|| {
            core.link.handle_datagram(now, local, remote, data);
        }));
        if handled.is_err() {
            self.broken(&mut core);
        }
        true
    }

    #[cfg(test)]
    pub fn break_at_next_datagram(&self) {
        self.core().link.breaks = true;
    }

    /// The engine panicked: this connection is over, and no other.
    fn broken(&self, core: &mut Core) {
        tracing::error!(connection = %self.id, "the WebRTC engine failed");
        self.fail_with(core, LinkEnd::Error("the WebRTC engine failed".into()));
    }

    fn fail_with(&self, core: &mut Core, end: LinkEnd) {
        let mut output = Output::default();
        core.link.fail(end, &mut output);
        self.queue(output.reports);
    }

    /// Ends it for a reason of ours; the owner hears it.
    pub(super) fn fail(self: &Arc<Self>, error: &str) {
        self.fail_with(&mut self.core(), LinkEnd::Error(error.to_owned()));
        self.deliver();
    }

    /// The other side does what no honest one does: it is cut off, and the owner hears why.
    pub fn exceed(self: &Arc<Self>, what: &str) {
        self.fail_with(&mut self.core(), LinkEnd::Excess(what.to_owned()));
        self.deliver();
    }

    pub(super) fn pump_now(self: &Arc<Self>, now: Instant) {
        self.pump_if(now, false, |_| true);
    }

    /// For a thread of the application's that reads, and is likely to answer what it reads.
    pub(super) fn pump_led(self: &Arc<Self>, now: Instant) {
        self.pump_if(now, true, |_| true);
    }

    /// For what is in the driver's list: it may have been pumped since. Whether it was now.
    pub(super) fn pump_dirty(self: &Arc<Self>, now: Instant) -> bool {
        self.pump_if(now, false, |core| core.dirty || !core.held.is_empty() || !self.outbox().is_empty())
    }

    /// Whether it was.
    fn pump_if(self: &Arc<Self>, now: Instant, led: bool, wanted: impl FnOnce(&Core) -> bool) -> bool {
        let pumped = {
            let mut core = self.core();
            if core.gone || !wanted(&core) {
                return false;
            }
            self.pump(&mut core, now, led)
        };
        self.finish(pumped);
        true
    }

    /// For a timer that fired: it may have been overtaken.
    pub(super) fn pump_due(self: &Arc<Self>, now: Instant) {
        let pumped = {
            let mut core = self.core();
            if core.gone || core.armed.is_none_or(|armed| armed > now) {
                return;
            }
            core.armed = None;
            self.pump(&mut core, now, false)
        };
        self.finish(pumped);
    }

    fn pump(self: &Arc<Self>, core: &mut Core, now: Instant, led: bool) -> Pumped<'_> {
        core.dirty = false;
        // While it closes, what comes is read for nobody: two ends that wait for each other's room would wait in vain.
        let reading = core.flushing.is_some() || core.started && (core.drained || !self.paused.load(Ordering::SeqCst));
        let mut output = Output::default();
        let all = core.flushing.is_some();
        let pumped = std::panic::catch_unwind(AssertUnwindSafe(|| {
            let taken = self.feed(&mut core.link, now, all);
            let deadline = core.link.pump(now, reading, &mut output);
            if self.outbox().settle(core.link.fast(), taken) {
                output.reports.push(Report::Writable(ChannelId::FAST));
            }
            deadline
        }));
        let mut deadline = pumped.unwrap_or_else(|_| {
            tracing::error!(connection = %self.id, "the WebRTC engine failed");
            core.link.fail(LinkEnd::Error("the WebRTC engine failed".into()), &mut output);
            None
        });
        if let Some(ufrag) = core.link.new_local_ufrag().filter(|_| !core.gone) {
            // ICE was restarted: requests come under another name from now on.
            if let Some(shared) = self.shared.upgrade() {
                shared.table().rename(self, core.ufrag.as_deref(), Some(&ufrag));
                // The path of before is used until there is another.
                let former = core.former;
                core.former = self.forget_addresses(core, &shared, former);
            }
            core.ufrag = Some(ufrag);
            core.settled = None;
        }
        core.open |= output.reports.iter().any(|report| matches!(report, Report::Open));
        if let Some(until) = core.flushing {
            let over = core.link.is_ended() || now >= until || core.link.buffered_in_all() == 0;
            if over {
                self.say_goodbye(core, now, &mut output);
                core.gone = true;
            } else {
                deadline = Some(deadline.map_or(until, |deadline| deadline.min(until)));
            }
        }
        // The answer first: it wakes the other end, which then finds both.
        let mut datagrams = output.datagrams;
        datagrams.append(&mut core.held);
        if let Some(shared) = self.shared.upgrade() {
            self.learn(core, &shared, &datagrams);
            let single = |report: &[Report]| matches!(report, [Report::Message(_)]);
            if led && single(&output.reports) && datagrams.len() == 1 && !core.gone {
                // Alone it would wake the other end for nothing, a moment before the answer does.
                core.held = std::mem::take(&mut datagrams);
                shared.see_to_later(self.key);
            }
            if core.gone || !core.link.wants_pacing() {
                datagrams = core.pacer.release(datagrams);
            } else if !(datagrams.is_empty() && core.pacer.is_empty()) {
                let progress = core.link.progress();
                let (passed, again) = core.pacer.pass(now, &mut shared.pace(), &progress, datagrams);
                datagrams = passed;
                deadline = [deadline, again].into_iter().flatten().min();
            }
            if let Some(deadline) = deadline.filter(|_| !core.gone) {
                if core.armed.is_none_or(|armed| deadline < armed) {
                    core.armed = Some(deadline);
                    shared.arm(deadline, self.key);
                }
            }
        }
        self.queue(output.reports);
        self.wake_if(!core.gone && !self.outbox().is_empty());
        Pumped {
            wire: self.wire(),
            datagrams,
            native: core.link.is_native(),
            remove: core.gone.then(|| (core.ufrag.take(), std::mem::take(&mut core.addresses))),
        }
    }

    /// Learns which remote addresses are ours from what the engine sends.
    fn learn(self: &Arc<Self>, core: &mut Core, shared: &Shared, datagrams: &[Datagram]) {
        for datagram in datagrams {
            if core.settled == Some(datagram.remote) || !stun::is_stun(&datagram.data) {
                continue;
            }
            // We answer only who has proved to know our password.
            let certain = stun::is_binding_success(&datagram.data);
            if certain {
                core.settled = Some(datagram.remote);
            }
            let known = core.addresses.contains(&datagram.remote);
            if !known {
                if core.addresses.len() >= MAX_ADDRESSES {
                    core.former = self.forget_addresses(core, shared, MAX_ADDRESSES / 2).min(core.former);
                }
                core.addresses.push(datagram.remote);
            }
            if certain || !known {
                shared.table().learn(datagram.remote, self, certain);
            }
        }
    }

    /// Forgets so many of the oldest addresses, but none that is in use; how many are left.
    fn forget_addresses(&self, core: &mut Core, shared: &Shared, oldest: usize) -> usize {
        let used = [core.settled, core.link.remote_address()];
        let old = core.addresses.drain(..oldest.min(core.addresses.len())).collect::<Vec<_>>();
        let (kept, forgotten) = old.into_iter().partition::<Vec<_>, _>(|address| used.contains(&Some(*address)));
        shared.table().unlearn(self.key, &forgotten);
        core.addresses.splice(..0, kept);
        core.addresses.len()
    }

    fn queue(&self, reports: Vec<Report>) {
        if reports.is_empty() {
            return;
        }
        if reports.iter().any(|report| matches!(report, Report::Ended(_))) {
            self.draining.store(true, Ordering::SeqCst);
        }
        self.deliveries().push(reports);
    }

    /// With no lock held: sends, tells, forgets.
    fn finish(self: &Arc<Self>, pumped: Pumped<'_>) {
        if let Some(shared) = self.shared.upgrade() {
            if !pumped.datagrams.is_empty() {
                shared.send(pumped.datagrams, pumped.native);
            }
            drop(pumped.wire);
            if let Some((ufrag, addresses)) = pumped.remove {
                shared.forget(self.key, ufrag.as_deref(), &addresses);
            }
        }
        self.deliver();
    }

    /// Tells the owner what happened, in order, unless another thread is at it: that one goes on.
    fn deliver(self: &Arc<Self>) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut deliveries = self.deliveries();
        if deliveries.busy {
            return;
        }
        while let Some(next) = deliveries.next(self.is_paused()) {
            deliveries.busy = true;
            drop(deliveries);
            let mut rest = VecDeque::new();
            match next {
                Next::Messages(mut run) => {
                    shared.handler().messages(self, &mut run);
                    rest = run;
                }
                Next::Aside(Aside::Media(report)) => shared.handler().media(self, report),
                Next::Aside(Aside::Description { sdp, is_offer }) => shared.handler().description(self, sdp, is_offer),
                Next::Notice(notice) => self.tell(&shared, notice),
                Next::End { notice, ours } => {
                    self.tell(&shared, notice);
                    // Nothing more will come, and the owner has heard it: the place in the table is free.
                    self.vanish(&shared, ours);
                }
            }
            deliveries = self.deliveries();
            deliveries.busy = false;
            deliveries.give_back(rest);
        }
        if std::mem::take(&mut deliveries.awaited) {
            self.told.notify_all();
        }
    }

    /// `ours`: the other side does not know yet that it is over.
    fn vanish(self: &Arc<Self>, shared: &Shared, ours: bool) {
        let mut output = Output::default();
        let (wire, native, datagrams, ufrag, addresses) = {
            let mut core = self.core();
            if !std::mem::replace(&mut core.gone, true) && ours {
                self.say_goodbye(&mut core, Instant::now(), &mut output);
            }
            let datagrams = core.pacer.release(output.datagrams);
            (self.wire(), core.link.is_native(), datagrams, core.ufrag.take(), std::mem::take(&mut core.addresses))
        };
        if !datagrams.is_empty() {
            shared.send(datagrams, native);
        }
        drop(wire);
        shared.forget(self.key, ufrag.as_deref(), &addresses);
    }

    /// Ends the link; what tells the other side is in the last datagrams.
    fn say_goodbye(&self, core: &mut Core, now: Instant, output: &mut Output) {
        let closed = std::panic::catch_unwind(AssertUnwindSafe(|| {
            core.link.close();
            core.link.pump(now, false, output);
        }));
        // The engine is of no more use anyway.
        drop(closed);
    }

    fn tell(self: &Arc<Self>, shared: &Shared, notice: Notice) {
        let handler = shared.handler();
        let report = match notice {
            Notice::Candidate(candidate) => return handler.local_candidate(self, candidate),
            Notice::Report(report) => report,
        };
        match report {
            Report::Open => handler.open(self),
            Report::State(state) => handler.ice_state(self, state),
            Report::PathLost => handler.path_lost(self),
            Report::ChannelOpen { channel, label, options, remote } => {
                handler.channel_open(self, channel, &label, &options, remote);
            }
            Report::ChannelClosed(channel) => handler.channel_closed(self, channel),
            Report::Message(message) => handler.messages(self, &mut [message].into()),
            Report::Writable(channel) => handler.writable(self, channel),
            Report::Ended(end) => handler.ended(self, end),
            // They are asides.
            Report::Media(_) | Report::Offer(_) | Report::Answer(_) => {}
        }
    }

    /// The driver is going away: nobody will pump this any more.
    pub(super) fn abandon(self: &Arc<Self>) {
        self.close(None);
    }

    pub(super) fn is_flushing(&self) -> bool {
        self.core().flushing.is_some()
    }
}
