//! Video over the rival's tracks.
//!
//! Version 0.23 packs H.264, H.265 and AV1 but not VP8, and its C API puts nothing together again, so both are done
//! here ([`Cutter`], [`Joiner`]). Beside that the tracks are set up as the library's documentation has it: a sender
//! answers NACKs and hears of key frames that are wanted, a receiver has a session for RTCP. Sender reports need one
//! of its packetizers.

use super::{bytes, check, end, on_open, End, Takes};
use crate::engine::{lock, FanOut, Tally, PATIENCE};
use crate::frames::{Cutter, Viewer, PAYLOAD_TYPE, SOURCE};
use anyhow::Result;
use datachannel_sys as rtc;
use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// A peer connection with one track for each receiver, as the library has no other way to send to many.
pub struct Fan {
    /// Sender and receiver.
    ends: Vec<(Arc<End>, Arc<End>)>,
    cutter: Cutter,
}

impl Fan {
    pub fn open(viewers: Vec<Arc<Viewer>>) -> Result<Self> {
        let tally = Arc::new(Tally::default());
        let mut ends = Vec::with_capacity(viewers.len());
        for viewer in viewers {
            let from = End::new(&tally, None, Takes::Nothing)?;
            let to = End::new(&tally, None, Takes::Video(viewer, Mutex::default()))?;
            from.face(&to);
            // SAFETY: the end lives as long as the connection.
            check("callback", unsafe { rtc::rtcSetTrackCallback(to.connection, Some(on_track)) })?;
            from.offer_track()?;
            ends.push((from, to));
        }
        tally.wait(ends.len() * 2, Instant::now() + PATIENCE)?;
        Ok(Self { ends, cutter: Cutter::default() })
    }
}

impl FanOut for Fan {
    /// Source and sequence numbers are the same for all, so that the packets are too.
    fn send(&mut self, frame: &[u8], rtp_time: u32, _: bool) -> Result<()> {
        let packets = self.cutter.cut(frame, rtp_time);
        for (from, _) in &self.ends {
            let track = from.channel()?;
            for packet in &packets {
                // SAFETY: the slice is valid for the call, which copies it.
                let status = unsafe { rtc::rtcSendMessage(track, packet.as_ptr().cast(), packet.len() as c_int) };
                check("rtcSendMessage", status)?;
            }
        }
        Ok(())
    }

    fn wants_key_frame(&self) -> bool {
        // Each is looked at, and put back.
        self.ends.iter().fold(false, |wanted, (from, _)| from.wants_key_frame.swap(false, Ordering::AcqRel) || wanted)
    }

    fn own_threads(&self) -> usize {
        0
    }

    fn close(self) -> Result<()> {
        for end in self.ends.iter().flat_map(|(from, to)| [from, to]) {
            // SAFETY: ids are checked by the library.
            check("rtcDeleteTrack", unsafe { rtc::rtcDeleteTrack(end.channel()?) })?;
            end.delete_connection()?;
        }
        Ok(())
    }
}

impl End {
    fn offer_track(&self) -> Result<()> {
        // SAFETY: plain data, for which zero is good, and C strings, which are copied by the call.
        let track = unsafe {
            let mut init: rtc::rtcTrackInit = std::mem::zeroed();
            init.direction = rtc::rtcDirection_RTC_DIRECTION_SENDONLY;
            init.codec = rtc::rtcCodec_RTC_CODEC_VP8;
            init.payloadType = c_int::from(PAYLOAD_TYPE);
            init.ssrc = SOURCE;
            init.mid = c"video".as_ptr();
            init.name = c"bench".as_ptr();
            init.msid = c"camera".as_ptr();
            init.trackId = c"picture".as_ptr();
            check("rtcAddTrackEx", rtc::rtcAddTrackEx(self.connection, &init))?
        };
        self.channel.store(track, Ordering::Release);
        // SAFETY: the track exists, and has the user pointer of its connection.
        unsafe {
            let stored = rtc::RTC_DEFAULT_MAX_STORED_PACKET_COUNT;
            check("rtcChainRtcpNackResponder", rtc::rtcChainRtcpNackResponder(track, stored))?;
            check("rtcChainPliHandler", rtc::rtcChainPliHandler(track, Some(on_key_frame_wanted)))?;
            check("callback", rtc::rtcSetOpenCallback(track, Some(on_open)))?;
            check("rtcSetLocalDescription", rtc::rtcSetLocalDescription(self.connection, c"offer".as_ptr()))?;
        }
        Ok(())
    }

    fn take_track(&self, track: c_int) -> Result<()> {
        self.channel.store(track, Ordering::Release);
        // SAFETY: as above.
        unsafe {
            check("rtcChainRtcpReceivingSession", rtc::rtcChainRtcpReceivingSession(track))?;
            check("callback", rtc::rtcSetMessageCallback(track, Some(on_packet)))?;
            check("callback", rtc::rtcSetOpenCallback(track, Some(on_open)))?;
        }
        Ok(())
    }
}

unsafe extern "C" fn on_track(_: c_int, track: c_int, pointer: *mut c_void) {
    let end = end(pointer);
    if let Err(error) = end.take_track(track) {
        end.tally.trouble(error.to_string());
    }
}

unsafe extern "C" fn on_key_frame_wanted(_: c_int, pointer: *mut c_void) {
    end(pointer).wants_key_frame.store(true, Ordering::Release);
}

unsafe extern "C" fn on_packet(_: c_int, packet: *const c_char, size: c_int, pointer: *mut c_void) {
    let (Takes::Video(viewer, joiner), Some(packet)) = (&end(pointer).takes, bytes(packet, size)) else { return };
    if let Some(frame) = lock(joiner).join(packet) {
        viewer.frame(frame);
    }
}
