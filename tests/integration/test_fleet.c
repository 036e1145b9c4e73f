/* SPDX-License-Identifier: MIT */
/*
 * test_fleet [SECONDS [SEED]]   (default: a minute)
 *
 * Three timerqd play three hosts: each has its own timerd, its own sockets, and its own way to the
 * database. Sixty clients put into thirty queues and consume them, while hosts are killed, stopped,
 * frozen for longer than a lease, and cut off from the database.
 *
 * What clients were answered, and each wake that they received, is in a ledger that they share:
 *  - Every timer that was answered as stored is acknowledged once, or is still there.
 *  - No queue is delivered by two hosts at one instant. The instant of a delivery is that at which
 *    timerqd checked its lease: a wake says how late it is then, by the database's clock.
 *  - A term belongs to one host.
 *  - Another host takes over within a lease and a second after a kill, and within a second after a
 *    clean stop. A busy machine may miss this, but not each time.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <inttypes.h>
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

#include "cutter.h"
#include "database.h"
#include "queues.h"
#include "watchdog.h"

#define HOSTS	  3
#define QUEUES	  30
#define CLIENTS	  60
#define CONSUMERS 30
#define TIMERS	  1000000u
#define WAKES	  4000000u
#define TERMS	  1000000u
#define LEASE_US  3000000

/* Putters wait while so many timers are stored and not delivered. One host may serve all queues,
 * and its consumers are fewer than the putters. */
#define BACKLOG 2000u

/* After the faults, the number of timers may stand still for so long; less than STANDSTILL_S. */
#define DRAIN_S 45

/* Longer than any step takes on a busy machine. */
#define STANDSTILL_S 60

struct entry {
	atomic_bool stored, ack_asked;
	atomic_uchar acknowledged; /* how often the acknowledgement was answered */
};

/* A wake as a consumer received it. */
struct received {
	uint64_t term;
	uint64_t checked; /* when timerqd checked its lease, on the database's clock */
	uint16_t queue, host;
};

struct ledger {
	atomic_uint next;	   /* the timer that is put next */
	atomic_uint wakes;	   /* how many entries `received` has */
	atomic_uint stored, asked; /* entries with stored, and with ack_asked */
	atomic_uint steps;	   /* of the test itself, for its watchdog */
	atomic_bool putters_stop, stop;
	atomic_uint wrong;
	atomic_uchar host_of[TERMS]; /* of a term; host + 1; 0: not known */
	struct entry entries[TIMERS];
	struct received received[WAKES];
};

static struct ledger *ledger;
static struct test_queues hosts[HOSTS];
static struct cutter cutters[HOSTS];
static pid_t clients[CLIENTS];
static struct watchdog watchdog;
static unsigned int seconds = 60, seed;

static void wrong(const char *what, unsigned int i)
{
	fprintf(stderr, "%u: %s\n", i, what);
	atomic_fetch_add(&ledger->wrong, 1);
}

static unsigned int dice(unsigned int most)
{
	return (unsigned int)rand_r(&seed) % most;
}

static uint64_t now_us(void)
{
	return toytimer_now(TOYTIMER_BOOTTIME);
}

/* The clients. */

struct client {
	unsigned int host;
};

static void note(const struct client *c, const toytimer_wake *w)
{
	unsigned int at = atomic_fetch_add(&ledger->wakes, 1);
	unsigned char before = 0;

	if (at < WAKES)
		ledger->received[at] = (struct received){
			.term = w->ref.term,
			.checked = w->due + w->late,
			.queue = (uint16_t)strtoul(w->queue + 1, NULL, 10),
			.host = (uint16_t)c->host,
		};
	if (w->ref.term == 0)
		wrong("a wake of a fleet without a term", at);
	else if (w->ref.term >= TERMS)
		wrong("a term is larger than TERMS: the test has no room for it",
			(unsigned int)w->ref.term);
	else if (!atomic_compare_exchange_strong(
			 &ledger->host_of[w->ref.term], &before, (unsigned char)(c->host + 1)) &&
		before != c->host + 1)
		wrong("a term belongs to two hosts", (unsigned int)w->ref.term);
}

static int woken(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	struct entry *e = &ledger->entries[strtoul(w->key, NULL, 10)];

	note(userdata, w);
	if (dice(50) == 0)
		usleep(dice(20000));
	if (!atomic_exchange(&e->ack_asked, true))
		atomic_fetch_add(&ledger->asked, 1);
	if (toytimer_queue_ack(q, &w->ref) == 0)
		atomic_fetch_add(&e->acknowledged, 1);
	return 0;
}

