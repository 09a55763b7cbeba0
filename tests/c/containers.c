/*
 * The files of the media examples: what is written is read again, gaps of sound are filled, and whatever is wrong with a
 * file harms nobody.
 *
 *   containers                    the tests
 *   containers make IVF OGG       writes a second of something that passes for video and sound
 *   containers contains A B       whether the frames of the file B are in the file A, in a row
 */
#define _POSIX_C_SOURCE 200809L

#include "harness.h"

#include <unistd.h>

#include "../../examples/containers.h"

#define FRAMES 30

static char path[] = "/tmp/rtcswarm-containers-XXXXXX";

/* Well enough of VP8 for what is looked at: a key frame of 320 by 180, and others. */
static size_t video_frame(uint8_t *data, uint32_t number) {
  size_t length = 20 + number * 131 % 3000;
  for (size_t i = 0; i < length; i++) data[i] = (uint8_t)(i * 7 + number);
  memcpy(data, "\x10\0\0\x9d\x01\x2a\x40\x01\xb4\0", 10);
  if (number > 0) data[0] = 0x11;
  return length;
}

/* A packet with one frame of 20 ms, of any content. */
static size_t sound_packet(uint8_t *data, uint32_t number) {
  size_t length = 1 + number * 53 % 600;
  for (size_t i = 0; i < length; i++) data[i] = (uint8_t)(i * 5 + number);
  data[0] = 0x7c; /* hybrid, fullband, 20 ms, stereo, one frame */
  return length;
}

static void write_video(const char *to, int32_t codec) {
  struct ivf_writer writer;
  uint8_t data[4000];
  CHECK(ivf_create(&writer, to, codec) == NULL);
  for (uint32_t i = 0; i < FRAMES; i++) {
    size_t length = video_frame(data, i);
    CHECK(ivf_write(&writer, data, length, i * 3000 - 9000) == NULL); /* wraps around */
  }
  CHECK(ivf_finish(&writer) == NULL);
}

static void write_sound(const char *to) {
  static struct ogg_writer writer;
  uint8_t data[1000];
  CHECK(ogg_create(&writer, to, 7) == NULL);
  for (uint32_t i = 0; i < 50; i++) {
    size_t length = sound_packet(data, i);
    CHECK(ogg_write(&writer, data, length, i * 960 - 4800) == NULL);
  }
  CHECK(ogg_finish(&writer) == NULL);
}

static void video_comes_back(void) {
  static const int32_t codecs[] = {RTCSWARM_CODEC_VP8, RTCSWARM_CODEC_VP9, RTCSWARM_CODEC_AV1, RTCSWARM_CODEC_H264};
  for (int which = 0; which < 4; which++) {
    write_video(path, codecs[which]);
    struct ivf_reader reader;
    CHECK(ivf_open(&reader, path) == NULL && reader.codec == codecs[which]);
    CHECK(reader.rate == 90000 && reader.scale == 1);
    for (int round = 0; round < 2; round++) {
      uint8_t data[4000];
      for (uint32_t i = 0; i < FRAMES; i++) {
        CHECK(ivf_next(&reader) == NULL && reader.time == i * 3000);
        size_t length = video_frame(data, i), extra = which == 2 && (data[0] >> 3 & 15) != 2 ? 2 : 0;
        CHECK(reader.length == length + extra && memcmp(reader.data + extra, data, length) == 0);
      }
      CHECK(ivf_next(&reader) == END_OF_FILE);
      CHECK(ivf_seek(&reader, reader.first) == NULL);
    }
    ivf_close(&reader);
    uint8_t header[32];
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL && fread(header, 32, 1, file) == 1);
    fclose(file);
    CHECK(read_le(header + 24, 4) == FRAMES * 3000);
    if (which == 0) CHECK(read_le(header + 12, 2) == 320 && read_le(header + 14, 2) == 180);
  }
}

