/* Swarms that meet: messages of every size, full buffers, further channels, figures, partings. */
#define _POSIX_C_SOURCE 200809L

#include "harness.h"

#include <stdlib.h>
#include <string.h>

#define LARGEST 262144
/* On a further channel that is not both ordered and reliable. */
#define LARGEST_PIECE 49152

static bool says(const rtcswarm_event *event, const void *data, size_t length) {
  return event->length == length && (length == 0 || memcmp(event->data, data, length) == 0);
}

static uint8_t *pattern(size_t length, unsigned seed) {
  uint8_t *data = malloc(length > 0 ? length : 1);
  CHECK(data != NULL);
  for (size_t i = 0; i < length; i++) data[i] = (uint8_t)((i * 31 + i / 251 + seed) & 0xff);
  return data;
}

static void three_meet_and_talk(void) {
  struct room room;
  room_open(&room);
  const char *names[3] = {"alice", "bob", "carol"};
  struct member *members[3];
  uint64_t peers[3][3] = {{0}};
  for (int i = 0; i < 3; i++) members[i] = room_join(&room, names[i]);
  for (int i = 0; i < 3; i++) {
    for (int seen = 0; seen < 2; seen++) {
      const rtcswarm_event *event = await(&room, members[i], RTCSWARM_EVENT_PEER_OPEN);
      CHECK(event->peer != 0 && event->connection_id != NULL && strlen(event->connection_id) >= 22);
      CHECK(event->flags == RTCSWARM_FLAG_NATIVE && event->status == RTCSWARM_OK && event->track == 0);
      CHECK(event->data == NULL && event->length == 0 && event->message == NULL && event->name == NULL);
      for (int j = 0; j < 3; j++) {
        if (strcmp(event->user_id, names[j]) == 0) peers[i][j] = event->peer;
      }
    }
  }
  for (int i = 0; i < 3; i++) {
    size_t count = 0, length = 0;
    uint64_t ids[3] = {0};
    OK(rtcswarm_peers(members[i]->swarm, NULL, 0, &count));
    CHECK(count == 2);
    OK(rtcswarm_peers(members[i]->swarm, ids, 1, &count));
    CHECK(count == 2 && ids[0] != 0 && ids[1] == 0);
    OK(rtcswarm_peers(members[i]->swarm, ids, 3, &count));
    CHECK(count == 2 && ids[0] != 0 && ids[1] != 0 && ids[0] != ids[1] && ids[2] == 0);
    for (int j = 0; j < 3; j++) {
      CHECK((peers[i][j] == 0) == (i == j));
      if (i == j) continue;
      char name[16] = "################";
      OK(rtcswarm_peer_user_id(members[i]->swarm, peers[i][j], name, sizeof name, &length));
      CHECK(strcmp(name, names[j]) == 0 && length == strlen(names[j]));
      memset(name, '#', sizeof name);
      OK(rtcswarm_peer_user_id(members[i]->swarm, peers[i][j], name, 3, &length));
      CHECK(strlen(name) == 2 && length == strlen(names[j]) && name[3] == '#');
      OK(rtcswarm_peer_user_id(members[i]->swarm, peers[i][j], NULL, 0, &length));
      OK(rtcswarm_send_text(members[i]->swarm, peers[i][j], names[i], strlen(names[i])));
    }
  }
  for (int i = 0; i < 3; i++) {
    for (int j = 0; j < 3; j++) {
      if (i == j) continue;
      const rtcswarm_event *text = await_of(&room, members[i], RTCSWARM_EVENT_TEXT, peers[i][j]);
      CHECK(says(text, names[j], strlen(names[j])) && strcmp(text->user_id, names[j]) == 0);
      CHECK(text->channel == RTCSWARM_CHANNEL_FAST && text->connection_id == NULL);
    }
    size_t reached = 0, skipped = 7;
    OK(rtcswarm_broadcast_text(members[i]->swarm, "all", 3, &reached, &skipped));
    CHECK(reached == 2 && skipped == 0);
    OK(rtcswarm_broadcast(members[i]->swarm, (const uint8_t *)"bytes", 5, NULL, NULL));
  }
  for (int i = 0; i < 3; i++) {
    for (int seen = 0; seen < 2; seen++) {
      CHECK(says(await(&room, members[i], RTCSWARM_EVENT_TEXT), "all", 3));
      CHECK(says(await(&room, members[i], RTCSWARM_EVENT_BINARY), "bytes", 5));
    }
  }
  room_close(&room);
}

