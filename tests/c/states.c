/* The life of a swarm: each call in each state, waiting, descriptors, threads and forks. */
#define _POSIX_C_SOURCE 200809L

#include "harness.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static rtcswarm *new_swarm(const char *user_id) {
  rtcswarm_config *config = config_for(user_id);
  rtcswarm *swarm;
  OK(rtcswarm_new(config, &swarm));
  rtcswarm_config_free(config);
  return swarm;
}

/* Everything that a swarm only does while it runs. */
static void expect_of_all(rtcswarm *swarm, int32_t wanted, uint64_t peer) {
  const uint8_t byte = 1;
  uint32_t channel = 0;
  EXPECT(wanted, rtcswarm_send(swarm, peer, &byte, 1));
  EXPECT(wanted, rtcswarm_send_text(swarm, peer, "a", 1));
  EXPECT(wanted, rtcswarm_channel_send(swarm, peer, 1, &byte, 1));
  EXPECT(wanted, rtcswarm_channel_send_text(swarm, peer, 1, "a", 1));
  EXPECT(wanted, rtcswarm_channel_open(swarm, peer, "a", NULL, 1, RTCSWARM_RELIABLE, 0, &channel));
  EXPECT(wanted, rtcswarm_channel_close(swarm, peer, 1));
  EXPECT(wanted, rtcswarm_peer_close(swarm, peer));
  EXPECT(wanted, rtcswarm_request_key_frame(swarm, peer, 1));
  CHECK(channel == 0);
}

static void expect_no_peer(rtcswarm *swarm, uint64_t peer) {
  size_t size = 7;
  rtcswarm_peer_stats stats = {.struct_size = sizeof stats};
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_channel_buffered(swarm, peer, RTCSWARM_CHANNEL_FAST, &size));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_peer_user_id(swarm, peer, NULL, 0, &size));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_get_peer_stats(swarm, peer, &stats));
  rtcswarm_track_stats track_stats = {.struct_size = sizeof track_stats};
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_get_track_stats(swarm, peer, 1, &track_stats));
  CHECK(size == 7);
}

static const rtcswarm_event *next(rtcswarm *swarm) {
  rtcswarm_event *event;
  OK(rtcswarm_next_event(swarm, (int32_t)(patience(20) * 1000), &event));
  return event;
}

/* Takes events until the last. */
static void drain(rtcswarm *swarm) {
  for (bool last = false; !last;) {
    const rtcswarm_event *event = next(swarm);
    last = event->kind == RTCSWARM_EVENT_CLOSED;
    if (last) CHECK(event->status == RTCSWARM_OK && event->peer == 0 && event->data == NULL && event->length == 0);
    rtcswarm_event_free((rtcswarm_event *)event);
  }
}

static void before_start(void) {
  rtcswarm *swarm = new_swarm("alice");
  expect_of_all(swarm, RTCSWARM_ERR_STATE, 1);
  expect_no_peer(swarm, 1);
  EXPECT(RTCSWARM_ERR_STATE, rtcswarm_dispatch(swarm, "{\"type\":\"offerRequest\"}", 23));
  EXPECT(RTCSWARM_ERR_STATE, rtcswarm_broadcast(swarm, NULL, 0, NULL, NULL));
  /* Tracks may be there before, but nothing is sent of them. */
  const rtcswarm_track_spec spec = {"stream", "track", 0, RTCSWARM_CODEC_OPUS};
  const uint8_t byte = 1;
  uint64_t track = 0;
  OK(rtcswarm_add_tracks(swarm, &spec, 1, &track));
  OK(rtcswarm_mute(swarm, track, 1));
  OK(rtcswarm_replace_track(swarm, track, RTCSWARM_CODEC_OPUS));
  EXPECT(RTCSWARM_ERR_STATE, rtcswarm_send_frame(swarm, track, &byte, 1, 0, 0, NULL, NULL));
  EXPECT(RTCSWARM_ERR_STATE, rtcswarm_send_rtp(swarm, track, &byte, 1, NULL, NULL));
  rtcswarm_event *event = (rtcswarm_event *)swarm;
  EXPECT(RTCSWARM_TIMEOUT, rtcswarm_next_event(swarm, 0, &event));
  CHECK(event == NULL);
  EXPECT(RTCSWARM_TIMEOUT, rtcswarm_next_event(swarm, 20, &event));
  size_t count = 7;
  OK(rtcswarm_peers(swarm, NULL, 0, &count));
  CHECK(count == 0);
  rtcswarm_stats stats = {.struct_size = sizeof stats};
  OK(rtcswarm_get_stats(swarm, &stats));
  CHECK(stats.peers == 0 && stats.queued_events == 0 && stats.socket_receive_buffer > 0);
  rtcswarm_free(swarm);
}

