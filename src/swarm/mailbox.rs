//! What the room's task is told, and how much of it may wait.

use super::event::{ErrorCode, Event};
use super::peers::{EarlyChannel, OpenPeer, Peers};
use super::queue::EventQueue;
use super::Error;
use crate::driver::{Connection, Handler};
use crate::link::{ChannelId, ChannelOptions, MediaReport, Message, RemoteFrame};
use crate::media::TrackId;
use crate::mesh::{Input, LinkEnd, LinkState};
use crate::protocol::{parse_text, IceCandidate, ServerMessage, TextKind, CONTROL_PREFIX};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::mpsc;

/// Signals and control messages that may wait for the room's task. A peer or a caller that is faster is held
/// up.
const CAPACITY: usize = 4096;

pub(crate) enum Letter {
    Start,
    /// A new token for the signaling server.
    Token(String),
    Close,
    IceServerFailed(String),
    Input(Input),
    /// This machine has other addresses than before.
    Moved,
    /// The `fast` channel of this connection is open.
    Open(Arc<Connection>),
}

#[derive(Clone)]
pub(crate) struct Mailbox {
    sender: mpsc::UnboundedSender<Letter>,
    waiting: Arc<AtomicUsize>,
}

pub(crate) struct Letters {
    receiver: mpsc::UnboundedReceiver<Letter>,
    waiting: Arc<AtomicUsize>,
}

pub(crate) fn mailbox() -> (Mailbox, Letters) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (Mailbox { sender, waiting: waiting.clone() }, Letters { receiver, waiting })
}

impl Mailbox {
    /// What the driver reports is bounded by the number of links; it is never refused.
    pub fn post(&self, letter: Letter) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        // A room that is gone needs no letters.
        let _ = self.sender.send(letter);
    }

    pub fn full(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) >= CAPACITY
    }

    /// For what others can send without end.
    pub fn dispatch(&self, message: ServerMessage) -> Result<(), Error> {
        if self.full() {
            return Err(Error::WouldBlock);
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.sender.send(Letter::Input(Input::Signal(message))).map_err(|_| Error::Closed)
    }
}

impl Letters {
    pub async fn next(&mut self) -> Option<Letter> {
        let letter = self.receiver.recv().await?;
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        Some(letter)
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }
}

/// Takes what the driver reports: data goes to the event queue at once, the rest to the room.
pub(crate) struct Reports {
    pub mailbox: Mailbox,
    pub events: Arc<EventQueue>,
    pub peers: Arc<Peers>,
}

impl Reports {
    fn input(&self, input: Input) {
        self.mailbox.post(Letter::Input(input));
    }

    fn peer(&self, connection: &Connection) -> Option<Arc<OpenPeer>> {
        self.peers.get(connection.tag()).ok()
    }

    fn flow(&self, connection: &Arc<Connection>, open: &OpenPeer, track: TrackId, event: Event) {
        let Some(drops) = open.drops(track.0) else { return };
        self.events.push_media(connection, event, drops).iter().for_each(|drops| drops.heal());
    }

    /// Whether a text on `fast` was the protocol's, and is dealt with.
    fn control(&self, connection: &Arc<Connection>, text: &str) -> bool {
        match parse_text(text) {
            TextKind::User => return false,
            TextKind::Control(control) => self.input(Input::Control { connection: connection.id().clone(), control }),
            TextKind::Malformed(error) => {
                let detail = format!("a broken control message on connection {}: {error}", connection.id());
                self.events.push_of(connection, Event::Error { code: ErrorCode::Protocol, detail });
            }
        }
        if self.mailbox.full() {
            // A peer that floods us with control messages is read no faster than we can think.
            self.events.hold(connection);
            if !self.mailbox.full() {
                // The room caught up in between, and will not look again.
                self.events.release();
            }
        }
        true
    }
}

impl Handler for Reports {
    fn local_candidate(&self, connection: &Arc<Connection>, candidate: Option<IceCandidate>) {
        self.input(Input::LinkCandidate { connection: connection.id().clone(), candidate });
    }

    fn open(&self, connection: &Arc<Connection>) {
        self.mailbox.post(Letter::Open(connection.clone()));
    }

    fn ice_state(&self, connection: &Arc<Connection>, state: LinkState) {
        self.input(Input::LinkState { connection: connection.id().clone(), state });
    }

    fn ice_server_failed(&self, detail: String) {
        self.mailbox.post(Letter::IceServerFailed(detail));
    }

