//! rtcswarm through its C API: the functions of the shared library, the types of the header.
//!
//! Each swarm is a member of a room of its own hub (`rtcswarm_hub_…`), and has a thread that waits in
//! `rtcswarm_next_event`, as a C program would have. That thread also carries the signals: from the swarm into the hub,
//! and what the hub has to say to the swarms. So the whole of the protocol, JSON and all, is on our bill; only a
//! WebSocket is not.

use crate::engine::{lock, Engine, FanOut, Gate, Mesh, Pair, Sent, Sink, Tally};
use crate::engine::{LOOPBACK, MAX_MESSAGE, PATIENCE, SEND_BUFFER, SEND_BUFFER_LOW};
use crate::frames::Viewer;
use anyhow::{bail, ensure, Context, Result};
use std::collections::HashMap;
use std::ffi::{c_char, CStr, CString};
use std::path::Path;
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

#[allow(non_camel_case_types, dead_code, clippy::all)]
mod abi {
    include!(concat!(env!("OUT_DIR"), "/rtcswarm.rs"));
}

use abi::{rtcswarm, rtcswarm_config, rtcswarm_event, rtcswarm_hub, Library};

pub struct Ours {
    library: Arc<Library>,
}

impl Ours {
    pub fn load(path: &Path) -> Result<Self> {
        // SAFETY: the library's initialisers do nothing, and its functions are those of the header: all are looked up.
        let library = unsafe { Library::new(path) };
        let library = library.with_context(|| format!("{} (build it: cargo build --release)", path.display()))?;
        Ok(Self { library: Arc::new(library) })
    }
}

impl Engine for Ours {
    type Pair = OurPair;
    type Mesh = Room;
    type FanOut = Star;

    fn name(&self) -> String {
        // SAFETY: gives a static string.
        let version = unsafe { CStr::from_ptr(self.library.rtcswarm_version_string()) };
        format!("rtcswarm {}", version.to_string_lossy())
    }

    fn connect(&self, a: Arc<Sink>, b: Option<Arc<Sink>>) -> Result<OurPair> {
        let unread = b.is_none();
        let mut room = Room::open(&self.library, Some(MAX_MESSAGE), vec![Some(a), b], Instant::now() + PATIENCE)?;
        if unread {
            room.stop_taking(1)?;
        }
        Ok(OurPair { a: room.members[0].clone(), b: room.members[1].clone(), room })
    }

    fn mesh(&self, size: usize, max_message: Option<usize>, deadline: Instant) -> Result<Room> {
        Room::open(&self.library, max_message, vec![None; size], deadline)
    }

    fn fan_out(&self, viewers: Vec<Arc<Viewer>>) -> Result<Star> {
        Star::open(&self.library, viewers)
    }
}

/// A hub with one room, and the swarms that are its members.
pub struct Room {
    members: Vec<Arc<Member>>,
    takers: Vec<Option<JoinHandle<()>>>,
    carrier: Arc<Carrier>,
    tally: Arc<Tally>,
}

impl Room {
    /// All join at once; gives them when each is open to each.
    fn open(
        library: &Arc<Library>,
        max_message: Option<usize>,
        sinks: Vec<Option<Arc<Sink>>>,
        deadline: Instant,
    ) -> Result<Self> {
        let count = sinks.len();
        let carrier = Arc::new(Carrier::new(library)?);
        let mut room = Self { members: Vec::new(), takers: Vec::new(), carrier, tally: Arc::default() };
        for (number, sink) in sinks.into_iter().enumerate() {
            room.join(&format!("peer-{number}"), max_message, Part::Talker(sink))?;
        }
        room.members.iter().try_for_each(|member| member.start())?;
        room.tally.wait(count * (count - 1), deadline)?;
        Ok(room)
    }

    fn join(&mut self, user_id: &str, max_message: Option<usize>, part: Part) -> Result<()> {
        let user_id = CString::new(user_id)?;
        let member = Member::new(&self.carrier, &user_id, max_message, part, &self.tally)?;
        self.members.push(member.clone());
        lock(&self.carrier.members).insert(member.session, member.clone());
        let carrier = self.carrier.clone();
        self.takers.push(Some(std::thread::spawn(move || member.take_events(&carrier))));
        Ok(())
    }

    /// From here on nobody takes the events of this member.
    fn stop_taking(&mut self, number: usize) -> Result<()> {
        let member = &self.members[number];
        member.stop.store(true, Ordering::Release);
        // SAFETY: a swarm that lives.
        member.check("rtcswarm_wakeup", unsafe { member.library.rtcswarm_wakeup(member.swarm) })?;
        match self.takers[number].take().map(JoinHandle::join) {
            Some(Err(_)) => bail!("a thread that takes events panicked"),
            _ => Ok(()),
        }
    }
}

