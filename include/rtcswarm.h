/*
 * rtcswarm: a full-mesh WebRTC swarm. SPDX-License-Identifier: MIT OR Apache-2.0
 *
 * Generated from src/ffi by cbindgen; change it there.
 *
 * THE CONTRACT
 *
 * A swarm is one member of a room. Make a config, make a swarm with it, start it, and take its events; each other member of
 * the room becomes a peer that you can send to.
 *
 *   rtcswarm_config *config = rtcswarm_config_new();
 *   rtcswarm_config_set_room(config, "lobby");
 *   rtcswarm_config_set_user_id(config, "alice");
 *   rtcswarm_config_set_signaling(config, "wss://signal.example/", token);
 *   rtcswarm *swarm;
 *   if (rtcswarm_new(config, &swarm) != RTCSWARM_OK) puts(rtcswarm_last_error_message());
 *   rtcswarm_start(swarm);
 *
 * Status. Functions that can fail answer an int32_t: 0 (RTCSWARM_OK) or a negative number. RTCSWARM_WOULD_BLOCK,
 * RTCSWARM_TIMEOUT and RTCSWARM_WOKEN are daily business; the others are errors, and rtcswarm_last_error_message() has
 * the words for the last one of the calling thread. A call that answers an error has done nothing: nothing is queued, sent
 * or lost, and results are not written. New codes may be added: treat any negative number that you do not know as an error.
 *
 * Events. A swarm has one queue of events; no event comes before rtcswarm_start, and RTCSWARM_EVENT_CLOSED is the
 * last. Take them in one of two ways; the first use decides, the other then answers RTCSWARM_ERR_BUSY:
 *   - pull: rtcswarm_next_event, from any thread, and rtcswarm_get_fd for event loops;
 *   - callbacks: rtcswarm_set_event_callback or rtcswarm_on_..., called one at a time on one thread of the swarm's own.
 * The first event of a peer is PEER_OPEN and its last is PEER_CLOSED; a peer that never opened has one event, PEER_FAILED.
 * Events are never dropped, but for frames of media. When received messages are not taken, the peers that send them are held
 * up.
 *
 * Threads. Every function may be called from any thread at any time, also inside callbacks, unless it says otherwise; a
 * config is for one thread at a time. No lock of the library is held while a callback runs. The library runs threads of
 * its own, shared by all swarms of the process, as long as there is a swarm. A thread that waits in rtcswarm_next_event may do their
 * work meanwhile, for its own swarm. A thread inside the library must not be cancelled (pthread_cancel).
 *
 * Ownership. What a function named ..._new or one with an `out` gives is yours, to be freed by the function that it names. What an event
 * points to belongs to the event. What you pass is copied before the call returns. Strings are UTF-8: NUL-terminated where
 * no length goes with them, else any bytes of that length. A pointer with the length 0 may be anything.
 *
 * Peers, channels and tracks have numbers, not pointers. A peer's or a track's number is never used again in the process: an
 * old one is answered with RTCSWARM_ERR_NO_PEER or RTCSWARM_ERR_NO_TRACK, however old. Pointers are not checked that way: after
 * rtcswarm_free(p), p is not to be used.
 *
 * Media. A stream is a name for named tracks of audio or video; rtcswarm_add_tracks gives them to every peer, and theirs come as
 * RTCSWARM_EVENT_TRACK and RTCSWARM_EVENT_STREAM. What goes over a track are encoded frames: the library neither encodes nor
 * decodes. rtcswarm_send_frame packs one for all peers and sends it on the calling thread; RTCSWARM_EVENT_FRAME has one that was
 * put together, and owns its bytes. Media is of the moment: it waits for nobody, and messages do not wait for it. What a reader is
 * too slow for is dropped, the oldest first, counted in rtcswarm_track_stats, and RTCSWARM_FLAG_GAP is in the frame that comes next;
 * what a path is too slow for is counted in rtcswarm_peer_stats. After a loss the library asks the sender for a key frame by itself
 * (not for RTP); where a peer needs one of this side's, RTCSWARM_EVENT_KEY_FRAME_WANTED says so, and the encoder should give it
 * soon.
 *
 * Fork. A swarm belongs to the process that made it. In a child every call on it answers RTCSWARM_ERR_FORKED, and
 * rtcswarm_free does nothing; the child may make swarms of its own. exec is no problem: no descriptor is inherited.
 *
 * Errors inside. A bug in the library that would be a crash elsewhere is answered by RTCSWARM_ERR_PANIC, or by
 * RTCSWARM_EVENT_CLOSED with that status; the process lives.
 *
 * Versions. Before 1.0 a new minor version may change this interface, a new patch version does not. From 1.0 on, only a new
 * major version will. rtcswarm_version() tells which library is loaded. Structs grow at their end only; those that you
 * provide begin with their size, but for rtcswarm_track_spec, which will not grow. Events are only ever provided by the library.
 */

#ifndef RTCSWARM_H
#define RTCSWARM_H

#include <stddef.h>
#include <stdint.h>

/*
 The version of this header: its first number.
 */
#define RTCSWARM_VERSION_MAJOR 0

/*
 The second number of this header's version.
 */
#define RTCSWARM_VERSION_MINOR 1

/*
 The third number of this header's version.
 */
#define RTCSWARM_VERSION_PATCH 0

/*
 Done.
 */
#define RTCSWARM_OK 0

/*
 Nothing was queued: the send buffer is full. One `RTCSWARM_EVENT_WRITABLE` of that channel follows. From `rtcswarm_dispatch`:
 too many messages wait, and no event follows.
 */
#define RTCSWARM_WOULD_BLOCK -1

/*
 Nothing happened in time.
 */
#define RTCSWARM_TIMEOUT -2

/*
 `rtcswarm_wakeup` ended the wait.
 */
#define RTCSWARM_WOKEN -3

/*
 An argument cannot be used: NULL, out of range, not UTF-8, or a configuration that cannot work.
 */
#define RTCSWARM_ERR_INVALID -10

/*
 Not now: before `rtcswarm_start`, a second start, or the wrong kind of signaling.
 */
#define RTCSWARM_ERR_STATE -11

/*
 The swarm is closed or closing, or its last event was taken.
 */
#define RTCSWARM_ERR_CLOSED -12

/*
 No open peer has this id; it may have been right a moment ago.
 */
#define RTCSWARM_ERR_NO_PEER -13

/*
 The peer has no open channel of this number.
 */
#define RTCSWARM_ERR_NO_CHANNEL -14

/*
 The message is larger than this side sends or the other side takes.
 */
#define RTCSWARM_ERR_TOO_LARGE -15

/*
 Text that begins with `@fast`: the protocol's, and lost by peers that run the JS original.
 */
#define RTCSWARM_ERR_RESERVED -16

/*
 A signal or hub message that cannot be read.
 */
#define RTCSWARM_ERR_MALFORMED -17

/*
 The other side, or this system, cannot do this.
 */
#define RTCSWARM_ERR_UNSUPPORTED -18

/*
 Events are taken in another way already (callback or pulling), or the callback is set already.
 */
#define RTCSWARM_ERR_BUSY -19

/*
 The operating system refused something.
 */
#define RTCSWARM_ERR_IO -20

