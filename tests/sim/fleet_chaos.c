/* SPDX-License-Identifier: MIT */
/*
 * Faults of a fleet.
 */
#include <string.h>

#include "fleet_world.h"

static uint64_t below(struct fleet *f, uint64_t n)
{
	return dice_below(&f->dice, n);
}

/* A span that is short, about a lease, or long. */
static uint64_t some_span(struct fleet *f)
{
	uint64_t length = f->config.length;

	switch (below(f, 3)) {
	case 0:
		return below(f, 1000000);
	case 1:
		return length - 2000000 + below(f, 4000000);
	default:
		return below(f, 3 * length);
	}
}

static void kill_host(struct fleet *f, struct fleet_host *h)
{
	if (!h->up)
		return;
	f->events[FLEET_KILLS]++;
	fleet_stop_host(f, h, some_span(f));
}

static void stop_cleanly(struct fleet *f, struct fleet_host *h)
{
	if (!h->up || h->stopping)
		return;
	f->events[FLEET_STOPS]++;
	h->stopping = true;
	h->stop_by = f->now + 1000000;
	for (uint32_t i = 0; i < FLEET_QUEUES; i++)
		lease_unwant(&h->leases, &h->lease[i]);
	fleet_disturbed(f, h, h->stop_by);
	h->turn = f->now;
}

/* SIGSTOP and SIGCONT: the process stops, its clock does not. halt: between the check and the send.
 */
static void freeze(struct fleet *f, struct fleet_host *h, bool halt)
{
	uint64_t until = f->now + some_span(f), clock = fleet_clock(f, h);

	if (!h->up || f->now < h->stopped_until)
		return;
	f->events[halt ? FLEET_HALTS : FLEET_FREEZES]++;
	for (uint32_t i = 0; halt && i < FLEET_QUEUES; i++)
		if (lease_delivers(&h->lease[i], clock))
			h->halted_term[i] = h->lease[i].term;
	h->stopped_until = until;
	fleet_disturbed(f, h, until + 10000);
}

/* The machine stops, and its clock with it. */
static void pause_machine(struct fleet *f, struct fleet_host *h)
{
	uint64_t until = f->now + some_span(f);

	if (!h->up || f->now < h->stopped_until)
		return;
	f->events[FLEET_PAUSES]++;
	h->clock = h->resumed = fleet_clock(f, h);
	h->clock_true = h->stopped_until = until;
	fleet_disturbed(f, h, until + 10000);
}

static void delay(struct fleet *f, const struct fleet_host *h, struct fleet_message *m)
{
	if (m->at != FLEET_NEVER && m->at < h->cut_until)
		m->at = h->cut_until + below(f, 20000);
}

static void cut(struct fleet *f, struct fleet_host *h)
{
	f->events[FLEET_CUTS]++;
	h->cut_until = f->now + some_span(f);
	delay(f, h, &h->round);
	delay(f, h, &h->ack);
	fleet_disturbed(f, h, h->cut_until + 50000);
}

static void reset_connection(struct fleet *f, struct fleet_host *h)
{
	if (!h->leases.connected)
		return;
	f->events[FLEET_RESETS]++;
	h->broken = true;
	h->turn = f->now;
	fleet_disturbed(f, h, f->now + 10000);
}

/* The first consumer of a queue comes, or its last consumer leaves. */
static void come_or_go(struct fleet *f, struct fleet_host *h)
{
	uint32_t queue = (uint32_t)below(f, FLEET_QUEUES);
	bool held = h->up && h->lease[queue].state == LEASE_HELD;

	f->events[FLEET_COMES_AND_GOES]++;
	if (h->wanted_since[queue] == FLEET_NEVER) {
		h->wanted_since[queue] = f->now;
		if (h->up && !h->stopping)
			lease_want(&h->leases, &h->lease[queue]);
	} else {
		h->wanted_since[queue] = FLEET_NEVER;
		if (h->up)
			lease_unwant(&h->leases, &h->lease[queue]);
		/* The release is delayed, and another consumer comes meanwhile. */
		if (held && below(f, 4) == 0) {
			cut(f, h);
			h->wanted_since[queue] = f->now;
			if (!h->stopping)
				lease_want(&h->leases, &h->lease[queue]);
		}
	}
	if (h->up)
		h->turn = f->now;
}

static void disturb_all(struct fleet *f, uint64_t until)
{
	for (uint32_t i = 0; i < FLEET_HOSTS; i++)
		fleet_disturbed(f, &f->hosts[i], until);
	for (uint32_t i = 0; i < FLEET_QUEUES; i++)
		f->moved[i] = until > f->moved[i] ? until : f->moved[i];
}

