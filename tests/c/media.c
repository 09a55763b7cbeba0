/* Media: streams and tracks, muting, frames both ways, packets, key frames, slow readers; and what callers get wrong. */
#define _POSIX_C_SOURCE 200809L

#include "harness.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define INVALID RTCSWARM_ERR_INVALID
#define NO_TRACK RTCSWARM_ERR_NO_TRACK
/* Nothing that may be read. */
#define GARBAGE ((void *)1)
#define LARGEST_FRAME 4194304

static struct member *alice, *bob;
static uint64_t of_alice, of_bob; /* as the other one numbers them */
static uint64_t tracks[2];        /* of alice's */

static const rtcswarm_track_spec CAM[2] = {{"cam", "audio", 0, RTCSWARM_CODEC_OPUS},
                                           {"cam", "video", RTCSWARM_MEDIA_VIDEO, RTCSWARM_CODEC_VP8}};

static void two_meet(struct room *room, rtcswarm_config *config_of_bob) {
  room_open(room);
  alice = room_join(room, "alice");
  bob = room_add(room, "bob", config_of_bob);
  OK(rtcswarm_start(bob->swarm));
  of_bob = await_peer(room, alice, "bob");
  of_alice = await_peer(room, bob, "alice");
}

/* The number that a peer's track of that name has here; waits for it. */
static uint64_t await_track(struct room *room, struct member *member, const char *name) {
  for (;;) {
    const rtcswarm_event *event = await(room, member, RTCSWARM_EVENT_TRACK);
    CHECK(event->track != 0 && event->peer != 0 && event->data == NULL && event->tracks == NULL);
    if (strcmp(event->name, name) == 0) return event->track;
  }
}

/* Alice has a camera, which bob takes; `theirs` are its tracks as he numbers them. */
static void alice_streams(struct room *room, uint64_t theirs[2]) {
  OK(rtcswarm_add_tracks(alice->swarm, CAM, 2, tracks));
  CHECK(tracks[0] != 0 && tracks[1] != 0 && tracks[0] != tracks[1]);
  theirs[0] = await_track(room, bob, "audio");
  theirs[1] = await_track(room, bob, "video");
  const rtcswarm_event *wanted = await(room, alice, RTCSWARM_EVENT_KEY_FRAME_WANTED);
  CHECK(wanted->track == tracks[1] && wanted->peer == of_bob && strcmp(wanted->user_id, "bob") == 0);
}

static void streams_of_both(void) {
  struct room room;
  room_open(&room);
  /* Before the start: peers get it when they come. */
  alice = room_add(&room, "alice", NULL);
  OK(rtcswarm_add_tracks(alice->swarm, CAM, 2, tracks));
  OK(rtcswarm_start(alice->swarm));
  bob = room_join(&room, "bob");
  of_bob = await_peer(&room, alice, "bob");
  of_alice = await_peer(&room, bob, "alice");
  const rtcswarm_event *stream = await(&room, bob, RTCSWARM_EVENT_STREAM);
  CHECK(stream->peer == of_alice && strcmp(stream->name, "cam") == 0 && strcmp(stream->user_id, "alice") == 0);
  CHECK(stream->track_count == 2 && stream->track == 0 && stream->media == 0);
  for (int i = 0; i < 2; i++) {
    const rtcswarm_event *track = await(&room, bob, RTCSWARM_EVENT_TRACK);
    bool audio = strcmp(track->name, "audio") == 0;
    CHECK(audio || strcmp(track->name, "video") == 0);
    CHECK(track->media == (audio ? RTCSWARM_MEDIA_AUDIO : RTCSWARM_MEDIA_VIDEO));
    CHECK(track->track == stream->tracks[0] || track->track == stream->tracks[1]);
    CHECK(track->peer == of_alice && track->codec == 0 && track->flags == 0);
  }

  /* The same names, by who came later, over the same transceivers; and one more, in two streams. */
  const rtcswarm_track_spec more[] = {{"cam", "video", 0, RTCSWARM_CODEC_VP8},
                                      {"cam", "audio", RTCSWARM_MEDIA_AUDIO, RTCSWARM_CODEC_OPUS},
                                      {"screen", "scr\xc3\xb6\xc3\xb6n", 0, RTCSWARM_CODEC_VP9},
                                      {"both", "video", 0, 0}};
  uint64_t ids[4];
  OK(rtcswarm_add_tracks(bob->swarm, more, 4, ids));
  CHECK(ids[0] == ids[3] && ids[0] != ids[1] && ids[1] != ids[2]);
  uint64_t screen = await_track(&room, alice, more[2].name);
  bool seen[3] = {false};
  for (int i = 0; i < 3; i++) {
    stream = await(&room, alice, RTCSWARM_EVENT_STREAM);
    int which = strcmp(stream->name, "cam") == 0 ? 0 : strcmp(stream->name, "screen") == 0 ? 1 : 2;
    CHECK(!seen[which] && stream->peer == of_bob && stream->track_count == (which == 0 ? 2 : 1));
    if (which == 1) CHECK(stream->tracks[0] == screen);
    seen[which] = true;
  }

  /* Again: the same numbers, and nothing that anybody hears of. */
  uint64_t again[2] = {0};
  OK(rtcswarm_add_tracks(alice->swarm, CAM, 2, again));
  CHECK(again[0] == tracks[0] && again[1] == tracks[1]);
  OK(rtcswarm_add_tracks(alice->swarm, GARBAGE, 0, GARBAGE));
  room_close(&room);
}

