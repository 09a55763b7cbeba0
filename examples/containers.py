"""IVF files of video and Ogg files of Opus (RFC 3533, RFC 7845), as much of them as media_send.py and media_record.py
need. Files are untrusted: every length is checked against what there is, and `Broken` says what is wrong."""

import struct
from typing import BinaryIO, NamedTuple, Optional

from frames import look_at, opus_frame_samples, opus_samples
from rtcswarm import Codec

LARGEST_FRAME = 4 << 20
#: The largest packet of Ogg that fits into one page.
LARGEST_PACKET = 254 * 255
OPUS_RATE = 48_000

_FOURCC = {b"VP80": Codec.VP8, b"VP90": Codec.VP9, b"AV01": Codec.AV1, b"H264": Codec.H264}
_CODEC = {codec: fourcc for fourcc, codec in _FOURCC.items()}
#: signature, version, length of the header, codec, width, height, rate, scale, length, unused
_IVF = struct.Struct("<4sHH4sHHIIII")
_IVF_FRAME = struct.Struct("<IQ")
#: signature, version, flags, position, serial, number, checksum, segments
_PAGE = struct.Struct("<4sBBQIIIB")
_CONTINUED, _FIRST, _LAST = 1, 2, 4


class Broken(ValueError):
    """The file is not what it should be."""


def _read(file: BinaryIO, length: int) -> bytes:
    data = file.read(length)
    if len(data) != length:
        raise Broken("ends in the middle")
    return data


class VideoFrame(NamedTuple):
    data: bytes
    #: In units of 1/90000 second since the first frame.
    time: int
    key: bool
    #: Where it begins in the file.
    at: int


class IvfReader:
    def __init__(self, path: str):
        self.file = open(path, "rb")
        header = self.file.read(_IVF.size)
        if len(header) != _IVF.size or header[:4] != b"DKIF":
            raise Broken("is no IVF file")
        _, _, self.first, fourcc, _, _, self.rate, self.scale, _, _ = _IVF.unpack(header)
        codec = _FOURCC.get(fourcc)
        if codec is None:
            raise Broken("has no VP8, VP9, AV1 or H.264")
        self.codec = codec
        # A clock that is slower than a frame a minute, or faster than a nanosecond, is none.
        if not (self.rate and self.scale and 1 / 60 <= self.rate / self.scale <= 1e9) or self.first < _IVF.size:
            raise Broken("has a header that is none")
        self.beginning: Optional[int] = None
        self.seek(self.first)

    def read(self) -> Optional[VideoFrame]:
        """The next frame; None at the end."""
        at = self.file.tell()
        header = self.file.read(_IVF_FRAME.size)
        if not header:
            return None
        if len(header) != _IVF_FRAME.size:
            raise Broken("ends in the middle of a frame's header")
        length, time = _IVF_FRAME.unpack(header)
        if not 0 < length <= LARGEST_FRAME:
            raise Broken("has a frame of an impossible size")
        data = _read(self.file, length)
        if self.beginning is None:
            self.beginning = time
        ticks = round((time - self.beginning) * 90_000 * self.scale / self.rate)
        if not 0 <= ticks < 1 << 40:
            raise Broken("has a frame that is out of time")
        return VideoFrame(data, ticks, look_at(self.codec, data).key, at)

    def seek(self, at: int) -> None:
        """Goes back to where a frame begins."""
        self.file.seek(at)

    def rewind(self) -> None:
        self.seek(self.first)


class IvfWriter:
    """Times are those of RTP, from the first frame on."""

    def __init__(self, path: str, codec: Codec):
        self.file = open(path, "wb")
        self.codec = codec
        #: The last frame's time, by its sender's clock, and from the one before it.
        self.frames, self.time, self.last, self.step = 0, 0, 0, 0
        self.width, self.height = 0, 0
        self._write_header()

    @property
    def seconds(self) -> float:
        return self.time / 90_000

    def _write_header(self) -> None:
        # The length in units of the clock, which is the number of frames where each has one unit: ffmpeg reads it so.
        length = self.time + self.step & 0xFFFF_FFFF
        fourcc = _CODEC[self.codec]
        self.file.write(_IVF.pack(b"DKIF", 0, _IVF.size, fourcc, self.width, self.height, 90_000, 1, length, 0))

    def write(self, data: bytes, rtp_time: int) -> None:
        if not self.width:
            _, self.width, self.height = look_at(self.codec, data)
        # A temporal unit begins with a delimiter in files, and need not on the wire.
        if self.codec is Codec.AV1 and data[:1] and data[0] >> 3 & 15 != 2:
            data = b"\x12\0" + data
        # A clock that was set back goes on with a thirtieth of a second.
        step = rtp_time - self.last & 0xFFFF_FFFF
        self.step = step if self.frames and 0 < step < 1 << 31 else 3000
        if self.frames:
            self.time += self.step
        self.last = rtp_time
        self.frames += 1
        self.file.write(_IVF_FRAME.pack(len(data), self.time) + data)

    def finish(self) -> None:
        """Completes the header: only now it is known how long it is, and how large a picture."""
        with self.file:
            self.file.seek(0)
            self._write_header()


def _checksum_table() -> list[int]:
    table: list[int] = []
    for byte in range(256):
        value = byte << 24
        for _ in range(8):
            value = value << 1 ^ (0x104C11DB7 if value >> 31 else 0)
        table.append(value)
    return table


_TABLE = _checksum_table()


def _checksum(data: bytes) -> int:
    """RFC 3533, 6: without reflection, which is not the one of zlib."""
    value = 0
    for byte in data:
        value = (value << 8 & 0xFFFF_FFFF) ^ _TABLE[value >> 24 ^ byte]
    return value


