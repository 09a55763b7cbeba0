// rtcswarm for C++17 and later. SPDX-License-Identifier: MIT OR Apache-2.0
//
// Everything of rtcswarm.h as types that free themselves. The contract there holds here too; what differs:
//
//   - errors are thrown as rtcswarmpp::Error; what is daily business (a full send buffer, no event in time) is not one;
//   - an Event points into the library as long as it lives, so that no message is copied on its way to you;
//   - exceptions never cross the C interface: see SwarmRef::on_event.
//
//   rtcswarmpp::Swarm swarm(rtcswarmpp::Config("lobby", "alice").signaling("wss://signal.example/", token));
//   swarm.start();
//   swarm.run(rtcswarmpp::overloaded{
//       [&](const rtcswarmpp::PeerOpen &open) { (void)swarm.send_text(open.peer, "hello"); },
//       [&](const rtcswarmpp::Text &text) { std::cout << text.user_id << ": " << text.text << '\n'; },
//       [](const auto &) {},
//   });
//
// The namespace is not called rtcswarm because C's `struct rtcswarm` is, and C++ lets a name be one or the other.

#ifndef RTCSWARM_HPP
#define RTCSWARM_HPP

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "rtcswarm.h"

namespace rtcswarmpp {

using PeerId = std::uint64_t;
using ChannelId = std::uint32_t;
using TrackId = std::uint64_t;
using SessionId = std::uint64_t;

/// The channel that every peer has.
inline constexpr ChannelId fast = RTCSWARM_CHANNEL_FAST;

/// A call that failed: nothing was queued, sent or lost. `status` is RTCSWARM_ERR_...
class Error : public std::runtime_error {
public:
    Error(std::int32_t status, const std::string &message) : std::runtime_error(message), status_(status) {}

    std::int32_t status() const noexcept { return status_; }

    /// "RTCSWARM_ERR_NO_PEER"
    const char *name() const noexcept { return rtcswarm_status_name(status_); }

private:
    std::int32_t status_;
};

/// Bytes of somebody else's, as std::span in C++20 (to which it converts).
class Bytes {
public:
    constexpr Bytes() noexcept = default;
    constexpr Bytes(const std::uint8_t *data, std::size_t size) noexcept : data_(data), size_(size) {}
    Bytes(const void *data, std::size_t size) noexcept : data_(static_cast<const std::uint8_t *>(data)), size_(size) {}

    /// Of any container of bytes: std::vector, std::array, std::string, std::string_view, std::span.
    template <typename Container,
              typename Element = std::remove_pointer_t<decltype(std::data(std::declval<const Container &>()))>,
              typename = std::enable_if_t<sizeof(Element) == 1 && std::is_trivially_copyable_v<Element> &&
                                          !std::is_array_v<Container>>>
    Bytes(const Container &container) noexcept
        : Bytes(static_cast<const void *>(std::data(container)), std::size(container)) {}

    constexpr const std::uint8_t *data() const noexcept { return data_; }
    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr const std::uint8_t *begin() const noexcept { return data_; }
    constexpr const std::uint8_t *end() const noexcept { return size_ == 0 ? data_ : data_ + size_; }
    constexpr const std::uint8_t &operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    const std::uint8_t *data_ = nullptr;
    std::size_t size_ = 0;
};

/// Tracks of somebody else's.
class TrackIds {
public:
    constexpr TrackIds() noexcept = default;
    constexpr TrackIds(const TrackId *data, std::size_t size) noexcept : data_(data), size_(size) {}

