/* SPDX-License-Identifier: MIT */
/*
 * What a store holds, as one number, and whether its indexes and counts agree with its rows. It
 * reads the tables by itself, so that it is no friend of the code under test.
 */
#pragma once

#include "sqlite.h"

struct dump {
	uint64_t all;	   /* of everything that clients may see, in any order */
	uint64_t timers;   /* of the ids of waiting timers */
	uint64_t count;	   /* of waiting timers */
	const char *fault; /* NULL: all agrees */
};

/* A number of an id, for sums. */
uint64_t dump_mix(uint64_t value);

/* Return: an SQLite result code. */
int dump_read(struct sqlite *q, struct dump *ret);
