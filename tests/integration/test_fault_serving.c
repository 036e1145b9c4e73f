/* SPDX-License-Identifier: MIT */
/*
 * Each call of a serving daemon fails, at each of its uses, with each error of its man page, while
 * clients use all requests. The daemon may end only if a call shows that its own state is broken. A
 * client that was connected before loses no wake, and each acknowledged timer wakes.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon.h"
#include "faulty.h"
#include "sweep.h"
#include "wire.h"

#define MS	 UINT64_C(1000)
#define PATIENCE (20000 * MS)

/* Longer than any call takes here, and shorter than the wait of a client that gets no answer. */
#define TIMEOUT (5000 * MS)

/* More requests than the daemon answers to a client that does not read. */
#define UNREAD 400

/* How many clients wait while there are no descriptors. */
#define CONNECTING 20

/* How many uses of one call fail. Later uses in a flood are like the earlier ones. */
#define USES_MAX 40

static struct faulty f;
static int descriptors; /* of the daemon, without the clients that come and go */
static struct client client;
static struct sweep sweep;

/* Whether to try again. A call may fail only because of the fault, which happens once or twice. */
static bool excused(int r, int tries)
{
	if (!atomic_load(&f.plan->failed) || tries > 3 || r == -ETIMEDOUT)
		fail_msg("a call failed: %s", toytimer_strerror(r));
	return true;
}

static int count_last(toytimer *t, const toytimer_event *event, void *userdata)
{
	unsigned int *n = userdata;

	(void)t;
	assert_int_equal(event->type, TOYTIMER_WOKEN);
	*n += (unsigned int)event->last;
	return 0;
}

static int ignore_listed(const toytimer_listed *listed, void *userdata)
{
	(void)listed, (void)userdata;
	return 0;
}

static toytimer_registration after(
	uint64_t span, enum toytimer_clock clock, const char *label, unsigned int *woken)
{
	return (toytimer_registration){
		.due = span,
		.clock = clock,
		.flags = TOYTIMER_RELATIVE,
		.label = label,
		.handler = count_last,
		.userdata = woken,
	};
}

/* A good client that uses all calls. */
static void do_all(void)
{
	unsigned int woken[4] = {0};
	toytimer_registration r[] = {
		after(1 * MS, TOYTIMER_REALTIME, "one", &woken[0]),
		after(1 * MS, TOYTIMER_BOOTTIME, "three", &woken[1]),
		after(TIMEOUT, TOYTIMER_MONOTONIC, NULL, &woken[2]),
		after(TIMEOUT, TOYTIMER_MONOTONIC, NULL, &woken[3]),
	};
	uint64_t timers[4], until = toytimer_now(TOYTIMER_MONOTONIC) + PATIENCE;
	toytimer_status status;
	toytimer *t;

	r[1].every = 1 * MS;
	r[1].count = 3;
	TRY(toytimer_open(&t, f.socket));
	toytimer_set_timeout(t, TIMEOUT);
	for (size_t i = 0; i < 4; i++)
		TRY(toytimer_register(t, &r[i], &timers[i]));
	r[2].due = 2 * MS;
	TRY(toytimer_rearm(t, timers[2], &r[2]));
	TRY(toytimer_cancel(t, timers[3]));
	TRY(toytimer_list(t, 0, ignore_listed, NULL));
	TRY(toytimer_get_status(t, &status));
	while (toytimer_count(t)) {
		TRY(toytimer_process(t));
		toytimer_wait(t, 1 * MS);
		assert_true(toytimer_now(TOYTIMER_MONOTONIC) < until);
	}
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(woken[i], i < 3);
	toytimer_unref(t);
}

/* A client that sends requests and reads nothing until the daemon stops to read from it. Then it
 * reads all answers. */
