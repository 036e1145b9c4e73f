/* SPDX-License-Identifier: MIT */
/*
 * The codec: reads and writes packets. It has no state, allocates nothing and does no I/O.
 *
 * Reading: codec_open() checks a packet's header and length once. After CODEC_OK, codec_get() of
 * any i < header.count stays within the packet.
 *
 * Writing: codec_begin(), then codec_add() or codec_put() for each record, then codec_end().
 *
 * One table in codec.c has the sender, the record size and the possible number of records of each
 * opcode. The codec uses no byte of a packet as an index before it has checked it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "proto.h"

/* The sender of a packet. */
enum codec_sender {
	CODEC_FROM_CLIENT = 1,
	CODEC_FROM_DAEMON = 2,
};

/* The faults of a packet as a whole. */
enum codec_fault {
	CODEC_OK = 0,
	CODEC_EMPTY, /* no bytes */
	CODEC_SHORT_HEADER,
	CODEC_OVERSIZE,
	CODEC_OPCODE,	   /* unknown, or this sender may not send it */
	CODEC_RECORD_SIZE, /* not the record size of the opcode */
	CODEC_COUNT,	   /* too few or too many records */
	CODEC_LENGTH,	   /* the length is not header + count * record_size */
	CODEC_SERIAL,	   /* 0 in a request or an answer, or not 0 in an event */
	CODEC_STATUS,	   /* not 0 in a request or an event */
	CODEC_AREA,	   /* a record points out of the packet: see queue_codec.h */
	CODEC_FAULTS,
};

/* A message for people. Never NULL, even for an unknown fault. */
const char *codec_fault_text(enum codec_fault fault);

/* The name of an opcode ("register", "wake"); "unknown" for an unknown opcode. */
const char *codec_opcode_name(uint16_t opcode);

/*
 * Checks a packet's header and length. O(1).
 *   packet: size bytes of any alignment; may be NULL if size is 0.
 *   ret_header: in the machine's byte order; unchanged unless CODEC_OK is returned.
 */
enum codec_fault codec_open(
	const void *packet, size_t size, enum codec_sender sender, struct proto_header *ret_header);

/* Whether the machine's byte order differs from that of the wire. */
static inline bool codec_big_endian(void)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

/* Converts a record of that opcode between the two byte orders, in place. */
void codec_swap_record(uint16_t opcode, void *record);

/*
 * Copies record i of a packet into ret, in the machine's byte order. codec_open() has accepted the
 * packet, and i < header->count. ret: the struct of the opcode. size: sizeof(*ret), which is equal
 * to header->record_size; it is an argument because the copy is faster if the compiler knows it.
 */
static inline void codec_get(
	const void *packet, const struct proto_header *header, uint32_t i, void *ret, size_t size)
{
	memcpy(ret, (const uint8_t *)packet + sizeof(*header) + i * size, size);
	if (codec_big_endian())
		codec_swap_record(header->opcode, ret);
}

/*
 * Check a record's flags, reserved bytes, clock, count and label. They do not check what depends on
 * the daemon's state: limits, capabilities, the time. O(1).
 */
enum proto_status codec_check_register(const struct proto_register *r);
enum proto_status codec_check_rearm(const struct proto_rearm *r);
enum proto_status codec_check_match(const struct proto_match *m);

/*
 * Whether a label is UTF-8 without control characters, padded with zeroes to `size` bytes. Control
 * characters (C0, DEL, C1) are refused because tools print labels on terminals.
 */
bool codec_label_valid(const char *label, size_t size);

/* A packet that is being written. The caller owns the buffer: PROTO_PACKET_MAX bytes, aligned to 8.
 * The sizes of header and records are multiples of 8, so all records are aligned. */
struct codec_writer {
	uint8_t *buffer;
	uint16_t most; /* the most records in a packet of this opcode */
	struct proto_header header;
};

/* Starts a packet in the buffer. */
void codec_begin(struct codec_writer *w, void *buffer, enum proto_opcode opcode, uint64_t serial);

/* Whether the packet can take no further record. */
bool codec_full(const struct codec_writer *w);

/*
 * Appends a record. The caller has checked codec_full(). size: of the struct of the opcode. Return:
 * the record, uninitialised; the caller fills it before codec_end().
 */
static inline void *codec_add(struct codec_writer *w, size_t size)
{
	return w->buffer + sizeof(w->header) + w->header.count++ * size;
}

/* Appends a copy of a record. For a new record codec_add() is faster, because a wide copy waits for
 * the narrow writes just before it. */
static inline void codec_put(struct codec_writer *w, const void *record, size_t size)
{
	memcpy(codec_add(w, size), record, size);
}

/* Finishes the packet and converts it to the byte order of the wire. Return: its size in bytes. */
size_t codec_end(struct codec_writer *w, uint64_t cursor);

/*
 * Reverses the bytes of each integer in a record, in place. layout: one character for each field. A
 * digit ('8', '4', '2', '1') is the width of an integer; a letter is a text of 1 ('a') to 26 ('z')
 * bytes, which does not change. Only big-endian machines need this; it is public for its test.
 */
void codec_swap(void *record, const char *layout);
