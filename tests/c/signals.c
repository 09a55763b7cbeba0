/* What others send: broken, unknown, huge and forged signals, into a swarm and into a hub. */
#define _POSIX_C_SOURCE 200809L

#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MALFORMED RTCSWARM_ERR_MALFORMED

/* No signals at all: the first of them to nobody, the others to a swarm. */
#define BROKEN_TO_ALL 15
static const char *const broken[] = {
    "",
    " ",
    "{",
    "}",
    "null",
    "42",
    "\"offer\"",
    "[]",
    "[{\"type\":\"offerRequest\"}]",
    "{}",
    "{\"type\":7}",
    "{\"type\":null}",
    "{\"type\":\"offerRequest\"",
    "{\"type\":\"offerRequest\"} trailing",
    "{\"type\":\"offerRequest\\ud800\"}",
    "{\"type\":\"accept\"}",
    "{\"type\":\"accept\",\"id\":\"x\"}",
    "{\"type\":\"accept\",\"id\":\"x\",\"userId\":\"bob\"}",
    "{\"type\":\"accept\",\"id\":\"x\",\"userId\":\"bob\",\"signals\":{}}",
    "{\"type\":\"accept\",\"id\":\"x\",\"userId\":\"bob\",\"signals\":[7]}",
    "{\"type\":\"accept\",\"id\":7,\"userId\":\"bob\",\"signals\":[]}",
    "{\"type\":\"offerAccepted\",\"id\":\"x\"}",
    "{\"type\":\"offerAccepted\",\"userId\":\"x\"}",
    "{\"type\":\"offer\",\"id\":\"x\"}",
    "{\"type\":\"offer\",\"sdp\":\"x\"}",
    "{\"type\":\"answer\",\"id\":\"x\",\"sdp\":7}",
    "{\"type\":\"candidate\",\"id\":\"x\",\"candidate\":7}",
    "{\"type\":\"candidate\",\"id\":\"x\",\"candidate\":{\"sdpMLineIndex\":\"0\"}}",
    "{\"type\":\"candidate\",\"id\":\"x\",\"candidate\":{\"candidate\":\"c\",\"sdpMLineIndex\":70000}}",
    "{\"type\":\"leaveSwarm\"}",
    "{\"type\":\"error\"}",
};

/* Well-formed, and nothing that this swarm asked for: ignored, or an event that says what is wrong. */
static const char *const strange[] = {
    "{\"type\":\"unheardOf\"}",
    "{\"type\":\"\"}",
    "{\"type\":\"init\",\"userId\":\"a\",\"roomId\":\"b\"}",
    "{\"type\":\"offerRequest\",\"surplus\":[1,{\"deep\":null}]}",
    "{\"type\":\"offerAccepted\",\"id\":\"of nobody\",\"userId\":\"bob\"}",
    "{\"type\":\"offer\",\"id\":\"of nobody\",\"sdp\":\"v=0\"}",
    "{\"type\":\"answer\",\"id\":\"of nobody\",\"sdp\":\"v=0\"}",
    "{\"type\":\"candidate\",\"id\":\"of nobody\",\"candidate\":null}",
    "{\"type\":\"candidate\",\"id\":\"of nobody\",\"candidate\":{\"candidate\":\"candidate:1 1 udp 1 1.2.3.4 5 typ host\"}}",
    "{\"type\":\"leaveSwarm\",\"id\":\"of nobody\"}",
    "{\"type\":\"accept\",\"id\":\"1\",\"userId\":\"eve\",\"signals\":[]}",
    "{\"type\":\"accept\",\"id\":\"\",\"userId\":\"\",\"signals\":[]}",
    "{\"type\":\"accept\",\"id\":\"2\",\"userId\":\"eve\",\"signals\":[{\"type\":\"offer\",\"sdp\":\"\"}]}",
    "{\"type\":\"accept\",\"id\":\"3\",\"userId\":\"a\\u0000b\",\"signals\":[{\"type\":\"offer\",\"sdp\":\"v=0\\r\\n\"}]}",
    ("{\"type\":\"accept\",\"id\":\"4\",\"userId\":\"eve\",\"signals\":[{\"type\":\"candidate\",\"candidate\":null},"
     "{\"type\":\"offer\",\"sdp\":\"m=application 99999 UDP/DTLS/SCTP nonsense\"}]}"),
    "{\"type\":\"accept\",\"id\":\"5\",\"userId\":\"alice\",\"signals\":[{\"type\":\"offer\",\"sdp\":\"v=0\"}]}",
    "{\"type\":\"error\",\"code\":\"\",\"message\":\"\"}",
    "{\"type\":\"error\",\"code\":\"a\\u0000b\",\"message\":\"c\\u0000d\"}",
};

