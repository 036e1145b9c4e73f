/* SPDX-License-Identifier: MIT */
/*
 * A set of numbers from 1 on, of which the smallest is at hand: a tree of 64-bit words, as wide as
 * they are.
 *
 * Bit i of the lowest level says whether i is in the set; bit i of the level above says whether
 * word i of this one is anything but zero, and so on up to one word. It takes one bit a number, and
 * 1/63 more.
 *
 * Nothing here allocates or fails.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BITSET_LEVELS 4 /* up to 2^24 numbers */

/* A view of one, in memory of the caller's. */
struct bitset {
	uint64_t *levels[BITSET_LEVELS]; /* the lowest first */
};

/* Words that a set of numbers below n takes. */
size_t bitset_words(uint32_t n);

/* Looks at a set of numbers below n in bitset_words() words; all zero, it is empty. */
struct bitset bitset_view(uint64_t *words, uint32_t n);

/* Puts a number from 1 to n - 1 in. O(1): a word a level at most, mostly one. */
void bitset_add(const struct bitset *set, uint32_t number);

/* Takes the smallest number out. O(1), a word a level. Return: it; 0: the set is empty. */
uint32_t bitset_take(const struct bitset *set);
