/* What callers get wrong in one call: NULL, lengths, text that is not UTF-8, figures out of range. */
#define _POSIX_C_SOURCE 200809L

#include "harness.h"

#include <stdlib.h>
#include <string.h>

#define INVALID RTCSWARM_ERR_INVALID
/* Nothing that may be read. */
#define GARBAGE ((void *)1)

static const char NOT_UTF8[] = "a\xff\xfe";

static void nop_event(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) {
  (void)swarm;
  (void)event;
  (void)user_data;
}

static void never(void *user_data) {
  (void)user_data;
  FAIL("a finalizer was called after an error");
}

static void null_handles(void) {
  uint64_t id = 7, session = 7;
  size_t count = 7, skipped = 7;
  uint32_t channel = 7;
  int32_t fd = 7;
  int64_t next = 7;
  const uint8_t byte = 1;
  const char *room = "room";
  rtcswarm_event *event = GARBAGE;
  rtcswarm *swarm = GARBAGE;
  rtcswarm_hub_output *output = GARBAGE;
  rtcswarm_peer_stats peer_stats = {.struct_size = sizeof peer_stats};
  rtcswarm_stats stats = {.struct_size = sizeof stats};
  rtcswarm_hub_stats hub_stats = {.struct_size = sizeof hub_stats};
  rtcswarm_track_stats track_stats = {.struct_size = sizeof track_stats};
  const rtcswarm_track_spec spec = {"stream", "track", 0, RTCSWARM_CODEC_OPUS};

  rtcswarm_config_free(NULL);
  rtcswarm_free(NULL);
  rtcswarm_event_free(NULL);
  rtcswarm_hub_free(NULL);
  rtcswarm_hub_output_free(NULL);

  EXPECT(INVALID, rtcswarm_config_set_room(NULL, "a"));
  EXPECT(INVALID, rtcswarm_config_set_user_id(NULL, "a"));
  EXPECT(INVALID, rtcswarm_config_set_signaling(NULL, "ws://a", "b"));
  EXPECT(INVALID, rtcswarm_config_set_signaling_ca_file(NULL, "a"));
  EXPECT(INVALID, rtcswarm_config_set_peer_buffer(NULL, 1));
  EXPECT(INVALID, rtcswarm_config_set_max_peers(NULL, 1));
  EXPECT(INVALID, rtcswarm_config_add_ice_server(NULL, "stun:a", NULL, NULL));
  EXPECT(INVALID, rtcswarm_config_set_ice_transport_policy(NULL, RTCSWARM_ICE_ALL));
  EXPECT(INVALID, rtcswarm_config_add_bind_address(NULL, "127.0.0.1"));
  EXPECT(INVALID, rtcswarm_config_add_interface(NULL, "lo"));
  EXPECT(INVALID, rtcswarm_config_set_ip_families(NULL, 1, 1));
  EXPECT(INVALID, rtcswarm_config_set_loopback(NULL, 1));
  EXPECT(INVALID, rtcswarm_config_set_port(NULL, 1));
  EXPECT(INVALID, rtcswarm_config_set_max_message_size(NULL, 1));
  EXPECT(INVALID, rtcswarm_config_set_send_buffer(NULL, 2, 1));
  EXPECT(INVALID, rtcswarm_config_set_receive_queue(NULL, 1));
  EXPECT(INVALID, rtcswarm_config_set_media_queue(NULL, 1));
  EXPECT(INVALID, rtcswarm_config_set_receive_rtp(NULL, 1));
  EXPECT(INVALID, rtcswarm_config_set_timeout(NULL, RTCSWARM_TIMEOUT_CLOSE, 1));

  EXPECT(INVALID, rtcswarm_new(NULL, &swarm));
  CHECK(swarm == GARBAGE);
  EXPECT(INVALID, rtcswarm_start(NULL));
  EXPECT(INVALID, rtcswarm_set_token(NULL, "token"));
  EXPECT(INVALID, rtcswarm_dispatch(NULL, "{}", 2));
  EXPECT(INVALID, rtcswarm_close(NULL));
  EXPECT(INVALID, rtcswarm_next_event(NULL, -1, &event));
  EXPECT(INVALID, rtcswarm_wakeup(NULL));
  EXPECT(INVALID, rtcswarm_get_fd(NULL, &fd));
  EXPECT(INVALID, rtcswarm_set_event_callback(NULL, nop_event, NULL, never));
  EXPECT(INVALID, rtcswarm_on_open(NULL, nop_event, NULL, never));
  EXPECT(INVALID, rtcswarm_on_close(NULL, nop_event, NULL, never));
  EXPECT(INVALID, rtcswarm_on_data(NULL, nop_event, NULL, never));
  EXPECT(INVALID, rtcswarm_on_signal(NULL, nop_event, NULL, never));
  EXPECT(INVALID, rtcswarm_on_error(NULL, nop_event, NULL, never));
  EXPECT(INVALID, rtcswarm_on_connection(NULL, nop_event, NULL, never));
  EXPECT(INVALID, rtcswarm_on_stream(NULL, nop_event, NULL, never));
  EXPECT(INVALID, rtcswarm_on_track(NULL, nop_event, NULL, never));
  EXPECT(INVALID, rtcswarm_on_frame(NULL, nop_event, NULL, never));
  EXPECT(INVALID, rtcswarm_send(NULL, 1, &byte, 1));
  EXPECT(INVALID, rtcswarm_send_text(NULL, 1, "a", 1));
  EXPECT(INVALID, rtcswarm_broadcast(NULL, &byte, 1, &count, &skipped));
  EXPECT(INVALID, rtcswarm_broadcast_text(NULL, "a", 1, &count, &skipped));
  EXPECT(INVALID, rtcswarm_channel_open(NULL, 1, "a", NULL, 1, RTCSWARM_RELIABLE, 0, &channel));
  EXPECT(INVALID, rtcswarm_channel_send(NULL, 1, 1, &byte, 1));
  EXPECT(INVALID, rtcswarm_channel_send_text(NULL, 1, 1, "a", 1));
  EXPECT(INVALID, rtcswarm_channel_close(NULL, 1, 1));
  EXPECT(INVALID, rtcswarm_channel_buffered(NULL, 1, 0, &count));
  EXPECT(INVALID, rtcswarm_peer_close(NULL, 1));
  EXPECT(INVALID, rtcswarm_peers(NULL, &id, 1, &count));
  EXPECT(INVALID, rtcswarm_peer_user_id(NULL, 1, NULL, 0, &count));
  EXPECT(INVALID, rtcswarm_get_peer_stats(NULL, 1, &peer_stats));
  EXPECT(INVALID, rtcswarm_get_stats(NULL, &stats));
  EXPECT(INVALID, rtcswarm_add_tracks(NULL, &spec, 1, &id));
  EXPECT(INVALID, rtcswarm_mute(NULL, 1, 1));
  EXPECT(INVALID, rtcswarm_replace_track(NULL, 1, RTCSWARM_CODEC_OPUS));
  EXPECT(INVALID, rtcswarm_send_frame(NULL, 1, &byte, 1, 0, 0, &count, &skipped));
  EXPECT(INVALID, rtcswarm_send_rtp(NULL, 1, &byte, 1, &count, &skipped));
  EXPECT(INVALID, rtcswarm_request_key_frame(NULL, 1, 1));
  EXPECT(INVALID, rtcswarm_get_track_stats(NULL, 1, 1, &track_stats));

  EXPECT(INVALID, rtcswarm_hub_limits_default(NULL));
  EXPECT(INVALID, rtcswarm_hub_new(NULL, NULL));
  EXPECT(INVALID, rtcswarm_hub_connect(NULL, "a", &room, 1, &session));
  EXPECT(INVALID, rtcswarm_hub_receive(NULL, 1, "{}", 2));
  EXPECT(INVALID, rtcswarm_hub_disconnect(NULL, 1));
  EXPECT(INVALID, rtcswarm_hub_shut_down(NULL));
  EXPECT(INVALID, rtcswarm_hub_tick(NULL, &next));
  EXPECT(INVALID, rtcswarm_hub_next_output(NULL, &output));
  EXPECT(INVALID, rtcswarm_hub_get_stats(NULL, &hub_stats));

  /* Results are not written where there is none. */
  CHECK(id == 7 && session == 7 && count == 7 && skipped == 7 && channel == 7 && fd == 7 && next == 7);
}