static void feed(rtcswarm *swarm, int32_t wanted, const char *json) {
  int32_t got = rtcswarm_dispatch(swarm, json, strlen(json));
  if (got != wanted) {
    FAIL("%.100s answered %s (%s)", json, rtcswarm_status_name(got), rtcswarm_last_error_message());
  }
}

/* It can still meet and talk. */
static void is_well(struct room *room, struct member *member, const char *name) {
  struct member *friend = room_join(room, name);
  uint64_t peer = await_peer(room, friend, member->name);
  await_peer(room, member, name);
  OK(rtcswarm_send_text(friend->swarm, peer, "well?", 5));
  await(room, member, RTCSWARM_EVENT_TEXT);
}

static void a_swarm_hears_nonsense(void) {
  struct room room;
  room_open(&room);
  struct member *alice = room_join(&room, "alice");
  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) feed(alice->swarm, MALFORMED, broken[i]);
  CHECK(count_of(alice, RTCSWARM_EVENT_ERROR) == 0);
  for (size_t i = 0; i < sizeof strange / sizeof *strange; i++) feed(alice->swarm, RTCSWARM_OK, strange[i]);
  is_well(&room, alice, "bob");
  for (size_t i = 0; i < alice->event_count; i++) {
    const rtcswarm_event *event = alice->events[i];
    if (event->kind == RTCSWARM_EVENT_ERROR) CHECK(event->status < 0 && event->message != NULL && event->peer == 0);
    if (event->kind == RTCSWARM_EVENT_PEER_FAILED) CHECK(event->reason != 0 && event->message[0] != '\0');
  }
  room_close(&room);
}

/* `head`, then `length` bytes of `filler`, then `tail`. */
static char *huge(const char *head, char filler, size_t length, const char *tail) {
  char *json = malloc(strlen(head) + length + strlen(tail) + 1);
  CHECK(json != NULL);
  strcpy(json, head);
  memset(json + strlen(head), filler, length);
  strcpy(json + strlen(head) + length, tail);
  return json;
}

static void a_swarm_hears_huge_things(void) {
  struct room room;
  room_open(&room);
  struct member *alice = room_join(&room, "alice");
  static const struct {
    int32_t wanted;
    const char *head, *tail;
    char filler;
  } things[] = {
      {MALFORMED, "", "", '['},
      {MALFORMED, "{\"type\":", "", '{'},
      {MALFORMED, "", "", '9'},
      {MALFORMED, "\"", "", 'x'},
      {RTCSWARM_OK, "{\"type\":\"", "\"}", 'x'},
      {RTCSWARM_OK, "{\"type\":\"offerAccepted\",\"userId\":\"bob\",\"id\":\"", "\"}", 'x'},
      {RTCSWARM_OK, "{\"type\":\"accept\",\"id\":\"8\",\"userId\":\"", "\",\"signals\":[]}", 'u'},
      {RTCSWARM_OK, "{\"type\":\"accept\",\"id\":\"9\",\"userId\":\"u\",\"signals\":[{\"type\":\"offer\",\"sdp\":\"", "\"}]}",
       'v'},
      {RTCSWARM_OK, "{\"type\":\"error\",\"code\":\"c\",\"message\":\"", "\"}", 'm'},
      {RTCSWARM_OK, "{\"type\":\"offerRequest\",\"pad\":\"", "\"}", 'p'},
  };
  for (size_t i = 0; i < sizeof things / sizeof *things; i++) {
    char *json = huge(things[i].head, things[i].filler, 1 << 20, things[i].tail);
    feed(alice->swarm, things[i].wanted, json);
    free(json);
  }
  is_well(&room, alice, "bob");
  room_close(&room);
}

