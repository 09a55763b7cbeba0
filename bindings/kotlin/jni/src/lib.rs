//! The native methods of `rtcswarm.Native`: the C ABI of include/rtcswarm.h with the JVM's types, and no opinion of its own.
//!
//! Pointers travel as `long`. Kotlin sees to it that none is passed after it was freed (Handle.kt, Reaper.kt); that
//! is what the SAFETY comments below mean by "Kotlin's promise". Ids are the bits of a `u64` in a `long`. Text is UTF-8
//! in a `byte[]`: the JVM's own strings are another encoding.
//!
//! Calls answer the status of the C ABI. Exceptions come only from the JVM itself (no memory), and for arguments that
//! the Kotlin side never makes.

#![allow(non_snake_case)]

mod abi;

#[cfg(feature = "bundled")]
use rtcswarm as _;

use std::ffi::{c_char, CStr, CString};
use std::ptr;

use jni::errors::{Error, JniError, Result, ThrowRuntimeExAndDefault};
use jni::objects::{JByteArray, JByteBuffer, JClass, JIntArray, JLongArray, JObjectArray};
use jni::sys::{jboolean, jint, jlong};
use jni::{Env, EnvUnowned};

/// Runs with the JVM's environment. What fails there is thrown there.
fn with<'local, T: Default>(mut env: EnvUnowned<'local>, body: impl FnOnce(&mut Env<'local>) -> Result<T>) -> T {
    env.with_env(body).resolve::<ThrowRuntimeExAndDefault>()
}

fn unusable() -> Error {
    Error::JniCall(JniError::InvalidArguments)
}

fn pointer<T>(value: jlong) -> *mut T {
    value as usize as *mut T
}

/// For the C ABI's strings; null stays NULL.
fn text(env: &Env, array: &JByteArray) -> Result<Option<CString>> {
    if array.is_null() {
        return Ok(None);
    }
    CString::new(env.convert_byte_array(array)?).map(Some).map_err(|_| unusable())
}

fn c_ptr(text: &Option<CString>) -> *const c_char {
    text.as_ref().map_or(ptr::null(), |text| text.as_ptr())
}

fn java_text<'local>(env: &mut Env<'local>, words: *const c_char) -> Result<JByteArray<'local>> {
    if words.is_null() {
        return Ok(JByteArray::null());
    }
    // SAFETY: what the C ABI gives is NUL-terminated, and good until the next call of this thread at least.
    let words = unsafe { CStr::from_ptr(words) };
    env.byte_array_from_slice(words.to_bytes())
}

/// What is sent: copied from an array, or where a direct buffer has it.
enum Payload {
    Copied(Vec<i8>),
    Direct(*const u8, usize),
}

impl Payload {
    /// From `array`, or where that is null from `buffer`, which must be direct.
    fn new(env: &Env, array: &JByteArray, buffer: &JByteBuffer, offset: jint, length: jint) -> Result<Self> {
        let start = usize::try_from(offset).map_err(|_| unusable())?;
        let size = usize::try_from(length).map_err(|_| unusable())?;
        if !array.is_null() {
            let mut bytes = vec![0; size];
            array.get_region(env, offset, &mut bytes)?;
            return Ok(Self::Copied(bytes));
        }
        let address = env.get_direct_buffer_address(buffer)?;
        // Another thread may have changed the buffer's position and limit after Kotlin had read them.
        if start.saturating_add(size) > env.get_direct_buffer_capacity(buffer)? {
            return Err(unusable());
        }
        // SAFETY: `start` is within the buffer.
        Ok(Self::Direct(unsafe { address.add(start) }, size))
    }

    fn data(&self) -> *const u8 {
        match self {
            Self::Copied(bytes) => bytes.as_ptr().cast(),
            Self::Direct(address, _) => *address,
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Copied(bytes) => bytes.len(),
            Self::Direct(_, length) => *length,
        }
    }
}

fn set_counts(env: &Env, out: &JLongArray, reached: usize, skipped: usize) -> Result<()> {
    out.set_region(env, 0, &[reached as jlong, skipped as jlong])
}

// ---------------------------------------------------------------------------------------------------------- library

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_version(_: EnvUnowned, _: JClass) -> jint {
    // SAFETY: no precondition.
    unsafe { abi::rtcswarm_version() as jint }
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_statusName<'l>(
    env: EnvUnowned<'l>,
    _: JClass,
    status: jint,
) -> JByteArray<'l> {
    // SAFETY: any number has a name.
    with(env, |env| java_text(env, unsafe { abi::rtcswarm_status_name(status) }))
}

