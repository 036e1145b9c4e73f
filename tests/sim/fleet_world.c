/* SPDX-License-Identifier: MIT */
/*
 * The hosts of the simulated fleet, their clocks, and the network between them and the database.
 * fleet_step() chooses what happens next. Deliveries and waits are checked here, at the turn of a
 * host; fleet_database.c checks acknowledgements.
 */
#include "fleet_world.h"

#include <string.h>

/* A process sends at most this long after its check, unless something stops it in between. */
#define CHECK_TO_SEND UINT64_C(100000)

/* Delays of an undisturbed network and host, and what they add to the bounds. */
#define DELAY_US  20000
#define JITTER_US 8000
#define SLACK_US  UINT64_C(150000)

#define ACK_US UINT64_C(1500000) /* the least time between two acknowledgements of a host */

#define PPM 200 /* by how much a host's clock may be fast or slow */

uint64_t fleet_clock(const struct fleet *f, const struct fleet_host *h)
{
	int64_t passed;

	if (f->now <= h->clock_true)
		return h->clock;
	passed = (int64_t)(f->now - h->clock_true);
	return h->clock + (uint64_t)(passed + passed * h->ppm / 1000000);
}

void fleet_note_wrong(struct fleet *f, uint32_t queue, const char *what)
{
	if (f->wrong)
		return;
	f->wrong = what;
	f->wrong_queue = queue;
}

void fleet_disturbed(struct fleet *f, struct fleet_host *h, uint64_t until)
{
	h->well_since = fleet_later(h->well_since, until);
	for (uint32_t i = 0; i < FLEET_QUEUES; i++)
		if (f->db.rows[i].owner == h->owner || h->lease[i].ask != LEASE_ASK_NOTHING)
			f->moved[i] = fleet_later(f->moved[i], until);
}

void fleet_boot(struct fleet *f, struct fleet_host *h)
{
	leases_init(&h->leases, &f->config);
	h->owner = ++f->owners;
	h->up = true;
	h->stopping = h->broken = false;
	h->stop_by = FLEET_NEVER;
	h->round.at = h->ack.at = FLEET_NEVER;
	h->reconnect = f->now + dice_below(&f->dice, 1000000);
	h->resumed = 0;
	memset(h->halted_term, 0, sizeof(h->halted_term));
	for (uint32_t i = 0; i < FLEET_QUEUES; i++) {
		lease_init(&h->lease[i]);
		if (h->wanted_since[i] != FLEET_NEVER)
			lease_want(&h->leases, &h->lease[i]);
	}
	fleet_disturbed(f, h, h->reconnect);
}

void fleet_begin(struct fleet *f, uint64_t seed, enum fleet_mutant mutant)
{
	*f = (struct fleet){
		.config = lease_config_of(LEASE_LENGTH_US),
		.mutant = mutant,
		.dice = {seed},
		.now = 1000000,
	};
	if (mutant == FLEET_NO_MARGIN)
		f->config.margin = 0;
	if (mutant == FLEET_RARE_LOOKS)
		f->config.poll = 3 * LEASE_POLL_US;
	f->db.lag = 4;
	f->db.timeline = f->db.settled = f->db.replica_settled = 1;
	for (uint32_t i = 0; i < FLEET_LATE; i++)
		f->late[i].at = FLEET_NEVER;
	for (uint32_t i = 0; i < FLEET_QUEUES; i++)
		f->free_since[i] = f->now;
	for (uint32_t i = 0; i < FLEET_HOSTS; i++) {
		struct fleet_host *h = &f->hosts[i];

		h->ppm = (int64_t)dice_below(&f->dice, 2 * PPM + 1) - PPM;
		h->clock_true = f->now;
		h->clock = dice_below(&f->dice, UINT64_C(1) << 40);
		for (uint32_t q = 0; q < FLEET_QUEUES; q++)
			h->wanted_since[q] = dice_once_in(&f->dice, 3) ? FLEET_NEVER : f->now;
		fleet_boot(f, h);
		h->turn = f->now;
	}
	f->disturb_at = f->now + 30000000;
}

/* The network. */

/* When a message that is sent now arrives; FLEET_NEVER: it is lost. */
static uint64_t arrival(struct fleet *f, struct fleet_host *h)
{
	uint64_t chance = dice_any(&f->dice), delay = 200 + (chance >> 32) % DELAY_US;

	if (chance % 4096 == 0) {
		f->events[FLEET_DROPS]++;
		fleet_disturbed(f, h, f->now + f->config.renew + 1000000);
		return FLEET_NEVER;
	}
	if (chance % 4096 <= 4) {
		delay = dice_below(&f->dice, 2 * f->config.length);
		fleet_disturbed(f, h, f->now + delay);
	}
	return fleet_later(f->now, h->cut_until) + delay;
}

