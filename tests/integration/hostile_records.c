/* SPDX-License-Identifier: MIT */
/*
 * Records that the daemon refuses one by one. Each gets the status that says why, the other records
 * of its packet stand, and the session goes on. A table of records for each request, and what
 * another user may not do.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "hostile.h"

#define HOUR  UINT64_C(3600000000)
#define OTHER 31337 /* a uid that nobody has */

static bool can_wake_system;
static unsigned int refusals;

struct record {
	const char *name;
	struct proto_register r;
	enum proto_status status;
};

/* Requests that are invalid now or always for this client. Golden packets have the records that are
 * invalid by themselves. */
static const struct record records[] = {
	{"due FOREVER", {.due = UINT64_MAX}, PROTO_E_RANGE},
	{"a span of FOREVER", {.due = UINT64_MAX, .flags = 1}, PROTO_E_RANGE},
	{"a span that passes the end", {.due = UINT64_MAX - 1, .flags = 1}, PROTO_E_RANGE},
	{"the same on boottime", {.due = UINT64_MAX - 1, .flags = 1, .clock = 1}, PROTO_E_RANGE},
	{"the same on realtime", {.due = UINT64_MAX - 1, .flags = 1, .clock = 2}, PROTO_E_RANGE},
	{"realtime before 2000",
		{.due = UINT64_MAX - UINT64_C(946684800000000), .flags = 1, .clock = 2},
		PROTO_E_RANGE},
	{"with a slack and a period",
		{.due = UINT64_MAX - 1, .slack = UINT64_MAX, .every = UINT64_MAX, .flags = 1},
		PROTO_E_RANGE},
	{"the last instant", {.due = UINT64_MAX - 1}, PROTO_OK},
	{"the last instant and a slack", {.due = UINT64_MAX - 1, .slack = 1}, PROTO_OK},
	{"2^63", {.due = UINT64_C(1) << 63, .clock = 1}, PROTO_OK},
	{"a span of 2^63", {.due = UINT64_C(1) << 63, .flags = 1}, PROTO_OK},
	{"year 2200", {.due = UINT64_C(7258118400000000), .clock = 2}, PROTO_OK},
	{"a slack of 2^63", {.due = HOUR, .slack = UINT64_C(1) << 63, .flags = 1}, PROTO_OK},
	{"a slack of 2^63 + 1", {.due = HOUR, .slack = (UINT64_C(1) << 63) + 1, .flags = 1},
		PROTO_OK},
	{"a slack of FOREVER", {.due = HOUR, .slack = UINT64_MAX, .flags = 1}, PROTO_OK},
	{"a period of 2^63", {.due = HOUR, .every = UINT64_C(1) << 63, .flags = 1}, PROTO_OK},
	{"a period of FOREVER", {.due = HOUR, .every = UINT64_MAX, .flags = 1}, PROTO_OK},
	{"a count of one", {.due = HOUR, .count = 1, .flags = 1}, PROTO_OK},
	{"a count of two", {.due = HOUR, .count = 2, .flags = 1}, PROTO_E_COUNT},
	{"a count of 2^32 - 1", {.due = HOUR, .count = UINT32_MAX, .flags = 1}, PROTO_E_COUNT},
	{"a large count", {.due = HOUR, .count = UINT32_MAX, .every = 1, .flags = 1}, PROTO_OK},
	{"wakes on monotonic", {.due = HOUR, .flags = 3}, PROTO_E_WAKE_CLOCK},
	{"a bad clock and all else",
		{.due = UINT64_MAX,
			.count = 2,
			.clock = 3,
			.flags = 255,
			.reserved = 1,
			.label = "\n"},
		PROTO_E_CLOCK},
	{"bad flags and all else",
		{.due = UINT64_MAX, .count = 2, .flags = 255, .reserved = 1, .label = "\n"},
		PROTO_E_FLAGS},
	{"a bad label, count and due", {.due = UINT64_MAX, .count = 2, .label = "\n"},
		PROTO_E_LABEL},
	{"a bad due and count", {.due = UINT64_MAX, .count = 2}, PROTO_E_RANGE},
};

#define N_RECORDS (sizeof(records) / sizeof(records[0]))

