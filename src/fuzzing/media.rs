//! Payloads of a peer's tracks: packets in any order, put together to frames. And frames of our own side's encoder, cut into packets:
//! what can be sent is put together again to the same bytes.

use super::input::Input;
use crate::link::{read_rtp, Packetizer};
use crate::media::{depacketize, Assembler, Codec, Packet, MAX_FRAME};
use bytes::Bytes;
use std::time::{Duration, Instant};

const CODECS: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

pub(super) fn play(input: &[u8]) {
    let _ = read_rtp(input);
    let mut input = Input::new(input);
    let codec = CODECS[input.below(CODECS.len())];
    if input.flag() {
        frames(codec, input);
    } else {
        packets(codec, input);
    }
}

fn packets(codec: Codec, mut input: Input) {
    let mut now = Instant::now();
    let mut assembler = Assembler::new(codec, Duration::from_millis(100));
    let (mut sequence, mut timestamp) = (input.short(), input.word());
    for _ in 0..256 {
        if input.is_empty() {
            break;
        }
        let flags = input.byte();
        // Mostly the next one.
        match flags & 7 {
            6 => sequence = sequence.wrapping_add(input.short()),
            7 => sequence = sequence.wrapping_sub(input.byte().into()),
            _ => sequence = sequence.wrapping_add(1),
        }
        if flags & 8 != 0 {
            timestamp = timestamp.wrapping_add(3000);
        }
        if flags & 16 != 0 {
            now += Duration::from_millis(input.byte().into());
        }
        let payload = input.piece();
        if let Some(reading) = depacketize::read(codec, payload) {
            assert!(reading.descriptor <= payload.len());
        }
        let marker = flags & 32 != 0;
        assembler.push(now, Packet { sequence, timestamp, marker, payload: Bytes::copy_from_slice(payload) });
        drain(&mut assembler, now);
    }
    now += Duration::from_secs(1);
    drain(&mut assembler, now);
}

fn drain(assembler: &mut Assembler, now: Instant) {
    while let Some(frame) = assembler.pop(now) {
        assert!(!frame.data.is_empty() && frame.data.len() <= MAX_FRAME);
    }
    assembler.wants_key_frame();
    assert!(assembler.deadline().is_none_or(|deadline| deadline > now), "what is due was given");
}

fn frames(codec: Codec, mut input: Input) {
    let mut packetizer = Packetizer::new(codec);
    let (key, room) = (input.flag(), usize::from(input.short()));
    let frame = input.rest();
    let Ok(payloads) = packetizer.packetize(frame, key, room) else { return };
    assert!(payloads.iter().all(|payload| payload.data.len() <= room), "each fits");
    let now = Instant::now();
    let mut assembler = Assembler::new(codec, Duration::from_millis(100));
    for (sequence, payload) in payloads.into_iter().enumerate() {
        let packet = Packet { sequence: sequence as u16, timestamp: 1, marker: payload.marker, payload: payload.data };
        assembler.push(now, packet);
    }
    let Some(assembled) = assembler.pop(now) else { return };
    if matches!(codec, Codec::Opus | Codec::Vp8 | Codec::Vp9) {
        assert_eq!(assembled.data[..], frame[..], "{codec:?}");
    }
}
