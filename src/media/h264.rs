//! H.264 over RTP (RFC 6184, packetization mode 1): NAL units alone, several in one packet, or one in several.

use super::depacketize::{Reading, Start};
use super::{byte, pieces, take};
use bytes::{BufMut, Bytes, BytesMut};

pub(crate) const START_CODE: [u8; 4] = [0, 0, 0, 1];

const KIND: u8 = 0x1f;
const SLICE: u8 = 1;
const IDR_SLICE: u8 = 5;
const SEQUENCE_PARAMETERS: u8 = 7;
const PICTURE_PARAMETERS: u8 = 8;
const DELIMITER: u8 = 9;
const FILLER: u8 = 12;
const STAP_A: u8 = 24;
const FU_A: u8 = 28;
const FIRST_FRAGMENT: u8 = 0x80;
const LAST_FRAGMENT: u8 = 0x40;

/// What a NAL unit is; `None`: it is none, but something that only RTP knows.
fn kind(unit: &[u8]) -> Option<u8> {
    let kind = unit.first()? & KIND;
    (1..STAP_A).contains(&kind).then_some(kind)
}

/// Whether a frame begins with this NAL unit. Before any other there may be one of the same frame.
fn start(kind: u8) -> Start {
    match kind {
        SEQUENCE_PARAMETERS | DELIMITER => Start::Yes,
        _ => Start::Unknown,
    }
}

/// Sequence parameters are sent where a decoder may begin.
fn is_key(kind: u8) -> bool {
    matches!(kind, IDR_SLICE | SEQUENCE_PARAMETERS)
}

/// A NAL unit of a STAP-A, behind its size (RFC 6184, 5.7.1).
fn next_unit<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let size = u16::from_be_bytes([byte(rest)?, byte(rest)?]);
    take(rest, size.into())
}

pub(super) fn read(payload: &[u8]) -> Option<Reading> {
    let mut rest = payload;
    let indicator = byte(&mut rest)?;
    let reading = |start, key| Some(Reading { start, key, descriptor: 0 });
    match indicator & KIND {
        STAP_A => {
            let first = kind(next_unit(&mut rest)?)?;
            let mut key = is_key(first);
            while !rest.is_empty() {
                key |= is_key(kind(next_unit(&mut rest)?)?);
            }
            reading(start(first), key)
        }
        FU_A => {
            let header = byte(&mut rest)?;
            let kind = kind(&[header])?;
            match header & (FIRST_FRAGMENT | LAST_FRAGMENT) {
                FIRST_FRAGMENT => reading(start(kind), is_key(kind)),
                0 | LAST_FRAGMENT => reading(Start::No, is_key(kind)),
                _ => None,
            }
        }
        _ => {
            let kind = kind(payload)?;
            reading(start(kind), is_key(kind))
        }
    }
}

/// Adds a payload to a frame in Annex B form. `open`: the NAL unit at its end goes on.
pub(super) fn append(payload: &[u8], frame: &mut BytesMut, open: &mut bool) -> Option<()> {
    let mut rest = payload;
    let indicator = byte(&mut rest)?;
    let fragment = indicator & KIND == FU_A;
    let header = if fragment { byte(&mut rest)? } else { 0 };
    // Nothing comes between the fragments of a unit.
    if *open != (fragment && header & FIRST_FRAGMENT == 0) {
        return None;
    }
    if fragment {
        if !*open {
            frame.put_slice(&START_CODE);
            frame.put_u8(indicator & !KIND | header & KIND);
        }
        frame.put_slice(rest);
        *open = header & LAST_FRAGMENT == 0;
    } else if indicator & KIND == STAP_A {
        while !rest.is_empty() {
            let unit = next_unit(&mut rest)?;
            kind(unit)?;
            frame.put_slice(&START_CODE);
            frame.put_slice(unit);
        }
    } else {
        frame.put_slice(&START_CODE);
        frame.put_slice(payload);
    }
    Some(())
}

