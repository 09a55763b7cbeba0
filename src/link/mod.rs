//! One WebRTC connection over the sans-I/O engine: negotiation, candidates, channels.
//!
//! Pure: datagrams and the time go in, datagrams and [`Report`]s come out of [`Link::pump`]. This is the only place that knows
//! the engine (WebRTC.rs' `rtc`), and the only one that works around it.

mod channels;
mod codecs;
mod engine;
mod feedback;
mod flow;
mod guard;
mod media;
mod negotiation;
#[cfg(any(test, fuzzing))]
pub(crate) mod pair;
mod payload;
mod pieces;
mod repeats;
mod restart;
mod sdp;
mod sections;
mod stats;
#[cfg(any(test, fuzzing))]
pub(crate) mod stranger;
pub(crate) mod stun;
#[cfg(test)]
mod tests;
mod tracks;

use crate::mesh::{LinkEnd, LinkState};
use crate::protocol::{parse_text, Control, IceCandidate, TextKind, CONTROL_PREFIX};
use bytes::BytesMut;
use channels::{is_wordy, Channels, Step, MAX_LABEL};
use engine::CHECK_INTERVAL;
use guard::Guard;
use media::Media;
use negotiation::Negotiation;
use pieces::{Broken, PIECE};
use repeats::Repeats;
use std::net::SocketAddr;
use std::sync::atomic::AtomicU64;
use std::sync::Arc;
use std::time::{Duration, Instant};
use webrtc::data_channel::RTCDataChannelInit;
use webrtc::peer_connection::certificate::{CertificateParams, RTCCertificate};
use webrtc::peer_connection::event::{RTCDataChannelEvent, RTCPeerConnectionEvent};
use webrtc::peer_connection::message::RTCMessage;
use webrtc::peer_connection::state::{RTCIceConnectionState, RTCPeerConnectionState};
use webrtc::peer_connection::transport::RTCIceCandidateInit;
use webrtc::peer_connection::RTCPeerConnection;
use webrtc::sansio::Protocol;
use webrtc::shared::{TaggedBytesMut, TransportContext, TransportProtocol};

pub use channels::{ChannelId, ChannelOptions, Reliability, SendError};
pub(crate) use channels::{FastState, OpenError};
pub(crate) use flow::read_rtp;
pub(crate) use media::{MediaReport, RemoteFrame, MAX_NAME, MAX_STREAMS};
pub(crate) use payload::{Packetizer, Payload};
pub use stats::{ConnectionStats, Progress, TrackStats};

/// DTLS records that came before there was a path to answer on.
const MAX_EARLY_DTLS: usize = 4;

/// Pairs that the other side has nominated and that we have not checked yet.
const MAX_NOMINATIONS: usize = 8;
/// Bytes of a connectivity check; they have about a hundred.
const LARGEST_CHECK: usize = 512;
/// STUN datagrams that came before the remote description and are replayed after it.
const MAX_EARLY: usize = 16;
/// Remote candidates of one link.
const MAX_CANDIDATES: usize = 128;
/// Rounds of events and timeouts in one pump; a link that wants more is pumped again.
const MAX_ROUNDS: usize = 4;
/// An open link with no data for this long is quiet: the engine's own ticks, five a second, are slowed down for it.
const QUIET_AFTER: Duration = Duration::from_secs(1);
const QUIET_TICK: Duration = Duration::from_secs(1);
/// Bytes on their way that are no stream yet: in a conversation the last message is often not acknowledged when the next is sent.
pub(crate) const FEW: usize = 1024;
/// No busier than this, whatever the engine asks for.
const SHORTEST_TICK: Duration = Duration::from_millis(1);

/// A datagram of ours: from which local address, to whom.
pub(crate) struct Datagram {
    pub local: SocketAddr,
    pub remote: SocketAddr,
    pub data: BytesMut,
}

/// One that came.
pub struct Message {
    pub channel: ChannelId,
    pub is_text: bool,
    pub data: BytesMut,
}