/// Of the last call of this thread that failed.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_lastErrorMessage<'l>(env: EnvUnowned<'l>, _: JClass) -> JByteArray<'l> {
    // SAFETY: no precondition.
    with(env, |env| java_text(env, unsafe { abi::rtcswarm_last_error_message() }))
}

// ----------------------------------------------------------------------------------------------------------- config

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_configNew(_: EnvUnowned, _: JClass) -> jlong {
    // SAFETY: no precondition.
    unsafe { abi::rtcswarm_config_new() as jlong }
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_configFree(_: EnvUnowned, _: JClass, config: jlong) {
    // SAFETY: Kotlin's promise: from configNew, and not freed yet.
    unsafe { abi::rtcswarm_config_free(pointer(config)) }
}

/// Sets what is made of words: `field` as in Native.kt.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_configText<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    config: jlong,
    field: jint,
    first: JByteArray<'l>,
    second: JByteArray<'l>,
    third: JByteArray<'l>,
) -> jint {
    with(env, |env| {
        let config = pointer(config);
        let (first, second, third) = (text(env, &first)?, text(env, &second)?, text(env, &third)?);
        let (a, b, c) = (c_ptr(&first), c_ptr(&second), c_ptr(&third));
        // SAFETY: Kotlin's promise: the config is not freed, and this thread's alone. The strings live until the end.
        unsafe {
            Ok(match field {
                0 => abi::rtcswarm_config_set_room(config, a),
                1 => abi::rtcswarm_config_set_user_id(config, a),
                2 => abi::rtcswarm_config_set_signaling(config, a, b),
                3 => abi::rtcswarm_config_set_signaling_ca_file(config, a),
                4 => abi::rtcswarm_config_add_ice_server(config, a, b, c),
                5 => abi::rtcswarm_config_add_bind_address(config, a),
                6 => abi::rtcswarm_config_add_interface(config, a),
                _ => return Err(unusable()),
            })
        }
    })
}

/// Sets what is made of numbers: `field` as in Native.kt.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_configNumber<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    config: jlong,
    field: jint,
    first: jlong,
    second: jlong,
) -> jint {
    with(env, |_| {
        let config = pointer(config);
        let a = u32::try_from(first).map_err(|_| unusable())?;
        let b = u32::try_from(second).map_err(|_| unusable())?;
        // SAFETY: Kotlin's promise: the config is not freed, and this thread's alone.
        unsafe {
            Ok(match field {
                0 => abi::rtcswarm_config_set_peer_buffer(config, a),
                1 => abi::rtcswarm_config_set_max_peers(config, a),
                2 => abi::rtcswarm_config_set_ice_transport_policy(config, a as i32),
                3 => abi::rtcswarm_config_set_ip_families(config, a as i32, b as i32),
                4 => abi::rtcswarm_config_set_loopback(config, a as i32),
                5 => abi::rtcswarm_config_set_port(config, u16::try_from(a).map_err(|_| unusable())?),
                6 => abi::rtcswarm_config_set_max_message_size(config, a as usize),
                7 => abi::rtcswarm_config_set_send_buffer(config, a as usize, b as usize),
                8 => abi::rtcswarm_config_set_receive_queue(config, a as usize),
                9 => abi::rtcswarm_config_set_media_queue(config, a as usize),
                10 => abi::rtcswarm_config_set_receive_rtp(config, a as i32),
                11 => abi::rtcswarm_config_set_timeout(config, a as i32, b),
                _ => return Err(unusable()),
            })
        }
    })
}

// ------------------------------------------------------------------------------------------------------------- life

