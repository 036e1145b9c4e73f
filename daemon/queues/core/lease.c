/* SPDX-License-Identifier: MIT */
#include "lease.h"

#define OF_STATE(at) LINK_OWNER(at, struct lease, of_state)
#define OF_ROUND(at) LINK_OWNER(at, struct lease, of_round)

void leases_init(struct leases *ls, const struct lease_config *config)
{
	*ls = (struct leases){.config = *config};
	link_init(&ls->held);
	link_init(&ls->standby);
	link_init(&ls->urgent);
	link_init(&ls->round);
}

void lease_init(struct lease *l)
{
	*l = (struct lease){.state = LEASE_NONE};
	link_init(&l->of_state);
	link_init(&l->of_round);
}

/* Becomes a standby, and asks at once. */
static void stand_by(struct leases *ls, struct lease *l)
{
	l->state = LEASE_STANDBY;
	l->term = 0;
	l->has_seen = false;
	link_move(&ls->urgent, &l->of_state);
}

void lease_want(struct leases *ls, struct lease *l)
{
	if (l->wanted)
		return;
	l->wanted = true;
	/* Waits for the answer to a release, because the release can run late. */
	if (l->state == LEASE_NONE)
		stand_by(ls, l);
}

/* This host does not hold the lease any more. */
static void let_go(struct leases *ls, struct lease *l)
{
	if (l->wanted) {
		stand_by(ls, l);
		return;
	}
	l->state = LEASE_NONE;
	l->term = 0;
	link_remove(&l->of_state);
}

static bool asks_to_take(const struct lease *l)
{
	return l->ask == LEASE_ASK_TAKE_FREE || l->ask == LEASE_ASK_TAKE;
}

void lease_unwant(struct leases *ls, struct lease *l)
{
	if (!l->wanted)
		return;
	l->wanted = false;
	if (l->state == LEASE_HELD ||
		(l->state == LEASE_STANDBY && (asks_to_take(l) || l->unsure))) {
		l->state = LEASE_RELEASING;
		link_move(&ls->urgent, &l->of_state);
	} else if (l->state == LEASE_STANDBY) {
		let_go(ls, l);
	}
}

void lease_hint(struct leases *ls, struct lease *l)
{
	if (l->state == LEASE_STANDBY)
		link_move(&ls->urgent, &l->of_state);
}

void lease_lost(struct leases *ls, struct lease *l, uint64_t term)
{
	if (l->state == LEASE_HELD && l->term == term)
		let_go(ls, l);
}

/* Another server took over: earlier rows are not valid any more. */
static void start_over(struct leases *ls, uint64_t now)
{
	LINK_FOR_EACH(at, &ls->standby)
	OF_STATE(at)->has_seen = false;
	LINK_FOR_EACH(at, &ls->urgent)
	OF_STATE(at)->has_seen = false;
	/* While this host delivers, no other host can have taken the lease, not even in the commits
	 * that were lost. */
	LINK_FOR_EACH(at, &ls->held)
	if (now >= OF_STATE(at)->until)
		stand_by(ls, OF_STATE(at));
}

void leases_connected(struct leases *ls, uint64_t now, uint64_t timeline, bool settled)
{
	/* Two replicas can have taken over under the same number, but only one of them is settled.
	 */
	bool is_other = ls->timeline != timeline || (ls->settled && !settled);

	if (is_other && ls->timeline)
		start_over(ls, now);
	if (is_other && !settled)
		ls->hold_until = now + ls->config.length;
	ls->timeline = timeline;
	ls->settled = settled;
	ls->connected = true;
	ls->renew_at = ls->poll_at = now;
}

bool leases_settle(const struct leases *ls, uint64_t now)
{
	return !ls->settled && now >= ls->hold_until;
}

void leases_settled(struct leases *ls)
{
	ls->settled = true;
}

/* Ends the round. Questions without an answer may have taken effect. */
static void forget_round(struct leases *ls)
{
	LINK_FOR_EACH(at, &ls->round)
	{
		struct lease *l = OF_ROUND(at);

		l->unsure = l->unsure || asks_to_take(l);
		l->ask = LEASE_ASK_NOTHING;
		link_remove(&l->of_round);
	}
	ls->under_way = false;
}