static void await_mute(struct room *room, uint64_t track, bool muted) {
  const rtcswarm_event *event = await(room, bob, RTCSWARM_EVENT_TRACK_MUTED);
  CHECK(event->track == track && event->peer == of_alice);
  CHECK(event->flags == (muted ? RTCSWARM_FLAG_MUTED : 0));
}

static void muting(void) {
  struct room room;
  uint64_t theirs[2];
  two_meet(&room, NULL);
  alice_streams(&room, theirs);
  size_t reached = 7, skipped = 7;
  for (int round = 0; round < 2; round++) {
    OK(rtcswarm_mute(alice->swarm, tracks[1], 1));
    OK(rtcswarm_mute(alice->swarm, tracks[1], -1)); /* twice is once */
    await_mute(&room, theirs[1], true);
    OK(rtcswarm_send_frame(alice->swarm, tracks[1], (const uint8_t *)"\0x", 2, 0, RTCSWARM_FLAG_KEY_FRAME, &reached,
                           &skipped));
    CHECK(reached == 0 && skipped == 1);
    OK(rtcswarm_mute(alice->swarm, tracks[1], 0));
    await_mute(&room, theirs[1], false);
    CHECK(await(&room, alice, RTCSWARM_EVENT_KEY_FRAME_WANTED)->track == tracks[1]);
  }
  /* Who comes later gets the rest of it, and the muted one when it is muted no more. */
  OK(rtcswarm_mute(alice->swarm, tracks[0], 1));
  await_mute(&room, theirs[0], true);
  struct member *carol = room_join(&room, "carol");
  await_track(&room, carol, "video");
  OK(rtcswarm_mute(alice->swarm, tracks[0], 0));
  await_track(&room, carol, "audio");
  room_close(&room);
}

/* A frame as VP8's begin, or any other: all that the library looks at. */
static uint8_t *frame_of(size_t length, bool key, unsigned seed) {
  uint8_t *data = malloc(length);
  CHECK(data != NULL);
  for (size_t i = 0; i < length; i++) data[i] = (uint8_t)((i * 37 + i / 255 + seed) & 0xff);
  data[0] = key ? 0x10 : 0x11;
  return data;
}

static void send(struct member *from, uint64_t track, const uint8_t *data, size_t length, uint32_t time, bool key) {
  size_t reached = 7, skipped = 7;
  OK(rtcswarm_send_frame(from->swarm, track, data, length, time, key ? RTCSWARM_FLAG_KEY_FRAME : 0, &reached,
                         &skipped));
  CHECK(reached == 1 && skipped == 0);
}

