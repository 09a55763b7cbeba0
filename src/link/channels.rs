//! The channels of a link: which there are, what is queued on each, and who waits for room.
//!
//! A channel is opened by DCEP (RFC 8832) the first time. Between native peers its stream is then never reset: the engine loses
//! what else is in a datagram with data for a stream that it has closed, does not repeat a lost answer to a reset, and takes
//! a stream for free before the other end does. Instead both ends say on `fast` that everything of theirs has arrived
//! ([`Control::ChannelDone`]), and the next channel of the same kind gets the stream ([`Control::ChannelOpen`]).

use super::pieces::{Broken, Inbox, Unfinished, PIECE};
use super::LinkConfig;
use crate::protocol::Control;
use bytes::BytesMut;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;
use webrtc::peer_connection::RTCPeerConnection;

/// Streams of one link, both sides' together, above which this side asks for no more …
const MAX_CHANNELS: usize = 1024;
/// … and above which the other side, which counts as we do, is not one of us.
const TOO_MANY_CHANNELS: usize = 2 * MAX_CHANNELS;

/// What may wait of answers to control messages that the other side does not take, beside what the application sends.
const MAX_ANSWERS: usize = 4096;
const MAX_ANSWER_BYTES: usize = 4 << 20;

/// Bytes of a channel's label, and of its protocol.
pub(super) const MAX_LABEL: usize = 1024;

/// Whether a channel may have these names.
pub(super) fn is_wordy(label: &str, protocol: &str) -> bool {
    label.len().max(protocol.len()) > MAX_LABEL
}

/// A channel of a connection, numbered in the order in which this side came to know it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChannelId(pub u32);

impl ChannelId {
    /// Both sides know `fast` first: the offerer makes it before its offer, and the answerer takes the first that comes.
    pub const FAST: Self = Self(0);
}

/// How a channel carries its messages (RFC 8832).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelOptions {
    /// Messages arrive in the order in which they were sent.
    pub ordered: bool,
    pub reliability: Reliability,
    pub protocol: String,
}

impl Default for ChannelOptions {
    fn default() -> Self {
        Self { ordered: true, reliability: Reliability::Reliable, protocol: String::new() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reliability {
    Reliable,
    /// A message is given up after so many retransmissions.
    MaxRetransmits(u16),
    /// A message is given up after so many milliseconds.
    MaxLifetime(u16),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    #[error("the send buffer is full")]
    WouldBlock,
    #[error("the message is larger than the other side takes ({0} bytes)")]
    TooLarge(usize),
    #[error("the channel is not open")]
    NotOpen,
}

/// The `fast` channel, for who sends on it without the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FastState {
    /// Bytes of the largest message.
    pub limit: usize,
    /// Bytes and messages that the engine has and the other side has not acknowledged.
    pub outstanding: usize,
    pub unacknowledged: usize,
}

/// The engine's own name of a channel, for as long as the connection lives.
type Wire = usize;

pub(super) struct Channels {
    wires: BTreeMap<Wire, Channel>,
    /// Those that their owner may use or still hears of.
    ids: BTreeMap<ChannelId, Wire>,
    next_id: u32,
    high_water: usize,
    low_water: usize,
    high_messages: usize,
    /// Somebody waits for a `Writable`.
    waited_for: bool,
    /// Some are closing.
    closing: bool,
    steps: VecDeque<Step>,
    unfinished: Unfinished,
    /// Larger ones go in pieces; the engine would not take them.
    pieces: usize,
}

/// What the link is to do for its channels, in order.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// On `fast`, to the other side.
    Say(Control),
    Opened {
        channel: ChannelId,
        label: String,
        options: ChannelOptions,
        remote: bool,
    },
    Closed(ChannelId),
    /// In the engine.
    Reset(Wire),
}

/// Why a further channel was not opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OpenError {
    /// The connection is not open, or not any more.
    NotOpen,
    /// It has as many channels, of as many kinds, as it may.
    Full,
    /// What was asked for cannot be, with the reason.
    Unusable(String),
}

/// The other side has opened more channels than it may.
#[derive(Debug)]
pub(super) struct TooMany;

