#!/usr/bin/env python3
"""A member of a room without asyncio: one thread takes the events, another says what is typed.

RTCSWARM_URL=… RTCSWARM_TOKEN=… RTCSWARM_USER=bob blocking.py
"""

import os
import sys
import threading

from rtcswarm import Closed, PeerClosed, PeerOpen, SignalingState, State, Swarm, Text


def say(swarm: Swarm) -> None:
    """What is typed, to everybody; the end of the input leaves the room."""
    try:
        for line in sys.stdin:
            reached, skipped = swarm.broadcast(line.rstrip())
            print(f"to {reached}, not to {skipped}", flush=True)
        swarm.close()
    except Closed:
        pass  # We have left meanwhile.


def main() -> int:
    url, token, user = (os.environ[f"RTCSWARM_{name}"] for name in ("URL", "TOKEN", "USER"))
    with Swarm("lobby", user, signaling=url, token=token) as swarm:
        threading.Thread(target=say, args=(swarm,), daemon=True).start()
        for event in swarm:
            if isinstance(event, PeerOpen):
                print("open", event.user_id, flush=True)
                swarm.send(event.peer, "hello")
            elif isinstance(event, Text):
                print(event.user_id, "says", event.text, flush=True)
            elif isinstance(event, PeerClosed):
                print("closed", event.user_id, event.reason.name, flush=True)
            elif isinstance(event, SignalingState) and event.state is State.REFUSED:
                print(event.message, file=sys.stderr)
                return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
