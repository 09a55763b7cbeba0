/*
 * What the C tests share: checks, deadlines, and a room whose members are swarms of this process. The hub is its server,
 * and this program carries the signals.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <rtcswarm.h>

/* Ends the program with the place and the words. */
void fail_at(const char *file, int line, const char *format, ...)
#if defined(__GNUC__)
    __attribute__((format(printf, 3, 4), noreturn))
#endif
    ;

#define FAIL(...) fail_at(__FILE__, __LINE__, __VA_ARGS__)
#define CHECK(condition) \
  do { \
    if (!(condition)) FAIL("%s", #condition); \
  } while (0)
/* The call answers exactly this; an error has words. */
#define EXPECT(wanted, call) expect_at(__FILE__, __LINE__, #call, wanted, call)
#define OK(call) EXPECT(RTCSWARM_OK, call)

void expect_at(const char *file, int line, const char *call, int32_t wanted, int32_t got);

struct test {
  const char *name;
  void (*run)(void);
};

/* Runs those that the command line names, or all; one line each. */
int run_tests(const struct test *tests, size_t count, int argc, char **argv);

double now(void);
/* A deadline for waits: the seconds, times RTCSWARM_TEST_PATIENCE (valgrind needs some). */
double deadline_in(double seconds);
double patience(double seconds);
/* A moment between two looks at something that has no event. */
void look_again_soon(void);
size_t open_descriptors(void);

struct member {
  char name[32];
  rtcswarm *swarm; /* NULL when it was freed; under the room's lock */
  uint64_t session;
  /* Those that were pulled, in order; awaited ones are NULL in `waiting`. */
  rtcswarm_event **events, **waiting;
  size_t event_count, event_room;
  /* Its events go to a callback, which carries its signals. */
  bool by_callback;
  /* Its swarm is in a child process, which speaks lines of JSON. */
  pid_t process;
  int socket;
};

#define MAX_MEMBERS 8

struct room {
  rtcswarm_hub *hub;
  struct member members[MAX_MEMBERS];
  size_t member_count;
  pthread_mutex_t lock;
};

void room_open(struct room *room);
/* Frees swarms, then the events that were taken of them, then the hub. */
void room_close(struct room *room);

/* A config with the room "test"; to be freed. */
rtcswarm_config *config_for(const char *user_id);
/* A new member, not started; `config` is freed (NULL for defaults). */
struct member *room_add(struct room *room, const char *name, rtcswarm_config *config);
/* The same, started. */
struct member *room_join(struct room *room, const char *name);
/* A member in a process of its own: fork it before the swarms that it shall not inherit. */
struct member *room_fork(struct room *room, const char *name);
/* Ends a forked child well, without a look at the memory that it inherited: that is its parent's. */
void end_child(void);
/* A session at the hub for a member that is no swarm of this program's. */
uint64_t room_stranger(struct room *room, const char *name);

/* Carries one signal to the hub, and what it says to the members. Any thread. */
void room_carry(struct room *room, uint64_t session, const char *json, size_t length);
/* Takes a member's swarm from the room, so that nothing is carried to it, for who wants to free it. */
rtcswarm *room_take(struct room *room, struct member *member);
/* Takes all events of the members that are pulled, and carries their signals. */
void room_pump(struct room *room);

/* The next event of this kind that was not awaited before; of any peer if `peer` is 0. Good until room_close. */
const rtcswarm_event *await_of(struct room *room, struct member *member, int32_t kind, uint64_t peer);
const rtcswarm_event *await(struct room *room, struct member *member, int32_t kind);
/* How many of this kind were taken so far. */
size_t count_of(const struct member *member, int32_t kind);
/* The open peer of that name; waits for it. */
uint64_t await_peer(struct room *room, struct member *member, const char *name);

#endif
