//! libdatachannel through its C API (`rtc/rtc.h`), as its documentation wants it used.
//!
//! Signals pass from one peer connection to the other inside the callbacks, so that no transport and no JSON is on its
//! bill. Messages come by the message callback; only [`Pair::take`] polls.

mod media;

use crate::engine::{lock, Engine, Gate, Mesh, Pair, Sent, Sink, Tally};
use crate::engine::{LOOPBACK, MAX_MESSAGE, PATIENCE, SEND_BUFFER, SEND_BUFFER_LOW};
use crate::frames::{Joiner, Viewer};
use anyhow::{bail, ensure, Result};
use datachannel_sys as rtc;
use std::ffi::{c_char, c_int, c_void, CStr};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How many payload bytes may be sent between two looks at the buffered amount, so that small messages do not pay for
/// a look each.
const LOOK_AFTER: usize = 16 << 10;

pub struct Rival(());

impl Rival {
    pub fn new() -> Self {
        // SAFETY: no callback; also keeps it from printing.
        unsafe { rtc::rtcInitLogger(rtc::rtcLogLevel_RTC_LOG_NONE, None) };
        Self(())
    }
}

impl Engine for Rival {
    type Pair = RivalPair;
    type Mesh = Vec<Link>;
    type FanOut = media::Fan;

    fn name(&self) -> String {
        let version = CStr::from_bytes_with_nul(rtc::RTC_VERSION).map(CStr::to_string_lossy).unwrap_or_default();
        format!("libdatachannel {version}")
    }

    fn connect(&self, a: Arc<Sink>, b: Option<Arc<Sink>>) -> Result<RivalPair> {
        let tally = Arc::new(Tally::default());
        let link = Link::open(&tally, Some(MAX_MESSAGE), Some(a), b)?;
        tally.wait(2, Instant::now() + PATIENCE)?;
        let (from, to) = (link.a.channel()?, link.b.channel()?);
        Ok(RivalPair { link, from, to, unseen: AtomicUsize::new(0) })
    }

    fn mesh(&self, size: usize, max_message: Option<usize>, deadline: Instant) -> Result<Vec<Link>> {
        let tally = Arc::new(Tally::default());
        let mut links = Vec::with_capacity(size * (size - 1) / 2);
        for _ in 0..size * (size - 1) / 2 {
            links.push(Link::open(&tally, max_message, None, None)?);
        }
        tally.wait(links.len() * 2, deadline)?;
        Ok(links)
    }

    fn fan_out(&self, viewers: Vec<Arc<Viewer>>) -> Result<media::Fan> {
        media::Fan::open(viewers)
    }
}

impl Mesh for Vec<Link> {
    fn own_threads(&self) -> usize {
        0
    }

    fn close(self) -> Result<()> {
        self.into_iter().try_for_each(Link::close)
    }
}

/// Both ends of one connection.
pub struct Link {
    a: Arc<End>,
    b: Arc<End>,
}

/// One end: what its callbacks need. The library holds a pointer to it, which is good until `delete`.
struct End {
    connection: c_int,
    /// The peer connection at the other end.
    other: AtomicI32,
    /// The data channel, or the track; 0 until there is one.
    channel: AtomicI32,
    takes: Takes,
    wants_key_frame: AtomicBool,
    tally: Arc<Tally>,
    writable: Gate,
    errors: Mutex<Vec<String>>,
}

/// What an end does with what comes.
enum Takes {
    Nothing,
    Messages(Arc<Sink>),
    Video(Arc<Viewer>, Mutex<Joiner>),
}

impl From<Option<Arc<Sink>>> for Takes {
    fn from(sink: Option<Arc<Sink>>) -> Self {
        sink.map_or(Self::Nothing, Self::Messages)
    }
}

impl Link {
    fn open(
        tally: &Arc<Tally>,
        max_message: Option<usize>,
        a: Option<Arc<Sink>>,
        b: Option<Arc<Sink>>,
    ) -> Result<Self> {
        let (a, b) = (End::new(tally, max_message, a.into())?, End::new(tally, max_message, b.into())?);
        a.face(&b);
        // SAFETY: the label is a C string. The offer is made by this call, and the callbacks are set.
        let channel =
            check("rtcCreateDataChannel", unsafe { rtc::rtcCreateDataChannel(a.connection, c"fast".as_ptr()) })?;
        a.take_channel(channel)?;
        Ok(Self { a, b })
    }

