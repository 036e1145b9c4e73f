/* SPDX-License-Identifier: MIT */
/*
 * Receipts: the answers to clients' puts, by token and serial, so that a put that is sent again is
 * stored once. A token keeps its last STORE_PUTS receipts for a day. A user can make any number of
 * tokens, so each user's receipts have a bound. Beyond the bound, the older half is deleted; these
 * are far older than any put under way. If nothing of a put was stored, it has no receipt.
 */
#include "sqlite_puts.h"

#include <string.h>

#include "sqlite_schema.h"

/* How long a receipt is kept, and how often old ones are deleted, microseconds. */
#define KEPT_US	  (UINT64_C(24) * 3600 * 1000000)
#define EXPIRE_US (UINT64_C(3600) * 1000000)

/* The bytes that a receipt counts besides its answers: its token, its numbers, and its part of a
 * page. */
#define OVERHEAD 64

#define UID_SIZE (STORE_TOKEN_SIZE - PROTO_QUEUE_TOKEN_SIZE)

/* All tokens of a user lie between these two. */
static void bind_user(sqlite3_stmt *s, const uint8_t token[static STORE_TOKEN_SIZE])
{
	uint8_t last[STORE_TOKEN_SIZE];

	memset(last, 0xff, sizeof(last));
	memcpy(last, token, UID_SIZE);
	sqlite3_bind_blob(s, 1, last, UID_SIZE, SQLITE_TRANSIENT);
	sqlite3_bind_blob(s, 2, last, sizeof(last), SQLITE_TRANSIENT);
}

static struct sqlite_user *user_of(struct sqlite *q, const uint8_t token[static STORE_TOKEN_SIZE])
{
	uint32_t uid = 0;

	for (unsigned int i = UID_SIZE; i--;)
		uid = uid << 8 | token[i];
	return sqlite_queues_user(q->queues, uid);
}

/* Counts a user's receipts, at the user's first put since the start or after a failed transaction.
 */
static int count_receipts(
	struct sqlite *q, struct sqlite_user *user, const uint8_t token[static STORE_TOKEN_SIZE])
{
	sqlite3_stmt *s;
	int r;

	if (user->receipts_of == q->puts_life)
		return SQLITE_OK;
	s = sqlite_use(q, SQL_PUTS_SIZE);
	bind_user(s, token);
	r = sqlite3_step(s);
	if (r == SQLITE_ROW) {
		user->receipts = (uint64_t)sqlite3_column_int64(s, 0) * OVERHEAD +
			(uint64_t)sqlite3_column_int64(s, 1);
		user->receipts_of = q->puts_life;
	}
	sqlite3_reset(s);
	return r == SQLITE_ROW ? SQLITE_OK : r;
}

/* Deletes the older half of a user's receipts, but none of this instant. */
static int forget(struct sqlite *q, struct sqlite_user *user,
	const uint8_t token[static STORE_TOKEN_SIZE], uint64_t now)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_PUTS_OLDEST);
	uint64_t left = user->receipts, until = 0;
	int r;

	bind_user(s, token);
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		uint64_t stored = (uint64_t)sqlite3_column_int64(s, 0);

		/* Receipts of one instant are deleted together. */
		if (stored >= now || (left <= q->tuning.receipts_max / 2 && stored != until))
			break;
		left -= OVERHEAD + (uint64_t)sqlite3_column_int64(s, 1);
		until = stored;
	}
	sqlite3_reset(s);
	if (r != SQLITE_ROW && r != SQLITE_DONE)
		return r;
	s = sqlite_use(q, SQL_PUTS_FORGET);
	bind_user(s, token);
	sqlite3_bind_int64(s, 3, (int64_t)until);
	user->receipts = left;
	return sqlite_finish(s);
}

/* The answers as they are stored, little-endian. */
static size_t write_answers(const struct store_put *p, uint8_t *at)
{
	for (size_t i = 0; i < p->count; i++, at += SQLITE_ANSWER_SIZE) {
		const struct proto_queue_stored *a = &p->answers[i];

		for (int k = 0; k < 8; k++) {
			at[k] = (uint8_t)(a->id >> k * 8);
			at[8 + k] = (uint8_t)(a->due >> k * 8);
		}
		for (int k = 0; k < 4; k++) {
			at[16 + k] = (uint8_t)(a->status >> k * 8);
			at[20 + k] = (uint8_t)(a->flags >> k * 8);
		}
	}
	return p->count * SQLITE_ANSWER_SIZE;
}

/* The size of the receipt that this one replaces; 0: it replaces none. */
static int find_replaced(struct sqlite *q, const struct store_put *p, uint64_t *ret)
{
	sqlite3_stmt *s = sqlite_use(q, SQL_PUT_SIZE);
	int r;

	sqlite3_bind_blob(s, 1, p->token, sizeof(p->token), SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, (int64_t)(p->serial % STORE_PUTS));
	r = sqlite3_step(s);
	*ret = r == SQLITE_ROW ? OVERHEAD + (uint64_t)sqlite3_column_int64(s, 0) : 0;
	sqlite3_reset(s);
	return r == SQLITE_ROW || r == SQLITE_DONE ? SQLITE_OK : r;
}

static bool is_refused(const struct store_put *p)
{
	for (size_t i = 0; i < p->count; i++)
		if (!p->answers[i].status)
			return false;
	return true;
}

int sqlite_puts_write(struct sqlite *q, const struct store_put *p, uint64_t now)
{
	static uint8_t answers[PROTO_RECORDS_MAX(struct proto_queue_put) * SQLITE_ANSWER_SIZE];
	struct sqlite_user *user = user_of(q, p->token);
	size_t size = write_answers(p, answers);
	uint64_t replaced = 0;
	sqlite3_stmt *s;
	int r;

	/* Nothing of it is stored, so it may be tried again. */
	if (is_refused(p))
		return SQLITE_OK;
	r = user ? count_receipts(q, user, p->token) : SQLITE_NOMEM;
	if (!r)
		r = find_replaced(q, p, &replaced);
	if (r)
		return r;
	s = sqlite_use(q, SQL_PUT_WRITE);
	sqlite3_bind_blob(s, 1, p->token, sizeof(p->token), SQLITE_STATIC);
	sqlite3_bind_int64(s, 2, (int64_t)(p->serial % STORE_PUTS));
	sqlite3_bind_int64(s, 3, (int64_t)p->serial);
	sqlite3_bind_int64(s, 4, (int64_t)now);
	sqlite3_bind_blob(s, 5, answers, (int)size, SQLITE_STATIC);
	r = sqlite_finish(s);
	user->receipts += OVERHEAD + size - replaced;
	if (!r && user->receipts > q->tuning.receipts_max)
		r = forget(q, user, p->token, now);
	return r;
}

/* By elapsed time, which does not jump when somebody sets the clock. */
int sqlite_puts_expire(struct sqlite *q, uint64_t now)
{
	sqlite3_stmt *s;

	if (now < q->puts_expired + EXPIRE_US || now < KEPT_US)
		return SQLITE_OK;
	q->puts_expired = now;
	q->puts_life++;
	s = sqlite_use(q, SQL_PUTS_EXPIRE);
	sqlite3_bind_int64(s, 1, (int64_t)(now - KEPT_US));
	return sqlite_finish(s);
}
