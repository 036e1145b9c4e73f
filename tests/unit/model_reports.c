/* SPDX-License-Identifier: MIT */
/* What the worker says in listings and statuses, against the model. */
#include "model_run.h"

#include <string.h>

static int64_t signed_span(wide due, uint64_t now)
{
	wide distance = due > now ? due - now : now - due;
	int64_t span = distance > INT64_MAX ? INT64_MAX : (int64_t)distance;

	return due > now ? span : -span;
}

static void check_listed(struct run *run, const struct proto_listed *listed, uint32_t reader)
{
	const struct model_timer *timer = model_find(run->model, listed->id);
	const struct model_client *owner;

	CHECK(run, timer);
	owner = &run->model->clients[timer->client];
	CHECK(run, listed->cookie == (timer->client == reader ? timer->cookie : 0));
	CHECK(run, listed->due == timer->due);
	CHECK(run,
		listed->left ==
			signed_span(timer->due, timers_now(&run->world->now, timer->clock)));
	CHECK(run,
		listed->slack ==
			(model_sum(timer->due, timer->slack) < MODEL_NEVER ? timer->slack
									   : MODEL_NEVER));
	CHECK(run, listed->every == timer->every);
	CHECK(run, listed->fired == timer->sent && listed->count == timer->until);
	CHECK(run, listed->uid == owner->uid && listed->pid == owner->uid + 1000);
	CHECK(run, listed->flags == (timer->clock >= PROTO_CLOCKS ? PROTO_WAKE_SYSTEM : 0));
	CHECK(run,
		listed->clock ==
			(timer->clock < PROTO_CLOCKS ? timer->clock
						     : timer->clock - CLOCK_OF_BOOTTIME_ALARM +
						CLOCK_OF_BOOTTIME));
	CHECK(run, memcmp(listed->label, timer->label, sizeof(timer->label)) == 0);
	CHECK(run, strcmp(listed->comm, "client") == 0);
}

void model_run_lists(struct run *run, uint32_t client)
{
	const struct model_client *c = &run->model->clients[client];
	bool all = c->uid == 0 && dice_below(&run->dice, 2);
	struct proto_listed listed[MODEL_TIMERS];
	size_t wanted = 0,
	       n = world_list(
		       run->world, c->session, all ? PROTO_LIST_ALL : 0, listed, MODEL_TIMERS);

	for (uint32_t i = 0; i < run->model->n_timers; i++)
		if (all || run->model->clients[run->model->timers[i].client].uid == c->uid)
			wanted++;
	CHECK(run, n == wanted);
	for (size_t i = 0; i < n; i++) {
		check_listed(run, &listed[i], client);
		/* In the order of slots: no timer comes twice. */
		CHECK(run,
			!i ||
				(listed[i - 1].id & ARENA_TIMERS_MAX) <
					(listed[i].id & ARENA_TIMERS_MAX));
	}
}

/* A user other than root sees its own figures, and the lateness of the service. */
static void check_own_status(
	struct run *run, uint32_t uid, const struct proto_status_answer *status)
{
	const struct model_tally *tally = model_tally(run->model, uid);

	CHECK(run, status->clients == model_count_clients(run->model, uid));
	CHECK(run, status->timers == model_held(run->model, uid));
	CHECK(run, status->registered == tally->registered);
	CHECK(run, status->woken == tally->woken);
	CHECK(run, status->wakeups <= tally->woken);
	CHECK(run, status->cancelled == tally->cancelled);
	CHECK(run, status->refused == tally->refused);
}

static void check_whole_status(struct run *run, const struct proto_status_answer *status)
{
	const struct model *model = run->model;

	CHECK(run, status->clients == model_count_clients(model, MODEL_ANYBODY));
	CHECK(run, status->timers == model_held(model, MODEL_ANYBODY));
	CHECK(run, status->registered == model->registered);
	CHECK(run, status->woken == model->woken);
	CHECK(run, status->cancelled == model->cancelled);
	CHECK(run, status->refused == model->refused);
}

void model_run_asks_status(struct run *run, uint32_t client)
{
	const struct model *model = run->model;
	uint32_t uid = model->clients[client].uid;
	struct proto_status_answer status = world_status(
		run->world, model->clients[client].session);
	uint64_t next = UINT64_MAX;

	CHECK(run, status.uptime == model->now.at[PROTO_CLOCK_BOOTTIME] - WORLD_BOOTTIME);
	if (uid)
		check_own_status(run, uid, &status);
	else
		check_whole_status(run, &status);
	if (run->unfinished)
		return;
	for (uint32_t clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint64_t at = model_next_of_clients(
			model, clock, uid ? (int64_t)uid : MODEL_ANYBODY);
		uint64_t now = timers_now(&model->now, clock);
		uint64_t left = at > now ? at - now : 0;

		if (at != UINT64_MAX && left < next)
			next = left;
	}
	CHECK(run, status.next == next);
}