/* Forged signals about a link that lives: its peer stays. */
static void a_link_survives_forgeries(void) {
  struct room room;
  room_open(&room);
  struct member *alice = room_join(&room, "alice"), *bob = room_join(&room, "bob");
  const rtcswarm_event *open = await(&room, alice, RTCSWARM_EVENT_PEER_OPEN);
  uint64_t of_alice = await(&room, bob, RTCSWARM_EVENT_PEER_OPEN)->peer;
  static const char *const forgeries[] = {
      "{\"type\":\"accept\",\"id\":\"%s\",\"userId\":\"eve\",\"signals\":[{\"type\":\"offer\",\"sdp\":\"v=0\"}]}",
      "{\"type\":\"accept\",\"id\":\"%s\",\"userId\":\"bob\",\"signals\":[{\"type\":\"offer\",\"sdp\":\"v=0\"}]}",
      "{\"type\":\"offerAccepted\",\"id\":\"%s\",\"userId\":\"eve\"}",
      "{\"type\":\"answer\",\"id\":\"%s\",\"sdp\":\"nonsense\"}",
      "{\"type\":\"offer\",\"id\":\"%s\",\"sdp\":\"nonsense\"}",
      "{\"type\":\"candidate\",\"id\":\"%s\",\"candidate\":{\"candidate\":\"nonsense\",\"sdpMid\":\"0\"}}",
      "{\"type\":\"candidate\",\"id\":\"%s\",\"candidate\":null}",
      "{\"type\":\"leaveSwarm\",\"id\":\"%s\"}", /* a hint only, while the link is alive */
  };
  for (size_t i = 0; i < sizeof forgeries / sizeof *forgeries; i++) {
    char json[400];
    snprintf(json, sizeof json, forgeries[i], open->connection_id);
    feed(alice->swarm, RTCSWARM_OK, json);
    int32_t status = rtcswarm_send_text(alice->swarm, open->peer, "here", 4);
    if (status != RTCSWARM_OK) FAIL("after %s: %s", json, rtcswarm_last_error_message());
    await(&room, bob, RTCSWARM_EVENT_TEXT);
    /* What comes of it comes before the next round trip. */
    OK(rtcswarm_send_text(bob->swarm, of_alice, "here", 4));
    await(&room, alice, RTCSWARM_EVENT_TEXT);
    if (count_of(alice, RTCSWARM_EVENT_PEER_CLOSED) > 0) FAIL("%s ended the link", json);
  }
  room_pump(&room);
  CHECK(count_of(alice, RTCSWARM_EVENT_PEER_CLOSED) == 0 && count_of(bob, RTCSWARM_EVENT_PEER_CLOSED) == 0);
  room_close(&room);
}

/* Every signal of a meeting with one byte changed, into a swarm and into the hub. */
static void mutations(void) {
  struct room room;
  room_open(&room);
  struct member *alice = room_join(&room, "alice"), *bob = room_join(&room, "bob");
  await(&room, alice, RTCSWARM_EVENT_PEER_OPEN);
  await(&room, bob, RTCSWARM_EVENT_PEER_OPEN);
  uint64_t stranger = room_stranger(&room, "stranger");
  uint32_t random = 20240229;
  size_t signals = bob->event_count;
  for (size_t i = 0; i < signals; i++) {
    const rtcswarm_event *event = bob->events[i];
    if (event->kind != RTCSWARM_EVENT_SIGNAL) continue;
    for (int variant = 0; variant < 60; variant++) {
      char *json = malloc(event->length);
      CHECK(json != NULL);
      memcpy(json, event->data, event->length);
      for (int j = 0; j < 3; j++) {
        random = random * 1664525 + 1013904223;
        /* Printable, so that it stays UTF-8. */
        json[(random >> 8) % event->length] = (char)(' ' + (random >> 3) % 95);
      }
      int32_t status = rtcswarm_dispatch(alice->swarm, json, event->length);
      CHECK(status == RTCSWARM_OK || status == MALFORMED || status == RTCSWARM_WOULD_BLOCK);
      pthread_mutex_lock(&room.lock);
      OK(rtcswarm_hub_receive(room.hub, stranger, json, event->length));
      pthread_mutex_unlock(&room.lock);
      free(json);
    }
    room_pump(&room);
  }
  OK(rtcswarm_hub_disconnect(room.hub, stranger));
  is_well(&room, alice, "carol");
  room_close(&room);
}