    constexpr std::size_t size() const noexcept { return size_; }
    constexpr bool empty() const noexcept { return size_ == 0; }
    constexpr const TrackId *begin() const noexcept { return data_; }
    constexpr const TrackId *end() const noexcept { return size_ == 0 ? data_ : data_ + size_; }
    constexpr TrackId operator[](std::size_t index) const noexcept { return data_[index]; }

private:
    const TrackId *data_ = nullptr;
    std::size_t size_ = 0;
};

namespace detail {

[[noreturn]] inline void fail(std::int32_t status) {
    throw Error(status, rtcswarm_last_error_message());
}

inline void check(std::int32_t status) {
    if (status != RTCSWARM_OK) {
        fail(status);
    }
}

/// For C's NUL-terminated strings: what stands behind a NUL would be lost unseen.
inline const char *c_string(const std::string &text) {
    if (text.find('\0') != std::string::npos) {
        throw Error(RTCSWARM_ERR_INVALID, "the text contains a NUL character");
    }
    return text.c_str();
}

inline std::string_view view(const char *text) noexcept {
    return text == nullptr ? std::string_view() : std::string_view(text);
}

/// Rounded up, so that a short wait does not become a busy one.
template <typename Rep, typename Period>
std::int32_t milliseconds(std::chrono::duration<Rep, Period> time) {
    using Wide = std::chrono::duration<double, std::milli>;
    constexpr std::int32_t most = (std::numeric_limits<std::int32_t>::max)();
    const double wide = Wide(time).count();
    if (!(wide > 0)) {
        return 0;
    }
    if (wide >= static_cast<double>(most)) {
        return most;
    }
    const auto whole = static_cast<std::int32_t>(wide);
    return static_cast<double>(whole) < wide ? whole + 1 : whole;
}

struct EventFree {
    void operator()(rtcswarm_event *event) const noexcept { rtcswarm_event_free(event); }
};
struct ConfigFree {
    void operator()(rtcswarm_config *config) const noexcept { rtcswarm_config_free(config); }
};
struct HubFree {
    void operator()(rtcswarm_hub *hub) const noexcept { rtcswarm_hub_free(hub); }
};
struct OutputFree {
    void operator()(rtcswarm_hub_output *output) const noexcept { rtcswarm_hub_output_free(output); }
};

} // namespace detail

/// "0.1.0": of the library that is loaded.
inline std::string_view version() noexcept { return rtcswarm_version_string(); }

// ---------------------------------------------------------------------------------------------------------- events

enum class State : std::int32_t {
    none = 0,
    connected = RTCSWARM_STATE_CONNECTED,
    disconnected = RTCSWARM_STATE_DISCONNECTED,
    reconnecting = RTCSWARM_STATE_RECONNECTING,
    refused = RTCSWARM_STATE_REFUSED,
    checking = RTCSWARM_STATE_CHECKING,
};

enum class Reason : std::int32_t {
    none = 0,
    local_close = RTCSWARM_REASON_LOCAL_CLOSE,
    remote_close = RTCSWARM_REASON_REMOTE_CLOSE,
    left = RTCSWARM_REASON_LEFT,
    connection_lost = RTCSWARM_REASON_CONNECTION_LOST,
    answer_timeout = RTCSWARM_REASON_ANSWER_TIMEOUT,
    connect_timeout = RTCSWARM_REASON_CONNECT_TIMEOUT,
    too_many_peers = RTCSWARM_REASON_TOO_MANY_PEERS,
    protocol = RTCSWARM_REASON_PROTOCOL,
    limit = RTCSWARM_REASON_LIMIT,
};

/// What a track is.
enum class Media : std::int32_t {
    none = 0,
    audio = RTCSWARM_MEDIA_AUDIO,
    video = RTCSWARM_MEDIA_VIDEO,
};

/// What a track is encoded in; rtcswarm.h says what a frame of each is.
enum class Codec : std::int32_t {
    none = 0,
    opus = RTCSWARM_CODEC_OPUS,
    vp8 = RTCSWARM_CODEC_VP8,
    vp9 = RTCSWARM_CODEC_VP9,
    h264 = RTCSWARM_CODEC_H264,
    av1 = RTCSWARM_CODEC_AV1,
};

/// "VP8"
inline const char *name(Codec codec) noexcept { return rtcswarm_codec_name(static_cast<std::int32_t>(codec)); }

/// "remote close"
inline const char *name(Reason reason) noexcept { return rtcswarm_reason_name(static_cast<std::int32_t>(reason)); }

// What happened, one type a kind, for std::visit. The views are good as long as the event is.

struct PeerOpen {
    PeerId peer;
    std::string_view user_id;
    std::string_view connection_id;
    /// It takes further channels.
    bool native;
};
struct PeerClosed {
    PeerId peer;
    std::string_view user_id;
    Reason reason;
    std::string_view message;
};
struct PeerFailed {
    PeerId peer;
    std::string_view user_id;
    Reason reason;
    std::string_view message;
};
struct PeerState {
    PeerId peer;
    std::string_view user_id;
    State state;
    /// With State::reconnecting: bytes that were sent to it and not acknowledged, which may be lost.
    std::size_t unacknowledged;
};
struct Text {
    PeerId peer;
    std::string_view user_id;
    ChannelId channel;
    std::string_view text;
};
struct Binary {
    PeerId peer;
    std::string_view user_id;
    ChannelId channel;
    Bytes data;
};
struct ChannelOpen {
    PeerId peer;
    std::string_view user_id;
    ChannelId channel;
    std::string_view label;
    /// The other side asked for it.
    bool remote;
};
struct ChannelClosed {
    PeerId peer;
    std::string_view user_id;
    ChannelId channel;
};
struct Writable {
    PeerId peer;
    std::string_view user_id;
    ChannelId channel;
};
/// A peer's track is there.
struct Track {
    PeerId peer;
    std::string_view user_id;
    TrackId track;
    std::string_view name;
    Media media;
};
/// A peer sends a track no more, or again. Of what was on its way, frames may still come for half a second.
struct TrackMuted {
    PeerId peer;
    std::string_view user_id;
    TrackId track;
    bool muted;
};
/// A peer's track is gone, while the peer stays: its tracks follow with new numbers.
struct TrackEnded {
    PeerId peer;
    std::string_view user_id;
    TrackId track;
};
/// Every track that a peer has announced for this stream is there.
struct Stream {
    PeerId peer;
    std::string_view user_id;
    std::string_view name;
    TrackIds tracks;
};
/// One encoded frame of a peer's track, in order.
struct Frame {
    PeerId peer;
    std::string_view user_id;
    TrackId track;
    Codec codec;
    Bytes data;
    /// When it is to be shown, in units of the codec's clock.
    std::uint32_t rtp_time;
    /// It needs none before it.
    bool key;
    /// Something before it is missing. Who comes while a stream runs has a gap first, and can begin with the next key.
    bool gap;
};
/// One RTP packet of a peer's track, as it came, in place of frames: see Config::receive_rtp.
struct Rtp {
    PeerId peer;
    std::string_view user_id;
    TrackId track;
    Codec codec;
    Bytes packet;
};
/// The peer cannot begin, or go on with, a track of ours without a key frame.
struct KeyFrameWanted {
    PeerId peer;
    std::string_view user_id;
    TrackId track;
};
/// Carry it to the signaling server.
struct Signal {
    std::string_view json;
};
struct SignalingState {
    State state;
    std::string_view message;
};
/// Something went wrong that ended nothing.
struct Problem {
    std::int32_t status;
    std::string_view message;
};
/// The last event. `status` is RTCSWARM_OK unless the swarm broke.
struct Closed {
    std::int32_t status;
    std::string_view message;
};
/// Of a kind that this header does not know yet.
struct Unknown {
    std::int32_t kind;
};

using AnyEvent =
    std::variant<Unknown, PeerOpen, PeerClosed, PeerFailed, PeerState, Text, Binary, ChannelOpen, ChannelClosed, Writable,
                 Signal, SignalingState, Problem, Closed, Track, TrackMuted, TrackEnded, Stream, Frame, Rtp, KeyFrameWanted>;

/// Makes one visitor of several lambdas.
template <typename... Functions>
struct overloaded : Functions... {
    using Functions::operator()...;
};
template <typename... Functions>
overloaded(Functions...) -> overloaded<Functions...>;

/// An event that somebody else owns: in callbacks, the library, until the callback returns.
class EventView {
public:
    explicit EventView(const rtcswarm_event *event) noexcept : event_(event) {}

