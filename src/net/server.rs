//! Addresses of STUN and TURN servers, and the one question that is asked of a STUN server.

use crate::driver::IceServer;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use webrtc::stun::message::{Getter, Message, TransactionId, BINDING_REQUEST};
use webrtc::stun::xoraddr::XorMappedAddress;

const DEFAULT_PORT: u16 = 3478;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServerAddress {
    pub turn: bool,
    pub host: String,
    pub port: u16,
}

/// Reads `stun:` and `turn:` URIs (RFC 7064, RFC 7065); says what is not supported.
pub(crate) fn parse(server: &IceServer) -> Result<ServerAddress, String> {
    let url = &server.url;
    let (scheme, rest) = url.split_once(':').ok_or_else(|| format!("{url} is not the URL of an ICE server"))?;
    let turn = match scheme {
        "stun" => false,
        "turn" => true,
        "turns" | "stuns" => return Err(format!("{url}: TLS to ICE servers is not supported, only UDP")),
        _ => return Err(format!("{url} begins with neither stun: nor turn:")),
    };
    let (address, query) = rest.split_once('?').unwrap_or((rest, ""));
    if query.split('&').any(|part| part.strip_prefix("transport=").is_some_and(|transport| transport != "udp")) {
        return Err(format!("{url}: only UDP to ICE servers is supported"));
    }
    if turn && (server.username.is_empty() || server.credential.is_empty()) {
        return Err(format!("{url}: a TURN server needs a user name and a credential"));
    }
    let port_of = |text: &str| text.parse::<u16>().map_err(|_| format!("{url}: {text} is not a port"));
    let (host, port) = if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(|| format!("{url}: a bracket is missing"))?;
        (host, after.strip_prefix(':').map_or(Ok(DEFAULT_PORT), port_of)?)
    } else {
        match address.split_once(':') {
            Some((host, port)) => (host, port_of(port)?),
            None => (address, DEFAULT_PORT),
        }
    };
    if host.is_empty() {
        return Err(format!("{url} has no host"));
    }
    Ok(ServerAddress { turn, host: host.to_owned(), port })
}

/// A binding request (RFC 8489, 2) under way: repeated until it is answered or given up.
pub(crate) struct BindingRequest {
    pub server: SocketAddr,
    request: Vec<u8>,
    transaction: TransactionId,
    pause: Duration,
    next: Instant,
    since: Instant,
    sent: Option<Instant>,
}

/// Before it is repeated for the first time.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

impl BindingRequest {
    pub fn new(server: SocketAddr, now: Instant) -> Option<Self> {
        let transaction = TransactionId::new();
        let mut message = Message::new();
        message.build(&[Box::new(transaction), Box::new(BINDING_REQUEST)]).ok()?;
        let request = message.raw;
        Some(Self { server, request, transaction, pause: FIRST_PAUSE, next: now, since: now, sent: None })
    }

    /// The request, when it is time to send it (again).
    pub fn poll(&mut self, now: Instant) -> Option<&[u8]> {
        if now < self.next {
            return None;
        }
        self.next = now + self.pause;
        self.pause *= 2;
        self.sent = Some(now);
        Some(&self.request)
    }

    /// As if it were new. Many links may want that at the same moment: it is sent once then.
    pub fn begin_anew(&mut self, now: Instant) {
        (self.since, self.pause) = (now, FIRST_PAUSE);
        self.next = self.sent.map_or(now, |sent| now.max(sent + FIRST_PAUSE));
    }

    pub fn since(&self) -> Instant {
        self.since
    }

    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// Our address as the server sees it, if this is its answer.
    pub fn answer(&self, from: SocketAddr, datagram: &[u8]) -> Option<SocketAddr> {
        if from != self.server || !crate::link::stun::is_binding_success(datagram) {
            return None;
        }
        if datagram[8..20] != self.transaction.0 {
            return None;
        }
        let mut message = Message { raw: datagram.to_vec(), ..Message::default() };
        message.decode().ok()?;
        let mut mapped = XorMappedAddress::default();
        mapped.get_from(&message).ok()?;
        Some(SocketAddr::new(mapped.ip, mapped.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str) -> IceServer {
        IceServer { url: url.into(), username: "u".into(), credential: "c".into() }
    }

    #[test]
    fn who_asks_anew_asks_at_once_but_once() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut request = BindingRequest::new("192.0.2.1:3478".parse().unwrap(), start).unwrap();
        for time in [0, 250, 750, 1750, 3750] {
            assert!(request.poll(at(time)).is_some());
        }
        assert!(request.poll(at(5000)).is_none());
        let asked = (0..100).filter(|_| {
            request.begin_anew(at(5000));
            request.poll(at(5000)).is_some()
        });
        assert_eq!(asked.count(), 1);
        assert!(request.poll(at(5250)).is_some());
    }

    #[test]
    fn urls_are_read() {
        let read = |url: &str| parse(&server(url)).map(|a| (a.turn, a.host, a.port));
        assert_eq!(read("stun:example.org"), Ok((false, "example.org".into(), 3478)));
        assert_eq!(read("turn:10.0.0.1:99?transport=udp"), Ok((true, "10.0.0.1".into(), 99)));
        assert_eq!(read("turn:[::1]:99"), Ok((true, "::1".into(), 99)));
        for url in ["turns:a", "turn:a?transport=tcp", "http:a", "stun:", "stun:a:b", "stun:[::1", "x"] {
            assert!(read(url).is_err(), "{url}");
        }
        assert!(parse(&IceServer { url: "turn:a".into(), ..IceServer::default() }).is_err());
    }
}
