/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl cancel: all ids are read before one is sent, so that a slip of the finger cancels
 * nothing; then all are tried, since those that are gone already do not concern the others.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ctl.h"
#include "output.h"
#include "queue_verbs.h"

/* Whether the word is an id: digits, and no more of them than 64 bits hold. */
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

/* Returns CTL_DONE, or what one of them came to; a daemon that cannot be reached ends the
 * attempt. */
static int cancel_all(toytimer *t, size_t n, const struct queue_word *words)
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

enum {
	OPTION_QUEUE = CTL_OPTION_VERB,
	OPTION_KEY,
	OPTION_JSON,
};

struct arguments {
	const char *queue; /* NULL: timers of timerd */
	bool json;
	bool has_key; /* there was a --key */
	size_t n;
	struct queue_word *words; /* room for argc: no word of argv is more than one timer */
};

static void arguments_free(struct arguments *a)
{
	free(a->words);
}

/* What is a key is known once all options are read. */
static void add_word(struct arguments *a, const char *text, const char *key)
{
	a->has_key = a->has_key || key;
	a->words[a->n++] = (struct queue_word){.text = text, .key = key};
}

static int check_words(struct ctl *ctl, struct arguments *a)
{
	for (size_t i = 0; i < a->n; i++) {
		struct queue_word *w = &a->words[i];

		if (a->queue && queue_parse_word(ctl, w->text, w->key, w) == CTL_STOP)
			return CTL_STOP;
		if (!a->queue && !parse_id(w->text, &w->id))
			return ctl_usage(ctl, "%s: not the id of a timer", output_word(w->text));
	}
	return 0;
}

/* Returns 0 or CTL_STOP. */
static int parse(struct ctl *ctl, int argc, char **argv, struct arguments *a)
{
	static const struct option options[] = {
		{"queue", required_argument, NULL, OPTION_QUEUE},
		{"key", required_argument, NULL, OPTION_KEY},
		{"json", no_argument, NULL, OPTION_JSON},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = ctl_getopt(ctl, argc, argv, "", options)) != CTL_END) {
		if (c == OPTION_QUEUE)
			a->queue = optarg;
		else if (c == OPTION_KEY)
			add_word(a, optarg, optarg);
		else if (c == OPTION_JSON)
			a->json = true;
		else if (c == CTL_WORD)
			add_word(a, optarg, NULL);
		else
			return CTL_STOP;
	}
	for (; optind < argc; optind++)
		add_word(a, argv[optind], NULL);
	if (a->queue && ctl_check_queue(ctl, "--queue", a->queue) == CTL_STOP)
		return CTL_STOP;
	if (!a->queue && (a->has_key || a->json))
		return ctl_usage(ctl, "%s: needs --queue", a->has_key ? "--key" : "--json");
	if (a->n == 0)
		return ctl_usage(ctl, "usage: toytimerctl cancel [--queue NAME] ID...");
	return check_words(ctl, a);
}

int verb_cancel(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(ctl_close) toytimer *t = NULL;
	_cleanup_(arguments_free) struct arguments a = {0};
	int status;

	a.words = calloc((size_t)argc, sizeof(*a.words));
	if (!a.words)
		return ctl_no_memory();
	if (parse(ctl, argc, argv, &a) == CTL_STOP)
		return ctl->status;
	if (a.queue)
		return queue_cancel(ctl, a.queue, a.json, a.n, a.words);
	status = ctl_open(ctl, &t);
	if (status != CTL_DONE)
		return status;
	return cancel_all(t, a.n, a.words);
}
