/* SPDX-License-Identifier: MIT */
/*
 * The broker over a million random steps. Several clients of two users put, cancel, reschedule,
 * consume, acknowledge, retry, revive, purge, stop reading and disconnect; clocks are set and held;
 * the store fails; the broker dies at any step. After each step, world_check() compares the whole
 * state with the store, and each wake is compared with its row.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "broker_world.h"
#include "dice.h"

/* Wakes whose acknowledgement was answered. They must never come again. */
#define ENDED (1 << 22)

static struct world w;
static struct dice dice;
static uint64_t ended[ENDED]; /* a set: timer << 20 | number, by hash */
static uint64_t seen_wakes, seen_parked, seen_removed;

static uint64_t name_of(uint64_t timer, uint32_t number)
{
	return timer << 20 | number;
}

static uint64_t *ended_slot(uint64_t name)
{
	size_t at = (size_t)(name * UINT64_C(0x9e3779b97f4a7c15) >> 42) % ENDED;

	while (ended[at] && ended[at] != name)
		at = (at + 1) % ENDED;
	return &ended[at];
}

static const struct store_timer *row_of(const struct proto_queue_wake *r)
{
	for (size_t i = 0; i < w.store.count; i++) {
		const struct store_timer *t = &w.store.rows[i].t;

		if (!t->parked && t->timer == r->id && t->number == r->number)
			return t;
	}
	return NULL;
}

/* The first row of that lane that no consumer has. */
static const struct store_timer *first_of(uint32_t queue, unsigned int clock)
{
	const struct store_timer *first = NULL;

	for (size_t i = 0; i < w.store.count; i++) {
		const struct store_timer *t = &w.store.rows[i].t;
		const struct wake *wake;

		if (t->parked || t->queue != queue || t->clock != clock)
			continue;
		wake = wake_find(w.b, t->id);
		/* Wakes of the packet that is being delivered are in no lane. */
		if (wake && (wake->state != WAKE_LOADED || link_is_empty(&wake->link)))
			continue;
		if (!first || t->ready < first->ready ||
			(t->ready == first->ready && t->id < first->id))
			first = t;
	}
	return first;
}

static bool somebody_has(uint64_t timer, uint32_t number)
{
	for (size_t i = 0; i < WORLD_CLIENTS; i++)
		for (size_t k = 0; k < w.clients[i].count; k++)
			if (w.clients[i].wakes[k].timer == timer &&
				w.clients[i].wakes[k].number == number)
				return true;
	return false;
}

static void woken(struct world *world, struct world_client *c, const struct proto_queue_wake *r)
{
	const struct store_timer *row = row_of(r), *first;
	uint64_t now = w.now.at[r->clock];

	(void)world;
	(void)c;
	seen_wakes++;
	assert_non_null(row);
	assert_true(*ended_slot(name_of(r->id, r->number)) == 0);
	assert_false(somebody_has(r->id, r->number));
	/* A wake is never early, and never comes while its clock is held. */
	assert_false(w.now.held[r->clock]);
	assert_true(row->ready <= now);
	assert_int_equal(r->due, row->due);
	assert_int_equal(r->attempt, row->attempt + 1);
	assert_int_equal(r->late, now > row->due ? now - row->due : 0);
	assert_int_equal(r->overruns, row->every ? r->late / row->every : 0);
	assert_int_equal(r->payload_size, row->payload_size);
	assert_int_equal(r->key_size, row->key_size);
	/* The oldest wake comes first. */
	first = first_of(row->queue, row->clock);
	if (first)
		assert_true(row->ready < first->ready ||
			(row->ready == first->ready && row->id < first->id));
}

/* Each wake ends for a reason. */
static void changed(void *userdata, const struct store_change *c, const struct store_timer *was)
{
	const struct change *change = (const struct change *)(const void *)c;
	bool late = was->max_late != PROTO_FOREVER && was->attempt == 0;

	(void)userdata;
	if (change->missed) {
		assert_true(late);
		assert_true(c->type != STORE_DELAY);
		assert_true(c->type != STORE_PARK || !was->every || was->count == 1);
	} else if (c->type == STORE_REMOVE || c->type == STORE_ADVANCE) {
		assert_non_null(change->request);
		*ended_slot(name_of(was->timer, was->number)) = name_of(was->timer, was->number);
		seen_removed++;
	} else {
		assert_int_equal(c->timer.attempt, was->attempt + 1);
	}
	if (c->type == STORE_ADVANCE)
		assert_true(c->timer.due > was->due);
	seen_parked += c->type == STORE_PARK;
}

static struct world_client *some_client(void)
{
	for (unsigned int i = 0; i < 20; i++) {
		struct world_client *c = &w.clients[dice_below(&dice, WORLD_CLIENTS)];

		if (c->connected && !c->ended && broker_reads(w.b, c->number))
			return c;
	}
	return NULL;
}

