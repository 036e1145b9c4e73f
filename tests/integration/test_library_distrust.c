/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer and a daemon that breaks the protocol. A thread plays the daemon. In each case, the
 * first connection gets one packet that no daemon may send, and the next connection is served
 * correctly. The library must close the first connection, connect again, and lose nothing. It
 * ignores packets that are only stale or repeated.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "peer.h"
#include "recorder.h"

/* Answers the hello in p->in. Return: what toytimer_open() must return. */
static int bad_hello(struct peer *p, unsigned int which)
{
	static const struct {
		uint32_t status;
		int error;
	} refusals[] = {
		{PROTO_E_CLIENTS, -ENFILE},
		{PROTO_E_CLIENTS_USER, -EUSERS},
		{PROTO_E_DESCRIPTORS, -EMFILE},
		{PROTO_E_VERSION, -EPROTO},
		{PROTO_E_PACKET, -EPROTO},
		{PROTO_E_NOBODY, -EACCES},
		{PROTO_E_SLOW_SOCKETS, -EACCES},
		{PROTO_OK, -EPROTO},
		{9999, -EPROTO},
	};
	const unsigned int n = sizeof(refusals) / sizeof(refusals[0]);

	if (which < n) {
		peer_say_error(p, refusals[which].status);
		return refusals[which].error;
	}
	switch (which - n) {
	case 0:
		peer_say_hello(p, PROTO_MAGIC + 1, PROTO_VERSION);
		return -EPROTO;
	case 1:
		peer_say_hello(p, PROTO_MAGIC, PROTO_VERSION + 1);
		return -EPROTO;
	case 2:
		p->header.serial++;
		peer_say_hello(p, PROTO_MAGIC, PROTO_VERSION);
		return -EPROTO;
	case 3:
		peer_say_wake(p, 1, 1, 0);
		return -EPROTO;
	case 4:
		peer_send(p, 1);
		return -EPROTO;
	case 5:
		return -ECONNREFUSED; /* and then end of file */
	default:
		return 0;
	}
}

#define BAD_HELLOS 14

/* Answers the registration in p->in so that the library must close the connection. */
static bool bad_answer(struct peer *p, unsigned int which)
{
	uint64_t serial = p->header.serial, cookie = p->registered.cookie;
	struct proto_cancel_answer cancelled = {.id = 1};
	struct proto_listed listed = {.id = 1};

	memset(p->out, 0xa5, sizeof(p->out));
	switch (which) {
	case 0:
		peer_say_registered(p, serial + 1, 1, 7);
		return true;
	case 1:
		peer_say_registered(p, serial, 2, 7);
		return true;
	case 2:
		peer_say_registered(p, serial, PROTO_RECORDS_MAX(struct proto_registered), 7);
		return true;
	case 3:
		peer_say_registered(p, serial, 1, 0);
		return true;
	case 4:
		peer_say_wake(p, cookie, 1, 0);
		return true;
	case 5:
		peer_say(p, PROTO_CANCELLED, 0, 1, &(struct proto_cancelled){.cookie = cookie});
		return true;
	case 6:
		peer_say(p, PROTO_CANCEL | PROTO_ANSWER, serial, 1, &cancelled);
		return true;
	case 7:
		peer_say(p, PROTO_LIST | PROTO_ANSWER, serial, 1, &listed);
		return true;
	case 8:
		peer_say_hello(p, PROTO_MAGIC, PROTO_VERSION);
		return true;
	case 9:
		peer_send(p, 1);
		return true;
	case 10:
		peer_send(p, sizeof(p->out));
		return true;
	case 11:
		peer_send(p, PROTO_PACKET_MAX);
		return true;
	case 12:
		peer_say_error(p, PROTO_E_PACKET);
		return true;
	case 13:
		peer_say(p, PROTO_GOING_AWAY, 0, 1, &(struct proto_going_away){.reason = 1});
		return true;
	case 14: /* resumes before a request that was answered */
		peer_say_resumed(p, serial - 2);
		return true;
	case 15: /* resumes after the registration, which was not answered */
		peer_say_resumed(p, serial);
		return true;
	case 16: /* resumes after a request that was never sent */
		peer_say_resumed(p, serial + 1);
		return true;
	default:
		return false; /* end of file */
	}
}

