/* SPDX-License-Identifier: MIT */
/*
 * Steps, clocks, and the end of a world.
 */
#include "world.h"

#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "invariants.h"

/* The current world, for the hook, which has no argument. */
static struct world *current;

/* See world_watch(). */
static struct world_place nowhere, *place = &nowhere;

void arena_write_hook(void);

void arena_write_hook(void)
{
	if (current)
		world_point(current);
}

void world_point(struct world *w)
{
	struct dice chance;
	bool chosen;

	w->counts.stores++;
	w->step_stores++;
	if (w->kill_in && --w->kill_in == 0)
		longjmp(w->killed, 1);
	if (!w->branch_every || w->is_copy)
		return;
	chance.state = (w->seed * 31 + w->step) * 8191 + w->step_stores;
	chosen = dice_once_in(&chance, w->branch_every);
	if (w->branch_only ? w->branch_only != w->step_stores : !chosen)
		return;
	place->store = w->step_stores;
	kill_branch(w, dice_any(&chance));
	place->store = 0;
	current = w;
}

void world_say(const struct world *w, const char *format, ...)
{
	va_list arguments;

	if (!w->trace)
		return;
	printf("%s%6" PRIu64 " ", w->is_copy ? "  copy " : "", w->step);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	putchar('\n');
}

void world_fail(const struct world *w, const char *fault)
{
	if (w->is_copy)
		printf("killed at step %" PRIu64 ", store %" PRIu64 "; going on from there, ",
			w->copied_step, w->copied_store);
	place->fault = fault;
	printf("at step %" PRIu64 ": %s\n", w->step, fault);
	fflush(stdout);
	_exit(1);
}

void world_watch(struct world_place *watched)
{
	place = watched;
}

void world_init(struct world *w, uint64_t seed, bool small)
{
	struct dice dice = {seed};
	/* A crowd: the users take all slots except those that are reserved for root. */
	bool crowded = !small && dice_once_in(&dice, 8);

	memset(w, 0, sizeof(*w));
	w->clients_count = crowded ? WORLD_CLIENTS_MAX
		: small		   ? 4
				   : 4 + (uint32_t)dice_below(&dice, WORLD_CLIENTS_MAX - 7);
	w->config = (struct worker_config){
		.limits =
			{
				.max_timers = small ? 24 : 20 + (uint32_t)dice_below(&dice, 80),
				.max_timers_per_user = small ? 16
							     : 8 + (uint32_t)dice_below(&dice, 40),
				.max_clients = crowded ? 16
					: small	       ? 5
						       : 6 + (uint32_t)dice_below(&dice, 14),
				.max_clients_per_user = crowded
					? 5
					: 2 + (uint32_t)dice_below(&dice, 4),
			},
		.can_wake_system = dice_below(&dice, 3),
		.pid = 1,
		.instance = dice_any(&dice),
		.version = "sim",
	};
	w->now.at[PROTO_CLOCK_MONOTONIC] = UINT64_C(100000000);
	w->now.at[PROTO_CLOCK_BOOTTIME] = UINT64_C(150000000);
	w->now.at[PROTO_CLOCK_REALTIME] = UINT64_C(1800000000000000);
	w->seed = seed;
	for (uint32_t i = 0; i < w->clients_count; i++) {
		w->clients[i].uid = i % 4 ? 1000 + i % 4 : 0;
		w->clients[i].pid = 100 + i;
	}
	w->worker = calloc(1, sizeof(*w->worker));
	w->block_size = worker_size(&w->config);
	w->block = aligned_alloc(4096, w->block_size);
	if (!w->worker || !w->block)
		abort();
	memset(w->block, 0, w->block_size);
	model_init(&w->model, &w->config, w->counts.events, &w->now);
	current = NULL; /* nothing can be adopted yet */
	shell_start(w);
	current = w;
}

void world_destroy(struct world *w)
{
	for (uint32_t i = 0; i < WORLD_CLIENTS_MAX; i++)
		client_die(w, &w->clients[i]);
	for (uint32_t i = 0; i < WORLD_SOCKETS_MAX; i++) {
		queue_clear(&w->sockets[i].up);
		queue_clear(&w->sockets[i].down);
	}
	packet_unref(w->errand.packet);
	free(w->block);
	free(w->worker);
	if (current == w)
		current = NULL;
}

static const struct {
	const char *name;
	uint32_t weight;
} kinds[STEPS] = {
	[STEP_TURN] = {"turn", 300},
	[STEP_ASK] = {"ask", 250},
	[STEP_READ] = {"read", 220},
	[STEP_TIME] = {"time", 130},
	[STEP_CALM] = {"calm", 10},
	[STEP_QUIET] = {"quiet", 2},
	[STEP_CONNECT] = {"connect", 60},
	[STEP_STALL] = {"stall", 10},
	[STEP_DIE] = {"die", 6},
	[STEP_SET_CLOCK] = {"set-clock", 10},
	[STEP_SUSPEND] = {"suspend", 10},
	[STEP_MISBEHAVE] = {"misbehave", 3},
	[STEP_KILL] = {"kill", 15},
};

