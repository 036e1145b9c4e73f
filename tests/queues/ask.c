/* SPDX-License-Identifier: MIT */
#include "ask.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define WAIT_MS 20000

struct answer {
	bool done;
	int error;
	struct ask_rows *rows;
	struct ask_puts *puts;
	struct store_queue *queue;
	uint64_t n;
	bool more;
};

static void wait_for(struct store *s, const struct answer *a)
{
	struct pollfd p = {.fd = s->ops->get_fd(s), .events = POLLIN};

	while (!a->done) {
		if (poll(&p, 1, WAIT_MS) != 1)
			abort();
		s->ops->process(s);
	}
}

static void committed(struct store_commit *commit, int error)
{
	struct answer *a = commit->userdata;

	a->error = error;
	a->done = true;
}

int ask_commit(struct store *s, struct store_change *changes, size_t n, struct store_put *put,
	uint64_t now)
{
	struct answer a = {0};
	struct store_commit commit = {
		.changes = n ? changes : NULL,
		.puts = put,
		.clocks.now = {now, now, now},
		.done = committed,
		.userdata = &a,
	};

	for (size_t i = 0; i < n; i++)
		changes[i].next = i + 1 < n ? &changes[i + 1] : NULL;
	if (s->ops->commit(s, &commit))
		abort();
	wait_for(s, &a);
	return a.error;
}

int ask_change(struct store *s, struct store_change *change)
{
	return ask_commit(s, change, 1, NULL, 1);
}

static void rows_read(struct store_reader *r, const struct store_timer *rows, size_t n,
	const struct store_beyond *beyond, bool more, int error)
{
	struct answer *a = r->userdata;
	struct ask_rows *ret = a->rows;

	*ret = (struct ask_rows){.n = n, .beyond = *beyond, .more = more, .error = error};
	for (size_t i = 0; i < n; i++) {
		ret->rows[i] = rows[i];
		if (rows[i].key_size)
			memcpy(ret->keys[i], rows[i].key, rows[i].key_size);
		if (rows[i].payload && rows[i].payload_size <= sizeof(ret->payloads[i]))
			memcpy(ret->payloads[i], rows[i].payload, rows[i].payload_size);
	}
	a->done = true;
}

static void queues_read(
	struct store_reader *r, const struct store_queue *queues, size_t n, bool more, int error)
{
	struct answer *a = r->userdata;

	if (error || n != 1 || more)
		abort();
	*a->queue = queues[0];
	a->done = true;
}

void ask_queue(struct store *s, uint32_t uid, uint64_t now, struct store_queue *ret)
{
	const uint64_t at[PROTO_CLOCKS] = {now, now, now};
	struct answer a = {.queue = ret};
	struct store_reader r = {.queues = queues_read, .userdata = &a};

	if (s->ops->queues(s, uid, 0, 10, at, &r))
		abort();
	wait_for(s, &a);
}

static void put_found(struct store_reader *r, uint64_t serial,
	const struct proto_queue_stored *answers, size_t n, int error)
{
	struct answer *a = r->userdata;
	struct ask_puts *ret = a->puts;

	a->error = error;
	if (!n) {
		ret->last = serial;
		a->done = true;
		return;
	}
	ret->serials[ret->n] = serial;
	ret->first_ids[ret->n++] = answers[0].id;
}

static void purged(struct store_reader *r, uint64_t n, uint64_t bytes, bool more, int error)
{
	struct answer *a = r->userdata;

	(void)bytes;
	a->n = n;
	a->more = more;
	a->error = error;
	a->done = true;
}

void ask_load_some(struct store *s, uint32_t queue, unsigned int clock, uint64_t until, size_t n,
	struct ask_rows *ret)
{
	struct answer a = {.rows = ret};
	struct store_reader r = {.rows = rows_read, .userdata = &a};
	struct store_position start = {.clock = clock};

	if (s->ops->load(s, queue, &start, until, n, &r))
		abort();
	wait_for(s, &a);
}

void ask_load(
	struct store *s, uint32_t queue, unsigned int clock, uint64_t until, struct ask_rows *ret)
{
	ask_load_some(s, queue, clock, until, ASK_ROWS, ret);
}

void ask_list(struct store *s, uint32_t queue, bool parked, const struct store_position *after,
	size_t n, struct ask_rows *ret)
{
	struct answer a = {.rows = ret};
	struct store_reader r = {.rows = rows_read, .userdata = &a};

	if (s->ops->list(s, queue, parked, after, n, &r))
		abort();
	wait_for(s, &a);
}

void ask_puts(struct store *s, const uint8_t *token, struct ask_puts *ret)
{
	struct answer a = {.puts = ret};
	struct store_reader r = {.put = put_found, .userdata = &a};

	*ret = (struct ask_puts){0};
	if (s->ops->find_puts(s, token, &r))
		abort();
	wait_for(s, &a);
}

uint64_t ask_purge(struct store *s, uint32_t queue, bool parked, size_t n, bool *ret_more)
{
	struct answer a = {0};
	struct store_reader r = {.purged = purged, .userdata = &a};

	if (s->ops->purge(s, queue, parked, n, &r))
		abort();
	wait_for(s, &a);
	*ret_more = a.more;
	return a.n;
}

bool ask_state(struct store *s, enum store_state state)
{
	struct pollfd p = {.fd = s->ops->get_fd(s), .events = POLLIN};
	const char *why;

	for (int i = 0; i < 100; i++) {
		if (s->ops->state(s, &why) == state)
			return true;
		poll(&p, 1, 100);
		s->ops->process(s);
	}
	return false;
}
