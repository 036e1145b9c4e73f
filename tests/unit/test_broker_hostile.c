/* SPDX-License-Identifier: MIT */
/*
 * Bad packets: each request with each field of its header wrong, before and after the hello. Each
 * ends its connection with an error that names the fault. Another consumer is still served. So does
 * a hello that does not come.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <endian.h>
#include <string.h>

#include "broker_scene.h"

static const struct kind {
	uint16_t opcode, size, most;
} requests[] = {
	{PROTO_QUEUE_HELLO, 40, 1},
	{PROTO_QUEUE_OPEN, 16, 4094},
	{PROTO_QUEUE_PUT, 80, 818},
	{PROTO_QUEUE_CANCEL, 24, 2729},
	{PROTO_QUEUE_RESCHEDULE, 48, 1364},
	{PROTO_QUEUE_CONSUME, 24, 1},
	{PROTO_QUEUE_DETACH, 8, 1},
	{PROTO_QUEUE_ACK, 24, 2729},
	{PROTO_QUEUE_RETRY, 32, 2047},
	{PROTO_QUEUE_REVIVE, 16, 4094},
	{PROTO_QUEUE_PURGE, 8, 1},
	{PROTO_QUEUE_LIST, 8, 1},
	{PROTO_QUEUE_QUEUES, 8, 1},
	{PROTO_QUEUE_STATUS, 0, 0},
};

static unsigned int attacks;

/* A client that has said nothing yet. */
static struct world_client *connect_silent(uint32_t uid)
{
	struct world_client *c = w.clients;

	while (c->connected)
		c++;
	*c = (struct world_client){.connected = true};
	assert_int_equal(broker_connect(w.b, uid, 0, &w.now, &c->number), PROTO_OK);
	return c;
}

/* The bytes after the header are zeros. */
static void attack(struct proto_header header, size_t size, bool greeted, uint32_t status)
{
	static _Alignas(8) uint8_t packet[PROTO_PACKET_MAX + 64];
	struct world_client *c;

	attacks++;
	header = (struct proto_header){
		.opcode = htole16(header.opcode),
		.record_size = htole16(header.record_size),
		.count = htole16(header.count),
		.status = htole16(header.status),
		.serial = htole64(header.serial),
	};
	memcpy(packet, &header, sizeof(header));
	c = greeted ? world_connect(&w, 1000, NULL, false) : connect_silent(1000);
	assert_int_equal(world_send_bytes(&w, c, packet, size), 1);
	assert_true(c->ended);
	assert_int_equal(c->status, status);
	world_disconnect(&w, c);
}

static void attack_with(const struct kind *r, bool greeted)
{
	struct proto_header bad, *h = &bad, good;
	size_t size = sizeof(*h) + (r->most ? r->size : 0);
	uint32_t broken = PROTO_E_PACKET;

	good = (struct proto_header){
		.opcode = r->opcode,
		.record_size = r->size,
		.count = r->most > 0,
		.serial = greeted ? 2 : 1,
	};
	/* A request at the wrong time, or with a wrong serial. */
	*h = good;
	if (greeted == (r->opcode == PROTO_QUEUE_HELLO))
		attack(*h, size, greeted, PROTO_E_SEQUENCE);
	for (uint64_t serial = 3; greeted && serial; serial <<= 7) {
		h->serial = serial;
		attack(*h, size, greeted, PROTO_E_SEQUENCE);
	}
#define WRONG(size, ...)                           \
	do {                                       \
		*h = good;                         \
		__VA_ARGS__;                       \
		attack(*h, size, greeted, broken); \
	} while (0)
	for (size_t cut = 0; cut < sizeof(*h); cut += 5)
		WRONG(cut, (void)0);
	WRONG(size, h->serial = 0);
	WRONG(size, h->status = 1);
	WRONG(size, h->opcode |= PROTO_ANSWER);
	WRONG(size, h->opcode |= 0x100);
	WRONG(size, h->record_size++);
	WRONG(size, h->record_size = UINT16_MAX);
	WRONG(size, h->record_size = r->size ? 0 : 8);
	WRONG(size, h->count = r->most ? 0 : 1);
	WRONG(size, h->count = (uint16_t)(r->most + 1));
	WRONG(size, h->count = UINT16_MAX);
	WRONG(PROTO_PACKET_MAX + 1, (void)0);
	if (r->size)
		WRONG(size - 1, (void)0);
	/* An area in a request whose records cannot refer to it. */
	if (r->opcode != PROTO_QUEUE_OPEN && r->opcode != PROTO_QUEUE_PUT &&
		r->opcode != PROTO_QUEUE_CANCEL && r->opcode != PROTO_QUEUE_RESCHEDULE)
		WRONG(size + 1, (void)0);
}

