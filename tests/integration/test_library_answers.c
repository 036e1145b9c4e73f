/* SPDX-License-Identifier: MIT */
/*
 * What a handler or a caller gets for each answer of a daemon, in cases that are rare with a real
 * daemon. A thread plays a daemon that keeps to the protocol.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>

#include "peer.h"
#include "recorder.h"

#define ID 7

/* Starts a thread that plays the daemon. */
static pthread_t play(void *(*main)(void *userdata), void *userdata)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, main, userdata), 0);
	return thread;
}

static toytimer *open_handle(void)
{
	toytimer *t = NULL;

	assert_int_equal(toytimer_open(&t, peer_path), 0);
	return t;
}

static void say_hello(struct peer *p, uint64_t capabilities)
{
	struct proto_hello_answer hello = {.magic = PROTO_MAGIC,
		.version = PROTO_VERSION,
		.instance = 1,
		.capabilities = capabilities};

	peer_say(p, PROTO_HELLO | PROTO_ANSWER, p->header.serial, 1, &hello);
}

/* Refuses re-armings: with an unknown status, and because the timer has ended. */
static void *refuse_rearms(void *userdata)
{
	struct proto_registered refusals[] = {
		{.id = ID, .status = PROTO_E_RANGE},
		{.id = ID, .status = PROTO_E_NO_SUCH_TIMER},
	};
	struct peer *p = peer_accept();

	(void)userdata;
	if (peer_greet(p))
		peer_say_registered(p, p->header.serial, 1, ID);
	for (int i = 0; i < 2 && peer_receive(p) && p->header.opcode == PROTO_REARM; i++)
		peer_say(p, PROTO_REARM | PROTO_ANSWER, p->header.serial, 1, &refusals[i]);
	/* The timer's wake crossed the re-arming, and follows the answer. */
	peer_say_wake(p, p->registered.cookie, 1, PROTO_WAKE_LAST);
	peer_end(p, true);
	return NULL;
}

static void test_refused_rearm_is_an_event(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	pthread_t thread = play(refuse_rearms, NULL);
	toytimer *t = open_handle();
	uint64_t timer, due, due_before;

	(void)state;
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	assert_int_equal(toytimer_get_timer(t, timer, NULL, &due_before), 0);
	r.due = 2 * 3600 * S;
	assert_int_equal(toytimer_rearm_async(t, timer, &r), 0);
	recorder_await(&recorder, t, 1);
	assert_int_equal(recorder.events[0].type, TOYTIMER_REFUSED);
	assert_int_equal(recorder.events[0].error, -ERANGE);
	assert_int_equal(recorder.events[0].timer, timer);
	assert_int_equal(recorder.events[0].id, ID);
	assert_false(recorder.events[0].last);
	/* The timer is unchanged. */
	assert_int_equal(toytimer_get_timer(t, timer, NULL, &due), 0);
	assert_int_equal(due, due_before);
	assert_int_equal(toytimer_count(t), 1);

	assert_int_equal(toytimer_rearm_async(t, timer, &r), 0);
	recorder_await(&recorder, t, 2);
	assert_int_equal(recorder.events[1].type, TOYTIMER_WOKEN);
	assert_true(recorder.events[1].last);
	recorder_linger(t, 5 * MS);
	assert_int_equal(recorder.n, 2);
	toytimer_unref(t);
	pthread_join(thread, NULL);
	recorder_clear(&recorder);
}

/* The ids in re-armings that waited for the answer to a registration, and how many packets they
 * needed. */
struct waited {
	uint64_t ids[2];
	int rearms, packets;
};

