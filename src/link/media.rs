//! The named tracks of one link: which transceiver carries which, in which direction, and what is negotiated when.
//!
//! The offerer of the connection makes the transceivers, for tracks of its own and for those that the other side asks for; the
//! answerer sends over the same ones. What is sent on a transceiver and what comes on it have one name, but where the JS original
//! has made two of one name. Towards the JS original
//! this keeps to what it does; between native peers the offer says the names too, so that the first answer carries media already.
//!
//! All that this side wants is [`LocalStreams`], handed in whole on every change; the difference to what is negotiated says
//! what is to be done. So a change that comes while an offer is under way is not lost: it is in the next.

mod nudge;

use super::codecs::{codec_parameters, default_codec, placeholder, CODECS};
use super::feedback::Feedback;
use super::sections::Section;
use super::tracks::{Incoming, Outgoing};
use crate::media::{Codec, LocalStreams, LocalTrack, Source, TrackId};
use crate::protocol::{Control, TrackKind};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::Instant;
use webrtc::peer_connection::RTCPeerConnection;
use webrtc::rtp_transceiver::rtp_sender::RTCRtpCodecParameters;
use webrtc::rtp_transceiver::{RTCRtpTransceiverDirection as Direction, RTCRtpTransceiverId};

/// Tracks of one link, and what the other side may announce.
const MAX_TRACKS: usize = 128;
pub(crate) const MAX_STREAMS: usize = 64;
/// Bytes of a stream's or a track's name.
pub(crate) const MAX_NAME: usize = 256;

/// What a link says of media.
#[derive(Debug)]
pub(crate) enum MediaReport {
    /// A track of the other side's is there.
    Track {
        track: TrackId,
        name: String,
        kind: TrackKind,
    },
    /// It is sent no more, or again.
    Muted {
        track: TrackId,
        muted: bool,
    },
    /// All tracks that the other side has announced for this stream are there.
    Stream {
        name: String,
        tracks: Vec<TrackId>,
    },
    /// Of a track of ours: the other side cannot go on without a key frame.
    KeyFrameWanted {
        track: TrackId,
    },
    Frame(RemoteFrame),
    Rtp {
        track: TrackId,
        codec: Codec,
        packet: bytes::Bytes,
    },
    /// The other side says what makes no sense.
    Nonsense(String),
}

#[derive(Debug)]
pub(crate) struct RemoteFrame {
    pub track: TrackId,
    pub codec: Codec,
    pub data: bytes::BytesMut,
    pub timestamp: u32,
    pub key: bool,
    pub gap: bool,
}

pub(super) struct Media {
    /// Our offer was the first of the connection: we make the transceivers.
    offerer: bool,
    /// The other side is no JS original.
    pub native: bool,
    local: Arc<LocalStreams>,
    /// What was said of ours.
    announced: BTreeMap<String, Vec<String>>,
    /// Names that we have asked the other side for a transceiver for.
    requested: Vec<String>,
    /// The other side's streams.
    remote: BTreeMap<String, RemoteStream>,
    /// The tracks in them, in the order in which they were announced.
    heard_of: Vec<String>,
    /// By name, what mid the other side says that it has.
    mids: BTreeMap<String, String>,
    transceivers: Vec<Transceiver>,
    /// The other side's offers so far.
    offers_taken: u32,
    /// To be said on `fast`, in order.
    says: VecDeque<Control>,
    reports: VecDeque<MediaReport>,
    track_ids: Arc<AtomicU64>,
    pub(super) feedback: Feedback,
    rtp: bool,
    /// When to nudge the other side, and how often it was nudged since it said something new.
    nudge: Option<Instant>,
    nudges: u32,
    /// Until when the other side may say of which streams its tracks are.
    presume: Option<Instant>,
}

#[derive(Default)]
struct RemoteStream {
    tracks: BTreeSet<String>,
    told: bool,
}

