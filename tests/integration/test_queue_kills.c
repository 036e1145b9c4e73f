/* SPDX-License-Identifier: MIT */
/*
 * test_queue_kills [KILLS [SEED]]   (200)
 *
 * Fifty clients put, cancel, consume, crash and connect again, while timerd, timerqd or both are
 * killed at random. What clients were answered is in a ledger that they share:
 *  - Every timer that was answered as stored is acknowledged, parked, cancelled or still there.
 *  - What was answered as acknowledged never comes again.
 *  - A wake comes again only after timerqd or a consumer was killed.
 *  - A put is stored once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <toytimer-queue.h>
#include <unistd.h>

#include "queues.h"

#define PUTTERS	  30
#define CONSUMERS 20
#define CLIENTS	  (PUTTERS + CONSUMERS)
#define TIMERS	  1000000u
#define WINDOW	  5 /* the largest of a consumer */

struct entry {
	atomic_bool stored, acknowledged, ack_asked, cancel_asked, parked;
	atomic_uint
		epoch; /* the number of kills before its last delivery, plus 1; 0: not delivered */
	atomic_ullong id;
};

struct ledger {
	atomic_uint next; /* the timer that is put next */
	/* Grows by one before timerqd or a consumer is killed, and again once nothing of it is
	 * under way any more. While it is odd, any wake may come again. */
	atomic_uint kills;
	atomic_bool stop;
	atomic_uint wrong;
	atomic_uint delivered, repeated;
	atomic_uint handed_out[CLIENTS]; /* see consumers_notice() */
	struct entry entries[TIMERS];
};

static struct ledger *ledger;
static struct test_queues d;

static void wrong(const char *what, unsigned int i)
{
	fprintf(stderr, "timer %u: %s\n", i, what);
	atomic_fetch_add(&ledger->wrong, 1);
}

static unsigned int dice(unsigned int *seed, unsigned int most)
{
	return (unsigned int)rand_r(seed) % most;
}

struct consumer {
	unsigned int *seed;
	atomic_uint *handed_out;
};

static int woken(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	struct consumer *self = userdata;
	unsigned int i = (unsigned int)strtoul(w->key, NULL, 10);
	struct entry *e = &ledger->entries[i];
	unsigned int now = atomic_load(&ledger->kills) + 1, before;
	unsigned long long id = 0;
	bool again = atomic_load(&e->acknowledged), stored;

	if (!atomic_compare_exchange_strong(&e->id, &id, w->ref.id) && id != w->ref.id)
		wrong("is stored twice", i);
	before = atomic_exchange(&e->epoch, now);
	atomic_fetch_add(&ledger->delivered, 1);
	atomic_fetch_add(&ledger->repeated, before != 0);
	if (before == now && now % 2)
		wrong("comes again though nobody was killed", i);
	atomic_fetch_add(self->handed_out, 1);
	if (dice(self->seed, 50) == 0)
		usleep(1000);
	atomic_store(&e->ack_asked, true);
	stored = toytimer_queue_ack(q, &w->ref) == 0;
	/* `now` is even while a kill is under way. Then this consumer may hand out what the dead
	 * timerqd had sent it, after another consumer got it from the next timerqd. The connection
	 * has gone, so this second acknowledgement fails. */
	if (again && (stored || now % 2))
		wrong("comes again after its acknowledgement was answered", i);
	if (stored)
		atomic_store(&e->acknowledged, true);
	return 0;
}

static void run_consumer(toytimer_queue *q, unsigned int number, unsigned int *seed)
{
	struct consumer self = {.seed = seed, .handed_out = &ledger->handed_out[number]};
	toytimer_queue_consumer c = {.handler = woken, .userdata = &self};

	c.window = 1 + dice(seed, WINDOW);
	while (!atomic_load(&ledger->stop) && toytimer_queue_consume(q, "kills", &c) < 0)
		usleep(1000);
	while (!atomic_load(&ledger->stop)) {
		if (toytimer_queue_process(q) != 0)
			continue;
		atomic_fetch_add(self.handed_out, WINDOW + 1);
		toytimer_queue_wait(q, 10000);
	}
	toytimer_queue_detach(q, "kills");
}

static void put_one(toytimer_queue *q, unsigned int *seed)
{
	unsigned int i = atomic_fetch_add(&ledger->next, 1);
	toytimer_queue_stored stored;
	toytimer_queue_timer t = {.flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};
	char key[16];

	if (i >= TIMERS)
		return;
	snprintf(key, sizeof(key), "%u", i);
	t.key = key;
	t.due = dice(seed, 300000);
	t.max_attempts = dice(seed, 10) == 0 ? 2 : 0;
	if (toytimer_queue_put(q, "kills", &t, &stored) < 0)
		return;
	atomic_store(&ledger->entries[i].stored, true);
	if (dice(seed, 8))
		return;
	atomic_store(&ledger->entries[i].cancel_asked, true);
	toytimer_queue_cancel(q, "kills", stored.id, NULL);
}

static void run_client(unsigned int number, unsigned int seed)
{
	toytimer_queue *q = NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (toytimer_queue_open(&q, d.socket, 0) < 0) {
		if (atomic_load(&ledger->stop))
			_exit(0);
		usleep(5000);
	}
	if (number >= PUTTERS)
		run_consumer(q, number, &seed);
	while (number < PUTTERS && !atomic_load(&ledger->stop)) {
		put_one(q, &seed);
		usleep(dice(&seed, 60000));
	}
	toytimer_queue_unref(q);
	_exit(0);
}

