//! The channels of a link: what is queued on each, and who waits for room.

use super::LinkConfig;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;
use webrtc::peer_connection::RTCPeerConnection;

/// Channels of one link, both sides' together.
const MAX_CHANNELS: usize = 1024;

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

pub(super) struct Channels {
    channels: BTreeMap<ChannelId, Channel>,
    high_water: usize,
    low_water: usize,
    high_messages: usize,
    /// Somebody waits for a `Writable`.
    waited_for: bool,
}

#[derive(Default)]
struct Channel {
    open: bool,
    own: bool,
    /// A send was refused since the last `Writable`.
    wanted: bool,
    /// The sizes of the messages that are not acknowledged yet, oldest first: the engine counts bytes only, but a small message
    /// costs it far more than its bytes.
    unacknowledged: VecDeque<u32>,
    bytes: usize,
}

impl Channel {
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
}

impl Channels {
    pub fn new(config: &LinkConfig) -> Self {
        Self {
            channels: BTreeMap::new(),
            high_water: config.send_high_water,
            low_water: config.send_low_water,
            high_messages: config.send_high_messages,
            waited_for: false,
        }
    }

    pub fn low_water(&self) -> usize {
        self.low_water
    }

    pub fn full(&self) -> bool {
        self.channels.len() >= MAX_CHANNELS
    }

    pub fn ids(&self) -> impl Iterator<Item = ChannelId> + '_ {
        self.channels.keys().copied()
    }

    /// Whether it is open, or this side asked for it.
    pub fn has(&self, id: ChannelId) -> bool {
        self.channels.contains_key(&id)
    }

    /// One that this side asked for.
    pub fn own(&mut self, id: ChannelId, _options: &ChannelOptions) {
        self.channels.insert(id, Channel { own: true, ..Channel::default() });
    }

    /// Whether the other side asked for it; `None` if there are too many.
    pub fn opened(&mut self, id: ChannelId) -> Option<bool> {
        if self.full() && !self.channels.contains_key(&id) {
            return None;
        }
        let channel = self.channels.entry(id).or_default();
        channel.open = true;
        Some(!channel.own)
    }

    /// Whether it was open.
    pub fn closed(&mut self, id: ChannelId) -> bool {
        self.channels.remove(&id).is_some_and(|channel| channel.open || channel.own)
    }

    /// Gives the bytes that were outstanding before.
    pub fn send(
        &mut self,
        engine: &mut RTCPeerConnection,
        now: Instant,
        id: ChannelId,
        is_text: bool,
        data: &[u8],
        urgent: bool,
    ) -> Result<usize, SendError> {
        let channel = self.channels.get_mut(&id).filter(|channel| channel.open).ok_or(SendError::NotOpen)?;
        let mut wire = engine.data_channel(id.0 as usize).ok_or(SendError::NotOpen)?;
        let outstanding = wire.outstanding_bytes();
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
        let sent = if is_text {
            let text = std::str::from_utf8(data).map_err(|_| SendError::NotOpen)?;
            wire.send_text(now, text)
        } else {
            wire.send(now, data.into())
        };
        sent.map_err(|_| SendError::NotOpen)?;
        channel.bytes += data.len();
        channel.unacknowledged.push_back(data.len() as u32);
        Ok(outstanding)
    }

    /// Tells who waited that there is room again.
    pub fn settle(&mut self, engine: &mut RTCPeerConnection, mut writable: impl FnMut(ChannelId)) {
        if !self.waited_for {
            return;
        }
        self.waited_for = false;
        for (id, channel) in &mut self.channels {
            if !channel.wanted {
                continue;
            }
            let outstanding = engine.data_channel(id.0 as usize).map_or(0, |wire| wire.outstanding_bytes());
            channel.acknowledge(outstanding);
            if outstanding <= self.low_water && channel.unacknowledged.len() <= self.high_messages / 2 {
                channel.wanted = false;
                writable(*id);
            } else {
                self.waited_for = true;
            }
        }
    }
}