pub(super) struct Transceiver {
    id: RTCRtpTransceiverId,
    pub kind: TrackKind,
    mid: Option<String>,
    /// What comes over it is called so …
    name: Option<String>,
    /// … and so what we send. The same, unless the other side has made two of one name.
    outlet: Option<String>,
    /// This side made it.
    ours: bool,
    /// Which of the other side's offers brought it.
    brought_by: u32,
    /// The other side has been told its name.
    named: bool,
    /// What our last description that came into force says.
    sends: bool,
    /// The JS original knew its name when it heard that something comes.
    shown: bool,
    pub outgoing: Outgoing,
    pub incoming: Incoming,
}

fn too_long(name: &str) -> bool {
    name.len() > MAX_NAME
}

fn direction(sends: bool, receives: bool) -> Direction {
    match (sends, receives) {
        (true, true) => Direction::Sendrecv,
        (true, false) => Direction::Sendonly,
        (false, true) => Direction::Recvonly,
        (false, false) => Direction::Inactive,
    }
}

type EngineResult<T> = Result<T, String>;

fn engine_result<T, E: std::fmt::Display>(result: Result<T, E>) -> EngineResult<T> {
    result.map_err(|error| error.to_string())
}

impl Media {
    pub fn new(offerer: bool, track_ids: Arc<AtomicU64>, rtp: bool) -> Self {
        Self {
            offerer,
            native: false,
            local: Arc::default(),
            announced: BTreeMap::new(),
            requested: Vec::new(),
            remote: BTreeMap::new(),
            heard_of: Vec::new(),
            mids: BTreeMap::new(),
            transceivers: Vec::new(),
            offers_taken: 0,
            says: VecDeque::new(),
            reports: VecDeque::new(),
            track_ids,
            feedback: Feedback::default(),
            rtp,
            nudge: None,
            nudges: 0,
            presume: None,
        }
    }

    pub fn next_report(&mut self) -> Option<MediaReport> {
        self.reports.pop_front()
    }

    /// As the JS original does where it has several to say.
    #[cfg(test)]
    pub fn forget_to_say(&mut self, what: impl Fn(&Control) -> bool) {
        self.says.retain(|control| !what(control));
    }

    #[cfg(test)]
    pub fn mid_of(&self, name: &str) -> String {
        self.mids.get(name).cloned().unwrap_or_default()
    }

    pub fn next_word(&mut self) -> Option<Control> {
        self.says.pop_front()
    }

    /// Everything that this side has, from now on.
    pub fn set_local(&mut self, engine: &mut RTCPeerConnection, local: Arc<LocalStreams>) -> EngineResult<()> {
        if local.version <= self.local.version {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.local, local.clone());
        for transceiver in self.transceivers.iter().filter(|one| one.outgoing.open && one.kind == TrackKind::Video) {
            let live = |streams: &LocalStreams| {
                let track = streams.tracks.get(transceiver.outlet.as_ref()?)?;
                track.is_live().then_some(track.id)
            };
            // It was open for it, and so no negotiation will say that it is taken.
            if let (None, Some(track)) = (live(&before), live(&local)) {
                self.reports.push_back(MediaReport::KeyFrameWanted { track });
            }
        }
        for (stream, tracks) in &local.streams {
            if self.announced.get(stream) != Some(tracks) {
                self.announced.insert(stream.clone(), tracks.clone());
                self.says.push_back(Control::Stream { stream_name: stream.clone(), transceiver_names: tracks.clone() });
            }
            for name in tracks {
                let kind = local.tracks.get(name).and_then(|track| track.source.kind());
                let Some(kind) = kind.filter(|_| !self.is_known(name)) else { continue };
                if self.offerer {
                    self.create(engine, name, kind)?;
                } else if !self.requested.contains(name) {
                    self.requested.push(name.clone());
                    self.nudges = 0;
                    self.says.push_back(Control::TransceiverRequest { transceiver_name: name.clone(), kind });
                }
            }
        }
        Ok(())
    }

    /// A transceiver has this name, or will have it.
    fn is_known(&self, name: &str) -> bool {
        self.mids.contains_key(name) || self.transceivers.iter().any(|one| one.name.as_deref() == Some(name))
    }

    fn local_codec(&self, name: &str) -> Option<Codec> {
        self.local.tracks.get(name)?.source.codec()
    }

