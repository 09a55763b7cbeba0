//! Local candidates as text (RFC 8839, 5.1), with priorities and foundations as RFC 8445 5.1.2 and 5.1.1.3 have them.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::{IpAddr, SocketAddr};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Host,
    ServerReflexive,
    Relay,
}

impl Kind {
    fn preference(self) -> u32 {
        match self {
            Self::Host => 126,
            Self::ServerReflexive => 100,
            Self::Relay => 0,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalCandidate {
    pub kind: Kind,
    pub address: SocketAddr,
    /// The local socket's address that it was learned from; for a relay it is not told.
    pub base: SocketAddr,
    /// Higher is better, among candidates of one kind.
    pub preference: u16,
}

impl LocalCandidate {
    fn priority(&self) -> u32 {
        const COMPONENT: u32 = 1;
        (self.kind.preference() << 24) | (u32::from(self.preference) << 8) | (256 - COMPONENT)
    }

    /// The same for candidates of one kind from one base; that it is a hash is nobody's business.
    fn foundation(&self) -> u32 {
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        (self.kind, self.base.ip()).hash(&mut hasher);
        hasher.finish() as u32
    }
}

impl fmt::Display for LocalCandidate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ip, port) = (self.address.ip(), self.address.port());
        write!(formatter, "{} 1 udp {} {ip} {port} typ ", self.foundation(), self.priority())?;
        match self.kind {
            Kind::Host => formatter.write_str("host"),
            Kind::ServerReflexive => {
                write!(formatter, "srflx raddr {} rport {}", self.base.ip(), self.base.port())
            }
            Kind::Relay => {
                let nowhere = if ip.is_ipv4() { "0.0.0.0" } else { "::" };
                write!(formatter, "relay raddr {nowhere} rport 0")
            }
        }
    }
}

/// Better for addresses that reach further.
pub(crate) fn preference(address: IpAddr, index: usize) -> u16 {
    let class: u16 = match address {
        ip if ip.is_loopback() => 1,
        IpAddr::V4(_) => 2,
        IpAddr::V6(_) => 3,
    };
    class * 16_384 - (index.min(16_000) as u16) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_as_the_rfc_has_it() {
        let base: SocketAddr = "10.0.0.1:1000".parse().unwrap();
        let mut candidate = LocalCandidate { kind: Kind::Host, address: base, base, preference: 65_535 };
        assert!(candidate.to_string().ends_with(" 1 udp 2130706431 10.0.0.1 1000 typ host"), "{candidate}");
        candidate.kind = Kind::ServerReflexive;
        candidate.address = "192.0.2.1:7".parse().unwrap();
        assert!(candidate.to_string().ends_with(" 192.0.2.1 7 typ srflx raddr 10.0.0.1 rport 1000"), "{candidate}");
    }

    #[test]
    fn loopback_is_the_last_resort() {
        let of = |ip: &str| preference(ip.parse().unwrap(), 0);
        assert!(of("2001:db8::1") > of("192.0.2.1") && of("192.0.2.1") > of("127.0.0.1"));
    }
}