static void null_arguments(void) {
  rtcswarm_config *config = config_for("alice");
  EXPECT(INVALID, rtcswarm_config_set_room(config, NULL));
  EXPECT(INVALID, rtcswarm_config_set_user_id(config, NULL));
  EXPECT(INVALID, rtcswarm_config_set_signaling(config, NULL, NULL));
  EXPECT(INVALID, rtcswarm_config_set_signaling_ca_file(config, NULL));
  EXPECT(INVALID, rtcswarm_config_add_ice_server(config, NULL, NULL, NULL));
  EXPECT(INVALID, rtcswarm_config_add_bind_address(config, NULL));
  EXPECT(INVALID, rtcswarm_config_add_interface(config, NULL));
  EXPECT(INVALID, rtcswarm_new(config, NULL));

  rtcswarm *swarm;
  OK(rtcswarm_new(config, &swarm));
  rtcswarm_config_free(config);
  EXPECT(INVALID, rtcswarm_set_event_callback(swarm, NULL, NULL, never));
  EXPECT(INVALID, rtcswarm_on_open(swarm, NULL, NULL, never));
  EXPECT(INVALID, rtcswarm_on_close(swarm, NULL, NULL, never));
  EXPECT(INVALID, rtcswarm_on_data(swarm, NULL, NULL, never));
  EXPECT(INVALID, rtcswarm_on_signal(swarm, NULL, NULL, never));
  EXPECT(INVALID, rtcswarm_on_error(swarm, NULL, NULL, never));
  EXPECT(INVALID, rtcswarm_on_connection(swarm, NULL, NULL, never));
  EXPECT(INVALID, rtcswarm_on_stream(swarm, NULL, NULL, never));
  EXPECT(INVALID, rtcswarm_on_track(swarm, NULL, NULL, never));
  EXPECT(INVALID, rtcswarm_on_frame(swarm, NULL, NULL, never));
  OK(rtcswarm_start(swarm));
  EXPECT(INVALID, rtcswarm_set_token(swarm, NULL));
  EXPECT(INVALID, rtcswarm_set_token(swarm, NOT_UTF8));
  EXPECT(RTCSWARM_ERR_STATE, rtcswarm_set_token(swarm, "token"));
  EXPECT(INVALID, rtcswarm_set_ice_servers(swarm, NULL));
  rtcswarm_config *servers = rtcswarm_config_new();
  EXPECT(INVALID, rtcswarm_set_ice_servers(NULL, servers));
  EXPECT(RTCSWARM_OK, rtcswarm_config_add_ice_server(servers, "stun:127.0.0.1:9", NULL, NULL));
  EXPECT(RTCSWARM_OK, rtcswarm_set_ice_servers(swarm, servers));
  rtcswarm_config_free(servers);
  EXPECT(INVALID, rtcswarm_dispatch(swarm, NULL, 5));
  EXPECT(INVALID, rtcswarm_next_event(swarm, 0, NULL));
  EXPECT(INVALID, rtcswarm_get_fd(swarm, NULL));
  EXPECT(INVALID, rtcswarm_send(swarm, 1, NULL, 5));
  EXPECT(INVALID, rtcswarm_send_text(swarm, 1, NULL, 5));
  EXPECT(INVALID, rtcswarm_broadcast(swarm, NULL, 5, NULL, NULL));
  EXPECT(INVALID, rtcswarm_broadcast_text(swarm, NULL, 5, NULL, NULL));
  uint32_t channel = 7;
  EXPECT(INVALID, rtcswarm_channel_open(swarm, 1, NULL, NULL, 1, RTCSWARM_RELIABLE, 0, &channel));
  EXPECT(INVALID, rtcswarm_channel_open(swarm, 1, "a", NULL, 1, RTCSWARM_RELIABLE, 0, NULL));
  EXPECT(INVALID, rtcswarm_channel_send(swarm, 1, 1, NULL, 5));
  EXPECT(INVALID, rtcswarm_channel_send_text(swarm, 1, 1, NULL, 5));
  size_t count = 7;
  EXPECT(INVALID, rtcswarm_peers(swarm, NULL, 5, &count));
  EXPECT(INVALID, rtcswarm_peers(swarm, NULL, 0, NULL));
  EXPECT(INVALID, rtcswarm_peer_user_id(swarm, 1, NULL, 5, &count));
  EXPECT(INVALID, rtcswarm_get_stats(swarm, NULL));
  CHECK(count == 7 && channel == 7);
  /* Those that want no answer. */
  OK(rtcswarm_broadcast(swarm, NULL, 0, NULL, NULL));
  OK(rtcswarm_broadcast_text(swarm, NULL, 0, NULL, NULL));
  rtcswarm_free(swarm);

  rtcswarm_hub *hub;
  OK(rtcswarm_hub_new(NULL, &hub));
  uint64_t session = 7;
  const char *rooms[2] = {"a", NULL};
  EXPECT(INVALID, rtcswarm_hub_connect(hub, NULL, NULL, 0, &session));
  EXPECT(INVALID, rtcswarm_hub_connect(hub, "", NULL, 0, &session));
  EXPECT(INVALID, rtcswarm_hub_connect(hub, "a", NULL, 1, &session));
  EXPECT(INVALID, rtcswarm_hub_connect(hub, "a", rooms, 0, &session));
  EXPECT(INVALID, rtcswarm_hub_connect(hub, "a", rooms, 2, &session));
  EXPECT(INVALID, rtcswarm_hub_connect(hub, "a", NULL, 0, NULL));
  CHECK(session == 7);
  EXPECT(INVALID, rtcswarm_hub_receive(hub, 1, NULL, 5));
  EXPECT(INVALID, rtcswarm_hub_next_output(hub, NULL));
  EXPECT(INVALID, rtcswarm_hub_get_stats(hub, NULL));
  OK(rtcswarm_hub_tick(hub, NULL));
  rtcswarm_hub_free(hub);

  EXPECT(INVALID, rtcswarm_set_log_callback(RTCSWARM_LOG_ERROR - 1, (rtcswarm_log_callback)(void (*)(void))nop_event,
                                            NULL, never));
  EXPECT(INVALID, rtcswarm_set_log_callback(RTCSWARM_LOG_TRACE + 1, (rtcswarm_log_callback)(void (*)(void))nop_event,
                                            NULL, never));
  OK(rtcswarm_set_log_callback(0, NULL, NULL, NULL));
}

