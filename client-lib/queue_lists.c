/* SPDX-License-Identifier: MIT */
/*
 * Listings of timers and of queues, and timerqd's counters. A listing comes in pages. Each page
 * goes to the handler before the library asks for the next one, so memory does not grow with the
 * number of timers.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "public.h"
#include "queue_state.h"
#include "text.h"

/* Hands one record of a page to the program. Return: its handler's result, or -EPROTO. */
typedef int (*give_record)(const struct queue_codec_packet *p, uint32_t i, void *userdata);

/* A listing under way, or a status: one page of one record. */
struct pages {
	uint16_t opcode;
	const void *record; /* of each request */
	give_record give;
	void *userdata;
	uint64_t cursor;
	uint64_t times;	   /* connection.times of the last page */
	uint64_t deadline; /* for all pages together */
	uint8_t *packet;   /* the page; NULL: none */
	size_t size;
};

/* Whether the page can follow the last one. If not, the call ends with an error. So an endless
 * listing of timers gives records to the program with every page, and the program can stop it. A
 * page of queues can be empty, because timerqd leaves out queues without a timer: the handle's
 * timeout ends an endless listing of such pages. */
static bool follows(const struct pages *pages, uint64_t cursor, const struct queue_codec_packet *p)
{
	if (pages->opcode == PROTO_QUEUE_STATUS)
		return !cursor && p->header.count == 1;
	if (!cursor)
		return true;
	return cursor > pages->cursor && (p->header.count || pages->opcode == PROTO_QUEUE_QUEUES);
}

/* Asks for the next page, with the lock held. Return: 0: pages->packet is the page; a negative
 * errno; -ECHILD without the lock. */
static int ask_page(struct toytimer_queue *q, struct pages *pages)
{
	struct queue_request *r;
	struct queue_batch batch = {.pending = 1};
	struct queue_codec_packet p;
	int error;

	/* A cursor of timers belongs to the connection. */
	if (pages->cursor && pages->opcode == PROTO_QUEUE_LIST &&
		pages->times != q->base.session.connection.times)
		return -ECONNRESET;
	r = queue_request_one(pages->opcode, pages->record, NULL);
	if (!r)
		return -ENOMEM;
	r->cursor = pages->cursor;
	r->slots[0].batch = &batch;
	queue_request_queue(q, r);
	error = queue_await(q, &batch, pages->deadline);
	if (error == -ECHILD)
		return error;
	pages->packet = batch.reply;
	pages->size = batch.reply_size;
	error = error ?: batch.reply_error;
	/* timerqd has ended this listing for newer ones of the same connection. */
	if (error == -ERANGE && pages->cursor)
		error = -ECONNRESET;
	if (error == 0 &&
		(queue_codec_open(pages->packet, pages->size, CODEC_FROM_DAEMON, &p) ||
			!follows(pages, batch.cursor, &p)))
		error = -EPROTO;
	pages->cursor = batch.cursor;
	pages->times = q->base.session.connection.times;
	return error;
}

/* Gives the records of the page to the program. The lock is not held. */
static int give_page(struct toytimer_queue *q, struct pages *pages)
{
	struct queue_codec_packet p;
	int r = queue_codec_open(pages->packet, pages->size, CODEC_FROM_DAEMON, &p) ? -EPROTO : 0;

	for (uint32_t i = 0; r == 0 && i < p.header.count; i++) {
		r = pages->give(&p, i, pages->userdata);
		if (!connection_is_ours(&q->base.session.connection))
			r = -ECHILD;
	}
	return r;
}

static void pages_drop(void *userdata)
{
	struct pages *pages = userdata;

	free(pages->packet);
	pages->packet = NULL;
}

/* Lists, with the lock held, and releases the lock. */
static int list_pages(struct toytimer_queue *q, struct pages *pages)
{
	int r;

	for (;;) {
		uint64_t before;

		r = queue_leave(q, ask_page(q, pages));
		before = toytimer_now(TOYTIMER_MONOTONIC);
		pthread_cleanup_push(pages_drop, pages);
		if (r == 0)
			r = give_page(q, pages);
		pthread_cleanup_pop(1);
		if (r != 0 || !pages->cursor)
			return r;
		/* The handler's time does not count against timerqd. */
		if (__builtin_add_overflow(pages->deadline,
			    toytimer_now(TOYTIMER_MONOTONIC) - before, &pages->deadline))
			pages->deadline = TOYTIMER_FOREVER;
		r = handle_enter(&q->base);
		if (r < 0)
			return r;
	}
}