impl Mesh for Room {
    fn own_threads(&self) -> usize {
        self.takers.iter().flatten().count()
    }

    /// Every swarm says that it goes, then each is heard to be gone.
    fn close(self) -> Result<()> {
        self.tally.closing();
        for member in &self.members {
            // SAFETY: a swarm that lives.
            member.check("rtcswarm_close", unsafe { member.library.rtcswarm_close(member.swarm) })?;
        }
        for taker in self.takers.into_iter().flatten() {
            // The library gives the last event within its own deadline; the process that started this one has another.
            ensure!(taker.join().is_ok(), "a thread that takes events panicked");
        }
        lock(&self.carrier.members).clear();
        self.tally.wait(0, Instant::now())
    }
}

/// A sender of video in the middle.
pub struct Star {
    room: Room,
    track: u64,
}

impl Star {
    /// Each receiver has room for one peer, which is the sender because nobody else is there that has room.
    fn open(library: &Arc<Library>, viewers: Vec<Arc<Viewer>>) -> Result<Self> {
        let carrier = Arc::new(Carrier::new(library)?);
        let mut room = Room { members: Vec::new(), takers: Vec::new(), carrier, tally: Arc::default() };
        room.join("sender", None, Part::Sender)?;
        let mut track = 0;
        let spec = abi::rtcswarm_track_spec {
            stream: c"camera".as_ptr(),
            name: c"picture".as_ptr(),
            media: abi::RTCSWARM_MEDIA_VIDEO,
            codec: abi::RTCSWARM_CODEC_VP8,
        };
        let sender = &room.members[0];
        // SAFETY: a swarm that lives, one spec, and a place for one number.
        let status = unsafe { library.rtcswarm_add_tracks(sender.swarm, &spec, 1, &mut track) };
        sender.check("rtcswarm_add_tracks", status)?;
        sender.start()?;
        let deadline = Instant::now() + PATIENCE;
        for (number, viewer) in viewers.into_iter().enumerate() {
            room.join(&format!("viewer-{number}"), None, Part::Viewer(viewer))?;
            room.members[number + 1].start()?;
            // Both ends, and the track.
            room.tally.wait(3 * (number + 1), deadline)?;
        }
        Ok(Self { room, track })
    }
}

impl FanOut for Star {
    fn send(&mut self, frame: &[u8], rtp_time: u32, key: bool) -> Result<()> {
        let sender = &self.room.members[0];
        let flags = if key { abi::RTCSWARM_FLAG_KEY_FRAME as u32 } else { 0 };
        let (data, length, mut skipped) = (frame.as_ptr(), frame.len(), 0);
        // SAFETY: a swarm that lives; the frame is copied; the place for the number is valid.
        let status = unsafe {
            sender.library.rtcswarm_send_frame(
                sender.swarm,
                self.track,
                data,
                length,
                rtp_time,
                flags,
                null_mut(),
                &mut skipped,
            )
        };
        sender.check("rtcswarm_send_frame", status)?;
        ensure!(skipped == 0, "{skipped} receivers do not take the track");
        Ok(())
    }

    fn wants_key_frame(&self) -> bool {
        self.room.members[0].wants_key_frame.swap(false, Ordering::AcqRel)
    }

    fn own_threads(&self) -> usize {
        self.room.own_threads()
    }

    fn close(self) -> Result<()> {
        self.room.close()
    }
}

/// What a member is there for.
enum Part {
    Talker(Option<Arc<Sink>>),
    Sender,
    Viewer(Arc<Viewer>),
}

struct Member {
    library: Arc<Library>,
    swarm: *mut rtcswarm,
    /// In the hub.
    session: u64,
    /// The last that opened: the only one, where it matters.
    peer: AtomicU64,
    part: Part,
    wants_key_frame: AtomicBool,
    tally: Arc<Tally>,
    writable: Gate,
    stop: AtomicBool,
}

// SAFETY: every function takes a swarm from any thread, and it is freed when nobody has it any more.
unsafe impl Send for Member {}
unsafe impl Sync for Member {}

impl Drop for Member {
    fn drop(&mut self) {
        // SAFETY: once, and last.
        unsafe { self.library.rtcswarm_free(self.swarm) };
    }
}

