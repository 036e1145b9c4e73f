/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "broker_scene.h"

struct world w;
struct proto_queue_wake last;
struct world_client *last_client;
uint64_t wakes;

static void woken(struct world *world, struct world_client *c, const struct proto_queue_wake *r)
{
	(void)world;
	last = *r;
	last_client = c;
	wakes++;
}

int scene_start(void **state)
{
	(void)state;
	w = (struct world){.woken = woken};
	last = (struct proto_queue_wake){0};
	wakes = 0;
	world_start(&w);
	return 0;
}

int scene_end(void **state)
{
	(void)state;
	world_check(&w, false);
	world_end(&w);
	return 0;
}

void consume_with(struct world_client *c, struct proto_queue_consume r)
{
	r.queue = r.queue ? r.queue : 1;
	world_ask(&w, c, PROTO_QUEUE_CONSUME, &r, 0);
	assert_int_equal(c->status, PROTO_OK);
}

void consume(struct world_client *c, uint32_t window)
{
	consume_with(c, (struct proto_queue_consume){.window = window});
}

void acknowledge(struct world_client *c, uint64_t id, uint32_t number)
{
	struct proto_queue_ack r = {.id = id, .number = number, .queue = 1};

	world_forget(c, id, number);
	world_ask(&w, c, PROTO_QUEUE_ACK, &r, 0);
	world_settle(&w);
}

void retry(struct world_client *c, uint64_t delay)
{
	struct proto_queue_retry r = {
		.id = last.id, .number = last.number, .queue = 1, .delay = delay};

	world_forget(c, last.id, last.number);
	world_ask(&w, c, PROTO_QUEUE_RETRY, &r, 0);
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
}

void store(struct world_client *c, struct proto_queue_put put, const char *key)
{
	world_store(&w, c, put, key, "p");
	world_settle(&w);
	assert_int_equal(c->status, PROTO_OK);
}

struct world_client *connect_one(uint32_t uid)
{
	struct world_client *c = world_connect(&w, uid, NULL, true);

	world_settle(&w);
	return c;
}

void pass(uint64_t span)
{
	world_pass(&w, span);
	world_settle(&w);
}
