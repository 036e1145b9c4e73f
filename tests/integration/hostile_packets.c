/* SPDX-License-Identifier: MIT */
/*
 * Packets that end their connection. The daemon must send one error event with the exact reason,
 * and then close the connection. Meanwhile a good client gets its wakes. A table of requests makes
 * most packets: each field of a header is wrong, before and after the hello. The golden packets
 * give the others.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "hostile.h"

#define ATTACK_MAX   200000
#define FIRST_HELLO  "opcode: a hello has to come first"
#define SECOND	     "opcode: there was a hello already"
#define WRONG_SERIAL "serial: not one more than that of the request before"
#define BAD_HELLO    "hello: magic is not that of timerd, or reserved is not 0"
#define BAD_VERSION  "version: this timerd speaks version 1"
#define DESCRIPTOR   "a file descriptor came with a packet; timerd takes none"

/* The bytes to send, and the expected answer. */
struct attack {
	char name[96];
	bool greeted;	 /* a hello with serial 1 was sent before */
	int descriptors; /* how many descriptors are attached */
	enum proto_status status;
	uint64_t serial;
	const char *text;
	size_t size;
	uint8_t packet[ATTACK_MAX];
};

static struct attack attack;
static unsigned int attacks;
static bool attacking;
static int silent = -1; /* a connection that never says hello */
static uint64_t silent_since;

static const struct request {
	const char *name;
	enum proto_opcode opcode;
	uint16_t size, most;
} requests[] = {
	{"hello", PROTO_HELLO, 16, 1},
	{"register", PROTO_REGISTER, 64, 1023},
	{"cancel", PROTO_CANCEL, 8, 4094},
	{"rearm", PROTO_REARM, 40, 1637},
	{"list", PROTO_LIST, 8, 1},
	{"status", PROTO_STATUS, 0, 0},
	{"cancel matching", PROTO_CANCEL_MATCHING, 32, 1},
	{"list matching", PROTO_LIST_MATCHING, 32, 1},
};

#define N_REQUESTS	    (sizeof(requests) / sizeof(requests[0]))
#define FOR_EACH_REQUEST(r) for (const struct request *r = requests; r < requests + N_REQUESTS; r++)
#define FOR_BOTH(greeted)   for (int greeted = 0; greeted < 2; greeted++)
#define VALID_MAGIC_AT	    24
#define VALID_VERSION_AT    28
#define VALID_RESERVED_AT   30

/* Sends `attack` and checks the answer. */
static void run(void)
{
	int room = 2 * ATTACK_MAX;

	attacks++;
	attacking = true;
	if (attack.greeted)
		wire_open(&wire, daemon_socket(&d));
	else
		wire_connect(&wire, daemon_socket(&d));
	check(setsockopt(wire.fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room)) == 0);
	if (!attack.descriptors)
		check(wire_send(&wire, attack.packet, attack.size));
	if (!attack.descriptors || wire_pass(&wire, attack.packet, attack.size, attack.descriptors))
		wire_expect_error(&wire, attack.status, attack.serial, attack.text);
	wire_close(&wire);
	attacking = false;
}

/* Begins with a valid request of one record, with the expected serial. */
static struct proto_header *prepare(const struct request *r, bool greeted, const char *what)
{
	struct proto_header *h = (struct proto_header *)attack.packet;
	const struct proto_hello hello = {.magic = PROTO_MAGIC, .version = 1};

	memset(&attack, 0, offsetof(struct attack, packet) + 4096);
	snprintf(attack.name, sizeof(attack.name), "%s %s hello: %s", r->name,
		greeted ? "after" : "before", what);
	attack.greeted = greeted;
	*h = (struct proto_header){.opcode = (uint16_t)r->opcode,
		.record_size = r->size,
		.count = r->most > 0,
		.serial = greeted ? 2 : 1};
	if (r->opcode == PROTO_HELLO)
		memcpy(h + 1, &hello, sizeof(hello));
	attack.size = sizeof(*h) + r->size;
	return h;
}

static void run_fault(enum codec_fault fault)
{
	attack.status = PROTO_E_PACKET;
	attack.text = codec_fault_text(fault);
	run();
}

