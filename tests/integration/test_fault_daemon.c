/* SPDX-License-Identifier: MIT */
/*
 * Each call of the daemon fails, at each of its uses, with each error of its man page, while the
 * daemon starts and while it adopts the state of a killed daemon. test_fault_serving.c has the rest
 * of its life. The daemon must end with a clear line and status 1, or serve. It must release
 * everything at its end, and keep each timer that it has acknowledged; if the connection has ended,
 * the library registers the timers again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "faulty.h"
#include "sweep.h"
#include "wire.h"

static struct faulty f;
static struct client client;
static struct sweep sweep;

/* Checks that a new client is served. */
static void check_serves(void)
{
	struct client c;

	client_start(&c, f.socket);
	client_check(&c);
	toytimer_unref(c.t);
}

/* Waits for the end of the daemon, if the armed fault causes one. Return: as faulty_start(). */
static int await_fatal(void)
{
	int status = FAULTY_SERVES;

	for (int i = 0; status == FAULTY_SERVES && (i < 20 || atomic_load(&f.plan->failed)); i++) {
		wire_sleep_us(1000);
		status = faulty_ended(&f);
	}
	return status;
}

static int start(void)
{
	int status = faulty_start(&f);

	return status == FAULTY_SERVES && sweep_is_fatal(&sweep) ? await_fatal() : status;
}

static void start_point(void)
{
	int status = start();

	sweep_end(&sweep, status != FAULTY_SERVES);
	if (status == FAULTY_SERVES) {
		check_serves();
		assert_int_equal(faulty_stop(&f), 0);
		faulty_check_end(&f, 0);
		return;
	}
	assert_int_equal(status, 1);
	faulty_check_end(&f, 1);
}

static void test_the_start_survives_each_fault(void **state)
{
	uint32_t counts[FAULT_CALLS_COUNT];

	(void)state;
	faulty_init(&f, false);
	sweep.plan = f.plan;
	assert_int_equal(faulty_start(&f), FAULTY_SERVES);
	sweep_copy_counts(&sweep, counts);
	check_serves();
	assert_int_equal(faulty_stop(&f), 0);
	sweep_run(&sweep, "start", counts, start_point);
}

static void adopt_point(void)
{
	int status = start();

	sweep_end(&sweep, status != FAULTY_SERVES);
	if (status != FAULTY_SERVES) {
		assert_int_equal(status, 1);
		faulty_check_end(&f, 1);
		assert_int_equal(faulty_start(&f), FAULTY_SERVES);
	}
	client_check(&client);
	/* The memory and the connection, which may be a new one. */
	manager_await(&f.manager, 2);
	faulty_kill(&f);
}

static void test_adoption_survives_each_fault(void **state)
{
	uint32_t counts[FAULT_CALLS_COUNT];

	(void)state;
	faulty_init(&f, true);
	sweep.plan = f.plan;
	assert_int_equal(faulty_start(&f), FAULTY_SERVES);
	client_start(&client, f.socket);
	manager_await(&f.manager, 2);
	faulty_kill(&f);
	assert_int_equal(faulty_start(&f), FAULTY_SERVES);
	sweep_copy_counts(&sweep, counts);
	client_check(&client);
	assert_int_equal(toytimer_get_reconnects(client.t), 0);
	faulty_kill(&f);
	sweep_run(&sweep, "adoption", counts, adopt_point);
	print_message("it had to connect again %llu times\n",
		(unsigned long long)toytimer_get_reconnects(client.t));
}

static int after_each(void **state)
{
	(void)state;
	sweep_tell(&sweep);
	client.t = toytimer_unref(client.t);
	faulty_clean(&f);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_the_start_survives_each_fault, after_each),
		cmocka_unit_test_teardown(test_adoption_survives_each_fault, after_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