/*
 The swarm belongs to the process that made it, not to a fork of it.
 */
#define RTCSWARM_ERR_FORKED -21

/*
 A bug in this library was caught. The swarm closes; the process lives.
 */
#define RTCSWARM_ERR_PANIC -22

/*
 The signaling server refused something; in error events.
 */
#define RTCSWARM_ERR_REFUSED -23

/*
 No track of this side's, or of that peer's, has this id; it may have been right a moment ago.
 */
#define RTCSWARM_ERR_NO_TRACK -24

/*
 A STUN or TURN server gives nothing: it does not answer, or refuses the credentials; in error events. See
 rtcswarm_set_ice_servers.
 */
#define RTCSWARM_ERR_ICE_SERVER -25

/*
 Candidates of every kind may be used.
 */
#define RTCSWARM_ICE_ALL 0

/*
 Only relayed ones: no address of this host is told to anyone. Needs a TURN server.
 */
#define RTCSWARM_ICE_RELAY 1

/*
 Deadlines, for rtcswarm_config_set_timeout. From "your offer was taken" to its answer; default 15000 ms.
 */
#define RTCSWARM_TIMEOUT_ANSWER 0

/*
 From the answer to the open channel; default 20000 ms.
 */
#define RTCSWARM_TIMEOUT_CONNECT 1

/*
 For what is still queued when a peer or the swarm is closed; default 2000 ms.
 */
#define RTCSWARM_TIMEOUT_CLOSE 2

/*
 Between checks of a quiet path; default 5000 ms.
 */
#define RTCSWARM_TIMEOUT_ICE_KEEPALIVE 3

/*
 Silence until a peer counts as disconnected, and another path to it is looked for; default 15000 ms.
 */
#define RTCSWARM_TIMEOUT_ICE_DISCONNECTED 4

/*
 Silence from then on until its link is given up, and another one is made; default 15000 ms.
 */
#define RTCSWARM_TIMEOUT_ICE_FAILED 5

/*
 From the loss of an open link to the next one of the same peer, after which the peer is closed; default 60000 ms.
 */
#define RTCSWARM_TIMEOUT_RECONNECT 6

/*
 A peer can be sent to. `connection_id`; RTCSWARM_FLAG_NATIVE in `flags` if it takes further channels.
 */
#define RTCSWARM_EVENT_PEER_OPEN 1

/*
 A peer that was open is no more; its id is never used again. `reason`, `message`.
 */
#define RTCSWARM_EVENT_PEER_CLOSED 2

/*
 A peer never opened; this is its only event. `reason`, `message`.
 */
#define RTCSWARM_EVENT_PEER_FAILED 3

/*
 The path to an open peer changed: `state` is RTCSWARM_STATE_CONNECTED, RTCSWARM_STATE_DISCONNECTED,
 RTCSWARM_STATE_CHECKING or RTCSWARM_STATE_RECONNECTING. With the last of these its link is lost and another one is
 made for the same peer: `unacknowledged` bytes that were sent to it may be lost, sends
 answer RTCSWARM_WOULD_BLOCK, further channels and tracks end. RTCSWARM_STATE_CONNECTED and
 RTCSWARM_EVENT_WRITABLE follow when there is a new link, or RTCSWARM_EVENT_PEER_CLOSED when none came in time.
 */
#define RTCSWARM_EVENT_PEER_STATE 4

/*
 A text message: `data` and `length`, UTF-8, not NUL-terminated. `channel`.
 */
#define RTCSWARM_EVENT_TEXT 5

/*
 A binary message: `data` and `length`. `channel`.
 */
#define RTCSWARM_EVENT_BINARY 6

/*
 A further channel is open: `channel`, `name` (its label); RTCSWARM_FLAG_REMOTE in `flags` if the other
 side asked for it.
 */
#define RTCSWARM_EVENT_CHANNEL_OPEN 7

/*
 A further channel is closed: `channel`.
 */
#define RTCSWARM_EVENT_CHANNEL_CLOSED 8

/*
 A send may be tried again: `channel`.
 */
#define RTCSWARM_EVENT_WRITABLE 9

/*
 Carry `data` (JSON, `length` bytes) to the signaling server.
 */
#define RTCSWARM_EVENT_SIGNAL 10

/*
 The library's own signaling connection changed: `state` is RTCSWARM_STATE_CONNECTED,
 RTCSWARM_STATE_RECONNECTING or RTCSWARM_STATE_REFUSED (the server will not have this member, or its token
 is over; no further attempt is made until rtcswarm_set_token, and none at all if a newer swarm of the same
 user has superseded this one). Open peers are not touched. `message`.

 RTCSWARM_STATE_CONNECTED says that the connection is there, not that the server has let this member into the
 room: for a token of another room or user it comes first, then RTCSWARM_EVENT_ERROR with RTCSWARM_ERR_REFUSED
 and RTCSWARM_STATE_REFUSED, one round trip later. No event says that this member is in; while it is alone, only
 their absence does.
 */
#define RTCSWARM_EVENT_SIGNALING_STATE 11

/*
 Something went wrong that ended nothing: `status`, `message`.
 */
#define RTCSWARM_EVENT_ERROR 12

/*
 The last event of a swarm. `status` is RTCSWARM_OK, or RTCSWARM_ERR_PANIC and `message` if the swarm
 broke.
 */
#define RTCSWARM_EVENT_CLOSED 13

/*
 A peer's track is there: `track`, `name`, `media`. Frames of it may follow.
 */
#define RTCSWARM_EVENT_TRACK 14

/*
 A peer sends a track no more, with RTCSWARM_FLAG_MUTED in `flags`, or again, without it: `track`. Of what was on its way,
 frames may still come for half a second.
 */
#define RTCSWARM_EVENT_TRACK_MUTED 15

/*
 A peer's track is gone, while the peer stays: it came by another connection, whose tracks follow with new
 numbers. `track`. Those of a peer that closes go with it, without this.
 */
#define RTCSWARM_EVENT_TRACK_ENDED 16

/*
 Every track that a peer has announced for this stream is there: `name`, `tracks`, `track_count`. Once more when
 it has announced further ones and they are there too.
 */
#define RTCSWARM_EVENT_STREAM 17

/*
 One encoded frame of a peer's track, in order: `track`, `media`, `codec`, `rtp_time`, `data` and `length`.
 RTCSWARM_FLAG_KEY_FRAME and RTCSWARM_FLAG_GAP in `flags`.
 */
#define RTCSWARM_EVENT_FRAME 18

/*
 One RTP packet of a peer's track, as it came, in place of frames (rtcswarm_config_set_receive_rtp): `track`,
 `media`, `codec`, `data` and `length`.
 */
#define RTCSWARM_EVENT_RTP 19

/*
 The peer cannot begin, or go on with, a track of this side's without a key frame: `track`. One key frame answers all of these
 that came before it was made, of all peers.
 */
#define RTCSWARM_EVENT_KEY_FRAME_WANTED 20

/*
 The peer is a rtcswarm, and takes further channels.
 */
#define RTCSWARM_FLAG_NATIVE 1

/*
 The other side opened the channel.
 */
#define RTCSWARM_FLAG_REMOTE 2

/*
 The frame needs none before it. Also for rtcswarm_send_frame.
 */
