/* SPDX-License-Identifier: MIT */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "store_stage.h"

struct store *store;
uint32_t queue;
uint64_t term;
struct ask_rows rows;

struct store_change make_put(uint64_t due, const char *key, const char *payload)
{
	return (struct store_change){
		.type = STORE_PUT,
		.timer =
			{
				.queue = queue,
				.clock = PROTO_CLOCK_REALTIME,
				.due = due,
				.ready = due,
				.max_late = PROTO_FOREVER,
				.number = 1,
				.key = key,
				.key_size = (uint16_t)strlen(key),
				.payload = payload,
				.payload_size = (uint32_t)strlen(payload),
			},
	};
}

uint64_t put(uint64_t due, const char *key, const char *payload)
{
	struct store_change c = make_put(due, key, payload);

	assert_int_equal(ask_change(store, &c), 0);
	assert_int_equal(c.status, PROTO_OK);
	return c.id;
}

struct store_change wake(enum store_change_type type, uint64_t id, uint32_t number)
{
	return (struct store_change){
		.type = type, .term = term, .timer = {.queue = queue, .id = id, .number = number}};
}

void change(struct store_change *c, uint32_t status)
{
	assert_int_equal(ask_change(store, c), 0);
	assert_int_equal(c->status, status);
}

void load(void)
{
	ask_load(store, queue, PROTO_CLOCK_REALTIME, INT64_MAX, &rows);
	assert_int_equal(rows.error, 0);
}
