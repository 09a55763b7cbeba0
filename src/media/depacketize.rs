//! What one RTP payload says of its frame, and the bytes of a frame from its payloads.
//!
//! Nothing here trusts a payload: one that is none of its codec is refused, and a frame is never larger than [`MAX_FRAME`].

use super::{av1, h264, vpx, Codec, MAX_FRAME};
use bytes::BytesMut;

/// Whether a frame begins with a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    Yes,
    No,
    /// The codec does not say: it does if the packet before it ended one.
    Unknown,
}

/// What a payload says of its frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    pub start: Start,
    /// It can be told from this payload that nothing before the frame is needed to decode it.
    pub key: bool,
    /// Bytes before those that are [`Frame::append`]'s.
    pub descriptor: usize,
}

/// `None`: no payload of this codec.
pub(crate) fn read(codec: Codec, payload: &[u8]) -> Option<Reading> {
    match codec {
        Codec::Opus => (!payload.is_empty()).then_some(Reading { start: Start::Yes, key: true, descriptor: 0 }),
        Codec::Vp8 => vpx::read_vp8(payload),
        Codec::Vp9 => vpx::read_vp9(payload),
        Codec::H264 => h264::read(payload),
        Codec::Av1 => av1::read(payload),
    }
}

/// A frame that payloads are added to, in order.
pub(crate) struct Frame {
    codec: Codec,
    data: BytesMut,
    /// A NAL unit or an OBU has begun, and what is added next goes on with it.
    open: bool,
    /// What there is of that OBU: it is written with its size before it.
    obu: BytesMut,
}

impl Frame {
    pub fn new(codec: Codec) -> Self {
        Self { codec, data: BytesMut::new(), open: false, obu: BytesMut::new() }
    }

    /// What is behind the descriptor of the next payload. `None`: this can be no frame any more.
    pub fn append(&mut self, body: &[u8]) -> Option<()> {
        match self.codec {
            Codec::Opus | Codec::Vp8 | Codec::Vp9 => self.data.extend_from_slice(body),
            Codec::H264 => h264::append(body, &mut self.data, &mut self.open)?,
            Codec::Av1 => av1::append(body, &mut self.data, &mut self.obu, &mut self.open)?,
        }
        (self.size() <= MAX_FRAME).then_some(())
    }

    pub fn size(&self) -> usize {
        self.data.len() + self.obu.len()
    }

    /// `None`: something has begun that never ended, or there is nothing.
    pub fn finish(self) -> Option<BytesMut> {
        (!self.open && !self.data.is_empty()).then_some(self.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::testing::Random;

    #[test]
    fn opus_is_its_packet() {
        assert_eq!(read(Codec::Opus, b""), None);
        assert_eq!(read(Codec::Opus, b"x"), Some(Reading { start: Start::Yes, key: true, descriptor: 0 }));
        let mut frame = Frame::new(Codec::Opus);
        assert_eq!(frame.append(b"x"), Some(()));
        assert_eq!(frame.finish().unwrap(), b"x"[..]);
        assert_eq!(Frame::new(Codec::Opus).finish(), None);
    }

    #[test]
    fn what_has_begun_is_to_end() {
        for (codec, payloads) in [(Codec::H264, [b"\x41x", b"\x5c\x81"]), (Codec::Av1, [b"\x10\x30", b"\x50\x30"])] {
            let mut frame = Frame::new(codec);
            payloads.iter().for_each(|payload| frame.append(&payload[..]).unwrap());
            assert_eq!(frame.finish(), None, "{codec:?}");
        }
    }

    /// Short payloads of small numbers reach more branches than long random ones.
    #[test]
    fn no_payload_panics_and_no_frame_grows_without_end() {
        let mut random = Random(3);
        for codec in Codec::ALL {
            let mut frame = Frame::new(codec);
            for round in 0..60_000 {
                let length = random.below(if round % 100 == 0 { 70_000 } else { 24 });
                let mut payload = random.bytes(length);
                if round % 2 == 0 {
                    payload.iter_mut().skip(1).for_each(|byte| *byte &= 0x0f);
                }
                let Some(reading) = read(codec, &payload) else { continue };
                assert!(reading.descriptor <= payload.len());
                if frame.append(&payload[reading.descriptor..]).is_none() {
                    frame = Frame::new(codec);
                }
                assert!(frame.size() <= MAX_FRAME);
                // What `read` has refused does no harm either.
                let _ = Frame::new(codec).append(&payload);
            }
        }
    }
}