    fn close(self) -> Result<()> {
        self.a.delete()?;
        self.b.delete()
    }
}

impl End {
    fn new(tally: &Arc<Tally>, max_message: Option<usize>, takes: Takes) -> Result<Arc<Self>> {
        // SAFETY: the configuration is plain data, for which zero means the default, and is copied by the call.
        let connection = unsafe {
            let mut config: rtc::rtcConfiguration = std::mem::zeroed();
            config.bindAddress = LOOPBACK.as_ptr();
            config.maxMessageSize = max_message.unwrap_or_default() as c_int;
            check("rtcCreatePeerConnection", rtc::rtcCreatePeerConnection(&config))?
        };
        let end = Arc::new(Self {
            connection,
            other: AtomicI32::new(0),
            channel: AtomicI32::new(0),
            takes,
            wants_key_frame: AtomicBool::new(false),
            tally: tally.clone(),
            writable: Gate::default(),
            errors: Mutex::default(),
        });
        let pointer = Arc::as_ptr(&end).cast_mut().cast::<c_void>();
        // SAFETY: `Link` or `Fan` keeps the end alive until it is deleted, after which no callback comes any more.
        unsafe {
            rtc::rtcSetUserPointer(connection, pointer);
            check("callback", rtc::rtcSetLocalDescriptionCallback(connection, Some(on_description)))?;
            check("callback", rtc::rtcSetLocalCandidateCallback(connection, Some(on_candidate)))?;
            check("callback", rtc::rtcSetStateChangeCallback(connection, Some(on_state)))?;
            check("callback", rtc::rtcSetDataChannelCallback(connection, Some(on_channel)))?;
        }
        Ok(end)
    }

    /// Signals go from each of the two to the other.
    fn face(&self, other: &Self) {
        self.other.store(other.connection, Ordering::Release);
        other.other.store(self.connection, Ordering::Release);
    }

    fn take_channel(&self, channel: c_int) -> Result<()> {
        self.channel.store(channel, Ordering::Release);
        // SAFETY: the channel exists, and has the user pointer of its connection.
        unsafe {
            if let Takes::Messages(_) = self.takes {
                check("callback", rtc::rtcSetMessageCallback(channel, Some(on_message)))?;
            }
            check("threshold", rtc::rtcSetBufferedAmountLowThreshold(channel, SEND_BUFFER_LOW as c_int))?;
            check("callback", rtc::rtcSetBufferedAmountLowCallback(channel, Some(on_writable)))?;
            check("callback", rtc::rtcSetOpenCallback(channel, Some(on_open)))?;
        }
        Ok(())
    }

    fn channel(&self) -> Result<c_int> {
        let channel = self.channel.load(Ordering::Acquire);
        ensure!(channel != 0, "an end is open and has neither channel nor track");
        Ok(channel)
    }

    /// Waits for running callbacks; none comes any more.
    fn delete(&self) -> Result<()> {
        if let Ok(channel) = self.channel() {
            // SAFETY: ids are checked by the library.
            check("rtcDeleteDataChannel", unsafe { rtc::rtcDeleteDataChannel(channel) })?;
        }
        self.delete_connection()
    }

    fn delete_connection(&self) -> Result<()> {
        // SAFETY: ids are checked by the library.
        check("rtcDeletePeerConnection", unsafe { rtc::rtcDeletePeerConnection(self.connection) })?;
        match lock(&self.errors).first() {
            Some(error) => bail!("{error}"),
            None => Ok(()),
        }
    }

    fn expect(&self, what: &str, status: c_int) {
        if let Err(error) = check(what, status) {
            lock(&self.errors).push(error.to_string());
            self.tally.trouble(error.to_string());
        }
    }
}

pub struct RivalPair {
    link: Link,
    from: c_int,
    to: c_int,
    /// Bytes sent since the buffered amount was looked at.
    unseen: AtomicUsize,
}

