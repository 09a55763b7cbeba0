//! The RTP payloads of one frame, made once for all who receive it.
//!
//! Not by the engine's payloaders: they drop without a word what does not fit, panic on sizes that are not true, and never say of a
//! frame of VP9 that it needs another.

use crate::media::{av1, h264, vpx, Codec, MAX_FRAME};
use bytes::Bytes;

/// Bytes of a payload that are needed for descriptors and a little of the frame.
const SMALLEST_PAYLOAD: usize = 64;
/// Picture ids have 15 bits.
const PICTURE_IDS: u16 = 1 << 15;

/// What one RTP packet carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Payload {
    pub data: Bytes,
    /// The last of a video frame.
    pub marker: bool,
}

/// Of one local track.
pub(crate) struct Packetizer {
    codec: Codec,
    picture_id: u16,
}

impl Packetizer {
    pub fn new(codec: Codec) -> Self {
        Self { codec, picture_id: rand::random_range(0..PICTURE_IDS) }
    }

    /// `key`: the frame can be decoded without another. What is wrong with a frame is told in words for its sender.
    pub fn packetize(&mut self, frame: &[u8], key: bool, max_payload: usize) -> Result<Vec<Payload>, String> {
        let codec = self.codec.name();
        if frame.is_empty() {
            return Err(format!("a frame of {codec} is empty"));
        }
        if self.codec == Codec::Opus {
            if frame.len() > max_payload {
                return Err(format!("a frame of opus has {} bytes, and a packet at most {max_payload}", frame.len()));
            }
            return Ok(vec![Payload { data: Bytes::copy_from_slice(frame), marker: false }]);
        }
        if frame.len() > MAX_FRAME {
            return Err(format!("a frame of {codec} has {} bytes, which is more than {MAX_FRAME}", frame.len()));
        }
        if max_payload < SMALLEST_PAYLOAD {
            return Err(format!("a packet of {max_payload} bytes has no room for a frame of {codec}"));
        }
        let payloads = match self.codec {
            Codec::Opus => Vec::new(),
            Codec::Vp8 => vpx::write_vp8(frame, self.picture_id, max_payload),
            Codec::Vp9 => vpx::write_vp9(frame, key, self.picture_id, max_payload),
            Codec::H264 => {
                let units = h264::units(frame)?;
                if key {
                    h264::check_key(&units)?;
                }
                h264::write(&units, max_payload)
            }
            Codec::Av1 => {
                let obus = av1::obus(frame)?;
                if key {
                    av1::check_key(&obus)?;
                }
                av1::write(&obus, key, max_payload)
            }
        };
        self.picture_id = (self.picture_id + 1) % PICTURE_IDS;
        let last = payloads.len().saturating_sub(1);
        Ok(payloads.into_iter().enumerate().map(|(number, data)| Payload { data, marker: number == last }).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::assembler::{Assembled, Assembler, Packet};
    use crate::media::testing::Random;
    use crate::protocol::TrackKind;
    use std::time::{Duration, Instant};
    use webrtc::rtp::codec::av1::{Av1Depacketizer, Av1Payloader};
    use webrtc::rtp::codec::h264::{H264Packet, H264Payloader};
    use webrtc::rtp::codec::opus::{OpusPacket, OpusPayloader};
    use webrtc::rtp::codec::vp8::{Vp8Packet, Vp8Payloader};
    use webrtc::rtp::codec::vp9::{Vp9Packet, Vp9Payloader};
    use webrtc::rtp::packetizer::{Depacketizer, Payloader};

    const CODECS: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];
    const MAX_PAYLOAD: usize = 1100;
    const WAIT: Duration = Duration::from_millis(100);

    /// The packets of a track.
    struct Sender {
        packetizer: Packetizer,
        sequence: u16,
        timestamp: u32,
    }

    impl Sender {
        fn new(codec: Codec) -> Self {
            // Everything wraps soon.
            let packetizer = Packetizer { codec, picture_id: PICTURE_IDS - 3 };
            Self { packetizer, sequence: 65_500, timestamp: u32::MAX - 9_000 }
        }

        fn send(&mut self, frame: &[u8], key: bool) -> Vec<Packet> {
            let payloads = self.packetizer.packetize(frame, key, MAX_PAYLOAD).unwrap();
            assert!(payloads.iter().all(|payload| (1..=MAX_PAYLOAD).contains(&payload.data.len())));
            self.timestamp = self.timestamp.wrapping_add(3_000);
            let packet = |Payload { data, marker }| {
                self.sequence = self.sequence.wrapping_add(1);
                Packet { sequence: self.sequence, timestamp: self.timestamp, marker, payload: data }
            };
            payloads.into_iter().map(packet).collect()
        }
    }

    #[test]
    fn frames_of_every_size_arrive_whole() {
        let mut random = Random(1);
        let now = Instant::now();
        for codec in CODECS {
            let mut sender = Sender::new(codec);
            let mut assembler = Assembler::new(codec, WAIT);
            let around = [1, 2, 3, 5, 8, 13, 60, 100, 300, 1_000, 2_000, 10_000, 65_530, 70_000, 299_990];
            let edges = MAX_PAYLOAD - 20..MAX_PAYLOAD + 20;
            let sizes =
                edges.chain(around).chain(around.map(|size| size * 2)).chain(2 * MAX_PAYLOAD - 20..2 * MAX_PAYLOAD + 8);
            for (number, size) in sizes.enumerate() {
                let size = if codec == Codec::Opus { size.min(MAX_PAYLOAD) } else { size };
                let key = number % 5 == 0;
                let frame = random.frame(codec, key, size);
                for packet in sender.send(&frame, key) {
                    assert_eq!(assembler.pop(now), None);
                    assembler.push(now, packet);
                }
                let assembled = assembler.pop(now).unwrap_or_else(|| panic!("{codec:?} of {size} bytes is missing"));
                let key = key || codec.kind() == TrackKind::Audio;
                let expected = Assembled { data: frame[..].into(), timestamp: sender.timestamp, key, gap: false };
                assert!(assembled == expected, "{codec:?} of {size} bytes differs");
            }
            assert_eq!((assembler.lost, assembler.late, assembler.duplicate), (0, 0, 0));
            assert!(!assembler.needs_key_frame());
        }
    }

    /// Whatever is lost and however the rest comes: what is delivered was sent, and in that order.
    #[test]
    fn frames_through_loss_are_those_that_were_sent() {
        for seed in 1..=40 {
            for codec in CODECS {
                let mut random = Random(seed);
                let loss = random.below(8);
                let (mut sender, mut assembler) = (Sender::new(codec), Assembler::new(codec, WAIT));
                let (mut sent, mut on_the_way, mut now) = (Vec::new(), Vec::new(), Instant::now());
                let mut delivered = Vec::new();
                for number in 0..150 {
                    let key = number % 10 == 0;
                    let size = if codec == Codec::Opus { 60 } else { 1 + random.below(4_000) };
                    let frame = random.frame(codec, key, size);
                    for packet in sender.send(&frame, key) {
                        if random.below(100) >= loss {
                            on_the_way.push((now + Duration::from_millis(random.below(40) as u64), packet));
                        }
                    }
                    sent.push((sender.timestamp, frame));
                    now += Duration::from_millis(20);
                    on_the_way.sort_by_key(|(time, _)| *time);
                    let due = on_the_way.partition_point(|(time, _)| *time <= now);
                    for (time, packet) in on_the_way.drain(..due) {
                        assembler.push(time, packet);
                        delivered.extend(std::iter::from_fn(|| assembler.pop(time)));
                    }
                }
                let mut rest = sent.iter();
                for frame in &delivered {
                    let original = rest.find(|(timestamp, _)| *timestamp == frame.timestamp).expect("in order");
                    assert!(frame.data == original.1[..], "{codec:?}, seed {seed}");
                }
                assert!(
                    delivered.len() > if loss == 0 { 140 } else { 60 },
                    "{codec:?}, seed {seed}: {}",
                    delivered.len()
                );
                let lacks = assembler.lost > 0 || !delivered[0].key;
                assert_eq!(delivered.iter().any(|frame| frame.gap), lacks, "{codec:?}, seed {seed}");
            }
        }
    }

    /// The engine's, which somebody else wrote after the same papers.
    fn other_depacketizer(codec: Codec) -> Box<dyn Depacketizer> {
        match codec {
            Codec::Opus => Box::new(OpusPacket),
            Codec::Vp8 => Box::new(Vp8Packet::default()),
            Codec::Vp9 => Box::new(Vp9Packet::default()),
            Codec::H264 => Box::new(H264Packet::default()),
            Codec::Av1 => Box::new(Av1Depacketizer::new()),
        }
    }

    fn other_payloader(codec: Codec) -> Box<dyn Payloader> {
        match codec {
            Codec::Opus => Box::new(OpusPayloader),
            Codec::Vp8 => {
                let mut payloader = Vp8Payloader::default();
                payloader.enable_picture_id = true;
                Box::new(payloader)
            }
            Codec::Vp9 => Box::new(Vp9Payloader::default()),
            Codec::H264 => Box::new(H264Payloader::default()),
            Codec::Av1 => Box::new(Av1Payloader {}),
        }
    }

    #[test]
    fn others_read_what_we_write_and_we_what_they_write() {
        let (mut random, now) = (Random(5), Instant::now());
        for codec in CODECS {
            let (mut ours, mut theirs) = (Sender::new(codec), other_payloader(codec));
            let (mut depacketizer, mut assembler) = (other_depacketizer(codec), Assembler::new(codec, WAIT));
            let mut sequence = 0;
            for number in 0..300 {
                let key = number % 7 == 0;
                let size = if codec == Codec::Opus { 60 } else { 8 + random.below(6_000) };
                let frame = random.frame(codec, key, size);
                let mut read = Vec::new();
                for packet in ours.send(&frame, key) {
                    read.extend(depacketizer.depacketize(&packet.payload).unwrap());
                }
                assert!(read == frame, "{codec:?}: they read something else");

                let payloads = theirs.payload(MAX_PAYLOAD, &Bytes::from(frame.clone())).unwrap();
                let last = payloads.len() - 1;
                for (place, payload) in payloads.into_iter().enumerate() {
                    assembler.push(now, Packet { sequence, timestamp: number, marker: place == last, payload });
                    sequence += 1;
                }
                let assembled = assembler.pop(now).unwrap();
                assert!(assembled.data == frame[..], "{codec:?}: we read something else");
            }
        }
    }

    #[test]
    fn what_is_wrong_with_a_frame_is_said() {
        let large = vec![0; MAX_FRAME + 1];
        for (codec, frame, key, max_payload, reason) in [
            (Codec::Vp8, &b""[..], true, MAX_PAYLOAD, "VP8 is empty"),
            (Codec::Opus, b"", true, MAX_PAYLOAD, "opus is empty"),
            (Codec::Opus, &large[..1101], true, MAX_PAYLOAD, "has 1101 bytes"),
            (Codec::Vp9, &large, true, MAX_PAYLOAD, "more than 4194304"),
            (Codec::Vp9, b"x", true, 63, "no room"),
            (Codec::H264, b"\0\0\0\x02\x65x", false, MAX_PAYLOAD, "Annex B"),
            (Codec::H264, b"\0\0\0\x01\x65x", true, MAX_PAYLOAD, "no SPS"),
            (Codec::Av1, b"\x32\x05x", false, MAX_PAYLOAD, "low-overhead"),
            (Codec::Av1, b"\x32\x01x", true, MAX_PAYLOAD, "sequence header"),
        ] {
            let error = Packetizer::new(codec).packetize(frame, key, max_payload).unwrap_err();
            assert!(error.contains(reason), "{codec:?}: {error}");
        }
    }

    #[test]
    fn no_bytes_panic_and_what_is_taken_fits() {
        let mut random = Random(9);
        for round in 0..40_000 {
            let length = random.below(if round % 50 == 0 { 5_000 } else { 40 });
            let mut frame = random.bytes(length);
            // Start codes and short sizes.
            if round % 2 == 0 {
                frame.iter_mut().for_each(|byte| *byte &= random.byte() & random.byte() & random.byte());
            }
            let max_payload = random.below(200);
            for codec in CODECS {
                let payloads =
                    Packetizer::new(codec).packetize(&frame, round % 3 == 0, max_payload).unwrap_or_default();
                assert!(payloads.iter().all(|payload| payload.data.len() <= max_payload), "{codec:?}: {frame:x?}");
            }
        }
    }

    /// A remote side that makes up its packets costs a bounded amount of memory, and nothing else.
    #[test]
    fn no_packets_panic() {
        for (seed, codec) in (1..=50).zip(CODECS.into_iter().cycle()) {
            let mut random = Random(seed);
            let (mut sender, mut assembler) = (Sender::new(codec), Assembler::new(codec, WAIT));
            let mut now = Instant::now();
            for number in 0..60 {
                let key = number % 10 == 0;
                let size = if codec == Codec::Opus { 60 } else { 1 + random.below(4_000) };
                let frame = random.frame(codec, key, size);
                for mut packet in sender.send(&frame, key) {
                    let mut payload = packet.payload.to_vec();
                    match random.below(12) {
                        0 => packet.sequence = packet.sequence.wrapping_add(random.below(50) as u16),
                        1 => packet.sequence = random.below(65_536) as u16,
                        2 => packet.timestamp ^= 1 << random.below(32),
                        3 => packet.marker = !packet.marker,
                        4 => payload.truncate(random.below(payload.len())),
                        5 => payload[0] = random.byte(),
                        6 => {
                            let place = random.below(payload.len().min(6));
                            payload[place] = random.byte();
                        }
                        _ => {}
                    }
                    packet.payload = payload.into();
                    now += Duration::from_millis(random.below(10) as u64);
                    assembler.push(now, packet);
                    while let Some(frame) = assembler.pop(now) {
                        assert!(frame.data.len() <= MAX_FRAME);
                    }
                    assert!(assembler.deadline().is_none_or(|deadline| deadline > now));
                }
            }
        }
    }
}
