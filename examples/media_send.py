#!/usr/bin/env python3
"""Sends files into a room: video from an IVF file (VP8, VP9, H.264, AV1), sound from an Ogg file with Opus.

    ffmpeg -i anything.mp4 -an -c:v libvpx -g 60 video.ivf -vn -c:a libopus sound.ogg
    media_send.py --url ws://127.0.0.1:8080/ --token TOKEN --room demo --user dan --video video.ivf --audio sound.ogg

Frames leave by the times in the files, and wait as long as nobody takes them. A peer that comes later, or has lost
something, wants a key frame; an encoder would make one, a file begins again at the last one that it has.
media_record.py is the other side.
"""

import argparse
import asyncio
import signal
import sys
import time
from typing import Optional, Union

from containers import OPUS_RATE, Broken, IvfReader, OggReader, VideoFrame
from frames import opus_samples
from rtcswarm import (
    Closed,
    Codec,
    ErrorEvent,
    KeyFrameWanted,
    PeerClosed,
    PeerOpen,
    RtcSwarmError,
    SignalingState,
    State,
    Swarm,
)

#: Seconds until the next look whether somebody takes a track.
LOOK_AGAIN = 0.02
#: Seconds after the last frame, for what was lost of it to be asked for.
LINGER = 0.5


class Refused(Exception):
    """The signaling server will not have us."""


class Video:
    """Frames of an IVF file, with times that go on and on."""

    clock = 90_000

    def __init__(self, path: str, loops: bool):
        self.file, self.loops = IvfReader(path), loops
        self.codec = self.file.codec
        #: Of the beginning of the file, in all; of the frame in it; and from the one before it. A file with one frame
        #: has no such step: a thirtieth of a second.
        self.base, self.in_file, self.step = 0, 0, 3000
        self.key_frame: Optional[VideoFrame] = None

    def read(self) -> Optional[tuple[bytes, int, bool]]:
        """The next frame, its time and whether it needs none before it."""
        frame = self.file.read()
        if frame is None and self.loops:
            self.base, self.in_file = self.base + self.in_file + self.step, 0
            self.file.rewind()
            frame = self.file.read()
        if frame is None:
            return None
        self.step = max(frame.time - self.in_file, 0) or self.step
        self.in_file = frame.time
        if frame.key:
            self.key_frame = frame
        return frame.data, self.base + frame.time, frame.key

    def begin_again(self) -> Optional[tuple[bytes, int, bool]]:
        """The last key frame, at the time of the frame that was to come."""
        if self.key_frame is None:
            return None
        due = self.base + self.in_file
        self.base, self.in_file = due - self.key_frame.time, self.key_frame.time
        self.file.seek(self.key_frame.at)
        return self.read()


class Sound:
    """Packets of an Ogg file, the same way. Each may be begun at."""

    clock = OPUS_RATE
    codec = Codec.OPUS

    def __init__(self, path: str, loops: bool):
        self.file, self.loops = OggReader(path), loops
        self.time = 0

    def read(self) -> Optional[tuple[bytes, int, bool]]:
        packet = self.file.read()
        if packet is None and self.loops:
            self.file.rewind()
            packet = self.file.read()
        if packet is None:
            return None
        due, self.time = self.time, self.time + opus_samples(packet)
        return packet, due, True

    def begin_again(self) -> None:
        """There is no need to."""


class Sender:
    def __init__(self, swarm: Swarm, sources: dict[str, Union[Video, Sound]], stream: str):
        self.swarm, self.sources = swarm, sources
        self.tracks = swarm.add_stream(stream, {name: source.codec for name, source in sources.items()})
        self.wanted: set[int] = set()

    def say(self, line: str) -> None:
        print(f"{self.swarm.user_id}: {line}", flush=True)

    async def listen(self) -> None:
        async for event in self.swarm:
            if isinstance(event, PeerOpen):
                self.say(f"open {event.user_id}")
            elif isinstance(event, PeerClosed):
                self.say(f"closed {event.user_id} ({event.reason.name.lower().replace('_', ' ')})")
            elif isinstance(event, KeyFrameWanted):
                self.say(f"{event.user_id} wants a key frame")
                self.wanted.add(event.track)
            elif isinstance(event, ErrorEvent):
                print(f"{self.swarm.user_id}: {event.message}", file=sys.stderr)
            elif isinstance(event, SignalingState) and event.state is State.REFUSED:
                raise Refused(event.message)
            elif isinstance(event, SignalingState) and event.state is not State.CONNECTED:
                print(f"{self.swarm.user_id}: signaling: {event.message}", file=sys.stderr)

    async def play(self, name: str) -> None:
        """One file, from its beginning to its end."""
        source, track, sent = self.sources[name], self.tracks[name], 0
        origin = time.monotonic()
        frame = source.read()
        while frame is not None:
            data, due, key = frame
            late = time.monotonic() - origin - due / source.clock
            if late > 1:  # It was stopped: it goes on from now, and sends nothing after.
                origin += late
            await asyncio.sleep(max(0, -late))
            if track in self.wanted:
                self.wanted.discard(track)
                frame = frame if key else source.begin_again() or frame
                data, due, key = frame
            try:
                reached, _ = self.swarm.send_frame(track, data, due, key=key)
            except Closed:
                break
            if reached:
                sent += 1
                frame = source.read()
            else:  # Nobody is there yet: it waits.
                origin += LOOK_AGAIN
        self.say(f"sent {sent} frames of {name} ({source.codec.name})")

    async def run(self, seconds: Optional[float]) -> None:
        interrupted = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupted.set)

        async def play_all() -> None:
            await asyncio.gather(*map(self.play, self.sources))
            await asyncio.sleep(LINGER)

        async def interruption() -> None:
            await interrupted.wait()

        listening, playing = asyncio.create_task(self.listen()), asyncio.create_task(play_all())
        tasks = {listening, playing, asyncio.create_task(interruption())}
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self.swarm.close()
        await asyncio.gather(*done, listening, playing)


async def run(options: argparse.Namespace) -> None:
    sources: dict[str, Union[Video, Sound]] = {}
    for name, kind, path in (("video", Video, options.video), ("audio", Sound, options.audio)):
        if path is not None:
            try:
                sources[name] = kind(path, options.loop)
            except (Broken, OSError) as error:
                raise SystemExit(f"{options.user}: {path} {error}") from None
    async with Swarm(options.room, options.user, signaling=options.url, token=options.token) as swarm:
        await Sender(swarm, sources, options.stream).run(options.seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--url", "--token", "--room", "--user"):
        parser.add_argument(option, required=True)
    parser.add_argument("--video", metavar="FILE.ivf")
    parser.add_argument("--audio", metavar="FILE.ogg")
    parser.add_argument("--stream", default="cam", help='of which the tracks are "video" and "audio"')
    parser.add_argument("--loop", action="store_true", help="begin again at the end")
    parser.add_argument("--seconds", type=float, help="leave after so long; default: at the end, or when interrupted")
    options = parser.parse_args()
    if options.video is None and options.audio is None:
        parser.error("--video or --audio is needed")
    if options.seconds is not None and not options.seconds > 0:
        parser.error("--seconds is more than 0")
    try:
        asyncio.run(run(options))
    except Refused as refusal:
        print(f"{options.user}: refused: {refusal}", file=sys.stderr)
        return 2
    except Broken as broken:
        print(f"{options.user}: a file {broken}", file=sys.stderr)
        return 1
    except (RtcSwarmError, ValueError) as error:
        print(f"{options.user}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
