/* SPDX-License-Identifier: MIT */
#include "dump.h"

#include <string.h>

#include "sqlite_index.h"

#define QUEUES 16

uint64_t dump_mix(uint64_t value)
{
	value = (value ^ value >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	value = (value ^ value >> 27) * UINT64_C(0x94d049bb133111eb);
	return value ^ value >> 31;
}

static uint64_t add_bytes(uint64_t sum, const void *bytes, int size)
{
	const uint8_t *p = bytes;

	for (int i = 0; i < size; i++)
		sum = (sum ^ p[i]) * UINT64_C(0x100000001b3);
	return dump_mix(sum + (uint64_t)size);
}

static uint64_t row_sum(sqlite3_stmt *s)
{
	uint64_t sum = 1;

	for (int i = 0; i < sqlite3_column_count(s); i++) {
		switch (sqlite3_column_type(s, i)) {
		case SQLITE_INTEGER:
			sum = dump_mix(sum + (uint64_t)sqlite3_column_int64(s, i) + 1);
			break;
		case SQLITE_NULL:
			sum = dump_mix(sum + 77);
			break;
		default:
			sum = add_bytes(sum, sqlite3_column_blob(s, i), sqlite3_column_bytes(s, i));
			break;
		}
	}
	return sum;
}

struct totals {
	struct sqlite *q;
	struct dump *ret;
	uint64_t sum, due, keys;
	struct sqlite_counts queues[QUEUES];
};

static int each(struct totals *t, const char *text, void (*row)(struct totals *t, sqlite3_stmt *s))
{
	sqlite3_stmt *s;
	int r = sqlite3_prepare_v2(t->q->db, text, -1, &s, NULL);

	if (r)
		return r;
	while ((r = sqlite3_step(s)) == SQLITE_ROW)
		row(t, s);
	sqlite3_finalize(s);
	return r == SQLITE_DONE ? SQLITE_OK : r;
}

static uint64_t due_sum(sqlite3_stmt *s, int queue, int clock, int ready, int id)
{
	uint64_t sum = dump_mix((uint64_t)sqlite3_column_int64(s, queue));

	sum = dump_mix(sum + (uint64_t)sqlite3_column_int64(s, clock));
	sum = dump_mix(sum + (uint64_t)sqlite3_column_int64(s, ready));
	return dump_mix(sum + (uint64_t)sqlite3_column_int64(s, id));
}

static struct sqlite_counts *queue_of(struct totals *t, sqlite3_stmt *s, int column)
{
	int64_t number = sqlite3_column_int64(s, column);

	if (number < 1 || number > QUEUES) {
		t->ret->fault = "a row names a queue that is not known";
		number = 1;
	}
	return &t->queues[number - 1];
}

/* id, queue, clock, ready, revived, key, payload, and the rest. */
static void timer_row(struct totals *t, sqlite3_stmt *s)
{
	struct sqlite_counts *queue = queue_of(t, s, 1);
	uint64_t id = (uint64_t)sqlite3_column_int64(s, 0);
	int size = sqlite3_column_bytes(s, 5);

	t->sum += row_sum(s);
	t->ret->timers += dump_mix(id);
	t->ret->count++;
	t->due += due_sum(s, 1, 2, 3, 0);
	if (size && sqlite3_column_type(s, 4) == SQLITE_NULL)
		t->keys += dump_mix(sqlite_hash(t->q, (uint32_t)sqlite3_column_int64(s, 1),
					    (const char *)sqlite3_column_blob(s, 5), (size_t)size) +
			dump_mix(id));
	queue->timers++;
	queue->bytes += size + sqlite3_column_bytes(s, 6);
}

static void parked_row(struct totals *t, sqlite3_stmt *s)
{
	struct sqlite_counts *queue = queue_of(t, s, 0);

	t->sum += row_sum(s) * 3;
	queue->parked++;
	queue->bytes += sqlite3_column_bytes(s, 1) + sqlite3_column_bytes(s, 2);
}

/* Reads the next entry of an index, in memory or on disk. *ret is NULL after the last entry of the
 * lane. */
static int next_entry(const struct recent *recent, struct sqlite_blocks *blocks,
	struct recent_entry *at, const struct recent_entry **ret)
{
	const struct recent_entry *next = recent_after(recent, at);
	int r = sqlite_blocks_after(blocks, at, ret);

	if (r)
		return r;
	if (next && next->lane == at->lane && (!*ret || recent_is_before(next, *ret)))
		*ret = next;
	if (*ret)
		*at = **ret;
	return SQLITE_OK;
}

static int read_due(struct totals *t, uint64_t queue, uint64_t clock)
{
	struct recent_entry at = {.lane = queue << 8 | clock};
	const struct recent_entry *next;
	int r;

	while (!(r = next_entry(&t->q->recent_due, &t->q->due, &at, &next)) && next) {
		uint64_t sum = dump_mix(dump_mix(queue) + clock);

		t->due -= dump_mix(dump_mix(sum + at.value) + at.id);
	}
	return r;
}

/* Reads both indexes, as timerqd does. */
static int read_indexes(struct totals *t)
{
	struct recent_entry at = {0};
	const struct recent_entry *next;
	int r = SQLITE_OK;

	for (uint64_t i = 0; i < QUEUES * PROTO_CLOCKS && !r; i++)
		r = read_due(t, i / PROTO_CLOCKS + 1, i % PROTO_CLOCKS);
	while (!r && !(r = next_entry(&t->q->recent_keys, &t->q->keys, &at, &next)) && next)
		t->keys -= dump_mix(at.value + dump_mix(at.id));
	return r;
}

static void queue_row(struct totals *t, sqlite3_stmt *s)
{
	struct sqlite_counts *queue = queue_of(t, s, 0);

	t->sum += row_sum(s) * 5;
	queue->timers -= sqlite3_column_int64(s, 1);
	queue->parked -= sqlite3_column_int64(s, 2);
	queue->bytes -= sqlite3_column_int64(s, 3);
}

static void put_row(struct totals *t, sqlite3_stmt *s)
{
	t->sum += row_sum(s) * 7;
}

static void meta_row(struct totals *t, sqlite3_stmt *s)
{
	t->sum += row_sum(s) * 9;
}

static const struct {
	const char *text;
	void (*row)(struct totals *t, sqlite3_stmt *s);
} tables[] = {
	{"SELECT id, queue, clock, ready, revived, key, payload, * FROM timers", timer_row},
	{"SELECT queue, key, payload, * FROM parked", parked_row},
	{"SELECT number, timers, parked, bytes, uid, name FROM queues", queue_row},
	{"SELECT * FROM puts", put_row},
	{"SELECT * FROM meta WHERE name IN ('next_id', 'clocks')", meta_row},
};

int dump_read(struct sqlite *q, struct dump *ret)
{
	struct totals t = {.q = q, .ret = ret};
	int r = SQLITE_OK;

	*ret = (struct dump){0};
	for (size_t i = 0; i < sizeof(tables) / sizeof(tables[0]) && !r; i++)
		r = each(&t, tables[i].text, tables[i].row);
	if (!r)
		r = read_indexes(&t);
	if (t.due)
		ret->fault = "the index by due does not agree with the rows";
	if (t.keys)
		ret->fault = "the index by key does not agree with the rows";
	for (int i = 0; i < QUEUES; i++)
		if (t.queues[i].timers || t.queues[i].parked || t.queues[i].bytes)
			ret->fault = "the counts of a queue do not agree with its rows";
	ret->all = t.sum;
	return r;
}