static void test_a_wrong_record_size_ends_the_session(void **state)
{
	(void)state;
	FOR_BOTH(greeted) FOR_EACH_REQUEST(r)
	{
		const uint16_t sizes[] = {(uint16_t)(r->size + 1), (uint16_t)(r->size - 1),
			(uint16_t)(r->size ^ 0x8000), 0, UINT16_MAX};

		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			char what[32];

			if (sizes[i] == r->size)
				continue;
			snprintf(what, sizeof(what), "record_size %u", sizes[i]);
			prepare(r, greeted, what)->record_size = sizes[i];
			run_fault(CODEC_RECORD_SIZE);
		}
	}
}

static void test_a_wrong_count_ends_the_session(void **state)
{
	(void)state;
	FOR_BOTH(greeted) FOR_EACH_REQUEST(r)
	{
		const uint16_t counts[] = {0, (uint16_t)(r->most + 1), UINT16_MAX};

		for (size_t i = 0; i < 3; i++) {
			char what[32];

			if (counts[i] == 0 && r->most == 0)
				continue;
			snprintf(what, sizeof(what), "count %u", counts[i]);
			prepare(r, greeted, what)->count = counts[i];
			run_fault(CODEC_COUNT);
		}
	}
}

static void test_a_wrong_length_ends_the_session(void **state)
{
	static const int offs[] = {-64, -40, -16, -8, -1, 1, 2, 8, 16, 24, 40, 64, 4000};

	(void)state;
	FOR_BOTH(greeted) FOR_EACH_REQUEST(r)
	{
		for (size_t i = 0; i < sizeof(offs) / sizeof(offs[0]); i++) {
			char what[32];

			if (r->size + offs[i] < 0)
				continue;
			snprintf(what, sizeof(what), "%d bytes too many", offs[i]);
			prepare(r, greeted, what);
			attack.size = (size_t)((int)attack.size + offs[i]);
			run_fault(CODEC_LENGTH);
		}
		if (r->most < 2)
			continue;
		prepare(r, greeted, "count 2 and one record")->count = 2;
		run_fault(CODEC_LENGTH);
		prepare(r, greeted, "the largest count and one record")->count = r->most;
		run_fault(CODEC_LENGTH);
	}
}

static void test_serial_0_or_a_status_ends_the_session(void **state)
{
	static const uint16_t statuses[] = {1, 64, 0x8000, UINT16_MAX};

	(void)state;
	FOR_BOTH(greeted) FOR_EACH_REQUEST(r)
	{
		prepare(r, greeted, "serial 0")->serial = 0;
		run_fault(CODEC_SERIAL);
		for (size_t i = 0; i < 4; i++) {
			char what[32];

			snprintf(what, sizeof(what), "status %u", statuses[i]);
			prepare(r, greeted, what)->status = statuses[i];
			run_fault(CODEC_STATUS);
		}
	}
}

static void test_an_unknown_opcode_ends_the_session(void **state)
{
	static const uint16_t opcodes[] = {0, 9, 10, 0x7f, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86,
		0x87, 0xff, 0x100, 0x101, 0x102, 0x103, 0x104, 0x105, 0x184, 0x201, 0x8002,
		UINT16_MAX};

	(void)state;
	FOR_BOTH(greeted)
	{
		for (size_t i = 0; i < sizeof(opcodes) / sizeof(opcodes[0]); i++) {
			char what[32];

			snprintf(what, sizeof(what), "opcode %#x", opcodes[i]);
			prepare(&requests[1], greeted, what)->opcode = opcodes[i];
			run_fault(CODEC_OPCODE);
		}
	}
}

static void test_a_wrong_packet_size_ends_the_session(void **state)
{
	static const size_t sizes[] = {65537, 65538, 65560, 131072, 150000};

	(void)state;
	FOR_BOTH(greeted)
	{
		for (size_t size = 0; size < 24; size++) {
			char what[32];

			snprintf(what, sizeof(what), "cut to %zu bytes", size);
			prepare(&requests[1], greeted, what);
			attack.size = size;
			run_fault(size ? CODEC_SHORT_HEADER : CODEC_EMPTY);
		}
		for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
			char what[32];

			snprintf(what, sizeof(what), "%zu bytes", sizes[i]);
			prepare(&requests[1], greeted, what)->count = 1024;
			attack.size = sizes[i];
			run_fault(CODEC_OVERSIZE);
		}
	}
}

