/* SPDX-License-Identifier: MIT */
/*
 * The leases of one host: the test plays the database and the clock.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lease.h"

#define SECOND UINT64_C(1000000)
#define START  (100 * SECOND)

static struct host {
	struct leases ls;
	struct lease a, b;
} h;

static const struct lease_row nobody = {.owner = LEASE_NOBODY};

static struct lease_row other(uint64_t term, uint64_t beat)
{
	return (struct lease_row){.owner = LEASE_OTHER, .term = term, .beat = beat};
}

static struct lease_row mine(uint64_t term, uint64_t beat)
{
	return (struct lease_row){.owner = LEASE_ME, .term = term, .beat = beat};
}

static int setup(void **state)
{
	struct lease_config config = lease_config_of(LEASE_LENGTH_US);

	(void)state;
	leases_init(&h.ls, &config);
	lease_init(&h.a);
	lease_init(&h.b);
	leases_connected(&h.ls, START, 1, true);
	return 0;
}

/* Sends one round for lease a at `sent`. The answer comes a tenth of a second later. */
static void ask(uint64_t sent, enum lease_ask what, bool done, struct lease_row row)
{
	assert_true(leases_begin(&h.ls, sent));
	assert_int_equal(h.a.ask, what);
	lease_answer(&h.ls, &h.a, done, &row, sent + SECOND / 10);
	assert_ptr_equal(h.ls.round.next, &h.ls.round);
	leases_end(&h.ls);
}

static void take(uint64_t sent, uint64_t term)
{
	lease_want(&h.ls, &h.a);
	ask(sent, LEASE_ASK_TAKE_FREE, true, mine(term, 0));
	assert_int_equal(h.a.state, LEASE_HELD);
	assert_int_equal(h.a.term, term);
}

static void test_spans_follow_from_the_length_of_a_lease(void **state)
{
	struct lease_config config = lease_config_of(LEASE_LENGTH_US);

	(void)state;
	assert_int_equal(config.margin, 1500000);
	assert_int_equal(config.renew, 5 * SECOND);
	assert_int_equal(config.poll, SECOND);
	assert_int_equal(lease_config_of(600000).poll, 200000);
}

static void test_nothing_to_ask(void **state)
{
	(void)state;
	assert_int_equal(leases_next(&h.ls), UINT64_MAX);
	assert_false(leases_begin(&h.ls, START));
	assert_int_equal(leases_give_up(&h.ls), UINT64_MAX);
	assert_true(leases_gone(&h.ls));
}

/* The first round takes a free lease. Only one round is under way at a time. */
static void test_a_free_lease_is_taken_at_once(void **state)
{
	(void)state;
	lease_want(&h.ls, &h.a);
	assert_true(leases_next(&h.ls) <= START);
	assert_true(leases_begin(&h.ls, START));
	assert_int_equal(h.a.ask, LEASE_ASK_TAKE_FREE);
	assert_int_equal(leases_next(&h.ls), UINT64_MAX);
	assert_int_equal(leases_give_up(&h.ls), START + 5 * SECOND);
	assert_false(leases_begin(&h.ls, START + 10));
	assert_false(lease_delivers(&h.a, START + 10));
	assert_true(lease_answer(
		&h.ls, &h.a, true, &(struct lease_row){LEASE_ME, 7, 0}, START + SECOND));
	leases_end(&h.ls);
	assert_int_equal(h.a.term, 7);
	/* The lease counts from the sending, and delivery stops a margin before its end. */
	assert_true(lease_delivers(&h.a, START + 13500000 - 1));
	assert_false(lease_delivers(&h.a, START + 13500000));
	assert_false(leases_gone(&h.ls));
}

