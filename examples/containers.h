/*
 * IVF files of video and Ogg files of Opus (RFC 3533, RFC 7845), as much of them as media_send.c and media_record.c need.
 * Files are untrusted: every length is checked against what there is.
 *
 * Functions that give a text have failed, and it says how; NULL is success.
 */
#ifndef CONTAINERS_H
#define CONTAINERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"

#define LARGEST_FRAME (4u << 20)
/* A page of Ogg at its largest; a packet of Opus fits into one. */
#define OGG_HEADER 27
#define OGG_SEGMENTS 255
#define OGG_BODY (OGG_SEGMENTS * 255)
#define OGG_PACKET (OGG_BODY - 255)
#define OPUS_RATE 48000

/* The end of a file, in order. */
static const char END_OF_FILE[] = "end of file";

static inline uint32_t read_le(const uint8_t *data, unsigned bytes) {
  uint32_t value = 0;
  while (bytes-- > 0) value = value << 8 | data[bytes];
  return value;
}

static inline void write_le(uint8_t *data, uint64_t value, unsigned bytes) {
  for (unsigned i = 0; i < bytes; i++) data[i] = (uint8_t)(value >> 8 * i);
}

/* ---------------------------------------------------------------------------------------------------- reading IVF */

struct ivf_reader {
  FILE *file;
  int32_t codec;
  uint32_t rate, scale; /* a unit of time is scale / rate seconds */
  long first;           /* where the frames begin */
  uint8_t *data;        /* the frame that was read */
  size_t length, room;
  uint64_t time;
  long at; /* where it begins */
};

static const struct {
  char name[5];
  int32_t codec;
} IVF_CODECS[] = {{"VP80", RTCSWARM_CODEC_VP8},
                  {"VP90", RTCSWARM_CODEC_VP9},
                  {"AV01", RTCSWARM_CODEC_AV1},
                  {"H264", RTCSWARM_CODEC_H264}};

static inline const char *ivf_open(struct ivf_reader *reader, const char *path) {
  uint8_t header[32];
  memset(reader, 0, sizeof *reader);
  reader->file = fopen(path, "rb");
  if (reader->file == NULL) return "cannot be opened";
  if (fread(header, 1, sizeof header, reader->file) != sizeof header || memcmp(header, "DKIF", 4) != 0) {
    return "is no IVF file";
  }
  for (size_t i = 0; i < sizeof IVF_CODECS / sizeof *IVF_CODECS; i++) {
    if (memcmp(header + 8, IVF_CODECS[i].name, 4) == 0) reader->codec = IVF_CODECS[i].codec;
  }
  if (reader->codec == 0) return "has no VP8, VP9, AV1 or H.264";
  reader->first = (long)read_le(header + 6, 2);
  reader->rate = read_le(header + 16, 4);
  reader->scale = read_le(header + 20, 4);
  /* A clock that is slower than a frame a minute, or faster than a nanosecond, is none. */
  if (reader->rate == 0 || reader->scale == 0 || reader->scale / reader->rate > 60 ||
      reader->rate / reader->scale > 1000000000) {
    return "has no sensible clock";
  }
  if (reader->first < 32 || fseek(reader->file, reader->first, SEEK_SET) != 0) return "has a header that is none";
  return NULL;
}

static inline const char *ivf_next(struct ivf_reader *reader) {
  uint8_t header[12];
  reader->at = ftell(reader->file);
  size_t got = fread(header, 1, sizeof header, reader->file);
  if (got == 0 && feof(reader->file)) return END_OF_FILE;
  if (got != sizeof header) return "ends in the middle of a frame's header";
  size_t length = read_le(header, 4);
  if (length == 0 || length > LARGEST_FRAME) return "has a frame of an impossible size";
  if (length > reader->room) {
    uint8_t *data = realloc(reader->data, length);
    if (data == NULL) return "has a frame that is too large for the memory";
    reader->data = data;
    reader->room = length;
  }
  if (fread(reader->data, 1, length, reader->file) != length) return "ends in the middle of a frame";
  reader->length = length;
  reader->time = read_le(header + 4, 4) | (uint64_t)read_le(header + 8, 4) << 32;
  return NULL;
}

/* Goes back to where a frame begins. */
static inline const char *ivf_seek(struct ivf_reader *reader, long at) {
  clearerr(reader->file);
  return fseek(reader->file, at, SEEK_SET) == 0 ? NULL : "cannot be rewound";
}

static inline void ivf_close(struct ivf_reader *reader) {
  if (reader->file != NULL) fclose(reader->file);
  free(reader->data);
  memset(reader, 0, sizeof *reader);
}

/* ---------------------------------------------------------------------------------------------------- writing IVF */

