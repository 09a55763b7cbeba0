/* Callbacks: who is called, on which thread, what may be done inside, and the finalizer that comes once. */
#define _POSIX_C_SOURCE 200809L

#include "harness.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUSY RTCSWARM_ERR_BUSY
#define LAST_KIND RTCSWARM_EVENT_KEY_FRAME_WANTED

/* A registration, and what became of it. */
struct watch {
  struct room *room;
  struct member *member;
  void (*inside)(struct watch *watch, const rtcswarm_event *event);
  int32_t free_at; /* the kind of event at which to free the swarm; 0 for none */
  atomic_int calls, running, finalized, seen[LAST_KIND + 1];
  atomic_bool freed;
  pthread_t thread;
};

static void hear(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) {
  struct watch *watch = user_data;
  CHECK(atomic_load(&watch->finalized) == 0);
  CHECK(!atomic_load(&watch->freed));
  CHECK(atomic_fetch_add(&watch->running, 1) == 0); /* one at a time */
  if (atomic_fetch_add(&watch->calls, 1) == 0) watch->thread = pthread_self();
  CHECK(pthread_equal(watch->thread, pthread_self()));
  CHECK(event->kind >= RTCSWARM_EVENT_PEER_OPEN && event->kind <= LAST_KIND);
  if (event->kind == RTCSWARM_EVENT_SIGNAL && watch->room != NULL) {
    room_carry(watch->room, watch->member->session, (const char *)event->data, event->length);
  }
  if (watch->inside != NULL) watch->inside(watch, event);
  atomic_fetch_add(&watch->seen[event->kind], 1);
  if (event->kind == watch->free_at) {
    if (watch->room != NULL) CHECK(room_take(watch->room, watch->member) == swarm);
    rtcswarm_free(swarm);
    atomic_store(&watch->freed, true);
    /* The event is good until this returns. */
    CHECK(event->kind == watch->free_at && (event->length == 0 || event->data[event->length - 1] != 0xfe));
  }
  atomic_fetch_sub(&watch->running, 1);
}

static void finalize(void *user_data) {
  struct watch *watch = user_data;
  CHECK(atomic_load(&watch->running) == 0);
  CHECK(atomic_fetch_add(&watch->finalized, 1) == 0);
}

static void await_count(struct room *room, atomic_int *count, int wanted, const char *what) {
  double deadline = deadline_in(20);
  while (atomic_load(count) < wanted) {
    if (room != NULL) room_pump(room);
    if (now() > deadline) FAIL("no %s", what);
    look_again_soon();
  }
}

static void await_kind(struct room *room, struct watch *watch, int32_t kind) {
  double deadline = deadline_in(20);
  while (atomic_load(&watch->seen[kind]) == 0) {
    if (room != NULL) room_pump(room);
    if (now() > deadline) {
      for (int32_t other = RTCSWARM_EVENT_PEER_OPEN; other <= LAST_KIND; other++) {
        fprintf(stderr, "%d of %s\n", atomic_load(&watch->seen[other]), rtcswarm_event_name(other));
      }
      FAIL("no %s", rtcswarm_event_name(kind));
    }
    look_again_soon();
  }
}

static rtcswarm *new_swarm(rtcswarm_config *config) {
  if (config == NULL) config = config_for("alice");
  rtcswarm *swarm;
  OK(rtcswarm_new(config, &swarm));
  rtcswarm_config_free(config);
  return swarm;
}

/* A member whose events all go to the watch; not started. */
static void watch_member(struct watch *watch, struct room *room, const char *name, rtcswarm_config *config) {
  watch->room = room;
  watch->member = room_add(room, name, config);
  watch->member->by_callback = true;
  OK(rtcswarm_set_event_callback(watch->member->swarm, hear, watch, finalize));
}

static void never(void *user_data) {
  (void)user_data;
  FAIL("a finalizer was called after an error");
}

static void pulling_excludes_callbacks(void) {
  rtcswarm *swarm = new_swarm(NULL);
  rtcswarm_event *event = (rtcswarm_event *)swarm;
  EXPECT(RTCSWARM_TIMEOUT, rtcswarm_next_event(swarm, 0, &event));
  EXPECT(BUSY, rtcswarm_set_event_callback(swarm, hear, NULL, never));
  EXPECT(BUSY, rtcswarm_on_open(swarm, hear, NULL, never));
  rtcswarm_free(swarm);

  swarm = new_swarm(NULL);
  int32_t fd;
  OK(rtcswarm_get_fd(swarm, &fd));
  EXPECT(BUSY, rtcswarm_on_data(swarm, hear, NULL, never));
  rtcswarm_free(swarm);
}

