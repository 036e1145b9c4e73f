/* SPDX-License-Identifier: MIT */
/*
 * The setup, teardown and common expectations of most tests of the core. A failed expectation fails
 * the calling test.
 */
#pragma once

#include "world.h"

/* For cmocka: *state is a world without limits that matter. */
int fixture_setup(void **state);
int fixture_teardown(void **state);
#define TEST(test) cmocka_unit_test_setup_teardown(test, fixture_setup, fixture_teardown)

/* The same for a world that holds three times as many timers as one part of a list or a match looks
 * at. */
int fixture_setup_match(void **state);
#define TEST_MATCH(test) \
	cmocka_unit_test_setup_teardown(test, fixture_setup_match, fixture_teardown)

/* Registers a timer that must be accepted. */
struct proto_registered fixture_accept(
	struct world *world, uint32_t session, const struct proto_register *r);

/* Turns, and expects that many events, which are in world->events. */
void fixture_expect(struct world *world, size_t events);

/* Event i must be this wake. */
void fixture_expect_wake(
	const struct world *world, size_t i, uint64_t id, uint32_t number, bool last);