#define RTCSWARM_FLAG_KEY_FRAME 4

/*
 Something before the frame is missing: lost on the way, or dropped because it was not taken in time. Who comes while a
 stream runs has a gap first: a decoder can begin with the next key frame, which the library asks for.
 */
#define RTCSWARM_FLAG_GAP 8

/*
 The peer's track is sent no more.
 */
#define RTCSWARM_FLAG_MUTED 16

/*
 There is a connection.
 */
#define RTCSWARM_STATE_CONNECTED 1

/*
 No answer for a while; it may come back.
 */
#define RTCSWARM_STATE_DISCONNECTED 2

/*
 There is none, and the library makes another.
 */
#define RTCSWARM_STATE_RECONNECTING 3

/*
 The server will not have this member; rtcswarm_set_token tries again.
 */
#define RTCSWARM_STATE_REFUSED 4

/*
 Another path is looked for, for the same link; what is sent meanwhile waits.
 */
#define RTCSWARM_STATE_CHECKING 5

/*
 This side closed the swarm or the peer.
 */
#define RTCSWARM_REASON_LOCAL_CLOSE 1

/*
 The other side closed the connection in good order.
 */
#define RTCSWARM_REASON_REMOTE_CLOSE 2

/*
 The server said that it left, and its link is gone.
 */
#define RTCSWARM_REASON_LEFT 3

/*
 The path to it is lost.
 */
#define RTCSWARM_REASON_CONNECTION_LOST 4

/*
 It took our offer and never answered.
 */
#define RTCSWARM_REASON_ANSWER_TIMEOUT 5

/*
 No path to it was found in time.
 */
#define RTCSWARM_REASON_CONNECT_TIMEOUT 6

/*
 This side, or the other, has as many peers as it may; `message` says which.
 */
#define RTCSWARM_REASON_TOO_MANY_PEERS 7

/*
 What it sent could not be used.
 */
#define RTCSWARM_REASON_PROTOCOL 8

/*
 It went over a limit that no honest peer reaches, and was cut off. It is not let in again for five minutes.
 */
#define RTCSWARM_REASON_LIMIT 9

/*
 The channel that every peer has.
 */
#define RTCSWARM_CHANNEL_FAST 0

/*
 Every message arrives, however long it takes (RFC 8831).
 */
#define RTCSWARM_RELIABLE 0

/*
 A message is given up after `limit` retransmissions.
 */
#define RTCSWARM_MAX_RETRANSMITS 1

/*
 A message is given up after `limit` milliseconds.
 */
#define RTCSWARM_MAX_LIFETIME 2

/*
 Room for an address and its port as text: `192.0.2.1:5000`, `[2001:db8::1]:5000`.
 */
#define RTCSWARM_ADDRESS_BYTES 64

/*
 A track's kind, which it keeps: sound.
 */
#define RTCSWARM_MEDIA_AUDIO 1

/*
 A track's kind, which it keeps: pictures.
 */
#define RTCSWARM_MEDIA_VIDEO 2

/*
 What a track is encoded in, and what a frame of it is. Opus: one packet (RFC 6716). Its `rtp_time` counts
 48000 a second, that of all others 90000.
 */
#define RTCSWARM_CODEC_OPUS 1

/*
 A frame as the encoder gives it (RFC 6386).
 */
#define RTCSWARM_CODEC_VP8 2

/*
 A frame, or a superframe, as the encoder gives it. Profile 0.
 */
#define RTCSWARM_CODEC_VP9 3

/*
 An access unit with start codes (ITU-T H.264, Annex B); that of a key frame has its parameter sets. Constrained
 baseline, level 3.1.
 */
#define RTCSWARM_CODEC_H264 4

/*
 A temporal unit: OBUs that have their sizes (AV1 specification, 5.2); that of a key frame has a sequence header.
 */
#define RTCSWARM_CODEC_AV1 5

/*
 Send `text` to the client.
 */
#define RTCSWARM_HUB_SEND 1

/*
 Close the client's transport, after what was sent before, with `close_code` (a WebSocket close code) and
 `text` (the reason).
 */
#define RTCSWARM_HUB_CLOSE 2

/*
 Something failed that should not.
 */
#define RTCSWARM_LOG_ERROR 1

/*
 Something is wrong that may be outside of the library.
 */
#define RTCSWARM_LOG_WARN 2

/*
 What happens seldom and is as it should be.
 */
#define RTCSWARM_LOG_INFO 3

/*
 What helps to find a fault.
 */
#define RTCSWARM_LOG_DEBUG 4

/*
 Everything.
 */
#define RTCSWARM_LOG_TRACE 5

/*
 A member of a room. Every function takes it from any thread at any time until rtcswarm_free.
 */
typedef struct rtcswarm rtcswarm;

/*
 What a swarm is told before it is made. Not thread-safe: one thread at a time. rtcswarm_new copies it, so
 that one config serves for many swarms. A setter refuses at once what it cannot keep (NULL, text that is not
 UTF-8, an unknown constant); whether the values make sense, alone and together, rtcswarm_new checks, and its
 error says which does not.
 */
typedef struct rtcswarm_config rtcswarm_config;

/*
 Rooms, members, spare offers, limits. The caller carries the messages and authenticates the clients. Any
 thread at any time until rtcswarm_hub_free.
 */
typedef struct rtcswarm_hub rtcswarm_hub;

/*
 What happened. Which fields are set, its `kind` says; all others are 0 or NULL. Everything that it points
 to belongs to the library and is good as long as the event is. New fields come last.
 */
typedef struct rtcswarm_event {
  /*
   RTCSWARM_EVENT_…
   */
  int32_t kind;
  /*
   RTCSWARM_OK or RTCSWARM_ERR_…, for ERROR and CLOSED.
   */
  int32_t status;
  /*
   Whose it is, where it is a peer's.
   */
  uint64_t peer;
  /*
   Which of the peer's tracks, or for KEY_FRAME_WANTED which of this side's.
   */
  uint64_t track;
  /*
   RTCSWARM_CHANNEL_FAST or a further channel, where it is a channel's.
   */
  uint32_t channel;
  /*
   RTCSWARM_FLAG_…
   */
  uint32_t flags;
  /*
   RTCSWARM_REASON_…
   */
  int32_t reason;
  /*
   RTCSWARM_STATE_…
   */
  int32_t state;
  /*
   When it happened: microseconds since rtcswarm_new.
   */
  uint64_t time_us;
  /*
   The peer's user id, NUL-terminated UTF-8, where `peer` is set.
   */
  const char *user_id;
  /*
   The id of the connection, as the signaling messages name it.
   */
  const char *connection_id;
  /*
   The label of a channel, or the name of a track or a stream.
   */
  const char *name;
  /*
   Words for people.
   */
  const char *message;
  /*
   The bytes of a message, frame or packet, or a signal's JSON. Never NULL where `length` is not 0.
   */
  const uint8_t *data;
  /*
   In bytes.
   */
  size_t length;
  /*
   RTCSWARM_MEDIA_…
   */
  int32_t media;
  /*
   RTCSWARM_CODEC_…
   */
  int32_t codec;
  /*
   When a frame is to be shown: in units of the codec's clock, from anywhere on, wrapping around.
   */
  uint32_t rtp_time;
  /*
   The numbers of a stream's tracks.
   */
  const uint64_t *tracks;
  /*
   How many `tracks` there are.
   */
  size_t track_count;
  /*
   Bytes of messages that a lost link had taken and the other end had not acknowledged.
   */
  size_t unacknowledged;
} rtcswarm_event;