void leases_disconnected(struct leases *ls)
{
	forget_round(ls);
	ls->connected = false;
}

uint64_t leases_next(const struct leases *ls)
{
	uint64_t next = UINT64_MAX;

	if (!ls->connected || ls->under_way)
		return next;
	if (!link_is_empty(&ls->urgent) || ls->again)
		return 0;
	if (!link_is_empty(&ls->held))
		next = ls->renew_at;
	if (!link_is_empty(&ls->standby)) {
		uint64_t over = OF_STATE(ls->standby.next)->since + ls->config.length;

		if (over < ls->hold_until)
			over = ls->hold_until;
		next = over < next ? over : next;
		next = ls->poll_at < next ? ls->poll_at : next;
	}
	return next;
}

/* The question about a lease that another host holds, as far as this host knows. */
static enum lease_ask ask_to_take(const struct leases *ls, const struct lease *l, uint64_t now)
{
	if (now < ls->hold_until)
		return LEASE_ASK_READ;
	if (!l->has_seen)
		return LEASE_ASK_TAKE_FREE;
	/* The row comes from a take without an answer, or from a release that did not arrive.
	 * Neither this host nor another one delivers under that term. */
	if (l->seen.owner == LEASE_ME || now - l->since >= ls->config.length)
		return LEASE_ASK_TAKE;
	return LEASE_ASK_TAKE_FREE;
}

static enum lease_ask ask_of(const struct leases *ls, const struct lease *l, uint64_t now)
{
	switch (l->state) {
	case LEASE_STANDBY:
		return ask_to_take(ls, l, now);
	case LEASE_HELD:
		return LEASE_ASK_RENEW;
	case LEASE_RELEASING:
		return l->term ? LEASE_ASK_RELEASE : LEASE_ASK_READ;
	case LEASE_NONE:
		break;
	}
	return LEASE_ASK_NOTHING;
}

static void ask(struct leases *ls, struct lease *l, uint64_t now)
{
	l->ask = ask_of(ls, l, now);
	link_insert(&ls->round, &l->of_round);
}

static void ask_all(struct leases *ls, struct link *list, uint64_t now)
{
	LINK_FOR_EACH(at, list)
	ask(ls, OF_STATE(at), now);
}

static void ask_locked(struct leases *ls, uint64_t now)
{
	LINK_FOR_EACH(at, &ls->held)
	if (OF_STATE(at)->locked)
		ask(ls, OF_STATE(at), now);
}

/* Inserts a standby in the order of `since`. The position is searched from the end, because most
 * standbys come last. */
static void place(struct leases *ls, struct lease *l)
{
	struct link *after;

	link_remove(&l->of_state);
	after = ls->standby.prev;
	while (after != &ls->standby && OF_STATE(after)->since > l->since)
		after = after->prev;
	link_insert(after->next, &l->of_state);
}

/* A round asks about an urgent standby once; after that each poll asks. */
static void end_urgency(struct leases *ls, uint64_t now)
{
	LINK_FOR_EACH(at, &ls->urgent)
	{
		struct lease *l = OF_STATE(at);

		if (l->state != LEASE_STANDBY)
			continue;
		if (!l->has_seen)
			l->since = now;
		place(ls, l);
	}
}

bool leases_begin(struct leases *ls, uint64_t now)
{
	bool renews, polls;

	if (!ls->connected || ls->under_way)
		return false;
	/* One round does both if the next poll would come too late for the renewal. */
	renews = now + ls->config.poll > ls->renew_at;
	polls = now >= ls->poll_at ||
		(!link_is_empty(&ls->standby) &&
			now - OF_STATE(ls->standby.next)->since >= ls->config.length);
	if (renews) {
		ask_all(ls, &ls->held, now);
		ls->renew_at = now + ls->config.renew;
	} else if (ls->again) {
		ask_locked(ls, now);
	}
	ls->again = false;
	if (polls) {
		ask_all(ls, &ls->standby, now);
		ls->poll_at = now + ls->config.poll;
	}
	ask_all(ls, &ls->urgent, now);
	end_urgency(ls, now);
	ls->under_way = !link_is_empty(&ls->round);
	ls->sent = now;
	return ls->under_way;
}

