//! Media through a link: packets in and out, and what is said about them.

use super::{engine, EngineResult, Link, MediaReport, Output, Payload, Report, TrackStats};
use crate::link::channels::ChannelId;
use crate::media::{Codec, LocalStreams, TrackId};
use crate::mesh::LinkEnd;
use crate::protocol::{Control, TrackKind};
use std::sync::Arc;
use std::time::Instant;
use webrtc::peer_connection::message::{RTCMessage, TaggedRTCMessage};
use webrtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use webrtc::rtp;
use webrtc::sansio::Protocol;
use webrtc::shared::marshal::Unmarshal;

/// Bytes that wait to become frames, of all tracks of a link.
const MAX_WAITING: usize = 16 << 20;

impl Link {
    /// Everything that this side gives, from now on.
    pub fn set_streams(&mut self, streams: Arc<LocalStreams>) -> EngineResult<()> {
        self.media.set_local(&mut self.engine, streams)
    }

    /// Names all tracks of the other side's anew, and asks for what the owner was not asked for.
    pub fn tell_media_again(&mut self) {
        self.media.tell_again();
    }

    pub(super) fn hear_of_media(&mut self, now: Instant, control: Control, output: &mut Output) {
        if !self.guard.may_announce(now) {
            return self.exceed("it announces streams and tracks without end", output);
        }
        if let Err(error) = self.media.hear(&mut self.engine, control) {
            self.end(LinkEnd::Error(error), output);
        }
    }

    pub(super) fn say(&mut self, now: Instant, control: &Control, output: &mut Output) {
        if self.channels.is_choked(&mut self.engine) {
            return self.exceed("it takes nothing of what it asks for", output);
        }
        let text = control.to_text();
        let said = self.channels.send(&mut self.engine, now, ChannelId::FAST, true, text.as_bytes().into(), true);
        if let Err(error) = said {
            self.end(LinkEnd::Error(error.to_string()), output);
        }
    }

    pub(super) fn take_packet(&mut self, now: Instant, packet: rtp::Packet) {
        let (ssrc, payload_type) = (packet.header.ssrc, packet.header.payload_type);
        let transceivers = self.media.transceivers();
        let known = transceivers.iter().position(|one| one.incoming.has_source(ssrc));
        let at = known.or_else(|| {
            let mut possible = (0..transceivers.len()).filter(|at| transceivers[*at].incoming.could_have(payload_type));
            // Only where there is no doubt.
            let at = possible.next().filter(|_| possible.next().is_none())?;
            transceivers[at].incoming.adopt(ssrc);
            Some(at)
        });
        let Some(at) = at else { return };
        transceivers[at].incoming.take(now, packet);
        let all: usize = transceivers.iter().map(|one| one.incoming.size()).sum();
        if all > MAX_WAITING {
            transceivers[at].incoming.start_over();
        }
    }

    /// Takes what has come: media is read even while messages are not, or the engine would pile it up.
    pub(super) fn attend_media(&mut self, now: Instant, output: &mut Output) {
        if self.media.is_idle() {
            return;
        }
        while let Some(message) = self.engine.poll_media_read() {
            if let RTCMessage::RtpPacket(_, packet) = message.message {
                self.take_packet(now, packet);
            }
        }
        let mut wanted = Vec::new();
        let mut requests = Vec::new();
        let feedback = self.media.feedback.clone();
        for (at, transceiver) in self.media.transceivers().iter_mut().enumerate() {
            transceiver.incoming.give(now, |report| output.reports.push(Report::Media(report)));
            if transceiver.kind == TrackKind::Video {
                requests.extend(transceiver.incoming.key_frame_source(now));
                let heard = feedback.key_frame_requests(transceiver.outgoing.ssrc);
                // One that asks before we know that it takes the track is told of when we do.
                if transceiver.outgoing.open && transceiver.outgoing.key_frame_wanted(now, heard) {
                    wanted.push(at);
                }
            }
        }
        for at in wanted {
            let transceiver = &self.media.transceivers_of()[at];
            if let Some(track) = self.media.live_track(transceiver) {
                output.reports.push(Report::Media(MediaReport::KeyFrameWanted { track }));
            }
        }
        for media_ssrc in requests {
            let request = PictureLossIndication { sender_ssrc: 0, media_ssrc };
            self.write(now, RTCMessage::RtcpPacket(String::new(), vec![Box::new(request)]));
        }
    }

