//! Streams of named tracks, and the frames that go over them.

use super::data::tell;
use super::event::RTCSWARM_FLAG_KEY_FRAME;
use super::handle::{rtcswarm, with};
use super::pointers::{bytes, c_text, give_sized};
use super::status::Failure;
use crate::swarm::{Codec, Source, TrackKind, TrackSpec};
use std::ffi::{c_char, CStr};

/// A track's kind, which it keeps: sound.
pub const RTCSWARM_MEDIA_AUDIO: i32 = 1;
/// A track's kind, which it keeps: pictures.
pub const RTCSWARM_MEDIA_VIDEO: i32 = 2;

/// What a track is encoded in, and what a frame of it is. Opus: one packet (RFC 6716). Its `rtp_time` counts
/// 48000 a second, that of all others 90000.
pub const RTCSWARM_CODEC_OPUS: i32 = 1;
/// A frame as the encoder gives it (RFC 6386).
pub const RTCSWARM_CODEC_VP8: i32 = 2;
/// A frame, or a superframe, as the encoder gives it. Profile 0.
pub const RTCSWARM_CODEC_VP9: i32 = 3;
/// An access unit with start codes (ITU-T H.264, Annex B); that of a key frame has its parameter sets. Constrained
/// baseline, level 3.1.
pub const RTCSWARM_CODEC_H264: i32 = 4;
/// A temporal unit: OBUs that have their sizes (AV1 specification, 5.2); that of a key frame has a sequence header.
pub const RTCSWARM_CODEC_AV1: i32 = 5;

const CODECS: &[(i32, Codec, &CStr)] = &[
    (RTCSWARM_CODEC_OPUS, Codec::Opus, c"opus"),
    (RTCSWARM_CODEC_VP8, Codec::Vp8, c"VP8"),
    (RTCSWARM_CODEC_VP9, Codec::Vp9, c"VP9"),
    (RTCSWARM_CODEC_H264, Codec::H264, c"H264"),
    (RTCSWARM_CODEC_AV1, Codec::Av1, c"AV1"),
];

fn codec(number: i32) -> Result<Codec, Failure> {
    let found = CODECS.iter().find(|(known, _, _)| *known == number);
    found.map(|(_, codec, _)| *codec).ok_or_else(|| Failure::invalid("no such codec"))
}

/// 0 for one that this header does not know.
pub(super) fn codec_number(codec: Codec) -> i32 {
    CODECS.iter().find(|(_, known, _)| *known == codec).map_or(0, |(number, _, _)| *number)
}

pub(super) fn media_number(kind: TrackKind) -> i32 {
    match kind {
        TrackKind::Audio => RTCSWARM_MEDIA_AUDIO,
        TrackKind::Video => RTCSWARM_MEDIA_VIDEO,
    }
}

/// The name of a codec, as in session descriptions: "VP8". Static; "unknown" for any other number. Any thread.
#[no_mangle]
pub extern "C" fn rtcswarm_codec_name(codec: i32) -> *const c_char {
    let found = CODECS.iter().find(|(known, _, _)| *known == codec);
    found.map_or(c"unknown", |(_, _, name)| *name).as_ptr()
}

/// A track to be added to a stream. The names are NUL-terminated UTF-8 of 1 to 256 bytes.
///
/// With a `codec` (RTCSWARM_CODEC_…) this side sends it; `media` is then 0 or the codec's. With only `media`
/// (RTCSWARM_MEDIA_…) it is negotiated before there is anything to send, which rtcswarm_replace_track begins.
/// With neither it is expected from the other side.
#[repr(C)]
#[allow(non_camel_case_types)]
pub struct rtcswarm_track_spec {
    /// The name of its stream.
    pub stream: *const c_char,
    /// Of its own over all streams of the swarm: the other side's track of the same name comes over the same
    /// transceiver.
    pub name: *const c_char,
    /// RTCSWARM_MEDIA_…, or 0
    pub media: i32,
    /// RTCSWARM_CODEC_…, or 0
    pub codec: i32,
}

impl rtcswarm_track_spec {
    fn source(&self) -> Result<Source, Failure> {
        let kind = match self.media {
            0 => None,
            RTCSWARM_MEDIA_AUDIO => Some(TrackKind::Audio),
            RTCSWARM_MEDIA_VIDEO => Some(TrackKind::Video),
            _ => return Err(Failure::invalid("a track is audio or video")),
        };
        if self.codec == 0 {
            return Ok(kind.map_or(Source::Remote, Source::WarmUp));
        }
        let codec = codec(self.codec)?;
        if kind.is_some_and(|kind| kind != codec.kind()) {
            return Err(Failure::invalid(format!("{} is a codec of the other kind", codec.name())));
        }
        Ok(Source::Encoded(codec))
    }

