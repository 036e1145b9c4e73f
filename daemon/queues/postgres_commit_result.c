/* SPDX-License-Identifier: MIT */
#include "postgres_commit_result.h"

#include "postgres_evict.h"
#include "postgres_leases.h"

/* Of a change, and of a queue: timerd.commit_unlocked() has left it out. */
#define STATUS_LOCKED (-1)
#define STATE_LOCKED  3

/* Columns of timerd.commit(). */
enum {
	O_NUMBER,
	O_STATE,
	O_OK,
	O_PUT,
	O_PUT_ID,
	O_ORD,
	O_STATUS,
	O_FLAGS,
	O_ID,
	O_DUE,
	O_CLOCK,
	O_REPLACED,
	O_REMOVED,
	U_UID,
	U_TIMERS,
	U_PARKED,
	U_BYTES,
	COLUMNS,
};

static struct store_change *change_at(const struct commit_job *j, int64_t ord)
{
	static struct store_change nobody;

	return ord >= 1 && (size_t)ord <= j->count ? j->changes[ord - 1] : &nobody;
}

static void read_changes(struct commit_job *j, const PGresult *r)
{
	struct pg_array ok = pg_get_array(r, 0, O_OK), put = pg_get_array(r, 0, O_PUT);
	struct pg_array put_id = pg_get_array(r, 0, O_PUT_ID), a[O_REMOVED - O_ORD + 1];

	for (size_t i = 0; i < j->count; i++) {
		struct store_change *c = j->changes[i];

		c->status = PROTO_E_NO_SUCH_TIMER;
		c->locked = false;
		c->flags = c->removed = 0;
		c->timer_flags = 0;
		c->id = c->due = c->replaced = 0;
	}
	while (ok.n)
		change_at(j, pg_next(&ok))->status = PROTO_OK;
	while (put.n) {
		struct store_change *c = change_at(j, pg_next(&put));

		c->status = PROTO_OK;
		c->id = (uint64_t)pg_next(&put_id);
		c->due = c->timer.due;
		c->clock = c->timer.clock;
	}
	for (int i = O_ORD; i <= O_REMOVED; i++)
		a[i - O_ORD] = pg_get_array(r, 0, i);
	while (a[0].n) {
		struct store_change *c = change_at(j, pg_next(&a[0]));
		int64_t status = pg_next(&a[O_STATUS - O_ORD]);

		c->locked = status == STATUS_LOCKED;
		c->status = c->locked ? PROTO_Q_STORE_AWAY : (uint32_t)status;
		c->flags = (uint32_t)pg_next(&a[O_FLAGS - O_ORD]);
		c->id = (uint64_t)pg_next(&a[O_ID - O_ORD]);
		c->due = (uint64_t)pg_next(&a[O_DUE - O_ORD]);
		c->clock = (uint8_t)pg_next(&a[O_CLOCK - O_ORD]);
		c->replaced = (uint64_t)pg_next(&a[O_REPLACED - O_ORD]);
		c->removed = (uint32_t)pg_next(&a[O_REMOVED - O_ORD]);
	}
}

void pg_commit_answer(const struct commit_job *j)
{
	for (size_t i = 0; i < j->count; i++) {
		const struct store_change *c = j->changes[i];

		if (c->answer)
			*c->answer = (struct proto_queue_stored){
				.id = c->status ? 0 : c->id,
				.due = c->status ? 0 : c->due,
				.status = c->status,
				.flags = c->status ? 0 : c->flags,
			};
	}
}

static void read_queues(struct commit_job *j, const PGresult *r)
{
	struct pg_array number = pg_get_array(r, 0, O_NUMBER), state = pg_get_array(r, 0, O_STATE);

	for (size_t i = 0; i < j->queue_count && number.n; i++) {
		struct used_queue *used = &j->queues[i];
		int64_t owner;

		used->queue->row = (int32_t)pg_next(&number) ?: used->queue->row;
		owner = pg_next(&state);
		used->others = owner == LEASE_OTHER;
		if (owner == STATE_LOCKED)
			pg_evict_soon(j->s);
		else if (owner != LEASE_ME && used->term)
			pg_leases_fenced(j->s, used->queue, used->term);
	}
}

static void read_users(struct commit_job *j, const PGresult *r)
{
	struct pg_array uid = pg_get_array(r, 0, U_UID), timers = pg_get_array(r, 0, U_TIMERS);
	struct pg_array parked = pg_get_array(r, 0, U_PARKED), bytes = pg_get_array(r, 0, U_BYTES);

	while (uid.n) {
		struct pg_user *user = pg_queues_user(&j->s->queues, (uint32_t)pg_next(&uid));

		if (!user)
			return;
		user->holds.timers = (uint64_t)pg_next(&timers);
		user->holds.parked = (uint64_t)pg_next(&parked);
		user->holds.bytes = (uint64_t)pg_next(&bytes);
	}
}

bool pg_commit_read(struct commit_job *j, const PGresult *r)
{
	if (PQnfields(r) != COLUMNS || PQntuples(r) != 1)
		return false;
	read_changes(j, r);
	read_queues(j, r);
	read_users(j, r);
	return true;
}