static void copy_text(char *ret, size_t room, const char *from, size_t size)
{
	size = size < room ? size : room - 1;
	memcpy(ret, from, size);
	ret[size] = 0;
}

typedef int (*list_handler)(const toytimer_queue_listed *listed, void *userdata);

struct listing {
	list_handler handler;
	void *userdata;
	uint32_t uid;
};

static int give_listed(const struct queue_codec_packet *p, uint32_t i, void *userdata)
{
	const struct listing *listing = userdata;
	char key[PROTO_QUEUE_KEY_MAX + 1], label[PROTO_LABEL_MAX + 1];
	struct proto_queue_listed l;
	toytimer_queue_listed listed;

	queue_codec_get(p, i, &l);
	if (l.clock >= PROTO_CLOCKS || l.state > TOYTIMER_QUEUE_PARKED)
		return -EPROTO;
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
		.uid = listing->uid,
	};
	return listing->handler(&listed, listing->userdata);
}

_public_ int toytimer_queue_list(toytimer_queue *q, const char *queue, unsigned int flags,
	list_handler handler, void *userdata)
{
	struct proto_queue_list list = {
		.flags = flags & TOYTIMER_QUEUE_LIST_PARKED ? PROTO_QUEUE_PARKED : 0,
	};
	struct listing listing = {.handler = handler, .userdata = userdata};
	struct pages pages = {
		.opcode = PROTO_QUEUE_LIST,
		.record = &list,
		.give = give_listed,
		.userdata = &listing,
	};
	uint32_t uid;
	int r;

	if (!handler)
		return text_invalid("handler: NULL");
	if (flags & ~(unsigned int)TOYTIMER_QUEUE_LIST_PARKED)
		return text_invalid("flags: not only TOYTIMER_QUEUE_LIST_PARKED");
	r = queue_enter(q, queue, &pages.deadline, &list.queue);
	if (r < 0)
		return r;
	uid = q->uses[list.queue - 1].uid;
	listing.uid = uid == PROTO_QUEUE_OWN ? geteuid() : uid;
	return list_pages(q, &pages);
}

_public_ int toytimer_queue_parked(
	toytimer_queue *q, const char *queue, list_handler handler, void *userdata)
{
	return toytimer_queue_list(q, queue, TOYTIMER_QUEUE_LIST_PARKED, handler, userdata);
}

typedef int (*info_handler)(const toytimer_queue_info *info, void *userdata);

struct info_listing {
	info_handler handler;
	void *userdata;
};

static int give_info(const struct queue_codec_packet *p, uint32_t i, void *userdata)
{
	const struct info_listing *listing = userdata;
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
	return listing->handler(&info, listing->userdata);
}

_public_ int toytimer_queue_queues(
	toytimer_queue *q, unsigned int flags, info_handler handler, void *userdata)
{
	struct proto_queue_queues request = {
		.flags = flags & TOYTIMER_QUEUE_LIST_ALL ? PROTO_QUEUE_ALL : 0,
	};
	struct info_listing listing = {.handler = handler, .userdata = userdata};
	struct pages pages = {
		.opcode = PROTO_QUEUE_QUEUES,
		.record = &request,
		.give = give_info,
		.userdata = &listing,
	};
	int r;

	if (!handler)
		return text_invalid("handler: NULL");
	if (flags & ~(unsigned int)TOYTIMER_QUEUE_LIST_ALL)
		return text_invalid("flags: not only TOYTIMER_QUEUE_LIST_ALL");
	r = handle_enter(q ? &q->base : NULL);
	if (r < 0)
		return r;
	pages.deadline = handle_deadline(&q->base);
	return list_pages(q, &pages);
}

static int give_status(const struct queue_codec_packet *p, uint32_t i, void *userdata)
{
	struct proto_queue_status_answer answer;
	toytimer_queue_status *ret = userdata;

	queue_codec_get(p, i, &answer);
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
	return 0;
}

_public_ int toytimer_queue_get_status(toytimer_queue *q, toytimer_queue_status *ret)
{
	struct pages pages = {
		.opcode = PROTO_QUEUE_STATUS,
		.give = give_status,
		.userdata = ret,
	};
	int r = ret ? handle_enter(q ? &q->base : NULL) : text_invalid("ret: NULL");

	if (r < 0)
		return r;
	pages.deadline = handle_deadline(&q->base);
	return list_pages(q, &pages);
}
