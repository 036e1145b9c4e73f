/* SPDX-License-Identifier: MIT */
/*
 * Adoption, case by case: which records are dropped, which answer is sent again, how an uncommitted
 * packet is undone, how far a scan goes if the counts are wrong, and what happens if there are more
 * timers than room. tests/sim tests adoption with random histories: kills at each write, and arenas
 * damaged anywhere.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wakes.h"
#include "check.h"
#include "timer_state.h"
#include "world.h"

#define USER	 1000
#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static int setup(void **state)
{
	struct limits limits = world_limits(20000, 3000);

	*state = world_new(&limits);
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

/* Another process takes over. All clients are still connected. */
static void adopt(struct world *world)
{
	struct worker_config config = world->worker.config;
	const struct arena *arena = &world->worker.arena;

	assert_true(worker_adopt(&world->worker, world->block, &config, &world->now));
	for (uint32_t i = ARENA_OWN_SESSION + 1; i <= arena->header->sessions_top; i++)
		if (arena->sessions[i].state != SESSION_FREE)
			worker_resume(&world->worker, i);
	world_turn(world);
	worker_adopted(&world->worker);
	world_forget(world);
}

static uint32_t place_of(uint64_t id)
{
	return (uint32_t)(id & ARENA_TIMERS_MAX);
}

/* Makes the next worker find a packet whose answer may not have been sent. */
static size_t handle(struct world *world, uint32_t session, enum proto_opcode opcode,
	const void *record, const void **ret_answer)
{
	struct codec_writer writer;
	bool end;

	codec_begin(&writer, world->in, opcode, ++world->clients[session].serial);
	if (record)
		codec_put(&writer, record, writer.header.record_size);
	return worker_handle(&world->worker, session, world->in, codec_end(&writer, 0), &world->now,
		ret_answer, &end);
}

/* As if the process had died before the last write of that packet. */
static void uncommit(struct world *world, uint32_t session)
{
	world->worker.arena.sessions[session].serial--;
	world->clients[session].serial--;
}

/* After sixteen attempts that did not finish a turn there is no further one: the arena itself may
 * be what ends the process. */
static void test_an_arena_is_adopted_sixteen_times_at_most_without_success(void **state)
{
	struct world *world = *state;
	struct worker_config config = world->worker.config;

	for (int i = 0; i < 2; i++) {
		for (int attempt = 0; attempt < 15; attempt++)
			assert_true(
				worker_adopt(&world->worker, world->block, &config, &world->now));
		adopt(world);
	}
	for (int attempt = 0; attempt < 16; attempt++)
		assert_true(worker_adopt(&world->worker, world->block, &config, &world->now));
	assert_false(worker_adopt(&world->worker, world->block, &config, &world->now));
}

static void test_a_resumed_session_is_told(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	struct worker_config config = w->config;
	uint32_t session = world_connect(world, USER);
	struct proto_resumed resumed;
	struct proto_header header;
	size_t size;

	assert_true(worker_adopt(w, world->block, &config, &world->now));
	assert_false(worker_busy(w));
	assert_false(worker_recovers(w, session));
	worker_resume(w, session);
	/* The resumed event stays pending until it was sent, even if a turn passes without sending
	 * it. */
	for (int i = 0; i < 3; i++) {
		assert_true(worker_recovers(w, session));
		assert_int_equal(sessions_take_ready(&w->arena), session);
		assert_int_equal(wakes_write(w, session, &world->now, true, world->out, &size),
			WAKES_PACKET);
		assert_int_equal(
			codec_open(world->out, size, CODEC_FROM_DAEMON, &header), CODEC_OK);
		assert_int_equal(header.opcode, PROTO_RESUMED);
		codec_get(world->out, &header, 0, &resumed, sizeof(resumed));
		assert_int_equal(resumed.serial, world->clients[session].serial);
		if (i == 2)
			wakes_sent(w, &world->now);
		sessions_requeue(&w->arena, session, &world->now);
	}
	assert_false(worker_recovers(w, session));
	assert_false(worker_busy(w));
}