/// What happened on a link, in order.
pub(crate) enum Report {
    Open,
    /// ICE's view changed, after `Open`.
    State(LinkState),
    /// The address that it was sent from is no more.
    PathLost,
    ChannelOpen {
        channel: ChannelId,
        label: String,
        options: ChannelOptions,
        remote: bool,
    },
    ChannelClosed(ChannelId),
    Message(Message),
    Writable(ChannelId),
    Media(MediaReport),
    /// An offer of ours that renegotiates, for the other side.
    Offer(String),
    /// Our answer to an offer that was put off.
    Answer(String),
    Ended(LinkEnd),
}

#[derive(Default)]
pub(crate) struct Output {
    pub datagrams: Vec<Datagram>,
    pub reports: Vec<Report>,
}

/// What all links of a swarm have in common.
pub(crate) struct LinkConfig {
    /// One DTLS certificate for all links of a swarm: making one costs more than the rest of a link.
    certificate: RTCCertificate,
    pub max_message_size: usize,
    pub send_high_water: usize,
    pub send_low_water: usize,
    pub send_high_messages: usize,
    pub ice_keepalive: Duration,
    pub ice_disconnected_timeout: Duration,
    pub ice_failed_timeout: Duration,
    /// Of the SCTP window, where the kernel's socket buffer is too small for the usual one.
    pub receive_window: Option<u32>,
    /// Names remote tracks.
    pub track_ids: Arc<AtomicU64>,
    /// Media comes as RTP packets and not as frames.
    pub receive_rtp: bool,
}

impl LinkConfig {
    pub fn new(config: &crate::driver::DriverConfig, receive_window: Option<u32>) -> Result<Self, String> {
        let provider = webrtc::crypto::default_provider().map_err(|e| e.to_string())?;
        let params = CertificateParams::new(vec!["rtcswarm".to_owned()]).map_err(|e| e.to_string())?;
        let scheme = webrtc::crypto::SignatureScheme::EcdsaP256Sha256;
        let certificate = RTCCertificate::generate(provider.crypto(), scheme, params).map_err(|e| e.to_string())?;
        Ok(Self {
            certificate,
            max_message_size: config.max_message_size,
            send_high_water: config.send_high_water,
            send_low_water: config.send_low_water,
            send_high_messages: config.send_high_messages,
            ice_keepalive: config.ice_keepalive,
            ice_disconnected_timeout: config.ice_disconnected_timeout,
            ice_failed_timeout: config.ice_failed_timeout,
            receive_window,
            track_ids: config.track_ids.clone(),
            receive_rtp: config.receive_rtp,
        })
    }
}

pub(crate) struct Link {
    engine: RTCPeerConnection,
    channels: Channels,
    media: Media,
    negotiation: Negotiation,
    /// Our offer was the first: the other side is the DTLS client, and stays it.
    offerer: bool,
    native: bool,
    remote_set: bool,
    remote_max_message_size: usize,
    local_max_message_size: usize,
    /// Datagrams and candidates that came too early for the engine.
    early: Vec<(SocketAddr, SocketAddr, BytesMut)>,
    early_dtls: Vec<(SocketAddr, SocketAddr, BytesMut)>,
    /// Until the DTLS handshake is over.
    repeats: Option<Repeats>,
    early_candidates: Vec<String>,
    local_candidates: Vec<String>,
    remote_ufrag: Option<String>,
    ufrag_changed: bool,
    /// The address that the path was from is gone, and the engine does not know yet.
    path_gone: bool,
    engine_connected: bool,
    /// The last nomination of each pair, until our own check of it has succeeded.
    nominations: Vec<(SocketAddr, SocketAddr, BytesMut)>,
    candidates: usize,
    open: bool,
    /// Of ICE, once there is any.
    state: Option<LinkState>,
    /// When an open link that has no path is given up, whatever ICE still tries: then another is made by way of the server.
    lost_until: Option<Instant>,
    ice_failed_timeout: Duration,
    /// ICE had a pair to send on, once.
    path_found: bool,
    ended: bool,
    /// Because the other side went too far: nothing more is read.
    cut_off: bool,
    guard: Guard,
    /// A check of ours has succeeded: the engine may nominate.
    nominate: bool,
    /// Data moved last.
    active: Instant,
    messages: stats::Counters,
    path: stats::Path,
    round_trips: stats::RoundTrips,
    /// The engine is to panic at the next datagram, as it did once at some SCTP (docs/fuzzing.md).
    #[cfg(test)]
    pub(crate) breaks: bool,
}

