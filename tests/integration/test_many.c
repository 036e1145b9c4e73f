/* SPDX-License-Identifier: MIT */
/*
 * Many clients at once, without the library: processes with many timers, cancels that race with
 * wakes, clients that read slowly, clients that disconnect, and listings while timers change.
 */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "wire.h"

#define CLIENTS	   100
#define PER_CLIENT 100
#define HOUR	   UINT64_C(3600000000)

static struct test_daemon d;
static struct wire wire, other;

/* A timer as its client knows it. */
struct mine {
	uint64_t id, due;
	enum proto_clock clock;
	bool woken;
};

/* Reproducible: xorshift of 64 bits (Marsaglia, 2003). */
static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void take_answers(struct wire *w, struct mine *mine, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		struct proto_registered registered;

		wire_get(w, i, &registered);
		check(registered.status == PROTO_OK);
		mine[i].id = registered.id;
		mine[i].due = registered.due;
	}
}

/* Wakes of one clock come by their due, those of equal dues by their place in the batch. */
static void take_wakes(struct wire *w, struct mine *mine, uint32_t n)
{
	uint32_t last[PROTO_CLOCKS] = {n, n, n};

	for (uint32_t left = n; left > 0;) {
		wire_expect(w, PROTO_WAKE);
		for (uint32_t i = 0; i < w->header.count; i++, left--) {
			struct proto_wake wake;
			struct mine *m;
			uint32_t before;

			wire_get(w, i, &wake);
			check(wake.cookie < n);
			m = &mine[wake.cookie];
			check(wire_now(m->clock) >= wake.due);
			check(wake.id == m->id && wake.due == m->due);
			check(wake.number == 1 && wake.flags == PROTO_WAKE_LAST);
			check(!m->woken);
			m->woken = true;
			before = last[m->clock];
			if (before < n)
				check(mine[before].due < m->due ||
					(mine[before].due == m->due && before < wake.cookie));
			last[m->clock] = (uint32_t)wake.cookie;
		}
	}
	check(!wire_wait(w, 50)); /* no wake comes twice */
}

static void be_one_of_many(uint64_t seed)
{
	struct mine mine[PER_CLIENT] = {0};
	uint64_t base[PROTO_CLOCKS];

	wire_open(&wire, daemon_socket(&d));
	for (enum proto_clock clock = 0; clock < PROTO_CLOCKS; clock++)
		base[clock] = wire_now(clock);
	wire_begin(&wire, PROTO_REGISTER);
	for (uint32_t i = 0; i < PER_CLIENT; i++) {
		/* one of 100 milliseconds: many dues are equal */
		uint64_t in = 300000 + random_next(&seed) % 100 * 1000;

		mine[i].clock = (enum proto_clock)(random_next(&seed) % PROTO_CLOCKS);
		wire_put(&wire,
			&(struct proto_register){.cookie = i,
				.clock = (uint8_t)mine[i].clock,
				.due = base[mine[i].clock] + in,
				.slack = random_next(&seed) % 3 * 10000});
	}
	wire_end(&wire, 0);
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	take_answers(&wire, mine, PER_CLIENT);
	take_wakes(&wire, mine, PER_CLIENT);
	_exit(0);
}

static void test_many_clients_get_every_wake(void **state)
{
	struct proto_status_answer before, after;
	pid_t pids[CLIENTS];

	(void)state;
	wire_status(daemon_socket(&d), &before);
	for (uint64_t i = 0; i < CLIENTS; i++) {
		pids[i] = wire_fork();
		if (pids[i] == 0)
			be_one_of_many(0x9e3779b97f4a7c15 * (i + 1));
	}
	for (size_t i = 0; i < CLIENTS; i++)
		wire_join(pids[i]);
	wire_status(daemon_socket(&d), &after);
	check(after.registered - before.registered == CLIENTS * PER_CLIENT);
	check(after.woken - before.woken == CLIENTS * PER_CLIENT);
	check(after.timers == 0);
	print_message("%d timers of %d clients: %" PRIu64 " alarms; late: median %" PRIu64
		      " us, p99 %" PRIu64 " us\n",
		CLIENTS * PER_CLIENT, CLIENTS, after.wakeups - before.wakeups, after.late_p50,
		after.late_p99);
}

