#include <rtcswarm.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    rtcswarm_config *config = rtcswarm_config_new();
    rtcswarm_config_set_room(config, "lobby");
    rtcswarm_config_set_user_id(config, getenv("RTCSWARM_USER"));
    rtcswarm *swarm;
    if (rtcswarm_config_set_signaling(config, getenv("RTCSWARM_URL"), getenv("RTCSWARM_TOKEN")) != RTCSWARM_OK ||
        rtcswarm_new(config, &swarm) != RTCSWARM_OK || rtcswarm_start(swarm) != RTCSWARM_OK) {
        fprintf(stderr, "%s\n", rtcswarm_last_error_message());
        return 1;
    }
    rtcswarm_config_free(config);
    rtcswarm_event *event;
    int greetings = 0, refused = 0;
    while (greetings < 3 && !refused && rtcswarm_next_event(swarm, 10000, &event) == RTCSWARM_OK) {
        if (event->kind == RTCSWARM_EVENT_PEER_OPEN) {
            rtcswarm_send_text(swarm, event->peer, "hello", 5);
        } else if (event->kind == RTCSWARM_EVENT_TEXT) {
            printf("%s says %.*s\n", event->user_id, (int)event->length, (const char *)event->data);
            greetings++;
        } else if (event->kind == RTCSWARM_EVENT_SIGNALING_STATE && event->state != RTCSWARM_STATE_CONNECTED) {
            fprintf(stderr, "%s\n", event->message); /* no server, or a token that it refuses */
            refused = event->state == RTCSWARM_STATE_REFUSED;
        }
        rtcswarm_event_free(event);
    }
    rtcswarm_free(swarm);
    if (greetings < 3 && !refused) fprintf(stderr, "nobody came\n");
    return greetings == 3 ? 0 : 1;
}