static void expect_frame(struct room *room, struct member *to, uint64_t track, const uint8_t *data, size_t length,
                         uint32_t time, int32_t codec, bool key) {
  const rtcswarm_event *frame = await(room, to, RTCSWARM_EVENT_FRAME);
  CHECK(frame->track == track && frame->codec == codec && frame->rtp_time == time);
  CHECK(frame->media == (codec == RTCSWARM_CODEC_OPUS ? RTCSWARM_MEDIA_AUDIO : RTCSWARM_MEDIA_VIDEO));
  CHECK(frame->length == length && memcmp(frame->data, data, length) == 0);
  if (codec != RTCSWARM_CODEC_OPUS) CHECK(((frame->flags & RTCSWARM_FLAG_KEY_FRAME) != 0) == key);
  CHECK((frame->flags & RTCSWARM_FLAG_GAP) == 0 && frame->name == NULL);
}

static void frames_both_ways(void) {
  struct room room;
  uint64_t theirs[2], of_bobs[2];
  two_meet(&room, NULL);
  alice_streams(&room, theirs);
  OK(rtcswarm_add_tracks(bob->swarm, CAM, 2, of_bobs));
  uint64_t here[2] = {await_track(&room, alice, "audio"), await_track(&room, alice, "video")};
  CHECK(await(&room, bob, RTCSWARM_EVENT_KEY_FRAME_WANTED)->track == of_bobs[1]);
  const size_t sizes[] = {10, 1, 1119, 1120, 1121, 5000, 60000};
  uint32_t time = UINT32_MAX - 9000; /* wraps around on the way */
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    bool key = i % 3 == 0;
    uint8_t *data = frame_of(sizes[i], key, i);
    send(alice, tracks[1], data, sizes[i], time, key);
    expect_frame(&room, bob, theirs[1], data, sizes[i], time, RTCSWARM_CODEC_VP8, key);
    send(bob, of_bobs[1], data, sizes[i], time + 7, key);
    expect_frame(&room, alice, here[1], data, sizes[i], time + 7, RTCSWARM_CODEC_VP8, key);
    size_t audio = sizes[i] < 1000 ? sizes[i] : 1000;
    send(alice, tracks[0], data, audio, time, false);
    expect_frame(&room, bob, theirs[0], data, audio, time, RTCSWARM_CODEC_OPUS, false);
    send(bob, of_bobs[0], data, audio, time, true);
    expect_frame(&room, alice, here[0], data, audio, time, RTCSWARM_CODEC_OPUS, true);
    free(data);
    time += 3000;
  }
  /* Media and messages do not get into each other's way. */
  OK(rtcswarm_send_text(alice->swarm, of_bob, "text", 4));
  CHECK(await(&room, bob, RTCSWARM_EVENT_TEXT)->length == 4);

  rtcswarm_track_stats stats = {.struct_size = sizeof stats};
  OK(rtcswarm_get_track_stats(alice->swarm, of_bob, tracks[1], &stats));
  CHECK(stats.frames == 7 && stats.packets > 7 && stats.bytes > 60000 && stats.struct_size == sizeof stats);
  OK(rtcswarm_get_track_stats(bob->swarm, of_alice, theirs[1], &stats));
  CHECK(stats.frames == 7 && stats.packets > 7 && stats.dropped == 0 && stats.bitrate == -1);
  /* A caller of an older version, whose struct ended earlier. */
  memset(&stats, 0xaa, sizeof stats);
  stats.struct_size = offsetof(rtcswarm_track_stats, bytes);
  OK(rtcswarm_get_track_stats(bob->swarm, of_alice, theirs[1], &stats));
  CHECK(stats.packets > 7 && stats.bytes == UINT64_C(0xaaaaaaaaaaaaaaaa));
  room_close(&room);
}

