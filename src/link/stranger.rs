//! A stranger at the door of a link, for src/fuzzing: what one can say who keeps to nothing, beyond what a [`Link`] of ours would say.

pub(crate) mod association;

use super::*;
use crate::link::pair::config;
use crate::media::{LocalStreams, LocalTrack, Source, TrackId};
use webrtc::peer_connection::sdp::RTCSessionDescription;
use webrtc::rtcp;
use webrtc::rtp;
use webrtc::shared::marshal::Unmarshal;

thread_local! {
    /// One certificate for all: making one takes longer than what is looked for.
    static CONFIG: LinkConfig = config();
}

pub(crate) const US: &str = "192.0.2.1:1000";
pub(crate) const THEM: &str = "192.0.2.2:2000";

/// The most text that a link can be given: signaling takes no larger messages.
const MOST_TEXT: usize = 1 << 20;

/// Where links are made and the time goes on.
pub(crate) struct Stranger {
    pub now: Instant,
}

/// What a side gives: a camera with sound.
pub(crate) fn camera() -> Arc<LocalStreams> {
    let mut streams = LocalStreams { version: 1, ..LocalStreams::default() };
    for (number, name, codec) in [(1001, "audio", crate::media::Codec::Opus), (1002, "video", crate::media::Codec::Vp8)]
    {
        streams.streams.entry("cam".to_owned()).or_default().push(name.to_owned());
        let track = LocalTrack { id: TrackId(number), source: Source::Encoded(codec), muted: false };
        streams.tracks.insert(name.to_owned(), track);
    }
    Arc::new(streams)
}

fn streams(media: bool) -> Arc<LocalStreams> {
    if media {
        camera()
    } else {
        Arc::default()
    }
}

impl Stranger {
    pub fn new() -> Self {
        Self { now: Instant::now() }
    }

    pub fn offering(&self, media: bool) -> (Link, String) {
        let (mut link, offer) =
            CONFIG.with(|config| Link::offer(config, self.now, streams(media))).expect("a link can always offer");
        self.give_candidate(&mut link);
        (link, offer)
    }

    pub fn answering(&self, offer: &str, media: bool) -> Result<(Link, String), String> {
        let (mut link, answer) = CONFIG.with(|config| Link::answer(config, self.now, offer, streams(media)))?;
        self.give_candidate(&mut link);
        Ok((link, answer))
    }

    fn give_candidate(&self, link: &mut Link) {
        let ours: SocketAddr = US.parse().expect("an address");
        link.add_local_candidate(&pair::candidate(ours)).expect("a candidate of ours is one");
    }

    /// As the other side of a link that offers would answer.
    pub fn answer_to(&self, offer: &str) -> String {
        self.answering(offer, false).expect("our own offers can be answered").1
    }

    pub fn pump(&mut self, link: &mut Link, rounds: usize, step: Duration) -> Output {
        let mut all = Output::default();
        for _ in 0..rounds {
            let mut output = Output::default();
            let next = link.pump(self.now, true, &mut output);
            if let Some(next) = next {
                assert!(next > self.now, "a link that is busy for ever");
            }
            all.datagrams.extend(output.datagrams);
            all.reports.extend(output.reports);
            self.now += step;
        }
        all
    }

    /// What is read of a candidate that stands in a description.
    pub fn see_candidate(&self, text: &str) {
        stats::candidate_address(text);
        sdp::with_candidates(&format!("v=0\r\na=candidate:{text}\r\n"), |_| false);
    }

