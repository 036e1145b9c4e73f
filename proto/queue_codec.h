/* SPDX-License-Identifier: MIT */
/*
 * Packets of the queues to checked records and back: what codec.h does for timerd's packets, and
 * the area of bytes after the records. Pure, as codec.h is.
 *
 * queue_codec_open() checks a packet as a whole, each record's place in the area included. After it
 * returned CODEC_OK, queue_codec_get() and queue_codec_bytes() stay within the packet. What a
 * record means by itself (a name, a key, a clock) is checked record by record, so that one bad
 * record is refused and its neighbours stand.
 */
#pragma once

#include "codec.h"
#include "queue.h"

/* A packet that was opened. */
struct queue_codec_packet {
	struct proto_header header; /* in the machine's byte order */
	const uint8_t *records, *area;
	size_t area_size;
};

/* Checks header, length, and that all records point into the area. O(records). ret: untouched
 * unless CODEC_OK is returned; points into the packet. */
enum codec_fault queue_codec_open(
	const void *packet, size_t size, enum codec_sender sender, struct queue_codec_packet *ret);

/* Copies record i, the struct of the packet's opcode, in the machine's byte order. The caller has
 * checked i < header.count. */
void queue_codec_get(const struct queue_codec_packet *p, uint32_t i, void *ret);

/* The bytes at an offset that a record of the packet gave. */
static inline const char *queue_codec_bytes(const struct queue_codec_packet *p, uint32_t offset)
{
	return (const char *)p->area + offset;
}

/* "put", "queue wake" …; "unknown" where there is none. */
const char *queue_codec_opcode_name(uint16_t opcode);

/* A packet being written. The caller owns the buffer, QUEUE_CODEC_BUFFER bytes, aligned to 8.
 * Records are gathered in its first half and the area in its second half; queue_codec_end() joins
 * them. */
#define QUEUE_CODEC_BUFFER (2 * PROTO_PACKET_MAX)

struct queue_codec_writer {
	uint8_t *buffer;
	const struct queue_codec_kind *kind;
	struct proto_header header;
	size_t area; /* bytes */
};

void queue_codec_begin(
	struct queue_codec_writer *w, void *buffer, uint16_t opcode, uint64_t serial);

/* Whether a further record with so many bytes in the area fits. */
bool queue_codec_fits(const struct queue_codec_writer *w, size_t bytes);

/* Appends bytes to the area. Return: their offset. The caller has checked queue_codec_fits(). */
uint32_t queue_codec_add_bytes(struct queue_codec_writer *w, const void *bytes, size_t size);

/* Appends a record, the struct of the packet's opcode. */
void queue_codec_put(struct queue_codec_writer *w, const void *record);

/* Finishes the packet. Return: its size in bytes. */
size_t queue_codec_end(struct queue_codec_writer *w, uint64_t cursor);

/*
 * Checks a record alone. Return: PROTO_OK, or the status that refuses the record. Only the daemon
 * can check whether a relative due passes the end of the clock. Instants and spans above INT64_MAX
 * are out of range, except PROTO_FOREVER as slack or max_late.
 */
uint32_t queue_codec_check_put(
	const struct queue_codec_packet *p, const struct proto_queue_put *put);
uint32_t queue_codec_check_reschedule(
	const struct queue_codec_packet *p, const struct proto_queue_reschedule *r);

/* Whether size bytes are the name of a queue. */
bool queue_codec_name_valid(const char *name, size_t size);

/* Whether size bytes can be a key. */
bool queue_codec_key_valid(const char *key, size_t size);