/// What the other side says by this text of the link itself, if that is what it is.
fn of_link(text: &[u8]) -> Option<TextKind> {
    text.starts_with(CONTROL_PREFIX.as_bytes()).then_some(())?;
    // What is no text is broken, too.
    Some(std::str::from_utf8(text).map_or_else(|error| TextKind::Malformed(error.to_string()), parse_text))
}

/// A description of the other side's.
fn for_engine(sdp: &str) -> String {
    let sdp = &sdp::with_few_candidates(sdp, MAX_CANDIDATES);
    if sdp::is_native(sdp) {
        sdp::with_messages_up_to(sdp, PIECE)
    } else {
        sdp.to_owned()
    }
}

type EngineResult<T> = Result<T, String>;

fn engine<T, E: std::fmt::Display>(result: Result<T, E>) -> EngineResult<T> {
    result.map_err(|error| error.to_string())
}

impl Link {
    fn new(config: &LinkConfig, now: Instant, offerer: bool) -> EngineResult<Self> {
        let media = Media::new(offerer, config.track_ids.clone(), config.receive_rtp);
        let peer_connection = engine::peer_connection(config, &media.feedback, now);
        Ok(Self {
            engine: engine(peer_connection)?,
            channels: Channels::new(config),
            media,
            negotiation: Negotiation::default(),
            offerer,
            native: false,
            remote_set: false,
            remote_max_message_size: 0,
            local_max_message_size: config.max_message_size,
            early: Vec::new(),
            early_dtls: Vec::new(),
            repeats: Some(Repeats::default()),
            early_candidates: Vec::new(),
            local_candidates: Vec::new(),
            remote_ufrag: None,
            ufrag_changed: false,
            path_gone: false,
            engine_connected: false,
            nominations: Vec::new(),
            candidates: 0,
            open: false,
            state: None,
            lost_until: None,
            ice_failed_timeout: config.ice_failed_timeout,
            path_found: false,
            ended: false,
            cut_off: false,
            guard: Guard::default(),
            nominate: false,
            active: now,
            messages: stats::Counters::default(),
            path: stats::Path::default(),
            round_trips: stats::RoundTrips::default(),
            #[cfg(test)]
            breaks: false,
        })
    }

    fn remote_described(&mut self, now: Instant, sdp: &str) {
        self.remote_set = true;
        self.remote_ufrag = sdp::ice_ufrag(sdp).map(str::to_owned);
        self.native = sdp::is_native(sdp);
        self.media.native = self.native;
        if self.native {
            self.channels.send_in_pieces();
        }
        self.remote_max_message_size = sdp::max_message_size(sdp);
        for candidate in std::mem::take(&mut self.early_candidates) {
            self.feed_candidate(candidate);
        }
        for (local, remote, data) in std::mem::take(&mut self.early) {
            self.feed(now, local, remote, data);
        }
    }

    pub fn is_connected(&self) -> bool {
        self.state == Some(LinkState::Connected)
    }

    fn enter(&mut self, now: Instant, state: LinkState) {
        self.state = Some(state);
        self.lost_until = match state {
            LinkState::Connected => None,
            _ if self.open => Some(self.lost_until.unwrap_or(now + self.ice_failed_timeout)),
            _ => None,
        };
    }

