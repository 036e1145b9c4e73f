/* SPDX-License-Identifier: MIT */
/*
 * The codec as a big-endian machine runs it: its layout strings against the structs' fields, and
 * whole packets through codec_open(), codec_get(), codec_put() and codec_end() with every swap
 * made. On a little-endian machine this file compiles the codec a second time and tells it that the
 * machine is big-endian. To that codec a packet with all fields turned around is what a golden
 * packet is to a big-endian machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const bool is_big_endian = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

#undef __BYTE_ORDER__
#define __BYTE_ORDER__ __ORDER_BIG_ENDIAN__
#include "../../proto/codec.c"

#include "forms.h"
#include "golden.h"

/* Reverses the bytes of each number, whose offset comes from offsetof. */
static void turn(uint8_t *record, const struct field *fields, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint8_t *first = record + fields[i].offset;
		uint8_t *last = first + fields[i].width - 1;

		for (; !fields[i].text && first < last; first++, last--) {
			uint8_t byte = *first;

			*first = *last;
			*last = byte;
		}
	}
}

static void turn_packet(uint8_t *packet, const struct form *form, size_t count)
{
	turn(packet, header_fields, n_header_fields);
	for (size_t i = 0; i < count; i++)
		turn(packet + 24 + i * form->size, form->fields, form->n_fields);
}

static void fill(uint8_t *bytes, size_t n)
{
	for (size_t i = 0; i < n; i++)
		bytes[i] = (uint8_t)(i + 1);
}

static void check_layout(
	const char *layout, size_t size, const struct field *fields, size_t n_fields)
{
	uint8_t original[256], swapped[256], turned[256];
	size_t at = 0;

	fill(original, sizeof(original));
	memcpy(swapped, original, sizeof(original));
	memcpy(turned, original, sizeof(original));
	codec_swap(swapped, layout);
	turn(turned, fields, n_fields);
	assert_memory_equal(swapped, turned, sizeof(swapped));
	codec_swap(swapped, layout);
	assert_memory_equal(swapped, original, sizeof(swapped));

	/* The fields fill the whole struct: there is no padding. */
	for (size_t i = 0; i < n_fields; i++) {
		assert_int_equal(fields[i].offset, at);
		at += fields[i].width;
	}
	assert_int_equal(at, size);
}

static void test_layout_strings_match_the_structs(void **state)
{
	const size_t n_kinds = sizeof(kinds) / sizeof(kinds[0]);

	(void)state;
	assert_int_equal(n_kinds, n_forms);
	for (size_t i = 0; i < n_kinds; i++) {
		const struct kind *kind = &kinds[i];
		const struct form *form = form_find(kind->opcode);
		size_t width = 0;

		assert_non_null(form);
		assert_string_equal(kind->name, form->name);
		assert_int_equal(kind->record_size, form->size);
		assert_int_equal(kind->most, form->most);
		for (const char *l = kind->layout; *l; l++)
			width += (size_t)(*l >= 'a' ? *l - 'a' + 1 : *l - '0');
		assert_int_equal(width, form->size);
		check_layout(kind->layout, form->size, form->fields, form->n_fields);
	}
	check_layout(header_layout, sizeof(struct proto_header), header_fields, n_header_fields);
}

/* A reversed packet decodes to the same numbers, and they encode to the same packet. */
static void test_big_endian_codec_reads_and_writes_golden_packets(void **state)
{
	static uint8_t turned[PROTO_PACKET_MAX], written[PROTO_PACKET_MAX];

	(void)state;
	for (const struct vector *v = vectors.all; v < vectors.all + vectors.n; v++) {
		enum codec_sender sender = v->from_daemon ? CODEC_FROM_DAEMON : CODEC_FROM_CLIENT;
		const uint8_t *packet = is_big_endian ? v->packet : turned;
		const uint8_t *numbers = is_big_endian ? turned : v->packet;
		const struct form *form;
		struct proto_header golden, h;
		struct codec_writer w;

		if (strcmp(v->verdict, "ok") != 0)
			continue;
		memcpy(&golden, v->packet, sizeof(golden));
		if (is_big_endian)
			turn((uint8_t *)&golden, header_fields, n_header_fields);
		form = form_find(golden.opcode);
		memcpy(turned, v->packet, v->size);
		turn_packet(turned, form, golden.count);

		assert_int_equal(codec_open(packet, v->size, sender, &h), CODEC_OK);
		assert_memory_equal(&h, &golden, sizeof(h));
		codec_begin(&w, written, h.opcode, h.serial);
		w.header.status = h.status;
		for (uint32_t i = 0; i < h.count; i++) {
			uint8_t record[256];

			codec_get(packet, &h, i, record, h.record_size);
			assert_memory_equal(
				record, numbers + 24 + (size_t)i * form->size, form->size);
			codec_put(&w, record, w.header.record_size);
		}
		assert_int_equal(codec_end(&w, h.cursor), v->size);
		assert_memory_equal(written, packet, v->size);
	}
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_layout_strings_match_the_structs),
		cmocka_unit_test(test_big_endian_codec_reads_and_writes_golden_packets),
	};

	return golden_run(argc, argv, tests);
}
