"""Media of a native member: files that are sent, and what came, decoded by ffmpeg.

Containers are read and written here and not by the examples' code, which is tested by other means.
"""

from __future__ import annotations

import asyncio
import struct
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from rtcswarm import Codec

PICTURE_EVERY = 1 / 15
SOUND_EVERY = 0.02


@dataclass
class Clip:
    frames: list[tuple[bytes, bool]]
    seconds: float
    units: int


def is_key(codec: Codec, data: bytes) -> bool:
    if codec is Codec.VP8:
        return not data[0] & 1
    if codec is Codec.VP9:
        # Profile 0: frame marker, profile, show_existing_frame, frame_type.
        return not data[0] & 0x04
    if codec is Codec.AV1:
        return any(kind == 1 for kind in av1_types(data))
    if codec is Codec.H264:
        return any(unit[0] & 31 == 5 for unit in data.split(b"\0\0\1")[1:] if unit)
    return True


def av1_types(data: bytes) -> list[int]:
    types, at = [], 0
    while at < len(data):
        header = data[at]
        types.append(header >> 3 & 15)
        at += 2 if header & 4 else 1
        size = shift = 0
        while True:
            byte = data[at]
            at += 1
            size |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                break
        at += size
    return types


def read_ivf(path: str) -> list[bytes]:
    data = Path(path).read_bytes()
    at, frames = 32, []
    while at + 12 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        frames.append(data[at + 12 : at + 12 + size])
        at += 12 + size
    return frames


def read_access_units(path: str) -> list[bytes]:
    """Each begins with an access unit delimiter, which the encoder was asked for."""
    delimiter = b"\0\0\0\1\t"
    return [delimiter + unit for unit in Path(path).read_bytes().split(delimiter)[1:]]


def read_ogg(path: str) -> list[bytes]:
    data = Path(path).read_bytes()
    packets, current, at = [], b"", 0
    while at + 27 <= len(data):
        count = data[at + 26]
        lacing = data[at + 27 : at + 27 + count]
        at += 27 + count
        for size in lacing:
            current += data[at : at + size]
            at += size
            if size < 255:
                packets.append(current)
                current = b""
    return packets[2:]


def load(codec: Codec, path: str) -> Clip:
    if codec is Codec.OPUS:
        return Clip([(packet, True) for packet in read_ogg(path)], SOUND_EVERY, 960)
    frames = read_access_units(path) if codec is Codec.H264 else read_ivf(path)
    return Clip([(frame, is_key(codec, frame)) for frame in frames], PICTURE_EVERY, 6000)


def ogg_page(kind: int, granule: int, number: int, packet: bytes) -> bytes:
    lacing = [255] * (len(packet) // 255) + [len(packet) % 255]
    page = struct.pack("<4sBBqIIIB", b"OggS", 0, kind, granule, 1, number, 0, len(lacing)) + bytes(lacing) + packet
    crc = 0
    for byte in page:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ 0x04C11DB7 if crc & 0x8000_0000 else crc << 1) & 0xFFFF_FFFF
    return page[:22] + struct.pack("<I", crc) + page[26:]


def as_ogg(packets: list[bytes]) -> bytes:
    head = struct.pack("<8sBBHIHB", b"OpusHead", 1, 2, 0, 48_000, 0, 0)
    pages = [ogg_page(2, 0, 0, head), ogg_page(0, 0, 1, b"OpusTags" + struct.pack("<II", 0, 0))]
    pages += [ogg_page(0, (at + 1) * 960, at + 2, packet) for at, packet in enumerate(packets)]
    return b"".join(pages)


def as_ivf(codec: Codec, frames: list[bytes]) -> bytes:
    name = {Codec.VP8: b"VP80", Codec.VP9: b"VP90", Codec.AV1: b"AV01"}[codec]
    parts = [struct.pack("<4sHH4sHHIIII", b"DKIF", 0, 32, name, 320, 240, 15, 1, len(frames), 0)]
    for at, frame in enumerate(frames):
        parts += [struct.pack("<IQ", len(frame), at), frame]
    return b"".join(parts)


