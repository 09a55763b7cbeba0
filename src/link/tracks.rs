//! The packets of one transceiver: what is sent on it, and what comes.

use super::media::{MediaReport, RemoteFrame};
use super::payload::Payload;
use super::sections::Section;
use crate::media::{Assembler, Codec, Packet, TrackId};
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use webrtc::rtp;
use webrtc::shared::marshal::Marshal;

/// How long a hole is waited for: several rounds of NACK, which the engine sends ten times a second.
const MAX_WAIT: Duration = Duration::from_millis(500);
/// Nor more often, whoever asks.
const KEY_FRAME_INTERVAL: Duration = Duration::from_millis(300);
/// Packets kept until their track has a name, in RTP mode.
const MAX_EARLY: usize = 512;

/// What this side sends over one transceiver.
pub(super) struct Outgoing {
    pub ssrc: u32,
    /// The other side takes it.
    pub open: bool,
    sequence: u16,
    section: Option<Section>,
    pub packets: u64,
    pub bytes: u64,
    pub frames: u64,
    /// Requests for a key frame that were passed on, and when.
    passed_on: u64,
    asked: Option<Instant>,
}

impl Outgoing {
    pub fn new() -> Self {
        Self {
            ssrc: rand::random_range(1..=u32::MAX),
            open: false,
            // From the lower half, so that a receiver has seen packets before the first wrap-around (RFC 3711, 3.3.1).
            sequence: rand::random::<u16>() >> 1,
            section: None,
            packets: 0,
            bytes: 0,
            frames: 0,
            passed_on: 0,
            asked: None,
        }
    }

    /// What the other side takes.
    pub fn describe(&mut self, theirs: Section) {
        self.section = Some(theirs);
    }

    /// By which payload type the other side takes this codec, if it takes anything.
    pub fn payload_type(&self, codec: Codec) -> Option<u8> {
        self.section.as_ref().filter(|_| self.open)?.sending_type(codec)
    }

    fn packet(&mut self, payload_type: u8, timestamp: u32, payload: &Payload) -> rtp::Packet {
        let header = rtp::header::Header {
            version: 2,
            marker: payload.marker,
            payload_type,
            sequence_number: self.sequence,
            timestamp,
            ssrc: self.ssrc,
            ..Default::default()
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.bytes += payload.data.len() as u64;
        rtp::Packet { header, payload: payload.data.clone() }
    }

    /// The packets of a frame, for this receiver.
    pub fn packets(&mut self, payload_type: u8, timestamp: u32, payloads: &[Payload]) -> Vec<rtp::Packet> {
        self.frames += 1;
        payloads.iter().map(|payload| self.packet(payload_type, timestamp, payload)).collect()
    }

    /// What was heard until now is dealt with.
    pub fn have_passed_on(&mut self, heard: u64) {
        self.passed_on = heard;
    }

    /// Whether a key frame is to be asked for, by how many requests were heard in all.
    pub fn key_frame_wanted(&mut self, now: Instant, heard: u64) -> bool {
        let recently = self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < KEY_FRAME_INTERVAL);
        if heard == self.passed_on || recently {
            return false;
        }
        self.passed_on = heard;
        self.asked = Some(now);
        true
    }
}

/// What comes over one transceiver.
pub(super) struct Incoming {
    pub track: Option<TrackId>,
    /// The other side sends, by what is negotiated.
    pub open: bool,
    pub muted: bool,
    ssrcs: Vec<u32>,
    /// Our own description: by its payload types the other side sends.
    section: Option<Section>,
    assembler: Option<Assembler>,
    /// The owner wants packets and not frames.
    rtp: bool,
    early: VecDeque<(Codec, bytes::Bytes)>,
    asked: Option<Instant>,
    wants_key_frame: bool,
    pub reception: Reception,
}

/// As in a receiver report (RFC 3550, 6.4.1 and A.3).
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Reception {
    pub packets: u64,
    pub bytes: u64,
    pub frames: u64,
    first: Option<u64>,
    highest: u64,
    transit: Option<i64>,
    /// In units of the RTP clock, times 16.
    jitter: i64,
    clock_rate: u32,
    epoch: Option<Instant>,
}

impl Reception {
    fn note(&mut self, now: Instant, packet: &rtp::Packet, clock_rate: u32) {
        self.packets += 1;
        self.bytes += packet.payload.len() as u64;
        let sequence = u64::from(packet.header.sequence_number);
        let extended = match self.first {
            None => {
                self.first = Some(sequence + 65_536);
                sequence + 65_536
            }
            Some(_) => {
                let ahead = packet.header.sequence_number.wrapping_sub(self.highest as u16) as i16;
                self.highest.saturating_add_signed(i64::from(ahead))
            }
        };
        self.highest = self.highest.max(extended);
        self.clock_rate = clock_rate;
        let epoch = *self.epoch.get_or_insert(now);
        let arrival = now.saturating_duration_since(epoch).as_micros() as i64 * i64::from(clock_rate) / 1_000_000;
        let transit = arrival - i64::from(packet.header.timestamp);
        if let Some(before) = self.transit.replace(transit) {
            // A wrap-around of the timestamp is no jitter.
            let difference = i64::from((transit - before) as i32).abs();
            self.jitter += difference - ((self.jitter + 8) >> 4);
        }
    }

