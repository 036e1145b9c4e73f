/* SPDX-License-Identifier: MIT */
/*
 * The two indexes, by due and by key: see sqlite.h for why each has a part in memory.
 *
 * A row with an id up to `indexed` has its entry on disk, and one behind it in memory. Entries that
 * were in memory when the process ended, up to `read_again`, may be on disk as well: a merge was
 * under way. So an entry may be in both parts, and is then the same in both.
 */
#include "sqlite.h"

#include <string.h>

/* Multilinear hashing with a secret seed (Lemire and Kaser, Strongly Universal String Hashing is
 * Fast, 2014): a user cannot make keys that collide. */
uint64_t sqlite_hash(const struct sqlite *q, uint32_t queue, const char *key, size_t size)
{
	uint64_t sum[2] = {q->seed[0] + q->seed[1] * queue, q->seed[2] * size};

	for (size_t i = 0; i < size; i++)
		sum[i / 4 % 2] += (q->seed[3 + i / 4] << (i % 4 * 8)) * (uint8_t)key[i];
	return (sum[0] >> 32) << 32 ^ sum[1] ^ sum[1] >> 32;
}

static void bind_due(sqlite3_stmt *s, const struct sqlite_due *due)
{
	sqlite3_bind_int64(s, 1, due->queue);
	sqlite3_bind_int64(s, 2, due->clock);
	sqlite3_bind_int64(s, 3, (int64_t)due->ready);
	sqlite3_bind_int64(s, 4, (int64_t)due->id);
}

/* Runs a statement that adds or removes one entry, and counts what it did. */
static int change_due(struct sqlite *q, enum sqlite_statement statement,
	const struct sqlite_due *due, bool *ret_changed)
{
	sqlite3_stmt *s = sqlite_use(q, statement);
	int r;

	bind_due(s, due);
	r = sqlite_finish(s);
	*ret_changed = !r && sqlite3_changes(q->db) > 0;
	return r;
}

/* Whether a new entry goes to memory. While a merge is under way, an entry that the round has to
 * leave on disk goes there at once: the round may have passed its place. */
static bool goes_to_memory(const struct sqlite_merge *m, uint64_t indexed, uint64_t id)
{
	return id > (m->under_way ? m->newest : indexed);
}

int sqlite_due_add(struct sqlite *q, const struct sqlite_due *due)
{
	bool in_memory = goes_to_memory(&q->merge_due, q->indexed_due, due->id), added;
	int r = change_due(q, in_memory ? SQL_RECENT_DUE_INSERT : SQL_DUE_INSERT, due, &added);

	if (in_memory && added)
		q->recent_due++;
	return r;
}

int sqlite_due_remove(struct sqlite *q, const struct sqlite_due *due)
{
	bool removed = false;
	int r = SQLITE_OK;

	if (q->recent_due)
		r = change_due(q, SQL_RECENT_DUE_DELETE, due, &removed);
	if (removed)
		q->recent_due--;
	if (r || (removed && due->id > q->read_again))
		return r;
	return change_due(q, SQL_DUE_DELETE, due, &removed);
}

static int change_key(struct sqlite *q, enum sqlite_statement statement, uint64_t hash, uint64_t id,
	bool *ret_changed)
{
	sqlite3_stmt *s = sqlite_use(q, statement);
	int r;

	sqlite3_bind_int64(s, 1, (int64_t)hash);
	sqlite3_bind_int64(s, 2, (int64_t)id);
	r = sqlite_finish(s);
	*ret_changed = !r && sqlite3_changes(q->db) > 0;
	return r;
}

int sqlite_key_add(struct sqlite *q, uint64_t hash, uint64_t id)
{
	bool in_memory = goes_to_memory(&q->merge_keys, q->indexed_keys, id), added;
	int r = change_key(
		q, in_memory ? SQL_RECENT_KEYS_INSERT : SQL_KEYS_INSERT, hash, id, &added);

	if (in_memory && added)
		q->recent_keys++;
	return r;
}

int sqlite_key_remove(struct sqlite *q, uint64_t hash, uint64_t id)
{
	bool removed = false;
	int r = SQLITE_OK;

	if (q->recent_keys)
		r = change_key(q, SQL_RECENT_KEYS_DELETE, hash, id, &removed);
	if (removed)
		q->recent_keys--;
	if (r || (removed && id > q->read_again))
		return r;
	return change_key(q, SQL_KEYS_DELETE, hash, id, &removed);
}