/* Lengths win over pointers: with 0 the pointer is not looked at. */
static void lengths(void) {
  struct room room;
  room_open(&room);
  struct member *alice = room_join(&room, "alice");
  rtcswarm *swarm = alice->swarm;
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_send(swarm, 1, GARBAGE, 0));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_send(swarm, 1, NULL, 0));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_send_text(swarm, 1, GARBAGE, 0));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_channel_send(swarm, 1, 1, GARBAGE, 0));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_channel_send_text(swarm, 1, 1, GARBAGE, 0));
  EXPECT(RTCSWARM_ERR_MALFORMED, rtcswarm_dispatch(swarm, GARBAGE, 0));
  OK(rtcswarm_broadcast(swarm, GARBAGE, 0, NULL, NULL));
  size_t count = 7;
  OK(rtcswarm_peers(swarm, GARBAGE, 0, &count));
  CHECK(count == 0);
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_peer_user_id(swarm, 1, GARBAGE, 0, NULL));
  OK(rtcswarm_hub_receive(room.hub, alice->session, GARBAGE, 0));

  /* Impossible lengths are refused before anything is read. */
  uint8_t byte = 0;
  EXPECT(INVALID, rtcswarm_send(swarm, 1, &byte, SIZE_MAX));
  EXPECT(INVALID, rtcswarm_send_text(swarm, 1, (const char *)&byte, SIZE_MAX));
  EXPECT(INVALID, rtcswarm_broadcast(swarm, &byte, SIZE_MAX / 2 + 1, NULL, NULL));
  EXPECT(INVALID, rtcswarm_dispatch(swarm, (const char *)&byte, SIZE_MAX));
  EXPECT(INVALID, rtcswarm_hub_receive(room.hub, alice->session, (const char *)&byte, SIZE_MAX));

  /* Too large comes before no such peer: it is known at once. */
  uint8_t *large = calloc(1, 262145);
  CHECK(large != NULL);
  EXPECT(RTCSWARM_ERR_TOO_LARGE, rtcswarm_send(swarm, 1, large, 262145));
  EXPECT(RTCSWARM_ERR_TOO_LARGE, rtcswarm_send_text(swarm, 1, (const char *)large, 262145));
  EXPECT(RTCSWARM_ERR_TOO_LARGE, rtcswarm_broadcast(swarm, large, 262145, NULL, NULL));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_send(swarm, 1, large, 262144));
  free(large);
  room_close(&room);
}

