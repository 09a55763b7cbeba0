/*
 * Records what a room sends: each track of each peer into a file of its own, video as IVF, sound as Ogg with Opus. See
 * usage(). Nothing is decoded: ffmpeg and browsers play the files. media_send.c is the other side.
 *
 *   cc media_record.c -o media_record $(pkg-config --cflags --libs rtcswarm)
 */
#define _POSIX_C_SOURCE 200809L

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <rtcswarm.h>

#include "containers.h"

#define MAX_RECORDINGS 1024
#define CLOSE_PATIENCE 10.0

/* A peer's track, and the file that it goes to. */
struct recording {
  uint64_t peer, track;
  char user[64], name[64];
  char path[512];
  int32_t codec; /* 0 before the first frame that can be recorded */
  unsigned part; /* another file for each codec: a track may change it */
  bool waits;    /* for a key frame: what comes before cannot be decoded */
  size_t frames, gaps;
  union {
    struct ivf_writer ivf;
    struct ogg_writer *ogg; /* has a page of 64 KiB */
  } to;
};

static const char *url, *token, *room, *user, *directory;
static double seconds; /* 0: until interrupted */

static struct recording *recordings;
static size_t recording_count;
static rtcswarm *swarm;
static double deadline; /* for the end, or of it; 0 for none */
static bool leaving, ended;
static int exit_code;
static int interrupt_pipe[2];

static void usage(void) {
  fputs("usage: media_record --url URL --token TOKEN --room ROOM --user NAME --out DIRECTORY\n"
        "                    [--seconds N]   leave after so long; default: when interrupted\n",
        stderr);
  exit(64);
}

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

static void leave(int code) {
  if (leaving) return;
  leaving = true;
  exit_code = code;
  deadline = now() + CLOSE_PATIENCE;
  rtcswarm_close(swarm); /* the closed event follows */
}

/* A name that a peer chose may be anything: of it goes into a path what harms nobody. */
static void tame(char *tamed, size_t room_for, const char *name) {
  size_t length = 0;
  for (; name[length] != '\0' && length + 1 < room_for; length++) {
    unsigned char letter = (unsigned char)name[length];
    tamed[length] = isalnum(letter) || letter == '-' ? (char)letter : '_';
  }
  tamed[length] = '\0';
}

static struct recording *find(uint64_t track) {
  for (size_t i = 0; i < recording_count; i++) {
    if (recordings[i].track == track) return &recordings[i];
  }
  return NULL;
}

static void fail(struct recording *recording, const char *failure) {
  fprintf(stderr, "%s: %s %s\n", user, recording->path, failure);
  exit_code = 1;
  leave(1);
}

/* Completes the file, if there is one. */
static void finish(struct recording *recording) {
  if (recording->codec == 0) return;
  const char *failure;
  double length;
  if (recording->codec == RTCSWARM_CODEC_OPUS) {
    length = (double)recording->to.ogg->samples / OPUS_RATE;
    failure = ogg_finish(recording->to.ogg);
    free(recording->to.ogg);
  } else {
    length = (double)recording->to.ivf.time / 90000;
    failure = ivf_finish(&recording->to.ivf);
  }
  recording->codec = 0;
  if (failure != NULL) fail(recording, failure);
  printf("%s: wrote %s: %zu frames, %.2f s, %zu gaps\n", user, recording->path, recording->frames, length,
         recording->gaps);
}

static void begin(struct recording *recording, int32_t codec) {
  bool sound = codec == RTCSWARM_CODEC_OPUS;
  char part[16] = "";
  if (recording->part++ > 0) snprintf(part, sizeof part, "-%u", recording->part);
  snprintf(recording->path, sizeof recording->path, "%s/%s-%s-%llu%s.%s", directory, recording->user, recording->name,
           (unsigned long long)recording->track, part, sound ? "ogg" : "ivf");
  const char *failure;
  if (sound) {
    recording->to.ogg = malloc(sizeof *recording->to.ogg);
    if (recording->to.ogg == NULL) abort();
    failure = ogg_create(recording->to.ogg, recording->path, (uint32_t)recording->track);
  } else {
    failure = ivf_create(&recording->to.ivf, recording->path, codec);
  }
  if (failure != NULL) {
    fprintf(stderr, "%s: %s %s\n", user, recording->path, failure);
    exit(1);
  }
  recording->codec = codec;
  recording->frames = recording->gaps = 0;
  recording->waits = false;
  printf("%s: recording %s of %s (%s) into %s\n", user, recording->name, recording->user, rtcswarm_codec_name(codec),
         recording->path);
}