/*
 Hears of an event, on the swarm's one dispatcher thread, one call at a time. The event is good until the
 callback returns, and is not to be freed. Every function may be called inside, rtcswarm_free too.
 */
typedef void (*rtcswarm_event_callback)(struct rtcswarm *swarm,
                                        const struct rtcswarm_event *event,
                                        void *user_data);

/*
 Called exactly once for a `user_data`, when no callback will get it any more.
 */
typedef void (*rtcswarm_finalizer)(void *user_data);

/*
 Figures of one peer's link. Set `struct_size` to sizeof(rtcswarm_peer_stats) before the call; what is
 written is as much of it as both sides know. New fields come last.
 */
typedef struct rtcswarm_peer_stats {
  /*
   sizeof(rtcswarm_peer_stats).
   */
  size_t struct_size;
  /*
   The last measured round trip in microseconds; negative if there is none yet.
   */
  int64_t round_trip_us;
  /*
   Payload of the messages that were sent, in bytes, all channels.
   */
  uint64_t bytes_sent;
  /*
   Payload of the messages that came, in bytes, all channels.
   */
  uint64_t bytes_received;
  /*
   All channels.
   */
  uint64_t messages_sent;
  /*
   All channels.
   */
  uint64_t messages_received;
  /*
   Bytes accepted and not acknowledged yet, all channels.
   */
  uint64_t buffered;
  /*
   Not 0: through a TURN server at either end.
   */
  int32_t relayed;
  /*
   Not 0: the other end is a rtcswarm.
   */
  int32_t native;
  /*
   This side's address and port, NUL-terminated; empty if not known.
   */
  char local_address[RTCSWARM_ADDRESS_BYTES];
  /*
   The other side's address and port, NUL-terminated; empty if not known.
   */
  char remote_address[RTCSWARM_ADDRESS_BYTES];
  /*
   "host", "srflx", "prflx" or "relay" (RFC 8445, 5.1.1); empty if not known.
   */
  char local_candidate_type[8];
  /*
   The same of the other side.
   */
  char remote_candidate_type[8];
  /*
   Datagrams of media that were more than the way takes, and were not sent.
   */
  uint64_t media_dropped;
} rtcswarm_peer_stats;

/*
 Figures of a swarm. Set `struct_size` to sizeof(rtcswarm_stats) before the call. New fields come last.
 */
typedef struct rtcswarm_stats {
  /*
   sizeof(rtcswarm_stats).
   */
  size_t struct_size;
  /*
   Open peers.
   */
  uint64_t peers;
  /*
   Links in any state, spares included.
   */
  uint64_t connections;
  /*
   Events that wait to be taken.
   */
  uint64_t queued_events;
  /*
   Over all of its sockets.
   */
  uint64_t datagrams_sent;
  /*
   Over all of its sockets.
   */
  uint64_t datagrams_received;
  /*
   Datagrams that belonged to no link.
   */
  uint64_t datagrams_unrouted;
  /*
   What the kernel gave to receive into, in bytes; a small one costs throughput.
   */
  uint64_t socket_receive_buffer;
  /*
   What the kernel gave to send from, in bytes; a small one costs throughput.
   */
  uint64_t socket_send_buffer;
} rtcswarm_stats;

/*
 A track to be added to a stream. The names are NUL-terminated UTF-8 of 1 to 256 bytes.

 With a `codec` (RTCSWARM_CODEC_…) this side sends it; `media` is then 0 or the codec's. With only `media`
 (RTCSWARM_MEDIA_…) it is negotiated before there is anything to send, which rtcswarm_replace_track begins.
 With neither it is expected from the other side.
 */
typedef struct rtcswarm_track_spec {
  /*
   The name of its stream.
   */
  const char *stream;
  /*
   Of its own over all streams of the swarm: the other side's track of the same name comes over the same
   transceiver.
   */
  const char *name;
  /*
   RTCSWARM_MEDIA_…, or 0
   */
  int32_t media;
  /*
   RTCSWARM_CODEC_…, or 0
   */
  int32_t codec;
} rtcswarm_track_spec;

/*
 Figures of a peer's track, or of one of this side's on the way to that peer. Set `struct_size` to
 sizeof(rtcswarm_track_stats) before the call. What makes no sense for its direction is 0, or negative where
 that is said. New fields come last.
 */
typedef struct rtcswarm_track_stats {
  /*
   sizeof(rtcswarm_track_stats).
   */
  size_t struct_size;
  /*
   Sent or received, repeated ones among the received too.
   */
  uint64_t packets;
  /*
   Of their payload.
   */
  uint64_t bytes;
  /*
   Frames that were sent, or that were put together.
   */
  uint64_t frames;
  /*
   Packets that did not arrive: here, or as the other side last reported (RFC 3550, 6.4.1).
   */
  uint64_t lost;
  /*
   Packets that came too late or twice.
   */
  uint64_t useless;
  /*
   Received frames or packets that were not taken in time (rtcswarm_config_set_media_queue).
   */
  uint64_t dropped;
  /*
   Packets that the other side asked for again.
   */
  uint64_t retransmissions;
  /*
   How often the other side wanted a key frame.
   */
  uint64_t key_frame_requests;
  /*
   As in RFC 3550, in microseconds.
   */
  uint64_t jitter_us;
  /*
   By the other side's reports on what this side sends, in microseconds; negative if there is none yet.
   */
  int64_t round_trip_us;
  /*
   What the way to the other side is thought to take, in bits a second; negative if that is not known. The engine begins with
   300,000 and raises it slowly, to 1.4 million in about 20 s of a steady stream: an encoder need not stay below it
   while nothing is lost.
   */
  int64_t bitrate;
} rtcswarm_track_stats;

/*
 Limits of a hub. Fill it by rtcswarm_hub_limits_default, then change what is to be different. New fields
 come last.
 */
typedef struct rtcswarm_hub_limits {
  /*
   sizeof(rtcswarm_hub_limits).
   */
  size_t struct_size;
  /*
   Of one client's message, in bytes.
   */
  size_t max_message_bytes;
  /*
   Of one client, sustained; twice that in a burst, and 16 more for each member that it is paired with by a join.
   */
  uint32_t messages_per_second;
  /*
   Members of one room.
   */
  uint32_t members_per_room;
  /*
   Rooms at once.
   */
  uint32_t rooms;
  /*
   Spare offers kept for one member.
   */
  uint32_t spares_per_member;
  /*
   How long a member whose transport was lost may take to come back before the others are told that it
   left, in milliseconds.
   */
  uint32_t grace_ms;
  /*
   From rtcswarm_hub_connect to the client's `init`, in milliseconds.
   */
  uint32_t init_timeout_ms;
} rtcswarm_hub_limits;

/*
 What the carrier has to do.
 */
