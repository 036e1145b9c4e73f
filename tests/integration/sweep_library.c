/* SPDX-License-Identifier: MIT */
#include "sweep_library.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <errno.h>

#include "daemon.h"

static struct sweep *sweep;
static void (*run)(void);

static void point(void)
{
	size_t memory = fault_memory();
	int descriptors = daemon_count_fds(0);

	/* Without this timer the library has no back-off. */
	if (sweep->call == FAULT_timerfd_settime && sweep->error != ECANCELED) {
		fault_disarm(sweep->plan);
		return;
	}
	run();
	sweep_end(sweep, false);
	assert_int_equal(fault_memory(), memory);
	assert_int_equal(daemon_count_fds(0), descriptors);
}

void sweep_library(struct sweep *s, const char *where, void (*work)(void), uint32_t most)
{
	uint32_t counts[FAULT_CALLS_COUNT];

	sweep = s;
	run = work;
	s->plan = fault_own();
	sweep_count_uses(s, work, most, counts);
	sweep_run(s, where, counts, point);
}