#define BAD_ANSWERS 18

static void *hello_main(void *userdata)
{
	int *errors = userdata;

	for (unsigned int i = 0; i < BAD_HELLOS; i++) {
		struct peer *p = peer_accept();

		if (peer_receive(p))
			errors[i] = bad_hello(p, i);
		peer_end(p, errors[i] != -ECONNREFUSED);
	}
	return NULL;
}

static void test_bad_hellos_end_the_connection(void **state)
{
	int expected[BAD_HELLOS] = {0}, got[BAD_HELLOS];
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, hello_main, expected), 0);
	for (unsigned int i = 0; i < BAD_HELLOS; i++) {
		toytimer *t;

		got[i] = toytimer_open(&t, peer_path);
		assert_true(got[i] < 0);
		/* Without a permission, the caller must know whose it is. */
		if (got[i] == -EACCES)
			assert_non_null(strstr(toytimer_get_error(), "the daemon does not serve"));
	}
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < BAD_HELLOS; i++)
		assert_int_equal(got[i], expected[i]);
}

/* Sends stale and repeated packets around the valid ones of a timer that wakes three times. */
static void serve_well(struct peer *p)
{
	uint64_t cookie = p->registered.cookie;

	peer_say_registered(p, p->header.serial, 1, 7);
	peer_say_registered(p, p->header.serial, 1, 7);
	peer_say_wake(p, cookie + 1, 1, PROTO_WAKE_LAST);
	peer_say_wake(p, cookie + (UINT64_C(1) << 32), 1, PROTO_WAKE_LAST);
	peer_say_wake(p, UINT64_MAX, 1, PROTO_WAKE_LAST);
	peer_say(p, PROTO_CANCELLED, 0, 1, &(struct proto_cancelled){.cookie = 0});
	peer_say_wake(p, cookie, 1, 0);
	peer_say_wake(p, cookie, 1, 0);
	peer_say_wake(p, cookie, 2, 0);
	peer_say_wake(p, cookie, 1, PROTO_WAKE_LAST);
	peer_say_wake(p, cookie, 0, 0);
	peer_say_wake(p, cookie, 3, PROTO_WAKE_LAST);
	peer_say_wake(p, cookie, 3, PROTO_WAKE_LAST);
	peer_say_wake(p, cookie, 4, PROTO_WAKE_LAST);
}

static void *answer_main(void *userdata)
{
	bool *asked = userdata;

	for (unsigned int i = 0; i < BAD_ANSWERS; i++) {
		struct peer *p = peer_accept();

		asked[i] = peer_greet(p);
		peer_end(p, asked[i] && bad_answer(p, i));
		p = peer_accept();
		if (peer_greet(p))
			serve_well(p);
		peer_end(p, true);
	}
	return NULL;
}

static void test_bad_answers_end_the_connection(void **state)
{
	bool asked[BAD_ANSWERS] = {0};
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, answer_main, asked), 0);
	for (unsigned int i = 0; i < BAD_ANSWERS; i++) {
		struct recorder recorder = {0};
		toytimer_registration r = recorder_after(&recorder, 0);
		toytimer *t;

		r.every = 1000;
		r.count = 3;
		assert_int_equal(toytimer_open(&t, peer_path), 0);
		assert_int_equal(toytimer_register(t, &r, NULL), 0);
		recorder_await(&recorder, t, 3);
		recorder_linger(t, 5 * MS);
		assert_int_equal(recorder.n, 3);
		assert_true(recorder.events[2].last);
		assert_int_equal(toytimer_count(t), 0);
		assert_int_equal(toytimer_get_reconnects(t), 1);
		toytimer_unref(t);
		recorder_clear(&recorder);
	}
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < BAD_ANSWERS; i++)
		assert_true(asked[i]);
}

/* More than one packet holds. */
#define MANY 1500

/* Takes two packets of registrations. */
static bool take_many(struct peer *p, uint8_t (*ret)[PROTO_PACKET_MAX], uint64_t serials[2])
{
	for (int i = 0; i < 2; i++) {
		if (!peer_receive(p) || p->header.opcode != PROTO_REGISTER)
			return false;
		serials[i] = p->header.serial;
		memcpy(ret[i], p->in,
			sizeof(p->header) + p->header.count * sizeof(struct proto_register));
	}
	return true;
}

