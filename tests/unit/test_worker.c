/* SPDX-License-Identifier: MIT */
/*
 * The worker at the level of packets and turns: who may say what when, and what ends a session; the
 * hello that does not come; what a client that does not read is sent, and when; that work comes in
 * slices; that a session goes in one step, whatever it held; and the daemon's own chores.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "errors.h"
#include "wakes.h"
#include "world.h"

#define USER 1000

static int setup(void **state)
{
	struct limits limits = world_limits(20000, 32);

	*state = world_new(&limits);
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

/* A packet of that opcode with a record of zeroes, if it takes one, and any serial. */
static size_t make(struct world *world, enum proto_opcode opcode, uint64_t serial)
{
	static const uint8_t zeroes[256];
	struct codec_writer writer;

	codec_begin(&writer, world->in, opcode, serial);
	if (writer.header.record_size)
		codec_put(&writer, zeroes, writer.header.record_size);
	return codec_end(&writer, 0);
}

static enum proto_status say(
	struct world *world, uint32_t session, enum proto_opcode opcode, uint64_t serial)
{
	return world_packet(world, session, world->in, make(world, opcode, serial));
}

static enum proto_status say_hello(
	struct world *world, uint32_t session, const struct proto_hello *hello)
{
	struct codec_writer writer;

	codec_begin(&writer, world->in, PROTO_HELLO, 1);
	codec_put(&writer, hello, sizeof(*hello));
	return world_packet(world, session, world->in, codec_end(&writer, 0));
}

static const enum proto_opcode requests[] = {
	PROTO_REGISTER, PROTO_CANCEL, PROTO_REARM, PROTO_LIST, PROTO_STATUS};

#define N_REQUESTS (sizeof(requests) / sizeof(requests[0]))

static void test_the_hello_comes_first(void **state)
{
	struct world *world = *state;
	uint32_t witness = world_connect(world, USER), session;
	struct proto_status_answer status;

	for (size_t i = 0; i < N_REQUESTS; i++) {
		assert_int_equal(world_try_connect(world, USER, &session), PROTO_OK);
		assert_int_equal(say(world, session, requests[i], 1), PROTO_E_SEQUENCE);
		world_disconnect(world, session);
	}
	status = world_status(world, witness);
	assert_int_equal(status.registered + status.refused, 0);
	assert_int_equal(status.clients, 1);
}

static void test_the_hello_comes_once(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};

	assert_int_equal(say_hello(world, session, &hello), PROTO_E_SEQUENCE);
	assert_int_equal(say(world, session, PROTO_HELLO, 2), PROTO_E_SEQUENCE);
}

/* The serial of the first request is 1, each further one's is one more. */
static void test_serials(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	static const uint64_t wrong[] = {1, 4, 5, 7, 100, UINT64_MAX};

	for (uint64_t serial = 2; serial <= 5; serial++)
		assert_int_equal(say(world, session, PROTO_STATUS, serial), PROTO_OK);
	assert_int_equal(say(world, session, PROTO_STATUS, 0), PROTO_E_PACKET);
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct proto_error error;

		assert_int_equal(say(world, session, PROTO_REGISTER, wrong[i]), PROTO_E_SEQUENCE);
		codec_get(world->answer_packet, &world->answer, 0, &error, sizeof(error));
		assert_int_equal(error.serial, wrong[i]);
	}
	/* Nothing of it was applied. */
	assert_int_equal(say(world, session, PROTO_STATUS, 6), PROTO_OK);
	world->clients[session].serial = 6;
	assert_int_equal(world_status(world, session).registered, 0);
}

static void test_hellos_that_are_refused(void **state)
{
	static const struct {
		struct proto_hello hello;
		enum proto_status wanted;
	} cases[] = {
		{{PROTO_MAGIC + 1, PROTO_VERSION, 0, 0}, PROTO_E_PACKET},
		{{0, PROTO_VERSION, 0, 0}, PROTO_E_PACKET},
		{{PROTO_MAGIC, PROTO_VERSION, 1, 0}, PROTO_E_PACKET},
		{{PROTO_MAGIC, 0, 0, 0}, PROTO_E_VERSION},
		{{PROTO_MAGIC, PROTO_VERSION, 0, 0}, PROTO_OK},
		{{PROTO_MAGIC, UINT16_MAX, 0, UINT64_MAX}, PROTO_OK},
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t session;

		assert_int_equal(world_try_connect(world, USER, &session), PROTO_OK);
		assert_int_equal(say_hello(world, session, &cases[i].hello), cases[i].wanted);
		world_disconnect(world, session);
	}
}