static void sound_comes_back(void) {
  static struct ogg_reader reader;
  write_sound(path);
  CHECK(ogg_open(&reader, path) == NULL && reader.channels == 2);
  for (int round = 0; round < 2; round++) {
    uint8_t data[1000];
    for (uint32_t i = 0; i < 50; i++) {
      CHECK(ogg_next(&reader) == NULL);
      size_t length = sound_packet(data, i);
      CHECK(reader.length == length && memcmp(reader.packet, data, length) == 0);
    }
    CHECK(ogg_next(&reader) == END_OF_FILE);
    CHECK(read_le(reader.page.header + 6, 4) == 50 * 960 && (reader.page.header[5] & OGG_LAST));
    CHECK(ogg_rewind(&reader) == NULL);
  }
  ogg_close(&reader);
}

/* Sound that is missing is filled, so that what follows is where it belongs; a clock that was set is not. */
static void gaps_of_sound(void) {
  static struct ogg_writer writer;
  static struct ogg_reader reader;
  uint8_t data[1000];
  size_t length = sound_packet(data, 40);
  const uint32_t times[] = {1000, 1960, 1960 + 960 * 5, 1960 + 960 * 6 + 250, 500, 500 + 960 + 3, 500 + 960 * 3 - 9};
  const uint64_t ends[] = {960, 1920, 6720, 7920, 8880, 9840, 11640};
  CHECK(ogg_create(&writer, path, 7) == NULL);
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    CHECK(ogg_write(&writer, data, length, times[i]) == NULL);
    CHECK(writer.samples == ends[i]);
  }
  CHECK(ogg_write(&writer, data, 0, 12345) == NULL && writer.samples == ends[6]); /* no packet at all */
  CHECK(ogg_finish(&writer) == NULL);
  CHECK(ogg_open(&reader, path) == NULL);
  uint64_t samples = 0;
  unsigned real = 0;
  const char *failure;
  while ((failure = ogg_next(&reader)) == NULL) {
    samples += opus_samples(reader.packet, reader.length);
    real += reader.length == length;
    CHECK(reader.length == length || reader.length <= 2);
  }
  CHECK(failure == END_OF_FILE && real == 7 && samples == ends[6]);
  ogg_close(&reader);
}

/* Packets over several pages, pages of another stream between them, a beginning that is missing. */
static void pages(void) {
  static struct ogg_writer writer;
  static struct ogg_page other;
  static struct ogg_reader reader;
  static uint8_t packet[OGG_PACKET];
  CHECK(ogg_create(&writer, path, 7) == NULL);
  for (size_t i = 0; i < sizeof packet; i++) packet[i] = (uint8_t)(i * 3);
  packet[0] = 0x7c;
  const size_t lengths[] = {254, 255, 256, 510, 30000, 1275 * 48, OGG_PACKET, 1};
  const size_t count = sizeof lengths / sizeof *lengths;
  for (size_t i = 0; i < count; i++) CHECK(ogg_write(&writer, packet, lengths[i], (uint32_t)i * 960) == NULL);
  CHECK(ogg_flush(&writer, 0) == NULL);
  /* By hand: a packet of 300 bytes over two pages, one of a stranger between them. */
  memcpy(writer.page.body, packet, 255);
  writer.page.lacing[0] = 255;
  writer.page.segments = 1;
  writer.page.length = 255;
  CHECK(ogg_flush(&writer, 0) == NULL);
  memcpy(other.header, "OggS\0\0", 6);
  write_le(other.header + 14, 8, 4);
  other.header[26] = 1;
  other.lacing[0] = 4;
  other.segments = 1;
  other.length = 4;
  write_le(other.header + 22, ogg_page_checksum(&other), 4);
  CHECK(fwrite(other.header, OGG_HEADER, 1, writer.file) == 1 && fwrite("\4\0\0\0", 5, 1, writer.file) == 1);
  memcpy(writer.page.body, packet + 255, 45);
  writer.page.lacing[0] = 45;
  writer.page.segments = 1;
  writer.page.length = 45;
  CHECK(ogg_flush(&writer, OGG_CONTINUED) == NULL);
  /* The end of a packet whose beginning is not there, and a beginning whose end is not. */
  writer.page.lacing[0] = 9;
  writer.page.segments = 1;
  writer.page.length = 9;
  CHECK(ogg_flush(&writer, OGG_CONTINUED) == NULL);
  writer.page.lacing[0] = 255;
  writer.page.segments = 1;
  writer.page.length = 255;
  CHECK(ogg_flush(&writer, 0) == NULL);
  ogg_put(&writer, packet, 77);
  CHECK(ogg_finish(&writer) == NULL);

  CHECK(ogg_open(&reader, path) == NULL);
  for (size_t i = 0; i < count; i++) CHECK(ogg_next(&reader) == NULL && reader.length == lengths[i]);
  CHECK(ogg_next(&reader) == NULL && reader.length == 300 && memcmp(reader.packet, packet, 300) == 0);
  CHECK(ogg_next(&reader) == NULL && reader.length == 77 && memcmp(reader.packet, packet, 77) == 0);
  CHECK(ogg_next(&reader) == END_OF_FILE);
  ogg_close(&reader);
}

