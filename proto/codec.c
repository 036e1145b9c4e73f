/* SPDX-License-Identifier: MIT */
/*
 * The table of packets, and the functions that use it. The layout strings repeat the structs of
 * proto.h; a test compares the two.
 */
#include "codec.h"

#include <string.h>

/* One kind of packet. */
struct kind {
	uint16_t opcode;
	uint16_t record_size;
	uint16_t least, most; /* number of records */
	uint8_t sender;	      /* enum codec_sender */
	const char *layout;   /* see codec_swap() */
	const char *name;
};

#define KIND(op, who, type, min, max, text, fields)                                         \
	{                                                                                   \
		.opcode = (op), .record_size = sizeof(type), .least = (min), .most = (max), \
		.sender = (who), .layout = (fields), .name = (text)                         \
	}
#define BATCH(op, who, type, text, fields) \
	KIND(op, who, type, 1, PROTO_RECORDS_MAX(type), text, fields)

static const struct kind kinds[] = {
	/* The most frequent requests come first, because a lookup reads from the start. */
	BATCH(PROTO_REGISTER, CODEC_FROM_CLIENT, struct proto_register, "register", "88884112x"),
	/* As many as one answer can hold: its records are larger. */
	KIND(PROTO_CANCEL, CODEC_FROM_CLIENT, struct proto_cancel, 1,
		PROTO_RECORDS_MAX(struct proto_cancel_answer), "cancel", "8"),
	BATCH(PROTO_REARM, CODEC_FROM_CLIENT, struct proto_rearm, "rearm", "88884d"),
	KIND(PROTO_LIST, CODEC_FROM_CLIENT, struct proto_list, 1, 1, "list", "44"),
	KIND(PROTO_CANCEL_MATCHING, CODEC_FROM_CLIENT, struct proto_match, 1, 1, "cancel matching",
		"44x"),
	KIND(PROTO_LIST_MATCHING, CODEC_FROM_CLIENT, struct proto_match, 1, 1, "list matching",
		"44x"),
	{PROTO_STATUS, 0, 0, 0, CODEC_FROM_CLIENT, "", "status"},
	KIND(PROTO_HELLO, CODEC_FROM_CLIENT, struct proto_hello, 1, 1, "hello", "4228"),

	BATCH(PROTO_REGISTER | PROTO_ANSWER, CODEC_FROM_DAEMON, struct proto_registered,
		"register answer", "8844"),
	BATCH(PROTO_WAKE, CODEC_FROM_DAEMON, struct proto_wake, "wake", "8888844"),
	BATCH(PROTO_CANCEL | PROTO_ANSWER, CODEC_FROM_DAEMON, struct proto_cancel_answer,
		"cancel answer", "844"),
	BATCH(PROTO_REARM | PROTO_ANSWER, CODEC_FROM_DAEMON, struct proto_registered,
		"rearm answer", "8844"),
	KIND(PROTO_LIST | PROTO_ANSWER, CODEC_FROM_DAEMON, struct proto_listed, 0,
		PROTO_RECORDS_MAX(struct proto_listed), "list answer", "888888444411fpx"),
	KIND(PROTO_CANCEL_MATCHING | PROTO_ANSWER, CODEC_FROM_DAEMON, struct proto_cancelled, 0,
		PROTO_RECORDS_MAX(struct proto_cancelled), "cancel matching answer", "88"),
	KIND(PROTO_LIST_MATCHING | PROTO_ANSWER, CODEC_FROM_DAEMON, struct proto_listed, 0,
		PROTO_RECORDS_MAX(struct proto_listed), "list matching answer", "888888444411fpx"),
	KIND(PROTO_STATUS | PROTO_ANSWER, CODEC_FROM_DAEMON, struct proto_status_answer, 1, 1,
		"status answer", "x888888888888888844"),
	KIND(PROTO_HELLO | PROTO_ANSWER, CODEC_FROM_DAEMON, struct proto_hello_answer, 1, 1,
		"hello answer", "4228844"),
	BATCH(PROTO_CANCELLED, CODEC_FROM_DAEMON, struct proto_cancelled, "cancelled", "88"),
	KIND(PROTO_GOING_AWAY, CODEC_FROM_DAEMON, struct proto_going_away, 1, 1, "going away",
		"44"),
	KIND(PROTO_ERROR, CODEC_FROM_DAEMON, struct proto_error, 1, 1, "error", "448zzzz"),
	KIND(PROTO_RESUMED, CODEC_FROM_DAEMON, struct proto_resumed, 1, 1, "resumed", "8"),
	{PROTO_CLOCK_SET, 0, 0, 0, CODEC_FROM_DAEMON, "", "clock set"},
};