/* Takes what the hub says next to this session; its code if it is a close, or 0. */
static int32_t hub_says(rtcswarm_hub *hub, uint64_t session, char *text, size_t room) {
  rtcswarm_hub_output *output;
  int32_t close_code = 0;
  text[0] = '\0';
  while (rtcswarm_hub_next_output(hub, &output) == RTCSWARM_OK) {
    CHECK(output->kind == RTCSWARM_HUB_SEND || output->kind == RTCSWARM_HUB_CLOSE);
    CHECK(output->text != NULL && strlen(output->text) == output->length);
    if (output->session == session) {
      CHECK(close_code == 0); /* nothing after the close */
      if (output->kind == RTCSWARM_HUB_CLOSE) close_code = output->close_code;
      else snprintf(text, room, "%s", output->text);
    }
    rtcswarm_hub_output_free(output);
  }
  CHECK(output == NULL);
  return close_code;
}

static void hub_refuses(const char *user_id, const char *room_name, const char *message) {
  rtcswarm_hub *hub;
  OK(rtcswarm_hub_new(NULL, &hub));
  uint64_t session;
  char text[1000];
  OK(rtcswarm_hub_connect(hub, user_id, &room_name, 1, &session));
  OK(rtcswarm_hub_receive(hub, session, message, strlen(message)));
  int32_t close_code = hub_says(hub, session, text, sizeof text);
  if (close_code < 1000 || close_code >= 5000) FAIL("%s is answered by %s %d", message, text, (int)close_code);
  CHECK(strstr(text, "\"error\"") != NULL && strstr(text, "\"message\"") != NULL);
  /* It is gone: what it still says is ignored. */
  OK(rtcswarm_hub_receive(hub, session, message, strlen(message)));
  CHECK(hub_says(hub, session, text, sizeof text) == 0 && text[0] == '\0');
  OK(rtcswarm_hub_disconnect(hub, session));
  rtcswarm_hub_stats stats = {.struct_size = sizeof stats};
  OK(rtcswarm_hub_get_stats(hub, &stats));
  CHECK(stats.sessions == 0 && stats.members == 0 && stats.rooms == 0);
  rtcswarm_hub_free(hub);
}

static void a_hub_refuses(void) {
  for (size_t i = 0; i < BROKEN_TO_ALL; i++) hub_refuses("alice", "room", broken[i]);
  hub_refuses("alice", "room", "{\"type\":\"init\"}");
  hub_refuses("alice", "room", "{\"type\":\"init\",\"userId\":7,\"roomId\":\"room\"}");
  hub_refuses("alice", "room", "{\"type\":\"init\",\"userId\":\"eve\",\"roomId\":\"room\"}");
  hub_refuses("alice", "room", "{\"type\":\"init\",\"userId\":\"alice\",\"roomId\":\"other\"}");
  hub_refuses("alice", "room", "{\"type\":\"init\",\"userId\":\"alice\",\"roomId\":[]}");
  hub_refuses("alice", "room", "{\"type\":\"offer\",\"id\":\"x\",\"sdp\":\"before init\"}");
}

