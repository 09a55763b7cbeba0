/* "Every function may be called from any thread at any time, also inside callbacks": all at once, on one handle. For who looks for races:
 * tests/c/run.sh plays it plainly, under memcheck and under what knows threads. */
#define _POSIX_C_SOURCE 200809L

#include "harness.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CALLERS 4

/* What the callers and the callback share; all of it is atomic, or theirs alone. */
struct shared {
  struct room *room;
  struct member *member;
  rtcswarm *swarm;
  rtcswarm_config *servers; /* nobody changes it any more */
  atomic_ullong peer, track, remote_track;
  atomic_uint channel;
  atomic_int rounds, closed, finalized, logged;
  atomic_bool over;
  bool pulled;
};

static int rounds(void) {
  const char *wanted = getenv("RTCSWARM_TEST_ROUNDS");
  return wanted != NULL ? atoi(wanted) : 200;
}

/* Daily business, or an error that has words; never a bug. */
static void any(int32_t status) {
  if (status < RTCSWARM_WOKEN) CHECK(rtcswarm_last_error_message()[0] != '\0');
  CHECK(status <= 0 && status != RTCSWARM_ERR_PANIC);
}

/* Also inside callbacks. */
static void call_all(struct shared *shared, rtcswarm *swarm, unsigned salt) {
  uint64_t peer = atomic_load(&shared->peer), track = atomic_load(&shared->track);
  uint64_t remote = atomic_load(&shared->remote_track), ids[4];
  uint32_t channel = atomic_load(&shared->channel);
  size_t reached, skipped, count, size;
  char name[16];
  static const uint8_t bytes[200] = {0x80, 111};
  const rtcswarm_track_spec spec = {"cam", salt % 2 ? "sound" : "more", 0, RTCSWARM_CODEC_OPUS};
  rtcswarm_peer_stats peer_stats = {.struct_size = sizeof peer_stats};
  rtcswarm_stats stats = {.struct_size = sizeof stats};
  rtcswarm_track_stats track_stats = {.struct_size = sizeof track_stats};

  any(rtcswarm_send(swarm, peer, bytes, salt % sizeof bytes));
  any(rtcswarm_send_text(swarm, peer, "text", 4));
  any(rtcswarm_broadcast(swarm, bytes, 3, &reached, &skipped));
  any(rtcswarm_broadcast_text(swarm, "all", 3, &reached, &skipped));
  any(rtcswarm_channel_send(swarm, peer, channel, bytes, 9));
  any(rtcswarm_channel_send_text(swarm, peer, channel, "nine", 4));
  any(rtcswarm_channel_buffered(swarm, peer, channel, &size));
  if (salt % 16 == 0 && rtcswarm_channel_open(swarm, peer, "label", NULL, 1, RTCSWARM_RELIABLE, 0, &channel) == RTCSWARM_OK) {
    uint32_t old = atomic_exchange(&shared->channel, channel);
    if (old != RTCSWARM_CHANNEL_FAST) any(rtcswarm_channel_close(swarm, peer, old));
  }
  any(rtcswarm_peers(swarm, ids, 4, &count));
  any(rtcswarm_peer_user_id(swarm, peer, name, sizeof name, &size));
  any(rtcswarm_get_peer_stats(swarm, peer, &peer_stats));
  any(rtcswarm_get_stats(swarm, &stats));
  any(rtcswarm_get_track_stats(swarm, peer, track, &track_stats));
  any(rtcswarm_get_track_stats(swarm, peer, remote, &track_stats));
  if (salt % 8 == 0) any(rtcswarm_add_tracks(swarm, &spec, 1, ids));
  if (salt % 8 == 1) any(rtcswarm_mute(swarm, track, salt % 3 == 0));
  if (salt % 8 == 2) any(rtcswarm_replace_track(swarm, track, RTCSWARM_CODEC_OPUS));
  any(rtcswarm_send_frame(swarm, track, bytes, 40, salt * 960, 0, &reached, &skipped));
  any(rtcswarm_send_rtp(swarm, track, bytes, 60, &reached, &skipped));
  any(rtcswarm_request_key_frame(swarm, peer, remote));
  any(rtcswarm_dispatch(swarm, "{\"type\":\"unknown\"}", 18));
  any(rtcswarm_set_token(swarm, "token"));
  if (salt % 32 == 3) any(rtcswarm_set_ice_servers(swarm, shared->servers));
  any(rtcswarm_start(swarm));
  any(rtcswarm_wakeup(swarm));
  if (!shared->pulled) {
    rtcswarm_event *event;
    int32_t descriptor;
    any(rtcswarm_next_event(swarm, 0, &event));
    any(rtcswarm_get_fd(swarm, &descriptor));
  }
  CHECK(rtcswarm_event_name(1) != NULL && rtcswarm_reason_name(1) != NULL && rtcswarm_status_name(0) != NULL);
  CHECK(rtcswarm_codec_name(1) != NULL && rtcswarm_version_string() != NULL && rtcswarm_version() == RTCSWARM_VERSION_MINOR << 8);
}

