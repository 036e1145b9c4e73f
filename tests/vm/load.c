/* SPDX-License-Identifier: MIT */
/*
 * A load on timerqd for a machine that loses its power: it says on its standard output, the serial
 * console, what it finds stored, what it is about to do, and what was answered.
 *
 * 	load RUN BIG		RUN numbers the boots; BIG: payloads of up to 16 KB, else of up to
 *				256 bytes
 *
 * 	found NAME SIZE		a timer that is stored, at the start
 * 	found-all		no more
 * 	put FIRST COUNT		about to put RUN.FIRST and the COUNT - 1 after it
 * 	stored NAME SIZE	answered as stored
 * 	cancel NAME, cancelled NAME
 * 	replace NAME SIZE	about to put a timer with the key of another
 * 	woken NAME SIZE		a wake came; it is about to be acknowledged
 * 	acked NAME		answered as acknowledged
 * 	bad WHAT		something that never may be
 *
 * A timer's name is its label, and for every second one its key. Nothing is done before the line
 * that announces it has left the serial port.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "toytimer-queue.h"

#define QUEUE	  "load"
#define BATCH_MAX 32
#define LATER	  ((uint64_t)3600 * 1000000)
#define KEPT_MAX  200
#define OWING_MAX 100

struct load {
	toytimer_queue *puts, *wakes;
	unsigned int run, next, payload_max;
	unsigned int kept;  /* timers that fall due in an hour */
	unsigned int owing; /* wakes to come sooner */
	toytimer_wake_ref refs[BATCH_MAX];
	char names[BATCH_MAX][32];
	size_t woken;
};

static unsigned char payload[TOYTIMER_QUEUE_PAYLOAD_MAX];

static void announced(void)
{
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
}

static void fail(const char *what, int r)
{
	printf("bad %s: %s\n", what, toytimer_queue_strerror(r));
	announced();
	exit(1);
}

static int found(const toytimer_queue_listed *listed, void *userdata)
{
	struct load *load = userdata;

	printf("found %s %" PRIu32 "\n", listed->label, listed->payload_size);
	if (listed->key[0] && strcmp(listed->key, listed->label) != 0)
		printf("bad key %s of %s\n", listed->key, listed->label);
	if (listed->left > 60000000)
		load->kept++;
	else
		load->owing++;
	return 0;
}

/* The size of a payload tells which put it came from. Its bytes show whether it is complete. */
static size_t some_size(const struct load *load)
{
	return 1 + (size_t)rand() % load->payload_max;
}

static toytimer_queue_timer some_timer(struct load *load, const char *name, bool has_key)
{
	bool later = load->kept < KEPT_MAX && rand() % 4 == 0;

	load->kept += later;
	load->owing += !later;
	return (toytimer_queue_timer){
		.due = later ? LATER : (uint64_t)(rand() % 300000),
		.clock = (enum toytimer_clock)(rand() % 3),
		.flags = TOYTIMER_RELATIVE,
		.label = name,
		.key = has_key ? name : NULL,
		.payload = payload,
		.payload_size = some_size(load),
	};
}

static void put(struct load *load)
{
	toytimer_queue_timer timers[BATCH_MAX];
	toytimer_queue_stored stored[BATCH_MAX];
	char names[BATCH_MAX][32];
	unsigned int n = 1 + (unsigned int)rand() % BATCH_MAX;
	int r;

	printf("put %u %u\n", load->next, n);
	announced();
	for (unsigned int i = 0; i < n; i++) {
		snprintf(names[i], sizeof(names[i]), "%u.%u", load->run, load->next + i);
		timers[i] = some_timer(load, names[i], i % 2 == 0);
	}
	r = toytimer_queue_put_many(load->puts, QUEUE, timers, n, stored);
	if (r < 0)
		fail("put", r);
	for (unsigned int i = 0; i < n; i++) {
		if (stored[i].error < 0)
			fail(names[i], stored[i].error);
		printf("stored %s %zu\n", names[i], timers[i].payload_size);
	}
	load->next += n;
}