    /// RTCSWARM_EVENT_...
    std::int32_t kind() const noexcept { return event_->kind; }
    /// "peer open"
    const char *name() const noexcept { return rtcswarm_event_name(event_->kind); }
    /// When it happened: since the swarm was made.
    std::chrono::microseconds time() const noexcept {
        return std::chrono::microseconds(static_cast<std::chrono::microseconds::rep>(event_->time_us));
    }
    /// 0 where the event is no peer's.
    PeerId peer() const noexcept { return event_->peer; }
    /// Empty where the event is no peer's.
    std::string_view user_id() const noexcept { return detail::view(event_->user_id); }

    /// The event as what it is.
    AnyEvent get() const noexcept {
        const rtcswarm_event &e = *event_;
        const auto text = [](const char *words) { return detail::view(words); };
        const auto chars = std::string_view(reinterpret_cast<const char *>(e.data), e.length);
        const auto reason = static_cast<Reason>(e.reason);
        const auto state = static_cast<State>(e.state);
        switch (e.kind) {
        case RTCSWARM_EVENT_PEER_OPEN:
            return PeerOpen{e.peer, user_id(), text(e.connection_id), (e.flags & RTCSWARM_FLAG_NATIVE) != 0};
        case RTCSWARM_EVENT_PEER_CLOSED:
            return PeerClosed{e.peer, user_id(), reason, text(e.message)};
        case RTCSWARM_EVENT_PEER_FAILED:
            return PeerFailed{e.peer, user_id(), reason, text(e.message)};
        case RTCSWARM_EVENT_PEER_STATE:
            return PeerState{e.peer, user_id(), state, e.unacknowledged};
        case RTCSWARM_EVENT_TEXT:
            return Text{e.peer, user_id(), e.channel, chars};
        case RTCSWARM_EVENT_BINARY:
            return Binary{e.peer, user_id(), e.channel, Bytes(e.data, e.length)};
        case RTCSWARM_EVENT_CHANNEL_OPEN:
            return ChannelOpen{e.peer, user_id(), e.channel, text(e.name), (e.flags & RTCSWARM_FLAG_REMOTE) != 0};
        case RTCSWARM_EVENT_CHANNEL_CLOSED:
            return ChannelClosed{e.peer, user_id(), e.channel};
        case RTCSWARM_EVENT_WRITABLE:
            return Writable{e.peer, user_id(), e.channel};
        case RTCSWARM_EVENT_SIGNAL:
            return Signal{chars};
        case RTCSWARM_EVENT_SIGNALING_STATE:
            return SignalingState{state, text(e.message)};
        case RTCSWARM_EVENT_ERROR:
            return Problem{e.status, text(e.message)};
        case RTCSWARM_EVENT_CLOSED:
            return Closed{e.status, text(e.message)};
        case RTCSWARM_EVENT_TRACK:
            return Track{e.peer, user_id(), e.track, text(e.name), static_cast<Media>(e.media)};
        case RTCSWARM_EVENT_TRACK_MUTED:
            return TrackMuted{e.peer, user_id(), e.track, (e.flags & RTCSWARM_FLAG_MUTED) != 0};
        case RTCSWARM_EVENT_TRACK_ENDED:
            return TrackEnded{e.peer, user_id(), e.track};
        case RTCSWARM_EVENT_STREAM:
            return Stream{e.peer, user_id(), text(e.name), TrackIds(e.tracks, e.track_count)};
        case RTCSWARM_EVENT_FRAME:
            return Frame{e.peer,
                         user_id(),
                         e.track,
                         static_cast<Codec>(e.codec),
                         Bytes(e.data, e.length),
                         e.rtp_time,
                         (e.flags & RTCSWARM_FLAG_KEY_FRAME) != 0,
                         (e.flags & RTCSWARM_FLAG_GAP) != 0};
        case RTCSWARM_EVENT_RTP:
            return Rtp{e.peer, user_id(), e.track, static_cast<Codec>(e.codec), Bytes(e.data, e.length)};
        case RTCSWARM_EVENT_KEY_FRAME_WANTED:
            return KeyFrameWanted{e.peer, user_id(), e.track};
        default:
            return Unknown{e.kind};
        }
    }

    template <typename Visitor>
    decltype(auto) visit(Visitor &&visitor) const {
        return std::visit(std::forward<Visitor>(visitor), get());
    }

