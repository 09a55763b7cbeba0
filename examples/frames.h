/*
 * What a program can tell of an encoded frame without decoding it: whether it needs none before it, how large its picture
 * is, how long it sounds. For media_send.c and media_record.c. Frames are untrusted: nothing is read past their end.
 */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rtcswarm.h>

/* Bits from the highest on; past the end there are zeros, and `over` is set. */
struct bits {
  const uint8_t *data;
  size_t length, at;
  bool over;
};

static inline uint32_t bits_take(struct bits *bits, unsigned count) {
  uint32_t value = 0;
  while (count-- > 0) {
    uint32_t bit = 0;
    if (bits->at / 8 < bits->length) bit = (uint32_t)(bits->data[bits->at / 8] >> (7 - bits->at % 8)) & 1;
    else bits->over = true;
    value = value << 1 | bit;
    bits->at++;
  }
  return value;
}

struct picture {
  bool key;
  uint16_t width, height; /* 0 where the frame does not say */
};

/* RFC 6386, 9.1 */
static inline struct picture look_at_vp8(const uint8_t *data, size_t length) {
  struct picture picture = {.key = length > 0 && (data[0] & 1) == 0};
  if (picture.key && length >= 10) {
    picture.width = (uint16_t)((data[6] | data[7] << 8) & 0x3fff);
    picture.height = (uint16_t)((data[8] | data[9] << 8) & 0x3fff);
  }
  return picture;
}

/* VP9 bitstream specification, 6.2 and 7.2 */
static inline struct picture look_at_vp9(const uint8_t *data, size_t length) {
  struct picture picture = {false, 0, 0};
  struct bits bits = {.data = data, .length = length};
  if (bits_take(&bits, 2) != 2) return picture;
  uint32_t profile = bits_take(&bits, 1);
  profile |= bits_take(&bits, 1) << 1;
  if (profile == 3) bits_take(&bits, 1);
  bool shows_another = bits_take(&bits, 1) != 0;
  if (shows_another || bits_take(&bits, 1) != 0 || bits.over) return picture;
  picture.key = true;
  bits_take(&bits, 2); /* whether it is shown, and error resilience */
  if (bits_take(&bits, 24) != 0x498342) return picture;
  if (profile >= 2) bits_take(&bits, 1); /* 10 or 12 bits */
  if (bits_take(&bits, 3) != 7) bits_take(&bits, 1 + (profile % 2 ? 3 : 0)); /* range, subsampling */
  else if (profile % 2) bits_take(&bits, 1);
  uint32_t width = bits_take(&bits, 16) + 1, height = bits_take(&bits, 16) + 1;
  if (!bits.over && width <= UINT16_MAX && height <= UINT16_MAX) {
    picture.width = (uint16_t)width;
    picture.height = (uint16_t)height;
  }
  return picture;
}

/* AV1 specification, 5.5 */
static inline void read_av1_sequence(struct bits *bits, struct picture *picture) {
  bits_take(bits, 4); /* profile, still picture */
  if (bits_take(bits, 1)) {
    bits_take(bits, 5); /* reduced header: only a level */
  } else {
    bool models_decoder = false;
    uint32_t delay_bits = 0;
    if (bits_take(bits, 1)) { /* timing */
      bits_take(bits, 32);
      bits_take(bits, 32);
      if (bits_take(bits, 1)) {
        unsigned zeros = 0; /* a number in Exp-Golomb's code */
        while (!bits->over && zeros < 32 && !bits_take(bits, 1)) zeros++;
        bits_take(bits, zeros < 32 ? zeros : 0);
      }
      models_decoder = bits_take(bits, 1) != 0;
      if (models_decoder) {
        delay_bits = bits_take(bits, 5) + 1;
        bits_take(bits, 32);
        bits_take(bits, 10);
      }
    }
    bool has_delays = bits_take(bits, 1) != 0;
    for (uint32_t points = bits_take(bits, 5) + 1; points > 0 && !bits->over; points--) {
      bits_take(bits, 12);
      if (bits_take(bits, 5) > 7) bits_take(bits, 1); /* level and tier */
      if (models_decoder && bits_take(bits, 1)) {
        bits_take(bits, delay_bits);
        bits_take(bits, delay_bits);
        bits_take(bits, 1);
      }
      if (has_delays && bits_take(bits, 1)) bits_take(bits, 4);
    }
  }
  uint32_t width_bits = bits_take(bits, 4) + 1, height_bits = bits_take(bits, 4) + 1;
  uint32_t width = bits_take(bits, width_bits) + 1, height = bits_take(bits, height_bits) + 1;
  if (!bits->over && width <= UINT16_MAX && height <= UINT16_MAX) {
    picture->width = (uint16_t)width;
    picture->height = (uint16_t)height;
  }
}