typedef struct rtcswarm_hub_output {
  /*
   RTCSWARM_HUB_SEND or RTCSWARM_HUB_CLOSE
   */
  int32_t kind;
  /*
   Of RTCSWARM_HUB_CLOSE, else 0.
   */
  int32_t close_code;
  /*
   Whose transport it is for.
   */
  uint64_t session;
  /*
   NUL-terminated UTF-8 of `length` bytes; good as long as the output is.
   */
  const char *text;
  /*
   In bytes.
   */
  size_t length;
} rtcswarm_hub_output;

/*
 Figures of a hub. Set `struct_size` to sizeof(rtcswarm_hub_stats) before the call. New fields come last.
 */
typedef struct rtcswarm_hub_stats {
  /*
   sizeof(rtcswarm_hub_stats).
   */
  size_t struct_size;
  /*
   Clients whose transports are open.
   */
  uint64_t sessions;
  /*
   Rooms with a member.
   */
  uint64_t rooms;
  /*
   Members of all rooms.
   */
  uint64_t members;
  /*
   Spare offers that are kept.
   */
  uint64_t spares;
  /*
   Connections between two members, as far as the hub knows of them.
   */
  uint64_t links;
} rtcswarm_hub_stats;

/*
 Hears a line of the log, on any thread of the library and on one that waits in rtcswarm_next_event, several
 at a time: where in the library, and the message, both NUL-terminated and good until it returns. It must not
 call into the library.
 */
typedef void (*rtcswarm_log_callback)(int32_t level, const char *target, const char *message, void *user_data);



#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/*
 The version of the library that is loaded: major * 65536 + minor * 256 + patch. Any thread.
 */
uint32_t rtcswarm_version(void);

/*
 The same as text, "0.1.0". Static. Any thread.
 */
const char *rtcswarm_version_string(void);

/*
 The name of a status, as in this header: "RTCSWARM_ERR_NO_PEER". Static; "unknown" for any other number.
 Any thread.
 */
const char *rtcswarm_status_name(int32_t status);

/*
 What went wrong in the last call of this thread that failed, in words; empty if none has. Set by every
 call that answers an error status (not by RTCSWARM_WOULD_BLOCK, RTCSWARM_TIMEOUT and RTCSWARM_WOKEN). The
 text belongs to the library and is good until the next failing call of the same thread.
 */
const char *rtcswarm_last_error_message(void);

/*
 A new config with every default and no room and no user id. To be freed by rtcswarm_config_free. NULL
 only when there is no memory.
 */
struct rtcswarm_config *rtcswarm_config_new(void);

/*
 Frees a config. NULL is fine. Swarms made with it are not touched.
 */
void rtcswarm_config_free(struct rtcswarm_config *config);

/*
 The room to meet in: 1 to 256 bytes of UTF-8, NUL-terminated. Needed.
 */
int32_t rtcswarm_config_set_room(struct rtcswarm_config *config, const char *room);

/*
 The name of this member in the room: 1 to 256 bytes of UTF-8, NUL-terminated. Needed. The server checks
 it against the token.
 */
int32_t rtcswarm_config_set_user_id(struct rtcswarm_config *config, const char *user_id);

/*
 Lets the library keep a WebSocket to this signaling server (`ws://…` or `wss://…`), with this token (sent
 as `Authorization: Bearer`; NULL for none). Without this call the caller carries the signals:
 RTCSWARM_EVENT_SIGNAL out, rtcswarm_dispatch in.
 */
int32_t rtcswarm_config_set_signaling(struct rtcswarm_config *config, const char *url, const char *token);

/*
 A PEM file with further certificate authorities that may vouch for the signaling server, beside the
 system's. After rtcswarm_config_set_signaling.
 */
int32_t rtcswarm_config_set_signaling_ca_file(struct rtcswarm_config *config, const char *path);

/*
 Spare offers kept on the server for who comes next: 0 to 64, default 1. 0 costs each joiner one more
 round trip.
 */
int32_t rtcswarm_config_set_peer_buffer(struct rtcswarm_config *config, uint32_t offers);

/*
 Peers at most: 1 to 4096, default 128.
 */
int32_t rtcswarm_config_set_max_peers(struct rtcswarm_config *config, uint32_t peers);

/*
 Adds a STUN or TURN server: `stun:host[:port]` or `turn:host[:port]`, both over UDP. User name and
 credential are for TURN; NULL for none.
 */
int32_t rtcswarm_config_add_ice_server(struct rtcswarm_config *config,
                                       const char *url,
                                       const char *username,
                                       const char *credential);

/*
 RTCSWARM_ICE_ALL (default) or RTCSWARM_ICE_RELAY.
 */
int32_t rtcswarm_config_set_ice_transport_policy(struct rtcswarm_config *config, int32_t policy);

/*
 Adds a local address (IPv4 or IPv6, as text) to use. Without any: those of all suitable interfaces.
 */
int32_t rtcswarm_config_add_bind_address(struct rtcswarm_config *config, const char *address);

/*
 Adds an interface, by name, to use. Without any: all of them.
 */
int32_t rtcswarm_config_add_interface(struct rtcswarm_config *config, const char *name);

/*
 Which address families to use: both by default. Not 0 means yes.
 */
int32_t rtcswarm_config_set_ip_families(struct rtcswarm_config *config, int32_t ipv4, int32_t ipv6);

/*
 Whether loopback addresses are offered too, so that peers on one machine meet without a network. Default
 yes.
 */
int32_t rtcswarm_config_set_loopback(struct rtcswarm_config *config, int32_t loopback);

/*
 The local UDP port; 0 (default) for any free one.
 */
int32_t rtcswarm_config_set_port(struct rtcswarm_config *config, uint16_t port);

/*
 The largest message in bytes, sent or taken: 1 to 262144, the default, which is a browser's. Less saves
 memory where the peer is a browser.
 */
int32_t rtcswarm_config_set_max_message_size(struct rtcswarm_config *config, size_t bytes);

/*
 How much may wait in a channel's send buffer: past `high` bytes a send answers RTCSWARM_WOULD_BLOCK
 (default 1048576), and when it falls to `low` RTCSWARM_EVENT_WRITABLE follows (default 262144).
 */
int32_t rtcswarm_config_set_send_buffer(struct rtcswarm_config *config, size_t high, size_t low);

/*
 How many bytes of received messages may wait in the event queue before the channels are no longer read
 and the senders feel it. Default 4194304.
 */
int32_t rtcswarm_config_set_receive_queue(struct rtcswarm_config *config, size_t bytes);

/*
 How many bytes of received frames and packets of media may wait in the event queue before the oldest are
 dropped, and counted in rtcswarm_track_stats. Default 8388608.
 */
int32_t rtcswarm_config_set_media_queue(struct rtcswarm_config *config, size_t bytes);

/*
 Not 0: media comes as RTP packets, as they come (RTCSWARM_EVENT_RTP), and not as frames that were put in order
 (RTCSWARM_EVENT_FRAME, the default).
 */
int32_t rtcswarm_config_set_receive_rtp(struct rtcswarm_config *config,
                                        int32_t receive_rtp);

/*
 One of the deadlines RTCSWARM_TIMEOUT_…, in milliseconds; 1 to a day.
 */
int32_t rtcswarm_config_set_timeout(struct rtcswarm_config *config, int32_t which, uint32_t milliseconds);

