//! AV1 over RTP ("RTP Payload Format For AV1", 4): OBUs without their size, whole or in fragments, several in a packet.

use super::depacketize::{Reading, Start};
use super::{byte, take};
use bytes::{BufMut, Bytes, BytesMut};

const SEQUENCE_HEADER: u8 = 1;
const TEMPORAL_DELIMITER: u8 = 2;
const TILE_LIST: u8 = 8;
const PADDING: u8 = 15;

/// Bits of an OBU's header.
const FORBIDDEN: u8 = 0x80;
const HAS_EXTENSION: u8 = 0x04;
const HAS_SIZE: u8 = 0x02;

/// Bits of a payload's first byte: it goes on with an OBU, its last one goes on in the next, and a sequence begins.
const CONTINUES: u8 = 0x80;
const CONTINUED: u8 = 0x40;
const NEW_SEQUENCE: u8 = 0x08;
/// Elements that the first byte can count; of more, the last says its size too.
const MAX_COUNTED: usize = 3;
/// A fragment of fewer bytes is not worth it.
const SMALLEST_FRAGMENT: usize = 16;

/// A number of seven bits a byte, the lowest first.
fn leb128(bytes: &mut &[u8]) -> Option<usize> {
    let mut value = 0;
    for place in 0..8 {
        let next = byte(bytes)?;
        value |= u64::from(next & 0x7f) << (7 * place);
        if next & 0x80 == 0 {
            return u32::try_from(value).ok()?.try_into().ok();
        }
    }
    None
}

pub(super) fn put_leb128(out: &mut BytesMut, mut value: usize) {
    while value > 0x7f {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

fn leb128_length(value: usize) -> usize {
    (usize::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

pub(crate) struct Obu<'a> {
    header: u8,
    extension: Option<u8>,
    content: &'a [u8],
}

impl<'a> Obu<'a> {
    /// Takes one off; what does not say its size is all there is.
    fn next(stream: &mut &'a [u8]) -> Option<Self> {
        let header = byte(stream).filter(|header| header & FORBIDDEN == 0)?;
        let extension = if header & HAS_EXTENSION != 0 { Some(byte(stream)?) } else { None };
        let size = if header & HAS_SIZE != 0 { leb128(stream)? } else { stream.len() };
        Some(Self { header, extension, content: take(stream, size)? })
    }

    fn kind(&self) -> u8 {
        self.header >> 3 & 0x0f
    }

    /// Of no use to a decoder behind RTP, and some of them not allowed there.
    fn is_idle(&self) -> bool {
        matches!(self.kind(), TEMPORAL_DELIMITER | TILE_LIST | PADDING)
    }

    /// What goes over RTP.
    fn element(&self) -> Vec<u8> {
        let mut element = Vec::with_capacity(2 + self.content.len());
        element.push(self.header & !HAS_SIZE);
        element.extend(self.extension);
        element.extend_from_slice(self.content);
        element
    }

    /// What a decoder takes.
    fn put(&self, frame: &mut BytesMut) {
        frame.put_u8(self.header | HAS_SIZE);
        frame.extend(self.extension);
        put_leb128(frame, self.content.len());
        frame.put_slice(self.content);
    }
}

/// The elements of a payload, each an OBU or a fragment of one; of a size that cannot be, an end with `broken` set.
struct Elements<'a> {
    rest: &'a [u8],
    /// Which one says no size, counted down; 0: none does.
    unsized_in: usize,
    broken: bool,
}

impl<'a> Elements<'a> {
    /// The first byte and the elements behind it.
    fn of(payload: &'a [u8]) -> Option<(u8, Self)> {
        let mut rest = payload;
        let header = byte(&mut rest)?;
        Some((header, Self { rest, unsized_in: (header >> 4 & 3).into(), broken: rest.is_empty() }))
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            // Fewer than were counted.
            self.broken |= self.unsized_in != 0;
            return None;
        }
        let element = if self.unsized_in == 1 {
            Some(std::mem::take(&mut self.rest))
        } else {
            leb128(&mut self.rest).and_then(|size| take(&mut self.rest, size))
        };
        self.unsized_in = self.unsized_in.saturating_sub(1);
        if element.is_none() {
            self.broken = true;
            self.rest = &[];
            self.unsized_in = 0;
        }
        element
    }
}

pub(super) fn read(payload: &[u8]) -> Option<Reading> {
    let (header, mut elements) = Elements::of(payload)?;
    let first = elements.next().and_then(|element| element.first());
    elements.by_ref().for_each(drop);
    let (continues, key) = (header & CONTINUES != 0, header & NEW_SEQUENCE != 0);
    // A sequence begins with a whole OBU.
    if elements.broken || continues && key {
        return None;
    }
    let first_kind = first.map(|header| header >> 3 & 0x0f);
    let start = match first_kind {
        _ if continues => Start::No,
        _ if key => Start::Yes,
        Some(SEQUENCE_HEADER | TEMPORAL_DELIMITER) => Start::Yes,
        _ => Start::Unknown,
    };
    Some(Reading { start, key, descriptor: 0 })
}

/// Adds a payload to a frame in low-overhead form. `open`: `obu` has begun and goes on.
pub(super) fn append(payload: &[u8], frame: &mut BytesMut, obu: &mut BytesMut, open: &mut bool) -> Option<()> {
    let (header, mut elements) = Elements::of(payload)?;
    if *open != (header & CONTINUES != 0) {
        return None;
    }
    while let Some(element) = elements.next() {
        let goes_on = elements.rest.is_empty() && header & CONTINUED != 0;
        if *open || goes_on {
            obu.put_slice(element);
            if !goes_on {
                put_element(obu, frame)?;
                obu.clear();
            }
        } else {
            put_element(element, frame)?;
        }
        *open = goes_on;
    }
    (!elements.broken).then_some(())
}

fn put_element(mut element: &[u8], frame: &mut BytesMut) -> Option<()> {
    if element.is_empty() {
        return Some(());
    }
    let obu = Obu::next(&mut element)?;
    if !element.is_empty() {
        return None;
    }
    if !obu.is_idle() {
        obu.put(frame);
    }
    Some(())
}

/// The OBUs of a frame in low-overhead form that are worth sending.
pub(crate) fn obus(frame: &[u8]) -> Result<Vec<Obu<'_>>, String> {
    let mut rest = frame;
    let mut obus = Vec::new();
    while !rest.is_empty() {
        let at = frame.len() - rest.len();
        let obu = Obu::next(&mut rest)
            .ok_or_else(|| format!("a frame of AV1 has no OBU in low-overhead form at byte {at}"))?;
        if !obu.is_idle() {
            obus.push(obu);
        }
    }
    if obus.is_empty() {
        return Err("a frame of AV1 has no OBU but delimiters and padding".into());
    }
    Ok(obus)
}