/* Negotiated before there is anything, and then encoded, in one codec and in another one. */
static void a_warm_track_and_its_codecs(void) {
  struct room room;
  two_meet(&room, NULL);
  const rtcswarm_track_spec warm = {"cam", "video", RTCSWARM_MEDIA_VIDEO, 0};
  uint64_t mine;
  OK(rtcswarm_add_tracks(alice->swarm, &warm, 1, &mine));
  uint64_t theirs = await_track(&room, bob, "video");
  uint8_t *data = frame_of(3000, true, 1);
  EXPECT(RTCSWARM_ERR_STATE, rtcswarm_send_frame(alice->swarm, mine, data, 3000, 0, 0, NULL, NULL));
  EXPECT(INVALID, rtcswarm_replace_track(alice->swarm, mine, RTCSWARM_CODEC_OPUS));
  const int32_t codecs[] = {RTCSWARM_CODEC_VP8, RTCSWARM_CODEC_H264, RTCSWARM_CODEC_VP9, RTCSWARM_CODEC_VP8};
  /* As an access unit: parameter sets, and one IDR slice. */
  memcpy(data, "\0\0\0\1\x67\x42\xe0\x1f\0\0\0\1\x68\xce\x06\xe2\0\0\0\1\x65", 21);
  data[2999] = 1;
  for (int i = 0; i < 4; i++) {
    OK(rtcswarm_replace_track(alice->swarm, mine, codecs[i]));
    size_t reached = 0;
    for (double deadline = deadline_in(20); reached == 0; look_again_soon()) {
      room_pump(&room);
      OK(rtcswarm_send_frame(alice->swarm, mine, data, 3000, (uint32_t)i * 3000, RTCSWARM_FLAG_KEY_FRAME, &reached,
                             NULL));
      CHECK(now() < deadline);
    }
    expect_frame(&room, bob, theirs, data, 3000, (uint32_t)i * 3000, codecs[i], true);
  }
  free(data);
  room_close(&room);
}

static void key_frames_on_request(void) {
  struct room room;
  uint64_t theirs[2];
  two_meet(&room, NULL);
  alice_streams(&room, theirs);
  uint8_t *data = frame_of(100, true, 0);
  send(alice, tracks[1], data, 100, 0, true);
  expect_frame(&room, bob, theirs[1], data, 100, 0, RTCSWARM_CODEC_VP8, true);
  OK(rtcswarm_request_key_frame(bob->swarm, of_alice, theirs[1]));
  CHECK(await(&room, alice, RTCSWARM_EVENT_KEY_FRAME_WANTED)->track == tracks[1]);
  rtcswarm_track_stats stats = {.struct_size = sizeof stats};
  OK(rtcswarm_get_track_stats(alice->swarm, of_bob, tracks[1], &stats));
  CHECK(stats.key_frame_requests > 0);
  /* One of this side's own is no track of the peer's. */
  EXPECT(NO_TRACK, rtcswarm_request_key_frame(alice->swarm, of_bob, tracks[1]));
  free(data);
  room_close(&room);
}