static void callbacks_exclude_pulling(void) {
  static struct watch all, open;
  rtcswarm *swarm = new_swarm(NULL);
  /* What was refused decides nothing. */
  EXPECT(RTCSWARM_ERR_INVALID, rtcswarm_set_event_callback(swarm, NULL, NULL, never));
  OK(rtcswarm_set_event_callback(swarm, hear, &all, finalize));
  rtcswarm_event *event;
  int32_t fd = -7;
  EXPECT(BUSY, rtcswarm_next_event(swarm, -1, &event));
  EXPECT(BUSY, rtcswarm_get_fd(swarm, &fd));
  CHECK(fd == -7);
  EXPECT(BUSY, rtcswarm_set_event_callback(swarm, hear, NULL, never));
  OK(rtcswarm_on_open(swarm, hear, &open, finalize));
  EXPECT(BUSY, rtcswarm_on_open(swarm, hear, NULL, never));
  OK(rtcswarm_start(swarm));
  EXPECT(RTCSWARM_ERR_STATE, rtcswarm_on_data(swarm, hear, NULL, never));
  rtcswarm_free(swarm);
  CHECK(all.finalized == 1 && open.finalized == 1 && open.calls == 0);
}

static const rtcswarm_track_spec CAM = {"cam", "video", 0, RTCSWARM_CODEC_VP8};

/* Until the watch has heard what comes of them. */
static void send_frames_until(struct room *room, rtcswarm *swarm, uint64_t track, struct watch *watch, int32_t kind) {
  const uint8_t frame[] = {0x10, 2, 3, 4, 5, 6, 7, 8, 9, 10};
  uint32_t time = 0;
  for (double deadline = deadline_in(20); atomic_load(&watch->seen[kind]) == 0; look_again_soon()) {
    room_pump(room);
    OK(rtcswarm_send_frame(swarm, track, frame, sizeof frame, time += 3000, RTCSWARM_FLAG_KEY_FRAME, NULL, NULL));
    if (now() > deadline) FAIL("no %s", rtcswarm_event_name(kind));
  }
}