    fn create(&mut self, engine: &mut RTCPeerConnection, name: &str, kind: TrackKind) -> EngineResult<()> {
        if self.transceivers.len() >= MAX_TRACKS {
            self.reports.push_back(MediaReport::Nonsense(format!("more than {MAX_TRACKS} tracks on one connection")));
            return Ok(());
        }
        let codec = self.local_codec(name).filter(|codec| codec.kind() == kind).unwrap_or_else(|| default_codec(kind));
        let outgoing = Outgoing::new();
        let track = placeholder(kind, outgoing.ssrc, codec);
        let id = engine_result(engine.add_transceiver_from_track(track, None))?;
        // What the track is in comes first, and is not the only one.
        let of_kind = |(known, _): &&(Codec, u8)| known.kind() == kind;
        let mut codecs: Vec<_> = CODECS.iter().filter(of_kind).collect();
        codecs.sort_by_key(|(known, _)| *known != codec);
        let parameters = codecs
            .into_iter()
            .map(|(codec, payload_type)| RTCRtpCodecParameters {
                rtp_codec: codec_parameters(*codec),
                payload_type: *payload_type,
            })
            .collect();
        if let Some(mut transceiver) = engine.rtp_transceiver(id) {
            engine_result(transceiver.set_codec_preferences(parameters))?;
        }
        self.add(id, kind, outgoing, true);
        if let Some(transceiver) = self.transceivers.last_mut() {
            transceiver.name = Some(name.to_owned());
            transceiver.outlet = transceiver.name.clone();
        }
        Ok(())
    }

    fn add(&mut self, id: RTCRtpTransceiverId, kind: TrackKind, outgoing: Outgoing, ours: bool) {
        self.feedback.watch(outgoing.ssrc);
        self.transceivers.push(Transceiver {
            id,
            kind,
            mid: None,
            name: None,
            outlet: None,
            ours,
            brought_by: self.offers_taken,
            named: false,
            sends: false,
            shown: false,
            outgoing,
            incoming: Incoming::new(self.rtp),
        });
    }

    /// Whether something of ours is to go over it.
    fn wants_to_send(&self, transceiver: &Transceiver) -> bool {
        let track = transceiver.outlet.as_ref().and_then(|name| self.local.tracks.get(name));
        match track.map(|track| track.source) {
            Some(Source::Encoded(_)) => track.is_some_and(LocalTrack::is_live),
            // Open until there is something to send, whoever made it.
            Some(Source::WarmUp(_)) => true,
            // Made for the other side's track, which the JS original gives only where something seems to come.
            Some(Source::Remote) | None => transceiver.ours && !self.native,
        }
    }

    /// What is negotiated is not what is wanted.
    pub fn wants_negotiation(&self) -> bool {
        self.transceivers.iter().any(|one| one.mid.is_none() || one.sends != self.wants_to_send(one))
    }

    /// Before an offer of ours is made.
    pub fn before_offer(&mut self, engine: &mut RTCPeerConnection) {
        for index in 0..self.transceivers.len() {
            let sends = self.wants_to_send(&self.transceivers[index]);
            if let Some(mut of_engine) = engine.rtp_transceiver(self.transceivers[index].id) {
                // Never less than to receive: what is inactive the engine stops for good.
                of_engine.set_direction(direction(sends, true));
            }
        }
    }

    /// After it: each has its mid.
    pub fn after_offer(&mut self, engine: &mut RTCPeerConnection) {
        for transceiver in &mut self.transceivers {
            if transceiver.mid.is_none() {
                transceiver.mid = engine.rtp_transceiver(transceiver.id).and_then(|one| one.mid().clone());
            }
        }
    }

    /// Our offer is taken back: what only it had is not there.
    pub fn rolled_back(&mut self, engine: &mut RTCPeerConnection) {
        for transceiver in &mut self.transceivers {
            transceiver.mid = engine.rtp_transceiver(transceiver.id).and_then(|one| one.mid().clone());
        }
    }

