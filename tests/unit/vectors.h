/* SPDX-License-Identifier: MIT */
/*
 * Reads the golden packets of proto/vectors as the author of a client would. timerd-protocol(7)
 * describes their form.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A line "bytes, field = value": what the packet says at this place. */
struct vector_field {
	char name[24];
	size_t offset, width; /* in the packet */
	bool text;
	uint64_t number;    /* where it is none */
	uint8_t bytes[128]; /* where it is one: width bytes, padded with zeroes */
};

/* A record that stands so many times; or the header, as the first of them. */
struct vector_group {
	char check[24];	     /* "ok", or the status that refuses it */
	size_t offset, size; /* of one of them, in the packet */
	size_t repeat;
	size_t first_field, n_fields; /* in vector::fields */
};

struct vector {
	char name[64];
	bool from_daemon;
	char verdict[24];
	uint8_t *packet;
	size_t size;
	struct vector_field *fields;
	size_t n_fields;
	struct vector_group *groups;
	size_t n_groups;
};

struct vectors {
	struct vector *all;
	size_t n;
};

/*
 * Reads each .txt of a directory. What cannot be read ends the program with a line on standard
 * error: golden packets that nobody reads would prove nothing.
 */
struct vectors vectors_read(const char *directory);

void vectors_free(struct vectors *v);