static void each_hears_its_own(void) {
  static struct watch all, open, close, data, signals, error, connection, stream, track, frame;
  struct room room;
  room_open(&room);
  watch_member(&all, &room, "alice", NULL);
  struct member *alice = all.member, *bob;
  OK(rtcswarm_on_open(alice->swarm, hear, &open, finalize));
  OK(rtcswarm_on_close(alice->swarm, hear, &close, finalize));
  OK(rtcswarm_on_data(alice->swarm, hear, &data, finalize));
  OK(rtcswarm_on_signal(alice->swarm, hear, &signals, finalize));
  OK(rtcswarm_on_error(alice->swarm, hear, &error, finalize));
  OK(rtcswarm_on_connection(alice->swarm, hear, &connection, finalize));
  OK(rtcswarm_on_stream(alice->swarm, hear, &stream, finalize));
  OK(rtcswarm_on_track(alice->swarm, hear, &track, finalize));
  OK(rtcswarm_on_frame(alice->swarm, hear, &frame, finalize));
  OK(rtcswarm_add_tracks(alice->swarm, &CAM, 1, NULL));
  OK(rtcswarm_start(alice->swarm));
  bob = room_join(&room, "bob");
  uint64_t of_alice = await_peer(&room, bob, "alice");
  OK(rtcswarm_send_text(bob->swarm, of_alice, "a", 1));
  OK(rtcswarm_send(bob->swarm, of_alice, NULL, 0));
  const char *refusal = "{\"type\":\"error\",\"code\":\"wrong-room\",\"message\":\"no\"}";
  OK(rtcswarm_dispatch(alice->swarm, refusal, strlen(refusal)));
  await_kind(&room, &error, RTCSWARM_EVENT_ERROR);
  await_kind(&room, &data, RTCSWARM_EVENT_BINARY);
  uint64_t of_bob;
  OK(rtcswarm_add_tracks(bob->swarm, &CAM, 1, &of_bob));
  await_kind(&room, &stream, RTCSWARM_EVENT_STREAM);
  send_frames_until(&room, bob->swarm, of_bob, &frame, RTCSWARM_EVENT_FRAME);
  await_kind(&room, &track, RTCSWARM_EVENT_KEY_FRAME_WANTED);
  OK(rtcswarm_mute(bob->swarm, of_bob, 1));
  await_kind(&room, &track, RTCSWARM_EVENT_TRACK_MUTED);
  OK(rtcswarm_close(bob->swarm));
  await_kind(&room, &close, RTCSWARM_EVENT_PEER_CLOSED);
  OK(rtcswarm_close(alice->swarm));
  await_count(&room, &connection.finalized, 1, "finalizer");

  CHECK(all.seen[RTCSWARM_EVENT_PEER_OPEN] == 1 && open.calls == 1 && open.seen[RTCSWARM_EVENT_PEER_OPEN] == 1);
  CHECK(close.calls == 1 && all.seen[RTCSWARM_EVENT_PEER_CLOSED] == 1);
  CHECK(data.calls == 2 && data.seen[RTCSWARM_EVENT_TEXT] == 1 && data.seen[RTCSWARM_EVENT_BINARY] == 1);
  CHECK(signals.calls == signals.seen[RTCSWARM_EVENT_SIGNAL] && signals.calls == all.seen[RTCSWARM_EVENT_SIGNAL]);
  CHECK(error.calls == error.seen[RTCSWARM_EVENT_ERROR] && error.calls == all.seen[RTCSWARM_EVENT_ERROR]);
  CHECK(connection.calls == all.seen[RTCSWARM_EVENT_PEER_STATE]);
  CHECK(all.seen[RTCSWARM_EVENT_CLOSED] == 1);
  CHECK(pthread_equal(all.thread, open.thread) && pthread_equal(all.thread, data.thread));
  CHECK(!pthread_equal(all.thread, pthread_self()));
  room_close(&room);
  CHECK(stream.calls == 1 && frame.calls == frame.seen[RTCSWARM_EVENT_FRAME]);
  CHECK(track.seen[RTCSWARM_EVENT_TRACK] == 1 && track.seen[RTCSWARM_EVENT_TRACK_MUTED] == 1);
  CHECK(track.calls == 2 + track.seen[RTCSWARM_EVENT_KEY_FRAME_WANTED]);
  const struct watch *watches[] = {&all,        &open,   &close, &data, &signals, &error,
                                   &connection, &stream, &track, &frame};
  for (size_t i = 0; i < sizeof watches / sizeof *watches; i++) CHECK(watches[i]->finalized == 1);
}

static void finalized_once_on_every_path(void) {
  static struct watch unstarted, closed, closed_first, running, inside;
  rtcswarm *swarm = new_swarm(NULL);
  OK(rtcswarm_set_event_callback(swarm, hear, &unstarted, finalize));
  rtcswarm_free(swarm);
  CHECK(unstarted.finalized == 1);

  swarm = new_swarm(NULL);
  OK(rtcswarm_set_event_callback(swarm, hear, &closed, finalize));
  OK(rtcswarm_start(swarm));
  OK(rtcswarm_close(swarm));
  await_count(NULL, &closed.finalized, 1, "finalizer after the last event");
  CHECK(closed.seen[RTCSWARM_EVENT_CLOSED] == 1);
  rtcswarm_free(swarm);
  CHECK(closed.finalized == 1);

  swarm = new_swarm(NULL);
  OK(rtcswarm_set_event_callback(swarm, hear, &closed_first, finalize));
  OK(rtcswarm_start(swarm));
  OK(rtcswarm_close(swarm));
  rtcswarm_free(swarm);
  CHECK(closed_first.finalized == 1);

  swarm = new_swarm(NULL);
  OK(rtcswarm_set_event_callback(swarm, hear, &running, finalize));
  OK(rtcswarm_start(swarm));
  rtcswarm_free(swarm);
  int calls = running.calls;
  CHECK(running.finalized == 1);

  inside.free_at = RTCSWARM_EVENT_SIGNAL;
  swarm = new_swarm(NULL);
  OK(rtcswarm_set_event_callback(swarm, hear, &inside, finalize));
  OK(rtcswarm_start(swarm));
  await_count(NULL, &inside.finalized, 1, "finalizer after a free inside");
  CHECK(inside.calls == 1);
  CHECK(running.calls == calls); /* none came later */

  /* No finalizer is fine. */
  swarm = new_swarm(NULL);
  OK(rtcswarm_set_event_callback(swarm, hear, &(struct watch){0}, NULL));
  rtcswarm_free(swarm);
}

