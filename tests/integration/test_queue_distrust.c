/* SPDX-License-Identifier: MIT */
/*
 * The queues of libtoytimer and a timerqd that errs or lies: hellos and answers that cannot be,
 * wakes that nobody asked for, listings that do not end. The library closes the connection, the
 * call ends with an error, and no handler sees what cannot be true.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <toytimer-queue.h>

#include "peer.h"
#include "queue_codec.h"

/* The false timerqd, and its connection. */
struct line {
	struct peer *peer;
	struct queue_codec_packet in; /* the request */
	struct queue_codec_writer w;
	uint8_t buffer[QUEUE_CODEC_BUFFER] __attribute__((aligned(8)));
	/* Answers what answered_well() does not. Return: false: the connection ends. */
	bool (*fault)(struct line *l, void *userdata);
	void *userdata;
	atomic_bool over;
	pthread_t thread;
};

/* Receives a request. Return: whether a well-formed one came. */
static bool receive(struct line *l)
{
	ssize_t n = peer_receive_bytes(l->peer);

	return n > 0 &&
		queue_codec_open(l->peer->in, (size_t)n, CODEC_FROM_CLIENT, &l->in) == CODEC_OK;
}

static void begin(struct line *l, uint16_t opcode, uint64_t serial)
{
	queue_codec_begin(&l->w, l->buffer, opcode, serial);
}

static void end(struct line *l, uint64_t cursor)
{
	size_t size = queue_codec_end(&l->w, cursor);

	memcpy(l->peer->out, l->buffer, size);
	peer_send(l->peer, size);
}

/* Sends n equal records; wakes with 8 bytes behind them. */
static void say(struct line *l, uint16_t opcode, uint64_t serial, size_t n, const void *record)
{
	begin(l, opcode, serial);
	if (opcode == PROTO_QUEUE_WAKE)
		queue_codec_add_bytes(&l->w, "payload", 8);
	while (n-- > 0)
		queue_codec_put(&l->w, record);
	end(l, 0);
}

static void answer(struct line *l, size_t n, const void *record)
{
	say(l, l->in.header.opcode | PROTO_ANSWER, l->in.header.serial, n, record);
}

/* Does what a good timerqd does, except for puts and listings. Return: whether it was that. */
static bool answered_well(struct line *l)
{
	static const struct proto_queue_hello_answer hello = {
		.magic = PROTO_QUEUE_MAGIC, .version = PROTO_QUEUE_VERSION, .instance = 1};
	static const struct proto_queue_opened opened = {.queue = 1};
	static const struct proto_queue_done done = {0};

	switch (l->in.header.opcode) {
	case PROTO_QUEUE_HELLO:
		answer(l, 1, &hello);
		return true;
	case PROTO_QUEUE_OPEN:
		answer(l, 1, &opened);
		return true;
	case PROTO_QUEUE_CONSUME:
	case PROTO_QUEUE_DETACH:
		answer(l, 1, &done);
		return true;
	default:
		return false;
	}
}

/* Serves the connections, also those with which the library tries again, until stop(). */
static void *serve(void *userdata)
{
	struct line *l = userdata;

	while (!l->over) {
		l->peer = peer_accept();
		while (receive(l))
			if (!answered_well(l) && !l->fault(l, l->userdata))
				break;
		peer_end(l->peer, true);
	}
	return NULL;
}

static struct line *start(bool (*fault)(struct line *l, void *userdata), void *userdata)
{
	struct line *l = calloc(1, sizeof(*l));

	assert_non_null(l);
	l->fault = fault;
	l->userdata = userdata;
	assert_int_equal(pthread_create(&l->thread, NULL, serve, l), 0);
	return l;
}

/* The library has closed its connections. */
static void stop(struct line *l)
{
	l->over = true;
	peer_poke();
	pthread_join(l->thread, NULL);
	free(l);
}