    const rtcswarm_event *c_event() const noexcept { return event_; }

private:
    const rtcswarm_event *event_;
};

/// An event of your own; also after its swarm is gone. After a move it is not to be used.
class Event : public EventView {
public:
    /// Takes over what rtcswarm_next_event gave.
    explicit Event(rtcswarm_event *event) noexcept : EventView(event), owned_(event) {}

private:
    std::unique_ptr<rtcswarm_event, detail::EventFree> owned_;
};

// ---------------------------------------------------------------------------------------------------------- config

enum class Timeout : std::int32_t {
    answer = RTCSWARM_TIMEOUT_ANSWER,
    connect = RTCSWARM_TIMEOUT_CONNECT,
    close = RTCSWARM_TIMEOUT_CLOSE,
    ice_keepalive = RTCSWARM_TIMEOUT_ICE_KEEPALIVE,
    ice_disconnected = RTCSWARM_TIMEOUT_ICE_DISCONNECTED,
    ice_failed = RTCSWARM_TIMEOUT_ICE_FAILED,
    reconnect = RTCSWARM_TIMEOUT_RECONNECT,
};

/// What a swarm is told before it is made; each setter gives the config back. One config serves for many swarms.
class Config {
public:
    Config(const std::string &room, const std::string &user_id) : config_(rtcswarm_config_new()) {
        if (!config_) {
            throw std::bad_alloc();
        }
        this->room(room).user_id(user_id);
    }

    Config &room(const std::string &room) { return set(rtcswarm_config_set_room(get(), detail::c_string(room))); }
    Config &user_id(const std::string &user_id) {
        return set(rtcswarm_config_set_user_id(get(), detail::c_string(user_id)));
    }
    /// Lets the library keep a WebSocket to this server. Without it, carry Signal and dispatch() yourself.
    Config &signaling(const std::string &url, const std::string &token) {
        return set(rtcswarm_config_set_signaling(get(), detail::c_string(url), detail::c_string(token)));
    }
    Config &signaling_ca_file(const std::string &path) {
        return set(rtcswarm_config_set_signaling_ca_file(get(), detail::c_string(path)));
    }
    Config &peer_buffer(std::uint32_t offers) { return set(rtcswarm_config_set_peer_buffer(get(), offers)); }
    Config &max_peers(std::uint32_t peers) { return set(rtcswarm_config_set_max_peers(get(), peers)); }
    Config &stun_server(const std::string &url) {
        return set(rtcswarm_config_add_ice_server(get(), detail::c_string(url), nullptr, nullptr));
    }
    Config &turn_server(const std::string &url, const std::string &username, const std::string &credential) {
        return set(rtcswarm_config_add_ice_server(get(), detail::c_string(url), detail::c_string(username),
                                                  detail::c_string(credential)));
    }
    /// Only relayed candidates: no address of this host is told to anyone.
    Config &relay_only(bool only = true) {
        return set(rtcswarm_config_set_ice_transport_policy(get(), only ? RTCSWARM_ICE_RELAY : RTCSWARM_ICE_ALL));
    }
    Config &bind_address(const std::string &address) {
        return set(rtcswarm_config_add_bind_address(get(), detail::c_string(address)));
    }
    Config &interface_name(const std::string &name) {
        return set(rtcswarm_config_add_interface(get(), detail::c_string(name)));
    }
    Config &ip_families(bool ipv4, bool ipv6) { return set(rtcswarm_config_set_ip_families(get(), ipv4, ipv6)); }
    Config &loopback(bool loopback) { return set(rtcswarm_config_set_loopback(get(), loopback)); }
    Config &port(std::uint16_t port) { return set(rtcswarm_config_set_port(get(), port)); }
    Config &max_message_size(std::size_t bytes) { return set(rtcswarm_config_set_max_message_size(get(), bytes)); }
    Config &send_buffer(std::size_t high, std::size_t low) {
        return set(rtcswarm_config_set_send_buffer(get(), high, low));
    }
    Config &receive_queue(std::size_t bytes) { return set(rtcswarm_config_set_receive_queue(get(), bytes)); }
    Config &media_queue(std::size_t bytes) { return set(rtcswarm_config_set_media_queue(get(), bytes)); }
    /// Media comes as Rtp, and not as Frame.
    Config &receive_rtp(bool rtp = true) { return set(rtcswarm_config_set_receive_rtp(get(), rtp)); }
    template <typename Rep, typename Period>
    Config &timeout(Timeout which, std::chrono::duration<Rep, Period> time) {
        return set(rtcswarm_config_set_timeout(get(), static_cast<std::int32_t>(which),
                                               static_cast<std::uint32_t>(detail::milliseconds(time))));
    }

    const rtcswarm_config *c_config() const noexcept { return config_.get(); }

private:
    rtcswarm_config *get() const noexcept { return config_.get(); }

    Config &set(std::int32_t status) {
        detail::check(status);
        return *this;
    }