/* Puts a timer with a key that is due in an hour, and later replaces or cancels it. */
static void change(struct load *load)
{
	toytimer_queue_stored stored;
	char name[32];
	toytimer_queue_timer timer;
	int r;

	snprintf(name, sizeof(name), "%u.%u", load->run, load->next);
	printf("put %u 1\n", load->next++);
	announced();
	timer = some_timer(load, name, true);
	timer.due = LATER;
	r = toytimer_queue_put(load->puts, QUEUE, &timer, NULL);
	if (r < 0)
		fail("put", r);
	printf("stored %s %zu\n", name, timer.payload_size);
	if (rand() % 2 == 0) {
		printf("cancel %s\n", name);
		announced();
		r = toytimer_queue_cancel(load->puts, QUEUE, 0, name);
		if (r < 0)
			fail("cancel", r);
		printf("cancelled %s\n", name);
		return;
	}
	timer.payload_size = some_size(load);
	timer.due = (uint64_t)(rand() % 300000);
	printf("replace %s %zu\n", name, timer.payload_size);
	announced();
	r = toytimer_queue_put(load->puts, QUEUE, &timer, &stored);
	if (r < 0 || !stored.replaced)
		fail("replace", r);
	printf("stored %s %zu\n", name, timer.payload_size);
}

static int woken(toytimer_queue *q, const toytimer_wake *wake, void *userdata)
{
	struct load *load = userdata;

	(void)q;
	printf("woken %s %zu\n", wake->label, wake->payload_size);
	if (wake->payload_size > sizeof(payload) ||
		memcmp(wake->payload, payload, wake->payload_size) != 0)
		printf("bad payload of %s\n", wake->label);
	load->refs[load->woken] = wake->ref;
	snprintf(load->names[load->woken++], sizeof(load->names[0]), "%s", wake->label);
	return 0;
}

static void consume(struct load *load)
{
	int errors[BATCH_MAX], r;

	load->woken = 0;
	r = load->owing > OWING_MAX ? toytimer_queue_wait(load->wakes, 100000) : 1;
	/* Handles one event in each call. The window bounds how many wakes come before the
	 * acknowledgements. */
	while (r > 0 && load->woken < BATCH_MAX)
		r = toytimer_queue_process(load->wakes);
	if (r < 0)
		fail("process", r);
	if (load->woken == 0)
		return;
	announced();
	r = toytimer_queue_ack_many(load->wakes, load->refs, load->woken, errors);
	if (r < 0)
		fail("acknowledge", r);
	for (size_t i = 0; i < load->woken; i++) {
		if (errors[i] < 0)
			fail(load->names[i], errors[i]);
		printf("acked %s\n", load->names[i]);
		if (load->owing > 0)
			load->owing--;
	}
}

int main(int argc, char **argv)
{
	struct load load = {0};
	toytimer_queue_consumer consumer = {
		.window = BATCH_MAX, .handler = woken, .userdata = &load};
	int r;

	if (argc != 3)
		return 2;
	load.run = (unsigned int)atoi(argv[1]);
	load.payload_max = atoi(argv[2]) ? TOYTIMER_QUEUE_PAYLOAD_MAX : 256;
	srand(load.run);
	for (size_t i = 0; i < sizeof(payload); i++)
		payload[i] = (unsigned char)(i * 7 + i / 251);

	r = toytimer_queue_open(&load.puts, NULL, 0);
	if (r >= 0)
		r = toytimer_queue_open(&load.wakes, NULL, 0);
	if (r < 0)
		fail("open", r);
	r = toytimer_queue_list(load.puts, QUEUE, 0, found, &load);
	if (r < 0)
		fail("list", r);
	puts("found-all");
	announced();
	r = toytimer_queue_consume(load.wakes, QUEUE, &consumer);
	if (r < 0)
		fail("consume", r);
	for (;;) {
		if (load.owing <= 2 * OWING_MAX)
			put(&load);
		if (rand() % 4 == 0)
			change(&load);
		consume(&load);
	}
}
