#!/usr/bin/env python3
"""Records what a room sends: each track of each peer into a file of its own, video as IVF, sound as Ogg with Opus.

    media_record.py --url ws://127.0.0.1:8080/ --token TOKEN --room demo --user eve --out recorded --seconds 10

Nothing is decoded: ffmpeg and browsers play the files. media_send.py is the other side.
"""

import argparse
import asyncio
import contextlib
import re
import signal
import sys
from pathlib import Path
from typing import Optional, Union

from containers import IvfWriter, OggWriter
from rtcswarm import (
    Codec,
    ErrorEvent,
    Frame,
    NoPeer,
    NoTrack,
    PeerClosed,
    PeerOpen,
    RtcSwarmError,
    SignalingState,
    State,
    Swarm,
    Track,
    TrackEnded,
)


class Refused(Exception):
    """The signaling server will not have us."""


def tame(name: str) -> str:
    """A name that a peer chose may be anything: of it goes into a path what harms nobody."""
    return re.sub(r"[^A-Za-z0-9-]", "_", name)[:63]


class Recording:
    """A peer's track, and the file that it goes to."""

    def __init__(self, swarm: Swarm, track: Track, directory: Path):
        self.swarm, self.track, self.directory = swarm, track, directory
        #: Another file for each codec: a track may change it.
        self.part = 0
        self.codec: Optional[Codec] = None
        self.file: Union[IvfWriter, OggWriter, None] = None
        self.path = directory

    def say(self, line: str) -> None:
        print(f"{self.swarm.user_id}: {line}", flush=True)

    def record(self, frame: Frame) -> None:
        sound = frame.codec is Codec.OPUS
        if frame.codec is not self.codec:
            self.finish()
            if not sound and not frame.key:  # What comes before a key frame cannot be decoded.
                with contextlib.suppress(NoPeer, NoTrack):
                    self.swarm.request_key_frame(frame.peer, frame.track)
                return
            self.begin(frame.codec)
        elif frame.gap:
            self.gaps += 1
            # The picture would be broken until the next key frame, which the library asks for.
            self.waits = not sound
        if self.waits and not frame.key:
            return
        self.waits = False
        self.frames += 1
        assert self.file is not None
        self.file.write(frame.data, frame.rtp_time)

    def begin(self, codec: Codec) -> None:
        self.part += 1
        self.codec, self.frames, self.gaps, self.waits = codec, 0, 0, False
        name = f"{tame(self.track.user_id)}-{tame(self.track.name)}-{self.track.track}"
        if self.part > 1:
            name += f"-{self.part}"
        if codec is Codec.OPUS:
            self.path = self.directory / f"{name}.ogg"
            self.file = OggWriter(str(self.path), self.track.track)
        else:
            self.path = self.directory / f"{name}.ivf"
            self.file = IvfWriter(str(self.path), codec)
        self.say(f"recording {self.track.name} of {self.track.user_id} ({codec.name}) into {self.path}")

    def finish(self) -> None:
        """Completes the file, if there is one."""
        if self.file is not None:
            self.file.finish()
            self.say(f"wrote {self.path}: {self.frames} frames, {self.file.seconds:.2f} s, {self.gaps} gaps")
        self.codec, self.file = None, None


class Recorder:
    def __init__(self, swarm: Swarm, directory: Path):
        self.swarm, self.directory = swarm, directory
        self.recordings: dict[int, Recording] = {}

    def say(self, line: str) -> None:
        print(f"{self.swarm.user_id}: {line}", flush=True)

    async def listen(self) -> None:
        async for event in self.swarm:
            if isinstance(event, Frame):
                if event.track in self.recordings and event.codec is not Codec.UNKNOWN:
                    self.recordings[event.track].record(event)
            elif isinstance(event, PeerOpen):
                self.say(f"open {event.user_id}")
            elif isinstance(event, Track):
                self.recordings[event.track] = Recording(self.swarm, event, self.directory)
            elif isinstance(event, TrackEnded):
                self.recordings.pop(event.track).finish()
            elif isinstance(event, PeerClosed):
                self.say(f"closed {event.user_id} ({event.reason.name.lower().replace('_', ' ')})")
                for track in [track for track, one in self.recordings.items() if one.track.peer == event.peer]:
                    self.recordings.pop(track).finish()
            elif isinstance(event, ErrorEvent):
                print(f"{self.swarm.user_id}: {event.message}", file=sys.stderr)
            elif isinstance(event, SignalingState) and event.state is State.REFUSED:
                raise Refused(event.message)
            elif isinstance(event, SignalingState) and event.state is not State.CONNECTED:
                print(f"{self.swarm.user_id}: signaling: {event.message}", file=sys.stderr)

    async def run(self, seconds: Optional[float]) -> None:
        interrupted = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, interrupted.set)
        listening = asyncio.create_task(self.listen())
        tasks = {listening, asyncio.create_task(interrupted.wait())}
        try:
            await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            self.swarm.close()
            await listening
        finally:
            for recording in self.recordings.values():
                recording.finish()


async def run(options: argparse.Namespace) -> None:
    options.out.mkdir(parents=True, exist_ok=True)
    async with Swarm(options.room, options.user, signaling=options.url, token=options.token) as swarm:
        await Recorder(swarm, options.out).run(options.seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("--url", "--token", "--room", "--user"):
        parser.add_argument(option, required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIRECTORY")
    parser.add_argument("--seconds", type=float, help="leave after so long; default: when interrupted")
    options = parser.parse_args()
    try:
        asyncio.run(run(options))
    except Refused as refusal:
        print(f"{options.user}: refused: {refusal}", file=sys.stderr)
        return 2
    except (RtcSwarmError, ValueError, OSError) as error:
        print(f"{options.user}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
