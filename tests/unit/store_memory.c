/* SPDX-License-Identifier: MIT */
/* The operations of the store: pending commits, and reads. */
#include "store_memory.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "store_memory_changes.h"

enum job_type { COMMIT, LOAD, LIST, QUEUES, FIND_PUTS, PURGE };

struct store_memory_job {
	enum job_type type;
	struct store_memory_job *next;
	struct store_commit *commit;
	struct store_reader *reader;
	uint32_t queue, clock, uid, after_queue;
	uint64_t ready, id, until, now[PROTO_CLOCKS];
	struct store_position after;
	bool parked;
	size_t n;
	uint8_t token[STORE_TOKEN_SIZE];
};

static struct store_memory *of(const struct store *s)
{
	return (struct store_memory *)(uintptr_t)s;
}

static int by_place(const void *a, const void *b)
{
	const struct store_timer *x = a, *y = b;

	if (x->clock != y->clock)
		return x->clock < y->clock ? -1 : 1;
	if (x->ready != y->ready)
		return x->ready < y->ready ? -1 : 1;
	return x->id < y->id ? -1 : x->id > y->id;
}

static int by_timer(const void *a, const void *b)
{
	const struct store_timer *x = a, *y = b;

	if (x->timer != y->timer)
		return x->timer < y->timer ? -1 : 1;
	return x->number < y->number ? -1 : x->number > y->number;
}

static bool is_behind(const struct store_timer *t, const struct store_memory_job *j)
{
	if (j->type == LOAD)
		return t->ready > j->ready || (t->ready == j->ready && t->id > j->id);
	if (j->parked)
		return t->timer > j->after.id ||
			(t->timer == j->after.id && t->number > j->after.number);
	if (t->clock != j->after.clock)
		return t->clock > j->after.clock;
	return t->ready > j->after.ready || (t->ready == j->after.ready && t->id > j->after.id);
}

static void run_rows(struct store_memory *m, const struct store_memory_job *j)
{
	struct store_timer *rows = store_memory_checked(calloc(m->count + 1, sizeof(*rows)));
	struct store_beyond beyond = {PROTO_FOREVER, PROTO_FOREVER};
	size_t n = 0, some;

	for (size_t i = 0; i < m->count; i++) {
		const struct store_timer *t = &m->rows[i].t;

		if (t->queue == j->queue && t->parked == j->parked &&
			(j->type == LIST || t->clock == j->clock) && is_behind(t, j))
			rows[n++] = *t;
	}
	qsort(rows, n, sizeof(*rows), j->parked ? by_timer : by_place);
	some = n < j->n ? n : j->n;
	while (j->type == LOAD && some && rows[some - 1].ready > j->until)
		some--;
	for (size_t i = n; i-- > some;) {
		beyond.ready = rows[i].ready;
		if (rows[i].flags & PROTO_WAKE_SYSTEM)
			beyond.wake_system = rows[i].ready;
	}
	if (m->read_error)
		j->reader->rows(j->reader, NULL, 0, &beyond, false, m->read_error);
	else
		j->reader->rows(j->reader, rows, some, &beyond, n > some, 0);
	free(rows);
}

static void run_queues(struct store_memory *m, const struct store_memory_job *j)
{
	struct store_queue *queues = store_memory_checked(
		calloc(m->queue_count + 1, sizeof(*queues)));
	size_t n = 0;
	bool more = false;

	for (uint32_t number = j->after_queue + 1; number <= m->queue_count; number++) {
		struct store_queue *q = &queues[n];

		if (j->uid != PROTO_QUEUE_OWN && m->queues[number - 1].uid != j->uid)
			continue;
		more = n == j->n;
		if (more)
			break;
		q->number = number;
		q->uid = m->queues[number - 1].uid;
		memcpy(q->name, m->queues[number - 1].name, sizeof(q->name));
		for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
			q->first[i] = q->next[i] = PROTO_FOREVER;
		for (size_t i = 0; i < m->count; i++) {
			const struct store_timer *t = &m->rows[i].t;

			if (t->queue != number)
				continue;
			q->timers += !t->parked;
			q->parked += t->parked;
			q->due += !t->parked && t->ready <= j->now[t->clock];
			if (!t->parked && t->ready < q->first[t->clock])
				q->first[t->clock] = t->ready;
			if (!t->parked && t->ready > j->now[t->clock] &&
				t->ready < q->next[t->clock])
				q->next[t->clock] = t->ready;
		}
		n++;
	}
	j->reader->queues(j->reader, queues, m->read_error ? 0 : n, more, m->read_error);
	free(queues);
}

