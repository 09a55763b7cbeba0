//! One TURN allocation (RFC 8656) over UDP, shared by all links of a swarm.
//!
//! Data goes to the server in Send indications. Bound channels would save 32 bytes a datagram, but the client loses a binding
//! whose renewal meets a stale nonce: it asks for another number, which the server refuses for as long as it keeps the first,
//! and does not know the first one any more when data comes on it.
//!
//! Permissions are asked for when something is to be sent, and renewed by what is sent later. The client would renew every one that
//! it ever got, all in one datagram, which no network carries once they are more than a hundred: so it is not told of any.
//!
//! The client keeps to itself that a refresh was refused: it is read from the server's answer before the client sees it.

use crate::driver::IceServer;
use crate::link::{stun, Datagram};
use bytes::BytesMut;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};
use webrtc::sansio::Protocol;
use webrtc::shared::error::Error as EngineError;
use webrtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};
use webrtc::stun::message::TransactionId;
use webrtc::turn::client::{Client, ClientConfig, Event};

/// Datagrams that wait for one permission.
const WAITING: usize = 32;
/// Addresses that are remembered at a time, permitted or not.
const MAX_PERMISSIONS: usize = 4096;
/// The server forgets a permission that is not renewed for so long (RFC 8656, 9).
const LIFETIME: Duration = Duration::from_secs(300);
/// What is sent to an address after this renews its permission.
const RENEW: Duration = Duration::from_secs(120);
/// A permission that was refused, or not given in this time, is not waited for any more.
const PATIENCE: Duration = Duration::from_secs(30);
/// After a stale nonce; the answer has brought a fresh one.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// A question is given up a little before the client does so, after 7.8 s: it would keep the address, to renew its permission.
const GIVE_UP: Duration = Duration::from_secs(7);
/// The allocation is refreshed so often: the mapping of a NAT before the server lives by it, and the nonce that permissions are
/// asked for with stays fresh.
const REFRESH: Duration = Duration::from_secs(25);
/// Of an allocation whose server does not say for how long it is good (RFC 8656, 3.2).
const USUAL_LIFETIME: Duration = Duration::from_secs(600);

/// Error codes (RFC 8489, 14.8; RFC 8656, 19).
const UNAUTHORIZED: u16 = 401;
const FORBIDDEN: u16 = 403;
const ALLOCATION_MISMATCH: u16 = 437;
const STALE_NONCE: u16 = 438;
const WRONG_CREDENTIALS: u16 = 441;

pub(crate) struct Allocation {
    client: Client,
    server: SocketAddr,
    local: SocketAddr,
    /// The address that our datagrams to the server leave from.
    source: Option<IpAddr>,
    /// As it is configured now.
    account: IceServer,
    /// The name and the credential that the server is asked with.
    used: (String, String),
    /// Those that it was asked with before, until the server has taken the new ones.
    before: Option<(String, String)>,
    relayed: Option<SocketAddr>,
    /// The server has let go of it then, unless it is refreshed.
    expires: Instant,
    /// There was one, and it is gone.
    lost: bool,
    /// Asked again with a new nonce, once.
    renonced: bool,
    /// What is to be told of it.
    events: VecDeque<TurnEvent>,
    /// By address: the server does not look at the port (RFC 8656, 9).
    permissions: HashMap<IpAddr, Permission>,
    /// The questions that are not answered yet: for which address, and since when.
    asked: HashMap<stun::TransactionId, (IpAddr, Instant)>,
    /// When those that are over are forgotten.
    sweep: Instant,
    /// To be sent, now that they may be.
    ready: Vec<Datagram>,
}

struct Permission {
    state: State,
    /// It is over then.
    until: Instant,
    /// What is sent from then on asks for it again.
    again: Instant,
    waiting: VecDeque<(SocketAddr, BytesMut)>,
}

#[derive(PartialEq, Eq)]
enum State {
    Asked,
    Given,
    Refused,
}