/* Reads until the cancel's answer. Return: whether the wake came before it. */
static bool woken_before_answer(struct wire *w, uint64_t id)
{
	bool woken = false;

	for (;;) {
		struct proto_wake wake;

		check(wire_wait(w, WIRE_PATIENCE_MS) && w->size > 0);
		if (w->header.opcode == (PROTO_CANCEL | PROTO_ANSWER))
			return woken;
		check(w->header.opcode == PROTO_WAKE && w->header.count == 1);
		wire_get(w, 0, &wake);
		check(wake.id == id && !woken);
		woken = true;
	}
}

/* One timer and one cancel at a time. The cancel is sent around the instant at which the timer is
 * due. */
static void test_a_timer_wakes_or_is_cancelled(void **state)
{
	unsigned int wakes = 0, cancels = 0;
	uint64_t seed = 42;

	(void)state;
	wire_open(&wire, daemon_socket(&d));
	for (int round = 0; round < 2000; round++) {
		const struct proto_register r = {.due = 300, .flags = PROTO_RELATIVE};
		struct proto_cancel_answer answer;
		struct proto_registered registered;
		bool woken;

		wire_request(&wire, PROTO_REGISTER, &r, 1);
		wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
		wire_get(&wire, 0, &registered);
		for (uint64_t until = registered.due - 100 + random_next(&seed) % 200;
			wire_now(PROTO_CLOCK_MONOTONIC) < until;)
			;
		wire_request(&wire, PROTO_CANCEL, &registered.id, 1);
		woken = woken_before_answer(&wire, registered.id);
		wire_get(&wire, 0, &answer);
		check(answer.status == (woken ? PROTO_E_NO_SUCH_TIMER : PROTO_OK));
		*(woken ? &wakes : &cancels) += 1;
	}
	check(!wire_wait(&wire, 20));
	wire_close(&wire);
	print_message("cancels won %u times, wakes %u times\n", cancels, wakes);
	check(cancels > 0 && wakes > 0);
}

/* The same for many timers. Each one has a wake or a successful cancel, never both and never
 * neither. */
static void test_each_of_many_timers_wakes_or_is_cancelled(void **state)
{
	enum { N = 1000 };
	static struct mine mine[N];
	static uint64_t ids[N];
	uint32_t wakes = 0, cancels = 0;

	(void)state;
	memset(mine, 0, sizeof(mine));
	wire_open(&wire, daemon_socket(&d));
	wire_begin(&wire, PROTO_REGISTER);
	for (uint32_t i = 0; i < N; i++)
		wire_put(&wire,
			&(struct proto_register){
				.cookie = i, .due = 5000 + i * 20, .flags = PROTO_RELATIVE});
	wire_end(&wire, 0);
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	take_answers(&wire, mine, N);
	for (uint32_t i = 0; i < N; i++)
		ids[i] = mine[i].id;
	wire_sleep_us(12000);
	wire_request(&wire, PROTO_CANCEL, ids, N);
	do {
		check(wire_wait(&wire, WIRE_PATIENCE_MS) && wire.size > 0);
		for (uint32_t i = 0; wire.header.opcode == PROTO_WAKE && i < wire.header.count;
			i++) {
			struct proto_wake wake;

			wire_get(&wire, i, &wake);
			check(wake.cookie < N && !mine[wake.cookie].woken);
			mine[wake.cookie].woken = true;
			wakes++;
		}
	} while (wire.header.opcode == PROTO_WAKE);
	check(wire.header.count == N);
	for (uint32_t i = 0; i < N; i++) {
		struct proto_cancel_answer answer;

		wire_get(&wire, i, &answer);
		check((answer.status == PROTO_OK) == !mine[i].woken);
		cancels += answer.status == PROTO_OK;
	}
	check(wakes + cancels == N);
	check(!wire_wait(&wire, 50));
	wire_close(&wire);
	print_message("%u woken, %u cancelled\n", wakes, cancels);
}

/* While the client does not read, its socket holds one wake. The next wake counts all periods
 * that have passed. */
