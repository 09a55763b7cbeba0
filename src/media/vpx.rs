//! VP8 (RFC 7741) and VP9 (RFC 9628) over RTP: pieces of a frame, each behind a descriptor.

use super::depacketize::{Reading, Start};
use super::{byte, pieces, take};
use bytes::{BufMut, Bytes, BytesMut};

/// Reference indices of a VP9 picture (RFC 9628, 4.2).
const MAX_REFERENCES: usize = 3;
/// Bytes of the descriptors that we write, with a picture id of 15 bits.
const VP8_DESCRIPTOR: usize = 4;
const VP9_DESCRIPTOR: usize = 3;

/// A picture id is 7 or 15 bits long, and says which.
fn skip_picture_id(rest: &mut &[u8]) -> Option<()> {
    if byte(rest)? & 0x80 != 0 {
        byte(rest)?;
    }
    Some(())
}

/// RFC 7741, 4.2.
pub(super) fn read_vp8(payload: &[u8]) -> Option<Reading> {
    let mut rest = payload;
    let required = byte(&mut rest)?;
    if required & 0x80 != 0 {
        let extensions = byte(&mut rest)?;
        if extensions & 0x80 != 0 {
            skip_picture_id(&mut rest)?;
        }
        if extensions & 0x40 != 0 {
            byte(&mut rest)?; // TL0PICIDX
        }
        if extensions & 0x30 != 0 {
            byte(&mut rest)?; // TID, Y and KEYIDX
        }
    }
    // The first partition begins with the frame's header, whose first bit is clear in a key frame.
    let first = *rest.first()?;
    let starts = required & 0x17 == 0x10;
    let start = if starts { Start::Yes } else { Start::No };
    Some(Reading { start, key: starts && first & 1 == 0, descriptor: payload.len() - rest.len() })
}

/// RFC 9628, 4.2.
pub(super) fn read_vp9(payload: &[u8]) -> Option<Reading> {
    let mut rest = payload;
    let required = byte(&mut rest)?;
    let has = |bit: u8| required & bit != 0;
    let (predicted, flexible, begins) = (has(0x40), has(0x10), has(0x08));
    if has(0x80) {
        skip_picture_id(&mut rest)?;
    } else if flexible {
        return None; // There is nothing that references could count from.
    }
    let (mut spatial_layer, mut on_lower_layer) = (0, false);
    if has(0x20) {
        let layers = byte(&mut rest)?;
        spatial_layer = layers >> 1 & 7;
        on_lower_layer = layers & 1 != 0;
        if !flexible {
            byte(&mut rest)?; // TL0PICIDX
        }
    }
    if predicted && flexible {
        let mut references = 1;
        while byte(&mut rest)? & 1 != 0 {
            references += 1;
            if references > MAX_REFERENCES {
                return None;
            }
        }
    }
    if has(0x02) {
        skip_structure(&mut rest)?;
    }
    if rest.is_empty() {
        return None;
    }
    // A higher layer begins the frame of who gets no lower one.
    let start = match (begins, spatial_layer) {
        (false, _) => Start::No,
        (true, 0) => Start::Yes,
        (true, _) => Start::Unknown,
    };
    let key = begins && !predicted && !on_lower_layer;
    Some(Reading { start, key, descriptor: payload.len() - rest.len() })
}

/// The scalability structure (RFC 9628, 4.2.1).
fn skip_structure(rest: &mut &[u8]) -> Option<()> {
    let flags = byte(rest)?;
    if flags & 0x10 != 0 {
        take(rest, 4 * (usize::from(flags >> 5) + 1))?; // Width and height of each layer.
    }
    if flags & 0x08 != 0 {
        for _ in 0..byte(rest)? {
            let references = byte(rest)? >> 2 & 3;
            take(rest, references.into())?;
        }
    }
    Some(())
}

/// Chromium takes the frame with the picture id before it for the one that a frame needs: the ids must not skip.
pub(crate) fn write_vp8(frame: &[u8], picture_id: u16, max_payload: usize) -> Vec<Bytes> {
    write(frame, max_payload, VP8_DESCRIPTOR, |first, _| {
        [0x80 | u8::from(first) << 4, 0x80, 0x80 | (picture_id >> 8) as u8, picture_id as u8]
    })
}

/// The descriptor of a stream of one layer, and whether its picture needs another: else Chromium takes each for a key frame.
pub(crate) fn write_vp9(frame: &[u8], key: bool, picture_id: u16, max_payload: usize) -> Vec<Bytes> {
    write(frame, max_payload, VP9_DESCRIPTOR, |first, last| {
        let flags = 0x80 | u8::from(!key) << 6 | u8::from(first) << 3 | u8::from(last) << 2;
        [flags, 0x80 | (picture_id >> 8) as u8, picture_id as u8]
    })
}

