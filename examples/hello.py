import asyncio
import os

from rtcswarm import PeerOpen, SignalingState, State, Swarm, Text


async def main() -> None:
    url, token, user = (os.environ[f"RTCSWARM_{name}"] for name in ("URL", "TOKEN", "USER"))
    greetings = 0
    async with Swarm("lobby", user, signaling=url, token=token) as swarm:
        async for event in swarm:
            if isinstance(event, PeerOpen):
                swarm.send(event.peer, "hello")
            elif isinstance(event, Text):
                print(event.user_id, "says", event.text)
                greetings += 1
                if greetings == 3:
                    break
            elif isinstance(event, SignalingState) and event.state is not State.CONNECTED:
                print(event.message)  # no server, or a token that it refuses
                if event.state is State.REFUSED:
                    raise SystemExit(1)


asyncio.run(main())