static struct fleet_message message(const struct fleet_host *h, uint32_t index, bool is_ack)
{
	return (struct fleet_message){
		.host = index,
		.owner = h->owner,
		.epoch = h->epoch,
		.is_ack = is_ack,
		.at = FLEET_NEVER,
	};
}

/* A message that has not reached the database may still arrive late. */
static void let_loose(struct fleet *f, struct fleet_message *m)
{
	uint64_t chance = dice_any(&f->dice);

	if (m->at != FLEET_NEVER && !m->answered && chance & 1)
		for (uint32_t i = 0; i < FLEET_LATE; i++)
			if (f->late[i].at == FLEET_NEVER) {
				f->late[i] = *m;
				f->late[i].at = f->now + (chance >> 8) % (2 * f->config.length);
				break;
			}
	m->at = FLEET_NEVER;
}

void fleet_break(struct fleet *f, struct fleet_host *h)
{
	fleet_disturbed(f, h, f->now + 1);
	leases_disconnected(&h->leases);
	let_loose(f, &h->round);
	let_loose(f, &h->ack);
	h->broken = false;
	h->reconnect = f->now + 1000 + dice_below(&f->dice, 1000000);
	h->turn = f->now;
}

/* Hosts. */

uint64_t fleet_waits_since(const struct fleet *f, const struct fleet_host *h, uint32_t queue)
{
	uint64_t since = fleet_later(h->well_since, h->wanted_since[queue]);
	uint64_t clock = fleet_clock(f, h), hold = h->leases.hold_until;

	/* After a failover the host takes nothing for a while. */
	if (!hold)
		return since;
	return clock < hold ? f->now : fleet_later(since, f->now - (clock - hold));
}

/* Whether the host may send a wake of the queue now, after a check a little earlier. */
static bool may_send(const struct fleet *f, const struct fleet_host *h, uint32_t queue)
{
	const struct lease *l = &h->lease[queue];

	return h->up && l->state == LEASE_HELD && fleet_clock(f, h) < l->until + CHECK_TO_SEND;
}

bool fleet_is_excused(const struct fleet *f, const struct fleet_host *h, uint32_t queue)
{
	uint64_t sent = h->lease[queue].until - f->config.length + f->config.margin;

	return h->clock_true > f->now || sent < h->resumed || f->now < h->excused_until;
}

static void deliver(
	struct fleet *f, struct fleet_host *h, uint32_t queue, uint64_t term, bool halted)
{
	struct fleet_message *ack = &h->ack;
	uint64_t since = fleet_later(
		fleet_later(f->served[queue], f->moved[queue]), fleet_waits_since(f, h, queue));

	for (struct fleet_host *other = f->hosts; other < f->hosts + FLEET_HOSTS; other++) {
		if (other == h || !may_send(f, other, queue))
			continue;
		if (!halted && !fleet_is_excused(f, h, queue) && !fleet_is_excused(f, other, queue))
			fleet_note_wrong(f, queue, "two hosts deliver at one instant");
		f->events[FLEET_REPEATS]++;
	}
	if (!halted && f->now > since)
		f->longest_wait = fleet_later(f->longest_wait, f->now - since);
	f->served[queue] = f->now;
	/* The consumer acknowledges the wake. */
	if (ack->at != FLEET_NEVER || ack->n == FLEET_QUEUES || !h->leases.connected ||
		(f->now < h->ack_again && !halted))
		return;
	ack->part[ack->n].queue = queue;
	ack->part[ack->n++].term = term;
}

/* Sends all wakes that the host may send, and acknowledges them. */
static void deliver_all(struct fleet *f, struct fleet_host *h, uint64_t clock)
{
	if (h->ack.at == FLEET_NEVER)
		h->ack = message(h, (uint32_t)(h - f->hosts), true);
	for (uint32_t i = 0; i < FLEET_QUEUES; i++) {
		if (h->halted_term[i])
			deliver(f, h, i, h->halted_term[i], true);
		h->halted_term[i] = 0;
		if (lease_delivers(&h->lease[i], clock))
			deliver(f, h, i, h->lease[i].term, false);
	}
	if (h->ack.at == FLEET_NEVER && h->ack.n) {
		h->ack.at = arrival(f, h);
		h->ack_again = f->now + ACK_US;
	}
}