static size_t load(uint8_t *data, size_t room) {
  FILE *file = fopen(path, "rb");
  CHECK(file != NULL);
  size_t length = fread(data, 1, room, file);
  fclose(file);
  CHECK(length < room);
  return length;
}

static void store(const uint8_t *data, size_t length) {
  FILE *file = fopen(path, "wb");
  CHECK(file != NULL && fwrite(data, 1, length, file) == length);
  fclose(file);
}

/* To the end, or to what is wrong. */
static void read_all(bool sound) {
  const char *failure;
  if (sound) {
    static struct ogg_reader reader;
    failure = ogg_open(&reader, path);
    while (failure == NULL) failure = ogg_next(&reader);
    ogg_close(&reader);
  } else {
    struct ivf_reader reader;
    failure = ivf_open(&reader, path);
    while (failure == NULL) {
      failure = ivf_next(&reader);
      for (int32_t codec = 0; failure == NULL && codec <= RTCSWARM_CODEC_AV1; codec++) {
        look_at(codec, reader.data, reader.length);
      }
    }
    ivf_close(&reader);
  }
  CHECK(strlen(failure) > 0);
}

static void files_that_are_broken(void) {
  static uint8_t whole[200000], changed[200000];
  for (int sound = 0; sound < 2; sound++) {
    if (sound) write_sound(path);
    else write_video(path, RTCSWARM_CODEC_VP8);
    size_t length = load(whole, sizeof whole);
    for (size_t cut = 0; cut < length; cut += cut < 200 ? 1 : 401) {
      store(whole, cut);
      read_all(sound);
    }
    for (size_t at = 0; at < length; at += at < 200 ? 1 : 997) {
      memcpy(changed, whole, length);
      for (int value = 0; value < 2; value++) {
        changed[at] = (uint8_t)(whole[at] ^ (value == 0 ? 0xff : 4));
        store(changed, length);
        read_all(sound);
      }
    }
  }
  for (size_t i = 0; i < 500; i++) { /* noise, behind a header that is fine */
    size_t length = i % 700;
    for (size_t at = 0; at < length; at++) changed[at] = (uint8_t)rand();
    if (i % 2 && length > 40) memcpy(changed, whole, 40);
    store(changed, length);
    read_all(true);
    read_all(false);
  }
  CHECK(strcmp(ivf_open(&(struct ivf_reader){0}, "/nowhere/at all"), "cannot be opened") == 0);
}

/* What encoders give, as far as it is looked at. */
static void pictures(void) {
  static const uint8_t vp9[] = {0x82, 0x49, 0x83, 0x42, 0x00, 0x13, 0xf0, 0x0b, 0x36}; /* libvpx, 320x180 */
  struct picture picture = look_at(RTCSWARM_CODEC_VP9, vp9, sizeof vp9);
  CHECK(picture.key && picture.width == 320 && picture.height == 180);
  CHECK(!look_at(RTCSWARM_CODEC_VP9, (const uint8_t *)"\x86", 1).key);
  static const uint8_t av1[] = {0x12, 0, 0x0a, 0x0b, 0, 0, 0, 0x04, 0x3c, 0xfe, 0xcc, 0xda, 0xf9, 0, 0x40}; /* libaom */
  picture = look_at(RTCSWARM_CODEC_AV1, av1, sizeof av1);
  CHECK(picture.key && picture.width == 320 && picture.height == 180);
  CHECK(!look_at(RTCSWARM_CODEC_AV1, (const uint8_t *)"\x12\0\x32\x01\x00", 5).key);
  CHECK(look_at(RTCSWARM_CODEC_H264, (const uint8_t *)"\0\0\0\1\x67\x42\0\0\1\x65", 10).key);
  CHECK(!look_at(RTCSWARM_CODEC_H264, (const uint8_t *)"\0\0\0\1\x41\x65", 6).key);
  CHECK(look_at(RTCSWARM_CODEC_OPUS, NULL, 0).key);
  /* One frame of 2.5 ms, of 20, of 60; two; 48; none; too many. */
  CHECK(opus_samples((const uint8_t *)"\x80", 1) == 120 && opus_samples((const uint8_t *)"\x98", 1) == 960);
  CHECK(opus_samples((const uint8_t *)"\x18", 1) == 2880 && opus_samples((const uint8_t *)"\x79", 1) == 1920);
  CHECK(opus_samples((const uint8_t *)"\x83\x30", 2) == 5760 && opus_samples((const uint8_t *)"\x83", 1) == 0);
  CHECK(opus_samples((const uint8_t *)"\x83\x31", 2) == 0 && opus_samples(NULL, 0) == 0);
}