    /// # Safety
    /// The names are NULL or strings.
    unsafe fn read(&self) -> Result<TrackSpec, Failure> {
        let stream = c_text(self.stream, "a stream's name")?;
        let name = c_text(self.name, "a track's name")?;
        Ok(TrackSpec::new(stream, name, self.source()?))
    }
}

/// More in one call are a mistake: a swarm has 64 tracks at most, each in a few streams.
const MOST_SPECS: usize = 4096;

/// Gives these tracks to every peer there is and will be, before rtcswarm_start or after: all of them, or none.
/// `ids`, NULL or with room for `count`, gets their numbers, which are never used again in the process. The
/// peers hear of them as RTCSWARM_EVENT_TRACK and RTCSWARM_EVENT_STREAM.
///
/// A name that there is already keeps its number. It becomes what is said now and is muted no more, unless that
/// is less than it is: then nothing changes. A name is the same track in every stream, so two cameras have two
/// names. A track that is only expected holds the peers' RTCSWARM_EVENT_STREAM back until there is one of its name.
/// RTCSWARM_ERR_INVALID for the other kind, for more than 64 tracks,
/// and for names that are none.
// Safety: `swarm` is NULL or lives; `specs` is valid for `count`, with names that are NULL or strings; `ids` is
// NULL or has room for `count`.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_add_tracks(
    swarm: *mut rtcswarm,
    specs: *const rtcswarm_track_spec,
    count: usize,
    ids: *mut u64,
) -> i32 {
    with(swarm, |handle| {
        if count == 0 {
            return Ok(());
        }
        if specs.is_null() {
            return Err(Failure::invalid("the tracks are NULL and their count is not 0"));
        }
        if count > MOST_SPECS {
            return Err(Failure::invalid(format!("more than {MOST_SPECS} tracks")));
        }
        let mut tracks = Vec::with_capacity(count);
        for spec in std::slice::from_raw_parts(specs, count) {
            tracks.push(spec.read()?);
        }
        let added = handle.swarm.add_tracks(&tracks)?;
        if !ids.is_null() {
            std::ptr::copy_nonoverlapping(added.as_ptr(), ids, added.len());
        }
        Ok(())
    })
}

/// Not 0: sends the track to nobody any more; peers hear RTCSWARM_EVENT_TRACK_MUTED, those that come later do
/// not get it, or hear that at once. 0: to everybody again. Wait for RTCSWARM_EVENT_KEY_FRAME_WANTED then, which says that a peer
/// takes it. RTCSWARM_ERR_NO_TRACK if no track of this side's has the number.
// Safety: `swarm` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_mute(swarm: *mut rtcswarm, track: u64, muted: i32) -> i32 {
    with(swarm, |handle| Ok(handle.swarm.mute(track, muted != 0)?))
}

/// From now on the track is sent in this codec (RTCSWARM_CODEC_…), of its kind: another one than before, or the
/// first. Begin with a key frame. RTCSWARM_ERR_NO_TRACK, or RTCSWARM_ERR_INVALID for a codec of the other kind.
// Safety: `swarm` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_replace_track(swarm: *mut rtcswarm, track: u64, codec: i32) -> i32 {
    with(swarm, |handle| Ok(handle.swarm.replace_track(track, self::codec(codec)?)?))
}

/// Sends one encoded frame of 1 to 4194304 bytes of a track of this side's to every peer that takes it; the
/// codec says what a frame is. `rtp_time` is when it is to be shown, by any clock that begins anywhere and wraps
/// around. `flags`: RTCSWARM_FLAG_KEY_FRAME if it needs none before it, else 0. The data is copied, and arrives as it is, but for
/// H.264's start codes and AV1's temporal delimiters. Never waits,
/// and has no RTCSWARM_WOULD_BLOCK: what a path is too slow for is dropped. Frames of one track go in the order of
/// the calls, so let one thread make them.
///
/// RTCSWARM_OK also where nobody took it: `reached` and `skipped`, each NULL or valid, say how many peers did and
/// did not, such as those that negotiate still, know no such codec, or all of them while the track is muted.
/// RTCSWARM_ERR_NO_TRACK, RTCSWARM_ERR_STATE (not started, or the track has no codec), RTCSWARM_ERR_TOO_LARGE,
/// RTCSWARM_ERR_CLOSED, RTCSWARM_ERR_INVALID (it cannot be a frame of that codec;
/// what is in it is not looked at).
// Safety: `swarm` is NULL or lives; `data` is valid for `length` bytes; `reached` and `skipped` are NULL or valid.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_send_frame(
    swarm: *mut rtcswarm,
    track: u64,
    data: *const u8,
    length: usize,
    rtp_time: u32,
    flags: u32,
    reached: *mut usize,
    skipped: *mut usize,
) -> i32 {
    with(swarm, |handle| {
        if flags & !RTCSWARM_FLAG_KEY_FRAME != 0 {
            return Err(Failure::invalid("a frame to be sent has no flag but RTCSWARM_FLAG_KEY_FRAME"));
        }
        let sent = handle.swarm.send_frame(track, bytes(data, length)?, rtp_time, flags != 0)?;
        tell(sent, reached, skipped)
    })
}