/// What came of it.
pub(crate) enum TurnEvent {
    Allocated(SocketAddr),
    /// There is none, or none any more, and why.
    Failed(String),
    /// It is gone, and may be made anew at once.
    Lost,
    /// It goes on, but without the credentials that are configured now.
    Refused(String),
    /// A datagram of a peer, relayed.
    Data {
        from: SocketAddr,
        data: BytesMut,
    },
}

impl Allocation {
    pub fn new(
        now: Instant,
        local: SocketAddr,
        source: Option<IpAddr>,
        server: SocketAddr,
        account: &IceServer,
    ) -> Result<Self, String> {
        let config = ClientConfig {
            turn_serv_addr: server.to_string(),
            local_addr: local,
            transport_protocol: TransportProtocol::UDP,
            username: account.username.clone(),
            password: account.credential.clone(),
            allocation_refresh_interval_cap: Some(REFRESH),
            ..ClientConfig::default()
        };
        let provider = webrtc::crypto::default_provider().map_err(|e| e.to_string())?;
        let mut client = Client::new(config, provider).map_err(|e| e.to_string())?;
        client.allocate(now).map_err(|e| e.to_string())?;
        Ok(Self {
            client,
            server,
            local,
            source,
            account: account.clone(),
            used: (account.username.clone(), account.credential.clone()),
            before: None,
            relayed: None,
            expires: now + USUAL_LIFETIME,
            lost: false,
            renonced: false,
            events: VecDeque::new(),
            permissions: HashMap::new(),
            asked: HashMap::new(),
            sweep: now + PATIENCE,
            ready: Vec::new(),
        })
    }

    pub fn source(&self) -> Option<IpAddr> {
        self.source
    }

    pub fn url(&self) -> &str {
        &self.account.url
    }

    pub fn account(&self) -> &IceServer {
        &self.account
    }

    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Goes on with other credentials, and has the server know them.
    pub fn renew(&mut self, now: Instant, username: &str, credential: &str) {
        if (username, credential) == (self.account.username.as_str(), self.account.credential.as_str()) {
            return;
        }
        (self.account.username, self.account.credential) = (username.to_owned(), credential.to_owned());
        // One that is being made shows soon whether the old ones were good enough.
        if self.relayed.is_some() {
            self.before.get_or_insert_with(|| self.used.clone());
            self.use_credentials(now, (username.to_owned(), credential.to_owned()));
        }
    }

    fn use_credentials(&mut self, now: Instant, credentials: (String, String)) {
        // What is refused shows in the answer.
        let _ = self.client.update_credentials(credentials.0.clone(), credentials.1.clone());
        let _ = self.client.refresh_allocations(now);
        self.used = credentials;
    }

    /// It was made with other credentials than those that are configured, and the server does not take these for it.
    fn is_behind(&self) -> bool {
        self.relayed.is_some() && self.before.is_none() && !self.uses_configured()
    }

    fn uses_configured(&self) -> bool {
        (self.used.0.as_str(), self.used.1.as_str())
            == (self.account.username.as_str(), self.account.credential.as_str())
    }

    pub fn server(&self) -> SocketAddr {
        self.server
    }

    pub fn relayed(&self) -> Option<SocketAddr> {
        self.relayed
    }

    /// Gives what is to be sent to the server for this; nothing where it waits for a permission, or will get none.
    pub fn send(&mut self, now: Instant, to: SocketAddr, data: BytesMut) -> Option<Datagram> {
        let relayed = self.relayed?;
        // No server relays to the other family, or to its own loopback, unless it is for tests there.
        if to.is_ipv4() != relayed.is_ipv4() || (to.ip().is_loopback() && !self.server.ip().is_loopback()) {
            return None;
        }
        let ip = to.ip();
        if self.permissions.get(&ip).is_some_and(|permission| permission.until <= now) {
            self.permissions.remove(&ip);
        }
        if self.permissions.len() >= MAX_PERMISSIONS && !self.permissions.contains_key(&ip) {
            return None;
        }
        let permission = self.permissions.entry(ip).or_insert_with(|| Permission {
            state: State::Asked,
            until: now + PATIENCE,
            again: now,
            waiting: VecDeque::new(),
        });
        let mut datagram = None;
        match permission.state {
            State::Given => datagram = Some(data),
            State::Asked if permission.waiting.len() < WAITING => permission.waiting.push_back((to, data)),
            State::Asked | State::Refused => {}
        }
        if permission.again <= now {
            permission.again = now + GIVE_UP;
            let asked = self.client.relay(relayed).and_then(|mut relay| relay.create_permission(now, to));
            // An allocation that is gone gives none.
            if let Ok(Some(transaction)) = asked {
                self.asked.insert(transaction.0, (ip, now));
            }
        }
        datagram.map(|data| self.indication(to, &data))
    }