static atomic_bool slow_entered, slow_left;

static void be_slow(struct watch *watch, const rtcswarm_event *event) {
  (void)watch;
  (void)event;
  atomic_store(&slow_entered, true);
  poll(NULL, 0, 100); /* long enough for the free to be under way */
  atomic_store(&slow_left, true);
}

static void free_waits_for_a_running_callback(void) {
  static struct watch watch = {.inside = be_slow};
  rtcswarm *swarm = new_swarm(NULL);
  OK(rtcswarm_set_event_callback(swarm, hear, &watch, finalize));
  OK(rtcswarm_start(swarm));
  double deadline = deadline_in(20);
  while (!atomic_load(&slow_entered)) {
    CHECK(now() < deadline);
    look_again_soon();
  }
  rtcswarm_free(swarm);
  CHECK(atomic_load(&slow_left));
  CHECK(watch.finalized == 1);
}

/* With an open peer, or with none (0) and everything else as it should be. */
static void call_everything(rtcswarm *swarm, uint64_t peer, bool closed) {
  int32_t fine = closed ? RTCSWARM_ERR_CLOSED : RTCSWARM_OK;
  int32_t there = peer == 0 ? RTCSWARM_ERR_NO_PEER : RTCSWARM_OK;
  uint64_t id;
  size_t size;
  uint32_t channel;
  int32_t fd;
  char name[300];
  rtcswarm_event *event;
  rtcswarm_peer_stats peer_stats = {.struct_size = sizeof peer_stats};
  rtcswarm_stats stats = {.struct_size = sizeof stats};
  EXPECT(BUSY, rtcswarm_next_event(swarm, -1, &event));
  EXPECT(BUSY, rtcswarm_get_fd(swarm, &fd));
  EXPECT(closed ? RTCSWARM_ERR_CLOSED : RTCSWARM_ERR_STATE, rtcswarm_start(swarm));
  OK(rtcswarm_wakeup(swarm));
  EXPECT(fine, rtcswarm_broadcast(swarm, NULL, 0, &size, &size));
  EXPECT(fine, rtcswarm_broadcast_text(swarm, "all", 3, &size, &size));
  EXPECT(closed ? fine : there, rtcswarm_send(swarm, peer, (const uint8_t *)"b", 1));
  EXPECT(closed ? fine : there, rtcswarm_send_text(swarm, peer, "t", 1));
  EXPECT(closed ? fine : there,
         rtcswarm_channel_open(swarm, peer, "inside", "p", 0, RTCSWARM_MAX_LIFETIME, 100, &channel));
  EXPECT(closed ? fine : there, rtcswarm_channel_send(swarm, peer, 0, (const uint8_t *)"b", 1));
  EXPECT(closed ? fine : there, rtcswarm_channel_send_text(swarm, peer, 0, "t", 1));
  EXPECT(there, rtcswarm_channel_buffered(swarm, peer, 0, &size));
  EXPECT(there, rtcswarm_peer_user_id(swarm, peer, name, sizeof name, &size));
  EXPECT(there, rtcswarm_get_peer_stats(swarm, peer, &peer_stats));
  OK(rtcswarm_peers(swarm, &id, 1, &size));
  OK(rtcswarm_get_stats(swarm, &stats));
  const rtcswarm_track_spec inside = {"inside", "inside", RTCSWARM_MEDIA_AUDIO, 0};
  static uint64_t track;
  EXPECT(fine, rtcswarm_add_tracks(swarm, &inside, 1, &track));
  EXPECT(fine, rtcswarm_replace_track(swarm, track, RTCSWARM_CODEC_OPUS));
  EXPECT(fine, rtcswarm_mute(swarm, track, closed));
  EXPECT(fine, rtcswarm_send_frame(swarm, track, (const uint8_t *)"\x80", 1, 0, 0, &size, &size));
  EXPECT(closed ? fine : peer == 0 ? there : RTCSWARM_ERR_NO_TRACK, rtcswarm_request_key_frame(swarm, peer, track));
  EXPECT(closed ? fine : RTCSWARM_ERR_MALFORMED, rtcswarm_dispatch(swarm, "x", 1));
  CHECK(rtcswarm_version() != 0 && rtcswarm_last_error_message()[0] != '\0');
  /* Another swarm's whole life. */
  rtcswarm *other = new_swarm(NULL);
  OK(rtcswarm_start(other));
  OK(rtcswarm_next_event(other, (int32_t)(patience(20) * 1000), &event));
  rtcswarm_event_free(event);
  rtcswarm_free(other);
}