static void text_that_is_not_utf8(void) {
  rtcswarm_config *config = config_for("alice");
  EXPECT(INVALID, rtcswarm_config_set_room(config, NOT_UTF8));
  EXPECT(INVALID, rtcswarm_config_set_user_id(config, NOT_UTF8));
  EXPECT(INVALID, rtcswarm_config_set_signaling(config, NOT_UTF8, ""));
  EXPECT(INVALID, rtcswarm_config_set_signaling(config, "ws://a", NOT_UTF8));
  EXPECT(INVALID, rtcswarm_config_set_signaling_ca_file(config, NOT_UTF8));
  EXPECT(INVALID, rtcswarm_config_add_ice_server(config, NOT_UTF8, NULL, NULL));
  EXPECT(INVALID, rtcswarm_config_add_ice_server(config, "turn:a", NOT_UTF8, NULL));
  EXPECT(INVALID, rtcswarm_config_add_ice_server(config, "turn:a", "a", NOT_UTF8));
  EXPECT(INVALID, rtcswarm_config_add_bind_address(config, NOT_UTF8));
  EXPECT(INVALID, rtcswarm_config_add_interface(config, NOT_UTF8));
  /* None of it was taken. */
  rtcswarm *swarm;
  OK(rtcswarm_new(config, &swarm));
  rtcswarm_config_free(config);
  OK(rtcswarm_start(swarm));
  EXPECT(INVALID, rtcswarm_dispatch(swarm, NOT_UTF8, 3));
  EXPECT(INVALID, rtcswarm_send_text(swarm, 1, NOT_UTF8, 3));
  EXPECT(INVALID, rtcswarm_broadcast_text(swarm, NOT_UTF8, 3, NULL, NULL));
  EXPECT(INVALID, rtcswarm_channel_send_text(swarm, 1, 1, NOT_UTF8, 3));
  uint32_t channel;
  EXPECT(INVALID, rtcswarm_channel_open(swarm, 1, NOT_UTF8, NULL, 1, RTCSWARM_RELIABLE, 0, &channel));
  EXPECT(INVALID, rtcswarm_channel_open(swarm, 1, "a", NOT_UTF8, 1, RTCSWARM_RELIABLE, 0, &channel));
  EXPECT(RTCSWARM_ERR_RESERVED, rtcswarm_send_text(swarm, 1, "@fast", 5));
  EXPECT(RTCSWARM_ERR_RESERVED, rtcswarm_send_text(swarm, 1, "@fast/{\"type\":\"close\"}", 22));
  EXPECT(RTCSWARM_ERR_RESERVED, rtcswarm_broadcast_text(swarm, "@faster", 7, NULL, NULL));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_send_text(swarm, 1, "@fas", 4));
  EXPECT(RTCSWARM_ERR_NO_PEER, rtcswarm_send(swarm, 1, (const uint8_t *)"@fast", 5));
  rtcswarm_free(swarm);

  rtcswarm_hub *hub;
  OK(rtcswarm_hub_new(NULL, &hub));
  uint64_t session;
  const char *rooms[1] = {NOT_UTF8};
  EXPECT(INVALID, rtcswarm_hub_connect(hub, NOT_UTF8, NULL, 0, &session));
  EXPECT(INVALID, rtcswarm_hub_connect(hub, "a", rooms, 1, &session));
  OK(rtcswarm_hub_connect(hub, "a", NULL, 0, &session));
  EXPECT(INVALID, rtcswarm_hub_receive(hub, session, NOT_UTF8, 3));
  rtcswarm_hub_free(hub);
}