/* Times are those of RTP, from the first frame on. */
struct ivf_writer {
  FILE *file;
  int32_t codec;
  uint32_t frames, last, step; /* `step` to the last frame from the one before it */
  uint16_t width, height;
  uint64_t time;
};

static inline const char *ivf_header(struct ivf_writer *writer) {
  uint8_t header[32] = {'D', 'K', 'I', 'F', 0, 0, 32, 0};
  for (size_t i = 0; i < sizeof IVF_CODECS / sizeof *IVF_CODECS; i++) {
    if (IVF_CODECS[i].codec == writer->codec) memcpy(header + 8, IVF_CODECS[i].name, 4);
  }
  write_le(header + 12, writer->width, 2);
  write_le(header + 14, writer->height, 2);
  write_le(header + 16, 90000, 4);
  write_le(header + 20, 1, 4);
  /* The length in units of the clock, which is the number of frames where each has one unit: ffmpeg reads it so. */
  write_le(header + 24, writer->time + writer->step, 4);
  return fwrite(header, sizeof header, 1, writer->file) == 1 ? NULL : "cannot be written";
}

static inline const char *ivf_create(struct ivf_writer *writer, const char *path, int32_t codec) {
  memset(writer, 0, sizeof *writer);
  writer->codec = codec;
  writer->file = fopen(path, "wb");
  return writer->file == NULL ? "cannot be created" : ivf_header(writer);
}

static inline const char *ivf_write(struct ivf_writer *writer, const uint8_t *data, size_t length, uint32_t rtp_time) {
  static const uint8_t temporal_delimiter[2] = {0x12, 0};
  /* A temporal unit begins with a delimiter in files, and need not on the wire. */
  bool delimit = writer->codec == RTCSWARM_CODEC_AV1 && length > 0 && (data[0] >> 3 & 15) != 2;
  size_t extra = delimit ? sizeof temporal_delimiter : 0;
  uint8_t header[12];
  if (writer->width == 0) {
    struct picture picture = look_at(writer->codec, data, length);
    writer->width = picture.width;
    writer->height = picture.height;
  }
  /* A clock that was set back goes on with a thirtieth of a second. */
  uint32_t step = rtp_time - writer->last;
  writer->step = writer->frames > 0 && step > 0 && step <= INT32_MAX ? step : 3000;
  if (writer->frames > 0) writer->time += writer->step;
  writer->last = rtp_time;
  writer->frames++;
  write_le(header, length + extra, 4);
  write_le(header + 4, writer->time, 8);
  bool wrote = fwrite(header, sizeof header, 1, writer->file) == 1 &&
               fwrite(temporal_delimiter, 1, extra, writer->file) == extra &&
               fwrite(data, 1, length, writer->file) == length;
  return wrote ? NULL : "cannot be written";
}

/* Completes the header: only now it is known how long it is, and how large a picture. */
static inline const char *ivf_finish(struct ivf_writer *writer) {
  const char *failure = fseek(writer->file, 0, SEEK_SET) == 0 ? ivf_header(writer) : "cannot be rewound";
  if (fclose(writer->file) != 0 && failure == NULL) failure = "cannot be written";
  writer->file = NULL;
  return failure;
}

/* ---------------------------------------------------------------------------------------------------- Ogg's pages */

/* The checksum of RFC 3533, 6: without reflection, which is not the one of zlib. */
static inline uint32_t ogg_checksum(uint32_t sum, const uint8_t *data, size_t length) {
  for (size_t i = 0; i < length; i++) {
    sum ^= (uint32_t)data[i] << 24;
    for (int bit = 0; bit < 8; bit++) sum = sum << 1 ^ (sum >> 31 ? 0x04c11db7u : 0);
  }
  return sum;
}

enum { OGG_CONTINUED = 1, OGG_FIRST = 2, OGG_LAST = 4 };

struct ogg_page {
  uint8_t header[OGG_HEADER], lacing[OGG_SEGMENTS], body[OGG_BODY];
  size_t segments, length;
};

static inline uint32_t ogg_page_checksum(const struct ogg_page *page) {
  uint8_t header[OGG_HEADER];
  memcpy(header, page->header, sizeof header);
  memset(header + 22, 0, 4);
  uint32_t sum = ogg_checksum(0, header, sizeof header);
  return ogg_checksum(ogg_checksum(sum, page->lacing, page->segments), page->body, page->length);
}

static inline const char *ogg_read_page(struct ogg_page *page, FILE *file) {
  size_t got = fread(page->header, 1, OGG_HEADER, file);
  if (got == 0 && feof(file)) return END_OF_FILE;
  if (got != OGG_HEADER || memcmp(page->header, "OggS\0", 5) != 0) return "has a page that is none";
  page->segments = page->header[26];
  page->length = 0;
  if (fread(page->lacing, 1, page->segments, file) != page->segments) return "ends in the middle of a page";
  for (size_t i = 0; i < page->segments; i++) page->length += page->lacing[i];
  if (fread(page->body, 1, page->length, file) != page->length) return "ends in the middle of a page";
  if (ogg_page_checksum(page) != read_le(page->header + 22, 4)) return "has a page with a wrong checksum";
  return NULL;
}