    fn indication(&self, to: SocketAddr, data: &[u8]) -> Datagram {
        Datagram { local: self.local, remote: self.server, data: stun::send_indication(to, data) }
    }

    /// A datagram of the server.
    pub fn handle(&mut self, now: Instant, data: &[u8]) {
        let transaction = stun::transaction_id(data);
        if let Some(transaction) = transaction.filter(|_| stun::is_permission_success(data)) {
            if let Some((ip, asked)) = self.asked.remove(&transaction) {
                self.given(ip, asked);
                return self.forget(now, transaction);
            }
        }
        let ours = transaction.is_some_and(|transaction| self.client.has_transaction(&TransactionId(transaction)));
        self.feed(now, data);
        if !ours {
            return;
        }
        if let Some(lifetime) = stun::allocation_lifetime(data) {
            self.refreshed(now, lifetime);
        } else if let Some((refused, code, words)) = stun::refusal(data) {
            self.refuses(now, refused, code, &words);
        }
    }

    fn refreshed(&mut self, now: Instant, lifetime: u32) {
        // A day is longer than any server keeps one.
        self.expires = now + Duration::from_secs(u64::from(lifetime).min(86_400));
        self.renonced = false;
        // The old credentials may be refused from now on.
        self.before = None;
    }

    fn refuses(&mut self, now: Instant, refused: stun::Refused, code: u16, words: &str) {
        if self.relayed.is_none() {
            return;
        }
        let of_credentials = [UNAUTHORIZED, WRONG_CREDENTIALS].contains(&code);
        match refused {
            stun::Refused::Refresh if code == STALE_NONCE && !self.renonced => {
                self.renonced = true;
                let _ = self.client.refresh_allocations(now);
            }
            stun::Refused::Refresh if of_credentials && self.before.is_some() => {
                // An allocation is its maker's, by name (RFC 8656, 5): it goes on with the old ones for as long as they are good.
                if let Some(before) = self.before.take() {
                    self.use_credentials(now, before);
                }
                if code == UNAUTHORIZED {
                    self.events.push_back(TurnEvent::Refused(format!("error {code}: {words}")));
                }
                self.leave_old_credentials(now);
            }
            // The refresh that is under way tells.
            stun::Refused::Permission if of_credentials && self.before.is_some() => {}
            stun::Refused::Refresh if of_credentials || code == FORBIDDEN => self.lose(Some((code, words))),
            stun::Refused::Permission if of_credentials => self.lose(Some((code, words))),
            _ if code == ALLOCATION_MISMATCH => self.lose(None),
            // It may only be busy: if it is not, the allocation's time runs out.
            _ => {}
        }
    }

    /// Where nobody is reached by it now, it gives way to one that is made with the new ones.
    fn leave_old_credentials(&mut self, now: Instant) {
        if self.is_behind() && self.permissions.is_empty() {
            self.release(now);
            self.lose(None);
        }
    }

    /// The server has no such allocation any more, or not for us.
    fn lose(&mut self, why: Option<(u16, &str)>) {
        if self.relayed.take().is_none() {
            return;
        }
        self.lost = true;
        (self.permissions, self.asked) = (HashMap::new(), HashMap::new());
        self.events.push_back(match why.filter(|_| self.uses_configured()) {
            Some((code, words)) => {
                TurnEvent::Failed(format!("it does not let the allocation live on (error {code}: {words})"))
            }
            None => TurnEvent::Lost,
        });
    }