static struct member *alice, *bob;
static uint64_t of_alice, of_bob; /* as the other one numbers them */

static void two_meet(struct room *room, rtcswarm_config *config_of_alice) {
  room_open(room);
  alice = room_add(room, "alice", config_of_alice);
  OK(rtcswarm_start(alice->swarm));
  bob = room_join(room, "bob");
  of_bob = await_peer(room, alice, "bob");
  of_alice = await_peer(room, bob, "alice");
  CHECK(of_alice != of_bob);
}

static void messages_of_every_size(void) {
  struct room room;
  two_meet(&room, NULL);
  const size_t sizes[] = {0, 1, 2, 1000, 1200, 16384, 65535, 65536, 100000, LARGEST - 1, LARGEST};
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    uint8_t *data = pattern(sizes[i], (unsigned)i);
    OK(rtcswarm_send(alice->swarm, of_bob, data, sizes[i]));
    const rtcswarm_event *event = await(&room, bob, RTCSWARM_EVENT_BINARY);
    CHECK(says(event, data, sizes[i]) && event->peer == of_alice);
    for (size_t j = 0; j < sizes[i]; j++) data[j] = (uint8_t)('a' + data[j] % 26);
    OK(rtcswarm_send_text(bob->swarm, of_alice, (const char *)data, sizes[i]));
    event = await(&room, alice, RTCSWARM_EVENT_TEXT);
    CHECK(says(event, data, sizes[i]) && event->peer == of_bob);
    free(data);
  }
  uint8_t *large = pattern(LARGEST + 1, 0);
  EXPECT(RTCSWARM_ERR_TOO_LARGE, rtcswarm_send(alice->swarm, of_bob, large, LARGEST + 1));
  free(large);
  /* Text with what text may have, NUL too. */
  const char text[] = "gr\xc3\xbc\xc3\x9f dich \xf0\x9f\x90\x9d\0after";
  OK(rtcswarm_send_text(alice->swarm, of_bob, text, sizeof text - 1));
  CHECK(says(await(&room, bob, RTCSWARM_EVENT_TEXT), text, sizeof text - 1));
  /* What merely looks like the protocol's is delivered: as bytes, or further on in the text. */
  OK(rtcswarm_send(alice->swarm, of_bob, (const uint8_t *)"@fast/{}", 8));
  CHECK(says(await(&room, bob, RTCSWARM_EVENT_BINARY), "@fast/{}", 8));
  OK(rtcswarm_send_text(alice->swarm, of_bob, " @fast/{}", 9));
  CHECK(says(await(&room, bob, RTCSWARM_EVENT_TEXT), " @fast/{}", 9));
  EXPECT(RTCSWARM_ERR_RESERVED, rtcswarm_send_text(alice->swarm, of_bob, "@fast/{}", 8));
  room_close(&room);
}

static void messages_stay_in_order(void) {
  struct room room;
  two_meet(&room, NULL);
  enum { COUNT = 500 };
  for (uint32_t i = 0; i < COUNT;) {
    int32_t status = i % 2 ? rtcswarm_send(alice->swarm, of_bob, (const uint8_t *)&i, sizeof i)
                           : rtcswarm_send_text(alice->swarm, of_bob, "even", 4);
    if (status == RTCSWARM_WOULD_BLOCK) {
      await(&room, alice, RTCSWARM_EVENT_WRITABLE);
      continue;
    }
    OK(status);
    i++;
  }
  double deadline = deadline_in(20);
  while (count_of(bob, RTCSWARM_EVENT_BINARY) + count_of(bob, RTCSWARM_EVENT_TEXT) < COUNT) {
    room_pump(&room);
    CHECK(now() < deadline);
  }
  uint32_t expected = 0;
  for (size_t i = 0; i < bob->event_count; i++) {
    const rtcswarm_event *event = bob->events[i];
    if (event->kind == RTCSWARM_EVENT_TEXT) {
      CHECK(expected++ % 2 == 0);
    } else if (event->kind == RTCSWARM_EVENT_BINARY) {
      CHECK(says(event, &expected, sizeof expected));
      expected++;
    }
  }
  CHECK(expected == COUNT);
  for (size_t i = 1; i < bob->event_count; i++) CHECK(bob->events[i - 1]->time_us <= bob->events[i]->time_us);
  room_close(&room);
}

