/* SPDX-License-Identifier: MIT */
/*
 * The worker and the model take the same million random steps under virtual time. Several users
 * with several sessions register, cancel, re-arm, list, stop reading, read and disconnect. Time
 * passes, the wall clock is set, the machine sleeps. After each step the worker must agree with the
 * model: each answer, each field of each packet of wakes, the next alarm of each clock, the lists,
 * the counters.
 *
 * Most instants and spans are small numbers, so that dues are often equal. A few are at the edge of
 * their range.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "chance.h"
#include "model_run.h"

#define STEPS 300000 /* of each run; TIMERD_TEST_STEPS replaces it */
#define BATCH 8
#define MANY  64

static uint64_t below(struct run *run, uint64_t n)
{
	return dice_below(&run->dice, n);
}

static bool once_in(struct run *run, uint64_t n)
{
	return dice_once_in(&run->dice, n);
}

static void forget(struct run *run, uint64_t id)
{
	run->stale[below(run, STALE)] = id;
}

/* A random client that has said hello; MODEL_CLIENTS: none was found. */
static uint32_t some_client(struct run *run)
{
	uint32_t client = (uint32_t)below(run, MODEL_CLIENTS);

	for (uint32_t i = 0; i < MODEL_CLIENTS; i++, client = (client + 1) % MODEL_CLIENTS)
		if (run->model->clients[client].open && run->model->clients[client].greeted)
			return client;
	return MODEL_CLIENTS;
}

/* An id: mostly of a live timer, else of one that has ended or never existed. */
static uint64_t some_id(struct run *run)
{
	uint64_t id = run->stale[below(run, STALE)];

	if (run->model->n_timers && !once_in(run, 4))
		id = run->model->timers[below(run, run->model->n_timers)].id;
	if (once_in(run, 20))
		id ^= UINT64_C(1) << below(run, 64);
	return id;
}

/* Mostly a few timers of any kind. Sometimes many timers that are nearly in order, like timeouts,
 * or a little less so. Return: how many. */
static uint32_t some_registrations(struct run *run, struct proto_register records[static MANY])
{
	bool many = once_in(run, 20);
	uint32_t n = 1 + (uint32_t)below(run, many ? MANY : BATCH);

	for (uint32_t i = 0; i < n; i++) {
		records[i] = chance_register(&run->dice, &run->world->now);
		if (many && !once_in(run, 10)) {
			records[i].clock = records[0].clock;
			records[i].flags = records[0].flags;
			records[i].due = records[0].due + i + below(run, 40);
		}
	}
	return n;
}

static void do_register(struct run *run, uint32_t client)
{
	struct proto_register records[MANY];
	uint32_t n = some_registrations(run, records);

	world_request(
		run->world, run->model->clients[client].session, PROTO_REGISTER, records, n, 0);
	for (uint32_t i = 0; i < n; i++) {
		struct proto_registered answer;
		wide due = 0;
		uint64_t refusals = model_refusals(run->model, client, &records[i], &due);

		world_answer(run->world, i, &answer);
		if (refusals) {
			CHECK(run, refusals & MODEL_STATUS(answer.status));
			CHECK(run, answer.id == 0 && answer.due == 0);
			run->model->refused++;
			model_tally(run->model, run->model->clients[client].uid)->refused++;
			run->refusals++;
			continue;
		}
		CHECK(run, answer.status == PROTO_OK);
		CHECK(run, answer.due == due);
		CHECK(run, answer.id && !(answer.id >> PROTO_ID_BITS));
		CHECK(run, !model_find(run->model, answer.id));
		for (int k = 0; k < STALE; k++)
			CHECK(run, run->stale[k] != answer.id);
		model_register(run->model, client, &records[i], due, answer.id);
	}
}

static void do_cancel(struct run *run, uint32_t client)
{
	struct proto_cancel records[BATCH];
	uint32_t n = 1 + (uint32_t)below(run, BATCH);

	for (uint32_t i = 0; i < n; i++)
		records[i].id = some_id(run);
	if (n > 1 && once_in(run, 4))
		records[1] = records[0];
	world_request(run->world, run->model->clients[client].session, PROTO_CANCEL, records, n, 0);
	for (uint32_t i = 0; i < n; i++) {
		struct proto_cancel_answer answer;
		bool cancelled = model_cancel(run->model, client, records[i].id);

		world_answer(run->world, i, &answer);
		CHECK(run, answer.id == records[i].id);
		CHECK(run, answer.status == (cancelled ? PROTO_OK : PROTO_E_NO_SUCH_TIMER));
		if (cancelled)
			forget(run, answer.id);
	}
}

