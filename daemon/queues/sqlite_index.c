/* SPDX-License-Identifier: MIT */
/*
 * The two indexes, by due and by key: see sqlite.h for why each has a part in memory.
 *
 * The entry of a row is on disk if its id is at most `indexed`, and in memory if its id is greater.
 * Entries with ids up to `read_again` were in memory when the last process ended, and may be on
 * disk as well, because a merge was under way. So an entry may be in both parts; then it is the
 * same in both.
 */
#include "sqlite_index.h"

#include <stdlib.h>
#include <string.h>

#include "sqlite_meta.h"
#include "sqlite_schema.h"

/* Multilinear hashing with a secret seed (Lemire and Kaser, Strongly Universal String Hashing is
 * Fast, 2014): a user cannot make keys that collide. */
uint64_t sqlite_hash(const struct sqlite *q, uint32_t queue, const char *key, size_t size)
{
	uint64_t sum[2] = {q->seed[0] + q->seed[1] * queue, q->seed[2] * size};

	for (size_t i = 0; i < size; i++)
		sum[i / 4 % 2] += (q->seed[3 + i / 4] << (i % 4 * 8)) * (uint8_t)key[i];
	/* Below 2^63, so that SQLite, whose numbers have a sign, orders hashes as the part in
	 * memory does. */
	return ((sum[0] >> 32) << 32 ^ sum[1] ^ sum[1] >> 32) >> 1;
}

static struct recent_entry entry_of_due(const struct sqlite_due *due)
{
	return (struct recent_entry){(uint64_t)due->queue << 8 | due->clock, due->ready, due->id};
}

static struct recent_entry entry_of_key(uint64_t hash, uint64_t id)
{
	return (struct recent_entry){0, hash, id};
}

/* Whether a new entry goes to memory. At the end of a merge all entries up to its newest id have to
 * be on disk. So during a merge such an entry goes to disk at once, because the round may have
 * passed its place. */
static bool goes_to_memory(const struct sqlite_merge *m, uint64_t indexed, uint64_t id)
{
	return id > (m->under_way ? m->newest : indexed);
}

static int add_recent(struct recent *recent, const struct recent_entry *entry)
{
	return recent_add(recent, entry) < 0 ? SQLITE_NOMEM : SQLITE_OK;
}

int sqlite_due_add(struct sqlite *q, const struct sqlite_due *due)
{
	struct recent_entry entry = entry_of_due(due);

	if (goes_to_memory(&q->merge_due, q->indexed_due, due->id))
		return add_recent(&q->recent_due, &entry);
	return sqlite_blocks_add(&q->due, &entry);
}

int sqlite_due_remove(struct sqlite *q, const struct sqlite_due *due)
{
	struct recent_entry entry = entry_of_due(due);

	if (recent_remove(&q->recent_due, &entry) && due->id > q->read_again)
		return SQLITE_OK;
	return sqlite_blocks_remove(&q->due, &entry);
}

int sqlite_key_add(struct sqlite *q, uint64_t hash, uint64_t id)
{
	struct recent_entry entry = entry_of_key(hash, id);

	if (goes_to_memory(&q->merge_keys, q->indexed_keys, id))
		return add_recent(&q->recent_keys, &entry);
	return sqlite_blocks_add(&q->keys, &entry);
}

int sqlite_key_remove(struct sqlite *q, uint64_t hash, uint64_t id)
{
	struct recent_entry entry = entry_of_key(hash, id);

	if (recent_remove(&q->recent_keys, &entry) && id > q->read_again)
		return SQLITE_OK;
	return sqlite_blocks_remove(&q->keys, &entry);
}

int sqlite_key_after(
	struct sqlite *q, bool on_disk, uint64_t hash, uint64_t after, uint64_t *ret_id)
{
	struct recent_entry place = entry_of_key(hash, after);
	const struct recent_entry *next;
	int r = SQLITE_OK;