    fn feed(&mut self, now: Instant, data: &[u8]) {
        let transport = TransportContext {
            local_addr: self.local,
            peer_addr: self.server,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        // What the client refuses is not ours to act on.
        let _ = self.client.handle_read(TaggedBytesMut { now, transport, message: data.into() });
    }

    /// Has the client forget an address: it does so when it hears that the permission is refused, and only then.
    fn forget(&mut self, now: Instant, transaction: stun::TransactionId) {
        self.feed(now, &stun::permission_error(transaction));
    }

    fn given(&mut self, ip: IpAddr, asked: Instant) {
        let Some(permission) = self.permissions.get_mut(&ip) else { return };
        permission.state = State::Given;
        permission.until = asked + LIFETIME;
        permission.again = asked + RENEW;
        for (to, data) in std::mem::take(&mut permission.waiting) {
            let datagram = self.indication(to, &data);
            self.ready.push(datagram);
        }
    }

    fn refused(&mut self, now: Instant, ip: IpAddr, error: &EngineError) {
        let Some(permission) = self.permissions.get_mut(&ip) else { return };
        if *error == EngineError::ErrTryAgain {
            permission.again = now + ASK_AGAIN;
            return;
        }
        tracing::debug!(%error, server = %self.server, "the TURN server refuses a permission");
        permission.again = now + PATIENCE;
        // One that is only not renewed is good for as long as it lasts.
        if permission.state != State::Given {
            permission.state = State::Refused;
            permission.until = permission.again;
            permission.waiting = VecDeque::new();
        }
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        let late = self.asked.iter().filter(|(_, (_, asked))| now.saturating_duration_since(*asked) >= GIVE_UP);
        for transaction in late.map(|(transaction, _)| *transaction).collect::<Vec<_>>() {
            self.asked.remove(&transaction);
            self.forget(now, transaction);
        }
        if self.sweep <= now {
            self.sweep = now + PATIENCE;
            self.permissions.retain(|_, permission| permission.until > now);
            self.leave_old_credentials(now);
        }
        if self.expires <= now {
            self.lose(None);
        }
        // It gives no errors but those that come as events.
        let _ = self.client.handle_timeout(now);
    }

    pub fn deadline(&mut self) -> Option<Instant> {
        let expires = self.relayed.map(|_| self.expires);
        [self.client.poll_timeout(), expires].into_iter().flatten().min()
    }

    /// Gives the allocation back.
    pub fn release(&mut self, now: Instant) {
        if let Some(mut relay) = self.relayed.and_then(|relayed| self.client.relay(relayed).ok()) {
            // The server forgets it by itself in ten minutes otherwise.
            let _ = relay.close(now);
        }
    }

    pub fn poll_events(&mut self, now: Instant, mut hear: impl FnMut(TurnEvent)) {
        while let Some(event) = self.client.poll_event() {
            match event {
                Event::AllocateResponse(_, relayed) => {
                    self.relayed = Some(relayed);
                    hear(TurnEvent::Allocated(relayed));
                    if !self.uses_configured() {
                        self.before = Some(self.used.clone());
                        let configured = (self.account.username.clone(), self.account.credential.clone());
                        self.use_credentials(now, configured);
                    }
                }
                // Others were given meanwhile.
                Event::AllocateError(..) if !self.uses_configured() => hear(TurnEvent::Lost),
                Event::AllocateError(_, error) => hear(TurnEvent::Failed(error.to_string())),
                Event::TransactionTimeout(_) if self.relayed.is_none() && !self.lost => {
                    hear(TurnEvent::Failed("it does not answer".into()));
                }
                Event::CreatePermissionError(transaction, error) => {
                    // The others are those that it was to forget.
                    if let Some((ip, _)) = self.asked.remove(&transaction.0) {
                        self.refused(now, ip, &error);
                    }
                }
                Event::DataIndicationOrChannelData(_, from, data) => hear(TurnEvent::Data { from, data }),
                _ => {}
            }
        }
        self.events.drain(..).for_each(hear);
    }

    pub fn poll_datagrams(&mut self, datagrams: &mut Vec<Datagram>) {
        datagrams.append(&mut self.ready);
        while let Some(packet) = self.client.poll_write() {
            datagrams.push(Datagram { local: self.local, remote: packet.transport.peer_addr, data: packet.message });
        }
    }
}

#[cfg(test)]
#[allow(dead_code, reason = "shared with tests/turn.rs, which needs more of it")]
#[path = "../../tests/common/coturn.rs"]
mod coturn;

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    fn account(username: &str, credential: &str) -> IceServer {
        IceServer { url: String::new(), username: username.to_owned(), credential: credential.to_owned() }
    }

