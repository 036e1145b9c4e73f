/* SPDX-License-Identifier: MIT */
/*
 * The database of the simulated fleet. It changes rows as the statements of
 * daemon/queues/postgres_leases.c do, and refuses acknowledgements of an old term; some mutants
 * weaken this. It also notes which queues are free and which waits were disturbed, because changes
 * take effect here, maybe long after their host has given up.
 */
#include "fleet_world.h"

#include <string.h>

static bool take(struct fleet *f, struct fleet_row *row, uint32_t owner)
{
	*row = (struct fleet_row){
		.owner = owner,
		.term = ++f->db.terms,
	};
	return true;
}

/* Runs one question. Return: whether it took effect. */
static bool ask_database(struct fleet *f, struct fleet_row *row, uint32_t owner, enum lease_ask ask,
	uint64_t term, uint64_t beat)
{
	int64_t clock = (int64_t)f->now + f->db.clock_offset;
	bool mine = row->owner == owner && row->term == term;
	bool same = row->term == term && (row->beat == beat || f->mutant == FLEET_NO_COMPARE);

	switch (ask) {
	case LEASE_ASK_TAKE_FREE:
		if (row->owner && f->mutant == FLEET_DATABASE_CLOCK &&
			clock - row->renewed >= (int64_t)f->config.length)
			return take(f, row, owner);
		return !row->owner && take(f, row, owner);
	case LEASE_ASK_TAKE:
		return same && take(f, row, owner);
	case LEASE_ASK_RENEW:
		row->beat += mine;
		return mine;
	case LEASE_ASK_RELEASE:
		mine = mine || (f->mutant == FLEET_ANY_RELEASE && row->owner == owner);
		row->owner = mine ? 0 : row->owner;
		return mine;
	case LEASE_ASK_READ:
	case LEASE_ASK_NOTHING:
		break;
	}
	return false;
}

/* A release had its effect: other hosts may learn of it. */
static void released(struct fleet *f, uint32_t queue)
{
	f->free_since[queue] = f->now;
	for (uint32_t i = 0; i < FLEET_HOSTS; i++)
		if (dice_any(&f->dice) & 1) {
			f->hosts[i].hint[queue] = true;
			if (f->hosts[i].turn > f->now + 5000)
				f->hosts[i].turn = f->now + 5000;
		}
}

static void count_change(struct fleet *f, const struct fleet_message *m, uint32_t i, bool late)
{
	static const enum fleet_event events[] = {
		[LEASE_ASK_TAKE_FREE] = FLEET_TAKES_FREE,
		[LEASE_ASK_TAKE] = FLEET_TAKES_OVER,
		[LEASE_ASK_RENEW] = FLEET_RENEWALS,
		[LEASE_ASK_RELEASE] = FLEET_RELEASES,
	};
	const struct fleet_host *h = &f->hosts[m->host];
	uint32_t queue = m->part[i].queue;

	f->events[events[m->part[i].ask]]++;
	if (late || f->now < h->well_since)
		f->moved[queue] = fleet_later(f->moved[queue], f->now);
	if (m->part[i].ask == LEASE_ASK_RELEASE) {
		released(f, queue);
	} else if (m->part[i].ask == LEASE_ASK_TAKE_FREE && !late) {
		uint64_t since = fleet_later(f->free_since[queue], fleet_waits_since(f, h, queue));

		if (f->now > since)
			f->longest_free = fleet_later(f->longest_free, f->now - since);
	}
	if (m->part[i].ask != LEASE_ASK_RELEASE)
		f->free_since[queue] = FLEET_NEVER;
}

static void run_round(struct fleet *f, struct fleet_message *m, bool late)
{
	for (uint32_t i = 0; i < m->n; i++) {
		struct fleet_row *row = &f->db.rows[m->part[i].queue];
		bool locked = f->now < f->db.locked_until[m->part[i].queue] &&
			m->part[i].ask != LEASE_ASK_READ;
		bool done = !locked &&
			ask_database(
				f, row, m->owner, m->part[i].ask, m->part[i].term, m->part[i].beat);

		f->events[FLEET_LOCKED] += locked;
		if (done) {
			if (m->part[i].ask != LEASE_ASK_RELEASE)
				row->renewed = (int64_t)f->now + f->db.clock_offset;
			count_change(f, m, i, late);
		}
		m->part[i].done = done;
		m->part[i].locked = locked;
		m->part[i].row = (struct lease_row){
			.owner = !row->owner		 ? LEASE_NOBODY
				: row->owner == m->owner ? LEASE_ME
							 : LEASE_OTHER,
			.term = row->term,
			.beat = row->beat,
		};
	}
}

/* Acknowledgements lock the row where owner and term match, and change timers through it. */
static void run_acks(struct fleet *f, struct fleet_message *m)
{
	for (uint32_t i = 0; i < m->n; i++) {
		const struct fleet_row *row = &f->db.rows[m->part[i].queue];
		bool current = row->owner == m->owner && row->term == m->part[i].term;

		m->part[i].done = current || f->mutant == FLEET_NO_FENCE;
		f->events[m->part[i].done ? FLEET_ACKS : FLEET_FENCED]++;
		if (m->part[i].done && !current)
			fleet_note_wrong(f, m->part[i].queue,
				"an acknowledgement under an old term changed a timer");
	}
}

void fleet_execute(struct fleet *f, struct fleet_message *m)
{
	bool late = m != &f->hosts[m->host].round && m != &f->hosts[m->host].ack;

	if (late)
		f->events[m->is_ack ? FLEET_LATE_ACK : FLEET_LATE_ROUND]++;
	if (m->is_ack)
		run_acks(f, m);
	else
		run_round(f, m, late);
	if (m->settles)
		f->db.settled = f->db.timeline;
	if (dice_any(&f->dice) % f->db.lag == 0) {
		memcpy(f->db.replica, f->db.rows, sizeof(f->db.rows));
		f->db.replica_terms = f->db.terms;
		f->db.replica_settled = f->db.settled;
	}
}

bool fleet_arrive(struct fleet *f, struct fleet_message *m)
{
	if (m->epoch != f->db.epoch) {
		m->at = FLEET_NEVER;
		return false;
	}
	if (f->now < f->db.stalled_until) {
		m->at = f->db.stalled_until + dice_below(&f->dice, 1000);
		return false;
	}
	fleet_execute(f, m);
	return true;
}