static void *answer_late(void *userdata)
{
	struct pollfd pfd = {.events = POLLIN};
	struct waited *waited = userdata;
	struct peer *p = peer_accept();
	struct proto_rearm record;

	if (peer_greet(p)) {
		/* Nothing comes before the answer. */
		pfd.fd = p->fd;
		waited->packets += 100 * poll(&pfd, 1, 20);
		peer_say_registered(p, p->header.serial, 1, ID);
	}
	while (waited->rearms < 2 && peer_receive(p) && p->header.opcode == PROTO_REARM) {
		waited->packets++;
		for (uint32_t i = 0; i < p->header.count && waited->rearms < 2; i++) {
			codec_get(p->in, &p->header, i, &record, sizeof(record));
			waited->ids[waited->rearms++] = record.id;
		}
		peer_say(p, PROTO_REARM | PROTO_ANSWER, p->header.serial, p->header.count,
			&(struct proto_registered){.id = ID});
	}
	peer_say_wake(p, p->registered.cookie, 1, PROTO_WAKE_LAST);
	peer_end(p, true);
	return NULL;
}

static void test_rearm_waits_for_the_id(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	struct waited waited = {0};
	pthread_t thread = play(answer_late, &waited);
	toytimer *t = open_handle();
	uint64_t timer;

	(void)state;
	assert_int_equal(toytimer_register_async(t, &r, &timer), 0);
	assert_int_equal(toytimer_flush(t), 0);
	r.due = 0;
	for (int i = 0; i < 2; i++)
		assert_int_equal(toytimer_rearm_async(t, timer, &r), 0);
	assert_int_equal(toytimer_flush(t), 0);
	/* If the descriptor were readable while nothing can be done, a poller would spin. */
	assert_int_equal(toytimer_process(t), 0);
	assert_int_equal(
		poll(&(struct pollfd){.fd = toytimer_get_fd(t), .events = POLLIN}, 1, 0), 0);
	recorder_await(&recorder, t, 1);
	toytimer_unref(t);
	pthread_join(thread, NULL);
	assert_int_equal(waited.rearms, 2);
	assert_int_equal(waited.packets, 1);
	assert_int_equal(waited.ids[0], ID);
	assert_int_equal(waited.ids[1], ID);
	recorder_clear(&recorder);
}

/* More re-armings than two packets hold. The daemon refuses each FAULTYth. */
#define REARMS 4000
#define REARM_PACKETS                                           \
	((REARMS + PROTO_RECORDS_MAX(struct proto_rearm) - 1) / \
		PROTO_RECORDS_MAX(struct proto_rearm))
#define FAULTY 1000

/* The requests of many records that the daemon has received and answered. */
struct counted {
	uint32_t packets, records, misplaced;
};

/* Answers registrations and re-armings. The ids are 1, 2, 3 ... */
static void say_each(struct peer *p, struct counted *counted)
{
	struct proto_rearm record;
	struct codec_writer w;

	codec_begin(&w, p->out, p->header.opcode | PROTO_ANSWER, p->header.serial);
	for (uint32_t i = 0; i < p->header.count; i++) {
		struct proto_registered answer = {.id = ++counted->records};

		if (p->header.opcode == PROTO_REARM) {
			codec_get(p->in, &p->header, i, &record, sizeof(record));
			counted->misplaced += record.id != answer.id;
			answer.status = answer.id % FAULTY == 0 ? PROTO_E_RANGE : PROTO_OK;
		}
		codec_put(&w, &answer, sizeof(answer));
	}
	counted->packets++;
	peer_send(p, codec_end(&w, 0));
}

static void *count_packets(void *userdata)
{
	struct counted registered = {0}, *rearmed = userdata;
	struct peer *p = peer_accept();

	if (peer_receive(p))
		say_hello(p, 0);
	while (peer_receive(p))
		say_each(p, p->header.opcode == PROTO_REARM ? rearmed : &registered);
	peer_end(p, false);
	return NULL;
}