static void test_the_answer_to_a_hello(void **state)
{
	struct world *world = *state;
	struct proto_hello hello = {PROTO_MAGIC, UINT16_MAX, 0, UINT64_MAX};
	struct proto_hello_answer answer;
	uint32_t session;

	for (int can = 0; can < 2; can++) {
		world->worker.config.can_wake_system = can;
		assert_int_equal(world_try_connect(world, USER, &session), PROTO_OK);
		assert_int_equal(say_hello(world, session, &hello), PROTO_OK);
		world_answer(world, 0, &answer);
		assert_int_equal(answer.magic, PROTO_MAGIC);
		assert_int_equal(answer.version, PROTO_VERSION);
		assert_int_equal(answer.capabilities,
			PROTO_CAN_MATCH | PROTO_CAN_TELL_CLOCK_SET |
				(can ? PROTO_CAN_WAKE_SYSTEM : 0));
		assert_int_equal(answer.instance, 42);
		assert_int_equal(answer.pid, 4711);
		assert_int_equal(answer.reserved | answer.reserved2, 0);
	}
}

/* Malformed ones end the session and change nothing; the codec's tests know all of them. */
static void test_malformed_packets(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);
	size_t size = make(world, PROTO_REGISTER, 2);

	for (size_t length = 0; length < size; length++)
		assert_int_equal(world_packet(world, session, world->in, length), PROTO_E_PACKET);
	assert_int_equal(world_packet(world, session, NULL, 0), PROTO_E_PACKET);
	assert_int_equal(
		world_packet(world, session, world->in, PROTO_PACKET_MAX + 1), PROTO_E_PACKET);
	for (unsigned int opcode = 0; opcode <= 0x110; opcode++) {
		uint16_t little[2] = {(uint16_t)opcode, 0};

		if (opcode >= PROTO_HELLO && opcode <= PROTO_STATUS)
			continue;
		make(world, PROTO_STATUS, 2);
		memcpy(world->in, little, 2);
		assert_int_equal(world_packet(world, session, world->in, 24), PROTO_E_PACKET);
	}
	assert_int_equal(say(world, session, PROTO_STATUS, 2), PROTO_OK);
}

static void test_no_hello_within_5_s(void **state)
{
	struct world *world = *state;
	uint32_t session, witness = world_connect(world, USER);

	assert_int_equal(world_try_connect(world, USER, &session), PROTO_OK);
	world->clients[session].stalled = true; /* it is told even so */
	world_pass(world, PROTO_HELLO_TIMEOUT_US - 1);
	world_turn(world);
	assert_int_equal(world->n_events, 0);
	assert_int_equal(world_status(world, witness).clients, 2);
	world_pass(world, 1);
	world_turn(world);
	assert_int_equal(world->n_events, 1);
	assert_int_equal(world->events[0].session, session);
	assert_int_equal(world->events[0].opcode, PROTO_ERROR);
	assert_int_equal(world->events[0].error.status, PROTO_E_HELLO_TIMEOUT);
	assert_int_equal(world_status(world, witness).clients, 1);
	assert_int_equal(worker_next(&world->worker, 0), TIMERS_FOREVER);
}

/* The alarm that is armed for it rings between 5 s and 6.25 s, and shares others' rings. */
static void test_no_hello_shares_wakeups(void **state)
{
	struct world *world = *state;
	uint32_t session, witness = world_connect(world, USER);
	uint64_t timeout = WORLD_MONOTONIC + PROTO_HELLO_TIMEOUT_US;

	assert_int_equal(world_try_connect(world, USER, &session), PROTO_OK);
	assert_int_equal(worker_next(&world->worker, 0), timeout + PROTO_HELLO_TIMEOUT_US / 4);
	world_timer(world, witness, 0, PROTO_HELLO_TIMEOUT_US + 1000);
	assert_true(world_sleep(world, UINT64_MAX));
	assert_int_equal(world->now.at[0], timeout + 1000);
	assert_int_equal(world->n_events, 2);
	assert_false(world_sleep(world, UINT64_MAX));
}

