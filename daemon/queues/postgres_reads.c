/* SPDX-License-Identifier: MIT */
/*
 * Reads and purges. The rows that a reader gets point into libpq's result.
 */
#include "postgres_reads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "postgres_timer.h"

/* Bytes of keys and payloads in one answer to load(). */
#define LOAD_BYTES 4194304

/* How many times a read is sent if its connection breaks. */
#define READ_TRIES 5

/* The most times that a purge is sent again after it has waited for a lock in vain. */
#define LOCK_TRIES 8

#define TEXT_OF(x) #x
#define TEXT(x)	   TEXT_OF(x)

enum read_type {
	READ_LOAD,
	READ_LIST,
	READ_QUEUES,
	READ_PUTS,
	READ_PURGE,
	READ_USAGE,
};

struct read_job {
	struct pg_job job;
	struct store_postgres *s;
	enum read_type type;
	struct store_reader *reader; /* NULL for READ_USAGE */
	struct pg_queue *queue;
	uint32_t uid;
	int32_t after_row;
	unsigned int clock;
	bool parked;
	struct store_position after;
	uint64_t until;
	size_t most;
	uint64_t now[PROTO_CLOCKS];
	uint8_t token[STORE_TOKEN_SIZE];
	unsigned int tries;
	PGresult *result; /* kept until the end */
};

#define TIMER_COLUMNS                                                                             \
	"id, revived, due, ready, slack, every, max_late, count, number, attempt, max_attempts, " \
	"clock, flags, label, key"
#define NUMBER "(SELECT number FROM timerd.queues WHERE uid = $1 AND name = $2)"
#define BYTES  "coalesce(octet_length(key), 0) + coalesce(octet_length(payload), 0)"

#define LANE_ROWS(near, condition)                                             \
	"(SELECT *, " near " AS near FROM timerd.timers WHERE queue = " NUMBER \
	" AND clock = $3 AND (ready, id) > ($4, $5) AND " condition " ORDER BY ready, id LIMIT "
#define NEAR_ROWS LANE_ROWS("true", "ready <= $6") "$7 + 1)"
#define FAR_ROW	  LANE_ROWS("false", "ready > $6") "1)"

/* In the order of read_timer(). Rows that are too many or too large for the answer are left out:
 * they only show when the next row is ready. So does the first row that is not ready by `until`;
 * the query reads no row after it. */
static const char load_statement[] =
	"SELECT " TIMER_COLUMNS ", octet_length(payload),"
	" CASE WHEN part THEN payload END, part::integer FROM ("
	" SELECT *, near AND row_number() OVER w <= $7"
	"  AND sum(" BYTES ") OVER w - (" BYTES
	") <= " TEXT(LOAD_BYTES) " AS part"
				 " FROM (" NEAR_ROWS " UNION ALL " FAR_ROW ") a"
				 " WINDOW w AS (ORDER BY ready, id ROWS UNBOUNDED PRECEDING)) b"
				 " ORDER BY ready, id";

static const char list_statement[] = "SELECT " TIMER_COLUMNS
				     ", octet_length(payload), NULL::bytea, 1 FROM timerd.timers"
				     " WHERE queue = " NUMBER
				     " AND (clock, ready, id) > ($3, $4, $5)"
				     " ORDER BY clock, ready, id LIMIT $6";

static const char parked_statement[] =
	"SELECT id, NULL::bigint, due, due, slack, every, NULL::bigint, count, number, attempt,"
	" max_attempts, clock, flags, label, key, octet_length(payload), NULL::bytea, 1"
	" FROM timerd.parked WHERE queue = " NUMBER " AND (id, number) > ($3, $4)"
	" ORDER BY id, number LIMIT $5";

static const char queues_statement[] =
	"SELECT q.number, q.uid, q.name, coalesce(n.timers, 0)::bigint,"
	" coalesce(n.parked, 0)::bigint, coalesce(n.bytes, 0)::bigint,"
	" CASE WHEN q.owner IS NULL THEN 0 ELSE q.term END, q.host,"
	" d0.n + d1.n + d2.n, f0.ready, f1.ready, f2.ready, n0.ready, n1.ready, n2.ready FROM"
	" (SELECT * FROM timerd.queues WHERE ($1 < 0 OR uid = $1) AND number > $2"
	"  ORDER BY number LIMIT $3) q"
	" LEFT JOIN LATERAL (SELECT sum(timers) AS timers, sum(parked) AS parked,"
	"  sum(bytes) AS bytes FROM timerd.counts WHERE queue = q.number) n ON true"