/* The registrations wait for their answers, so that the re-armings first have no id. */
static void test_asynchronous_rearms_share_packets(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	struct counted rearmed = {0};
	pthread_t thread = play(count_packets, &rearmed);
	toytimer *t = open_handle();
	static uint64_t timers[REARMS];

	(void)state;
	for (size_t i = 0; i < REARMS; i++)
		assert_int_equal(toytimer_register_async(t, &r, &timers[i]), 0);
	assert_int_equal(toytimer_flush(t), 0);
	for (size_t i = 0; i < REARMS; i++)
		assert_int_equal(toytimer_rearm_async(t, timers[i], &r), 0);
	recorder_await(&recorder, t, REARMS / FAULTY);
	for (size_t i = 0; i < REARMS / FAULTY; i++) {
		assert_int_equal(recorder.events[i].type, TOYTIMER_REFUSED);
		assert_int_equal(recorder.events[i].error, -ERANGE);
		assert_int_equal(recorder.events[i].timer, timers[(i + 1) * FAULTY - 1]);
	}
	toytimer_unref(t);
	pthread_join(thread, NULL);
	assert_int_equal(rearmed.records, REARMS);
	assert_int_equal(rearmed.misplaced, 0);
	assert_int_equal(rearmed.packets, REARM_PACKETS);
	recorder_clear(&recorder);
}

/* Announces two settings of the wall clock, the second before the client has handled the first. */
static void *clock_set_pending(void *userdata)
{
	struct peer *p = peer_accept();

	(void)userdata;
	if (peer_receive(p))
		say_hello(p, PROTO_CAN_TELL_CLOCK_SET);
	for (int i = 0; i < 2 && peer_receive(p) && p->header.opcode == PROTO_REGISTER; i++) {
		codec_get(p->in, &p->header, 0, &p->registered, sizeof(p->registered));
		/* Only the first timer has the flag. */
		if ((p->registered.flags & PROTO_TELL_CLOCK_SET) ==
			(i == 0 ? PROTO_TELL_CLOCK_SET : 0))
			peer_say_registered(p, p->header.serial, 1, ID + (uint64_t)i);
	}
	for (int i = 0; i < 2; i++)
		peer_say(p, PROTO_CLOCK_SET, 0, 0, NULL);
	peer_say_wake(p, p->registered.cookie, 1, PROTO_WAKE_LAST);
	peer_end(p, true);
	return NULL;
}

static void test_clock_set_is_an_event(void **state)
{
	struct recorder told = {.clock = TOYTIMER_REALTIME}, other = {.clock = TOYTIMER_REALTIME};
	toytimer_registration r = recorder_after(&told, 3600 * S);
	pthread_t thread = play(clock_set_pending, NULL);
	toytimer *t = open_handle();
	uint64_t timer, due, due_before;

	(void)state;
	r.clock = TOYTIMER_REALTIME;
	r.flags |= TOYTIMER_TELL_CLOCK_SET;
	assert_int_equal(toytimer_register(t, &r, &timer), 0);
	assert_int_equal(toytimer_get_timer(t, timer, NULL, &due_before), 0);
	r = recorder_after(&other, 0);
	r.clock = TOYTIMER_REALTIME;
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	recorder_await(&other, t, 1);
	recorder_linger(t, 5 * MS);
	/* Two events if the client handled each setting, otherwise one event for both. */
	assert_in_range(told.n, 1, 2);
	for (size_t i = 0; i < told.n; i++) {
		assert_int_equal(told.events[i].type, TOYTIMER_CLOCK_SET);
		assert_int_equal(told.events[i].timer, timer);
		assert_false(told.events[i].last);
	}
	assert_int_equal(other.events[0].type, TOYTIMER_WOKEN);
	/* The timer stays as it was. */
	assert_int_equal(toytimer_get_timer(t, timer, NULL, &due), 0);
	assert_int_equal(due, due_before);
	assert_int_equal(toytimer_count(t), 1);
	toytimer_unref(t);
	pthread_join(thread, NULL);
	recorder_clear(&told);
	recorder_clear(&other);
}

/* A daemon of the first release. It must not get any request that was added later. */
static void *play_old_daemon(void *userdata)
{
	int *asked = userdata;
	struct peer *p = peer_accept();

	if (peer_receive(p))
		say_hello(p, 0);
	while (peer_receive(p))
		++*asked;
	peer_end(p, false);
	return NULL;
}