static void test_a_hello_in_time(void **state)
{
	struct world *world = *state;
	uint32_t session;

	assert_int_equal(world_try_connect(world, USER, &session), PROTO_OK);
	world_pass(world, PROTO_HELLO_TIMEOUT_US - 1);
	world_hello(world, session);
	assert_int_equal(worker_next(&world->worker, 0), TIMERS_FOREVER);
	world_pass(world, PROTO_HELLO_TIMEOUT_US);
	world_turn(world);
	assert_int_equal(world->n_events, 0);
}

/* The next client of the same number is not held to its predecessor's hello. */
static void test_a_client_that_goes_before_its_hello(void **state)
{
	struct world *world = *state;
	uint32_t session, next;

	assert_int_equal(world_try_connect(world, USER, &session), PROTO_OK);
	world_pass(world, PROTO_HELLO_TIMEOUT_US - 1);
	world_disconnect(world, session);
	assert_int_equal(world_try_connect(world, USER, &next), PROTO_OK);
	assert_int_equal(next, session);
	world_pass(world, PROTO_HELLO_TIMEOUT_US - 1);
	world_turn(world);
	assert_int_equal(world->n_events, 0);
	world_pass(world, 1);
	world_turn(world);
	assert_int_equal(world->n_events, 1);
}

/* A wake that is due after so many missed hellos does not wait for all of them to be told. */
static void test_many_hellos_missed_at_once(void **state)
{
	struct limits limits = world_limits(1, 3000);
	struct world *world = world_new(&limits);
	uint32_t session, waiting = world_connect(world, USER), before = 0;

	(void)state;
	for (int i = 0; i < 2900; i++)
		assert_int_equal(world_try_connect(world, USER, &session), PROTO_OK);
	world_timer(world, waiting, 0, PROTO_HELLO_TIMEOUT_US);
	world_pass(world, PROTO_HELLO_TIMEOUT_US);
	world_turn(world);
	assert_int_equal(world->n_events, 2901);
	while (world->events[before].opcode != PROTO_WAKE)
		before++;
	assert_true(before <= 1024);
	assert_int_equal(world_status(world, waiting).clients, 1);
	world_free(world);
}

/* More of the daemon's own at once than one slice takes: the loop turns in between. */
static void test_many_chores_at_once(void **state)
{
	struct limits limits = world_limits(1, 3000);
	struct world *world = world_new(&limits);
	unsigned int turns = 0;

	(void)state;
	for (int i = 0; i < 2500; i++)
		worker_start_chore(&world->worker, WORKER_STORE, 1000, 0, &world->now);
	world_pass(world, 1000);
	do {
		assert_false(worker_tick(&world->worker, &world->now));
		assert_int_equal(world_serve(world).session, 0);
		turns++;
	} while (worker_busy(&world->worker));
	assert_int_equal(turns, 3);
	assert_int_equal(worker_take_chores(&world->worker), WORKER_STORE);
	world_free(world);
}

/* A turn makes so many sessions ready and no more; all have their turn. */
static void test_many_sessions_due_at_once(void **state)
{
	struct limits limits = world_limits(3000, 3000);
	struct world *world = world_new(&limits);
	uint32_t sessions[2900];
	unsigned int ticks = 1;

	(void)state;
	for (int i = 0; i < 2900; i++)
		sessions[i] = world_connect(world, USER);
	for (int i = 0; i < 2900; i++)
		world_timer(world, sessions[i], (uint8_t)(i % PROTO_CLOCKS), 10);
	world_pass(world, 10);
	while (worker_tick(&world->worker, &world->now)) {
		while (world_serve(world).session)
			;
		assert_true(world->n_events < 2900);
		ticks++;
	}
	world_turn(world);
	assert_int_equal(world->n_events, 2900);
	assert_int_equal(ticks, 3);
	world_free(world);
}