static void refuse(rtcswarm_config *config) {
  rtcswarm *swarm = GARBAGE;
  EXPECT(INVALID, rtcswarm_new(config, &swarm));
  CHECK(swarm == GARBAGE);
  rtcswarm_config_free(config);
}

static void configs_that_cannot_work(void) {
  char name[258];
  memset(name, 'n', sizeof name);
  name[257] = '\0';
  rtcswarm_config *config = rtcswarm_config_new();
  refuse(config);
#define REFUSED(change) \
  do { \
    config = config_for("alice"); \
    OK(change); \
    refuse(config); \
  } while (0)
  REFUSED(rtcswarm_config_set_room(config, ""));
  REFUSED(rtcswarm_config_set_room(config, name));
  REFUSED(rtcswarm_config_set_user_id(config, ""));
  REFUSED(rtcswarm_config_set_user_id(config, name));
  REFUSED(rtcswarm_config_set_peer_buffer(config, 65));
  REFUSED(rtcswarm_config_set_peer_buffer(config, UINT32_MAX));
  REFUSED(rtcswarm_config_set_max_peers(config, 0));
  REFUSED(rtcswarm_config_set_max_peers(config, 4097));
  REFUSED(rtcswarm_config_set_ice_transport_policy(config, RTCSWARM_ICE_RELAY));
  REFUSED(rtcswarm_config_set_ip_families(config, 0, 0));
  REFUSED(rtcswarm_config_set_max_message_size(config, 0));
  REFUSED(rtcswarm_config_set_max_message_size(config, 262145));
  REFUSED(rtcswarm_config_set_send_buffer(config, 1000, 10));
  REFUSED(rtcswarm_config_set_send_buffer(config, 1 << 20, 1 << 20));
  REFUSED(rtcswarm_config_set_receive_queue(config, 0));
  REFUSED(rtcswarm_config_set_media_queue(config, 0));
  for (int32_t which = RTCSWARM_TIMEOUT_ANSWER; which <= RTCSWARM_TIMEOUT_ICE_FAILED; which++) {
    REFUSED(rtcswarm_config_set_timeout(config, which, 0));
    REFUSED(rtcswarm_config_set_timeout(config, which, UINT32_MAX));
  }
  config = config_for("alice");
  OK(rtcswarm_config_add_bind_address(config, "203.0.113.77")); /* nobody's */
  rtcswarm *swarm = GARBAGE;
  EXPECT(RTCSWARM_ERR_IO, rtcswarm_new(config, &swarm));
  CHECK(swarm == GARBAGE);
  rtcswarm_config_free(config);

  config = config_for("alice");
  EXPECT(INVALID, rtcswarm_config_set_timeout(config, -1, 5));
  EXPECT(INVALID, rtcswarm_config_set_timeout(config, RTCSWARM_TIMEOUT_RECONNECT + 1, 5));
  EXPECT(INVALID, rtcswarm_config_set_ice_transport_policy(config, 2));
  EXPECT(INVALID, rtcswarm_config_add_bind_address(config, "localhost"));
  EXPECT(INVALID, rtcswarm_config_add_bind_address(config, ""));
  EXPECT(INVALID, rtcswarm_config_add_ice_server(config, "http://a", NULL, NULL));
  EXPECT(INVALID, rtcswarm_config_set_signaling_ca_file(config, "/nowhere"));
  /* The longest names, and figures at their edges, are fine. */
  name[256] = '\0';
  OK(rtcswarm_config_set_room(config, name));
  OK(rtcswarm_config_set_user_id(config, name));
  OK(rtcswarm_config_set_peer_buffer(config, 0));
  OK(rtcswarm_config_set_max_peers(config, 4096));
  OK(rtcswarm_config_set_max_message_size(config, 1));
  OK(rtcswarm_config_set_send_buffer(config, 1, 0));
  OK(rtcswarm_config_set_receive_queue(config, 1));
  OK(rtcswarm_config_set_media_queue(config, 1));
  OK(rtcswarm_config_set_receive_rtp(config, -1));
  OK(rtcswarm_config_set_timeout(config, RTCSWARM_TIMEOUT_CLOSE, 86400000));
  OK(rtcswarm_new(config, &swarm));
  rtcswarm_config_free(config);
  rtcswarm_free(swarm);
}

