/* SPDX-License-Identifier: MIT */
/*
 * The forms of all packets, described independently of the codec's table: the name, offset and size
 * of each field of each record. Tests compare the codec, its layout strings and the golden packets
 * with this description.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto.h"

struct field {
	const char *name;
	uint16_t offset, width;
	bool text; /* bytes in their order, not a number */
};

struct form {
	const char *name; /* as codec_opcode_name() says it */
	uint16_t opcode;
	uint16_t size; /* of a record */
	uint16_t most; /* records in a packet */
	const struct field *fields;
	size_t n_fields;
};

extern const struct form forms[];
extern const size_t n_forms;

extern const struct field header_fields[];
extern const size_t n_header_fields;

/* Return: NULL: there is none. */
const struct form *form_find(uint16_t opcode);
const struct field *field_find(const struct field *fields, size_t n, const char *name);

/* The number in a field of a struct in the machine's byte order. */
uint64_t field_number(const struct field *field, const void *record);