static void test_a_lease_ends_with_its_third_lost_renewal(void **state)
{
	uint64_t at = START;

	(void)state;
	take(at, 7);
	for (unsigned int i = 0; i < 10; i++) {
		assert_int_equal(leases_next(&h.ls), at + 5 * SECOND);
		at += 5 * SECOND;
		ask(at, LEASE_ASK_RENEW, true, mine(7, i + 1));
		assert_int_equal(h.a.until, at + 13500000);
	}
	/* Two renewals without an answer do not end the lease. The third one does. */
	for (unsigned int i = 0; i < 2; i++) {
		at += 5 * SECOND;
		assert_true(leases_begin(&h.ls, at));
		leases_disconnected(&h.ls);
		assert_int_equal(leases_next(&h.ls), UINT64_MAX);
		leases_connected(&h.ls, at + SECOND, 1, true);
		assert_true(lease_delivers(&h.a, at));
	}
	assert_false(lease_delivers(&h.a, at + 5 * SECOND));
	/* No other host took it: it continues under the same term. */
	ask(at + 5 * SECOND, LEASE_ASK_RENEW, true, mine(7, 11));
	assert_true(lease_delivers(&h.a, at + 5 * SECOND));
}

static void test_a_refused_renewal_makes_a_standby(void **state)
{
	(void)state;
	take(START, 7);
	ask(START + 5 * SECOND, LEASE_ASK_RENEW, false, other(8, 0));
	assert_int_equal(h.a.state, LEASE_STANDBY);
	assert_false(lease_delivers(&h.a, START + 6 * SECOND));
	/* The wait starts at that answer. */
	ask(START + 20 * SECOND, LEASE_ASK_TAKE_FREE, false, other(8, 0));
	ask(START + 20 * SECOND + SECOND / 10, LEASE_ASK_TAKE, true, mine(9, 0));
	assert_int_equal(h.a.term, 9);
}

/* Another host's lease: this host looks each second, and takes the lease when it was not renewed
 * for its length. */
static void test_a_silent_owner_is_replaced_after_a_lease(void **state)
{
	uint64_t at = START, seen;

	(void)state;
	lease_want(&h.ls, &h.a);
	ask(at, LEASE_ASK_TAKE_FREE, false, other(3, 1));
	seen = at + SECOND / 10;
	for (unsigned int i = 0; i < 15; i++) {
		assert_int_equal(leases_next(&h.ls), at + SECOND);
		at += SECOND;
		ask(at, LEASE_ASK_TAKE_FREE, false, other(3, 1));
	}
	assert_int_equal(leases_next(&h.ls), seen + 15 * SECOND);
	ask(seen + 15 * SECOND, LEASE_ASK_TAKE, true, mine(4, 0));
	assert_int_equal(h.a.state, LEASE_HELD);
}

/* Each renewal by the owner restarts the wait. The take names the term and beat that were seen, and
 * may come too late. */
static void test_an_owner_that_beats_is_not_replaced(void **state)
{
	uint64_t at = START;

	(void)state;
	lease_want(&h.ls, &h.a);
	for (unsigned int i = 0; i < 100; i++, at += SECOND)
		ask(at, LEASE_ASK_TAKE_FREE, false, other(3, i / 5));
	at += 15 * SECOND;
	assert_true(leases_begin(&h.ls, at));
	assert_int_equal(h.a.ask, LEASE_ASK_TAKE);
	assert_int_equal(h.a.seen.term, 3);
	assert_int_equal(h.a.seen.beat, 19);
	lease_answer(&h.ls, &h.a, false, &(struct lease_row){LEASE_OTHER, 3, 20}, at);
	leases_end(&h.ls);
	ask(at + 14 * SECOND, LEASE_ASK_TAKE_FREE, false, other(3, 20));
	ask(at + 15 * SECOND, LEASE_ASK_TAKE, true, mine(4, 0));
}

/* A take came too late, and its answer shows that the lease was released. The host asks for it at
 * once. */
static void test_a_lease_released_meanwhile_is_taken(void **state)
{
	(void)state;
	lease_want(&h.ls, &h.a);
	ask(START, LEASE_ASK_TAKE_FREE, false, other(3, 1));
	ask(START + 16 * SECOND, LEASE_ASK_TAKE, false, (struct lease_row){LEASE_NOBODY, 3, 2});
	assert_int_equal(leases_next(&h.ls), 0);
	ask(START + 17 * SECOND, LEASE_ASK_TAKE_FREE, true, mine(4, 0));
}