/* One config, many swarms; what happens to it afterwards is not their business. */
static void a_config_is_copied(void) {
  rtcswarm_config *config = config_for("alice");
  rtcswarm *swarms[3];
  OK(rtcswarm_new(config, &swarms[0]));
  OK(rtcswarm_config_set_user_id(config, "bob"));
  OK(rtcswarm_new(config, &swarms[1]));
  OK(rtcswarm_config_set_room(config, ""));
  EXPECT(INVALID, rtcswarm_new(config, &swarms[2]));
  rtcswarm_config_free(config);
  const char *names[2] = {"\"alice\"", "\"bob\""};
  for (int i = 0; i < 2; i++) {
    OK(rtcswarm_start(swarms[i]));
    rtcswarm_event *event;
    OK(rtcswarm_next_event(swarms[i], (int32_t)(patience(20) * 1000), &event));
    CHECK(event->kind == RTCSWARM_EVENT_SIGNAL);
    char json[512] = "";
    CHECK(event->length < sizeof json);
    memcpy(json, event->data, event->length);
    CHECK(strstr(json, "\"init\"") && strstr(json, names[i]));
    rtcswarm_event_free(event);
    rtcswarm_free(swarms[i]);
  }
}

static void sizes_of_structs(void) {
  struct member *alice;
  struct room room;
  room_open(&room);
  alice = room_join(&room, "alice");
  rtcswarm_stats stats;
  const size_t wrong[] = {0, 1, sizeof(size_t) - 1, 4097, SIZE_MAX};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    memset(&stats, 0xaa, sizeof stats);
    stats.struct_size = wrong[i];
    EXPECT(INVALID, rtcswarm_get_stats(alice->swarm, &stats));
    CHECK(stats.peers == UINT64_C(0xaaaaaaaaaaaaaaaa));
    rtcswarm_hub_limits limits = {.struct_size = wrong[i]};
    EXPECT(INVALID, rtcswarm_hub_limits_default(&limits));
    rtcswarm_hub *hub = GARBAGE;
    EXPECT(INVALID, rtcswarm_hub_new(&limits, &hub));
    CHECK(hub == GARBAGE);
  }
  /* A caller of an older version, whose struct ended earlier. */
  memset(&stats, 0xaa, sizeof stats);
  stats.struct_size = offsetof(rtcswarm_stats, connections);
  OK(rtcswarm_get_stats(alice->swarm, &stats));
  CHECK(stats.peers == 0 && stats.connections == UINT64_C(0xaaaaaaaaaaaaaaaa));
  CHECK(stats.struct_size == offsetof(rtcswarm_stats, connections));
  /* One of a newer version: told how much was written. */
  struct {
    rtcswarm_stats known;
    uint64_t later;
  } newer;
  memset(&newer, 0xaa, sizeof newer);
  newer.known.struct_size = sizeof newer;
  OK(rtcswarm_get_stats(alice->swarm, &newer.known));
  CHECK(newer.known.struct_size == sizeof newer.known && newer.later == UINT64_C(0xaaaaaaaaaaaaaaaa));
  room_close(&room);

  rtcswarm_hub *hub;
  rtcswarm_hub_limits limits = {.struct_size = sizeof limits};
  OK(rtcswarm_hub_limits_default(&limits));
  CHECK(limits.members_per_room > 0 && limits.init_timeout_ms > 0);
  limits.members_per_room = 0;
  EXPECT(INVALID, rtcswarm_hub_new(&limits, &hub));
  limits.members_per_room = 3;
  OK(rtcswarm_hub_new(&limits, &hub));
  rtcswarm_hub_stats hub_stats = {.struct_size = sizeof hub_stats};
  OK(rtcswarm_hub_get_stats(hub, &hub_stats));
  CHECK(hub_stats.sessions == 0);
  rtcswarm_hub_free(hub);
}

