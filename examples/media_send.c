/*
 * Sends files into a room: video from an IVF file (VP8, VP9, H.264, AV1), sound from an Ogg file with Opus. See usage().
 *
 *   cc media_send.c -o media_send $(pkg-config --cflags --libs rtcswarm)
 *   ffmpeg -i anything.mp4 -an -c:v libvpx -g 60 video.ivf -vn -c:a libopus sound.ogg
 *
 * clip.ivf and clip.ogg beside this file go round and round with --loop; scripts/make-clip.sh made them, with ffmpeg too.
 *
 * Frames leave by the times in the files, and wait as long as nobody takes them. A peer that comes later, or has lost
 * something, wants a key frame; an encoder would make one, a file begins again at the last one that it has. media_record.c
 * is the other side.
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

#include "containers.h"

#define CLOSE_PATIENCE 10.0
/* After the last frame, for what was lost of it to be asked for. */
#define LINGER 0.5
/* Until the next look whether somebody takes a track. */
#define LOOK_AGAIN 0.02
#define LONGEST_SECONDS 1e7
#define TELL_INTERVAL 1.0
#define MAX_TOLD 64

/* A file and the track that it becomes. Its times go on and on: `ticks` of the codec's clock since the beginning. */
struct source {
  const char *path, *name;
  int32_t codec;
  double clock;
  union {
    struct ivf_reader ivf;
    struct ogg_reader ogg;
  } of;
  uint64_t track;
  bool ended, wanted;     /* a key frame is wanted */
  bool pending, key;      /* a frame is read and not sent yet */
  double origin;          /* when tick 0 is due */
  uint64_t base, in_file; /* ticks of the file's beginning, and of the frame in it */
  uint64_t last_step;     /* between the last two frames */
  uint64_t first_time;    /* of an IVF file, whose times may begin anywhere */
  uint64_t key_in_file;
  long key_at; /* where the last key frame begins */
  size_t frames;
};

static const char *url, *token, *room, *user, *stream = "cam";
static bool loops, tells_links;
static double seconds; /* at most; 0 for no limit */

/* A file with one frame has no step: a thirtieth of a second. */
static struct source sources[2] = {{.name = "video", .clock = 90000, .last_step = 3000},
                                   {.name = "audio", .clock = OPUS_RATE}};
static rtcswarm *swarm;
static double deadline; /* for the end, or of it; 0 for none */
static double next_word; /* of the links */
static bool leaving, ended;
static int exit_code;
static int interrupt_pipe[2];

static void usage(void) {
  fputs("usage: media_send --url URL --token TOKEN --room ROOM --user NAME [--video FILE.ivf] [--audio FILE.ogg]\n"
        "                  [--stream NAME]   of which the tracks are \"video\" and \"audio\"; default cam\n"
        "                  [--loop]          begin again at the end\n"
        "                  [--seconds N]     leave after so long; default: at the end of the files, or interrupted\n"
        "                  [--tell-links]    every second, tell the others of the links, for the page of `make demo HOLD=1`\n",
        stderr);
  exit(64);
}

static void check(int32_t status, const char *what) {
  if (status != RTCSWARM_OK) {
    fprintf(stderr, "%s: %s: %s\n", user, what, rtcswarm_last_error_message());
    rtcswarm_free(swarm); /* which says goodbye; NULL is fine */
    exit(1);
  }
}