#define LANE(k, now)                                                                          \
	" CROSS JOIN LATERAL (SELECT count(*) AS n FROM timerd.timers WHERE queue = q.number" \
	"  AND clock = " k " AND ready <= " now ") d" k                                       \
	" LEFT JOIN LATERAL (SELECT ready FROM timerd.timers WHERE queue = q.number"          \
	"  AND clock = " k " ORDER BY ready, id LIMIT 1) f" k " ON true"                      \
	" LEFT JOIN LATERAL (SELECT ready FROM timerd.timers WHERE queue = q.number"          \
	"  AND clock = " k " AND ready > " now " ORDER BY ready, id LIMIT 1) n" k " ON true"
	LANE("0", "$4") LANE("1", "$5") LANE("2", "$6") " ORDER BY q.number";

static const char puts_statement[] = "SELECT serial, statuses, flags, ids, dues FROM timerd.puts"
				     " WHERE uid = $1 AND token = $2 ORDER BY serial";

static const char usage_statement[] =
	"SELECT u.uid, u.timers, u.parked, u.bytes, coalesce(q.n, 0) FROM (SELECT uid,"
	" sum(timers)::bigint AS timers, sum(parked)::bigint AS parked,"
	" sum(bytes)::bigint AS bytes FROM timerd.users GROUP BY uid) u LEFT JOIN ("
	"SELECT h.uid, count(*) AS n FROM (SELECT q.uid FROM timerd.queues q"
	" JOIN timerd.counts n ON n.queue = q.number GROUP BY q.number, q.uid"
	" HAVING sum(n.timers + n.parked) > 0) h GROUP BY h.uid) q ON q.uid = u.uid";

static void add_queue(struct pg_parameters *p, const struct read_job *j)
{
	pg_add_int8(p, j->queue->uid);
	pg_add_text(p, j->queue->name);
}

static bool send_load(struct read_job *j, PGconn *c, struct pg_parameters *p)
{
	add_queue(p, j);
	pg_add_int4(p, (int32_t)j->clock);
	pg_add_int8(p, (int64_t)j->after.ready);
	pg_add_int8(p, (int64_t)j->after.id);
	pg_add_int8(p, (int64_t)j->until);
	pg_add_int8(p, (int64_t)j->most);
	return pg_send(c, load_statement, p);
}

static bool send_list(struct read_job *j, PGconn *c, struct pg_parameters *p)
{
	add_queue(p, j);
	if (j->parked) {
		pg_add_int8(p, (int64_t)j->after.id);
		pg_add_int8(p, j->after.number);
	} else {
		pg_add_int4(p, (int32_t)j->after.clock);
		pg_add_int8(p, (int64_t)j->after.ready);
		pg_add_int8(p, (int64_t)j->after.id);
	}
	pg_add_int8(p, (int64_t)j->most);
	return pg_send(c, j->parked ? parked_statement : list_statement, p);
}

static bool send_queues(struct read_job *j, PGconn *c, struct pg_parameters *p)
{
	pg_add_int8(p, j->uid == PROTO_QUEUE_OWN ? -1 : (int64_t)j->uid);
	pg_add_int4(p, j->after_row);
	pg_add_int8(p, (int64_t)j->most + 1);
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		pg_add_int8(p, (int64_t)j->now[i]);
	return pg_send(c, queues_statement, p);
}

/* A purge waits only a short time for locks, because commits of other queues are sent after it. */
static bool send_purge(struct read_job *j, PGconn *c, struct pg_parameters *p)
{
	char statement[256];

	pg_add_text(p, j->s->owner);
	pg_add_int4(p, j->s->slot);
	add_queue(p, j);
	pg_add_int8(p, (int64_t)pg_term_of(j->queue));
	pg_add_bool(p, j->parked);
	pg_add_int4(p, (int32_t)j->most);
	snprintf(statement, sizeof(statement),
		"WITH s AS MATERIALIZED (SELECT pg_catalog.set_config('lock_timeout', '%llu',"
		" true)) SELECT r.* FROM s, LATERAL timerd.purge(CASE WHEN s IS NOT NULL THEN $1"
		" END, $2, $3, $4, $5, $6, $7) r",
		pg_lock_ms(j->s));
	return pg_send(c, statement, p);
}