#[derive(Default)]
struct Channel {
    /// None when its owner is through with it.
    id: Option<ChannelId>,
    label: String,
    options: ChannelOptions,
    /// Its SCTP stream, once it is known.
    stream: Option<u16>,
    own: bool,
    /// The engine has said that it is open: it says so once, and perhaps after the other side's first words on it.
    ready: bool,
    phase: Phase,
    /// Both are true once the phase is `Idle`.
    told_done: bool,
    heard_done: bool,
    /// The other side has asked for the next channel on this stream while we were not through with the last.
    next: Option<(String, String)>,
    inbox: Inbox,
    /// A send was refused since the last `Writable`.
    wanted: bool,
    /// The sizes of the messages that are not acknowledged yet, oldest first: the engine counts bytes only, but a small message
    /// costs it far more than its bytes.
    unacknowledged: VecDeque<u32>,
    bytes: usize,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Opening,
    Open,
    Closing,
    /// Both ends are through with it.
    Idle,
}

impl Channel {
    /// Nothing is outstanding.
    fn idle(&mut self) {
        self.bytes = 0;
        self.unacknowledged.clear();
        // What a burst has needed is not kept by each of hundreds of links.
        if self.unacknowledged.capacity() > 256 {
            self.unacknowledged.shrink_to(0);
        }
    }

    /// Forgets what was acknowledged, by what the engine says is outstanding.
    fn acknowledge(&mut self, outstanding: usize) {
        while let Some(&oldest) = self.unacknowledged.front() {
            let rest = self.bytes - oldest as usize;
            if rest < outstanding || (rest == outstanding && oldest == 0 && outstanding > 0) {
                break;
            }
            self.bytes = rest;
            self.unacknowledged.pop_front();
        }
    }

    /// One of the other side's, that is idle, becomes the next.
    fn renew(&mut self, id: Option<ChannelId>, label: String, protocol: String) {
        self.id = id;
        self.label = label;
        self.options.protocol = protocol;
        self.phase = Phase::Opening;
        (self.told_done, self.heard_done) = (false, false);
        self.wanted = false;
        self.idle();
    }
}

fn outstanding(engine: &mut RTCPeerConnection, wire: Wire) -> usize {
    engine.data_channel(wire).map_or(0, |channel| channel.outstanding_bytes())
}

impl Channels {
    pub fn new(config: &LinkConfig) -> Self {
        Self {
            wires: BTreeMap::new(),
            ids: BTreeMap::new(),
            next_id: 0,
            high_water: config.send_high_water,
            low_water: config.send_low_water,
            high_messages: config.send_high_messages,
            waited_for: false,
            closing: false,
            steps: VecDeque::new(),
            unfinished: Unfinished::default(),
            pieces: usize::MAX,
        }
    }

    pub fn low_water(&self) -> usize {
        self.low_water
    }

    /// The other side is native.
    pub fn send_in_pieces(&mut self) {
        self.pieces = PIECE;
    }

    /// Whether messages arrive on it in the order in which they were sent, and all of them.
    pub fn carries_pieces(&self, id: ChannelId) -> bool {
        let channel = self.ids.get(&id).and_then(|wire| self.wires.get(wire));
        channel.is_none_or(|channel| {
            channel.options.ordered && matches!(channel.options.reliability, Reliability::Reliable)
        })
    }

    /// The other side announces a message in pieces.
    pub fn announced(&mut self, wire: Wire, is_text: bool, size: usize, limit: usize) -> Result<(), String> {
        match self.wires.get_mut(&wire) {
            Some(channel) if channel.id.is_some() => channel.inbox.announce(is_text, size, limit),
            // Nobody hears it.
            _ => Ok(()),
        }
    }

    /// What has come on a channel, once it is whole.
    pub fn whole(&mut self, wire: Wire, is_text: bool, data: BytesMut) -> Result<Option<(bool, BytesMut)>, Broken> {
        match self.wires.get_mut(&wire) {
            Some(channel) => channel.inbox.take(&mut self.unfinished, is_text, data),
            None => Ok(None),
        }
    }

    fn fresh_id(&mut self, wire: Wire) -> ChannelId {
        let id = ChannelId(self.next_id);
        self.next_id += 1;
        self.ids.insert(id, wire);
        id
    }

