/* SPDX-License-Identifier: MIT */
/*
 * The codec's checks of single records: labels, compared with a map of all printable characters
 * that is made by encoding every code point; and each refusal with its precedence.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "codec.h"

/* Code points that a label may have according to timerd-protocol(7). */
static bool printable(uint32_t c)
{
	if (c < 0x20 || (c >= 0x7f && c < 0xa0))
		return false;
	if (c >= 0xd800 && c <= 0xdfff)
		return false;
	if (c == 0x2028 || c == 0x2029 || (c >= 0x202a && c <= 0x202e))
		return false;
	return c < 0x2066 || c > 0x2069;
}

static size_t encode(uint32_t c, uint8_t s[static 4])
{
	if (c < 0x80) {
		s[0] = (uint8_t)c;
		return 1;
	}
	if (c < 0x800) {
		s[0] = (uint8_t)(0xc0 | c >> 6);
		s[1] = (uint8_t)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		s[0] = (uint8_t)(0xe0 | c >> 12);
		s[1] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
		s[2] = (uint8_t)(0x80 | (c & 0x3f));
		return 3;
	}
	s[0] = (uint8_t)(0xf0 | c >> 18);
	s[1] = (uint8_t)(0x80 | (c >> 12 & 0x3f));
	s[2] = (uint8_t)(0x80 | (c >> 6 & 0x3f));
	s[3] = (uint8_t)(0x80 | (c & 0x3f));
	return 4;
}

/* One bit for each sequence of at most three bytes, as a number: whether it is one character. */
static uint8_t *map_of_short_characters(void)
{
	uint8_t *map = calloc(1, (1u << 24) / 8);

	assert_non_null(map);
	for (uint32_t c = 0; c < 0x10000; c++) {
		uint8_t s[4];
		uint32_t key = 0;
		size_t n = encode(c, s);

		if (!printable(c))
			continue;
		for (size_t i = 0; i < n; i++)
			key = key << 8 | s[i];
		map[key / 8] |= (uint8_t)(1u << key % 8);
	}
	return map;
}

static bool in_map(const uint8_t *map, uint32_t key)
{
	return map[key / 8] >> key % 8 & 1;
}

/* A label that begins with these bytes and has zeroes after them. */
static bool valid(const void *bytes, size_t n)
{
	char label[PROTO_LABEL_MAX] = {0};

	memcpy(label, bytes, n);
	return codec_label_valid(label, sizeof(label));
}

static void test_label_of_one_byte_must_be_printable(void **state)
{
	(void)state;
	for (unsigned int a = 0; a < 256; a++)
		assert_int_equal(
			valid(&(uint8_t){(uint8_t)a}, 1), a == 0 || (a < 0x80 && printable(a)));
}

static void test_label_of_two_bytes_must_be_printable(void **state)
{
	uint8_t *map = map_of_short_characters();

	(void)state;
	for (uint32_t a = 0; a < 256; a++)
		for (uint32_t b = 0; b < 256; b++) {
			bool two = in_map(map, a) && (b == 0 || in_map(map, b));
			bool one = a >= 0x80 && in_map(map, a << 8 | b);
			uint8_t s[] = {(uint8_t)a, (uint8_t)b};

			assert_int_equal(valid(s, 2), (a | b) == 0 || two || one);
		}
	free(map);
}

/* All sequences of three bytes that start like a character of three bytes, or like no character. */
static void test_label_of_three_bytes_must_be_printable(void **state)
{
	uint8_t *map = map_of_short_characters();

	(void)state;
	for (uint32_t key = 0xe00000; key < 0xf00000; key++) {
		uint8_t s[] = {(uint8_t)(key >> 16), (uint8_t)(key >> 8), (uint8_t)key};

		assert_int_equal(valid(s, 3), in_map(map, key));
	}
	for (uint32_t key = 0xf80000; key < 0x1000000; key++) {
		uint8_t s[] = {(uint8_t)(key >> 16), (uint8_t)(key >> 8), (uint8_t)key};

		assert_false(valid(s, 3));
	}
	free(map);
}

static void test_label_of_four_bytes_must_be_printable(void **state)
{
	static const uint8_t edges[] = {0x00, 0x20, 0x7f, 0x80, 0x8f, 0x90, 0xbf, 0xc0, 0xff};
	uint8_t s[4];

	(void)state;
	for (uint32_t c = 0x10000; c <= 0x10ffff; c++) {
		assert_int_equal(encode(c, s), 4);
		assert_true(valid(s, 4));
		assert_false(valid(s, 3));
		assert_false(valid(s + 1, 3));
	}
	for (unsigned int a = 0xf0; a < 0xf8; a++)
		for (unsigned int b = 0; b < 256; b++)
			for (size_t c = 0; c < sizeof(edges); c++)
				for (size_t d = 0; d < sizeof(edges); d++) {
					uint32_t point = (a & 7) << 18 | (b & 0x3f) << 12;
					bool good = b >> 6 == 2 && edges[c] >> 6 == 2 &&
						edges[d] >> 6 == 2 && point >= 0x10000 &&
						point < 0x110000;

					memcpy(s,
						(uint8_t[]){
							(uint8_t)a, (uint8_t)b, edges[c], edges[d]},
						4);
					assert_int_equal(valid(s, 4), good);
				}
}

