/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl list. timerd lists timers in no order, so this file first collects all of them, then
 * sorts them by their due and prints them.
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
#include "verbs.h"

enum {
	OPTION_ALL = CTL_OPTION_VERB,
	OPTION_OF_USER,
	OPTION_LABEL,
	OPTION_JSON,
	OPTION_NO_LEGEND,
	OPTION_QUEUE,
	OPTION_PARKED,
};

struct list_options {
	bool all;
	bool json;
	bool legend;
	toytimer_match match;	  /* flags: 0, or those of --all or --user */
	const char *column_names; /* the argument of -o; NULL: the default */
	struct columns columns;	  /* none: the default */
	const char *queue;	  /* NULL: timers of timerd */
	bool parked;
};

struct listing {
	toytimer_listed *timers; /* label and comm are owned */
	size_t n, capacity;
};

static void listing_free(struct listing *listing)
{
	for (size_t i = 0; i < listing->n; i++) {
		free((char *)listing->timers[i].label);
		free((char *)listing->timers[i].comm);
	}
	free(listing->timers);
}

static int listing_add(const toytimer_listed *listed, void *userdata)
{
	struct listing *listing = userdata;
	char *label, *comm;

	if (listing->n == listing->capacity) {
		size_t capacity = listing->capacity ? 2 * listing->capacity : 64;
		toytimer_listed *timers = reallocarray(listing->timers, capacity, sizeof(*timers));

		if (!timers)
			return -ENOMEM;
		listing->timers = timers;
		listing->capacity = capacity;
	}

	label = strdup(listed->label);
	comm = strdup(listed->comm);
	if (!label || !comm) {
		free(label);
		free(comm);
		return -ENOMEM;
	}
	listing->timers[listing->n] = *listed;
	listing->timers[listing->n].label = label;
	listing->timers[listing->n].comm = comm;
	listing->n++;
	return 0;
}

/* The name of a process from /proc, "" if unknown. The caller frees it; NULL: out of memory. */
static char *read_comm(uint32_t pid)
{
	char path[32], line[32] = "";
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	f = fopen(path, "re");
	if (f) {
		if (fgets(line, sizeof(line), f))
			line[strcspn(line, "\n")] = 0;
		fclose(f);
	}
	/* A process chooses its own name. timerd replaces the same bytes. */
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e)
			*c = '?';
	return strdup(line);
}

static bool lacks_comm(const struct listing *listing)
{
	for (size_t i = 0; i < listing->n; i++)
		if (!*listing->timers[i].comm)
			return true;
	return false;
}

/*
 * The sandbox of the system's unit hides other processes from timerd, which then lists no name.
 * Adds the names from our /proc, but only if the process ids are of our pid namespace: the id of a
 * process in a container is that of another process here. Returns 0 or -ENOMEM.
 */
static int listing_add_comms(
	struct listing *listing, const struct ctl *ctl, const toytimer_status *status)
{
	if (!lacks_comm(listing) || !ctl_shares_pids(ctl, status->pid))
		return 0;
	for (size_t i = 0; i < listing->n; i++) {
		toytimer_listed *l = &listing->timers[i];
		char *comm;

		if (*l->comm)
			continue;
		comm = read_comm(l->pid);
		if (!comm)
			return -ENOMEM;
		free((char *)l->comm);
		l->comm = comm;
	}
	return 0;
}

/* By the time until the due, since dues of different clocks do not compare. */
static int compare_due(const void *a, const void *b)
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
	output_json_add(&object, "count", json_integer(table_wake_count(l)));
	output_json_add(&object, "wake_system", json_boolean(l->flags & TOYTIMER_WAKE_SYSTEM));
	output_json_add(&object, "user", output_json_text(table_user_name(user, l->uid)));
	return object;
}

static int print_json(FILE *out, const struct listing *listing)
{
	json_t *array = json_array(), *object = json_object();
	struct table_user user = {0};

	for (size_t i = 0; i < listing->n; i++) {
		if (json_array_append_new(array, json_of(&listing->timers[i], &user)) == 0)
			continue;
		json_decref(array);
		array = NULL;
		break;
	}
	output_json_add(&object, "timers", array);
	return output_json(out, object) < 0 || output_flush(out) < 0 ? CTL_FAILED : CTL_DONE;
}

static int print_table(FILE *out, const struct listing *listing, const struct list_options *options,
	uint64_t now, uint64_t others)
{
	struct columns columns = options->columns;

	if (listing->n > 0)
		ctl_warn_of_unknown_zone();
	if (columns.n == 0)
		table_default_columns(&columns, options->all);
	/* An empty table has no headings. */
	if (listing->n > 0 &&
		table_print(out, listing->timers, listing->n, &columns, options->legend, now) < 0)
		return ctl_no_memory();
	if (options->legend && columns_print_sum(out, listing->n, "timer") < 0)
		return ctl_no_memory();
	if (options->legend && others > 0)
		fprintf(out, "Other users have %llu: --all lists them, too.\n",
			(unsigned long long)others);
	return output_flush(out) < 0 ? CTL_FAILED : CTL_DONE;
}