/* A full buffer: nothing is queued, exactly one "writable" follows, and nothing of what was queued is lost. */
static void a_full_send_buffer(void) {
  struct room room;
  rtcswarm_config *config = config_for("alice");
  OK(rtcswarm_config_set_max_message_size(config, 16384));
  OK(rtcswarm_config_set_send_buffer(config, 65536, 16384));
  two_meet(&room, config);
  uint8_t *block = pattern(16384, 3);
  size_t queued = 0;
  for (int round = 1; round <= 3; round++) {
    int32_t status;
    size_t before = queued;
    while ((status = rtcswarm_send(alice->swarm, of_bob, block, 16384)) == RTCSWARM_OK) {
      queued++;
      CHECK(queued < 100000);
    }
    EXPECT(RTCSWARM_WOULD_BLOCK, status);
    CHECK(queued > before);
    size_t buffered = 0;
    OK(rtcswarm_channel_buffered(alice->swarm, of_bob, RTCSWARM_CHANNEL_FAST, &buffered));
    CHECK(buffered <= 65536 + 16384);
    await(&room, alice, RTCSWARM_EVENT_WRITABLE);
    CHECK(count_of(alice, RTCSWARM_EVENT_WRITABLE) == (size_t)round);
  }
  EXPECT(RTCSWARM_ERR_TOO_LARGE, rtcswarm_send(alice->swarm, of_bob, block, 16385));
  double deadline = deadline_in(30);
  while (count_of(bob, RTCSWARM_EVENT_BINARY) < queued) {
    room_pump(&room);
    CHECK(now() < deadline);
  }
  CHECK(count_of(bob, RTCSWARM_EVENT_BINARY) == queued);
  CHECK(count_of(alice, RTCSWARM_EVENT_WRITABLE) == 3);
  /* Bob sends no more than alice said that she takes. */
  uint8_t *large = pattern(16385, 0);
  EXPECT(RTCSWARM_ERR_TOO_LARGE, rtcswarm_send(bob->swarm, of_alice, large, 16385));
  OK(rtcswarm_send(bob->swarm, of_alice, large, 16384));
  await(&room, alice, RTCSWARM_EVENT_BINARY);
  free(large);
  free(block);
  room_close(&room);
}

/* Who does not take its events holds up who sends to it, in bounded memory, and loses nothing. */
static void a_slow_reader(void) {
  struct room room;
  room_open(&room);
  rtcswarm_config *config = config_for("bob");
  OK(rtcswarm_config_set_receive_queue(config, 262144));
  struct member *slow = room_add(&room, "bob", config);
  OK(rtcswarm_start(slow->swarm));
  struct member *fast = room_join(&room, "alice");
  uint64_t peer = await_peer(&room, fast, "bob");
  await_peer(&room, slow, "alice");
  slow->by_callback = true; /* not pumped from here on */
  uint8_t *block = pattern(65536, 5);
  size_t sent = 0;
  int32_t status = RTCSWARM_OK;
  /* Until the send buffer is full and stays so. */
  for (double quiet_since = now(); now() < quiet_since + patience(0.5);) {
    status = rtcswarm_send(fast->swarm, peer, block, 65536);
    if (status == RTCSWARM_OK) {
      sent++;
      quiet_since = now();
      CHECK(sent < 1000); /* 64 MB would be no bound */
    } else {
      EXPECT(RTCSWARM_WOULD_BLOCK, status);
      room_pump(&room);
      look_again_soon();
    }
  }
  EXPECT(RTCSWARM_WOULD_BLOCK, status);
  rtcswarm_stats stats = {.struct_size = sizeof stats};
  OK(rtcswarm_get_stats(slow->swarm, &stats));
  CHECK(stats.queued_events >= 2 && stats.queued_events < 40);
  slow->by_callback = false;
  double deadline = deadline_in(30);
  while (count_of(slow, RTCSWARM_EVENT_BINARY) < sent) {
    room_pump(&room);
    CHECK(now() < deadline);
  }
  await(&room, fast, RTCSWARM_EVENT_WRITABLE);
  OK(rtcswarm_send_text(fast->swarm, peer, "on", 2));
  await(&room, slow, RTCSWARM_EVENT_TEXT);
  free(block);
  room_close(&room);
}

struct kind_of_channel {
  const char *label, *protocol;
  int32_t ordered, reliability;
  uint32_t limit;
};

