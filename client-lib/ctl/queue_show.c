/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl queues, list --queue and status --queues.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "ctl.h"
#include "output.h"
#include "queue_table.h"
#include "table.h"
#include "verbs.h"
#include "when.h"

#define SECOND UINT64_C(1000000)
#define MINUTE (60 * SECOND)

struct shown {
	json_t *array; /* NULL: a table, or out of memory */
	struct queue_table table;
	struct columns columns; /* none: all */
	struct table_user user;
	uint64_t now; /* the wall clock */
	const char *queue;
	bool json;
};

static void shown_free(struct shown *s)
{
	json_decref(s->array);
	s->array = NULL;
	queue_table_free(&s->table);
}

/* The cells of one line. */
struct row {
	char cells[16][320];
	size_t n;
};

static char *next_cell(struct row *row)
{
	return row->cells[row->n++];
}

static void add_number(struct row *row, uint64_t number)
{
	snprintf(next_cell(row), sizeof(row->cells[0]), "%llu", (unsigned long long)number);
}

static void add_text(struct row *row, const char *text)
{
	snprintf(next_cell(row), sizeof(row->cells[0]), "%s", *text ? text : "-");
}

/* Below a minute with milliseconds, else in seconds. JSON has the exact value. */
static void add_span(struct row *row, uint64_t span, const char *after)
{
	char text[WHEN_SPAN_MAX];

	if (span == TOYTIMER_FOREVER) {
		add_text(row, "");
		return;
	}
	when_format_span(text, sizeof(text), span, span < MINUTE ? 1000 : SECOND);
	snprintf(next_cell(row), sizeof(row->cells[0]), "%s%s", text, after);
}

static int add_row(struct shown *s, const struct row *row)
{
	const char *cells[16];

	for (size_t i = 0; i < row->n; i++)
		cells[i] = row->cells[i];
	return queue_table_add(&s->table, cells);
}

static int add_json(struct shown *s, json_t *object)
{
	return object && json_array_append_new(s->array, object) == 0 ? 0 : -ENOMEM;
}

/* Prints the table or the JSON object, and frees the array. Returns an exit status. */
static int print(FILE *out, struct shown *s, const char *name, bool legend, const char *thing)
{
	json_t *object;

	if (!s->json)
		return queue_table_print(out, &s->table, &s->columns, legend, thing);
	object = json_object();
	output_json_add(&object, name, s->array);
	s->array = NULL;
	return output_json(out, object) < 0 || output_flush(out) < 0 ? CTL_FAILED : CTL_DONE;
}

static const struct column queue_columns[] = {
	{"NAME", 0},
	{"USER", 0},
	{"TIMERS", SCOLS_FL_RIGHT},
	{"DUE", SCOLS_FL_RIGHT},
	{"UNACKED", SCOLS_FL_RIGHT},
	{"PARKED", SCOLS_FL_RIGHT},
	{"CONSUMERS", SCOLS_FL_RIGHT},
	{"OLDEST", SCOLS_FL_RIGHT},
	{"NEXT", SCOLS_FL_RIGHT},
	{"HOST", 0},
	{"TERM", SCOLS_FL_RIGHT},
};

static json_t *number_or_never(uint64_t number)
{
	return number == TOYTIMER_FOREVER ? json_null() : output_json_number(number);
}

static json_t *json_of_queue(const toytimer_queue_info *info)
{
	json_t *object = json_object();

	output_json_add(&object, "name", output_json_text(info->name));
	output_json_add(&object, "uid", json_integer(info->uid));
	output_json_add(&object, "timers", output_json_number(info->timers));
	output_json_add(&object, "due", output_json_number(info->due));
	output_json_add(&object, "unacked", output_json_number(info->unacked));
	output_json_add(&object, "parked", output_json_number(info->parked));
	output_json_add(&object, "consumers", output_json_number(info->consumers));
	output_json_add(&object, "oldest_us", number_or_never(info->oldest));
	output_json_add(&object, "next_us", number_or_never(info->next));
	output_json_add(&object, "host", *info->host ? output_json_text(info->host) : json_null());
	output_json_add(&object, "term", output_json_number(info->term));
	return object;
}

static int add_queue(const toytimer_queue_info *info, void *userdata)
{
	struct shown *s = userdata;
	struct row row = {.n = 0};

	if (s->json)
		return add_json(s, json_of_queue(info));
	add_text(&row, info->name);
	add_text(&row, table_user_name(&s->user, info->uid));
	add_number(&row, info->timers);
	add_number(&row, info->due);
	add_number(&row, info->unacked);
	add_number(&row, info->parked);
	add_number(&row, info->consumers);
	add_span(&row, info->oldest, "");
	add_span(&row, info->next, "");
	add_text(&row, info->host);
	if (info->term)
		add_number(&row, info->term);
	else
		add_text(&row, "");
	return add_row(s, &row);
}

enum {
	OPTION_ALL = CTL_OPTION_VERB,
	OPTION_JSON,
	OPTION_NO_LEGEND,
};