/// Who joins with this frame must be able to decode it: encoders may give the sequence header once.
pub(crate) fn check_key(obus: &[Obu]) -> Result<(), String> {
    match obus.first() {
        Some(obu) if obu.kind() == SEQUENCE_HEADER => Ok(()),
        _ => Err("a key frame of AV1 does not begin with a sequence header".into()),
    }
}

/// The payloads of a frame: as much as there is room for in each.
pub(crate) fn write(obus: &[Obu], key: bool, max_payload: usize) -> Vec<Bytes> {
    let elements: Vec<_> = obus.iter().map(Obu::element).collect();
    let mut payloads = Vec::new();
    let mut draft = Draft { flags: if key { NEW_SEQUENCE } else { 0 }, ..Draft::default() };
    for element in &elements {
        let mut rest = &element[..];
        loop {
            let room = draft.room(max_payload);
            if rest.len() <= room {
                draft.add(rest);
                break;
            }
            if room >= SMALLEST_FRAGMENT || draft.parts.is_empty() {
                let (part, after) = rest.split_at(room.max(1));
                draft.add(part);
                draft.flags |= CONTINUED;
                rest = after;
            }
            let continues = if draft.flags & CONTINUED != 0 { CONTINUES } else { 0 };
            payloads.push(std::mem::take(&mut draft).write());
            draft.flags = continues;
        }
    }
    payloads.push(draft.write());
    payloads
}

/// A payload that elements are added to.
#[derive(Default)]
struct Draft<'a> {
    flags: u8,
    parts: Vec<&'a [u8]>,
    /// Of all parts, each with its size before it.
    size: usize,
}

impl<'a> Draft<'a> {
    fn add(&mut self, part: &'a [u8]) {
        self.size += leb128_length(part.len()) + part.len();
        self.parts.push(part);
    }

    /// The largest element that can be added, with its size before it.
    fn room(&self, max_payload: usize) -> usize {
        let free = max_payload.saturating_sub(1 + self.size);
        (1..=5).map(|length| free.saturating_sub(length)).find(|size| size + leb128_length(*size) <= free).unwrap_or(0)
    }