impl Member {
    fn new(
        carrier: &Carrier,
        user_id: &CStr,
        max_message: Option<usize>,
        part: Part,
        tally: &Arc<Tally>,
    ) -> Result<Arc<Self>> {
        let library = carrier.library.clone();
        let mut session = 0;
        // SAFETY: the hub lives; no rooms are given.
        let status = unsafe { library.rtcswarm_hub_connect(carrier.hub, user_id.as_ptr(), null(), 0, &mut session) };
        check(&library, "rtcswarm_hub_connect", status)?;
        let config = Config::new(&library)?;
        config.set(|library, config| unsafe { library.rtcswarm_config_set_room(config, c"bench".as_ptr()) })?;
        config.set(|library, config| unsafe { library.rtcswarm_config_set_user_id(config, user_id.as_ptr()) })?;
        config.set(|library, config| unsafe { library.rtcswarm_config_add_bind_address(config, LOOPBACK.as_ptr()) })?;
        if let Some(bytes) = max_message {
            config.set(|library, config| unsafe { library.rtcswarm_config_set_max_message_size(config, bytes) })?;
        }
        config.set(|library, config| unsafe {
            library.rtcswarm_config_set_send_buffer(config, SEND_BUFFER, SEND_BUFFER_LOW)
        })?;
        if let Part::Viewer(_) = part {
            config.set(|library, config| unsafe { library.rtcswarm_config_set_max_peers(config, 1) })?;
            config.set(|library, config| unsafe { library.rtcswarm_config_set_peer_buffer(config, 0) })?;
        }
        let mut swarm = null_mut();
        // SAFETY: the config lives, and the place for the swarm is valid.
        check(&library, "rtcswarm_new", unsafe { library.rtcswarm_new(config.config, &mut swarm) })?;
        Ok(Arc::new(Self {
            swarm,
            session,
            peer: AtomicU64::new(0),
            part,
            wants_key_frame: AtomicBool::new(false),
            tally: tally.clone(),
            writable: Gate::default(),
            stop: AtomicBool::new(false),
            library,
        }))
    }

    fn check(&self, what: &str, status: i32) -> Result<()> {
        check(&self.library, what, status)
    }

    fn start(&self) -> Result<()> {
        // SAFETY: a swarm that lives.
        self.check("rtcswarm_start", unsafe { self.library.rtcswarm_start(self.swarm) })
    }

    /// The thread of a member.
    fn take_events(&self, carrier: &Carrier) {
        while !self.stop.load(Ordering::Acquire) {
            let mut event = null_mut();
            // SAFETY: the swarm lives, and the place for the event is valid.
            match unsafe { self.library.rtcswarm_next_event(self.swarm, 1000, &mut event) } {
                abi::RTCSWARM_OK => {
                    // SAFETY: an event is good until it is freed.
                    let outcome = self.handle(unsafe { &*event }, carrier);
                    // SAFETY: once.
                    unsafe { self.library.rtcswarm_event_free(event) };
                    if let Err(error) = outcome {
                        self.tally.trouble(error.to_string());
                    }
                }
                abi::RTCSWARM_TIMEOUT => carrier.tick(),
                abi::RTCSWARM_WOKEN => {}
                abi::RTCSWARM_ERR_CLOSED => return,
                status => return self.tally.trouble(format!("rtcswarm_next_event answers {status}")),
            }
        }
    }

    fn handle(&self, event: &rtcswarm_event, carrier: &Carrier) -> Result<()> {
        match event.kind {
            abi::RTCSWARM_EVENT_TEXT | abi::RTCSWARM_EVENT_BINARY => self.receive(event),
            abi::RTCSWARM_EVENT_WRITABLE => {
                self.writable.open();
                Ok(())
            }
            abi::RTCSWARM_EVENT_SIGNAL => carrier.carry(self.session, event.data.cast(), event.length),
            abi::RTCSWARM_EVENT_PEER_OPEN => {
                self.peer.store(event.peer, Ordering::Release);
                self.tally.opened();
                Ok(())
            }
            abi::RTCSWARM_EVENT_TRACK => {
                self.tally.opened();
                Ok(())
            }
            abi::RTCSWARM_EVENT_FRAME => {
                if let Part::Viewer(viewer) = &self.part {
                    viewer.frame(data(event));
                }
                Ok(())
            }
            abi::RTCSWARM_EVENT_KEY_FRAME_WANTED => {
                self.wants_key_frame.store(true, Ordering::Release);
                Ok(())
            }
            abi::RTCSWARM_EVENT_PEER_FAILED | abi::RTCSWARM_EVENT_PEER_CLOSED if !self.tally.is_closing() => {
                // SAFETY: a static string.
                let reason = unsafe { CStr::from_ptr(self.library.rtcswarm_reason_name(event.reason)) };
                bail!("a peer is gone: {} {}", reason.to_string_lossy(), words(event.message));
            }
            abi::RTCSWARM_EVENT_ERROR => bail!("error event {}: {}", event.status, words(event.message)),
            abi::RTCSWARM_EVENT_CLOSED if event.status != abi::RTCSWARM_OK => {
                bail!("the swarm broke: {} {}", event.status, words(event.message))
            }
            _ => Ok(()),
        }
    }