/* Another daemon adopts the session. It has seen no registration, or only the first one. */
static void *resume_main(void *userdata)
{
	static uint8_t first[2][PROTO_PACKET_MAX], again[2][PROTO_PACKET_MAX];
	struct peer *p = peer_accept();
	uint64_t serials[2], repeated[2];
	const char **trouble = userdata;
	size_t n = PROTO_RECORDS_MAX(struct proto_register);

	*trouble = "no hello";
	if (peer_receive(p)) {
		peer_say_hello(p, PROTO_MAGIC, PROTO_VERSION);
		*trouble = "no registrations";
		if (take_many(p, first, serials)) {
			peer_say_resumed(p, serials[0] - 1);
			*trouble = "none again";
			if (take_many(p, again, repeated))
				*trouble = memcmp(first, again, sizeof(first)) ? "other ones"
									       : NULL;
		}
	}
	if (!*trouble) {
		peer_say_registered(p, serials[0], n, 7);
		peer_say_resumed(p, serials[0]);
		*trouble = peer_receive(p) && p->header.serial == serials[1] ? NULL
									     : "not the second";
		peer_say_registered(p, serials[1], MANY - n, 7);
	}
	peer_end(p, true);
	return NULL;
}

static void test_requests_are_sent_again_from_where_a_resumed_says(void **state)
{
	static toytimer_registration r[MANY];
	const char *trouble = NULL;
	pthread_t thread;
	toytimer *t;

	(void)state;
	for (int i = 0; i < MANY; i++)
		r[i] = (toytimer_registration){
			.due = 3600 * S + (uint64_t)i, .flags = TOYTIMER_RELATIVE, .label = "many"};
	assert_int_equal(pthread_create(&thread, NULL, resume_main, &trouble), 0);
	assert_int_equal(toytimer_open(&t, peer_path), 0);
	assert_int_equal(toytimer_register_many(t, r, MANY, NULL, NULL), MANY);
	assert_int_equal(toytimer_count(t), MANY);
	assert_int_equal(toytimer_get_reconnects(t), 0);
	toytimer_unref(t);
	pthread_join(thread, NULL);
	if (trouble)
		fail_msg("the peer got %s", trouble);
}

/* Receives two requests, and answers the second one, or both. */
static bool answer_two(struct peer *p, bool both, uint32_t status)
{
	struct proto_registered registered = {.id = status ? 0 : 7, .status = status};
	struct proto_status_answer answer = {.timers = 7};

	if (!peer_receive(p))
		return false;
	peer_say_hello(p, PROTO_MAGIC, PROTO_VERSION);
	for (int i = 0; i < 2; i++) {
		uint16_t opcode;

		if (!peer_receive(p))
			return false;
		opcode = p->header.opcode | PROTO_ANSWER;
		if (i == 0 && !both)
			continue;
		if (p->header.opcode == PROTO_REGISTER)
			peer_say(p, opcode, p->header.serial, p->header.count, &registered);
		else
			peer_say(p, opcode, p->header.serial, 1, &answer);
	}
	return true;
}

/* The second request is answered and the first one is not. Then the session must send all requests
 * again. The next daemon behaves well. */
static void *disorder_main(void *userdata)
{
	bool *served = userdata;
	struct peer *p = peer_accept();

	*served = answer_two(p, false, PROTO_E_TIMERS);
	peer_say_resumed(p, 1);
	peer_end(p, true);
	p = peer_accept();
	*served = answer_two(p, true, PROTO_OK) && *served;
	peer_end(p, true);
	return NULL;
}

/* A call that was answered has ended and cannot be sent again. */
static void test_an_answered_call_is_not_sent_again(void **state)
{
	toytimer_registration r = {.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	toytimer_status status;
	pthread_t thread;
	bool served;
	toytimer *t;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, disorder_main, &served), 0);
	assert_int_equal(toytimer_open(&t, peer_path), 0);
	assert_int_equal(toytimer_register_async(t, &r, NULL), 0);
	assert_int_equal(toytimer_flush(t), 0);
	assert_int_equal(toytimer_get_status(t, &status), 0);
	recorder_linger(t, 5 * MS);
	assert_int_equal(toytimer_count(t), 1);
	assert_int_equal(toytimer_get_reconnects(t), 1);
	toytimer_unref(t);
	pthread_join(thread, NULL);
	assert_true(served);
}