static void do_unread(void)
{
	static struct wire w;
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	int answers = 0, asked = 0;

	wire_connect(&w, f.socket);
	codec_begin(&w.writer, w.out, PROTO_HELLO, ++w.serial);
	codec_put(&w.writer, &hello, sizeof(hello));
	wire_send(&w, w.out, codec_end(&w.writer, 0));
	for (; asked < UNREAD; asked++) {
		size_t size;

		codec_begin(&w.writer, w.out, PROTO_STATUS, ++w.serial);
		size = codec_end(&w.writer, 0);
		if (send(w.fd, w.out, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
			break; /* full, or gone */
	}
	wire_sleep_us(3 * MS);
	while (answers < 1 + asked && wire_wait(&w, TIMEOUT / MS) && w.size > 0)
		answers++;
	wire_close(&w);
	assert_true(answers == 1 + asked || atomic_load(&f.plan->failed));
}

/* A client that sends an invalid packet. The daemon closes the connection. */
static void do_wrong(void)
{
	static struct wire w;

	wire_connect(&w, f.socket);
	wire_send(&w, "?", 1);
	while (wire_wait(&w, TIMEOUT / MS) && w.size > 0)
		;
	assert_int_equal(w.size, 0);
	wire_close(&w);
}

static void do_story(void)
{
	do_all();
	do_unread();
	do_wrong();
}

/* The daemon ends. The next one finds everything unchanged. */
static void fatal_point(void)
{
	int status;

	while ((status = faulty_ended(&f)) == FAULTY_SERVES) {
		assert_true(toytimer_process(client.t) >= 0); /* so that there is something to do */
		toytimer_wait(client.t, 1 * MS);
	}
	sweep_end(&sweep, true);
	assert_int_equal(status, 1);
	faulty_check_end(&f, 1);
	assert_int_equal(faulty_start(&f), FAULTY_SERVES);
	client_check(&client);
}

/* Waits until the daemon has released everything of the clients that came and went. */
static void await_descriptors(int wanted)
{
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + PATIENCE;

	while (daemon_count_fds(f.pid) != wanted) {
		assert_true(toytimer_now(TOYTIMER_MONOTONIC) < until);
		wire_sleep_us(1 * MS);
	}
}

static void serving_point(void)
{
	if (sweep_is_fatal(&sweep)) {
		fatal_point();
		return;
	}
	do_story();
	sweep_end(&sweep, false);
	client_check(&client);
	assert_int_equal(faulty_ended(&f), FAULTY_SERVES);
	await_descriptors(descriptors);
}

static void test_serving_survives_each_fault(void **state)
{
	uint32_t counts[FAULT_CALLS_COUNT];

	(void)state;
	client_check(&client);
	descriptors = daemon_count_fds(f.pid);
	sweep_count_uses(&sweep, do_story, USES_MAX, counts);
	sweep_run(&sweep, "serving", counts, serving_point);
	print_message("it had to connect again %llu times\n",
		(unsigned long long)toytimer_get_reconnects(client.t));
	assert_int_equal(faulty_stop(&f), 0);
	faulty_check_end(&f, 0);
}

/* A client whose connection is stored, and removed from the store when the client leaves. */
static void do_stored(void)
{
	struct client c;
	size_t stored = manager_count(&f.manager);

	client_start(&c, f.socket);
	for (int i = 0; manager_count(&f.manager) == stored && i < 25; i++)
		wire_sleep_us(10 * MS);
	client_check(&c);
	toytimer_unref(c.t);
	wire_sleep_us(5 * MS);
}

static void stored_point(void)
{
	do_stored();
	sweep_end(&sweep, false);
	client_check(&client);
	assert_int_equal(faulty_ended(&f), FAULTY_SERVES);
}

/* The calls to systemd. If one fails, only its effect in systemd is lost. */
static void test_failing_calls_to_systemd_cost_no_wake(void **state)
{
	const enum fault_call calls[] = {
		FAULT_sd_notify, FAULT_sd_notifyf, FAULT_sd_pid_notify_with_fds};
	uint32_t all[FAULT_CALLS_COUNT], counts[FAULT_CALLS_COUNT] = {0};

	(void)state;
	sweep_count_uses(&sweep, do_stored, 2, all);
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		counts[calls[i]] = all[calls[i]];
	sweep_run(&sweep, "storing", counts, stored_point);
}

static void limit_descriptors(pid_t pid, rlim_t n)
{
	struct rlimit limit;

	check(prlimit(pid, RLIMIT_NOFILE, NULL, &limit) == 0);
	limit.rlim_cur = n;
	check(prlimit(pid, RLIMIT_NOFILE, &limit, NULL) == 0);
}

/* Descriptors have run out, and connections wait. The daemon tries to accept them only now and
 * then. */
static void test_without_descriptors_the_daemon_seldom_looks(void **state)
{
	static struct wire w[CONNECTING];
	uint32_t before, accepts, waits;
	uint64_t until;

	(void)state;
	limit_descriptors(f.pid, 3);
	for (int i = 0; i < CONNECTING; i++)
		wire_connect(&w[i], f.socket);
	before = atomic_load(&f.plan->counts[FAULT_accept4]);
	waits = atomic_load(&f.plan->counts[FAULT_epoll_wait]);
	until = wire_now(PROTO_CLOCK_MONOTONIC) + 1000 * MS;
	while (wire_now(PROTO_CLOCK_MONOTONIC) < until)
		client_check(&client);
	accepts = atomic_load(&f.plan->counts[FAULT_accept4]) - before;
	waits = atomic_load(&f.plan->counts[FAULT_epoll_wait]) - waits;
	printf("%d connections wait: %u calls of accept4 in 1 s, %u of epoll_wait\n", CONNECTING,
		accepts, waits);
	check(accepts <= 40);
	before += accepts;
	wire_sleep_us(1000 * MS);
	accepts = atomic_load(&f.plan->counts[FAULT_accept4]) - before;
	printf("with nobody else there: %u calls of accept4 in 1 s\n", accepts);
	check(accepts <= 40);
	limit_descriptors(f.pid, 1024);
	for (int i = 0; i < CONNECTING; i++) {
		wire_request(&w[i], PROTO_HELLO,
			&(struct proto_hello){.magic = PROTO_MAGIC, .version = PROTO_VERSION}, 1);
		wire_expect(&w[i], PROTO_HELLO | PROTO_ANSWER);
		wire_close(&w[i]);
	}
	client_check(&client);
	assert_int_equal(faulty_stop(&f), 0);
	faulty_check_end(&f, 0);
}

static int before_each(void **state)
{
	(void)state;
	faulty_init(&f, true);
	sweep.plan = f.plan;
	assert_int_equal(faulty_start(&f), FAULTY_SERVES);
	client_start(&client, f.socket);
	return 0;
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
		cmocka_unit_test_setup_teardown(
			test_serving_survives_each_fault, before_each, after_each),
		cmocka_unit_test_setup_teardown(
			test_failing_calls_to_systemd_cost_no_wake, before_each, after_each),
		cmocka_unit_test_setup_teardown(
			test_without_descriptors_the_daemon_seldom_looks, before_each, after_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