static void packets(void) {
  struct room room;
  uint64_t theirs[2];
  rtcswarm_config *config = config_for("bob");
  OK(rtcswarm_config_set_receive_rtp(config, 1));
  two_meet(&room, config);
  alice_streams(&room, theirs);
  uint8_t packet[12 + 1120] = {0x80, 0x80 | 5, 0, 7, 1, 2, 3, 4, 9, 9, 9, 9};
  for (size_t i = 12; i < sizeof packet; i++) packet[i] = (uint8_t)i;
  size_t reached = 7, skipped = 7;
  OK(rtcswarm_send_rtp(alice->swarm, tracks[1], packet, sizeof packet, &reached, &skipped));
  CHECK(reached == 1 && skipped == 0);
  const rtcswarm_event *event = await(&room, bob, RTCSWARM_EVENT_RTP);
  CHECK(event->track == theirs[1] && event->peer == of_alice && event->codec == RTCSWARM_CODEC_VP8);
  /* Its marker, time and payload; type, number and source are the connection's. */
  CHECK(event->length >= sizeof packet && event->data[0] >> 6 == 2 && event->data[1] >> 7 == 1);
  CHECK(memcmp(event->data + 4, packet + 4, 4) == 0);
  CHECK(memcmp(event->data + event->length - 1120, packet + 12, 1120) == 0);
  /* A frame comes in packets, too. */
  uint8_t *data = frame_of(3000, true, 3);
  send(alice, tracks[1], data, 3000, 77, true);
  for (int i = 0; i < 3; i++) CHECK(await(&room, bob, RTCSWARM_EVENT_RTP)->track == theirs[1]);
  CHECK(count_of(bob, RTCSWARM_EVENT_FRAME) == 0);
  free(data);

  /* What is no packet. */
  uint8_t large[12 + 1121] = {0x80};
  EXPECT(INVALID, rtcswarm_send_rtp(alice->swarm, tracks[1], NULL, 5, NULL, NULL));
  EXPECT(INVALID, rtcswarm_send_rtp(alice->swarm, tracks[1], GARBAGE, 0, NULL, NULL));
  EXPECT(INVALID, rtcswarm_send_rtp(alice->swarm, tracks[1], packet, 11, NULL, NULL));
  EXPECT(INVALID, rtcswarm_send_rtp(alice->swarm, tracks[1], packet, SIZE_MAX, NULL, NULL));
  EXPECT(RTCSWARM_ERR_TOO_LARGE, rtcswarm_send_rtp(alice->swarm, tracks[1], large, sizeof large, NULL, NULL));
  EXPECT(NO_TRACK, rtcswarm_send_rtp(alice->swarm, theirs[1], packet, sizeof packet, NULL, NULL));
  for (unsigned i = 0; i < 256 * 16; i++) {
    /* Whatever it says of itself: sources, an extension, padding. */
    uint8_t broken[17] = {(uint8_t)i, 96, 0, 1};
    broken[13] = (uint8_t)(i >> 8);
    broken[16] = (uint8_t)(i >> 4);
    int32_t status = rtcswarm_send_rtp(alice->swarm, tracks[1], broken, sizeof broken, NULL, NULL);
    CHECK(status == RTCSWARM_OK || status == INVALID);
  }
  room_close(&room);
}

/* Who does not take its frames loses the oldest, is told so, and nothing else. */
static void a_slow_reader(void) {
  struct room room;
  uint64_t theirs[2];
  rtcswarm_config *config = config_for("bob");
  OK(rtcswarm_config_set_media_queue(config, 100000));
  two_meet(&room, config);
  alice_streams(&room, theirs);
  bob->by_callback = true; /* not pumped from here on */
  enum { COUNT = 100, LENGTH = 5000 };
  uint8_t *data = frame_of(LENGTH, true, 0);
  for (uint32_t i = 0; i < COUNT; i++) {
    send(alice, tracks[1], data, LENGTH, i * 3000, true);
    /* Not faster than they arrive, or it is the network that loses them. */
    rtcswarm_track_stats stats = {.struct_size = sizeof stats};
    for (double deadline = deadline_in(20); stats.frames + stats.dropped <= i; look_again_soon()) {
      OK(rtcswarm_get_track_stats(bob->swarm, of_alice, theirs[1], &stats));
      CHECK(now() < deadline);
    }
  }
  free(data);
  OK(rtcswarm_send_text(alice->swarm, of_bob, "text", 4));
  rtcswarm_track_stats stats = {.struct_size = sizeof stats};
  OK(rtcswarm_get_track_stats(bob->swarm, of_alice, theirs[1], &stats));
  CHECK(stats.dropped > COUNT - 100000 / LENGTH - 1 && stats.dropped < COUNT);
  bob->by_callback = false;
  await(&room, bob, RTCSWARM_EVENT_TEXT);
  size_t frames = count_of(bob, RTCSWARM_EVENT_FRAME);
  CHECK(frames + stats.dropped == COUNT);
  for (size_t i = 0; i < bob->event_count; i++) {
    if (bob->events[i]->kind != RTCSWARM_EVENT_FRAME) continue;
    CHECK(bob->events[i]->flags & RTCSWARM_FLAG_GAP);
    CHECK(bob->events[i]->rtp_time == (COUNT - frames) * 3000);
    break;
  }
  room_close(&room);
}