static void of_no_state(struct arena *arena, uint32_t timer)
{
	arena->nodes[timer].tag = TIMER_CANCELLING + 1;
}

static void of_no_clock(struct arena *arena, uint32_t timer)
{
	arena->nodes[timer].tag |= ARENA_CLOCKS << 8;
}

static void with_a_tag_too_wide(struct arena *arena, uint32_t timer)
{
	arena->nodes[timer].tag |= 1u << 31;
}

static void of_no_session(struct arena *arena, uint32_t timer)
{
	arena->timers[timer].session = 0;
}

static void of_a_session_too_high(struct arena *arena, uint32_t timer)
{
	arena->timers[timer].session = UINT32_MAX;
}

static void of_no_sequence(struct arena *arena, uint32_t timer)
{
	arena->timers[timer].sequence = 0;
}

static void of_a_sequence_too_high(struct arena *arena, uint32_t timer)
{
	arena->timers[timer].sequence = UINT64_MAX;
}

static void with_its_end_before_its_due(struct arena *arena, uint32_t timer)
{
	arena->nodes[timer].latest = arena->nodes[timer].due - 1;
}

static void that_is_never_due(struct arena *arena, uint32_t timer)
{
	arena->nodes[timer].due = arena->nodes[timer].latest = TIMERS_FOREVER;
}

static void with_a_label_that_rings(struct arena *arena, uint32_t timer)
{
	arena->labels[timer][0] = '\a';
}

/* They are dropped and counted even if their check words fit. The other records stay. */
static void test_impossible_records_are_dropped(void **state)
{
	static void (*const damages[])(struct arena * arena, uint32_t timer) = {
		of_no_state,
		of_no_clock,
		with_a_tag_too_wide,
		of_no_session,
		of_a_session_too_high,
		of_no_sequence,
		of_a_sequence_too_high,
		with_its_end_before_its_due,
		that_is_never_due,
		with_a_label_that_rings,
	};
	struct world *world = *state;
	struct arena *arena = &world->worker.arena;
	uint32_t session = world_connect(world, USER);
	struct proto_register r = {.due = 10, .flags = PROTO_RELATIVE, .label = "label"};

	for (size_t i = 0; i < 2 * COUNT(damages); i++) {
		uint64_t before = world_timer(world, session, 0, 10);
		uint64_t id = world_register(world, session, &r).id;
		uint64_t behind = world_timer(world, session, 0, 10);
		uint32_t timer = place_of(id);
		struct arena_intent values;

		damages[i / 2](arena, timer);
		values = timer_state_values(arena, timer);
		if (i % 2)
			arena->timers[timer].check = check_timer(arena, timer, &values);
		adopt(world);
		assert_int_equal(world->worker.dropped, 1);
		assert_int_equal(world_cancel(world, session, id), PROTO_E_NO_SUCH_TIMER);
		world_pass(world, 10);
		world_turn(world);
		assert_int_equal(world->n_events, 2);
		assert_int_equal(world->events[0].wake.id, before);
		assert_int_equal(world->events[1].wake.id, behind);
		assert_int_equal(world_status(world, session).timers, 0);
		world_forget(world);
	}
}

/* An answer that may not have been sent is sent again, if it is still a valid answer. */
static void test_an_unsent_answer_is_sent_after_adoption(void **state)
{
	struct world *world = *state;
	struct worker *w = &world->worker;
	struct worker_config config = w->config;
	uint32_t session = world_connect(world, USER);

	for (int damage = 0; damage < 5; damage++) {
		struct arena_applying *applying = &w->arena.header->applying;
		const void *answer, *left = NULL;
		uint32_t to = 0;
		size_t size = handle(world, session, PROTO_STATUS, NULL, &answer);

		/* Of the header: opcode and serial. */
		if (damage == 1)
			w->arena.answer[0] ^= 1;
		if (damage == 2)
			w->arena.answer[8] ^= 1;
		if (damage == 3)
			applying->answer_size = PROTO_PACKET_MAX + 1;
		if (damage == 4)
			applying->session = session + 1;
		assert_true(worker_adopt(w, world->block, &config, &world->now));
		assert_int_equal(worker_unsent_answer(w, &to, &left), damage ? 0 : size);
		assert_int_equal(to, damage ? 0 : session);
		assert_ptr_equal(left, damage ? NULL : answer);
		worker_answered(w);
		assert_int_equal(worker_unsent_answer(w, &to, &left), 0);
		worker_resume(w, session);
		world_turn(world);
	}
}

