/* SPDX-License-Identifier: MIT */
/*
 * The table of the queues' packets, and the functions that read it. It says for each opcode who may
 * send it, how wide its records are, how many there may be, and where a record points into the
 * area.
 */
#include "queue_codec.h"

#include <string.h>

/* Where a record says what it has in the area: an offset of 4 bytes, and a size of 2 and one of 4
 * bytes, which are next to each other in the record. */
struct reference {
	uint8_t offset, size2, size4; /* positions in the record; 0: no such field */
};

struct queue_codec_kind {
	uint16_t opcode, record_size;
	uint16_t least, most;
	uint8_t sender;
	struct reference references[2];
	const char *layout; /* as codec_swap() takes it */
	const char *name;
};

#define RECORDS_MAX(type, answer)                                                      \
	(PROTO_RECORDS_MAX(type) < PROTO_RECORDS_MAX(answer) ? PROTO_RECORDS_MAX(type) \
							     : PROTO_RECORDS_MAX(answer))
#define AT(type, field) offsetof(struct type, field)

static const struct queue_codec_kind kinds[] = {
	{PROTO_QUEUE_PUT, sizeof(struct proto_queue_put), 1,
		RECORDS_MAX(struct proto_queue_put, struct proto_queue_stored), CODEC_FROM_CLIENT,
		{{AT(proto_queue_put, data), AT(proto_queue_put, key_size),
			AT(proto_queue_put, payload_size)}},
		"8888444112"
		"44x",
		"put"},
	{PROTO_QUEUE_ACK, sizeof(struct proto_queue_ack), 1,
		PROTO_RECORDS_MAX(struct proto_queue_ack), CODEC_FROM_CLIENT, {{0}}, "8844",
		"acknowledge"},
	{PROTO_QUEUE_HELLO, sizeof(struct proto_queue_hello), 1, 1, CODEC_FROM_CLIENT, {{0}},
		"4228p8", "queue hello"},
	{PROTO_QUEUE_OPEN, sizeof(struct proto_queue_open), 1,
		PROTO_RECORDS_MAX(struct proto_queue_open), CODEC_FROM_CLIENT,
		{{AT(proto_queue_open, name), AT(proto_queue_open, name_size), 0}}, "42244",
		"open"},
	{PROTO_QUEUE_CANCEL, sizeof(struct proto_queue_cancel), 1,
		PROTO_RECORDS_MAX(struct proto_queue_cancel), CODEC_FROM_CLIENT,
		{{AT(proto_queue_cancel, key), AT(proto_queue_cancel, key_size), 0}}, "8442f",
		"queue cancel"},
	{PROTO_QUEUE_RESCHEDULE, sizeof(struct proto_queue_reschedule), 1,
		PROTO_RECORDS_MAX(struct proto_queue_reschedule), CODEC_FROM_CLIENT,
		{{AT(proto_queue_reschedule, key), AT(proto_queue_reschedule, key_size), 0}},
		"8888444211", "reschedule"},
	{PROTO_QUEUE_CONSUME, sizeof(struct proto_queue_consume), 1, 1, CODEC_FROM_CLIENT, {{0}},
		"44448", "consume"},
	{PROTO_QUEUE_DETACH, sizeof(struct proto_queue_detach), 1, 1, CODEC_FROM_CLIENT, {{0}},
		"44", "detach"},
	{PROTO_QUEUE_RETRY, sizeof(struct proto_queue_retry), 1,
		PROTO_RECORDS_MAX(struct proto_queue_retry), CODEC_FROM_CLIENT, {{0}}, "88844",
		"retry"},
	{PROTO_QUEUE_REVIVE, sizeof(struct proto_queue_revive), 1,
		PROTO_RECORDS_MAX(struct proto_queue_revive), CODEC_FROM_CLIENT, {{0}}, "844",
		"revive"},
	{PROTO_QUEUE_PURGE, sizeof(struct proto_queue_list), 1, 1, CODEC_FROM_CLIENT, {{0}}, "44",
		"purge"},
	{PROTO_QUEUE_LIST, sizeof(struct proto_queue_list), 1, 1, CODEC_FROM_CLIENT, {{0}}, "44",
		"queue list"},
	{PROTO_QUEUE_QUEUES, sizeof(struct proto_queue_queues), 1, 1, CODEC_FROM_CLIENT, {{0}},
		"44", "queues"},
	{PROTO_QUEUE_STATUS, 0, 0, 0, CODEC_FROM_CLIENT, {{0}}, "", "queue status"},

#define ANSWER(op, type, min, max, fields, text)                                                   \
	{                                                                                          \
		PROTO_QUEUE_##op | PROTO_ANSWER, sizeof(struct type), min, max, CODEC_FROM_DAEMON, \
			{{0}}, fields, text                                                        \
	}
	ANSWER(HELLO, proto_queue_hello_answer, 1, 1, "4228844", "queue hello answer"),
	ANSWER(OPEN, proto_queue_opened, 1, PROTO_RECORDS_MAX(struct proto_queue_open), "44",
		"open answer"),
	ANSWER(PUT, proto_queue_stored, 1, PROTO_RECORDS_MAX(struct proto_queue_stored), "8844",
		"put answer"),
	ANSWER(RESCHEDULE, proto_queue_stored, 1, PROTO_RECORDS_MAX(struct proto_queue_stored),
		"8844", "reschedule answer"),
	ANSWER(CANCEL, proto_queue_done, 1, PROTO_RECORDS_MAX(struct proto_queue_done), "844",
		"queue cancel answer"),
	ANSWER(CONSUME, proto_queue_done, 1, 1, "844", "consume answer"),
	ANSWER(DETACH, proto_queue_done, 1, 1, "844", "detach answer"),
	ANSWER(ACK, proto_queue_done, 1, PROTO_RECORDS_MAX(struct proto_queue_done), "844",
		"acknowledge answer"),
	ANSWER(RETRY, proto_queue_done, 1, PROTO_RECORDS_MAX(struct proto_queue_done), "844",
		"retry answer"),
	ANSWER(REVIVE, proto_queue_done, 1, PROTO_RECORDS_MAX(struct proto_queue_done), "844",
		"revive answer"),
	ANSWER(PURGE, proto_queue_done, 1, 1, "844", "purge answer"),
	ANSWER(STATUS, proto_queue_status_answer, 1, 1, "x88888888888884488",
		"queue status answer"),
	{PROTO_QUEUE_LIST | PROTO_ANSWER, sizeof(struct proto_queue_listed), 0,
		PROTO_RECORDS_MAX(struct proto_queue_listed), CODEC_FROM_DAEMON,
		{{AT(proto_queue_listed, key), AT(proto_queue_listed, key_size), 0}},
		"88888444442jx", "queue list answer"},
	{PROTO_QUEUE_QUEUES | PROTO_ANSWER, sizeof(struct proto_queue_info), 0,
		PROTO_RECORDS_MAX(struct proto_queue_info), CODEC_FROM_DAEMON,
		{{AT(proto_queue_info, name), AT(proto_queue_info, name_size), 0},
			{AT(proto_queue_info, host), AT(proto_queue_info, host_size), 0}},
		"8888888844224", "queues answer"},
	{PROTO_QUEUE_WAKE, sizeof(struct proto_queue_wake), 1,
		PROTO_RECORDS_MAX(struct proto_queue_wake), CODEC_FROM_DAEMON,
		{{AT(proto_queue_wake, data), AT(proto_queue_wake, key_size),
			AT(proto_queue_wake, payload_size)}},
		"888884444"
		"4211x",
		"queue wake"},
	{PROTO_QUEUE_LOST, sizeof(struct proto_queue_lost), 1, 1, CODEC_FROM_DAEMON, {{0}}, "44",
		"queue lost"},
	{PROTO_GOING_AWAY, sizeof(struct proto_going_away), 1, 1, CODEC_FROM_DAEMON, {{0}}, "44",
		"going away"},
	{PROTO_ERROR, sizeof(struct proto_error), 1, 1, CODEC_FROM_DAEMON, {{0}}, "448zzzz",
		"error"},
};