    pub fn name_of(&self, mid: &str) -> Option<&str> {
        self.transceivers.iter().find(|one| one.mid.as_deref() == Some(mid))?.name.as_deref()
    }

    /// The engine has the other side's offer: gives every section a sender and the direction that our answer will say.
    pub fn before_answer(&mut self, engine: &mut RTCPeerConnection, remote: &[Section]) -> EngineResult<()> {
        self.offers_taken += 1;
        let ids: Vec<RTCRtpTransceiverId> = engine.get_transceivers().collect();
        for id in ids {
            let Some(of_engine) = engine.rtp_transceiver(id) else { continue };
            let Some(mid) = of_engine.mid().clone() else { continue };
            let has_sender = of_engine.sender().is_some();
            let Some(section) = remote.iter().find(|section| section.mid == mid) else { continue };
            let (Some(kind), Some(codec)) = (section.kind, section.first_codec()) else { continue };
            if !has_sender {
                if self.transceivers.len() >= MAX_TRACKS {
                    return Err(format!("more than {MAX_TRACKS} tracks on one connection"));
                }
                let outgoing = Outgoing::new();
                let sender = engine_result(engine.add_track(placeholder(kind, outgoing.ssrc, codec)))?;
                // It takes the first of its kind that has none: this one, as all before it have got theirs.
                if usize::from(sender) != id {
                    return Err("a track of ours is on another transceiver".into());
                }
                self.add(id, kind, outgoing, false);
            }
            if let Some(transceiver) = self.transceivers.iter_mut().find(|one| one.id == id) {
                transceiver.mid = Some(mid);
            }
        }
        for section in remote {
            if let Some(name) = section.name.as_ref().filter(|name| name.len() <= MAX_NAME) {
                self.mids.insert(name.clone(), section.mid.clone());
            }
        }
        self.attach();
        for index in 0..self.transceivers.len() {
            let transceiver = &self.transceivers[index];
            let section = remote.iter().find(|section| Some(&section.mid) == transceiver.mid.as_ref());
            let (they_send, they_receive) = section.map_or((false, false), |one| (one.sends, one.receives));
            let sends = self.wants_to_send(transceiver) && they_receive;
            if let Some(mut of_engine) = engine.rtp_transceiver(transceiver.id) {
                of_engine.set_direction(direction(sends, they_send));
            }
        }
        Ok(())
    }

    /// Gives transceivers the names that are known for their mids.
    fn attach(&mut self) {
        for (name, mid) in &self.mids {
            let Some(at) = self.transceivers.iter().position(|one| one.mid.as_ref() == Some(mid)) else { continue };
            if self.transceivers[at].name.as_ref() == Some(name) {
                continue;
            }
            // The JS original makes a second one where it is asked for a track just as it adds it, and shows what came over the
            // first: there we stay. Not where both came with one offer: it shows what it named last.
            let brought_by = self.transceivers[at].brought_by;
            let sends_already = |one: &&mut Transceiver| {
                one.outlet.as_ref() == Some(name) && one.outgoing.open && one.brought_by != brought_by
            };
            let sending = self.transceivers.iter_mut().find(sends_already);
            let settled = sending.is_some();
            if let Some(Transceiver { mid: Some(mid), shown, .. }) = sending.filter(|one| !self.native && !one.shown) {
                // It may have looked for the second when ours came over the first. Told the first, it finds it.
                *shown = true;
                self.says.push_back(Control::MidOffer { transceiver_name: name.clone(), mid: mid.clone() });
            }
            for other in &mut self.transceivers {
                if other.name.take_if(|known| known == name).is_some() {
                    if let Some(track) = other.incoming.track.take().filter(|_| !other.incoming.muted) {
                        self.reports.push_back(MediaReport::Muted { track, muted: true });
                    }
                    // With the track that takes its place it is all there anew.
                    let streams = self.remote.values_mut().filter(|stream| stream.tracks.contains(name));
                    streams.for_each(|stream| stream.told = false);
                }
                if !settled {
                    other.outlet.take_if(|known| known == name);
                }
            }
            self.transceivers[at].name = Some(name.clone());
            self.transceivers[at].outlet = (!settled).then(|| name.clone());
            self.transceivers[at].named = true;
            // What it was called before is another track.
            self.transceivers[at].incoming.track = None;
        }
    }

