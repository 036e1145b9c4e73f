/* SPDX-License-Identifier: MIT */
/*
 * The exercise does not know which timers there should be. It checks what must never happen.
 */
#include "exercise.h"

#include <string.h>

#include "invariants.h"

#define RECORDS_MAX 6

/* How many bytes of the two long sections, the answer and the re-armed timers, are ever used. */
#define LONG_USED 8192

/* More packets than the work of any turn needs. */
#define PACKETS_MAX 1000

void exercise_init(struct exercise *e, uint64_t seed)
{
	e->config = (struct worker_config){
		.limits = {.max_timers = 24,
			.max_timers_per_user = 20,
			.max_clients = 6,
			.max_clients_per_user = 5},
		.room_timers = 32,
		.room_clients = 6,
		.can_wake_system = true,
		.pid = 1,
		.instance = 1,
		.version = "exercise",
	};
	e->now = (struct now){{100000000, 150000000, 1800000000000000}};
	e->dice = (struct dice){seed};
}

size_t exercise_size(const struct exercise *e)
{
	return worker_size(&e->config);
}

void exercise_clear(const struct exercise *e, void *block)
{
	uint8_t *bytes = block, *answer, *rearmed, *nodes;
	struct arena arena;

	arena_view(&arena, block, e->config.room_timers, e->config.room_clients);
	answer = arena.answer;
	rearmed = (uint8_t *)arena.rearmed;
	nodes = (uint8_t *)arena.nodes;
	memset(bytes, 0, (size_t)(answer + LONG_USED - bytes));
	memset(rearmed, 0, LONG_USED);
	memset(nodes, 0, exercise_size(e) - (size_t)(nodes - bytes));
}

static void pass(struct exercise *e, uint64_t us)
{
	for (unsigned int clock = 0; clock < PROTO_CLOCKS; clock++)
		e->now.at[clock] += us;
}

bool exercise_handle(struct exercise *e, uint32_t session, const void *packet, size_t size)
{
	const void *answer;
	bool end;
	size_t n = worker_handle(&e->worker, session, packet, size, &e->now, &answer, &end);

	if (end)
		worker_disconnect(&e->worker, session);
	else if (n)
		worker_answered(&e->worker);
	return end;
}

static uint64_t serial_of(const struct exercise *e, uint32_t session)
{
	return e->worker.arena.sessions[session].serial + 1;
}

static void connect(struct exercise *e, uint32_t uid)
{
	struct peer peer = {uid, 7, dice_any(&e->dice), "exercise", {0}};
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	struct codec_writer writer;
	uint8_t bytes[64];
	uint32_t session;

	if (worker_connect(&e->worker, &peer, &e->now, &session) || dice_once_in(&e->dice, 6))
		return;
	codec_begin(&writer, bytes, PROTO_HELLO, 1);
	codec_put(&writer, &hello, sizeof(hello));
	exercise_handle(e, session, bytes, codec_end(&writer, 0));
}

static void request_register(struct exercise *e, uint32_t session)
{
	struct dice *dice = &e->dice;
	uint8_t bytes[1024];
	struct codec_writer writer;

	codec_begin(&writer, bytes, PROTO_REGISTER, serial_of(e, session));
	for (uint64_t n = 1 + dice_below(dice, RECORDS_MAX); n--;) {
		struct proto_register r = {
			.cookie = dice_any(dice),
			.due = dice_below(dice, 10000000),
			.slack = dice_once_in(dice, 2) ? dice_below(dice, 1000000) : 0,
			.every = dice_once_in(dice, 2) ? 1 + dice_below(dice, 3000000) : 0,
			.clock = (uint8_t)dice_below(dice, PROTO_CLOCKS),
			.flags = PROTO_RELATIVE,
		};

		if (r.clock != PROTO_CLOCK_MONOTONIC && dice_once_in(dice, 4))
			r.flags |= PROTO_WAKE_SYSTEM;
		if (dice_once_in(dice, 3))
			memset(r.label, 'x', (size_t)dice_below(dice, sizeof(r.label) + 1));
		codec_put(&writer, &r, sizeof(r));
	}
	exercise_handle(e, session, bytes, codec_end(&writer, 0));
}

/* An id: mostly of a live timer. */
static uint64_t some_id(struct exercise *e)
{
	const struct arena *arena = &e->worker.arena;
	uint32_t timer = (uint32_t)dice_below(&e->dice, arena->header->timers_top + 1);

	return dice_once_in(&e->dice, 10) ? dice_any(&e->dice) : timers_id(arena, timer);
}

static void request_cancel(struct exercise *e, uint32_t session)
{
	struct codec_writer writer;
	uint8_t bytes[256];

	codec_begin(&writer, bytes, PROTO_CANCEL, serial_of(e, session));
	for (uint64_t n = 1 + dice_below(&e->dice, 3); n--;)
		codec_put(&writer, &(struct proto_cancel){some_id(e)}, sizeof(struct proto_cancel));
	exercise_handle(e, session, bytes, codec_end(&writer, 0));
}

static void request_rearm(struct exercise *e, uint32_t session)
{
	struct codec_writer writer;
	uint8_t bytes[512];

	codec_begin(&writer, bytes, PROTO_REARM, serial_of(e, session));
	for (uint64_t n = 1 + dice_below(&e->dice, RECORDS_MAX); n--;)
		codec_put(&writer,
			&(struct proto_rearm){
				.id = some_id(e),
				.due = dice_below(&e->dice, 5000000),
				.every = dice_below(&e->dice, 2) * 700000,
				.flags = PROTO_RELATIVE,
			},
			sizeof(struct proto_rearm));
	exercise_handle(e, session, bytes, codec_end(&writer, 0));
}