/// `descriptor` is told whether a piece is the first and whether it is the last.
fn write<const SIZE: usize>(
    frame: &[u8],
    max_payload: usize,
    size: usize,
    descriptor: impl Fn(bool, bool) -> [u8; SIZE],
) -> Vec<Bytes> {
    let pieces = pieces(frame, max_payload.saturating_sub(size));
    let last = pieces.len().saturating_sub(1);
    // One allocation for all payloads of the frame.
    let mut out = BytesMut::with_capacity(frame.len() + SIZE * pieces.len());
    pieces
        .enumerate()
        .map(|(number, piece)| {
            out.put_slice(&descriptor(number == 0, number == last));
            out.put_slice(piece);
            out.split().freeze()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(start: Start, key: bool, descriptor: usize) -> Option<Reading> {
        Some(Reading { start, key, descriptor })
    }

    #[test]
    fn every_descriptor_of_vp8_is_read() {
        for (payload, expected) in [
            (&b"\x10\x00"[..], reading(Start::Yes, true, 1)),
            (b"\x10\x01", reading(Start::Yes, false, 1)),
            (b"\x30\x00", reading(Start::Yes, true, 1)),
            (b"\x00\x00", reading(Start::No, false, 1)),
            // Another partition begins, not the frame.
            (b"\x11\x00", reading(Start::No, false, 1)),
            (b"\x90\x00\x01", reading(Start::Yes, false, 2)),
            (b"\x90\x80\x7f\x00", reading(Start::Yes, true, 3)),
            (b"\x90\x80\xff\xff\x00", reading(Start::Yes, true, 4)),
            (b"\x90\x40\x01\x00", reading(Start::Yes, true, 3)),
            (b"\x90\x20\x01\x00", reading(Start::Yes, true, 3)),
            (b"\x90\x10\x01\x00", reading(Start::Yes, true, 3)),
            (b"\x90\xf0\x80\x01\x01\x01\x00", reading(Start::Yes, true, 6)),
            (b"\x90\xf0\x80\x01\x01\x01", None),
            (b"\x90\x80\x80", None),
            (b"\x90", None),
            (b"\x10", None),
            (b"", None),
        ] {
            assert_eq!(read_vp8(payload), expected, "{payload:x?}");
        }
    }

    #[test]
    fn every_descriptor_of_vp9_is_read() {
        for (payload, expected) in [
            (&b"\x08\x00"[..], reading(Start::Yes, true, 1)),
            (b"\x48\x00", reading(Start::Yes, false, 1)),
            (b"\x04\x00", reading(Start::No, false, 1)),
            (b"\x88\x7f\x00", reading(Start::Yes, true, 2)),
            (b"\x88\xff\xff\x00", reading(Start::Yes, true, 3)),
            // Layers, with TL0PICIDX and, flexible, without.
            (b"\x28\x00\x09\x00", reading(Start::Yes, true, 3)),
            (b"\xb8\x01\x00\x00", reading(Start::Yes, true, 3)),
            // A higher layer, on the lower one of the same picture and on its own.
            (b"\x28\x03\x09\x00", reading(Start::Unknown, false, 3)),
            (b"\x28\x02\x09\x00", reading(Start::Unknown, true, 3)),
            // One reference, three, four.
            (b"\xd8\x01\x02\x00", reading(Start::Yes, false, 3)),
            (b"\xd8\x01\x03\x05\x02\x00", reading(Start::Yes, false, 5)),
            (b"\xd8\x01\x03\x05\x07\x02\x00", None),
            // References of a picture without a number.
            (b"\x58\x02\x00", None),
            // A structure: two layers with sizes; two pictures, one with two references.
            (b"\x0a\x30\0\x01\0\x01\0\x02\0\x02\x00", reading(Start::Yes, true, 10)),
            (b"\x0a\x08\x02\x00\x08\x01\x02\x00", reading(Start::Yes, true, 7)),
            (b"\x0a\x00\x00", reading(Start::Yes, true, 2)),
            (b"\x0a\x08\x02\x00\x08\x01", None),
            (b"\x0a\x30\0\x01\0\x01\0\x02\0", None),
            (b"\x88\xff", None),
            (b"\x08", None),
            (b"", None),
        ] {
            assert_eq!(read_vp9(payload), expected, "{payload:x?}");
        }
    }

    #[test]
    fn descriptors_are_written_as_receivers_want_them() {
        assert_eq!(write_vp8(b"abcde", 0x7fff, 7), [&b"\x90\x80\xff\xffabc"[..], b"\x80\x80\xff\xffde"]);
        assert_eq!(write_vp8(b"abc", 5, 7), [&b"\x90\x80\x80\x05abc"[..]]);
        assert_eq!(write_vp9(b"abcde", true, 0x123, 5), [&b"\x88\x81\x23ab"[..], b"\x80\x81\x23cd", b"\x84\x81\x23e"]);
        assert_eq!(write_vp9(b"abc", false, 0x123, 6), [&b"\xcc\x81\x23abc"[..]]);
    }
}
