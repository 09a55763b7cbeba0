//! Packets of one remote track put in order, and its frames from them.
//!
//! Packets are taken by number: the next one goes to the frame in hand, what comes too early waits. A packet that is missing is
//! waited for from the first one behind it on, for a while, and then the frame is dropped that it was of.

use super::depacketize::{Frame, Start};
use super::queue::{Content, Queue, Waiting};
use super::sequence::{Place, Sequence};
use super::Codec;
use crate::protocol::TrackKind;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::ops::Range;
use std::time::{Duration, Instant};

/// Packets that wait for one before them.
const MAX_WAITING: usize = 2048;
/// Bytes of them and of the frame in hand; a frame alone is less.
const MAX_BYTES: usize = 8 << 20;
/// Runs of packets that were not waited for any longer, to tell one that is late from one that comes twice.
const MAX_GIVEN_UP: usize = 32;

pub(crate) struct Packet {
    pub sequence: u16,
    pub timestamp: u32,
    pub marker: bool,
    /// Without padding. It is kept until the packets before it have come.
    pub payload: Bytes,
}

/// A whole frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Assembled {
    pub data: BytesMut,
    pub timestamp: u32,
    /// Nothing before it is needed to decode it.
    pub key: bool,
    /// Something between the frame before it and it was lost.
    pub gap: bool,
}

/// The frame that the next packet goes on with.
struct InHand {
    timestamp: u32,
    key: bool,
    /// `None`: it is dropped when it ends.
    frame: Option<Frame>,
}

/// Whether a video track can be decoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Decodable {
    /// Nothing has come yet.
    Unknown,
    Yes,
    /// Not before a key frame.
    No {
        asked: bool,
    },
}

enum Step {
    Frame(Assembled),
    On,
    Wait,
}

pub(crate) struct Assembler {
    codec: Codec,
    max_wait: Duration,
    sequence: Sequence,
    stray: Option<Packet>,
    queue: Queue,
    /// The packet that is taken next; `None`: the first.
    next: Option<i64>,
    given_up: VecDeque<Range<i64>>,
    in_hand: Option<InHand>,
    /// Nothing is missing since a frame ended: the next packet begins one.
    frame_ended: bool,
    /// Of the packet that was taken last.
    timestamp: Option<u32>,
    gap: bool,
    /// Since a frame ended something was lost, and counts: a frame that is not whole for it is no loss of its own.
    loss_counted: bool,
    decodable: Decodable,
    /// Packets that came when they were waited for no longer.
    pub late: u64,
    pub duplicate: u64,
    /// Packets that were waited for in vain; some of them may come late.
    pub lost: u64,
}

impl Assembler {
    /// `max_wait`: for a packet that is missing, after one behind it came.
    pub fn new(codec: Codec, max_wait: Duration) -> Self {
        Self {
            codec,
            max_wait,
            sequence: Sequence::default(),
            stray: None,
            queue: Queue::default(),
            next: None,
            given_up: VecDeque::new(),
            in_hand: None,
            frame_ended: false,
            timestamp: None,
            gap: false,
            loss_counted: false,
            decodable: Decodable::Unknown,
            late: 0,
            duplicate: 0,
            lost: 0,
        }
    }

    pub fn codec(&self) -> Codec {
        self.codec
    }

    pub fn push(&mut self, now: Instant, packet: Packet) {
        match self.sequence.place(packet.sequence) {
            Place::Number(number) => {
                self.stray = None;
                self.insert(now, number, packet);
            }
            Place::Stray => self.stray = Some(packet),
            Place::Restart => {
                let stray = self.stray.take();
                self.restart();
                for packet in stray.into_iter().chain([packet]) {
                    if let Place::Number(number) = self.sequence.place(packet.sequence) {
                        self.insert(now, number, packet);
                    }
                }
            }
        }
    }

    /// The next whole frame, if there is one by now. To be called until there is none.
    pub fn pop(&mut self, now: Instant) -> Option<Assembled> {
        loop {
            match self.step(Some(now)) {
                Step::Frame(frame) => return Some(frame),
                Step::On => {}
                Step::Wait => return None,
            }
        }
    }

    /// When [`Assembler::pop`] may give a frame though nothing is pushed: what is missing is waited for no longer.
    pub fn deadline(&self) -> Option<Instant> {
        let (number, first) = self.queue.first()?;
        let since = self.queue.since()?;
        if self.follows(number, first) {
            return Some(since);
        }
        since.checked_add(self.max_wait)
    }

    /// True once after each loss of video that only a key frame heals; and at the beginning, if it is none.
    pub fn wants_key_frame(&mut self) -> bool {
        let wants = self.decodable == Decodable::No { asked: false };
        if wants {
            self.decodable = Decodable::No { asked: true };
        }
        wants
    }

    /// There was a loss that no key frame has healed yet, whether or not [`Assembler::wants_key_frame`] has told.
    pub fn needs_key_frame(&self) -> bool {
        matches!(self.decodable, Decodable::No { .. })
    }