static_assert(PROTO_ERROR_TEXT_MAX == 4 * 26, "zzzz in the table");

/* One packet can hold the answers to all records of a request. */
static_assert(sizeof(struct proto_registered) <= sizeof(struct proto_register), "one packet");
static_assert(sizeof(struct proto_registered) <= sizeof(struct proto_rearm), "one packet");

static const char header_layout[] = "222288";

static const struct kind *kind_find(uint16_t opcode)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].opcode == opcode)
			return &kinds[i];
	return NULL;
}

const char *codec_fault_text(enum codec_fault fault)
{
	static const char *const texts[CODEC_FAULTS] = {
		[CODEC_OK] = "the packet is well-formed",
		[CODEC_EMPTY] = "the packet is empty",
		[CODEC_SHORT_HEADER] = "the packet is shorter than a header",
		[CODEC_OVERSIZE] = "the packet is longer than 65536 bytes",
		[CODEC_OPCODE] = "opcode: unknown, or this peer may not send it",
		[CODEC_RECORD_SIZE] = "record_size: not the record size of the opcode",
		[CODEC_COUNT] = "count: too few or too many records for the opcode",
		[CODEC_LENGTH] = "the packet's length is not header + count * record_size",
		[CODEC_SERIAL] =
			"serial: must not be 0 in a request or answer, must be 0 in an event",
		[CODEC_STATUS] = "status: must be 0 in a request or event",
		[CODEC_AREA] = "a record points out of the packet's area of bytes",
	};

	if (fault < 0 || fault >= CODEC_FAULTS)
		return "unknown fault";
	return texts[fault];
}

const char *codec_opcode_name(uint16_t opcode)
{
	const struct kind *kind = kind_find(opcode);

	return kind ? kind->name : "unknown";
}

void codec_swap(void *record, const char *layout)
{
	uint8_t *p = record;

	for (; *layout; layout++) {
		size_t width = (size_t)(*layout - '0');

		if (*layout >= 'a') {
			p += *layout - 'a' + 1;
			continue;
		}
		for (size_t i = 0; i < width / 2; i++) {
			uint8_t byte = p[i];

			p[i] = p[width - 1 - i];
			p[width - 1 - i] = byte;
		}
		p += width;
	}
}

enum codec_fault codec_open(
	const void *packet, size_t size, enum codec_sender sender, struct proto_header *ret_header)
{
	const struct kind *kind;
	struct proto_header h;

	if (size == 0)
		return CODEC_EMPTY;
	if (size < sizeof(h))
		return CODEC_SHORT_HEADER;
	if (size > PROTO_PACKET_MAX)
		return CODEC_OVERSIZE;
	memcpy(&h, packet, sizeof(h));
	if (codec_big_endian())
		codec_swap(&h, header_layout);

	kind = kind_find(h.opcode);
	if (!kind || kind->sender != sender)
		return CODEC_OPCODE;
	if (h.record_size != kind->record_size)
		return CODEC_RECORD_SIZE;
	if (h.count < kind->least || h.count > kind->most)
		return CODEC_COUNT;
	/* count is at most kind->most, so the product stays far below 2^32. */
	if (size != sizeof(h) + (size_t)h.count * h.record_size)
		return CODEC_LENGTH;
	if ((h.serial == 0) != (h.opcode >= PROTO_WAKE))
		return CODEC_SERIAL;
	if (h.status && !(h.opcode & PROTO_ANSWER))
		return CODEC_STATUS;
	*ret_header = h;
	return CODEC_OK;
}

void codec_swap_record(uint16_t opcode, void *record)
{
	codec_swap(record, kind_find(opcode)->layout);
}

/* The length of the printable UTF-8 character at s, which has at most `size` bytes; 0: there is no
 * such character. The ranges are those of RFC 3629, section 4. */
static size_t utf8_character(const uint8_t *s, size_t size)
{
	uint32_t c;
	size_t n;

	if (s[0] < 0x80)
		return s[0] >= 0x20 && s[0] != 0x7f;
	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		n = 2;
	else if ((s[0] & 0xf0) == 0xe0)
		n = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (n > size)
		return 0;
	c = s[0] & (0x7fu >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3fu);
	}
	if (n == 2 && c < 0xa0) /* C1 controls */
		return 0;
	if (n == 3 && (c < 0x800 || (c >= 0xd800 && c <= 0xdfff)))
		return 0;
	if (n == 4 && (c < 0x10000 || c > 0x10ffff))
		return 0;
	/* A character that changes the direction of text can make a label look like another one
	 * (UAX #9). U+2028 and U+2029 break a line. */
	if ((c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069) || c == 0x2028 ||
		c == 0x2029)
		return 0;
	return n;
}