/* Each queue has a consumer on each host. */
static void consume_all(toytimer_queue *q, unsigned int number, struct client *c)
{
	for (unsigned int i = number / HOSTS; i < QUEUES; i += CONSUMERS / HOSTS) {
		toytimer_queue_consumer consumer = {
			.handler = woken,
			.userdata = c,
			.window = 1 + dice(10),
		};
		char name[16];

		snprintf(name, sizeof(name), "q%u", i);
		while (!atomic_load(&ledger->stop) &&
			toytimer_queue_consume(q, name, &consumer) < 0)
			usleep(20000);
	}
}

static void run_consumer(toytimer_queue *q, unsigned int number, struct client *c)
{
	consume_all(q, number, c);
	while (!atomic_load(&ledger->stop))
		if (toytimer_queue_process(q) == 0)
			toytimer_queue_wait(q, 50000);
}

static bool is_backlog_full(void)
{
	return atomic_load(&ledger->stored) > atomic_load(&ledger->asked) + BACKLOG;
}

static void run_putter(toytimer_queue *q)
{
	while (!atomic_load(&ledger->putters_stop)) {
		toytimer_queue_timer t = {.flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};
		char key[16], queue[16];
		unsigned int i;

		if (is_backlog_full()) {
			usleep(20000);
			continue;
		}
		i = atomic_fetch_add(&ledger->next, 1);
		if (i >= TIMERS) {
			wrong("the test has no room for more timers: TIMERS", i);
			return;
		}
		snprintf(key, sizeof(key), "%u", i);
		snprintf(queue, sizeof(queue), "q%u", dice(QUEUES));
		t.key = key;
		t.due = dice(500000);
		if (toytimer_queue_put(q, queue, &t, NULL) == 0) {
			atomic_store(&ledger->entries[i].stored, true);
			atomic_fetch_add(&ledger->stored, 1);
		}
		usleep(20000 + dice(60000));
	}
}

/* cmocka's handlers would run the rest of the test in this child. */
static void end_by_signals(void)
{
	static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, SIGTERM, SIGINT};

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		signal(signals[i], SIG_DFL);
}

static void run_client(unsigned int number)
{
	struct client c = {.host = number % HOSTS};
	toytimer_queue *q = NULL;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	end_by_signals();
	seed += number * 7919;
	while (toytimer_queue_open(&q, hosts[c.host].socket, 0) < 0) {
		if (atomic_load(&ledger->putters_stop))
			_exit(0);
		usleep(20000);
	}
	toytimer_queue_set_timeout(q, 2 * LEASE_US);
	if (number < CONSUMERS)
		run_consumer(q, number, &c);
	else
		run_putter(q);
	_exit(0);
}

/* The hosts. */

static void start_host(unsigned int h)
{
	hosts[h].has_schema = true;
	queues_start(&hosts[h], "--store", cutters[h].uri, NULL);
}

/* The queues that the host has delivered under their present term. Return: a list for SQL; "0":
 * none. */
static void owned_by(unsigned int h, char *ret, size_t size)
{
	size_t n = (size_t)snprintf(ret, size, "0");

	for (unsigned int i = 0; i < QUEUES; i++) {
		int64_t term = postgres_run(
			"SELECT term FROM timerd.queues WHERE name = 'q%u' AND owner IS NOT NULL",
			i);

		if (term > 0 && term < TERMS && ledger->host_of[term] == h + 1 && n < size)
			n += (size_t)snprintf(ret + n, size - n, ",%" PRId64, term);
	}
}

/* A host that owns queues. One host may own all of them. */
static unsigned int some_owner(void)
{
	unsigned int h = dice(HOSTS);
	char terms[2048];

	for (int tries = 0; tries < 20 * HOSTS; tries++, h = (h + 1) % HOSTS) {
		owned_by(h, terms, sizeof(terms));
		if (strcmp(terms, "0") != 0)
			break;
		usleep(200000);
	}
	return h;
}

/* Waits until none of these terms is the present term of a queue. Return: how long that took. */
static uint64_t wait_for_others(const char *terms, uint64_t since)
{
	while (postgres_run("SELECT count(*) FROM timerd.queues WHERE term IN (%s)", terms) > 0 &&
		now_us() - since < 10 * LEASE_US)
		usleep(20000);
	return now_us() - since;
}

struct takeovers {
	unsigned int n, in_time;
	uint64_t longest;
};

static struct takeovers after_kill, after_stop;

static void count_takeover(struct takeovers *t, uint64_t took, uint64_t bound)
{
	t->n++;
	t->in_time += took <= bound;
	t->longest = took > t->longest ? took : t->longest;
}

static void check_takeovers(const char *what, const struct takeovers *t, unsigned int bound)
{
	if (!t->in_time)
		fail_msg("none of %u takeovers after %s came within %.1f s", t->n, what,
			(double)bound / 1e6);
	if (t->longest >= 5 * LEASE_US)
		fail_msg("a takeover after %s took %.3f s", what, (double)t->longest / 1e6);
}