/* One with a long backlog gets a packet in its turn, as others do. */
static void test_turns_are_taken(void **state)
{
	struct world *world = *state;
	uint32_t hoarder = world_connect(world, USER), others[10];
	uint32_t most = PROTO_RECORDS_MAX(struct proto_wake), packets = 0;
	struct world_served served;

	for (uint32_t i = 0; i < 10 * most; i++)
		world_timer(world, hoarder, 0, 10);
	for (int i = 0; i < 10; i++) {
		others[i] = world_connect(world, USER);
		world_timer(world, others[i], 0, 20);
	}
	world_pass(world, 20);
	assert_false(worker_tick(&world->worker, &world->now));
	for (int i = 0; i < 11; i++) {
		served = world_serve(world);
		packets += served.session == hoarder;
	}
	assert_int_equal(packets, 1);
	assert_int_equal(world->n_events, most + 10);
	world_turn(world);
	assert_int_equal(world->n_events, 10 * most + 10);
}

static enum wakes_next wakes(struct world *world, uint32_t session, bool drained, uint32_t *ret_n)
{
	struct proto_header header = {0};
	size_t size = 0;
	enum wakes_next what = wakes_write(
		&world->worker, session, &world->now, drained, world->out, &size);

	if (what == WAKES_PACKET)
		assert_int_equal(
			codec_open(world->out, size, CODEC_FROM_DAEMON, &header), CODEC_OK);
	*ret_n = header.count;
	return what;
}

/* Puts it at the head of the queue and takes it from there, as a turn does. */
static void take(struct world *world, uint32_t session)
{
	worker_unblock(&world->worker, session, &world->now);
	assert_int_equal(sessions_take_ready(&world->worker.arena), session);
}

static void test_hold(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	uint32_t session = world_connect(world, USER), n;
	struct proto_register r = {.due = 10, .every = 10, .flags = PROTO_RELATIVE};

	take(world, session);
	assert_int_equal(wakes(world, session, false, &n), WAKES_NOTHING);
	assert_int_equal(wakes(world, session, true, &n), WAKES_NOTHING);
	sessions_requeue(&w->arena, session, &world->now);

	/* A first wake needs nothing to have been read; a second one does. */
	assert_int_equal(world_register(world, session, &r).status, PROTO_OK);
	world_pass(world, 10);
	take(world, session);
	assert_int_equal(wakes(world, session, false, &n), WAKES_PACKET);
	assert_int_equal(n, 1);
	wakes_sent(w, &world->now);
	world_pass(world, 10);
	assert_int_equal(wakes(world, session, false, &n), WAKES_HOLD);

	/* What has not woken before is sent, as far as it is due before that. */
	world_timer(world, session, 0, 0);
	assert_int_equal(wakes(world, session, false, &n), WAKES_HOLD);
	r = (struct proto_register){.due = 1};
	assert_int_equal(world_register(world, session, &r).status, PROTO_OK);
	assert_int_equal(wakes(world, session, false, &n), WAKES_PACKET);
	assert_int_equal(n, 1);
	wakes_sent(w, &world->now);
	assert_int_equal(wakes(world, session, false, &n), WAKES_HOLD);
	assert_int_equal(wakes(world, session, true, &n), WAKES_PACKET);
	assert_int_equal(n, 2);
	wakes_sent(w, &world->now);
	assert_int_equal(wakes(world, session, true, &n), WAKES_NOTHING);
	sessions_requeue(&w->arena, session, &world->now);
}

/* A packet that was made and not sent leaves all as it was. */
static void test_a_packet_that_is_not_sent(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER), n;

	world_timer(world, session, 0, 10);
	world_timer(world, session, 1, 10);
	world_pass(world, 10);
	take(world, session);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(wakes(world, session, false, &n), WAKES_PACKET);
		assert_int_equal(n, 2);
		worker_block(&world->worker, session);
		assert_int_equal(worker_next(&world->worker, 0), TIMERS_FOREVER);
		world_pass(world, 10);
		world_turn(world);
		take(world, session);
	}
	sessions_requeue(&world->worker.arena, session, &world->now);
	world_turn(world);
	assert_int_equal(world->n_events, 2);
	assert_int_equal(world->events[0].wake.late, 30);
	assert_int_equal(world->events[0].wake.number, 1);
	assert_int_equal(world_status(world, session).woken, 2);
}

