/* SPDX-License-Identifier: MIT */
/*
 * The set of free slots, compared with an array of bytes: it returns its members in ascending order
 * after any sequence of calls, and changes no word beyond the set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bitset.h"
#include "dice.h"

#define GUARD UINT64_C(0x5a5a5a5a5a5a5a5a)

/* Sizes at which the number of levels changes, one less and one more; and the greatest index of an
 * id. */
static const uint32_t sizes[] = {2, 63, 64, 65, 4095, 4096, 4097, 262143, 262144, 262145, 1 << 22};

struct fixture {
	struct bitset set;
	uint64_t *words;
	uint8_t *in; /* by number */
	uint32_t n;
	struct dice dice;
};

static void make(struct fixture *f, uint32_t n)
{
	size_t words = bitset_words(n);

	f->n = n;
	f->words = calloc(words + 1, sizeof(*f->words));
	f->words[words] = GUARD;
	f->set = bitset_view(f->words, n);
	f->in = calloc(n, 1);
	f->dice = dice_new("bitset", n);
}

static void unmake(struct fixture *f)
{
	assert_true(f->words[bitset_words(f->n)] == GUARD);
	free(f->words);
	free(f->in);
}

static void take(struct fixture *f)
{
	const uint8_t *smallest = memchr(f->in, 1, f->n);
	uint32_t expected = smallest ? (uint32_t)(smallest - f->in) : 0;

	assert_int_equal(bitset_take(&f->set), expected);
	f->in[expected] = 0;
}

static void add(struct fixture *f, uint32_t number)
{
	bitset_add(&f->set, number);
	f->in[number] = 1;
}

static void test_numbers_come_out_lowest_first_in_any_order(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct fixture f;

		make(&f, sizes[i]);
		take(&f); /* nothing */
		for (uint32_t round = 0; round < 2000; round++)
			if (dice_once_in(&f.dice, 2))
				add(&f, 1 + (uint32_t)dice_below(&f.dice, f.n - 1));
			else
				take(&f);
		while (memchr(f.in, 1, f.n))
			take(&f);
		take(&f);
		for (size_t word = 0; word < bitset_words(f.n); word++)
			assert_true(f.words[word] == 0);
		unmake(&f);
	}
}

/* Adds all numbers, the last first. Each comes out once, in order. */
static void test_a_full_set_gives_all_numbers(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct fixture f;

		make(&f, sizes[i]);
		for (uint32_t number = f.n - 1; number; number--)
			bitset_add(&f.set, number);
		for (uint32_t number = 1; number < f.n; number++)
			assert_int_equal(bitset_take(&f.set), number);
		assert_int_equal(bitset_take(&f.set), 0);
		unmake(&f);
	}
}

/* The set takes one bit for each number, and 1/63 more. */
static void test_a_set_takes_one_bit_a_number_and_a_63rd_more(void **state)
{
	(void)state;
	assert_in_range(bitset_words(1 << 22), (1 << 22) / 64, (1 << 22) / 63 + BITSET_LEVELS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers_come_out_lowest_first_in_any_order),
		cmocka_unit_test(test_a_full_set_gives_all_numbers),
		cmocka_unit_test(test_a_set_takes_one_bit_a_number_and_a_63rd_more),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