static void refused(rtcswarm *swarm, rtcswarm_track_spec spec) {
  /* With one that is fine, which is not added either. */
  const rtcswarm_track_spec specs[2] = {{"fine", "fine", 0, RTCSWARM_CODEC_OPUS}, spec};
  uint64_t ids[2] = {7, 7};
  EXPECT(INVALID, rtcswarm_add_tracks(swarm, specs, 2, ids));
  CHECK(ids[0] == 7 && ids[1] == 7);
}

static void tracks_that_cannot_be(void) {
  struct room room;
  two_meet(&room, NULL);
  rtcswarm *swarm = alice->swarm;
  char name[258];
  memset(name, 'n', sizeof name);
  name[257] = '\0';
  refused(swarm, (rtcswarm_track_spec){NULL, "a", 0, 0});
  refused(swarm, (rtcswarm_track_spec){"a", NULL, 0, 0});
  refused(swarm, (rtcswarm_track_spec){"", "a", 0, 0});
  refused(swarm, (rtcswarm_track_spec){"a", "", 0, 0});
  refused(swarm, (rtcswarm_track_spec){name, "a", 0, 0});
  refused(swarm, (rtcswarm_track_spec){"a", name, 0, 0});
  refused(swarm, (rtcswarm_track_spec){"a\xff", "a", 0, 0});
  refused(swarm, (rtcswarm_track_spec){"a", "a\xff", 0, 0});
  for (int32_t wrong = -1; wrong < 9; wrong++) {
    if (wrong < 0 || wrong > RTCSWARM_MEDIA_VIDEO) refused(swarm, (rtcswarm_track_spec){"a", "a", wrong, 0});
    if (wrong < 0 || wrong > RTCSWARM_CODEC_AV1) refused(swarm, (rtcswarm_track_spec){"a", "a", 0, wrong});
  }
  refused(swarm, (rtcswarm_track_spec){"a", "a", RTCSWARM_MEDIA_AUDIO, RTCSWARM_CODEC_VP8});
  refused(swarm, (rtcswarm_track_spec){"a", "a", RTCSWARM_MEDIA_VIDEO, RTCSWARM_CODEC_OPUS});
  refused(swarm, (rtcswarm_track_spec){"a", "a", INT32_MIN, INT32_MAX});
  EXPECT(INVALID, rtcswarm_add_tracks(swarm, NULL, 1, NULL));
  EXPECT(INVALID, rtcswarm_add_tracks(swarm, GARBAGE, SIZE_MAX, NULL));
  EXPECT(INVALID, rtcswarm_add_tracks(swarm, GARBAGE, 4097, NULL));

  /* 64 are as many as there may be: all of the next ones, or none. */
  rtcswarm_track_spec specs[65];
  char names[65][8] = {{0}};
  uint64_t ids[65] = {0};
  for (unsigned i = 0; i < 65; i++) {
    names[i][0] = (char)('a' + i % 26);
    names[i][1] = (char)('a' + i / 26);
    specs[i] = (rtcswarm_track_spec){"many", names[i], 0, 0};
  }
  EXPECT(INVALID, rtcswarm_add_tracks(swarm, specs, 65, ids));
  OK(rtcswarm_add_tracks(swarm, specs, 64, ids));
  for (int i = 1; i < 64; i++) CHECK(ids[i] > ids[i - 1]);
  EXPECT(INVALID, rtcswarm_add_tracks(swarm, &specs[64], 1, NULL));
  OK(rtcswarm_add_tracks(swarm, specs, 1, NULL)); /* who does not want its number */

  /* What there is stays of its kind, and becomes no less. */
  specs[0].codec = RTCSWARM_CODEC_VP9;
  OK(rtcswarm_add_tracks(swarm, specs, 1, &ids[64]));
  CHECK(ids[64] == ids[0]);
  specs[0].codec = RTCSWARM_CODEC_OPUS;
  EXPECT(INVALID, rtcswarm_add_tracks(swarm, specs, 1, NULL));
  specs[0].codec = 0;
  OK(rtcswarm_add_tracks(swarm, specs, 1, NULL));
  OK(rtcswarm_send_frame(swarm, ids[0], (const uint8_t *)"\x80", 1, 0, 0, NULL, NULL));
  room_close(&room);
}