/* The time on the timer's clock. */
static struct proto_rearm some_rearm(struct run *run)
{
	uint64_t id = some_id(run);
	const struct model_timer *timer = model_find(run->model, id);
	uint64_t now = timers_now(&run->world->now, timer ? timer->clock : 0);

	return chance_rearm(&run->dice, id, now);
}

static void do_rearm(struct run *run, uint32_t client)
{
	struct proto_rearm records[BATCH];
	uint32_t n = 1 + (uint32_t)below(run, BATCH);

	for (uint32_t i = 0; i < n; i++)
		records[i] = some_rearm(run);
	world_request(run->world, run->model->clients[client].session, PROTO_REARM, records, n, 0);
	for (uint32_t i = 0; i < n; i++) {
		struct proto_registered answer;
		wide due = 0;
		uint64_t refusals = model_rearm_refusals(run->model, client, &records[i], &due);

		world_answer(run->world, i, &answer);
		if (refusals) {
			CHECK(run, refusals & MODEL_STATUS(answer.status));
			CHECK(run, answer.id == 0 && answer.due == 0);
			continue;
		}
		CHECK(run, answer.status == PROTO_OK);
		CHECK(run, answer.id == records[i].id && answer.due == due);
		model_rearm(run->model, &records[i], due);
	}
}

static void close_client(struct run *run, uint32_t client)
{
	for (uint32_t i = 0; i < run->model->n_timers; i++)
		if (run->model->timers[i].client == client)
			forget(run, run->model->timers[i].id);
	model_close(run->model, client);
}

static void do_connect(struct run *run)
{
	static const uint32_t uids[] = {0, 1000, 1001, 1002, UINT32_MAX - 1};
	uint32_t uid = uids[below(run, sizeof(uids) / sizeof(uids[0]))], session = 0;
	uint32_t client = 0;
	uint64_t refusals = model_client_refusals(run->model, uid);
	enum proto_status status = world_try_connect(run->world, uid, &session);

	if (refusals) {
		CHECK(run, status >= PROTO_E_CLIENTS);
		CHECK(run, refusals & MODEL_STATUS(status - PROTO_E_CLIENTS));
		run->model->refused++;
		model_tally(run->model, uid)->refused++;
		return;
	}
	CHECK(run, status == PROTO_OK);
	while (run->model->clients[client].open)
		client++;
	model_open(run->model, client, uid, session);
	if (once_in(run, 10))
		return; /* it may never have said hello */
	world_hello(run->world, session);
	run->model->clients[client].greeted = true;
}

static void do_disconnect(struct run *run)
{
	uint32_t client = (uint32_t)below(run, MODEL_CLIENTS);

	if (!run->model->clients[client].open)
		return;
	world_disconnect(run->world, run->model->clients[client].session);
	close_client(run, client);
}

static void do_stall_or_read(struct run *run, uint32_t client)
{
	struct model_client *c = &run->model->clients[client];

	if (once_in(run, 3)) {
		c->stalled = run->world->clients[c->session].stalled = !c->stalled;
		if (c->stalled)
			return;
	}
	world_read(run->world, c->session);
	c->unread = 0;
	c->blocked = false;
}

/* How far time goes on: mostly a little, often until the next due or just before it. */
static uint64_t some_while(struct run *run)
{
	const struct model *model = run->model;
	uint64_t what = below(run, 10), at = UINT64_MAX, now;
	uint32_t clock = (uint32_t)below(run, ARENA_CLOCKS);

	if (what < 3)
		at = model_next(model, clock);
	else if (what < 6 && model->n_timers) {
		const struct model_timer *timer = &model->timers[below(run, model->n_timers)];

		clock = timer->clock;
		at = (uint64_t)timer->due;
	}
	now = timers_now(&model->now, clock);
	if (at > now && at - now < 10000)
		return at - now - once_in(run, 3);
	return once_in(run, 400) ? below(run, 3000000) : below(run, 30);
}