    /// Packets that were expected and are not there, repeated ones counted once too often.
    pub fn lost(&self) -> u64 {
        self.first.map_or(0, |first| (self.highest + 1 - first).saturating_sub(self.packets))
    }

    pub fn jitter(&self) -> Duration {
        match self.clock_rate {
            0 => Duration::ZERO,
            rate => Duration::from_micros((self.jitter.max(0) as u64 / 16) * 1_000_000 / u64::from(rate)),
        }
    }
}

impl Incoming {
    pub fn new(rtp: bool) -> Self {
        Self {
            track: None,
            open: false,
            muted: false,
            ssrcs: Vec::new(),
            section: None,
            assembler: None,
            rtp,
            early: VecDeque::new(),
            asked: None,
            wants_key_frame: false,
            reception: Reception::default(),
        }
    }

    pub fn describe(&mut self, ours: &Section, theirs: &Section) {
        self.section = Some(ours.clone());
        if !theirs.ssrcs.is_empty() && theirs.ssrcs != self.ssrcs {
            self.ssrcs.clone_from(&theirs.ssrcs);
            // Another source counts its packets otherwise.
            self.assembler = None;
        }
    }

    pub fn has_source(&self, ssrc: u32) -> bool {
        self.ssrcs.contains(&ssrc)
    }

    /// Where a source of which nothing was said belongs.
    pub fn could_have(&self, payload_type: u8) -> bool {
        self.open && self.ssrcs.is_empty() && self.codec(payload_type).is_some()
    }

    fn codec(&self, payload_type: u8) -> Option<Codec> {
        self.section.as_ref()?.codec(payload_type)
    }

    pub fn take(&mut self, now: Instant, packet: rtp::Packet) {
        let Some(codec) = self.codec(packet.header.payload_type) else { return };
        self.reception.note(now, &packet, codec.clock_rate());
        if self.rtp {
            if packet.payload.is_empty() {
                return;
            }
            if let Ok(bytes) = packet.marshal() {
                if self.early.len() == MAX_EARLY {
                    self.early.pop_front();
                }
                self.early.push_back((codec, bytes.freeze()));
            }
            return;
        }
        let assembler = match &mut self.assembler {
            Some(assembler) if assembler.codec() == codec => assembler,
            other => other.insert(Assembler::new(codec, MAX_WAIT)),
        };
        let rtp::Packet { header, payload } = packet;
        assembler.push(
            now,
            Packet { sequence: header.sequence_number, timestamp: header.timestamp, marker: header.marker, payload },
        );
    }

    /// Bytes that wait to become frames.
    pub fn size(&self) -> usize {
        let early: usize = self.early.iter().map(|(_, packet)| packet.len()).sum();
        early + self.assembler.as_ref().map_or(0, Assembler::size)
    }

    /// Begins anew, with the next key frame.
    pub fn start_over(&mut self) {
        self.early.clear();
        self.assembler = None;
        self.wants_key_frame = true;
    }

    /// What is whole now, once the track is known.
    pub fn give(&mut self, now: Instant, mut report: impl FnMut(MediaReport)) {
        let Some(track) = self.track else { return };
        for (codec, packet) in self.early.drain(..) {
            report(MediaReport::Rtp { track, codec, packet });
        }
        let Some(assembler) = &mut self.assembler else { return };
        while let Some(frame) = assembler.pop(now) {
            self.reception.frames += 1;
            report(MediaReport::Frame(RemoteFrame {
                track,
                codec: assembler.codec(),
                data: frame.data,
                timestamp: frame.timestamp,
                key: frame.key,
                gap: frame.gap,
            }));
        }
        // Asked again until it comes: what asks may be lost.
        self.wants_key_frame |= assembler.wants_key_frame() | assembler.needs_key_frame();
    }

    /// The owner cannot go on without one.
    pub fn want_key_frame(&mut self) {
        self.wants_key_frame = true;
    }

    /// The source that is to be asked for a key frame now.
    pub fn key_frame_source(&mut self, now: Instant) -> Option<u32> {
        let recently = self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < KEY_FRAME_INTERVAL);
        if !self.wants_key_frame || !self.open || recently {
            return None;
        }
        let source = *self.ssrcs.first()?;
        self.wants_key_frame = false;
        self.asked = Some(now);
        Some(source)
    }

    /// A source of which the description says nothing.
    pub fn adopt(&mut self, ssrc: u32) {
        self.ssrcs = vec![ssrc];
    }

    pub fn deadline(&self) -> Option<Instant> {
        let request = self.asked.filter(|_| self.wants_key_frame && self.open).map(|asked| asked + KEY_FRAME_INTERVAL);
        [self.assembler.as_ref().filter(|_| self.track.is_some()).and_then(Assembler::deadline), request]
            .into_iter()
            .flatten()
            .min()
    }

    /// Packets that came too late or twice.
    pub fn useless(&self) -> u64 {
        self.assembler.as_ref().map_or(0, |assembler| assembler.late + assembler.duplicate)
    }
}
