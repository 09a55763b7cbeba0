/*
 * A chat: greets everybody in the room, and says what it hears. See usage() for its options.
 *
 *   cc chat.c -o chat $(pkg-config --cflags --libs rtcswarm)
 *
 * One thread waits with poll() for the swarm's descriptor, for stdin and for signals: the way to use rtcswarm in a
 * program that has an event loop. callbacks.c shows the other one.
 */
#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <rtcswarm.h>

#define MAX_PEERS 128
#define CLOSE_PATIENCE 10.0
#define MEASURE_PATIENCE 3.0
#define TELL_INTERVAL 1.0

static const char GREETING[8] = {'r', 't', 'c', 's', 'w', 'a', 'r', 'm'};

struct peer {
  uint64_t id;
  char *name;
  bool text, binary;
};

enum phase { MEETING, MEASURING, COMPLETE, LEAVING };

static const char *url, *token, *room, *user;
static size_t expected;
static bool stays, tells_links, ended;
static int exit_code;
static double timeout_seconds = 10;

static rtcswarm *swarm;
static struct peer peers[MAX_PEERS];
static size_t peer_count;
static enum phase phase = MEETING;
static double deadline; /* of the phase; 0 for none */
static int interrupt_pipe[2];

static void usage(void) {
  fputs("usage: chat --url URL --token TOKEN --room ROOM --user NAME\n"
        "            [--expect N]         wait for N peers and their greetings, then print the links to them\n"
        "            [--timeout SECONDS]  for that; default 10\n"
        "            [--tell-links]       every second, tell the others of the links, for the page of `make demo HOLD=1`\n"
        "            [--stay]             run until interrupted; else a line \"leave\" or the end of stdin ends it\n",
        stderr);
  exit(64);
}

