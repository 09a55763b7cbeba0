//! What runs a mesh and its links over the network and signaling: the Rust [`Swarm`].
//!
//! One task (`room`) owns the brain; the driver's task moves datagrams; data goes past the brain: caller →
//! link on the way out, link → event queue on the way in. All of a process's swarms share one tokio runtime
//! of the library's own.

mod carrier;
mod config;
mod error;
mod event;
mod mailbox;
mod media;
mod peers;
mod queue;
mod readiness;
mod room;
mod runtime;
mod stats;
#[cfg(test)]
mod tests;

pub use crate::link::{ChannelOptions, Reliability, TrackStats};
pub use crate::media::{Codec, Source};
pub use crate::protocol::TrackKind;
pub use config::{Config, IceServer, IceTransportPolicy, Signaling, MAX_NAME_BYTES};
pub use error::Error;
pub(crate) use event::c_string;
pub use event::{EndReason, ErrorCode, Event, LinkState, Peer, SignalingState, FAST};
pub use media::{TrackSpec, MAX_FRAME_BYTES, MAX_TRACKS};
pub(crate) use queue::{EventQueue, Popped};
pub use stats::{PeerStats, SwarmStats};

use crate::driver::Driver;
use crate::link::ChannelId;
use crate::mesh::{Input, Mesh, PeerId};
use crate::protocol::{ServerMessage, MAX_MESSAGE_SIZE, RESERVED_PREFIX};
use crate::signaling::check_token;
use carrier::Carrier;
use futures_util::FutureExt;
use mailbox::{mailbox, Letter, Mailbox, Reports};
use peers::Peers;
use rand::rngs::OsRng;
use rand::TryRngCore;
use room::Room;
use runtime::SharedRuntime;
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

/// Peer ids of all swarms of the process; 0 is nobody.
static PEER_IDS: once_cell::sync::Lazy<Arc<AtomicU64>> = once_cell::sync::Lazy::new(|| Arc::new(AtomicU64::new(1)));

/// The longest label of a channel, in bytes.
pub const MAX_LABEL_BYTES: usize = 256;

/// A member of a room, connected to each other member. All methods may be called from any thread, inside an
/// async runtime or outside of one; none blocks but [`Swarm::next_event`] and [`Swarm::wait_closed`].
/// Dropping it closes it.
pub struct Swarm {
    config: Config,
    mailbox: Mailbox,
    events: Arc<EventQueue>,
    peers: Arc<Peers>,
    driver: Driver,
    media: media::LocalMedia,
    started: AtomicBool,
    /// Closed, or broken.
    closing: Arc<AtomicBool>,
    done: Arc<Done>,
    runtime: Arc<SharedRuntime>,
}

/// Set when the room's task has ended.
#[derive(Default)]
struct Done {
    ended: Mutex<bool>,
    changed: std::sync::Condvar,
}

/// How many peers a broadcast reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Broadcast {
    pub reached: usize,
    /// Peers whose send buffer was full ([`Event::Writable`] follows), who take no message as large, or who were ending.
    pub skipped: usize,
}

