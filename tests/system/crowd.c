/* SPDX-License-Identifier: MIT */
/*
 * crowd CLIENTS TIMERS SEED [FOLDER]: clients that detect any failure of the service.
 *
 * Each of CLIENTS processes holds TIMERS timers of all clocks and kinds, and registers, cancels and
 * re-arms timers until SIGTERM. When all are connected, it makes FOLDER/ready. Meanwhile the test
 * kills the daemon again and again. Each client checks that the library keeps its promises:
 *
 * - a wake has exactly the due that was requested, and is not early on its clock;
 * - the next due of a periodic timer is that due plus (overruns + 1) periods: no period is lost or
 *   comes twice;
 * - a one-shot wakes once, a counted timer as often as requested, and the last wake says so;
 * - a cancelled timer never wakes again;
 * - at the end nothing is overdue, and all remaining timers can be cancelled;
 * - the connection is still the first one.
 *
 * The record of a timer is never used again, so that a wake for a dead timer is detected. Prints
 * one line of sums, and a line for each of the first failures; exits with 1 if there was a failure.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <toytimer.h>

#include "../unit/dice.h"

#define MS UINT64_C(1000)
#define S  UINT64_C(1000000)

/* When the kills have ended, no timer may be later than this; and how long the clients wait for
 * that. */
#define OVERDUE_US (2 * S)
#define QUIET_US   (4 * S)

/* At the end, a timer with a due further away is cancelled. */
#define FAR_US (8 * S)

#define BATCH	     16
#define PLANS_MAX    4
#define FAILURES_MAX 20 /* how many failures are printed */

/* The counts of all processes. */
struct sums {
	uint64_t connected, stop;
	uint64_t registered, woken, overruns, cancelled, rearmed, too_late, ended;
	uint64_t reconnects, failures;
	uint64_t late_max;
};

static struct sums *sums;

enum kind {
	ONE_SHOT,
	COUNTED,
	ENDLESS,
	FAR, /* one-shot, not due before the end */
	KINDS,
};

/* The expected wakes of a timer. */
struct plan {
	uint64_t due, every;
	uint32_t count;
};

struct want {
	struct client *client;
	struct want **slot;
	enum kind kind;
	enum toytimer_clock clock;
	uint64_t name;
	/* The due of the first plan is that of the next wake. Each further plan comes from a
	 * re-arming, and becomes the first one when a wake with its due comes. */
	struct plan plans[PLANS_MAX];
	unsigned int plans_count;
	uint32_t woken; /* how many wakes of the first plan have come */
	bool cancelled, ended;
};

struct client {
	unsigned int number;
	toytimer *t;
	struct dice dice;
	struct want **slots;
	size_t size;
};

static void add(uint64_t *sum, uint64_t n)
{
	__atomic_fetch_add(sum, n, __ATOMIC_RELAXED);
}

static void raise_to(uint64_t *most, uint64_t value)
{
	const int order = __ATOMIC_RELAXED;
	uint64_t was = __atomic_load_n(most, order);

	while (value > was && !__atomic_compare_exchange_n(most, &was, value, 1, order, order))
		;
}

static void __attribute__((format(printf, 3, 4)))
fail(const struct client *c, const struct want *w, const char *format, ...)
{
	static const char *const kinds[KINDS] = {"one-shot", "counted", "endless", "far"};
	char text[256];
	va_list list;

	if (__atomic_fetch_add(&sums->failures, 1, __ATOMIC_RELAXED) >= FAILURES_MAX)
		return;
	va_start(list, format);
	vsnprintf(text, sizeof(text), format, list);
	va_end(list);
	if (w)
		printf("client %u, %s timer of clock %d, every %" PRIu64 ", count %" PRIu32
		       ", woken %" PRIu32 ": %s\n",
			c->number, kinds[w->kind], w->clock, w->plans->every, w->plans->count,
			w->woken, text);
	else
		printf("client %u: %s\n", c->number, text);
	fflush(stdout);
}

static void leave_slot(struct want *w)
{
	*w->slot = NULL;
}

static bool is_last(const struct want *w)
{
	return !w->plans->every || (w->plans->count && w->woken == w->plans->count);
}

/* Wakes that were on their way when the timer was re-armed may come before the first wake of the
 * new plan. */
static void choose_plan(struct want *w, uint64_t due)
{
	for (unsigned int i = 1; i < w->plans_count; i++) {
		if (w->plans[i].due != due)
			continue;
		w->plans_count -= i;
		memmove(w->plans, w->plans + i, w->plans_count * sizeof(w->plans[0]));
		w->woken = 0;
		return;
	}
}

/* The due of the newest plan. */
static uint64_t due_of(const struct want *w)
{
	return w->plans[w->plans_count - 1].due;
}