/// The NAL units of a frame in Annex B form that are worth sending.
pub(crate) fn units(frame: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut units = Vec::new();
    let (before, mut rest) =
        split_at_start_code(frame).ok_or("a frame of H264 has no start code: it is to be in Annex B form")?;
    if before.iter().any(|byte| *byte != 0) {
        return Err("a frame of H264 does not begin with a start code: it is to be in Annex B form".into());
    }
    loop {
        let next = split_at_start_code(rest);
        let unit = next.map_or(rest, |(unit, _)| unit);
        // A unit never ends with zeros (H.264, 7.4.1): they are padding, or the longer start code's.
        let unit = &unit[..unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)];
        let kind = kind(unit).ok_or_else(|| match unit.first() {
            Some(header) => format!("a frame of H264 has a NAL unit of type {}", header & KIND),
            None => "a frame of H264 has an empty NAL unit".into(),
        })?;
        // The end of a frame is the marker's to say, and padding RTP's.
        if !matches!(kind, DELIMITER | FILLER) {
            units.push(unit);
        }
        match next {
            Some((_, after)) => rest = after,
            None => break,
        }
    }
    // Parameters alone would be a frame that nothing is shown of.
    if !units.iter().any(|unit| kind(unit).is_some_and(|kind| (SLICE..=IDR_SLICE).contains(&kind))) {
        return Err("a frame of H264 has no slice".into());
    }
    Ok(units)
}

/// What is before and what is behind the first start code.
fn split_at_start_code(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        match data.get(at..at + 3)? {
            [0, 0, 1] => return Some((&data[..at], &data[at + 3..])),
            // No start code begins with any of these.
            [_, _, 2..=255] => at += 3,
            _ => at += 1,
        }
    }
}

/// Who joins with this frame must be able to decode it: encoders like to give the parameters once, or apart.
pub(crate) fn check_key(units: &[&[u8]]) -> Result<(), String> {
    let place = |wanted| units.iter().position(|unit| kind(unit) == Some(wanted));
    let slice = place(IDR_SLICE).ok_or("a key frame of H264 has no IDR slice")?;
    for (wanted, name) in [(SEQUENCE_PARAMETERS, "SPS"), (PICTURE_PARAMETERS, "PPS")] {
        if place(wanted).is_none_or(|place| place > slice) {
            return Err(format!("a key frame of H264 has no {name} before its IDR slice"));
        }
    }
    Ok(())
}

/// The payloads of a frame: small units together, large ones in fragments, in the order that they have.
pub(crate) fn write(units: &[&[u8]], max_payload: usize) -> Vec<Bytes> {
    let max_payload = max_payload.min(u16::MAX.into());
    let mut payloads = Vec::new();
    let mut group: Vec<&[u8]> = Vec::new();
    let mut size = 1;
    for unit in units {
        if size + 2 + unit.len() > max_payload {
            payloads.extend(write_group(&group));
            (size, group) = (1, Vec::new());
        }
        if unit.len() > max_payload {
            payloads.extend(write_fragments(unit, max_payload));
        } else {
            size += 2 + unit.len();
            group.push(unit);
        }
    }
    payloads.extend(write_group(&group));
    payloads
}

fn write_group(group: &[&[u8]]) -> Option<Bytes> {
    if let [] | [_] = group {
        return group.first().map(|unit| Bytes::copy_from_slice(unit));
    }
    let mut payload = BytesMut::with_capacity(1 + group.iter().map(|unit| 2 + unit.len()).sum::<usize>());
    // As important as the most important unit in it, and broken if one is (RFC 6184, 5.7.1).
    let headers = group.iter().filter_map(|unit| unit.first());
    let importance = headers.clone().map(|header| header & 0x60).max().unwrap_or(0);
    let broken = headers.fold(0, |all, header| all | header & 0x80);
    payload.put_u8(broken | importance | STAP_A);
    for unit in group {
        payload.put_u16(unit.len() as u16);
        payload.put_slice(unit);
    }
    Some(payload.freeze())
}