static uint64_t some_id(void)
{
	uint64_t newest = w.store.next_id;

	return dice_once_in(&dice, 30) ? dice_any(&dice)
				       : newest - dice_below(&dice, newest < 60 ? newest : 60);
}

static const char *some_key(void)
{
	static const char *const keys[] = {"", "", "", "a", "b", "c", "d", "e"};

	return keys[dice_below(&dice, sizeof(keys) / sizeof(keys[0]))];
}

static uint32_t some_queue(void)
{
	return 1 + (uint32_t)dice_below(&dice, WORLD_QUEUES);
}

static void put(struct world_client *c)
{
	unsigned int clock = (unsigned int)dice_below(&dice, PROTO_CLOCKS);
	struct proto_queue_put p = world_put(some_queue(), clock, 0);

	p.flags = dice_below(&dice, 2) ? PROTO_RELATIVE : 0;
	p.due = p.flags ? dice_below(&dice, 300) : w.now.at[clock] + dice_below(&dice, 300) - 100;
	p.slack = dice_below(&dice, 3) ? 0 : dice_below(&dice, 200);
	p.every = dice_below(&dice, 3) ? 0 : 1 + dice_below(&dice, 80);
	p.count = p.every ? (uint32_t)dice_below(&dice, 5) : (uint32_t)dice_below(&dice, 2);
	p.max_attempts = (uint32_t)dice_below(&dice, 4);
	if (dice_once_in(&dice, 4))
		p.max_late = dice_below(&dice, 60);
	if (clock != PROTO_CLOCK_MONOTONIC && dice_once_in(&dice, 6))
		p.flags |= PROTO_WAKE_SYSTEM;
	world_store(&w, c, p, some_key(), dice_below(&dice, 2) ? "payload" : "");
}

static void cancel(struct world_client *c)
{
	struct proto_queue_cancel r = {.queue = some_queue(), .id = some_id()};
	const char *key = dice_below(&dice, 2) ? some_key() : "";

	world_begin(&w, c, PROTO_QUEUE_CANCEL);
	r.key_size = (uint16_t)strlen(key);
	r.key = queue_codec_add_bytes(&w.writer, key, r.key_size);
	queue_codec_put(&w.writer, &r);
	world_send(&w, c, 0);
}

static void reschedule(struct world_client *c)
{
	struct proto_queue_reschedule r = {
		.queue = some_queue(),
		.id = some_id(),
		.due = dice_below(&dice, 200),
		.every = dice_below(&dice, 2) ? 0 : 1 + dice_below(&dice, 50),
		.flags = PROTO_RELATIVE,
	};
	const char *key = dice_below(&dice, 2) ? some_key() : "";

	r.count = r.every ? (uint32_t)dice_below(&dice, 4) : 0;
	world_begin(&w, c, PROTO_QUEUE_RESCHEDULE);
	r.key_size = (uint16_t)strlen(key);
	r.key = queue_codec_add_bytes(&w.writer, key, r.key_size);
	queue_codec_put(&w.writer, &r);
	world_send(&w, c, 0);
}

static void consume(struct world_client *c)
{
	struct proto_queue_consume r = {
		.queue = some_queue(),
		.window = 1 + (uint32_t)dice_below(&dice, dice_below(&dice, 2) ? 3 : 40),
		.max_attempts = (uint32_t)dice_below(&dice, 5),
		.ack_within = dice_below(&dice, 2) ? 0 : 1 + dice_below(&dice, 300),
	};

	world_ask(&w, c, PROTO_QUEUE_CONSUME, &r, 0);
}

static void forget_queue(struct world_client *c, uint32_t queue)
{
	for (size_t i = 0; i < c->count;)
		if (c->wakes[i].queue == queue)
			c->wakes[i] = c->wakes[--c->count];
		else
			i++;
}

static void detach(struct world_client *c)
{
	struct proto_queue_detach r = {.queue = some_queue()};

	world_ask(&w, c, PROTO_QUEUE_DETACH, &r, 0);
	if (c->status == PROTO_OK)
		forget_queue(c, r.queue);
}

static struct world_wake some_wake(struct world_client *c)
{
	if (c->count && !dice_once_in(&dice, 10))
		return c->wakes[dice_below(&dice, c->count)];
	return (struct world_wake){
		.timer = some_id(),
		.number = 1 + (uint32_t)dice_below(&dice, 3),
		.queue = some_queue(),
	};
}

