/* SPDX-License-Identifier: MIT */
/*
 * Packets to checked records and back. Pure: no descriptor, no clock, no allocation, no state.
 *
 * Reading: codec_open() looks at a packet's header and length once; after it returned CODEC_OK,
 * every codec_get(packet, i, …) with i < header.count lies within the packet. Writing:
 * codec_begin(), any number of codec_add() or codec_put(), codec_end().
 *
 * One table in codec.c says for each opcode who may send it, how wide its records are and how many
 * there may be. A byte from a peer is never asserted on and never indexes anything unchecked.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "proto.h"

/* Who wrote the packet that is read. */
enum codec_sender {
	CODEC_FROM_CLIENT = 1,
	CODEC_FROM_DAEMON = 2,
};

/* What is wrong with a packet as a whole. */
enum codec_fault {
	CODEC_OK = 0,
	CODEC_EMPTY, /* of length zero */
	CODEC_SHORT_HEADER,
	CODEC_OVERSIZE,
	CODEC_OPCODE,	   /* unknown, or not this sender's to send */
	CODEC_RECORD_SIZE, /* not that of the opcode */
	CODEC_COUNT,	   /* too few or too many records */
	CODEC_LENGTH,	   /* the packet is not header + count * record_size long */
	CODEC_SERIAL,	   /* 0 in a request or an answer, or not 0 in an event */
	CODEC_STATUS,	   /* not 0 in what is no answer */
	CODEC_AREA,	   /* a record points out of the packet: see queue_codec.h */
	CODEC_FAULTS,
};

/* A sentence for people, naming what was wrong. Never NULL, also for a fault that there is not. */
const char *codec_fault_text(enum codec_fault fault);

/* The name of an opcode ("register", "wake"), "unknown" where there is none. */
const char *codec_opcode_name(uint16_t opcode);

/*
 * Checks a packet's header and length. O(1).
 *   packet: size bytes, of any alignment; may be NULL where size is 0.
 *   ret_header: in the machine's byte order; untouched unless CODEC_OK is returned.
 */
enum codec_fault codec_open(
	const void *packet, size_t size, enum codec_sender sender, struct proto_header *ret_header);

/* Whether the machine's byte order is not the wire's. */
static inline bool codec_big_endian(void)
{
	return __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;
}

/* Converts a record of that opcode between the two byte orders, in place. */
void codec_swap_record(uint16_t opcode, void *record);

/*
 * Copies record i of an opened packet into ret, the struct of its opcode, in the machine's byte
 * order. The caller has checked i < header->count. size is that of the struct, which is
 * header->record_size: where the compiler knows it, this is some instructions and no call.
 */
static inline void codec_get(
	const void *packet, const struct proto_header *header, uint32_t i, void *ret, size_t size)
{
	memcpy(ret, (const uint8_t *)packet + sizeof(*header) + i * size, size);
	if (codec_big_endian())
		codec_swap_record(header->opcode, ret);
}

/*
 * Whether the record is one that can be meant: flags, reserved bytes, clock, count and label. What
 * depends on the daemon's state (limits, capabilities, the time) is not looked at. O(1).
 */
enum proto_status codec_check_register(const struct proto_register *r);
enum proto_status codec_check_rearm(const struct proto_rearm *r);
enum proto_status codec_check_match(const struct proto_match *m);

/*
 * Whether size bytes are UTF-8 without control characters, followed by nothing but zeroes. Control
 * characters (C0, DEL, C1) are refused because labels end up on administrators' terminals.
 */
bool codec_label_valid(const char *label, size_t size);

/* A packet being written. The caller owns the buffer, PROTO_PACKET_MAX bytes, aligned to 8 for
 * codec_add(): header and records are of multiples of 8 bytes. */
struct codec_writer {
	uint8_t *buffer;
	uint16_t most; /* records */
	struct proto_header header;
};

/* Starts a packet of that opcode in buffer. */
void codec_begin(struct codec_writer *w, void *buffer, enum proto_opcode opcode, uint64_t serial);

/* Whether no further record fits, or may be in a packet of this opcode. */
bool codec_full(const struct codec_writer *w);

/*
 * Appends a record of that size, the struct of the packet's opcode. Return: where it is to be
 * filled in before codec_end(), aligned as the buffer is; what is there before is anything. The
 * caller has checked codec_full().
 */
static inline void *codec_add(struct codec_writer *w, size_t size)
{
	return w->buffer + sizeof(w->header) + w->header.count++ * size;
}

/* The same for a record that the caller has. One that is made for this packet is better made in its
 * place: a copy in wide pieces waits for the narrow stores just before it. */
static inline void codec_put(struct codec_writer *w, const void *record, size_t size)
{
	memcpy(codec_add(w, size), record, size);
}

/* Finishes the packet, each record in the wire's byte order, and returns its size in bytes. */
size_t codec_end(struct codec_writer *w, uint64_t cursor);

/*
 * Converts a record between the machine's byte order and the other one, in place: layout is a
 * string of field widths ('8', '4', '2', '1') and of texts that stay (a letter, 'a' = 1 byte …
 * 'z'). Only big-endian machines need it; it is public for its test.
 */
void codec_swap(void *record, const char *layout);