static void names_and_versions(void) {
  CHECK(rtcswarm_version() == (RTCSWARM_VERSION_MAJOR << 16 | RTCSWARM_VERSION_MINOR << 8 | RTCSWARM_VERSION_PATCH));
  CHECK(strcmp(rtcswarm_version_string(), "0.1.0") == 0);
  CHECK(strcmp(rtcswarm_status_name(RTCSWARM_OK), "RTCSWARM_OK") == 0);
  for (int32_t status = RTCSWARM_ERR_INVALID; status >= RTCSWARM_ERR_ICE_SERVER; status--) {
    CHECK(strncmp(rtcswarm_status_name(status), "RTCSWARM_ERR_", 13) == 0);
  }
  for (int32_t kind = RTCSWARM_EVENT_PEER_OPEN; kind <= RTCSWARM_EVENT_KEY_FRAME_WANTED; kind++) {
    CHECK(strcmp(rtcswarm_event_name(kind), "unknown") != 0);
  }
  for (int32_t reason = RTCSWARM_REASON_LOCAL_CLOSE; reason <= RTCSWARM_REASON_LIMIT; reason++) {
    CHECK(strcmp(rtcswarm_reason_name(reason), "unknown") != 0);
  }
  const char *codecs[] = {"unknown", "opus", "VP8", "VP9", "H264", "AV1", "unknown"};
  for (int32_t codec = 0; codec <= RTCSWARM_CODEC_AV1 + 1; codec++) {
    CHECK(strcmp(rtcswarm_codec_name(codec), codecs[codec]) == 0);
  }
  CHECK(strcmp(rtcswarm_status_name(12345), "unknown") == 0);
  CHECK(strcmp(rtcswarm_event_name(INT32_MIN), "unknown") == 0);
  CHECK(strcmp(rtcswarm_reason_name(0), "unknown") == 0);
}