uint64_t leases_give_up(const struct leases *ls)
{
	return ls->under_way ? ls->sent + ls->config.renew : UINT64_MAX;
}

static void hold(struct leases *ls, struct lease *l, const struct lease_row *row)
{
	l->state = LEASE_HELD;
	l->term = row->term;
	l->until = ls->sent + ls->config.length - ls->config.margin;
	l->locked = false;
	link_move(&ls->held, &l->of_state);
}

/* It could not be taken. */
static void watch(struct leases *ls, struct lease *l, const struct lease_row *row, uint64_t now)
{
	bool same = l->has_seen && l->seen.term == row->term && l->seen.beat == row->beat;
	bool late = l->ask == LEASE_ASK_TAKE; /* the row has moved since it was seen */
	bool at_once = row->owner == LEASE_ME || (row->owner == LEASE_NOBODY && late);

	if (!same || late)
		l->since = now;
	l->seen = *row;
	l->has_seen = true;
	place(ls, l);
	if (at_once && now >= ls->hold_until)
		link_move(&ls->urgent, &l->of_state);
}

static void answer_standby(
	struct leases *ls, struct lease *l, bool done, const struct lease_row *row, uint64_t now)
{
	/* A renewal may be answered after lease_lost(). */
	if (done && asks_to_take(l))
		hold(ls, l, row);
	else
		watch(ls, l, row, now);
}

static void answer_held(
	struct leases *ls, struct lease *l, bool done, const struct lease_row *row, uint64_t now)
{
	if (l->ask != LEASE_ASK_RENEW)
		return;
	if (done) {
		hold(ls, l, row);
		return;
	}
	stand_by(ls, l);
	watch(ls, l, row, now);
}

/* The question may have been sent before the release was wanted. */
static void answer_releasing(
	struct leases *ls, struct lease *l, bool done, const struct lease_row *row)
{
	if (row->owner != LEASE_ME || (done && l->ask == LEASE_ASK_RELEASE))
		let_go(ls, l);
	else
		l->term = row->term;
}

bool lease_answer(
	struct leases *ls, struct lease *l, bool done, const struct lease_row *row, uint64_t now)
{
	enum lease_state before = l->state;

	if (l->ask == LEASE_ASK_NOTHING)
		return false;
	l->unsure = false;
	switch (l->state) {
	case LEASE_STANDBY:
		answer_standby(ls, l, done, row, now);
		break;
	case LEASE_HELD:
		answer_held(ls, l, done, row, now);
		break;
	case LEASE_RELEASING:
		answer_releasing(ls, l, done, row);
		break;
	case LEASE_NONE:
		break;
	}
	l->ask = LEASE_ASK_NOTHING;
	link_remove(&l->of_round);
	return l->state != before;
}

bool lease_locked(struct leases *ls, struct lease *l, const struct lease_row *row, uint64_t now)
{
	bool renewed = l->state == LEASE_HELD && l->ask == LEASE_ASK_RENEW &&
		row->owner == LEASE_ME && row->term == l->term;

	/* The row was read although it may be locked: so this is the answer to a read. */
	if (!renewed) {
		if (l->state != LEASE_HELD && l->ask != LEASE_ASK_NOTHING)
			l->ask = LEASE_ASK_READ;
		return lease_answer(ls, l, false, row, now);
	}
	l->locked = ls->again = true;
	l->ask = LEASE_ASK_NOTHING;
	link_remove(&l->of_round);
	return false;
}

void leases_end(struct leases *ls)
{
	forget_round(ls);
}

bool leases_gone(const struct leases *ls)
{
	if (!link_is_empty(&ls->held))
		return false;
	for (const struct link *at = ls->urgent.next; at != &ls->urgent; at = at->next)
		if (OF_STATE(at)->state == LEASE_RELEASING)
			return false;
	return true;
}
