/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl status: the counters of timerd. One table lists the counters for both forms of the
 * output, so that text and JSON show the same.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "ctl.h"
#include "output.h"
#include "verbs.h"
#include "when.h"

enum {
	OPTION_JSON = CTL_OPTION_VERB,
	OPTION_QUEUES,
};

struct figure {
	const char *name; /* in JSON, "_us" follows the name of a span */
	uint64_t value;
	bool is_span; /* in microseconds */
};

/* The order of the output. The version, a text, comes before these. */
#define FIGURES 18

static void figures_of(const toytimer_status *s, struct figure figures[static FIGURES])
{
	const struct figure all[FIGURES] = {
		{"pid", s->pid, false},
		{"uptime", s->uptime, true},
		{"clients", s->clients, false},
		{"timers", s->timers, false},
		{"next", s->next, true},
		{"registered", s->registered, false},
		{"woken", s->woken, false},
		{"cancelled", s->cancelled, false},
		{"refused", s->refused, false},
		{"wakeups", s->wakeups, false},
		{"late_p50", s->late_p50, true},
		{"late_p99", s->late_p99, true},
		{"late_max", s->late_max, true},
		{"restarts", s->restarts, false},
		{"adopted_sessions", s->adopted_sessions, false},
		{"adopted_timers", s->adopted_timers, false},
		{"dropped_records", s->dropped_records, false},
		{"warnings", s->warnings, false},
	};

	memcpy(figures, all, sizeof(all));
}

static int print_json(FILE *out, const toytimer_status *s)
{
	struct figure figures[FIGURES];
	json_t *object;

	object = json_object();
	output_json_add(&object, "version", output_json_text(s->version));
	figures_of(s, figures);
	for (size_t i = 0; i < FIGURES; i++) {
		bool never = figures[i].is_span && figures[i].value == TOYTIMER_FOREVER;
		char key[32];

		snprintf(
			key, sizeof(key), "%s%s", figures[i].name, figures[i].is_span ? "_us" : "");
		output_json_add(
			&object, key, never ? json_null() : output_json_number(figures[i].value));
	}
	return output_json(out, object) < 0 ? -1 : output_flush(out);
}

static int print_lines(FILE *out, const toytimer_status *s)
{
	struct figure figures[FIGURES];
	char span[WHEN_SPAN_MAX];

	fprintf(out, "%16s: %s\n", "version", s->version);
	figures_of(s, figures);
	for (size_t i = 0; i < FIGURES; i++) {
		const struct figure *f = &figures[i];

		if (!f->is_span)
			fprintf(out, "%16s: %llu\n", f->name, (unsigned long long)f->value);
		else if (f->value == TOYTIMER_FOREVER)
			fprintf(out, "%16s: -\n", f->name);
		else
			fprintf(out, "%16s: %s\n", f->name,
				when_format_span(span, sizeof(span), f->value, 0));
	}
	return output_flush(out);
}

int verb_status(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"json", no_argument, NULL, OPTION_JSON},
		{"queues", no_argument, NULL, OPTION_QUEUES},
		{NULL, 0, NULL, 0},
	};
	_cleanup_(ctl_close) toytimer *t = NULL;
	toytimer_status s;
	bool json = false, queues = false;
	int c, r;

	while ((c = ctl_getopt(ctl, argc, argv, "", options)) != CTL_END) {
		if (c == CTL_WORD)
			ctl_usage(ctl, "%s: status takes no arguments", output_word(optarg));
		if (c == OPTION_JSON)
			json = true;
		else if (c == OPTION_QUEUES)
			queues = true;
		else
			return ctl->status;
	}
	if (optind < argc) {
		ctl_usage(ctl, "%s: status takes no arguments", output_word(argv[optind]));
		return ctl->status;
	}

	if (queues)
		return queue_status(ctl, json);
	r = ctl_open(ctl, &t);
	if (r != CTL_DONE)
		return r;
	r = toytimer_get_status(t, &s);
	if (r < 0) {
		output_error("status: %s", toytimer_strerror(r));
		return ctl_status_of(r);
	}
	return (json ? print_json(ctl->out, &s) : print_lines(ctl->out, &s)) < 0 ? CTL_FAILED
										 : CTL_DONE;
}
