//! Members behind masquerading routers, with Debian's coturn as STUN and TURN server.

use super::exchange::{converse, Traffic, OPEN};
use super::link::{End, Link};
use super::member::Member;
use super::namespace::{Namespace, Tun};
use super::pair::{opened, wait_signaling};
use super::path::Conditions;
use super::scenario::{Figures, Kind, Scenario};
use super::server::Server;
use super::words::{Said, Setup};
use crate::coturn::{coturn, Coturn};
use std::time::{Duration, Instant};

/// Of the signaling server and of coturn.
const PUBLIC: &str = "192.0.2.1";

const TRAFFIC: Traffic = Traffic { count: 40, sizes: &[12, 1200, 65_536, 17, 5_000], every: 0 };

/// Until a connection that cannot be is given up, in seconds; shorter than the library's own, for the sake of time.
const GIVE_UP: u64 = 6;

/// For that to be said. It begins when the offer is answered.
const GIVEN_UP: Duration = Duration::from_secs(GIVE_UP + 10);

/// How a member is connected to the internet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Public,
    /// Keeps the port where it can: the same outside address towards everybody, and lets in who was sent to.
    Masquerade,
    /// Another port towards everybody: "symmetric".
    Random,
    FullyRandom,
}

/// What the two may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Servers {
    Stun,
    StunAndTurn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    Direct,
    Relayed,
    Nothing,
}

pub fn scenarios() -> Vec<Scenario> {
    use Access::{FullyRandom, Masquerade, Public, Random};
    use Expected::{Direct, Nothing, Relayed};
    use Servers::{Stun, StunAndTurn};
    let all = [
        ("one NAT, STUN", [Masquerade, Public], Stun, Direct),
        ("one symmetric NAT, STUN", [FullyRandom, Public], Stun, Direct),
        ("two NATs, STUN", [Masquerade, Masquerade], Stun, Direct),
        ("two NATs, STUN and TURN", [Masquerade, Masquerade], StunAndTurn, Direct),
        ("two symmetric NATs (random), STUN and TURN", [Random, Random], StunAndTurn, Relayed),
        ("two symmetric NATs (fully-random), STUN and TURN", [FullyRandom, FullyRandom], StunAndTurn, Relayed),
        ("a symmetric NAT and another, STUN and TURN", [FullyRandom, Masquerade], StunAndTurn, Relayed),
        ("two symmetric NATs, STUN alone: must fail", [FullyRandom, FullyRandom], Stun, Nothing),
    ];
    let scenario = |(name, access, servers, expected): (&'static str, _, _, _)| {
        let run = move || meet(access, servers, expected, super::seed(name));
        Scenario { needs: &["nft", "turnserver"], ..Scenario::new(Kind::Nat, name, 10, run) }
    };
    all.into_iter().map(scenario).collect()
}

/// A member's own network, and what joins it to the internet.
struct Home {
    // In the order in which they go.
    _links: Vec<Link>,
    network: Namespace,
    _router: Option<Namespace>,
}