static pid_t start_client(unsigned int number, unsigned int seed)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		run_client(number, seed);
	return pid;
}

static void crash_client(pid_t *clients, unsigned int *seed)
{
	unsigned int i = dice(seed, CLIENTS);

	atomic_fetch_add(&ledger->kills, i >= PUTTERS);
	assert_int_equal(kill(clients[i], SIGKILL), 0);
	assert_int_equal(waitpid(clients[i], NULL, 0), clients[i]);
	/* All that this consumer had handed out was before this. */
	atomic_fetch_add(&ledger->kills, i >= PUTTERS);
	clients[i] = start_client(i, dice(seed, 1u << 30));
}

/* Waits until each consumer has handed out the wakes that the dead timerqd had sent: at most a
 * window, fewer if the consumer then found no more. Wakes that were in flight when timerqd died do
 * not count. */
static void consumers_notice(void)
{
	for (unsigned int i = PUTTERS; i < CLIENTS; i++) {
		unsigned int first = atomic_load(&ledger->handed_out[i]);

		for (int ms = 0; atomic_load(&ledger->handed_out[i]) - first <= WINDOW + 1; ms++) {
			assert_true(ms < 60000);
			usleep(1000);
		}
	}
}

static void kill_daemons(unsigned int *seed)
{
	unsigned int which = dice(seed, 3);

	atomic_fetch_add(&ledger->kills, which != 0);
	if (which != 0)
		queues_kill(&d);
	if (which != 1)
		daemon_kill(&d.timerd);
	if (dice(seed, 4) == 0)
		usleep(dice(seed, 50000));
	queues_start(&d, NULL);
	if (which != 0)
		consumers_notice();
	atomic_fetch_add(&ledger->kills, which != 0);
}

static int note_parked(const toytimer_queue_listed *l, void *userdata)
{
	(void)userdata;
	atomic_store(&ledger->entries[strtoul(l->key, NULL, 10)].parked, true);
	return 0;
}

static int count_listed(const toytimer_queue_listed *l, void *userdata)
{
	*(size_t *)userdata += l->state != TOYTIMER_QUEUE_PARKED;
	return 0;
}

/* Consumes all timers that remain. */
static void drain(unsigned int seed)
{
	toytimer_queue *q = NULL;
	struct consumer self = {.seed = &seed, .handed_out = &ledger->handed_out[0]};
	toytimer_queue_consumer c = {.window = 1000, .handler = woken, .userdata = &self};
	size_t left = 1;

	assert_int_equal(toytimer_queue_open(&q, d.socket, 0), 0);
	assert_int_equal(toytimer_queue_consume(q, "kills", &c), 0);
	for (int i = 0; left && i < 200; i++) {
		for (int ms = 0; ms < 100; ms += 10)
			while (toytimer_queue_process(q) > 0)
				;
		toytimer_queue_wait(q, 100000);
		left = 0;
		assert_int_equal(toytimer_queue_list(q, "kills", 0, count_listed, &left), 0);
	}
	assert_int_equal(left, 0);
	assert_int_equal(toytimer_queue_parked(q, "kills", note_parked, NULL), 0);
	toytimer_queue_unref(q);
}

static void check_ledger(void)
{
	unsigned int n = atomic_load(&ledger->next), stored = 0, acknowledged = 0, parked = 0;

	for (unsigned int i = 0; i < n && i < TIMERS; i++) {
		struct entry *e = &ledger->entries[i];

		stored += e->stored;
		acknowledged += e->acknowledged;
		parked += e->parked;
		if (e->stored && !e->ack_asked && !e->cancel_asked && !e->parked)
			wrong("is lost", i);
		if (e->parked && e->acknowledged)
			wrong("is parked and acknowledged", i);
	}
	print_message(
		"%u timers stored, %u acknowledged, %u parked; %u wakes, %u of them repeated\n",
		stored, acknowledged, parked, atomic_load(&ledger->delivered),
		atomic_load(&ledger->repeated));
	assert_true(stored > 100 && acknowledged > 100);
	assert_int_equal(atomic_load(&ledger->wrong), 0);
}

static unsigned int kills = 200, first_seed;

static void test_no_timer_is_lost_over_kills(void **state)
{
	unsigned int seed = first_seed;
	pid_t clients[CLIENTS];
	int status;

	(void)state;
	print_message("seed %u\n", seed);
	ledger = mmap(
		NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(ledger != MAP_FAILED);
	queues_start(&d, NULL);
	for (unsigned int i = 0; i < CLIENTS; i++)
		clients[i] = start_client(i, dice(&seed, 1u << 30));
	for (unsigned int i = 0; i < kills; i++) {
		usleep(dice(&seed, 150000));
		kill_daemons(&seed);
		if (dice(&seed, 3) == 0)
			crash_client(clients, &seed);
	}
	atomic_store(&ledger->stop, true);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		assert_int_equal(waitpid(clients[i], &status, 0), clients[i]);
		assert_int_equal(status, 0);
	}
	/* The consumers have ended. */
	atomic_fetch_add(&ledger->kills, 2);
	drain(seed);
	check_ledger();
	queues_clean(&d);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_timer_is_lost_over_kills),
	};

	if (argc > 1)
		kills = (unsigned int)strtoul(argv[1], NULL, 10);
	first_seed = argc > 2 ? (unsigned int)strtoul(argv[2], NULL, 10) : (unsigned int)time(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
