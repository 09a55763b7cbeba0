"""What a program can tell of an encoded frame without decoding it: whether it needs none before it, how large its
picture is, how long it sounds. For media_send.py and media_record.py."""

from typing import NamedTuple

from rtcswarm import Codec


class Picture(NamedTuple):
    key: bool
    #: 0 where the frame does not say.
    width: int = 0
    height: int = 0


class _Bits:
    """Bits from the highest on; past the end there are zeros, and `over` says so."""

    def __init__(self, data: bytes):
        self.value, self.left = int.from_bytes(data, "big"), len(data) * 8
        self.over = False

    def take(self, count: int) -> int:
        self.left -= count
        self.over = self.over or self.left < 0
        return 0 if self.over else self.value >> self.left & (1 << count) - 1


def _vp8(data: bytes) -> Picture:
    """RFC 6386, 9.1"""
    key = data[0] & 1 == 0
    if not key or len(data) < 10:
        return Picture(key)
    sides = (int.from_bytes(data[at : at + 2], "little") & 0x3FFF for at in (6, 8))
    return Picture(True, *sides)


def _vp9(data: bytes) -> Picture:
    """VP9 bitstream specification, 6.2 and 7.2"""
    bits = _Bits(data[:16])
    if bits.take(2) != 2:
        return Picture(False)
    profile = bits.take(1) | bits.take(1) << 1
    bits.take(1 if profile == 3 else 0)
    shows_another, not_key = bits.take(1), bits.take(1)
    if shows_another or not_key or bits.over:
        return Picture(False)
    bits.take(2)  # Whether it is shown, and error resilience.
    if bits.take(24) != 0x498342:
        return Picture(True)
    bits.take(1 if profile >= 2 else 0)  # 10 or 12 bits.
    if bits.take(3) != 7:
        bits.take(4 if profile % 2 else 1)  # Range, subsampling.
    else:
        bits.take(profile % 2)
    return _sides(bits, bits.take(16) + 1, bits.take(16) + 1)


def _sides(bits: _Bits, width: int, height: int) -> Picture:
    fits = not bits.over and max(width, height) < 1 << 16
    return Picture(True, width, height) if fits else Picture(True)


def _av1_sequence(bits: _Bits) -> Picture:
    """AV1 specification, 5.5"""
    bits.take(4)  # Profile, still picture.
    if bits.take(1):
        bits.take(5)  # A reduced header has only a level.
    else:
        models_decoder, delay_bits = 0, 0
        if bits.take(1):  # Timing.
            bits.take(64)
            if bits.take(1):
                zeros = 0  # A number in Exp-Golomb's code.
                while not bits.over and zeros < 32 and not bits.take(1):
                    zeros += 1
                bits.take(zeros if zeros < 32 else 0)
            models_decoder = bits.take(1)
            if models_decoder:
                delay_bits = bits.take(5) + 1
                bits.take(42)
        has_delays = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:  # Level and tier.
                bits.take(1)
            if models_decoder and bits.take(1):
                bits.take(2 * delay_bits + 1)
            if has_delays and bits.take(1):
                bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return _sides(bits, bits.take(width_bits) + 1, bits.take(height_bits) + 1)


def _av1(data: bytes) -> Picture:
    """A temporal unit that can be begun at has a sequence header (AV1 specification, 7.5)."""
    at = 0
    while at < len(data):
        kind, extended, sized = data[at] >> 3 & 15, data[at] & 4, data[at] & 2
        at += 2 if extended else 1
        size = len(data) - at
        if sized:  # Seven bits a byte, the lowest first.
            size, shift = 0, 0
            while True:
                if at >= len(data) or shift >= 56:
                    return Picture(False)
                byte, at = data[at], at + 1
                size, shift = size | (byte & 127) << shift, shift + 7
                if byte < 128:
                    break
        if not 0 <= size <= len(data) - at:
            return Picture(False)
        if kind == 1:
            return _av1_sequence(_Bits(data[at : at + size]))
        at += size
    return Picture(False)


def _h264(data: bytes) -> Picture:
    """An access unit that can be begun at has an IDR slice (ITU-T H.264, 7.4.1.2.4)."""
    return Picture(any(unit[:1] and unit[0] & 31 == 5 for unit in data.split(b"\0\0\1")[1:]))


_LOOKS = {Codec.VP8: _vp8, Codec.VP9: _vp9, Codec.AV1: _av1, Codec.H264: _h264}


def look_at(codec: Codec, data: bytes) -> Picture:
    look = _LOOKS.get(codec)
    return look(data) if look and data else Picture(look is None)


def opus_frame_samples(first: int) -> int:
    """How many samples, at 48000 a second, one frame of an Opus packet has (RFC 6716, 3.1)."""
    config = first >> 3
    if config >= 16:
        return 120 << (config & 3)
    if config >= 12:
        return 960 if config & 1 else 480
    return 2880 if config & 3 == 3 else 480 << (config & 3)


def opus_samples(packet: bytes) -> int:
    """Of the whole packet; 0 if it is none."""
    if not packet:
        return 0
    code = packet[0] & 3
    frames = (1, 2, 2)[code] if code < 3 else packet[1] & 63 if len(packet) > 1 else 0
    samples = frames * opus_frame_samples(packet[0])
    return samples if samples <= 5760 else 0  # 120 ms are the longest.