/* An answer to a put that cannot be right. */
static bool bad_put_answer(struct line *l, void *userdata)
{
	unsigned int which = *(unsigned int *)userdata;
	uint64_t serial = l->in.header.serial;
	const uint16_t stored_opcode = PROTO_QUEUE_PUT | PROTO_ANSWER;
	struct proto_queue_stored stored = {.id = 7, .due = 8};
	struct proto_queue_done done = {.id = 7};
	struct proto_queue_wake wake = {.id = 7, .number = 1, .attempt = 1, .queue = 1};
	struct proto_queue_lost lost = {.queue = 1};
	struct proto_queue_opened opened = {.queue = 2};

	switch (which) {
	case 0:
		say(l, stored_opcode, serial + 1, 1, &stored);
		return true;
	case 1:
		say(l, stored_opcode, serial, 2, &stored);
		return true;
	case 2:
		say(l, stored_opcode, serial, 0, &stored);
		return true;
	case 3:
		say(l, PROTO_QUEUE_ACK | PROTO_ANSWER, serial, 1, &done);
		return true;
	case 4:
		say(l, PROTO_QUEUE_OPEN | PROTO_ANSWER, serial, 1, &opened);
		return true;
	case 5: /* bytes beside the packet */
		wake.payload_size = 9;
		say(l, PROTO_QUEUE_WAKE, 0, 1, &wake);
		return true;
	case 6:
		wake.data = UINT32_MAX;
		wake.payload_size = 2;
		say(l, PROTO_QUEUE_WAKE, 0, 1, &wake);
		return true;
	case 7:
		lost.queue = 2;
		say(l, PROTO_QUEUE_LOST, 0, 1, &lost);
		return true;
	case 8:
		lost.queue = 0;
		say(l, PROTO_QUEUE_LOST, 0, 1, &lost);
		return true;
	case 9: /* not a packet of timerqd */
		peer_say(l->peer, PROTO_LIST | PROTO_ANSWER, serial, 0, NULL);
		return true;
	case 10:
		peer_send(l->peer, 1);
		return true;
	case 11:
		memset(l->peer->out, 0xa5, sizeof(l->peer->out));
		peer_send(l->peer, sizeof(l->peer->out));
		return true;
	default:
		return false;
	}
}

#define BAD_PUT_ANSWERS 12
#define TRIES		400 /* of 50 ms */

/* Sends wakes that the program cannot get, then the right answer. */
static bool stray_wakes(struct line *l, void *userdata)
{
	static const struct proto_queue_wake wakes[] = {
		{.id = 7, .number = 1, .queue = 2}, /* of a queue that was never opened */
		{.id = 7, .number = 1, .queue = 0},
		{.id = 7, .number = 1, .queue = UINT32_MAX},
		{.id = 7, .number = 1, .queue = 1, .clock = PROTO_CLOCKS},
		{.id = 7, .number = 1, .queue = 1, .key_size = PROTO_QUEUE_KEY_MAX + 1},
	};
	struct proto_queue_stored stored = {.id = 7, .due = 8};

	(void)userdata;
	for (size_t i = 0; i < sizeof(wakes) / sizeof(wakes[0]); i++) {
		begin(l, PROTO_QUEUE_WAKE, 0);
		for (int n = 0; n < 10; n++)
			queue_codec_add_bytes(&l->w, "payload", 8);
		queue_codec_put(&l->w, &wakes[i]);
		end(l, 0);
	}
	answer(l, 1, &stored);
	return true;
}

static int count_call(toytimer_queue *q, const toytimer_wake *wake, void *userdata)
{
	(void)q;
	(void)wake;
	++*(size_t *)userdata;
	return 0;
}

static void test_bad_packets_end_the_connection(void **state)
{
	toytimer_queue_timer t = {.due = 1, .flags = TOYTIMER_RELATIVE};
	size_t calls = 0;
	toytimer_queue_consumer c = {.window = 10, .handler = count_call, .userdata = &calls};

	(void)state;
	for (unsigned int i = 0; i < BAD_PUT_ANSWERS; i++) {
		struct line *l = start(bad_put_answer, &i);
		toytimer_queue_stored stored = {.id = 42};
		toytimer_queue *q;
		int r;

		assert_int_equal(toytimer_queue_open(&q, peer_path, 0), 0);
		assert_int_equal(toytimer_queue_consume(q, "q", &c), 0);
		assert_int_equal(toytimer_queue_set_timeout(q, 50000), 0);
		r = toytimer_queue_put(q, "q", &t, &stored);
		if (r >= 0)
			fail_msg("the put after bad packet %u returned %d", i, r);
		assert_int_equal(stored.id, 42);
		/* Only a closed connection is made again. */
		for (int n = 0; toytimer_queue_get_reconnects(q) == 0; n++) {
			assert_true(toytimer_queue_put(q, "q", &t, NULL) < 0);
			if (n == TRIES)
				fail_msg("bad packet %u did not end the connection", i);
		}
		toytimer_queue_process(q);
		assert_int_equal(calls, 0);
		toytimer_queue_unref(q);
		stop(l);
	}
}

static void test_wakes_of_nothing_reach_no_handler(void **state)
{
	toytimer_queue_timer t = {.due = 1, .flags = TOYTIMER_RELATIVE};
	size_t calls = 0;
	toytimer_queue_consumer c = {.window = 10, .handler = count_call, .userdata = &calls};
	struct line *l = start(stray_wakes, NULL);
	toytimer_queue_stored stored;
	toytimer_queue *q;

	(void)state;
	assert_int_equal(toytimer_queue_open(&q, peer_path, 0), 0);
	assert_int_equal(toytimer_queue_consume(q, "q", &c), 0);
	assert_int_equal(toytimer_queue_put(q, "q", &t, &stored), 0);
	assert_int_equal(stored.id, 7);
	while (toytimer_queue_process(q) > 0)
		;
	assert_int_equal(calls, 0);
	assert_int_equal(toytimer_queue_get_reconnects(q), 0);
	toytimer_queue_unref(q);
	stop(l);
}

