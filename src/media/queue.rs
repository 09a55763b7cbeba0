//! Packets that came too early, by number.

use super::depacketize::{read, Start};
use super::Codec;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

pub(super) enum Content {
    /// Nothing at all: it tries how much there is room for, or keeps a mapping open.
    Padding,
    /// No payload of this codec.
    Junk,
    Part {
        start: Start,
        key: bool,
        body: Bytes,
    },
}

impl Content {
    pub fn of(codec: Codec, payload: Bytes) -> Self {
        if payload.is_empty() {
            return Content::Padding;
        }
        match read(codec, &payload) {
            Some(reading) => {
                Content::Part { start: reading.start, key: reading.key, body: payload.slice(reading.descriptor..) }
            }
            None => Content::Junk,
        }
    }

    pub fn size(&self) -> usize {
        match self {
            Content::Part { body, .. } => body.len(),
            Content::Padding | Content::Junk => 0,
        }
    }
}

/// A packet that is not taken yet.
pub(super) struct Waiting {
    pub timestamp: u32,
    pub marker: bool,
    pub content: Content,
}

#[derive(Default)]
pub(super) struct Queue {
    packets: BTreeMap<i64, Waiting>,
    bytes: usize,
    /// In the order in which they came; of those that were taken, what has not been forgotten yet.
    arrivals: VecDeque<(Instant, i64)>,
}

impl Queue {
    pub fn contains(&self, number: i64) -> bool {
        self.packets.contains_key(&number)
    }

    /// Its number is new, and higher than those that were taken.
    pub fn insert(&mut self, now: Instant, number: i64, packet: Waiting) {
        self.bytes += packet.content.size();
        self.packets.insert(number, packet);
        self.arrivals.push_back((now, number));
    }

    pub fn first(&self) -> Option<(i64, &Waiting)> {
        self.packets.first_key_value().map(|(number, packet)| (*number, packet))
    }

    pub fn take_first(&mut self) -> Option<(i64, Waiting)> {
        let (taken, packet) = self.packets.pop_first()?;
        self.bytes -= packet.content.size();
        while self.arrivals.front().is_some_and(|(_, number)| *number <= taken) {
            self.arrivals.pop_front();
        }
        Some((taken, packet))
    }

    /// When the one came that has waited longest.
    pub fn since(&self) -> Option<Instant> {
        self.arrivals.front().map(|(time, _)| *time)
    }

    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Of the contents.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn packets_leave_by_number_and_the_one_that_waits_longest_is_known() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut queue = Queue::default();
        for (seconds, number) in [(0, 7), (1, 3), (2, 9), (3, 4)] {
            let content = Content::of(Codec::Opus, vec![0; number as usize].into());
            queue.insert(after(seconds), number, Waiting { timestamp: 0, marker: false, content });
        }
        assert!(queue.contains(9) && !queue.contains(8));
        for (number, bytes, since) in [(3, 20, Some(after(0))), (4, 16, Some(after(0))), (7, 9, Some(after(2)))] {
            assert_eq!(queue.first().map(|(number, _)| number), Some(number));
            assert_eq!(queue.take_first().map(|(number, _)| number), Some(number));
            assert_eq!((queue.bytes(), queue.since()), (bytes, since));
        }
        assert_eq!(queue.take_first().map(|(number, _)| number), Some(9));
        assert_eq!((queue.len(), queue.bytes(), queue.since(), queue.arrivals.len()), (0, 0, None, 0));
    }
}