/* ----------------------------------------------------------------------------------------------- reading Ogg Opus */

struct ogg_reader {
  FILE *file;
  uint32_t serial; /* of the stream that is Opus; others are passed over */
  bool found;
  struct ogg_page page;
  size_t segment, at; /* how far the page is read */
  bool skips;         /* the rest of a packet whose beginning is not there */
  uint8_t packet[OGG_PACKET];
  size_t length;
  unsigned channels;
  long first; /* where the pages with sound begin */
};

/* The next packet of the stream, of any length: no more of it is kept than fits. */
static inline const char *ogg_next_packet(struct ogg_reader *reader) {
  reader->length = 0;
  for (;;) {
    while (reader->segment < reader->page.segments) {
      size_t part = reader->page.lacing[reader->segment++];
      size_t fits = OGG_PACKET - reader->length;
      if (fits > part) fits = part;
      memcpy(reader->packet + reader->length, reader->page.body + reader->at, fits);
      reader->length += fits;
      reader->at += part;
      if (part == 255) continue; /* there is more of it */
      bool skipped = reader->skips;
      reader->skips = false;
      if (!skipped) return NULL;
      reader->length = 0;
    }
    const char *failure = ogg_read_page(&reader->page, reader->file);
    if (failure != NULL) return failure;
    uint32_t serial = read_le(reader->page.header + 14, 4);
    bool first = (reader->page.header[5] & OGG_FIRST) != 0, continued = (reader->page.header[5] & OGG_CONTINUED) != 0;
    if (!reader->found && first && reader->page.length >= 8 && memcmp(reader->page.body, "OpusHead", 8) == 0) {
      reader->found = true;
      reader->serial = serial;
    }
    reader->at = 0;
    reader->segment = reader->found && serial == reader->serial ? 0 : reader->page.segments;
    if (reader->segment == 0) {
      if (continued && reader->length == 0) reader->skips = true;
      if (!continued) reader->length = 0;
    }
  }
}

static inline const char *ogg_open(struct ogg_reader *reader, const char *path) {
  memset(reader, 0, sizeof *reader);
  reader->file = fopen(path, "rb");
  if (reader->file == NULL) return "cannot be opened";
  const char *failure = ogg_next_packet(reader);
  if (failure == END_OF_FILE) return "has no Opus";
  if (failure != NULL) return failure;
  /* RFC 7845, 5.1: version, channels, mapping. WebRTC has one or two channels. */
  if (reader->length < 19 || reader->packet[8] > 15) return "has a header of Opus that is none";
  reader->channels = reader->packet[9];
  if (reader->packet[18] != 0 || reader->channels < 1 || reader->channels > 2) return "has more than two channels";
  failure = ogg_next_packet(reader);
  if (failure == NULL && (reader->length < 8 || memcmp(reader->packet, "OpusTags", 8) != 0)) return "has no tags of Opus";
  if (failure != NULL) return failure == END_OF_FILE ? "has no sound" : failure;
  /* The sound begins on a page of its own. */
  reader->segment = reader->page.segments;
  reader->first = ftell(reader->file);
  return NULL;
}

/* The next packet of Opus. */
static inline const char *ogg_next(struct ogg_reader *reader) {
  const char *failure = ogg_next_packet(reader);
  if (failure != NULL) return failure;
  return opus_samples(reader->packet, reader->length) > 0 ? NULL : "has a packet that is not Opus";
}

static inline const char *ogg_rewind(struct ogg_reader *reader) {
  reader->segment = reader->page.segments;
  reader->length = 0;
  reader->skips = false;
  clearerr(reader->file);
  return fseek(reader->file, reader->first, SEEK_SET) == 0 ? NULL : "cannot be rewound";
}

static inline void ogg_close(struct ogg_reader *reader) {
  if (reader->file != NULL) fclose(reader->file);
  reader->file = NULL;
}

/* ----------------------------------------------------------------------------------------------- writing Ogg Opus */

struct ogg_writer {
  FILE *file;
  struct ogg_page page; /* not written yet: the last one is marked as such */
  uint32_t serial, sequence;
  uint64_t samples, written; /* in all, and when the page before ended */
  uint64_t packets;
  uint32_t next; /* the RTP time at which sound is expected */
  uint8_t toc;   /* the first byte of the packet before */
};