/* Reads the recent parts again from the rows behind what the tables on disk have. */
int sqlite_index_start(struct sqlite *q)
{
	uint64_t indexed = q->indexed_due < q->indexed_keys ? q->indexed_due : q->indexed_keys;
	sqlite3_stmt *s;
	struct store_timer t;
	int r = sqlite3_prepare_v2(q->db,
		"SELECT id, queue, clock, flags, due, ready, slack, every, max_late, count, "
		"number, attempt, max_attempts, revived, label, key, NULL FROM timers WHERE id > "
		"?1",
		-1, &s, NULL);

	/* One transaction of the tables in memory, not one an entry. */
	if (!r)
		r = sqlite3_exec(q->db, "BEGIN", NULL, NULL, NULL);
	if (r) {
		sqlite3_finalize(s);
		return r;
	}
	sqlite3_bind_int64(s, 1, (int64_t)indexed);
	q->read_again = q->next_id - 1;
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		sqlite_column_timer(s, &t);
		if (t.id > q->indexed_due)
			r = sqlite_due_add(
				q, &(struct sqlite_due){t.queue, t.clock, t.ready, t.id});
		else
			r = SQLITE_OK;
		if (!r && t.key_size && t.timer == t.id && t.id > q->indexed_keys)
			r = sqlite_key_add(q, sqlite_hash(q, t.queue, t.key, t.key_size), t.id);
		if (r)
			break;
	}
	sqlite3_finalize(s);
	if (r == SQLITE_DONE)
		r = sqlite3_exec(q->db, "COMMIT", NULL, NULL, NULL);
	return r;
}

bool sqlite_wants_merge(const struct sqlite *q)
{
	return q->recent_due >= q->tuning.recent_max || q->recent_keys >= q->tuning.recent_max ||
		q->merge_due.under_way || q->merge_keys.under_way;
}

/* What differs between the merges of the two indexes. */
struct merge_kind {
	enum sqlite_statement read, insert, remove;
	int columns; /* of an entry */
	const char *meta;
};

static const struct merge_kind by_due = {
	SQL_MERGE_DUE_READ, SQL_DUE_INSERT, SQL_RECENT_DUE_DELETE, 4, "indexed_due"};
static const struct merge_kind by_key = {
	SQL_MERGE_KEYS_READ, SQL_KEYS_INSERT, SQL_RECENT_KEYS_DELETE, 2, "indexed_keys"};

/* Moves one slice of entries. ret_n: how many they were. */
static int merge_slice(struct sqlite *q, const struct merge_kind *kind, struct sqlite_merge *m,
	int64_t (*entries)[4], int *ret_n)
{
	sqlite3_stmt *read = sqlite_use(q, kind->read);
	int n = 0, r;

	for (int i = 0; i < kind->columns; i++)
		sqlite3_bind_int64(read, i + 1, m->at[i]);
	sqlite3_bind_int64(read, kind->columns + 1, q->tuning.merge_slice);
	while ((r = sqlite3_step(read)) == SQLITE_ROW) {
		for (int i = 0; i < kind->columns; i++)
			entries[n][i] = sqlite3_column_int64(read, i);
		n++;
	}
	sqlite3_reset(read);
	for (int i = 0; i < 2 * n && r == SQLITE_DONE; i++) {
		sqlite3_stmt *s = sqlite_use(q, i % 2 ? kind->remove : kind->insert);

		for (int k = 0; k < kind->columns; k++)
			sqlite3_bind_int64(s, k + 1, entries[i / 2][k]);
		r = sqlite_finish(s) ?: SQLITE_DONE;
	}
	*ret_n = n;
	return r == SQLITE_DONE ? SQLITE_OK : r;
}

/* One slice of a round, in a transaction. After the last slice the table on disk is complete up to
 * the id that was the newest when the round began. */
