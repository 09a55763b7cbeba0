//! Figures of a link.

use super::stun::TransactionId;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

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
    /// Datagrams of media that were more than the way takes, and were not sent.
    pub media_dropped: u64,
}

/// One track's figures on one connection, now. What makes no sense for its direction is 0 or `None`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TrackStats {
    /// Sent or received, repeated ones among the received too; bytes of payload.
    pub packets: u64,
    pub bytes: u64,
    pub frames: u64,
    /// Packets that did not arrive: here, or as the other side last reported (RFC 3550, 6.4.1).
    pub lost: u64,
    /// Packets that came too late or twice.
    pub useless: u64,
    /// Received frames or packets that the application was too slow for.
    pub dropped: u64,
    pub jitter: Duration,
    /// By the other side's reports on what we send.
    pub round_trip: Option<Duration>,
    /// Packets that the other side asked for again.
    pub retransmissions: u64,
    /// PLI and FIR that the other side sent.
    pub key_frame_requests: u64,
    /// What the way to the other side is thought to take, in bits a second.
    pub bitrate: Option<u64>,
}

/// Messages and their payload.
#[derive(Default)]
pub(super) struct Counters {
    messages_sent: u64,
    bytes_sent: u64,
    messages_received: u64,
    bytes_received: u64,
}

/// What was accepted for sending since the beginning, and what of it is not acknowledged.
pub struct Progress {
    pub bytes: u64,
    pub messages: u64,
    pub outstanding: usize,
}

impl Counters {
    pub fn progress(&self, outstanding: usize) -> Progress {
        Progress { bytes: self.bytes_sent, messages: self.messages_sent, outstanding }
    }

    pub fn sent(&mut self, bytes: usize) {
        self.messages_sent += 1;
        self.bytes_sent += bytes as u64;
    }

    pub fn received(&mut self, bytes: usize) {
        self.messages_received += 1;
        self.bytes_received += bytes as u64;
    }
}

/// Remote candidates that are known of.
const MAX_REMOTE: usize = 256;

/// Where a link's data goes, and what kinds of candidates its ends are.
#[derive(Default)]
pub(super) struct Path {
    /// Local and remote address of the last datagram that was data.
    now: Option<(SocketAddr, SocketAddr)>,
    local: Vec<(SocketAddr, &'static str)>,
    remote: Vec<(SocketAddr, &'static str)>,
}

impl Path {
    pub fn local_candidate(&mut self, text: &str) {
        self.local.extend(parse(text));
    }

    pub fn remote_candidate(&mut self, text: &str) {
        let fresh = parse(text).filter(|candidate| !self.remote.contains(candidate));
        // Each restart of ICE brings others.
        if fresh.is_some() && self.remote.len() == MAX_REMOTE {
            self.remote.remove(0);
        }
        self.remote.extend(fresh);
    }

    /// Whether the other side has named this address.
    pub fn has_candidate(&self, remote: SocketAddr) -> bool {
        self.remote.iter().any(|(address, _)| *address == remote)
    }

    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.now.map(|(_, remote)| remote)
    }

    /// The other side's candidates are others now; data goes where it went, until a path is found.
    pub fn forget_remote(&mut self) {
        let now = self.remote_address();
        self.remote.retain(|(address, _)| Some(*address) == now);
        self.remote.truncate(1);
    }

    #[cfg(test)]
    pub fn remote_candidates(&self) -> usize {
        self.remote.len()
    }

    pub fn is_relayed(&self, local: SocketAddr, remote: SocketAddr) -> bool {
        self.local.contains(&(local, "relay")) || self.remote.contains(&(remote, "relay"))
    }

    pub fn is_relayed_now(&self) -> bool {
        self.now.is_some_and(|(local, remote)| self.is_relayed(local, remote))
    }

    /// Data left last from an address that is none of these.
    pub fn is_from_none_of(&self, bases: &[SocketAddr]) -> bool {
        self.now.is_some_and(|(local, _)| !bases.contains(&local))
    }

    /// Another is looked for: the next data shows which it is.
    pub fn forget(&mut self) {
        self.now = None;
    }

    pub fn used(&mut self, local: SocketAddr, remote: SocketAddr) {
        self.now = Some((local, remote));
    }
}

pub(super) fn candidate_address(text: &str) -> Option<SocketAddr> {
    parse(text).map(|(address, _)| address)
}

/// Address and type of a candidate (RFC 8839, 5.1).
fn parse(text: &str) -> Option<(SocketAddr, &'static str)> {
    let mut words = text.split_ascii_whitespace().skip(4);
    let ip: IpAddr = words.next()?.parse().ok()?;
    let port = words.next()?.parse().ok()?;
    let kind = match words.nth(1)? {
        "host" => "host",
        "srflx" => "srflx",
        "prflx" => "prflx",
        "relay" => "relay",
        _ => return None,
    };
    Some((SocketAddr::new(ip, port), kind))
}

/// Round trips of ICE's checks, by what is seen of them on the way. (The engine's own figure is spoilt where it is told of a time to
/// come, to nominate at once.)
#[derive(Default)]
pub(super) struct RoundTrips {
    asked: VecDeque<(TransactionId, Instant)>,
    last: Option<Duration>,
}

/// Checks whose answer is awaited; those before them are taken as lost.
const ASKED: usize = 32;

impl RoundTrips {
    pub fn asked(&mut self, now: Instant, transaction: TransactionId) {
        if self.asked.len() == ASKED {
            self.asked.pop_front();
        }
        self.asked.push_back((transaction, now));
    }