static void do_pass(struct run *run)
{
	struct now *now = &run->world->now;
	uint64_t span = some_while(run);

	if (now->at[PROTO_CLOCK_REALTIME] > UINT64_MAX - span)
		now->at[PROTO_CLOCK_REALTIME] = WORLD_REALTIME;
	world_pass(run->world, span);
}

/* Somebody sets the wall clock. */
static void do_set(struct run *run)
{
	uint64_t *wall = &run->world->now.at[PROTO_CLOCK_REALTIME];

	if (once_in(run, 10))
		*wall = chance_edge(&run->dice, 500);
	else if (*wall < WORLD_REALTIME / 2 || *wall > 2 * WORLD_REALTIME)
		*wall = WORLD_REALTIME;
	else
		*wall += below(run, 600) - 300;
}

/* The machine is suspended: monotonic stops. */
static void do_suspend(struct run *run)
{
	uint64_t span = below(run, 300);
	uint64_t *wall = &run->world->now.at[PROTO_CLOCK_REALTIME];

	run->world->now.at[PROTO_CLOCK_BOOTTIME] += span;
	*wall = *wall > UINT64_MAX - span ? WORLD_REALTIME : *wall + span;
}

static uint32_t client_of(const struct run *run, uint32_t session)
{
	for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
		if (run->model->clients[i].open && run->model->clients[i].session == session)
			return i;
	fail_msg("step %" PRIu64 ": session %u has no client", run->step, session);
	return 0;
}

/* The packet must be the expected one: kind, number of records, order and each field. */
static void check_packet(struct run *run, const struct model_packet *packet)
{
	const struct world_event *events = run->world->events;

	CHECK(run, run->world->n_events == packet->n);
	for (uint32_t i = 0; i < packet->n; i++) {
		CHECK(run, events[i].opcode == packet->opcode);
		if (packet->opcode == PROTO_CANCELLED) {
			CHECK(run, events[i].cancelled.id == packet->cancelled[i].id);
			CHECK(run, events[i].cancelled.cookie == packet->cancelled[i].cookie);
			run->cancellations++;
			continue;
		}
		CHECK(run, events[i].wake.id == packet->wakes[i].id);
		CHECK(run, events[i].wake.due == packet->wakes[i].due);
		CHECK(run, memcmp(&events[i].wake, &packet->wakes[i], sizeof(events[i].wake)) == 0);
		if (packet->wakes[i].flags & PROTO_WAKE_LAST)
			forget(run, packet->wakes[i].id);
		run->wakes++;
	}
}

/* Return: whether a session was served. */
static bool serve_one(struct run *run)
{
	struct world_served served;
	struct model_packet packet;
	uint32_t client;

	world_forget(run->world);
	served = world_serve(run->world);
	if (!served.session)
		return false;
	client = client_of(run, served.session);
	model_serve(run->model, client, &packet);
	CHECK(run, served.blocked == packet.blocked);
	CHECK(run, served.sent == (packet.opcode || packet.ends));
	run->holds += served.blocked;
	if (packet.ends) {
		CHECK(run, served.closed && run->world->n_events == 1);
		CHECK(run, run->world->events[0].error.status == PROTO_E_HELLO_TIMEOUT);
		run->timeouts++;
		close_client(run, client);
		return true;
	}
	check_packet(run, &packet);
	return true;
}

/* A turn of the loop. Some end after a few sessions, like a slice that has used its time. */
static void turn(struct run *run)
{
	uint64_t most = once_in(run, 5) ? below(run, 4) : UINT64_MAX;
	bool more = worker_tick(&run->world->worker, &run->world->now);

	CHECK(run, !more); /* the world is smaller than a tick's budget */
	run->unfinished = false;
	while (serve_one(run))
		if (most-- == 0) {
			run->unfinished = worker_busy(&run->world->worker);
			return;
		}
	CHECK(run, !worker_busy(&run->world->worker));
	for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
		if (run->model->clients[i].open && !run->model->clients[i].blocked)
			CHECK(run, !model_due(run->model, i));
	for (uint32_t clock = 0; clock < ARENA_CLOCKS; clock++)
		CHECK(run,
			worker_next(&run->world->worker, clock) == model_next(run->model, clock));
}