    fn write(&mut self, now: Instant, message: RTCMessage) {
        // Before the transport is there, it is lost; the other side asks again.
        let _ = self.engine.handle_write(TaggedRTCMessage { now, message });
    }

    /// What the media has to say, to the other side and to the owner.
    pub(super) fn tell_media(&mut self, now: Instant, output: &mut Output) {
        if self.open && !self.ended {
            while let Some(control) = self.media.next_word() {
                self.say(now, &control, output);
            }
        }
        while let Some(report) = self.media.next_report() {
            output.reports.push(Report::Media(report));
        }
    }

    pub(super) fn media_deadline(&mut self) -> Option<Instant> {
        let nudge = self.media.nudge_deadline().filter(|_| self.open && !self.negotiation.is_offering());
        let presume = self.media.presume_deadline().filter(|_| self.open);
        self.media.transceivers().iter().filter_map(|one| one.incoming.deadline()).chain(nudge).chain(presume).min()
    }

    /// One frame, in the payloads that all receivers get. Gives whether the other side takes it.
    pub fn send_frame(
        &mut self,
        now: Instant,
        track: TrackId,
        codec: Codec,
        timestamp: u32,
        payloads: &[Payload],
    ) -> bool {
        // The track may have become another on its way here.
        let Some((transceiver, Some(_))) = self.media.sending(track).filter(|(_, of_track)| *of_track == Some(codec))
        else {
            return false;
        };
        let Some(payload_type) = transceiver.outgoing.payload_type(codec) else { return false };
        let packets = transceiver.outgoing.packets(payload_type, timestamp, payloads);
        self.send_packets(now, packets);
        true
    }

    fn send_packets(&mut self, now: Instant, packets: Vec<rtp::Packet>) {
        self.active = now;
        for packet in packets {
            self.write(now, RTCMessage::RtpPacket(String::new(), packet));
        }
    }

    /// Asks the other side for a key frame of a track of its own; not more often than makes sense.
    pub fn request_key_frame(&mut self, track: TrackId) -> bool {
        let Some(transceiver) = self.media.receiving(track) else { return false };
        transceiver.incoming.want_key_frame();
        true
    }

    /// Of a track of the other side's, or of one of ours on this link.
    pub fn track_stats(&mut self, track: TrackId) -> Option<TrackStats> {
        if let Some(transceiver) = self.media.receiving(track) {
            let incoming = &transceiver.incoming;
            let reception = &incoming.reception;
            return Some(TrackStats {
                packets: reception.packets,
                bytes: reception.bytes,
                frames: reception.frames,
                lost: reception.lost(),
                useless: incoming.useless(),
                jitter: reception.jitter(),
                ..TrackStats::default()
            });
        }
        let bitrate = self.media.feedback.bitrate();
        let feedback = self.media.feedback.clone();
        let (transceiver, codec) = self.media.sending(track)?;
        let outgoing = &transceiver.outgoing;
        let heard = feedback.of(outgoing.ssrc);
        let clock_rate = codec.map_or(90_000, Codec::clock_rate);
        Some(TrackStats {
            packets: outgoing.packets,
            bytes: outgoing.bytes,
            frames: outgoing.frames,
            lost: u64::from(heard.lost),
            jitter: std::time::Duration::from_micros(u64::from(heard.jitter) * 1_000_000 / u64::from(clock_rate)),
            round_trip: heard.round_trip,
            retransmissions: heard.nacks,
            key_frame_requests: heard.key_frame_requests,
            bitrate,
            ..TrackStats::default()
        })
    }
}

/// A packet of the caller's (RFC 3550, 5.1).
pub(crate) fn read_rtp(data: &[u8]) -> EngineResult<rtp::Packet> {
    let mut data = data;
    engine(rtp::Packet::unmarshal(&mut data))
}