static void note(struct shared *shared, const rtcswarm_event *event) {
  if (event->kind == RTCSWARM_EVENT_PEER_OPEN) atomic_store(&shared->peer, event->peer);
  if (event->kind == RTCSWARM_EVENT_TRACK) atomic_store(&shared->remote_track, event->track);
  if (event->kind == RTCSWARM_EVENT_CLOSED) atomic_fetch_add(&shared->closed, 1);
}

static void hear(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) {
  struct shared *shared = user_data;
  note(shared, event);
  if (event->kind == RTCSWARM_EVENT_SIGNAL) {
    room_carry(shared->room, shared->member->session, (const char *)event->data, event->length);
  } else {
    /* One of a message would answer each message of the other side's by several. */
    if (event->kind != RTCSWARM_EVENT_TEXT && event->kind != RTCSWARM_EVENT_BINARY) {
      call_all(shared, swarm, (unsigned)event->kind);
    }
  }
}

static void hear_some(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) {
  struct shared *shared = user_data;
  rtcswarm_stats stats = {.struct_size = sizeof stats};
  any(rtcswarm_get_stats(swarm, &stats));
  if (event->kind == RTCSWARM_EVENT_PEER_OPEN) CHECK(atomic_load(&shared->peer) != 0);
}

static void finalize(void *user_data) {
  struct shared *shared = user_data;
  atomic_fetch_add(&shared->finalized, 1);
}

static void log_line(int32_t level, const char *target, const char *message, void *user_data) {
  struct shared *shared = user_data;
  CHECK(level >= RTCSWARM_LOG_ERROR && target[0] != '\0' && message != NULL);
  atomic_fetch_add(&shared->logged, 1);
}

static void *call_for_a_while(void *user_data) {
  struct shared *shared = user_data;
  for (int i = 0; i < rounds() && !atomic_load(&shared->over); i++) {
    unsigned salt = (unsigned)atomic_fetch_add(&shared->rounds, 1);
    call_all(shared, shared->swarm, salt);
    if (salt % 64 == 5) any(rtcswarm_set_log_callback(RTCSWARM_LOG_TRACE, log_line, shared, NULL));
    if (salt % 64 == 37) any(rtcswarm_set_log_callback(0, NULL, NULL, NULL));
    /* One of them leaves, at about half of it, while the others go on. */
    if (salt == (unsigned)(rounds() * CALLERS / 2)) {
      any(rtcswarm_peer_close(shared->swarm, atomic_load(&shared->peer)));
      OK(rtcswarm_close(shared->swarm));
    }
    look_again_soon();
  }
  return NULL;
}

static void *pull_for_a_while(void *user_data) {
  struct shared *shared = user_data;
  rtcswarm_event *event;
  for (int32_t status; (status = rtcswarm_next_event(shared->swarm, 20, &event)) != RTCSWARM_ERR_CLOSED;) {
    if (status != RTCSWARM_OK) {
      CHECK(status == RTCSWARM_TIMEOUT || status == RTCSWARM_WOKEN);
      continue;
    }
    note(shared, event);
    if (event->kind == RTCSWARM_EVENT_SIGNAL) {
      room_carry(shared->room, shared->member->session, (const char *)event->data, event->length);
    }
    rtcswarm_event_free(event);
  }
  return NULL;
}

/* A room with alice, who is called upon, and bob, who is there. */
static void prepare(struct shared *shared, struct room *room, bool pulled) {
  memset(shared, 0, sizeof *shared);
  room_open(room);
  shared->room = room;
  shared->pulled = pulled;
  shared->servers = config_for("servers");
  OK(rtcswarm_config_add_ice_server(shared->servers, "stun:127.0.0.1:9", NULL, NULL));
  shared->member = room_add(room, "alice", NULL);
  shared->member->by_callback = true;
  shared->swarm = shared->member->swarm;
  OK(rtcswarm_set_log_callback(RTCSWARM_LOG_TRACE, log_line, shared, NULL));
  if (!pulled) {
    OK(rtcswarm_set_event_callback(shared->swarm, hear, shared, finalize));
    OK(rtcswarm_on_open(shared->swarm, hear_some, shared, finalize));
    OK(rtcswarm_on_close(shared->swarm, hear_some, shared, finalize));
    OK(rtcswarm_on_data(shared->swarm, hear_some, shared, finalize));
    OK(rtcswarm_on_signal(shared->swarm, hear_some, shared, finalize));
    OK(rtcswarm_on_error(shared->swarm, hear_some, shared, finalize));
    OK(rtcswarm_on_connection(shared->swarm, hear_some, shared, finalize));
    OK(rtcswarm_on_stream(shared->swarm, hear_some, shared, finalize));
    OK(rtcswarm_on_track(shared->swarm, hear_some, shared, finalize));
    OK(rtcswarm_on_frame(shared->swarm, hear_some, shared, finalize));
  }
  const rtcswarm_track_spec spec = {"cam", "sound", 0, RTCSWARM_CODEC_OPUS};
  uint64_t track;
  OK(rtcswarm_add_tracks(shared->swarm, &spec, 1, &track));
  atomic_store(&shared->track, track);
  OK(rtcswarm_start(shared->swarm));
}

