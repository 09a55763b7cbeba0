//! Named streams and tracks, as the application has them.

use super::{Broadcast, Error, Swarm};
use crate::link::{read_rtp, Packetizer, Payload, TrackStats, MAX_NAME, MAX_STREAMS};
use crate::media::{Codec, LocalStreams, LocalTrack, Source, TrackId, MAX_FRAME};
use crate::protocol::TrackKind;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Track ids of all swarms of the process, ours and peers'; 0 is none.
pub(super) static TRACK_IDS: once_cell::sync::Lazy<Arc<AtomicU64>> =
    once_cell::sync::Lazy::new(|| Arc::new(AtomicU64::new(1)));

/// Tracks of one swarm.
pub const MAX_TRACKS: usize = 64;
/// Bytes of one encoded frame.
pub const MAX_FRAME_BYTES: usize = MAX_FRAME;
/// Of payload in a packet: with all headers and tags it fits into 1,200 bytes of UDP, which fit through everywhere.
const MAX_PAYLOAD: usize = 1120;

/// A track of a stream to be given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackSpec {
    pub stream: String,
    /// Of its own over all streams of the swarm: peers know a track by it alone, and answer with their track of the same name over
    /// the same transceiver.
    pub name: String,
    pub source: Source,
}

impl TrackSpec {
    pub fn new(stream: impl Into<String>, name: impl Into<String>, source: Source) -> Self {
        Self { stream: stream.into(), name: name.into(), source }
    }
}

#[derive(Default)]
pub(super) struct LocalMedia {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    streams: LocalStreams,
    senders: HashMap<TrackId, Arc<Mutex<Sender>>>,
}

struct Sender {
    packetizer: Packetizer,
    codec: Codec,
}

impl LocalMedia {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn set_source(&mut self, id: TrackId, source: Source) {
        match source.codec() {
            Some(codec) => {
                let known = self.senders.get(&id).is_some_and(|sender| lock(sender).codec == codec);
                if !known {
                    let sender = Sender { packetizer: Packetizer::new(codec), codec };
                    self.senders.insert(id, Arc::new(Mutex::new(sender)));
                }
            }
            None => drop(self.senders.remove(&id)),
        }
    }