    pub fn is_fast(&self, wire: Wire) -> bool {
        self.ids.get(&ChannelId::FAST) == Some(&wire)
    }

    /// The engine is to be asked for no more.
    pub fn full(&self) -> bool {
        self.wires.len() >= MAX_CHANNELS
    }

    /// Streams besides that of `fast`, and those of them that are not free for another channel.
    #[cfg(test)]
    pub fn counts(&self) -> (usize, usize) {
        let busy = self.wires.values().filter(|channel| channel.phase != Phase::Idle).count();
        (self.wires.len() - 1, busy - 1)
    }

    pub fn wires(&self) -> impl Iterator<Item = Wire> + '_ {
        self.wires.keys().copied()
    }

    #[cfg(test)]
    pub fn further(&self) -> Vec<ChannelId> {
        self.ids.keys().copied().filter(|id| *id != ChannelId::FAST).collect()
    }

    /// Of one that its owner may use: it is open or will be, and neither end is closing it.
    pub fn wire(&self, id: ChannelId) -> Option<Wire> {
        let wire = *self.ids.get(&id)?;
        matches!(self.wires.get(&wire)?.phase, Phase::Opening | Phase::Open).then_some(wire)
    }

    /// To whom a message goes that has come; nobody if the owner is through with the channel.
    pub fn heard(&mut self, wire: Wire) -> Option<ChannelId> {
        // Whoever speaks on it has opened it.
        if self.wires.get(&wire).is_some_and(|channel| channel.own && channel.phase == Phase::Opening) {
            self.open_again(wire);
        }
        self.wires.get(&wire)?.id
    }

    /// One that this side has asked the engine for.
    pub fn own(&mut self, wire: Wire, stream: Option<u16>, label: &str, options: &ChannelOptions) -> ChannelId {
        let id = self.fresh_id(wire);
        let (label, options) = (label.to_owned(), options.clone());
        self.wires.insert(wire, Channel { id: Some(id), own: true, stream, label, options, ..Channel::default() });
        id
    }

    /// A new channel on the stream of an old one of this side's.
    pub fn reuse(&mut self, label: &str, options: &ChannelOptions) -> Option<ChannelId> {
        let fits = |channel: &Channel| {
            let (had, wanted) = (&channel.options, options);
            let same = had.ordered == wanted.ordered && had.reliability == wanted.reliability;
            channel.own && channel.ready && channel.phase == Phase::Idle && same
        };
        let wire = *self.wires.iter().find(|(_, channel)| fits(channel))?.0;
        let id = self.fresh_id(wire);
        let channel = self.wires.get_mut(&wire)?;
        let (label, protocol) = (label.to_owned(), options.protocol.clone());
        channel.renew(Some(id), label.clone(), protocol.clone());
        let stream = channel.stream?;
        self.steps.push_back(Step::Say(Control::ChannelOpen { stream, label, protocol }));
        Some(id)
    }

    /// The engine says that it is open. One of the other side's with names without end is closed again, unheard of.
    pub fn opened(
        &mut self,
        wire: Wire,
        stream: Option<u16>,
        label: &str,
        options: &ChannelOptions,
    ) -> Result<(), TooMany> {
        if !self.wires.contains_key(&wire) {
            if self.wires.len() >= TOO_MANY_CHANNELS {
                return Err(TooMany);
            }
            let id = (!is_wordy(label, &options.protocol)).then(|| self.fresh_id(wire));
            self.closing |= id.is_none();
            let (label, options) = (label.to_owned(), options.clone());
            self.wires.insert(wire, Channel { id, label, options, ..Channel::default() });
        }
        if let Some(channel) = self.wires.get_mut(&wire) {
            channel.stream = stream;
            channel.ready = true;
        }
        self.open_again(wire);
        Ok(())
    }

    /// Unless it is open already.
    fn open_again(&mut self, wire: Wire) {
        if let Some(channel) = self.wires.get_mut(&wire).filter(|channel| channel.phase == Phase::Opening) {
            channel.phase = Phase::Open;
            self.tell_opened(wire);
        }
    }

    fn tell_opened(&mut self, wire: Wire) {
        if self.is_fast(wire) {
            return;
        }
        if let Some(Channel { id: Some(channel), label, options, own, .. }) = self.wires.get(&wire) {
            let (channel, label, options, remote) = (*channel, label.clone(), options.clone(), !own);
            self.steps.push_back(Step::Opened { channel, label, options, remote });
        }
    }

    /// Its owner is through with it, and hears no more of it.
    pub fn close(&mut self, id: ChannelId) {
        let Some(wire) = self.ids.remove(&id) else { return };
        if let Some(channel) = self.wires.get_mut(&wire) {
            // One that is not open yet is closed as soon as it is: the other end may not know it yet.
            channel.id = None;
            channel.inbox.clear(&mut self.unfinished);
            self.closing = true;
            self.steps.push_back(Step::Closed(id));
        }
    }

    /// What the other side says of a channel. What makes no sense is passed over; gives whether it made any.
    pub fn control(&mut self, control: Control) -> bool {
        let of_stream = |channels: &Self, stream: u16| {
            let found = channels.wires.iter().find(|(_, channel)| channel.stream == Some(stream));
            found.map(|(wire, _)| *wire).filter(|wire| !channels.is_fast(*wire))
        };
        match control {
            Control::ChannelDone { stream } => {
                let Some(wire) = of_stream(self, stream) else { return false };
                // It would not be done with what it had not opened.
                self.open_again(wire);
                let Some(channel) = self.wires.get_mut(&wire) else { return false };
                if channel.phase == Phase::Idle || channel.heard_done {
                    return false;
                }
                channel.phase = Phase::Closing;
                channel.heard_done = true;
                self.closing = true;
            }
            Control::ChannelOpen { stream, label, protocol } => {
                let Some(wire) = of_stream(self, stream) else { return false };
                let Some(channel) = self.wires.get_mut(&wire).filter(|channel| !channel.own) else { return false };
                let through = channel.phase == Phase::Idle || (channel.told_done && channel.heard_done);
                if !through || channel.next.is_some() {
                    return false;
                }
                channel.next = Some((label, protocol));
                self.closing = true;
            }
            Control::ChannelAck { stream } => {
                let Some(wire) = of_stream(self, stream) else { return false };
                if self.wires.get(&wire).is_none_or(|channel| channel.phase != Phase::Opening) {
                    return false;
                }
                self.open_again(wire);
            }
            _ => return false,
        }
        true
    }

    /// The next thing to do. `read`: whatever has arrived was taken.
    pub fn next_step(&mut self, engine: &mut RTCPeerConnection, native: bool, read: bool) -> Option<Step> {
        if self.steps.is_empty() && std::mem::take(&mut self.closing) {
            self.advance(engine, native, read);
        }
        self.steps.pop_front()
    }

    fn advance(&mut self, engine: &mut RTCPeerConnection, native: bool, read: bool) {
        let mut renewed = Vec::new();
        for (&wire, channel) in &mut self.wires {
            if channel.phase == Phase::Open && channel.id.is_none() {
                channel.phase = Phase::Closing;
            }
            if channel.phase == Phase::Closing && !native {
                // It was closed here, and the other side knows no other way.
                channel.phase = Phase::Idle;
                self.steps.push_back(Step::Reset(wire));
                continue;
            }
            if let (Phase::Closing, Some(stream)) = (channel.phase, channel.stream) {
                if !channel.told_done && outstanding(engine, wire) == 0 {
                    channel.told_done = true;
                    self.steps.push_back(Step::Say(Control::ChannelDone { stream }));
                }
                if channel.heard_done && read {
                    if let Some(id) = channel.id.take() {
                        channel.inbox.clear(&mut self.unfinished);
                        self.ids.remove(&id);
                        self.steps.push_back(Step::Closed(id));
                    }
                    if channel.told_done {
                        channel.phase = Phase::Idle;
                    }
                }
            }
            if channel.phase == Phase::Idle {
                if let Some((label, protocol)) = channel.next.take() {
                    renewed.push((wire, label, protocol));
                }
            }
            self.closing |=
                matches!(channel.phase, Phase::Closing) || (channel.id.is_none() && channel.phase == Phase::Opening);
        }
        for (wire, label, protocol) in renewed {
            let id = (!is_wordy(&label, &protocol)).then(|| self.fresh_id(wire));
            self.closing |= id.is_none();
            let Some(channel) = self.wires.get_mut(&wire) else { continue };
            channel.renew(id, label, protocol);
            if let Some(stream) = channel.stream {
                self.steps.push_back(Step::Say(Control::ChannelAck { stream }));
            }
            self.open_again(wire);
        }
    }

    /// The engine says that it is closed.
    pub fn closed(&mut self, wire: Wire) {
        let Some(mut channel) = self.wires.remove(&wire) else { return };
        channel.inbox.clear(&mut self.unfinished);
        if let Some(id) = channel.id {
            self.ids.remove(&id);
            self.steps.push_back(Step::Closed(id));
        }
    }

    /// Bytes and messages that are outstanding on a channel, if it is open.
    pub fn load(&mut self, engine: &mut RTCPeerConnection, id: ChannelId) -> Option<(usize, usize)> {
        let wire = *self.ids.get(&id)?;
        let channel = self.wires.get_mut(&wire).filter(|channel| channel.phase == Phase::Open)?;
        let outstanding = outstanding(engine, wire);
        channel.acknowledge(outstanding);
        Some((outstanding, channel.unacknowledged.len()))
    }

    /// More waits for the other side than the application may have sent, by what this side had to answer.
    pub fn is_choked(&mut self, engine: &mut RTCPeerConnection) -> bool {
        let most = (self.high_water.saturating_add(MAX_ANSWER_BYTES), self.high_messages.saturating_add(MAX_ANSWERS));
        let load = self.load(engine, ChannelId::FAST);
        load.is_some_and(|(bytes, messages)| bytes > most.0 || messages > most.1)
    }

    /// Gives the bytes that were outstanding before.
    pub fn send(
        &mut self,
        engine: &mut RTCPeerConnection,
        now: Instant,
        id: ChannelId,
        is_text: bool,
        mut data: BytesMut,
        urgent: bool,
    ) -> Result<usize, SendError> {
        let number = *self.ids.get(&id).ok_or(SendError::NotOpen)?;
        let open = |channel: &&mut Channel| channel.phase == Phase::Open;
        let channel = self.wires.get_mut(&number).filter(open).ok_or(SendError::NotOpen)?;
        let mut wire = engine.data_channel(number).ok_or(SendError::NotOpen)?;
        let outstanding = wire.outstanding_bytes();
        if outstanding == 0 {
            channel.idle();
        }
        if !urgent {
            let mut full = outstanding + data.len() > self.high_water && outstanding > 0;
            if channel.unacknowledged.len() >= self.high_messages {
                channel.acknowledge(outstanding);
                full |= channel.unacknowledged.len() >= self.high_messages;
            }
            if full {
                channel.wanted = true;
                self.waited_for = true;
                return Err(SendError::WouldBlock);
            }
        }
        let mut send = |is_text: bool, data: BytesMut| {
            let length = data.len();
            let sent = if is_text {
                let text = String::from_utf8(data.into()).map_err(|_| SendError::NotOpen)?;
                wire.send_text(now, text)
            } else {
                wire.send(now, data)
            };
            sent.map_err(|_| SendError::NotOpen)?;
            channel.bytes += length;
            channel.unacknowledged.push_back(length as u32);
            Ok(())
        };
        if data.len() <= self.pieces {
            send(is_text, data)?;
        } else {
            let control = Control::Pieces { size: data.len(), text: is_text };
            send(true, control.to_text().as_bytes().into())?;
            while !data.is_empty() {
                send(false, data.split_to(data.len().min(self.pieces)))?;
            }
        }
        Ok(outstanding)
    }

    /// Tells who waited that there is room again.
    pub fn settle(&mut self, engine: &mut RTCPeerConnection, mut writable: impl FnMut(ChannelId)) {
        if !self.waited_for {
            return;
        }
        self.waited_for = false;
        for (&wire, channel) in &mut self.wires {
            let Some(id) = channel.id.filter(|_| channel.wanted && channel.phase == Phase::Open) else { continue };
            let outstanding = outstanding(engine, wire);
            channel.acknowledge(outstanding);
            if outstanding <= self.low_water && channel.unacknowledged.len() <= self.high_messages / 2 {
                channel.wanted = false;
                writable(id);
            } else {
                self.waited_for = true;
            }
        }
    }
}