static const char header_layout[] = "222288";

static const struct queue_codec_kind *kind_find(uint16_t opcode)
{
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (kinds[i].opcode == opcode)
			return &kinds[i];
	return NULL;
}

const char *queue_codec_opcode_name(uint16_t opcode)
{
	const struct queue_codec_kind *kind = kind_find(opcode);

	return kind ? kind->name : "unknown";
}

static uint64_t get_little(const uint8_t *p, unsigned int bytes)
{
	uint64_t value = 0;

	while (bytes--)
		value = value << 8 | p[bytes];
	return value;
}

/* Whether a record's bytes lie in the area. */
static bool points_inside(const struct reference *ref, const uint8_t *record, size_t area)
{
	uint64_t offset = get_little(record + ref->offset, 4);
	uint64_t size = get_little(record + ref->size2, 2);

	if (ref->size4)
		size += get_little(record + ref->size4, 4);
	/* Each is below 2^33, so the sum does not overflow. */
	return size == 0 || offset + size <= area;
}

static bool all_point_inside(
	const struct queue_codec_kind *kind, const struct queue_codec_packet *p)
{
	for (unsigned int r = 0; r < 2 && kind->references[r].offset; r++)
		for (uint32_t i = 0; i < p->header.count; i++)
			if (!points_inside(&kind->references[r],
				    p->records + (size_t)i * p->header.record_size, p->area_size))
				return false;
	return true;
}