/* Whether an answer to the host is late. The host may wait for it until it gives up the round. */
static bool waits_for_answer(const struct leases *ls, uint64_t clock)
{
	uint64_t waits = clock - ls->sent;

	return ls->under_way && waits > SLACK_US && waits < ls->config.renew + SLACK_US;
}

/* Checks that each queue that this host wants gets an owner in time. */
static void check_waiting(struct fleet *f, const struct fleet_host *h)
{
	uint64_t length = LEASE_LENGTH_US + LEASE_LENGTH_US * PPM / 1000000;

	for (uint32_t i = 0; i < FLEET_QUEUES; i++) {
		uint64_t since = fleet_later(f->served[i], fleet_waits_since(f, h, i));
		uint64_t moved = fleet_later(f->moved[i], since), free = f->free_since[i];

		if (h->lease[i].state != LEASE_STANDBY)
			continue;
		if (f->now > moved + length + LEASE_POLL_US + SLACK_US)
			fleet_note_wrong(
				f, i, "nobody takes over a queue within a lease and a look");
		if (free != FLEET_NEVER &&
			f->now > fleet_later(free, since) + LEASE_POLL_US + SLACK_US)
			fleet_note_wrong(f, i, "nobody takes a released queue within a look");
	}
}

static void send_round(struct fleet *f, struct fleet_host *h, uint64_t clock)
{
	struct fleet_message *m = &h->round;

	*m = message(h, (uint32_t)(h - f->hosts), false);
	m->settles = leases_settle(&h->leases, clock);
	LINK_FOR_EACH(at, &h->leases.round)
	{
		const struct lease *l = LINK_OWNER(at, struct lease, of_round);
		bool take = l->ask == LEASE_ASK_TAKE;

		m->part[m->n].queue = (uint32_t)(l - h->lease);
		m->part[m->n].ask = l->ask;
		m->part[m->n].term = take ? l->seen.term : l->term;
		m->part[m->n++].beat = take ? l->seen.beat : 0;
	}
	m->at = arrival(f, h);
}

static void receive_round(struct fleet *f, struct fleet_host *h)
{
	struct fleet_message *m = &h->round;
	uint64_t clock = fleet_clock(f, h);

	if (waits_for_answer(&h->leases, clock))
		fleet_disturbed(f, h, f->now);
	for (uint32_t i = 0; i < m->n; i++) {
		struct lease *l = &h->lease[m->part[i].queue];
		bool held = l->state == LEASE_HELD;

		if (m->part[i].locked)
			lease_locked(&h->leases, l, &m->part[i].row, clock);
		else
			lease_answer(&h->leases, l, m->part[i].done, &m->part[i].row, clock);
		f->events[FLEET_LOST] += held && l->state == LEASE_STANDBY;
	}
	leases_end(&h->leases);
	if (m->settles)
		leases_settled(&h->leases);
	m->at = FLEET_NEVER;
}

static void receive_acks(struct fleet_host *h)
{
	for (uint32_t i = 0; i < h->ack.n; i++)
		if (!h->ack.part[i].done)
			lease_lost(
				&h->leases, &h->lease[h->ack.part[i].queue], h->ack.part[i].term);
	h->ack.at = FLEET_NEVER;
	h->ack.n = 0;
}

static void connect_again(struct fleet *f, struct fleet_host *h, uint64_t clock)
{
	uint64_t away = fleet_later(h->cut_until, f->db.stalled_until);
	bool settled = f->db.settled == f->db.timeline;

	if (f->now < away) {
		h->reconnect = f->now + 100000 + dice_below(&f->dice, 1000000);
		fleet_disturbed(f, h, h->reconnect);
		return;
	}
	h->epoch = f->db.epoch;
	h->ack.n = 0;
	f->events[FLEET_STARTS_AFTER] += !h->leases.timeline && !settled;
	settled = settled || (f->mutant == FLEET_NO_STORED && !h->leases.timeline);
	if (f->mutant == FLEET_NO_HOLD)
		leases_connected(&h->leases, clock, 1, true);
	else
		leases_connected(&h->leases, clock, f->db.timeline, settled);
	fleet_disturbed(f, h, f->now);
}

