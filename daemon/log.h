/* SPDX-License-Identifier: MIT */
/*
 * What the daemon tells its administrator: structured fields into the journal where standard error
 * is the journal's, one plain line on standard error where it is not.
 *
 * Clients can cause messages, so those that they cause are counted against a small allowance; what
 * it does not cover is left out, as is whatever could not be said without waiting. How many were is
 * said before the next message of a client's that is let through. Not thread-safe. errno survives
 * each call.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <syslog.h>

struct log {
	int level;	 /* LOG_ERR … LOG_DEBUG: what is less important is dropped */
	bool journal;	 /* whether standard error is the journal's, and libsystemd may be used */
	bool unblocked;	 /* its socket is open, and does not block */
	uint64_t window; /* when the allowance is renewed, monotonic microseconds */
	unsigned int allowance;
	uint64_t left_out;
};

/* Looks where standard error leads. */
void log_init(struct log *log, int level);

/* "emerg" … "debug" or "0" … "7". Return: the level, -EINVAL where it is none. */
int log_parse_level(const char *name);

#define LOG_ALLOWANCE 20		 /* messages caused by clients … */
#define LOG_WINDOW_US UINT64_C(10000000) /* … in so many microseconds */

/* Whom a message is about. */
struct log_about {
	uint32_t uid, pid;
	const char *limit; /* the option that sets it; NULL: no limit is at issue */
};

/* A message of the daemon's own. Never NULL: format. */
void log_print(struct log *log, int priority, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A message that a client caused; now: monotonic microseconds. */
void log_client(struct log *log, int priority, uint64_t now, const struct log_about *about,
	const char *format, ...) __attribute__((format(printf, 5, 6)));