static void record(const rtcswarm_event *event) {
  struct recording *recording = find(event->track);
  if (recording == NULL || event->codec == 0) return;
  bool sound = event->codec == RTCSWARM_CODEC_OPUS, key = (event->flags & RTCSWARM_FLAG_KEY_FRAME) != 0;
  if (recording->codec != event->codec) {
    finish(recording);
    if (!sound && !key) {
      rtcswarm_request_key_frame(swarm, event->peer, event->track);
      return;
    }
    begin(recording, event->codec);
  } else if (event->flags & RTCSWARM_FLAG_GAP) {
    recording->gaps++;
    /* The picture would be broken until the next key frame, which the library asks for. */
    recording->waits = !sound;
  }
  if (recording->waits && !key) return;
  recording->waits = false;
  recording->frames++;
  const char *failure = sound ? ogg_write(recording->to.ogg, event->data, event->length, event->rtp_time)
                              : ivf_write(&recording->to.ivf, event->data, event->length, event->rtp_time);
  if (failure != NULL) fail(recording, failure);
}

static void track_there(const rtcswarm_event *event) {
  if (recording_count == MAX_RECORDINGS) {
    fprintf(stderr, "%s: more than %d tracks\n", user, MAX_RECORDINGS);
    return;
  }
  struct recording *recording = &recordings[recording_count++];
  memset(recording, 0, sizeof *recording);
  recording->peer = event->peer;
  recording->track = event->track;
  tame(recording->user, sizeof recording->user, event->user_id);
  tame(recording->name, sizeof recording->name, event->name);
}

/* Those of one track, or of one peer; the last takes the place. */
static void forget(uint64_t peer, uint64_t track) {
  for (size_t i = recording_count; i-- > 0;) {
    if (recordings[i].peer != peer && recordings[i].track != track) continue;
    finish(&recordings[i]);
    recordings[i] = recordings[--recording_count];
  }
}

static void hear(const rtcswarm_event *event) {
  switch (event->kind) {
  case RTCSWARM_EVENT_PEER_OPEN:
    printf("%s: open %s\n", user, event->user_id);
    break;
  case RTCSWARM_EVENT_PEER_CLOSED:
    printf("%s: closed %s (%s)\n", user, event->user_id, rtcswarm_reason_name(event->reason));
    forget(event->peer, 0);
    break;
  case RTCSWARM_EVENT_TRACK:
    track_there(event);
    break;
  case RTCSWARM_EVENT_TRACK_ENDED:
    forget(0, event->track);
    break;
  case RTCSWARM_EVENT_FRAME:
    record(event);
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
  default: /* messages are for others */
    break;
  }
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
    double wait = deadline == 0 ? -1 : (deadline - now()) * 1000;
    struct pollfd polled[2] = {{.fd = fd, .events = POLLIN}, {.fd = interrupt_pipe[0], .events = POLLIN}};
    if (poll(polled, 2, deadline == 0 ? -1 : wait > 0 ? (int)wait + 1 : 0) < 0 && errno != EINTR) {
      perror("poll");
      exit(1);
    }
    rtcswarm_event *event;
    while (rtcswarm_next_event(swarm, 0, &event) == RTCSWARM_OK) {
      hear(event);
      rtcswarm_event_free(event);
    }
    if (polled[1].revents) leave(0);
    if (deadline != 0 && now() >= deadline && !ended) {
      if (leaving) {
        fprintf(stderr, "%s: the swarm did not close\n", user);
        exit(1);
      }
      leave(0);
    }
  }
}

static void parse(int count, char **words) {
  for (int i = 1; i < count; i++) {
    const char *name = words[i];
    if (++i >= count) usage();
    if (strcmp(name, "--url") == 0) url = words[i];
    else if (strcmp(name, "--token") == 0) token = words[i];
    else if (strcmp(name, "--room") == 0) room = words[i];
    else if (strcmp(name, "--user") == 0) user = words[i];
    else if (strcmp(name, "--out") == 0) directory = words[i];
    else if (strcmp(name, "--seconds") == 0 && (seconds = strtod(words[i], NULL)) > 0) continue;
    else usage();
  }
  if (!url || !token || !room || !user || !directory || strlen(directory) > 256) usage();
}

int main(int count, char **words) {
  parse(count, words);
  setvbuf(stdout, NULL, _IOLBF, 0);
  recordings = calloc(MAX_RECORDINGS, sizeof *recordings);
  if (recordings == NULL || pipe(interrupt_pipe) != 0) {
    perror("media_record");
    return 1;
  }
  struct sigaction action = {.sa_handler = on_signal};
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  struct stat place;
  if ((mkdir(directory, 0777) != 0 && errno != EEXIST) || stat(directory, &place) != 0) {
    perror(directory);
    return 1;
  }
  if (!S_ISDIR(place.st_mode)) {
    fprintf(stderr, "%s is no directory\n", directory);
    return 1;
  }

  rtcswarm_config *config = rtcswarm_config_new();
  check(rtcswarm_config_set_room(config, room), "room");
  check(rtcswarm_config_set_user_id(config, user), "user");
  check(rtcswarm_config_set_signaling(config, url, token), "signaling");
  check(rtcswarm_new(config, &swarm), "swarm");
  rtcswarm_config_free(config);
  check(rtcswarm_start(swarm), "start");
  if (seconds > 0) deadline = now() + seconds;
  run();

  rtcswarm_free(swarm);
  for (size_t i = 0; i < recording_count; i++) finish(&recordings[i]);
  free(recordings);
  return exit_code;
}
