/* SPDX-License-Identifier: MIT */
/*
 * The model of model.h. It is written to be obvious, not to be short or fast.
 */
#include "model.h"

#include <assert.h>

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static uint64_t clock_now(const struct model *model, uint32_t clock)
{
	switch (clock) {
	case CLOCK_OF_MONOTONIC:
		return model->now.at[PROTO_CLOCK_MONOTONIC];
	case CLOCK_OF_BOOTTIME:
	case CLOCK_OF_BOOTTIME_ALARM:
		return model->now.at[PROTO_CLOCK_BOOTTIME];
	default:
		return model->now.at[PROTO_CLOCK_REALTIME];
	}
}

/* Inserts a timer in order. */
static void insert(struct model *model, const struct model_timer *timer)
{
	uint32_t at = 0;

	assert_true(model->n_timers < MODEL_TIMERS);
	while (at < model->n_timers &&
		(model->timers[at].due < timer->due ||
			(model->timers[at].due == timer->due &&
				model->timers[at].order < timer->order)))
		at++;
	memmove(&model->timers[at + 1], &model->timers[at],
		(model->n_timers - at) * sizeof(*timer));
	model->timers[at] = *timer;
	model->n_timers++;
}

static struct model_timer take_out(struct model *model, uint32_t at)
{
	struct model_timer timer = model->timers[at];

	model->n_timers--;
	memmove(&model->timers[at], &model->timers[at + 1], (model->n_timers - at) * sizeof(timer));
	return timer;
}

/* Its index in the array; n_timers: it is not there. */
static uint32_t place_of(const struct model *model, uint64_t id)
{
	uint32_t at = 0;

	while (at < model->n_timers && model->timers[at].id != id)
		at++;
	return at;
}

const struct model_timer *model_find(const struct model *model, uint64_t id)
{
	uint32_t at = place_of(model, id);

	return at < model->n_timers ? &model->timers[at] : NULL;
}

uint32_t model_held(const struct model *model, int64_t uid)
{
	uint32_t held = 0;

	for (uint32_t i = 0; i < model->n_timers; i++)
		if (uid == MODEL_ANYBODY || model->clients[model->timers[i].client].uid == uid)
			held++;
	for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
		if (model->clients[i].open &&
			(uid == MODEL_ANYBODY || model->clients[i].uid == uid))
			held += model->clients[i].n_cancelled;
	return held;
}

uint32_t model_count_clients(const struct model *model, int64_t uid)
{
	uint32_t count = 0;

	for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
		if (model->clients[i].open &&
			(uid == MODEL_ANYBODY || model->clients[i].uid == uid))
			count++;
	return count;
}

/* Checks the times of a record, and makes due absolute. */
static uint64_t refuse_times(wide *due, bool relative, uint64_t now, uint64_t every, uint32_t count)
{
	uint64_t refusals = 0;

	if (relative)
		*due = model_sum(*due, now);
	if (*due >= MODEL_NEVER)
		refusals |= MODEL_STATUS(PROTO_E_RANGE);
	if (every == 0 && count > 1)
		refusals |= MODEL_STATUS(PROTO_E_COUNT);
	return refusals;
}

uint64_t model_refusals(
	const struct model *model, uint32_t client, const struct proto_register *r, wide *ret_due)
{
	uint32_t uid = model->clients[client].uid;
	uint64_t refusals = 0;

	if (r->clock >= PROTO_CLOCKS)
		return MODEL_STATUS(PROTO_E_CLOCK);
	if (r->reserved || r->flags >= 8)
		return MODEL_STATUS(PROTO_E_FLAGS);
	*ret_due = r->due;
	refusals |= refuse_times(
		ret_due, r->flags & PROTO_RELATIVE, clock_now(model, r->clock), r->every, r->count);
	if (r->flags & PROTO_WAKE_SYSTEM && r->clock == PROTO_CLOCK_MONOTONIC)
		refusals |= MODEL_STATUS(PROTO_E_WAKE_CLOCK);
	if (r->flags & PROTO_TELL_CLOCK_SET && r->clock != PROTO_CLOCK_REALTIME)
		refusals |= MODEL_STATUS(PROTO_E_SET_CLOCK);
	if ((uint8_t)r->label[0] >= 0x80) /* the tests use ASCII labels and invalid labels */
		refusals |= MODEL_STATUS(PROTO_E_LABEL);
	if (model_held(model, MODEL_ANYBODY) >= model->limits.max_timers)
		refusals |= MODEL_STATUS(PROTO_E_TIMERS);
	if (uid != 0 && model_held(model, uid) >= model->limits.max_timers_per_user)
		refusals |= MODEL_STATUS(PROTO_E_TIMERS_USER);
	return refusals;
}

