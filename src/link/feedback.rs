//! What the other side says of the media that it gets from us (RTCP: RFC 3550, RFC 4585, RFC 5104).
//!
//! The engine keeps it to itself: its chain of interceptors swallows RTCP, and its statistics of what was sent stay zero. So one
//! more interceptor, the nearest to the wire, looks at what passes.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use webrtc::interceptor::{BandwidthEstimator, Gcc, Interceptor, Packet, PacketReport, StreamInfo, TaggedPacket};
use webrtc::rtcp::payload_feedbacks::full_intra_request::FullIntraRequest;
use webrtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use webrtc::rtcp::receiver_report::ReceiverReport;
use webrtc::rtcp::reception_report::ReceptionReport;
use webrtc::rtcp::sender_report::SenderReport;
use webrtc::rtcp::transport_feedbacks::transport_layer_nack::TransportLayerNack;
use webrtc::sansio::Protocol;
use webrtc::shared::error::Error;

/// Sources of which something is kept; a link has fewer tracks of its own.
const MAX_SOURCES: usize = 256;
/// Sender reports that an answer may be about.
const SENT_REPORTS: usize = 4;

/// Of one source of ours, by its SSRC.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Heard {
    /// PLI and FIR together, and packets asked for again.
    pub key_frame_requests: u64,
    pub nacks: u64,
    /// As in its last report: packets lost in all, and jitter in units of the RTP clock.
    pub lost: u32,
    pub jitter: u32,
    pub round_trip: Option<Duration>,
    /// When ours left, by what the other side will call them.
    sent: VecDeque<(u32, Instant)>,
}

#[derive(Default)]
struct State {
    sources: BTreeMap<u32, Heard>,
}

/// Shared by the link and the interceptor in its engine.
#[derive(Clone, Default)]
pub(super) struct Feedback {
    state: Arc<Mutex<State>>,
    /// Bits a second; 0 while nothing is known.
    bitrate: Arc<AtomicU64>,
}

impl Feedback {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A source of ours: only of these anything is kept.
    pub fn watch(&self, ssrc: u32) {
        let mut state = self.lock();
        if state.sources.len() < MAX_SOURCES {
            state.sources.entry(ssrc).or_default();
        }
    }

    pub fn of(&self, ssrc: u32) -> Heard {
        self.lock().sources.get(&ssrc).cloned().unwrap_or_default()
    }

    pub fn key_frame_requests(&self, ssrc: u32) -> u64 {
        self.lock().sources.get(&ssrc).map_or(0, |heard| heard.key_frame_requests)
    }

    /// What the engine thinks that the way to the other side takes, in bits a second.
    pub fn bitrate(&self) -> Option<u64> {
        Some(self.bitrate.load(Ordering::Relaxed)).filter(|bitrate| *bitrate > 0)
    }

    pub fn interceptor(&self) -> Listener {
        Listener { feedback: self.clone(), reads: VecDeque::new(), writes: VecDeque::new() }
    }

    /// The engine's estimator (draft-ietf-rmcat-gcc), with its estimate where it can be read.
    pub fn estimator(&self) -> Estimator {
        Estimator { gcc: Gcc::new(300e3, 50e3, 100e6), bitrate: self.bitrate.clone() }
    }

    fn hear(&self, now: Instant, packets: &[Box<dyn webrtc::rtcp::Packet>]) {
        let mut state = self.lock();
        for packet in packets {
            let packet = packet.as_any();
            if let Some(pli) = packet.downcast_ref::<PictureLossIndication>() {
                state.source(pli.media_ssrc, |heard| heard.key_frame_requests += 1);
            } else if let Some(fir) = packet.downcast_ref::<FullIntraRequest>() {
                for entry in &fir.fir {
                    state.source(entry.ssrc, |heard| heard.key_frame_requests += 1);
                }
            } else if let Some(nack) = packet.downcast_ref::<TransportLayerNack>() {
                let count: u64 = nack.nacks.iter().map(|pair| 1 + u64::from(pair.lost_packets.count_ones())).sum();
                state.source(nack.media_ssrc, |heard| heard.nacks += count);
            } else if let Some(report) = packet.downcast_ref::<ReceiverReport>() {
                report.reports.iter().for_each(|report| state.report(now, report));
            } else if let Some(report) = packet.downcast_ref::<SenderReport>() {
                report.reports.iter().for_each(|report| state.report(now, report));
            }
        }
    }

