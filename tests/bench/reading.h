/* SPDX-License-Identifier: MIT */
/* An outlet of the worker whose clients read everything at once. */
#pragma once

#include "bench.h"
#include "worker.h"

static inline int reading_send(void *user, uint32_t number, const void *bytes, size_t size)
{
	(void)user, (void)number, (void)bytes, (void)size;
	return 0;
}

static inline bool reading_has_read_all(void *user, uint32_t number)
{
	(void)user, (void)number;
	return true;
}

static inline void reading_close(void *user, uint32_t number, const void *bytes, size_t size)
{
	(void)user, (void)number, (void)bytes, (void)size;
	bench_die("a session was closed", 0);
}

/* buffer: where the worker makes its packets. */
#define READING_OUTLET(buffer)                                                                  \
	{                                                                                       \
		.packet = (buffer), .send = reading_send, .has_read_all = reading_has_read_all, \
		.close = reading_close,                                                         \
	}