/* An uncommitted re-arm is undone, and the client sends the packet again. The saved values are used
 * only if they fit the timer's check word. */
static void test_an_uncommitted_packet_is_taken_back(void **state)
{
	struct world *world = *state;
	struct arena *arena = &world->worker.arena;
	uint32_t session = world_connect(world, USER);
	uint64_t id = world_timer(world, session, 0, 1000);
	struct proto_rearm r = {.id = id, .due = 5000, .flags = PROTO_RELATIVE};

	for (int damage = 0; damage < 4; damage++) {
		struct arena_intent *was = &arena->rearmed[0];
		const void *answer;

		handle(world, session, PROTO_REARM, &r, &answer);
		uncommit(world, session);
		assert_int_equal(was->timer, place_of(id));
		if (damage == 1) {
			was->timer = 0;
			was->check = check_timer(arena, 0, was);
		}
		if (damage == 2)
			was->timer = arena->header->max_timers + 1;
		if (damage == 3)
			was->due++;
		adopt(world);
		assert_int_equal(world->worker.dropped, 0);
		assert_int_equal(
			worker_next(&world->worker, 0), WORLD_MONOTONIC + (damage ? 5000 : 1000));
		assert_int_equal(arena->nodes[0].due, 0);
		assert_int_equal(arena->nodes[0].latest, UINT64_MAX);
		/* The client sends the packet again. The state is as before the packet. */
		assert_int_equal(world_rearm(world, session, &r).status, PROTO_OK);
		assert_int_equal(worker_next(&world->worker, 0), WORLD_MONOTONIC + 5000);
		r.due = 1000;
		assert_int_equal(world_rearm(world, session, &r).status, PROTO_OK);
		r.due = 5000;
	}
}

/* The scan goes on behind a count that is too low until it has seen 1024 slots that were never
 * used. */
static void test_records_beyond_a_count_that_is_too_low_are_found(void **state)
{
	struct world *world = *state;
	struct arena_header *h = world->worker.arena.header;
	uint32_t sessions[1500], session;
	uint64_t id;

	for (size_t i = 0; i < COUNT(sessions); i++)
		sessions[i] = world_connect(world, USER);
	session = sessions[COUNT(sessions) - 1];
	for (int i = 0; i < 3000; i++)
		world_timer(world, sessions[0], 0, 10);
	id = world_timer(world, session, 0, 10);
	for (size_t i = 0; i + 1 < COUNT(sessions); i++)
		world_disconnect(world, sessions[i]);
	h->sessions_top = h->timers_top = 0;
	adopt(world);
	assert_int_equal(world->worker.dropped, 0);
	assert_int_equal(world_status(world, session).timers, 1);
	world_pass(world, 10);
	world_turn(world);
	assert_int_equal(world->n_events, 1);
	assert_int_equal(world->events[0].wake.id, id);
}

/* The scan ends there or at the end of the arena. Its cost follows from the slots that were used,
 * not from the limit. */
static void test_a_scan_ends_whatever_the_counts_say(void **state)
{
	struct world *world = *state;
	struct arena_header *h = world->worker.arena.header;
	uint32_t session = world_connect(world, USER);

	world_timer(world, session, 0, 10);
	adopt(world);
	assert_in_range(h->sessions_top, 1024, 1100);
	assert_in_range(h->timers_top, 1024, 1100);
	h->sessions_top = h->timers_top = UINT32_MAX;
	adopt(world);
	assert_int_equal(h->sessions_top, h->max_clients + 1);
	assert_int_equal(h->timers_top, h->max_timers);
	assert_int_equal(world_status(world, session).timers, 1);
}

