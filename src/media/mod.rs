//! Codecs, frames from and to RTP payloads, and streams of named tracks. Pure: no engine, no sockets, no clock.
//!
//! - `streams`: what this side gives;
//! - `assembler`: packets of one track put in order, and its frames;
//! - `depacketize`: what a payload says of its frame, and a frame from its payloads;
//! - `vpx`, `h264` and `av1`: the payload formats, read and written;
//! - `sequence` and `queue`: numbers that do not wrap, and the packets that came too early.

pub(crate) mod assembler;
pub(crate) mod av1;
pub(crate) mod depacketize;
pub(crate) mod h264;
mod queue;
mod sequence;
mod streams;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod vpx;

use crate::protocol::TrackKind;
pub(crate) use assembler::{Assembler, Packet};
pub(crate) use streams::{LocalStreams, LocalTrack};
pub use streams::{Source, TrackId};

/// Bytes of the largest frame that is sent or taken.
pub(crate) const MAX_FRAME: usize = 4 << 20;

/// How frames of a track are coded, and so how they are cut into packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// A frame is one Opus packet.
    Opus,
    /// A frame is what the encoder gives.
    Vp8,
    /// A frame is what the encoder gives; of several spatial layers, one after the other.
    Vp9,
    /// A frame is an access unit in Annex B form: NAL units behind start codes.
    H264,
    /// A frame is a temporal unit in low-overhead form: OBUs that say their size.
    Av1,
}

impl Codec {
    const ALL: [Codec; 5] = [Codec::Opus, Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

    pub fn kind(self) -> TrackKind {
        match self {
            Codec::Opus => TrackKind::Audio,
            Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::Av1 => TrackKind::Video,
        }
    }

    /// RTP timestamps a second.
    pub fn clock_rate(self) -> u32 {
        match self.kind() {
            TrackKind::Audio => 48_000,
            TrackKind::Video => 90_000,
        }
    }

    /// As in SDP's `a=rtpmap`.
    pub fn name(self) -> &'static str {
        match self {
            Codec::Opus => "opus",
            Codec::Vp8 => "VP8",
            Codec::Vp9 => "VP9",
            Codec::H264 => "H264",
            Codec::Av1 => "AV1",
        }
    }

    /// The codec that SDP calls so, in any case of letters (RFC 4855, 3).
    pub fn from_name(name: &str) -> Option<Codec> {
        Codec::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }
}

/// Takes the first byte off.
fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(*first)
}

/// Takes that many bytes off.
fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

/// As few pieces as fit in `room` bytes each, of about the same size: a small last one would cost a header for little.
fn pieces(data: &[u8], room: usize) -> std::slice::Chunks<'_, u8> {
    let count = data.len().div_ceil(room.max(1)).max(1);
    data.chunks(data.len().div_ceil(count).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sdp_s_in_any_case() {
        for codec in Codec::ALL {
            assert_eq!(Codec::from_name(codec.name()), Some(codec));
            assert_eq!(Codec::from_name(&codec.name().to_lowercase()), Some(codec));
            assert_eq!(Codec::from_name(&codec.name().to_uppercase()), Some(codec));
        }
        for name in ["", "rtx", "H265", "opus/48000", "vp"] {
            assert_eq!(Codec::from_name(name), None);
        }
        assert_eq!((Codec::Opus.kind(), Codec::Opus.clock_rate()), (TrackKind::Audio, 48_000));
        assert_eq!((Codec::Av1.kind(), Codec::Av1.clock_rate()), (TrackKind::Video, 90_000));
    }

    #[test]
    fn pieces_are_few_and_even() {
        let sizes = |length: usize, room| pieces(&vec![0; length], room).map(<[u8]>::len).collect::<Vec<_>>();
        assert_eq!(sizes(10, 10), [10]);
        assert_eq!(sizes(11, 10), [6, 5]);
        assert_eq!(sizes(1, 10), [1]);
        assert_eq!(sizes(3, 0), [1, 1, 1]);
        for length in 1..200 {
            let sizes = sizes(length, 7);
            assert!(sizes.len() == length.div_ceil(7) && sizes.iter().all(|size| *size <= 7), "{length}: {sizes:?}");
        }
    }
}
