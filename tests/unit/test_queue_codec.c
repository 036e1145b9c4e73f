/* SPDX-License-Identifier: MIT */
/*
 * The codec of the queues' packets: the golden packets, with each wrong length and with each
 * changed byte, and the limits of the fields.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "queue_codec.h"
#include "queue_forms.h"
#include "golden.h"

static const char *const check_names[] = {
	[PROTO_OK] = "ok",
	[PROTO_E_CLOCK] = "clock",
	[PROTO_E_FLAGS] = "flags",
	[PROTO_E_COUNT] = "count",
	[PROTO_E_LABEL] = "label",
	[PROTO_E_RANGE] = "range",
	[PROTO_E_WAKE_CLOCK] = "wake-clock",
	[PROTO_Q_KEY] = "key",
	[PROTO_Q_PAYLOAD] = "payload",
};
#define N_CHECKS (sizeof(check_names) / sizeof(check_names[0]))

union record {
	uint64_t align;
	uint8_t bytes[256];
	struct proto_queue_put put;
	struct proto_queue_reschedule reschedule;
};

static const struct form *find_form(uint16_t opcode)
{
	for (size_t i = 0; i < n_queue_forms; i++)
		if (queue_forms[i].opcode == opcode)
			return &queue_forms[i];
	return NULL;
}

static uint32_t check_record(const struct queue_codec_packet *p, const union record *record)
{
	if (p->header.opcode == PROTO_QUEUE_PUT)
		return queue_codec_check_put(p, &record->put);
	if (p->header.opcode == PROTO_QUEUE_RESCHEDULE)
		return queue_codec_check_reschedule(p, &record->reschedule);
	return PROTO_OK;
}

static void decode_records(const struct vector *v, const struct queue_codec_packet *p)
{
	const struct form *form = find_form(p->header.opcode);
	uint32_t index = 0;

	assert_non_null(form);
	assert_int_equal(p->header.record_size, form->size);
	for (size_t g = 1; g < v->n_groups && v->groups[g].n_fields; g++, index++) {
		union record record;

		queue_codec_get(p, index, &record);
		golden_compare(v, &v->groups[g], form->fields, form->n_fields, &record);
		assert_string_equal(check_names[check_record(p, &record)], v->groups[g].check);
	}
	assert_int_equal(index, p->header.count);
}

/* A copy that ends where the packet ends, so that a sanitizer sees a byte read too many. */
static void test_golden_packets_are_read(void **state)
{
	(void)state;
	FOR_EACH_VECTOR(v)
	{
		struct queue_codec_packet p, untouched;
		uint8_t *copy = malloc(v->size ? v->size : 1);
		enum codec_fault fault;

		assert_non_null(copy);
		if (v->size)
			memcpy(copy, v->packet, v->size);
		memset(&p, 0xa5, sizeof(p));
		untouched = p;
		fault = queue_codec_open(copy, v->size, golden_sender(v), &p);
		assert_string_equal(golden_fault_names[fault], v->verdict);
		if (fault) {
			assert_memory_equal(&p, &untouched, sizeof(p));
		} else {
			golden_compare(v, &v->groups[0], header_fields, n_header_fields, &p.header);
			decode_records(v, &p);
		}
		free(copy);
	}
}

static void test_golden_packets_are_written(void **state)
{
	static _Alignas(8) uint8_t buffer[QUEUE_CODEC_BUFFER];

	(void)state;
	FOR_EACH_VECTOR(v)
	{
		struct queue_codec_writer w;
		struct queue_codec_packet p;

		if (!golden_is_ok(v))
			continue;
		assert_int_equal(
			queue_codec_open(v->packet, v->size, golden_sender(v), &p), CODEC_OK);
		memset(buffer, 0xa5, sizeof(buffer));
		queue_codec_begin(&w, buffer, p.header.opcode, p.header.serial);
		w.header.status = p.header.status;
		for (uint32_t i = 0; i < p.header.count; i++) {
			union record record;

			assert_true(queue_codec_fits(&w, 0));
			queue_codec_get(&p, i, &record);
			queue_codec_put(&w, &record);
		}
		assert_int_equal(queue_codec_add_bytes(&w, p.area, p.area_size), 0);
		assert_int_equal(queue_codec_end(&w, p.header.cursor), v->size);
		assert_memory_equal(buffer, v->packet, v->size);
	}
}

