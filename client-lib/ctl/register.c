/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl register: parses the command line into a registration. wait.c does the rest; for a
 * durable timer, queue_put.c.
 *
 * WHEN is all words before "--", so that `register tomorrow 09:00` needs no quotes. The first "--"
 * ends WHEN; everything after it belongs to COMMAND. Without WHEN, the first wake comes one period
 * after now.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "ctl.h"
#include "output.h"
#include "queue_put.h"
#include "verbs.h"
#include "wait.h"
#include "when.h"

enum {
	OPTION_EVERY = CTL_OPTION_VERB,
	OPTION_COUNT,
	OPTION_SLACK,
	OPTION_CLOCK,
	OPTION_WAKE_SYSTEM,
	OPTION_LABEL,
	OPTION_QUIET,
	OPTION_JSON,
	OPTION_QUEUE,
	OPTION_KEY,
	OPTION_KEEP,
	OPTION_PAYLOAD,
	OPTION_PAYLOAD_FILE,
	OPTION_MAX_LATE,
	OPTION_MAX_ATTEMPTS,
};

struct arguments {
	struct wait_request request;
	struct queue_put put;	/* its queue is NULL without --queue */
	const char *only_queue; /* the last option that needs --queue; NULL: none */
	char *when;		/* the words, joined by blanks; NULL: none yet; owned */
	const char *every;	/* the argument of --every; NULL: not given */
	bool clock_given;
};

static void arguments_free(struct arguments *a)
{
	free(a->when);
}

static int no_memory(struct ctl *ctl)
{
	ctl->status = ctl_no_memory();
	return CTL_STOP;
}

/* Each of these parses the argument of one option, and returns 0 or CTL_STOP. */

static int parse_number(struct ctl *ctl, const char *option, const char *text, uint32_t *ret)
{
	uint64_t number;

	if (ctl_parse_number(ctl, option, text, 0, UINT32_MAX, &number) == CTL_STOP)
		return CTL_STOP;
	*ret = (uint32_t)number;
	return 0;
}

static int parse_clock(struct ctl *ctl, struct arguments *a, const char *text)
{
	if (clock_parse(text, &a->request.registration.clock) < 0)
		return ctl_usage(ctl,
			"--clock %s: no such clock; say monotonic, boottime or realtime",
			output_word(text));
	a->clock_given = true;
	return 0;
}

static int add_word(struct ctl *ctl, struct arguments *a, const char *word)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", a->when ? a->when : "", a->when ? " " : "", word) < 0)
		return no_memory(ctl);
	free(a->when);
	a->when = joined;
	return 0;
}

static int parse_key(struct ctl *ctl, const char *text, const char **ret)
{
	if (!*text || strlen(text) > TOYTIMER_QUEUE_KEY_MAX || !output_is_plain(text))
		return ctl_usage(ctl, "--key %s: not 1 to %d bytes of printable UTF-8",
			output_word(text), TOYTIMER_QUEUE_KEY_MAX);
	*ret = text;
	return 0;
}

static int parse_max_late(struct ctl *ctl, const char *text, uint64_t *ret)
{
	if (ctl_parse_span(ctl, "--max-late", text, true, ret) == CTL_STOP)
		return CTL_STOP;
	/* 0 means no limit to the library. No wake is sent within a microsecond. */
	if (*ret == 0)
		*ret = 1;
	return 0;
}

/* The options of durable timers. */
static int parse_queue_option(struct ctl *ctl, struct arguments *a, int c)
{
	switch (c) {
	case OPTION_QUEUE:
		a->put.queue = optarg;
		return ctl_check_queue(ctl, "--queue", optarg);
	case OPTION_KEY:
		a->only_queue = "--key";
		return parse_key(ctl, optarg, &a->put.key);
	case OPTION_KEEP:
		a->only_queue = "--keep";
		a->put.keep = true;
		return 0;
	case OPTION_PAYLOAD:
		a->only_queue = "--payload";
		a->put.payload = optarg;
		return 0;
	case OPTION_PAYLOAD_FILE:
		a->only_queue = "--payload-file";
		a->put.payload_file = optarg;
		return 0;
	case OPTION_MAX_LATE:
		a->only_queue = "--max-late";
		return parse_max_late(ctl, optarg, &a->put.max_late);
	case OPTION_MAX_ATTEMPTS:
		a->only_queue = "--max-attempts";
		return parse_number(ctl, "--max-attempts", optarg, &a->put.max_attempts);
	default:
		return CTL_STOP;
	}
}

