/* SPDX-License-Identifier: MIT */
/*
 * What the verbs of toytimerctl share: exit statuses, common options, the connections to timerd
 * and timerqd.
 *
 * The exit statuses are a public interface, so functions here return them. A function that fails
 * prints one error line and returns a status; its caller prints nothing more.
 */
#pragma once

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "../toytimer-queue.h"
#include "../toytimer.h"
#include "inherit.h"
#include "macros.h"

enum ctl_status {
	CTL_DONE = 0,
	CTL_FAILED = 1,
	CTL_USAGE = 2,
	CTL_NO_SUCH_TIMER = 3,
	CTL_REFUSED = 4,
	CTL_UNREACHABLE = 5,
	CTL_CANCELLED = 6,
	CTL_STORE = 7, /* timerqd cannot store */
	/* The values that shells use, for COMMAND and for toytimerctl itself. */
	CTL_NOT_EXECUTABLE = 126,
	CTL_NOT_FOUND = 127,
	CTL_SIGNAL = 128, /* plus the number of the signal */
};

/* Which timerd to connect to. The last option on the command line wins, so that a user can override
 * an option in an alias. */
enum ctl_instance {
	CTL_INSTANCE_DEFAULT, /* $TIMERD_SOCKET, else the system's instance */
	CTL_INSTANCE_SYSTEM,
	CTL_INSTANCE_USER,
	CTL_INSTANCE_PATH,
};

struct ctl {
	FILE *out; /* standard output */
	FILE *err; /* standard error; for errors use output_error() */
	enum ctl_instance instance;
	const char *path;	    /* the argument of --socket, for CTL_INSTANCE_PATH */
	const char *queue_path;	    /* the argument of --queue-socket; NULL: not given */
	const char *verb;	    /* NULL before the verb is known */
	int status;		    /* the exit status after CTL_STOP */
	int signal;		    /* the signal that interrupted the verb; 0: none */
	struct inherited inherited; /* for COMMAND */
};

/* What ctl_getopt() returns, besides the verb's own options (CTL_OPTION_VERB and up). */
#define CTL_WORD	1 /* an argument; the value is that of getopt_long() */
#define CTL_OPTION_VERB 512
#define CTL_END		(-1) /* no more arguments or options */
#define CTL_STOP	(-2) /* the verb must return ctl->status */

/*
 * getopt_long() that handles the common options itself and reports unknown options. It skips
 * argv[0]. Set optind to 0 before the first call for another argv.
 *   letters: the verb's short options; ":" follows one that takes an argument
 *   options: the verb's long options, at most CTL_OPTIONS_MAX, then an entry of zeros; NULL: none
 */
#define CTL_OPTIONS_MAX 16
int ctl_getopt(
	struct ctl *ctl, int argc, char **argv, const char *letters, const struct option *options);

/* Handles the options before the verb. Returns 0: optind is the index of the verb in argv; or
 * CTL_STOP. */
int ctl_getopt_verb(struct ctl *ctl, int argc, char **argv);

/* Prints what is wrong with the command line. Sets ctl->status and returns CTL_STOP. */
int ctl_usage(struct ctl *ctl, const char *format, ...) _printf_(2, 3);

/* Prints "out of memory". Returns CTL_FAILED. */
int ctl_no_memory(void);

/* Connects to timerd. Returns CTL_DONE, or prints an error and returns another status. */
int ctl_open(const struct ctl *ctl, toytimer **ret);

/* Connects to timerqd. Returns as ctl_open(). */
int ctl_open_queues(const struct ctl *ctl, toytimer_queue **ret);

/* toytimer_unref() and toytimer_queue_unref() for _cleanup_. */
void ctl_close(toytimer **t);
void ctl_close_queues(toytimer_queue **q);

/* Whether a process id that timerd lists names the same process here: false if timerd runs in
 * another pid namespace. daemon_pid: the process id that timerd has in its status. */
bool ctl_shares_pids(const struct ctl *ctl, uint32_t daemon_pid);

/* The exit status for an error of the library. */
int ctl_status_of(int error);

/* Prints what went wrong with a word or a verb at timerqd. Returns the exit status for the error.
 */
int ctl_queue_failed(const char *what, int error);

/* Checks the name of a queue. Returns 0 or CTL_STOP. */
int ctl_check_queue(struct ctl *ctl, const char *option, const char *name);

/* Parses a decimal number. Returns 0 or CTL_STOP. */
int ctl_parse_number(struct ctl *ctl, const char *option, const char *text, uint64_t least,
	uint64_t most, uint64_t *ret);

/* Parses a span of at most 100000 years. If it may be infinite, "infinity" gives TOYTIMER_FOREVER.
 * Returns 0 or CTL_STOP. */
int ctl_parse_span(
	struct ctl *ctl, const char *option, const char *text, bool may_be_infinite, uint64_t *ret);

/* Warns if a span may be meant as something else; see when_doubt(). */
void ctl_warn_of_doubt(const char *option, const char *text);

/* Checks the argument of --label. Returns 0 or CTL_STOP. */
int ctl_parse_label(struct ctl *ctl, const char *text, const char **ret);

/* Parses a user, a name or a number, into a match of that user's timers. Returns 0 or CTL_STOP. */
int ctl_parse_user(struct ctl *ctl, const char *word, toytimer_match *ret);

/* Warns if $TZ names a time zone that does not exist. */
void ctl_warn_of_unknown_zone(void);

/* What list and status do with --queue and --queues. They return an exit status. */
struct queue_list_options {
	const char *queue;
	const char *columns; /* of -o; NULL: the default */
	bool parked, json, legend;
};
int queue_list_timers(struct ctl *ctl, const struct queue_list_options *options);
int queue_status(struct ctl *ctl, bool json);