class OggReader:
    """The packets of the first stream that is Opus; others are passed over."""

    def __init__(self, path: str):
        self.file = open(path, "rb")
        self.serial: Optional[int] = None
        self.parts: list[bytes] = []
        self.packet = b""
        self.skips = False
        head = self._packet()
        if head is None:
            raise Broken("has no Opus")
        # RFC 7845, 5.1: version, channels, mapping. WebRTC has one or two channels.
        if len(head) < 19 or head[8] > 15 or head[18] != 0 or not 1 <= head[9] <= 2:
            raise Broken("has a header that is none, or more than two channels")
        tags = self._packet()
        if tags is None or not tags.startswith(b"OpusTags"):
            raise Broken("has no tags of Opus")
        # The sound begins on a page of its own.
        self.first = self.file.tell()
        self.rewind()

    def _page(self) -> Optional[list[bytes]]:
        """The next page of the stream as parts of packets: those of 255 bytes go on. None at the end of the file."""
        while True:
            header = self.file.read(_PAGE.size)
            if not header:
                return None
            if len(header) != _PAGE.size or header[:5] != b"OggS\0":
                raise Broken("has a page that is none")
            _, _, flags, _, serial, _, checksum, segments = _PAGE.unpack(header)
            lacing = _read(self.file, segments)
            body = _read(self.file, sum(lacing))
            if _checksum(header[:22] + bytes(4) + header[26:] + lacing + body) != checksum:
                raise Broken("has a page with a wrong checksum")
            if self.serial is None and flags & _FIRST and body.startswith(b"OpusHead"):
                self.serial = serial
            if serial != self.serial:
                continue
            if flags & _CONTINUED and not self.packet:
                self.skips = True  # The rest of a packet whose beginning is not there.
            if not flags & _CONTINUED:
                self.packet = b""
            parts: list[bytes] = []
            at = 0
            for length in lacing:
                parts.append(body[at : at + length])
                at += length
            return parts

    def _packet(self) -> Optional[bytes]:
        while True:
            while self.parts:
                part = self.parts.pop(0)
                # Tags may be as large as they like, sound may not: no more of it is kept.
                self.packet = (self.packet + part)[:LARGEST_PACKET]
                if len(part) == 255:
                    continue
                packet, self.packet = self.packet, b""
                skipped, self.skips = self.skips, False
                if not skipped:
                    return packet
            page = self._page()
            if page is None:
                return None
            self.parts = page

    def read(self) -> Optional[bytes]:
        """The next packet of Opus; None at the end."""
        packet = self._packet()
        if packet is not None and not opus_samples(packet):
            raise Broken("has a packet that is not Opus")
        return packet

    def rewind(self) -> None:
        self.parts, self.packet, self.skips = [], b"", False
        self.file.seek(self.first)


class OggWriter:
    def __init__(self, path: str, serial: int):
        self.file = open(path, "wb")
        self.serial, self.pages = serial & 0xFFFF_FFFF, 0
        #: In all, and when the page before ended.
        self.samples, self.written = 0, 0
        self.packets = 0
        #: Of the page that is not written yet: the last one is marked as such.
        self.lacing, self.body = b"", b""
        #: The RTP time at which sound is expected, and the first byte of the packet before.
        self.next, self.toc = 0, 0
        # Two channels and no gain. Who begins in the middle of a stream lets the decoder settle for 80 ms (RFC 7845,
        # 4.2).
        self._put(struct.pack("<8sBBHIHB", b"OpusHead", 1, 2, 3840, OPUS_RATE, 0, 0))
        self._flush(_FIRST)
        # Who wrote it, and no comments.
        self._put(struct.pack("<8sI8sI", b"OpusTags", 8, b"rtcswarm", 0))
        self._flush(0)

    @property
    def seconds(self) -> float:
        return self.samples / OPUS_RATE

    def _flush(self, flags: int) -> None:
        # The position is that at the end of the last packet that ends here.
        head = [b"OggS", 0, flags, self.samples, self.serial, self.pages, 0, len(self.lacing)]
        head[6] = _checksum(_PAGE.pack(*head) + self.lacing + self.body)
        self.file.write(_PAGE.pack(*head) + self.lacing + self.body)
        self.pages += 1
        self.written, self.lacing, self.body = self.samples, b"", b""

    def _put(self, packet: bytes) -> None:
        self.lacing += b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255])
        self.body += packet

    def _append(self, packet: bytes) -> None:
        full = len(self.lacing) + len(packet) // 255 + 1 > 255
        if full or self.samples - self.written >= OPUS_RATE:  # A page has a second at most.
            self._flush(0)
        self._put(packet)
        self.samples += opus_samples(packet)

    def _conceal(self, samples: int) -> None:
        """What is missing (lost, or not sent while the track was muted) is replaced by packets without content, for
        which a decoder thinks of something: the position may only grow by what its packets have (RFC 7845, 4.1)."""
        count, rest = divmod(samples, opus_frame_samples(self.toc))
        for _ in range(count):
            self._append(bytes([self.toc & ~3]))
        # The rest in frames of 2.5 ms.
        if rest >= 120:
            self._append(bytes([16 << 3 | self.toc & 4 | 3, rest // 120]))

    def write(self, packet: bytes, rtp_time: int) -> None:
        samples = opus_samples(packet)
        if not samples or len(packet) > LARGEST_PACKET:
            return  # It is no Opus, and missing.
        gap = rtp_time - self.next & 0xFFFF_FFFF
        # More than an hour, or less than nothing: the sender's clock was set, and what comes is what comes next.
        if self.packets and gap < 3600 * OPUS_RATE:
            self._conceal(gap)
        self.next, self.toc = rtp_time + samples, packet[0]
        self.packets += 1
        self._append(packet)

    def finish(self) -> None:
        with self.file:
            self._flush(_LAST)
