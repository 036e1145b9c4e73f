/* SPDX-License-Identifier: MIT */
/*
 * Values of PostgreSQL in their binary form: parameters that are built, and results that are read.
 * A list of changes is sent as arrays, one for each column.
 */
#pragma once

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The numbers of types. PostgreSQL never changes them (pg_type.dat). */
enum pg_type {
	PG_BOOL = 16,
	PG_BYTEA = 17,
	PG_INT8 = 20,
	PG_INT4 = 23,
	PG_TEXT = 25,
	PG_UUID = 2950,
	PG_BYTEAS = 1001,
	PG_INT4S = 1007,
	PG_TEXTS = 1009,
	PG_INT8S = 1016,
	PG_UUIDS = 2951,
};

#define PG_PARAMETERS 40

/* The parameters of one statement, in order. All zero is empty. The first parameter allocates
 * memory, which pg_send() frees. The functions that add parameters return nothing: pg_send()
 * reports if there was no memory. Values are copied. */
struct pg_parameters {
	size_t n;
	Oid types[PG_PARAMETERS];
	size_t at[PG_PARAMETERS];
	int sizes[PG_PARAMETERS];
	uint8_t *bytes;
	size_t size, room;
	bool failed;
	uint32_t elements; /* of the array that is being built */
};

/* Add one parameter each, at most PG_PARAMETERS. */
void pg_add_int4(struct pg_parameters *p, int32_t value);
void pg_add_int8(struct pg_parameters *p, int64_t value);
void pg_add_bool(struct pg_parameters *p, bool value);
void pg_add_text(struct pg_parameters *p, const char *text);
void pg_add_uuid(struct pg_parameters *p, const uint8_t value[static 16]);

/* Add one parameter that is an array: begin, one call for each element, end. type: of the array. */
void pg_begin_array(struct pg_parameters *p, enum pg_type type);
void pg_put_int4(struct pg_parameters *p, int32_t value);
void pg_put_int8(struct pg_parameters *p, int64_t value);
void pg_put_bytes(struct pg_parameters *p, const void *bytes, size_t size);
void pg_put_null(struct pg_parameters *p);
void pg_end_array(struct pg_parameters *p);

/* Queues the statement for sending, and frees the parameters in any case. Results will be binary.
 * Return: false: no memory, or the connection is broken. */
bool pg_send(PGconn *c, const char *statement, struct pg_parameters *p);

/* Return: a number of a result, of any width, or a boolean; a NULL is 0. */
int64_t pg_get_int(const PGresult *r, int row, int column);

/* An array of numbers in a result. */
struct pg_array {
	const uint8_t *at, *end;
	size_t n; /* elements that remain */
};

/* Begins to read an array, which points into the result. A NULL is an empty array. */
struct pg_array pg_get_array(const PGresult *r, int row, int column);
/* Return: the array's next number; 0 after the end. */
int64_t pg_next(struct pg_array *a);