static void do_everything(struct watch *watch, const rtcswarm_event *event) {
  rtcswarm *swarm = watch->member->swarm;
  switch (event->kind) {
  case RTCSWARM_EVENT_PEER_OPEN:
    call_everything(swarm, event->peer, false);
    break;
  case RTCSWARM_EVENT_PEER_CLOSED:
    /* Gone already when this is heard. */
    EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_send_text(swarm, event->peer, "t", 1));
    call_everything(swarm, 0, false);
    OK(rtcswarm_close(swarm));
    break;
  case RTCSWARM_EVENT_CLOSED:
    call_everything(swarm, 0, true);
    break;
  default:
    break;
  }
}

static void everything_inside_a_callback(void) {
  static struct watch watch = {.inside = do_everything};
  struct room room;
  room_open(&room);
  watch_member(&watch, &room, "alice", NULL);
  OK(rtcswarm_start(watch.member->swarm));
  struct member *bob = room_join(&room, "bob");
  const rtcswarm_event *opened = await(&room, bob, RTCSWARM_EVENT_CHANNEL_OPEN);
  /* The callback that opened it is not over by then, and bob is to be there until it is. */
  await_kind(&room, &watch, RTCSWARM_EVENT_PEER_OPEN);
  CHECK(strcmp(opened->name, "inside") == 0 && (opened->flags & RTCSWARM_FLAG_REMOTE));
  OK(rtcswarm_peer_close(bob->swarm, opened->peer));
  await_kind(&room, &watch, RTCSWARM_EVENT_CLOSED);
  room_close(&room);
  CHECK(watch.finalized == 1);
}

static void send_until_full(struct watch *watch, const rtcswarm_event *event) {
  static uint8_t block[65536];
  if (event->kind != RTCSWARM_EVENT_PEER_OPEN) return;
  int32_t status = RTCSWARM_OK;
  for (int i = 0; i < 1000 && status == RTCSWARM_OK; i++) {
    status = rtcswarm_send(watch->member->swarm, event->peer, block, sizeof block);
  }
  EXPECT(RTCSWARM_WOULD_BLOCK, status);
}