static void check_wake(struct want *w, const toytimer_event *event, uint64_t now)
{
	struct client *c = w->client;

	if (w->cancelled)
		fail(c, w, "woken after it was cancelled");
	if (w->ended)
		fail(c, w, "woken after its last wake");
	if (event->due != w->plans->due)
		fail(c, w, "the wake is for %" PRIu64 ", %+" PRId64 " us from what it should be",
			event->due, (int64_t)(event->due - w->plans->due));
	if (now < event->due)
		fail(c, w, "woken %" PRIu64 " us early", event->due - now);
	if (event->late > now - event->due)
		fail(c, w, "said to be late by %" PRIu64 " us, which is in the future",
			event->late);
}

static int woken(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct want *w = userdata;
	struct client *c = w->client;
	uint64_t now = toytimer_now(w->clock);

	(void)t;
	if (event->type != TOYTIMER_WOKEN) {
		fail(c, w, "event %d, error %d", event->type, event->error);
		return 0;
	}
	choose_plan(w, event->due);
	check_wake(w, event, now);
	w->woken++;
	w->plans->due = event->due + (event->overruns + 1) * w->plans->every;
	if (!event->last != !is_last(w))
		fail(c, w, "this wake is said to be %s last", event->last ? "the" : "not the");
	add(&sums->woken, 1);
	add(&sums->overruns, event->overruns);
	raise_to(&sums->late_max, now - event->due);
	if (event->last) {
		w->ended = true;
		leave_slot(w);
		add(&sums->ended, 1);
	}
	return 0;
}

/* A span from least to most: each power of two has the same chance. */
static uint64_t some_span(struct dice *dice, uint64_t least, uint64_t most)
{
	uint64_t doublings = 0;

	while (least << (doublings + 1) <= most)
		doublings++;
	least <<= dice_below(dice, doublings + 1);
	return least + dice_below(dice, least);
}

static struct plan some_plan(struct client *c, enum kind kind, enum toytimer_clock clock)
{
	struct plan plan = {.due = toytimer_now(clock)};

	if (kind == COUNTED) {
		plan.every = some_span(&c->dice, 4 * MS, 200 * MS);
		plan.count = (uint32_t)(2 + dice_below(&c->dice, 9));
	} else if (kind == ENDLESS) {
		plan.every = some_span(&c->dice, 50 * MS, 4 * S);
	}
	if (kind == FAR)
		plan.due += 3600 * S + dice_below(&c->dice, S);
	else if (!dice_once_in(&c->dice, 16)) /* otherwise due at once */
		plan.due += some_span(&c->dice, 1 * MS, 2 * S);
	return plan;
}

static toytimer_registration registration_of(struct client *c, struct want *w)
{
	toytimer_registration r = {
		.due = w->plans->due,
		.slack = dice_once_in(&c->dice, 2) ? 0 : some_span(&c->dice, 100, 50 * MS),
		.every = w->plans->every,
		.count = w->plans->count,
		.clock = w->clock,
		.label = dice_once_in(&c->dice, 4) ? "crowd" : NULL,
		.handler = woken,
		.userdata = w,
	};

	if (w->clock != TOYTIMER_MONOTONIC && dice_once_in(&c->dice, 8))
		r.flags = TOYTIMER_WAKE_SYSTEM;
	return r;
}

static struct want *new_want(struct client *c, struct want **slot)
{
	static const enum kind kinds[] = {ONE_SHOT, ONE_SHOT, COUNTED, ENDLESS, ENDLESS, FAR};
	struct want *w = calloc(1, sizeof(*w));

	if (!w)
		exit(EXIT_FAILURE);
	w->client = c;
	w->slot = slot;
	w->kind = kinds[dice_below(&c->dice, sizeof(kinds) / sizeof(kinds[0]))];
	w->clock = (enum toytimer_clock)dice_below(&c->dice, 3);
	w->plans[w->plans_count++] = some_plan(c, w->kind, w->clock);
	*slot = w;
	return w;
}

/* Fills up to BATCH free slots with one call. */
static void register_many(struct client *c)
{
	toytimer_registration r[BATCH] = {0};
	struct want *wants[BATCH];
	uint64_t names[BATCH];
	int errors[BATCH], registered;
	size_t n = 0;

	for (size_t i = 0; i < c->size && n < BATCH; i++) {
		if (c->slots[i])
			continue;
		wants[n] = new_want(c, &c->slots[i]);
		r[n] = registration_of(c, wants[n]);
		n++;
	}
	registered = toytimer_register_many(c->t, r, n, names, errors);
	if (registered < 0)
		fail(c, NULL, "toytimer_register_many: %s", toytimer_strerror(registered));
	for (size_t i = 0; i < n; i++) {
		wants[i]->name = names[i];
		if (registered >= 0 && errors[i])
			fail(c, wants[i], "not registered: %s", toytimer_strerror(errors[i]));
	}
	add(&sums->registered, n);
}

