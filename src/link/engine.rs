//! The engine of one link, set up as this library wants it.

use super::codecs::{codec_parameters, engine_kind, CODECS};
use super::feedback::Feedback;
use super::LinkConfig;
use std::time::{Duration, Instant};
use webrtc::ice::mdns::MulticastDnsMode;
use webrtc::interceptor::{CongestionControlBuilder, NackGeneratorBuilder, NackResponderBuilder, Registry, Slot};
use webrtc::peer_connection::configuration::interceptor_registry::{configure_rtcp_reports, configure_twcc};
use webrtc::peer_connection::configuration::media_engine::MediaEngine;
use webrtc::peer_connection::configuration::setting_engine::{SctpMaxMessageSize, SettingEngineBuilder};
use webrtc::peer_connection::configuration::RTCConfigurationBuilder;
use webrtc::peer_connection::{RTCPeerConnection, RTCPeerConnectionBuilder};
use webrtc::rtp_transceiver::rtp_sender::RTCRtpCodecParameters;
use webrtc::shared::error::Error;

/// The engine's ICE tick while it is connecting.
pub(super) const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// Checks of one pair before it is given up.
const MAX_CHECKS: u16 = 400;

/// Packets kept for who asks for them again: a second and more of video.
const KEPT_PACKETS: u16 = 512;
/// How often a packet is asked for that does not come.
const MAX_NACKS: u16 = 10;
/// A packet that was asked for again comes by its old number, as there is no other stream for it (RFC 4588 is not used: the
/// engine asks for what came that way again and again).
const REPLAY_WINDOW: usize = 1024;
/// Where the listener stands: before all others of the engine's.
const NEAREST_THE_WIRE: usize = 100;

pub(super) fn peer_connection(
    config: &LinkConfig,
    feedback: &Feedback,
    now: Instant,
) -> Result<RTCPeerConnection, Error> {
    let at_once = Some(Duration::ZERO);
    let mut settings = SettingEngineBuilder::new()
        // The engine waits for better candidates by default; here the first pair that works is good.
        .with_host_acceptance_min_wait(at_once)
        .with_srflx_acceptance_min_wait(at_once)
        .with_prflx_acceptance_min_wait(at_once)
        .with_relay_acceptance_min_wait(at_once)
        .with_ice_connection_attempts(Some(CHECK_INTERVAL), Some(MAX_CHECKS))
        .with_ice_timeouts(
            Some(config.ice_disconnected_timeout),
            Some(config.ice_failed_timeout),
            Some(config.ice_keepalive),
        )
        // Addresses may have gone. Those that are left are given anew.
        .with_discard_local_candidates_during_ice_restart(true)
        .with_multicast_dns_mode(MulticastDnsMode::Disabled)
        .with_srtp_replay_protection_window(REPLAY_WINDOW)
        .with_sctp_max_message_size(SctpMaxMessageSize::Bounded(config.max_message_size as u32));
    if let Some(window) = config.receive_window {
        settings = settings.with_sctp_max_receive_buffer_size(window);
    }
    let configuration = RTCConfigurationBuilder::new().with_certificates(vec![config.certificate.clone()]).build();
    let mut media = MediaEngine::default();
    for (codec, payload_type) in CODECS {
        let parameters = RTCRtpCodecParameters { rtp_codec: codec_parameters(codec), payload_type };
        media.register_codec(parameters, engine_kind(codec.kind()))?;
    }
    let interceptors = Registry::new()
        .with(Slot::from(NEAREST_THE_WIRE), feedback.interceptor())
        .with(Slot::CongestionControl, CongestionControlBuilder::new(feedback.estimator()).build())
        .with(Slot::NackResponder, NackResponderBuilder::new().with_size(KEPT_PACKETS).build())
        .with(Slot::NackGenerator, NackGeneratorBuilder::new().with_max_nacks_per_packet(MAX_NACKS).build());
    let interceptors = configure_rtcp_reports(configure_twcc(interceptors, &mut media)?);
    RTCPeerConnectionBuilder::new()
        .with_setting_engine(settings.build())
        .with_configuration(configuration)
        .with_media_engine(media)
        .with_interceptor_registry(interceptors)
        .build(now)
}