/*
 Makes a swarm from a config: binds its sockets and is silent until rtcswarm_start. `*out` is set only on
 RTCSWARM_OK and is to be freed by rtcswarm_free. RTCSWARM_ERR_INVALID says what is wrong with the config.
 */
int32_t rtcswarm_new(const struct rtcswarm_config *config, struct rtcswarm **out);

/*
 Joins the room. No event comes before this call. Once: RTCSWARM_ERR_STATE after that.
 */
int32_t rtcswarm_start(struct rtcswarm *swarm);

/*
 Another token for the library's own signaling connection, such as one that lasts longer. The session that is
 there goes on with the old token; when that one's time is over, a new session begins at once with the new
 one. A swarm that was refused (RTCSWARM_STATE_REFUSED) tries again at once, unless a newer swarm of the same user
 has superseded it: that is final. Open peers are not touched by any of it. RTCSWARM_ERR_STATE where the caller carries the signals.
 */
int32_t rtcswarm_set_token(struct rtcswarm *swarm,
                           const char *token);

/*
 The STUN and TURN servers of `config`, and no others, from now on: for TURN credentials that are good for a time only,
 before it is over, or when an error event says RTCSWARM_ERR_ICE_SERVER. Nothing else of `config` is looked at. Links go
 on, and spare offers are made anew.
 */
int32_t rtcswarm_set_ice_servers(struct rtcswarm *swarm,
                                 const struct rtcswarm_config *config);

/*
 Gives the swarm one message that its signaling server sent: a JSON object as UTF-8, with its length. Only
 where the caller carries the signals. RTCSWARM_ERR_MALFORMED says what is wrong with it; messages of an
 unknown type are ignored, as the protocol wants it. RTCSWARM_WOULD_BLOCK: the swarm has not yet dealt
 with those before; try again soon.
 */
int32_t rtcswarm_dispatch(struct rtcswarm *swarm, const char *json, size_t length);

/*
 Leaves the room: tells the peers and the server, sends what is queued (for RTCSWARM_TIMEOUT_CLOSE at
 most), and ends with RTCSWARM_EVENT_CLOSED. Returns at once. Idempotent; from here on sends answer
 RTCSWARM_ERR_CLOSED.
 */
int32_t rtcswarm_close(struct rtcswarm *swarm);

/*
 Frees a swarm, closing it first if that was not done. NULL is fine. No callback runs after it returns,
 and a call that waits in another thread ends with RTCSWARM_ERR_CLOSED. Outside of a callback it waits for
 a running one, and (RTCSWARM_TIMEOUT_CLOSE and two seconds at most) until sockets and memory are given back. Inside a
 callback of the same swarm it returns at once; the rest happens when the callback has returned, and until
 then calls on it answer RTCSWARM_ERR_CLOSED. Two swarms must not free each other, each inside a callback. In
 a forked child it does nothing. Events that were taken stay valid.
 */
void rtcswarm_free(struct rtcswarm *swarm);

/*
 The name of an event's kind, for logs: "peer open". Static; "unknown" for any other number. Any thread.
 */
const char *rtcswarm_event_name(int32_t kind);

/*
 The name of a reason, for logs: "remote close". Static; "unknown" for any other number. Any thread.
 */
const char *rtcswarm_reason_name(int32_t reason);

/*
 Waits for the next event: at most `timeout_ms`, 0 for not at all, negative for ever. RTCSWARM_OK: `*out`
 is the event, to be freed by rtcswarm_event_free. RTCSWARM_TIMEOUT and RTCSWARM_WOKEN: there is none,
 `*out` is NULL. RTCSWARM_ERR_CLOSED: the last event was taken, or the swarm was freed. RTCSWARM_ERR_BUSY:
 events go to a callback. Several threads may wait; each event goes to one. `*out` is NULL whenever there is
 none.
 */
int32_t rtcswarm_next_event(struct rtcswarm *swarm, int32_t timeout_ms, struct rtcswarm_event **out);

/*
 Frees an event and all that it points to. NULL is fine. Any thread, also after rtcswarm_free.
 */
void rtcswarm_event_free(struct rtcswarm_event *event);

/*
 Makes one rtcswarm_next_event, one that waits or else the next, answer RTCSWARM_WOKEN. Any thread.
 */
int32_t rtcswarm_wakeup(struct rtcswarm *swarm);

/*
 A descriptor that is readable (level-triggered) while rtcswarm_next_event would not wait: for poll,
 select, epoll, kqueue or asyncio. It belongs to the swarm: do not read, write or close it; it is gone
 with rtcswarm_free. Not on Windows (RTCSWARM_ERR_UNSUPPORTED).
 */
int32_t rtcswarm_get_fd(struct rtcswarm *swarm, int32_t *out);

/*
 Gives every event to `callback`, on one thread that this call starts. To be called before rtcswarm_start
 (RTCSWARM_ERR_STATE after that), once; from then on rtcswarm_next_event and rtcswarm_get_fd answer
 RTCSWARM_ERR_BUSY, and this call does so once events are pulled. `finalizer` (may be NULL) is called with
 `user_data` exactly once: after RTCSWARM_EVENT_CLOSED or rtcswarm_free, when no callback will come any
 more. After an error status it is not called. Neither may throw (C++) or jump out.
 */
int32_t rtcswarm_set_event_callback(struct rtcswarm *swarm,
                                    rtcswarm_event_callback callback,
                                    void *user_data,
                                    rtcswarm_finalizer finalizer);

/*
 The same for RTCSWARM_EVENT_PEER_OPEN alone. Each of the nine may be set beside the others and beside the
 callback for all.
 */
int32_t rtcswarm_on_open(struct rtcswarm *swarm,
                         rtcswarm_event_callback callback,
                         void *user_data,
                         rtcswarm_finalizer finalizer);

/*
 The same for RTCSWARM_EVENT_PEER_CLOSED and RTCSWARM_EVENT_PEER_FAILED.
 */
int32_t rtcswarm_on_close(struct rtcswarm *swarm,
                          rtcswarm_event_callback callback,
                          void *user_data,
                          rtcswarm_finalizer finalizer);

/*
 The same for RTCSWARM_EVENT_TEXT and RTCSWARM_EVENT_BINARY.
 */
int32_t rtcswarm_on_data(struct rtcswarm *swarm,
                         rtcswarm_event_callback callback,
                         void *user_data,
                         rtcswarm_finalizer finalizer);

/*
 The same for RTCSWARM_EVENT_SIGNAL.
 */
int32_t rtcswarm_on_signal(struct rtcswarm *swarm,
                           rtcswarm_event_callback callback,
                           void *user_data,
                           rtcswarm_finalizer finalizer);

/*
 The same for RTCSWARM_EVENT_ERROR.
 */
int32_t rtcswarm_on_error(struct rtcswarm *swarm,
                          rtcswarm_event_callback callback,
                          void *user_data,
                          rtcswarm_finalizer finalizer);

/*
 The same for RTCSWARM_EVENT_PEER_STATE and RTCSWARM_EVENT_SIGNALING_STATE.
 */
int32_t rtcswarm_on_connection(struct rtcswarm *swarm,
                               rtcswarm_event_callback callback,
                               void *user_data,
                               rtcswarm_finalizer finalizer);