static void run_find_puts(struct store_memory *m, const struct store_memory_job *j)
{
	uint64_t last = 0;

	for (const struct store_memory_put *p = m->puts; p && !m->read_error; p = p->next) {
		if (memcmp(p->token, j->token, sizeof(p->token)))
			continue;
		last = p->serial > last ? p->serial : last;
		j->reader->put(j->reader, p->serial, p->answers, p->n, 0);
	}
	j->reader->put(j->reader, last, NULL, 0, m->read_error);
}

static void run_purge(struct store_memory *m, const struct store_memory_job *j, bool answers)
{
	uint64_t n = 0;

	for (size_t i = 0; i < m->count && n < j->n && !m->commit_error;) {
		struct store_memory_row *row = &m->rows[i];

		if (row->t.queue != j->queue || (j->parked && !row->t.parked)) {
			i++;
			continue;
		}
		store_memory_remove(m, row);
		n++;
	}
	if (answers)
		j->reader->purged(j->reader, n, 0, n == j->n, m->commit_error);
}

static struct store_memory_job *take(struct store_memory *m)
{
	struct store_memory_job *j = m->first;

	if (!j)
		return NULL;
	m->first = j->next;
	if (!m->first)
		m->last = NULL;
	return j;
}

void store_memory_clear(struct store_memory *m)
{
	m->count = 0;
}

bool store_memory_step(struct store_memory *m)
{
	struct store_memory_job *j = take(m);

	if (!j)
		return false;
	switch (j->type) {
	case COMMIT:
		j->commit->done(j->commit, store_memory_commit(m, j->commit));
		break;
	case QUEUES:
		run_queues(m, j);
		break;
	case FIND_PUTS:
		run_find_puts(m, j);
		break;
	case PURGE:
		run_purge(m, j, true);
		break;
	default:
		run_rows(m, j);
		break;
	}
	free(j);
	return true;
}

void store_memory_crash(struct store_memory *m, size_t n)
{
	struct store_memory_job *j;

	for (uint32_t i = 0; i < m->queue_count; i++)
		m->queues[i].references = 0;
	for (; (j = take(m)); n -= n > 0) {
		if (n && j->type == COMMIT)
			store_memory_commit(m, j->commit);
		if (n && j->type == PURGE)
			run_purge(m, j, false);
		free(j);
	}
}

static struct store_memory_job *add(struct store *s, enum job_type type, struct store_reader *r)
{
	struct store_memory *m = of(s);
	struct store_memory_job *j = store_memory_checked(calloc(1, sizeof(*j)));

	j->type = type;
	j->reader = r;
	if (m->last)
		m->last->next = j;
	else
		m->first = j;
	m->last = j;
	return j;
}

static void process(struct store *s)
{
	while (store_memory_step(of(s)))
		;
}

static enum store_state state(const struct store *s, const char **ret_why)
{
	*ret_why = "the test wants it";
	return of(s)->state;
}

/* Each request about a queue needs a reference to it. */
static void need_queue(const struct store_memory *m, uint32_t number)
{
	if (number < 1 || number > m->queue_count || !m->queues[number - 1].references)
		errx(1, "queue %u: asked without a reference", number);
}