/* bob answers what comes with a frame and a message now and then. */
static void talk(struct room *room, struct member *bob, struct shared *shared) {
  const rtcswarm_track_spec spec = {"back", "voice", 0, RTCSWARM_CODEC_OPUS};
  static const uint8_t frame[30] = {7};
  uint64_t track;
  OK(rtcswarm_add_tracks(bob->swarm, &spec, 1, &track));
  double deadline = deadline_in(30);
  for (unsigned i = 0; atomic_load(&shared->rounds) < rounds() * CALLERS; i++) {
    room_pump(room);
    any(rtcswarm_send_frame(bob->swarm, track, frame, sizeof frame, i * 960, 0, NULL, NULL));
    any(rtcswarm_broadcast_text(bob->swarm, "hello", 5, NULL, NULL));
    CHECK(now() < deadline);
    look_again_soon();
  }
}

static void end(struct shared *shared, pthread_t *threads, size_t count) {
  for (size_t i = 0; i < count; i++) pthread_join(threads[i], NULL);
  double deadline = deadline_in(20);
  while (atomic_load(&shared->closed) == 0) {
    room_pump(shared->room);
    CHECK(now() < deadline);
    look_again_soon();
  }
  rtcswarm_free(room_take(shared->room, shared->member));
  OK(rtcswarm_set_log_callback(0, NULL, NULL, NULL));
  if (!shared->pulled) CHECK(atomic_load(&shared->finalized) == 10);
  CHECK(atomic_load(&shared->closed) == 1);
  rtcswarm_config_free(shared->servers);
  room_close(shared->room);
}

static void every_function_at_once_beside_callbacks(void) {
  struct room room;
  struct shared shared;
  pthread_t threads[CALLERS];
  prepare(&shared, &room, false);
  struct member *bob = room_join(&room, "bob");
  await_peer(&room, bob, "alice");
  for (int i = 0; i < CALLERS; i++) CHECK(pthread_create(&threads[i], NULL, call_for_a_while, &shared) == 0);
  talk(&room, bob, &shared);
  end(&shared, threads, CALLERS);
}

static void every_function_at_once_beside_who_waits(void) {
  struct room room;
  struct shared shared;
  pthread_t threads[CALLERS + 2];
  prepare(&shared, &room, true);
  for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, pull_for_a_while, &shared) == 0);
  struct member *bob = room_join(&room, "bob");
  await_peer(&room, bob, "alice");
  for (int i = 2; i < CALLERS + 2; i++) CHECK(pthread_create(&threads[i], NULL, call_for_a_while, &shared) == 0);
  talk(&room, bob, &shared);
  end(&shared, threads, CALLERS + 2);
}

/* A hub is shared as well. */
struct users {
  rtcswarm_hub *hub;
  atomic_int made;
};

static void *use_hub(void *user_data) {
  struct users *users = user_data;
  rtcswarm_hub_stats stats = {.struct_size = sizeof stats};
  rtcswarm_hub_limits limits = {.struct_size = sizeof limits};
  const char *rooms[] = {"test"};
  for (int i = 0; i < rounds(); i++) {
    char name[16], init[80];
    uint64_t session;
    int64_t next;
    snprintf(name, sizeof name, "user%d", atomic_fetch_add(&users->made, 1) % 6);
    snprintf(init, sizeof init, "{\"type\":\"init\",\"userId\":\"%s\",\"roomId\":\"test\"}", name);
    OK(rtcswarm_hub_limits_default(&limits));
    int32_t status = rtcswarm_hub_connect(users->hub, name, rooms, 1, &session);
    any(status);
    if (status != RTCSWARM_OK) continue; /* it is shut down */
    any(rtcswarm_hub_receive(users->hub, session, init, strlen(init)));
    any(rtcswarm_hub_tick(users->hub, &next));
    any(rtcswarm_hub_get_stats(users->hub, &stats));
    rtcswarm_hub_output *output;
    while (rtcswarm_hub_next_output(users->hub, &output) == RTCSWARM_OK) rtcswarm_hub_output_free(output);
    any(rtcswarm_hub_disconnect(users->hub, session));
    if (i == rounds() - 1) any(rtcswarm_hub_shut_down(users->hub));
  }
  return NULL;
}