static void test_a_slow_reader_gets_one_wake_that_counts_all(void **state)
{
	const struct proto_register r = {.due = 5000, .every = 5000, .flags = PROTO_RELATIVE};
	struct proto_registered registered;
	struct proto_wake wake;
	uint64_t due;

	(void)state;
	wire_open(&wire, daemon_socket(&d));
	wire_request(&wire, PROTO_REGISTER, &r, 1);
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	wire_get(&wire, 0, &registered);
	due = registered.due;
	wire_sleep_us(500000);
	for (uint32_t number = 1; number <= 4; number++) {
		wire_expect(&wire, PROTO_WAKE);
		check(wire.header.count == 1);
		wire_get(&wire, 0, &wake);
		check(wake.due == due && wake.number == number && wake.flags == 0);
		check(wake.overruns == wake.late / r.every);
		if (number == 1)
			check(wake.overruns < 90); /* sent when it was due, or nearly */
		if (number == 2)
			check(wake.overruns >= 90);
		due += (wake.overruns + 1) * r.every;
	}
	wire_close(&wire);
}

/* Sends packets until the socket is full. Return: how many. */
static uint64_t send_without_reading(void)
{
	uint64_t first = wire.serial, stuck_since = 0;

	for (;;) {
		uint64_t now = wire_now(PROTO_CLOCK_MONOTONIC);
		size_t size;

		wire_begin(&wire, PROTO_STATUS);
		size = codec_end(&wire.writer, 0);
		if (send(wire.fd, wire.out, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size) {
			stuck_since = 0;
			continue;
		}
		check(errno == EAGAIN);
		wire.serial--;
		if (stuck_since == 0)
			stuck_since = now;
		if (now - stuck_since > 200000)
			return wire.serial - first;
		wire_sleep_us(1000);
	}
}

/* The daemon does not read from a client that does not read, so nothing grows. No request is lost
 * either. */
static void test_a_client_that_does_not_read_is_not_read_from(void **state)
{
	struct proto_status_answer status;
	uint64_t sent;

	(void)state;
	wire_open(&wire, daemon_socket(&d));
	for (int round = 0; round < 3; round++) {
		uint64_t serial = wire.serial;

		sent = send_without_reading();
		check(sent > 0 && sent < 10000);
		wire_status(daemon_socket(&d), &status); /* other clients are served */
		for (uint64_t i = 1; i <= sent; i++) {
			wire_expect(&wire, PROTO_STATUS | PROTO_ANSWER);
			check(wire.header.serial == serial + i);
		}
		check(!wire_wait(&wire, 20));
	}
	print_message("%" PRIu64 " requests were in flight\n", sent);
}

/* The clients disconnect in several ways. */
static void test_a_disconnected_client_leaves_no_timer(void **state)
{
	enum { N = 5000 };
	pid_t pid = wire_fork();

	(void)state;
	if (pid == 0) {
		wire_open(&wire, daemon_socket(&d));
		for (uint32_t sent = 0; sent < N; sent += 1000) {
			wire_begin(&wire, PROTO_REGISTER);
			for (uint32_t i = 0; i < 1000; i++)
				wire_put(&wire,
					&(struct proto_register){.due = HOUR + i * i % 977,
						.clock = (uint8_t)(i % 3),
						.flags = PROTO_RELATIVE});
			wire_end(&wire, 0);
			wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
		}
		pause();
	}
	wire_await_timers(daemon_socket(&d), N);
	check(kill(pid, SIGKILL) == 0);
	check(waitpid(pid, NULL, 0) == pid);
	wire_await_timers(daemon_socket(&d), 0);
}

/* Another session of the same user cancels a timer. The owner is told once, and no wake comes. */
static void test_the_owner_is_told_of_anothers_cancellation(void **state)
{
	enum { N = 500 };
	static struct mine mine[N];
	static uint64_t ids[N];
	uint32_t told = 0;

	(void)state;
	wire_open(&wire, daemon_socket(&d));
	wire_open(&other, daemon_socket(&d));
	wire_begin(&wire, PROTO_REGISTER);
	for (uint32_t i = 0; i < N; i++)
		wire_put(&wire, &(struct proto_register){.cookie = i, .due = 200000, .flags = 1});
	wire_end(&wire, 0);
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	take_answers(&wire, mine, N);
	for (uint32_t i = 0; i < N; i++)
		ids[i] = mine[i].id;
	wire_request(&other, PROTO_CANCEL, ids, N);
	wire_expect(&other, PROTO_CANCEL | PROTO_ANSWER);
	while (told < N) {
		wire_expect(&wire, PROTO_CANCELLED);
		for (uint32_t i = 0; i < wire.header.count; i++, told++) {
			struct proto_cancelled cancelled;

			wire_get(&wire, i, &cancelled);
			check(cancelled.cookie == told && cancelled.id == ids[told]);
		}
	}
	check(!wire_wait(&wire, 300));
	wire_close(&wire);
	wire_close(&other);
}

/* A timer that exists during the whole listing is in it once, whatever comes and goes between its
 * packets. */
static void test_a_listing_has_every_timer_that_stays(void **state)
{
	enum { N = 2000 };
	static struct mine mine[N], passing[N];
	uint32_t seen[N] = {0}, found = 0, packets = 0;
	uint64_t cursor = 0, to_cancel = 0;

	(void)state;
	wire_open(&wire, daemon_socket(&d));
	wire_open(&other, daemon_socket(&d));
	for (uint32_t sent = 0; sent < N;
		sent += 500) { /* alternately timers that stay and timers that will be cancelled */
		for (int who = 0; who < 2; who++) {
			struct wire *w = who ? &other : &wire;

			wire_begin(w, PROTO_REGISTER);
			for (uint32_t i = sent; i < sent + 500; i++)
				wire_put(w,
					&(struct proto_register){.cookie = i,
						.due = HOUR,
						.flags = 1,
						.label = "listed"});
			wire_end(w, 0);
			wire_expect(w, PROTO_REGISTER | PROTO_ANSWER);
			take_answers(w, (who ? passing : mine) + sent, 500);
		}
	}
	do {
		wire_begin(&wire, PROTO_LIST);
		wire_put(&wire, &(struct proto_list){0});
		wire_end(&wire, cursor);
		wire_expect(&wire, PROTO_LIST | PROTO_ANSWER);
		cursor = wire.header.cursor;
		packets++;
		for (uint32_t i = 0; i < wire.header.count; i++) {
			struct proto_listed listed;

			wire_get(&wire, i, &listed);
			if (listed.cookie >= N || listed.id != mine[listed.cookie].id)
				continue;
			check(seen[listed.cookie]++ == 0);
			check(listed.due == mine[listed.cookie].due);
			check(strcmp(listed.label, "listed") == 0);
			check((pid_t)listed.pid == getpid() && listed.uid == getuid());
			found++;
		}
		/* Cancels some of the latter; new timers take their slots. */
		for (int i = 0; i < 100 && to_cancel < N; i++, to_cancel++) {
			wire_request(&other, PROTO_CANCEL, &passing[to_cancel].id, 1);
			wire_expect(&other, PROTO_CANCEL | PROTO_ANSWER);
		}
	} while (cursor);
	check(found == N);
	check(packets > 2 && packets < 50);
	wire_close(&wire);
	wire_close(&other);
}

static int begin(void **state)
{
	(void)state;
	daemon_start(&d, "--max-timers", "100000", NULL);
	return 0;
}

static int after_each(void **state)
{
	(void)state;
	wire_close(&wire);
	wire_close(&other);
	wire_await_timers(daemon_socket(&d), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	check(daemon_stop(&d) == 0);
	daemon_clean(&d);
	return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, after_each)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_many_clients_get_every_wake),
		TEST(test_a_timer_wakes_or_is_cancelled),
		TEST(test_each_of_many_timers_wakes_or_is_cancelled),
		TEST(test_a_slow_reader_gets_one_wake_that_counts_all),
		TEST(test_a_client_that_does_not_read_is_not_read_from),
		TEST(test_a_disconnected_client_leaves_no_timer),
		TEST(test_the_owner_is_told_of_anothers_cancellation),
		TEST(test_a_listing_has_every_timer_that_stays),
	};

	wire.fd = other.fd = -1;
	return cmocka_run_group_tests(tests, begin, end);
}