impl Swarm {
    /// Binds the swarm's sockets and is silent until [`Swarm::start`].
    pub fn new(config: Config) -> Result<Self, Error> {
        config.validate()?;
        let runtime = SharedRuntime::get().map_err(|e| Error::Io(format!("no runtime: {e}")))?;
        let carrier = Carrier::new(&config.signaling)?;
        let events = Arc::new(EventQueue::new(config.receive_queue, config.media_queue));
        let peers = Arc::new(Peers::default());
        let (mailbox, letters) = mailbox();
        let reports = Reports { mailbox: mailbox.clone(), events: events.clone(), peers: peers.clone() };
        // From the system and not from this thread's generator, whose state a forked child shares with its parent: both
        // would give their connections the same ids.
        let mut seed = [0; 32];
        OsRng.try_fill_bytes(&mut seed).map_err(|e| Error::Io(format!("no randomness: {e}")))?;
        let driver = Driver::start(&runtime, config.driver(), Arc::new(reports))?;
        let mut room = Room {
            mesh: Mesh::new(config.mesh(), PEER_IDS.clone(), seed),
            driver: driver.clone(),
            carrier,
            letters,
            events: events.clone(),
            peers: peers.clone(),
            close_timeout: config.close_timeout,
            before_start: Some(Vec::new()),
            connections: HashMap::new(),
            runtime: runtime.clone(),
        };
        let (closing, done) = (Arc::new(AtomicBool::new(false)), Arc::new(Done::default()));
        runtime.spawn({
            let (events, closing, done) = (events.clone(), closing.clone(), done.clone());
            async move {
                let outcome = AssertUnwindSafe(room.run()).catch_unwind().await;
                // Nobody closed it who broke, and no call has an effect any more.
                closing.store(true, Ordering::Release);
                let error = match outcome {
                    Ok(ended) => ended.err().map(str::to_owned),
                    Err(panic) => Some(panic_text(&*panic)),
                };
                if error.is_some() {
                    room.driver.shut_down().await;
                }
                // What the room held (sockets, links) is gone before anyone hears that it is.
                drop(room);
                events.push(Event::Closed { error });
                *done.ended.lock().unwrap_or_else(PoisonError::into_inner) = true;
                done.changed.notify_all();
            }
        });
        Ok(Self {
            config,
            mailbox,
            events,
            peers,
            driver,
            media: media::LocalMedia::default(),
            started: AtomicBool::new(false),
            closing,
            done,
            runtime,
        })
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Joins the room. No event comes before this.
    pub fn start(&self) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if self.started.swap(true, Ordering::AcqRel) {
            return Err(Error::State("the swarm is started already"));
        }
        self.mailbox.post(Letter::Start);
        Ok(())
    }

