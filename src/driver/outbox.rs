//! What a busy link's `fast` channel is given and its engine has not got yet.
//!
//! While a link is busy its engine works, under the connection's lock, for the better part of the time. A thread that sends only
//! leaves its message here, and the next pump takes all that has come: neither waits for the other.

use super::DriverConfig;
use crate::link::{FastState, SendError, FEW};
use bytes::BytesMut;
use std::collections::VecDeque;

/// What the engine is given of a burst before it is to send: the other side then works while this one does.
const SLICE_MESSAGES: usize = 512;
const SLICE_BYTES: usize = 128 * 1024;

/// The bounds of a channel's queue, as in [`super::DriverConfig`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub high_water: usize,
    pub low_water: usize,
    pub high_messages: usize,
}

impl Bounds {
    pub fn of(config: &DriverConfig) -> Self {
        Self {
            high_water: config.send_high_water,
            low_water: config.send_low_water,
            high_messages: config.send_high_messages,
        }
    }
}

pub(crate) struct Outgoing {
    pub is_text: bool,
    pub data: BytesMut,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// The link is idle: the message is not taken, but may go to the engine at once.
    AtOnce,
    /// Taken. `first`: nobody has been told that there is something.
    Later { first: bool },
}

pub(crate) struct Outbox {
    bounds: Bounds,
    /// The engine's channel as it was at the last look; `None` while it is not open.
    fast: Option<FastState>,
    /// Its owner sends no more.
    closed: bool,
    waiting: VecDeque<Outgoing>,
    bytes: usize,
    /// A send was refused since the last `Writable`.
    wanted: bool,
}

impl Outbox {
    pub fn new(bounds: Bounds) -> Self {
        Self { bounds, fast: None, closed: false, waiting: VecDeque::new(), bytes: 0, wanted: false }
    }

    /// Bytes that are neither acknowledged nor, for `waiting` ones, in the engine.
    fn outstanding(&self, fast: FastState) -> usize {
        fast.outstanding + self.bytes
    }

    /// Takes a message whole, or nothing.
    pub fn admit(&mut self, is_text: bool, data: &[u8]) -> Result<Admitted, SendError> {
        let fast = self.fast.filter(|_| !self.closed).ok_or(SendError::NotOpen)?;
        if data.len() > fast.limit {
            return Err(SendError::TooLarge(fast.limit));
        }
        let outstanding = self.outstanding(fast);
        let Bounds { high_water, high_messages, .. } = self.bounds;
        let full = outstanding > 0 && outstanding + data.len() > high_water;
        if full || fast.unacknowledged + self.waiting.len() >= high_messages {
            self.wanted = true;
            return Err(SendError::WouldBlock);
        }
        if outstanding <= FEW {
            return Ok(Admitted::AtOnce);
        }
        let first = self.waiting.is_empty();
        self.waiting.push_back(Outgoing { is_text, data: data.into() });
        self.bytes += data.len();
        Ok(Admitted::Later { first })
    }

    /// For the engine, which has to take it: all, or as much as it should have before it sends. The bytes count as its own from the
    /// next [`Self::settle`] on.
    pub fn take(&mut self, all: bool) -> VecDeque<Outgoing> {
        let (mut count, mut bytes) = (0, 0);
        for message in &self.waiting {
            if !all && (count == SLICE_MESSAGES || bytes >= SLICE_BYTES) {
                let rest = self.waiting.split_off(count);
                return std::mem::replace(&mut self.waiting, rest);
            }
            count += 1;
            bytes += message.data.len();
        }
        std::mem::take(&mut self.waiting)
    }

    /// What the engine has now, `taken` bytes of ours included.
    pub fn look(&mut self, fast: Option<FastState>, taken: usize) {
        self.fast = fast;
        self.bytes -= taken.min(self.bytes);
    }

    /// The same. Whether to tell who waited that there is room again.
    pub fn settle(&mut self, fast: Option<FastState>, taken: usize) -> bool {
        self.look(fast, taken);
        let Some(fast) = fast.filter(|_| self.wanted && !self.closed) else { return false };
        let few = fast.unacknowledged + self.waiting.len() <= self.bounds.high_messages / 2;
        let room = few && self.outstanding(fast) <= self.bounds.low_water;
        self.wanted &= !room;
        room
    }