static void channels_of_every_kind(void) {
  struct room room;
  two_meet(&room, NULL);
  static const struct kind_of_channel kinds[] = {
      {"reliable", NULL, 1, RTCSWARM_RELIABLE, 0},
      {"unordered", "a protocol", 0, RTCSWARM_RELIABLE, 0},
      {"retransmits", "", 1, RTCSWARM_MAX_RETRANSMITS, 0},
      {"retransmits", NULL, 0, RTCSWARM_MAX_RETRANSMITS, 65535},
      {"lifetime", NULL, 1, RTCSWARM_MAX_LIFETIME, 1000},
      {"", NULL, 0, RTCSWARM_MAX_LIFETIME, 65535},
      {"gr\xc3\xbc\xc3\x9f", NULL, -1, RTCSWARM_RELIABLE, 0},
  };
  enum { COUNT = sizeof kinds / sizeof *kinds };
  uint32_t mine[COUNT], theirs[COUNT];
  for (int i = 0; i < COUNT; i++) {
    const struct kind_of_channel *kind = &kinds[i];
    OK(rtcswarm_channel_open(alice->swarm, of_bob, kind->label, kind->protocol, kind->ordered, kind->reliability,
                             kind->limit, &mine[i]));
    CHECK(mine[i] != RTCSWARM_CHANNEL_FAST);
    for (int j = 0; j < i; j++) CHECK(mine[j] != mine[i]);
    const rtcswarm_event *here = await_of(&room, alice, RTCSWARM_EVENT_CHANNEL_OPEN, of_bob);
    CHECK(here->channel == mine[i] && strcmp(here->name, kind->label) == 0 && here->flags == 0);
    const rtcswarm_event *there = await_of(&room, bob, RTCSWARM_EVENT_CHANNEL_OPEN, of_alice);
    CHECK(strcmp(there->name, kind->label) == 0 && there->flags == RTCSWARM_FLAG_REMOTE);
    theirs[i] = there->channel;
  }
  uint8_t *largest = pattern(LARGEST + 1, 9);
  for (int i = 0; i < COUNT; i++) {
    /* Native peers talk of their channels on the channels. */
    EXPECT(RTCSWARM_ERR_RESERVED, rtcswarm_channel_send_text(alice->swarm, of_bob, mine[i], "@fast/x", 7));
    OK(rtcswarm_channel_send_text(alice->swarm, of_bob, mine[i], "gr\xc3\xbc\xc3\x9f dich", 11));
    const rtcswarm_event *text = await(&room, bob, RTCSWARM_EVENT_TEXT);
    CHECK(text->channel == theirs[i] && says(text, "gr\xc3\xbc\xc3\x9f dich", 11));
    OK(rtcswarm_channel_send(bob->swarm, of_alice, theirs[i], NULL, 0));
    const rtcswarm_event *empty = await(&room, alice, RTCSWARM_EVENT_BINARY);
    CHECK(empty->channel == mine[i] && empty->length == 0);
    /* What is larger goes in pieces, which need order and all of them. */
    const int reliable = kinds[i].reliability == RTCSWARM_RELIABLE;
    const size_t most = reliable && kinds[i].ordered ? LARGEST : LARGEST_PIECE;
    EXPECT(RTCSWARM_ERR_TOO_LARGE, rtcswarm_channel_send(alice->swarm, of_bob, mine[i], largest, most + 1));
    if (reliable) {
      OK(rtcswarm_channel_send(alice->swarm, of_bob, mine[i], largest, most));
      CHECK(says(await(&room, bob, RTCSWARM_EVENT_BINARY), largest, most));
    }
  }
  free(largest);
  for (int i = 0; i < COUNT; i++) {
    /* Either end may close it. */
    struct member *closer = i % 2 ? alice : bob;
    OK(rtcswarm_channel_close(closer->swarm, i % 2 ? of_bob : of_alice, i % 2 ? mine[i] : theirs[i]));
    CHECK(await(&room, alice, RTCSWARM_EVENT_CHANNEL_CLOSED)->channel == mine[i]);
    CHECK(await(&room, bob, RTCSWARM_EVENT_CHANNEL_CLOSED)->channel == theirs[i]);
    size_t buffered;
    EXPECT(RTCSWARM_ERR_NO_CHANNEL, rtcswarm_channel_send(alice->swarm, of_bob, mine[i], NULL, 0));
    EXPECT(RTCSWARM_ERR_NO_CHANNEL, rtcswarm_channel_send_text(bob->swarm, of_alice, theirs[i], "t", 1));
    EXPECT(RTCSWARM_ERR_NO_CHANNEL, rtcswarm_channel_buffered(bob->swarm, of_alice, theirs[i], &buffered));
    EXPECT(RTCSWARM_ERR_NO_CHANNEL, rtcswarm_channel_close(alice->swarm, of_bob, mine[i]));
  }
  OK(rtcswarm_send_text(alice->swarm, of_bob, "still", 5));
  CHECK(says(await(&room, bob, RTCSWARM_EVENT_TEXT), "still", 5));
  room_close(&room);
}