static void kill_host(unsigned int h)
{
	char terms[2048];
	uint64_t since;

	owned_by(h, terms, sizeof(terms));
	queues_kill(&hosts[h]);
	since = now_us();
	if (strcmp(terms, "0") != 0)
		count_takeover(&after_kill, wait_for_others(terms, since), LEASE_US + 1000000);
	start_host(h);
}

static void stop_host(unsigned int h)
{
	char terms[2048];
	uint64_t since;

	owned_by(h, terms, sizeof(terms));
	since = now_us();
	assert_int_equal(queues_stop(&hosts[h]), 0);
	if (strcmp(terms, "0") != 0)
		count_takeover(&after_stop, wait_for_others(terms, since), 1000000);
	start_host(h);
}

/* A span shorter or longer than a lease. */
static unsigned int some_us(void)
{
	return LEASE_US / 2 + dice(LEASE_US);
}

static void freeze_host(unsigned int h)
{
	assert_int_equal(kill(hosts[h].pid, SIGSTOP), 0);
	usleep(some_us());
	assert_int_equal(kill(hosts[h].pid, SIGCONT), 0);
}

static void cut_host(unsigned int h)
{
	cutter_set(&cutters[h], (enum cutter_mode)(CUTTER_STALL + (int)dice(3)));
	usleep(some_us());
	cutter_set(&cutters[h], CUTTER_PASS);
}

static void disturb(unsigned int turn)
{
	static void (*const ways[])(unsigned int) = {
		kill_host, freeze_host, cut_host, stop_host, cut_host, freeze_host};

	ways[turn % 6](dice(HOSTS));
	atomic_fetch_add(&ledger->steps, 1);
	usleep(dice(1000000));
}

/* The ledger. */

static int by_term(const void *a, const void *b)
{
	const struct received *x = a, *y = b;

	if (x->queue != y->queue)
		return x->queue < y->queue ? -1 : 1;
	if (x->term != y->term)
		return x->term < y->term ? -1 : 1;
	return x->checked < y->checked ? -1 : x->checked > y->checked;
}

/* The terms of a queue follow each other: after the first delivery of a newer term, no delivery of
 * an older one. */
static unsigned int check_terms(void)
{
	unsigned int n = atomic_load(&ledger->wakes), terms = 0;
	struct received *r = ledger->received;

	if (n >= WAKES)
		fail_msg("the test has no room for more wakes than WAKES, %u", WAKES);
	qsort(r, n, sizeof(*r), by_term);
	for (unsigned int i = 1; i < n; i++) {
		if (r[i].queue != r[i - 1].queue || r[i].term == r[i - 1].term)
			continue;
		terms++;
		if (r[i].checked > r[i - 1].checked || r[i].host == r[i - 1].host)
			continue;
		fprintf(stderr,
			"queue %u: host %u under term %" PRIu64 " until %" PRIu64
			", host %u under %" PRIu64 " from %" PRIu64 "\n",
			r[i].queue, r[i - 1].host, r[i - 1].term, r[i - 1].checked, r[i].host,
			r[i].term, r[i].checked);
		wrong("two hosts deliver at one instant", r[i].queue);
	}
	return terms;
}

static void check_ledger(void)
{
	unsigned int n = atomic_load(&ledger->next), stored = 0, acknowledged = 0;
	unsigned int terms = check_terms();

	for (unsigned int i = 0; i < n && i < TIMERS; i++) {
		const struct entry *e = &ledger->entries[i];

		stored += e->stored;
		acknowledged += e->acknowledged;
		if (e->stored && !e->ack_asked)
			wrong("is lost", i);
		if (e->acknowledged > 1)
			wrong("is acknowledged twice", i);
	}
	print_message("%u timers stored, %u acknowledged, %u wakes, %u changes of a queue's host, "
		      "last term %" PRId64 "\n",
		stored, acknowledged, atomic_load(&ledger->wakes), terms,
		postgres_run("SELECT term FROM timerd.meta"));
	print_message("takeovers after a kill: %u, %u in time, the longest %.3f s; after a clean "
		      "stop: %u, %u in time, the longest %.3f s\n",
		after_kill.n, after_kill.in_time, (double)after_kill.longest / 1e6, after_stop.n,
		after_stop.in_time, (double)after_stop.longest / 1e6);
	assert_true(stored > 100 && acknowledged > 100 && terms > 0);
	if (atomic_load(&ledger->wrong))
		fail_msg("%u faults: the lines above name them", atomic_load(&ledger->wrong));
}

/* The watchdog. */

static uint64_t progress(void)
{
	return (uint64_t)atomic_load(&ledger->wakes) + atomic_load(&ledger->steps);
}