/// The same for one RTP packet (RFC 3550), for who has packets and no frames; in the order in which they are to
/// be sent. Its timestamp, marker and payload (1120 bytes at most) go to every peer; payload type, source and
/// sequence number become those that each peer knows. RTCSWARM_ERR_INVALID if it is none.
// Safety: As for rtcswarm_send_frame.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_send_rtp(
    swarm: *mut rtcswarm,
    track: u64,
    packet: *const u8,
    length: usize,
    reached: *mut usize,
    skipped: *mut usize,
) -> i32 {
    with(swarm, |handle| tell(handle.swarm.send_rtp(track, bytes(packet, length)?)?, reached, skipped))
}

/// Asks a peer for a key frame of one of its tracks: for who decodes only now. One that is needed after a loss is
/// asked for without it. More than about three times a second changes nothing. RTCSWARM_ERR_NO_TRACK if that peer
/// has no such track.
// Safety: `swarm` is NULL or lives.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_request_key_frame(swarm: *mut rtcswarm, peer: u64, track: u64) -> i32 {
    with(swarm, |handle| Ok(handle.swarm.request_key_frame(peer, track)?))
}

/// Figures of a peer's track, or of one of this side's on the way to that peer. Set `struct_size` to
/// sizeof(rtcswarm_track_stats) before the call. What makes no sense for its direction is 0, or negative where
/// that is said. New fields come last.
#[repr(C)]
#[derive(Clone, Copy)]
#[allow(non_camel_case_types)]
pub struct rtcswarm_track_stats {
    /// sizeof(rtcswarm_track_stats).
    pub struct_size: usize,
    /// Sent or received, repeated ones among the received too.
    pub packets: u64,
    /// Of their payload.
    pub bytes: u64,
    /// Frames that were sent, or that were put together.
    pub frames: u64,
    /// Packets that did not arrive: here, or as the other side last reported (RFC 3550, 6.4.1).
    pub lost: u64,
    /// Packets that came too late or twice.
    pub useless: u64,
    /// Received frames or packets that were not taken in time (rtcswarm_config_set_media_queue).
    pub dropped: u64,
    /// Packets that the other side asked for again.
    pub retransmissions: u64,
    /// How often the other side wanted a key frame.
    pub key_frame_requests: u64,
    /// As in RFC 3550, in microseconds.
    pub jitter_us: u64,
    /// By the other side's reports on what this side sends, in microseconds; negative if there is none yet.
    pub round_trip_us: i64,
    /// What the way to the other side is thought to take, in bits a second; negative if that is not known. The engine begins with
    /// 300,000 and raises it slowly, to 1.4 million in about 20 s of a steady stream: an encoder need not stay below it
    /// while nothing is lost.
    pub bitrate: i64,
}

/// Gives figures of a track: of that peer's, or of one of this side's to that peer.
// Safety: `swarm` is NULL or lives; `out` is NULL or as rtcswarm_track_stats says.
#[no_mangle]
pub unsafe extern "C" fn rtcswarm_get_track_stats(
    swarm: *mut rtcswarm,
    peer: u64,
    track: u64,
    out: *mut rtcswarm_track_stats,
) -> i32 {
    with(swarm, |handle| {
        let stats = handle.swarm.track_stats(peer, track)?;
        let round_trip = stats.round_trip.map(|time| time.as_micros());
        let shown = rtcswarm_track_stats {
            struct_size: 0,
            packets: stats.packets,
            bytes: stats.bytes,
            frames: stats.frames,
            lost: stats.lost,
            useless: stats.useless,
            dropped: stats.dropped,
            retransmissions: stats.retransmissions,
            key_frame_requests: stats.key_frame_requests,
            jitter_us: u64::try_from(stats.jitter.as_micros()).unwrap_or(u64::MAX),
            round_trip_us: round_trip.and_then(|time| i64::try_from(time).ok()).unwrap_or(-1),
            bitrate: stats.bitrate.and_then(|bits| i64::try_from(bits).ok()).unwrap_or(-1),
        };
        give_sized(out, shown, |stats, size| stats.struct_size = size)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_names_every_codec_as_the_library_does() {
        for (number, codec, name) in CODECS {
            assert_eq!(name.to_str(), Ok(codec.name()));
            assert_eq!(codec_number(*codec), *number);
        }
    }
}