enum codec_fault queue_codec_open(
	const void *packet, size_t size, enum codec_sender sender, struct queue_codec_packet *ret)
{
	const struct queue_codec_kind *kind;
	struct queue_codec_packet p;
	struct proto_header *h = &p.header;
	size_t records;

	if (size == 0)
		return CODEC_EMPTY;
	if (size < sizeof(*h))
		return CODEC_SHORT_HEADER;
	if (size > PROTO_PACKET_MAX)
		return CODEC_OVERSIZE;
	memcpy(h, packet, sizeof(*h));
	if (codec_big_endian())
		codec_swap(h, header_layout);
	kind = kind_find(h->opcode);
	if (!kind || kind->sender != sender)
		return CODEC_OPCODE;
	if (h->record_size != kind->record_size)
		return CODEC_RECORD_SIZE;
	if (h->count < kind->least || h->count > kind->most)
		return CODEC_COUNT;
	records = (size_t)h->count * h->record_size; /* both are 16 bits wide */
	if (size < sizeof(*h) + records)
		return CODEC_LENGTH;
	p.records = (const uint8_t *)packet + sizeof(*h);
	p.area = p.records + records;
	p.area_size = size - sizeof(*h) - records;
	/* Bytes that no record can point to do not belong there. */
	if (p.area_size && !kind->references[0].offset)
		return CODEC_LENGTH;
	if ((h->serial == 0) != (h->opcode >= PROTO_WAKE))
		return CODEC_SERIAL;
	if (h->status && !(h->opcode & PROTO_ANSWER))
		return CODEC_STATUS;
	if (!all_point_inside(kind, &p))
		return CODEC_AREA;
	*ret = p;
	return CODEC_OK;
}

void queue_codec_get(const struct queue_codec_packet *p, uint32_t i, void *ret)
{
	memcpy(ret, p->records + (size_t)i * p->header.record_size, p->header.record_size);
	if (codec_big_endian())
		codec_swap(ret, kind_find(p->header.opcode)->layout);
}

void queue_codec_begin(struct queue_codec_writer *w, void *buffer, uint16_t opcode, uint64_t serial)
{
	const struct queue_codec_kind *kind = kind_find(opcode);

	*w = (struct queue_codec_writer){
		.buffer = buffer,
		.kind = kind,
		.header = {.opcode = opcode, .record_size = kind->record_size, .serial = serial},
	};
}

static size_t used(const struct queue_codec_writer *w)
{
	return sizeof(w->header) + (size_t)w->header.count * w->header.record_size + w->area;
}