/* A cancelled timer whose event was not sent is in no tree, so its links mean nothing. */
static void test_links_of_timers_in_no_tree_are_not_followed(void **state)
{
	struct world *world = *state;
	struct arena *arena = &world->worker.arena;
	struct worker_config config = world->worker.config;
	uint32_t owner = world_connect(world, USER), other = world_connect(world, USER);
	uint64_t id = world_timer(world, owner, 0, 1000000000);
	struct rbnode *node = &arena->nodes[place_of(id)];

	assert_int_equal(world_cancel(world, other, id), PROTO_OK);
	node->parent = node->child_red[0] = node->child_red[1] = UINT32_MAX;
	assert_true(worker_adopt(&world->worker, world->block, &config, &world->now));
	assert_int_equal(world_cancel(world, other, id), PROTO_E_NO_SUCH_TIMER);
	assert_int_equal(world_cancel(world, owner, id), PROTO_E_NO_SUCH_TIMER);
	assert_int_equal(world_status(world, owner).timers, 1);
	adopt(world);
	assert_int_equal(world_status(world, owner).timers, 0);
}

/*
 * Adopted timers stay even if the limits are lower now. If they leave no slots for internal timers,
 * those are missing: a client then has no time limit for its hello. New registrations are refused.
 */
static void test_timers_beyond_the_new_limit_are_kept(void **state)
{
	struct limits limits = world_limits(18, 20);
	struct world *world = world_new(&limits);
	struct worker *w = &world->worker;
	uint32_t session = world_connect(world, 0), late[10];
	struct proto_register r = {.due = 1000000000};
	uint64_t id = 0;

	(void)state;
	/* As in the daemon, the room of the arena does not depend on the limits. */
	w->config.room_timers = w->arena.header->max_timers;
	w->config.room_clients = w->arena.header->max_clients;
	w->config.limits = world_limits(35, 4);
	for (int i = 0; i < 35; i++)
		id = world_timer(world, session, 0, 1000000000);
	w->config.limits = limits;
	adopt(world);
	assert_int_equal(world_status(world, session).timers, 35);

	for (size_t i = 0; i < COUNT(late); i++)
		assert_int_equal(world_try_connect(world, USER, &late[i]), PROTO_OK);
	worker_start_internal(w, WORKER_FDSTORE, 1000, 0, &world->now);
	assert_int_equal(world_register(world, session, &r).status, PROTO_E_TIMERS);
	world_hello(world, late[9]);
	world_pass(world, PROTO_HELLO_TIMEOUT_US);
	world_turn(world);
	assert_int_equal(world->n_events, 6);
	for (size_t i = 0; i < 6; i++)
		assert_int_equal(world->events[i].error.status, PROTO_E_HELLO_TIMEOUT);
	assert_int_equal(worker_take_internal(w), 0);
	assert_int_equal(world_status(world, session).clients, 5);

	for (uint32_t i = 0; i < 18; i++)
		assert_int_equal(world_cancel(world, session, id - ((uint64_t)i << 22 | i)), 0);
	assert_int_equal(world_register(world, late[9], &r).status, PROTO_OK);
	assert_int_equal(world_register(world, late[9], &r).status, PROTO_E_TIMERS);
	world_hello(world, late[8]);
	world_free(world);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_an_arena_is_adopted_sixteen_times_at_most_without_success),
		TEST(test_a_resumed_session_is_told),
		TEST(test_impossible_records_are_dropped),
		TEST(test_an_unsent_answer_is_sent_after_adoption),
		TEST(test_an_uncommitted_packet_is_taken_back),
		TEST(test_records_beyond_a_count_that_is_too_low_are_found),
		TEST(test_a_scan_ends_whatever_the_counts_say),
		TEST(test_links_of_timers_in_no_tree_are_not_followed),
		cmocka_unit_test(test_timers_beyond_the_new_limit_are_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