static int ignore(const toytimer_listed *listed, void *userdata)
{
	(void)listed;
	(void)userdata;
	return 0;
}

static void test_old_daemon_is_not_asked(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	int asked = 0;
	pthread_t thread = play(play_old_daemon, &asked);
	toytimer *t = open_handle();
	uint64_t timer = 5, cancelled = 5;

	(void)state;
	r.clock = TOYTIMER_REALTIME;
	r.flags |= TOYTIMER_TELL_CLOCK_SET;
	assert_int_equal(toytimer_register(t, &r, &timer), -ENOSYS);
	assert_int_equal(toytimer_register_async(t, &r, &timer), -ENOSYS);
	assert_int_equal(toytimer_list_matching(t, NULL, ignore, NULL), -ENOSYS);
	assert_int_equal(toytimer_cancel_matching(t, NULL, &cancelled), -ENOSYS);
	assert_int_equal(timer, 5);
	assert_int_equal(cancelled, 5);
	assert_int_equal(toytimer_count(t), 0);
	toytimer_unref(t);
	pthread_join(thread, NULL);
	assert_int_equal(asked, 0);
}

/* A daemon that can tell, and after it an older one that refuses the flag. */
static void *downgrade(void *userdata)
{
	struct peer *p = peer_accept();
	struct proto_registered refusal = {.status = PROTO_E_FLAGS};

	(void)userdata;
	if (peer_receive(p))
		say_hello(p, PROTO_CAN_TELL_CLOCK_SET);
	if (peer_receive(p))
		peer_say_registered(p, p->header.serial, 1, ID);
	peer_end(p, false);
	p = peer_accept();
	if (peer_greet(p))
		peer_say(p, PROTO_REGISTER | PROTO_ANSWER, p->header.serial, 1, &refusal);
	peer_end(p, true);
	return NULL;
}

static void test_flag_is_refused_by_an_older_daemon(void **state)
{
	struct recorder recorder = {.clock = TOYTIMER_REALTIME};
	toytimer_registration r = recorder_after(&recorder, 3600 * S);
	pthread_t thread = play(downgrade, NULL);
	toytimer *t = open_handle();

	(void)state;
	r.clock = TOYTIMER_REALTIME;
	r.flags |= TOYTIMER_TELL_CLOCK_SET;
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	recorder_await(&recorder, t, 1);
	assert_int_equal(recorder.events[0].type, TOYTIMER_REFUSED);
	assert_int_equal(recorder.events[0].error, -ENOSYS);
	assert_true(recorder.events[0].last);
	toytimer_unref(t);
	pthread_join(thread, NULL);
	recorder_clear(&recorder);
}

/* Sends a page of one timer, says that more follow, and then closes the connection. */
static void say_page(struct peer *p, uint64_t cursor)
{
	struct proto_listed listed = {.id = ID};
	struct proto_cancelled cancelled = {.id = ID};
	struct codec_writer w;

	codec_begin(&w, p->out, p->header.opcode | PROTO_ANSWER, p->header.serial);
	if (p->header.opcode == PROTO_CANCEL_MATCHING)
		codec_put(&w, &cancelled, sizeof(cancelled));
	else
		codec_put(&w, &listed, sizeof(listed));
	peer_send(p, codec_end(&w, cursor));
}

static void *leave_amid_pages(void *userdata)
{
	uint64_t *ret_cursor = userdata;
	struct peer *p = peer_accept();

	if (peer_receive(p))
		say_hello(p, PROTO_CAN_MATCH);
	if (peer_receive(p))
		say_page(p, 100);
	/* The client sends the next request only after it took the first page. */
	(void)peer_receive(p);
	peer_end(p, false);
	p = peer_accept();
	if (peer_receive(p))
		say_hello(p, PROTO_CAN_MATCH);
	if (peer_receive(p)) {
		*ret_cursor = p->header.cursor;
		say_page(p, 0);
	}
	peer_end(p, true);
	return NULL;
}

