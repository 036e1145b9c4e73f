/* SPDX-License-Identifier: MIT */
/*
 * The codec with the golden packets, with each wrong length of them, and with each changed byte.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec.h"
#include "forms.h"
#include "golden.h"

/* The refusals that depend only on the record itself. */
static const char *const check_names[] = {
	[PROTO_OK] = "ok",
	[PROTO_E_CLOCK] = "clock",
	[PROTO_E_FLAGS] = "flags",
	[PROTO_E_COUNT] = "count",
	[PROTO_E_LABEL] = "label",
	[PROTO_E_RANGE] = "range",
	[PROTO_E_WAKE_CLOCK] = "wake-clock",
	[PROTO_E_SET_CLOCK] = "set-clock",
};

/* The widest record there is, aligned for all of them. */
union record {
	uint64_t align;
	uint8_t bytes[256];
	struct proto_register reg;
	struct proto_rearm rearm;
	struct proto_match match;
};

/* Opens a copy that ends where the packet ends, so that a sanitizer sees a byte read too many. */
static enum codec_fault open_exactly(
	const uint8_t *packet, size_t size, enum codec_sender sender, struct proto_header *ret)
{
	uint8_t *copy = malloc(size ? size : 1);
	enum codec_fault fault;

	assert_non_null(copy);
	if (size)
		memcpy(copy, packet, size);
	fault = codec_open(size ? copy : NULL, size, sender, ret);
	free(copy);
	return fault;
}

static enum proto_status check_record(uint16_t opcode, const union record *record)
{
	if (opcode == PROTO_REGISTER)
		return codec_check_register(&record->reg);
	if (opcode == PROTO_REARM)
		return codec_check_rearm(&record->rearm);
	if (opcode == PROTO_CANCEL_MATCHING || opcode == PROTO_LIST_MATCHING)
		return codec_check_match(&record->match);
	return PROTO_OK;
}

/* Compares the bytes of a field with its line in the file, without the codec. */
static void compare_bytes(const struct vector *v, const struct vector_field *f)
{
	uint64_t number = 0;

	assert_true(f->offset + f->width <= v->size);
	if (f->text) {
		assert_true(f->width <= sizeof(f->bytes));
		assert_memory_equal(v->packet + f->offset, f->bytes, f->width);
		return;
	}
	assert_in_range(f->width, 1, 8);
	for (size_t i = f->width; i-- > 0;)
		number = number << 8 | v->packet[f->offset + i];
	assert_true(number == f->number);
}

static void decode_records(const struct vector *v, const struct proto_header *h)
{
	const struct form *form = form_find(h->opcode);
	uint32_t index = 0;

	for (size_t g = 1; g < v->n_groups; g++) {
		const struct vector_group *group = &v->groups[g];

		for (size_t i = 0; i < group->repeat; i++, index++) {
			union record record;
			enum proto_status status;

			codec_get(v->packet, h, index, &record, h->record_size);
			golden_compare(v, group, form->fields, form->n_fields, &record);
			status = check_record(h->opcode, &record);
			assert_string_equal(check_names[status], group->check);
		}
	}
	assert_int_equal(index, h->count);
}

static void test_golden_packets_decode_to_their_fields(void **state)
{
	(void)state;
	FOR_EACH_VECTOR(v)
	{
		struct proto_header untouched, h;
		enum codec_fault fault;

		for (size_t i = 0; i < v->n_fields; i++)
			compare_bytes(v, &v->fields[i]);
		memset(&h, 0xa5, sizeof(h));
		untouched = h;
		fault = open_exactly(v->packet, v->size, golden_sender(v), &h);
		assert_string_equal(golden_fault_names[fault], v->verdict);
		if (fault != CODEC_OK) {
			assert_memory_equal(&h, &untouched, sizeof(h));
			continue;
		}
		golden_compare(v, &v->groups[0], header_fields, n_header_fields, &h);
		decode_records(v, &h);
	}
}