/* Every kind of packet, every fault and every refusal that the codec knows has a golden packet. */
static void test_each_opcode_fault_and_refusal_has_a_golden_packet(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_queue_forms; i++) {
		size_t found = 0;

		FOR_EACH_VECTOR(v)
		found += golden_is_ok(v) &&
			(v->packet[0] | v->packet[1] << 8) == queue_forms[i].opcode;
		assert_true(found > 0);
	}
	for (int fault = 0; fault < CODEC_FAULTS; fault++) {
		size_t found = 0;

		FOR_EACH_VECTOR(v)
		found += strcmp(v->verdict, golden_fault_names[fault]) == 0;
		assert_true(found > 0);
	}
	for (size_t i = 0; i < N_CHECKS; i++) {
		size_t found = 0;

		FOR_EACH_VECTOR(v)
		for (size_t g = 0; g < v->n_groups; g++)
			found += check_names[i] && strcmp(v->groups[g].check, check_names[i]) == 0;
		assert_true(found > 0 || !check_names[i]);
	}
}

static void test_a_truncated_packet_is_a_fault(void **state)
{
	(void)state;
	FOR_EACH_VECTOR(v)
	{
		struct queue_codec_packet p, whole;

		if (!golden_is_ok(v))
			continue;
		assert_int_equal(
			queue_codec_open(v->packet, v->size, golden_sender(v), &whole), CODEC_OK);
		for (size_t size = 0; size < v->size - whole.area_size; size++) {
			enum codec_fault fault = queue_codec_open(
				v->packet, size, golden_sender(v), &p);

			assert_int_equal(fault,
				size == 0				     ? CODEC_EMPTY
					: size < sizeof(struct proto_header) ? CODEC_SHORT_HEADER
									     : CODEC_LENGTH);
		}
		/* In each golden packet a record refers to the last byte of the area. */
		if (whole.area_size)
			assert_int_equal(
				queue_codec_open(v->packet, v->size - 1, golden_sender(v), &p),
				CODEC_AREA);
	}
}

/* An accepted packet's records and what they point to can be read to the last byte. */
static void read_if_accepted(const uint8_t *packet, size_t size, enum codec_sender sender)
{
	struct queue_codec_packet p;
	const struct form *form;

	if (queue_codec_open(packet, size, sender, &p) != CODEC_OK)
		return;
	form = find_form(p.header.opcode);
	assert_non_null(form);
	assert_int_equal(p.header.record_size, form->size);
	assert_true(p.header.count <= form->most);
	assert_true((p.header.serial != 0) == (p.header.opcode < PROTO_WAKE));
	for (uint32_t i = 0; i < p.header.count; i++) {
		union record record;
		uint32_t status;

		queue_codec_get(&p, i, &record);
		status = check_record(&p, &record);
		assert_true(status < N_CHECKS && check_names[status]);
		if (p.header.opcode == PROTO_QUEUE_PUT && record.put.key_size)
			assert_true((uint64_t)record.put.data + record.put.key_size +
					record.put.payload_size <=
				p.area_size);
	}
}

static void test_a_changed_byte_never_leads_outside_the_packet(void **state)
{
	(void)state;
	FOR_EACH_VECTOR(v)
	{
		uint8_t *packet = malloc(v->size + 1);
		size_t limit = v->size < 320 ? v->size : 320;

		assert_non_null(packet);
		if (v->size)
			memcpy(packet, v->packet, v->size);
		for (size_t i = 0; i < limit; i++) {
			for (unsigned int flip = 1; flip < 256; flip++) {
				packet[i] = (uint8_t)(v->packet[i] ^ flip);
				read_if_accepted(packet, v->size, CODEC_FROM_CLIENT);
				read_if_accepted(packet, v->size, CODEC_FROM_DAEMON);
			}
			packet[i] = v->packet[i];
		}
		free(packet);
	}
}

static void test_a_full_packet_holds_what_the_form_says(void **state)
{
	static _Alignas(8) uint8_t buffer[QUEUE_CODEC_BUFFER];
	static const union record zeroes;

	(void)state;
	for (size_t i = 0; i < n_queue_forms; i++) {
		const struct form *form = &queue_forms[i];
		enum codec_sender sender = form->opcode < PROTO_ANSWER ? CODEC_FROM_CLIENT
								       : CODEC_FROM_DAEMON;
		struct queue_codec_writer w;
		struct queue_codec_packet p;
		size_t size;

		queue_codec_begin(&w, buffer, form->opcode, form->opcode < PROTO_WAKE);
		for (uint32_t k = 0; k < form->most; k++) {
			assert_true(queue_codec_fits(&w, 0));
			queue_codec_put(&w, &zeroes);
		}
		assert_false(queue_codec_fits(&w, 0));
		size = queue_codec_end(&w, 0);
		assert_true(size <= PROTO_PACKET_MAX);
		assert_int_equal(queue_codec_open(buffer, size, sender, &p), CODEC_OK);
		assert_int_equal(p.header.count, form->most);
		assert_string_equal(queue_codec_opcode_name(form->opcode), form->name);
	}
}