static int count_listed(const toytimer_listed *listed, void *userdata)
{
	assert_int_equal(listed->id, ID);
	++*(int *)userdata;
	return 0;
}

/* The connection breaks during a listing. The listing must end with an error. */
static void test_listing_that_is_cut(void **state)
{
	(void)state;
	for (int matching = 0; matching < 2; matching++) {
		uint64_t cursor = 5;
		pthread_t thread = play(leave_amid_pages, &cursor);
		toytimer *t = open_handle();
		int listed = 0;

		if (matching)
			assert_int_equal(toytimer_list_matching(t, NULL, count_listed, &listed),
				-ECONNRESET);
		else
			assert_int_equal(toytimer_list(t, 0, count_listed, &listed), -ECONNRESET);
		assert_int_equal(listed, 1);
		/* The next listing starts at the beginning. */
		assert_int_equal(toytimer_list(t, 0, count_listed, &listed), 0);
		assert_int_equal(listed, 2);
		toytimer_unref(t);
		pthread_join(thread, NULL);
		assert_int_equal(cursor, 0);
	}
}

/* The connection breaks during a cancelling. It starts again at the next daemon. */
static void test_cancelling_that_is_cut(void **state)
{
	uint64_t cursor = 5, cancelled = 0;
	pthread_t thread = play(leave_amid_pages, &cursor);
	toytimer *t = open_handle();

	(void)state;
	assert_int_equal(toytimer_cancel_matching(t, NULL, &cancelled), 0);
	assert_int_equal(cancelled, 2);
	toytimer_unref(t);
	pthread_join(thread, NULL);
	assert_int_equal(cursor, 0);
}

#define STALE 150

/* Sends many packets without an event, and then one with an event. */
static void *flood(void *userdata)
{
	struct peer *p = peer_accept();

	if (peer_greet(p))
		peer_say_registered(p, p->header.serial, 1, ID);
	for (int i = 0; i < STALE; i++)
		peer_say_wake(p, UINT64_MAX, 1, 0);
	peer_say_wake(p, p->registered.cookie, 1, PROTO_WAKE_LAST);
	__atomic_store_n((int *)userdata, 1, __ATOMIC_RELEASE);
	peer_end(p, true);
	return NULL;
}

/* process() returns after a bounded number of packets, and the descriptor says that more are
 * there. */
static void test_flood_is_taken_in_parts(void **state)
{
	struct recorder recorder = {0};
	toytimer_registration r = recorder_after(&recorder, 0);
	int sent = 0, calls = 0;
	pthread_t thread = play(flood, &sent);
	toytimer *t = open_handle();
	struct pollfd pfd = {.fd = toytimer_get_fd(t), .events = POLLIN};

	(void)state;
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	while (!__atomic_load_n(&sent, __ATOMIC_ACQUIRE))
		poll(NULL, 0, 1);
	while (recorder.n == 0) {
		assert_int_equal(poll(&pfd, 1, 0), 1);
		assert_true(toytimer_process(t) >= 0);
		calls++;
	}
	assert_true(calls > 1 && calls < STALE / 2);
	assert_int_equal(poll(&pfd, 1, 0), 0);
	toytimer_unref(t);
	pthread_join(thread, NULL);
	recorder_clear(&recorder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refused_rearm_is_an_event),
		cmocka_unit_test(test_rearm_waits_for_the_id),
		cmocka_unit_test(test_asynchronous_rearms_share_packets),
		cmocka_unit_test(test_clock_set_is_an_event),
		cmocka_unit_test(test_old_daemon_is_not_asked),
		cmocka_unit_test(test_flag_is_refused_by_an_older_daemon),
		cmocka_unit_test(test_listing_that_is_cut),
		cmocka_unit_test(test_cancelling_that_is_cut),
		cmocka_unit_test(test_flood_is_taken_in_parts),
	};

	return cmocka_run_group_tests(tests, peer_start, peer_stop);
}