/* All golden packets that are malformed, or that only a daemon may send. */
static void test_bad_golden_packets_end_the_session(void **state)
{
	(void)state;
	for (const struct vector *v = vectors.all; v < vectors.all + vectors.n; v++) {
		enum codec_fault fault;
		struct proto_header h;

		fault = codec_open(v->packet, v->size, CODEC_FROM_CLIENT, &h);
		if (fault == CODEC_OK)
			continue;
		memset(&attack, 0, offsetof(struct attack, packet));
		snprintf(attack.name, sizeof(attack.name), "golden packet %s", v->name);
		attack.greeted = true;
		attack.size = v->size;
		if (v->size)
			memcpy(attack.packet, v->packet, v->size);
		run_fault(fault);
	}
}

static void run_sequence(const char *text, uint64_t serial)
{
	attack.status = PROTO_E_SEQUENCE;
	attack.text = text;
	attack.serial = serial;
	run();
}

static void test_packets_out_of_order_end_the_session(void **state)
{
	(void)state;
	FOR_EACH_REQUEST(r)
	{
		prepare(r, r->opcode == PROTO_HELLO, "out of order");
		run_sequence(r->opcode == PROTO_HELLO ? SECOND : FIRST_HELLO,
			r->opcode == PROTO_HELLO ? 2 : 1);
		prepare(r, r->opcode == PROTO_HELLO, "out of order, the largest serial")
			->serial = UINT64_MAX;
		run_sequence(r->opcode == PROTO_HELLO ? SECOND : FIRST_HELLO, UINT64_MAX);
		prepare(r, true, "the serial of the hello")->serial = 1;
		run_sequence(r->opcode == PROTO_HELLO ? SECOND : WRONG_SERIAL, 1);
	}
}

/* The hello comes first, but its serial is not 1. */
static void test_a_first_serial_other_than_1_ends_the_session(void **state)
{
	static const uint64_t serials[] = {
		2, 3, UINT32_MAX, UINT64_C(1) << 32 | 1, UINT64_MAX - 1, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(serials) / sizeof(serials[0]); i++) {
		prepare(&requests[0], false, "a first serial that is not 1")->serial = serials[i];
		run_sequence(WRONG_SERIAL, serials[i]);
	}
}

/* Sends `attack` after two status requests with serials 2 and 3. in_flight: sends it before it
 * reads their answers. */
static void run_wrong_serial(uint64_t serial, bool in_flight)
{
	attacks++;
	attacking = true;
	wire_open(&wire, daemon_socket(&d));
	wire_request(&wire, PROTO_STATUS, NULL, 0);
	if (!in_flight)
		wire_expect(&wire, PROTO_STATUS | PROTO_ANSWER);
	wire_request(&wire, PROTO_STATUS, NULL, 0);
	check(wire.serial == 3);
	if (!in_flight)
		wire_expect(&wire, PROTO_STATUS | PROTO_ANSWER);
	((struct proto_header *)attack.packet)->serial = serial;
	check(wire_send(&wire, attack.packet, attack.size));
	if (in_flight) {
		wire_expect(&wire, PROTO_STATUS | PROTO_ANSWER);
		check(wire.header.serial == 2);
		wire_expect(&wire, PROTO_STATUS | PROTO_ANSWER);
	}
	check(wire.header.serial == 3);
	if (serial)
		wire_expect_error(&wire, PROTO_E_SEQUENCE, serial, WRONG_SERIAL);
	else
		wire_expect_error(&wire, PROTO_E_PACKET, 0, codec_fault_text(CODEC_SERIAL));
	wire_close(&wire);
	attacking = false;
}

/* Serial 0, earlier serials, the same serial again, and gaps, for each kind of request. The
 * daemon applies none of these requests. */
static void test_a_wrong_serial_ends_the_session(void **state)
{
	static const uint64_t serials[] = {
		0, 1, 2, 3, 5, 6, UINT32_MAX, UINT64_C(1) << 32 | 4, UINT64_MAX - 1, UINT64_MAX};
	struct proto_status_answer before, after;

	(void)state;
	wire_status(daemon_socket(&d), &before);
	FOR_EACH_REQUEST(r)
	{
		if (r->opcode == PROTO_HELLO)
			continue;
		for (size_t i = 0; i < sizeof(serials) / sizeof(serials[0]); i++) {
			char what[64];

			snprintf(what, sizeof(what), "serial %#llx after 3",
				(unsigned long long)serials[i]);
			FOR_BOTH(in_flight)
			{
				prepare(r, true, what);
				run_wrong_serial(serials[i], in_flight);
			}
		}
	}
	wire_status(daemon_socket(&d), &after);
	check(after.registered == before.registered && after.refused == before.refused);
	check(after.cancelled == before.cancelled);
}