    fn sent(&self, now: Instant, packets: &[Box<dyn webrtc::rtcp::Packet>]) {
        for report in packets.iter().filter_map(|packet| packet.as_any().downcast_ref::<SenderReport>()) {
            self.lock().source(report.ssrc, |heard| {
                if heard.sent.len() == SENT_REPORTS {
                    heard.sent.pop_front();
                }
                heard.sent.push_back(((report.ntp_time >> 16) as u32, now));
            });
        }
    }
}

impl State {
    fn source(&mut self, ssrc: u32, note: impl FnOnce(&mut Heard)) {
        if let Some(heard) = self.sources.get_mut(&ssrc) {
            note(heard);
        }
    }

    fn report(&mut self, now: Instant, report: &ReceptionReport) {
        self.source(report.ssrc, |heard| {
            heard.lost = report.total_lost;
            heard.jitter = report.jitter;
            let sent = heard.sent.iter().find(|(name, _)| *name == report.last_sender_report);
            if let Some((_, at)) = sent.filter(|_| report.last_sender_report != 0) {
                // In 1/65,536 of a second (RFC 3550, 6.4.1).
                let held = Duration::from_micros(u64::from(report.delay) * 1_000_000 / 65_536);
                heard.round_trip = Some(now.saturating_duration_since(*at).saturating_sub(held));
            }
        });
    }
}

pub(super) struct Listener {
    feedback: Feedback,
    reads: VecDeque<TaggedPacket>,
    writes: VecDeque<TaggedPacket>,
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Listener {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &packet.message.packet {
            self.feedback.hear(packet.now, packets);
        }
        self.reads.push_back(packet);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        self.reads.pop_front()
    }

    fn handle_write(&mut self, packet: TaggedPacket) -> Result<(), Error> {
        if let Packet::Rtcp(packets) = &packet.message.packet {
            self.feedback.sent(packet.now, packets);
        }
        self.writes.push_back(packet);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }
}

impl Interceptor for Listener {
    fn bind_local_stream(&mut self, _: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _: &StreamInfo) {}
}

pub(super) struct Estimator {
    gcc: Gcc,
    bitrate: Arc<AtomicU64>,
}

impl BandwidthEstimator for Estimator {
    fn on_reports(&mut self, now: Instant, reports: &[PacketReport]) {
        self.gcc.on_reports(now, reports);
        if !reports.is_empty() {
            self.bitrate.store(self.gcc.target_bitrate() as u64, Ordering::Relaxed);
        }
    }

    fn target_bitrate(&self) -> f64 {
        self.gcc.target_bitrate()
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.gcc.handle_timeout(now);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.gcc.poll_timeout()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(ssrc: u32, last_sender_report: u32, delay: u32) -> Box<dyn webrtc::rtcp::Packet> {
        let report =
            ReceptionReport { ssrc, total_lost: 3, jitter: 9, last_sender_report, delay, ..ReceptionReport::default() };
        Box::new(ReceiverReport { reports: vec![report], ..ReceiverReport::default() })
    }

    #[test]
    fn requests_reports_and_round_trips_are_heard_of_our_sources_only() {
        let (feedback, now) = (Feedback::default(), Instant::now());
        feedback.watch(1);
        let pli = |media_ssrc| -> Box<dyn webrtc::rtcp::Packet> {
            Box::new(PictureLossIndication { sender_ssrc: 0, media_ssrc })
        };
        feedback.hear(now, &[report(1, 0, 0), pli(1), pli(2)]);
        assert_eq!((feedback.key_frame_requests(1), feedback.key_frame_requests(2)), (1, 0));
        let sender_report = SenderReport { ssrc: 1, ntp_time: 0x0001_2345_6789_0000, ..SenderReport::default() };
        feedback.sent(now, &[Box::new(sender_report)]);
        // Held for a second, and back after 1.25.
        feedback.hear(now + Duration::from_millis(1250), &[report(1, 0x2345_6789, 65_536)]);
        let heard = feedback.of(1);
        assert_eq!((heard.lost, heard.jitter, heard.round_trip), (3, 9, Some(Duration::from_millis(250))));
    }
}