static int parse_option(struct ctl *ctl, struct arguments *a, int c)
{
	toytimer_registration *r = &a->request.registration;

	switch (c) {
	case CTL_WORD:
		return add_word(ctl, a, optarg);
	case OPTION_EVERY:
		a->every = optarg;
		return ctl_parse_span(ctl, "--every", optarg, false, &r->every);
	case OPTION_COUNT:
		return parse_number(ctl, "--count", optarg, &r->count);
	case OPTION_SLACK:
		return ctl_parse_span(ctl, "--slack", optarg, true, &r->slack);
	case OPTION_CLOCK:
		return parse_clock(ctl, a, optarg);
	case OPTION_WAKE_SYSTEM:
		r->flags |= TOYTIMER_WAKE_SYSTEM;
		return 0;
	case OPTION_LABEL:
		return ctl_parse_label(ctl, optarg, &r->label);
	case OPTION_QUIET:
		a->request.quiet = true;
		return 0;
	case OPTION_JSON:
		a->request.json = true;
		return 0;
	default:
		return parse_queue_option(ctl, a, c);
	}
}

/* Sets the due `remaining` microseconds from now, on any clock. A positive one becomes a span, so
 * that the time until timerd gets the request does not make it late. The clocks of timerqd have
 * other zeroes: a durable timer whose due has passed is due at once. */
static void set_remaining(toytimer_registration *r, int64_t remaining, bool durable)
{
	if (remaining < 0 && durable)
		remaining = 0;
	if (remaining < 0) {
		r->due = clock_after(toytimer_now(r->clock), remaining);
		return;
	}
	r->due = (uint64_t)remaining;
	r->flags |= TOYTIMER_RELATIVE;
}

static int bad_when(struct ctl *ctl, const char *text, const struct when_error *bad, int error)
{
	if (error == -ENOMEM)
		return no_memory(ctl);
	return ctl_usage(ctl, "WHEN %s: \"%.*s\" %s", output_word(text), (int)bad->length,
		bad->word, bad->advice);
}

/*
 * The default clock of a span is boottime, so that neither setting the wall clock nor suspend moves
 * the due. The default clock of a time is the wall clock. With another --clock, a time becomes the
 * span from now until that time.
 */
static int apply_when(struct ctl *ctl, struct arguments *a)
{
	toytimer_registration *r = &a->request.registration;
	uint64_t now = toytimer_now(TOYTIMER_REALTIME);
	struct when_error bad = {0};
	struct when when;
	int error;

	error = when_parse(a->when, now, &when, &bad);
	if (error < 0)
		return bad_when(ctl, a->when, &bad, error);
	if (when.us == WHEN_INFINITY)
		return ctl_usage(
			ctl, "WHEN %s: never comes; say a shorter span or a time", a->when);
	if (when.every_us > 0 && r->every > 0)
		return ctl_usage(ctl, "WHEN %s: already has a period; leave out --every", a->when);
	if (when.suggestion[0] != '\0')
		output_error("WHEN %s: has passed today, so the wake comes at once; say \"%s\" for "
			     "the next day",
			a->when, when.suggestion);
	/* Without WHEN, --every has warned. */
	if (when.kind == WHEN_SPAN && !(a->every && strcmp(a->when, a->every) == 0))
		ctl_warn_of_doubt("WHEN", a->when);
	/* A quiet span uses no time zone. */
	if (when.kind == WHEN_INSTANT || !(a->request.quiet || a->request.json))
		ctl_warn_of_unknown_zone();

	if (!a->clock_given)
		r->clock = when.kind == WHEN_SPAN ? TOYTIMER_BOOTTIME : TOYTIMER_REALTIME;
	if (when.every_us > 0)
		r->every = when.every_us;
	r->due = when.us;
	if (when.kind == WHEN_SPAN)
		r->flags |= TOYTIMER_RELATIVE;
	else if (r->clock != TOYTIMER_REALTIME)
		set_remaining(r, clock_remaining(when.us, now), a->put.queue);
	return 0;
}