static bool read_send(struct pg_job *job, PGconn *c)
{
	struct read_job *j = (struct read_job *)job;
	struct pg_parameters p = {0};

	switch (j->type) {
	case READ_LOAD:
		return send_load(j, c, &p);
	case READ_LIST:
		return send_list(j, c, &p);
	case READ_QUEUES:
		return send_queues(j, c, &p);
	case READ_PUTS:
		pg_add_int8(&p, pg_uid_of(j->token));
		pg_add_uuid(&p, j->token + 4);
		return pg_send(c, puts_statement, &p);
	case READ_PURGE:
		return send_purge(j, c, &p);
	default:
		return pg_send(c, usage_statement, &p);
	}
}

static uint64_t span_at(const PGresult *r, int row, int column)
{
	return PQgetisnull(r, row, column) ? PROTO_FOREVER : (uint64_t)pg_get_int(r, row, column);
}

static void read_timer(const struct read_job *j, const PGresult *r, int row, struct store_timer *t)
{
	size_t label = (size_t)PQgetlength(r, row, 13);

	*t = (struct store_timer){
		.id = (uint64_t)pg_get_int(r, row, 0),
		.queue = j->queue->number,
		.due = (uint64_t)pg_get_int(r, row, 2),
		.ready = (uint64_t)pg_get_int(r, row, 3),
		.slack = span_at(r, row, 4),
		.every = (uint64_t)pg_get_int(r, row, 5),
		.max_late = span_at(r, row, 6),
		.count = (uint32_t)pg_get_int(r, row, 7),
		.number = (uint32_t)pg_get_int(r, row, 8),
		.attempt = (uint32_t)pg_get_int(r, row, 9),
		.max_attempts = (uint32_t)pg_get_int(r, row, 10),
		.clock = (uint8_t)(pg_get_int(r, row, 11) % PROTO_CLOCKS),
		.flags = (uint8_t)pg_get_int(r, row, 12),
		.parked = j->parked,
		.key = PQgetvalue(r, row, 14),
		.key_size = (uint16_t)PQgetlength(r, row, 14),
		.payload_size = (uint32_t)pg_get_int(r, row, 15),
		.payload = j->type == READ_LOAD ? PQgetvalue(r, row, 16) : NULL,
	};
	t->timer = PQgetisnull(r, row, 1) ? t->id : (uint64_t)pg_get_int(r, row, 1);
	memcpy(t->label, PQgetvalue(r, row, 13),
		label < sizeof(t->label) ? label : sizeof(t->label));
}

static void hand_out_rows(struct read_job *j, const PGresult *r, int error)
{
	size_t n = r ? (size_t)PQntuples(r) : 0, parts = 0;
	struct store_timer *rows = calloc(n + 1, sizeof(*rows));
	/* Nothing in a fleet wakes a machine. */
	struct store_beyond beyond = {.ready = PROTO_FOREVER, .wake_system = PROTO_FOREVER};

	if (!rows) {
		error = -ENOMEM;
		n = 0;
	}
	while (parts < n && pg_get_int(r, (int)parts, 17)) {
		read_timer(j, r, (int)parts, &rows[parts]);
		parts++;
	}
	if (parts < n)
		beyond.ready = (uint64_t)pg_get_int(r, (int)parts, 3);
	j->reader->rows(j->reader, rows, parts, &beyond,
		j->type == READ_LOAD ? parts < n : parts == j->most && !error, error);
	free(rows);
}