/* Makes alice hear of an event of this kind, at which she frees her swarm. */
static void free_inside(int32_t kind) {
  struct watch *watch = calloc(1, sizeof *watch);
  CHECK(watch != NULL);
  watch->free_at = kind;
  struct room room;
  room_open(&room);
  struct member *child = kind == RTCSWARM_EVENT_PEER_STATE ? room_fork(&room, "bob") : NULL;
  rtcswarm_config *config = config_for("alice");
  if (kind == RTCSWARM_EVENT_SIGNALING_STATE) OK(rtcswarm_config_set_signaling(config, "ws://127.0.0.1:9/", "t"));
  if (kind == RTCSWARM_EVENT_PEER_FAILED) OK(rtcswarm_config_set_timeout(config, RTCSWARM_TIMEOUT_ANSWER, 50));
  if (kind == RTCSWARM_EVENT_PEER_STATE) {
    OK(rtcswarm_config_set_timeout(config, RTCSWARM_TIMEOUT_ICE_KEEPALIVE, 100));
    OK(rtcswarm_config_set_timeout(config, RTCSWARM_TIMEOUT_ICE_DISCONNECTED, 500));
  }
  if (kind == RTCSWARM_EVENT_WRITABLE) watch->inside = send_until_full;
  if (kind == RTCSWARM_EVENT_RTP) OK(rtcswarm_config_set_receive_rtp(config, 1));
  watch_member(watch, &room, "alice", config);
  rtcswarm *alice = watch->member->swarm;
  if (kind == RTCSWARM_EVENT_KEY_FRAME_WANTED) OK(rtcswarm_add_tracks(alice, &CAM, 1, NULL));
  OK(rtcswarm_start(alice));
  if (kind == RTCSWARM_EVENT_CLOSED) OK(rtcswarm_close(alice));
  if (kind == RTCSWARM_EVENT_ERROR) {
    const char *refusal = "{\"type\":\"error\",\"code\":\"wrong-room\",\"message\":\"no\"}";
    OK(rtcswarm_dispatch(alice, refusal, strlen(refusal)));
  }
  if (kind == RTCSWARM_EVENT_PEER_FAILED) {
    /* Who comes second takes the offer of who came first. */
    await_kind(&room, watch, RTCSWARM_EVENT_SIGNAL);
    const char *init = "{\"type\":\"init\",\"userId\":\"ghost\",\"roomId\":\"test\"}";
    room_carry(&room, room_stranger(&room, "ghost"), init, strlen(init));
  }
  if (child != NULL) {
    await_kind(&room, watch, RTCSWARM_EVENT_PEER_OPEN);
    kill(child->process, SIGSTOP);
  }
  bool with_bob = kind != RTCSWARM_EVENT_PEER_FAILED && kind != RTCSWARM_EVENT_ERROR && child == NULL &&
                  kind != RTCSWARM_EVENT_SIGNALING_STATE && kind != RTCSWARM_EVENT_CLOSED;
  if (with_bob) {
    struct member *bob = room_join(&room, "bob");
    uint64_t track;
    if (kind >= RTCSWARM_EVENT_TRACK) {
      OK(rtcswarm_add_tracks(bob->swarm, &CAM, 1, &track));
      if (kind == RTCSWARM_EVENT_TRACK_MUTED) {
        await_kind(&room, watch, RTCSWARM_EVENT_TRACK);
        OK(rtcswarm_mute(bob->swarm, track, 1));
      }
      if (kind == RTCSWARM_EVENT_FRAME || kind == RTCSWARM_EVENT_RTP) {
        send_frames_until(&room, bob->swarm, track, watch, kind);
      }
    } else if (kind != RTCSWARM_EVENT_SIGNAL) {
      const rtcswarm_event *open = await(&room, bob, RTCSWARM_EVENT_PEER_OPEN);
      uint32_t channel;
      /* Where alice has freed hers already, these find nobody. */
      rtcswarm_send_text(bob->swarm, open->peer, "text", 4);
      rtcswarm_send(bob->swarm, open->peer, (const uint8_t *)"binary", 6);
      if (kind == RTCSWARM_EVENT_CHANNEL_OPEN || kind == RTCSWARM_EVENT_CHANNEL_CLOSED) {
        OK(rtcswarm_channel_open(bob->swarm, open->peer, "c", NULL, 1, RTCSWARM_RELIABLE, 0, &channel));
      }
      if (kind == RTCSWARM_EVENT_CHANNEL_CLOSED) {
        await(&room, bob, RTCSWARM_EVENT_CHANNEL_OPEN);
        OK(rtcswarm_channel_close(bob->swarm, open->peer, channel));
      }
      if (kind == RTCSWARM_EVENT_PEER_CLOSED) {
        await_kind(&room, watch, RTCSWARM_EVENT_PEER_OPEN);
        OK(rtcswarm_close(bob->swarm));
      }
    }
  }
  await_kind(&room, watch, kind);
  await_count(&room, &watch->finalized, 1, "finalizer");
  CHECK(watch->seen[kind] == 1 && atomic_load(&watch->freed));
  room_close(&room);
  free(watch);
}

static void freed_inside_each_kind(void) {
  for (int32_t kind = RTCSWARM_EVENT_PEER_OPEN; kind <= LAST_KIND; kind++) {
    /* A track ends when its peer comes by two connections, which is not to be had here. */
    const bool skipped = kind == RTCSWARM_EVENT_PEER_STATE || kind == RTCSWARM_EVENT_SIGNALING_STATE ||
                         kind == RTCSWARM_EVENT_TRACK_ENDED;
    if (!skipped) free_inside(kind);
  }
}

/* Nobody listens where the library is told to connect to. */
static void freed_inside_a_signaling_state(void) {
  free_inside(RTCSWARM_EVENT_SIGNALING_STATE);
}

/* For this one the other side must fall silent: it is a process of its own, and stopped. */
static void freed_inside_a_peer_s_state(void) {
  free_inside(RTCSWARM_EVENT_PEER_STATE);
}