static void broken(const struct source *source, const char *failure) {
  fprintf(stderr, "%s: %s %s\n", user, source->path, failure);
  rtcswarm_free(swarm); /* which says goodbye; NULL is fine */
  exit(1);
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

static bool is_video(const struct source *source) {
  return source->codec != RTCSWARM_CODEC_OPUS;
}

/* ------------------------------------------------------------------------------------------------------ the files */

static void open_source(struct source *source) {
  const char *failure;
  if (source == &sources[1]) {
    failure = ogg_open(&source->of.ogg, source->path);
    source->codec = RTCSWARM_CODEC_OPUS;
  } else {
    failure = ivf_open(&source->of.ivf, source->path);
    source->codec = source->of.ivf.codec;
    source->key_at = source->of.ivf.first;
  }
  if (failure != NULL) broken(source, failure);
}

static const char *read_video(struct source *source) {
  struct ivf_reader *ivf = &source->of.ivf;
  const char *failure = ivf_next(ivf);
  if (failure != NULL) return failure;
  if (ivf->at == ivf->first) source->first_time = ivf->time;
  double time = ((double)ivf->time - (double)source->first_time) * ivf->scale / ivf->rate;
  if (!(time >= 0 && time < LONGEST_SECONDS)) return "has a frame that is out of time";
  uint64_t ticks = (uint64_t)(time * source->clock + 0.5);
  if (ticks > source->in_file) source->last_step = ticks - source->in_file;
  source->in_file = ticks;
  source->key = look_at(ivf->codec, ivf->data, ivf->length).key;
  if (source->key) {
    source->key_at = ivf->at;
    source->key_in_file = ticks;
  }
  return NULL;
}

static const char *read_sound(struct source *source) {
  const char *failure = ogg_next(&source->of.ogg);
  if (failure != NULL) return failure;
  source->in_file += source->last_step;
  source->last_step = opus_samples(source->of.ogg.packet, source->of.ogg.length);
  source->key = true;
  return NULL;
}

/* The file begins again, and its times go on. */
static void rewind_source(struct source *source) {
  source->base += source->in_file + source->last_step;
  source->in_file = 0;
  if (!is_video(source)) source->last_step = 0;
  const char *failure = is_video(source) ? ivf_seek(&source->of.ivf, source->of.ivf.first) : ogg_rewind(&source->of.ogg);
  if (failure != NULL) broken(source, failure);
}

/* Makes the next frame the pending one, or finds that there is none. */
static void read_frame(struct source *source) {
  for (int attempt = 0; attempt < 2; attempt++) {
    const char *failure = is_video(source) ? read_video(source) : read_sound(source);
    source->pending = failure == NULL;
    if (source->pending) return;
    if (failure != END_OF_FILE) broken(source, failure);
    if (!loops) break;
    rewind_source(source);
  }
  source->ended = true;
}

/* A key frame is wanted: goes back to the last one, which is now the next. Its time is that of the one that was next. */
static void begin_again(struct source *source) {
  source->wanted = false;
  if (!source->pending) read_frame(source);
  if (source->ended || source->key || !is_video(source)) return;
  uint64_t due = source->base + source->in_file;
  const char *failure = ivf_seek(&source->of.ivf, source->key_at);
  if (failure != NULL) broken(source, failure);
  source->in_file = source->key_in_file;
  read_frame(source);
  source->base = due > source->in_file ? due - source->in_file : 0;
}

/* ---------------------------------------------------------------------------------------------------- the sending */

static double due(const struct source *source) {
  return source->origin + (double)(source->base + source->in_file) / source->clock;
}

static void send_frame(struct source *source) {
  bool video = is_video(source);
  const uint8_t *data = video ? source->of.ivf.data : source->of.ogg.packet;
  size_t length = video ? source->of.ivf.length : source->of.ogg.length, reached = 0;
  uint32_t rtp_time = (uint32_t)(source->base + source->in_file); /* wraps around, as it should */
  int32_t status = rtcswarm_send_frame(swarm, source->track, data, length, rtp_time,
                                       source->key ? RTCSWARM_FLAG_KEY_FRAME : 0, &reached, NULL);
  if (status == RTCSWARM_ERR_CLOSED) return;
  check(status, source->path);
  if (reached == 0) {
    source->origin += LOOK_AGAIN; /* nobody is there yet: it waits */
    return;
  }
  source->frames++;
  source->pending = false;
}

/* Sends what is due; gives when the next frame is. */
static double send_due(void) {
  double next = now() + 3600;
  bool all_ended = true;
  for (int i = 0; i < 2; i++) {
    struct source *source = &sources[i];
    if (source->path == NULL || source->ended) continue;
    if (source->wanted) begin_again(source);
    /* A program that was stopped goes on from now, and sends nothing after. */
    if (source->origin == 0 || (source->pending && now() - due(source) > 1)) source->origin += now() - due(source);
    for (int sent = 0; sent < 64 && !source->ended; sent++) {
      if (!source->pending) read_frame(source);
      if (!source->pending || due(source) > now()) break;
      send_frame(source);
    }
    if (source->ended) printf("%s: end of %s\n", user, source->path);
    if (source->ended) continue;
    all_ended = false;
    if (due(source) < next) next = due(source);
  }
  if (all_ended) {
    double end = now() + LINGER;
    if (deadline == 0 || deadline > end) deadline = end;
  }
  return next;
}

/* As chat.c does: a line with "links" and what we are; then one each link, with its round trip in us and bytes. */
static void tell_links(void) {
  static char text[MAX_TOLD * 400];
  uint64_t peers[MAX_TOLD];
  size_t count = 0;
  int length = snprintf(text, sizeof text, "links\tC\n");
  if (rtcswarm_peers(swarm, peers, MAX_TOLD, &count) != RTCSWARM_OK) return; /* closed: the event follows */
  for (size_t i = 0; i < count && i < MAX_TOLD; i++) {
    char name[257];
    rtcswarm_peer_stats stats = {.struct_size = sizeof stats, .round_trip_us = -1};
    if (rtcswarm_peer_user_id(swarm, peers[i], name, sizeof name, NULL) != RTCSWARM_OK) continue; /* has just gone */
    rtcswarm_get_peer_stats(swarm, peers[i], &stats);
    length += snprintf(text + length, sizeof text - (size_t)length, "%s\t%lld\t%s\t%llu\t%llu\n", name,
                       (long long)stats.round_trip_us, stats.relayed ? "relayed" : "direct",
                       (unsigned long long)stats.bytes_sent, (unsigned long long)stats.bytes_received);
  }
  rtcswarm_broadcast_text(swarm, text, (size_t)length, NULL, NULL); /* who has no room for it hears the next one */
}

static void hear(const rtcswarm_event *event) {
  switch (event->kind) {
  case RTCSWARM_EVENT_PEER_OPEN:
    printf("%s: open %s\n", user, event->user_id);
    break;
  case RTCSWARM_EVENT_PEER_CLOSED:
    printf("%s: closed %s (%s)\n", user, event->user_id, rtcswarm_reason_name(event->reason));
    break;
  case RTCSWARM_EVENT_KEY_FRAME_WANTED:
    printf("%s: %s wants a key frame\n", user, event->user_id);
    for (int i = 0; i < 2; i++) sources[i].wanted |= sources[i].track == event->track;
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
  default: /* what others send is not ours to hear */
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
    double next = leaving ? now() + 3600 : send_due();
    if (tells_links && !leaving) {
      if (now() >= next_word) {
        tell_links();
        next_word = now() + TELL_INTERVAL;
      }
      if (next_word < next) next = next_word;
    }
    if (deadline != 0 && deadline < next) next = deadline;
    double wait = (next - now()) * 1000;
    struct pollfd polled[2] = {{.fd = fd, .events = POLLIN}, {.fd = interrupt_pipe[0], .events = POLLIN}};
    if (poll(polled, 2, wait > 0 ? (int)wait + 1 : 0) < 0 && errno != EINTR) {
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
    bool *flag = strcmp(name, "--loop") == 0 ? &loops : strcmp(name, "--tell-links") == 0 ? &tells_links : NULL;
    if (flag != NULL) {
      *flag = true;
      continue;
    }
    if (++i >= count) usage();
    if (strcmp(name, "--url") == 0) url = words[i];
    else if (strcmp(name, "--token") == 0) token = words[i];
    else if (strcmp(name, "--room") == 0) room = words[i];
    else if (strcmp(name, "--user") == 0) user = words[i];
    else if (strcmp(name, "--video") == 0) sources[0].path = words[i];
    else if (strcmp(name, "--audio") == 0) sources[1].path = words[i];
    else if (strcmp(name, "--stream") == 0) stream = words[i];
    else if (strcmp(name, "--seconds") == 0 && (seconds = strtod(words[i], NULL)) > 0) continue;
    else usage();
  }
  if (!url || !token || !room || !user || (!sources[0].path && !sources[1].path)) usage();
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
  check(rtcswarm_new(config, &swarm), "swarm");
  rtcswarm_config_free(config);
  rtcswarm_track_spec specs[2];
  uint64_t ids[2];
  size_t tracks = 0;
  for (int i = 0; i < 2; i++) {
    if (sources[i].path == NULL) continue;
    open_source(&sources[i]);
    specs[tracks++] = (rtcswarm_track_spec){stream, sources[i].name, 0, sources[i].codec};
  }
  check(rtcswarm_add_tracks(swarm, specs, tracks, ids), "tracks");
  for (int i = 2; i-- > 0;) {
    if (sources[i].path != NULL) sources[i].track = ids[--tracks];
  }
  check(rtcswarm_start(swarm), "start");
  if (seconds > 0) deadline = now() + seconds;
  run();

  rtcswarm_free(swarm);
  for (int i = 0; i < 2; i++) {
    if (sources[i].path == NULL) continue;
    printf("%s: sent %zu frames of %s (%s)\n", user, sources[i].frames, sources[i].name,
           rtcswarm_codec_name(sources[i].codec));
  }
  if (sources[0].path != NULL) ivf_close(&sources[0].of.ivf);
  if (sources[1].path != NULL) ogg_close(&sources[1].of.ogg);
  return exit_code;
}