/* A temporal unit that can be begun at has a sequence header (AV1 specification, 7.5). */
static inline struct picture look_at_av1(const uint8_t *data, size_t length) {
  struct picture picture = {false, 0, 0};
  for (size_t at = 0; at < length;) {
    unsigned type = data[at] >> 3 & 15;
    bool extended = (data[at] & 4) != 0, sized = (data[at] & 2) != 0;
    at += extended ? 2 : 1;
    uint64_t size = at < length ? length - at : 0;
    if (sized) { /* seven bits a byte, the lowest first */
      bool more = true;
      size = 0;
      for (unsigned shift = 0; more && shift < 56; shift += 7) {
        if (at >= length) return picture;
        size |= (uint64_t)(data[at] & 127) << shift;
        more = data[at++] >= 128;
      }
    }
    if (at > length || size > length - at) return picture;
    if (type == 1) {
      struct bits bits = {.data = data + at, .length = (size_t)size};
      picture.key = true;
      read_av1_sequence(&bits, &picture);
      return picture;
    }
    at += (size_t)size;
  }
  return picture;
}

/* An access unit that can be begun at has an IDR slice (ITU-T H.264, 7.4.1.2.4). */
static inline struct picture look_at_h264(const uint8_t *data, size_t length) {
  struct picture picture = {false, 0, 0};
  for (size_t at = 3; at < length && !picture.key; at++) {
    bool starts = data[at - 3] == 0 && data[at - 2] == 0 && data[at - 1] == 1;
    picture.key = starts && (data[at] & 31) == 5;
  }
  return picture;
}

static inline struct picture look_at(int32_t codec, const uint8_t *data, size_t length) {
  switch (codec) {
  case RTCSWARM_CODEC_VP8:
    return look_at_vp8(data, length);
  case RTCSWARM_CODEC_VP9:
    return look_at_vp9(data, length);
  case RTCSWARM_CODEC_AV1:
    return look_at_av1(data, length);
  case RTCSWARM_CODEC_H264:
    return look_at_h264(data, length);
  default: /* audio needs nothing before it */
    return (struct picture){.key = true};
  }
}

/* How many samples, at 48000 a second, one frame of an Opus packet has (RFC 6716, 3.1). */
static inline uint32_t opus_frame_samples(uint8_t first) {
  unsigned config = first >> 3;
  if (config >= 16) return 120u << (config & 3);
  if (config >= 12) return config & 1 ? 960 : 480;
  return (config & 3) == 3 ? 2880 : 480u << (config & 3);
}

/* Of the whole packet; 0 if it is none. */
static inline uint32_t opus_samples(const uint8_t *packet, size_t length) {
  static const uint8_t frames_of_code[] = {1, 2, 2};
  if (length == 0) return 0;
  unsigned code = packet[0] & 3, frames = 0;
  if (code < 3) frames = frames_of_code[code];
  else if (length > 1) frames = packet[1] & 63;
  uint32_t samples = frames * opus_frame_samples(packet[0]);
  return samples <= 5760 ? samples : 0; /* 120 ms are the longest */
}

#endif
