#define _POSIX_C_SOURCE 200809L

#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *current = "";

void fail_at(const char *file, int line, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  fflush(stdout);
  fprintf(stderr, "FAILED %s: %s:%d: ", current, file, line);
  vfprintf(stderr, format, arguments);
  fputc('\n', stderr);
  va_end(arguments);
  _exit(1);
}

void expect_at(const char *file, int line, const char *call, int32_t wanted, int32_t got) {
  if (got != wanted) {
    fail_at(file, line, "%s answered %s and not %s (%s)", call, rtcswarm_status_name(got),
            rtcswarm_status_name(wanted), rtcswarm_last_error_message());
  }
  bool error = got < RTCSWARM_WOKEN;
  if (error && rtcswarm_last_error_message()[0] == '\0') fail_at(file, line, "%s: an error without words", call);
}

double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

double patience(double seconds) {
  const char *factor = getenv("RTCSWARM_TEST_PATIENCE");
  return seconds * (factor != NULL ? strtod(factor, NULL) : 1);
}

double deadline_in(double seconds) {
  return now() + patience(seconds);
}

void look_again_soon(void) {
  poll(NULL, 0, 2);
}

size_t open_descriptors(void) {
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  size_t count = 0;
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count - 3; /* ".", ".." and its own */
}

int run_tests(const struct test *tests, size_t count, int argc, char **argv) {
  for (size_t i = 0; i < count; i++) {
    bool wanted = argc < 2;
    for (int j = 1; j < argc; j++) wanted = wanted || strcmp(argv[j], tests[i].name) == 0;
    if (!wanted) continue;
    current = tests[i].name;
    /* A test that hangs is killed by SIGALRM. */
    alarm((unsigned)patience(60));
    double began = now();
    tests[i].run();
    printf("  ok %s (%.2f s)\n", current, now() - began);
    fflush(stdout);
  }
  alarm(0);
  return 0;
}

void room_open(struct room *room) {
  memset(room, 0, sizeof *room);
  pthread_mutex_init(&room->lock, NULL);
  OK(rtcswarm_hub_new(NULL, &room->hub));
}

void room_close(struct room *room) {
  for (size_t i = 0; i < room->member_count; i++) {
    struct member *member = &room->members[i];
    rtcswarm_free(room_take(room, member));
    if (member->process != 0) {
      int status;
      kill(member->process, SIGCONT);
      close(member->socket);
      CHECK(waitpid(member->process, &status, 0) == member->process);
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
  }
  for (size_t i = 0; i < room->member_count; i++) {
    struct member *member = &room->members[i];
    for (size_t j = 0; j < member->event_count; j++) rtcswarm_event_free(member->events[j]);
    free(member->events);
    free(member->waiting);
  }
  rtcswarm_hub_free(room->hub);
  pthread_mutex_destroy(&room->lock);
}

static struct member *add(struct room *room, const char *name, rtcswarm *swarm) {
  pthread_mutex_lock(&room->lock);
  CHECK(room->member_count < MAX_MEMBERS);
  struct member *member = &room->members[room->member_count++];
  snprintf(member->name, sizeof member->name, "%s", name);
  member->swarm = swarm;
  member->socket = -1;
  OK(rtcswarm_hub_connect(room->hub, name, NULL, 0, &member->session));
  pthread_mutex_unlock(&room->lock);
  return member;
}

rtcswarm_config *config_for(const char *user_id) {
  rtcswarm_config *config = rtcswarm_config_new();
  CHECK(config != NULL);
  OK(rtcswarm_config_set_room(config, "test"));
  OK(rtcswarm_config_set_user_id(config, user_id));
  /* Deadlines of the library's are not what is tested where everything is slow. */
  OK(rtcswarm_config_set_timeout(config, RTCSWARM_TIMEOUT_ANSWER, (uint32_t)(patience(15) * 1000)));
  OK(rtcswarm_config_set_timeout(config, RTCSWARM_TIMEOUT_CONNECT, (uint32_t)(patience(20) * 1000)));
  OK(rtcswarm_config_set_timeout(config, RTCSWARM_TIMEOUT_CLOSE, (uint32_t)(patience(2) * 1000)));
  return config;
}

struct member *room_add(struct room *room, const char *name, rtcswarm_config *config) {
  if (config == NULL) config = config_for(name);
  rtcswarm *swarm;
  OK(rtcswarm_new(config, &swarm));
  rtcswarm_config_free(config);
  return add(room, name, swarm);
}

struct member *room_join(struct room *room, const char *name) {
  struct member *member = room_add(room, name, NULL);
  OK(rtcswarm_start(member->swarm));
  return member;
}

static void write_line(int socket, const char *text, size_t length) {
  char *line = malloc(length + 1);
  CHECK(line != NULL);
  memcpy(line, text, length);
  line[length] = '\n';
  for (size_t done = 0; done <= length;) {
    ssize_t wrote = send(socket, line + done, length + 1 - done, MSG_NOSIGNAL);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) break; /* it is gone: whoever waits for it will say so */
    done += (size_t)wrote;
  }
  free(line);
}