    fn addresses_changed(&self) {
        self.mailbox.post(Letter::Moved);
    }

    fn servers_changed(&self) {
        // The way to the signaling server is what it was.
        self.input(Input::AddressesChanged);
    }

    fn path_lost(&self, connection: &Arc<Connection>) {
        self.input(Input::PathLost { connection: connection.id().clone() });
    }

    fn channel_open(
        &self,
        connection: &Arc<Connection>,
        channel: ChannelId,
        label: &str,
        _options: &ChannelOptions,
        remote: bool,
    ) {
        self.peers.channel_open(connection, EarlyChannel { channel, label: label.to_owned(), remote }, &self.events);
    }

    fn channel_closed(&self, connection: &Arc<Connection>, channel: ChannelId) {
        self.peers.channel_closed(connection, channel, &self.events);
    }

    fn messages(&self, connection: &Arc<Connection>, messages: &mut VecDeque<Message>) {
        let Some(open) = self.peer(connection) else {
            // A link that was closed on our side: its peer is not heard on it any more.
            return messages.clear();
        };
        while !messages.is_empty() && !connection.is_paused() && !connection.is_closed() {
            let mut odd = None;
            self.events.push_messages(connection, || {
                let Message { channel, is_text, data } = messages.pop_front()?;
                let (peer, number) = (open.peer.clone(), channel.0);
                if !is_text {
                    return Some(Event::Binary { peer, channel: number, data });
                }
                let reserved = channel == ChannelId::FAST && data.starts_with(CONTROL_PREFIX.as_bytes());
                if reserved || std::str::from_utf8(&data).is_err() {
                    odd = Some((number, data));
                    return None;
                }
                Some(Event::Text { peer, channel: number, text: data })
            });
            let Some((channel, data)) = odd else { continue };
            let Ok(text) = std::str::from_utf8(&data) else {
                let detail = format!("a text message from {} is not UTF-8 and was not delivered", open.peer.user_id());
                self.events.push_of(connection, Event::Error { code: ErrorCode::Protocol, detail });
                open.hear_nonsense(Instant::now());
                continue;
            };
            if !self.control(connection, text) {
                let mut user = Some(Event::Text { peer: open.peer.clone(), channel, text: data });
                self.events.push_messages(connection, || user.take());
            }
        }
    }

    fn media(&self, connection: &Arc<Connection>, report: MediaReport) {
        // One that the peer has by another link is not heard any more.
        let Some(open) = self.peer(connection).filter(|open| Arc::ptr_eq(&open.connection, connection)) else { return };
        let peer = open.peer.clone();
        let event = match report {
            MediaReport::Frame(frame) => {
                let RemoteFrame { track, codec, data, timestamp, key, gap } = frame;
                let event = Event::Frame { peer, track: track.0, codec, data, rtp_time: timestamp, key, gap };
                return self.flow(connection, &open, track, event);
            }
            MediaReport::Rtp { track, codec, packet } => {
                return self.flow(connection, &open, track, Event::Rtp { peer, track: track.0, codec, data: packet });
            }
            MediaReport::Track { track, name, kind } => {
                open.add_track(track);
                Event::Track { peer, track: track.0, name, kind }
            }
            MediaReport::Muted { track, muted } => Event::TrackMuted { peer, track: track.0, muted },
            MediaReport::Stream { name, tracks } => {
                Event::Stream { peer, name, tracks: tracks.into_iter().map(|track| track.0).collect() }
            }
            MediaReport::KeyFrameWanted { track } => {
                return self.events.push_wanted(connection, peer, track.0);
            }
            MediaReport::Nonsense(detail) => {
                let detail = format!("{}: {detail}", open.peer.user_id());
                Event::Error { code: ErrorCode::Protocol, detail }
            }
        };
        self.events.push_of(connection, event);
    }

    fn description(&self, connection: &Arc<Connection>, sdp: String, is_offer: bool) {
        let connection = connection.id().clone();
        self.input(if is_offer { Input::LinkOffer { connection, sdp } } else { Input::LinkAnswer { connection, sdp } });
    }

    fn writable(&self, connection: &Arc<Connection>, channel: ChannelId) {
        if let Some(open) = self.peer(connection) {
            self.events.push_of(connection, Event::Writable { peer: open.peer.clone(), channel: channel.0 });
        }
    }

    fn ended(&self, connection: &Arc<Connection>, end: LinkEnd) {
        self.input(Input::LinkEnded { connection: connection.id().clone(), cause: end });
    }
}