static void step_of_client(struct run *run, uint32_t client, uint64_t what)
{
	if (what < 28)
		do_register(run, client);
	else if (what < 40)
		do_cancel(run, client);
	else if (what < 50)
		do_rearm(run, client);
	else if (what < 56)
		do_stall_or_read(run, client);
	else if (what < 58)
		model_run_lists(run, client);
	else
		model_run_asks_status(run, client);
}

static void step(struct run *run)
{
	uint64_t what = below(run, 100);
	uint32_t client = some_client(run);

	if (what < 60 && client < MODEL_CLIENTS)
		step_of_client(run, client, what);
	else if (what < 90)
		do_pass(run);
	else if (what < 93)
		do_set(run);
	else if (what < 95)
		do_suspend(run);
	else if (what < 99 || below(run, 2))
		do_connect(run);
	else
		do_disconnect(run);
	run->model->now = run->world->now;
	run->unfinished = true;
	if (!once_in(run, 4))
		turn(run);
}

/* When all clients have gone, no slot is taken: a client of root can have all of them. */
static void check_end(struct run *run)
{
	struct proto_register r = {.due = UINT64_MAX - 1};
	uint32_t session;

	for (uint32_t i = 0; i < MODEL_CLIENTS; i++)
		if (run->model->clients[i].open)
			world_disconnect(run->world, run->model->clients[i].session);
	session = world_connect(run->world, 0);
	for (uint32_t clock = 0; clock < ARENA_CLOCKS; clock++)
		CHECK(run, worker_next(&run->world->worker, clock) == UINT64_MAX);
	for (uint32_t i = 0; i < run->model->limits.max_timers; i++)
		CHECK(run, world_register(run->world, session, &r).status == PROTO_OK);
	CHECK(run, world_register(run->world, session, &r).status == PROTO_E_TIMERS);
	CHECK(run, world_status(run->world, session).clients == 1);
}

static void model_run(const char *name, uint64_t seed, uint32_t max_timers)
{
	struct limits limits = {
		.max_timers = max_timers,
		.max_timers_per_user = max_timers / 3,
		.max_clients = MODEL_CLIENTS - 4,
		.max_clients_per_user = 6,
	};
	struct run run = {
		.dice = dice_new(name, seed),
		.world = world_new(&limits),
		.model = calloc(1, sizeof(struct model)),
	};

	const char *steps = getenv("TIMERD_TEST_STEPS");
	uint64_t last = steps ? strtoull(steps, NULL, 0) : STEPS;

	assert_non_null(run.model);
	run.model->limits = limits;
	run.model->room = WORLD_ROOM;
	run.model->now = run.world->now;
	while (run.step++ < last)
		step(&run);
	check_end(&run);
	print_message("%s: %" PRIu64 " steps: %" PRIu64 " registered, %" PRIu64 " refused, %" PRIu64
		      " woken, %" PRIu64 " cancelled by others, %" PRIu64 " hellos missed, %" PRIu64
		      " times held back\n",
		name, run.step - 1, run.model->registered, run.refusals, run.wakes,
		run.cancellations, run.timeouts, run.holds);
	/* If one of these never happened, the run has not tested it. */
	assert_true(run.wakes && run.refusals && run.cancellations && run.timeouts && run.holds);
	world_free(run.world);
	free(run.model);
}

static void test_worker_does_what_the_model_says_with_few_timers(void **state)
{
	(void)state;
	model_run("few timers", 11, 12);
}

static void test_worker_does_what_the_model_says_with_some_timers(void **state)
{
	(void)state;
	model_run("some timers", 12, 60);
}

static void test_worker_does_what_the_model_says_with_many_timers(void **state)
{
	(void)state;
	model_run("many timers", 13, MODEL_TIMERS);
}

static void test_worker_does_what_the_model_says_with_many_timers_again(void **state)
{
	(void)state;
	model_run("many timers again", 14, MODEL_TIMERS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_worker_does_what_the_model_says_with_few_timers),
		cmocka_unit_test(test_worker_does_what_the_model_says_with_some_timers),
		cmocka_unit_test(test_worker_does_what_the_model_says_with_many_timers),
		cmocka_unit_test(test_worker_does_what_the_model_says_with_many_timers_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