/// `out` gets the pointer.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_create<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    config: jlong,
    out: JLongArray<'l>,
) -> jint {
    with(env, |env| {
        let mut swarm = ptr::null_mut();
        // SAFETY: Kotlin's promise: the config is not freed.
        let status = unsafe { abi::rtcswarm_new(pointer(config), &mut swarm) };
        if status == abi::OK {
            out.set_region(env, 0, &[swarm as jlong])?;
        }
        Ok(status)
    })
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_free(_: EnvUnowned, _: JClass, swarm: jlong) {
    // SAFETY: Kotlin's promise: not freed yet, and no other call runs or will.
    unsafe { abi::rtcswarm_free(pointer(swarm)) }
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_start(_: EnvUnowned, _: JClass, swarm: jlong) -> jint {
    // SAFETY: Kotlin's promise: the swarm is not freed. So in all that follow.
    unsafe { abi::rtcswarm_start(pointer(swarm)) }
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_close(_: EnvUnowned, _: JClass, swarm: jlong) -> jint {
    // SAFETY: as in start.
    unsafe { abi::rtcswarm_close(pointer(swarm)) }
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_wakeup(_: EnvUnowned, _: JClass, swarm: jlong) -> jint {
    // SAFETY: as in start.
    unsafe { abi::rtcswarm_wakeup(pointer(swarm)) }
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_setIceServers<'l>(
    _: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    config: jlong,
) -> jint {
    // SAFETY: as in start; the config lives until the call is over.
    unsafe { abi::rtcswarm_set_ice_servers(pointer(swarm), pointer(config)) }
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_setToken<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    token: JByteArray<'l>,
) -> jint {
    with(env, |env| {
        let token = text(env, &token)?;
        // SAFETY: as in start; the token lives until the end.
        Ok(unsafe { abi::rtcswarm_set_token(pointer(swarm), c_ptr(&token)) })
    })
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_dispatch<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    json: JByteArray<'l>,
) -> jint {
    with(env, |env| {
        let json = env.convert_byte_array(&json)?;
        // SAFETY: as in start; the bytes live until the end.
        Ok(unsafe { abi::rtcswarm_dispatch(pointer(swarm), json.as_ptr().cast(), json.len()) })
    })
}

// ----------------------------------------------------------------------------------------------------------- events

/// `out` gets the pointer of the event and its numbers, in the order of Native.kt.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_nextEvent<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    timeout_ms: jint,
    out: JLongArray<'l>,
) -> jint {
    let mut event = ptr::null_mut();
    // SAFETY: as in start.
    let status = unsafe { abi::rtcswarm_next_event(pointer(swarm), timeout_ms, &mut event) };
    if status != abi::OK {
        return status;
    }
    with(env, |env| {
        // SAFETY: the library gave it just now.
        let e = unsafe { &*event };
        let numbers = [
            event as jlong,
            e.kind.into(),
            e.status.into(),
            e.peer as jlong,
            e.track as jlong,
            e.channel.into(),
            e.flags.into(),
            e.reason.into(),
            e.state.into(),
            e.time_us as jlong,
            e.media.into(),
            e.codec.into(),
            e.rtp_time.into(),
            // No event has both.
            (e.length + e.unacknowledged) as jlong,
        ];
        let filled = out.set_region(env, 0, &numbers);
        if filled.is_err() {
            // SAFETY: nobody has heard of it.
            unsafe { abi::rtcswarm_event_free(event) };
        }
        filled.map(|()| status)
    })
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_eventFree(_: EnvUnowned, _: JClass, event: jlong) {
    // SAFETY: Kotlin's promise: from nextEvent, and not freed yet.
    unsafe { abi::rtcswarm_event_free(pointer(event)) }
}

/// One of an event's strings, or null: `which` as in Native.kt.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_eventText<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    event: jlong,
    which: jint,
) -> JByteArray<'l> {
    with(env, |env| {
        // SAFETY: Kotlin's promise: the event is not freed.
        let event: &abi::Event = unsafe { &*pointer(event) };
        let words = match which {
            0 => event.user_id,
            1 => event.connection_id,
            2 => event.name,
            3 => event.message,
            _ => return Err(unusable()),
        };
        java_text(env, words)
    })
}

/// A copy of an event's data.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_eventBytes<'l>(
    env: EnvUnowned<'l>,
    _: JClass,
    event: jlong,
) -> JByteArray<'l> {
    with(env, |env| {
        // SAFETY: Kotlin's promise: the event is not freed.
        let event: &abi::Event = unsafe { &*pointer(event) };
        if event.length == 0 {
            return env.byte_array_from_slice(&[]);
        }
        // SAFETY: `data` is not NULL where `length` is not 0, and belongs to the event.
        env.byte_array_from_slice(unsafe { std::slice::from_raw_parts(event.data, event.length) })
    })
}

