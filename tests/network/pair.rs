//! Two members, a signaling server, and an emulated link between the members.

use super::link::{End, Link};
use super::member::Member;
use super::namespace::Namespace;
use super::path::Conditions;
use super::server::Server;
use super::words::{Said, Setup};
use std::time::{Duration, Instant};

/// The emulated link at each end, and the network of the signaling server.
pub const WIRE: &str = "wire";
const SIDE: &str = "side";
const SIDE_B: &str = "side-b";

/// The two members' addresses on the link.
pub const ADA: &str = "10.0.0.1/24";
pub const BO: &str = "10.0.0.2/24";

/// Ada's way to the server behind bo.
const ROUTE_ACROSS: &str = "route add 10.0.2.0/24 via 10.0.0.2";

/// Where the signaling server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signaling {
    /// Beside the link: each member reaches it by a way of its own.
    Beside,
    /// Behind the link, on bo's side: ada reaches it through the link only.
    Across,
}

pub struct Pair {
    // In the order in which they go.
    pub ada: Member,
    pub bo: Member,
    pub wire: Link,
    /// To the signaling server, of ada (where she has one of her own) and of bo.
    pub sides: Vec<Link>,
    pub ada_network: Namespace,
    pub bo_network: Namespace,
    /// None while it is away.
    pub server: Option<Server>,
    pub server_network: Namespace,
    /// Where bo's side reaches the server.
    pub bo_host: &'static str,
    signaling: Signaling,
    /// From the start of the one who came second until both have opened.
    pub opened_in: Duration,
}

pub fn setup(server: &Server, user: &str, host: &str) -> Setup {
    Setup {
        user: user.into(),
        url: server.url(host),
        token: server.token(user),
        interfaces: vec![WIRE.into()],
        ..Setup::default()
    }
}

impl Pair {
    /// The members meet under these conditions.
    pub fn meet(signaling: Signaling, conditions: Conditions, seed: u64, bound: Duration) -> Self {
        let [ada_network, bo_network, server_network] = std::array::from_fn(|_| Namespace::new().unwrap());
        let end = |namespace, device, address| End { namespace, device, address };
        let wire = Link::new(end(&ada_network, WIRE, ADA), end(&bo_network, WIRE, BO), conditions, seed);
        let side = |network, address, device, server| {
            Link::new(end(network, SIDE, address), end(&server_network, device, server), Conditions::PERFECT, seed)
        };
        let mut sides = Vec::new();
        let hosts = match signaling {
            Signaling::Beside => {
                sides.push(side(&ada_network, "10.0.1.1/24", SIDE, "10.0.1.9/24"));
                ["10.0.1.9", "10.0.2.9"]
            }
            Signaling::Across => ["10.0.2.9", "10.0.2.9"],
        };
        sides.push(side(&bo_network, "10.0.2.1/24", SIDE_B, "10.0.2.9/24"));
        if signaling == Signaling::Across {
            bo_network.forward();
            ada_network.ip(ROUTE_ACROSS);
            server_network.ip("route add 10.0.0.0/24 via 10.0.2.1");
        }
        let server = Server::start(&server_network);
        let ada = Member::start(&ada_network, &setup(&server, "ada", hosts[0]));
        wait_signaling(&ada, bound);
        let bo = Member::start(&bo_network, &setup(&server, "bo", hosts[1]));
        let opened_in = opened(&ada, &bo, bound);
        Self {
            ada,
            bo,
            wire,
            sides,
            ada_network,
            bo_network,
            server: Some(server),
            server_network,
            bo_host: hosts[1],
            signaling,
            opened_in,
        }
    }

    /// The link, and the ways to the server too.
    pub fn cut_everything(&self, cut: bool) {
        self.wire.cut(cut);
        self.sides.iter().for_each(|side| side.cut(cut));
    }

    /// Once more, after ada's address has gone, and her routes with it.
    pub fn route_across(&self) {
        if self.signaling == Signaling::Across {
            self.ada_network.ip(ROUTE_ACROSS);
        }
    }

    pub fn close(self) {
        self.ada.close();
        self.bo.close();
    }
}

pub fn wait_signaling(member: &Member, bound: Duration) {
    member.wait("signaling", bound, |said| {
        said.iter().any(|(_, said)| *said == Said::Signaling { state: "Connected".into() }).then_some(())
    });
}

/// Waits until both are open; how long that took from the start of the second.
pub fn opened(ada: &Member, bo: &Member, bound: Duration) -> Duration {
    let far = |member: &Member, what: &str, which: fn(&Said) -> bool| -> Instant {
        member.wait(what, bound, |said| said.iter().find(|(_, said)| which(said)).map(|(at, _)| *at))
    };
    let started = far(bo, "start", |said| *said == Said::Started);
    let opens = [ada, bo].map(|member| far(member, "peer", |said| matches!(said, Said::Open { .. })));
    opens.into_iter().max().unwrap_or(started).saturating_duration_since(started)
}
