/* SPDX-License-Identifier: MIT */
/*
 * timerqd's own wake-ups: volatile timers at timerd, one for each clock, one more for each clock
 * that can wake the machine, and two for the clocks themselves. timerd serves timerqd like any
 * other client.
 *
 * If timerd is away, timerqd logs it once and waits. When timerd is back, libtoytimer registers the
 * timers again, and those that have become due ring at once.
 */
#pragma once

#include <systemd/sd-event.h>
#include <toytimer.h>

#include "../log.h"
#include "proto.h"

/* Which wake-up: an enum proto_clock, for the timers of that clock, or one of these. */
enum wakeup {
	WAKEUP_SYSTEM_BOOTTIME = PROTO_CLOCKS,
	WAKEUP_SYSTEM_REALTIME,
	/* While this is set to WAKEUPS_NEVER, timerd reports each setting of the wall clock. */
	WAKEUP_CLOCK_SET,
	/* On boottime, with endless slack: to store the clocks when timerd is awake anyway. */
	WAKEUP_ASIDE,
	WAKEUPS,
};

/* The year 3000, which no clock of Linux reaches (2262), and which can be shown as a date. */
#define WAKEUPS_NEVER UINT64_C(32503680000000000)

struct wakeups {
	sd_event *event;
	struct log *log;
	const char *path; /* of timerd's socket; NULL: as libtoytimer finds it */
	toytimer *t;	  /* NULL: timerd has not been there yet */
	sd_event_source *source, *again;
	uint64_t timers[WAKEUPS]; /* 0: none */
	uint64_t wanted[WAKEUPS], set[WAKEUPS];
	bool away;	       /* timerd is away, and the log says so */
	bool refused[WAKEUPS]; /* timerd has refused it; it is registered again soon */
	bool refusal_logged;
	/* Called at each wake: time has passed, or the wall clock was set. */
	void (*woken)(void *userdata);
	void *userdata;
};

/* Begins to look for timerd. It is no error if timerd is not there.
 *   event, log, path: borrowed until wakeups_close().
 *   woken: called from the event loop.
 * Return: 0, or a negative errno. */
int wakeups_init(struct wakeups *w, sd_event *event, struct log *log, const char *path,
	void (*woken)(void *userdata), void *userdata);
/* Ends the session with timerd, and with it all timers. w may be zero. */
void wakeups_close(struct wakeups *w);

/* Sets the instant of a wake-up, on the kernel's clock; PROTO_FOREVER: none. which: below WAKEUPS.
 * O(1). If the instant has changed, wakeups_flush() sends a request to timerd. */
void wakeups_set(struct wakeups *w, unsigned int which, uint64_t due);

/* Sends what was set. Return: 0, or a negative errno. */
int wakeups_flush(struct wakeups *w);
