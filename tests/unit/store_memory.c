/* SPDX-License-Identifier: MIT */
/* Plain arrays and linear searches: what this does must be right at a glance. */
#include "store_memory.h"

#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

struct store_memory_put {
	struct store_memory_put *next;
	uint8_t token[STORE_TOKEN_SIZE];
	uint64_t serial;
	size_t n;
	struct proto_queue_stored answers[];
};

static struct store_memory *of(const struct store *s)
{
	return (struct store_memory *)(uintptr_t)s;
}

static void *checked(void *p)
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
		m->rows = checked(realloc(m->rows, m->room * sizeof(*m->rows)));
	}
	m->rows[m->count++] = row;
	repoint(m);
}

static void remove_row(struct store_memory *m, struct store_memory_row *row)
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

static void usage_of(const struct store_memory *m, uint32_t uid, struct store_usage *ret)
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
	usage_of(m, m->queues[t.queue - 1].uid, &usage);
	if (c->limit_timers && usage.timers + usage.parked + !was > c->limit_timers) {
		c->status = PROTO_E_TIMERS_USER;
		return;
	}
	if (was) {
		c->flags = PROTO_QUEUE_REPLACED;
		c->replaced = was->t.id;
		remove_row(m, was);
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
		remove_row(m, row);
	}
	while (!c->timer.key_size && (row = parked_of(m, c->timer.queue, c->timer.id))) {
		c->removed++;
		remove_row(m, row);
	}
	c->status = c->removed ? PROTO_OK : PROTO_E_NO_SUCH_TIMER;
}

static void reschedule(struct store_memory *m, struct store_change *c)
{
	struct store_memory_row *row = c->timer.key_size ? named(m, c) : row_of(m, c->timer.id);
	uint64_t due = c->timer.due;

	/* A revived wake is none that can be rescheduled. */
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
		remove_row(m, row);
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
		remove_row(m, row);
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
	put = checked(calloc(1, sizeof(*put) + p->count * sizeof(*p->answers)));
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

static int run_commit(struct store_memory *m, struct store_commit *commit)
{
	if (m->commit_error && !(m->deletions && only_deletes(commit)))
		return m->commit_error;
	for (struct store_change *c = commit->changes; c; c = c->next)
		apply(m, c);
	for (const struct store_put *p = commit->puts; p; p = p->next)
		remember(m, p);
	m->clocks = commit->clocks;
	m->commits++;
	return 0;
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
	struct store_timer *rows = checked(calloc(m->count + 1, sizeof(*rows)));
	struct store_behind behind = {PROTO_FOREVER, PROTO_FOREVER};
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
		behind.ready = rows[i].ready;
		if (rows[i].flags & PROTO_WAKE_SYSTEM)
			behind.wake_system = rows[i].ready;
	}
	if (m->read_error)
		j->reader->rows(j->reader, NULL, 0, &behind, false, m->read_error);
	else
		j->reader->rows(j->reader, rows, some, &behind, n > some, 0);
	free(rows);
}

static void run_queues(struct store_memory *m, const struct store_memory_job *j)
{
	struct store_queue *queues = checked(calloc(m->queue_count + 1, sizeof(*queues)));
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
			q->first[i] = PROTO_FOREVER;
		for (size_t i = 0; i < m->count; i++) {
			const struct store_timer *t = &m->rows[i].t;

			if (t->queue != number)
				continue;
			q->timers += !t->parked;
			q->parked += t->parked;
			q->due += !t->parked && t->ready <= j->now[t->clock];
			if (!t->parked && t->ready < q->first[t->clock])
				q->first[t->clock] = t->ready;
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
		remove_row(m, row);
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
		j->commit->done(j->commit, run_commit(m, j->commit));
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
			run_commit(m, j->commit);
		if (n && j->type == PURGE)
			run_purge(m, j, false);
		free(j);
	}
}

static struct store_memory_job *add(struct store *s, enum job_type type, struct store_reader *r)
{
	struct store_memory *m = of(s);
	struct store_memory_job *j = checked(calloc(1, sizeof(*j)));

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

/* All that is asked of a queue needs a reference. */
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
	m->queues = checked(realloc(m->queues, (m->queue_count + 1) * sizeof(*m->queues)));
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
	usage_of(of(s), uid, ret);
}

static int find_puts(struct store *s, const uint8_t *token, struct store_reader *r)
{
	struct store_memory_job *j = add(s, FIND_PUTS, r);

	memcpy(j->token, token, sizeof(j->token));
	return 0;
}

static int load(struct store *s, uint32_t queue, unsigned int clock, uint64_t ready, uint64_t id,
	uint64_t until, size_t n, struct store_reader *r)
{
	struct store_memory_job *j = add(s, LOAD, r);

	need_queue(of(s), queue);
	j->queue = queue;
	j->clock = clock;
	j->ready = ready;
	j->id = id;
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
