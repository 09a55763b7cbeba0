//! Which local addresses are of use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses to offer, of both families, best first.
pub(crate) fn addresses(names: &[String], loopback: bool) -> std::io::Result<Vec<IpAddr>> {
    let mut found: Vec<IpAddr> = if_addrs::get_if_addrs()?
        .into_iter()
        .filter(|interface| names.is_empty() || names.contains(&interface.name))
        .map(|interface| interface.ip())
        .filter(|ip| usable(*ip, loopback))
        .collect();
    found.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv4()));
    found.dedup();
    Ok(found)
}

/// Link-local addresses are of no use without a zone, which candidates cannot carry.
fn usable(ip: IpAddr, loopback: bool) -> bool {
    match ip {
        ip if ip.is_loopback() => loopback,
        IpAddr::V4(ip) => !ip.is_link_local() && ip != Ipv4Addr::UNSPECIFIED,
        IpAddr::V6(ip) => !ip.is_unicast_link_local() && ip != Ipv6Addr::UNSPECIFIED,
    }
}