int verb_queues(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"all", no_argument, NULL, OPTION_ALL},
		{"json", no_argument, NULL, OPTION_JSON},
		{"no-legend", no_argument, NULL, OPTION_NO_LEGEND},
		{NULL, 0, NULL, 0},
	};
	_cleanup_(ctl_close_queues) toytimer_queue *q = NULL;
	_cleanup_(shown_free) struct shown s = {
		.table = {.columns = queue_columns,
			.n = sizeof(queue_columns) / sizeof(queue_columns[0])},
	};
	bool legend = true;
	unsigned int flags = 0;
	int c, r;

	while ((c = ctl_getopt(ctl, argc, argv, "", options)) != CTL_END) {
		if (c == OPTION_ALL)
			flags = TOYTIMER_QUEUE_LIST_ALL;
		else if (c == OPTION_JSON)
			s.json = true;
		else if (c == OPTION_NO_LEGEND)
			legend = false;
		else if (c == CTL_WORD)
			c = ctl_usage(ctl, "%s: queues takes no arguments", output_word(optarg));
		if (c == CTL_STOP)
			return ctl->status;
	}
	if (optind < argc) {
		ctl_usage(ctl, "%s: queues takes no arguments", output_word(argv[optind]));
		return ctl->status;
	}
	r = ctl_open_queues(ctl, &q);
	if (r != CTL_DONE)
		return r;
	s.array = s.json ? json_array() : NULL;
	r = toytimer_queue_queues(q, flags, add_queue, &s);
	if (r == -EACCES && flags) {
		output_error("--all: only root may list the queues of all users");
		return CTL_REFUSED;
	}
	if (r < 0)
		return ctl_queue_failed("queues", r);
	return print(ctl->out, &s, "queues", legend, "queue");
}

static const struct column timer_columns[] = {
	{"ID", SCOLS_FL_RIGHT},
	{"KEY", 0},
	{"DUE", 0},
	{"LEFT", SCOLS_FL_RIGHT},
	{"EVERY", SCOLS_FL_RIGHT},
	{"STATE", 0},
	{"ATTEMPT", SCOLS_FL_RIGHT},
	{"FIRED", SCOLS_FL_RIGHT},
	{"SIZE", SCOLS_FL_RIGHT},
	{"CLOCK", 0},
	{"LABEL", 0},
};

static const char *state_name(enum toytimer_queue_state state)
{
	static const char *const names[] = {"waiting", "held", "due", "unacked", "parked"};

	return (unsigned int)state < sizeof(names) / sizeof(names[0]) ? names[state] : "-";
}

static json_t *json_of_timer(const toytimer_queue_listed *l, const char *queue)
{
	json_t *object = json_object();

	output_json_add(&object, "id", output_json_number(l->id));
	output_json_add(&object, "queue", output_json_text(queue));
	output_json_add(&object, "key", output_json_text(l->key));
	output_json_add(&object, "label", output_json_text(l->label));
	output_json_add(&object, "clock", output_json_text(clock_name(l->clock)));
	output_json_add(&object, "due_us", output_json_number(l->due));
	output_json_add(&object, "left_us", json_integer(l->left));
	output_json_add(&object, "slack_us", output_json_number(l->slack));
	output_json_add(&object, "every_us", output_json_number(l->every));
	output_json_add(&object, "fired", json_integer(l->fired));
	output_json_add(&object, "attempt", json_integer(l->attempt));
	output_json_add(&object, "state", json_string(state_name(l->state)));
	output_json_add(&object, "payload_size", json_integer(l->payload_size));
	output_json_add(&object, "uid", json_integer(l->uid));
	return object;
}

static int add_timer(const toytimer_queue_listed *l, void *userdata)
{
	struct shown *s = userdata;
	struct row row = {.n = 0};
	uint64_t wall = l->clock == TOYTIMER_REALTIME ? l->due : clock_after(s->now, l->left);

	if (s->json)
		return add_json(s, json_of_timer(l, s->queue));
	add_number(&row, l->id);
	add_text(&row, l->key);
	when_format_timestamp(next_cell(&row), sizeof(row.cells[0]), wall, WHEN_LOCAL);
	add_span(&row, l->left < 0 ? -(uint64_t)l->left : (uint64_t)l->left,
		l->left < 0 ? " ago" : "");
	add_span(&row, l->every ? l->every : TOYTIMER_FOREVER, "");
	add_text(&row, state_name(l->state));
	add_number(&row, l->attempt);
	add_number(&row, l->fired);
	add_number(&row, l->payload_size);
	add_text(&row, clock_name(l->clock));
	add_text(&row, l->label);
	return add_row(s, &row);
}

/* How often to begin a listing that timerqd interrupts. */
#define LIST_TRIES 3

