/*
 * Two members of a room in one process, by callbacks. The signals between them are carried by this program itself, with
 * rtcswarm's hub as the brain of the "server", so that it runs without any.
 *
 *   cc callbacks.c -o callbacks $(pkg-config --cflags --libs rtcswarm) -pthread
 */
#define _POSIX_C_SOURCE 200809L

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rtcswarm.h>

struct member {
  const char *name;
  rtcswarm *swarm;
  uint64_t session;
};

static struct member members[2] = {{"alice", NULL, 0}, {"bob", NULL, 0}};
static rtcswarm_hub *hub;
static int heard;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

static void check(int32_t status) {
  if (status != RTCSWARM_OK) {
    fprintf(stderr, "%s\n", rtcswarm_last_error_message());
    exit(1);
  }
}

static void on_open(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) {
  struct member *member = user_data;
  printf("%s: open %s\n", member->name, event->user_id);
  check(rtcswarm_send_text(swarm, event->peer, "hello", strlen("hello")));
}

static void on_data(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) {
  struct member *member = user_data;
  (void)swarm;
  printf("%s: %s says %.*s\n", member->name, event->user_id, (int)event->length, (const char *)event->data);
  pthread_mutex_lock(&lock);
  heard++;
  pthread_cond_signal(&changed);
  pthread_mutex_unlock(&lock);
}

/* To the server, and what it says to whom. The lock keeps the order. */
static void on_signal(rtcswarm *swarm, const rtcswarm_event *event, void *user_data) {
  struct member *member = user_data;
  (void)swarm;
  pthread_mutex_lock(&lock);
  check(rtcswarm_hub_receive(hub, member->session, (const char *)event->data, event->length));
  rtcswarm_hub_output *output;
  while (rtcswarm_hub_next_output(hub, &output) == RTCSWARM_OK) {
    for (int i = 0; i < 2; i++) {
      if (members[i].swarm && members[i].session == output->session && output->kind == RTCSWARM_HUB_SEND) {
        rtcswarm_dispatch(members[i].swarm, output->text, output->length);
      }
    }
    rtcswarm_hub_output_free(output);
  }
  pthread_mutex_unlock(&lock);
}

int main(void) {
  check(rtcswarm_hub_new(NULL, &hub));
  for (int i = 0; i < 2; i++) {
    struct member *member = &members[i];
    rtcswarm_config *config = rtcswarm_config_new();
    check(rtcswarm_config_set_room(config, "lobby"));
    check(rtcswarm_config_set_user_id(config, member->name));
    check(rtcswarm_new(config, &member->swarm));
    rtcswarm_config_free(config);
    check(rtcswarm_hub_connect(hub, member->name, NULL, 0, &member->session));
    check(rtcswarm_on_open(member->swarm, on_open, member, NULL));
    check(rtcswarm_on_data(member->swarm, on_data, member, NULL));
    check(rtcswarm_on_signal(member->swarm, on_signal, member, NULL));
  }
  for (int i = 0; i < 2; i++) check(rtcswarm_start(members[i].swarm));

  struct timespec deadline;
  clock_gettime(CLOCK_REALTIME, &deadline);
  deadline.tv_sec += 10;
  int late = 0;
  pthread_mutex_lock(&lock);
  while (heard < 2 && !late) late = pthread_cond_timedwait(&changed, &lock, &deadline);
  pthread_mutex_unlock(&lock);

  for (int i = 0; i < 2; i++) {
    /* From here on nothing is carried to it. */
    pthread_mutex_lock(&lock);
    rtcswarm *swarm = members[i].swarm;
    members[i].swarm = NULL;
    pthread_mutex_unlock(&lock);
    /* Waits for a callback that still runs; none comes afterwards. */
    rtcswarm_free(swarm);
  }
  rtcswarm_hub_free(hub);
  if (late) fprintf(stderr, "they did not meet\n");
  return late ? 1 : 0;
}