static void test_refused_registrations_are_not_sent_again(void **state)
{
	static toytimer_registration r[MANY];
	pthread_t thread;
	bool served;
	toytimer *t;

	(void)state;
	for (int i = 0; i < MANY; i++)
		r[i] = (toytimer_registration){.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	assert_int_equal(pthread_create(&thread, NULL, disorder_main, &served), 0);
	assert_int_equal(toytimer_open(&t, peer_path), 0);
	assert_int_equal(toytimer_register_many(t, r, MANY, NULL, NULL), MANY);
	assert_int_equal(toytimer_count(t), MANY);
	assert_int_equal(toytimer_get_reconnects(t), 1);
	toytimer_unref(t);
	pthread_join(thread, NULL);
	assert_true(served);
}

static const struct {
	uint32_t status;
	int error;
} refusals[] = {
	{PROTO_E_NO_SUCH_TIMER, -ENOENT}, {PROTO_E_TIMERS, -ENOSPC}, {PROTO_E_TIMERS_USER, -EDQUOT},
	{PROTO_E_CLOCK, -EINVAL}, {PROTO_E_FLAGS, -EINVAL}, {PROTO_E_COUNT, -EINVAL},
	{PROTO_E_LABEL, -EINVAL}, {PROTO_E_RANGE, -ERANGE}, {PROTO_E_WAKE_SYSTEM, -EPERM},
	{PROTO_E_WAKE_CLOCK, -EOPNOTSUPP}, {PROTO_E_PERMISSION, -EACCES},
	{63, -EPROTO}, /* of a later version */
};

#define REFUSALS (sizeof(refusals) / sizeof(refusals[0]))

static void *refuse_main(void *userdata)
{
	struct peer *p = peer_accept();

	if (peer_receive(p))
		peer_say_hello(p, PROTO_MAGIC, PROTO_VERSION);
	for (size_t i = 0; i < REFUSALS && peer_receive(p); i++)
		peer_say(p, PROTO_REGISTER | PROTO_ANSWER, p->header.serial, 1,
			&(struct proto_registered){.status = refusals[i].status});
	peer_end(p, true);
	return userdata;
}

/* Each status has an errno of its own and a sentence. */
static void test_each_status_is_an_errno(void **state)
{
	toytimer_registration r = {.due = S, .flags = TOYTIMER_RELATIVE};
	pthread_t thread;
	toytimer *t;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, refuse_main, NULL), 0);
	assert_int_equal(toytimer_open(&t, peer_path), 0);
	for (size_t i = 0; i < REFUSALS; i++) {
		assert_int_equal(toytimer_register(t, &r, NULL), refusals[i].error);
		assert_true(strlen(toytimer_strerror(refusals[i].error)) > 0);
	}
	assert_int_equal(toytimer_count(t), 0);
	assert_int_equal(toytimer_get_reconnects(t), 0);
	toytimer_unref(t);
	pthread_join(thread, NULL);
}

/* More wakes of one timer than the library keeps apart while the program does not take them. */
#define FLOOD	    6000
#define FLOOD_EVERY 1000
#define FLOOD_SLICE 1000

static void *flood_main(void *userdata)
{
	struct peer *p = peer_accept();
	struct codec_writer w;

	if (!peer_receive(p))
		abort();
	peer_say_hello(p, PROTO_MAGIC, PROTO_VERSION);
	if (!peer_receive(p))
		abort();
	codec_get(p->in, &p->header, 0, &p->registered, sizeof(p->registered));
	peer_say_registered(p, p->header.serial, 1, 7);
	if (!peer_receive(p))
		abort();
	for (uint32_t i = 0; i < FLOOD; i++) {
		struct proto_wake wake = {
			.cookie = p->registered.cookie,
			.id = 7,
			.due = 1 + (uint64_t)i * FLOOD_EVERY,
			.late = 5,
			.number = i + 1,
			.flags = i == FLOOD - 1 ? PROTO_WAKE_LAST : 0,
		};

		if (i % FLOOD_SLICE == 0)
			codec_begin(&w, p->out, PROTO_WAKE, 0);
		codec_put(&w, &wake, sizeof(wake));
		if (i % FLOOD_SLICE == FLOOD_SLICE - 1)
			peer_send(p, codec_end(&w, 0));
	}
	peer_say_registered(p, p->header.serial, 1, 8);
	peer_end(p, true);
	return userdata;
}