const char *world_step_name(unsigned int kind)
{
	return kinds[kind].name;
}

struct step world_step_of(uint64_t seed, uint64_t number)
{
	struct dice dice = {seed * UINT64_C(0x9e3779b97f4a7c15) + number};
	uint64_t at, all = 0;
	uint8_t kind = 0;

	for (unsigned int i = 0; i < STEPS; i++)
		all += kinds[i].weight;
	at = dice_below(&dice, all);
	while (at >= kinds[kind].weight)
		at -= kinds[kind++].weight;
	return (struct step){kind, dice_any(&dice)};
}

void world_pass(struct world *w, uint64_t us, bool suspended)
{
	w->counts.simulated_us += us;
	for (unsigned int clock = 0; clock < PROTO_CLOCKS; clock++)
		if (!suspended || clock != PROTO_CLOCK_MONOTONIC)
			w->now.at[clock] += us;
}

/* The time until the first alarm of this or a later clock. */
static uint64_t next_from(const struct world *w, unsigned int clock)
{
	uint64_t next = TIMERS_FOREVER;

	for (; clock < ARENA_CLOCKS; clock++) {
		uint64_t at = worker_next(w->worker, clock), now = timers_now(&w->now, clock);
		uint64_t left = at > now ? at - now : 0;

		if (at != TIMERS_FOREVER && left < next)
			next = left;
	}
	return next;
}

uint64_t world_next_alarm(const struct world *w)
{
	return next_from(w, 0);
}

static void ring(struct world *w)
{
	w->counts.rings++;
	world_happened(w, EVENT_RING);
	worker_rang(w->worker);
	w->model.counts.wakeups++;
}

void world_ring(struct world *w, uint64_t us)
{
	world_pass(w, us, false);
	ring(w);
}

/* Only alarms that wake the system end the suspend early. */
static void step_suspend(struct world *w, struct dice *dice)
{
	uint64_t us = dice_below(dice, UINT64_C(5000000));
	uint64_t next = next_from(w, CLOCK_OF_BOOTTIME_ALARM);
	bool woken = next <= us;

	world_say(w, "%" PRIu64 " us asleep%s", woken ? next : us, woken ? ", and woken" : "");
	world_happened(w, woken ? EVENT_SUSPENDED_WOKEN : EVENT_SUSPENDED);
	world_pass(w, woken ? next : us, true);
	if (woken)
		ring(w);
}

/* A span that ends at or next to a whole number of periods after the due of some timer. Return:
 * `us` if that is too far. */
static uint64_t to_a_boundary(const struct world *w, struct dice *dice, uint64_t us)
{
	const struct model_timer *t = &w->model.timers[dice_below(dice, w->model.count + 1)];
	uint64_t now = timers_now(&w->now, t->clock), at;

	if (t == &w->model.timers[w->model.count] || t->every > UINT64_C(60000000))
		return us;
	at = t->due + dice_below(dice, 4) * t->every + dice_below(dice, 3) - 1;
	return at >= now && at - now < UINT64_C(60000000) ? at - now : us;
}

static void step_time(struct world *w, struct dice *dice)
{
	uint64_t next = world_next_alarm(w), us = dice_below(dice, UINT64_C(1500000));

	switch (dice_below(dice, 5)) {
	case 0:
		us = dice_below(dice, 3);
		break;
	case 1:
	case 2:
		us = next < UINT64_C(60000000) ? next : us;
		break;
	case 3:
		us = to_a_boundary(w, dice, us);
		break;
	}
	world_say(w, "%" PRIu64 " us pass", us);
	if (us >= next)
		world_ring(w, us);
	else
		world_pass(w, us, false);
}

static void step_set_clock(struct world *w, struct dice *dice)
{
	uint64_t *at = &w->now.at[PROTO_CLOCK_REALTIME], was = *at;
	bool by_years = dice_once_in(dice, 8);
	uint64_t most = by_years ? UINT64_C(1600000000000000) : UINT64_C(10000000);

	*at += dice_below(dice, 2 * most);
	*at = *at > most ? *at - most : 0;
	world_say(w, "the clock is set %s %" PRIu64 " us", *at < was ? "back by" : "forward by",
		*at < was ? was - *at : *at - was);
	w->clock_set = true;
	world_happened(w, *at < was ? EVENT_SET_BACK : EVENT_SET_FORWARD);
	if (by_years)
		world_happened(w, EVENT_SET_BY_YEARS);
}