static void start_is_once(void) {
  rtcswarm *swarm = new_swarm("alice");
  OK(rtcswarm_start(swarm));
  EXPECT(RTCSWARM_ERR_STATE, rtcswarm_start(swarm));
  const uint64_t ids[] = {0, 1, UINT64_MAX};
  for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
    expect_of_all(swarm, RTCSWARM_ERR_NO_PEER, ids[i]);
    expect_no_peer(swarm, ids[i]);
  }
  EXPECT(RTCSWARM_ERR_INVALID, rtcswarm_channel_close(swarm, 1, RTCSWARM_CHANNEL_FAST));
  rtcswarm_free(swarm);
}

static void closing(void) {
  rtcswarm *swarm = new_swarm("alice");
  OK(rtcswarm_start(swarm));
  OK(rtcswarm_close(swarm));
  OK(rtcswarm_close(swarm));
  for (int round = 0; round < 2; round++) {
    expect_of_all(swarm, RTCSWARM_ERR_CLOSED, 1);
    expect_no_peer(swarm, 1);
    EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_start(swarm));
    EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_dispatch(swarm, "{}", 2));
    EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_broadcast(swarm, NULL, 0, NULL, NULL));
    if (round == 0) drain(swarm);
  }
  rtcswarm_event *event;
  EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_next_event(swarm, -1, &event));
  EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_next_event(swarm, 0, &event));
  CHECK(event == NULL);
  OK(rtcswarm_wakeup(swarm));
  OK(rtcswarm_close(swarm));
  size_t count = 7;
  OK(rtcswarm_peers(swarm, NULL, 0, &count));
  CHECK(count == 0);
  rtcswarm_free(swarm);
}

static void closed_without_a_start(void) {
  rtcswarm *swarm = new_swarm("alice");
  OK(rtcswarm_close(swarm));
  drain(swarm);
  EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_start(swarm));
  rtcswarm_free(swarm);
}

static void freed_in_any_state(void) {
  size_t before = open_descriptors();
  for (int state = 0; state < 4; state++) {
    rtcswarm *swarm = new_swarm("alice");
    int32_t fd;
    OK(rtcswarm_get_fd(swarm, &fd));
    if (state > 0) OK(rtcswarm_start(swarm));
    if (state > 1) OK(rtcswarm_close(swarm));
    if (state > 2) drain(swarm);
    rtcswarm_free(swarm);
    CHECK(open_descriptors() == before);
  }
}

static void events_outlive_their_swarm(void) {
  rtcswarm *swarm = new_swarm("alice");
  OK(rtcswarm_start(swarm));
  const rtcswarm_event *event = next(swarm);
  rtcswarm_free(swarm);
  CHECK(event->kind == RTCSWARM_EVENT_SIGNAL && event->data[0] == '{' && event->data[event->length - 1] == '}');
  rtcswarm_event_free((rtcswarm_event *)event);
}

static void await_input(int socket) {
  struct pollfd polled = {.fd = socket, .events = POLLIN};
  CHECK(poll(&polled, 1, (int)(patience(20) * 1000)) == 1);
}

static bool readable(int fd) {
  struct pollfd polled = {.fd = fd, .events = POLLIN};
  CHECK(poll(&polled, 1, 0) >= 0);
  CHECK((polled.revents & ~POLLIN) == 0);
  return polled.revents != 0;
}