	if (on_disk)
		r = sqlite_blocks_after(&q->keys, &place, &next);
	else
		next = recent_after(&q->recent_keys, &place);
	*ret_id = !r && next && next->value == hash ? next->id : 0;
	return r;
}

int sqlite_index_flush(struct sqlite *q)
{
	int r = sqlite_blocks_flush(&q->due);

	return r ? r : sqlite_blocks_flush(&q->keys);
}

static void forget_blocks(struct sqlite *q)
{
	sqlite_blocks_drop(&q->due);
	sqlite_blocks_drop(&q->keys);
}

/* Entries in any order. To sort many of them once is faster than to insert each. */
struct gathered {
	struct recent_entry *entries;
	size_t count, room;
};

static int gather(struct gathered *g, const struct recent_entry *entry)
{
	if (g->count == g->room) {
		size_t room = g->room * 2 + 1024;
		struct recent_entry *entries = realloc(g->entries, room * sizeof(*entries));

		if (!entries)
			return SQLITE_NOMEM;
		g->entries = entries;
		g->room = room;
	}
	g->entries[g->count++] = *entry;
	return SQLITE_OK;
}

static int compare(const void *a, const void *b)
{
	return recent_is_before(a, b) ? -1 : recent_is_before(b, a);
}

/* Adds the entries to a part in memory, unless there was an error before. Frees them. */
static int add_gathered(struct recent *recent, struct gathered *g, int error)
{
	if (g->count)
		qsort(g->entries, g->count, sizeof(*g->entries), compare);
	for (size_t i = 0; i < g->count && !error; i++)
		error = add_recent(recent, &g->entries[i]);
	free(g->entries);
	return error;
}

/* Reads id, queue, clock, ready, revived and key of a row, and gathers its entries for the parts in
 * memory. */
static int read_row(
	struct sqlite *q, sqlite3_stmt *s, struct gathered *by_due, struct gathered *by_key)
{
	struct sqlite_due due = {
		.id = (uint64_t)sqlite3_column_int64(s, 0),
		.queue = (uint32_t)sqlite3_column_int64(s, 1),
		.clock = (uint32_t)sqlite3_column_int(s, 2),
		.ready = (uint64_t)sqlite3_column_int64(s, 3),
	};
	const char *key = sqlite3_column_blob(s, 5);
	size_t size = (size_t)sqlite3_column_bytes(s, 5);
	struct recent_entry entry = entry_of_due(&due);
	int r = SQLITE_OK;

	if (due.id > q->indexed_due)
		r = gather(by_due, &entry);
	if (r || !size || sqlite3_column_type(s, 4) != SQLITE_NULL || due.id <= q->indexed_keys)
		return r;
	entry = entry_of_key(sqlite_hash(q, due.queue, key, size), due.id);
	return gather(by_key, &entry);
}

/* Fills the parts in memory from the rows that the tables on disk do not have. */
int sqlite_index_start(struct sqlite *q)
{
	uint64_t indexed = q->indexed_due < q->indexed_keys ? q->indexed_due : q->indexed_keys;
	struct gathered by_due = {0}, by_key = {0};
	sqlite3_stmt *s;
	int r = sqlite3_prepare_v2(q->db,
		"SELECT id, queue, clock, ready, revived, key FROM timers WHERE id > ?1", -1, &s,
		NULL);

	if (r)
		return r;
	sqlite3_bind_int64(s, 1, (int64_t)indexed);
	q->read_again = q->next_id - 1;
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		r = read_row(q, s, &by_due, &by_key);
		if (r)
			break;
	}
	sqlite3_finalize(s);
	r = add_gathered(&q->recent_due, &by_due, r == SQLITE_DONE ? SQLITE_OK : r);
	return add_gathered(&q->recent_keys, &by_key, r);
}

int sqlite_index_restart(struct sqlite *q)
{
	int r;

	forget_blocks(q);
	recent_clear(&q->recent_due);
	recent_clear(&q->recent_keys);
	q->merge_due.under_way = q->merge_keys.under_way = false;
	r = sqlite_index_start(q);
	q->index_lost = r != SQLITE_OK;
	return r;
}