/* Returns 0 or CTL_STOP. A queue has other columns: queue_list_timers() parses their names. */
static int check_options(struct ctl *ctl, struct list_options *options)
{
	const char *option = options->all ? "--all" : options->match.flags ? "--user" : "--label";

	if (options->queue && (options->all || options->match.flags || options->match.label))
		return ctl_usage(ctl, "%s: cannot be used with --queue", option);
	if (options->all && options->match.flags)
		return ctl_usage(ctl, "--all: cannot be used with --user");
	if (options->queue)
		return ctl_check_queue(ctl, "--queue", options->queue);
	if (options->parked)
		return ctl_usage(ctl, "--parked: needs --queue");
	if (options->column_names)
		return table_parse_columns(ctl, options->column_names, &options->columns);
	return 0;
}

/* Returns 0 or CTL_STOP. */
static int parse_option(struct ctl *ctl, int c, struct list_options *options)
{
	switch (c) {
	case OPTION_ALL:
		options->all = true;
		return 0;
	case OPTION_OF_USER:
		return ctl_parse_user(ctl, optarg, &options->match);
	case OPTION_LABEL:
		return ctl_parse_label(ctl, optarg, &options->match.label);
	case OPTION_JSON:
		options->json = true;
		return 0;
	case OPTION_NO_LEGEND:
		options->legend = false;
		return 0;
	case OPTION_QUEUE:
		options->queue = optarg;
		return 0;
	case OPTION_PARKED:
		options->parked = true;
		return 0;
	case 'o':
		options->column_names = optarg;
		return 0;
	case CTL_WORD:
		return ctl_usage(ctl, "%s: list takes no arguments", output_word(optarg));
	default:
		return CTL_STOP;
	}
}

/* Returns 0 or CTL_STOP. */
static int parse_options(struct ctl *ctl, int argc, char **argv, struct list_options *ret)
{
	/* After this verb, --user takes a user. It hides the common --user. */
	static const struct option options[] = {
		{"all", no_argument, NULL, OPTION_ALL},
		{"user", required_argument, NULL, OPTION_OF_USER},
		{"label", required_argument, NULL, OPTION_LABEL},
		{"json", no_argument, NULL, OPTION_JSON},
		{"no-legend", no_argument, NULL, OPTION_NO_LEGEND},
		{"queue", required_argument, NULL, OPTION_QUEUE},
		{"parked", no_argument, NULL, OPTION_PARKED},
		{NULL, 0, NULL, 0},
	};
	int c;

	*ret = (struct list_options){.legend = true};
	while ((c = ctl_getopt(ctl, argc, argv, "o:", options)) != CTL_END)
		if (parse_option(ctl, c, ret) == CTL_STOP)
			return CTL_STOP;
	if (optind < argc)
		return ctl_usage(ctl, "%s: list takes no arguments", output_word(argv[optind]));
	return check_options(ctl, ret);
}

/* Lists and gets the status. Returns CTL_DONE, or prints an error and returns another status. */
static int fetch(const struct ctl *ctl, const struct list_options *options, struct listing *listing,
	toytimer_status *ret_status)
{
	toytimer_match match = options->match;
	_cleanup_(ctl_close) toytimer *t = NULL;
	int r;

	r = ctl_open(ctl, &t);
	if (r != CTL_DONE)
		return r;
	if (options->all)
		match.flags = TOYTIMER_MATCH_EVERYBODY;
	/* A timerd of version 0.1.0 does not know users and labels in a request. */
	if (match.label || options->match.flags)
		r = toytimer_list_matching(t, &match, listing_add, listing);
	else
		r = toytimer_list(t, options->all ? TOYTIMER_LIST_ALL : 0, listing_add, listing);
	if (r == 0)
		r = toytimer_get_status(t, ret_status);
	if (r == 0)
		r = listing_add_comms(listing, ctl, ret_status);
	if (r < 0) {
		output_error("list%s: %s",
			options->all		       ? " --all"
				: options->match.flags ? " --user"
						       : "",
			r == -EINVAL ? toytimer_get_error() : toytimer_strerror(r));
		return ctl_status_of(r);
	}
	return CTL_DONE;
}

int verb_list(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(listing_free) struct listing listing = {0};
	struct list_options options;
	uint64_t now, others = 0;
	toytimer_status status;
	int r;

	if (parse_options(ctl, argc, argv, &options) == CTL_STOP)
		return ctl->status;
	if (options.queue)
		return queue_list_timers(ctl,
			&(struct queue_list_options){
				.queue = options.queue,
				.columns = options.column_names,
				.parked = options.parked,
				.json = options.json,
				.legend = options.legend,
			});
	r = fetch(ctl, &options, &listing, &status);
	if (r != CTL_DONE)
		return r;
	now = toytimer_now(TOYTIMER_REALTIME);
	/* For root, status counts the timers of all users; for other users, their own. */
	if (!options.all && !options.match.flags && !options.match.label &&
		status.timers > listing.n)
		others = status.timers - listing.n;
	if (listing.n > 0)
		qsort(listing.timers, listing.n, sizeof(*listing.timers), compare_due);
	return options.json ? print_json(ctl->out, &listing)
			    : print_table(ctl->out, &listing, &options, now, others);
}
