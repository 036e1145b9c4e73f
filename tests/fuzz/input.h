/* SPDX-License-Identifier: MIT */
/* A fuzzer's input, taken from its start. What is missing at its end reads as 0, or as no bytes. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct input {
	const uint8_t *at, *end;
};

/* A little-endian number of so many bytes. */
static inline uint64_t take_number(struct input *in, size_t width)
{
	uint64_t number = 0;

	for (size_t i = 0; i < width && in->at < in->end; i++)
		number |= (uint64_t)*in->at++ << 8 * i;
	return number;
}

/* The bytes that come next, at most n; at the input itself. */
static inline const uint8_t *take_bytes(struct input *in, size_t n, size_t *ret_size)
{
	const uint8_t *bytes = in->at;

	*ret_size = (size_t)(in->end - in->at) < n ? (size_t)(in->end - in->at) : n;
	in->at += *ret_size;
	return bytes;
}