impl Home {
    fn new(internet: &Namespace, number: u8, access: Access, seed: u64) -> Self {
        let network = Namespace::new().unwrap();
        let device = ["to-ada", "to-bo"][usize::from(number)];
        let outside = |host: u8| format!("198.51.{}.{host}/24", 100 + number);
        let inside = |host: u8| format!("192.168.{number}.{host}/24");
        // As the way to a provider.
        let conditions = Conditions::delayed(10);
        let gateway = outside(1);
        let up = |namespace| {
            Link::new(
                End { namespace, device: "wan", address: &outside(2) },
                End { namespace: internet, device, address: &gateway },
                conditions,
                seed,
            )
        };
        let route = format!("route add default via {}", gateway.trim_end_matches("/24"));
        let masquerade = match access {
            Access::Public => {
                let link = up(&network);
                network.ip(&route);
                return Self { _links: vec![link], network, _router: None };
            }
            Access::Masquerade => "masquerade",
            Access::Random => "masquerade random",
            Access::FullyRandom => "masquerade fully-random",
        };
        let router = Namespace::new().unwrap();
        let lan = Link::new(
            End { namespace: &network, device: "lan", address: &inside(2) },
            End { namespace: &router, device: "lan", address: &inside(1) },
            Conditions::PERFECT,
            seed,
        );
        let wan = up(&router);
        router.ip(&route);
        network.ip(&format!("route add default via {}", inside(1).trim_end_matches("/24")));
        router.forward();
        // Nothing that nobody inside has asked for comes in, nor is it remembered: the router would keep its port.
        router.nft(&format!(
            "table ip home {{
                chain outwards {{ type nat hook postrouting priority srcnat; oifname \"wan\" {masquerade}; }}
                chain inwards {{ type filter hook forward priority filter; iifname \"wan\" ct state new drop; }}
                chain own {{ type filter hook input priority filter; iifname \"wan\" ct state new drop; }}
            }}\n"
        ));
        Self { _links: vec![lan, wan], network, _router: Some(router) }
    }
}

fn meet(access: [Access; 2], servers: Servers, expected: Expected, seed: u64) -> Figures {
    let internet = Namespace::new().unwrap();
    internet.ip(&format!("addr add {PUBLIC}/32 dev lo"));
    internet.forward();
    // Addresses of private networks lead out, too, and to nobody: coturn drops an allocation by which it cannot send.
    let _nowhere = Tun::new(&internet, "nowhere", "203.0.113.1/24");
    internet.ip("route add default dev nowhere");
    let coturn = internet.run(|| coturn(PUBLIC, &[])).unwrap();
    let server = Server::start(&internet);
    let homes = [0, 1].map(|number| Home::new(&internet, number, access[usize::from(number)], seed));
    let join = |home: &Home, user: &str| {
        let setup = Setup {
            user: user.into(),
            url: server.url(PUBLIC),
            token: server.token(user),
            ice_servers: ice_servers(&coturn, servers),
            connect_timeout: (expected == Expected::Nothing).then_some(GIVE_UP),
            ..Setup::default()
        };
        let member = Member::start(&home.network, &setup);
        wait_signaling(&member, OPEN);
        member
    };
    let mut members = [join(&homes[0], "ada"), join(&homes[1], "bo")];
    let [ada, bo] = &mut members;
    let mut figures = Figures::default();
    if expected == Expected::Nothing {
        let begun = Instant::now();
        ada.first("failure", GIVEN_UP, begun, |said| matches!(said, Said::Failed { .. }));
        assert_eq!(ada.count(|said| matches!(said, Said::Open { .. })), 0, "{}", ada.story());
        figures.remark = "no connection, and the application is told".into();
    } else {
        figures.open = Some(opened(ada, bo, OPEN));
        figures.took = vec![converse(ada, bo, TRAFFIC)];
        figures.messages = 2 * TRAFFIC.count;
        figures.remark = format!("{}; {}", check(ada, "ada", expected), check(bo, "bo", expected));
    }
    members.into_iter().for_each(Member::close);
    figures
}

fn ice_servers(coturn: &Coturn, servers: Servers) -> Vec<String> {
    match servers {
        Servers::Stun => vec![coturn.stun()],
        Servers::StunAndTurn => vec![coturn.stun(), coturn.turn()],
    }
}

/// Holds the way that was taken to what was expected, and names it.
fn check(member: &mut Member, name: &str, expected: Expected) -> String {
    let Said::Stats { local, remote, relayed, reflexive, allocated, errors } = member.stats() else { unreachable!() };
    assert_eq!(relayed, expected == Expected::Relayed, "{name}: {local} – {remote}");
    assert_eq!(errors, Vec::<String>::new(), "{name}");
    assert!(!reflexive.is_empty(), "{name}: the STUN server told no address");
    if expected == Expected::Relayed {
        assert!(!allocated.is_empty(), "{name}: the TURN server gave no address");
    }
    format!("{name}: {local} to {remote}")
}