static void a_hub_for_all(void) {
  struct users users = {0};
  pthread_t threads[CALLERS];
  OK(rtcswarm_hub_new(NULL, &users.hub));
  for (int i = 0; i < CALLERS; i++) CHECK(pthread_create(&threads[i], NULL, use_hub, &users) == 0);
  for (int i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
  rtcswarm_hub_free(users.hub);
}

/* Freed inside its callback, while bob talks to it and other threads have a part in it until just before. */
static void hear_and_free(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) {
  hear(swarm, event, user_data);
  struct shared *shared = user_data;
  if (event->kind == RTCSWARM_EVENT_CLOSED) {
    /* They have stopped by now: what was freed is not used. */
    while (!atomic_load(&shared->over)) look_again_soon();
    CHECK(room_take(shared->room, shared->member) == swarm);
    rtcswarm_free(swarm);
  }
}

static void closed_by_one_and_freed_inside(void) {
  struct room room;
  struct shared shared;
  pthread_t threads[CALLERS];
  memset(&shared, 0, sizeof shared);
  room_open(&room);
  shared.room = &room;
  shared.servers = config_for("servers");
  shared.member = room_add(&room, "alice", NULL);
  shared.member->by_callback = true;
  shared.swarm = shared.member->swarm;
  OK(rtcswarm_set_event_callback(shared.swarm, hear_and_free, &shared, finalize));
  OK(rtcswarm_start(shared.swarm));
  struct member *bob = room_join(&room, "bob");
  await_peer(&room, bob, "alice");
  for (int i = 0; i < CALLERS; i++) CHECK(pthread_create(&threads[i], NULL, call_for_a_while, &shared) == 0);
  talk(&room, bob, &shared);
  for (int i = 0; i < CALLERS; i++) pthread_join(threads[i], NULL);
  atomic_store(&shared.over, true);
  double deadline = deadline_in(20);
  while (atomic_load(&shared.finalized) == 0) {
    room_pump(&room);
    CHECK(now() < deadline);
    look_again_soon();
  }
  OK(rtcswarm_set_log_callback(0, NULL, NULL, NULL));
  rtcswarm_config_free(shared.servers);
  room_close(&room);
}

/* A program that breaks the contract: two swarms call back at once, each on its own thread, and both write here. For a look at whether who
 * looks for races finds one; only by its name. */
static int unguarded;

static void hear_and_write(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) {
  atomic_int *heard = user_data;
  (void)swarm;
  /* The first event of each. They meet here, so that both write for certain, and with nothing that would order them. */
  if (event->kind != RTCSWARM_EVENT_SIGNAL || atomic_load_explicit(heard, memory_order_relaxed) >= 2) return;
  atomic_fetch_add_explicit(heard, 1, memory_order_relaxed);
  double deadline = deadline_in(20);
  while (atomic_load_explicit(heard, memory_order_relaxed) < 2) CHECK(now() < deadline);
  unguarded++;
}

static void a_race_of_the_program_s_own(void) {
  static atomic_int heard;
  rtcswarm *swarms[2];
  for (int i = 0; i < 2; i++) {
    rtcswarm_config *config = config_for("alice");
    OK(rtcswarm_new(config, &swarms[i]));
    rtcswarm_config_free(config);
    OK(rtcswarm_set_event_callback(swarms[i], hear_and_write, &heard, NULL));
  }
  for (int i = 0; i < 2; i++) OK(rtcswarm_start(swarms[i]));
  double deadline = deadline_in(20);
  while (atomic_load_explicit(&heard, memory_order_relaxed) < 2) {
    CHECK(now() < deadline);
    look_again_soon();
  }
  for (int i = 0; i < 2; i++) rtcswarm_free(swarms[i]);
  CHECK(unguarded > 0);
}

int main(int argc, char **argv) {
  static const struct test broken[] = {{"a_race_of_the_program_s_own", a_race_of_the_program_s_own}};
  if (argc == 2 && strcmp(argv[1], broken[0].name) == 0) return run_tests(broken, 1, argc, argv);
  static const struct test tests[] = {
      {"every_function_at_once_beside_callbacks", every_function_at_once_beside_callbacks},
      {"every_function_at_once_beside_who_waits", every_function_at_once_beside_who_waits},
      {"a_hub_for_all", a_hub_for_all},
      {"closed_by_one_and_freed_inside", closed_by_one_and_freed_inside},
  };
  return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