bool queue_codec_fits(const struct queue_codec_writer *w, size_t bytes)
{
	return w->header.count < w->kind->most &&
		used(w) + w->header.record_size + bytes <= PROTO_PACKET_MAX;
}

uint32_t queue_codec_add_bytes(struct queue_codec_writer *w, const void *bytes, size_t size)
{
	uint32_t offset = (uint32_t)w->area;

	if (size) /* else bytes may be NULL */
		memcpy(w->buffer + PROTO_PACKET_MAX + w->area, bytes, size);
	w->area += size;
	return offset;
}

void queue_codec_put(struct queue_codec_writer *w, const void *record)
{
	uint8_t *at = w->buffer + sizeof(w->header) +
		(size_t)w->header.count++ * w->header.record_size;

	memcpy(at, record, w->header.record_size);
	if (codec_big_endian())
		codec_swap(at, w->kind->layout);
}

size_t queue_codec_end(struct queue_codec_writer *w, uint64_t cursor)
{
	size_t size = used(w);

	w->header.cursor = cursor;
	memmove(w->buffer + size - w->area, w->buffer + PROTO_PACKET_MAX, w->area);
	memcpy(w->buffer, &w->header, sizeof(w->header));
	if (codec_big_endian())
		codec_swap(w->buffer, header_layout);
	return size;
}

static uint32_t check_times(uint64_t due, uint64_t slack, uint64_t every, uint32_t count)
{
	if (due > INT64_MAX || (slack > INT64_MAX && slack != PROTO_FOREVER) || every > INT64_MAX)
		return PROTO_E_RANGE;
	if (every == 0 && count > 1)
		return PROTO_E_COUNT;
	return PROTO_OK;
}

uint32_t queue_codec_check_put(
	const struct queue_codec_packet *p, const struct proto_queue_put *put)
{
	const uint8_t known = PROTO_RELATIVE | PROTO_WAKE_SYSTEM | PROTO_QUEUE_KEEP;

	if (put->clock >= PROTO_CLOCKS)
		return PROTO_E_CLOCK;
	if (put->flags & ~known)
		return PROTO_E_FLAGS;
	if (put->flags & PROTO_WAKE_SYSTEM && put->clock == PROTO_CLOCK_MONOTONIC)
		return PROTO_E_WAKE_CLOCK;
	if (put->flags & PROTO_QUEUE_KEEP && !put->key_size)
		return PROTO_Q_KEY;
	if (put->key_size && !queue_codec_key_valid(queue_codec_bytes(p, put->data), put->key_size))
		return PROTO_Q_KEY;
	if (put->payload_size > PROTO_QUEUE_PAYLOAD_MAX)
		return PROTO_Q_PAYLOAD;
	if (!codec_label_valid(put->label, sizeof(put->label)))
		return PROTO_E_LABEL;
	if (put->max_late > INT64_MAX && put->max_late != PROTO_FOREVER)
		return PROTO_E_RANGE;
	return check_times(put->due, put->slack, put->every, put->count);
}

uint32_t queue_codec_check_reschedule(
	const struct queue_codec_packet *p, const struct proto_queue_reschedule *r)
{
	if (r->flags & ~PROTO_RELATIVE || r->reserved)
		return PROTO_E_FLAGS;
	if (r->key_size && !queue_codec_key_valid(queue_codec_bytes(p, r->key), r->key_size))
		return PROTO_Q_KEY;
	return check_times(r->due, r->slack, r->every, r->count);
}

bool queue_codec_name_valid(const char *name, size_t size)
{
	if (size < 1 || size > PROTO_QUEUE_NAME_MAX)
		return false;
	for (size_t i = 0; i < size; i++) {
		char c = name[i];

		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			    c == '.' || c == '_' || c == '-'))
			return false;
	}
	return true;
}

bool queue_codec_key_valid(const char *key, size_t size)
{
	return size >= 1 && size <= PROTO_QUEUE_KEY_MAX && !memchr(key, 0, size) &&
		codec_label_valid(key, size);
}