/* The next instant at which the host must act. */
static uint64_t next_turn(struct fleet *f, const struct fleet_host *h, uint64_t clock)
{
	uint64_t next = leases_next(&h->leases), give_up = leases_give_up(&h->leases);
	uint64_t span = LEASE_POLL_US, at;

	next = give_up < next ? give_up : next;
	if (next <= clock)
		span = 0;
	else if (next - clock < span)
		span = next - clock;
	at = f->now + span + 1 + dice_any(&f->dice) % JITTER_US;
	if (!h->leases.connected && h->reconnect < at)
		at = fleet_later(h->reconnect, f->now + 1);
	return at;
}

static void turn(struct fleet *f, struct fleet_host *h)
{
	uint64_t clock = fleet_clock(f, h);

	if (!h->up)
		fleet_boot(f, h);
	if (h->leases.connected && (h->broken || clock >= leases_give_up(&h->leases)))
		fleet_break(f, h);
	if (!h->leases.connected && f->now >= h->reconnect)
		connect_again(f, h, clock);
	for (uint32_t i = 0; i < FLEET_QUEUES; i++) {
		if (h->hint[i])
			lease_hint(&h->leases, &h->lease[i]);
		h->hint[i] = false;
	}
	deliver_all(f, h, clock);
	if (h->stopping && (leases_gone(&h->leases) || f->now >= h->stop_by)) {
		h->stopping = false;
		fleet_stop_host(f, h, dice_below(&f->dice, 3 * f->config.length));
		return;
	}
	if (clock >= leases_next(&h->leases) && leases_begin(&h->leases, clock))
		send_round(f, h, clock);
	if (!waits_for_answer(&h->leases, clock))
		check_waiting(f, h);
	h->turn = next_turn(f, h, clock);
}

/* Ends the process. */
void fleet_stop_host(struct fleet *f, struct fleet_host *h, uint64_t span)
{
	/* The machine may be paused. */
	uint64_t until = fleet_later(f->now + span + 1, h->clock_true);

	fleet_disturbed(f, h, until);
	let_loose(f, &h->round);
	let_loose(f, &h->ack);
	h->ack.n = 0;
	h->up = false;
	h->stopped_until = h->turn = until;
}

/* How long a round waits for rows that others have locked: see pg_lock_ms() in postgres.h. */
static uint64_t wait_for_locks(const struct fleet *f, const struct fleet_message *m)
{
	for (uint32_t i = 0; i < m->n; i++)
		if (!m->is_ack && m->part[i].locked)
			return f->config.length / 32;
	return 0;
}

/* Moves a message of the host one step on: to the database, or its answer to the host. */
static void advance(struct fleet *f, struct fleet_host *h, struct fleet_message *m)
{
	if (!m->answered) {
		bool refused = m->epoch != f->db.epoch;

		if (fleet_arrive(f, m)) {
			m->answered = true;
			m->at = arrival(f, h) + wait_for_locks(f, m);
		} else if (refused) {
			h->broken = true;
			h->turn = f->now + 1000 < h->turn ? f->now + 1000 : h->turn;
		}
		return;
	}
	if (f->now < h->stopped_until) {
		m->at = h->stopped_until + dice_below(&f->dice, 1000);
		return;
	}
	if (m->is_ack)
		receive_acks(h);
	else
		receive_round(f, h);
	h->turn = f->now;
}

bool fleet_step(struct fleet *f)
{
	uint64_t at = f->disturb_at;
	struct fleet_message *m = NULL;
	struct fleet_host *host = NULL;

	for (struct fleet_host *h = f->hosts; h < f->hosts + FLEET_HOSTS; h++) {
		if (h->turn < at)
			at = h->turn, host = h, m = NULL;
		if (h->round.at < at)
			at = h->round.at, host = h, m = &h->round;
		if (h->ack.at < at)
			at = h->ack.at, host = h, m = &h->ack;
	}
	for (uint32_t i = 0; i < FLEET_LATE; i++)
		if (f->late[i].at < at)
			at = f->late[i].at, host = NULL, m = &f->late[i];
	f->now = fleet_later(f->now, at);
	f->steps++;
	if (host && m) {
		advance(f, host, m);
	} else if (m) {
		if (fleet_arrive(f, m))
			m->at = FLEET_NEVER;
	} else if (!host) {
		fleet_disturb(f);
	} else if (f->now < host->stopped_until) {
		host->turn = host->stopped_until + dice_below(&f->dice, 1000);
	} else {
		turn(f, host);
	}
	return !f->wrong;
}