    /// An offer and its answer, which was ours or not, are in force.
    pub fn agreed(&mut self, ours: &[Section], theirs: &[Section], answered: bool) {
        for transceiver in &mut self.transceivers {
            let of = |sections: &[Section]| {
                sections.iter().find(|section| Some(&section.mid) == transceiver.mid.as_ref()).cloned()
            };
            let (Some(ours), Some(theirs)) = (of(ours), of(theirs)) else { continue };
            transceiver.sends = ours.sends;
            let may_send = ours.sends && theirs.receives;
            // It makes no other offer before it has our answer; when ours came, it may just have made one.
            transceiver.shown = may_send && if transceiver.outgoing.open { transceiver.shown } else { answered };
            let live = transceiver.outlet.as_ref().and_then(|name| self.local.tracks.get(name));
            if may_send && !transceiver.outgoing.open && transceiver.kind == TrackKind::Video {
                if let Some(track) = live.filter(|track| track.is_live()) {
                    self.reports.push_back(MediaReport::KeyFrameWanted { track: track.id });
                }
                let heard = self.feedback.key_frame_requests(transceiver.outgoing.ssrc);
                transceiver.outgoing.have_passed_on(heard);
            }
            transceiver.outgoing.open = may_send;
            let may_come = ours.receives && theirs.sends;
            if may_come && !transceiver.incoming.open && transceiver.kind == TrackKind::Video {
                // What came before its description did is lost.
                transceiver.incoming.want_key_frame();
            }
            transceiver.incoming.open = may_come;
            transceiver.incoming.describe(&ours, &theirs);
            transceiver.outgoing.describe(theirs);
        }
        self.say_names();
        self.settle();
    }

    /// Says what our transceivers are called: after the answer, as the JS original replies with its track only then.
    fn say_names(&mut self) {
        for transceiver in self.transceivers.iter_mut().filter(|one| one.ours && !one.named) {
            if let (Some(name), Some(mid)) = (&transceiver.name, &transceiver.mid) {
                transceiver.named = true;
                self.mids.insert(name.clone(), mid.clone());
                self.says.push_back(Control::MidOffer { transceiver_name: name.clone(), mid: mid.clone() });
            }
        }
    }

    /// What the other side says of its tracks on `fast`.
    pub fn hear(&mut self, engine: &mut RTCPeerConnection, control: Control) -> EngineResult<()> {
        match control {
            Control::Stream { stream_name, transceiver_names } => {
                self.hear_stream(stream_name, transceiver_names);
            }
            // Only who makes the transceivers knows.
            Control::MidOffer { .. } if self.offerer => {}
            Control::MidOffer { transceiver_name, mid } => {
                let known = self.mids.contains_key(&transceiver_name);
                if too_long(&transceiver_name) || mid.len() > MAX_NAME || (!known && self.mids.len() >= MAX_TRACKS) {
                    self.nonsense("names tracks without end");
                    return Ok(());
                }
                self.mids.insert(transceiver_name, mid);
                self.attach();
            }
            // Who did not make the first offer makes no transceivers, and one that is there already is not made twice.
            Control::TransceiverRequest { transceiver_name, kind }
                if self.offerer && !too_long(&transceiver_name) && !self.is_known(&transceiver_name) =>
            {
                self.create(engine, &transceiver_name, kind)?;
            }
            _ => {}
        }
        self.settle();
        Ok(())
    }

    /// The other side has a stream of these tracks.
    fn hear_stream(&mut self, stream_name: String, transceiver_names: Vec<String>) {
        let known = self.remote.contains_key(&stream_name);
        let long = too_long(&stream_name) || transceiver_names.iter().any(|name| too_long(name));
        if long || transceiver_names.len() > MAX_TRACKS || (!known && self.remote.len() >= MAX_STREAMS) {
            self.nonsense("announces streams without end");
            return;
        }
        let stream = self.remote.entry(stream_name).or_default();
        self.nudges = 0;
        for name in transceiver_names {
            let known = self.heard_of.contains(&name);
            if !known && self.heard_of.len() < MAX_TRACKS {
                self.heard_of.push(name.clone());
            }
            if known || self.heard_of.last() == Some(&name) {
                stream.told &= !stream.tracks.insert(name);
            }
        }
    }