static void test_fields_encode_to_golden_packets(void **state)
{
	static uint8_t buffer[PROTO_PACKET_MAX];

	(void)state;
	FOR_EACH_VECTOR(v)
	{
		struct codec_writer w;
		struct proto_header h;

		if (!golden_is_ok(v))
			continue;
		assert_int_equal(codec_open(v->packet, v->size, golden_sender(v), &h), CODEC_OK);
		memset(buffer, 0xa5, sizeof(buffer));
		codec_begin(&w, buffer, h.opcode, h.serial);
		w.header.status = h.status;
		for (uint32_t i = 0; i < h.count; i++) {
			union record record;

			assert_false(codec_full(&w));
			codec_get(v->packet, &h, i, &record, h.record_size);
			codec_put(&w, &record, w.header.record_size);
		}
		assert_int_equal(codec_end(&w, h.cursor), v->size);
		assert_memory_equal(buffer, v->packet, v->size);
	}
}

/* Every kind of packet, every fault and every refusal that the codec knows has a golden packet. */
static void test_golden_packets_cover_every_opcode_and_fault(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_forms; i++) {
		size_t found = 0;

		FOR_EACH_VECTOR(v)
		found += golden_is_ok(v) && (v->packet[0] | v->packet[1] << 8) == forms[i].opcode;
		assert_true(found > 0);
	}
	for (int fault = 0; fault < CODEC_FAULTS; fault++) {
		/* timerd's packets have no area. test_queue_codec tests areas. */
		size_t found = fault == CODEC_AREA;

		FOR_EACH_VECTOR(v)
		found += strcmp(v->verdict, golden_fault_names[fault]) == 0;
		assert_true(found > 0);
	}
	for (size_t i = 0; i < sizeof(check_names) / sizeof(check_names[0]); i++) {
		size_t found = 0;

		FOR_EACH_VECTOR(v)
		for (size_t g = 0; g < v->n_groups; g++)
			found += check_names[i] && strcmp(v->groups[g].check, check_names[i]) == 0;
		assert_true(found > 0 || !check_names[i]);
	}
}

/* The fault of a packet of this length whose valid header promises another length. */
static enum codec_fault fault_of_length(size_t size)
{
	if (size == 0)
		return CODEC_EMPTY;
	if (size < sizeof(struct proto_header))
		return CODEC_SHORT_HEADER;
	return size > PROTO_PACKET_MAX ? CODEC_OVERSIZE : CODEC_LENGTH;
}

static void test_truncated_packets_are_refused(void **state)
{
	(void)state;
	FOR_EACH_VECTOR(v)
	{
		if (!golden_is_ok(v))
			continue;
		for (size_t size = 0; size < v->size; size++) {
			struct proto_header h;
			enum codec_fault fault;

			/* Copies of the long packets would take gigabytes. */
			if (size < 4096)
				fault = open_exactly(v->packet, size, golden_sender(v), &h);
			else
				fault = codec_open(v->packet, size, golden_sender(v), &h);
			assert_int_equal(fault, fault_of_length(size));
		}
	}
}

static void test_extended_packets_are_refused(void **state)
{
	static uint8_t longer[PROTO_PACKET_MAX + 8];

	(void)state;
	FOR_EACH_VECTOR(v)
	{
		if (!golden_is_ok(v))
			continue;
		memset(longer, 0, sizeof(longer));
		memcpy(longer, v->packet, v->size);
		for (size_t size = v->size + 1; size <= v->size + 8; size++) {
			struct proto_header h;

			assert_int_equal(codec_open(longer, size, golden_sender(v), &h),
				fault_of_length(size));
		}
	}
}

/* An accepted packet's header keeps every record within it; reading them all must do no harm. */
static void read_if_accepted(const uint8_t *packet, size_t size, enum codec_sender sender)
{
	const struct form *form;
	struct proto_header h;

	if (codec_open(packet, size, sender, &h) != CODEC_OK)
		return;
	form = form_find(h.opcode);
	assert_non_null(form);
	assert_int_equal(h.record_size, form->size);
	assert_true(h.count <= form->most);
	assert_int_equal(size, sizeof(h) + (size_t)h.count * h.record_size);
	assert_true((h.serial != 0) == (h.opcode < PROTO_WAKE));
	for (uint32_t i = 0; i < h.count; i++) {
		union record record;
		enum proto_status status;

		codec_get(packet, &h, i, &record, h.record_size);
		status = check_record(h.opcode, &record);
		assert_true(status < sizeof(check_names) / sizeof(check_names[0]));
		assert_non_null(check_names[status]);
	}
}