static void calls_that_cannot_be(void) {
  struct room room;
  uint64_t theirs[2];
  two_meet(&room, NULL);
  alice_streams(&room, theirs);
  rtcswarm *swarm = alice->swarm;
  const uint8_t byte = 0x10;
  rtcswarm_track_stats stats = {.struct_size = sizeof stats};
  /* Numbers that were never given, are 0, or are the other side's. */
  const uint64_t strange[] = {0, UINT64_MAX, theirs[0], theirs[1]};
  for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) {
    EXPECT(NO_TRACK, rtcswarm_mute(swarm, strange[i], 1));
    EXPECT(NO_TRACK, rtcswarm_replace_track(swarm, strange[i], RTCSWARM_CODEC_OPUS));
    EXPECT(NO_TRACK, rtcswarm_send_frame(swarm, strange[i], &byte, 1, 0, 0, NULL, NULL));
    EXPECT(NO_TRACK, rtcswarm_request_key_frame(swarm, of_bob, strange[i]));
    EXPECT(NO_TRACK, rtcswarm_get_track_stats(swarm, of_bob, strange[i], &stats));
    EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_request_key_frame(swarm, strange[i], theirs[1]));
    EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_get_track_stats(swarm, strange[i], tracks[1], &stats));
  }
  for (int32_t wrong = -1; wrong < 9; wrong++) {
    if (wrong < 1 || wrong > RTCSWARM_CODEC_AV1) EXPECT(INVALID, rtcswarm_replace_track(swarm, tracks[1], wrong));
  }
  EXPECT(INVALID, rtcswarm_replace_track(swarm, tracks[0], RTCSWARM_CODEC_AV1));
  size_t reached = 7, skipped = 7;
  EXPECT(INVALID, rtcswarm_send_frame(swarm, tracks[1], NULL, 5, 0, 0, &reached, &skipped));
  EXPECT(INVALID, rtcswarm_send_frame(swarm, tracks[1], GARBAGE, 0, 0, 0, &reached, &skipped));
  EXPECT(INVALID, rtcswarm_send_frame(swarm, tracks[0], NULL, 0, 0, RTCSWARM_FLAG_KEY_FRAME, &reached, &skipped));
  EXPECT(INVALID, rtcswarm_send_frame(swarm, tracks[1], &byte, SIZE_MAX, 0, 0, &reached, &skipped));
  for (uint32_t flag = 1; flag != 0; flag <<= 1) {
    if (flag == RTCSWARM_FLAG_KEY_FRAME) continue;
    EXPECT(INVALID, rtcswarm_send_frame(swarm, tracks[1], &byte, 1, 0, flag, &reached, &skipped));
    EXPECT(INVALID, rtcswarm_send_frame(swarm, tracks[1], &byte, 1, 0, flag | RTCSWARM_FLAG_KEY_FRAME, NULL, NULL));
  }
  uint8_t *large = frame_of(LARGEST_FRAME + 1, true, 0);
  EXPECT(RTCSWARM_ERR_TOO_LARGE, rtcswarm_send_frame(swarm, tracks[1], large, LARGEST_FRAME + 1, 0, 0, NULL, NULL));
  free(large);
  CHECK(reached == 7 && skipped == 7);
  const size_t wrong[] = {0, sizeof(size_t) - 1, 4097, SIZE_MAX};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    memset(&stats, 0xaa, sizeof stats);
    stats.struct_size = wrong[i];
    EXPECT(INVALID, rtcswarm_get_track_stats(swarm, of_bob, tracks[1], &stats));
    CHECK(stats.packets == UINT64_C(0xaaaaaaaaaaaaaaaa));
  }
  EXPECT(INVALID, rtcswarm_get_track_stats(swarm, of_bob, tracks[1], NULL));

  /* A peer that is gone, with its tracks; and a swarm that is. */
  OK(rtcswarm_peer_close(bob->swarm, of_alice));
  await(&room, alice, RTCSWARM_EVENT_PEER_CLOSED);
  await(&room, bob, RTCSWARM_EVENT_PEER_CLOSED);
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_request_key_frame(bob->swarm, of_alice, theirs[1]));
  stats.struct_size = sizeof stats;
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_get_track_stats(bob->swarm, of_alice, theirs[1], &stats));
  OK(rtcswarm_send_frame(swarm, tracks[1], &byte, 1, 0, 0, &reached, &skipped));
  CHECK(reached == 0);
  OK(rtcswarm_close(swarm));
  EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_add_tracks(swarm, CAM, 2, NULL));
  EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_mute(swarm, tracks[1], 1));
  EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_replace_track(swarm, tracks[1], RTCSWARM_CODEC_VP9));
  EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_send_frame(swarm, tracks[1], &byte, 1, 0, 0, NULL, NULL));
  EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_send_rtp(swarm, tracks[1], &byte, 1, NULL, NULL));
  EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_request_key_frame(swarm, of_bob, theirs[1]));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_get_track_stats(swarm, of_bob, tracks[1], &stats));
  room_close(&room);
}