static void the_descriptor_is_level_triggered(void) {
  rtcswarm *swarm = new_swarm("alice");
  int32_t fd, same;
  OK(rtcswarm_get_fd(swarm, &fd));
  OK(rtcswarm_get_fd(swarm, &same));
  CHECK(fd == same && fd >= 0);
  CHECK(fcntl(fd, F_GETFD) & FD_CLOEXEC);
  CHECK(!readable(fd));

  OK(rtcswarm_wakeup(swarm));
  CHECK(readable(fd) && readable(fd));
  rtcswarm_event *event;
  EXPECT(RTCSWARM_WOKEN, rtcswarm_next_event(swarm, -1, &event));
  CHECK(!readable(fd));
  EXPECT(RTCSWARM_TIMEOUT, rtcswarm_next_event(swarm, 0, &event));
  CHECK(!readable(fd));

  OK(rtcswarm_start(swarm));
  await_input(fd);
  CHECK(readable(fd));
  /* Readable exactly as long as there is something. */
  OK(rtcswarm_close(swarm));
  bool last = false;
  while (!last) {
    await_input(fd);
    OK(rtcswarm_next_event(swarm, 0, &event));
    last = event->kind == RTCSWARM_EVENT_CLOSED;
    rtcswarm_event_free(event);
  }
  CHECK(readable(fd)); /* who polls learns that it is over */
  EXPECT(RTCSWARM_ERR_CLOSED, rtcswarm_next_event(swarm, 0, &event));
  CHECK(readable(fd));
  rtcswarm_free(swarm);
}

static void nop_event(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) {
  (void)swarm;
  (void)event;
  (void)user_data;
}

static void a_failed_call_decides_nothing(void) {
  rtcswarm *swarm = new_swarm("alice");
  struct rlimit limit, none;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  none = limit;
  none.rlim_cur = 0;
  int32_t fd = -7;
  CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  EXPECT(RTCSWARM_ERR_IO, rtcswarm_get_fd(swarm, &fd));
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
  CHECK(fd == -7);
  OK(rtcswarm_set_event_callback(swarm, nop_event, NULL, NULL));
  EXPECT(RTCSWARM_ERR_BUSY, rtcswarm_get_fd(swarm, &fd));
  rtcswarm_free(swarm);
}

struct waiter {
  pthread_t thread;
  rtcswarm *swarm;
  atomic_bool waits;
  int32_t status;
};

static void *wait_for_ever(void *user_data) {
  struct waiter *waiter = user_data;
  rtcswarm_event *event;
  atomic_store(&waiter->waits, true);
  waiter->status = rtcswarm_next_event(waiter->swarm, -1, &event);
  CHECK(event == NULL);
  return NULL;
}

static void begin_to_wait(struct waiter *waiters, size_t count, rtcswarm *swarm) {
  for (size_t i = 0; i < count; i++) {
    waiters[i].swarm = swarm;
    atomic_init(&waiters[i].waits, false);
    CHECK(pthread_create(&waiters[i].thread, NULL, wait_for_ever, &waiters[i]) == 0);
    while (!atomic_load(&waiters[i].waits)) look_again_soon();
  }
  /* They are about to wait: give them the time to do so. What is tested must hold if they do not, too. */
  poll(NULL, 0, 50);
}

static void a_wakeup_wakes_one(void) {
  rtcswarm *swarm = new_swarm("alice");
  struct waiter waiters[3];
  begin_to_wait(waiters, 3, swarm);
  for (int i = 0; i < 3; i++) OK(rtcswarm_wakeup(swarm));
  for (int i = 0; i < 3; i++) {
    pthread_join(waiters[i].thread, NULL);
    CHECK(waiters[i].status == RTCSWARM_WOKEN);
  }
  rtcswarm_event *event;
  EXPECT(RTCSWARM_TIMEOUT, rtcswarm_next_event(swarm, 0, &event));
  /* Before the wait. */
  OK(rtcswarm_wakeup(swarm));
  EXPECT(RTCSWARM_WOKEN, rtcswarm_next_event(swarm, -1, &event));
  rtcswarm_free(swarm);
}

static void freed_while_others_wait(void) {
  for (int round = 0; round < 5; round++) {
    rtcswarm *swarm = new_swarm("alice");
    struct waiter waiters[4];
    begin_to_wait(waiters, 4, swarm);
    rtcswarm_free(swarm);
    for (int i = 0; i < 4; i++) {
      pthread_join(waiters[i].thread, NULL);
      CHECK(waiters[i].status == RTCSWARM_ERR_CLOSED);
    }
  }
}