    /// The fragment by which binding requests for this link are known.
    pub fn local_ufrag(&self) -> Option<String> {
        let description = self.engine.local_description()?;
        sdp::ice_ufrag(&description.sdp).map(str::to_owned)
    }

    pub fn is_native(&self) -> bool {
        self.native
    }

    /// A burst would overrun somebody on the way: a browser, or a TURN server.
    pub fn wants_pacing(&self) -> bool {
        !self.native || self.path.is_relayed_now()
    }

    /// Where data goes now.
    pub fn remote_address(&self) -> Option<SocketAddr> {
        self.path.remote_address()
    }

    #[cfg(test)]
    pub fn remote_candidates(&self) -> usize {
        self.path.remote_candidates()
    }

    /// One of ours, as the engine wants it: the text after `candidate:`.
    pub fn add_local_candidate(&mut self, candidate: &str) -> EngineResult<()> {
        self.path.local_candidate(candidate);
        self.local_candidates.push(candidate.to_owned());
        let init = RTCIceCandidateInit { candidate: candidate.to_owned(), ..Default::default() };
        engine(self.engine.add_local_candidate(init))
    }

    /// There will be no more of ours.
    pub fn end_local_candidates(&mut self) {
        // The engine takes note; nothing can go wrong with it.
        let _ = self.engine.add_local_candidate(RTCIceCandidateInit::default());
    }

    /// One of the other side's. What is of no use (TCP, names that were not resolved, junk) is passed over.
    pub fn add_remote_candidate(&mut self, candidate: &IceCandidate) {
        let text = candidate.candidate.trim();
        let usable =
            text.split_ascii_whitespace().nth(2).is_some_and(|transport| transport.eq_ignore_ascii_case("udp"));
        if !usable || self.candidates >= MAX_CANDIDATES {
            return;
        }
        self.candidates += 1;
        self.path.remote_candidate(text);
        let text = text.to_owned();
        if self.remote_set {
            self.feed_candidate(text);
        } else {
            self.early_candidates.push(text);
        }
    }

    fn feed_candidate(&mut self, candidate: String) {
        let init = RTCIceCandidateInit { candidate, ..Default::default() };
        if let Err(error) = self.engine.add_remote_candidate(init) {
            tracing::debug!(%error, "a remote candidate is of no use");
        }
    }

    pub fn handle_datagram(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, data: BytesMut) {
        let is_stun = stun::is_stun(&data);
        let mut check_succeeds = false;
        if !is_stun {
            self.active = now;
        } else if stun::is_binding_success(&data) {
            let transaction = stun::transaction_id(&data);
            check_succeeds = transaction.is_some_and(|transaction| self.round_trips.answered(now, transaction));
            self.nominate |= self.offerer && !self.is_connected() && !self.path.is_relayed(local, remote);
        }
        if !self.remote_set {
            // The engine would drop a check that it cannot verify yet, and the other side would wait to repeat it.
            if is_stun && self.early.len() < MAX_EARLY {
                self.early.push((local, remote, data));
            }
            return;
        }
        // A browser that is answered begins DTLS at once. The engine would take its hello and lose the answer, for which it has
        // no pair yet; and the browser repeats the hello after twice the round trip that it measured, which is however long
        // its first checks waited for the signaling.
        if !self.path_found && stun::is_dtls(&data) {
            if self.early_dtls.len() < MAX_EARLY_DTLS {
                self.early_dtls.push((local, remote, data));
            }
            return;
        }
        if !self.guard.admits_source(&data, |source| self.media.describes(source)) {
            return;
        }
        if stun::is_binding_request(&data) && !self.guard.admits_asker(remote, self.path.has_candidate(remote)) {
            return;
        }
        if !self.path_found && stun::is_nomination(&data) {
            self.keep_nomination(local, remote, &data);
        }
        self.feed(now, local, remote, data);
        if check_succeeds && !self.path_found {
            self.nominate_again(now, local, remote);
        }
    }