static void a_hub_hears_nonsense_of_a_member(void) {
  rtcswarm_hub *hub;
  OK(rtcswarm_hub_new(NULL, &hub));
  const char *init = "{\"type\":\"init\",\"userId\":\"alice\",\"roomId\":7}";
  uint64_t session, other;
  char text[1000];
  OK(rtcswarm_hub_connect(hub, "alice", NULL, 0, &session));
  OK(rtcswarm_hub_receive(hub, session, init, strlen(init)));
  CHECK(hub_says(hub, session, text, sizeof text) == 0);
  const char *const nonsense[] = {
      "{\"type\":\"answer\",\"id\":\"of nobody\",\"sdp\":\"v=0\"}",
      "{\"type\":\"candidate\",\"id\":\"of nobody\",\"candidate\":null}",
      "{\"type\":\"unheardOf\"}",
  };
  for (size_t i = 0; i < sizeof nonsense / sizeof *nonsense; i++) {
    OK(rtcswarm_hub_receive(hub, session, nonsense[i], strlen(nonsense[i])));
    CHECK(hub_says(hub, session, text, sizeof text) == 0);
  }
  /* Sessions that never were. */
  const uint64_t unknown[] = {0, session + 1, UINT64_MAX};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    OK(rtcswarm_hub_receive(hub, unknown[i], init, strlen(init)));
    OK(rtcswarm_hub_disconnect(hub, unknown[i]));
  }
  rtcswarm_hub_output *output;
  EXPECT(RTCSWARM_TIMEOUT, rtcswarm_hub_next_output(hub, &output));
  /* A message that is too large ends it. */
  char *json = huge("{\"type\":\"offer\",\"id\":\"x\",\"sdp\":\"", 'v', 1 << 20, "\"}");
  OK(rtcswarm_hub_receive(hub, session, json, strlen(json)));
  CHECK(hub_says(hub, session, text, sizeof text) > 0 && strstr(text, "\"error\"") != NULL);
  free(json);
  OK(rtcswarm_hub_connect(hub, "bob", NULL, 0, &other));
  CHECK(other != session);
  /* So does one too many. */
  const char *init_of_bob = "{\"type\":\"init\",\"userId\":\"bob\",\"roomId\":\"7\"}";
  OK(rtcswarm_hub_receive(hub, other, init_of_bob, strlen(init_of_bob)));
  for (int i = 0; i < 1000; i++) OK(rtcswarm_hub_receive(hub, other, nonsense[0], strlen(nonsense[0])));
  CHECK(hub_says(hub, other, text, sizeof text) > 0 && strstr(text, "\"error\"") != NULL);

  OK(rtcswarm_hub_connect(hub, "carol", NULL, 0, &session));
  int64_t next = -7;
  OK(rtcswarm_hub_tick(hub, &next));
  CHECK(next > 0); /* the deadline of her init */
  OK(rtcswarm_hub_shut_down(hub));
  CHECK(hub_says(hub, session, text, sizeof text) == 1001);
  rtcswarm_hub_free(hub);
}

static void outputs_outlive_their_hub(void) {
  rtcswarm_hub *hub;
  OK(rtcswarm_hub_new(NULL, &hub));
  uint64_t session;
  OK(rtcswarm_hub_connect(hub, "alice", NULL, 0, &session));
  OK(rtcswarm_hub_receive(hub, session, "x", 1));
  rtcswarm_hub_output *output;
  OK(rtcswarm_hub_next_output(hub, &output));
  rtcswarm_hub_free(hub);
  CHECK(output->session == session && strlen(output->text) == output->length);
  rtcswarm_hub_output_free(output);
}

int main(int argc, char **argv) {
  static const struct test tests[] = {
      {"a_swarm_hears_nonsense", a_swarm_hears_nonsense},
      {"a_swarm_hears_huge_things", a_swarm_hears_huge_things},
      {"a_link_survives_forgeries", a_link_survives_forgeries},
      {"mutations", mutations},
      {"a_hub_refuses", a_hub_refuses},
      {"a_hub_hears_nonsense_of_a_member", a_hub_hears_nonsense_of_a_member},
      {"outputs_outlive_their_hub", outputs_outlive_their_hub},
  };
  return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