static void test_bad_packets_end_their_client_alone(void **state)
{
	static const uint16_t strangers[] = {
		0, 1, 2, 6, 0x1f, 0x2e, 0x7f, 0x80, 0x100, 0x120, 0x121, 0xffff};
	struct world_client *witness = connect_one(1001);
	uint64_t before;

	(void)state;
	store(witness, world_put(1, MONO, 0), "");
	consume(witness, 1);
	world_settle(&w);
	before = wakes;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		for (int greeted = 0; greeted < 2; greeted++)
			attack_with(&requests[i], greeted);
	for (size_t i = 0; i < sizeof(strangers) / sizeof(strangers[0]); i++)
		for (int greeted = 0; greeted < 2; greeted++)
			attack((struct proto_header){.opcode = strangers[i],
				       .serial = greeted ? 2 : 1},
				sizeof(struct proto_header), greeted, PROTO_E_PACKET);
	assert_true(attacks >= 300);
	print_message("%u bad packets\n", attacks);
	store(witness, world_put(1, MONO, 0), "");
	acknowledge(witness, last.id, last.number);
	assert_int_equal(wakes, before + 1);
}

static void test_a_client_must_say_hello_in_time(void **state)
{
	struct world_client *greeted = connect_one(1000), *silent = connect_silent(1001), *later;
	uint64_t since = w.now.real;

	(void)state;
	assert_int_equal(broker_next_real(w.b), since + PROTO_HELLO_TIMEOUT_US);
	world_pass(&w, PROTO_HELLO_TIMEOUT_US - 1);
	later = connect_silent(1001);
	world_settle(&w);
	assert_false(silent->ended);
	world_pass(&w, 1);
	world_settle(&w);
	assert_true(silent->ended);
	assert_int_equal(silent->status, PROTO_E_HELLO_TIMEOUT);
	assert_false(broker_reads(w.b, silent->number));
	assert_false(later->ended || greeted->ended);
	assert_int_equal(broker_next_real(w.b), since + 2 * PROTO_HELLO_TIMEOUT_US - 1);
	world_disconnect(&w, silent);
	world_disconnect(&w, later);
	assert_int_equal(broker_next_real(w.b), PROTO_FOREVER);
}

/* While the broker reads nothing from a user's clients, a hello of such a client may lie unread. */
static void test_an_unread_hello_is_not_late(void **state)
{
	struct world_client *busy = connect_one(1000), *silent = connect_silent(1000);
	struct user *user = w.b->clients[silent->number - 1]->user;

	(void)state;
	user->pending += BROKER_PENDING_PER_USER;
	world_pass(&w, PROTO_HELLO_TIMEOUT_US);
	world_settle(&w);
	user->pending -= BROKER_PENDING_PER_USER;
	assert_false(silent->ended);
	world_pass(&w, PROTO_HELLO_TIMEOUT_US);
	world_settle(&w);
	assert_int_equal(silent->status, PROTO_E_HELLO_TIMEOUT);
	assert_false(busy->ended);
	world_disconnect(&w, silent);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SCENE(test_bad_packets_end_their_client_alone),
		SCENE(test_a_client_must_say_hello_in_time),
		SCENE(test_an_unread_hello_is_not_late),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