static void test_a_wrong_hello_ends_the_session(void **state)
{
	(void)state;
	for (size_t i = 0; i < 32; i++) {
		prepare(&requests[0], false, "a bit of the magic is wrong");
		attack.packet[VALID_MAGIC_AT + i / 8] ^= (uint8_t)(1u << i % 8);
		attack.status = PROTO_E_PACKET, attack.text = BAD_HELLO, attack.serial = 1;
		run();
	}
	for (size_t i = 0; i < 16; i++) {
		prepare(&requests[0], false, "reserved is not 0");
		attack.packet[VALID_RESERVED_AT + i / 8] = (uint8_t)(1u << i % 8);
		attack.status = PROTO_E_PACKET, attack.text = BAD_HELLO, attack.serial = 1;
		run();
	}
	prepare(&requests[0], false, "version 0");
	attack.packet[VALID_VERSION_AT] = 0;
	attack.status = PROTO_E_VERSION, attack.text = BAD_VERSION, attack.serial = 1;
	run();
}

/* The daemon accepts no descriptor, even if the packet has other faults. */
static void test_a_passed_descriptor_ends_the_session(void **state)
{
	static const int numbers[] = {1, 2, 253};

	(void)state;
	FOR_BOTH(greeted) FOR_EACH_REQUEST(r)
	{
		for (size_t i = 0; i < 3; i++) {
			for (int harm = 0; harm < 3; harm++) {
				prepare(r, greeted,
					harm ? "descriptors, malformed" : "descriptors");
				attack.size = harm == 1 ? 23 : harm == 2 ? 0 : attack.size;
				attack.descriptors = numbers[i];
				attack.status = PROTO_E_PASSED_DESCRIPTOR;
				attack.text = DESCRIPTOR;
				run();
			}
		}
	}
}

/* The daemon answers and applies the good packets before it reports the malformed one. */
static void test_good_packets_before_a_bad_one_are_applied(void **state)
{
	const struct proto_register r = {.due = UINT64_C(3600000000), .flags = PROTO_RELATIVE};
	struct proto_registered registered;

	(void)state;
	attacks++;
	wire_open(&wire, daemon_socket(&d));
	wire_request(&wire, PROTO_REGISTER, &r, 1);
	wire_request(&wire, PROTO_STATUS, NULL, 0);
	check(wire_send(&wire, "?", 1));
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	wire_get(&wire, 0, &registered);
	check(registered.status == PROTO_OK);
	wire_expect(&wire, PROTO_STATUS | PROTO_ANSWER);
	wire_expect_error(&wire, PROTO_E_PACKET, 0, codec_fault_text(CODEC_SHORT_HEADER));
	wire_close(&wire);
}

/* A client closes its connection without reading its answers. Its requests still count. */
static void test_packets_of_a_client_that_has_gone_are_applied(void **state)
{
	const struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	const struct proto_register r = {.due = UINT64_C(3600000000), .flags = PROTO_RELATIVE};
	struct proto_registered registered;
	struct codec_writer w;
	static struct wire owner;

	(void)state;
	wire_open(&owner, daemon_socket(&d));
	for (int i = 0; i < 50; i++) {
		struct proto_cancelled cancelled;

		attacks++;
		wire_request(&owner, PROTO_REGISTER, &r, 1);
		wire_expect(&owner, PROTO_REGISTER | PROTO_ANSWER);
		wire_get(&owner, 0, &registered);
		wire_connect(&wire, daemon_socket(&d));
		codec_begin(&w, wire.out, PROTO_HELLO, 1);
		codec_put(&w, &hello, sizeof(hello));
		check(wire_send(&wire, wire.out, codec_end(&w, 0)));
		wire_sleep_us(1000);
		codec_begin(&w, wire.out, PROTO_CANCEL, 2);
		codec_put(&w, &(struct proto_cancel){registered.id}, sizeof(struct proto_cancel));
		check(wire_send(&wire, wire.out, codec_end(&w, 0)));
		close(wire.fd);
		wire.fd = -1;
		wire_expect(&owner, PROTO_CANCELLED);
		wire_get(&owner, 0, &cancelled);
		check(cancelled.id == registered.id);
	}
	wire_close(&owner);
}