void model_register(
	struct model *model, uint32_t client, const struct proto_register *r, wide due, uint64_t id)
{
	struct model_timer timer = {
		.due = due,
		.slack = r->slack,
		.every = r->every,
		.order = ++model->order,
		.id = id,
		.cookie = r->cookie,
		.client = client,
		.clock = r->clock,
		.until = r->count,
	};

	if (r->flags & PROTO_WAKE_SYSTEM)
		timer.clock = r->clock == PROTO_CLOCK_BOOTTIME ? CLOCK_OF_BOOTTIME_ALARM
							       : CLOCK_OF_REALTIME_ALARM;
	memcpy(timer.label, r->label, sizeof(timer.label));
	insert(model, &timer);
	model->registered++;
	model_tally(model, model->clients[client].uid)->registered++;
}

uint64_t model_rearm_refusals(
	const struct model *model, uint32_t client, const struct proto_rearm *r, wide *ret_due)
{
	const struct model_timer *timer = model_find(model, r->id);
	uint64_t refusals = 0;

	*ret_due = r->due;
	if (!timer || timer->client != client)
		refusals = MODEL_STATUS(PROTO_E_NO_SUCH_TIMER);
	return refusals |
		refuse_times(ret_due, r->flags & PROTO_RELATIVE,
			timer ? clock_now(model, timer->clock) : 0, r->every, r->count);
}

void model_rearm(struct model *model, const struct proto_rearm *r, wide due)
{
	struct model_timer timer = take_out(model, place_of(model, r->id));

	timer.due = due;
	timer.slack = r->slack;
	timer.every = r->every;
	timer.until = r->count ? timer.sent + r->count : 0;
	insert(model, &timer);
}

bool model_cancel(struct model *model, uint32_t client, uint64_t id)
{
	uint32_t at = place_of(model, id), uid = model->clients[client].uid;
	struct model_client *owner;
	struct model_timer timer;

	if (at == model->n_timers)
		return false;
	owner = &model->clients[model->timers[at].client];
	if (uid != 0 && uid != owner->uid)
		return false;
	timer = take_out(model, at);
	if (timer.client != client)
		owner->cancelled[owner->n_cancelled++] = (struct proto_cancelled){
			.cookie = timer.cookie, .id = id};
	model->cancelled++;
	model_tally(model, uid)->cancelled++;
	return true;
}

uint64_t model_client_refusals(const struct model *model, uint32_t uid)
{
	uint32_t reserve = model->limits.max_clients / 16 < LIMITS_ROOT_RESERVE
		? model->limits.max_clients / 16
		: LIMITS_ROOT_RESERVE;
	uint32_t clients = model_count_clients(model, MODEL_ANYBODY);
	uint64_t refusals = 0;

	if (clients >= model->limits.max_clients - (uid ? reserve : 0))
		refusals |= MODEL_STATUS(PROTO_E_CLIENTS - PROTO_E_CLIENTS);
	if (uid && model_count_clients(model, uid) >= model->limits.max_clients_per_user)
		refusals |= MODEL_STATUS(PROTO_E_CLIENTS_USER - PROTO_E_CLIENTS);
	return refusals;
}

void model_open(struct model *model, uint32_t client, uint32_t uid, uint32_t session)
{
	model->clients[client] = (struct model_client){
		.open = true,
		.uid = uid,
		.session = session,
		.hello_due = (wide)model->now.at[PROTO_CLOCK_MONOTONIC] + PROTO_HELLO_TIMEOUT_US,
	};
}

void model_close(struct model *model, uint32_t client)
{
	model->clients[client].open = false;
	for (uint32_t i = model->n_timers; i > 0; i--)
		if (model->timers[i - 1].client == client)
			take_out(model, i - 1);
}

static bool is_due(const struct model *model, const struct model_timer *timer)
{
	return timer->due <= clock_now(model, timer->clock);
}

static bool hello_missed(const struct model *model, const struct model_client *client)
{
	return !client->greeted && client->hello_due <= model->now.at[PROTO_CLOCK_MONOTONIC];
}

bool model_due(const struct model *model, uint32_t client)
{
	if (model->clients[client].n_cancelled || hello_missed(model, &model->clients[client]))
		return true;
	for (uint32_t i = 0; i < model->n_timers; i++)
		if (model->timers[i].client == client && is_due(model, &model->timers[i]))
			return true;
	return false;
}