    /// A nomination of a pair that we have not checked yet counts once our check has succeeded (RFC 8445, 7.3.1.5), but the engine neither
    /// keeps nor answers it. A browser's next one would come 48 ms later.
    fn keep_nomination(&mut self, local: SocketAddr, remote: SocketAddr, data: &[u8]) {
        if data.len() > LARGEST_CHECK {
            return;
        }
        self.nominations.retain(|(ours, theirs, _)| (*ours, *theirs) != (local, remote));
        // Who sent it is not verified yet: the newest are kept, as the true one comes again and again.
        if self.nominations.len() == MAX_NOMINATIONS {
            self.nominations.remove(0);
        }
        self.nominations.push((local, remote, data.into()));
    }

    /// Our check of the pair has succeeded. Browsers nominate every pair at first, and the engine takes the first for good: a relayed one
    /// has to wait for their next check, as a better one may answer until then.
    fn nominate_again(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr) {
        let of_pair = |(ours, theirs, _): &(SocketAddr, SocketAddr, BytesMut)| (*ours, *theirs) == (local, remote);
        let Some(index) = self.nominations.iter().position(of_pair) else { return };
        let (_, _, nomination) = self.nominations.remove(index);
        if !self.path.is_relayed(local, remote) {
            self.feed(now, local, remote, nomination);
        }
    }

    fn feed(&mut self, now: Instant, local: SocketAddr, remote: SocketAddr, mut data: BytesMut) {
        if let Some(repeats) = self.repeats.as_mut().filter(|_| stun::is_dtls(&data)) {
            let Some(kept) = repeats.without(data) else { return };
            data = kept;
        }
        let transport = TransportContext {
            local_addr: local,
            peer_addr: remote,
            ecn: None,
            transport_protocol: TransportProtocol::UDP,
        };
        #[cfg(test)]
        assert!(!self.breaks, "on purpose");
        // What the engine refuses is somebody's junk, or late.
        let _ = self.engine.handle_read(TaggedBytesMut { now, transport, message: data });
    }

    /// Takes out everything the engine has to say; messages only while `reading`. Gives when it wants to be pumped
    /// again, at the latest.
    pub fn pump(&mut self, now: Instant, reading: bool, output: &mut Output) -> Option<Instant> {
        let mut deadline = None;
        if std::mem::take(&mut self.nominate) && !self.is_connected() {
            // The engine nominates on its next tick. Nothing but ICE runs yet, so that the tick may as well be now. A relayed
            // pair waits for it: a better one may answer until then.
            if let Err(error) = self.engine.handle_timeout(now + CHECK_INTERVAL) {
                self.end_after_reading(now, LinkEnd::Error(error.to_string()), output);
            }
        }
        for round in 0..=MAX_ROUNDS {
            let mut events = false;
            while let Some(event) = self.engine.poll_event() {
                events = true;
                self.hear(now, event, output);
            }
            self.take_steps(now, false, output);
            self.attend_media(now, output);
            if reading || self.ended {
                self.read(now, output);
                self.take_steps(now, true, output);
            }
            self.negotiate(now, output);
            self.tell_media(now, output);
            while let Some(packet) = self.engine.poll_write() {
                let TransportContext { local_addr, peer_addr, .. } = packet.transport;
                if !stun::is_stun(&packet.message) {
                    self.path.used(local_addr, peer_addr);
                } else if stun::is_binding_request(&packet.message) {
                    if let Some(transaction) = stun::transaction_id(&packet.message) {
                        self.round_trips.asked(now, transaction);
                    }
                }
                output.datagrams.push(Datagram { local: local_addr, remote: peer_addr, data: packet.message });
            }
            deadline = self.engine.poll_timeout();
            // The DTLS hello that an ICE event queues leaves only at the next timeout.
            let due = events || deadline.is_some_and(|deadline| deadline <= now);
            if !due || round == MAX_ROUNDS {
                break;
            }
            if let Err(error) = self.engine.handle_timeout(now) {
                // The engine stops at the first of its layers that fails: the rest would never be served again.
                self.end_after_reading(now, LinkEnd::Error(error.to_string()), output);
                break;
            }
            if self.path_found {
                for (local, remote, data) in std::mem::take(&mut self.early_dtls) {
                    self.feed(now, local, remote, data);
                }
            }
        }
        if self.lost_until.is_some_and(|until| now >= until) {
            self.end_after_reading(now, LinkEnd::IceFailed, output);
        }
        let engine = &mut self.engine;
        self.channels.settle(engine, |channel| output.reports.push(Report::Writable(channel)));
        if self.ended {
            return None;
        }
        let quiet = self.open && self.is_connected() && now.saturating_duration_since(self.active) > QUIET_AFTER;
        let deadline = deadline.map(|deadline| deadline.max(now + if quiet { QUIET_TICK } else { SHORTEST_TICK }));
        let ours = self.negotiation.deadline().filter(|_| self.open).into_iter().chain(self.media_deadline());
        let ours = ours.chain(self.lost_until);
        ours.map(|deadline| deadline.max(now + SHORTEST_TICK)).chain(deadline).min()
    }