impl Pair for RivalPair {
    fn send(&self, data: &[u8]) -> Result<Sent> {
        let unseen = self.unseen.load(Ordering::Relaxed) + data.len();
        if unseen >= LOOK_AFTER {
            if self.buffered()? + data.len() > SEND_BUFFER {
                return Ok(Sent::Full);
            }
            self.unseen.store(0, Ordering::Relaxed);
        } else {
            self.unseen.store(unseen, Ordering::Relaxed);
        }
        // SAFETY: the slice is valid for the call, which copies it.
        let status = unsafe { rtc::rtcSendMessage(self.from, data.as_ptr().cast(), data.len() as c_int) };
        check("rtcSendMessage", status)?;
        Ok(Sent::Queued)
    }

    fn wait_writable(&self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        // The callback says when the amount falls to the threshold; it may have fallen between the look and the wait.
        while !self.link.a.writable.pass(Duration::from_millis(20)) && self.buffered()? > SEND_BUFFER_LOW {
            ensure!(Instant::now() < deadline, "the buffered amount does not fall");
        }
        Ok(())
    }

    fn buffered(&self) -> Result<usize> {
        // SAFETY: ids are checked by the library.
        Ok(check("rtcGetBufferedAmount", unsafe { rtc::rtcGetBufferedAmount(self.from) })? as usize)
    }

    fn waiting(&self, size: usize) -> Result<usize> {
        // SAFETY: ids are checked by the library.
        Ok(check("rtcGetAvailableAmount", unsafe { rtc::rtcGetAvailableAmount(self.to) })? as usize / size)
    }

    fn take(&self, buffer: &mut [u8]) -> Result<bool> {
        let mut size = buffer.len() as c_int;
        // SAFETY: `size` says how much room there is.
        let status = unsafe { rtc::rtcReceiveMessage(self.to, buffer.as_mut_ptr().cast(), &mut size) };
        if status == rtc::RTC_ERR_NOT_AVAIL {
            return Ok(false);
        }
        check("rtcReceiveMessage", status)?;
        Ok(true)
    }

    fn close(self) -> Result<()> {
        self.link.close()
    }
}

fn check(what: &str, status: c_int) -> Result<c_int> {
    ensure!(status >= 0, "{what} answers {status}");
    Ok(status)
}

/// # Safety
/// Only for the pointer that a callback was given, while it runs.
unsafe fn end<'a>(pointer: *mut c_void) -> &'a End {
    &*pointer.cast::<End>()
}

/// None for text, whose size is negative.
///
/// # Safety
/// Only for what a callback was given, while it runs.
unsafe fn bytes<'a>(message: *const c_char, size: c_int) -> Option<&'a [u8]> {
    match usize::try_from(size).ok()? {
        0 => Some(&[]),
        length => Some(std::slice::from_raw_parts(message.cast(), length)),
    }
}

unsafe extern "C" fn on_description(_: c_int, sdp: *const c_char, kind: *const c_char, pointer: *mut c_void) {
    let end = end(pointer);
    let status = rtc::rtcSetRemoteDescription(end.other.load(Ordering::Acquire), sdp, kind);
    end.expect("rtcSetRemoteDescription", status);
}

unsafe extern "C" fn on_candidate(_: c_int, candidate: *const c_char, mid: *const c_char, pointer: *mut c_void) {
    let end = end(pointer);
    let status = rtc::rtcAddRemoteCandidate(end.other.load(Ordering::Acquire), candidate, mid);
    end.expect("rtcAddRemoteCandidate", status);
}

unsafe extern "C" fn on_state(_: c_int, state: rtc::rtcState, pointer: *mut c_void) {
    if state == rtc::rtcState_RTC_FAILED {
        end(pointer).tally.trouble("a connection failed".into());
    }
}

unsafe extern "C" fn on_channel(_: c_int, channel: c_int, pointer: *mut c_void) {
    let end = end(pointer);
    if let Err(error) = end.take_channel(channel) {
        end.tally.trouble(error.to_string());
    }
}

unsafe extern "C" fn on_open(_: c_int, pointer: *mut c_void) {
    end(pointer).tally.opened();
}

unsafe extern "C" fn on_writable(_: c_int, pointer: *mut c_void) {
    end(pointer).writable.open();
}

unsafe extern "C" fn on_message(channel: c_int, message: *const c_char, size: c_int, pointer: *mut c_void) {
    let end = end(pointer);
    let (Takes::Messages(sink), Some(data)) = (&end.takes, bytes(message, size)) else { return };
    if sink.message(data) {
        end.expect("rtcSendMessage", rtc::rtcSendMessage(channel, message, size));
    }
}
