/* SPDX-License-Identifier: MIT */
/*
 * A set of positive numbers that finds its smallest element in O(1): a tree of 64-bit words.
 *
 * Bit i of the lowest level is set if i is in the set. Bit i of each higher level is set if word i
 * of the level below is not zero. The highest level is one word. The set takes one bit for each
 * number, plus 1/63.
 *
 * Nothing here allocates or fails.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define BITSET_LEVELS 4 /* up to 2^24 numbers */

/* A view of a set in memory that the caller owns. */
struct bitset {
	uint64_t *levels[BITSET_LEVELS]; /* the lowest first */
};

/* The number of words for a set of numbers below n. */
size_t bitset_words(uint32_t n);

/* Makes a view of a set of numbers below n. words: bitset_words(n) words; all zero is an empty
 * set. */
struct bitset bitset_view(uint64_t *words, uint32_t n);

/* Adds a number from 1 to n - 1. O(1): at most one word of each level. */
void bitset_add(const struct bitset *set, uint32_t number);

/* Removes the smallest number. O(1): one word of each level. Return: the number; 0: the set was
 * empty. */
uint32_t bitset_take(const struct bitset *set);
