/* SPDX-License-Identifier: MIT */
/*
 * The worker's packets: which packet a client may send when, and which packet ends its session; a
 * hello that does not come in time; and work that the worker cuts into slices.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fixture.h"

#define USER 1000

/* A packet of that opcode with any serial. Its record, if it has one, is all zeroes. */
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

/* The first serial is 1. */
static void test_each_serial_is_one_more_than_the_last(void **state)
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

static void test_wrong_hellos_are_refused(void **state)
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

static void test_the_hello_is_answered_with_capabilities(void **state)
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

/* They end the session and change nothing. The codec's tests try all of them. */
static void test_malformed_packets_end_the_session(void **state)
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

static void test_no_hello_within_5_s_ends_the_session(void **state)
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

/* Its alarm rings between 5 s and 6.25 s, together with other timers. */
static void test_the_hello_timeout_shares_wakeups(void **state)
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

static void test_a_hello_in_time_stops_the_timeout(void **state)
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

/* The next client has the same session number as the one that left without a hello. */
static void test_a_new_client_is_not_held_to_the_last_ones_hello(void **state)
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

/* A wake that is due at the same time does not wait until all these clients have been told. */
static void test_many_missed_hellos_do_not_delay_a_wake(void **state)
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

/* A turn makes a bounded number of sessions ready. Each session gets its turn. */
static void test_many_sessions_due_at_once_are_cut_into_slices(void **state)
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

/* An id from an earlier daemon most likely hits no timer of this one. */
static void test_ids_of_each_instance_begin_elsewhere(void **state)
{
	struct world *world = *state;
	uint32_t session = world_connect(world, USER);

	assert_true(world->worker.config.instance > 2);
	assert_true(world_timer(world, session, 0, 1000000) >> PROTO_ID_INDEX_BITS >
		world->worker.config.instance);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_hello_comes_first),
		TEST(test_the_hello_comes_once),
		TEST(test_each_serial_is_one_more_than_the_last),
		TEST(test_wrong_hellos_are_refused),
		TEST(test_the_hello_is_answered_with_capabilities),
		TEST(test_malformed_packets_end_the_session),
		TEST(test_no_hello_within_5_s_ends_the_session),
		TEST(test_the_hello_timeout_shares_wakeups),
		TEST(test_a_hello_in_time_stops_the_timeout),
		TEST(test_a_new_client_is_not_held_to_the_last_ones_hello),
		cmocka_unit_test(test_many_missed_hellos_do_not_delay_a_wake),
		cmocka_unit_test(test_many_sessions_due_at_once_are_cut_into_slices),
		TEST(test_ids_of_each_instance_begin_elsewhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