/* A free row that cannot be taken, because it is locked, causes no busy loop. */
static void test_a_locked_row_makes_no_busy_loop(void **state)
{
	(void)state;
	lease_want(&h.ls, &h.a);
	ask(START, LEASE_ASK_TAKE_FREE, false, nobody);
	assert_int_equal(leases_next(&h.ls), START + SECOND);
}

static void test_a_hint_brings_the_next_look_at_once(void **state)
{
	(void)state;
	lease_want(&h.ls, &h.a);
	ask(START, LEASE_ASK_TAKE_FREE, false, other(3, 1));
	lease_hint(&h.ls, &h.a);
	assert_int_equal(leases_next(&h.ls), 0);
	ask(START + SECOND / 2, LEASE_ASK_TAKE_FREE, true, mine(4, 0));
	lease_hint(&h.ls, &h.a); /* no effect */
	assert_int_not_equal(leases_next(&h.ls), 0);
}

static void test_an_unwanted_lease_is_released(void **state)
{
	(void)state;
	take(START, 7);
	lease_unwant(&h.ls, &h.a);
	assert_false(lease_delivers(&h.a, START + SECOND));
	assert_false(leases_gone(&h.ls));
	ask(START + SECOND, LEASE_ASK_RELEASE, true, (struct lease_row){LEASE_NOBODY, 7, 0});
	assert_int_equal(h.a.state, LEASE_NONE);
	assert_true(leases_gone(&h.ls));
	assert_int_equal(leases_next(&h.ls), UINT64_MAX);
}

/* A release without an answer may still run. So the host asks again, and takes a new term. */
static void test_an_unanswered_release_is_asked_again(void **state)
{
	(void)state;
	take(START, 7);
	lease_unwant(&h.ls, &h.a);
	assert_true(leases_begin(&h.ls, START + SECOND));
	leases_disconnected(&h.ls);
	lease_want(&h.ls, &h.a);
	assert_false(lease_delivers(&h.a, START + 2 * SECOND));
	leases_connected(&h.ls, START + 2 * SECOND, 1, true);
	ask(START + 2 * SECOND, LEASE_ASK_RELEASE, true, (struct lease_row){LEASE_NOBODY, 7, 0});
	assert_int_equal(h.a.state, LEASE_STANDBY);
	ask(START + 3 * SECOND, LEASE_ASK_TAKE_FREE, true, mine(8, 0));
	assert_int_equal(h.a.term, 8);
}

/* A take without an answer: later the row shows this host as its owner. The host takes it under a
 * new term. */
static void test_a_lease_taken_without_an_answer_is_taken_anew(void **state)
{
	(void)state;
	lease_want(&h.ls, &h.a);
	assert_true(leases_begin(&h.ls, START));
	leases_disconnected(&h.ls);
	leases_connected(&h.ls, START + SECOND, 1, true);
	ask(START + SECOND, LEASE_ASK_TAKE_FREE, false, mine(7, 0));
	assert_int_equal(h.a.state, LEASE_STANDBY);
	assert_int_equal(leases_next(&h.ls), 0);
	ask(START + 2 * SECOND, LEASE_ASK_TAKE, true, mine(8, 0));
	assert_int_equal(h.a.state, LEASE_HELD);
}

/* The same, but the consumer has left: the host looks at the row, and releases it. */
static void test_an_unwanted_lease_is_released_after_a_lost_answer(void **state)
{
	(void)state;
	lease_want(&h.ls, &h.a);
	assert_true(leases_begin(&h.ls, START));
	leases_disconnected(&h.ls);
	lease_unwant(&h.ls, &h.a);
	assert_int_equal(h.a.state, LEASE_RELEASING);
	leases_connected(&h.ls, START + SECOND, 1, true);
	ask(START + SECOND, LEASE_ASK_READ, true, mine(7, 0));
	assert_int_equal(h.a.state, LEASE_RELEASING);
	ask(START + 2 * SECOND, LEASE_ASK_RELEASE, true, (struct lease_row){LEASE_NOBODY, 7, 0});
	assert_int_equal(h.a.state, LEASE_NONE);
}

