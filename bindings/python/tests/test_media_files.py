"""examples/media_send.py, media_record.py and the files that they read and write."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Callable

import pytest
from conftest import EXAMPLES, PATIENCE, token

# In the examples, which conftest has put on the path.
from containers import Broken, IvfReader, IvfWriter, OggReader, OggWriter
from frames import Picture, look_at, opus_samples

from rtcswarm import Codec

VIDEO = [Codec.VP8, Codec.VP9, Codec.AV1, Codec.H264]
#: Hybrid, fullband, 20 ms, stereo, one frame.
TOC = 0x7C

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None and os.environ.get("CI") != "true", reason="ffmpeg is missing"
)


def picture(number: int) -> bytes:
    """What passes for VP8: a key frame of 320 by 180, and others."""
    body = bytes((at * 7 + number) % 256 for at in range(10 + number * 131 % 3000))
    return (b"\x11" if number else b"\x10") + b"\0\0\x9d\x01\x2a\x40\x01\xb4\0" + body


def sound(number: int) -> bytes:
    return bytes([TOC]) + bytes((at * 5 + number) % 256 for at in range(number * 53 % 600))


def write_video(path: Path, codec: Codec = Codec.VP8, count: int = 30) -> list[bytes]:
    frames = [picture(number) for number in range(count)]
    writer = IvfWriter(str(path), codec)
    for number, frame in enumerate(frames):
        writer.write(frame, number * 3000 - 9000 & 0xFFFF_FFFF)  # Wraps around.
    writer.finish()
    assert writer.seconds == (count - 1) / 30
    return frames


def write_sound(path: Path, count: int = 50) -> list[bytes]:
    packets = [sound(number) for number in range(count)]
    writer = OggWriter(str(path), 7)
    for number, packet in enumerate(packets):
        writer.write(packet, number * 960 - 4800 & 0xFFFF_FFFF)
    writer.finish()
    assert writer.seconds == count / 50
    return packets


def read_video(path: Path) -> list[bytes]:
    reader = IvfReader(str(path))
    return [frame.data for frame in iter(reader.read, None)]


def read_sound(path: Path) -> list[bytes]:
    return list(iter(OggReader(str(path)).read, None))


def test_video_comes_back(tmp_path: Path):
    for codec in VIDEO:
        frames = write_video(tmp_path / "video.ivf", codec)
        reader = IvfReader(str(tmp_path / "video.ivf"))
        assert reader.codec is codec
        for _ in range(2):
            for number, data in enumerate(frames):
                frame = reader.read()
                assert frame is not None and frame.data.endswith(data) and frame.time == number * 3000
                assert len(frame.data) - len(data) in ((0, 2) if codec is Codec.AV1 else (0,))
                assert codec is not Codec.VP8 or frame.key == (number == 0)
            assert reader.read() is None
            reader.rewind()
        header = (tmp_path / "video.ivf").read_bytes()[:32]
        assert int.from_bytes(header[24:28], "little") == 30 * 3000
        assert codec is not Codec.VP8 or header[12:16] == bytes([64, 1, 180, 0])


def test_sound_comes_back(tmp_path: Path):
    packets = write_sound(tmp_path / "sound.ogg")
    reader = OggReader(str(tmp_path / "sound.ogg"))
    for _ in range(2):
        assert list(iter(reader.read, None)) == packets
        reader.rewind()


def test_missing_sound_is_filled_and_a_clock_that_was_set_is_not(tmp_path: Path):
    writer, packet = OggWriter(str(tmp_path / "sound.ogg"), 7), sound(40)
    times = [1000, 1960, 1960 + 960 * 5, 1960 + 960 * 6 + 250, 500, 500 + 960 + 3, 500 + 960 * 3 - 9]
    ends = [960, 1920, 6720, 7920, 8880, 9840, 11640]
    for at, end in zip(times, ends):
        writer.write(packet, at)
        assert writer.samples == end
    writer.write(b"", 12_345)  # No packet at all.
    writer.finish()
    packets = read_sound(tmp_path / "sound.ogg")
    assert packets.count(packet) == 7 and sum(map(opus_samples, packets)) == ends[-1]
    assert all(len(one) <= 2 for one in packets if one != packet)


def test_packets_go_over_several_pages(tmp_path: Path):
    packets = [bytes([TOC]) + bytes(size - 1) for size in (254, 255, 256, 510, 30_000, 1275 * 48, 254 * 255, 1)]
    writer = OggWriter(str(tmp_path / "sound.ogg"), 7)
    for number, packet in enumerate(packets):
        writer.write(packet, number * 960)
    # By hand: one of 300 bytes over two pages.
    writer._flush(0)
    writer.lacing, writer.body = b"\xff", packets[4][:255]
    writer._flush(0)
    writer.lacing, writer.body = b"\x2d", packets[4][:45]
    writer._flush(1)
    # The end of a packet whose beginning is not there, and a beginning whose end is not.
    writer.lacing, writer.body = b"\x09", bytes(9)
    writer._flush(1)
    writer.lacing, writer.body = b"\xff", bytes(255)
    writer._flush(0)
    writer._put(packets[0])
    writer.finish()
    read = read_sound(tmp_path / "sound.ogg")
    assert read[: len(packets)] == packets
    assert [len(packet) for packet in read[len(packets) :]] == [300, 254]


def test_a_broken_file_says_so_and_does_nothing_else(tmp_path: Path):
    path, dice = tmp_path / "file", random.Random(7)
    for write, read in ((write_video, read_video), (write_sound, read_sound)):
        write(path, count=12)
        whole = path.read_bytes()
        broken = [whole[:cut] for cut in [*range(200), *range(200, len(whole), 401)]]
        for at in [*range(200), *range(200, len(whole), 397)]:
            changed = bytearray(whole)
            changed[at] ^= dice.randrange(1, 256)
            broken.append(bytes(changed))
        broken += [whole[:40] + dice.randbytes(dice.randrange(600)) for _ in range(200)]
        for data in broken:
            path.write_bytes(data)
            try:
                read(path)
            except Broken as error:
                assert str(error)


def test_what_encoders_give_is_understood():
    vp9 = bytes.fromhex("824983420013f00b36")
    assert look_at(Codec.VP9, vp9) == Picture(True, 320, 180)
    assert not look_at(Codec.VP9, b"\x86").key
    av1 = bytes.fromhex("12000a0b000000043cfeccdaf90040")
    assert look_at(Codec.AV1, av1) == Picture(True, 320, 180)
    assert not look_at(Codec.AV1, bytes.fromhex("1200320100")).key
    assert look_at(Codec.H264, b"\0\0\0\1\x67\x42\0\0\1\x65").key
    assert not look_at(Codec.H264, b"\0\0\0\1\x41\x65").key
    assert look_at(Codec.OPUS, b"").key and not look_at(Codec.VP8, b"").key
    for cut in range(1, len(av1)):
        for codec in VIDEO:
            look_at(codec, av1[:cut])
    packets = (b"\x80", 120), (b"\x98", 960), (b"\x18", 2880), (b"\x79", 1920), (b"\x83\x30", 5760)
    assert all(opus_samples(packet) == samples for packet, samples in packets)
    assert not any(map(opus_samples, (b"", b"\x83", b"\x83\x31")))


def ffmpeg(*words: object) -> bytes:
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *map(str, words)]
    ran = subprocess.run(command, capture_output=True, timeout=PATIENCE * 2)
    assert ran.returncode == 0 and not ran.stderr, ran.stderr.decode()
    return ran.stdout


def film(path: Path, encoder: str, *options: str) -> Path:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25", "-t", 1, "-c:v", encoder, "-g", 10, *options, path)
    return path


@needs_ffmpeg
@pytest.mark.parametrize(
    ("codec", "encoder", "options"),
    [
        (Codec.VP8, "libvpx", []),
        (Codec.VP9, "libvpx-vp9", ["-deadline", "realtime", "-cpu-used", "8"]),
        (Codec.AV1, "libaom-av1", ["-usage", "realtime", "-cpu-used", "8"]),
    ],
)
def test_ffmpeg_and_we_understand_each_other_s_video(tmp_path: Path, codec: Codec, encoder: str, options: list[str]):
    theirs, ours = film(tmp_path / "theirs.ivf", encoder, *options), tmp_path / "ours.ivf"
    reader, writer = IvfReader(str(theirs)), IvfWriter(str(ours), codec)
    frames = list(iter(reader.read, None))
    assert len(frames) == 25 and frames[-1].time == 24 * 3600
    assert frames[0].key and frames[10].key and not frames[1].key
    for frame in frames:
        # A delimiter need not go over the wire.
        data = frame.data[2:] if codec is Codec.AV1 else frame.data
        writer.write(data, frame.time)
    writer.finish()
    assert (writer.width, writer.height) == (320, 180)
    decoded = [ffmpeg("-i", path, "-f", "framemd5", "-").splitlines() for path in (theirs, ours)]
    pictures = [[line.split()[-1] for line in lines if not line.startswith(b"#")] for lines in decoded]
    assert pictures[0] == pictures[1] and len(pictures[0]) == 25
    shown = ["ffprobe", "-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0", str(ours)]
    assert float(subprocess.run(shown, capture_output=True, check=True, timeout=PATIENCE).stdout) == 1.0


@needs_ffmpeg
def test_ffmpeg_and_we_understand_each_other_s_sound(tmp_path: Path):
    theirs, ours = tmp_path / "theirs.ogg", tmp_path / "ours.ogg"
    ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000", "-t", 2, "-c:a", "libopus", "-ac", 2, theirs)
    packets = read_sound(theirs)
    assert len(packets) == 101 and all(opus_samples(packet) == 960 for packet in packets)
    # A second of silence in the middle, and a bit of time that is no whole packet.
    writer, at = OggWriter(str(ours), 7), 5000
    for number, packet in enumerate(packets):
        at += 48_000 + 360 if number == 50 else 0
        writer.write(packet, at)
        at += 960
    writer.finish()
    heard = ffmpeg("-i", ours, "-f", "s16le", "-ac", 1, "-")
    assert len(heard) == 2 * (101 * 960 + 48_000 + 360 - 3840)


# The programs


def run(example: str, url: str, user: str, *options: object, wrong_token: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, str(EXAMPLES / example), "--url", url, "--room", "room", "--user", user]
    command += ["--token", wrong_token or token(user), *map(str, options)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def contains(longer: list[bytes], shorter: list[bytes]) -> bool:
    """What is sent in a loop is recorded from somewhere to somewhere."""
    size = len(shorter)
    return any(longer[at : at + size] == shorter for at in range(len(longer) - size + 1))


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_what_is_sent_is_recorded(tmp_path: Path, url: str):
    frames, packets = write_video(tmp_path / "video.ivf"), write_sound(tmp_path / "sound.ogg")
    files = "--video", tmp_path / "video.ivf", "--audio", tmp_path / "sound.ogg"
    with run("media_record.py", url, "eve/../x", "--out", tmp_path / "recorded", "--seconds", PATIENCE) as recorder:
        with run("media_send.py", url, "dan/../x", *files, "--loop", "--seconds", 4) as sender:
            assert sender.wait(PATIENCE) == 0
            assert sender.stdout is not None and "wants a key frame" in sender.stdout.read()
        eventually(lambda: len(list((tmp_path / "recorded").iterdir())) == 2)
        recorder.send_signal(signal.SIGTERM)
        assert recorder.wait(PATIENCE) == 0
        assert recorder.stdout is not None
        words = recorder.stdout.read()
    assert "eve/../x: recording video of dan/../x (VP8) into" in words and words.count(": wrote ") == 2
    video, sounds = (tmp_path / "recorded").glob("dan____x-video-*.ivf"), (tmp_path / "recorded").glob("dan*.ogg")
    assert contains(read_video(next(video)), frames) and contains(read_sound(next(sounds)), packets)


def test_a_file_is_sent_to_its_end(tmp_path: Path, url: str):
    write_video(tmp_path / "video.ivf", count=10)
    with run("media_send.py", url, "dan", "--video", tmp_path / "video.ivf") as sender:
        with run("media_record.py", url, "eve", "--out", tmp_path / "deep" / "recorded", "--seconds", 3) as recorder:
            assert sender.wait(PATIENCE) == 0 and recorder.wait(PATIENCE) == 0
        assert sender.stdout is not None and "frames of video (VP8)" in sender.stdout.read()
    assert len(read_video(next((tmp_path / "deep" / "recorded").iterdir()))) >= 10


def test_who_is_refused_and_what_is_no_file(tmp_path: Path, url: str):
    write_video(tmp_path / "video.ivf")
    write_sound(tmp_path / "sound.ogg")
    wrong = {"wrong_token": "nonsense"}
    with run("media_send.py", url, "dan", "--video", tmp_path / "video.ivf", **wrong) as sender:
        with run("media_record.py", url, "dan", "--out", tmp_path, **wrong) as recorder:
            assert (sender.wait(PATIENCE), recorder.wait(PATIENCE)) == (2, 2)
    for option, file in (("--video", "sound.ogg"), ("--audio", "video.ivf"), ("--video", "nowhere")):
        with run("media_send.py", url, "dan", option, tmp_path / file) as sender:
            assert sender.wait(PATIENCE) == 1
            assert sender.stdout is not None and file in sender.stdout.read()
