/* SPDX-License-Identifier: MIT */
/*
 * Names of queues, and the blocking calls: cancel, reschedule, revive, purge.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "public.h"
#include "queue_state.h"
#include "text.h"

#define USER_BUFFER 16384

/* Finds the USER of USER/NAME. Digits are a uid. Return: 0, -EACCES: no such user, or -EINVAL. */
static int parse_user(const char *user, size_t size, uint32_t *ret)
{
	char name[TOYTIMER_QUEUE_NAME_MAX + 1], buffer[USER_BUFFER], *end;
	struct passwd entry, *found = NULL;
	unsigned long long uid;

	if (size == 0 || size > TOYTIMER_QUEUE_NAME_MAX)
		return text_invalid("queue: no user's name before the slash");
	memcpy(name, user, size);
	name[size] = 0;
	if (strspn(name, "0123456789") == size) {
		uid = strtoull(name, &end, 10);
		if (uid >= PROTO_QUEUE_OWN)
			return text_invalid("queue: the number before the slash cannot be a uid");
		*ret = (uint32_t)uid;
		return 0;
	}
	if (getpwnam_r(name, &entry, buffer, sizeof(buffer), &found) != 0 || !found)
		return text_refused(
			-EACCES, "queue: there is no user of the name before the slash");
	*ret = found->pw_uid;
	return 0;
}

static int parse_queue(const char *queue, struct queue_use *ret)
{
	const char *slash = queue ? strchr(queue, '/') : NULL;
	const char *name = slash ? slash + 1 : queue;
	int r;

	if (!queue || !queue_codec_name_valid(name, strnlen(name, TOYTIMER_QUEUE_NAME_MAX + 1)))
		return text_invalid("queue: a name has 1 to 64 characters of A-Z a-z 0-9 . _ -");
	*ret = (struct queue_use){.uid = PROTO_QUEUE_OWN};
	if (slash) {
		r = parse_user(queue, (size_t)(slash - queue), &ret->uid);
		if (r < 0)
			return r;
	}
	strcpy(ret->name, name);
	snprintf(ret->given, sizeof(ret->given), "%s", queue);
	return 0;
}

/* Return: the number of a queue; 0: this handle has not opened it. */
static uint32_t find_use(const struct toytimer_queue *q, const struct queue_use *use)
{
	for (uint32_t i = 0; i < q->use_count; i++)
		if (q->uses[i].uid == use->uid && !strcmp(q->uses[i].name, use->name))
			return i + 1;
	return 0;
}

/* Return: NULL: out of memory. */
static struct queue_request *open_request(const struct queue_use *use, struct queue_batch *batch)
{
	struct queue_request *r = queue_request_new(PROTO_QUEUE_OPEN);
	struct proto_queue_open open = {
		.uid = use->uid,
		.name_size = (uint16_t)strlen(use->name),
	};

	if (r)
		r->opening = malloc(sizeof(*r->opening));
	if (!r || !r->opening || !queue_request_slot(r))
		return queue_request_free(r);
	*r->opening = *use;
	open.name = queue_codec_add_bytes(&r->writer, use->name, open.name_size);
	queue_codec_put(&r->writer, &open);
	r->slots[0].batch = batch;
	r->count = 1;
	return r;
}

int queue_number(struct toytimer_queue *q, const char *queue, uint64_t deadline, uint32_t *ret)
{
	struct queue_result result = {0};
	struct queue_batch batch = {.pending = 1, .results = &result};
	struct queue_request *request;
	struct queue_use use;
	int r = parse_queue(queue, &use);

	if (r < 0)
		return r;
	*ret = find_use(q, &use);
	if (*ret)
		return 0;
	request = open_request(&use, &batch);
	if (!request)
		return -ENOMEM;
	queue_request_queue(q, request);
	r = queue_await(q, &batch, deadline);
	if (r < 0)
		return r;
	*ret = (uint32_t)result.id;
	return result.status ? queue_refusal(result.status) : result.error;
}

int queue_enter(
	struct toytimer_queue *q, const char *queue, uint64_t *ret_deadline, uint32_t *ret_number)
{
	int r = handle_enter(q ? &q->base : NULL);

	if (r < 0)
		return r;
	*ret_deadline = handle_deadline(&q->base);
	r = queue_number(q, queue, *ret_deadline, ret_number);
	return r < 0 ? queue_leave(q, r) : 0;
}

int queue_leave(struct toytimer_queue *q, int r)
{
	/* -ECHILD: a handler forked while this call waited, and the lock is the parent's. */
	if (connection_is_ours(&q->base.session.connection))
		handle_leave(&q->base);
	return r;
}

