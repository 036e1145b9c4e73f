/* SPDX-License-Identifier: MIT */
#include "postgres_values.h"

#include <endian.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *grow(struct pg_parameters *p, size_t size)
{
	uint8_t *at;

	if (p->size + size > p->room) {
		size_t room = (p->size + size) * 2 + 1024;
		uint8_t *bytes = p->failed ? NULL : realloc(p->bytes, room);

		if (!bytes) {
			p->failed = true;
			return NULL;
		}
		p->bytes = bytes;
		p->room = room;
	}
	at = p->bytes + p->size;
	p->size += size;
	return at;
}

static void add_bytes(struct pg_parameters *p, const void *bytes, size_t size)
{
	uint8_t *at = grow(p, size);

	if (at && size)
		memcpy(at, bytes, size);
}

static void add32(struct pg_parameters *p, uint32_t value)
{
	value = htobe32(value);
	add_bytes(p, &value, sizeof(value));
}

static void begin(struct pg_parameters *p, enum pg_type type)
{
	if (p->n == PG_PARAMETERS) {
		p->failed = true;
		p->n--;
	}
	p->types[p->n] = (Oid)type;
	p->at[p->n] = p->size;
}

static void end(struct pg_parameters *p)
{
	size_t size = p->size - p->at[p->n];

	if (size > INT_MAX)
		p->failed = true;
	p->sizes[p->n++] = (int)size;
}

void pg_add_int4(struct pg_parameters *p, int32_t value)
{
	begin(p, PG_INT4);
	add32(p, (uint32_t)value);
	end(p);
}

void pg_add_int8(struct pg_parameters *p, int64_t value)
{
	uint64_t wire = htobe64((uint64_t)value);

	begin(p, PG_INT8);
	add_bytes(p, &wire, sizeof(wire));
	end(p);
}

void pg_add_bool(struct pg_parameters *p, bool value)
{
	uint8_t wire = value;

	begin(p, PG_BOOL);
	add_bytes(p, &wire, 1);
	end(p);
}

void pg_add_text(struct pg_parameters *p, const char *text)
{
	begin(p, PG_TEXT);
	add_bytes(p, text, strlen(text));
	end(p);
}

void pg_add_uuid(struct pg_parameters *p, const uint8_t value[static 16])
{
	begin(p, PG_UUID);
	add_bytes(p, value, 16);
	end(p);
}

static uint32_t element_of(enum pg_type type)
{
	switch (type) {
	case PG_BYTEAS:
		return PG_BYTEA;
	case PG_INT4S:
		return PG_INT4;
	case PG_TEXTS:
		return PG_TEXT;
	case PG_UUIDS:
		return PG_UUID;
	default:
		return PG_INT8;
	}
}

/* One dimension, which may hold NULLs; its size is written by pg_end_array(). */
#define ARRAY_HEAD 20

void pg_begin_array(struct pg_parameters *p, enum pg_type type)
{
	begin(p, type);
	add32(p, 1);
	add32(p, 1);
	add32(p, element_of(type));
	add32(p, 0);
	add32(p, 1);
	p->elements = 0;
}

void pg_put_int4(struct pg_parameters *p, int32_t value)
{
	uint32_t wire[2] = {htobe32(sizeof(value)), htobe32((uint32_t)value)};

	add_bytes(p, wire, sizeof(wire));
	p->elements++;
}

void pg_put_int8(struct pg_parameters *p, int64_t value)
{
	uint32_t wire[3] = {htobe32(sizeof(value)), htobe32((uint32_t)((uint64_t)value >> 32)),
		htobe32((uint32_t)value)};

	add_bytes(p, wire, sizeof(wire));
	p->elements++;
}

void pg_put_bytes(struct pg_parameters *p, const void *bytes, size_t size)
{
	add32(p, (uint32_t)size);
	add_bytes(p, bytes, size);
	p->elements++;
}

void pg_put_null(struct pg_parameters *p)
{
	add32(p, UINT32_MAX);
	p->elements++;
}

void pg_end_array(struct pg_parameters *p)
{
	uint32_t n = htobe32(p->elements);

	if (p->failed)
		return;
	if (!p->elements) {
		/* An empty array has no dimension. */
		memset(p->bytes + p->at[p->n], 0, 4);
		p->size = p->at[p->n] + 12;
	} else {
		memcpy(p->bytes + p->at[p->n] + ARRAY_HEAD - 8, &n, sizeof(n));
	}
	end(p);
}

bool pg_send(PGconn *c, const char *statement, struct pg_parameters *p)
{
	const char *values[PG_PARAMETERS];
	int formats[PG_PARAMETERS];
	bool sent = false;

	for (size_t i = 0; i < p->n && !p->failed; i++) {
		values[i] = (const char *)p->bytes + p->at[i];
		formats[i] = 1;
	}
	if (!p->failed)
		sent = PQsendQueryParams(
			c, statement, (int)p->n, p->types, values, p->sizes, formats, 1);
	free(p->bytes);
	*p = (struct pg_parameters){0};
	return sent;
}

static int64_t read_int(const uint8_t *at, size_t size)
{
	uint64_t value = size && at[0] & 0x80 ? UINT64_MAX : 0;

	for (size_t i = 0; i < size; i++)
		value = value << 8 | at[i];
	return (int64_t)value;
}

int64_t pg_get_int(const PGresult *r, int row, int column)
{
	int size = PQgetlength(r, row, column);

	if (PQgetisnull(r, row, column) || size > 8)
		return 0;
	return read_int((const uint8_t *)PQgetvalue(r, row, column), (size_t)size);
}

struct pg_array pg_get_array(const PGresult *r, int row, int column)
{
	const uint8_t *at = (const uint8_t *)PQgetvalue(r, row, column);
	int size = PQgetlength(r, row, column);

	if (PQgetisnull(r, row, column) || size < ARRAY_HEAD || read_int(at, 4) != 1)
		return (struct pg_array){0};
	return (struct pg_array){
		.at = at + ARRAY_HEAD,
		.end = at + size,
		.n = (uint32_t)read_int(at + ARRAY_HEAD - 8, 4),
	};
}

int64_t pg_next(struct pg_array *a)
{
	int64_t size, value;

	if (!a->n || a->end - a->at < 4)
		return 0;
	size = read_int(a->at, 4);
	a->at += 4;
	a->n--;
	if (size < 0 || size > 8 || a->end - a->at < size)
		return 0;
	value = read_int(a->at, (size_t)size);
	a->at += size;
	return value;
}