/* The last consumer leaves while a take is under way. */
static void test_a_lease_left_while_it_is_taken_is_released(void **state)
{
	(void)state;
	lease_want(&h.ls, &h.a);
	assert_true(leases_begin(&h.ls, START));
	lease_unwant(&h.ls, &h.a);
	lease_answer(&h.ls, &h.a, true, &(struct lease_row){LEASE_ME, 7, 0}, START + SECOND);
	leases_end(&h.ls);
	assert_false(lease_delivers(&h.a, START + SECOND));
	ask(START + SECOND, LEASE_ASK_RELEASE, true, (struct lease_row){LEASE_NOBODY, 7, 0});
	assert_int_equal(h.a.state, LEASE_NONE);
}

static void test_a_standby_leaves_without_asking(void **state)
{
	(void)state;
	lease_want(&h.ls, &h.a);
	ask(START, LEASE_ASK_TAKE_FREE, false, other(3, 1));
	lease_unwant(&h.ls, &h.a);
	assert_int_equal(h.a.state, LEASE_NONE);
	assert_int_equal(leases_next(&h.ls), UINT64_MAX);
}

/* The fence did not match. Only an answer about the present term ends the lease. */
static void test_a_lease_is_lost_under_its_own_term_only(void **state)
{
	(void)state;
	take(START, 7);
	lease_lost(&h.ls, &h.a, 6);
	assert_int_equal(h.a.state, LEASE_HELD);
	assert_true(leases_begin(&h.ls, START + 5 * SECOND));
	lease_lost(&h.ls, &h.a, 7);
	assert_int_equal(h.a.state, LEASE_STANDBY);
	/* The answer to a renewal that was under way does not restore the lease. */
	lease_answer(&h.ls, &h.a, true, &(struct lease_row){LEASE_ME, 7, 1}, START + 6 * SECOND);
	leases_end(&h.ls);
	assert_false(lease_delivers(&h.a, START + 6 * SECOND));
	assert_int_equal(h.a.state, LEASE_STANDBY);
}

/* One round renews all leases, and also looks at the leases of other hosts that are due. */
static void test_one_round_asks_for_all_leases(void **state)
{
	unsigned int rounds = 0;
	uint64_t at = START;

	(void)state;
	take(START, 7);
	lease_want(&h.ls, &h.b);
	while (at < START + 60 * SECOND) {
		struct lease_row row = other(2, rounds);

		at = leases_next(&h.ls) > at ? leases_next(&h.ls) : at;
		assert_true(leases_begin(&h.ls, at));
		rounds++;
		if (h.a.ask)
			lease_answer(&h.ls, &h.a, true, &(struct lease_row){LEASE_ME, 7, 1}, at);
		lease_answer(&h.ls, &h.b, false, &row, at);
		leases_end(&h.ls);
		assert_true(lease_delivers(&h.a, at));
	}
	assert_in_range(rounds, 60, 62);
}

/* Another server took over, which may have lost commits: for the length of a lease this host takes
 * nothing. */
static void test_a_failover_makes_a_standby_wait_a_whole_lease(void **state)
{
	uint64_t at = START + 20 * SECOND;

	(void)state;
	lease_want(&h.ls, &h.a);
	ask(START, LEASE_ASK_TAKE_FREE, false, other(3, 1));
	leases_disconnected(&h.ls);
	leases_connected(&h.ls, at, 2, false);
	ask(at, LEASE_ASK_READ, false, nobody);
	assert_int_equal(leases_next(&h.ls), at + SECOND);
	ask(at + 14 * SECOND, LEASE_ASK_READ, false, nobody);
	ask(at + 15 * SECOND, LEASE_ASK_TAKE_FREE, true, mine(4, 0));
	/* A restart of the same server is no failover. */
	leases_disconnected(&h.ls);
	leases_connected(&h.ls, at + 16 * SECOND, 2, false);
	lease_want(&h.ls, &h.b);
	assert_true(leases_begin(&h.ls, at + 16 * SECOND));
	assert_int_equal(h.b.ask, LEASE_ASK_TAKE_FREE);
}

/* The same for a host that starts then: it has seen no other server, but the database says that no
 * host has waited under this timeline. */