/*
 The same for RTCSWARM_EVENT_STREAM.
 */
int32_t rtcswarm_on_stream(struct rtcswarm *swarm,
                           rtcswarm_event_callback callback,
                           void *user_data,
                           rtcswarm_finalizer finalizer);

/*
 The same for what is said of tracks: RTCSWARM_EVENT_TRACK, RTCSWARM_EVENT_TRACK_MUTED,
 RTCSWARM_EVENT_TRACK_ENDED and RTCSWARM_EVENT_KEY_FRAME_WANTED.
 */
int32_t rtcswarm_on_track(struct rtcswarm *swarm,
                          rtcswarm_event_callback callback,
                          void *user_data,
                          rtcswarm_finalizer finalizer);

/*
 The same for RTCSWARM_EVENT_FRAME and RTCSWARM_EVENT_RTP.
 */
int32_t rtcswarm_on_frame(struct rtcswarm *swarm,
                          rtcswarm_event_callback callback,
                          void *user_data,
                          rtcswarm_finalizer finalizer);

/*
 Sends one binary message of 0 to 262144 bytes to one peer. Returns at once, having queued all of it or
 nothing: RTCSWARM_OK, or RTCSWARM_WOULD_BLOCK (the peer's send buffer is full; one
 RTCSWARM_EVENT_WRITABLE follows), or RTCSWARM_ERR_NO_PEER, RTCSWARM_ERR_TOO_LARGE, RTCSWARM_ERR_CLOSED,
 RTCSWARM_ERR_STATE (not started). The data is copied.
 */
int32_t rtcswarm_send(struct rtcswarm *swarm, uint64_t peer, const uint8_t *data, size_t length);

/*
 The same for a text message: UTF-8, with its length in bytes, no NUL needed. RTCSWARM_ERR_INVALID if it
 is not UTF-8, and RTCSWARM_ERR_RESERVED if it begins with `@fast`, which the protocol keeps for itself.
 */
int32_t rtcswarm_send_text(struct rtcswarm *swarm, uint64_t peer, const char *text, size_t length);

/*
 Sends one binary message to every open peer. RTCSWARM_OK also where some were skipped: those whose send
 buffers were full (RTCSWARM_EVENT_WRITABLE follows for each of these), who take no message as large as
 this, or who were just ending; rtcswarm_send to one peer says which. `reached` and `skipped`, each NULL or
 valid, say how many.
 */
int32_t rtcswarm_broadcast(struct rtcswarm *swarm,
                           const uint8_t *data,
                           size_t length,
                           size_t *reached,
                           size_t *skipped);

/*
 The same for a text message.
 */
int32_t rtcswarm_broadcast_text(struct rtcswarm *swarm,
                                const char *text,
                                size_t length,
                                size_t *reached,
                                size_t *skipped);

/*
 Opens a further channel to a native peer (RTCSWARM_FLAG_NATIVE; RTCSWARM_ERR_UNSUPPORTED for others) and
 gives its number. RTCSWARM_EVENT_CHANNEL_OPEN follows at both ends; until then sends on it answer
 RTCSWARM_ERR_NO_CHANNEL. `label` and `protocol` (may be NULL) are UTF-8 of 256 bytes at most; several
 channels may have one label. `ordered`: not 0 for messages in the order in which they were sent.
 `reliability` is RTCSWARM_RELIABLE, RTCSWARM_MAX_RETRANSMITS or RTCSWARM_MAX_LIFETIME with its `limit` of
 0 to 65535. RTCSWARM_ERR_UNSUPPORTED also where the peer has as many channels as it may; RTCSWARM_ERR_STATE
 while the link to the peer is made anew.
 */
int32_t rtcswarm_channel_open(struct rtcswarm *swarm,
                              uint64_t peer,
                              const char *label,
                              const char *protocol,
                              int32_t ordered,
                              int32_t reliability,
                              uint32_t limit,
                              uint32_t *out);

/*
 rtcswarm_send on any open channel of a peer. On one that is not both ordered and reliable a native peer is sent
 49152 bytes at most.
 */
int32_t rtcswarm_channel_send(struct rtcswarm *swarm,
                              uint64_t peer,
                              uint32_t channel,
                              const uint8_t *data,
                              size_t length);

/*
 rtcswarm_send_text on any open channel of a peer.
 */
int32_t rtcswarm_channel_send_text(struct rtcswarm *swarm,
                                   uint64_t peer,
                                   uint32_t channel,
                                   const char *text,
                                   size_t length);

/*
 Closes a further channel; RTCSWARM_EVENT_CHANNEL_CLOSED follows at both ends. What was sent on it before still
 arrives; what the peer has sent and this side has not taken yet does not. RTCSWARM_ERR_INVALID for
 RTCSWARM_CHANNEL_FAST, which ends with its peer.
 */
int32_t rtcswarm_channel_close(struct rtcswarm *swarm,
                               uint64_t peer,
                               uint32_t channel);

/*
 Gives the bytes that were accepted for a channel and are not acknowledged by the peer yet.
 */
int32_t rtcswarm_channel_buffered(struct rtcswarm *swarm, uint64_t peer, uint32_t channel, size_t *out);

/*
 Lets go of one peer: it is told, and RTCSWARM_EVENT_PEER_CLOSED follows. It may come back, as another
 peer, by joining again.
 */
int32_t rtcswarm_peer_close(struct rtcswarm *swarm, uint64_t peer);

/*
 Gives the ids of the open peers, in the order in which they opened: the first `capacity` of them into
 `ids`, and how many there are into `count`. `ids` may be NULL if `capacity` is 0.
 */
int32_t rtcswarm_peers(struct rtcswarm *swarm, uint64_t *ids, size_t capacity, size_t *count);

/*
 Copies an open peer's user id into `buffer`, NUL-terminated and cut at `capacity` bytes (at a character),
 and gives its full length without the NUL. `buffer` may be NULL if `capacity` is 0; `length` may be NULL.
 257 bytes are always enough for a user id that this library's server lets in.
 */
int32_t rtcswarm_peer_user_id(struct rtcswarm *swarm,
                              uint64_t peer,
                              char *buffer,
                              size_t capacity,
                              size_t *length);

/*
 Gives an open peer's figures.
 */
int32_t rtcswarm_get_peer_stats(struct rtcswarm *swarm, uint64_t peer, struct rtcswarm_peer_stats *out);

/*
 Gives a swarm's figures.
 */
int32_t rtcswarm_get_stats(struct rtcswarm *swarm, struct rtcswarm_stats *out);

/*
 The name of a codec, as in session descriptions: "VP8". Static; "unknown" for any other number. Any thread.
 */
const char *rtcswarm_codec_name(int32_t codec);

/*
 Gives these tracks to every peer there is and will be, before rtcswarm_start or after: all of them, or none.
 `ids`, NULL or with room for `count`, gets their numbers, which are never used again in the process. The
 peers hear of them as RTCSWARM_EVENT_TRACK and RTCSWARM_EVENT_STREAM.

 A name that there is already keeps its number. It becomes what is said now and is muted no more, unless that
 is less than it is: then nothing changes. A name is the same track in every stream, so two cameras have two
 names. A track that is only expected holds the peers' RTCSWARM_EVENT_STREAM back until there is one of its name.
 RTCSWARM_ERR_INVALID for the other kind, for more than 64 tracks,
 and for names that are none.
 */
