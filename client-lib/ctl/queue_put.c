/* SPDX-License-Identifier: MIT */
/* See queue_put.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "output.h"
#include "queue_put.h"
#include "when.h"

struct payload {
	char bytes[TOYTIMER_QUEUE_PAYLOAD_MAX + 1]; /* one more, to notice a longer payload */
	size_t size;
};

static void close_file(FILE **f)
{
	if (*f && *f != stdin)
		fclose(*f);
}

/* Returns an exit status. */
static int read_payload(const char *path, struct payload *ret)
{
	bool is_stdin = !strcmp(path, "-");
	_cleanup_(close_file) FILE *f = is_stdin ? stdin : fopen(path, "re");

	if (!f) {
		output_error("--payload-file %s: %s", output_word(path), strerror(errno));
		return CTL_FAILED;
	}
	ret->size = fread(ret->bytes, 1, sizeof(ret->bytes), f);
	if (ferror(f)) {
		output_error("--payload-file %s: %s", output_word(path), strerror(errno));
		return CTL_FAILED;
	}
	return CTL_DONE;
}

/* The timer that --keep kept, as timerqd lists it. */
struct kept {
	uint64_t id;
	enum toytimer_clock clock;
	int64_t left;
};

static int find_kept(const toytimer_queue_listed *l, void *userdata)
{
	struct kept *kept = userdata;

	if (l->id != kept->id)
		return 0;
	kept->clock = l->clock;
	kept->left = l->left;
	return 1;
}

/* The time from the call until the due. A kept timer may have another clock than the options say.
 * The boottime and monotonic clocks of timerqd are its own: only a listing has the time until such
 * a due. */
static int64_t remaining_of(toytimer_queue *q, const struct queue_put *put,
	toytimer_registration *r, const toytimer_queue_stored *stored)
{
	struct kept kept = {.id = stored->id};

	if (stored->kept && toytimer_queue_list(q, put->queue, 0, find_kept, &kept) == 1) {
		r->clock = kept.clock;
		return kept.left;
	}
	if (r->flags & TOYTIMER_RELATIVE)
		return (int64_t)r->due;
	return clock_remaining(stored->due, toytimer_now(r->clock));
}

static int print_stored(FILE *out, const struct queue_put *put, const toytimer_registration *r,
	const toytimer_queue_stored *stored, int64_t left)
{
	char timestamp[WHEN_TIMESTAMP_MAX], span[WHEN_SPAN_MAX];
	uint64_t wall = stored->due;
	json_t *object;

	if (put->quiet)
		return 0;
	if (put->json) {
		object = json_object();
		output_json_add(&object, "event", json_string("stored"));
		output_json_add(&object, "queue", output_json_text(put->queue));
		output_json_add(&object, "id", output_json_number(stored->id));
		output_json_add(&object, "key", output_json_text(put->key ? put->key : ""));
		output_json_add(&object, "due_us", output_json_number(stored->due));
		output_json_add(&object, "left_us", json_integer(left));
		output_json_add(&object, "replaced", json_boolean(stored->replaced));
		if (stored->kept)
			output_json_add(&object, "kept", json_true());
		return output_json(out, object) < 0 ? -1 : output_flush(out);
	}
	if (stored->kept)
		output_error("--key %s: exists, and is kept as it is", output_word(put->key));
	if (r->clock != TOYTIMER_REALTIME)
		wall = clock_after(toytimer_now(TOYTIMER_REALTIME), left);
	when_format_timestamp(timestamp, sizeof(timestamp), wall, WHEN_LOCAL);
	when_format_span(span, sizeof(span), left < 0 ? 0 : (uint64_t)left, 0);
	fprintf(out, "stored %llu due %s (in %s)\n", (unsigned long long)stored->id, timestamp,
		span);
	return output_flush(out);
}

/* Both options together were refused before: so a fleet refuses one of them. */
static int fleet_refuses(const toytimer_registration *r)
{
	if (r->flags & TOYTIMER_WAKE_SYSTEM)
		output_error("--wake-system: queues that are shared by a fleet wake no machine; "
			     "leave it out");
	else
		output_error("--clock monotonic: queues that are shared by a fleet have no "
			     "monotonic clock; use --clock boottime");
	return ctl_status_of(-EOPNOTSUPP);
}

/* Prints a refusal. It names the word that was refused, if the error says which one. */
static int put_failed(const struct queue_put *put, const toytimer_registration *r, int error)
{
	char word[128];

	switch (-error) {
	case EOPNOTSUPP:
		return fleet_refuses(r);
	case ERANGE:
		snprintf(word, sizeof(word), "WHEN %s", put->when);
		break;
	case EPERM:
		snprintf(word, sizeof(word), "--wake-system");
		break;
	case EACCES:
		snprintf(word, sizeof(word), "--queue %s", put->queue);
		break;
	default:
		snprintf(word, sizeof(word), "register");
		break;
	}
	return ctl_queue_failed(word, error);
}

int queue_put(struct ctl *ctl, const struct queue_put *put, const toytimer_registration *r)
{
	_cleanup_(ctl_close_queues) toytimer_queue *q = NULL;
	struct payload payload = {.size = 0};
	toytimer_queue_stored stored;
	toytimer_registration shown = *r;
	toytimer_queue_timer timer = {
		.due = r->due,
		.slack = r->slack,
		.every = r->every,
		.count = r->count,
		.clock = r->clock,
		.flags = r->flags | (put->keep ? TOYTIMER_QUEUE_KEEP : 0),
		.label = r->label,
		.key = put->key,
		.payload = put->payload,
		.payload_size = put->payload ? strlen(put->payload) : 0,
		.max_late = put->max_late,
		.max_attempts = put->max_attempts,
	};
	int status = CTL_DONE, error;
	int64_t left;

	if (put->payload_file) {
		status = read_payload(put->payload_file, &payload);
		timer.payload = payload.bytes;
		timer.payload_size = payload.size;
	}
	if (status != CTL_DONE)
		return status;
	if (timer.payload_size > TOYTIMER_QUEUE_PAYLOAD_MAX) {
		ctl_usage(ctl, "%s%s: longer than %d bytes",
			put->payload_file ? "--payload-file " : "--payload",
			put->payload_file ? output_word(put->payload_file) : "",
			TOYTIMER_QUEUE_PAYLOAD_MAX);
		return ctl->status;
	}
	status = ctl_open_queues(ctl, &q);
	if (status != CTL_DONE)
		return status;
	error = toytimer_queue_put(q, put->queue, &timer, &stored);
	if (error < 0)
		return put_failed(put, r, error);
	left = put->quiet ? 0 : remaining_of(q, put, &shown, &stored);
	return print_stored(ctl->out, put, &shown, &stored, left) < 0 ? CTL_FAILED : CTL_DONE;
}
