/* SPDX-License-Identifier: MIT */
/* Plain arrays and linear searches, so that the code is obviously right. */
#include "store_memory_changes.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

void *store_memory_checked(void *p)
{
	if (!p)
		err(1, "memory");
	return p;
}

static void repoint(struct store_memory *m)
{
	for (size_t i = 0; i < m->count; i++) {
		m->rows[i].t.key = m->rows[i].key;
		m->rows[i].t.payload = m->rows[i].payload;
	}
}

static struct store_memory_row *row_of(const struct store_memory *m, uint64_t id)
{
	for (size_t i = 0; i < m->count; i++)
		if (!m->rows[i].t.parked && m->rows[i].t.id == id)
			return &m->rows[i];
	return NULL;
}

const struct store_timer *store_memory_find(const struct store_memory *m, uint64_t id)
{
	struct store_memory_row *row = row_of(m, id);

	return row ? &row->t : NULL;
}

static void insert(struct store_memory *m, const struct store_timer *t)
{
	struct store_memory_row row = {.t = *t};

	if (t->key_size)
		memcpy(row.key, t->key, t->key_size);
	if (t->payload_size && t->payload)
		memcpy(row.payload, t->payload,
			t->payload_size < sizeof(row.payload) ? t->payload_size
							      : sizeof(row.payload));
	if (row.t.payload_size > sizeof(row.payload))
		row.t.payload_size = sizeof(row.payload);
	if (m->count == m->room) {
		m->room = m->room ? 2 * m->room : 64;
		m->rows = store_memory_checked(realloc(m->rows, m->room * sizeof(*m->rows)));
	}
	m->rows[m->count++] = row;
	repoint(m);
}

void store_memory_remove(struct store_memory *m, struct store_memory_row *row)
{
	*row = m->rows[--m->count];
	repoint(m);
}

static struct store_memory_row *named(const struct store_memory *m, const struct store_change *c)
{
	const struct store_timer *t = &c->timer;

	for (size_t i = 0; i < m->count; i++) {
		struct store_timer *r = &m->rows[i].t;

		if (r->parked || r->queue != t->queue)
			continue;
		if (t->key_size ? r->timer == r->id && r->key_size == t->key_size &&
					!memcmp(r->key, t->key, t->key_size)
				: r->timer == t->id)
			return &m->rows[i];
	}
	return NULL;
}

static struct store_memory_row *parked_of(
	const struct store_memory *m, uint32_t queue, uint64_t timer)
{
	for (size_t i = 0; i < m->count; i++)
		if (m->rows[i].t.parked && m->rows[i].t.queue == queue &&
			m->rows[i].t.timer == timer)
			return &m->rows[i];
	return NULL;
}

void store_memory_usage(const struct store_memory *m, uint32_t uid, struct store_usage *ret)
{
	*ret = (struct store_usage){0};
	for (size_t i = 0; i < m->count; i++) {
		const struct store_timer *t = &m->rows[i].t;

		if (uid != PROTO_QUEUE_OWN && m->queues[t->queue - 1].uid != uid)
			continue;
		ret->timers += !t->parked;
		ret->parked += t->parked;
		ret->bytes += t->key_size + t->payload_size;
	}
	ret->queues = m->queue_count;
}

static void note(struct store_change *c, const struct store_timer *t)
{
	c->id = t->timer;
	c->due = t->due;
	c->clock = t->clock;
	c->timer_flags = t->flags;
}

static void put(struct store_memory *m, struct store_change *c)
{
	struct store_memory_row *was = c->timer.key_size ? named(m, c) : NULL;
	struct store_timer t = c->timer;
	struct store_usage usage;

	if (was && c->keep) {
		note(c, &was->t);
		c->flags = PROTO_QUEUE_KEPT;
		return;
	}
	store_memory_usage(m, m->queues[t.queue - 1].uid, &usage);
	if (c->limit_timers && usage.timers + usage.parked + !was > c->limit_timers) {
		c->status = PROTO_E_TIMERS_USER;
		return;
	}
	if (was) {
		c->flags = PROTO_QUEUE_REPLACED;
		c->replaced = was->t.id;
		store_memory_remove(m, was);
	}
	t.id = t.timer = m->next_id++;
	note(c, &t);
	insert(m, &t);
	if (m->stored)
		m->stored(m->userdata, &m->rows[m->count - 1].t);
}

static void cancel(struct store_memory *m, struct store_change *c)
{
	struct store_memory_row *row;

	c->id = c->timer.id;
	while ((row = named(m, c))) {
		note(c, &row->t);
		c->removed++;
		store_memory_remove(m, row);
	}
	while (!c->timer.key_size && (row = parked_of(m, c->timer.queue, c->timer.id))) {
		c->removed++;
		store_memory_remove(m, row);
	}
	c->status = c->removed ? PROTO_OK : PROTO_E_NO_SUCH_TIMER;
}