    fn nonsense(&mut self, what: &str) {
        if !matches!(self.reports.back(), Some(MediaReport::Nonsense(_))) {
            self.reports.push_back(MediaReport::Nonsense(format!("the other side {what}")));
        }
    }

    /// Reports tracks that have a name and are announced, and streams of which all are there.
    fn settle(&mut self) {
        for transceiver in &mut self.transceivers {
            let Some(name) = &transceiver.name else { continue };
            let incoming = &mut transceiver.incoming;
            match incoming.track {
                None if incoming.open && self.heard_of.contains(name) => {
                    let track = TrackId(self.track_ids.fetch_add(1, Ordering::Relaxed));
                    incoming.track = Some(track);
                    self.reports.push_back(MediaReport::Track { track, name: name.clone(), kind: transceiver.kind });
                }
                Some(track) if incoming.muted == incoming.open => {
                    incoming.muted = !incoming.open;
                    self.reports.push_back(MediaReport::Muted { track, muted: incoming.muted });
                }
                _ => {}
            }
        }
        let named = self.transceivers.iter().filter_map(|one| Some((one.name.clone()?, one.incoming.track?)));
        let there: BTreeMap<String, TrackId> = named.collect();
        for (name, stream) in self.remote.iter_mut().filter(|(_, stream)| !stream.told && !stream.tracks.is_empty()) {
            let tracks: Option<Vec<TrackId>> = stream.tracks.iter().map(|name| there.get(name).copied()).collect();
            if let Some(tracks) = tracks {
                stream.told = true;
                self.reports.push_back(MediaReport::Stream { name: name.clone(), tracks });
            }
        }
    }

    /// Names all tracks of the other side's anew, and says what is wanted of ours.
    pub fn tell_again(&mut self) {
        for transceiver in &mut self.transceivers {
            transceiver.incoming.track = None;
            transceiver.incoming.muted = false;
        }
        self.remote.values_mut().for_each(|stream| stream.told = false);
        self.settle();
        let taken = self.transceivers.iter().filter(|one| one.outgoing.open && one.kind == TrackKind::Video);
        let wanted: Vec<TrackId> = taken.filter_map(|one| self.live_track(one)).collect();
        self.reports.extend(wanted.into_iter().map(|track| MediaReport::KeyFrameWanted { track }));
    }

    pub fn transceivers(&mut self) -> &mut [Transceiver] {
        &mut self.transceivers
    }

    pub fn transceivers_of(&self) -> &[Transceiver] {
        &self.transceivers
    }

    /// The transceiver over which this track of ours goes, with the codec that it has.
    pub fn sending(&mut self, track: TrackId) -> Option<(&mut Transceiver, Option<Codec>)> {
        let (name, of_ours) = self.local.track(track)?;
        let codec = of_ours.is_live().then(|| of_ours.source.codec()).flatten();
        let transceiver = self.transceivers.iter_mut().find(|one| one.outlet.as_deref() == Some(name))?;
        Some((transceiver, codec))
    }

    /// The track of ours that goes over a transceiver.
    pub fn live_track(&self, transceiver: &Transceiver) -> Option<TrackId> {
        let track = self.local.tracks.get(transceiver.outlet.as_ref()?)?;
        track.is_live().then_some(track.id)
    }

    /// Whether the other side has said that it sends by this source.
    pub fn describes(&self, source: u32) -> bool {
        self.transceivers.iter().any(|one| one.incoming.has_source(source))
    }

    pub fn receiving(&mut self, track: TrackId) -> Option<&mut Transceiver> {
        self.transceivers.iter_mut().find(|one| one.incoming.track == Some(track))
    }

    /// There is no media on this link.
    pub fn is_idle(&self) -> bool {
        self.transceivers.is_empty()
    }
}