    std::unique_ptr<rtcswarm_config, detail::ConfigFree> config_;
};

// ----------------------------------------------------------------------------------------------------------- swarm

/// What became of a message. It is queued whole, or not at all.
enum class Send {
    queued,
    /// The send buffer is full; Writable follows, once.
    would_block,
    /// The peer is gone, or was never there.
    no_peer,
    /// The peer has no open channel of that number.
    no_channel,
};

struct Broadcast {
    std::size_t reached;
    /// Peers whose send buffers were full, or who do not take the track.
    std::size_t skipped;
};

struct ChannelOptions {
    bool ordered = true;
    /// At most one of the two; neither: every message arrives.
    std::optional<std::uint16_t> max_retransmits{};
    std::optional<std::chrono::duration<std::uint16_t, std::milli>> max_lifetime{};
    std::string protocol{};
};

struct PeerStats {
    std::optional<std::chrono::microseconds> round_trip;
    std::uint64_t bytes_sent, bytes_received, messages_sent, messages_received, buffered;
    bool relayed, native;
    std::string local_address, remote_address, local_candidate_type, remote_candidate_type;
    /// Datagrams of media that were more than the way takes, and were not sent.
    std::uint64_t media_dropped;
};

/// What a track of ours is: encoded; only audio or video, negotiated before there is anything to send; or `expected`.
using Source = std::variant<std::monostate, Media, Codec>;
/// From the other side.
inline constexpr Source expected{};

struct TrackSpec {
    std::string stream;
    /// Of its own over all streams.
    std::string name;
    Source source;
};

/// What makes no sense for the track's direction is 0, or none.
struct TrackStats {
    std::uint64_t packets, bytes, frames, lost, useless, dropped, retransmissions, key_frame_requests;
    std::chrono::microseconds jitter;
    std::optional<std::chrono::microseconds> round_trip;
    /// What the way to the other side is thought to take, in bits a second.
    std::optional<std::uint64_t> bitrate;
};

class SwarmRef;

using EventCallback = std::function<void(SwarmRef, const EventView &)>;
/// What a callback threw.
using ExceptionHandler = std::function<void(std::exception_ptr)>;

/// A swarm that somebody else owns; cheap to copy. Good in callbacks, and as long as its Swarm is.
class SwarmRef {
public:
    explicit SwarmRef(rtcswarm *swarm) noexcept : swarm_(swarm) {}

    /// Joins the room. No event comes before.
    void start() { detail::check(rtcswarm_start(swarm_)); }
    /// Leaves the room; Closed follows, last. Returns at once. Idempotent.
    void close() { detail::check(rtcswarm_close(swarm_)); }

    [[nodiscard]] Send send(PeerId peer, Bytes data) { return channel_send(peer, fast, data); }
    [[nodiscard]] Send send_text(PeerId peer, std::string_view text) { return channel_send_text(peer, fast, text); }
    [[nodiscard]] Send channel_send(PeerId peer, ChannelId channel, Bytes data) {
        return sent(rtcswarm_channel_send(swarm_, peer, channel, data.data(), data.size()));
    }
    [[nodiscard]] Send channel_send_text(PeerId peer, ChannelId channel, std::string_view text) {
        return sent(rtcswarm_channel_send_text(swarm_, peer, channel, text.data(), text.size()));
    }
    Broadcast broadcast(Bytes data) {
        Broadcast result{};
        detail::check(rtcswarm_broadcast(swarm_, data.data(), data.size(), &result.reached, &result.skipped));
        return result;
    }
    Broadcast broadcast_text(std::string_view text) {
        Broadcast result{};
        detail::check(rtcswarm_broadcast_text(swarm_, text.data(), text.size(), &result.reached, &result.skipped));
        return result;
    }

    /// The STUN and TURN servers of `config`, and no others, from now on; see rtcswarm_set_ice_servers.
    void set_ice_servers(const Config &config) { detail::check(rtcswarm_set_ice_servers(swarm_, config.c_config())); }
    /// Another token for the library's own signaling connection; see rtcswarm_set_token.
    void set_token(const std::string &token) { detail::check(rtcswarm_set_token(swarm_, detail::c_string(token))); }

    /// One message of the signaling server, where you carry them. False: not now, try again soon.
    [[nodiscard]] bool dispatch(std::string_view json) {
        const std::int32_t status = rtcswarm_dispatch(swarm_, json.data(), json.size());
        if (status == RTCSWARM_WOULD_BLOCK) {
            return false;
        }
        detail::check(status);
        return true;
    }

    /// The number of a channel that will be open at both ends when ChannelOpen comes.
    ChannelId open_channel(PeerId peer, const std::string &label, const ChannelOptions &options = {}) {
        if (options.max_retransmits && options.max_lifetime) {
            throw Error(RTCSWARM_ERR_INVALID, "a channel has a limit of retransmits or of lifetime, not both");
        }
        std::int32_t reliability = RTCSWARM_RELIABLE;
        std::uint32_t limit = 0;
        if (options.max_retransmits) {
            reliability = RTCSWARM_MAX_RETRANSMITS;
            limit = *options.max_retransmits;
        } else if (options.max_lifetime) {
            reliability = RTCSWARM_MAX_LIFETIME;
            limit = options.max_lifetime->count();
        }
        ChannelId channel = 0;
        detail::check(rtcswarm_channel_open(swarm_, peer, detail::c_string(label), detail::c_string(options.protocol),
                                            options.ordered, reliability, limit, &channel));
        return channel;
    }
    void close_channel(PeerId peer, ChannelId channel) {
        detail::check(rtcswarm_channel_close(swarm_, peer, channel));
    }
    /// Bytes that were accepted and are not acknowledged yet.
    std::size_t buffered(PeerId peer, ChannelId channel = fast) const {
        std::size_t bytes = 0;
        detail::check(rtcswarm_channel_buffered(swarm_, peer, channel, &bytes));
        return bytes;
    }
    void close_peer(PeerId peer) { detail::check(rtcswarm_peer_close(swarm_, peer)); }