bool codec_label_valid(const char *label, size_t size)
{
	const uint8_t *s = (const uint8_t *)label;
	size_t i = 0;

	while (i < size && s[i]) {
		size_t n = utf8_character(s + i, size - i);

		if (n == 0)
			return false;
		i += n;
	}
	for (; i < size; i++)
		if (s[i])
			return false;
	return true;
}

/* Most timers have no label. This is decided here without a call, which saves 4 % of adding a timer
 * (tests/bench/README.md). */
static inline bool label_accepted(const char label[static PROTO_LABEL_MAX])
{
	static const char none[PROTO_LABEL_MAX];

	return !memcmp(label, none, PROTO_LABEL_MAX) || codec_label_valid(label, PROTO_LABEL_MAX);
}

static enum proto_status check_times(uint64_t due, uint64_t every, uint32_t count)
{
	if (due == PROTO_FOREVER)
		return PROTO_E_RANGE;
	if (every == 0 && count > 1)
		return PROTO_E_COUNT;
	return PROTO_OK;
}

/* Checks the flags that few timers have. */
static enum proto_status check_rare_flags(const struct proto_register *r)
{
	if (r->flags & ~(PROTO_RELATIVE | PROTO_WAKE_SYSTEM | PROTO_TELL_CLOCK_SET) || r->reserved)
		return PROTO_E_FLAGS;
	if (r->flags & PROTO_WAKE_SYSTEM && r->clock == PROTO_CLOCK_MONOTONIC)
		return PROTO_E_WAKE_CLOCK;
	if (r->flags & PROTO_TELL_CLOCK_SET && r->clock != PROTO_CLOCK_REALTIME)
		return PROTO_E_SET_CLOCK;
	return PROTO_OK;
}

enum proto_status codec_check_register(const struct proto_register *r)
{
	if (r->clock >= PROTO_CLOCKS)
		return PROTO_E_CLOCK;
	if ((r->flags & ~PROTO_RELATIVE) | r->reserved) {
		enum proto_status status = check_rare_flags(r);

		if (status)
			return status;
	}
	if (!label_accepted(r->label))
		return PROTO_E_LABEL;
	return check_times(r->due, r->every, r->count);
}

enum proto_status codec_check_rearm(const struct proto_rearm *r)
{
	if (r->flags & ~PROTO_RELATIVE || r->reserved[0] || r->reserved[1] || r->reserved[2])
		return PROTO_E_FLAGS;
	return check_times(r->due, r->every, r->count);
}

enum proto_status codec_check_match(const struct proto_match *m)
{
	const uint32_t known = PROTO_MATCH_USER | PROTO_MATCH_LABEL | PROTO_MATCH_EVERYBODY;

	if (m->flags & ~known || (m->flags & PROTO_MATCH_USER && m->flags & PROTO_MATCH_EVERYBODY))
		return PROTO_E_FLAGS;
	if (m->uid && !(m->flags & PROTO_MATCH_USER))
		return PROTO_E_FLAGS;
	if (m->label[0] && !(m->flags & PROTO_MATCH_LABEL))
		return PROTO_E_FLAGS;
	return codec_label_valid(m->label, sizeof(m->label)) ? PROTO_OK : PROTO_E_LABEL;
}

void codec_begin(struct codec_writer *w, void *buffer, enum proto_opcode opcode, uint64_t serial)
{
	const struct kind *kind = kind_find((uint16_t)opcode);

	w->buffer = buffer;
	w->most = kind->most;
	w->header = (struct proto_header){
		.opcode = (uint16_t)opcode,
		.record_size = kind->record_size,
		.serial = serial,
	};
}

bool codec_full(const struct codec_writer *w)
{
	return w->header.count >= w->most;
}

size_t codec_end(struct codec_writer *w, uint64_t cursor)
{
	size_t size = sizeof(w->header) + (size_t)w->header.count * w->header.record_size;

	w->header.cursor = cursor;
	memcpy(w->buffer, &w->header, sizeof(w->header));
	if (codec_big_endian()) {
		codec_swap(w->buffer, header_layout);
		for (size_t at = sizeof(w->header); at < size; at += w->header.record_size)
			codec_swap_record(w->header.opcode, w->buffer + at);
	}
	return size;
}
