/* SPDX-License-Identifier: MIT */
/*
 * What the daemon tells its administrator: structured fields into the journal where standard error
 * is the journal's, one plain line on standard error where it is not.
 *
 * Clients can cause messages, so each user has a small allowance of them: a noisy user leaves the
 * messages about others alone. What the allowance does not cover is left out, as is whatever could
 * not be said without waiting. How many were is said before the first message about a client in the
 * next window, and at the daemon's end. Not thread-safe. errno survives each call.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <syslog.h>

#define LOG_ALLOWANCE 20		 /* messages caused by one user … */
#define LOG_WINDOW_US UINT64_C(10000000) /* … in so many microseconds */

/* Users with an allowance of their own in one window. All further ones share one allowance. */
#define LOG_USERS 64

struct log_user {
	uint32_t uid;
	unsigned int spent; /* of LOG_ALLOWANCE */
};

struct log {
	const char *name; /* of the program: what a line on standard error begins with */
	int level;	  /* LOG_ERR … LOG_DEBUG: what is less important is dropped */
	bool journal;	  /* whether standard error is the journal's, and libsystemd may be used */
	bool unblocked;	  /* its socket is open, and does not block */
	uint64_t window;  /* when the allowances are renewed, monotonic microseconds */
	unsigned int users;
	struct log_user user[LOG_USERS + 1]; /* the last: of all who have none of their own */
	uint64_t left_out;
};

/* Looks where standard error leads. */
void log_init(struct log *log, int level);

/* "emerg" … "debug" or "0" … "7". Return: the level, -EINVAL where it is none. */
int log_parse_level(const char *name);

/* Whom a message is about. */
struct log_about {
	uint32_t uid, pid;
	const char *limit; /* the option that sets it; NULL: no limit is at issue */
};

/* A message of the daemon's own. Never NULL: format. */
void log_print(struct log *log, int priority, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A message of LOG_DEBUG: one for each event of its kind, so none is counted against the allowance.
 * about: NULL: about no client. Costs a comparison where the level is another. */
void log_debug(struct log *log, const struct log_about *about, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* A message that a client caused; now: monotonic microseconds. */
void log_client(struct log *log, int priority, uint64_t now, const struct log_about *about,
	const char *format, ...) __attribute__((format(printf, 5, 6)));

/* At the daemon's end: says how many messages were left out, if any were. */
void log_close(struct log *log);