/* Ends the program where there is nothing sensible left to do. */
static void check(int32_t status, const char *what) {
  if (status != RTCSWARM_OK) {
    fprintf(stderr, "%s: %s: %s\n", user, what, rtcswarm_last_error_message());
    exit(1);
  }
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct peer *find_peer(uint64_t id) {
  for (size_t i = 0; i < peer_count; i++) {
    if (peers[i].id == id) return &peers[i];
  }
  return NULL;
}

static void enter(enum phase next, double patience) {
  phase = next;
  deadline = patience > 0 ? now() + patience : 0;
}

static void leave(int code) {
  if (phase == LEAVING) return;
  exit_code = code;
  rtcswarm_close(swarm); /* the closed event follows */
  enter(LEAVING, CLOSE_PATIENCE);
}

static void peer_open(const rtcswarm_event *event) {
  printf("%s: open %s\n", user, event->user_id);
  if (peer_count < MAX_PEERS) {
    /* What an event points to goes with it: keep a copy. */
    peers[peer_count++] = (struct peer){event->peer, strdup(event->user_id), false, false};
  }
  char text[300];
  int length = snprintf(text, sizeof text, "hello from %s", user);
  int32_t status = rtcswarm_send_text(swarm, event->peer, text, (size_t)length);
  if (status == RTCSWARM_OK) status = rtcswarm_send(swarm, event->peer, (const uint8_t *)GREETING, sizeof GREETING);
  if (status != RTCSWARM_OK) fprintf(stderr, "%s: greeting: %s\n", user, rtcswarm_status_name(status));
}

static void peer_closed(const rtcswarm_event *event) {
  printf("%s: closed %s (%s)\n", user, event->user_id, rtcswarm_reason_name(event->reason));
  struct peer *peer = find_peer(event->peer);
  if (peer != NULL) {
    free(peer->name);
    *peer = peers[--peer_count];
  }
}

static void hear(const rtcswarm_event *event) {
  struct peer *peer = find_peer(event->peer);
  switch (event->kind) {
  case RTCSWARM_EVENT_PEER_OPEN:
    peer_open(event);
    break;
  case RTCSWARM_EVENT_PEER_CLOSED:
    peer_closed(event);
    break;
  case RTCSWARM_EVENT_PEER_FAILED:
    fprintf(stderr, "%s: no connection to %s: %s\n", user, event->user_id, event->message);
    break;
  case RTCSWARM_EVENT_TEXT:
    if (event->length > 6 && memcmp(event->data, "links\t", 6) == 0) break; /* not for us: see tell_links() */
    printf("%s: text from %s: %.*s\n", user, event->user_id, (int)event->length, (const char *)event->data);
    if (peer != NULL) peer->text = true;
    break;
  case RTCSWARM_EVENT_BINARY:
    printf("%s: binary from %s: %zu bytes\n", user, event->user_id, event->length);
    if (peer != NULL) peer->binary = true;
    break;
  case RTCSWARM_EVENT_SIGNALING_STATE:
    if (event->state != RTCSWARM_STATE_CONNECTED) fprintf(stderr, "%s: signaling: %s\n", user, event->message);
    if (event->state == RTCSWARM_STATE_REFUSED) leave(2);
    break;
  case RTCSWARM_EVENT_ERROR:
    fprintf(stderr, "%s: %s: %s\n", user, rtcswarm_status_name(event->status), event->message);
    break;
  case RTCSWARM_EVENT_CLOSED:
    ended = true;
    break;
  default: /* later versions may have more to say */
    break;
  }
}

static size_t greeted(void) {
  size_t count = 0;
  for (size_t i = 0; i < peer_count; i++) count += peers[i].text && peers[i].binary;
  return count;
}

static rtcswarm_peer_stats stats_of(const struct peer *peer) {
  rtcswarm_peer_stats stats = {.struct_size = sizeof stats, .round_trip_us = -1};
  rtcswarm_get_peer_stats(swarm, peer->id, &stats); /* leaves them as they are when the peer has just gone */
  return stats;
}

static bool measured(void) {
  for (size_t i = 0; i < peer_count; i++) {
    if (stats_of(&peers[i]).round_trip_us < 0) return false;
  }
  return true;
}

static void print_links(void) {
  for (size_t i = 0; i < peer_count; i++) {
    rtcswarm_peer_stats stats = stats_of(&peers[i]);
    char round_trip[32] = "?";
    if (stats.round_trip_us >= 0) {
      snprintf(round_trip, sizeof round_trip, "%.2fms", (double)stats.round_trip_us / 1000);
    }
    printf("%s: link %s rtt=%s %s sent=%lluB received=%lluB\n", user, peers[i].name, round_trip,
           stats.relayed ? "relayed" : "direct", (unsigned long long)stats.bytes_sent,
           (unsigned long long)stats.bytes_received);
  }
}

/* For the page: a line with "links" and what we are; then one each link, with its round trip in us and bytes. */
static void tell_links(void) {
  static char text[MAX_PEERS * 400];
  int length = snprintf(text, sizeof text, "links\tC\n");
  for (size_t i = 0; i < peer_count; i++) {
    rtcswarm_peer_stats stats = stats_of(&peers[i]);
    length += snprintf(text + length, sizeof text - (size_t)length, "%s\t%lld\t%s\t%llu\t%llu\n", peers[i].name,
                       (long long)stats.round_trip_us, stats.relayed ? "relayed" : "direct",
                       (unsigned long long)stats.bytes_sent, (unsigned long long)stats.bytes_received);
  }
  rtcswarm_broadcast_text(swarm, text, (size_t)length, NULL, NULL); /* who has no room for it hears the next one */
}

static bool late(void) {
  return deadline != 0 && now() >= deadline;
}

/* Goes on to the next phase when it is time to. */
static void proceed(void) {
  if (phase == MEETING && expected > 0 && greeted() >= expected) enter(MEASURING, MEASURE_PATIENCE);
  if (phase == MEETING && late()) {
    fprintf(stderr, "%s: timeout: %zu of %zu peers open, %zu of them with both greetings\n", user, peer_count,
            expected, greeted());
    leave(1);
  }
  if (phase == MEASURING && (late() || measured())) {
    print_links();
    printf("%s: complete %zu\n", user, expected);
    enter(COMPLETE, tells_links ? TELL_INTERVAL : 0);
  }
  if (phase == COMPLETE && tells_links && late()) {
    tell_links();
    enter(COMPLETE, TELL_INTERVAL);
  }
  if (phase == LEAVING && late()) {
    fprintf(stderr, "%s: the swarm did not close\n", user);
    exit(1);
  }
}

/* Lines of stdin: "leave" leaves, others are said to everybody. */
static void read_stdin(void) {
  static char line[4096];
  static size_t filled;
  ssize_t got = read(STDIN_FILENO, line + filled, sizeof line - filled);
  if (got < 0 && errno == EINTR) return;
  if (got <= 0) {
    leave(0);
    return;
  }
  filled += (size_t)got;
  for (char *end; (end = memchr(line, '\n', filled)) != NULL;) {
    size_t length = (size_t)(end - line);
    if (length == 5 && memcmp(line, "leave", 5) == 0) {
      leave(0);
    } else if (length > 0 && phase != LEAVING) {
      int32_t status = rtcswarm_broadcast_text(swarm, line, length, NULL, NULL);
      if (status != RTCSWARM_OK) fprintf(stderr, "%s: %s\n", user, rtcswarm_last_error_message());
    }
    filled -= length + 1;
    memmove(line, end + 1, filled);
  }
  if (filled == sizeof line) filled = 0; /* nobody types that */
}

static void on_signal(int number) {
  (void)number;
  int error = errno;
  if (write(interrupt_pipe[1], "", 1) < 0) { /* full: it was interrupted before */
  }
  errno = error;
}

static void run(void) {
  int32_t fd;
  check(rtcswarm_get_fd(swarm, &fd), "descriptor");
  while (!ended) {
    bool reads = !stays && (phase == COMPLETE || (phase == MEETING && expected == 0));
    struct pollfd polled[3] = {{.fd = fd, .events = POLLIN},
                               {.fd = interrupt_pipe[0], .events = POLLIN},
                               {.fd = reads ? STDIN_FILENO : -1, .events = POLLIN}};
    int wait = -1;
    if (phase == MEASURING) {
      wait = 20; /* statistics have no event */
    } else if (deadline != 0) {
      double left = deadline - now();
      wait = left > 0 ? (int)(left * 1000) + 1 : 0;
    }
    if (poll(polled, 3, wait) < 0 && errno != EINTR) {
      perror("poll");
      exit(1);
    }
    rtcswarm_event *event;
    while (rtcswarm_next_event(swarm, 0, &event) == RTCSWARM_OK) {
      hear(event);
      rtcswarm_event_free(event);
    }
    if (polled[1].revents) leave(0);
    if (polled[2].revents) read_stdin();
    proceed();
  }
}

static void parse(int count, char **words) {
  for (int i = 1; i < count; i++) {
    const char *name = words[i];
    if (strcmp(name, "--stay") == 0) {
      stays = true;
      continue;
    }
    if (strcmp(name, "--tell-links") == 0) {
      tells_links = true;
      continue;
    }
    if (++i >= count) usage();
    if (strcmp(name, "--url") == 0) url = words[i];
    else if (strcmp(name, "--token") == 0) token = words[i];
    else if (strcmp(name, "--room") == 0) room = words[i];
    else if (strcmp(name, "--user") == 0) user = words[i];
    else if (strcmp(name, "--expect") == 0) expected = (size_t)strtoul(words[i], NULL, 10);
    else if (strcmp(name, "--timeout") == 0) timeout_seconds = strtod(words[i], NULL);
    else usage();
  }
  if (!url || !token || !room || !user || expected > MAX_PEERS || !(timeout_seconds > 0)) usage();
}

int main(int count, char **words) {
  parse(count, words);
  setvbuf(stdout, NULL, _IOLBF, 0);
  if (pipe(interrupt_pipe) != 0) {
    perror("pipe");
    return 1;
  }
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);

  rtcswarm_config *config = rtcswarm_config_new();
  check(rtcswarm_config_set_room(config, room), "room");
  check(rtcswarm_config_set_user_id(config, user), "user");
  check(rtcswarm_config_set_signaling(config, url, token), "signaling");
  check(rtcswarm_config_set_max_peers(config, MAX_PEERS), "peers");
  check(rtcswarm_new(config, &swarm), "swarm");
  rtcswarm_config_free(config);
  check(rtcswarm_start(swarm), "start");

  enter(MEETING, expected > 0 ? timeout_seconds : 0);
  run();

  rtcswarm_free(swarm);
  if (exit_code == 0) printf("%s: left\n", user);
  return exit_code;
}