static void *fresh_thread(void *unused) {
  (void)unused;
  CHECK(strcmp(rtcswarm_last_error_message(), "") == 0);
  EXPECT(INVALID, rtcswarm_wakeup(NULL));
  return NULL;
}

static void the_last_error_is_the_thread_s(void) {
  rtcswarm_config *config = config_for("alice");
  EXPECT(INVALID, rtcswarm_config_set_timeout(config, 99, 5));
  char mine[200] = "";
  strncpy(mine, rtcswarm_last_error_message(), sizeof mine - 1);
  CHECK(mine[0] != '\0');
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, fresh_thread, NULL) == 0);
  pthread_join(thread, NULL);
  CHECK(strcmp(rtcswarm_last_error_message(), mine) == 0);
  /* Success and daily business leave it alone. */
  rtcswarm *swarm;
  OK(rtcswarm_new(config, &swarm));
  rtcswarm_config_free(config);
  rtcswarm_event *event;
  CHECK(rtcswarm_next_event(swarm, 0, &event) == RTCSWARM_TIMEOUT);
  OK(rtcswarm_wakeup(swarm));
  CHECK(rtcswarm_next_event(swarm, 0, &event) == RTCSWARM_WOKEN);
  CHECK(strcmp(rtcswarm_last_error_message(), mine) == 0);
  rtcswarm_free(swarm);
}

int main(int argc, char **argv) {
  static const struct test tests[] = {
      {"null_handles", null_handles},
      {"null_arguments", null_arguments},
      {"lengths", lengths},
      {"text_that_is_not_utf8", text_that_is_not_utf8},
      {"configs_that_cannot_work", configs_that_cannot_work},
      {"a_config_is_copied", a_config_is_copied},
      {"sizes_of_structs", sizes_of_structs},
      {"names_and_versions", names_and_versions},
      {"the_last_error_is_the_thread_s", the_last_error_is_the_thread_s},
  };
  return run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
}