/* The wakes that the program gets. None is lost: a wake that cannot be kept apart is counted as
 * overruns. */
static struct {
	uint64_t events, periods, next, end;
	bool last;
} flood;

static int take_flood(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t, (void)userdata;
	assert_int_equal(event->type, TOYTIMER_WOKEN);
	assert_false(flood.last);
	assert_true(event->due == flood.next);
	flood.next += (event->overruns + 1) * FLOOD_EVERY;
	flood.events++;
	flood.periods += event->overruns + 1;
	flood.end = event->due + event->late;
	flood.last = event->last;
	return 0;
}

static void test_a_flood_of_wakes_is_merged(void **state)
{
	toytimer_registration r = {
		.due = 1, .every = FLOOD_EVERY, .count = FLOOD, .handler = take_flood};
	toytimer_registration other = {.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	pthread_t thread;
	toytimer *t;

	(void)state;
	flood.next = 1;
	assert_int_equal(pthread_create(&thread, NULL, flood_main, NULL), 0);
	assert_int_equal(toytimer_open(&t, peer_path), 0);
	assert_int_equal(toytimer_register(t, &r, NULL), 0);
	/* The wakes arrive before the answer to this call, and wait in the library. */
	assert_int_equal(toytimer_register(t, &other, NULL), 0);
	assert_int_equal(flood.events, 0);
	while (!flood.last)
		assert_true(toytimer_process(t) >= 0);
	assert_true(flood.events > 1000 && flood.events < FLOOD);
	assert_int_equal(flood.periods, FLOOD);
	assert_int_equal(flood.end, 1 + (FLOOD - 1) * FLOOD_EVERY + 5);
	assert_int_equal(toytimer_count(t), 1);
	toytimer_unref(t);
	pthread_join(thread, NULL);
}

/* A socket with a full backlog: toytimer_open() waits until there is room. */
static void *backlog_main(void *userdata)
{
	usleep(100000);
	for (int i = 0; i < 64; i++) {
		struct peer *p = peer_accept();
		bool ours = peer_receive(p);

		if (ours)
			peer_say_hello(p, PROTO_MAGIC, PROTO_VERSION);
		peer_end(p, ours);
		if (ours)
			return userdata;
	}
	return NULL;
}

static void test_open_waits_for_room_in_the_backlog(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fds[64], n = 0;
	pthread_t thread;
	toytimer *t;

	(void)state;
	memcpy(address.sun_path, peer_path, sizeof(peer_path));
	for (int r = 0; r == 0 && n < 64; n += r == 0) {
		fds[n] = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		r = connect(fds[n], (struct sockaddr *)&address, sizeof(address));
		if (r < 0)
			close(fds[n]);
	}
	assert_true(n > 0 && n < 64);
	for (int i = 0; i < n; i++)
		close(fds[i]);
	assert_int_equal(pthread_create(&thread, NULL, backlog_main, NULL), 0);
	assert_int_equal(toytimer_open(&t, peer_path), 0);
	toytimer_unref(t);
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_hellos_end_the_connection),
		cmocka_unit_test(test_bad_answers_end_the_connection),
		cmocka_unit_test(test_requests_are_sent_again_from_where_a_resumed_says),
		cmocka_unit_test(test_an_answered_call_is_not_sent_again),
		cmocka_unit_test(test_refused_registrations_are_not_sent_again),
		cmocka_unit_test(test_each_status_is_an_errno),
		cmocka_unit_test(test_a_flood_of_wakes_is_merged),
		cmocka_unit_test(test_open_waits_for_room_in_the_backlog),
	};

	return cmocka_run_group_tests(tests, peer_start, peer_stop);
}
