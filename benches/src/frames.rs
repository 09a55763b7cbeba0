//! The video of the fan-out cell: what is sent, how it is cut into packets for a library that takes only those, and
//! what the receivers make of it. The same for both libraries.

use crate::engine::lock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const FRAMES_PER_SECOND: u32 = 30;
/// A key frame comes after so many frames at the latest.
pub const KEY_FRAME_EVERY: u32 = 10 * FRAMES_PER_SECOND;
const KEY_FRAME: usize = 60_000;
/// Makes 1.5 Mbit/s with a key frame every ten seconds.
const OTHER_FRAME: usize = 6_070;
/// Of the clock of video over RTP.
pub const TICKS_PER_FRAME: u32 = 90_000 / FRAMES_PER_SECOND;

/// Where a frame has its number: behind what a decoder would look at.
const NUMBER: std::ops::Range<usize> = 10..14;

/// Payload of a packet, descriptor included. Ours cuts at the same size.
const MAX_PAYLOAD: usize = 1120;
const RTP_HEADER: usize = 12;
/// RFC 7741, 4.2, without any of the optional fields.
const DESCRIPTOR: usize = 1;
const FIRST_PIECE: u8 = 0x10;
pub const PAYLOAD_TYPE: u8 = 96;
pub const SOURCE: u32 = 0x0FA0_0001;

/// One stream of frames, and when each was sent.
pub struct Stream {
    key_frame: Vec<u8>,
    other_frame: Vec<u8>,
    start: Instant,
    /// By number, in nanoseconds since `start`; its bit 0 says that it was a key frame.
    sent: Vec<AtomicU64>,
}

impl Stream {
    pub fn new(frames: u32) -> Arc<Self> {
        Arc::new(Self {
            key_frame: picture(true),
            other_frame: picture(false),
            start: Instant::now(),
            sent: (0..frames).map(|_| AtomicU64::new(0)).collect(),
        })
    }

    /// The clock of this frame runs from here.
    pub fn next(&self, number: u32, key: bool) -> Vec<u8> {
        let mut frame = if key { &self.key_frame } else { &self.other_frame }.clone();
        frame[NUMBER].copy_from_slice(&number.to_be_bytes());
        let nanos = self.start.elapsed().as_nanos() as u64;
        self.sent[number as usize].store(nanos & !1 | u64::from(key), Ordering::Release);
        frame
    }

    /// What frame this is, if it is one of the stream's, whole and unharmed.
    fn recognise(&self, frame: &[u8]) -> Option<u32> {
        let number = u32::from_be_bytes(frame.get(NUMBER)?.try_into().ok()?);
        let is_key = self.sent.get(number as usize)?.load(Ordering::Acquire) & 1 != 0;
        let original = if is_key { &self.key_frame } else { &self.other_frame };
        let same = frame.len() == original.len()
            && frame[..NUMBER.start] == original[..NUMBER.start]
            && frame[NUMBER.end..] == original[NUMBER.end..];
        same.then_some(number)
    }
}

/// No decoder would show it, but it begins as RFC 6386, 9.1, says, and the rest is noise.
fn picture(key: bool) -> Vec<u8> {
    let mut frame = vec![0x10 | u8::from(!key), 0, 0];
    if key {
        // 640 by 480.
        frame.extend([0x9D, 0x01, 0x2A, 0x80, 0x02, 0xE0, 0x01]);
    }
    let mut noise: u32 = 0x2545_F491;
    frame.resize_with(if key { KEY_FRAME } else { OTHER_FRAME }, || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    });
    frame
}

/// One receiver: takes frames that are whole.
pub struct Viewer {
    stream: Arc<Stream>,
    state: Mutex<Viewed>,
}

#[derive(Default, Clone)]
pub struct Viewed {
    /// Number, whether it was a key frame, and how long after it was given to the sender.
    pub frames: Vec<(u32, bool, Duration)>,
    /// Frames that were none of those sent.
    pub harmed: usize,
}

impl Viewer {
    pub fn new(stream: &Arc<Stream>) -> Arc<Self> {
        let frames = Vec::with_capacity(stream.sent.len());
        Arc::new(Self { stream: stream.clone(), state: Mutex::new(Viewed { frames, harmed: 0 }) })
    }

    pub fn frame(&self, frame: &[u8]) {
        let now = self.stream.start.elapsed();
        let number = self.stream.recognise(frame);
        let mut state = lock(&self.state);
        match number {
            Some(number) => {
                let sent = self.stream.sent[number as usize].load(Ordering::Acquire);
                let latency = now.saturating_sub(Duration::from_nanos(sent));
                state.frames.push((number, sent & 1 != 0, latency));
            }
            None => state.harmed += 1,
        }
    }