/* The area and the records share a packet to its last byte. */
static void test_records_and_area_share_a_packet_to_its_last_byte(void **state)
{
	static _Alignas(8) uint8_t buffer[QUEUE_CODEC_BUFFER];
	static const uint8_t bytes[PROTO_PACKET_MAX];
	size_t room = PROTO_PACKET_MAX - sizeof(struct proto_header) -
		sizeof(struct proto_queue_put);
	struct proto_queue_put put = {.payload_size = (uint32_t)room};
	struct queue_codec_packet p;
	struct queue_codec_writer w;

	(void)state;
	queue_codec_begin(&w, buffer, PROTO_QUEUE_PUT, 1);
	assert_true(queue_codec_fits(&w, room));
	assert_false(queue_codec_fits(&w, room + 1));
	queue_codec_add_bytes(&w, bytes, room);
	queue_codec_put(&w, &put);
	assert_false(queue_codec_fits(&w, 0));
	assert_int_equal(queue_codec_end(&w, 0), PROTO_PACKET_MAX);
	assert_int_equal(
		queue_codec_open(buffer, PROTO_PACKET_MAX, CODEC_FROM_CLIENT, &p), CODEC_OK);
}

static void test_requests_are_answered(void **state)
{
	(void)state;
	for (uint16_t opcode = PROTO_QUEUE_HELLO; opcode <= PROTO_QUEUE_STATUS; opcode++) {
		const struct form *request = find_form(opcode);
		const struct form *answer = find_form(opcode | PROTO_ANSWER);

		assert_non_null(request);
		assert_non_null(answer);
		assert_true(request->most <= answer->most);
	}
	for (uint32_t opcode = 0; opcode <= UINT16_MAX; opcode++)
		if (!find_form((uint16_t)opcode))
			assert_string_equal(queue_codec_opcode_name((uint16_t)opcode), "unknown");
}

static void test_a_queue_name_is_checked_byte_by_byte(void **state)
{
	char name[PROTO_QUEUE_NAME_MAX + 1];

	(void)state;
	memset(name, 'x', sizeof(name));
	assert_false(queue_codec_name_valid(name, 0));
	for (size_t size = 1; size <= PROTO_QUEUE_NAME_MAX; size++)
		assert_true(queue_codec_name_valid(name, size));
	assert_false(queue_codec_name_valid(name, PROTO_QUEUE_NAME_MAX + 1));
	for (unsigned int c = 0; c < 256; c++) {
		bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			(c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';

		name[2] = (char)c;
		assert_int_equal(queue_codec_name_valid(name, 5), good);
	}
}

static void test_a_key_is_checked_byte_by_byte(void **state)
{
	static const char *const bad[] = {"a\nb", "\x1b[2J", "\x7f", "\xc2\x85", "\xff", "\xc3",
		"\xed\xa0\x80", "\xc0\x80", "\xf4\x90\x80\x80"};
	static const char *const good[] = {
		"a", " ", "a b/c:d%", "\xc3\xa4", "\xe2\x82\xac", "\xf0\x9f\x95\x90"};
	char key[PROTO_QUEUE_KEY_MAX + 1];

	(void)state;
	memset(key, 'k', sizeof(key));
	assert_false(queue_codec_key_valid(key, 0));
	for (size_t size = 1; size <= PROTO_QUEUE_KEY_MAX; size++)
		assert_true(queue_codec_key_valid(key, size));
	assert_false(queue_codec_key_valid(key, PROTO_QUEUE_KEY_MAX + 1));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(queue_codec_key_valid(bad[i], strlen(bad[i])));
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(queue_codec_key_valid(good[i], strlen(good[i])));
	/* A zero byte does not end a key, not even as its last byte. */
	assert_false(queue_codec_key_valid("a\0b", 3));
	assert_false(queue_codec_key_valid("ab\0", 3));
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			test_each_opcode_fault_and_refusal_has_a_golden_packet, golden_say_which),
		cmocka_unit_test_teardown(test_golden_packets_are_read, golden_say_which),
		cmocka_unit_test_teardown(test_golden_packets_are_written, golden_say_which),
		cmocka_unit_test_teardown(test_a_truncated_packet_is_a_fault, golden_say_which),
		cmocka_unit_test_teardown(
			test_a_changed_byte_never_leads_outside_the_packet, golden_say_which),
		cmocka_unit_test(test_a_full_packet_holds_what_the_form_says),
		cmocka_unit_test(test_records_and_area_share_a_packet_to_its_last_byte),
		cmocka_unit_test(test_requests_are_answered),
		cmocka_unit_test(test_a_queue_name_is_checked_byte_by_byte),
		cmocka_unit_test(test_a_key_is_checked_byte_by_byte),
	};

	return golden_run(argc, argv, tests);
}