/// A direct buffer over an event's data, which must not be empty; the event must live as long as the buffer.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_eventBuffer<'l>(
    env: EnvUnowned<'l>,
    _: JClass,
    event: jlong,
) -> JByteBuffer<'l> {
    with(env, |env| {
        // SAFETY: Kotlin's promise: the event is not freed.
        let event: &abi::Event = unsafe { &*pointer(event) };
        // SAFETY: Kotlin's promise: the event is freed when the collector has found the buffer and all views of it
        // to be garbage, and views of it that it hands out are read-only.
        unsafe { env.new_direct_byte_buffer(event.data.cast_mut(), event.length) }
    })
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_eventTracks<'l>(
    env: EnvUnowned<'l>,
    _: JClass,
    event: jlong,
) -> JLongArray<'l> {
    with(env, |env| {
        // SAFETY: Kotlin's promise: the event is not freed.
        let event: &abi::Event = unsafe { &*pointer(event) };
        let array = JLongArray::new(env, event.track_count)?;
        if event.track_count > 0 {
            // SAFETY: so many tracks belong to the event; a jlong has the size of a u64.
            let tracks = unsafe { std::slice::from_raw_parts(event.tracks.cast::<jlong>(), event.track_count) };
            array.set_region(env, 0, tracks)?;
        }
        Ok(array)
    })
}

// ------------------------------------------------------------------------------------------------------------- data

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_send<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    peer: jlong,
    channel: jint,
    is_text: jboolean,
    array: JByteArray<'l>,
    buffer: JByteBuffer<'l>,
    offset: jint,
    length: jint,
) -> jint {
    with(env, |env| {
        let payload = Payload::new(env, &array, &buffer, offset, length)?;
        let (swarm, peer, channel) = (pointer(swarm), peer as u64, channel as u32);
        // SAFETY: as in start; array and buffer are arguments, so that what the payload points to lives until the end.
        Ok(unsafe {
            if is_text {
                abi::rtcswarm_channel_send_text(swarm, peer, channel, payload.data().cast(), payload.len())
            } else {
                abi::rtcswarm_channel_send(swarm, peer, channel, payload.data(), payload.len())
            }
        })
    })
}

/// `counts` gets how many were reached and skipped; so in sendFrame and sendRtp.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_broadcast<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    is_text: jboolean,
    array: JByteArray<'l>,
    buffer: JByteBuffer<'l>,
    offset: jint,
    length: jint,
    counts: JLongArray<'l>,
) -> jint {
    with(env, |env| {
        let payload = Payload::new(env, &array, &buffer, offset, length)?;
        let (mut reached, mut skipped) = (0, 0);
        // SAFETY: as in send.
        let status = unsafe {
            let swarm = pointer(swarm);
            if is_text {
                let text = payload.data().cast();
                abi::rtcswarm_broadcast_text(swarm, text, payload.len(), &mut reached, &mut skipped)
            } else {
                abi::rtcswarm_broadcast(swarm, payload.data(), payload.len(), &mut reached, &mut skipped)
            }
        };
        set_counts(env, &counts, reached, skipped)?;
        Ok(status)
    })
}

/// `out` gets the number.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_channelOpen<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    peer: jlong,
    label: JByteArray<'l>,
    protocol: JByteArray<'l>,
    ordered: jboolean,
    reliability: jint,
    limit: jint,
    out: JLongArray<'l>,
) -> jint {
    with(env, |env| {
        let (label, protocol) = (text(env, &label)?, text(env, &protocol)?);
        let limit = u32::try_from(limit).map_err(|_| unusable())?;
        let mut channel = 0;
        // SAFETY: as in start; the strings live until the end.
        let status = unsafe {
            abi::rtcswarm_channel_open(
                pointer(swarm),
                peer as u64,
                c_ptr(&label),
                c_ptr(&protocol),
                ordered.into(),
                reliability,
                limit,
                &mut channel,
            )
        };
        out.set_region(env, 0, &[channel.into()])?;
        Ok(status)
    })
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_channelClose(
    _: EnvUnowned,
    _: JClass,
    swarm: jlong,
    peer: jlong,
    channel: jint,
) -> jint {
    // SAFETY: as in start.
    unsafe { abi::rtcswarm_channel_close(pointer(swarm), peer as u64, channel as u32) }
}

/// `out` gets the bytes.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_channelBuffered<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    peer: jlong,
    channel: jint,
    out: JLongArray<'l>,
) -> jint {
    with(env, |env| {
        let mut bytes = 0;
        // SAFETY: as in start.
        let status = unsafe { abi::rtcswarm_channel_buffered(pointer(swarm), peer as u64, channel as u32, &mut bytes) };
        out.set_region(env, 0, &[bytes as jlong])?;
        Ok(status)
    })
}

