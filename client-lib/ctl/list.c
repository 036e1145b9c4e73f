/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl list: who waits for what, until when. The daemon lists in no order, so everything is
 * gathered first, and shown with what comes next at the top.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "ctl.h"
#include "output.h"
#include "table.h"

enum {
	OPTION_ALL = CTL_OPTION_VERB,
	OPTION_JSON,
	OPTION_NO_LEGEND,
	OPTION_QUEUE,
	OPTION_PARKED,
};

struct list_options {
	bool all;
	bool json;
	bool legend;
	struct table_columns columns;	 /* none: the default */
	struct queue_list_options queue; /* its queue NULL: no --queue */
};

struct gathered {
	toytimer_listed *timers; /* with texts of our own */
	size_t n, room;
};

static void gathered_free(struct gathered *g)
{
	for (size_t i = 0; i < g->n; i++) {
		free((char *)g->timers[i].label);
		free((char *)g->timers[i].comm);
	}
	free(g->timers);
}

/*
 * The name of a client's process. The daemon tells it where it can see the process; in the sandbox
 * of the system's unit it sees none but itself, and whoever asks for a list may look for himself. A
 * session lives as long as its connection, so the pid is still its process's, or nobody's.
 */
static char *comm_of(const toytimer_listed *listed)
{
	char path[32], line[32] = "";
	FILE *f = NULL;

	if (*listed->comm)
		return strdup(listed->comm);
	snprintf(path, sizeof(path), "/proc/%u/comm", listed->pid);
	f = fopen(path, "re");
	if (f) {
		if (fgets(line, sizeof(line), f))
			line[strcspn(line, "\n")] = 0;
		fclose(f);
	}
	/* A process may name itself as it likes, and this goes to a terminal: as the daemon does
	 * it. */
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
			*c = '?';
	return strdup(line);
}

static int gather(const toytimer_listed *listed, void *userdata)
{
	struct gathered *g = userdata;
	char *label, *comm;

	if (g->n == g->room) {
		size_t room = g->room ? 2 * g->room : 64;
		toytimer_listed *timers = reallocarray(g->timers, room, sizeof(*timers));

		if (!timers)
			return -ENOMEM;
		g->timers = timers;
		g->room = room;
	}

	label = strdup(listed->label);
	comm = comm_of(listed);
	if (!label || !comm) {
		free(label);
		free(comm);
		return -ENOMEM;
	}
	g->timers[g->n] = *listed;
	g->timers[g->n].label = label;
	g->timers[g->n].comm = comm;
	g->n++;
	return 0;
}