    fn read(&mut self, now: Instant, output: &mut Output) {
        // What is there already, and only then what `poll_read` finds: it asks every layer of the engine each time.
        while let Some(message) = self.engine.poll_data_read().or_else(|| self.engine.poll_read()) {
            if self.cut_off {
                return;
            }
            if let RTCMessage::RtpPacket(_, packet) = message.message {
                self.take_packet(now, packet);
            } else if let RTCMessage::DataChannelMessage(id, message) = message.message {
                self.active = now;
                if message.is_string {
                    match of_link(&message.data) {
                        Some(TextKind::Control(control)) if control.is_of_media() && self.channels.is_fast(id) => {
                            self.hear_of_media(now, control, output);
                            continue;
                        }
                        Some(TextKind::Control(control)) if control.is_of_channels() && self.native => {
                            self.hear_of_channels(now, id, control, output);
                            continue;
                        }
                        // The owner says what is wrong with it.
                        Some(TextKind::Malformed(_)) if self.channels.is_fast(id) => self.hear_nonsense(now, output),
                        _ => {}
                    }
                }
                let Some(channel) = self.channels.heard(id) else { continue };
                match self.channels.whole(id, message.is_string, message.data) {
                    Ok(Some((is_text, data))) => {
                        self.take_steps(now, false, output);
                        self.messages.received(data.len());
                        output.reports.push(Report::Message(Message { channel, is_text, data }));
                    }
                    Ok(None) => {}
                    Err(Broken::Nonsense(error)) => self.end(LinkEnd::Error(error), output),
                    Err(Broken::TooMany) => self.exceed("it begins messages without end and ends none", output),
                }
            }
        }
    }

    fn hear_of_channels(&mut self, now: Instant, wire: usize, control: Control, output: &mut Output) {
        if let Control::Pieces { size, text } = control {
            if let Err(error) = self.channels.announced(wire, text, size, self.local_max_message_size) {
                self.end(LinkEnd::Error(error), output);
            }
        } else if !self.channels.is_fast(wire) || !self.channels.control(control) {
            self.hear_nonsense(now, output);
        }
    }

    fn hear_nonsense(&mut self, now: Instant, output: &mut Output) {
        if !self.guard.may_err(now) {
            self.exceed("it sends control messages that make no sense", output);
        }
    }

    /// The other side does what no honest one does.
    pub(super) fn exceed(&mut self, what: &str, output: &mut Output) {
        self.cut_off = true;
        self.end(LinkEnd::Excess(what.to_owned()), output);
    }

    /// Does what the channels want. `read`: whatever has arrived was taken.
    fn take_steps(&mut self, now: Instant, read: bool, output: &mut Output) {
        while let Some(step) = self.channels.next_step(&mut self.engine, self.native, read) {
            match step {
                Step::Say(control) => self.say(now, &control, output),
                Step::Opened { channel, label, options, remote } => {
                    output.reports.push(Report::ChannelOpen { channel, label, options, remote });
                }
                Step::Closed(channel) => output.reports.push(Report::ChannelClosed(channel)),
                Step::Reset(wire) => {
                    if let Some(mut open) = self.engine.data_channel(wire) {
                        // One that is closing already closes all the same.
                        let _ = open.close();
                    }
                }
            }
        }
    }