    /// Another token for the signaling server ([`Signaling::WebSocket`]), such as one that lasts longer. The session that is
    /// there goes on with the old one; when that one's time is over, the next session begins at once with the new one. A
    /// swarm that was refused tries again at once, unless a newer one of the same user has superseded it: that is final. Open
    /// connections live on through all of it.
    pub fn set_token(&self, token: &str) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if !matches!(self.config.signaling, Signaling::WebSocket(_)) {
            return Err(Error::State("this swarm keeps no signaling connection that a token could be for"));
        }
        check_token(token).map_err(Error::Invalid)?;
        self.mailbox.post(Letter::Token(token.to_owned()));
        Ok(())
    }

    /// Other STUN and TURN servers from now on, or other credentials for the same: where those of a TURN server are good for a time
    /// only, before it is over, or when an [`Event::Error`] with [`ErrorCode::IceServer`] says that it refuses them. Links go on, and
    /// spare offers are made anew.
    pub fn set_ice_servers(&self, servers: &[IceServer]) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(self.driver.set_ice_servers(servers)?)
    }

    pub(crate) fn is_started(&self) -> bool {
        self.started.load(Ordering::Acquire)
    }

    fn running(&self) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        if !self.started.load(Ordering::Acquire) {
            return Err(Error::State("the swarm is not started"));
        }
        Ok(())
    }

    /// Gives the swarm one message of the signaling server ([`Signaling::Caller`]). Types that this version
    /// does not know are ignored. `WouldBlock`: more messages wait than should, or more events that they caused; try again
    /// after the next event.
    pub fn dispatch(&self, json: &str) -> Result<(), Error> {
        self.running()?;
        if !matches!(self.config.signaling, Signaling::Caller) {
            return Err(Error::State("this swarm keeps its own signaling connection"));
        }
        match ServerMessage::parse(json) {
            // Whoever takes no events has no use for more.
            Ok(Some(_)) if self.events.is_crowded() => Err(Error::WouldBlock),
            Ok(Some(message)) => self.mailbox.dispatch(message),
            Ok(None) => Ok(()),
            Err(error) => Err(Error::Malformed(error.to_string())),
        }
    }

    /// One text message to one peer, on `fast`. Queued whole, or not at all.
    pub fn send_text(&self, peer: u64, text: &str) -> Result<(), Error> {
        self.channel_send(peer, FAST, true, text.as_bytes())
    }

    /// One binary message to one peer, on `fast`. Queued whole, or not at all.
    pub fn send(&self, peer: u64, data: &[u8]) -> Result<(), Error> {
        self.channel_send(peer, FAST, false, data)
    }

    /// One message on any open channel of a peer. With `is_text`, `data` must be UTF-8.
    pub fn channel_send(&self, peer: u64, channel: u32, is_text: bool, data: &[u8]) -> Result<(), Error> {
        self.running()?;
        self.check_message(is_text, data)?;
        let open = self.peers.get(peer)?;
        // What a lost link still took would be in no figure of what is lost.
        if channel == FAST && open.is_lost() {
            return Err(Error::WouldBlock);
        }
        let sent = open.connection.send(ChannelId(channel), is_text, data, false);
        sent.map_err(|error| Error::from_send(error, data.len(), channel))
    }

    fn check_message(&self, is_text: bool, data: &[u8]) -> Result<(), Error> {
        let limit = self.config.max_message_size.min(MAX_MESSAGE_SIZE);
        if data.len() > limit {
            return Err(Error::TooLarge { length: data.len(), limit });
        }
        if is_text {
            let text = std::str::from_utf8(data).map_err(|_| Error::Invalid("the text is not UTF-8".into()))?;
            if text.starts_with(RESERVED_PREFIX) {
                return Err(Error::Reserved);
            }
        }
        Ok(())
    }

    /// The same message to every open peer. A slow peer is skipped and holds up nobody.
    pub fn broadcast(&self, data: &[u8]) -> Result<Broadcast, Error> {
        self.broadcast_message(false, data)
    }

    pub fn broadcast_text(&self, text: &str) -> Result<Broadcast, Error> {
        self.broadcast_message(true, text.as_bytes())
    }

    pub(crate) fn broadcast_message(&self, is_text: bool, data: &[u8]) -> Result<Broadcast, Error> {
        self.running()?;
        self.check_message(is_text, data)?;
        let mut broadcast = Broadcast::default();
        for open in self.peers.all() {
            if open.is_lost() {
                broadcast.skipped += 1;
                continue;
            }
            match open.connection.send(ChannelId::FAST, is_text, data, false) {
                Ok(()) => broadcast.reached += 1,
                Err(_) => broadcast.skipped += 1,
            }
        }
        Ok(broadcast)
    }

    /// Opens a further channel to a native peer; [`Event::ChannelOpen`] follows at both ends. Gives its
    /// number. [`Error::State`] while the link to the peer is made anew.
    pub fn open_channel(&self, peer: u64, label: &str, options: &ChannelOptions) -> Result<u32, Error> {
        self.running()?;
        if label.len() > MAX_LABEL_BYTES || options.protocol.len() > MAX_LABEL_BYTES {
            return Err(Error::Invalid(format!("a label or protocol is longer than {MAX_LABEL_BYTES} bytes")));
        }
        if label == crate::protocol::FAST_CHANNEL {
            return Err(Error::Invalid("the label \"fast\" is the protocol's".into()));
        }
        let open = self.peers.get(peer)?;
        if !open.native {
            return Err(Error::Unsupported("the peer runs the JS original, which hears no channel but its first"));
        }
        if open.is_lost() {
            return Err(Error::LOST);
        }
        let opened = open.connection.open_channel(label, options);
        opened.map(|channel| channel.0).map_err(Error::from_open)
    }

    /// Closes a further channel: what was sent on it before still arrives, what comes on it is dropped. `fast` ends with its peer only.
    pub fn close_channel(&self, peer: u64, channel: u32) -> Result<(), Error> {
        self.running()?;
        if channel == FAST {
            return Err(Error::Invalid("the channel fast is closed by closing the peer".into()));
        }
        let open = self.peers.get(peer)?;
        if open.connection.close_channel(ChannelId(channel)) {
            Ok(())
        } else {
            Err(Error::NoChannel(channel))
        }
    }

    /// Lets go of one peer; [`Event::PeerClosed`] follows. It may come back by joining again.
    pub fn close_peer(&self, peer: u64) -> Result<(), Error> {
        self.running()?;
        self.peers.get(peer)?;
        self.mailbox.post(Letter::Input(Input::ClosePeer { peer: PeerId(peer) }));
        Ok(())
    }

    /// The open peers, in the order in which they opened.
    pub fn peers(&self) -> Vec<Peer> {
        self.peers.all().iter().map(|open| open.peer.clone()).collect()
    }

    pub fn peer(&self, peer: u64) -> Result<Peer, Error> {
        Ok(self.peers.get(peer)?.peer.clone())
    }

    pub fn peer_stats(&self, peer: u64) -> Result<PeerStats, Error> {
        let open = self.peers.get(peer)?;
        Ok(PeerStats::new(open.connection.stats(), open.native))
    }

    pub fn stats(&self) -> SwarmStats {
        let tasks = self.runtime.metrics().num_alive_tasks();
        SwarmStats::new(self.driver.stats(), self.peers.all().len(), self.events.len(), tasks)
    }

    /// Bytes that were accepted for a channel and not acknowledged by the peer yet.
    pub fn buffered(&self, peer: u64, channel: u32) -> Result<usize, Error> {
        let open = self.peers.get(peer)?;
        open.connection.buffered(ChannelId(channel)).ok_or(Error::NoChannel(channel))
    }

    /// The next event; blocks until `timeout` (`None`: for ever). `Ok(None)` when there was none,
    /// `Err(Closed)` after [`Event::Closed`] was taken. Not for use inside an async task.
    pub fn next_event(&self, timeout: Option<Duration>) -> Result<Option<Event>, Error> {
        let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        self.popped(self.wait(deadline))
    }

    /// Waits until `deadline`, for ever without one.
    pub(crate) fn wait(&self, deadline: Option<Instant>) -> Popped {
        self.events.pop(deadline, Some(&self.driver))
    }

    /// The next event, for async tasks of any runtime. `Err(Closed)` after [`Event::Closed`]. One task at a
    /// time.
    pub async fn event(&self) -> Result<Event, Error> {
        loop {
            let popped = std::future::poll_fn(|context| match self.events.poll_pop(context.waker()) {
                Some(popped) => Poll::Ready(popped),
                None => Poll::Pending,
            });
            if let Some(event) = self.popped(popped.await)? {
                return Ok(event);
            }
        }
    }

    fn popped(&self, popped: Popped) -> Result<Option<Event>, Error> {
        match popped {
            Popped::Event(event, _) => Ok(Some(event)),
            Popped::TimedOut | Popped::Woken => Ok(None),
            Popped::Finished => Err(Error::Closed),
        }
    }

    pub(crate) fn events(&self) -> &Arc<EventQueue> {
        &self.events
    }

    /// Leaves the room: says so to each peer and to the server, lets go of what is queued within the close
    /// deadline. [`Event::Closed`] follows, last. Idempotent.
    pub fn close(&self) {
        if !self.closing.swap(true, Ordering::AcqRel) {
            self.mailbox.post(Letter::Close);
        }
    }

    /// Waits until a closed swarm's task is gone, at most `timeout`; whether it is. Blocks.
    pub fn wait_closed(&self, timeout: Duration) -> bool {
        let ended = self.done.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.done.changed.wait_timeout_while(ended, timeout, |ended| !*ended);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Drop for Swarm {
    fn drop(&mut self) {
        self.close();
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