static void test_a_host_that_starts_after_a_failover_waits(void **state)
{
	struct lease_config config = lease_config_of(LEASE_LENGTH_US);

	(void)state;
	leases_init(&h.ls, &config);
	leases_connected(&h.ls, START, 2, false);
	lease_want(&h.ls, &h.a);
	assert_false(leases_settle(&h.ls, START));
	ask(START, LEASE_ASK_READ, false, nobody);
	/* A connection that breaks does not make it wait anew. */
	leases_disconnected(&h.ls);
	leases_connected(&h.ls, START + 10 * SECOND, 2, false);
	ask(START + 14 * SECOND, LEASE_ASK_READ, false, nobody);
	assert_false(leases_settle(&h.ls, START + 15 * SECOND - 1));
	/* The round that takes says so to the others. */
	assert_true(leases_settle(&h.ls, START + 15 * SECOND));
	ask(START + 15 * SECOND, LEASE_ASK_TAKE_FREE, true, mine(4, 0));
	leases_settled(&h.ls);
	assert_false(leases_settle(&h.ls, START + 16 * SECOND));
}

/* Where some host has waited, no other host waits. */
static void test_one_host_waits_after_a_failover(void **state)
{
	uint64_t at = START + 20 * SECOND;

	(void)state;
	lease_want(&h.ls, &h.a);
	ask(START, LEASE_ASK_TAKE_FREE, false, other(3, 1));
	leases_disconnected(&h.ls);
	leases_connected(&h.ls, at, 2, true);
	ask(at, LEASE_ASK_TAKE_FREE, true, mine(4, 0));
	/* Another replica took over under the same number, and lacks what was stored there. */
	leases_disconnected(&h.ls);
	leases_connected(&h.ls, at + 20 * SECOND, 2, false);
	assert_int_equal(h.a.state, LEASE_STANDBY);
	ask(at + 20 * SECOND, LEASE_ASK_READ, false, nobody);
}

/* Sends one round for lease a, whose row another session has locked. */
static void find_locked(uint64_t sent, enum lease_ask what, struct lease_row row)
{
	assert_true(leases_begin(&h.ls, sent));
	assert_int_equal(h.a.ask, what);
	assert_false(lease_locked(&h.ls, &h.a, &row, sent + SECOND / 10));
	assert_ptr_equal(h.ls.round.next, &h.ls.round);
	leases_end(&h.ls);
}

/* If a renewal finds the row locked, the lease stays as it is. The next round comes at once, and
 * asks only about this lease. */
static void test_a_locked_row_is_renewed_when_it_is_free(void **state)
{
	const struct lease_row row = mine(8, 1);

	(void)state;
	take(START, 7);
	lease_want(&h.ls, &h.b);
	assert_true(leases_begin(&h.ls, START + 1));
	lease_answer(&h.ls, &h.b, true, &row, START + 1);
	leases_end(&h.ls);
	assert_true(leases_begin(&h.ls, START + 5 * SECOND));
	assert_int_equal(h.b.ask, LEASE_ASK_RENEW);
	lease_answer(&h.ls, &h.b, true, &row, START + 5 * SECOND);
	lease_locked(&h.ls, &h.a, &(struct lease_row){LEASE_ME, 7, 0}, START + 5 * SECOND);
	leases_end(&h.ls);
	for (uint64_t at = START + 6 * SECOND; at < START + 9 * SECOND; at += SECOND) {
		assert_int_equal(leases_next(&h.ls), 0);
		find_locked(at, LEASE_ASK_RENEW, mine(7, 0));
		assert_int_equal(h.b.ask, LEASE_ASK_NOTHING);
		assert_int_equal(h.a.state, LEASE_HELD);
		assert_int_equal(h.a.until, START + 13500000);
	}
	ask(START + 9 * SECOND, LEASE_ASK_RENEW, true, mine(7, 1));
	assert_int_equal(h.a.until, START + 9 * SECOND + 13500000);
	assert_int_equal(leases_next(&h.ls), START + 10 * SECOND);
}

/* The row is read although it is locked: it may show that the lease is lost. */
static void test_a_locked_row_shows_a_lost_lease(void **state)
{
	const struct lease_row row = other(8, 0);

	(void)state;
	take(START, 7);
	assert_true(leases_begin(&h.ls, START + 5 * SECOND));
	assert_true(lease_locked(&h.ls, &h.a, &row, START + 5 * SECOND));
	leases_end(&h.ls);
	assert_int_equal(h.a.state, LEASE_STANDBY);
	assert_int_not_equal(leases_next(&h.ls), 0);
}