static inline const char *ogg_flush(struct ogg_writer *writer, uint8_t flags) {
  struct ogg_page *page = &writer->page;
  memset(page->header, 0, OGG_HEADER);
  memcpy(page->header, "OggS", 4);
  page->header[5] = flags;
  write_le(page->header + 6, writer->samples, 8); /* at the end of the last packet that ends here */
  write_le(page->header + 14, writer->serial, 4);
  write_le(page->header + 18, writer->sequence++, 4);
  page->header[26] = (uint8_t)page->segments;
  write_le(page->header + 22, ogg_page_checksum(page), 4);
  bool wrote = fwrite(page->header, OGG_HEADER, 1, writer->file) == 1 &&
               fwrite(page->lacing, 1, page->segments, writer->file) == page->segments &&
               fwrite(page->body, 1, page->length, writer->file) == page->length;
  page->segments = page->length = 0;
  writer->written = writer->samples;
  return wrote ? NULL : "cannot be written";
}

/* Onto the page; it must have the room. */
static inline void ogg_put(struct ogg_writer *writer, const uint8_t *packet, size_t length) {
  struct ogg_page *page = &writer->page;
  memcpy(page->body + page->length, packet, length);
  page->length += length;
  for (size_t left = length; left >= 255; left -= 255) page->lacing[page->segments++] = 255;
  page->lacing[page->segments++] = (uint8_t)(length % 255);
}

static inline const char *ogg_create(struct ogg_writer *writer, const char *path, uint32_t serial) {
  /* Two channels and no gain. Whoever begins in the middle of a stream lets the decoder settle for 80 ms (RFC 7845, 4.2). */
  static const uint8_t head[19] = {'O', 'p', 'u', 's', 'H', 'e', 'a', 'd', 1, 2, 3840 & 255, 3840 >> 8, 0x80, 0xbb};
  static const uint8_t tags[24] = "OpusTags\x08\0\0\0rtcswarm"; /* who wrote it, and no comments */
  memset(writer, 0, sizeof *writer);
  writer->serial = serial;
  writer->file = fopen(path, "wb");
  if (writer->file == NULL) return "cannot be created";
  ogg_put(writer, head, sizeof head);
  const char *failure = ogg_flush(writer, OGG_FIRST);
  if (failure != NULL) return failure;
  ogg_put(writer, tags, sizeof tags);
  return ogg_flush(writer, 0);
}

static inline const char *ogg_append(struct ogg_writer *writer, const uint8_t *packet, size_t length) {
  const char *failure = NULL;
  bool full = writer->page.segments + length / 255 + 1 > OGG_SEGMENTS;
  if (full || writer->samples - writer->written >= OPUS_RATE) failure = ogg_flush(writer, 0); /* a page has a second at most */
  ogg_put(writer, packet, length);
  writer->samples += opus_samples(packet, length);
  return failure;
}

/*
 * What is missing (lost, or not sent while the track was muted) is replaced by packets without content, for which a decoder
 * thinks of something: the position in the file may only grow by what its packets have (RFC 7845, 4.1).
 */
static inline const char *ogg_conceal(struct ogg_writer *writer, uint32_t samples) {
  const char *failure = NULL;
  uint32_t of_frame = opus_frame_samples(writer->toc);
  uint8_t like_before[1] = {(uint8_t)(writer->toc & ~3)};
  while (samples >= of_frame && failure == NULL) {
    failure = ogg_append(writer, like_before, 1);
    samples -= of_frame;
  }
  /* The rest in frames of 2.5 ms. */
  uint8_t rest[2] = {(uint8_t)(16 << 3 | (writer->toc & 4) | 3), (uint8_t)(samples / 120)};
  if (rest[1] > 0 && failure == NULL) failure = ogg_append(writer, rest, 2);
  return failure;
}

static inline const char *ogg_write(struct ogg_writer *writer, const uint8_t *packet, size_t length, uint32_t rtp_time) {
  uint32_t samples = opus_samples(packet, length);
  if (samples == 0 || length > OGG_PACKET) return NULL; /* it is no Opus, and missing */
  uint32_t gap = rtp_time - writer->next;
  const char *failure = NULL;
  /* More than an hour, or less than nothing: the sender's clock was set, and what comes is what comes next. */
  if (writer->packets > 0 && gap < 3600u * OPUS_RATE) failure = ogg_conceal(writer, gap);
  if (failure != NULL) return failure;
  writer->next = rtp_time + samples;
  writer->toc = packet[0];
  writer->packets++;
  return ogg_append(writer, packet, length);
}

static inline const char *ogg_finish(struct ogg_writer *writer) {
  const char *failure = ogg_flush(writer, OGG_LAST);
  if (fclose(writer->file) != 0 && failure == NULL) failure = "cannot be written";
  writer->file = NULL;
  return failure;
}

#endif