// ------------------------------------------------------------------------------------------------------------ peers

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_peerClose(_: EnvUnowned, _: JClass, swarm: jlong, peer: jlong) -> jint {
    // SAFETY: as in start.
    unsafe { abi::rtcswarm_peer_close(pointer(swarm), peer as u64) }
}

/// `out` gets how many there are, and behind that as many of their ids as have room.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_peers<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    out: JLongArray<'l>,
) -> jint {
    with(env, |env| {
        let mut ids = vec![0; out.len(env)?.saturating_sub(1)];
        let mut count = 0;
        // SAFETY: as in start; `ids` has room for its length.
        let status = unsafe { abi::rtcswarm_peers(pointer(swarm), ids.as_mut_ptr(), ids.len(), &mut count) };
        let given = ids.iter().take(count).map(|id| *id as jlong);
        let numbers: Vec<jlong> = std::iter::once(count as jlong).chain(given).collect();
        out.set_region(env, 0, &numbers)?;
        Ok(status)
    })
}

/// An open peer's user id; null where there is no such peer.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_peerUserId<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    peer: jlong,
) -> JByteArray<'l> {
    with(env, |env| {
        let mut name = vec![0_u8; 257];
        loop {
            let mut length = 0;
            let (swarm, buffer) = (pointer(swarm), name.as_mut_ptr().cast());
            // SAFETY: as in start; the buffer has room for its length.
            let status = unsafe { abi::rtcswarm_peer_user_id(swarm, peer as u64, buffer, name.len(), &mut length) };
            if status != abi::OK {
                return Ok(JByteArray::null());
            }
            if length < name.len() {
                name.truncate(length);
                return env.byte_array_from_slice(&name);
            }
            name.resize(length + 1, 0);
        }
    })
}

/// `numbers` gets the figures in the order of Native.kt; `words` the addresses and candidate types, each with room as
/// in the C ABI.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_peerStats<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    peer: jlong,
    numbers: JLongArray<'l>,
    words: JByteArray<'l>,
) -> jint {
    with(env, |env| {
        let mut stats = abi::PeerStats {
            struct_size: size_of::<abi::PeerStats>(),
            round_trip_us: -1,
            bytes_sent: 0,
            bytes_received: 0,
            messages_sent: 0,
            messages_received: 0,
            buffered: 0,
            relayed: 0,
            native: 0,
            local_address: [0; 64],
            remote_address: [0; 64],
            local_candidate_type: [0; 8],
            remote_candidate_type: [0; 8],
            media_dropped: 0,
        };
        // SAFETY: as in start; the struct says its size.
        let status = unsafe { abi::rtcswarm_get_peer_stats(pointer(swarm), peer as u64, &mut stats) };
        let figures = [
            stats.round_trip_us,
            stats.bytes_sent as jlong,
            stats.bytes_received as jlong,
            stats.messages_sent as jlong,
            stats.messages_received as jlong,
            stats.buffered as jlong,
            stats.relayed.into(),
            stats.native.into(),
            stats.media_dropped as jlong,
        ];
        numbers.set_region(env, 0, &figures)?;
        let fields: [&[u8]; 4] =
            [&stats.local_address, &stats.remote_address, &stats.local_candidate_type, &stats.remote_candidate_type];
        let bytes: Vec<i8> = fields.concat().into_iter().map(|byte| byte as i8).collect();
        words.set_region(env, 0, &bytes)?;
        Ok(status)
    })
}

/// `numbers` gets the eight figures in the order of the C ABI.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_stats<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    numbers: JLongArray<'l>,
) -> jint {
    with(env, |env| {
        let mut stats = abi::Stats { struct_size: size_of::<abi::Stats>(), ..Default::default() };
        // SAFETY: as in start; the struct says its size.
        let status = unsafe { abi::rtcswarm_get_stats(pointer(swarm), &mut stats) };
        numbers.set_region(env, 0, &stats.figures.map(|figure| figure as jlong))?;
        Ok(status)
    })
}

// ------------------------------------------------------------------------------------------------------------ media