static void expect_status(uint32_t i, enum proto_status want, const char *name)
{
	struct proto_registered got;

	wire_get(&wire, i, &got);
	if (got.status != want)
		print_error("%s: status %u, not %u\n", name, got.status, want);
	check(got.status == want);
	check(got.reserved == 0);
	check((got.id != 0) == (want == PROTO_OK));
	check(got.status == PROTO_OK || got.due == 0);
	refusals += want != PROTO_OK;
}

/* Registers the record between two good ones. All timers end with the connection. */
static void register_between(
	const struct proto_register *r, enum proto_status want, const char *name)
{
	const struct proto_register good = {.due = HOUR, .flags = PROTO_RELATIVE};

	wire_begin(&wire, PROTO_REGISTER);
	wire_put(&wire, &good);
	wire_put(&wire, r);
	wire_put(&wire, &good);
	wire_end(&wire, 0);
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	check(wire.header.count == 3 && wire.header.status == 0);
	expect_status(0, PROTO_OK, name);
	expect_status(1, want, name);
	expect_status(2, PROTO_OK, name);
}

static void test_bad_registrations_are_refused_one_by_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_RECORDS; i++)
		register_between(&records[i].r, records[i].status, records[i].name);
}

static void test_every_unknown_clock_and_flag_is_refused(void **state)
{
	(void)state;
	for (unsigned int clock = 0; clock < 256; clock++) {
		struct proto_register r = {.due = HOUR, .clock = (uint8_t)clock, .flags = 1};

		register_between(&r, clock < 3 ? PROTO_OK : PROTO_E_CLOCK, "a clock");
	}
	for (unsigned int bit = 0; bit < 24; bit++) {
		struct proto_register r = {.due = HOUR, .clock = 1, .flags = 1};

		if (bit < 16)
			r.reserved = (uint16_t)(1u << bit);
		else
			r.flags |= (uint8_t)(1u << (bit - 16));
		if (bit == 16)
			register_between(&r, PROTO_OK, "RELATIVE");
		else if (bit == 17)
			register_between(&r, can_wake_system ? PROTO_OK : PROTO_E_WAKE_SYSTEM,
				"WAKE_SYSTEM");
		else if (bit == 18)
			register_between(&r, PROTO_E_SET_CLOCK, "TELL_CLOCK_SET");
		else
			register_between(&r, PROTO_E_FLAGS, "a flag or reserved bit");
	}
}

static enum proto_status status_of(const char *check_name)
{
	static const char *const names[] = {"ok", NULL, NULL, NULL, "clock", "flags", "count",
		"label", "range", NULL, "wake-clock", NULL, "set-clock"};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i] && strcmp(names[i], check_name) == 0)
			return (enum proto_status)i;
	check(false); /* no status of a golden packet */
	return PROTO_OK;
}

static void test_golden_registrations_get_their_status(void **state)
{
	(void)state;
	for (const struct vector *v = vectors.all; v < vectors.all + vectors.n; v++) {
		struct proto_header h;

		if (codec_open(v->packet, v->size, CODEC_FROM_CLIENT, &h) != CODEC_OK)
			continue;
		if (h.opcode != PROTO_REGISTER || h.count > 3)
			continue;
		for (uint32_t i = 0; i < h.count; i++) {
			enum proto_status want = status_of(v->groups[i + 1].check);
			struct proto_register r;

			codec_get(v->packet, &h, i, &r, sizeof(r));
			if (want == PROTO_OK && r.flags & PROTO_WAKE_SYSTEM && !can_wake_system)
				want = PROTO_E_WAKE_SYSTEM;
			/* an hour later, so that no wake arrives during the test */
			if (want == PROTO_OK)
				r.due = r.flags & PROTO_RELATIVE ? HOUR : UINT64_MAX - 1;
			register_between(&r, want, v->name);
		}
	}
}

static uint64_t enroll_one(uint8_t flags)
{
	const struct proto_register r = {.due = HOUR, .flags = flags};
	struct proto_registered registered;

	wire_request(&wire, PROTO_REGISTER, &r, 1);
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	wire_get(&wire, 0, &registered);
	check(registered.status == PROTO_OK);
	return registered.id;
}

static enum proto_status cancel_one(uint64_t id)
{
	struct proto_cancel_answer answer;

	wire_request(&wire, PROTO_CANCEL, &id, 1);
	wire_expect(&wire, PROTO_CANCEL | PROTO_ANSWER);
	wire_get(&wire, 0, &answer);
	check(answer.id == id && answer.reserved == 0);
	return answer.status;
}

