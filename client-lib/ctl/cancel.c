/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl cancel: cancels timers by their ids, or by label and user; durable timers by their
 * ids or keys. It parses all words first, so that a typing error cancels nothing. Then it tries
 * every timer, even after one that does not exist.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ctl.h"
#include "output.h"
#include "queue_verbs.h"
#include "verbs.h"

enum {
	OPTION_LABEL = CTL_OPTION_VERB,
	OPTION_ALL,
	OPTION_OF_USER,
	OPTION_QUEUE,
	OPTION_KEY,
	OPTION_JSON,
};

/* Returns false if the word is not a decimal number of 64 bits. */
static bool parse_id(const char *word, uint64_t *ret)
{
	unsigned long long id;
	char *end;

	if (!isdigit((unsigned char)*word))
		return false;
	errno = 0;
	id = strtoull(word, &end, 10);
	if (*end || errno != 0)
		return false;
	*ret = id;
	return true;
}

/* Returns CTL_DONE, or the status of the last id that failed. Only CTL_NO_SUCH_TIMER does not end
 * the loop. */
static int cancel_ids(toytimer *t, size_t n, const struct queue_word *words)
{
	int status = CTL_DONE;

	for (size_t i = 0; i < n; i++) {
		int r = toytimer_cancel_id(t, words[i].id);

		if (r >= 0)
			continue;
		output_error("%llu: %s", (unsigned long long)words[i].id, toytimer_strerror(r));
		status = ctl_status_of(r);
		if (status != CTL_NO_SUCH_TIMER)
			break;
	}
	return status;
}

/* Ids, or a user and a label; with a queue, ids and keys. */
struct cancel_options {
	struct queue_word *words; /* as many as argv has words; owned */
	size_t n;
	const char *queue; /* NULL: timers of timerd */
	bool has_key;	   /* there was a --key */
	bool json;
	const char *matching; /* the last option that matches timers; NULL: there are ids */
	toytimer_match match;
};

/* Whether a word is an id or a key depends on --queue, which may come after it. */
static void add_word(struct cancel_options *options, const char *text, const char *key)
{
	options->has_key = options->has_key || key;
	options->words[options->n++] = (struct queue_word){.text = text, .key = key};
}

/* Returns 0 or CTL_STOP. */
static int parse_words(struct ctl *ctl, struct cancel_options *options)
{
	for (size_t i = 0; i < options->n; i++) {
		struct queue_word *w = &options->words[i];

		if (options->queue && queue_parse_word(ctl, w->text, w->key, w) == CTL_STOP)
			return CTL_STOP;
		if (!options->queue && !parse_id(w->text, &w->id))
			return ctl_usage(ctl,
				"%s: not the id of a timer; an id is a number that list shows",
				output_word(w->text));
	}
	return 0;
}

static int parse_option(struct ctl *ctl, int c, struct cancel_options *options)
{
	if (c == CTL_WORD)
		add_word(options, optarg, NULL);
	else if (c == OPTION_KEY)
		add_word(options, optarg, optarg);
	else if (c == OPTION_QUEUE)
		options->queue = optarg;
	else if (c == OPTION_JSON)
		options->json = true;
	else if (c == OPTION_ALL)
		options->matching = "--all";
	else if (c == OPTION_OF_USER)
		options->matching = "--user";
	else if (c == OPTION_LABEL)
		options->matching = "--label";
	if (c == OPTION_LABEL)
		return ctl_parse_label(ctl, optarg, &options->match.label);
	return c == OPTION_OF_USER ? ctl_parse_user(ctl, optarg, &options->match) : 0;
}

/* Checks combinations of options. Returns 0 or CTL_STOP. */
static int check_options(struct ctl *ctl, const struct cancel_options *options)
{
	if (options->queue && ctl_check_queue(ctl, "--queue", options->queue) == CTL_STOP)
		return CTL_STOP;
	if (!options->queue && (options->has_key || options->json))
		return ctl_usage(ctl, "%s: needs --queue", options->has_key ? "--key" : "--json");
	if (options->queue && options->matching)
		return ctl_usage(ctl, "%s: cannot be used with --queue; purge removes all timers",
			options->matching);
	if (options->n == 0 && (options->queue || !options->matching))
		return ctl_usage(ctl,
			"usage: toytimerctl cancel ID... | [--label TEXT] [--all|--user USER] | "
			"--queue NAME ID|KEY...");
	if (options->n > 0 && options->matching)
		return ctl_usage(ctl, "cancel: takes either ids, or --label, --all or --user");
	return 0;
}

/* Returns 0 or CTL_STOP. */
static int parse_options(struct ctl *ctl, int argc, char **argv, struct cancel_options *options)
{
	/* After this verb, --user takes a user. It hides the common --user. */
	static const struct option own[] = {
		{"label", required_argument, NULL, OPTION_LABEL},
		{"all", no_argument, NULL, OPTION_ALL},
		{"user", required_argument, NULL, OPTION_OF_USER},
		{"queue", required_argument, NULL, OPTION_QUEUE},
		{"key", required_argument, NULL, OPTION_KEY},
		{"json", no_argument, NULL, OPTION_JSON},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = ctl_getopt(ctl, argc, argv, "", own)) != CTL_END)
		if (c == CTL_STOP || parse_option(ctl, c, options) == CTL_STOP)
			return CTL_STOP;
	for (; optind < argc; optind++)
		add_word(options, argv[optind], NULL);
	if (check_options(ctl, options) == CTL_STOP)
		return CTL_STOP;
	return parse_words(ctl, options);
}

static int cancel_matching(toytimer *t, const struct cancel_options *options)
{
	const char *label = options->match.label;
	uint64_t cancelled = 0;
	int r = toytimer_cancel_matching(t, &options->match, &cancelled);

	if (r == -EINVAL)
		output_error("cancel: %s", toytimer_get_error());
	else if (r < 0)
		output_error("cancel: %s", toytimer_strerror(r));
	if (r < 0)
		return ctl_status_of(r);
	/* The same status as for an id that is no timer. */
	if (!cancelled && label)
		output_error("--label %s: no such timer", output_word(label));
	else if (!cancelled)
		output_error("%s: no such timer", options->matching);
	return cancelled ? CTL_DONE : CTL_NO_SUCH_TIMER;
}

static void free_options(struct cancel_options *options)
{
	free(options->words);
}

int verb_cancel(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(ctl_close) toytimer *t = NULL;
	_cleanup_(free_options) struct cancel_options options = {0};
	int status;

	options.words = calloc((size_t)argc, sizeof(*options.words));
	if (!options.words)
		return ctl_no_memory();

	if (parse_options(ctl, argc, argv, &options) == CTL_STOP)
		return ctl->status;
	if (options.queue)
		return queue_cancel(ctl, options.queue, options.json, options.n, options.words);
	status = ctl_open(ctl, &t);
	if (status != CTL_DONE)
		return status;
	return options.matching ? cancel_matching(t, &options)
				: cancel_ids(t, options.n, options.words);
}