static void register_one(struct client *c, struct want **slot)
{
	struct want *w = new_want(c, slot);
	toytimer_registration r = registration_of(c, w);
	int error;

	if (dice_once_in(&c->dice, 2))
		error = toytimer_register(c->t, &r, &w->name);
	else
		error = toytimer_register_async(c->t, &r, &w->name);
	if (error < 0)
		fail(c, w, "not registered: %s", toytimer_strerror(error));
	add(&sums->registered, 1);
}

/* Handles the library's result for the cancelling of a timer. */
static void take_cancel(struct client *c, struct want *w, int error)
{
	if (error == 0) {
		w->cancelled = true;
		leave_slot(w);
		add(&sums->cancelled, 1);
	} else if (error != -ENOENT) {
		fail(c, w, "not cancelled: %s", toytimer_strerror(error));
	} else if (w->kind == ENDLESS || w->kind == FAR) {
		fail(c, w, "it is gone, says cancel");
		leave_slot(w);
	} else {
		add(&sums->too_late, 1); /* its last wake must still come */
	}
}

static void cancel(struct client *c, struct want *w)
{
	take_cancel(c, w, toytimer_cancel(c->t, w->name));
}

static void cancel_many(struct client *c, struct want **wants, size_t n)
{
	uint64_t names[BATCH] = {0};
	int errors[BATCH], r;

	for (size_t i = 0; i < n; i++)
		names[i] = wants[i]->name;
	r = toytimer_cancel_many(c->t, names, n, errors);
	if (r < 0)
		fail(c, NULL, "toytimer_cancel_many: %s", toytimer_strerror(r));
	for (size_t i = 0; r >= 0 && i < n; i++)
		take_cancel(c, wants[i], errors[i]);
}

static void cancel_some(struct client *c, size_t from)
{
	struct want *wants[BATCH];
	size_t n = 0;

	for (size_t i = 0; i < c->size && n < BATCH / 2; i++)
		if (c->slots[(from + i) % c->size])
			wants[n++] = c->slots[(from + i) % c->size];
	cancel_many(c, wants, n);
}

static void rearm(struct client *c, struct want *w)
{
	struct plan plan = some_plan(c, w->kind, w->clock);
	toytimer_registration r = {.due = plan.due, .every = plan.every, .count = plan.count};
	int error;

	if (w->plans_count == PLANS_MAX)
		return;
	error = toytimer_rearm(c->t, w->name, &r);
	if (error == 0) {
		w->plans[w->plans_count++] = plan;
		add(&sums->rearmed, 1);
	} else if (error != -ENOENT) {
		fail(c, w, "not re-armed: %s", toytimer_strerror(error));
	} else if (w->kind == ENDLESS || w->kind == FAR) {
		fail(c, w, "it is gone, says rearm");
	} else {
		add(&sums->too_late, 1);
	}
}

static void act(struct client *c)
{
	size_t i = (size_t)dice_below(&c->dice, c->size);
	struct want *w = c->slots[i];

	if (!w && dice_once_in(&c->dice, 3))
		register_many(c);
	else if (!w)
		register_one(c, &c->slots[i]);
	else if (dice_once_in(&c->dice, 16))
		cancel_some(c, i);
	else if (dice_once_in(&c->dice, 4))
		cancel(c, w);
	else if (dice_once_in(&c->dice, 3))
		rearm(c, w);
}

/* Processes events for that span. */
static void linger(struct client *c, uint64_t span)
{
	uint64_t now = toytimer_now(TOYTIMER_MONOTONIC), until = now + span;

	for (; now < until; now = toytimer_now(TOYTIMER_MONOTONIC)) {
		int r = toytimer_process(c->t);

		if (r == 0)
			r = toytimer_wait(c->t, until - now);
		if (r < 0 && r != -EINTR) {
			fail(c, NULL, "toytimer_process: %s", toytimer_strerror(r));
			return;
		}
	}
}

/* How late a timer is, by the due of its newest plan. */
static uint64_t overdue(const struct want *w)
{
	uint64_t due = due_of(w), now = toytimer_now(w->clock);

	return now > due ? now - due : 0;
}

static void check_overdue(struct client *c)
{
	for (size_t i = 0; i < c->size; i++)
		if (c->slots[i] && overdue(c->slots[i]) > OVERDUE_US)
			fail(c, c->slots[i], "it should have come %" PRIu64 " us ago",
				overdue(c->slots[i]));
}

