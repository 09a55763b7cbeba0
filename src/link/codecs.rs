//! The codecs that the engine is told of, and what it sends for.

use crate::media::Codec;
use crate::protocol::TrackKind;
use webrtc::media_stream::MediaStreamTrack;
use webrtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodingParameters, RTCRtpEncodingParameters, RtpCodecKind,
};

pub(super) fn codec_parameters(codec: Codec) -> RTCRtpCodec {
    let feedback = |typ: &str, parameter: &str| RTCPFeedback { typ: typ.to_owned(), parameter: parameter.to_owned() };
    let (mime_type, channels, sdp_fmtp_line) = match codec {
        Codec::Opus => ("audio/opus", 2, "minptime=10;useinbandfec=1"),
        Codec::Vp8 => ("video/VP8", 0, ""),
        Codec::Vp9 => ("video/VP9", 0, "profile-id=0"),
        Codec::H264 => ("video/H264", 0, "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"),
        Codec::Av1 => ("video/AV1", 0, ""),
    };
    let rtcp_feedback = match codec.kind() {
        TrackKind::Audio => Vec::new(),
        TrackKind::Video => vec![feedback("nack", ""), feedback("nack", "pli"), feedback("ccm", "fir")],
    };
    RTCRtpCodec {
        mime_type: mime_type.to_owned(),
        clock_rate: codec.clock_rate(),
        channels,
        sdp_fmtp_line: sdp_fmtp_line.to_owned(),
        rtcp_feedback,
    }
}

/// All that we know, with the payload types of our own offers: those that browsers have for them.
pub(super) const CODECS: [(Codec, u8); 5] =
    [(Codec::Opus, 111), (Codec::Vp8, 96), (Codec::Vp9, 98), (Codec::H264, 102), (Codec::Av1, 45)];

pub(super) fn engine_kind(kind: TrackKind) -> RtpCodecKind {
    match kind {
        TrackKind::Audio => RtpCodecKind::Audio,
        TrackKind::Video => RtpCodecKind::Video,
    }
}

pub(super) fn default_codec(kind: TrackKind) -> Codec {
    match kind {
        TrackKind::Audio => Codec::Opus,
        TrackKind::Video => Codec::Vp8,
    }
}

/// What the engine sends for: it binds a source to its interceptors by the codec, and so one is said even where none is
/// known yet.
pub(super) fn placeholder(kind: TrackKind, ssrc: u32, codec: Codec) -> MediaStreamTrack {
    let encoding = RTCRtpEncodingParameters {
        rtp_coding_parameters: RTCRtpCodingParameters { ssrc: Some(ssrc), ..Default::default() },
        codec: codec_parameters(codec),
        ..Default::default()
    };
    // Two tracks of one id would become one at the other side.
    let id = format!("{:032x}", rand::random::<u128>());
    MediaStreamTrack::new("-".into(), id.clone(), id, engine_kind(kind), vec![encoding])
}