    /// Nothing more is taken.
    pub fn close(&mut self) {
        self.closed = true;
    }

    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { high_water: 10_000, low_water: 2_000, high_messages: 20 };

    fn state(outstanding: usize, unacknowledged: usize) -> Option<FastState> {
        Some(FastState { limit: 5_000, outstanding, unacknowledged })
    }

    fn outbox(outstanding: usize, unacknowledged: usize) -> Outbox {
        let mut outbox = Outbox::new(BOUNDS);
        outbox.settle(state(outstanding, unacknowledged), 0);
        outbox
    }

    #[test]
    fn an_idle_link_is_given_its_messages_at_once_and_a_busy_one_later_in_order() {
        let mut outbox = outbox(FEW, 1);
        assert_eq!(outbox.admit(true, b"one"), Ok(Admitted::AtOnce));
        assert!(outbox.is_empty());
        outbox.settle(state(FEW + 1, 2), 0);
        assert_eq!(outbox.admit(true, b"two"), Ok(Admitted::Later { first: true }));
        assert_eq!(outbox.admit(false, b"three"), Ok(Admitted::Later { first: false }));
        let taken = outbox.take(true);
        assert_eq!(
            taken.iter().map(|m| (m.is_text, &m.data[..])).collect::<Vec<_>>(),
            [(true, &b"two"[..]), (false, &b"three"[..])]
        );
        assert_eq!(outbox.bytes(), 8, "on their way until the engine has them");
        outbox.settle(state(FEW + 9, 4), 8);
        assert_eq!(outbox.bytes(), 0);
        assert_eq!(outbox.admit(true, b"four"), Ok(Admitted::Later { first: true }), "nobody knows of it yet");
    }

    #[test]
    fn what_is_not_open_or_closed_or_too_large_is_refused() {
        let mut outbox = Outbox::new(BOUNDS);
        assert_eq!(outbox.admit(true, b""), Err(SendError::NotOpen));
        outbox.settle(state(0, 0), 0);
        assert_eq!(outbox.admit(true, &[0; 5_001]), Err(SendError::TooLarge(5_000)));
        assert_eq!(outbox.admit(true, &[0; 5_000]), Ok(Admitted::AtOnce));
        outbox.close();
        assert_eq!(outbox.admit(true, b""), Err(SendError::NotOpen));
        outbox.settle(state(0, 0), 0);
        assert_eq!(outbox.admit(true, b""), Err(SendError::NotOpen), "for good");
    }

    #[test]
    fn who_was_refused_hears_once_when_there_is_room() {
        let mut outbox = outbox(6_000, 2);
        assert_eq!(outbox.admit(true, &[0; 4_000]), Ok(Admitted::Later { first: true }));
        assert_eq!(outbox.admit(true, &[0; 1]), Err(SendError::WouldBlock));
        assert_eq!(outbox.take(true).len(), 1);
        assert!(!outbox.settle(state(10_000, 3), 4_000));
        assert!(!outbox.settle(state(2_001, 1), 0));
        assert!(outbox.settle(state(2_000, 1), 0));
        assert!(!outbox.settle(state(0, 0), 0), "once");
    }

    #[test]
    fn small_messages_are_counted() {
        let mut outbox = outbox(2_000, 19);
        assert_eq!(outbox.admit(true, b""), Ok(Admitted::Later { first: true }));
        assert_eq!(outbox.admit(true, b""), Err(SendError::WouldBlock));
        assert!(!outbox.settle(state(100, 10), 0), "one of ours waits");
        assert_eq!(outbox.take(true).len(), 1);
        assert!(outbox.settle(state(100, 10), 0));
    }

    #[test]
    fn a_message_over_the_high_water_mark_goes_when_nothing_else_is_on_its_way() {
        let mut outbox = Outbox::new(Bounds { high_water: 100, ..BOUNDS });
        outbox.settle(state(0, 0), 0);
        assert_eq!(outbox.admit(true, &[0; 5_000]), Ok(Admitted::AtOnce));
        outbox.settle(state(5_000, 1), 0);
        assert_eq!(outbox.admit(true, b""), Err(SendError::WouldBlock));
    }
}