void world_calm(struct world *w)
{
	struct dice dice = {1};
	bool busy = true;

	for (uint32_t i = 0; busy; i++) {
		shell_turn(w, &dice);
		busy = false;
		for (uint32_t k = 0; k < w->clients_count; k++) {
			struct client *client = &w->clients[k];

			while (!client->stalled && client_read(w, client))
				busy = true;
		}
		busy |= shell_has_work(w);
		if (i > 1000)
			world_fail(w, "there is no end to it");
	}
}

/* In a crowd all clients connect at once. */
static void connect_some(struct world *w, struct client *client, struct dice *dice)
{
	uint32_t first = (uint32_t)(client - w->clients), n = w->clients_count;

	for (uint32_t i = 0; i < (n == WORLD_CLIENTS_MAX ? n : 1); i++)
		client_connect(w, &w->clients[(first + i) % n], dice);
}

static void do_step(struct world *w, const struct step *step)
{
	struct dice dice = {step->seed};
	struct client *client = &w->clients[dice_below(&dice, w->clients_count)];

	switch (step->kind) {
	case STEP_TURN:
		shell_turn(w, &dice);
		break;
	case STEP_ASK:
		client_ask(w, client, &dice);
		break;
	case STEP_READ:
		for (uint64_t n = 1 + dice_below(&dice, 4); n-- && !client->stalled;)
			client_read(w, client);
		break;
	case STEP_TIME:
		step_time(w, &dice);
		break;
	case STEP_CALM:
		world_calm(w);
		break;
	case STEP_QUIET:
		quiet_time(w, &dice);
		break;
	case STEP_CONNECT:
		connect_some(w, client, &dice);
		break;
	case STEP_STALL:
		client->stalled = !client->stalled;
		world_happened(w, client->stalled ? EVENT_STALLED : EVENT_READS_AGAIN);
		break;
	case STEP_DIE:
		client_die(w, client);
		break;
	case STEP_SET_CLOCK:
		step_set_clock(w, &dice);
		break;
	case STEP_SUSPEND:
		step_suspend(w, &dice);
		break;
	case STEP_MISBEHAVE:
		client_misbehave(w, client, &dice);
		break;
	case STEP_KILL:
		if (!w->kill_in && (w->is_copy || !w->branch_kills))
			w->kill_in = 1 + dice_below(&dice, dice_once_in(&dice, 2) ? 20 : 300);
		break;
	}
}

/* The daemon was killed. Starts it again until one adoption is not interrupted by a kill. */
static void revive(struct world *w)
{
	w->counts.kills++;
	w->adoptions++;
	world_happened(w, EVENT_KILLED);
	world_say(w, "killed");
	if (setjmp(w->killed)) {
		w->counts.kills++;
		w->adoptions++;
		world_happened(w, EVENT_KILLED_ADOPTING);
		world_say(w, "killed while it adopts");
	}
	if (w->counts.stores % 8 == 0)
		w->kill_in = 1 + w->counts.stores / 8 % 200;
	shell_adopt(w);
}

static void check(struct world *w)
{
	const char *fault = invariants_check(&w->worker->arena);

	if (!fault)
		fault = model_compare(&w->model, &w->worker->arena);
	if (fault)
		world_fail(w, fault);
}

void world_step(struct world *w, uint64_t seed, uint64_t number)
{
	struct step step = world_step_of(seed, number);

	current = w;
	w->step = number;
	w->step_stores = 0;
	w->counts.steps++;
	if (!w->is_copy)
		place->step = number;
	world_say(w, "%s", world_step_name(step.kind));
	if (setjmp(w->killed))
		revive(w);
	else
		do_step(w, &step);
	check(w);
}

void world_kill(struct world *w)
{
	current = w;
	revive(w);
	check(w);
}

/* Like a step. It continues after a kill until all is done. */
static void calm_through(struct world *w)
{
	current = w;
	if (setjmp(w->killed))
		revive(w);
	w->kill_in = 0;
	world_calm(w);
	check(w);
}

void world_settle(struct world *w)
{
	struct now since;

	for (uint32_t i = 0; i < w->clients_count; i++)
		w->clients[i].stalled = false;
	calm_through(w);
	since = w->now;
	for (int i = 0; i < 4; i++) {
		since = w->now;
		world_pass(w, UINT64_C(3000000) << i, false);
		calm_through(w);
	}
	for (uint32_t i = 0; i < w->clients_count; i++)
		client_check_settled(w, &w->clients[i], &since);
}

void world_end(struct world *w)
{
	for (uint32_t i = 0; i < w->clients_count; i++)
		client_die(w, &w->clients[i]);
	calm_through(w);
	if (w->worker->arena.header->timers || w->worker->arena.header->clients)
		world_fail(w, "something is left when all have gone");
}
