/* SPDX-License-Identifier: MIT */
/*
 * Names of queues, and the blocking calls: cancel, reschedule, list, purge, status.
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
	if (timer->due > INT64_MAX)
		return -ERANGE;
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

/* Sends a packet of one record, or of none, and waits for the answer's packet. */
static int ask_page(struct toytimer_queue *q, uint16_t opcode, const void *record, uint64_t cursor,
	uint64_t deadline, struct queue_batch *ret)
{
	struct queue_request *r = queue_request_one(opcode, record, NULL);
	int error;

	*ret = (struct queue_batch){.pending = 1};
	if (!r)
		return -ENOMEM;
	r->cursor = cursor;
	r->slots[0].batch = ret;
	queue_request_queue(q, r);
	error = queue_await(q, ret, deadline);
	return error ?: ret->reply_error;
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
	}
	if (r == 0 && ret_n)
		*ret_n = n;
	return queue_leave(q, r);
}

/* The pages of a listing. */
struct pages {
	uint8_t **packets;
	size_t *sizes;
	size_t n;
};

static void pages_free(struct pages *p)
{
	for (size_t i = 0; i < p->n; i++)
		free(p->packets[i]);
	free(p->packets);
	free(p->sizes);
	*p = (struct pages){0};
}

static int pages_add(struct pages *p, struct queue_batch *batch)
{
	uint8_t **packets = reallocarray(p->packets, p->n + 1, sizeof(*packets));
	size_t *sizes;

	if (packets)
		p->packets = packets;
	sizes = packets ? reallocarray(p->sizes, p->n + 1, sizeof(*sizes)) : NULL;
	if (!sizes)
		return -ENOMEM;
	p->sizes = sizes;
	p->sizes[p->n] = batch->reply_size;
	p->packets[p->n++] = batch->reply;
	batch->reply = NULL;
	return 0;
}

/* Gets all pages. If the connection breaks, the listing starts again. */
static int gather(struct toytimer_queue *q, uint16_t opcode, const void *record, struct pages *ret)
{
	uint64_t deadline = handle_deadline(&q->base), cursor = 0;
	struct queue_batch batch;
	int r;

	do {
		r = ask_page(q, opcode, record, cursor, deadline, &batch);
		cursor = batch.cursor;
		if (r == 0)
			r = pages_add(ret, &batch);
		if (r != -ECHILD)
			free(batch.reply);
		if (r == -ECONNRESET) {
			pages_free(ret);
			cursor = 0;
			r = 0;
			continue;
		}
	} while (r == 0 && (cursor || !ret->n));
	return r;
}

static void copy_text(char *ret, size_t room, const char *from, size_t size)
{
	size = size < room ? size : room - 1;
	memcpy(ret, from, size);
	ret[size] = 0;
}

typedef int (*list_handler)(const toytimer_queue_listed *listed, void *userdata);

static int call_listed(const struct queue_codec_packet *p, uint32_t i, uint32_t uid,
	list_handler handler, void *userdata)
{
	char key[PROTO_QUEUE_KEY_MAX + 1], label[PROTO_LABEL_MAX + 1];
	struct proto_queue_listed l;
	toytimer_queue_listed listed;

	queue_codec_get(p, i, &l);
	copy_text(key, sizeof(key), queue_codec_bytes(p, l.key), l.key_size);
	copy_text(label, sizeof(label), l.label, sizeof(l.label));
	listed = (toytimer_queue_listed){
		.id = l.id,
		.key = key,
		.label = label,
		.clock = (enum toytimer_clock)l.clock,
		.flags = l.flags & PROTO_WAKE_SYSTEM ? TOYTIMER_WAKE_SYSTEM : 0,
		.state = (enum toytimer_queue_state)l.state,
		.due = l.due,
		.left = l.left,
		.slack = l.slack,
		.every = l.every,
		.count = l.count,
		.fired = l.fired,
		.attempt = l.attempt,
		.payload_size = l.payload_size,
		.uid = uid,
	};
	return handler(&listed, userdata);
}