static enum proto_status rearm_one(const struct proto_rearm *r)
{
	struct proto_registered answer;

	wire_request(&wire, PROTO_REARM, r, 1);
	wire_expect(&wire, PROTO_REARM | PROTO_ANSWER);
	wire_get(&wire, 0, &answer);
	check(answer.id == (answer.status ? 0 : r->id));
	return answer.status;
}

/* Ids that differ from a live id in one bit, and made up ids. */
static void test_unknown_ids_are_refused(void **state)
{
	uint64_t id = enroll_one(PROTO_RELATIVE), stale = enroll_one(PROTO_RELATIVE);

	(void)state;
	check(cancel_one(stale) == PROTO_OK);
	for (unsigned int bit = 0; bit < 64; bit++) {
		uint64_t other = id ^ UINT64_C(1) << bit;
		struct proto_rearm r = {.id = other, .due = 1, .flags = PROTO_RELATIVE};

		check(rearm_one(&r) == PROTO_E_NO_SUCH_TIMER);
	}
	for (uint64_t other = 0; other < 4096; other++)
		check(other == id || cancel_one(other) == PROTO_E_NO_SUCH_TIMER);
	check(cancel_one(UINT64_MAX) == PROTO_E_NO_SUCH_TIMER);
	check(cancel_one(UINT64_C(1) << 53) == PROTO_E_NO_SUCH_TIMER);
	check(cancel_one(stale) == PROTO_E_NO_SUCH_TIMER);
	check(cancel_one(id) == PROTO_OK);
	check(cancel_one(id) == PROTO_E_NO_SUCH_TIMER);
	refusals += 64 + 4096 + 4;
}

/* The first record wins. */
static void test_an_id_twice_in_a_packet_is_cancelled_once(void **state)
{
	uint64_t id = enroll_one(PROTO_RELATIVE), ids[] = {id, id, 0, id};
	struct proto_cancel_answer answer;

	(void)state;
	wire_request(&wire, PROTO_CANCEL, ids, 4);
	wire_expect(&wire, PROTO_CANCEL | PROTO_ANSWER);
	check(wire.header.count == 4);
	for (uint32_t i = 0; i < 4; i++) {
		wire_get(&wire, i, &answer);
		check(answer.id == ids[i]);
		check(answer.status == (i ? PROTO_E_NO_SUCH_TIMER : PROTO_OK));
	}
}

/* Each request has as many records as possible, all of them bad. The answer is one packet. */
static void test_largest_packets_of_bad_records_are_answered(void **state)
{
	static const struct proto_register bad = {.due = HOUR, .clock = 7};
	static const struct proto_rearm rearm = {.due = HOUR};
	static const struct proto_cancel cancel;

	(void)state;
	for (wire_begin(&wire, PROTO_REGISTER); !codec_full(&wire.writer);)
		wire_put(&wire, &bad);
	wire_end(&wire, 0);
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	check(wire.header.count == 1023);
	for (wire_begin(&wire, PROTO_CANCEL); !codec_full(&wire.writer);)
		wire_put(&wire, &cancel);
	wire_end(&wire, 0);
	wire_expect(&wire, PROTO_CANCEL | PROTO_ANSWER);
	check(wire.header.count == 4094);
	for (wire_begin(&wire, PROTO_REARM); !codec_full(&wire.writer);)
		wire_put(&wire, &rearm);
	wire_end(&wire, 0);
	wire_expect(&wire, PROTO_REARM | PROTO_ANSWER);
	check(wire.header.count == 1637);
	refusals += 1023 + 4094 + 1637;
}

/* The timer can still be cancelled under its id. */
static void test_a_refused_rearm_changes_nothing(void **state)
{
	const struct {
		struct proto_rearm r;
		enum proto_status status;
	} cases[] = {
		{{.due = HOUR, .flags = 2}, PROTO_E_FLAGS},
		{{.due = HOUR, .flags = 3}, PROTO_E_FLAGS},
		{{.due = HOUR, .flags = 128}, PROTO_E_FLAGS},
		{{.due = HOUR, .flags = 1, .reserved = {1, 0, 0}}, PROTO_E_FLAGS},
		{{.due = HOUR, .flags = 1, .reserved = {0, 1, 0}}, PROTO_E_FLAGS},
		{{.due = HOUR, .flags = 1, .reserved = {0, 0, 1}}, PROTO_E_FLAGS},
		{{.due = HOUR, .flags = 1, .count = 2}, PROTO_E_COUNT},
		{{.due = UINT64_MAX}, PROTO_E_RANGE},
		{{.due = UINT64_MAX - 1, .flags = 1}, PROTO_E_RANGE},
		{{.due = UINT64_MAX - 1}, PROTO_OK},
		{{.due = HOUR, .flags = 1, .slack = UINT64_MAX, .every = UINT64_MAX}, PROTO_OK},
	};
	uint64_t id = enroll_one(PROTO_RELATIVE);

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proto_rearm r = cases[i].r;

		r.id = id;
		check(rearm_one(&r) == cases[i].status);
		refusals++;
	}
	check(cancel_one(id) == PROTO_OK);
}