    pub fn viewed(&self) -> Viewed {
        lock(&self.state).clone()
    }

    /// How many of the frames from this number on came.
    pub fn count_from(&self, number: u32) -> usize {
        lock(&self.state).frames.iter().filter(|frame| frame.0 >= number).count()
    }
}

/// Cuts frames into RTP packets.
#[derive(Default)]
pub struct Cutter {
    sequence: u16,
}

impl Cutter {
    pub fn cut(&mut self, frame: &[u8], rtp_time: u32) -> Vec<Vec<u8>> {
        // Pieces of about one size, as ours makes them.
        let count = frame.len().div_ceil(MAX_PAYLOAD - DESCRIPTOR);
        let pieces = frame.chunks(frame.len().div_ceil(count));
        let last = pieces.len() - 1;
        let packet = |(number, piece): (usize, &[u8])| {
            let mut packet = Vec::with_capacity(RTP_HEADER + DESCRIPTOR + piece.len());
            packet.extend([0x80, PAYLOAD_TYPE | if number == last { 0x80 } else { 0 }]);
            packet.extend(self.sequence.to_be_bytes());
            packet.extend(rtp_time.to_be_bytes());
            packet.extend(SOURCE.to_be_bytes());
            packet.push(if number == 0 { FIRST_PIECE } else { 0 });
            packet.extend(piece);
            self.sequence = self.sequence.wrapping_add(1);
            packet
        };
        pieces.enumerate().map(packet).collect()
    }
}

/// Puts them together again. A packet that is missing costs its frame, as does one out of order, which does not happen
/// on one machine.
#[derive(Default)]
pub struct Joiner {
    frame: Vec<u8>,
    /// The sequence number that goes on with the frame; none between frames and after a loss.
    next: Option<u16>,
}

impl Joiner {
    /// The frame that this packet completes.
    pub fn join(&mut self, packet: &[u8]) -> Option<&[u8]> {
        let (header, payload) = packet.split_at_checked(RTP_HEADER)?;
        let (descriptor, piece) = payload.split_at_checked(DESCRIPTOR)?;
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        if descriptor[0] & FIRST_PIECE != 0 {
            self.frame.clear();
        } else if self.next != Some(sequence) {
            self.next = None;
            return None;
        }
        self.frame.extend_from_slice(piece);
        let is_last = header[1] & 0x80 != 0;
        self.next = (!is_last).then_some(sequence.wrapping_add(1));
        is_last.then_some(&self.frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_being_cut_and_joined() {
        let (stream, mut cutter, mut joiner) = (Stream::new(4), Cutter { sequence: 0xFFFE }, Joiner::default());
        let viewer = Viewer::new(&stream);
        for (number, key) in [(0, true), (1, false), (2, false)] {
            let packets = cutter.cut(&stream.next(number, key), number * TICKS_PER_FRAME);
            assert!(packets.iter().all(|packet| packet.len() <= RTP_HEADER + MAX_PAYLOAD));
            for packet in packets {
                if let Some(frame) = joiner.join(&packet) {
                    viewer.frame(frame);
                }
            }
        }
        let viewed = viewer.viewed();
        let seen: Vec<(u32, bool)> = viewed.frames.iter().map(|frame| (frame.0, frame.1)).collect();
        assert_eq!((seen, viewed.harmed), (vec![(0, true), (1, false), (2, false)], 0));
    }

    #[test]
    fn a_missing_packet_costs_one_frame() {
        let (stream, mut cutter) = (Stream::new(2), Cutter::default());
        let frames: Vec<_> = [true, false].into_iter().zip(0..).map(|(key, number)| stream.next(number, key)).collect();
        for missing in 0..5 {
            let mut joiner = Joiner::default();
            let mut packets = cutter.cut(&frames[0], 0);
            packets.remove(if missing == 4 { packets.len() - 1 } else { missing });
            packets.extend(cutter.cut(&frames[1], 1));
            let joined: Vec<Vec<u8>> =
                packets.iter().filter_map(|packet| joiner.join(packet).map(<[u8]>::to_vec)).collect();
            assert_eq!(joined, [frames[1].clone()]);
        }
    }

    #[test]
    fn what_was_not_sent_is_no_frame() {
        let stream = Stream::new(1);
        let viewer = Viewer::new(&stream);
        let mut frame = stream.next(0, false);
        frame[100] ^= 1;
        viewer.frame(&frame);
        viewer.frame(&frame[..99]);
        viewer.frame(&[]);
        assert_eq!((viewer.viewed().frames.len(), viewer.viewed().harmed), (0, 3));
    }
}