static void stall(struct fleet *f)
{
	f->events[FLEET_STALLS]++;
	f->db.stalled_until = f->now + some_span(f);
	disturb_all(f, f->db.stalled_until + 50000);
}

/* Each message in flight runs now or never. All connections break. */
static void break_all(struct fleet *f)
{
	f->db.epoch++;
	for (struct fleet_host *h = f->hosts; h < f->hosts + FLEET_HOSTS; h++) {
		struct fleet_message *of[] = {&h->round, &h->ack};

		for (uint32_t i = 0; i < 2; i++) {
			if (of[i]->at == FLEET_NEVER || of[i]->answered)
				continue;
			if (h->up && below(f, 2))
				fleet_execute(f, of[i]);
			of[i]->at = FLEET_NEVER;
		}
		/* A host notices this now, or when an answer does not come. */
		h->broken = h->up && h->leases.connected && below(f, 2);
		if (h->broken)
			h->turn = f->now;
	}
	for (uint32_t i = 0; i < FLEET_LATE; i++)
		f->late[i].at = FLEET_NEVER;
	f->db.stalled_until = f->now + some_span(f) / 4;
	disturb_all(f, f->db.stalled_until + f->config.renew + 1000000);
}

static void restart(struct fleet *f)
{
	f->events[FLEET_RESTARTS]++;
	break_all(f);
}

/* A replica takes over. It has all commits, or lacks the last ones. */
static void fail_over(struct fleet *f, bool lossy)
{
	f->events[lossy ? FLEET_LOSSY_FAILOVERS : FLEET_FAILOVERS]++;
	break_all(f);
	f->db.timeline++;
	f->db.lag = 4u << 2 * below(f, 3);
	/* Hosts cannot know whether commits are lost: they wait in either case. */
	if (!lossy)
		return;
	memcpy(f->db.rows, f->db.replica, sizeof(f->db.rows));
	f->db.terms = f->db.replica_terms;
	f->db.settled = f->db.replica_settled;
	for (uint32_t i = 0; i < FLEET_QUEUES; i++)
		f->free_since[i] = f->db.rows[i].owner ? FLEET_NEVER : f->now;
	for (struct fleet_host *h = f->hosts; h < f->hosts + FLEET_HOSTS; h++) {
		for (uint32_t i = 0; h->up && i < FLEET_QUEUES; i++)
			if (h->lease[i].state == LEASE_HELD && fleet_is_excused(f, h, i))
				h->excused_until = f->db.stalled_until + f->config.renew +
					f->config.length + 2000000;
	}
}

static void step_clock(struct fleet *f)
{
	f->events[FLEET_CLOCK_STEPS]++;
	f->db.clock_offset += (int64_t)below(f, 7200000000) - 3600000000;
}

/* Another session locks the row of a queue: nobody can renew, take or release its lease. */
static void lock_row(struct fleet *f)
{
	uint32_t i = (uint32_t)below(f, FLEET_QUEUES);
	uint64_t until = f->now + some_span(f), settled = until + f->config.renew + 1000000;

	f->events[FLEET_ROW_LOCKS]++;
	f->db.locked_until[i] = until;
	f->moved[i] = settled > f->moved[i] ? settled : f->moved[i];
	for (struct fleet_host *h = f->hosts; h < f->hosts + FLEET_HOSTS; h++)
		if (h->wanted_since[i] != FLEET_NEVER && h->wanted_since[i] < settled)
			h->wanted_since[i] = settled;
}

void fleet_disturb(struct fleet *f)
{
	struct fleet_host *h = &f->hosts[below(f, FLEET_HOSTS)];

	switch (below(f, 26)) {
	case 0 ... 3:
		kill_host(f, h);
		break;
	case 4 ... 5:
		stop_cleanly(f, h);
		break;
	case 6 ... 7:
		freeze(f, h, false);
		break;
	case 8:
		freeze(f, h, true);
		break;
	case 9:
		pause_machine(f, h);
		break;
	case 10 ... 12:
		cut(f, h);
		break;
	case 13:
		reset_connection(f, h);
		break;
	case 14 ... 18:
		come_or_go(f, h);
		break;
	case 19:
		stall(f);
		break;
	case 20:
		restart(f);
		break;
	case 21:
		fail_over(f, false);
		break;
	case 22:
		fail_over(f, true);
		break;
	case 23 ... 24:
		lock_row(f);
		break;
	default:
		step_clock(f);
		break;
	}
	f->disturb_at = f->now + 1 + below(f, 2 * f->config.length);
}