    /// Whether it was asked.
    pub fn answered(&mut self, now: Instant, transaction: TransactionId) -> bool {
        let index = self.asked.iter().position(|(asked, _)| *asked == transaction);
        let Some((_, at)) = index.and_then(|index| self.asked.remove(index)) else { return false };
        self.last = Some(now.saturating_duration_since(at));
        true
    }
}

pub(super) fn read(messages: &Counters, path: &Path, round_trips: &RoundTrips, buffered: usize) -> ConnectionStats {
    let mut stats = ConnectionStats {
        round_trip: round_trips.last,
        bytes_sent: messages.bytes_sent,
        bytes_received: messages.bytes_received,
        messages_sent: messages.messages_sent,
        messages_received: messages.messages_received,
        buffered,
        ..ConnectionStats::default()
    };
    if let Some((local, remote)) = path.now {
        let kind = |known: &[(SocketAddr, &'static str)], address| {
            known.iter().find(|(known, _)| *known == address).map(|(_, kind)| *kind)
        };
        stats.local_address = Some(local);
        stats.remote_address = Some(remote);
        stats.local_candidate_type = kind(&path.local, local).unwrap_or("host");
        // Nobody told us of it: it was learned from a check (RFC 8445, 7.3.1.3).
        stats.remote_candidate_type = kind(&path.remote, remote).unwrap_or("prflx");
        stats.relayed = [stats.local_candidate_type, stats.remote_candidate_type].contains(&"relay");
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_trip_is_from_the_question_to_its_answer() {
        let (mut round_trips, now) = (RoundTrips::default(), Instant::now());
        round_trips.asked(now, [1; 12]);
        round_trips.asked(now + Duration::from_millis(1), [2; 12]);
        round_trips.answered(now + Duration::from_millis(9), [3; 12]);
        assert_eq!(round_trips.last, None);
        round_trips.answered(now + Duration::from_millis(5), [2; 12]);
        assert_eq!(round_trips.last, Some(Duration::from_millis(4)));
        for number in 0..100 {
            round_trips.asked(now, [number; 12]);
        }
        assert!(round_trips.asked.len() <= ASKED);
    }

    #[test]
    fn a_candidate_is_read_with_and_without_its_prefix() {
        let host = "1 1 udp 2122 192.0.2.2 36577 typ host generation 0";
        let expected = Some(("192.0.2.2:36577".parse().unwrap(), "host"));
        assert_eq!(parse(host), expected);
        assert_eq!(parse(&format!("candidate:{host}")), expected);
        assert_eq!(parse("1 1 udp 1 name.local 9 typ host"), None);
        assert_eq!(parse("junk"), None);
    }
}