/* If a standby finds the row locked, it continues as after a read of the row. */
static void test_a_locked_row_is_taken_when_it_is_free(void **state)
{
	(void)state;
	lease_want(&h.ls, &h.a);
	find_locked(START, LEASE_ASK_TAKE_FREE, other(7, 3));
	for (uint64_t at = START + SECOND; at < START + 15 * SECOND; at += SECOND)
		ask(at, LEASE_ASK_TAKE_FREE, false, other(7, 3));
	find_locked(START + 16 * SECOND, LEASE_ASK_TAKE, other(7, 3));
	ask(START + 17 * SECOND, LEASE_ASK_TAKE, true, mine(8, 0));
}

/* A failover: a lease whose time is over is not renewed, because another host may have taken it in
 * the lost commits. A lease whose time is not over is renewed. */
static void test_a_failover_ends_a_held_lease(void **state)
{
	(void)state;
	take(START, 7);
	leases_disconnected(&h.ls);
	leases_connected(&h.ls, START + 13 * SECOND, 2, false);
	ask(START + 13 * SECOND, LEASE_ASK_RENEW, true, mine(7, 1));
	leases_disconnected(&h.ls);
	leases_connected(&h.ls, START + 30 * SECOND, 3, false);
	assert_int_equal(h.a.state, LEASE_STANDBY);
	ask(START + 30 * SECOND, LEASE_ASK_READ, false, mine(7, 1));
	assert_int_not_equal(leases_next(&h.ls), 0);
	ask(START + 45 * SECOND, LEASE_ASK_TAKE, true, mine(8, 0));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_spans_follow_from_the_length_of_a_lease, setup),
		cmocka_unit_test_setup(test_nothing_to_ask, setup),
		cmocka_unit_test_setup(test_a_free_lease_is_taken_at_once, setup),
		cmocka_unit_test_setup(test_a_lease_ends_with_its_third_lost_renewal, setup),
		cmocka_unit_test_setup(test_a_refused_renewal_makes_a_standby, setup),
		cmocka_unit_test_setup(test_a_silent_owner_is_replaced_after_a_lease, setup),
		cmocka_unit_test_setup(test_an_owner_that_beats_is_not_replaced, setup),
		cmocka_unit_test_setup(test_a_lease_released_meanwhile_is_taken, setup),
		cmocka_unit_test_setup(test_a_locked_row_makes_no_busy_loop, setup),
		cmocka_unit_test_setup(test_a_hint_brings_the_next_look_at_once, setup),
		cmocka_unit_test_setup(test_an_unwanted_lease_is_released, setup),
		cmocka_unit_test_setup(test_an_unanswered_release_is_asked_again, setup),
		cmocka_unit_test_setup(test_a_lease_taken_without_an_answer_is_taken_anew, setup),
		cmocka_unit_test_setup(
			test_an_unwanted_lease_is_released_after_a_lost_answer, setup),
		cmocka_unit_test_setup(test_a_lease_left_while_it_is_taken_is_released, setup),
		cmocka_unit_test_setup(test_a_standby_leaves_without_asking, setup),
		cmocka_unit_test_setup(test_a_lease_is_lost_under_its_own_term_only, setup),
		cmocka_unit_test_setup(test_one_round_asks_for_all_leases, setup),
		cmocka_unit_test_setup(test_a_failover_makes_a_standby_wait_a_whole_lease, setup),
		cmocka_unit_test_setup(test_a_host_that_starts_after_a_failover_waits, setup),
		cmocka_unit_test_setup(test_one_host_waits_after_a_failover, setup),
		cmocka_unit_test_setup(test_a_failover_ends_a_held_lease, setup),
		cmocka_unit_test_setup(test_a_locked_row_is_renewed_when_it_is_free, setup),
		cmocka_unit_test_setup(test_a_locked_row_shows_a_lost_lease, setup),
		cmocka_unit_test_setup(test_a_locked_row_is_taken_when_it_is_free, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