static void closed_while_others_wait(void) {
  rtcswarm *swarm = new_swarm("alice");
  struct waiter waiters[3];
  /* One of them takes the last event, which `wait_for_ever` does not expect: take it here first. */
  OK(rtcswarm_close(swarm));
  drain(swarm);
  begin_to_wait(waiters, 3, swarm);
  for (int i = 0; i < 3; i++) {
    pthread_join(waiters[i].thread, NULL);
    CHECK(waiters[i].status == RTCSWARM_ERR_CLOSED);
  }
  rtcswarm_free(swarm);
}

static void in_the_child(rtcswarm *swarm, uint64_t peer) {
  rtcswarm_event *event;
  int32_t fd;
  size_t size;
  rtcswarm_stats stats = {.struct_size = sizeof stats};
  rtcswarm_peer_stats peer_stats = {.struct_size = sizeof peer_stats};
  expect_of_all(swarm, RTCSWARM_ERR_FORKED, peer);
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_start(swarm));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_close(swarm));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_dispatch(swarm, "{}", 2));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_next_event(swarm, -1, &event));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_wakeup(swarm));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_get_fd(swarm, &fd));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_set_event_callback(swarm, nop_event, NULL, NULL));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_on_open(swarm, nop_event, NULL, NULL));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_broadcast(swarm, NULL, 0, NULL, NULL));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_broadcast_text(swarm, NULL, 0, NULL, NULL));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_peers(swarm, NULL, 0, &size));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_peer_user_id(swarm, peer, NULL, 0, &size));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_channel_buffered(swarm, peer, 0, &size));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_get_peer_stats(swarm, peer, &peer_stats));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_get_stats(swarm, &stats));
  const rtcswarm_track_spec spec = {"stream", "track", 0, RTCSWARM_CODEC_OPUS};
  const uint8_t byte = 1;
  rtcswarm_track_stats track_stats = {.struct_size = sizeof track_stats};
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_add_tracks(swarm, &spec, 1, NULL));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_mute(swarm, 1, 1));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_replace_track(swarm, 1, RTCSWARM_CODEC_OPUS));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_send_frame(swarm, 1, &byte, 1, 0, 0, NULL, NULL));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_send_rtp(swarm, 1, &byte, 1, NULL, NULL));
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_get_track_stats(swarm, peer, 1, &track_stats));
  rtcswarm_free(swarm);
  rtcswarm_free(swarm); /* it does nothing, as often as you like */
  EXPECT(RTCSWARM_ERR_FORKED, rtcswarm_wakeup(swarm));

  /* One of the child's own. */
  rtcswarm *own = new_swarm("child");
  OK(rtcswarm_start(own));
  const rtcswarm_event *signal = next(own);
  CHECK(signal->kind == RTCSWARM_EVENT_SIGNAL);
  rtcswarm_event_free((rtcswarm_event *)signal);
  rtcswarm_free(own);
}

static void a_swarm_belongs_to_its_process(void) {
  struct room room;
  room_open(&room);
  struct member *alice = room_join(&room, "alice"), *bob = room_join(&room, "bob");
  uint64_t of_bob = await_peer(&room, alice, "bob"), of_alice = await_peer(&room, bob, "alice");
  fflush(stdout);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm((unsigned)patience(30));
    in_the_child(alice->swarm, of_bob);
    end_child();
  }
  int status;
  CHECK(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  /* The parent's noticed nothing. */
  OK(rtcswarm_send_text(alice->swarm, of_bob, "still here", 10));
  const rtcswarm_event *text = await(&room, bob, RTCSWARM_EVENT_TEXT);
  CHECK(text->peer == of_alice && text->length == 10 && memcmp(text->data, "still here", 10) == 0);
  CHECK(count_of(bob, RTCSWARM_EVENT_PEER_CLOSED) == 0);
  room_close(&room);
}

static void lets_nobody_in(int listener, const char *token) {
  char request[4096] = "";
  const char answer[] = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
  await_input(listener);
  int client = accept(listener, NULL, NULL);
  CHECK(client >= 0);
  for (size_t length = 0; strstr(request, "\r\n\r\n") == NULL;) {
    await_input(client);
    ssize_t more = read(client, request + length, sizeof request - 1 - length);
    CHECK(more > 0);
    length += (size_t)more;
  }
  CHECK(strstr(request, token) != NULL);
  CHECK(write(client, answer, sizeof answer - 1) == (ssize_t)sizeof answer - 1);
  close(client);
}