int32_t rtcswarm_add_tracks(struct rtcswarm *swarm,
                            const struct rtcswarm_track_spec *specs,
                            size_t count,
                            uint64_t *ids);

/*
 Not 0: sends the track to nobody any more; peers hear RTCSWARM_EVENT_TRACK_MUTED, those that come later do
 not get it, or hear that at once. 0: to everybody again. Wait for RTCSWARM_EVENT_KEY_FRAME_WANTED then, which says that a peer
 takes it. RTCSWARM_ERR_NO_TRACK if no track of this side's has the number.
 */
int32_t rtcswarm_mute(struct rtcswarm *swarm,
                      uint64_t track,
                      int32_t muted);

/*
 From now on the track is sent in this codec (RTCSWARM_CODEC_…), of its kind: another one than before, or the
 first. Begin with a key frame. RTCSWARM_ERR_NO_TRACK, or RTCSWARM_ERR_INVALID for a codec of the other kind.
 */
int32_t rtcswarm_replace_track(struct rtcswarm *swarm,
                               uint64_t track,
                               int32_t codec);

/*
 Sends one encoded frame of 1 to 4194304 bytes of a track of this side's to every peer that takes it; the
 codec says what a frame is. `rtp_time` is when it is to be shown, by any clock that begins anywhere and wraps
 around. `flags`: RTCSWARM_FLAG_KEY_FRAME if it needs none before it, else 0. The data is copied, and arrives as it is, but for
 H.264's start codes and AV1's temporal delimiters. Never waits,
 and has no RTCSWARM_WOULD_BLOCK: what a path is too slow for is dropped. Frames of one track go in the order of
 the calls, so let one thread make them.

 RTCSWARM_OK also where nobody took it: `reached` and `skipped`, each NULL or valid, say how many peers did and
 did not, such as those that negotiate still, know no such codec, or all of them while the track is muted.
 RTCSWARM_ERR_NO_TRACK, RTCSWARM_ERR_STATE (not started, or the track has no codec), RTCSWARM_ERR_TOO_LARGE,
 RTCSWARM_ERR_CLOSED, RTCSWARM_ERR_INVALID (it cannot be a frame of that codec;
 what is in it is not looked at).
 */
int32_t rtcswarm_send_frame(struct rtcswarm *swarm,
                            uint64_t track,
                            const uint8_t *data,
                            size_t length,
                            uint32_t rtp_time,
                            uint32_t flags,
                            size_t *reached,
                            size_t *skipped);

/*
 The same for one RTP packet (RFC 3550), for who has packets and no frames; in the order in which they are to
 be sent. Its timestamp, marker and payload (1120 bytes at most) go to every peer; payload type, source and
 sequence number become those that each peer knows. RTCSWARM_ERR_INVALID if it is none.
 */
int32_t rtcswarm_send_rtp(struct rtcswarm *swarm,
                          uint64_t track,
                          const uint8_t *packet,
                          size_t length,
                          size_t *reached,
                          size_t *skipped);

/*
 Asks a peer for a key frame of one of its tracks: for who decodes only now. One that is needed after a loss is
 asked for without it. More than about three times a second changes nothing. RTCSWARM_ERR_NO_TRACK if that peer
 has no such track.
 */
int32_t rtcswarm_request_key_frame(struct rtcswarm *swarm,
                                   uint64_t peer,
                                   uint64_t track);

/*
 Gives figures of a track: of that peer's, or of one of this side's to that peer.
 */
int32_t rtcswarm_get_track_stats(struct rtcswarm *swarm,
                                 uint64_t peer,
                                 uint64_t track,
                                 struct rtcswarm_track_stats *out);

/*
 Fills `limits` with the defaults; its `struct_size` must be set before.
 */
int32_t rtcswarm_hub_limits_default(struct rtcswarm_hub_limits *limits);

/*
 Makes a hub. `limits` may be NULL for the defaults. `*out` is to be freed by rtcswarm_hub_free.
 */
int32_t rtcswarm_hub_new(const struct rtcswarm_hub_limits *limits, struct rtcswarm_hub **out);

/*
 Frees a hub. NULL is fine. Nobody is told; close the transports yourself. Outputs that were taken stay
 valid.
 */
void rtcswarm_hub_free(struct rtcswarm_hub *hub);

/*
 A client whose transport is open and whom the caller has authenticated as `user_id` (NUL-terminated
 UTF-8). `rooms` are the `room_count` names of rooms that it may join; NULL with a count of 0 lets it join any.
 A list without a room is refused, but see to it that yours is not NULL when it is empty, as that of `malloc(0)`
 may be. Gives its session, never used again.
 */
int32_t rtcswarm_hub_connect(struct rtcswarm_hub *hub,
                             const char *user_id,
                             const char *const *rooms,
                             size_t room_count,
                             uint64_t *session);

/*
 One text message that the client sent. What is wrong with it the client hears by an output; a session
 that is gone is ignored. Take the outputs after this.
 */
int32_t rtcswarm_hub_receive(struct rtcswarm_hub *hub, uint64_t session, const char *message, size_t length);

/*
 The client's transport is gone. Idempotent; a session that is gone already is ignored.
 */
int32_t rtcswarm_hub_disconnect(struct rtcswarm_hub *hub, uint64_t session);

/*
 Tells every client to go (RTCSWARM_HUB_CLOSE outputs with code 1001).
 */
int32_t rtcswarm_hub_shut_down(struct rtcswarm_hub *hub);

/*
 Does what is due (deadlines, grace periods) and gives the milliseconds until it is to be called again at
 the latest (`next_ms` may be NULL), or -1 if nothing is planned. Call it after each of the calls above,
 too, or once a second.
 */
int32_t rtcswarm_hub_tick(struct rtcswarm_hub *hub, int64_t *next_ms);

/*
 Gives the next thing to do, in order: RTCSWARM_OK with `*out` to be freed by rtcswarm_hub_output_free, or
 RTCSWARM_TIMEOUT with NULL if there is nothing. Take them until there is nothing, on one thread at a
 time, or their order is lost.
 */
int32_t rtcswarm_hub_next_output(struct rtcswarm_hub *hub, struct rtcswarm_hub_output **out);

/*
 Frees an output. NULL is fine.
 */
void rtcswarm_hub_output_free(struct rtcswarm_hub_output *output);

/*
 Gives a hub's figures.
 */
int32_t rtcswarm_hub_get_stats(struct rtcswarm_hub *hub, struct rtcswarm_hub_stats *out);

/*
 Gives the log of the library's own threads, and of those that wait in rtcswarm_next_event and do their
 work, of the whole process, to `callback`: messages of `max_level` (RTCSWARM_LOG_…) and graver ones. Without
 one the library is silent: it never prints. NULL ends it.
 `finalizer` (may be NULL) is called with `user_data` once, when the callback was replaced and is not
 running any more. Any thread.
 */
int32_t rtcswarm_set_log_callback(int32_t max_level,
                                  rtcswarm_log_callback callback,
                                  void *user_data,
                                  rtcswarm_finalizer finalizer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* RTCSWARM_H */
