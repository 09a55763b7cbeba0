//! The few places where a description is changed or read by us. The engine keeps its own text.

use super::stats::candidate_address;
use std::net::SocketAddr;

/// Says in a description that it comes from a rtcswarm. Browsers ignore attributes that they do not know (RFC 8866, 6).
const NATIVE: &str = "a=rtcswarm:1";

/// What the other side takes when it does not say (RFC 8841, 6.1).
const DEFAULT_MAX_MESSAGE_SIZE: usize = 65_536;

/// Bytes of a description, and its sections: 128 tracks of a browser's take 700 KiB.
const MAX_BYTES: usize = 1 << 20;
const MAX_SECTIONS: usize = 256;

/// Refuses what the engine, whose work grows with the square of some of it, should not see.
pub(super) fn check(sdp: &str) -> Result<(), String> {
    if sdp.len() > MAX_BYTES {
        return Err(format!("a description of {} bytes, of {MAX_BYTES} at most", sdp.len()));
    }
    let sections = sdp.lines().filter(|line| line.starts_with("m=")).count();
    if sections > MAX_SECTIONS {
        return Err(format!("a description of {sections} sections, of {MAX_SECTIONS} at most"));
    }
    Ok(())
}

/// The description as it is sent: marked as native, and with `role` as DTLS role in an answer.
///
/// The engine answers every renegotiation with `active`, but a role that is settled must be repeated (RFC 8842, 5.5): whoever was
/// answered `active` at first stays `passive`.
pub(super) fn outgoing(sdp: &str, passive: bool) -> String {
    let mut text = String::with_capacity(sdp.len() + NATIVE.len() + 2);
    let mut marked = false;
    for line in sdp.lines() {
        if !marked && line.starts_with("m=") {
            text.push_str(NATIVE);
            text.push_str("\r\n");
            marked = true;
        }
        text.push_str(if passive && line == "a=setup:active" { "a=setup:passive" } else { line });
        text.push_str("\r\n");
    }
    text
}

pub(super) fn is_native(sdp: &str) -> bool {
    sdp.lines().any(|line| line == NATIVE)
}

pub(super) fn max_message_size(sdp: &str) -> usize {
    let value = sdp.lines().find_map(|line| line.strip_prefix("a=max-message-size:"));
    match value.and_then(|value| value.trim().parse().ok()) {
        // 0 is "no limit" (RFC 8841, 6.1).
        Some(0) => usize::MAX,
        Some(size) => size,
        None => DEFAULT_MAX_MESSAGE_SIZE,
    }
}

/// As the engine is to see it, which keeps a buffer of the size that both ends take: with no more than this.
pub(super) fn with_messages_up_to(sdp: &str, most: usize) -> String {
    let lines = sdp.lines().map(|line| match line.strip_prefix("a=max-message-size:") {
        Some(_) if max_message_size(line) > most => format!("a=max-message-size:{most}\r\n"),
        _ => format!("{line}\r\n"),
    });
    lines.collect()
}

pub(super) fn ice_ufrag(sdp: &str) -> Option<&str> {
    sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).map(str::trim)
}

/// With those of its candidates whose address is wanted.
pub(super) fn with_candidates(sdp: &str, wanted: impl Fn(SocketAddr) -> bool) -> String {
    let kept = sdp.lines().filter(|line| match line.strip_prefix("a=candidate:") {
        Some(candidate) => candidate_address(candidate).is_none_or(&wanted),
        None => true,
    });
    kept.flat_map(|line| [line, "\r\n"]).collect()
}

/// Without those of its candidates that are too many: each is checked from each of our addresses.
pub(super) fn with_few_candidates(sdp: &str, most: usize) -> String {
    let mut candidates = 0;
    let kept = sdp.lines().filter(|line| {
        candidates += usize::from(line.starts_with("a=candidate:"));
        !line.starts_with("a=candidate:") || candidates <= most
    });
    kept.flat_map(|line| [line, "\r\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SDP: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\nm=application 9 UDP/DTLS/SCTP \
                       webrtc-datachannel\r\na=setup:active\r\na=ice-ufrag:abcd\r\na=max-message-size:100\r\n";

    #[test]
    fn the_size_of_messages_is_capped_for_the_engine() {
        assert_eq!(with_messages_up_to(SDP, 100), SDP);
        assert_eq!(max_message_size(&with_messages_up_to(SDP, 99)), 99);
        let endless = SDP.replace("size:100", "size:0");
        assert_eq!(max_message_size(&with_messages_up_to(&endless, 99)), 99);
    }

    #[test]
    fn candidates_of_addresses_that_are_no_more_are_left_out() {
        let line = |ip: &str| format!("a=candidate:1 1 udp 2130706431 {ip} 7 typ host\r\n");
        let sdp = format!("{SDP}{}{}a=end\r\n", line("192.0.2.1"), line("192.0.2.2"));
        let kept = with_candidates(&sdp, |address| address.ip().to_string() == "192.0.2.2");
        assert_eq!(kept, format!("{SDP}{}a=end\r\n", line("192.0.2.2")));
    }

    #[test]
    fn what_is_sent_says_who_we_are() {
        assert!(!is_native(SDP));
        let sent = outgoing(SDP, false);
        assert!(is_native(&sent));
        assert!(sent.contains("a=setup:active\r\n"));
        assert!(sent.find("a=rtcswarm").unwrap() < sent.find("m=application").unwrap());
        assert!(outgoing(SDP, true).contains("a=setup:passive\r\n"));
    }

    #[test]
    fn attributes_are_read() {
        assert_eq!(ice_ufrag(SDP), Some("abcd"));
        assert_eq!(max_message_size(SDP), 100);
        assert_eq!(max_message_size("v=0\r\n"), 65_536);
        assert_eq!(max_message_size("a=max-message-size:0\r\n"), usize::MAX);
    }
}