static void channels_that_cannot_be(void) {
  struct room room;
  two_meet(&room, NULL);
  char label[258];
  memset(label, 'l', sizeof label);
  label[257] = '\0';
  uint32_t channel = 7;
  const int32_t invalid = RTCSWARM_ERR_INVALID, reliable = RTCSWARM_RELIABLE;
  rtcswarm *swarm = alice->swarm;
  EXPECT(invalid, rtcswarm_channel_open(swarm, of_bob, label, NULL, 1, reliable, 0, &channel));
  EXPECT(invalid, rtcswarm_channel_open(swarm, of_bob, "a", label, 1, reliable, 0, &channel));
  EXPECT(invalid, rtcswarm_channel_open(swarm, of_bob, "fast", NULL, 1, reliable, 0, &channel));
  EXPECT(invalid, rtcswarm_channel_open(swarm, of_bob, "a", NULL, 1, 3, 0, &channel));
  EXPECT(invalid, rtcswarm_channel_open(swarm, of_bob, "a", NULL, 1, -1, 0, &channel));
  EXPECT(invalid, rtcswarm_channel_open(swarm, of_bob, "a", NULL, 1, RTCSWARM_MAX_LIFETIME, 65536, &channel));
  EXPECT(invalid, rtcswarm_channel_open(swarm, of_bob, "a", NULL, 1, RTCSWARM_MAX_RETRANSMITS, UINT32_MAX, &channel));
  EXPECT(invalid, rtcswarm_channel_close(swarm, of_bob, RTCSWARM_CHANNEL_FAST));
  CHECK(channel == 7);
  const uint32_t unknown[] = {1, 2, 100, 65535, 65536, 65537, UINT32_MAX};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    EXPECT(RTCSWARM_ERR_NO_CHANNEL, rtcswarm_channel_send_text(swarm, of_bob, unknown[i], "t", 1));
    EXPECT(RTCSWARM_ERR_NO_CHANNEL, rtcswarm_channel_close(swarm, of_bob, unknown[i]));
  }
  label[256] = '\0';
  OK(rtcswarm_channel_open(swarm, of_bob, label, label, 1, reliable, 0, &channel));
  CHECK(strcmp(await(&room, bob, RTCSWARM_EVENT_CHANNEL_OPEN)->name, label) == 0);
  room_close(&room);
}

static void figures(void) {
  struct room room;
  two_meet(&room, NULL);
  uint8_t *data = pattern(1000, 1);
  for (int i = 0; i < 10; i++) OK(rtcswarm_send(alice->swarm, of_bob, data, 1000));
  for (int i = 0; i < 10; i++) await(&room, bob, RTCSWARM_EVENT_BINARY);
  free(data);
  rtcswarm_peer_stats stats = {.struct_size = sizeof stats};
  double deadline = deadline_in(20);
  do {
    CHECK(now() < deadline);
    room_pump(&room);
    look_again_soon();
    OK(rtcswarm_get_peer_stats(alice->swarm, of_bob, &stats));
  } while (stats.buffered > 0 || stats.round_trip_us < 0);
  CHECK(stats.bytes_sent >= 10000 && stats.messages_sent >= 10 && stats.native && !stats.relayed);
  CHECK(strchr(stats.local_address, ':') != NULL && strchr(stats.remote_address, ':') != NULL);
  CHECK(stats.local_candidate_type[0] != '\0' && stats.remote_candidate_type[0] != '\0');
  OK(rtcswarm_get_peer_stats(bob->swarm, of_alice, &stats));
  CHECK(stats.bytes_received >= 10000 && stats.messages_received >= 10);
  rtcswarm_stats of_swarm = {.struct_size = sizeof of_swarm};
  OK(rtcswarm_get_stats(alice->swarm, &of_swarm));
  CHECK(of_swarm.peers == 1 && of_swarm.connections >= 1 && of_swarm.datagrams_sent > 0);
  CHECK(of_swarm.datagrams_received > 0 && of_swarm.socket_receive_buffer > 0);
  room_close(&room);
}