static bool is_soon(const struct want *w)
{
	return w->kind != ENDLESS && due_of(w) < toytimer_now(w->clock) + FAR_US;
}

/* There are no more kills: each due timer must wake, and all others can be cancelled. */
static void wind_up(struct client *c)
{
	struct want *wants[BATCH];
	size_t n = 0;

	linger(c, QUIET_US);
	check_overdue(c);
	for (size_t i = 0; i < c->size; i++) {
		if (c->slots[i] && !is_soon(c->slots[i]))
			wants[n++] = c->slots[i];
		if (n == BATCH || (n && i == c->size - 1)) {
			cancel_many(c, wants, n);
			n = 0;
		}
	}
	linger(c, FAR_US);
	for (size_t i = 0; i < c->size; i++)
		if (c->slots[i])
			fail(c, c->slots[i], "it never came to its end");
	if (toytimer_count(c->t))
		fail(c, NULL, "the library holds %zu timers still", toytimer_count(c->t));
	if (toytimer_get_reconnects(c->t))
		fail(c, NULL, "it had to connect again %" PRIu64 " times",
			toytimer_get_reconnects(c->t));
	add(&sums->reconnects, toytimer_get_reconnects(c->t));
}

static void live(unsigned int number, size_t size, uint64_t seed)
{
	struct client c = {
		.number = number,
		.dice = {seed * 1000 + number},
		.slots = calloc(size, sizeof(struct want *)),
		.size = size,
	};
	int r = toytimer_open(&c.t, NULL);

	if (r < 0 || !c.slots) {
		fail(&c, NULL, "toytimer_open: %s", toytimer_strerror(r));
		return;
	}
	for (size_t i = 0; i < size; i += BATCH)
		register_many(&c);
	add(&sums->connected, 1);
	while (!__atomic_load_n(&sums->stop, __ATOMIC_RELAXED)) {
		act(&c);
		linger(&c, dice_below(&c.dice, 20 * MS));
	}
	wind_up(&c);
	toytimer_unref(c.t);
}

static void start_client(unsigned int number, size_t size, uint64_t seed)
{
	pid_t pid = fork();

	if (pid < 0) {
		perror("crowd: fork");
		exit(EXIT_FAILURE);
	}
	if (pid)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	live(number, size, seed);
	exit(EXIT_SUCCESS);
}

static void say_ready(const char *folder)
{
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/ready", folder);
	f = fopen(path, "we");
	if (!f || fclose(f))
		perror("crowd: ready");
}

/* SIGTERM: tells the clients to end. Return: when all have exited; false if one of them failed. */
static bool wait_for_end(unsigned long clients, const char *folder, const sigset_t *signals)
{
	const struct timespec moment = {.tv_nsec = 100000000};
	bool good = true, ready = false;
	int status;

	while (clients) {
		if (sigtimedwait(signals, NULL, &moment) == SIGTERM)
			__atomic_store_n(&sums->stop, 1, __ATOMIC_RELAXED);
		if (!ready && __atomic_load_n(&sums->connected, __ATOMIC_RELAXED) == clients) {
			ready = true;
			if (folder)
				say_ready(folder);
		}
		while (clients && waitpid(-1, &status, WNOHANG) > 0) {
			good = good && WIFEXITED(status) && !WEXITSTATUS(status);
			clients--;
		}
	}
	return good;
}

int main(int argc, char **argv)
{
	unsigned long clients = argc > 3 ? strtoul(argv[1], NULL, 10) : 0;
	unsigned long size = argc > 3 ? strtoul(argv[2], NULL, 10) : 0;
	uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
	sigset_t signals;
	bool good;

	sums = mmap(NULL, sizeof(*sums), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (!clients || !size || sums == MAP_FAILED) {
		fprintf(stderr, "crowd CLIENTS TIMERS SEED [FOLDER]\n");
		return 2;
	}
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	for (unsigned int i = 0; i < clients; i++)
		start_client(i, size, seed);
	good = wait_for_end(clients, argc > 4 ? argv[4] : NULL, &signals);
	printf("seed %" PRIu64 ": %lu clients: registered %" PRIu64 ", woken %" PRIu64
	       " (and %" PRIu64 " periods missed and told of), rearmed %" PRIu64
	       ", cancelled %" PRIu64 ", too late for that %" PRIu64 ", ended %" PRIu64
	       ", latest %" PRIu64 " us; reconnects %" PRIu64 ", failures %" PRIu64 "%s\n",
		seed, clients, sums->registered, sums->woken, sums->overruns, sums->rearmed,
		sums->cancelled, sums->too_late, sums->ended, sums->late_max, sums->reconnects,
		sums->failures, good ? "" : ", and a client died");
	return good && !sums->failures ? EXIT_SUCCESS : EXIT_FAILURE;
}