/* One wake of one timer: its fields, and the timer's next state. */
static void wake(struct model *model, uint64_t id, struct proto_wake *ret)
{
	struct model_timer timer = take_out(model, place_of(model, id));
	wide late = clock_now(model, timer.clock) - timer.due;
	wide overruns = timer.every ? late / timer.every : 0;
	wide next = model_sum(timer.due, model_product(model_sum(overruns, 1), timer.every));
	bool last = !timer.every || timer.sent + 1 == timer.until || next >= MODEL_NEVER;

	*ret = (struct proto_wake){
		.cookie = timer.cookie,
		.id = id,
		.due = (uint64_t)timer.due,
		.late = (uint64_t)late,
		.overruns = (uint64_t)overruns,
		.number = ++timer.sent,
		.flags = last ? PROTO_WAKE_LAST : 0,
	};
	model->woken++;
	model_tally(model, model->clients[timer.client].uid)->woken++;
	timer.due = next;
	if (!last)
		insert(model, &timer);
}

/* The ids of the wakes that one packet may hold: those of all due timers, clock by clock. If the
 * client has not read everything, the list ends before the first timer that has fired already. */
static uint32_t choose(
	const struct model *model, uint32_t client, bool again, uint64_t *ids, bool *ret_held)
{
	uint32_t n = 0;

	*ret_held = false;
	for (uint32_t clock = 0; clock < ARENA_CLOCKS; clock++)
		for (uint32_t i = 0; i < model->n_timers; i++) {
			const struct model_timer *timer = &model->timers[i];

			if (timer->client != client || timer->clock != clock ||
				!is_due(model, timer))
				continue;
			if (timer->sent && !again) {
				*ret_held = true;
				return n;
			}
			ids[n++] = timer->id;
		}
	return n;
}

void model_serve(struct model *model, uint32_t client, struct model_packet *ret)
{
	struct model_client *c = &model->clients[client];
	uint64_t ids[MODEL_TIMERS];
	uint32_t n = c->n_cancelled;
	bool held = false;

	ret->blocked = false;
	ret->opcode = 0;
	ret->n = 0;
	ret->ends = hello_missed(model, c);
	if (ret->ends)
		return;
	if (!n)
		n = choose(model, client, false, ids, &held);
	if (!n && held && !c->unread)
		n = choose(model, client, true, ids, &held);
	c->blocked = ret->blocked = (!n && held) || (n && c->unread == model->room);
	if (!n || c->blocked)
		return;

	ret->opcode = c->n_cancelled ? PROTO_CANCELLED : PROTO_WAKE;
	ret->n = n;
	if (c->n_cancelled)
		memcpy(ret->cancelled, c->cancelled, n * sizeof(c->cancelled[0]));
	else
		for (uint32_t i = 0; i < n; i++)
			wake(model, ids[i], &ret->wakes[i]);
	c->n_cancelled = 0;
	c->unread += c->stalled;
}

struct model_tally *model_tally(struct model *model, uint32_t uid)
{
	struct model_tally *tally = model->tallies;

	while (tally->used && tally->uid != uid)
		tally++;
	assert(tally < model->tallies + MODEL_USERS);
	tally->used = true;
	tally->uid = uid;
	return tally;
}

static wide next_of(const struct model *model, uint32_t clock, int64_t uid, bool with_blocked)
{
	wide next = MODEL_NEVER;

	for (uint32_t i = 0; i < model->n_timers; i++) {
		const struct model_timer *timer = &model->timers[i];
		const struct model_client *c = &model->clients[timer->client];
		wide last = model_sum(timer->due, timer->slack);

		if (timer->clock == clock && (with_blocked || !c->blocked) && last < next &&
			(uid == MODEL_ANYBODY || c->uid == uid))
			next = last;
	}
	return next;
}

uint64_t model_next_of_clients(const struct model *model, uint32_t clock, int64_t uid)
{
	return (uint64_t)next_of(model, clock, uid, true);
}

uint64_t model_next(const struct model *model, uint32_t clock)
{
	wide next = next_of(model, clock, MODEL_ANYBODY, false);

	for (uint32_t i = 0; clock == CLOCK_OF_MONOTONIC && i < MODEL_CLIENTS; i++) {
		const struct model_client *c = &model->clients[i];

		if (c->open && !c->greeted && c->hello_due + PROTO_HELLO_TIMEOUT_US / 4 < next)
			next = c->hello_due + PROTO_HELLO_TIMEOUT_US / 4;
	}
	return (uint64_t)next;
}