static int merge(struct sqlite *q, const struct merge_kind *kind, struct sqlite_merge *m,
	uint64_t *indexed, uint64_t *recent)
{
	int64_t entries[SQLITE_MERGE_SLICE_MAX][4];
	bool ends;
	int n = 0, r;

	if (!m->under_way)
		*m = (struct sqlite_merge){
			.under_way = true, .newest = q->next_id - 1, .at = {INT64_MIN}};
	r = sqlite_run(q, SQL_BEGIN);
	if (!r)
		r = merge_slice(q, kind, m, entries, &n);
	ends = n < (int)q->tuning.merge_slice;
	if (!r && ends)
		r = sqlite_write_counter(q, kind->meta, m->newest);
	if (!r)
		r = sqlite_run(q, SQL_COMMIT);
	if (r) {
		sqlite_run(q, SQL_ROLLBACK);
		return r;
	}
	*recent -= (uint64_t)n;
	if (n)
		memcpy(m->at, entries[n - 1], sizeof(m->at));
	if (ends) {
		*indexed = m->newest;
		m->under_way = false;
	}
	return r;
}

/* A round of both indexes, by due first: a start reads all rows behind the older of the two marks
 * again, so both have to move. */
int sqlite_merge(struct sqlite *q)
{
	int r;

	if (q->merge_keys.under_way)
		return merge(q, &by_key, &q->merge_keys, &q->indexed_keys, &q->recent_keys);
	r = merge(q, &by_due, &q->merge_due, &q->indexed_due, &q->recent_due);
	if (!r && !q->merge_due.under_way)
		q->merge_keys = (struct sqlite_merge){
			.under_way = true, .newest = q->next_id - 1, .at = {INT64_MIN}};
	return r;
}

static int step_part(struct sqlite_cursor *c, int i)
{
	int r;

	if (!c->open[i])
		return SQLITE_OK;
	r = sqlite3_step(c->parts[i]);
	c->open[i] = r == SQLITE_ROW;
	if (c->open[i]) {
		c->at[i].ready = (uint64_t)sqlite3_column_int64(c->parts[i], 0);
		c->at[i].id = (uint64_t)sqlite3_column_int64(c->parts[i], 1);
	}
	return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

int sqlite_cursor_begin(struct sqlite_cursor *c, struct sqlite *q, const struct sqlite_due *after)
{
	static const enum sqlite_statement parts[2] = {SQL_DUE_AFTER, SQL_RECENT_DUE_AFTER};
	int r = SQLITE_OK;

	*c = (struct sqlite_cursor){.q = q};
	for (int i = 0; i < 2 && !r; i++) {
		c->parts[i] = sqlite_use(q, parts[i]);
		c->open[i] = true;
		c->at[i] = *after;
		bind_due(c->parts[i], after);
		r = step_part(c, i);
	}
	return r;
}

static bool comes_first(const struct sqlite_due *a, const struct sqlite_due *b)
{
	return a->ready != b->ready ? a->ready < b->ready : a->id < b->id;
}

int sqlite_cursor_next(struct sqlite_cursor *c, struct sqlite_due *ret)
{
	int first = c->open[0] ? 0 : 1, r = SQLITE_OK;

	if (!c->open[first])
		return SQLITE_DONE;
	if (c->open[0] && c->open[1] && comes_first(&c->at[1], &c->at[0]))
		first = 1;
	*ret = c->at[first];
	/* The same entry may be in both parts. */
	for (int i = 0; i < 2 && !r; i++)
		if (c->open[i] && c->at[i].id == ret->id && c->at[i].ready == ret->ready)
			r = step_part(c, i);
	return r ?: SQLITE_ROW;
}

void sqlite_cursor_end(struct sqlite_cursor *c)
{
	for (int i = 0; i < 2; i++)
		if (c->parts[i])
			sqlite3_reset(c->parts[i]);
}

static int count_rows(struct sqlite *q, const char *text, uint64_t *ret)
{
	sqlite3_stmt *s;
	int r = sqlite3_prepare_v2(q->db, text, -1, &s, NULL);

	if (r)
		return r;
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		*ret = (uint64_t)sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	return r == SQLITE_ROW ? SQLITE_OK : r;
}

int sqlite_index_recount(struct sqlite *q)
{
	int r = count_rows(q, "SELECT count(*) FROM recent_due", &q->recent_due);

	return r ? r : count_rows(q, "SELECT count(*) FROM recent_keys", &q->recent_keys);
}
