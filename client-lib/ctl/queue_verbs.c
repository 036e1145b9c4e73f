/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl cancel --queue, retry and purge. They parse all words before they send the first, so
 * that a typing error changes nothing.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "output.h"
#include "queue_verbs.h"
#include "verbs.h"

/* With --json, prints the result for one timer. */
static int report(
	FILE *out, bool json, const char *event, const char *queue, const struct queue_word *word)
{
	json_t *object = json_object();

	if (!json) {
		json_decref(object);
		return 0;
	}
	output_json_add(&object, "event", json_string(event));
	output_json_add(&object, "queue", output_json_text(queue));
	if (word->key)
		output_json_add(&object, "key", output_json_text(word->key));
	else
		output_json_add(&object, "id", output_json_number(word->id));
	return output_json(out, object) < 0 ? -1 : output_flush(out);
}

int queue_parse_word(struct ctl *ctl, const char *text, bool is_key, struct queue_word *ret)
{
	bool digits = *text && strspn(text, "0123456789") == strlen(text);

	*ret = (struct queue_word){.text = text};
	if (!is_key && digits) {
		errno = 0;
		ret->id = strtoull(text, NULL, 10);
		if (errno != 0)
			return ctl_usage(ctl, "%s: not the id of a timer", text);
		return 0;
	}
	if (!*text || strlen(text) > TOYTIMER_QUEUE_KEY_MAX || !output_is_plain(text))
		return ctl_usage(ctl, "%s%s: not a key (1 to %d bytes of printable UTF-8)",
			is_key ? "--key " : "", output_word(text), TOYTIMER_QUEUE_KEY_MAX);
	ret->key = text;
	return 0;
}

/* Prints what went wrong with a word. Returns the exit status. */
static int word_failed(const char *queue, const struct queue_word *word, int error)
{
	/* The permission is for all of the queue. */
	return ctl_queue_failed(error == -EACCES ? queue : word->text, error);
}

int queue_cancel(
	struct ctl *ctl, const char *queue, bool json, size_t n, const struct queue_word *words)
{
	_cleanup_(ctl_close_queues) toytimer_queue *q = NULL;
	int status = ctl_open_queues(ctl, &q);

	for (size_t i = 0; i < n && (status == CTL_DONE || status == CTL_NO_SUCH_TIMER); i++) {
		int r = toytimer_queue_cancel(q, queue, words[i].id, words[i].key);

		if (r < 0)
			status = word_failed(queue, &words[i], r);
		else if (report(ctl->out, json, "cancelled", queue, &words[i]) < 0)
			status = CTL_FAILED;
	}
	return status;
}

static int revive(
	struct ctl *ctl, const char *queue, bool json, size_t n, const struct queue_word *words)
{
	_cleanup_(ctl_close_queues) toytimer_queue *q = NULL;
	int status = ctl_open_queues(ctl, &q);

	for (size_t i = 0; i < n && (status == CTL_DONE || status == CTL_NO_SUCH_TIMER); i++) {
		int r = toytimer_queue_revive(q, queue, words[i].id);

		if (r == -ENOENT) {
			output_error("%s: not parked in %s", words[i].text, queue);
			status = CTL_NO_SUCH_TIMER;
		} else if (r < 0) {
			status = word_failed(queue, &words[i], r);
		} else if (report(ctl->out, json, "retried", queue, &words[i]) < 0) {
			status = CTL_FAILED;
		}
	}
	return status;
}

enum {
	OPTION_QUEUE = CTL_OPTION_VERB,
	OPTION_JSON,
	OPTION_PARKED,
};

static void free_words(struct queue_word **words)
{
	free(*words);
}

static int add_id(struct ctl *ctl, const char *text, struct queue_word *words, size_t *n)
{
	if (!isdigit((unsigned char)*text) || strspn(text, "0123456789") != strlen(text))
		return ctl_usage(ctl, "%s: not the id of a timer", output_word(text));
	return queue_parse_word(ctl, text, false, &words[(*n)++]);
}

int verb_retry(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"queue", required_argument, NULL, OPTION_QUEUE},
		{"json", no_argument, NULL, OPTION_JSON},
		{NULL, 0, NULL, 0},
	};
	_cleanup_(free_words) struct queue_word *words = calloc((size_t)argc, sizeof(*words));
	const char *queue = NULL;
	bool json = false;
	size_t n = 0;
	int c;

	if (!words)
		return ctl_no_memory();
	while ((c = ctl_getopt(ctl, argc, argv, "", options)) != CTL_END) {
		if (c == OPTION_QUEUE) {
			queue = optarg;
			c = ctl_check_queue(ctl, "--queue", queue);
		} else if (c == OPTION_JSON) {
			json = true;
		} else if (c == CTL_WORD) {
			c = add_id(ctl, optarg, words, &n);
		}
		if (c == CTL_STOP)
			return ctl->status;
	}
	for (; optind < argc; optind++)
		if (add_id(ctl, argv[optind], words, &n) == CTL_STOP)
			return ctl->status;
	if (!queue || n == 0) {
		ctl_usage(ctl, "retry: needs %s; usage: toytimerctl retry --queue NAME ID...",
			queue ? "an ID" : "--queue");
		return ctl->status;
	}
	return revive(ctl, queue, json, n, words);
}

static int purge(struct ctl *ctl, const char *queue, bool parked, bool json)
{
	_cleanup_(ctl_close_queues) toytimer_queue *q = NULL;
	uint64_t n = 0;
	json_t *object;
	int r = ctl_open_queues(ctl, &q);

	if (r != CTL_DONE)
		return r;
	r = toytimer_queue_purge(q, queue, parked ? TOYTIMER_QUEUE_LIST_PARKED : 0, &n);
	if (r < 0)
		return ctl_queue_failed(queue, r);
	if (!json) {
		fprintf(ctl->out, "purged %llu\n", (unsigned long long)n);
		return output_flush(ctl->out) < 0 ? CTL_FAILED : CTL_DONE;
	}
	object = json_object();
	output_json_add(&object, "event", json_string("purged"));
	output_json_add(&object, "queue", output_json_text(queue));
	output_json_add(&object, "timers", output_json_number(n));
	return output_json(ctl->out, object) < 0 || output_flush(ctl->out) < 0 ? CTL_FAILED
									       : CTL_DONE;
}

int verb_purge(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{"queue", required_argument, NULL, OPTION_QUEUE},
		{"json", no_argument, NULL, OPTION_JSON},
		{"parked", no_argument, NULL, OPTION_PARKED},
		{NULL, 0, NULL, 0},
	};
	const char *queue = NULL;
	bool json = false, parked = false;
	int c;

	while ((c = ctl_getopt(ctl, argc, argv, "", options)) != CTL_END) {
		if (c == OPTION_QUEUE) {
			queue = optarg;
			c = ctl_check_queue(ctl, "--queue", queue);
		} else if (c == OPTION_JSON) {
			json = true;
		} else if (c == OPTION_PARKED) {
			parked = true;
		} else if (c == CTL_WORD) {
			c = ctl_usage(ctl, "%s: purge takes no arguments", output_word(optarg));
		}
		if (c == CTL_STOP)
			return ctl->status;
	}
	if (optind < argc) {
		ctl_usage(ctl, "%s: purge takes no arguments", output_word(argv[optind]));
		return ctl->status;
	}
	if (!queue) {
		ctl_usage(ctl,
			"purge: needs --queue; usage: toytimerctl purge --queue NAME [--parked]");
		return ctl->status;
	}
	return purge(ctl, queue, parked, json);
}