static void ack(struct world_client *c)
{
	world_begin(&w, c, PROTO_QUEUE_ACK);
	for (uint64_t n = 1 + dice_below(&dice, 6); n; n--) {
		struct world_wake wake = some_wake(c);
		struct proto_queue_ack r = {
			.id = wake.timer,
			.number = wake.number,
			.queue = wake.queue,
		};

		world_forget(c, wake.timer, wake.number);
		queue_codec_put(&w.writer, &r);
	}
	world_send(&w, c, 0);
}

static void retry(struct world_client *c)
{
	struct world_wake wake = some_wake(c);
	struct proto_queue_retry r = {
		.id = wake.timer,
		.number = wake.number,
		.queue = wake.queue,
		.delay = dice_below(&dice, 100),
	};

	world_forget(c, wake.timer, wake.number);
	world_ask(&w, c, PROTO_QUEUE_RETRY, &r, 0);
}

static void revive(struct world_client *c)
{
	struct proto_queue_revive r = {.queue = some_queue(), .id = some_id()};

	if (w.store.count && dice_below(&dice, 2))
		r.id = w.store.rows[dice_below(&dice, w.store.count)].t.timer;
	world_ask(&w, c, PROTO_QUEUE_REVIVE, &r, 0);
}

static void read_something(struct world_client *c)
{
	struct proto_queue_list list = {.queue = some_queue()};
	struct proto_queue_queues queues = {0};

	list.flags = dice_below(&dice, 2) ? PROTO_QUEUE_PARKED : 0;
	switch (dice_below(&dice, 4)) {
	case 0:
		world_ask(&w, c, PROTO_QUEUE_PURGE, &list, 0);
		break;
	case 1:
		world_ask(&w, c, PROTO_QUEUE_LIST, &list, 0);
		break;
	case 2:
		world_ask(&w, c, PROTO_QUEUE_QUEUES, &queues, 0);
		break;
	default:
		world_ask(&w, c, PROTO_QUEUE_STATUS, NULL, 0);
		break;
	}
}

static void come_and_go(void)
{
	struct world_client *c = &w.clients[dice_below(&dice, WORLD_CLIENTS)];
	size_t connected = 0;

	for (size_t i = 0; i < WORLD_CLIENTS; i++)
		connected += w.clients[i].connected;
	if (c->connected && (c->ended || dice_once_in(&dice, 2)))
		world_disconnect(&w, c);
	else if (connected < WORLD_CLIENTS)
		world_connect(&w, dice_once_in(&dice, 3) ? 1001 : 1000, NULL, true);
}

static void change_time(void)
{
	unsigned int clock = (unsigned int)dice_below(&dice, PROTO_CLOCKS);

	switch (dice_below(&dice, 12)) {
	case 0:
		w.now.at[PROTO_CLOCK_REALTIME] += dice_below(&dice, 5000) - 2500;
		return;
	case 1:
		w.now.held[PROTO_CLOCK_REALTIME] = w.now.held[PROTO_CLOCK_BOOTTIME] = dice_once_in(
			&dice, 3);
		return;
	case 2:
		w.now.at[clock] += dice_below(&dice, 300);
		return;
	default:
		world_pass(&w, dice_below(&dice, dice_once_in(&dice, 10) ? 3000 : 40));
		return;
	}
}

/* The store fails, or works again. */
static void change_store(void)
{
	static const struct {
		enum store_state state;
		int error;
		bool deletions;
	} kinds[] = {
		{STORE_FULL, -ENOSPC, false},
		{STORE_FULL, -ENOSPC, true},
		{STORE_FAILED, -EIO, false},
		{STORE_FAILED, -EINPROGRESS, false},
		{STORE_AWAY, -ENOTCONN, false},
		{STORE_OK, -EIO, false},
	};
	uint64_t kind = dice_below(&dice, 16);

	w.store.state = STORE_OK;
	w.store.commit_error = w.store.read_error = 0;
	if (kind < sizeof(kinds) / sizeof(kinds[0])) {
		w.store.state = kinds[kind].state;
		w.store.commit_error = kinds[kind].error;
		w.store.deletions = kinds[kind].deletions;
		w.store.read_error = dice_below(&dice, 3) ? 0 : -EIO;
	} else {
		w.now.real += BROKER_RETRY_US;
	}
}

/* A wake that was overdue at a consumer no longer belongs to it. */
static void forget_overdue(void)
{
	for (size_t i = 0; i < WORLD_CLIENTS; i++) {
		struct world_client *c = &w.clients[i];
		const struct client *client = c->connected ? w.b->clients[c->number - 1] : NULL;

		for (size_t k = 0; k < c->count;) {
			const struct world_wake *wake = &c->wakes[k];
			const struct consumer *consumer = client->opened->at[wake->queue - 1]
								  .consumer;

			if (wake_find_unacked(w.b, consumer, wake->timer, wake->number))
				k++;
			else
				c->wakes[k] = c->wakes[--c->count];
		}
	}
}