static void reschedule(struct store_memory *m, struct store_change *c)
{
	struct store_memory_row *row = c->timer.key_size ? named(m, c) : row_of(m, c->timer.id);
	uint64_t due = c->timer.due;

	/* A revived wake cannot be rescheduled. */
	if (!row || row->t.queue != c->timer.queue || row->t.id != row->t.timer) {
		c->status = PROTO_E_NO_SUCH_TIMER;
		return;
	}
	if (c->relative && __builtin_add_overflow(due, c->now[row->t.clock], &due))
		due = PROTO_FOREVER;
	if (due > INT64_MAX) {
		c->status = PROTO_E_RANGE;
		return;
	}
	c->replaced = row->t.id;
	row->t.due = row->t.ready = due;
	row->t.slack = c->timer.slack;
	row->t.every = c->timer.every;
	row->t.number++;
	row->t.count = c->timer.count ? row->t.number - 1 + c->timer.count : 0;
	row->t.attempt = 0;
	note(c, &row->t);
}

static void end_wake(struct store_memory *m, struct store_memory_row *row, uint64_t due)
{
	if (due == PROTO_FOREVER) {
		store_memory_remove(m, row);
		return;
	}
	row->t.due = row->t.ready = due;
	row->t.number++;
	row->t.attempt = 0;
}

static void change_wake(struct store_memory *m, struct store_change *c)
{
	struct store_memory_row *row = row_of(m, c->timer.id);
	struct store_memory_row parked;

	if (!row || row->t.queue != c->timer.queue || row->t.number != c->timer.number) {
		c->status = PROTO_E_NO_SUCH_TIMER;
		return;
	}
	if (m->watch)
		m->watch(m->userdata, c, &row->t);
	note(c, &row->t);
	switch (c->type) {
	case STORE_REMOVE:
		store_memory_remove(m, row);
		return;
	case STORE_ADVANCE:
		end_wake(m, row, c->timer.due);
		return;
	case STORE_DELAY:
		row->t.ready = c->timer.ready;
		row->t.attempt = c->timer.attempt;
		return;
	default:
		parked = *row;
		parked.t.parked = true;
		parked.t.attempt = c->timer.attempt;
		parked.t.key = parked.key;
		parked.t.payload = parked.payload;
		end_wake(m, row, c->timer.due);
		insert(m, &parked.t);
	}
}

static void revive(struct store_memory *m, struct store_change *c)
{
	struct store_memory_row *row;

	c->id = c->timer.id;
	while ((row = parked_of(m, c->timer.queue, c->timer.id))) {
		row->t.parked = false;
		row->t.id = m->next_id++;
		row->t.ready = c->now[row->t.clock];
		row->t.every = row->t.count = row->t.attempt = 0;
		note(c, &row->t);
		c->removed++;
	}
	c->status = c->removed ? PROTO_OK : PROTO_Q_PARKED;
}

static void apply(struct store_memory *m, struct store_change *c)
{
	c->status = c->flags = c->removed = 0;
	c->id = c->due = c->replaced = 0;
	if (c->type == STORE_PUT)
		put(m, c);
	else if (c->type == STORE_CANCEL)
		cancel(m, c);
	else if (c->type == STORE_RESCHEDULE)
		reschedule(m, c);
	else if (c->type == STORE_REVIVE)
		revive(m, c);
	else
		change_wake(m, c);
	if (c->answer)
		*c->answer = (struct proto_queue_stored){
			.id = c->status ? 0 : c->id,
			.due = c->status ? 0 : c->due,
			.status = c->status,
			.flags = c->flags,
		};
}

static void remember(struct store_memory *m, const struct store_put *p)
{
	struct store_memory_put **at = &m->puts, *put;

	while ((put = *at)) {
		if (memcmp(put->token, p->token, sizeof(put->token)) ||
			put->serial % STORE_PUTS != p->serial % STORE_PUTS) {
			at = &put->next;
			continue;
		}
		*at = put->next;
		free(put);
	}
	put = store_memory_checked(calloc(1, sizeof(*put) + p->count * sizeof(*p->answers)));
	memcpy(put->token, p->token, sizeof(put->token));
	put->serial = p->serial;
	put->n = p->count;
	memcpy(put->answers, p->answers, p->count * sizeof(*p->answers));
	*at = put;
}

static bool only_deletes(const struct store_commit *commit)
{
	for (const struct store_change *c = commit->changes; c; c = c->next)
		if (c->type == STORE_PUT || c->type == STORE_RESCHEDULE || c->type == STORE_REVIVE)
			return false;
	return true;
}

int store_memory_commit(struct store_memory *m, struct store_commit *commit)
{
	if (m->commit_error && !(m->deletions && only_deletes(commit)))
		return m->commit_error;
	for (struct store_change *c = commit->changes; c; c = c->next) {
		c->locked = c->timer.queue == m->locked;
		if (!c->locked)
			apply(m, c);
	}
	for (const struct store_put *p = commit->puts; p; p = p->next)
		remember(m, p);
	m->clocks = commit->clocks;
	m->commits++;
	return 0;
}