    /// A TURN server in the test's own time. What is larger than a network carries does not reach it.
    struct Server {
        address: SocketAddr,
        permissions: HashMap<IpAddr, Instant>,
        refuses: fn(IpAddr) -> bool,
        /// Whose questions it answers.
        user: &'static str,
        /// The maker of the allocation that it has.
        maker: Option<String>,
        answers: bool,
        /// What was heard of the allocation.
        events: Vec<TurnEvent>,
        /// Addresses in all questions for permissions.
        asked: usize,
        /// Datagrams that it has sent on.
        relayed: usize,
    }

    const CARRIED: usize = 1400;
    const XOR_RELAYED_ADDRESS: u16 = 0x0016;

    fn attributes(datagram: &[u8]) -> Vec<(u16, &[u8])> {
        let (mut all, mut at) = (Vec::new(), 20);
        while let Some(head) = datagram.get(at..at + 4) {
            let (kind, length) = (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]]));
            all.push((kind, &datagram[at + 4..at + 4 + usize::from(length)]));
            at += 4 + usize::from(length).next_multiple_of(4);
        }
        all
    }

    impl Server {
        fn new(refuses: fn(IpAddr) -> bool) -> Self {
            let address = "192.0.2.9:3478".parse().unwrap();
            let (user, events) = ("user", Vec::new());
            let permissions = HashMap::new();
            Self { address, permissions, refuses, user, maker: None, answers: true, events, asked: 0, relayed: 0 }
        }

        /// Gives its answer.
        fn hear(&mut self, now: Instant, datagram: &[u8]) -> Option<BytesMut> {
            if datagram.len() > CARRIED || !self.answers {
                return None;
            }
            let (transaction, all) = (stun::transaction_id(datagram).unwrap(), attributes(datagram));
            let peers = all
                .iter()
                .filter(|(kind, _)| *kind == 0x0012)
                .map(|(_, value)| IpAddr::from([value[4] ^ 0x21, value[5] ^ 0x12, value[6] ^ 0xa4, value[7] ^ 0x42]));
            let peers: Vec<IpAddr> = peers.collect();
            let answer = |kind, attributes: &[(u16, &[u8])]| Some(stun::message(kind, transaction, attributes));
            let lifetime: (u16, &[u8]) = (0x000d, &[0, 0, 2, 88]);
            let name = all.iter().find(|(kind, _)| *kind == 0x0006).map(|(_, name)| String::from_utf8_lossy(name));
            let kind = u16::from_be_bytes([datagram[0], datagram[1]]);
            let refusal = match (kind, &name) {
                (0x0003 | 0x0004 | 0x0008, Some(name)) if *name != self.user => Some(&b"\0\0\x04\x01Unauthorized"[..]),
                (0x0003, Some(_)) if self.maker.is_some() => Some(&b"\0\0\x04\x25Allocation Mismatch"[..]),
                (0x0004 | 0x0008, _) if self.maker.is_none() => Some(&b"\0\0\x04\x25Allocation Mismatch"[..]),
                (0x0004 | 0x0008, Some(name)) if self.maker.as_deref() != Some(name) => {
                    Some(&b"\0\0\x04\x29Wrong Credentials"[..])
                }
                _ => None,
            };
            if let Some(refusal) = refusal {
                return answer(kind | 0x0110, &[(0x0009, refusal)]);
            }
            match kind {
                0x0003 if name.is_some() => {
                    self.maker = name.map(String::from);
                    let relayed = stun::xored(SocketAddr::new(self.address.ip(), 50_000), transaction);
                    answer(0x0103, &[(XOR_RELAYED_ADDRESS, &relayed), lifetime])
                }
                0x0003 => answer(0x0113, &[(0x0009, &[0, 0, 4, 1]), (0x0014, b"realm"), (0x0015, b"nonce")]),
                0x0004 if all.contains(&(0x000d, &[0; 4])) => {
                    self.maker = None;
                    answer(0x0104, &[(0x000d, &[0; 4])])
                }
                0x0004 => answer(0x0104, &[lifetime]),
                0x0008 => {
                    self.asked += peers.len();
                    if peers.iter().any(|ip| (self.refuses)(*ip)) {
                        return answer(0x0118, &[(0x0009, &[0, 0, 4, 3])]);
                    }
                    self.permissions.extend(peers.into_iter().map(|ip| (ip, now + LIFETIME)));
                    answer(0x0108, &[])
                }
                0x0016 => {
                    self.relayed += usize::from(self.permissions.get(&peers[0]).is_some_and(|until| *until > now));
                    None
                }
                other => panic!("{other:x}"),
            }
        }

        /// An allocation at this server.
        fn allocation(&mut self, now: Instant) -> Allocation {
            let local = "192.0.2.1:1".parse().unwrap();
            let mut allocation =
                Allocation::new(now, local, None, self.address, &account(self.user, "secret")).unwrap();
            self.converse(now, &mut allocation, Vec::new());
            assert!(allocation.relayed().is_some());
            allocation
        }

        /// Until neither has anything more to say.
        fn converse(&mut self, now: Instant, allocation: &mut Allocation, mut datagrams: Vec<Datagram>) {
            allocation.handle_timeout(now);
            allocation.poll_events(now, |event| self.events.push(event));
            loop {
                allocation.poll_datagrams(&mut datagrams);
                if datagrams.is_empty() {
                    return;
                }
                for datagram in std::mem::take(&mut datagrams) {
                    if let Some(answer) = self.hear(now, &datagram.data) {
                        allocation.handle(now, &answer);
                        allocation.poll_events(now, |event| self.events.push(event));
                    }
                }
            }
        }

        fn send(&mut self, now: Instant, allocation: &mut Allocation, to: SocketAddr) {
            let datagrams = Vec::from_iter(allocation.send(now, to, b"data"[..].into()));
            self.converse(now, allocation, datagrams);
        }
    }

    fn peer(number: u32, port: u16) -> SocketAddr {
        SocketAddr::new(IpAddr::from((0x0a00_0000 + number).to_be_bytes()), port)
    }

    #[test]
    fn many_peers_are_reached_for_as_long_as_the_allocation_is_used() {
        const PEERS: u32 = 300;
        let mut now = Instant::now();
        let mut server = Server::new(|_| false);
        let mut allocation = server.allocation(now);
        let rounds = 200;
        for round in 1..=rounds {
            for number in 0..PEERS {
                // Two at one address, as behind a NAT.
                server.send(now, &mut allocation, peer(number, 1));
                server.send(now, &mut allocation, peer(number, 2));
            }
            assert_eq!(server.relayed, (2 * round * PEERS) as usize, "lost in round {round}");
            now += Duration::from_secs(5);
        }
        // The client itself asks again for what is not answered yet when its time comes.
        assert!(server.asked < (PEERS * 9) as usize + 20, "{} questions in 1000 seconds", server.asked);
        // Whoever is not sent to any more is forgotten.
        for _ in 0..100 {
            now += Duration::from_secs(5);
            server.converse(now, &mut allocation, Vec::new());
        }
        assert!(allocation.permissions.is_empty() && allocation.asked.is_empty());
        assert!(server.permissions.values().all(|until| *until <= now));
    }

    #[test]
    fn refused_addresses_are_in_nobody_s_way() {
        let mut now = Instant::now();
        let good = "192.0.2.77:7".parse::<SocketAddr>().unwrap();
        let mut server = Server::new(|ip| ip.to_string().starts_with("10."));
        let mut allocation = server.allocation(now);
        let many = 2 * MAX_PERMISSIONS as u32;
        for number in 0..many {
            for _ in 0..3 {
                server.send(now, &mut allocation, peer(number, 1));
            }
            now += Duration::from_millis(50);
        }
        assert!(server.asked < many as usize + 20, "{} questions", server.asked);
        assert_eq!(server.relayed, 0);
        server.send(now, &mut allocation, good);
        assert_eq!(server.relayed, 1);
        assert!(allocation.permissions.values().all(|permission| permission.waiting.is_empty()));
    }

    /// What was heard since this was asked last.
    fn heard(server: &mut Server) -> Vec<String> {
        let events = server.events.drain(..).map(|event| match event {
            TurnEvent::Allocated(_) => "allocated".to_owned(),
            TurnEvent::Failed(error) => error,
            TurnEvent::Lost => "lost".to_owned(),
            TurnEvent::Refused(error) => format!("refused {error}"),
            TurnEvent::Data { .. } => "data".to_owned(),
        });
        events.collect()
    }

    #[test]
    fn credentials_that_are_refused_in_use_end_the_allocation_with_the_server_s_words() {
        for by_permission in [false, true] {
            let mut now = Instant::now();
            let mut server = Server::new(|_| false);
            let mut allocation = server.allocation(now);
            assert_eq!(heard(&mut server), ["allocated"]);
            server.user = "another";
            if by_permission {
                server.send(now, &mut allocation, peer(1, 1));
            } else {
                now += REFRESH;
                server.converse(now, &mut allocation, Vec::new());
            }
            let errors = heard(&mut server);
            assert!(errors.len() == 1 && errors[0].contains("401: Unauthorized"), "{errors:?}");
            assert_eq!(allocation.relayed(), None);
            // Once for all that is refused after that.
            for _ in 0..10 {
                now += REFRESH;
                server.converse(now, &mut allocation, Vec::new());
            }
            assert_eq!(heard(&mut server), [""; 0]);
            server.maker = None;
            assert!(server.allocation(now).relayed().is_some());
        }
    }

    #[test]
    fn an_allocation_that_the_server_does_not_know_any_more_is_lost() {
        let mut now = Instant::now();
        let mut server = Server::new(|_| false);
        let mut allocation = server.allocation(now);
        server.maker = None;
        now += REFRESH;
        server.converse(now, &mut allocation, Vec::new());
        assert_eq!((heard(&mut server), allocation.relayed()), (vec!["allocated".into(), "lost".into()], None));
        // Or that it says nothing of for as long as it may have kept it.
        let mut allocation = server.allocation(now);
        server.answers = false;
        // 600 s, as the scripted server has it.
        for _ in 0..23 {
            now += REFRESH;
            server.converse(now, &mut allocation, Vec::new());
            assert!(allocation.relayed().is_some());
        }
        now += REFRESH;
        server.converse(now, &mut allocation, Vec::new());
        assert_eq!((heard(&mut server), allocation.relayed()), (vec!["allocated".into(), "lost".into()], None));
    }

    /// The server lets nobody but the maker use an allocation.
    #[test]
    fn an_allocation_in_use_goes_on_with_the_credentials_that_it_was_made_with() {
        let mut now = Instant::now();
        let mut server = Server::new(|_| false);
        let mut allocation = server.allocation(now);
        server.send(now, &mut allocation, peer(1, 1));
        allocation.renew(now, "user", "other");
        server.converse(now, &mut allocation, Vec::new());
        assert!(allocation.before.is_none() && !allocation.is_behind());
        allocation.renew(now, "later", "secret");
        for _ in 0..10 {
            server.converse(now, &mut allocation, Vec::new());
            server.send(now, &mut allocation, peer(1, 1));
            now += REFRESH;
        }
        assert!(allocation.is_behind() && allocation.relayed().is_some());
        assert_eq!(server.relayed, 11);
        let events = heard(&mut server);
        assert!(events.len() == 2 && events[1].starts_with("refused error 401"), "{events:?}");
        // Nobody is reached by it any more.
        for _ in 0..20 {
            now += REFRESH;
            server.converse(now, &mut allocation, Vec::new());
        }
        assert_eq!((heard(&mut server), allocation.relayed()), (vec!["lost".to_owned()], None));
        assert_eq!(server.maker, None, "it was given back");
    }

    #[test]
    fn a_server_is_not_asked_for_what_none_gives() {
        let now = Instant::now();
        let mut server = Server::new(|_| false);
        let mut allocation = server.allocation(now);
        for address in ["127.0.0.1:1", "[::1]:1", "[2001:db8::1]:1"] {
            server.send(now, &mut allocation, address.parse().unwrap());
        }
        assert_eq!(server.asked, 0);
    }

    #[test]
    fn a_question_that_is_lost_is_asked_again_by_what_is_sent_later() {
        let mut now = Instant::now();
        let mut server = Server::new(|_| false);
        let mut allocation = server.allocation(now);
        for _ in 0..2 {
            assert!(allocation.send(now, peer(1, 1), b"data"[..].into()).is_none());
            for _ in 0..20 {
                now += Duration::from_millis(500);
                allocation.handle_timeout(now);
                allocation.poll_datagrams(&mut Vec::new());
            }
        }
        assert!(allocation.asked.is_empty());
        server.send(now, &mut allocation, peer(1, 1));
        assert_eq!(server.relayed, 3, "those that waited, too");
        // The client keeps none that it would renew.
        let before = server.asked;
        for _ in 0..100 {
            now += Duration::from_secs(5);
            server.converse(now, &mut allocation, Vec::new());
        }
        assert_eq!(server.asked, before);
    }

    /// Seconds of the client's for each of the server's.
    const HASTE: u32 = 60;

    /// So that what is renewed every five minutes is due when the nonce has just gone stale.
    const LATE: Duration = Duration::from_millis(2600);

    /// A quarter of an hour in seconds: nonces go stale, permissions and bindings run out, and the data still flows.
    #[test]
    fn data_flows_for_as_long_as_the_allocation_is_used() {
        let short = ["--stale-nonce=6", "--permission-lifetime=5", "--channel-lifetime=10"];
        let Some(server) = coturn::coturn("127.0.0.1", &short) else { return };
        let (ours, peer) = (UdpSocket::bind("127.0.0.1:0").unwrap(), UdpSocket::bind("127.0.0.1:0").unwrap());
        for socket in [&ours, &peer] {
            socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        }
        let started = Instant::now();
        let now = || started + started.elapsed() * HASTE;
        let local = ours.local_addr().unwrap();
        let mut allocation =
            Allocation::new(now(), local, None, server.address, &account(coturn::USER, coturn::PASSWORD)).unwrap();
        let peer_address = peer.local_addr().unwrap();
        let (mut there, mut back, mut rounds) = (0, 0, 0);
        while started.elapsed() < Duration::from_secs(14) {
            let mut buffer = [0; 2048];
            if let Ok((length, from)) = ours.recv_from(&mut buffer) {
                assert_eq!(from, server.address);
                allocation.handle(now(), &buffer[..length]);
            }
            allocation.handle_timeout(now());
            allocation.poll_events(now(), |event| match event {
                TurnEvent::Data { from, data } => {
                    assert_eq!((from, &data[..]), (peer_address, &b"back"[..]));
                    back += 1;
                }
                TurnEvent::Failed(error) | TurnEvent::Refused(error) => panic!("{error}"),
                TurnEvent::Lost => panic!("lost"),
                TurnEvent::Allocated(_) => {}
            });
            let mut datagrams = Vec::new();
            if allocation.relayed().is_some() && started.elapsed() > LATE {
                rounds += 1;
                datagrams.extend(allocation.send(now(), peer_address, b"there"[..].into()));
            }
            allocation.poll_datagrams(&mut datagrams);
            assert!(datagrams.len() < 20, "{} datagrams for one", datagrams.len());
            for datagram in datagrams {
                ours.send_to(&datagram.data, datagram.remote).unwrap();
            }
            if let Ok((length, from)) = peer.recv_from(&mut buffer) {
                assert_eq!((&buffer[..length], Some(from)), (&b"there"[..], allocation.relayed()));
                there += 1;
                peer.send_to(b"back", from).unwrap();
            }
        }
        assert!(rounds > 100 && there * 50 > rounds * 49 && back * 50 > there * 49, "{rounds}, {there}, {back}");
        assert!(!server.log().contains("error 400"), "{}", server.log());
    }
}