    /// The open peers, in the order in which they opened.
    std::vector<PeerId> peers() const {
        std::vector<PeerId> ids(16);
        for (;;) {
            std::size_t count = 0;
            detail::check(rtcswarm_peers(swarm_, ids.data(), ids.size(), &count));
            const bool all = count <= ids.size();
            ids.resize(count);
            if (all) {
                return ids;
            }
        }
    }
    std::string user_id(PeerId peer) const {
        std::string name(256, '\0');
        for (;;) {
            std::size_t length = 0;
            detail::check(rtcswarm_peer_user_id(swarm_, peer, name.data(), name.size() + 1, &length));
            const bool whole = length <= name.size();
            name.resize(length);
            if (whole) {
                return name;
            }
        }
    }
    PeerStats peer_stats(PeerId peer) const {
        rtcswarm_peer_stats stats{};
        stats.struct_size = sizeof stats;
        detail::check(rtcswarm_get_peer_stats(swarm_, peer, &stats));
        std::optional<std::chrono::microseconds> round_trip;
        if (stats.round_trip_us >= 0) {
            round_trip.emplace(stats.round_trip_us);
        }
        return PeerStats{round_trip,
                         stats.bytes_sent,
                         stats.bytes_received,
                         stats.messages_sent,
                         stats.messages_received,
                         stats.buffered,
                         stats.relayed != 0,
                         stats.native != 0,
                         stats.local_address,
                         stats.remote_address,
                         stats.local_candidate_type,
                         stats.remote_candidate_type,
                         stats.media_dropped};
    }
    /// Gives tracks to every peer there is and will be: all, or none. Their numbers, in order. See rtcswarm_add_tracks.
    std::vector<TrackId> add_tracks(const std::vector<TrackSpec> &tracks) {
        std::vector<rtcswarm_track_spec> specs;
        specs.reserve(tracks.size());
        for (const TrackSpec &track : tracks) {
            const Media *media = std::get_if<Media>(&track.source);
            const Codec *codec = std::get_if<Codec>(&track.source);
            if ((media != nullptr && *media == Media::none) || (codec != nullptr && *codec == Codec::none)) {
                throw Error(RTCSWARM_ERR_INVALID, "a track that is expected from the other side is `expected`");
            }
            specs.push_back({detail::c_string(track.stream), detail::c_string(track.name),
                             media == nullptr ? 0 : static_cast<std::int32_t>(*media),
                             codec == nullptr ? 0 : static_cast<std::int32_t>(*codec)});
        }
        std::vector<TrackId> ids(specs.size());
        detail::check(rtcswarm_add_tracks(swarm_, specs.data(), specs.size(), ids.data()));
        return ids;
    }
    /// The same for those of one stream: add_stream("cam", {{"audio", Codec::opus}, {"video", Codec::vp8}})
    std::vector<TrackId> add_stream(const std::string &stream, const std::vector<std::pair<std::string, Source>> &tracks) {
        std::vector<TrackSpec> specs;
        specs.reserve(tracks.size());
        for (const auto &[name, source] : tracks) {
            specs.push_back({stream, name, source});
        }
        return add_tracks(specs);
    }
    /// Sends the track to nobody any more, or again. After that wait for KeyFrameWanted.
    void mute(TrackId track, bool muted = true) { detail::check(rtcswarm_mute(swarm_, track, muted)); }
    /// The track is sent in this codec from now on.
    void replace_track(TrackId track, Codec codec) {
        detail::check(rtcswarm_replace_track(swarm_, track, static_cast<std::int32_t>(codec)));
    }
    /// One encoded frame to every peer that takes the track; never waits. `rtp_time` in units of the codec's clock; `key` if
    /// it needs none before it.
    Broadcast send_frame(TrackId track, Bytes data, std::uint32_t rtp_time, bool key) {
        Broadcast result{};
        detail::check(rtcswarm_send_frame(swarm_, track, data.data(), data.size(), rtp_time,
                                          key ? RTCSWARM_FLAG_KEY_FRAME : 0, &result.reached, &result.skipped));
        return result;
    }
    /// The same for one RTP packet.
    Broadcast send_rtp(TrackId track, Bytes packet) {
        Broadcast result{};
        detail::check(
            rtcswarm_send_rtp(swarm_, track, packet.data(), packet.size(), &result.reached, &result.skipped));
        return result;
    }
    /// Asks a peer for a key frame of one of its tracks. False: the peer or the track is gone.
    bool request_key_frame(PeerId peer, TrackId track) {
        const std::int32_t status = rtcswarm_request_key_frame(swarm_, peer, track);
        if (status == RTCSWARM_ERR_NO_PEER || status == RTCSWARM_ERR_NO_TRACK) {
            return false;
        }
        detail::check(status);
        return true;
    }
    /// Of a peer's track, or of one of ours on the way to that peer.
    TrackStats track_stats(PeerId peer, TrackId track) const {
        rtcswarm_track_stats stats{};
        stats.struct_size = sizeof stats;
        detail::check(rtcswarm_get_track_stats(swarm_, peer, track, &stats));
        TrackStats result{stats.packets,
                          stats.bytes,
                          stats.frames,
                          stats.lost,
                          stats.useless,
                          stats.dropped,
                          stats.retransmissions,
                          stats.key_frame_requests,
                          std::chrono::microseconds(static_cast<std::chrono::microseconds::rep>(stats.jitter_us)),
                          {},
                          {}};
        if (stats.round_trip_us >= 0) {
            result.round_trip.emplace(stats.round_trip_us);
        }
        if (stats.bitrate >= 0) {
            result.bitrate = static_cast<std::uint64_t>(stats.bitrate);
        }
        return result;
    }

    rtcswarm_stats stats() const {
        rtcswarm_stats stats{};
        stats.struct_size = sizeof stats;
        detail::check(rtcswarm_get_stats(swarm_, &stats));
        return stats;
    }

    /// The next event, at most after `timeout`; none then, and none if wakeup() ended the wait. Throws
    /// RTCSWARM_ERR_CLOSED after Closed was taken.
    template <typename Rep, typename Period>
    std::optional<Event> next_event(std::chrono::duration<Rep, Period> timeout) {
        return wait(detail::milliseconds(timeout));
    }
    /// Waits for ever; none if wakeup() ended the wait.
    std::optional<Event> next_event() { return wait(-1); }
    void wakeup() { detail::check(rtcswarm_wakeup(swarm_)); }
    /// Readable while next_event would not wait. Not yours to close.
    int fd() {
        std::int32_t descriptor = -1;
        detail::check(rtcswarm_get_fd(swarm_, &descriptor));
        return descriptor;
    }