static bool read_queue(struct read_job *j, const PGresult *r, int row, struct store_queue *ret)
{
	uint32_t uid = (uint32_t)pg_get_int(r, row, 1);
	struct pg_queue *queue = pg_queues_open(&j->s->queues, uid, PQgetvalue(r, row, 2));

	if (!queue)
		return false;
	queue->row = (int32_t)pg_get_int(r, row, 0); /* which keeps the queue in memory */
	*ret = (struct store_queue){
		.number = queue->number,
		.uid = uid,
		.timers = (uint64_t)pg_get_int(r, row, 3),
		.parked = (uint64_t)pg_get_int(r, row, 4),
		.bytes = (uint64_t)pg_get_int(r, row, 5),
		.term = (uint64_t)pg_get_int(r, row, 6),
		.host = PQgetisnull(r, row, 7) ? NULL : PQgetvalue(r, row, 7),
		.due = (uint64_t)pg_get_int(r, row, 8),
	};
	memcpy(ret->name, queue->name, sizeof(ret->name));
	for (int i = 0; i < PROTO_CLOCKS; i++) {
		ret->first[i] = span_at(r, row, 9 + i);
		ret->next[i] = span_at(r, row, 9 + PROTO_CLOCKS + i);
	}
	return true;
}

static void hand_out_queues(struct read_job *j, const PGresult *r, int error)
{
	size_t n = r ? (size_t)PQntuples(r) : 0, i = 0;
	bool more = n > j->most;
	struct store_queue *queues;

	n = more ? j->most : n;
	queues = calloc(n + 1, sizeof(*queues));
	while (queues && i < n && read_queue(j, r, (int)i, &queues[i]))
		i++;
	if (i < n)
		error = -ENOMEM;
	j->reader->queues(j->reader, queues, error ? 0 : n, more && !error, error);
	free(queues);
}

static int hand_out_put(struct read_job *j, const PGresult *r, int row)
{
	struct pg_array status = pg_get_array(r, row, 1), flags = pg_get_array(r, row, 2);
	struct pg_array ids = pg_get_array(r, row, 3), dues = pg_get_array(r, row, 4);
	size_t n = status.n;
	struct proto_queue_stored *answers = calloc(n + 1, sizeof(*answers));

	if (!answers)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		answers[i] = (struct proto_queue_stored){
			.id = (uint64_t)pg_next(&ids),
			.due = (uint64_t)pg_next(&dues),
			.status = (uint32_t)pg_next(&status),
			.flags = (uint32_t)pg_next(&flags),
		};
	j->reader->put(j->reader, (uint64_t)pg_get_int(r, row, 0), answers, n, 0);
	free(answers);
	return 0;
}

static void hand_out_puts(struct read_job *j, const PGresult *r, int error)
{
	int n = r ? PQntuples(r) : 0;
	uint64_t last = n ? (uint64_t)pg_get_int(r, n - 1, 0) : 0;

	for (int i = 0; i < n && !error; i++)
		error = hand_out_put(j, r, i);
	j->reader->put(j->reader, last, NULL, 0, error);
}

static void hand_out_purge(struct read_job *j, const PGresult *r, int error)
{
	struct pg_user *user = pg_queues_user(&j->s->queues, j->queue->uid);
	uint64_t n = 0;

	if (!r || PQntuples(r) != 1) {
		j->reader->purged(j->reader, 0, 0, false, error ?: -EIO);
		return;
	}
	n = (uint64_t)pg_get_int(r, 0, 0);
	if (user) {
		user->holds.timers = (uint64_t)pg_get_int(r, 0, 2);
		user->holds.parked = (uint64_t)pg_get_int(r, 0, 3);
		user->holds.bytes = (uint64_t)pg_get_int(r, 0, 4);
	}
	j->reader->purged(j->reader, n, (uint64_t)pg_get_int(r, 0, 1), n >= j->most, 0);
}

static void keep_usage(struct read_job *j, const PGresult *r)
{
	for (int i = 0; r && i < PQntuples(r); i++) {
		struct pg_user *user = pg_queues_user(&j->s->queues, (uint32_t)pg_get_int(r, i, 0));

		if (user)
			user->holds = (struct store_usage){
				.timers = (uint64_t)pg_get_int(r, i, 1),
				.parked = (uint64_t)pg_get_int(r, i, 2),
				.bytes = (uint64_t)pg_get_int(r, i, 3),
				.queues = (uint64_t)pg_get_int(r, i, 4),
			};
	}
}

