/* SPDX-License-Identifier: MIT */
/*
 * The lowest level comes first in memory. Each level has at least one word, so a small set needs no
 * special case.
 */
#include "bitset.h"

#define WORD_BITS 64u

static size_t words_for(size_t bits)
{
	return (bits + WORD_BITS - 1) / WORD_BITS;
}

size_t bitset_words(uint32_t n)
{
	size_t all = 0, level = n;

	for (unsigned int i = 0; i < BITSET_LEVELS; i++) {
		level = words_for(level);
		all += level;
	}
	return all;
}

struct bitset bitset_view(uint64_t *words, uint32_t n)
{
	struct bitset set;
	size_t level = n;

	for (unsigned int i = 0; i < BITSET_LEVELS; i++) {
		set.levels[i] = words;
		level = words_for(level);
		words += level;
	}
	return set;
}

void bitset_add(const struct bitset *set, uint32_t number)
{
	uint64_t was = 0;

	/* If a word was not zero, the levels above already have its bit. */
	for (unsigned int i = 0; i < BITSET_LEVELS && !was; i++) {
		uint64_t *word = &set->levels[i][number / WORD_BITS];

		was = *word;
		*word |= UINT64_C(1) << number % WORD_BITS;
		number /= WORD_BITS;
	}
}

uint32_t bitset_take(const struct bitset *set)
{
	uint32_t number = 0, rest;
	uint64_t remaining = 0;

	if (!*set->levels[BITSET_LEVELS - 1])
		return 0;
	for (unsigned int i = BITSET_LEVELS; i-- > 0;)
		number = number * WORD_BITS + (uint32_t)__builtin_ctzll(set->levels[i][number]);
	rest = number;
	for (unsigned int i = 0; i < BITSET_LEVELS && !remaining; i++) {
		uint64_t *word = &set->levels[i][rest / WORD_BITS];

		remaining = *word &= *word - 1;
		rest /= WORD_BITS;
	}
	return number;
}