static void request_other(struct exercise *e, uint32_t session)
{
	struct codec_writer writer;
	uint8_t bytes[64];

	if (dice_once_in(&e->dice, 2)) {
		codec_begin(&writer, bytes, PROTO_STATUS, serial_of(e, session));
	} else {
		codec_begin(&writer, bytes, PROTO_LIST, serial_of(e, session));
		codec_put(&writer, &(struct proto_list){0}, sizeof(struct proto_list));
	}
	exercise_handle(e, session, bytes, codec_end(&writer, 0));
}

static void request(struct exercise *e)
{
	const struct arena *arena = &e->worker.arena;
	uint32_t session = 2 + (uint32_t)dice_below(&e->dice, arena->header->max_clients);

	if (session > arena->header->sessions_top || arena->sessions[session].state != SESSION_OPEN)
		return;
	switch (dice_below(&e->dice, 6)) {
	case 0:
		request_cancel(e, session);
		break;
	case 1:
		request_rearm(e, session);
		break;
	case 2:
		request_other(e, session);
		break;
	default:
		request_register(e, session);
	}
}

static int outlet_send(void *user, uint32_t session, const void *packet, size_t size)
{
	(void)user, (void)session, (void)packet, (void)size;
	return 0;
}

static bool outlet_has_read_all(void *user, uint32_t session)
{
	(void)user, (void)session;
	return true;
}

static void outlet_close(void *user, uint32_t session, const void *packet, size_t size)
{
	struct exercise *e = user;

	(void)packet, (void)size;
	worker_disconnect(&e->worker, session);
}

static void serve(struct exercise *e)
{
	static _Alignas(8) uint8_t packet[PROTO_PACKET_MAX];
	const struct worker_outlet outlet = {
		.user = e,
		.packet = packet,
		.send = outlet_send,
		.has_read_all = outlet_has_read_all,
		.close = outlet_close,
	};

	worker_serve(&e->worker, &e->now, &outlet);
}

const char *exercise_turn(struct exercise *e)
{
	uint32_t packets = 0;
	bool more = true;

	while (more || worker_busy(&e->worker)) {
		more = worker_tick(&e->worker, &e->now);
		serve(e);
		if (packets++ > PACKETS_MAX)
			return "there is no end of what is due";
	}
	worker_take_internal(&e->worker);
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		if (worker_next(&e->worker, clock) <= timers_now(&e->now, clock))
			return "an alarm is set to what has passed";
	return invariants_check(&e->worker.arena);
}

void exercise_fill(struct exercise *e, void *block)
{
	worker_init(&e->worker, block, &e->config, &e->now);
	worker_start_internal(&e->worker, WORKER_WATCHDOG, 1000000, 1000000, &e->now);
	for (uint32_t i = 0; i < EXERCISE_SESSIONS; i++)
		connect(e, i % 2 ? EXERCISE_UID : 0);
	for (uint32_t i = 0; i < 12; i++) {
		pass(e, dice_below(&e->dice, 300000));
		request(e);
		if (dice_once_in(&e->dice, 3))
			exercise_turn(e);
	}
}

const char *exercise_adopt(struct exercise *e, void *block, bool *ret_fits)
{
	const void *answer;
	uint32_t session;

	*ret_fits = worker_adopt(&e->worker, block, &e->config, &e->now);
	if (!*ret_fits)
		return NULL;
	worker_adopted(&e->worker);
	if (worker_unsent_answer(&e->worker, &session, &answer) &&
		e->worker.arena.sessions[session].state != SESSION_OPEN)
		return "an answer was left for nobody";
	worker_answered(&e->worker);
	return invariants_check(&e->worker.arena);
}

static void resume(struct exercise *e)
{
	const struct arena *arena = &e->worker.arena;

	for (uint32_t i = ARENA_OWN_SESSION + 1; i <= arena->header->sessions_top; i++) {
		if (arena->sessions[i].state == SESSION_FREE)
			continue;
		if (dice_once_in(&e->dice, 4))
			worker_disconnect(&e->worker, i);
		else
			worker_resume(&e->worker, i);
	}
	worker_start_internal(&e->worker, WORKER_WATCHDOG, 1000000, 1000000, &e->now);
}

const char *exercise_serve(struct exercise *e)
{
	const struct arena *arena = &e->worker.arena;
	const char *fault;

	resume(e);
	fault = invariants_check(arena);
	for (uint32_t i = 0; i < 12 && !fault; i++) {
		pass(e, dice_below(&e->dice, 2000000));
		if (dice_once_in(&e->dice, 3))
			connect(e, dice_once_in(&e->dice, 2) ? EXERCISE_UID : 0);
		request(e);
		fault = invariants_check(arena);
		if (!fault)
			fault = exercise_turn(e);
	}
	for (uint32_t i = ARENA_OWN_SESSION + 1; i <= arena->header->sessions_top && !fault; i++)
		if (arena->sessions[i].state != SESSION_FREE) {
			worker_disconnect(&e->worker, i);
			fault = invariants_check(arena);
		}
	if (!fault && (arena->header->timers || arena->header->clients))
		fault = "something is left when all have gone";
	return fault;
}