    /// Takes all events on this thread and visits each as what it is, until Closed was. What the visitor throws comes
    /// out here.
    template <typename Visitor>
    void run(Visitor &&visitor) {
        for (;;) {
            const std::optional<Event> event = next_event();
            if (!event) {
                continue;
            }
            const bool last = event->kind() == RTCSWARM_EVENT_CLOSED;
            event->visit(visitor);
            if (last) {
                return;
            }
        }
    }

    /// Calls back with every event, on one thread of the swarm's own; before start(). The callback may call
    /// everything and destroy its Swarm. What it throws goes to `on_exception`, or, without one, closes the swarm.
    void on_event(EventCallback callback, ExceptionHandler on_exception = {}) {
        registered(rtcswarm_set_event_callback, std::move(callback), std::move(on_exception));
    }
    /// PeerOpen
    void on_open(EventCallback callback, ExceptionHandler on_exception = {}) {
        registered(rtcswarm_on_open, std::move(callback), std::move(on_exception));
    }
    /// PeerClosed and PeerFailed
    void on_close(EventCallback callback, ExceptionHandler on_exception = {}) {
        registered(rtcswarm_on_close, std::move(callback), std::move(on_exception));
    }
    /// Text and Binary
    void on_data(EventCallback callback, ExceptionHandler on_exception = {}) {
        registered(rtcswarm_on_data, std::move(callback), std::move(on_exception));
    }
    /// Signal
    void on_signal(EventCallback callback, ExceptionHandler on_exception = {}) {
        registered(rtcswarm_on_signal, std::move(callback), std::move(on_exception));
    }
    /// Problem
    void on_error(EventCallback callback, ExceptionHandler on_exception = {}) {
        registered(rtcswarm_on_error, std::move(callback), std::move(on_exception));
    }
    /// PeerState and SignalingState
    void on_connection(EventCallback callback, ExceptionHandler on_exception = {}) {
        registered(rtcswarm_on_connection, std::move(callback), std::move(on_exception));
    }
    /// Stream
    void on_stream(EventCallback callback, ExceptionHandler on_exception = {}) {
        registered(rtcswarm_on_stream, std::move(callback), std::move(on_exception));
    }
    /// Track, TrackMuted, TrackEnded and KeyFrameWanted
    void on_track(EventCallback callback, ExceptionHandler on_exception = {}) {
        registered(rtcswarm_on_track, std::move(callback), std::move(on_exception));
    }
    /// Frame and Rtp
    void on_frame(EventCallback callback, ExceptionHandler on_exception = {}) {
        registered(rtcswarm_on_frame, std::move(callback), std::move(on_exception));
    }

    /// For what this header does not cover.
    rtcswarm *c_swarm() const noexcept { return swarm_; }

protected:
    rtcswarm *swarm_;

private:
    struct Callbacks {
        EventCallback callback;
        ExceptionHandler on_exception;
    };

    static void call(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) noexcept {
        // Lives until `finish`, which does not run while this does, even if the callback destroys its Swarm.
        auto &callbacks = *static_cast<Callbacks *>(user_data);
        try {
            callbacks.callback(SwarmRef(swarm), EventView(event));
        } catch (...) {
            if (callbacks.on_exception) {
                // What this throws ends the program, as in a destructor.
                callbacks.on_exception(std::current_exception());
            } else {
                rtcswarm_close(swarm);
            }
        }
    }

    static void finish(void *user_data) noexcept { delete static_cast<Callbacks *>(user_data); }

    template <typename Register>
    void registered(Register register_with, EventCallback callback, ExceptionHandler on_exception) {
        if (!callback) {
            throw Error(RTCSWARM_ERR_INVALID, "the callback is empty");
        }
        auto callbacks = std::make_unique<Callbacks>(Callbacks{std::move(callback), std::move(on_exception)});
        detail::check(register_with(swarm_, &SwarmRef::call, callbacks.get(), &SwarmRef::finish));
        callbacks.release();
    }

    std::optional<Event> wait(std::int32_t timeout_ms) {
        rtcswarm_event *event = nullptr;
        const std::int32_t status = rtcswarm_next_event(swarm_, timeout_ms, &event);
        if (status == RTCSWARM_TIMEOUT || status == RTCSWARM_WOKEN) {
            return std::nullopt;
        }
        detail::check(status);
        return std::optional<Event>(std::in_place, event);
    }

    static Send sent(std::int32_t status) {
        switch (status) {
        case RTCSWARM_OK:
            return Send::queued;
        case RTCSWARM_WOULD_BLOCK:
            return Send::would_block;
        case RTCSWARM_ERR_NO_PEER:
            return Send::no_peer;
        case RTCSWARM_ERR_NO_CHANNEL:
            return Send::no_channel;
        default:
            detail::fail(status);
        }
    }
};

/// A member of a room. Its destructor frees it, as rtcswarm_free does: no callback runs afterwards, and in a callback
/// it does not wait. After a move it is not to be used but for assignment and destruction.
class Swarm : public SwarmRef {
public:
    explicit Swarm(const Config &config) : SwarmRef(nullptr) {
        detail::check(rtcswarm_new(config.c_config(), &swarm_));
    }

