/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer and a daemon that is not in its right mind. A thread plays it: the first connection
 * of each case hears one thing that no daemon may say, the next one is served well. The library
 * must leave the first, come back, and have lost nothing; what is merely stale or repeated it
 * passes over.
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

#include "codec.h"
#include "recorder.h"

/* One connection of the fake daemon's. */
struct peer {
	int fd;
	uint8_t in[PROTO_PACKET_MAX], out[PROTO_PACKET_MAX + 1];
	struct proto_header header; /* of the request in `in` */
	struct proto_register registered;
};

static char directory[64], path[96];
static int listener;

static bool receive(struct peer *p)
{
	ssize_t n = recv(p->fd, p->in, sizeof(p->in), 0);

	return n > 0 && codec_open(p->in, (size_t)n, CODEC_FROM_CLIENT, &p->header) == CODEC_OK;
}

static void send_bytes(struct peer *p, size_t n)
{
	(void)!send(p->fd, p->out, n, MSG_NOSIGNAL);
}

/* A packet of n times the same record. */
static void say(struct peer *p, uint16_t opcode, uint64_t serial, size_t n, const void *record)
{
	struct codec_writer w;

	codec_begin(&w, p->out, opcode, serial);
	while (n-- > 0)
		codec_put(&w, record);
	send_bytes(p, codec_end(&w, 0));
}

static void say_hello(struct peer *p, uint32_t magic, uint16_t version)
{
	struct proto_hello_answer hello = {.magic = magic, .version = version, .instance = 1};

	say(p, PROTO_HELLO | PROTO_ANSWER, p->header.serial, 1, &hello);
}

static void say_registered(struct peer *p, uint64_t serial, size_t n, uint64_t id)
{
	struct proto_registered answer = {.id = id};

	say(p, PROTO_REGISTER | PROTO_ANSWER, serial, n, &answer);
}

static void say_wake(struct peer *p, uint64_t cookie, uint32_t number, uint32_t flags)
{
	struct proto_wake wake = {.cookie = cookie, .id = 7, .number = number, .flags = flags};

	say(p, PROTO_WAKE, 0, 1, &wake);
}

static void say_error(struct peer *p, uint32_t status)
{
	struct proto_error error = {.status = status, .text = "for people"};

	say(p, PROTO_ERROR, 0, 1, &error);
}

/* Hello is in `in`. Each returns what toytimer_open() is to return. */
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
		{PROTO_OK, -EPROTO},
		{9999, -EPROTO},
	};
	const unsigned int n = sizeof(refusals) / sizeof(refusals[0]);

	if (which < n) {
		say_error(p, refusals[which].status);
		return refusals[which].error;
	}
	switch (which - n) {
	case 0:
		say_hello(p, PROTO_MAGIC + 1, PROTO_VERSION);
		return -EPROTO;
	case 1:
		say_hello(p, PROTO_MAGIC, PROTO_VERSION + 1);
		return -EPROTO;
	case 2:
		p->header.serial++;
		say_hello(p, PROTO_MAGIC, PROTO_VERSION);
		return -EPROTO;
	case 3:
		say_wake(p, 1, 1, 0);
		return -EPROTO;
	case 4:
		send_bytes(p, 1);
		return -EPROTO;
	case 5:
		return -ECONNREFUSED; /* and an end of file */
	default:
		return 0;
	}
}

#define BAD_HELLOS 14

/* A registration is in `in`. Each makes the connection useless. */
static bool bad_answer(struct peer *p, unsigned int which)
{
	uint64_t serial = p->header.serial, cookie = p->registered.cookie;
	struct proto_cancel_answer cancelled = {.id = 1};
	struct proto_listed listed = {.id = 1};

	memset(p->out, 0xa5, sizeof(p->out));
	switch (which) {
	case 0:
		say_registered(p, serial + 1, 1, 7);
		return true;
	case 1:
		say_registered(p, serial, 2, 7);
		return true;
	case 2:
		say_registered(p, serial, PROTO_RECORDS_MAX(struct proto_registered), 7);
		return true;
	case 3:
		say_registered(p, serial, 1, 0);
		return true;
	case 4:
		say_wake(p, cookie, 1, 0);
		return true;
	case 5:
		say(p, PROTO_CANCELLED, 0, 1, &(struct proto_cancelled){.cookie = cookie});
		return true;
	case 6:
		say(p, PROTO_CANCEL | PROTO_ANSWER, serial, 1, &cancelled);
		return true;
	case 7:
		say(p, PROTO_LIST | PROTO_ANSWER, serial, 1, &listed);
		return true;
	case 8:
		say_hello(p, PROTO_MAGIC, PROTO_VERSION);
		return true;
	case 9:
		send_bytes(p, 1);
		return true;
	case 10:
		send_bytes(p, sizeof(p->out));
		return true;
	case 11:
		send_bytes(p, PROTO_PACKET_MAX);
		return true;
	case 12:
		say_error(p, PROTO_E_PACKET);
		return true;
	case 13:
		say(p, PROTO_GOING_AWAY, 0, 1, &(struct proto_going_away){.reason = 1});
		return true;
	default:
		return false; /* end of file */
	}
}