static void expect_list_status(const struct proto_list *list, enum proto_status want)
{
	wire_request(&wire, PROTO_LIST, list, 1);
	wire_expect(&wire, PROTO_LIST | PROTO_ANSWER);
	check(wire.header.status == want);
	check(want == PROTO_OK || (wire.header.count == 0 && wire.header.cursor == 0));
	refusals += want != PROTO_OK;
}

static void test_bad_lists_are_refused(void **state)
{
	(void)state;
	for (unsigned int bit = 0; bit < 32; bit++) {
		if (bit > 0)
			expect_list_status(&(struct proto_list){.flags = 1u << bit}, PROTO_E_FLAGS);
		expect_list_status(&(struct proto_list){.reserved = 1u << bit}, PROTO_E_FLAGS);
	}
	expect_list_status(&(struct proto_list){0}, PROTO_OK);
	for (unsigned int bit = 0; bit < 64; bit++) { /* cursors that no answer gave */
		wire_begin(&wire, PROTO_LIST);
		wire_put(&wire, &(struct proto_list){0});
		wire_end(&wire, UINT64_MAX << bit);
		wire_expect(&wire, PROTO_LIST | PROTO_ANSWER);
		check(wire.header.status == PROTO_OK);
	}
}

/* Another user's ids and lists tell nothing. */
static void test_timers_of_another_user_look_unknown(void **state)
{
	struct proto_rearm rearm = {.due = 1, .flags = PROTO_RELATIVE};
	uint64_t id;
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	id = enroll_one(PROTO_RELATIVE);
	pid = wire_fork();
	if (pid == 0) {
		check(setuid(OTHER) == 0);
		wire_open(&wire, daemon_socket(&d));
		check(cancel_one(id) == PROTO_E_NO_SUCH_TIMER);
		rearm.id = id;
		check(rearm_one(&rearm) == PROTO_E_NO_SUCH_TIMER);
		expect_list_status(
			&(struct proto_list){.flags = PROTO_LIST_ALL}, PROTO_E_PERMISSION);
		expect_list_status(&(struct proto_list){0}, PROTO_OK);
		check(wire.header.count == 0 && wire.header.cursor == 0);
		_exit(0);
	}
	wire_join(pid);
	refusals += 3;
	check(cancel_one(id) == PROTO_OK);
}

static int open_wire(void **state)
{
	(void)state;
	wire_open(&wire, daemon_socket(&d));
	return 0;
}

static int close_wire(void **state)
{
	(void)state;
	wire_close(&wire);
	wire_await_timers(daemon_socket(&d), 3);
	return 0;
}

static int begin(void **state)
{
	struct proto_hello_answer answer;

	hostile_begin(state);
	wire_open(&wire, daemon_socket(&d));
	wire_get(&wire, 0, &answer);
	can_wake_system = answer.capabilities & PROTO_CAN_WAKE_SYSTEM;
	wire_close(&wire);
	return 0;
}

static int end(void **state)
{
	hostile_end(state);
	print_message("%u refusals\n", refusals);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_wire, close_wire)

int hostile_records(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_bad_registrations_are_refused_one_by_one),
		TEST(test_every_unknown_clock_and_flag_is_refused),
		TEST(test_golden_registrations_get_their_status),
		TEST(test_unknown_ids_are_refused),
		TEST(test_an_id_twice_in_a_packet_is_cancelled_once),
		TEST(test_largest_packets_of_bad_records_are_answered),
		TEST(test_a_refused_rearm_changes_nothing),
		TEST(test_bad_lists_are_refused),
		TEST(test_timers_of_another_user_look_unknown),
	};

	return cmocka_run_group_tests(tests, begin, end);
}
