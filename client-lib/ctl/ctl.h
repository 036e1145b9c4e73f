/* SPDX-License-Identifier: MIT */
/*
 * What the verbs of toytimerctl share: the exit statuses, the options that every verb takes, and
 * the way to the daemon.
 *
 * Statuses are part of the interface, so they are the currency here: a function that can fail for
 * good has told the user why, in one line, before it returns one of them; its caller hands the
 * status on and says nothing more.
 */
#pragma once

#include <getopt.h>
#include <stdbool.h>

#include "../toytimer-queue.h"
#include "../toytimer.h"
#include "inherit.h"

#define _printf_(a, b) __attribute__((__format__(__printf__, a, b)))
#define _cleanup_(f)   __attribute__((__cleanup__(f)))

enum ctl_status {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NO_SUCH_TIMER = 3,
	CTL_REFUSED = 4,
	CTL_UNREACHABLE = 5,
	CTL_CANCELLED = 6,
	CTL_STORE = 7, /* the store of the queues cannot store */
	/* Of a COMMAND, and of ourselves, as shells have it. */
	CTL_NOT_EXECUTABLE = 126,
	CTL_NOT_FOUND = 127,
	CTL_SIGNAL = 128,
};

/* Which socket to go to. The last option given wins, so that an alias can be overridden. */
enum ctl_where {
	CTL_DEFAULT, /* $TIMERD_SOCKET, else the system's */
	CTL_SYSTEM,
	CTL_USER,
	CTL_PATH,
};

struct ctl {
	enum ctl_where where;
	const char *path;	/* CTL_PATH: the argument of --socket */
	const char *queue_path; /* of --queue-socket; NULL: not given */
	int status;		/* of a verb that is to go no further: see CTL_STOP */
	int signal;		/* that interrupted the verb: to end by, not to exit; 0: none */
	struct inherited inherited;
};

/* What ctl_getopt() returns beside the verb's own options, which go from CTL_OPTION_VERB on: an
 * argument that is no option (the 1 is getopt's), no more of either, return ctl->status. */
#define CTL_WORD	1
#define CTL_OPTION_VERB 512
#define CTL_END		(-1)
#define CTL_STOP	(-2)

/*
 * getopt_long(), which sees by itself to the options that every verb takes, and to whatever is no
 * option at all. argv[0] is passed over. Set optind to 0 before the first call on another argv.
 *   letters: the verb's short options, ":" after one that takes an argument
 *   options: its long ones, at most CTL_OPTIONS_MAX and a last one of zeroes; NULL = none
 */
#define CTL_OPTIONS_MAX 16
int ctl_getopt(
	struct ctl *ctl, int argc, char **argv, const char *letters, const struct option *options);

/* Tells what is wrong with the command line. Sets ctl->status and returns CTL_STOP. */
int ctl_usage(struct ctl *ctl, const char *format, ...) _printf_(2, 3);

/* Says so. Returns CTL_FAILED. */
int ctl_no_memory(void);

/* Connects. Returns CTL_DONE, or another status, the reason having been told. */
int ctl_open(const struct ctl *ctl, toytimer **ret);

/* The same with timerqd. */
int ctl_open_queues(const struct ctl *ctl, toytimer_queue **ret);

/* Says why a daemon, "timerd" or "timerqd", cannot be reached at that path, and what to do. */
void ctl_tell_unreachable(
	const struct ctl *ctl, const char *daemon, const char *path, const char *system_path);

/* The status that stands for an error of the library. */
int ctl_status_of(int error);

/* Says what went wrong with a word or a verb at timerqd. Returns the status that stands for it. */
int ctl_queue_failed(const char *what, int error);

/* toytimer_unref() and toytimer_queue_unref() for _cleanup_. */
void ctl_close(toytimer **t);
void ctl_close_queues(toytimer_queue **q);

/* Checks the name of a queue. Returns 0 or CTL_STOP. */
int ctl_check_queue(struct ctl *ctl, const char *option, const char *name);

/* Reads a number in decimal. Returns 0 or CTL_STOP. */
int ctl_parse_number(struct ctl *ctl, const char *option, const char *text, uint64_t least,
	uint64_t most, uint64_t *ret);

/* Reads a span. Returns 0 or CTL_STOP. */
int ctl_parse_span(struct ctl *ctl, const char *option, const char *text, uint64_t *ret);

/* The verbs. argv[0] is the verb itself. */
int verb_register(struct ctl *ctl, int argc, char **argv);
int verb_list(struct ctl *ctl, int argc, char **argv);
int verb_cancel(struct ctl *ctl, int argc, char **argv);
int verb_status(struct ctl *ctl, int argc, char **argv);
int verb_consume(struct ctl *ctl, int argc, char **argv);
int verb_queues(struct ctl *ctl, int argc, char **argv);
int verb_retry(struct ctl *ctl, int argc, char **argv);
int verb_purge(struct ctl *ctl, int argc, char **argv);

/* What list, cancel and status do with --queue and --queues. They return an exit status. */
struct queue_list_options {
	const char *queue;
	const char *columns; /* of -o; NULL: the default */
	bool parked, json, legend;
};
int queue_list(struct ctl *ctl, const struct queue_list_options *options);
int queue_status(struct ctl *ctl, bool json);