static void ask_something(void)
{
	struct world_client *c = some_client();

	if (!c)
		return;
	switch (dice_below(&dice, 24)) {
	case 0:
		cancel(c);
		break;
	case 1:
		reschedule(c);
		break;
	case 2:
	case 3:
		consume(c);
		break;
	case 4:
		detach(c);
		break;
	case 5:
		retry(c);
		break;
	case 6:
		revive(c);
		break;
	case 7:
		read_something(c);
		break;
	case 8:
		reschedule(c);
		break;
	case 9:
	case 10:
	case 11:
	case 12:
	case 13:
		put(c);
		break;
	default:
		ack(c);
		break;
	}
}

/* Return: whether the broker has no more work. */
static bool step(void)
{
	struct world_client *c;

	switch (dice_below(&dice, 16)) {
	case 0:
		if (dice_once_in(&dice, 4))
			come_and_go();
		return false;
	case 1:
	case 2:
		change_time();
		return false;
	case 3:
	case 4:
	case 5:
		store_memory_step(&w.store);
		return false;
	case 6:
		if (dice_once_in(&dice, 20))
			change_store();
		return false;
	case 7:
		c = &w.clients[dice_below(&dice, WORLD_CLIENTS)];
		if (!c->connected)
			return false;
		c->stuck = !c->stuck && dice_once_in(&dice, 6);
		if (!c->stuck)
			broker_writable(w.b, c->number);
		return false;
	case 8:
		if (dice_once_in(&dice, 400))
			world_restart(&w, (size_t)dice_below(&dice, 5));
		return false;
	case 9:
	case 10:
	case 11:
		world_serve(&w);
		return true;
	case 12:
		broker_serve(w.b, &w.now);
		return false;
	default:
		ask_something();
		return false;
	}
}

/* When everything works again, each due wake comes, and everything that was stored ends. */
static void drain(void)
{
	struct proto_queue_consume r = {.window = 1000};

	w.store.state = STORE_OK;
	w.store.commit_error = w.store.read_error = 0;
	memset(w.now.held, 0, sizeof(w.now.held));
	world_restart(&w, 10);
	for (uint32_t uid = 1000; uid < 1002; uid++) {
		struct world_client *c = world_connect(&w, uid, NULL, true);

		for (r.queue = 1; r.queue <= WORLD_QUEUES; r.queue++)
			world_ask(&w, c, PROTO_QUEUE_CONSUME, &r, 0);
	}
	for (unsigned int i = 0; i < 400; i++) {
		world_pass(&w, 5000);
		world_settle(&w);
		world_check(&w, true);
		for (unsigned int k = 0; k < 2; k++)
			while (w.clients[k].count) {
				struct world_wake wake = w.clients[k].wakes[0];
				struct proto_queue_cancel stop = {
					.id = wake.timer, .queue = wake.queue};
				struct proto_queue_ack a = {
					.id = wake.timer,
					.number = wake.number,
					.queue = wake.queue,
				};

				world_forget(&w.clients[k], wake.timer, wake.number);
				world_ask(&w, &w.clients[k], PROTO_QUEUE_ACK, &a, 0);
				world_settle(&w);
				assert_int_equal(w.clients[k].status, PROTO_OK);
				if (i > 300)
					world_ask(&w, &w.clients[k], PROTO_QUEUE_CANCEL, &stop, 0);
				world_settle(&w);
			}
	}
	for (size_t i = 0; i < w.store.count; i++)
		assert_true(w.store.rows[i].t.parked || w.store.rows[i].t.every ||
			w.store.rows[i].t.ready > w.now.at[w.store.rows[i].t.clock]);
}

static void run(uint64_t steps)
{
	w = (struct world){.woken = woken};
	w.limits = (struct broker_limits){50, 1 << 20, 64, 64};
	world_start(&w);
	w.store.watch = changed;
	memset(ended, 0, sizeof(ended));
	for (uint64_t i = 0; i < steps; i++) {
		bool idle = step();

		forget_overdue();
		world_check(&w, idle);
	}
	drain();
	world_end(&w);
}

static void test_the_broker_does_as_the_model(void **state)
{
	const char *steps = getenv("TIMERD_TEST_STEPS");

	(void)state;
	dice = dice_new("test_queue_model", 2016);
	run(steps ? strtoull(steps, NULL, 0) : 1000000);
	print_message("%llu wakes, %llu ended, %llu parked\n", (unsigned long long)seen_wakes,
		(unsigned long long)seen_removed, (unsigned long long)seen_parked);
	/* The random steps have reached all that this test is about. */
	assert_true(seen_wakes > 1000 && seen_removed > 1000 && seen_parked > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_broker_does_as_the_model)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
