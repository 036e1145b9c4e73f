/* SPDX-License-Identifier: MIT */
/*
 * How late the wakes of a good client come, another user's if there can be one, while something
 * is done to the daemon: measured at the client, from due to arrival. The same process also has a
 * timerfd of its own. Its lateness shows how late the machine itself is meanwhile.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#define PUNCTUAL_USER  64001
#define PUNCTUAL_EVERY UINT64_C(2000)

struct punctual {
	pid_t pid;
	int stop, report;
};

/* Microseconds. */
struct punctual_report {
	uint64_t wakes, missed; /* periods that were merged into a later wake */
	uint64_t p50, p99, most;
	uint64_t bare_p99; /* of the timerfd */
};

/* Starts one and waits until it is woken each PUNCTUAL_EVERY. */
void punctual_start(struct punctual *p, const char *path);
struct punctual_report punctual_stop(struct punctual *p);

/* A line of the table, and its heading. */
void punctual_print_heading(void);
void punctual_print(const char *meanwhile, const struct punctual_report *report);

/* In a child: becomes another user, for good. */
void punctual_become(uid_t user);