    /// A description as the engine takes it where our door is not before it.
    pub fn behind_the_door(&self, sdp: &str, is_offer: bool) {
        if sdp.len() > MOST_TEXT {
            return;
        }
        let described = if is_offer {
            RTCSessionDescription::offer(sdp.to_owned())
        } else {
            RTCSessionDescription::answer(sdp.to_owned())
        };
        let Ok(description) = described else { return };
        CONFIG.with(|config| {
            let feedback = feedback::Feedback::default();
            let Ok(mut engine) = engine::peer_connection(config, &feedback, self.now) else { return };
            if !is_offer {
                let Ok(_) = engine.create_data_channel("fast", None) else { return };
                let Ok(offer) = engine.create_offer(None) else { return };
                let Ok(()) = engine.set_local_description(self.now, offer) else { return };
            }
            if engine.set_remote_description(self.now, description).is_ok() && is_offer {
                if let Ok(answer) = engine.create_answer(None) {
                    let _ = engine.set_local_description(self.now, answer);
                }
            }
            let _ = engine.handle_timeout(self.now);
            while engine.poll_event().is_some() {}
            while engine.poll_write().is_some() {}
            let _ = engine.close();
        });
    }
}

impl Link {
    /// Messages that no link of ours sends: any bytes as text or binary, on any channel, past our own bookkeeping.
    pub fn say_anything(&mut self, now: Instant, nth: usize, is_text: bool, data: &[u8]) {
        let Some(wire) = self.channels.wires().nth(nth % self.channels.wires().count().max(1)) else { return };
        let Some(mut channel) = self.engine.data_channel(wire) else { return };
        if is_text {
            let _ = channel.send_text(now, String::from_utf8_lossy(data).into_owned());
        } else {
            let _ = channel.send(now, data.into());
        }
    }

    /// A channel that is opened by DCEP, with any names and options.
    pub fn open_anything(&mut self, label: &str, protocol: &str, ordered: bool, limits: (Option<u16>, Option<u16>)) {
        let (max_packet_life_time, max_retransmits) = limits;
        let protocol = protocol.to_owned();
        let init = RTCDataChannelInit { ordered, max_packet_life_time, max_retransmits, protocol, negotiated: None };
        let Ok(created) = self.engine.create_data_channel(label, Some(init)) else { return };
        let (wire, stream) = (created.id(), created.stream_id());
        self.channels.own(wire, stream, label, &ChannelOptions::default());
    }

    /// Resets a stream, as one does that is not of our kind; `fast` too.
    pub fn reset_anything(&mut self, nth: usize) {
        let Some(wire) = self.channels.wires().nth(nth % self.channels.wires().count().max(1)) else { return };
        if let Some(mut channel) = self.engine.data_channel(wire) {
            let _ = channel.close();
        }
    }

    /// RTP of any stream, or what is one by its first bytes.
    pub fn stream_anything(&mut self, now: Instant, packet: &[u8]) {
        let mut bytes = packet;
        if let Ok(packet) = rtp::Packet::unmarshal(&mut bytes) {
            let message = RTCMessage::RtpPacket(String::new(), packet);
            let _ = self.engine.handle_write(webrtc::peer_connection::message::TaggedRTCMessage { now, message });
        }
    }

    /// RTCP of any kind.
    pub fn report_anything(&mut self, now: Instant, packet: &[u8]) {
        let mut bytes = packet;
        if let Ok(packets) = rtcp::packet::unmarshal(&mut bytes) {
            let message = RTCMessage::RtcpPacket(String::new(), packets);
            let _ = self.engine.handle_write(webrtc::peer_connection::message::TaggedRTCMessage { now, message });
        }
    }

    /// The SSRCs that this side sends by, so that packets can be made that the other side listens to.
    pub fn sources(&mut self) -> Vec<u32> {
        self.media.transceivers().iter().map(|one| one.outgoing.ssrc).collect()
    }
}

/// Reads RTP and RTCP as the engine does behind SRTP, and looks through the payload of SCTP's streams.
pub(crate) fn read_packets(data: &[u8]) {
    let mut bytes = data;
    let _ = rtp::Packet::unmarshal(&mut bytes);
    let mut bytes = data;
    if let Ok(packets) = rtcp::packet::unmarshal(&mut bytes) {
        for packet in packets {
            let _ = packet.destination_ssrc();
        }
    }
    let mut bytes = data;
    let _ = webrtc::datachannel::message::Message::unmarshal(&mut bytes);
}
