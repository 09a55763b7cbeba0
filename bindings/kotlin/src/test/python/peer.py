"""A peer in Python for the tests of the Kotlin package: gives back what it gets, on channels and on tracks too.

peer.py URL TOKEN ROOM USER
"""

import asyncio
import sys

from rtcswarm import Binary, ChannelOpen, Codec, Frame, KeyFrameWanted, PeerClosed, PeerOpen, Stream, Swarm, Text


async def main(url: str, token: str, room: str, user: str) -> None:
    async with Swarm(room, user, signaling=url, token=token, bind_addresses=["127.0.0.1"]) as swarm:
        ours = swarm.add_stream("echo", {"echo": Codec.VP8})["echo"]
        async for event in swarm:
            if isinstance(event, PeerOpen):
                print(f"open {event.user_id} {'native' if event.native else 'browser'}", flush=True)
            elif isinstance(event, Text):
                swarm.send(event.peer, event.text, event.channel)
            elif isinstance(event, Binary):
                swarm.send(event.peer, event.data, event.channel)
            elif isinstance(event, ChannelOpen):
                print(f"channel {event.label}", flush=True)
            elif isinstance(event, Stream):
                print(f"stream {event.name}", flush=True)
            elif isinstance(event, KeyFrameWanted):
                print("wanted", flush=True)
            elif isinstance(event, Frame):
                swarm.send_frame(ours, event.data, event.rtp_time, key=event.key)
            elif isinstance(event, PeerClosed):
                print(f"closed {event.user_id} {event.reason.name}", flush=True)
                return


asyncio.run(main(*sys.argv[1:]))