int sqlite_index_restart_if_lost(struct sqlite *q)
{
	return q->index_lost ? sqlite_index_restart(q) : SQLITE_OK;
}

bool sqlite_wants_merge(const struct sqlite *q)
{
	return sqlite_recent(q) >= q->tuning.recent_max || q->merge_due.under_way ||
		q->merge_keys.under_way;
}

uint64_t sqlite_recent(const struct sqlite *q)
{
	uint64_t due = q->recent_due.count, keys = q->recent_keys.count;

	return due > keys ? due : keys;
}

/* Writes one slice of entries. */
static int merge_slice(struct sqlite_blocks *blocks, const struct recent_entry *entries, size_t n)
{
	int r = SQLITE_OK;

	for (size_t i = 0; i < n && !r; i++)
		r = sqlite_blocks_add(blocks, &entries[i]);
	return r ? r : sqlite_blocks_flush(blocks);
}

static void begin_round(const struct sqlite *q, struct sqlite_merge *m)
{
	*m = (struct sqlite_merge){.under_way = true, .newest = q->next_id - 1};
}

/* One slice of a round, in a transaction. After the last slice the table on disk is complete up to
 * the id that was the newest when the round began. */
static int merge(struct sqlite *q, const char *meta, struct sqlite_blocks *blocks,
	struct sqlite_merge *m, uint64_t *indexed, struct recent *recent)
{
	struct recent_entry entries[SQLITE_MERGE_SLICE_MAX];
	size_t n;
	bool ends;
	int r;

	if (!m->under_way)
		begin_round(q, m);
	n = recent_copy_after(recent, &m->at, entries, q->tuning.merge_slice);
	ends = n < q->tuning.merge_slice;
	r = sqlite_run(q, SQL_BEGIN);
	if (!r)
		r = merge_slice(blocks, entries, n);
	if (!r && ends)
		r = sqlite_write_counter(q, meta, m->newest);
	if (!r)
		r = sqlite_run(q, SQL_COMMIT);
	if (r) {
		sqlite_run(q, SQL_ROLLBACK);
		forget_blocks(q);
		return r;
	}
	recent_remove_after(recent, &m->at, n);
	if (n)
		m->at = entries[n - 1];
	if (ends) {
		*indexed = m->newest;
		m->under_way = false;
	}
	return r;
}

/* A round of both indexes, by due first: a start reads again all rows after the smaller of the two
 * marks, so both must grow. */
int sqlite_merge(struct sqlite *q)
{
	int r = sqlite_index_restart_if_lost(q);

	if (r)
		return r;
	if (q->merge_keys.under_way)
		return merge(q, "indexed_keys", &q->keys, &q->merge_keys, &q->indexed_keys,
			&q->recent_keys);
	r = merge(q, "indexed_due", &q->due, &q->merge_due, &q->indexed_due, &q->recent_due);
	if (!r && !q->merge_due.under_way)
		begin_round(q, &q->merge_keys);
	return r;
}

void sqlite_cursor_begin(struct sqlite_cursor *c, struct sqlite *q, const struct sqlite_due *after)
{
	*c = (struct sqlite_cursor){.q = q, .at = entry_of_due(after)};
}

int sqlite_cursor_next(struct sqlite_cursor *c, struct sqlite_due *ret)
{
	const struct recent_entry *next = recent_after(&c->q->recent_due, &c->at), *on_disk;
	int r = sqlite_blocks_after(&c->q->due, &c->at, &on_disk);

	if (r)
		return r;
	if (next && next->lane != c->at.lane)
		next = NULL;
	if (on_disk && (!next || recent_is_before(on_disk, next)))
		next = on_disk;
	if (!next)
		return SQLITE_DONE;
	c->at = *next;
	ret->ready = next->value;
	ret->id = next->id;
	return SQLITE_ROW;
}