fn write_fragments(unit: &[u8], max_payload: usize) -> Vec<Bytes> {
    let Some((header, body)) = unit.split_first() else { return Vec::new() };
    let pieces = pieces(body, max_payload.saturating_sub(2));
    let last = pieces.len() - 1;
    let mut out = BytesMut::with_capacity(body.len() + 2 * pieces.len());
    let fragment = |(number, piece)| {
        let first = if number == 0 { FIRST_FRAGMENT } else { 0 };
        let last = if number == last { LAST_FRAGMENT } else { 0 };
        out.put_u8(header & !KIND | FU_A);
        out.put_u8(first | last | header & KIND);
        out.put_slice(piece);
        out.split().freeze()
    };
    pieces.enumerate().map(fragment).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(payloads: &[&[u8]]) -> Option<(BytesMut, bool)> {
        let (mut frame, mut open) = (BytesMut::new(), false);
        for payload in payloads {
            append(payload, &mut frame, &mut open)?;
        }
        Some((frame, open))
    }

    #[test]
    fn payloads_are_read() {
        let reading = |start, key| Some(Reading { start, key, descriptor: 0 });
        for (payload, expected) in [
            (&b"\x67"[..], reading(Start::Yes, true)),
            (b"\x09\xf0", reading(Start::Yes, false)),
            (b"\x68x", reading(Start::Unknown, false)),
            (b"\x65x", reading(Start::Unknown, true)),
            (b"\x41x", reading(Start::Unknown, false)),
            (b"\x78\0\x01\x67\0\x01\x68", reading(Start::Yes, true)),
            (b"\x78\0\x01\x06\0\x01\x65", reading(Start::Unknown, true)),
            (b"\x78\0\x01\x06\0\x01\x41", reading(Start::Unknown, false)),
            (b"\x7c\x85x", reading(Start::Unknown, true)),
            (b"\x7c\x87x", reading(Start::Yes, true)),
            (b"\x7c\x05x", reading(Start::No, true)),
            (b"\x7c\x41x", reading(Start::No, false)),
            // Both ends in one; sizes of nothing and of too much; units that are none; what no browser sends.
            (b"\x7c\xc5x", None),
            (b"\x78\0\0\0\x01\x41", None),
            (b"\x78\0\x02\x41", None),
            (b"\x78\0", None),
            (b"\x78", None),
            (b"\x7c", None),
            (b"\x78\0\x01\x78", None),
            (b"\x60x", None),
            (b"\x79xx", None),
            (b"\x7d\x85xx", None),
            (b"", None),
        ] {
            assert_eq!(read(payload), expected, "{payload:x?}");
        }
    }

    #[test]
    fn units_are_put_behind_start_codes() {
        let (frame, open) =
            assemble(&[b"\x78\0\x02\x67a\0\x01\x68", b"\x7c\x85bc", b"\x7c\x05d", b"\x7c\x45e", b"\x65f"]).unwrap();
        assert!(!open);
        assert_eq!(frame, b"\0\0\0\x01\x67a\0\0\0\x01\x68\0\0\0\x01\x65bcde\0\0\0\x01\x65f"[..]);
        // A fragment without a beginning, or without an end.
        assert_eq!(assemble(&[b"\x7c\x05d"]), None);
        assert_eq!(assemble(&[b"\x7c\x85d", b"\x65f"]), None);
        assert_eq!(assemble(&[b"\x7c\x85d", b"\x7c\x85f"]), None);
        assert!(assemble(&[b"\x7c\x85d", b"\x7c\x05f"]).unwrap().1);
    }

    #[test]
    fn start_codes_of_both_lengths_are_found() {
        let frame =
            b"\0\0\0\0\x01\x09\xf0\0\0\x01\x67a\0\0\0\x01\x68b\0\0\0\0\0\x01\x0cff\0\0\x01\x65\0\0\x03\x01c\0\0";
        assert_eq!(units(frame).unwrap(), [&b"\x67a"[..], b"\x68b", b"\x65\0\0\x03\x01c"]);
        for (frame, reason) in [
            (&b""[..], "no start code"),
            (b"\0\0", "no start code"),
            (b"\0\0\0\x05\x65abcd", "no start code"),
            (b"x\0\0\x01\x65", "does not begin"),
            (b"\0\0\x01", "empty"),
            (b"\0\0\x01\x65\0\0\x01\0\0\x01\x65", "empty"),
            (b"\0\0\x01\x78\0\x01\x65", "type 24"),
            (b"\0\0\x01\x09\xf0", "no slice"),
            (b"\0\0\x01\x67a\0\0\x01\x68b", "no slice"),
        ] {
            let error = units(frame).unwrap_err();
            assert!(error.contains(reason), "{frame:x?}: {error}");
        }
    }

    #[test]
    fn a_key_frame_has_its_parameters_before_it() {
        let (sequence, picture, slice) = (&b"\x67"[..], &b"\x68"[..], &b"\x65"[..]);
        assert_eq!(check_key(&[sequence, picture, slice]), Ok(()));
        for (units, reason) in [
            (vec![sequence, slice, picture], "no PPS"),
            (vec![picture, slice, sequence], "no SPS"),
            (vec![slice], "no SPS"),
            (vec![sequence, picture, b"\x41"], "no IDR"),
        ] {
            assert!(check_key(&units).unwrap_err().contains(reason), "{units:x?}");
        }
    }

    #[test]
    fn small_units_go_together_and_large_ones_in_fragments() {
        let payloads = write(&[b"\x67ab", b"\x28c", b"\x65defghijklmnopq", b"\x41r"], 10);
        let expected = [&b"\x78\0\x03\x67ab\0\x02\x28c"[..], b"\x7c\x85defghij", b"\x7c\x45klmnopq", b"\x41r"];
        assert_eq!(payloads, expected.map(Bytes::from_static));
    }
}