    Swarm(Swarm &&other) noexcept : SwarmRef(std::exchange(other.swarm_, nullptr)) {}
    Swarm &operator=(Swarm &&other) noexcept {
        if (this != &other) {
            rtcswarm_free(std::exchange(swarm_, std::exchange(other.swarm_, nullptr)));
        }
        return *this;
    }
    Swarm(const Swarm &) = delete;
    Swarm &operator=(const Swarm &) = delete;
    ~Swarm() { rtcswarm_free(swarm_); }
};

// ------------------------------------------------------------------------------------------------------------- hub

/// What the carrier of a hub has to do.
class HubOutput {
public:
    /// Takes over what rtcswarm_hub_next_output gave.
    explicit HubOutput(rtcswarm_hub_output *output) noexcept : output_(output) {}

    SessionId session() const noexcept { return output_->session; }
    /// Close the client's transport with close_code() and text(); else send text() to it.
    bool is_close() const noexcept { return output_->kind == RTCSWARM_HUB_CLOSE; }
    std::int32_t close_code() const noexcept { return output_->close_code; }
    std::string_view text() const noexcept { return std::string_view(output_->text, output_->length); }

private:
    std::unique_ptr<rtcswarm_hub_output, detail::OutputFree> output_;
};

/// The signaling server's brain: you carry the messages and authenticate the clients.
class Hub {
public:
    Hub() : Hub(default_limits()) {}
    explicit Hub(const rtcswarm_hub_limits &limits) {
        rtcswarm_hub *hub = nullptr;
        detail::check(rtcswarm_hub_new(&limits, &hub));
        hub_.reset(hub);
    }

    static rtcswarm_hub_limits default_limits() {
        rtcswarm_hub_limits limits{};
        limits.struct_size = sizeof limits;
        detail::check(rtcswarm_hub_limits_default(&limits));
        return limits;
    }

    /// A client that you authenticated, and that may join any room.
    SessionId connect(const std::string &user_id) {
        SessionId session = 0;
        detail::check(rtcswarm_hub_connect(hub_.get(), detail::c_string(user_id), nullptr, 0, &session));
        return session;
    }
    /// The same for one that may join these rooms; throws if there is none.
    SessionId connect(const std::string &user_id, const std::vector<std::string> &rooms) {
        std::vector<const char *> names;
        names.reserve(rooms.size() + 1);
        for (const std::string &room : rooms) {
            names.push_back(detail::c_string(room));
        }
        // The data of an empty vector may be NULL, which is for any room.
        names.push_back(nullptr);
        SessionId session = 0;
        detail::check(
            rtcswarm_hub_connect(hub_.get(), detail::c_string(user_id), names.data(), rooms.size(), &session));
        return session;
    }
    void receive(SessionId session, std::string_view message) {
        detail::check(rtcswarm_hub_receive(hub_.get(), session, message.data(), message.size()));
    }
    void disconnect(SessionId session) { detail::check(rtcswarm_hub_disconnect(hub_.get(), session)); }
    void shut_down() { detail::check(rtcswarm_hub_shut_down(hub_.get())); }
    /// Does what is due; when to call again at the latest, if anything is planned.
    std::optional<std::chrono::milliseconds> tick() {
        std::int64_t next = -1;
        detail::check(rtcswarm_hub_tick(hub_.get(), &next));
        return next < 0 ? std::nullopt : std::optional<std::chrono::milliseconds>(next);
    }
    /// The next thing to do, in order. Take them until there is none.
    std::optional<HubOutput> next_output() {
        rtcswarm_hub_output *output = nullptr;
        const std::int32_t status = rtcswarm_hub_next_output(hub_.get(), &output);
        if (status == RTCSWARM_TIMEOUT) {
            return std::nullopt;
        }
        detail::check(status);
        return std::optional<HubOutput>(std::in_place, output);
    }
    rtcswarm_hub_stats stats() const {
        rtcswarm_hub_stats stats{};
        stats.struct_size = sizeof stats;
        detail::check(rtcswarm_hub_get_stats(hub_.get(), &stats));
        return stats;
    }

    rtcswarm_hub *c_hub() const noexcept { return hub_.get(); }

private:
    std::unique_ptr<rtcswarm_hub, detail::HubFree> hub_;
};

// ------------------------------------------------------------------------------------------------------------- log

enum class LogLevel : std::int32_t {
    error = RTCSWARM_LOG_ERROR,
    warn = RTCSWARM_LOG_WARN,
    info = RTCSWARM_LOG_INFO,
    debug = RTCSWARM_LOG_DEBUG,
    trace = RTCSWARM_LOG_TRACE,
};

/// Level, where in the library, and the message; on any thread of the library, several at a time.
using LogCallback = std::function<void(LogLevel, std::string_view, std::string_view)>;

/// Hears the library's log, of the whole process. What the callback throws is dropped; it must not call the library.
inline void set_log_callback(LogLevel max_level, LogCallback callback) {
    if (!callback) {
        throw Error(RTCSWARM_ERR_INVALID, "the callback is empty");
    }
    const auto hear = [](std::int32_t level, const char *target, const char *message, void *user_data) noexcept {
        try {
            (*static_cast<LogCallback *>(user_data))(static_cast<LogLevel>(level), target, message);
        } catch (...) {
        }
    };
    auto owned = std::make_unique<LogCallback>(std::move(callback));
    detail::check(rtcswarm_set_log_callback(static_cast<std::int32_t>(max_level), hear, owned.get(),
                                            [](void *user_data) { delete static_cast<LogCallback *>(user_data); }));
    owned.release();
}

/// Silence, as at first.
inline void clear_log_callback() noexcept { rtcswarm_set_log_callback(0, nullptr, nullptr, nullptr); }

} // namespace rtcswarmpp

#endif // RTCSWARM_HPP