static void say_state(void)
{
	char command[512];

	fprintf(stderr, "%u timers, %u wakes, %u steps; putters %s, consumers %s\n",
		atomic_load(&ledger->next), atomic_load(&ledger->wakes),
		atomic_load(&ledger->steps), atomic_load(&ledger->putters_stop) ? "stop" : "run",
		atomic_load(&ledger->stop) ? "stop" : "run");
	for (unsigned int h = 0; h < HOSTS; h++) {
		fprintf(stderr, "== host %u, timerqd %d, cutter %d\n", h, (int)hosts[h].pid,
			(int)cutters[h].pid);
		snprintf(command, sizeof(command),
			"timeout 10 '%s' --queue-socket '%s' status --queues >&2;"
			" tail -n 20 '%s' >&2",
			daemon_binary("TOYTIMERCTL_BINARY"), hosts[h].socket, hosts[h].timerd.log);
		if (system(command))
			fprintf(stderr, "(no answer)\n");
	}
	postgres_print("SELECT pid, state, wait_event_type, wait_event, query_start, query"
		       " FROM pg_stat_activity WHERE backend_type = 'client backend'");
	postgres_print("SELECT number, name, owner, term, beat, (SELECT count(*) FROM"
		       " timerd.timers WHERE queue = number) AS timers FROM timerd.queues");
}

/* With all hosts running, everything that is stored is delivered and acknowledged, also on a slow
 * machine. */
static void drain(void)
{
	uint64_t moved = now_us();
	int64_t rows, before = 0;

	while ((rows = postgres_run("SELECT count(*) FROM timerd.timers"))) {
		if (rows != before)
			moved = now_us();
		before = rows;
		if (now_us() - moved >= DRAIN_S * UINT64_C(1000000)) {
			say_state();
			fail_msg("%" PRId64 " timers are stored, and for %d s their number has "
				 "not changed, though all hosts run",
				rows, DRAIN_S);
		}
		usleep(200000);
	}
}

static int begin(void **state)
{
	(void)state;
	ledger = mmap(
		NULL, sizeof(*ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(ledger != MAP_FAILED);
	postgres_reset(daemon_binary("TIMERQD_BINARY"), LEASE_US);
	for (unsigned int h = 0; h < HOSTS; h++) {
		cutter_start(&cutters[h], postgres.folder);
		start_host(h);
	}
	watchdog_start(&watchdog, progress, STANDSTILL_S, say_state);
	return 0;
}

static int end(void **state)
{
	(void)state;
	watchdog_stop(&watchdog);
	for (unsigned int i = 0; i < CLIENTS; i++)
		if (clients[i]) {
			kill(clients[i], SIGKILL);
			waitpid(clients[i], NULL, 0);
			clients[i] = 0;
		}
	for (unsigned int h = 0; h < HOSTS; h++) {
		if (hosts[h].pid)
			kill(hosts[h].pid, SIGCONT);
		queues_clean(&hosts[h]);
		cutter_stop(&cutters[h]);
	}
	munmap(ledger, sizeof(*ledger));
	return 0;
}

/* cmocka takes SIGSYS as a failure of the test, which cleans up then. */
static void end_early(int number)
{
	(void)number;
	raise(SIGSYS);
}

static void test_fleet(void **state)
{
	uint64_t until;

	(void)state;
	signal(SIGTERM, end_early);
	signal(SIGINT, end_early);
	print_message("seed %u, %u s\n", seed, seconds);
	fflush(NULL);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		clients[i] = fork();
		assert_true(clients[i] >= 0);
		if (clients[i] == 0)
			run_client(i);
	}
	usleep(2000000);
	until = now_us() + (uint64_t)seconds * 1000000;
	for (unsigned int turn = 0; now_us() < until || turn < 6; turn++)
		disturb(turn);
	/* On a busy machine, tries again. */
	for (int i = 0; !after_kill.in_time && i < 5; i++)
		kill_host(some_owner());
	for (int i = 0; !after_stop.in_time && i < 5; i++)
		stop_host(some_owner());
	atomic_store(&ledger->putters_stop, true);
	drain();
	atomic_store(&ledger->stop, true);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		int status;

		assert_int_equal(waitpid(clients[i], &status, 0), clients[i]);
		clients[i] = 0;
		if (status)
			fail_msg("client %u ended with status %#x", i, (unsigned int)status);
	}
	check_ledger();
	check_takeovers("a kill", &after_kill, LEASE_US + 1000000);
	check_takeovers("a clean stop", &after_stop, 1000000);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_fleet, begin, end),
	};
	int at = 1;

	seed = (unsigned int)time(NULL);
	if (at < argc)
		seconds = (unsigned int)strtoul(argv[at++], NULL, 10);
	if (at < argc)
		seed = (unsigned int)strtoul(argv[at], NULL, 10);
	return queues_run(tests);
}