/* And keeps its place in it. */
static void test_a_session_is_in_the_queue_once(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	uint32_t first = world_connect(world, USER), second = world_connect(world, USER);

	worker_unblock(w, first, &world->now);
	worker_unblock(w, second, &world->now);
	worker_unblock(w, first, &world->now);
	assert_int_equal(sessions_take_ready(&w->arena), first);
	sessions_requeue(&w->arena, first, &world->now);
	assert_int_equal(sessions_take_ready(&w->arena), second);
	sessions_requeue(&w->arena, second, &world->now);
	assert_false(worker_busy(w));
	assert_int_equal(sessions_take_ready(&w->arena), 0);
}

/* A user with many sessions gets no more turns than a user with one. */
static void test_turns_go_round_by_user_then_by_session(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	uint32_t many[3], one, other;

	for (int i = 0; i < 3; i++)
		many[i] = world_connect(world, USER);
	one = world_connect(world, USER + 1);
	other = world_connect(world, USER + 2);
	for (int i = 0; i < 3; i++)
		worker_unblock(w, many[i], &world->now);
	worker_unblock(w, one, &world->now);
	assert_int_equal(sessions_take_ready(&w->arena), many[0]);
	worker_unblock(w, many[0], &world->now);
	assert_int_equal(sessions_take_ready(&w->arena), one);
	worker_unblock(w, one, &world->now);
	worker_unblock(w, other, &world->now);
	assert_int_equal(sessions_take_ready(&w->arena), many[1]);
	assert_int_equal(sessions_take_ready(&w->arena), one);
	assert_int_equal(sessions_take_ready(&w->arena), other);
	/* One in the middle of its user's sessions goes, and then a user's only one. */
	worker_unblock(w, one, &world->now);
	worker_unblock(w, many[1], &world->now);
	worker_disconnect(w, many[0]);
	worker_disconnect(w, one);
	assert_int_equal(sessions_take_ready(&w->arena), many[2]);
	assert_int_equal(sessions_take_ready(&w->arena), many[1]);
	assert_int_equal(sessions_take_ready(&w->arena), 0);
	assert_false(worker_busy(w));
}

/* How many of the timers' nodes are not as they were. */
static uint32_t nodes_changed(const struct arena *arena, const struct rbnode *before)
{
	uint32_t changed = 0;

	for (uint32_t i = 1; i <= arena->header->timers_top; i++)
		changed += memcmp(&arena->nodes[i], &before[i], sizeof(before[i])) != 0;
	return changed;
}

#define HELD 100000

/* It does not touch the timers, but for the root of each tree; and then all their places are
 * free. */
static void test_a_session_goes_in_one_step(void **state)
{
	struct limits limits = world_limits(HELD, 4);
	struct world *world = world_new(&limits);
	const struct arena *arena = &world->worker.arena;
	struct rbnode *before = calloc(HELD + 10, sizeof(*before));
	struct proto_register r = {.due = 5};
	uint32_t session = world_connect(world, USER);

	(void)state;
	assert_non_null(before);
	for (int round = 0; round < 3; round++) {
		for (uint32_t i = 0; i < HELD; i++) {
			r.due = UINT64_MAX - 1 - i * UINT32_C(2654435769) % HELD;
			r.clock = (uint8_t)(i % PROTO_CLOCKS);
			assert_int_equal(world_register(world, session, &r).status, PROTO_OK);
		}
		assert_int_equal(world_register(world, session, &r).status, PROTO_E_TIMERS_USER);
		r.clock = PROTO_CLOCKS;
		assert_int_equal(world_register(world, session, &r).status, PROTO_E_CLOCK);
		memcpy(before, arena->nodes, (arena->header->timers_top + 1) * sizeof(before[0]));
		world_disconnect(world, session);
		assert_true(nodes_changed(arena, before) <= ARENA_CLOCKS);
		session = world_connect(world, USER);
		assert_int_equal(world_status(world, session).timers, 0);
		for (uint32_t clock = 0; clock < ARENA_CLOCKS; clock++)
			assert_int_equal(worker_next(&world->worker, clock), TIMERS_FOREVER);
	}
	free(before);
	world_free(world);
}

/* An id that somebody remembers from another life of the sessions is most likely nobody's now. */
static void test_ids_begin_elsewhere(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	assert_true(world->worker.config.instance > 2);
	assert_true(world_timer(world, session, 0, 1000000) >> PROTO_ID_INDEX_BITS >
		world->worker.config.instance);
}