static void partings(void) {
  struct room room;
  two_meet(&room, NULL);
  /* What was queued before arrives. */
  OK(rtcswarm_send_text(alice->swarm, of_bob, "goodbye", 7));
  OK(rtcswarm_peer_close(alice->swarm, of_bob));
  const rtcswarm_event *here = await(&room, alice, RTCSWARM_EVENT_PEER_CLOSED);
  CHECK(here->peer == of_bob && here->reason == RTCSWARM_REASON_LOCAL_CLOSE && strcmp(here->user_id, "bob") == 0);
  const rtcswarm_event *there = await(&room, bob, RTCSWARM_EVENT_PEER_CLOSED);
  CHECK(there->peer == of_alice && there->reason == RTCSWARM_REASON_REMOTE_CLOSE);
  CHECK(count_of(bob, RTCSWARM_EVENT_TEXT) == 1);
  /* An old id, however old, finds nobody. */
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_send_text(alice->swarm, of_bob, "t", 1));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_peer_close(alice->swarm, of_bob));

  struct member *carol = room_join(&room, "carol");
  await_peer(&room, carol, "alice");
  uint64_t of_carol = await_peer(&room, alice, "carol");
  CHECK(of_carol != of_bob && of_carol != of_alice);
  OK(rtcswarm_close(carol->swarm));
  CHECK(await(&room, carol, RTCSWARM_EVENT_PEER_CLOSED)->reason == RTCSWARM_REASON_LOCAL_CLOSE);
  CHECK(await(&room, carol, RTCSWARM_EVENT_CLOSED)->status == RTCSWARM_OK);
  CHECK(carol->events[carol->event_count - 1]->kind == RTCSWARM_EVENT_CLOSED);
  const rtcswarm_event *left = await_of(&room, alice, RTCSWARM_EVENT_PEER_CLOSED, of_carol);
  CHECK(left->reason == RTCSWARM_REASON_REMOTE_CLOSE);
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_send_text(alice->swarm, of_carol, "t", 1));
  room_close(&room);
}

/* Freed without a close: the others notice at once, and not after a timeout of half a minute. */
static void freed_without_a_close(void) {
  struct room room;
  two_meet(&room, NULL);
  rtcswarm_free(room_take(&room, bob));
  const rtcswarm_event *event = await_of(&room, alice, RTCSWARM_EVENT_PEER_CLOSED, of_bob);
  CHECK(event->reason == RTCSWARM_REASON_REMOTE_CLOSE);
  room_close(&room);
}

struct sender {
  pthread_t thread;
  rtcswarm *swarm;
  uint64_t peer;
  size_t sent;
};

static void *send_many(void *user_data) {
  struct sender *sender = user_data;
  for (int i = 0; i < 300; i++) {
    int32_t status = rtcswarm_send(sender->swarm, sender->peer, (const uint8_t *)&i, sizeof i);
    if (status == RTCSWARM_OK) sender->sent++;
    else EXPECT(RTCSWARM_WOULD_BLOCK, status);
  }
  return NULL;
}

static void many_threads_send(void) {
  struct room room;
  two_meet(&room, NULL);
  struct sender senders[4];
  size_t sent = 0;
  for (int i = 0; i < 4; i++) {
    senders[i] = (struct sender){.swarm = alice->swarm, .peer = of_bob};
    CHECK(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]) == 0);
  }
  for (int i = 0; i < 4; i++) {
    pthread_join(senders[i].thread, NULL);
    sent += senders[i].sent;
  }
  double deadline = deadline_in(20);
  while (count_of(bob, RTCSWARM_EVENT_BINARY) < sent) {
    room_pump(&room);
    CHECK(now() < deadline);
  }
  room_close(&room);
}

int main(int argc, char **argv) {
  static const struct test tests[] = {
      {"three_meet_and_talk", three_meet_and_talk},
      {"messages_of_every_size", messages_of_every_size},
      {"messages_stay_in_order", messages_stay_in_order},
      {"a_full_send_buffer", a_full_send_buffer},
      {"a_slow_reader", a_slow_reader},
      {"channels_of_every_kind", channels_of_every_kind},
      {"channels_that_cannot_be", channels_that_cannot_be},
      {"figures", figures},
      {"partings", partings},
      {"freed_without_a_close", freed_without_a_close},
      {"many_threads_send", many_threads_send},
  };
  return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
