/* SPDX-License-Identifier: MIT */
/*
 * The first world has room for 20000 timers and 32 clients, so no limit is in the way.
 */
#include "fixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "match.h"

int fixture_setup(void **state)
{
	struct limits limits = world_limits(20000, 32);

	*state = world_new(&limits);
	return 0;
}

int fixture_setup_match(void **state)
{
	struct limits limits = world_limits(3 * MATCH_SLOTS, 16);

	*state = world_new(&limits);
	return 0;
}

int fixture_teardown(void **state)
{
	world_free(*state);
	return 0;
}

struct proto_registered fixture_accept(
	struct world *world, uint32_t session, const struct proto_register *r)
{
	struct proto_registered registered = world_register(world, session, r);

	assert_int_equal(registered.status, PROTO_OK);
	return registered;
}

void fixture_expect(struct world *world, size_t events)
{
	world_forget(world);
	world_turn(world);
	assert_int_equal(world->n_events, events);
}

void fixture_expect_wake(
	const struct world *world, size_t i, uint64_t id, uint32_t number, bool last)
{
	assert_true(i < world->n_events);
	assert_int_equal(world->events[i].opcode, PROTO_WAKE);
	assert_int_equal(world->events[i].wake.id, id);
	assert_int_equal(world->events[i].wake.number, number);
	assert_int_equal(world->events[i].wake.flags, last ? PROTO_WAKE_LAST : 0);
}