def decode(data: bytes, suffix: str, *output: str) -> bytes:
    with tempfile.NamedTemporaryFile(suffix=suffix) as file:
        file.write(data)
        file.flush()
        command = ["ffmpeg", "-v", "error", "-i", file.name, *output, "-"]
        done = subprocess.run(command, capture_output=True, timeout=60)
    if done.returncode or done.stderr:
        raise ValueError(f"ffmpeg: {done.stderr.decode()}")
    return done.stdout


COLOURS = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0), "black": (0, 0, 0)}


def colours(codec: Codec, frames: list[bytes]) -> list[str]:
    """Of the last picture, above left and right, below left and right."""
    raw = as_ivf(codec, frames) if codec is not Codec.H264 else b"".join(frames)
    suffix = ".h264" if codec is Codec.H264 else ".ivf"
    pixels = decode(raw, suffix, "-vf", "scale=4:4:flags=area", "-f", "rawvideo", "-pix_fmt", "rgb24")[-48:]
    seen = []
    for at in (0, 3, 12, 15):
        pixel = pixels[at * 3 : at * 3 + 3]
        seen.append(min(COLOURS, key=lambda name: sum((a - b) ** 2 for a, b in zip(pixel, COLOURS[name]))))
    return seen


def frequency(packets: list[bytes]) -> float:
    """Of a sine wave, by how often it crosses zero in the last half of a second."""
    raw = decode(as_ogg(packets), ".ogg", "-f", "s16le", "-ac", "1", "-ar", "48000")
    samples = struct.unpack(f"<{len(raw) // 2}h", raw)[-24_000:]
    if max(map(abs, samples), default=0) < 1000:
        return 0.0
    rises = sum(1 for a, b in zip(samples, samples[1:]) if a < 0 <= b)
    return rises * 48_000 / len(samples)


@dataclass
class Heard:
    """What came of a peer's track."""

    user: str
    name: str
    kind: str
    codec: Codec | None = None
    frames: list[tuple[bytes, bool]] = field(default_factory=list)
    gaps: int = 0

    def take(self, event) -> bool:
        """Whether a key frame is to be asked for: what came before it can be left behind then."""
        if event.codec is not self.codec:
            self.codec, self.frames = event.codec, []
        self.gaps += event.gap
        self.frames.append((event.data, event.key))
        # Enough to look at, from a key frame on.
        if len(self.frames) > 400:
            keys = [at for at, (_, key) in enumerate(self.frames) if key and at > 100]
            if keys:
                self.frames = self.frames[keys[0] :]
        return self.kind == "video" and len(self.frames) % 400 == 0

    def decodable(self) -> list[bytes]:
        first = next((at for at, (_, key) in enumerate(self.frames) if key), len(self.frames))
        return [data for data, _ in self.frames[first:]]


class Media:
    def __init__(self, member) -> None:
        self.member = member
        self.ids: dict[str, int] = {}
        self.heard: dict[int, Heard] = {}
        self.players: dict[str, asyncio.Task] = {}
        self.wanted: set[int] = set()

    def source(self, word: str | None):
        from rtcswarm import Kind

        if word is None:
            return None
        return Kind[word.upper()] if word in ("audio", "video") else Codec[word]

    def add(self, streams: dict) -> None:
        for stream, tracks in streams.items():
            given = {name: self.source(word) for name, word in tracks.items()}
            self.ids.update(self.member.swarm.add_stream(stream, given))

    def begin(self, name: str, codec: str, path: str) -> None:
        self.players[name] = asyncio.create_task(self.play(self.ids[name], load(Codec[codec], path)))

    async def play(self, track: int, clip: Clip) -> None:
        at, time = 0, 0
        while True:
            if track in self.wanted and clip.seconds == PICTURE_EVERY:
                self.wanted.discard(track)
                at = next(index for index, (_, key) in enumerate(clip.frames) if key)
            data, key = clip.frames[at % len(clip.frames)]
            self.member.swarm.send_frame(track, data, time, key=key)
            at, time = at + 1, time + clip.units
            await asyncio.sleep(clip.seconds)

    def stop(self) -> None:
        for player in self.players.values():
            player.cancel()
        self.players.clear()

    def of(self, user: str, name: str) -> Heard | None:
        matching = [heard for heard in self.heard.values() if (heard.user, heard.name) == (user, name)]
        return matching[-1] if matching else None