/* Checks combinations of options. Returns 0 or CTL_STOP. */
static int check_combinations(struct ctl *ctl, const struct arguments *a)
{
	const toytimer_registration *r = &a->request.registration;

	if (a->request.quiet && a->request.json)
		return ctl_usage(ctl, "--json: cannot be used with --quiet");
	if (!a->put.queue && a->only_queue)
		return ctl_usage(ctl, "%s: needs --queue", a->only_queue);
	if (a->put.queue && a->request.command)
		return ctl_usage(ctl, "--: a durable timer runs no COMMAND; see consume --help");
	if (a->put.keep && !a->put.key)
		return ctl_usage(ctl, "--keep: needs --key");
	if (a->put.payload && a->put.payload_file)
		return ctl_usage(ctl, "--payload: cannot be used with --payload-file");
	if (r->count > 1 && r->every == 0)
		return ctl_usage(
			ctl, "--count %u: needs a period; say one, such as --every 5min", r->count);
	if ((r->flags & TOYTIMER_WAKE_SYSTEM) && r->clock == TOYTIMER_MONOTONIC)
		return ctl_usage(ctl,
			"--wake-system: cannot be used with --clock monotonic; use "
			"boottime or realtime");
	return 0;
}

/* Without WHEN, the argument of --every stands for it. Returns 0 or CTL_STOP. */
static int default_when(struct ctl *ctl, struct arguments *a)
{
	if (a->when)
		return 0;
	if (!a->every)
		return ctl_usage(ctl,
			"register: needs WHEN or --every; "
			"usage: toytimerctl register [OPTION...] [WHEN] [-- COMMAND [ARG...]]");
	if (a->request.registration.every == 0)
		return ctl_usage(ctl,
			"--every %s: is no period; say for example --every 5min, or say WHEN",
			a->every);
	return add_word(ctl, a, a->every);
}

/* Returns 0 or CTL_STOP. */
static int parse(struct ctl *ctl, int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"every", required_argument, NULL, OPTION_EVERY},
		{"count", required_argument, NULL, OPTION_COUNT},
		{"slack", required_argument, NULL, OPTION_SLACK},
		{"clock", required_argument, NULL, OPTION_CLOCK},
		{"wake-system", no_argument, NULL, OPTION_WAKE_SYSTEM},
		{"label", required_argument, NULL, OPTION_LABEL},
		{"quiet", no_argument, NULL, OPTION_QUIET},
		{"json", no_argument, NULL, OPTION_JSON},
		{"queue", required_argument, NULL, OPTION_QUEUE},
		{"key", required_argument, NULL, OPTION_KEY},
		{"keep", no_argument, NULL, OPTION_KEEP},
		{"payload", required_argument, NULL, OPTION_PAYLOAD},
		{"payload-file", required_argument, NULL, OPTION_PAYLOAD_FILE},
		{"max-late", required_argument, NULL, OPTION_MAX_LATE},
		{"max-attempts", required_argument, NULL, OPTION_MAX_ATTEMPTS},
		{NULL, 0, NULL, 0},
	};
	const char *last = NULL; /* the last argument of an option, which may be "--" */
	int c;

	while ((c = ctl_getopt(ctl, argc, argv, "", options)) != CTL_END) {
		if (parse_option(ctl, a, c) == CTL_STOP)
			return CTL_STOP;
		last = optarg;
	}
	if (default_when(ctl, a) == CTL_STOP)
		return CTL_STOP;
	if (optind < argc)
		a->request.command = argv + optind;
	else if (last != argv[argc - 1] && strcmp(argv[argc - 1], "--") == 0)
		return ctl_usage(ctl, "--: needs a COMMAND after it");

	if (apply_when(ctl, a) == CTL_STOP)
		return CTL_STOP;
	a->request.when = a->when;
	return check_combinations(ctl, a);
}

int verb_register(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(arguments_free) struct arguments a = {0};

	if (parse(ctl, argc, argv, &a) == CTL_STOP)
		return ctl->status;
	if (!a.put.queue)
		return wait_for_wakes(ctl, &a.request);
	a.put.when = a.request.when;
	a.put.quiet = a.request.quiet;
	a.put.json = a.request.json;
	return queue_put(ctl, &a.put, &a.request.registration);
}
