/* SPDX-License-Identifier: MIT */
/*
 * Messages for the administrator: structured fields to the journal if standard error leads there,
 * otherwise one plain line each on standard error.
 *
 * Clients can cause messages, so each user has a small allowance of them: a noisy user cannot crowd
 * out the messages about others. A message is dropped if the allowance is spent, or if writing it
 * would block. The number of dropped messages is logged before the first message about a client in
 * the next window, and when the daemon ends. Not thread-safe. Each call preserves errno.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <syslog.h>

/* One user may cause LOG_ALLOWANCE messages in LOG_WINDOW_US microseconds. */
#define LOG_ALLOWANCE 20
#define LOG_WINDOW_US UINT64_C(10000000)

/* How many users have an allowance of their own in one window. All further users share one. */
#define LOG_USERS 64

struct log_user {
	uint32_t uid;
	unsigned int spent; /* messages, of LOG_ALLOWANCE */
};

struct log {
	const char *name; /* borrowed: of the program, begins each line on standard error */
	int level;	  /* LOG_ERR … LOG_DEBUG: less important messages are not logged */
	bool journal;	  /* standard error leads to the journal, and libsystemd does not block */
	bool unblocked;	  /* libsystemd's socket is open, and does not block */
	uint64_t window_end; /* monotonic microseconds; then the allowances are renewed */
	unsigned int user_count;
	struct log_user users[LOG_USERS + 1]; /* the last one is shared by all further users */
	uint64_t dropped;		      /* messages */
};

/* Checks where standard error leads. Sets the name "timerd"; another program then sets its own. */
void log_init(struct log *log, int level);

/* The uid of a client that is not known. Its line names no client. */
#define LOG_NOBODY UINT32_MAX

/* The client that a message is about. */
struct log_about {
	uint32_t uid, pid;
	const char *limit; /* the option that sets the limit that the message is about; NULL: it is
			    * about no limit */
};

/* Logs a message about the daemon itself. */
void log_print(struct log *log, int priority, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Logs a message of LOG_DEBUG. It does not count against an allowance: at that level the
 * administrator wants a line for each event. about: NULL: no client. Costs one comparison at
 * other levels. */
void log_debug(struct log *log, const struct log_about *about, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Logs a message that a client caused. now: monotonic microseconds. */
void log_client(struct log *log, int priority, uint64_t now, const struct log_about *about,
	const char *format, ...) __attribute__((format(printf, 5, 6)));

/* For the end of the daemon: logs how many messages were dropped, if any. */
void log_close(struct log *log);