    fn changed(&mut self) -> Arc<LocalStreams> {
        self.streams.version += 1;
        Arc::new(self.streams.clone())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn check_name(what: &str, name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > MAX_NAME {
        return Err(Error::Invalid(format!("a {what}'s name has 1 to {MAX_NAME} bytes")));
    }
    if name.contains('\0') {
        return Err(Error::Invalid(format!("a {what}'s name contains a NUL character")));
    }
    Ok(())
}

/// A track may become more than it was, and be encoded otherwise; it stays audio, or video.
fn check_change(name: &str, old: Source, new: Source) -> Result<(), Error> {
    match (old.kind(), new.kind()) {
        (Some(old), Some(new)) if old != new => {
            Err(Error::Invalid(format!("the track {name} is {old:?} and cannot become {new:?}")))
        }
        _ => Ok(()),
    }
}

impl Swarm {
    /// Gives these tracks to every peer there is and will be, before [`Swarm::start`] or after. A name that there is already gets the new
    /// source, unless that says less than the old one, and is muted no more: a name is the same track in every stream. Gives the ids of all, in order. All of it is
    /// done, or none.
    pub fn add_tracks(&self, tracks: &[TrackSpec]) -> Result<Vec<u64>, Error> {
        self.open()?;
        let mut state = self.media.lock();
        let mut after = state.streams.clone();
        let mut ids = Vec::with_capacity(tracks.len());
        let mut sources = Vec::new();
        for TrackSpec { stream, name, source } in tracks {
            check_name("stream", stream)?;
            check_name("track", name)?;
            let known = after.tracks.get(name).map(|track| (track.id, track.source));
            let id = match known {
                Some((id, old)) => {
                    check_change(name, old, *source)?;
                    id
                }
                None if after.tracks.len() >= MAX_TRACKS => {
                    return Err(Error::Invalid(format!("a swarm has {MAX_TRACKS} tracks at most")));
                }
                None => TrackId(TRACK_IDS.fetch_add(1, Ordering::Relaxed)),
            };
            let less = known.is_some_and(|(_, old)| {
                matches!((old, source), (_, Source::Remote) | (Source::Encoded(_), Source::WarmUp(_)))
            });
            if !less {
                after.tracks.insert(name.clone(), LocalTrack { id, source: *source, muted: false });
                sources.push((id, *source));
            }
            if after.streams.len() >= MAX_STREAMS && !after.streams.contains_key(stream) {
                return Err(Error::Invalid(format!("a swarm has {MAX_STREAMS} streams at most")));
            }
            let of_stream = after.streams.entry(stream.clone()).or_default();
            if !of_stream.contains(name) {
                of_stream.push(name.clone());
            }
            ids.push(id.0);
        }
        state.streams = after;
        for (id, source) in sources {
            state.set_source(id, source);
        }
        let changed = state.changed();
        drop(state);
        self.driver.set_streams(&changed);
        Ok(ids)
    }

    /// The tracks of one stream; see [`Swarm::add_tracks`].
    pub fn add_stream(&self, stream: &str, tracks: &[(&str, Source)]) -> Result<Vec<u64>, Error> {
        let specs: Vec<_> = tracks.iter().map(|(name, source)| TrackSpec::new(stream, *name, *source)).collect();
        self.add_tracks(&specs)
    }

    fn change_track(
        &self,
        track: u64,
        change: impl FnOnce(&str, &mut LocalTrack) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.open()?;
        let mut state = self.media.lock();
        let found = state.streams.tracks.iter_mut().find(|(_, one)| one.id == TrackId(track));
        let (name, of_ours) = found.ok_or(Error::NoTrack(track))?;
        let before = of_ours.clone();
        change(name, of_ours)?;
        let after = of_ours.clone();
        if after == before {
            return Ok(());
        }
        state.set_source(after.id, after.source);
        let changed = state.changed();
        drop(state);
        self.driver.set_streams(&changed);
        Ok(())
    }

    /// Sends the track to nobody, or again to everybody: peers hear that it is muted, and those that come later
    /// that or nothing. Frames sent meanwhile go nowhere. After the
    /// end of it wait for [`super::Event::KeyFrameWanted`], which says that a peer takes the track.
    pub fn mute(&self, track: u64, muted: bool) -> Result<(), Error> {
        self.change_track(track, |_, of_ours| {
            of_ours.muted = muted;
            Ok(())
        })
    }

    /// The track is encoded otherwise from now on, or for the first time, in a codec of its kind. One that is muted stays so.
    pub fn replace_track(&self, track: u64, codec: Codec) -> Result<(), Error> {
        self.change_track(track, |name, of_ours| {
            check_change(name, of_ours.source, Source::Encoded(codec))?;
            of_ours.source = Source::Encoded(codec);
            Ok(())
        })
    }

    fn sender(&self, track: u64) -> Result<(Arc<Mutex<Sender>>, bool), Error> {
        let state = self.media.lock();
        let (_, of_ours) = state.streams.track(TrackId(track)).ok_or(Error::NoTrack(track))?;
        let sender = state.senders.get(&TrackId(track)).cloned();
        let sender = sender.ok_or(Error::State("the track has no codec yet"))?;
        Ok((sender, of_ours.muted))
    }

    /// One encoded frame of a track of ours, to every peer that takes it: an Opus packet, a VP8 or VP9 frame, an H.264 access unit
    /// (Annex B) or an AV1 temporal unit (low-overhead OBUs). `rtp_time` in units of the codec's clock, 48,000 or 90,000 a second; `key`
    /// for a frame that needs none before it. Packets are made once for all peers and sent on this thread. Never blocks:
    /// what a slow path does not take is dropped.
    pub fn send_frame(&self, track: u64, data: &[u8], rtp_time: u32, key: bool) -> Result<Broadcast, Error> {
        self.running()?;
        if data.len() > MAX_FRAME_BYTES {
            return Err(Error::TooLarge { length: data.len(), limit: MAX_FRAME_BYTES });
        }
        let (sender, muted) = self.sender(track)?;
        let mut sender = lock(&sender);
        let payloads = sender.packetizer.packetize(data, key, MAX_PAYLOAD).map_err(Error::Invalid)?;
        let codec = sender.codec;
        Ok(self.send_payloads(TrackId(track), codec, rtp_time, &payloads, muted))
    }

    /// One RTP packet (RFC 3550) of a track of ours, to every peer that takes it; see [`Swarm::send_frame`]. Its timestamp, marker and
    /// payload are sent; payload type, source and number are those that each peer knows. In the order in which they are to be
    /// sent.
    pub fn send_rtp(&self, track: u64, packet: &[u8]) -> Result<Broadcast, Error> {
        self.running()?;
        let packet = read_rtp(packet).map_err(|error| Error::Invalid(format!("not an RTP packet: {error}")))?;
        if packet.payload.len() > MAX_PAYLOAD {
            return Err(Error::TooLarge { length: packet.payload.len(), limit: MAX_PAYLOAD });
        }
        let (sender, muted) = self.sender(track)?;
        // Packets of one track leave in the order of the calls.
        let sender = lock(&sender);
        let payload = Payload { data: packet.payload, marker: packet.header.marker };
        let (codec, rtp_time) = (sender.codec, packet.header.timestamp);
        Ok(self.send_payloads(TrackId(track), codec, rtp_time, std::slice::from_ref(&payload), muted))
    }

    fn send_payloads(
        &self,
        track: TrackId,
        codec: Codec,
        rtp_time: u32,
        payloads: &[Payload],
        muted: bool,
    ) -> Broadcast {
        let mut broadcast = Broadcast::default();
        for open in self.peers.all() {
            if !muted && open.connection.send_frame(track, codec, rtp_time, payloads) {
                broadcast.reached += 1;
            } else {
                broadcast.skipped += 1;
            }
        }
        broadcast
    }

    /// Asks a peer for a key frame of one of its tracks. Asking more often than three times a second changes nothing.
    pub fn request_key_frame(&self, peer: u64, track: u64) -> Result<(), Error> {
        self.running()?;
        let open = self.peers.get(peer)?;
        if open.connection.request_key_frame(TrackId(track)) {
            Ok(())
        } else {
            Err(Error::NoTrack(track))
        }
    }

    /// Figures of a peer's track, or of one of ours on the way to that peer.
    pub fn track_stats(&self, peer: u64, track: u64) -> Result<TrackStats, Error> {
        let open = self.peers.get(peer)?;
        let mut stats = open.connection.track_stats(TrackId(track)).ok_or(Error::NoTrack(track))?;
        stats.dropped += open.dropped(track);
        Ok(stats)
    }

    /// What a track of ours is, by its name.
    pub fn track(&self, name: &str) -> Option<(u64, Option<TrackKind>)> {
        let state = self.media.lock();
        state.streams.tracks.get(name).map(|track| (track.id.0, track.source.kind()))
    }

    fn open(&self) -> Result<(), Error> {
        if self.closing.load(Ordering::Acquire) {
            return Err(Error::Closed);
        }
        Ok(())
    }
}