/* A listing whose pages do not end. */
struct endless {
	uint16_t opcode;
	size_t records; /* in each page */
	uint64_t step;	/* from one cursor to the next */
	uint64_t asked; /* pages */
	uint64_t given; /* records that the handler saw */
	uint64_t stop;	/* the handler stops then; 0: never */
	uint64_t cursor;
	uint8_t clock;
};

static bool next_page(struct line *l, void *userdata)
{
	struct endless *e = userdata;
	struct proto_queue_listed listed = {.id = 1, .clock = e->clock};
	struct proto_queue_info info = {.timers = 1, .name_size = 1};
	struct proto_queue_status_answer status = {.pid = 1};
	struct proto_queue_done done = {0};

	if (l->in.header.opcode != e->opcode)
		return false;
	e->asked++;
	e->cursor += e->step;
	begin(l, e->opcode | PROTO_ANSWER, l->in.header.serial);
	if (e->opcode == PROTO_QUEUE_LIST || e->opcode == PROTO_QUEUE_QUEUES)
		queue_codec_add_bytes(&l->w, "q", 1);
	for (size_t i = 0; i < e->records; i++)
		queue_codec_put(&l->w,
			e->opcode == PROTO_QUEUE_LIST		  ? (const void *)&listed
				: e->opcode == PROTO_QUEUE_QUEUES ? (const void *)&info
				: e->opcode == PROTO_QUEUE_PURGE  ? (const void *)&done
								  : &status);
	end(l, e->cursor);
	return true;
}

static int note_listed(const toytimer_queue_listed *listed, void *userdata)
{
	struct endless *e = userdata;

	assert_int_equal(listed->id, 1);
	return ++e->given == e->stop ? 9 : 0;
}

static int note_queue(const toytimer_queue_info *info, void *userdata)
{
	struct endless *e = userdata;

	assert_string_equal(info->name, "q");
	return ++e->given == e->stop ? 9 : 0;
}

static int call(toytimer_queue *q, struct endless *e)
{
	toytimer_queue_status status;
	uint64_t n;

	switch (e->opcode) {
	case PROTO_QUEUE_LIST:
		return toytimer_queue_list(q, "q", 0, note_listed, e);
	case PROTO_QUEUE_QUEUES:
		return toytimer_queue_queues(q, 0, note_queue, e);
	case PROTO_QUEUE_PURGE:
		return toytimer_queue_purge(q, "q", 0, &n);
	default:
		return toytimer_queue_get_status(q, &status);
	}
}

static void test_an_endless_answer_is_ended(void **state)
{
	static const struct {
		struct endless listing;
		uint64_t asked_max;
		int result;
	} cases[] = {
		/* The cursor stands, or there is no timer in a page. */
		{{.opcode = PROTO_QUEUE_LIST, .records = 1, .cursor = 1}, 2, -EPROTO},
		{{.opcode = PROTO_QUEUE_LIST, .records = 0, .step = 1}, 1, -EPROTO},
		{{.opcode = PROTO_QUEUE_QUEUES, .records = 1, .cursor = 1}, 2, -EPROTO},
		{{.opcode = PROTO_QUEUE_PURGE, .records = 1, .cursor = 1}, 1, -EPROTO},
		{{.opcode = PROTO_QUEUE_STATUS, .records = 1, .cursor = 1}, 1, -EPROTO},
		{{.opcode = PROTO_QUEUE_LIST, .records = 1, .clock = PROTO_CLOCKS}, 1, -EPROTO},
		/* It could be a long listing: the program stops it, and needs no memory for it. */
		{{.opcode = PROTO_QUEUE_LIST, .records = 300, .step = 1, .stop = 1000}, 4, 9},
		{{.opcode = PROTO_QUEUE_QUEUES, .records = 1, .step = 1, .stop = 50}, 50, 9},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct endless listing = cases[i].listing;
		struct line *l = start(next_page, &listing);
		toytimer_queue *q;
		int r;

		assert_int_equal(toytimer_queue_open(&q, peer_path, 0), 0);
		assert_int_equal(toytimer_queue_set_timeout(q, TOYTIMER_FOREVER), 0);
		r = call(q, &listing);
		if (r != cases[i].result)
			fail_msg("case %zu returned %d", i, r);
		toytimer_queue_unref(q);
		stop(l);
		assert_true(listing.asked <= cases[i].asked_max);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bad_packets_end_the_connection),
		cmocka_unit_test(test_wakes_of_nothing_reach_no_handler),
		cmocka_unit_test(test_an_endless_answer_is_ended),
	};

	return cmocka_run_group_tests(tests, peer_start, peer_stop);
}