static int compare_left(const void *a, const void *b)
{
	const toytimer_listed *x = a, *y = b;

	if (x->left != y->left)
		return x->left < y->left ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static json_t *json_of(const toytimer_listed *l, struct table_user *user)
{
	json_t *object = json_object();

	output_json_add(&object, "id", output_json_number(l->id));
	output_json_add(&object, "label", output_json_text(l->label));
	output_json_add(&object, "clock", output_json_text(clock_name(l->clock)));
	output_json_add(&object, "due_us", output_json_number(l->due));
	output_json_add(&object, "left_us", json_integer(l->left));
	output_json_add(&object, "slack_us", output_json_number(l->slack));
	output_json_add(&object, "every_us", output_json_number(l->every));
	output_json_add(&object, "fired", json_integer(l->fired));
	output_json_add(&object, "uid", json_integer(l->uid));
	output_json_add(&object, "pid", json_integer(l->pid));
	output_json_add(&object, "comm", output_json_text(l->comm));
	output_json_add(&object, "count", json_integer(table_count(l)));
	output_json_add(&object, "wake_system", json_boolean(l->flags & TOYTIMER_WAKE_SYSTEM));
	output_json_add(&object, "user", output_json_text(table_user_name(user, l->uid)));
	return object;
}

static int print_json(const struct gathered *g)
{
	json_t *array = json_array(), *object = json_object();
	struct table_user user = {0};

	for (size_t i = 0; i < g->n; i++) {
		if (json_array_append_new(array, json_of(&g->timers[i], &user)) == 0)
			continue;
		json_decref(array);
		array = NULL;
		break;
	}
	output_json_add(&object, "timers", array);
	return output_json(stdout, object) < 0 ? CTL_FAILED : CTL_DONE;
}

static int print_table(
	const struct gathered *g, const struct list_options *options, uint64_t now, uint64_t others)
{
	struct table_columns columns = options->columns;

	if (columns.n == 0)
		table_default_columns(&columns, options->all);
	/* Headings of nothing are noise. */
	if (g->n > 0 && table_print(g->timers, g->n, &columns, options->legend, now) < 0)
		return ctl_no_memory();
	if (options->legend && table_print_sum(g->n) < 0)
		return ctl_no_memory();
	if (options->legend && others > 0)
		printf("Other users have %llu: --all lists them, too.\n",
			(unsigned long long)others);
	return output_flush(stdout) < 0 ? CTL_FAILED : CTL_DONE;
}

/* Of -o. Returns 0 or CTL_STOP. */
static int parse_columns(struct ctl *ctl, const char *names, struct table_columns *ret)
{
	const char *word;
	size_t length;
	int r;

	r = table_parse_columns(names, ret, &word, &length);
	if (r == -E2BIG)
		return ctl_usage(ctl, "-o %s: more than %d columns", names, TABLE_COLUMNS_MAX);
	if (r < 0)
		return ctl_usage(ctl, "-o %.*s: no such column, see --help", (int)length, word);
	return 0;
}

/* Returns 0 or CTL_STOP. */
static int parse_options(struct ctl *ctl, int argc, char **argv, struct list_options *ret)
{
	static const struct option options[] = {
		{"all", no_argument, NULL, OPTION_ALL},
		{"json", no_argument, NULL, OPTION_JSON},
		{"no-legend", no_argument, NULL, OPTION_NO_LEGEND},
		{"queue", required_argument, NULL, OPTION_QUEUE},
		{"parked", no_argument, NULL, OPTION_PARKED},
		{NULL, 0, NULL, 0},
	};
	int c;

	*ret = (struct list_options){.legend = true};
	while ((c = ctl_getopt(ctl, argc, argv, "o:", options)) != CTL_END) {
		if (c == OPTION_ALL)
			ret->all = true;
		else if (c == OPTION_JSON)
			ret->json = true;
		else if (c == OPTION_NO_LEGEND)
			ret->legend = false;
		else if (c == CTL_WORD)
			return ctl_usage(ctl, "%s: list takes no argument", output_word(optarg));
		else if (c == OPTION_QUEUE)
			ret->queue.queue = optarg;
		else if (c == OPTION_PARKED)
			ret->queue.parked = true;
		else if (c == 'o')
			ret->queue.columns = optarg;
		else
			return CTL_STOP;
	}
	if (optind < argc)
		return ctl_usage(ctl, "%s: list takes no argument", output_word(argv[optind]));
	ret->queue.json = ret->json;
	ret->queue.legend = ret->legend;
	if (ret->queue.queue && ret->all)
		return ctl_usage(ctl, "--all: does not go with --queue");
	if (ret->queue.queue)
		return ctl_check_queue(ctl, "--queue", ret->queue.queue);
	if (ret->queue.parked)
		return ctl_usage(ctl, "--parked: needs --queue");
	if (ret->queue.columns)
		return parse_columns(ctl, ret->queue.columns, &ret->columns);
	return 0;
}

int verb_list(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(ctl_close) toytimer *t = NULL;
	_cleanup_(gathered_free) struct gathered g = {0};
	struct list_options options;
	uint64_t now, others = 0;
	toytimer_status status;
	int r;

	if (parse_options(ctl, argc, argv, &options) == CTL_STOP)
		return ctl->status;
	if (options.queue.queue)
		return queue_list(ctl, &options.queue);
	r = ctl_open(ctl, &t);
	if (r != CTL_DONE)
		return r;

	r = toytimer_list(t, options.all ? TOYTIMER_LIST_ALL : 0, gather, &g);
	now = toytimer_now(TOYTIMER_REALTIME);
	if (r < 0) {
		output_error("list%s: %s", options.all ? " --all" : "", toytimer_strerror(r));
		return ctl_status_of(r);
	}
	/* To root status counts all timers, to others their own. */
	if (!options.all && !options.json && toytimer_get_status(t, &status) == 0 &&
		status.timers > g.n)
		others = status.timers - g.n;
	if (g.n > 0)
		qsort(g.timers, g.n, sizeof(*g.timers), compare_left);
	return options.json ? print_json(&g) : print_table(&g, &options, now, others);
}