    fn receive(&self, event: &rtcswarm_event) -> Result<()> {
        let Part::Talker(Some(sink)) = &self.part else { return Ok(()) };
        let data = data(event);
        if sink.message(data) {
            ensure!(self.send(event.peer, data)? == Sent::Queued, "an idle connection takes nothing");
        }
        Ok(())
    }

    fn send(&self, peer: u64, data: &[u8]) -> Result<Sent> {
        // SAFETY: the swarm lives; the data is copied.
        match unsafe { self.library.rtcswarm_send(self.swarm, peer, data.as_ptr(), data.len()) } {
            abi::RTCSWARM_OK => Ok(Sent::Queued),
            abi::RTCSWARM_WOULD_BLOCK => Ok(Sent::Full),
            status => self.check("rtcswarm_send", status).map(|()| Sent::Queued),
        }
    }
}

pub struct OurPair {
    a: Arc<Member>,
    b: Arc<Member>,
    room: Room,
}

impl Pair for OurPair {
    fn send(&self, data: &[u8]) -> Result<Sent> {
        self.a.send(self.a.peer.load(Ordering::Relaxed), data)
    }

    fn wait_writable(&self) -> Result<()> {
        ensure!(self.a.writable.pass(PATIENCE), "no RTCSWARM_EVENT_WRITABLE followed");
        Ok(())
    }

    fn buffered(&self) -> Result<usize> {
        let (peer, mut bytes) = (self.a.peer.load(Ordering::Relaxed), 0);
        // SAFETY: the swarm lives, and the place for the number is valid.
        let status = unsafe {
            self.a.library.rtcswarm_channel_buffered(self.a.swarm, peer, abi::RTCSWARM_CHANNEL_FAST as u32, &mut bytes)
        };
        self.a.check("rtcswarm_channel_buffered", status)?;
        Ok(bytes)
    }

    fn waiting(&self, _size: usize) -> Result<usize> {
        let mut stats =
            abi::rtcswarm_stats { struct_size: size_of::<abi::rtcswarm_stats>(), ..abi::rtcswarm_stats::default() };
        // SAFETY: the swarm lives, and the struct says its size.
        let status = unsafe { self.b.library.rtcswarm_get_stats(self.b.swarm, &mut stats) };
        self.b.check("rtcswarm_get_stats", status)?;
        Ok(stats.queued_events as usize)
    }

    fn take(&self, _buffer: &mut [u8]) -> Result<bool> {
        let mut event = null_mut();
        // SAFETY: the swarm lives, and the place for the event is valid.
        match unsafe { self.b.library.rtcswarm_next_event(self.b.swarm, 0, &mut event) } {
            abi::RTCSWARM_OK => {}
            abi::RTCSWARM_TIMEOUT => return Ok(false),
            status => bail!("rtcswarm_next_event answers {status}"),
        }
        // SAFETY: good until it is freed, once.
        let kind = unsafe {
            let kind = (*event).kind;
            self.b.library.rtcswarm_event_free(event);
            kind
        };
        ensure!(kind == abi::RTCSWARM_EVENT_BINARY, "an event of kind {kind} among the messages");
        Ok(true)
    }

    fn close(self) -> Result<()> {
        self.room.close()
    }
}

/// The hub and who is connected to it.
struct Carrier {
    library: Arc<Library>,
    hub: *mut rtcswarm_hub,
    /// Also the lock under which the hub is told something and its outputs are carried out, in their order.
    members: Mutex<HashMap<u64, Arc<Member>>>,
}

// SAFETY: every function takes a hub from any thread, and it is freed when nobody has it any more.
unsafe impl Send for Carrier {}
unsafe impl Sync for Carrier {}

impl Drop for Carrier {
    fn drop(&mut self) {
        // SAFETY: once, and last.
        unsafe { self.library.rtcswarm_hub_free(self.hub) };
    }
}

impl Carrier {
    fn new(library: &Arc<Library>) -> Result<Self> {
        let mut limits = abi::rtcswarm_hub_limits {
            struct_size: size_of::<abi::rtcswarm_hub_limits>(),
            ..abi::rtcswarm_hub_limits::default()
        };
        let mut hub = null_mut();
        // SAFETY: the struct says its size, and the place for the hub is valid.
        unsafe {
            check(library, "rtcswarm_hub_limits_default", library.rtcswarm_hub_limits_default(&mut limits))?;
            // A whole room joins at once here, without a network that would slow it down.
            limits.messages_per_second = 1_000_000;
            limits.members_per_room = 1000;
            check(library, "rtcswarm_hub_new", library.rtcswarm_hub_new(&limits, &mut hub))?;
        }
        Ok(Self { library: library.clone(), hub, members: Mutex::default() })
    }