/// Tracks of one stream; `ids` gets their numbers.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_addTracks<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    stream: JByteArray<'l>,
    names: JObjectArray<'l, JByteArray<'l>>,
    media: JIntArray<'l>,
    codecs: JIntArray<'l>,
    ids: JLongArray<'l>,
) -> jint {
    with(env, |env| {
        let count = names.len(env)?;
        let stream = text(env, &stream)?;
        let mut words = Vec::with_capacity(count);
        for index in 0..count {
            let name = names.get_element(env, index)?;
            words.push(text(env, &name)?);
            env.delete_local_ref(name);
        }
        let (mut medias, mut numbers) = (vec![0; count], vec![0; count]);
        media.get_region(env, 0, &mut medias)?;
        codecs.get_region(env, 0, &mut numbers)?;
        let specs: Vec<abi::TrackSpec> = words
            .iter()
            .zip(medias.iter().zip(&numbers))
            .map(|(name, (media, codec))| abi::TrackSpec {
                stream: c_ptr(&stream),
                name: c_ptr(name),
                media: *media,
                codec: *codec,
            })
            .collect();
        let mut given = vec![0; count];
        // SAFETY: as in start; specs and ids have room for `count`, and the strings live until the end.
        let status = unsafe { abi::rtcswarm_add_tracks(pointer(swarm), specs.as_ptr(), count, given.as_mut_ptr()) };
        let given: Vec<jlong> = given.into_iter().map(|id| id as jlong).collect();
        ids.set_region(env, 0, &given)?;
        Ok(status)
    })
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_mute(
    _: EnvUnowned,
    _: JClass,
    swarm: jlong,
    track: jlong,
    muted: jboolean,
) -> jint {
    // SAFETY: as in start.
    unsafe { abi::rtcswarm_mute(pointer(swarm), track as u64, muted.into()) }
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_replaceTrack(
    _: EnvUnowned,
    _: JClass,
    swarm: jlong,
    track: jlong,
    codec: jint,
) -> jint {
    // SAFETY: as in start.
    unsafe { abi::rtcswarm_replace_track(pointer(swarm), track as u64, codec) }
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_sendFrame<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    track: jlong,
    array: JByteArray<'l>,
    buffer: JByteBuffer<'l>,
    offset: jint,
    length: jint,
    rtp_time: jint,
    key: jboolean,
    counts: JLongArray<'l>,
) -> jint {
    with(env, |env| {
        let payload = Payload::new(env, &array, &buffer, offset, length)?;
        let flags = if key { abi::KEY_FRAME } else { 0 };
        let (mut reached, mut skipped) = (0, 0);
        // SAFETY: as in send.
        let status = unsafe {
            abi::rtcswarm_send_frame(
                pointer(swarm),
                track as u64,
                payload.data(),
                payload.len(),
                rtp_time as u32,
                flags,
                &mut reached,
                &mut skipped,
            )
        };
        set_counts(env, &counts, reached, skipped)?;
        Ok(status)
    })
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_sendRtp<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    track: jlong,
    array: JByteArray<'l>,
    buffer: JByteBuffer<'l>,
    offset: jint,
    length: jint,
    counts: JLongArray<'l>,
) -> jint {
    with(env, |env| {
        let payload = Payload::new(env, &array, &buffer, offset, length)?;
        let (mut reached, mut skipped) = (0, 0);
        let (swarm, track) = (pointer(swarm), track as u64);
        // SAFETY: as in send.
        let status =
            unsafe { abi::rtcswarm_send_rtp(swarm, track, payload.data(), payload.len(), &mut reached, &mut skipped) };
        set_counts(env, &counts, reached, skipped)?;
        Ok(status)
    })
}

#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_requestKeyFrame(
    _: EnvUnowned,
    _: JClass,
    swarm: jlong,
    peer: jlong,
    track: jlong,
) -> jint {
    // SAFETY: as in start.
    unsafe { abi::rtcswarm_request_key_frame(pointer(swarm), peer as u64, track as u64) }
}

/// `numbers` gets the figures in the order of the C ABI.
#[no_mangle]
pub extern "system" fn Java_rtcswarm_Native_trackStats<'l>(
    env: EnvUnowned<'l>,
    _: JClass<'l>,
    swarm: jlong,
    peer: jlong,
    track: jlong,
    numbers: JLongArray<'l>,
) -> jint {
    with(env, |env| {
        let mut stats = abi::TrackStats { struct_size: size_of::<abi::TrackStats>(), ..Default::default() };
        // SAFETY: as in start; the struct says its size.
        let status = unsafe { abi::rtcswarm_get_track_stats(pointer(swarm), peer as u64, track as u64, &mut stats) };
        let mut figures: Vec<jlong> = stats.figures.iter().map(|figure| *figure as jlong).collect();
        figures.extend([stats.round_trip_us, stats.bitrate]);
        numbers.set_region(env, 0, &figures)?;
        Ok(status)
    })
}