    fn insert(&mut self, now: Instant, number: i64, packet: Packet) {
        if self.next.is_some_and(|next| number < next) {
            let late = self.given_up.iter().any(|run| run.contains(&number));
            *if late { &mut self.late } else { &mut self.duplicate } += 1;
            return;
        }
        if self.queue.contains(number) {
            self.duplicate += 1;
            return;
        }
        let content = Content::of(self.codec, packet.payload);
        self.queue.insert(now, number, Waiting { timestamp: packet.timestamp, marker: packet.marker, content });
        self.bound();
    }

    /// The oldest frame goes first, and what is missing is not waited for.
    fn bound(&mut self) {
        while self.queue.len() > MAX_WAITING || self.size() > MAX_BYTES {
            match self.step(None) {
                Step::Frame(_) => self.lose(),
                Step::On => {}
                Step::Wait => return,
            }
        }
    }

    /// Bytes that wait, and those of the frame in hand.
    pub fn size(&self) -> usize {
        self.queue.bytes() + self.size_in_hand()
    }

    fn size_in_hand(&self) -> usize {
        self.in_hand.as_ref().and_then(|in_hand| in_hand.frame.as_ref()).map_or(0, Frame::size)
    }

    /// Takes a packet, or gives up those before it. `now` is `None`: nothing is waited for.
    fn step(&mut self, now: Option<Instant>) -> Step {
        let Some((number, first)) = self.queue.first() else { return Step::Wait };
        let (timestamp, is_padding) = (first.timestamp, matches!(first.content, Content::Padding));
        let expired = |now| self.deadline().is_some_and(|deadline| deadline <= now);
        if !self.follows(number, first) && !now.is_none_or(expired) {
            return Step::Wait;
        }
        if self.next != Some(number) {
            self.begin_at(number);
        }
        // A frame ends without a marker, too.
        if !is_padding && self.in_hand.as_ref().is_some_and(|in_hand| in_hand.timestamp != timestamp) {
            return self.end_frame();
        }
        let Some((number, packet)) = self.queue.take_first() else { return Step::Wait };
        self.next = Some(number + 1);
        self.add(packet)
    }

    /// Nothing is missing before this packet. The very first may have been overtaken, if no frame begins with it.
    fn follows(&self, number: i64, packet: &Waiting) -> bool {
        match self.next {
            Some(next) => next == number,
            None => matches!(packet.content, Content::Padding | Content::Part { start: Start::Yes, .. }),
        }
    }

    /// What is before it will not be taken any more.
    fn begin_at(&mut self, number: i64) {
        if let Some(next) = self.next {
            self.lost += number.abs_diff(next);
            self.lose();
        }
        if self.given_up.len() == MAX_GIVEN_UP {
            self.given_up.pop_front();
        }
        self.given_up.push_back(self.next.unwrap_or(i64::MIN)..number);
        self.in_hand = None;
        self.frame_ended = false;
        self.next = Some(number);
    }

    /// The next packet of the frame in hand, or the first of one.
    fn add(&mut self, packet: Waiting) -> Step {
        let (start, key, body) = match packet.content {
            Content::Padding => return Step::On,
            Content::Junk => (Start::No, false, None),
            Content::Part { start, key, body } => (start, key, Some(body)),
        };
        let begins = match start {
            // What is missing may be of the same frame, before what can be begun with.
            Start::Yes => self.frame_ended || self.timestamp != Some(packet.timestamp),
            Start::Unknown => self.frame_ended,
            Start::No => false,
        };
        let in_hand = self.in_hand.get_or_insert_with(|| InHand {
            timestamp: packet.timestamp,
            key: false,
            frame: begins.then(|| Frame::new(self.codec)),
        });
        in_hand.key |= key;
        if let Some(frame) = &mut in_hand.frame {
            if body.and_then(|body| frame.append(&body)).is_none() {
                in_hand.frame = None;
            }
        }
        self.timestamp = Some(packet.timestamp);
        // Audio has a frame in each packet, and its marker means something else.
        if packet.marker || self.codec.kind() == TrackKind::Audio {
            return self.end_frame();
        }
        Step::On
    }

    fn end_frame(&mut self) -> Step {
        self.frame_ended = true;
        let Some(InHand { timestamp, key, frame }) = self.in_hand.take() else { return Step::On };
        let loss_counted = std::mem::take(&mut self.loss_counted);
        let Some(data) = frame.and_then(Frame::finish) else {
            if !loss_counted {
                self.lose();
                self.loss_counted = false;
            }
            return Step::On;
        };
        if key {
            self.decodable = Decodable::Yes;
        } else if self.decodable == Decodable::Unknown {
            // It began before we came.
            self.gap = true;
            self.decodable = Decodable::No { asked: false };
        }
        Step::Frame(Assembled { data, timestamp, key, gap: std::mem::take(&mut self.gap) })
    }

    fn lose(&mut self) {
        self.gap = true;
        self.loss_counted = true;
        // Audio goes on without.
        if self.codec.kind() == TrackKind::Video {
            self.decodable = Decodable::No { asked: false };
        }
    }

    /// The sender has begun anew, and what there is belongs to nothing.
    fn restart(&mut self) {
        self.lose();
        self.sequence = Sequence::default();
        self.queue = Queue::default();
        self.given_up.clear();
        self.next = None;
        self.in_hand = None;
        self.frame_ended = false;
        self.timestamp = None;
    }
}

#[cfg(test)]
mod tests;