static void a_token_that_is_over(void) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 4) == 0);
  CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
  char url[64];
  snprintf(url, sizeof url, "ws://127.0.0.1:%d/", ntohs(address.sin_port));
  rtcswarm_config *config = config_for("alice");
  OK(rtcswarm_config_set_signaling(config, url, "token.over"));
  rtcswarm *swarm;
  OK(rtcswarm_new(config, &swarm));
  rtcswarm_config_free(config);
  OK(rtcswarm_start(swarm));
  const char *fresh = "token.fresh";
  lets_nobody_in(listener, "token.over");
  const rtcswarm_event *event = next(swarm);
  CHECK(event->kind == RTCSWARM_EVENT_SIGNALING_STATE && event->state == RTCSWARM_STATE_REFUSED);
  if (event->kind == RTCSWARM_EVENT_SIGNALING_STATE && event->state == RTCSWARM_STATE_REFUSED) {
    OK(rtcswarm_set_token(swarm, fresh));
  }
  rtcswarm_event_free((rtcswarm_event *)event);
  lets_nobody_in(listener, fresh);
  rtcswarm_free(swarm);
  close(listener);
}

static void other_ice_servers(void) {
  /* A port at which there is nothing. */
  const char *stun = "stun:127.0.0.1:9", *turn = "turn:127.0.0.1:9", *username = "alice", *credential = "secret";
  rtcswarm_config *config = config_for("alice");
  OK(rtcswarm_config_add_ice_server(config, stun, NULL, NULL));
  OK(rtcswarm_config_add_ice_server(config, turn, username, credential));
  OK(rtcswarm_config_set_ice_transport_policy(config, RTCSWARM_ICE_RELAY));
  rtcswarm *swarm;
  OK(rtcswarm_new(config, &swarm));
  rtcswarm_config_free(config);
  OK(rtcswarm_start(swarm));
  rtcswarm_config *servers = rtcswarm_config_new();
  OK(rtcswarm_config_add_ice_server(servers, stun, NULL, NULL));
  OK(rtcswarm_config_add_ice_server(servers, turn, username, credential));
  OK(rtcswarm_set_ice_servers(swarm, servers));
  rtcswarm_config_free(servers);
  rtcswarm_free(swarm);
}

static void *lives(void *user_data) {
  (void)user_data;
  for (int i = 0; i < 8; i++) {
    rtcswarm *swarm = new_swarm("alice");
    OK(rtcswarm_start(swarm));
    if (i % 2) OK(rtcswarm_close(swarm));
    if (i % 4 == 3) drain(swarm);
    rtcswarm_free(swarm);
  }
  return NULL;
}

static void many_lives_on_many_threads(void) {
  size_t before = open_descriptors();
  pthread_t threads[4];
  for (size_t i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, lives, NULL) == 0);
  for (size_t i = 0; i < 4; i++) pthread_join(threads[i], NULL);
  CHECK(open_descriptors() == before);
}

int main(int argc, char **argv) {
  static const struct test tests[] = {
      {"before_start", before_start},
      {"start_is_once", start_is_once},
      {"closing", closing},
      {"closed_without_a_start", closed_without_a_start},
      {"freed_in_any_state", freed_in_any_state},
      {"events_outlive_their_swarm", events_outlive_their_swarm},
      {"the_descriptor_is_level_triggered", the_descriptor_is_level_triggered},
      {"a_failed_call_decides_nothing", a_failed_call_decides_nothing},
      {"a_wakeup_wakes_one", a_wakeup_wakes_one},
      {"freed_while_others_wait", freed_while_others_wait},
      {"closed_while_others_wait", closed_while_others_wait},
      {"a_swarm_belongs_to_its_process", a_swarm_belongs_to_its_process},
      {"a_token_that_is_over", a_token_that_is_over},
      {"other_ice_servers", other_ice_servers},
      {"many_lives_on_many_threads", many_lives_on_many_threads},
  };
  return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