/* Waits at most `timeout_ms` for a line, without its end; NULL if there is none. `*ended`: nor will there be. */
static char *read_line(int socket, int timeout_ms, size_t *length, bool *ended) {
  size_t room = 512;
  char *line = malloc(room);
  CHECK(line != NULL);
  *length = 0;
  struct pollfd polled = {.fd = socket, .events = POLLIN};
  *ended = false;
  if (poll(&polled, 1, timeout_ms) == 1) {
    /* One that has begun will end: lines are written whole. */
    while (recv(socket, line + *length, 1, 0) == 1) {
      if (line[*length] == '\n') return line;
      if (++*length == room) CHECK((line = realloc(line, room *= 2)) != NULL);
    }
    *ended = true;
  }
  free(line);
  return NULL;
}

void end_child(void) {
  execlp("true", "true", (char *)NULL);
  FAIL("there is no \"true\"");
}

static void child(int socket, const char *name) {
  alarm((unsigned)patience(60));
  rtcswarm_config *config = config_for(name);
  rtcswarm *swarm;
  OK(rtcswarm_new(config, &swarm));
  rtcswarm_config_free(config);
  OK(rtcswarm_start(swarm));
  for (bool ended = false; !ended;) {
    rtcswarm_event *event;
    while (rtcswarm_next_event(swarm, 0, &event) == RTCSWARM_OK) {
      if (event->kind == RTCSWARM_EVENT_SIGNAL) write_line(socket, (const char *)event->data, event->length);
      rtcswarm_event_free(event);
    }
    size_t length;
    char *line = read_line(socket, 2, &length, &ended);
    if (line != NULL) OK(rtcswarm_dispatch(swarm, line, length));
    free(line);
  }
  rtcswarm_free(swarm);
  end_child();
}

struct member *room_fork(struct room *room, const char *name) {
  int sockets[2];
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) == 0);
  fflush(stdout);
  pid_t process = fork();
  CHECK(process >= 0);
  if (process == 0) {
    close(sockets[0]);
    child(sockets[1], name);
  }
  close(sockets[1]);
  struct member *member = add(room, name, NULL);
  pthread_mutex_lock(&room->lock);
  member->process = process;
  member->socket = sockets[0];
  pthread_mutex_unlock(&room->lock);
  return member;
}

uint64_t room_stranger(struct room *room, const char *name) {
  uint64_t session;
  pthread_mutex_lock(&room->lock);
  OK(rtcswarm_hub_connect(room->hub, name, NULL, 0, &session));
  pthread_mutex_unlock(&room->lock);
  return session;
}