_public_ int toytimer_queue_list(toytimer_queue *q, const char *queue, unsigned int flags,
	list_handler handler, void *userdata)
{
	struct proto_queue_list list = {
		.flags = flags & TOYTIMER_QUEUE_LIST_PARKED ? PROTO_QUEUE_PARKED : 0,
	};
	struct pages pages = {0};
	uint64_t deadline;
	uint32_t uid;
	int r;

	if (!handler)
		return text_invalid("handler: NULL");
	if (flags & ~(unsigned int)TOYTIMER_QUEUE_LIST_PARKED)
		return text_invalid("flags: not only TOYTIMER_QUEUE_LIST_PARKED");
	r = queue_enter(q, queue, &deadline, &list.queue);
	if (r < 0)
		return r;
	uid = q->uses[list.queue - 1].uid;
	uid = uid == PROTO_QUEUE_OWN ? geteuid() : uid;
	r = queue_leave(q, gather(q, PROTO_QUEUE_LIST, &list, &pages));
	for (size_t i = 0; r == 0 && i < pages.n; i++) {
		struct queue_codec_packet p;

		if (queue_codec_open(pages.packets[i], pages.sizes[i], CODEC_FROM_DAEMON, &p))
			r = -EPROTO;
		for (uint32_t n = 0; r == 0 && n < p.header.count; n++)
			r = call_listed(&p, n, uid, handler, userdata);
	}
	pages_free(&pages);
	return r;
}

_public_ int toytimer_queue_parked(
	toytimer_queue *q, const char *queue, list_handler handler, void *userdata)
{
	return toytimer_queue_list(q, queue, TOYTIMER_QUEUE_LIST_PARKED, handler, userdata);
}

static int call_info(const struct queue_codec_packet *p, uint32_t i,
	int (*handler)(const toytimer_queue_info *info, void *userdata), void *userdata)
{
	char name[PROTO_QUEUE_NAME_MAX + 1], host[256];
	struct proto_queue_info in;
	toytimer_queue_info info;

	queue_codec_get(p, i, &in);
	copy_text(name, sizeof(name), queue_codec_bytes(p, in.name), in.name_size);
	copy_text(host, sizeof(host), queue_codec_bytes(p, in.host), in.host_size);
	info = (toytimer_queue_info){
		.name = name,
		.uid = in.uid,
		.timers = in.timers,
		.due = in.due,
		.unacked = in.unacked,
		.parked = in.parked,
		.consumers = in.consumers,
		.oldest = in.oldest,
		.next = in.next,
		.term = in.term,
		.host = host,
	};
	return handler(&info, userdata);
}

_public_ int toytimer_queue_queues(toytimer_queue *q, unsigned int flags,
	int (*handler)(const toytimer_queue_info *info, void *userdata), void *userdata)
{
	struct proto_queue_queues request = {
		.flags = flags & TOYTIMER_QUEUE_LIST_ALL ? PROTO_QUEUE_ALL : 0,
	};
	struct pages pages = {0};
	int r;

	if (!handler)
		return text_invalid("handler: NULL");
	if (flags & ~(unsigned int)TOYTIMER_QUEUE_LIST_ALL)
		return text_invalid("flags: not only TOYTIMER_QUEUE_LIST_ALL");
	r = handle_enter(q ? &q->base : NULL);
	if (r < 0)
		return r;
	r = queue_leave(q, gather(q, PROTO_QUEUE_QUEUES, &request, &pages));
	for (size_t i = 0; r == 0 && i < pages.n; i++) {
		struct queue_codec_packet p;

		if (queue_codec_open(pages.packets[i], pages.sizes[i], CODEC_FROM_DAEMON, &p))
			r = -EPROTO;
		for (uint32_t n = 0; r == 0 && n < p.header.count; n++)
			r = call_info(&p, n, handler, userdata);
	}
	pages_free(&pages);
	return r;
}

_public_ int toytimer_queue_get_status(toytimer_queue *q, toytimer_queue_status *ret)
{
	struct proto_queue_status_answer answer;
	struct pages pages = {0};
	struct queue_codec_packet p;
	int r = ret ? handle_enter(q ? &q->base : NULL) : text_invalid("ret: NULL");

	if (r < 0)
		return r;
	r = queue_leave(q, gather(q, PROTO_QUEUE_STATUS, NULL, &pages));
	if (r == 0 && queue_codec_open(pages.packets[0], pages.sizes[0], CODEC_FROM_DAEMON, &p))
		r = -EPROTO;
	if (r == 0) {
		queue_codec_get(&p, 0, &answer);
		*ret = (toytimer_queue_status){
			.pid = answer.pid,
			.store = (enum toytimer_queue_store)answer.store,
			.uptime = answer.uptime,
			.clients = answer.clients,
			.queues = answer.queues,
			.timers = answer.timers,
			.unacked = answer.unacked,
			.parked = answer.parked,
			.stored = answer.stored,
			.delivered = answer.delivered,
			.acknowledged = answer.acknowledged,
			.retried = answer.retried,
			.missed = answer.missed,
			.dropped = answer.dropped,
			.refused = answer.refused,
			.clock_off = answer.clock_off,
			.standby = answer.standby,
		};
		copy_text(ret->version, sizeof(ret->version), answer.version,
			strnlen(answer.version, sizeof(answer.version)));
	}
	pages_free(&pages);
	return r;
}