static bool next_of(struct ivf_reader *ivf, struct ogg_reader *ogg, bool sound, const uint8_t **data, size_t *length) {
  const char *failure = sound ? ogg_next(ogg) : ivf_next(ivf);
  if (failure != NULL && failure != END_OF_FILE) FAIL("a file %s", failure);
  *data = sound ? ogg->packet : ivf->data;
  *length = sound ? ogg->length : ivf->length;
  return failure == NULL;
}

/* What is sent in a loop is recorded from somewhere to somewhere. */
static int contains(const char *longer, const char *shorter) {
  static struct ogg_reader oggs[2];
  struct ivf_reader ivfs[2];
  const char *paths[2] = {longer, shorter};
  bool sound = strstr(longer, ".ogg") != NULL;
  size_t lengths[2], in_a_row = 0, most = 0;
  const uint8_t *data[2];
  for (int i = 0; i < 2; i++) {
    const char *failure = sound ? ogg_open(&oggs[i], paths[i]) : ivf_open(&ivfs[i], paths[i]);
    if (failure != NULL) FAIL("%s %s", paths[i], failure);
  }
  bool more = next_of(&ivfs[1], &oggs[1], sound, &data[1], &lengths[1]);
  while (more && next_of(&ivfs[0], &oggs[0], sound, &data[0], &lengths[0])) {
    bool same = lengths[0] == lengths[1] && memcmp(data[0], data[1], lengths[0]) == 0;
    if (!same) { /* from the beginning; with this one, if it is that */
      const char *failure = sound ? ogg_rewind(&oggs[1]) : ivf_seek(&ivfs[1], ivfs[1].first);
      CHECK(failure == NULL && next_of(&ivfs[1], &oggs[1], sound, &data[1], &lengths[1]));
      same = lengths[0] == lengths[1] && memcmp(data[0], data[1], lengths[0]) == 0;
      in_a_row = 0;
    }
    if (!same) continue;
    if (++in_a_row > most) most = in_a_row;
    more = next_of(&ivfs[1], &oggs[1], sound, &data[1], &lengths[1]);
  }
  if (more) FAIL("%zu frames of %s in a row, and not all", most, shorter);
  return 0;
}

int main(int argc, char **argv) {
  static const struct test tests[] = {
      {"video_comes_back", video_comes_back},
      {"sound_comes_back", sound_comes_back},
      {"gaps_of_sound", gaps_of_sound},
      {"pages", pages},
      {"files_that_are_broken", files_that_are_broken},
      {"pictures", pictures},
  };
  if (argc == 4 && strcmp(argv[1], "contains") == 0) return contains(argv[2], argv[3]);
  if (argc == 4 && strcmp(argv[1], "make") == 0) {
    write_video(argv[2], RTCSWARM_CODEC_VP8);
    write_sound(argv[3]);
    return 0;
  }
  int descriptor = mkstemp(path);
  CHECK(descriptor >= 0 && close(descriptor) == 0);
  int status = run_tests(tests, sizeof tests / sizeof *tests, argc, argv);
  CHECK(unlink(path) == 0);
  return status;
}