    /// One message of a member to the hub, and what the hub says then to the members that it says it to.
    fn carry(&self, session: u64, message: *const c_char, length: usize) -> Result<()> {
        let members = lock(&self.members);
        // SAFETY: the hub lives, and the message has that length.
        let status = unsafe { self.library.rtcswarm_hub_receive(self.hub, session, message, length) };
        check(&self.library, "rtcswarm_hub_receive", status)?;
        self.deliver(&members)
    }

    fn tick(&self) {
        let members = lock(&self.members);
        let mut next = 0;
        // SAFETY: the hub lives, and the place for the number is valid.
        unsafe { self.library.rtcswarm_hub_tick(self.hub, &mut next) };
        if let (Err(error), Some(member)) = (self.deliver(&members), members.values().next()) {
            member.tally.trouble(error.to_string());
        }
    }

    fn deliver(&self, members: &HashMap<u64, Arc<Member>>) -> Result<()> {
        loop {
            let mut output = null_mut();
            // SAFETY: the hub lives, and the place for the output is valid.
            match unsafe { self.library.rtcswarm_hub_next_output(self.hub, &mut output) } {
                abi::RTCSWARM_OK => {}
                abi::RTCSWARM_TIMEOUT => return Ok(()),
                status => bail!("rtcswarm_hub_next_output answers {status}"),
            }
            // SAFETY: good until it is freed, once.
            let outcome = unsafe {
                let outcome = self.dispatch(members, &*output);
                self.library.rtcswarm_hub_output_free(output);
                outcome
            };
            outcome?;
        }
    }

    fn dispatch(&self, members: &HashMap<u64, Arc<Member>>, output: &abi::rtcswarm_hub_output) -> Result<()> {
        let Some(member) = members.get(&output.session).filter(|member| !member.tally.is_closing()) else {
            return Ok(());
        };
        if output.kind != abi::RTCSWARM_HUB_SEND {
            bail!("the hub lets go of a member: {} {}", output.close_code, words(output.text));
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            // SAFETY: the swarm lives; the text has that length and is copied.
            match unsafe { self.library.rtcswarm_dispatch(member.swarm, output.text, output.length) } {
                abi::RTCSWARM_OK => return Ok(()),
                abi::RTCSWARM_WOULD_BLOCK => {
                    ensure!(Instant::now() < deadline, "a swarm does not deal with its signals");
                    std::thread::sleep(Duration::from_millis(1));
                }
                // It was closed between the look above and here.
                abi::RTCSWARM_ERR_CLOSED if member.tally.is_closing() => return Ok(()),
                status => return check(&self.library, "rtcswarm_dispatch", status),
            }
        }
    }
}

struct Config {
    library: Arc<Library>,
    config: *mut rtcswarm_config,
}

impl Config {
    fn new(library: &Arc<Library>) -> Result<Self> {
        // SAFETY: takes nothing.
        let config = unsafe { library.rtcswarm_config_new() };
        ensure!(!config.is_null(), "no memory for a config");
        Ok(Self { library: library.clone(), config })
    }

    /// `setter` passes strings that are good for the call.
    fn set(&self, setter: impl FnOnce(&Library, *mut rtcswarm_config) -> i32) -> Result<()> {
        check(&self.library, "rtcswarm_config_…", setter(&self.library, self.config))
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        // SAFETY: once, and last.
        unsafe { self.library.rtcswarm_config_free(self.config) };
    }
}

fn check(library: &Library, what: &str, status: i32) -> Result<()> {
    if status == abi::RTCSWARM_OK {
        return Ok(());
    }
    // SAFETY: both are strings of the library, good until this thread's next call.
    let (name, message) = unsafe {
        (CStr::from_ptr(library.rtcswarm_status_name(status)), CStr::from_ptr(library.rtcswarm_last_error_message()))
    };
    bail!("{what} answers {}: {}", name.to_string_lossy(), message.to_string_lossy())
}

fn data(event: &rtcswarm_event) -> &[u8] {
    match event.length {
        0 => &[],
        // SAFETY: never NULL where the length is not 0; good as long as the event is.
        length => unsafe { std::slice::from_raw_parts(event.data, length) },
    }
}

fn words(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the header's strings are NUL-terminated.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}
