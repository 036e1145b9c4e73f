/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl register: its command line, read into a registration. What then happens is in wait.c.
 *
 * WHEN is all the words that stand before "--", so that `register tomorrow 09:00` needs no quotes;
 * the first "--" ends it, and whatever stands behind that belongs to COMMAND, options and all.
 * Without a WHEN, --every's SPAN stands for it: the first wake is one period away.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "ctl.h"
#include "output.h"
#include "queue_put.h"
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
	struct queue_put put;
	const char *only_queue; /* the last option that needs --queue */
	char *when;		/* its words, joined; NULL: none yet */
	const char *every;	/* as it was typed; NULL: not given */
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

/* Says what is wrong with a span or a time: the text, its bad word, and the parser's advice. */
static int bad_time(struct ctl *ctl, const char *name, const char *text,
	const struct when_error *bad, int error)
{
	if (error == -ENOMEM)
		return no_memory(ctl);
	return ctl_usage(ctl, "%s %s: \"%.*s\" %s", name, output_word(text), (int)bad->length,
		bad->word, bad->advice);
}

/* These parse the argument of an option each. They return 0 or CTL_STOP. */

static int parse_span(struct ctl *ctl, const char *option, const char *text, uint64_t *ret)
{
	struct when_error bad = {0};
	int r;

	r = when_parse_span(text, ret, &bad);
	return r < 0 ? bad_time(ctl, option, text, &bad, r) : 0;
}

static int parse_count(struct ctl *ctl, const char *text, uint32_t *ret)
{
	unsigned long long count = 0;
	char *end = NULL;

	errno = 0;
	if (isdigit((unsigned char)*text))
		count = strtoull(text, &end, 10);
	if (!end || *end)
		return ctl_usage(ctl, "--count %s: not a number", output_word(text));
	if (errno != 0 || count > UINT32_MAX)
		return ctl_usage(ctl, "--count %s: out of range", text);
	*ret = (uint32_t)count;
	return 0;
}

static int parse_clock(struct ctl *ctl, struct arguments *a, const char *text)
{
	if (clock_parse(text, &a->request.registration.clock) < 0)
		return ctl_usage(ctl, "--clock %s: not one of monotonic, boottime, realtime",
			output_word(text));
	a->clock_given = true;
	return 0;
}

static int parse_label(struct ctl *ctl, const char *text, const char **ret)
{
	if (strlen(text) > TOYTIMER_LABEL_MAX)
		return ctl_usage(ctl, "--label %s: longer than %d bytes", text, TOYTIMER_LABEL_MAX);
	if (!output_is_plain(text))
		return ctl_usage(ctl, "--label %s: not UTF-8, or has a control character", text);
	*ret = text;
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
	if (parse_span(ctl, "--max-late", text, ret) == CTL_STOP)
		return CTL_STOP;
	/* 0 is the library's word for no limit; no wake is sent within a microsecond. */
	if (*ret == 0)
		*ret = 1;
	return 0;
}

/* What is for durable timers alone. */
static int parse_queue_option(struct ctl *ctl, struct arguments *a, int c)
{
	uint64_t attempts = 0;
	int r;

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
		r = ctl_parse_number(ctl, "--max-attempts", optarg, 0, UINT32_MAX, &attempts);
		a->put.max_attempts = (uint32_t)attempts;
		return r;
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
		return parse_span(ctl, "--every", optarg, &r->every);
	case OPTION_COUNT:
		return parse_count(ctl, optarg, &r->count);
	case OPTION_SLACK:
		return parse_span(ctl, "--slack", optarg, &r->slack);
	case OPTION_CLOCK:
		return parse_clock(ctl, a, optarg);
	case OPTION_WAKE_SYSTEM:
		r->flags |= TOYTIMER_WAKE_SYSTEM;
		return 0;
	case OPTION_LABEL:
		return parse_label(ctl, optarg, &r->label);
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

/* As a span, where there is one: the daemon's clock may be that of another time namespace. */
static void apply_left(toytimer_registration *r, int64_t left, bool durable)
{
	if (left < 0 && !durable) {
		r->due = clock_after(toytimer_now(r->clock), left);
		return;
	}
	/* The queues' own clocks have other zeroes: there, what has passed is due at once. */
	left = left < 0 ? 0 : left;
	r->due = (uint64_t)left;
	r->flags |= TOYTIMER_RELATIVE;
}

/*
 * A span counts on boottime unless asked otherwise, so that neither a set clock nor a suspended
 * machine shifts it; a time is the wall's. On another clock a time is the instant at which that
 * clock will be as far as the wall clock is from it now.
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
		return bad_time(ctl, "WHEN", a->when, &bad, error);
	if (when.us == WHEN_INFINITY)
		return ctl_usage(ctl, "WHEN %s: never comes", a->when);
	if (when.every_us > 0 && r->every > 0)
		return ctl_usage(
			ctl, "WHEN %s: does not go with --every; say one of them", a->when);
	if (when.instead[0] != '\0')
		output_error("WHEN %s: has passed today, so the wake comes at once; say \"%s\" for "
			     "the next day",
			a->when, when.instead);

	if (!a->clock_given)
		r->clock = when.kind == WHEN_SPAN ? TOYTIMER_BOOTTIME : TOYTIMER_REALTIME;
	if (when.every_us > 0)
		r->every = when.every_us;
	r->due = when.us;
	if (when.kind == WHEN_SPAN)
		r->flags |= TOYTIMER_RELATIVE;
	else if (r->clock != TOYTIMER_REALTIME)
		apply_left(r, clock_left(when.us, now), a->put.queue);
	return 0;
}

/* What only the options together tell. */
static int check_together(struct ctl *ctl, const struct arguments *a)
{
	const toytimer_registration *r = &a->request.registration;

	if (a->request.quiet && a->request.json)
		return ctl_usage(ctl, "--json: does not go with --quiet");
	if (!a->put.queue && a->only_queue)
		return ctl_usage(ctl, "%s: needs --queue", a->only_queue);
	if (a->put.queue && a->request.command)
		return ctl_usage(ctl, "--: a durable timer runs no COMMAND; see consume");
	if (a->put.keep && !a->put.key)
		return ctl_usage(ctl, "--keep: needs --key");
	if (a->put.payload && a->put.payload_file)
		return ctl_usage(ctl, "--payload: does not go with --payload-file");
	if (r->count > 1 && r->every == 0)
		return ctl_usage(ctl, "--count %u: needs --every", r->count);
	if ((r->flags & TOYTIMER_WAKE_SYSTEM) && r->clock == TOYTIMER_MONOTONIC)
		return ctl_usage(ctl, "--wake-system: does not go with --clock monotonic");
	return 0;
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
	const char *last = NULL; /* argument of an option: a "--" there is no end of anything */
	int c;

	while ((c = ctl_getopt(ctl, argc, argv, "", options)) != CTL_END) {
		if (parse_option(ctl, a, c) == CTL_STOP)
			return CTL_STOP;
		last = optarg;
	}
	if (!a->when && a->request.registration.every > 0 && add_word(ctl, a, a->every) == CTL_STOP)
		return CTL_STOP;
	if (!a->when)
		return ctl_usage(
			ctl, "usage: toytimerctl register [OPTION...] WHEN [-- COMMAND [ARG...]]");
	if (optind < argc)
		a->request.command = argv + optind;
	else if (last != argv[argc - 1] && strcmp(argv[argc - 1], "--") == 0)
		return ctl_usage(ctl, "--: needs a COMMAND behind it");

	if (apply_when(ctl, a) == CTL_STOP)
		return CTL_STOP;
	a->request.when = a->when;
	return check_together(ctl, a);
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