    fn hear(&mut self, now: Instant, event: RTCPeerConnectionEvent, output: &mut Output) {
        match event {
            RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnOpen(id)) => {
                self.channel_open(now, id, output);
            }
            RTCPeerConnectionEvent::OnDataChannel(RTCDataChannelEvent::OnClose(id)) => {
                if self.channels.is_fast(id) {
                    // After the other end has closed, the engine's state stays "connected": this is the sign.
                    self.end_after_reading(now, LinkEnd::RemoteClosed, output);
                } else {
                    self.channels.closed(id);
                }
            }
            // From now on a repeat is answered by our last flight, and has to be.
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(RTCPeerConnectionState::Connected) => {
                self.repeats = None;
            }
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(RTCPeerConnectionState::Failed) => {
                self.end_after_reading(now, LinkEnd::IceFailed, output);
            }
            RTCPeerConnectionEvent::OnConnectionStateChangeEvent(RTCPeerConnectionState::Closed) => {
                self.end_after_reading(now, LinkEnd::RemoteClosed, output);
            }
            RTCPeerConnectionEvent::OnIceConnectionStateChangeEvent(state) => {
                let state = match state {
                    RTCIceConnectionState::Connected | RTCIceConnectionState::Completed => LinkState::Connected,
                    RTCIceConnectionState::Disconnected => LinkState::Disconnected,
                    // It was restarted, by us or by the other side.
                    RTCIceConnectionState::Checking if self.open => LinkState::Checking,
                    _ => return,
                };
                self.active = now;
                self.engine_connected = state == LinkState::Connected;
                if self.engine_connected {
                    self.path_found = true;
                    self.nominations = Vec::new();
                }
                if self.state != Some(state) {
                    self.enter(now, state);
                    if self.open {
                        output.reports.push(Report::State(state));
                    }
                }
            }
            _ => {}
        }
    }

    fn channel_open(&mut self, now: Instant, wire: usize, output: &mut Output) {
        self.active = now;
        let Some(mut opened) = self.engine.data_channel(wire) else { return };
        let label = opened.label().to_owned();
        let options = ChannelOptions {
            ordered: opened.ordered(),
            reliability: match (opened.max_retransmits(), opened.max_packet_life_time()) {
                (Some(limit), _) => Reliability::MaxRetransmits(limit),
                (None, Some(limit)) => Reliability::MaxLifetime(limit),
                (None, None) => Reliability::Reliable,
            },
            protocol: opened.protocol().to_owned(),
        };
        opened.set_buffered_amount_low_threshold(self.channels.low_water() as u32);
        if self.channels.opened(wire, opened.stream_id(), &label, &options).is_err() {
            return self.exceed("it opens channels without end", output);
        }
        if self.channels.is_fast(wire) {
            self.open = true;
            output.reports.push(Report::Open);
        }
    }

    /// What has arrived is still delivered before the end.
    fn end_after_reading(&mut self, now: Instant, end: LinkEnd, output: &mut Output) {
        self.read(now, output);
        self.end(end, output);
    }

    fn end(&mut self, end: LinkEnd, output: &mut Output) {
        if !std::mem::replace(&mut self.ended, true) {
            output.reports.push(Report::Ended(end));
        }
    }

    /// Nothing more will come of this link.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// For what we found out ourselves.
    pub fn fail(&mut self, end: LinkEnd, output: &mut Output) {
        self.end(end, output);
    }

    /// Asks for a further channel.
    pub fn open_channel(&mut self, label: &str, options: &ChannelOptions) -> Result<ChannelId, OpenError> {
        if !self.open || self.ended {
            return Err(OpenError::NotOpen);
        }
        if is_wordy(label, &options.protocol) {
            return Err(OpenError::Unusable(format!("a label or protocol is longer than {MAX_LABEL} bytes")));
        }
        if let Some(channel) = self.channels.reuse(label, options) {
            return Ok(channel);
        }
        if self.channels.full() {
            return Err(OpenError::Full);
        }
        let (max_retransmits, max_packet_life_time) = match options.reliability {
            Reliability::Reliable => (None, None),
            Reliability::MaxRetransmits(limit) => (Some(limit), None),
            Reliability::MaxLifetime(limit) => (None, Some(limit)),
        };
        let init = RTCDataChannelInit {
            ordered: options.ordered,
            max_packet_life_time,
            max_retransmits,
            protocol: options.protocol.clone(),
            negotiated: None,
        };
        let created = engine(self.engine.create_data_channel(label, Some(init))).map_err(OpenError::Unusable)?;
        let (wire, stream) = (created.id(), created.stream_id());
        Ok(self.channels.own(wire, stream, label, options))
    }

    /// Closes it once everything sent on it has arrived; what still comes on it is dropped. Gives whether there is such a
    /// channel.
    pub fn close_channel(&mut self, channel: ChannelId) -> bool {
        let known = channel != ChannelId::FAST && self.channels.wire(channel).is_some();
        if known {
            self.channels.close(channel);
        }
        known
    }

    /// Queues one message whole, or nothing. `Ok(true)`: it may as well leave at once. `false`: what is on its way makes it likely that
    /// more will come, and that several fit into one datagram.
    pub fn send(
        &mut self,
        now: Instant,
        channel: ChannelId,
        is_text: bool,
        data: BytesMut,
        urgent: bool,
    ) -> Result<bool, SendError> {
        if self.ended {
            return Err(SendError::NotOpen);
        }
        let limit = self.limit();
        if data.len() > limit {
            return Err(SendError::TooLarge(limit));
        }
        if self.native && data.len() > PIECE && !self.channels.carries_pieces(channel) {
            return Err(SendError::TooLarge(PIECE));
        }
        let length = data.len();
        let before = self.channels.send(&mut self.engine, now, channel, is_text, data, urgent)?;
        self.active = now;
        self.messages.sent(length);
        Ok(before <= FEW)
    }

    /// Bytes of the largest message.
    fn limit(&self) -> usize {
        self.remote_max_message_size.min(self.local_max_message_size)
    }

    /// The `fast` channel, while messages may be sent on it.
    pub fn fast(&mut self) -> Option<FastState> {
        if self.ended {
            return None;
        }
        let (outstanding, unacknowledged) = self.channels.load(&mut self.engine, ChannelId::FAST)?;
        Some(FastState { limit: self.limit(), outstanding, unacknowledged })
    }

    /// Bytes accepted on a channel and not acknowledged yet; `None` if there is no such channel.
    pub fn buffered(&mut self, channel: ChannelId) -> Option<usize> {
        let wire = self.channels.wire(channel)?;
        Some(self.engine.data_channel(wire).map_or(0, |channel| channel.outstanding_bytes()))
    }

    pub fn buffered_in_all(&mut self) -> usize {
        let engine = &mut self.engine;
        self.channels.wires().map(|wire| engine.data_channel(wire).map_or(0, |c| c.outstanding_bytes())).sum()
    }

    /// Ends it on our side; what is to be said to the other side is in the next pump.
    pub fn close(&mut self) {
        self.ended = true;
        // It ends either way.
        let _ = self.engine.close();
    }

    /// How much of what was sent has arrived.
    pub fn progress(&mut self) -> Progress {
        let outstanding = self.buffered_in_all();
        self.messages.progress(outstanding)
    }

    pub fn stats(&mut self) -> ConnectionStats {
        let buffered = self.buffered_in_all();
        stats::read(&self.messages, &self.path, &self.round_trips, buffered)
    }
}