static void test_unusual_but_valid_packets_are_accepted(void **state)
{
	const struct proto_hello hello = {
		.magic = PROTO_MAGIC, .version = UINT16_MAX, .capabilities = UINT64_MAX};
	struct proto_hello_answer answer;

	(void)state;
	wire_connect(&wire, daemon_socket(&d));
	wire_request(&wire, PROTO_HELLO, &hello, 1);
	wire_request(&wire, PROTO_STATUS, NULL, 0); /* before the answer was read */
	check(shutdown(wire.fd, SHUT_WR) == 0);	    /* and end of file follows it */
	wire_expect(&wire, PROTO_HELLO | PROTO_ANSWER);
	check(wire.header.serial == 1);
	wire_get(&wire, 0, &answer);
	check(answer.version == PROTO_VERSION);
	wire_expect(&wire, PROTO_STATUS | PROTO_ANSWER);
	wire_expect_end(&wire);
	wire_close(&wire);

	wire_open(&wire, daemon_socket(&d));
	wire_begin(&wire, PROTO_STATUS);
	wire_end(&wire, UINT64_MAX); /* a cursor in a request that has none */
	wire_expect(&wire, PROTO_STATUS | PROTO_ANSWER);
	check(wire.header.cursor == 0);
	wire_close(&wire);
}

/* begin() has opened this connection before all tests, so its time is up soon. */
static void test_no_hello_within_5_s_ends_the_session(void **state)
{
	uint64_t took;

	(void)state;
	attacks++;
	wire.fd = silent;
	silent = -1;
	wire_expect_error(&wire, PROTO_E_HELLO_TIMEOUT, 0, "no hello within 5 s");
	took = wire_now(PROTO_CLOCK_MONOTONIC) - silent_since;
	/* The daemon counts from the beginning of the turn that accepted the connection. */
	check(took >= PROTO_HELLO_TIMEOUT_US - 1000000);
	wire_close(&wire);
}

static int begin(void **state)
{
	hostile_begin(state);
	silent_since = wire_now(PROTO_CLOCK_MONOTONIC);
	wire_connect(&wire, daemon_socket(&d));
	silent = wire.fd;
	return 0;
}

/* Names the packet after a failure, and checks that the daemon keeps nothing of it. */
static int after_each(void **state)
{
	const uint64_t clients = silent < 0 ? 1 : 2; /* the witness, the silent one */

	(void)state;
	if (attacking)
		print_error("the packet: %s\n", attack.name);
	attacking = false;
	wire_close(&wire);
	wire_await_timers(daemon_socket(&d), 3);
	wire_await_clients(daemon_socket(&d), clients);
	return 0;
}

static int end(void **state)
{
	hostile_end(state);
	print_message("%u bad packets\n", attacks);
	check(attacks >= 150);
	return 0;
}

#define TEST(name) cmocka_unit_test_teardown(name, after_each)

int hostile_packets(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_wrong_record_size_ends_the_session),
		TEST(test_a_wrong_count_ends_the_session),
		TEST(test_a_wrong_length_ends_the_session),
		TEST(test_serial_0_or_a_status_ends_the_session),
		TEST(test_an_unknown_opcode_ends_the_session),
		TEST(test_a_wrong_packet_size_ends_the_session),
		TEST(test_bad_golden_packets_end_the_session),
		TEST(test_packets_out_of_order_end_the_session),
		TEST(test_a_first_serial_other_than_1_ends_the_session),
		TEST(test_a_wrong_serial_ends_the_session),
		TEST(test_a_wrong_hello_ends_the_session),
		TEST(test_a_passed_descriptor_ends_the_session),
		TEST(test_packets_of_a_client_that_has_gone_are_applied),
		TEST(test_good_packets_before_a_bad_one_are_applied),
		TEST(test_unusual_but_valid_packets_are_accepted),
		TEST(test_no_hello_within_5_s_ends_the_session),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
