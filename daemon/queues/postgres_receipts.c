/* SPDX-License-Identifier: MIT */
#include "postgres_receipts.h"

/* A user can make any number of tokens, so a user's receipts have a bound, as on one host. Beyond
 * the bound, the older half is deleted, but none of this moment. Each host checks the bound at a
 * user's first put, and again after it has written this many bytes for the user. */
#define MAX	 (INT64_C(16) << 20)
#define LOOK	 (UINT64_C(4) << 20)
#define OVERHEAD 64 /* the size of a receipt without its answers */
#define ANSWER	 24
#define SIZE	 "(64 + 24 * cardinality(ids))"

static const char statement[] =
	"WITH r AS (SELECT token, slot, stored, sum(" SIZE ") OVER w AS size,"
	" sum(" SIZE ") OVER () AS total FROM timerd.puts WHERE uid = $1"
	" WINDOW w AS (ORDER BY stored DESC, token, slot))"
	" DELETE FROM timerd.puts p USING r WHERE p.uid = $1 AND p.token = r.token"
	" AND p.slot = r.slot AND r.total > $2 AND r.size > $2 / 2 AND r.stored < $3";

static bool send_trim(uint32_t uid, uint64_t now, PGconn *c)
{
	struct pg_parameters p = {0};

	pg_add_int8(&p, uid);
	pg_add_int8(&p, MAX);
	pg_add_int8(&p, (int64_t)now);
	return pg_send(c, statement, &p);
}

bool pg_receipts_bound(struct store_postgres *s, const struct store_commit *commit, PGconn *c)
{
	uint64_t now = commit->clocks.now[PROTO_CLOCK_BOOTTIME];

	for (const struct store_put *put = commit->puts; put; put = put->next) {
		struct pg_user *user = pg_queues_user(&s->queues, (uint32_t)pg_uid_of(put->token));

		if (!user)
			continue;
		user->receipts += OVERHEAD + ANSWER * put->count;
		if (user->receipts_seen && user->receipts < LOOK)
			continue;
		user->receipts_seen = true;
		user->receipts = 0;
		if (!send_trim(user->uid, now, c))
			return false;
	}
	return true;
}