struct sender {
  pthread_t thread;
  uint64_t track;
  atomic_bool ends;
};

static void *send_many(void *user_data) {
  struct sender *sender = user_data;
  uint8_t *data = frame_of(2000, true, 0);
  uint32_t time = 0;
  while (!atomic_load(&sender->ends)) {
    OK(rtcswarm_send_frame(alice->swarm, sender->track, data, 2000, time += 3000, RTCSWARM_FLAG_KEY_FRAME, NULL, NULL));
    look_again_soon();
  }
  free(data);
  return NULL;
}

/* Threads of one track and of several, while it is muted and not, and while a peer comes and goes. */
static void many_threads(void) {
  struct room room;
  uint64_t theirs[2];
  two_meet(&room, NULL);
  alice_streams(&room, theirs);
  const rtcswarm_track_spec other = {"screen", "screen", 0, RTCSWARM_CODEC_VP8};
  struct sender senders[3] = {{.track = tracks[1]}, {.track = tracks[1]}, {.track = 0}};
  OK(rtcswarm_add_tracks(alice->swarm, &other, 1, &senders[2].track));
  for (int i = 0; i < 3; i++) CHECK(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]) == 0);
  struct member *carol = room_join(&room, "carol");
  await_track(&room, carol, "screen");
  await(&room, carol, RTCSWARM_EVENT_FRAME);
  for (int round = 0; round < 3; round++) {
    OK(rtcswarm_mute(alice->swarm, tracks[1], 1));
    await_mute(&room, theirs[1], true);
    OK(rtcswarm_mute(alice->swarm, tracks[1], 0));
    await_mute(&room, theirs[1], false);
    await(&room, bob, RTCSWARM_EVENT_FRAME);
  }
  rtcswarm_free(room_take(&room, carol));
  for (int i = 0; i < 3; i++) {
    atomic_store(&senders[i].ends, true);
    pthread_join(senders[i].thread, NULL);
  }
  room_close(&room);
}

int main(int argc, char **argv) {
  static const struct test tests[] = {
      {"streams_of_both", streams_of_both},
      {"muting", muting},
      {"frames_both_ways", frames_both_ways},
      {"a_warm_track_and_its_codecs", a_warm_track_and_its_codecs},
      {"key_frames_on_request", key_frames_on_request},
      {"packets", packets},
      {"a_slow_reader", a_slow_reader},
      {"tracks_that_cannot_be", tracks_that_cannot_be},
      {"calls_that_cannot_be", calls_that_cannot_be},
      {"many_threads", many_threads},
  };
  return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
