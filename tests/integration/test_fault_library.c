/* SPDX-License-Identifier: MIT */
/*
 * A program uses the whole library and loses its connection. Meanwhile each system call of the
 * library fails, at each of its uses, with each error of its man page. A function of the library
 * may then fail, but works when it is called again. Each acknowledged timer wakes once, and no
 * other timer wakes. The released handle leaves no memory and no descriptor. No call of the daemon
 * fails.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "daemon.h"
#include "fault.h"
#include "handle.h"
#include "sweep_library.h"

#define MS	 UINT64_C(1000)
#define PATIENCE (20000 * MS)
#define TIMEOUT	 (1000 * MS)
#define FAR	 (3600000 * MS)

#define MANY 40 /* more than the table of timers has room for at first */

/* How many uses of one call fail. */
#define USES_MAX 60

/* A registration and its events. */
struct entry {
	bool stands; /* it was acknowledged */
	bool cancelled;
	unsigned int ended; /* the last event has come */
	uint64_t timer;
};

static struct test_daemon d;
static struct sweep sweep;
static struct entry entries[3 + MANY];
static toytimer *t;

static bool fails(void)
{
	return atomic_load(&fault_own()->failed);
}

/* Whether to try again. */
static bool excused(int r, int tries)
{
	if (!fails())
		fail_msg("a call failed: %s", toytimer_strerror(r));
	if (tries > 3) {
		fault_disarm(fault_own()); /* from now on it has to succeed */
		if (tries >= 10)
			fail_msg("a call failed without a fault: %s", toytimer_strerror(r));
	}
	return true;
}

static int note(toytimer *handle, const toytimer_event *event, void *userdata)
{
	struct entry *entry = userdata;

	(void)handle;
	assert_true(entry->stands && !entry->cancelled);
	assert_int_equal(event->type, TOYTIMER_WOKEN);
	entry->ended += (unsigned int)event->last;
	return 0;
}

static toytimer_registration after(uint64_t span, struct entry *entry)
{
	return (toytimer_registration){
		.due = span,
		.flags = TOYTIMER_RELATIVE,
		.label = "label",
		.handler = note,
		.userdata = entry,
	};
}

static void register_one(struct entry *entry, uint64_t span)
{
	toytimer_registration r = after(span, entry);

	TRY(toytimer_register(t, &r, &entry->timer));
	entry->stands = true;
}

/* The daemon may refuse single records. The test registers each of them again by itself. */
static void register_many(struct entry *first)
{
	toytimer_registration r[MANY];
	uint64_t timers[MANY] = {0};
	int errors[MANY] = {0}, n;

	for (size_t i = 0; i < MANY; i++)
		r[i] = after(1 * MS, &first[i]);
	n = toytimer_register_many(t, r, MANY, timers, errors);
	if (n < MANY)
		excused(n, 1);
	for (size_t i = 0; i < MANY; i++)
		if (n >= 0 && errors[i] == 0) {
			first[i].stands = true;
			first[i].timer = timers[i];
		} else {
			assert_int_equal(timers[i], 0);
			register_one(&first[i], 1 * MS);
		}
}

static void register_async(struct entry *entry)
{
	toytimer_registration r = after(1 * MS, entry);

	TRY(toytimer_register_async(t, &r, &entry->timer));
	entry->stands = true;
	TRY(toytimer_flush(t));
}

static void rearm(struct entry *entry, uint64_t span)
{
	toytimer_registration r = after(span, entry);

	/* A call that lacks memory for the answer has re-armed the timer. The timer may have woken
	 * by the next try. */
	TRY_OR(toytimer_rearm(t, entry->timer, &r), -ENOENT);
}

/* A call without memory leaves the timer, or gives it up as after a timeout: then its name is
 * gone. */
static void cancel(struct entry *entry)
{
	int r, tries = 0;

	do
		r = toytimer_cancel(t, entry->timer);
	while (r < 0 && !(r == -ENOENT && tries) && excused(r, ++tries));
	entry->cancelled = true;
}

static int ignore_listed(const toytimer_listed *listed, void *userdata)
{
	(void)listed, (void)userdata;
	return 0;
}

static void process_all(void)
{
	uint64_t until = toytimer_now(TOYTIMER_MONOTONIC) + PATIENCE;

	while (toytimer_count(t)) {
		TRY(toytimer_process(t));
		toytimer_wait(t, 10 * MS);
		assert_true(toytimer_now(TOYTIMER_MONOTONIC) < until);
	}
}

/* As after a restart of the daemon. */
static void lose_connection(void)
{
	if (t->session.connection.fd >= 0)
		shutdown(t->session.connection.fd, SHUT_RDWR);
}

static void do_all(void)
{
	toytimer_status status;

	memset(entries, 0, sizeof(entries));
	TRY(toytimer_open(&t, daemon_socket(&d)));
	toytimer_set_timeout(t, TIMEOUT);
	register_one(&entries[0], FAR);
	register_one(&entries[1], FAR);
	register_async(&entries[2]);
	register_many(&entries[3]);
	TRY(toytimer_list(t, 0, ignore_listed, NULL));
	lose_connection();
	TRY(toytimer_get_status(t, &status));
	cancel(&entries[0]);
	rearm(&entries[1], 1 * MS);
	process_all();
	t = toytimer_unref(t);
	for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
		assert_int_equal(entries[i].ended, !entries[i].cancelled);
}

static void test_the_library_survives_each_fault(void **state)
{
	(void)state;
	daemon_start(&d, NULL);
	sweep_library(&sweep, "library", do_all, USES_MAX);
	assert_int_equal(daemon_stop(&d), 0);
}

static int after_each(void **state)
{
	(void)state;
	fault_disarm(fault_own());
	sweep_tell(&sweep);
	daemon_clean(&d);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_the_library_survives_each_fault, after_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
