//! Figures of a link.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use webrtc::peer_connection::RTCPeerConnection;
use webrtc::statistics::report::RTCStatsReportEntry;
use webrtc::statistics::stats::ice_candidate::RTCIceCandidateStats;
use webrtc::statistics::StatsSelector;

/// One connection's figures, now.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ConnectionStats {
    /// The last round trip that ICE measured, if any.
    pub round_trip: Option<Duration>,
    /// Through a TURN server at either end.
    pub relayed: bool,
    pub local_address: Option<SocketAddr>,
    pub remote_address: Option<SocketAddr>,
    /// `host`, `srflx`, `prflx` or `relay` (RFC 8445), or empty.
    pub local_candidate_type: &'static str,
    pub remote_candidate_type: &'static str,
    /// Payload of messages.
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub messages_sent: u64,
    pub messages_received: u64,
    /// Bytes accepted and not acknowledged yet, over all channels.
    pub buffered: usize,
}

/// Messages and their payload.
#[derive(Default)]
pub(super) struct Counters {
    messages_sent: u64,
    bytes_sent: u64,
    messages_received: u64,
    bytes_received: u64,
}

impl Counters {
    pub fn sent(&mut self, bytes: usize) {
        self.messages_sent += 1;
        self.bytes_sent += bytes as u64;
    }

    pub fn received(&mut self, bytes: usize) {
        self.messages_received += 1;
        self.bytes_received += bytes as u64;
    }
}

pub(super) fn read(
    engine: &mut RTCPeerConnection,
    now: Instant,
    messages: &Counters,
    buffered: usize,
) -> ConnectionStats {
    let report = engine.get_stats(now, StatsSelector::None);
    let mut stats = ConnectionStats {
        bytes_sent: messages.bytes_sent,
        bytes_received: messages.bytes_received,
        messages_sent: messages.messages_sent,
        messages_received: messages.messages_received,
        buffered,
        ..ConnectionStats::default()
    };
    let selected = report.transport().map(|transport| transport.selected_candidate_pair_id.clone());
    let pairs = || report.candidate_pairs();
    let pair =
        pairs().find(|pair| selected.as_ref() == Some(&pair.stats.id)).or_else(|| pairs().find(|pair| pair.nominated));
    let Some(pair) = pair else { return stats };
    if pair.current_round_trip_time > 0.0 {
        stats.round_trip = Duration::try_from_secs_f64(pair.current_round_trip_time).ok();
    }
    for entry in report.iter() {
        match entry {
            RTCStatsReportEntry::LocalCandidate(candidate) if candidate.stats.id == pair.local_candidate_id => {
                stats.local_address = address(candidate);
                stats.local_candidate_type = kind(candidate);
            }
            RTCStatsReportEntry::RemoteCandidate(candidate) if candidate.stats.id == pair.remote_candidate_id => {
                stats.remote_address = address(candidate);
                stats.remote_candidate_type = kind(candidate);
            }
            _ => {}
        }
    }
    stats.relayed = [stats.local_candidate_type, stats.remote_candidate_type].contains(&"relay");
    stats
}

fn address(candidate: &RTCIceCandidateStats) -> Option<SocketAddr> {
    let ip: IpAddr = candidate.address.as_ref()?.parse().ok()?;
    Some(SocketAddr::new(ip, candidate.port))
}

fn kind(candidate: &RTCIceCandidateStats) -> &'static str {
    // Its words are those of RFC 8839.
    match candidate.candidate_type.to_string().as_str() {
        "host" => "host",
        "srflx" => "srflx",
        "prflx" => "prflx",
        "relay" => "relay",
        _ => "",
    }
}