static void free_the_other(struct watch *watch, const rtcswarm_event *event) {
  if (event->kind == RTCSWARM_EVENT_TEXT) {
    rtcswarm_free(room_take(watch->room, &watch->room->members[1]));
  }
}

static void another_swarm_freed_inside(void) {
  static struct watch alice = {.inside = free_the_other}, bob;
  struct room room;
  room_open(&room);
  watch_member(&alice, &room, "alice", NULL);
  watch_member(&bob, &room, "bob", NULL);
  OK(rtcswarm_start(alice.member->swarm));
  OK(rtcswarm_start(bob.member->swarm));
  await_kind(&room, &bob, RTCSWARM_EVENT_PEER_OPEN);
  OK(rtcswarm_broadcast_text(bob.member->swarm, "free me", 7, NULL, NULL));
  await_count(&room, &bob.finalized, 1, "finalizer of the freed");
  await_kind(&room, &alice, RTCSWARM_EVENT_PEER_CLOSED);
  room_close(&room);
  CHECK(alice.finalized == 1 && bob.finalized == 1);
}

struct log_watch {
  atomic_int lines, finalized, worst;
};

static void hear_log(int32_t level, const char *target, const char *message, void *user_data) {
  struct log_watch *watch = user_data;
  CHECK(atomic_load(&watch->finalized) == 0);
  CHECK(level >= RTCSWARM_LOG_ERROR && level <= RTCSWARM_LOG_TRACE && target[0] != '\0' && message != NULL);
  if (level > atomic_load(&watch->worst)) atomic_store(&watch->worst, level);
  atomic_fetch_add(&watch->lines, 1);
}

static void finalize_log(void *user_data) {
  CHECK(atomic_fetch_add(&((struct log_watch *)user_data)->finalized, 1) == 0);
}

static void meet_and_part(void) {
  struct room room;
  room_open(&room);
  struct member *alice = room_join(&room, "alice");
  room_join(&room, "bob");
  await_peer(&room, alice, "bob");
  /* Something to complain about. */
  const char *nonsense = "{\"type\":\"accept\",\"id\":\"x\",\"userId\":\"carol\",\"signals\":"
                         "[{\"type\":\"offer\",\"sdp\":\"nonsense\"}]}";
  OK(rtcswarm_dispatch(alice->swarm, nonsense, strlen(nonsense)));
  await(&room, alice, RTCSWARM_EVENT_PEER_FAILED);
  room_close(&room);
}

static void the_log(void) {
  static struct log_watch all, grave;
  OK(rtcswarm_set_log_callback(RTCSWARM_LOG_TRACE, hear_log, &all, finalize_log));
  meet_and_part();
  CHECK(all.lines > 0 && all.finalized == 0);
  OK(rtcswarm_set_log_callback(RTCSWARM_LOG_ERROR, hear_log, &grave, finalize_log));
  CHECK(all.finalized == 1);
  meet_and_part();
  CHECK(grave.worst <= RTCSWARM_LOG_ERROR && grave.finalized == 0);
  OK(rtcswarm_set_log_callback(0, NULL, NULL, NULL));
  CHECK(grave.finalized == 1);
  int lines = all.lines + grave.lines;
  meet_and_part();
  CHECK(all.lines + grave.lines == lines);
  OK(rtcswarm_set_log_callback(RTCSWARM_LOG_TRACE, hear_log, &(struct log_watch){0}, NULL));
  OK(rtcswarm_set_log_callback(0, NULL, NULL, NULL));
}

int main(int argc, char **argv) {
  static const struct test tests[] = {
      {"pulling_excludes_callbacks", pulling_excludes_callbacks},
      {"callbacks_exclude_pulling", callbacks_exclude_pulling},
      {"each_hears_its_own", each_hears_its_own},
      {"finalized_once_on_every_path", finalized_once_on_every_path},
      {"free_waits_for_a_running_callback", free_waits_for_a_running_callback},
      {"everything_inside_a_callback", everything_inside_a_callback},
      {"freed_inside_each_kind", freed_inside_each_kind},
      {"freed_inside_a_peer_s_state", freed_inside_a_peer_s_state},
      {"freed_inside_a_signaling_state", freed_inside_a_signaling_state},
      {"another_swarm_freed_inside", another_swarm_freed_inside},
      {"the_log", the_log},
  };
  return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