    fn write(self) -> Bytes {
        let counted = self.parts.len() <= MAX_COUNTED;
        let mut payload = BytesMut::with_capacity(1 + self.size);
        payload.put_u8(self.flags | if counted { (self.parts.len() as u8) << 4 } else { 0 });
        for (number, part) in self.parts.iter().enumerate() {
            if !counted || number + 1 < self.parts.len() {
                put_leb128(&mut payload, part.len());
            }
            payload.put_slice(part);
        }
        payload.freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assemble(payloads: &[&[u8]]) -> Option<(BytesMut, bool)> {
        let (mut frame, mut obu, mut open) = (BytesMut::new(), BytesMut::new(), false);
        for payload in payloads {
            append(payload, &mut frame, &mut obu, &mut open)?;
        }
        Some((frame, open))
    }

    #[test]
    fn numbers_of_any_length_are_read_and_written() {
        for (value, bytes) in [(0, &b"\0"[..]), (127, b"\x7f"), (128, b"\x80\x01"), (300_000, b"\xe0\xa7\x12")] {
            let mut out = BytesMut::new();
            put_leb128(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!((leb128(&mut &bytes[..]), leb128_length(value)), (Some(value), bytes.len()));
        }
        assert_eq!(leb128(&mut &b"\x81\x80\x80\0"[..]), Some(1));
        for bytes in [&b""[..], b"\x80", b"\xff\xff\xff\xff\x7f", &[0x80; 9]] {
            assert_eq!(leb128(&mut &bytes[..]), None, "{bytes:x?}");
        }
    }

    #[test]
    fn payloads_are_read() {
        let reading = |start, key| Some(Reading { start, key, descriptor: 0 });
        for (payload, expected) in [
            (&b"\x18\x08x"[..], reading(Start::Yes, true)),
            (b"\x10\x08x", reading(Start::Yes, false)),
            (b"\x10\x12", reading(Start::Yes, false)),
            (b"\x10\x30x", reading(Start::Unknown, false)),
            (b"\x90xy", reading(Start::No, false)),
            (b"\x28\x01\x08\x30x", reading(Start::Yes, true)),
            (b"\x00\x01\x30\x01\x30", reading(Start::Unknown, false)),
            (b"\x00\x00\x01\x30", reading(Start::Unknown, false)),
            // It goes on and begins; more than there is; fewer than it says; nothing.
            (b"\x98xy", None),
            (b"\x20\x05\x30", None),
            (b"\x20\x01\x30", None),
            (b"\x00\x01\x30\x02\x30", None),
            (b"\x00\x80", None),
            (b"\x10", None),
            (b"", None),
        ] {
            assert_eq!(read(payload), expected, "{payload:x?}");
        }
    }

    #[test]
    fn obus_get_their_size() {
        let payloads =
            [&b"\x28\x02\x12\0\x08ab"[..], b"\x50\x34", b"\xd0\x18c", b"\xa0\x01d\x32\x01e", b"\x10\x34\x18"];
        let (frame, open) = assemble(&payloads).unwrap();
        assert_eq!(frame, b"\x0a\x02ab\x36\x18\x02cd\x32\x01e\x36\x18\0"[..]);
        assert!(!open);
        // A fragment without a beginning, or without an end; a size that is not the element's; a forbidden bit.
        assert_eq!(assemble(&[b"\x90x"]), None);
        assert_eq!(assemble(&[b"\x50\x30x", b"\x10\x30x"]), None);
        assert_eq!(assemble(&[b"\x10\x32\x02x"]), None);
        assert_eq!(assemble(&[b"\x10\x32\x01xx"]), None);
        assert_eq!(assemble(&[b"\x10\xb0x"]), None);
        assert!(assemble(&[b"\x50\x30x"]).unwrap().1);
    }

    #[test]
    fn what_is_no_stream_of_obus_is_refused() {
        let kinds = |frame| obus(frame).map(|obus| obus.iter().map(Obu::kind).collect::<Vec<_>>());
        assert_eq!(kinds(b"\x12\0\x0a\x01s\x7a\x02pp\x32\x01f").unwrap(), [1, 6]);
        assert_eq!(kinds(b"\x36\x08\x01x\x30to the end").unwrap(), [6, 6]);
        for (frame, reason) in [
            (&b"\x12\0\x32\x05x"[..], "at byte 2"),
            (b"\x36", "at byte 0"),
            (b"\x32", "at byte 0"),
            (b"\x32\x80", "at byte 0"),
            (b"\xb2\x01x", "at byte 0"),
            (b"\x12\0", "no OBU but"),
        ] {
            let error = kinds(frame).unwrap_err();
            assert!(error.contains(reason), "{frame:x?}: {error}");
        }
        assert!(check_key(&obus(b"\x12\0\x0a\x01s\x32\x01f").unwrap()).is_ok());
        assert!(check_key(&obus(b"\x32\x01f\x0a\x01s").unwrap()).is_err());
    }

    #[test]
    fn payloads_are_filled() {
        let stream = b"\x0a\x02ss\x36\x08\x1eabcdefghijklmnopqrstuvwxyz0123\x22\0\x22\0\x22\0";
        let payloads = write(&obus(stream).unwrap(), true, 24);
        // Of four elements each says its size, of fewer the last does not.
        let expected =
            [&b"\x68\x03\x08ss\x34\x08abcdefghijklmnop"[..], b"\x80\x0eqrstuvwxyz0123\x01\x20\x01\x20\x01\x20"];
        assert_eq!(payloads, expected);
        assert_eq!(assemble(&expected).unwrap(), (BytesMut::from(&stream[..]), false));
        assert_eq!(write(&obus(b"\x32\x01f").unwrap(), false, 24), [&b"\x10\x30f"[..]]);
    }
}