static void test_chores(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	uint64_t *now = &world->now.at[0];

	assert_int_equal(worker_take_chores(w), 0);
	worker_start_chore(w, WORKER_WATCHDOG, 1000, 1000, &world->now);
	worker_start_chore(w, WORKER_STORE, 1800, 0, &world->now);
	for (uint64_t n = 1; n <= 5; n++) {
		/* A quarter of it is slack; whenever it came, the next one is a whole period on. */
		assert_int_equal(worker_next(w, 0), WORLD_MONOTONIC + n * 1000 + 250);
		*now = WORLD_MONOTONIC + n * 1000 - 1;
		world_turn(world);
		assert_int_equal(worker_take_chores(w), n == 2 ? WORKER_STORE : 0);
		*now += 1 + 50 * n;
		world_turn(world);
		assert_int_equal(worker_take_chores(w), WORKER_WATCHDOG);
		assert_int_equal(worker_take_chores(w), 0);
	}
	/* Many were missed: it comes once. */
	*now += 100000;
	world_turn(world);
	assert_int_equal(worker_take_chores(w), WORKER_WATCHDOG);
	world_turn(world);
	assert_int_equal(worker_take_chores(w), 0);
	assert_int_equal(world->n_events, 0);
}

/* They have places of their own, beyond everybody's. */
static void test_chores_and_hellos_with_all_places_taken(void **state)
{
	struct limits limits = world_limits(10, 4);
	struct world *world = world_new(&limits);
	uint32_t session = world_connect(world, USER), late;

	(void)state;
	for (int i = 0; i < 10; i++)
		world_timer(world, session, 0, 1000000000);
	worker_start_chore(&world->worker, WORKER_WATCHDOG, 1000, 1000, &world->now);
	worker_start_chore(&world->worker, WORKER_STORE, 1000, 0, &world->now);
	for (int i = 0; i < 3; i++)
		assert_int_equal(world_try_connect(world, USER, &late), PROTO_OK);
	world_pass(world, PROTO_HELLO_TIMEOUT_US);
	world_turn(world);
	assert_int_equal(world->n_events, 3);
	assert_int_equal(worker_take_chores(&world->worker), WORKER_WATCHDOG | WORKER_STORE);
	world_free(world);
}

static void test_errors_for_people(void **state)
{
	char text[PROTO_ERROR_TEXT_MAX * 2];
	uint8_t packet[256];
	struct proto_header header;
	struct proto_error error;
	size_t size;

	(void)state;
	for (unsigned int status = 0; status < 256; status++)
		assert_true(errors_text((enum proto_status)status)[0]);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = 0;
	size = errors_write(packet, PROTO_E_PACKET, 9, text);
	assert_int_equal(codec_open(packet, size, CODEC_FROM_DAEMON, &header), CODEC_OK);
	codec_get(packet, &header, 0, &error, sizeof(error));
	assert_int_equal(error.serial, 9);
	assert_memory_equal(error.text, text, sizeof(error.text));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_hello_comes_first),
		TEST(test_the_hello_comes_once),
		TEST(test_serials),
		TEST(test_hellos_that_are_refused),
		TEST(test_the_answer_to_a_hello),
		TEST(test_malformed_packets),
		TEST(test_no_hello_within_5_s),
		TEST(test_no_hello_shares_wakeups),
		TEST(test_a_hello_in_time),
		TEST(test_a_client_that_goes_before_its_hello),
		cmocka_unit_test(test_many_hellos_missed_at_once),
		cmocka_unit_test(test_many_chores_at_once),
		cmocka_unit_test(test_many_sessions_due_at_once),
		TEST(test_turns_are_taken),
		TEST(test_hold),
		TEST(test_a_packet_that_is_not_sent),
		TEST(test_a_session_is_in_the_queue_once),
		TEST(test_turns_go_round_by_user_then_by_session),
		cmocka_unit_test(test_a_session_goes_in_one_step),
		TEST(test_ids_begin_elsewhere),
		TEST(test_chores),
		cmocka_unit_test(test_chores_and_hellos_with_all_places_taken),
		cmocka_unit_test(test_errors_for_people),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