/* With the lock. */
static void deliver(struct room *room) {
  rtcswarm_hub_output *output;
  int32_t status;
  while ((status = rtcswarm_hub_next_output(room->hub, &output)) == RTCSWARM_OK) {
    for (size_t i = 0; i < room->member_count; i++) {
      struct member *member = &room->members[i];
      if (member->session != output->session || output->kind != RTCSWARM_HUB_SEND) continue;
      if (member->process != 0) write_line(member->socket, output->text, output->length);
      if (member->swarm == NULL) continue;
      status = rtcswarm_dispatch(member->swarm, output->text, output->length);
      if (status != RTCSWARM_OK && status != RTCSWARM_ERR_CLOSED) {
        FAIL("%s cannot take %s: %s", member->name, output->text, rtcswarm_last_error_message());
      }
    }
    rtcswarm_hub_output_free(output);
  }
  CHECK(status == RTCSWARM_TIMEOUT && output == NULL);
}

void room_carry(struct room *room, uint64_t session, const char *json, size_t length) {
  pthread_mutex_lock(&room->lock);
  OK(rtcswarm_hub_receive(room->hub, session, json, length));
  int64_t next;
  OK(rtcswarm_hub_tick(room->hub, &next));
  deliver(room);
  pthread_mutex_unlock(&room->lock);
}

rtcswarm *room_take(struct room *room, struct member *member) {
  pthread_mutex_lock(&room->lock);
  rtcswarm *swarm = member->swarm;
  member->swarm = NULL;
  pthread_mutex_unlock(&room->lock);
  return swarm;
}

static void keep(struct member *member, rtcswarm_event *event) {
  if (member->event_count == member->event_room) {
    member->event_room = member->event_room * 2 + 16;
    member->events = realloc(member->events, member->event_room * sizeof *member->events);
    member->waiting = realloc(member->waiting, member->event_room * sizeof *member->waiting);
    CHECK(member->events != NULL && member->waiting != NULL);
  }
  member->events[member->event_count] = event;
  member->waiting[member->event_count++] = event;
}

void room_pump(struct room *room) {
  for (size_t i = 0; i < room->member_count; i++) {
    struct member *member = &room->members[i];
    if (member->process != 0) {
      size_t length;
      bool ended;
      for (char *line; (line = read_line(member->socket, 0, &length, &ended)) != NULL; free(line)) {
        room_carry(room, member->session, line, length);
      }
      CHECK(!ended);
    }
    if (member->by_callback || member->swarm == NULL) continue;
    rtcswarm_event *event;
    int32_t status;
    while ((status = rtcswarm_next_event(member->swarm, 0, &event)) == RTCSWARM_OK) {
      CHECK(event->data != NULL || event->length == 0);
      keep(member, event);
      if (event->kind == RTCSWARM_EVENT_SIGNAL) {
        room_carry(room, member->session, (const char *)event->data, event->length);
      }
    }
    CHECK(event == NULL);
    CHECK(status == RTCSWARM_TIMEOUT || status == RTCSWARM_WOKEN || status == RTCSWARM_ERR_CLOSED);
  }
}

const rtcswarm_event *await_of(struct room *room, struct member *member, int32_t kind, uint64_t peer) {
  double deadline = deadline_in(20);
  for (;;) {
    room_pump(room);
    for (size_t i = 0; i < member->event_count; i++) {
      rtcswarm_event *event = member->waiting[i];
      if (event != NULL && event->kind == kind && (peer == 0 || event->peer == peer)) {
        member->waiting[i] = NULL;
        return event;
      }
    }
    if (now() > deadline) FAIL("%s waits in vain for \"%s\"", member->name, rtcswarm_event_name(kind));
    look_again_soon();
  }
}

const rtcswarm_event *await(struct room *room, struct member *member, int32_t kind) {
  return await_of(room, member, kind, 0);
}

size_t count_of(const struct member *member, int32_t kind) {
  size_t count = 0;
  for (size_t i = 0; i < member->event_count; i++) count += member->events[i]->kind == kind;
  return count;
}

uint64_t await_peer(struct room *room, struct member *member, const char *name) {
  for (;;) {
    const rtcswarm_event *event = await(room, member, RTCSWARM_EVENT_PEER_OPEN);
    if (strcmp(event->user_id, name) == 0) return event->peer;
  }
}