/* Characters that end at the end of the label, or after it. */
static void test_label_must_end_after_a_whole_character(void **state)
{
	static const uint32_t points[] = {'x', 0xe9, 0x20ac, 0x1f514};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		char label[PROTO_LABEL_MAX + 4];
		uint8_t s[4];
		size_t n = encode(points[i], s);

		for (size_t at = 0; at <= PROTO_LABEL_MAX; at++) {
			memset(label, 'a', sizeof(label));
			memcpy(label + at, s, n);
			/* The character is complete, or begins after the end. */
			assert_int_equal(codec_label_valid(label, PROTO_LABEL_MAX),
				at + n <= PROTO_LABEL_MAX || at == PROTO_LABEL_MAX);
		}
	}
	assert_true(codec_label_valid(NULL, 0));
}

/* A byte other than zero anywhere in the padding is refused. */
static void test_label_padding_must_be_zero(void **state)
{
	(void)state;
	for (size_t zero = 0; zero < PROTO_LABEL_MAX; zero++)
		for (size_t after = zero + 1; after < PROTO_LABEL_MAX; after++) {
			char label[PROTO_LABEL_MAX] = {0};

			memset(label, 'a', zero);
			assert_true(codec_label_valid(label, sizeof(label)));
			label[after] = 'b';
			assert_false(codec_label_valid(label, sizeof(label)));
		}
}

static void test_first_fault_of_a_registration_is_named(void **state)
{
	static const struct proto_register good = {.due = 1, .flags = PROTO_RELATIVE};
	struct proto_register r;

	(void)state;
	for (unsigned int clock = 0; clock < 256; clock++)
		for (unsigned int flags = 0; flags < 256; flags++) {
			enum proto_status want = PROTO_OK;

			if (clock > 2)
				want = PROTO_E_CLOCK;
			else if (flags > 7)
				want = PROTO_E_FLAGS;
			else if (clock == 0 && flags & 2)
				want = PROTO_E_WAKE_CLOCK;
			else if (clock != 2 && flags & 4)
				want = PROTO_E_SET_CLOCK;
			r = good;
			r.clock = (uint8_t)clock;
			r.flags = (uint8_t)flags;
			assert_int_equal(codec_check_register(&r), want);
		}
	for (unsigned int bit = 0; bit < 16; bit++) {
		r = good;
		r.reserved = (uint16_t)(1u << bit);
		assert_int_equal(codec_check_register(&r), PROTO_E_FLAGS);
	}
	r = good;
	r.label[3] = 'x';
	assert_int_equal(codec_check_register(&r), PROTO_E_LABEL);
}

struct times {
	uint64_t due, every;
	uint32_t count;
	enum proto_status want;
};

static void test_first_fault_of_due_period_and_count_is_named(void **state)
{
	static const struct times times[] = {
		{0, 0, 0, PROTO_OK},
		{0, 0, 1, PROTO_OK},
		{0, 0, 2, PROTO_E_COUNT},
		{0, 0, UINT32_MAX, PROTO_E_COUNT},
		{0, 1, 0, PROTO_OK},
		{0, 1, 1, PROTO_OK},
		{0, 1, 2, PROTO_OK},
		{0, UINT64_MAX, UINT32_MAX, PROTO_OK},
		{UINT64_MAX - 1, 0, 0, PROTO_OK},
		{UINT64_MAX - 1, UINT64_MAX, 2, PROTO_OK},
		{UINT64_MAX, 0, 0, PROTO_E_RANGE},
		{UINT64_MAX, 0, 2, PROTO_E_RANGE},
		{UINT64_MAX, 1, 2, PROTO_E_RANGE},
	};
	static const uint64_t slacks[] = {0, 1, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};

	(void)state;
	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		for (size_t j = 0; j < sizeof(slacks) / sizeof(slacks[0]); j++)
			for (uint8_t flags = 0; flags < 2; flags++) {
				const struct times *t = &times[i];
				struct proto_register r = {.due = t->due,
					.every = t->every,
					.count = t->count,
					.slack = slacks[j],
					.flags = flags};
				struct proto_rearm a = {.due = t->due,
					.every = t->every,
					.count = t->count,
					.slack = slacks[j],
					.flags = flags};

				assert_int_equal(codec_check_register(&r), t->want);
				assert_int_equal(codec_check_rearm(&a), t->want);
			}
}

static void test_first_fault_of_a_rearming_is_named(void **state)
{
	struct proto_rearm r;

	(void)state;
	for (unsigned int flags = 0; flags < 256; flags++) {
		r = (struct proto_rearm){.id = 1, .due = 1, .flags = (uint8_t)flags};
		assert_int_equal(codec_check_rearm(&r), flags > 1 ? PROTO_E_FLAGS : PROTO_OK);
	}
	for (unsigned int bit = 0; bit < 24; bit++) {
		r = (struct proto_rearm){.id = 1, .due = 1};
		r.reserved[bit / 8] = (uint8_t)(1u << bit % 8);
		assert_int_equal(codec_check_rearm(&r), PROTO_E_FLAGS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_label_of_one_byte_must_be_printable),
		cmocka_unit_test(test_label_of_two_bytes_must_be_printable),
		cmocka_unit_test(test_label_of_three_bytes_must_be_printable),
		cmocka_unit_test(test_label_of_four_bytes_must_be_printable),
		cmocka_unit_test(test_label_must_end_after_a_whole_character),
		cmocka_unit_test(test_label_padding_must_be_zero),
		cmocka_unit_test(test_first_fault_of_a_registration_is_named),
		cmocka_unit_test(test_first_fault_of_due_period_and_count_is_named),
		cmocka_unit_test(test_first_fault_of_a_rearming_is_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