static int commit(struct store *s, struct store_commit *c)
{
	for (const struct store_memory_job *j = of(s)->first; j; j = j->next)
		if (j->type == COMMIT)
			return -EBUSY;
	for (const struct store_change *change = c->changes; change; change = change->next)
		need_queue(of(s), change->timer.queue);
	add(s, COMMIT, NULL)->commit = c;
	return 0;
}

static int open_queue(struct store *s, uint32_t uid, const char *name, uint32_t *ret_number)
{
	struct store_memory *m = of(s);
	struct store_memory_queue *q;

	for (uint32_t i = 0; i < m->queue_count; i++)
		if (m->queues[i].uid == uid && !strcmp(m->queues[i].name, name)) {
			m->queues[i].references++;
			*ret_number = i + 1;
			return 0;
		}
	m->queues = store_memory_checked(
		realloc(m->queues, (m->queue_count + 1) * sizeof(*m->queues)));
	q = &m->queues[m->queue_count++];
	*q = (struct store_memory_queue){.uid = uid, .references = 1};
	strncpy(q->name, name, sizeof(q->name) - 1);
	*ret_number = m->queue_count;
	return 0;
}

static void ref_queue(struct store *s, uint32_t number)
{
	need_queue(of(s), number);
	of(s)->queues[number - 1].references++;
}

static void unref_queue(struct store *s, uint32_t number)
{
	need_queue(of(s), number);
	of(s)->queues[number - 1].references--;
}

static void usage(const struct store *s, uint32_t uid, struct store_usage *ret)
{
	store_memory_usage(of(s), uid, ret);
}

static int find_puts(struct store *s, const uint8_t *token, struct store_reader *r)
{
	struct store_memory_job *j = add(s, FIND_PUTS, r);

	memcpy(j->token, token, sizeof(j->token));
	return 0;
}

static int load(struct store *s, uint32_t queue, const struct store_position *after, uint64_t until,
	size_t n, struct store_reader *r)
{
	struct store_memory_job *j = add(s, LOAD, r);

	need_queue(of(s), queue);
	j->queue = queue;
	j->clock = after->clock;
	j->ready = after->ready;
	j->id = after->id;
	j->until = until;
	j->n = n;
	return 0;
}

static int list(struct store *s, uint32_t queue, bool parked, const struct store_position *after,
	size_t n, struct store_reader *r)
{
	struct store_memory_job *j = add(s, LIST, r);

	need_queue(of(s), queue);
	j->queue = queue;
	j->parked = parked;
	j->after = *after;
	j->n = n;
	return 0;
}

static int queues(struct store *s, uint32_t uid, uint32_t after, size_t n,
	const uint64_t now[static PROTO_CLOCKS], struct store_reader *r)
{
	struct store_memory_job *j = add(s, QUEUES, r);

	j->uid = uid;
	j->after_queue = after;
	j->n = n;
	memcpy(j->now, now, sizeof(j->now));
	return 0;
}

static int purge(struct store *s, uint32_t queue, bool parked, size_t n, struct store_reader *r)
{
	struct store_memory_job *j = add(s, PURGE, r);

	need_queue(of(s), queue);
	j->queue = queue;
	j->parked = parked;
	j->n = n;
	return 0;
}

static const struct store_ops ops = {
	.process = process,
	.state = state,
	.commit = commit,
	.open_queue = open_queue,
	.ref_queue = ref_queue,
	.unref_queue = unref_queue,
	.usage = usage,
	.find_puts = find_puts,
	.load = load,
	.list = list,
	.queues = queues,
	.purge = purge,
};

void store_memory_init(struct store_memory *m)
{
	*m = (struct store_memory){.base = {.ops = &ops}, .next_id = 1};
}

void store_memory_free(struct store_memory *m)
{
	store_memory_crash(m, 0);
	while (m->puts) {
		struct store_memory_put *put = m->puts;

		m->puts = put->next;
		free(put);
	}
	free(m->rows);
	free(m->queues);
	*m = (struct store_memory){0};
}
