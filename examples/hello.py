import asyncio
import os

from rtcswarm import PeerOpen, Swarm, Text


async def main():
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


asyncio.run(main())