/* Lists the queue into s. timerqd may be restarted meanwhile. Return: 0 or a negative errno. */
static int list_into(struct shown *s, toytimer_queue *q, unsigned int flags)
{
	int r = -ECONNRESET;

	for (int tries = 0; r == -ECONNRESET && tries < LIST_TRIES; tries++) {
		shown_free(s);
		s->array = s->json ? json_array() : NULL;
		r = toytimer_queue_list(q, s->queue, flags, add_timer, s);
	}
	return r;
}

int queue_list_timers(struct ctl *ctl, const struct queue_list_options *options)
{
	_cleanup_(ctl_close_queues) toytimer_queue *q = NULL;
	_cleanup_(shown_free) struct shown s = {
		.table = {.columns = timer_columns,
			.n = sizeof(timer_columns) / sizeof(timer_columns[0])},
		.queue = options->queue,
		.json = options->json,
	};
	int r;

	if (options->columns &&
		columns_parse(ctl, timer_columns, s.table.n, options->columns, &s.columns) ==
			CTL_STOP)
		return ctl->status;
	r = ctl_open_queues(ctl, &q);
	if (r != CTL_DONE)
		return r;
	if (!s.json)
		ctl_warn_of_unknown_zone();
	s.now = toytimer_now(TOYTIMER_REALTIME);
	r = list_into(&s, q, options->parked ? TOYTIMER_QUEUE_LIST_PARKED : 0);
	if (r < 0)
		return ctl_queue_failed(options->queue, r);
	return print(ctl->out, &s, "timers", options->legend, "timer");
}

/* The numbers of the status, in the order of the output: after the version, before the store. */
#define FIGURES 14

struct figure {
	const char *name;
	uint64_t value;
};

static void figures_of(const toytimer_queue_status *s, struct figure ret[static FIGURES])
{
	const struct figure all[FIGURES] = {
		{"pid", s->pid},
		{"uptime_us", s->uptime},
		{"clients", s->clients},
		{"queues", s->queues},
		{"timers", s->timers},
		{"unacked", s->unacked},
		{"parked", s->parked},
		{"stored", s->stored},
		{"delivered", s->delivered},
		{"acknowledged", s->acknowledged},
		{"retried", s->retried},
		{"missed", s->missed},
		{"dropped", s->dropped},
		{"refused", s->refused},
	};

	memcpy(ret, all, sizeof(all));
}

static const char *store_name(enum toytimer_queue_store store)
{
	static const char *const names[] = {"ok", "full", "failed", "away"};

	return (unsigned int)store < sizeof(names) / sizeof(names[0]) ? names[store] : "-";
}

static int print_status_json(FILE *out, const toytimer_queue_status *s)
{
	struct figure figures[FIGURES];
	json_t *object = json_object();

	figures_of(s, figures);
	output_json_add(&object, "version", output_json_text(s->version));
	for (size_t i = 0; i < FIGURES; i++)
		output_json_add(&object, figures[i].name, output_json_number(figures[i].value));
	output_json_add(&object, "store", json_string(store_name(s->store)));
	if (s->clock_off != INT64_MIN) {
		output_json_add(&object, "standby", output_json_number(s->standby));
		output_json_add(&object, "clock_off_us", json_integer(s->clock_off));
	}
	return output_json(out, object) < 0 ? -1 : output_flush(out);
}

static int print_status_lines(FILE *out, const toytimer_queue_status *s)
{
	struct figure figures[FIGURES];
	char span[WHEN_SPAN_MAX];

	figures_of(s, figures);
	fprintf(out, "%16s: %s\n", "version", s->version);
	for (size_t i = 0; i < FIGURES; i++) {
		if (!strcmp(figures[i].name, "uptime_us"))
			fprintf(out, "%16s: %s\n", "uptime",
				when_format_span(span, sizeof(span), figures[i].value, 0));
		else
			fprintf(out, "%16s: %llu\n", figures[i].name,
				(unsigned long long)figures[i].value);
	}
	fprintf(out, "%16s: %s\n", "store", store_name(s->store));
	if (s->clock_off != INT64_MIN) {
		uint64_t off = s->clock_off < 0 ? -(uint64_t)s->clock_off : (uint64_t)s->clock_off;

		fprintf(out, "%16s: %llu\n", "standby", (unsigned long long)s->standby);
		fprintf(out, "%16s: %s%s\n", "clock_off", s->clock_off < 0 ? "-" : "",
			when_format_span(span, sizeof(span), off, 0));
	}
	return output_flush(out);
}

int queue_status(struct ctl *ctl, bool json)
{
	_cleanup_(ctl_close_queues) toytimer_queue *q = NULL;
	toytimer_queue_status s;
	int r = ctl_open_queues(ctl, &q);

	if (r != CTL_DONE)
		return r;
	r = toytimer_queue_get_status(q, &s);
	if (r < 0)
		return ctl_queue_failed("status --queues", r);
	return (json ? print_status_json(ctl->out, &s) : print_status_lines(ctl->out, &s)) < 0
		? CTL_FAILED
		: CTL_DONE;
}