static void read_result(struct pg_job *job, unsigned int statement, const PGresult *r)
{
	struct read_job *j = (struct read_job *)job;

	if (!statement && !j->result)
		j->result = PQcopyResult(r, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
}

/* After a broken connection, a read is sent again on the next connection. A purge that has waited
 * for a lock in vain is sent again after the commits that are queued behind it. */
static bool is_sent_again(struct read_job *j, int error)
{
	if (j->type == READ_PURGE)
		return error == PG_LOCKED && j->tries++ < LOCK_TRIES;
	return error == PG_UNKNOWN && j->tries++ < READ_TRIES;
}

static void read_end(struct pg_job *job, int error)
{
	struct read_job *j = (struct read_job *)job;
	const PGresult *r = error ? NULL : j->result;

	if (is_sent_again(j, error) && !pg_link_submit(&j->s->data, job)) {
		PQclear(j->result);
		j->result = NULL;
		return;
	}
	if (!error && !r)
		error = -ENOMEM;
	if (error == PG_LOCKED)
		error = -ETIMEDOUT;
	switch (j->type) {
	case READ_LOAD:
	case READ_LIST:
		hand_out_rows(j, r, error);
		break;
	case READ_QUEUES:
		hand_out_queues(j, r, error);
		break;
	case READ_PUTS:
		hand_out_puts(j, r, error);
		break;
	case READ_PURGE:
		hand_out_purge(j, r, error);
		break;
	case READ_USAGE:
		keep_usage(j, r);
		break;
	}
	PQclear(j->result);
	free(j);
}

static struct read_job *new_read(
	struct store_postgres *s, enum read_type type, uint32_t queue, struct store_reader *r)
{
	struct read_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->job = (struct pg_job){.send = read_send, .result = read_result, .end = read_end};
	j->s = s;
	j->type = type;
	j->reader = r;
	j->queue = pg_queues_get(&s->queues, queue);
	return j;
}

static int submit(struct read_job *j)
{
	struct store_postgres *s;
	int r;

	if (!j)
		return -ENOMEM;
	s = j->s;
	r = pg_link_submit(&s->data, &j->job);
	if (r)
		free(j);
	else
		pg_timer_flush(s, &s->data);
	return r;
}

int pg_find_puts(struct store *store, const uint8_t *token, struct store_reader *r)
{
	struct read_job *j = new_read(pg_store_of(store), READ_PUTS, 0, r);

	if (j)
		memcpy(j->token, token, sizeof(j->token));
	return submit(j);
}

int pg_load(struct store *store, uint32_t queue, const struct store_position *after, uint64_t until,
	size_t n, struct store_reader *r)
{
	struct read_job *j = new_read(pg_store_of(store), READ_LOAD, queue, r);

	if (j) {
		j->clock = after->clock;
		j->after = *after;
		j->until = until;
		j->most = n;
	}
	return submit(j);
}

int pg_list(struct store *store, uint32_t queue, bool parked, const struct store_position *after,
	size_t n, struct store_reader *r)
{
	struct read_job *j = new_read(pg_store_of(store), READ_LIST, queue, r);

	if (j) {
		j->parked = parked;
		j->after = *after;
		j->most = n;
	}
	return submit(j);
}

int pg_list_queues(struct store *store, uint32_t uid, uint32_t after, size_t n,
	const uint64_t now[static PROTO_CLOCKS], struct store_reader *r)
{
	struct store_postgres *s = pg_store_of(store);
	const struct pg_queue *last = pg_queues_get(&s->queues, after);
	struct read_job *j = new_read(s, READ_QUEUES, 0, r);

	if (j) {
		j->uid = uid;
		j->after_row = last && last->row > 0 ? last->row : 0;
		j->most = n;
		memcpy(j->now, now, sizeof(j->now));
	}
	return submit(j);
}

int pg_purge(struct store *store, uint32_t queue, bool parked, size_t n, struct store_reader *r)
{
	struct read_job *j = new_read(pg_store_of(store), READ_PURGE, queue, r);

	if (j) {
		j->parked = parked;
		j->most = n;
	}
	return submit(j);
}

void pg_read_usage(struct store_postgres *s)
{
	s->usage_read = pg_now();
	s->usage_asked = false;
	submit(new_read(s, READ_USAGE, 0, NULL));
}