#define BAD_ANSWERS 15

static bool greet_and_take(struct peer *p)
{
	if (!receive(p))
		return false;
	say_hello(p, PROTO_MAGIC, PROTO_VERSION);
	if (!receive(p) || p->header.opcode != PROTO_REGISTER)
		return false;
	codec_get(p->in, &p->header, 0, &p->registered);
	return true;
}

static struct peer *peer_accept(void)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p)
		abort();
	p->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	return p;
}

/* Waits until the other side has closed. */
static void peer_end(struct peer *p, bool linger)
{
	while (linger && recv(p->fd, p->in, sizeof(p->in), 0) > 0)
		;
	close(p->fd);
	free(p);
}

static void *hello_main(void *userdata)
{
	int *errors = userdata;

	for (unsigned int i = 0; i < BAD_HELLOS; i++) {
		struct peer *p = peer_accept();

		if (receive(p))
			errors[i] = bad_hello(p, i);
		peer_end(p, errors[i] != -ECONNREFUSED);
	}
	return NULL;
}

static void test_hellos(void **state)
{
	int expected[BAD_HELLOS] = {0}, got[BAD_HELLOS];
	pthread_t thread;

	(void)state;
	assert_int_equal(pthread_create(&thread, NULL, hello_main, expected), 0);
	for (unsigned int i = 0; i < BAD_HELLOS; i++) {
		toytimer *t;

		got[i] = toytimer_open(&t, path);
		assert_true(got[i] < 0);
	}
	pthread_join(thread, NULL);
	for (unsigned int i = 0; i < BAD_HELLOS; i++)
		assert_int_equal(got[i], expected[i]);
}

/* What is stale or doubled, around the good ones of a timer that wakes three times. */
static void serve_well(struct peer *p)
{
	uint64_t cookie = p->registered.cookie;

	say_registered(p, p->header.serial, 1, 7);
	say_registered(p, p->header.serial, 1, 7);
	say_wake(p, cookie + 1, 1, PROTO_WAKE_LAST);
	say_wake(p, cookie + (UINT64_C(1) << 32), 1, PROTO_WAKE_LAST);
	say_wake(p, UINT64_MAX, 1, PROTO_WAKE_LAST);
	say(p, PROTO_CANCELLED, 0, 1, &(struct proto_cancelled){.cookie = 0});
	say_wake(p, cookie, 1, 0);
	say_wake(p, cookie, 1, 0);
	say_wake(p, cookie, 2, 0);
	say_wake(p, cookie, 1, PROTO_WAKE_LAST);
	say_wake(p, cookie, 0, 0);
	say_wake(p, cookie, 3, PROTO_WAKE_LAST);
	say_wake(p, cookie, 3, PROTO_WAKE_LAST);
	say_wake(p, cookie, 4, PROTO_WAKE_LAST);
}

static void *answer_main(void *userdata)
{
	bool *asked = userdata;

	for (unsigned int i = 0; i < BAD_ANSWERS; i++) {
		struct peer *p = peer_accept();

		asked[i] = greet_and_take(p);
		peer_end(p, asked[i] && bad_answer(p, i));
		p = peer_accept();
		if (greet_and_take(p))
			serve_well(p);
		peer_end(p, true);
	}
	return NULL;
}

static void test_answers(void **state)
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
		assert_int_equal(toytimer_open(&t, path), 0);
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

/* A socket whose backlog is full: whoever opens waits, and gets in when there is room. */
static void *backlog_main(void *userdata)
{
	usleep(100000);
	for (int i = 0; i < 64; i++) {
		struct peer *p = peer_accept();
		bool ours = receive(p);

		if (ours)
			say_hello(p, PROTO_MAGIC, PROTO_VERSION);
		peer_end(p, ours);
		if (ours)
			return userdata;
	}
	return NULL;
}

static void test_full_backlog(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fds[64], n = 0;
	pthread_t thread;
	toytimer *t;

	(void)state;
	memcpy(address.sun_path, path, sizeof(path));
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
	assert_int_equal(toytimer_open(&t, path), 0);
	toytimer_unref(t);
	pthread_join(thread, NULL);
}

static int start(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	(void)state;
	snprintf(directory, sizeof(directory), "/tmp/timerd-test-XXXXXX");
	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/socket", directory);
	memcpy(address.sun_path, path, sizeof(path));
	listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	return 0;
}

static int stop(void **state)
{
	(void)state;
	close(listener);
	unlink(path);
	rmdir(directory);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hellos),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_full_backlog),
	};

	return cmocka_run_group_tests(tests, start, stop);
}