/* Changes each byte to each value. The records of long packets are alike, so two of them
 * suffice. */
static void test_packets_with_a_changed_byte_are_harmless(void **state)
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
			unsigned int step = v->size > 4096 ? 51 : 1;

			for (unsigned int flip = step; flip < 256; flip += step) {
				packet[i] = (uint8_t)(v->packet[i] ^ flip);
				read_if_accepted(packet, v->size, CODEC_FROM_CLIENT);
				read_if_accepted(packet, v->size, CODEC_FROM_DAEMON);
			}
			packet[i] = v->packet[i];
		}
		free(packet);
	}
}

static void put_many(const struct form *form)
{
	static uint8_t buffer[PROTO_PACKET_MAX];
	static const union record zeroes;
	struct codec_writer w;
	struct proto_header h;
	size_t size;

	codec_begin(&w, buffer, form->opcode, form->opcode < PROTO_WAKE);
	for (uint32_t i = 0; i < form->most; i++) {
		assert_false(codec_full(&w));
		codec_put(&w, &zeroes, w.header.record_size);
	}
	assert_true(codec_full(&w));
	size = codec_end(&w, 0);
	assert_int_equal(size, 24 + form->most * form->size);
	assert_true(size <= PROTO_PACKET_MAX);
	/* Each packet is as full as possible, except a cancel, whose answers are wider. */
	if (form->most > 1 && form->opcode != PROTO_CANCEL)
		assert_true(size + form->size > PROTO_PACKET_MAX);
	assert_int_equal(
		codec_open(buffer, size,
			form->opcode < PROTO_ANSWER ? CODEC_FROM_CLIENT : CODEC_FROM_DAEMON, &h),
		CODEC_OK);
	assert_int_equal(h.count, form->most);
}

static void test_writer_is_full_at_the_largest_count(void **state)
{
	(void)state;
	for (size_t i = 0; i < n_forms; i++)
		put_many(&forms[i]);
}

/* One packet can hold the answers to all records of any request. */
static void test_answers_to_the_largest_requests_fit(void **state)
{
	(void)state;
	for (uint16_t opcode = PROTO_HELLO; opcode <= PROTO_STATUS; opcode++) {
		const struct form *request = form_find(opcode);
		const struct form *answer = form_find(opcode | PROTO_ANSWER);

		assert_true(request->most <= answer->most);
	}
}

static void test_every_opcode_and_fault_has_a_name(void **state)
{
	(void)state;
	for (enum codec_fault a = 0; a < CODEC_FAULTS; a++)
		for (enum codec_fault b = 0; b < a; b++)
			assert_string_not_equal(codec_fault_text(a), codec_fault_text(b));
	assert_string_equal(codec_fault_text(CODEC_FAULTS), "unknown fault");
	assert_string_equal(codec_fault_text((enum codec_fault) - 1), "unknown fault");
	for (uint32_t opcode = 0; opcode <= UINT16_MAX; opcode++) {
		const struct form *form = form_find((uint16_t)opcode);

		assert_string_equal(
			codec_opcode_name((uint16_t)opcode), form ? form->name : "unknown");
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(
			test_golden_packets_cover_every_opcode_and_fault, golden_say_which),
		cmocka_unit_test_teardown(
			test_golden_packets_decode_to_their_fields, golden_say_which),
		cmocka_unit_test_teardown(test_fields_encode_to_golden_packets, golden_say_which),
		cmocka_unit_test_teardown(test_truncated_packets_are_refused, golden_say_which),
		cmocka_unit_test_teardown(test_extended_packets_are_refused, golden_say_which),
		cmocka_unit_test_teardown(
			test_packets_with_a_changed_byte_are_harmless, golden_say_which),
		cmocka_unit_test(test_writer_is_full_at_the_largest_count),
		cmocka_unit_test(test_answers_to_the_largest_requests_fit),
		cmocka_unit_test(test_every_opcode_and_fault_has_a_name),
	};

	return golden_run(argc, argv, tests);
}