int queue_ask_one(struct toytimer_queue *q, struct queue_request *r, uint64_t deadline,
	struct queue_result *ret)
{
	struct queue_batch batch = {.pending = 1, .results = ret};
	int error;

	r->slots[0].batch = &batch;
	queue_request_queue(q, r);
	error = queue_await(q, &batch, deadline);
	return error ?: ret->error;
}

int queue_ask(struct toytimer_queue *q, uint16_t opcode, const void *record, const char *key,
	uint64_t deadline, struct queue_result *ret)
{
	struct queue_request *r = queue_request_one(opcode, record, key);

	return r ? queue_ask_one(q, r, deadline, ret) : -ENOMEM;
}

static int check_key(const char *key)
{
	return !key || queue_codec_key_valid(key, strnlen(key, PROTO_QUEUE_KEY_MAX + 1))
		? 0
		: text_invalid(QUEUE_TEXT_KEY);
}

_public_ int toytimer_queue_cancel(
	toytimer_queue *q, const char *queue, uint64_t id, const char *key)
{
	struct proto_queue_cancel cancel = {.id = key ? 0 : id};
	struct queue_result result;
	uint64_t deadline;
	int r = check_key(key);

	if (r < 0)
		return r;
	r = queue_enter(q, queue, &deadline, &cancel.queue);
	if (r < 0)
		return r;
	cancel.key_size = (uint16_t)(key ? strlen(key) : 0);
	r = queue_ask(q, PROTO_QUEUE_CANCEL, &cancel, key, deadline, &result);
	return queue_leave(q, r);
}

_public_ int toytimer_queue_reschedule(toytimer_queue *q, const char *queue, uint64_t id,
	const char *key, const toytimer_queue_timer *timer, toytimer_queue_stored *ret)
{
	struct proto_queue_reschedule record = {.id = key ? 0 : id};
	struct queue_result result;
	uint64_t deadline;
	int r = timer ? check_key(key) : text_invalid("timer: NULL");

	if (r < 0)
		return r;
	r = queue_check_times(timer);
	if (r < 0)
		return r;
	record.due = timer->due;
	record.slack = timer->slack;
	record.every = timer->every;
	record.count = timer->count;
	record.flags = timer->flags & TOYTIMER_RELATIVE ? PROTO_RELATIVE : 0;
	record.key_size = (uint16_t)(key ? strlen(key) : 0);
	r = queue_enter(q, queue, &deadline, &record.queue);
	if (r < 0)
		return r;
	r = queue_ask(q, PROTO_QUEUE_RESCHEDULE, &record, key, deadline, &result);
	if (r == -ERANGE)
		text_refused(r, QUEUE_TEXT_DUE);
	if (r == 0 && ret)
		*ret = (toytimer_queue_stored){.id = result.id, .due = result.due};
	return queue_leave(q, r);
}

_public_ int toytimer_queue_revive(toytimer_queue *q, const char *queue, uint64_t id)
{
	struct proto_queue_revive revive = {.id = id};
	struct queue_result result;
	uint64_t deadline;
	int r = queue_enter(q, queue, &deadline, &revive.queue);

	if (r < 0)
		return r;
	r = queue_ask(q, PROTO_QUEUE_REVIVE, &revive, NULL, deadline, &result);
	return queue_leave(q, r);
}

_public_ int toytimer_queue_purge(
	toytimer_queue *q, const char *queue, unsigned int flags, uint64_t *ret_n)
{
	struct proto_queue_list list = {
		.flags = flags & TOYTIMER_QUEUE_LIST_PARKED ? PROTO_QUEUE_PARKED : 0,
	};
	uint64_t deadline, n = 0, cursor = 1;
	int r;

	if (flags & ~(unsigned int)TOYTIMER_QUEUE_LIST_PARKED)
		return text_invalid("flags: not only TOYTIMER_QUEUE_LIST_PARKED");
	r = queue_enter(q, queue, &deadline, &list.queue);
	if (r < 0)
		return r;
	while (r == 0 && cursor) {
		struct queue_result result = {0};
		struct queue_batch batch = {.pending = 1, .results = &result};
		struct queue_request *request = queue_request_one(PROTO_QUEUE_PURGE, &list, NULL);

		if (!request) {
			r = -ENOMEM;
			break;
		}
		request->slots[0].batch = &batch;
		queue_request_queue(q, request);
		r = queue_await(q, &batch, handle_deadline(&q->base)) ?: result.error;
		n += result.id;
		cursor = batch.cursor;
		/* A daemon that errs must not keep this call for good. */
		if (r == 0 && cursor && !result.id)
			r = -EPROTO;
	}
	if (r == 0 && ret_n)
		*ret_n = n;
	return queue_leave(q, r);
}
