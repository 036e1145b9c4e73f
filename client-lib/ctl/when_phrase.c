/* SPDX-License-Identifier: MIT */
/* See when_phrase.h. */
#include "when_phrase.h"

#include <errno.h>

#include "when_span.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static const struct {
	const char *word;
	unsigned int number;
} numbers[] = {
	{"one", 1},
	{"two", 2},
	{"three", 3},
	{"four", 4},
	{"five", 5},
	{"six", 6},
	{"seven", 7},
	{"eight", 8},
	{"nine", 9},
	{"ten", 10},
	{"eleven", 11},
	{"twelve", 12},
	{"thirteen", 13},
	{"fourteen", 14},
	{"fifteen", 15},
	{"sixteen", 16},
	{"seventeen", 17},
	{"eighteen", 18},
	{"nineteen", 19},
	{"twenty", 20},
	{"thirty", 30},
	{"forty", 40},
	{"fifty", 50},
	{"sixty", 60},
	{"seventy", 70},
	{"eighty", 80},
	{"ninety", 90},
};

/* Takes a word for a number, with the blanks after it. Return: 0 if there is none. */
static unsigned int take_number_word(struct when_text *text)
{
	const struct when_text word = when_text_letters(*text);

	for (size_t i = 0; i < COUNT(numbers); i++) {
		if (!when_text_is_caseless(word, numbers[i].word))
			continue;
		text->at = word.end;
		when_text_skip_blanks(text);
		return numbers[i].number;
	}
	return 0;
}

/* "two", "forty-five", "forty five", "12" before "and a half". Return: 0 if there is no number. */
static unsigned int take_number(struct when_text *text)
{
	unsigned int number = 0, ones;
	struct when_text rest = *text;
	size_t digits = when_text_digits(rest);

	if (digits > 4)
		return 0;
	for (size_t i = 0; i < digits; i++)
		number = number * 10 + (unsigned int)(*rest.at++ - '0');
	when_text_skip_blanks(&rest);
	if (digits == 0) {
		number = take_number_word(&rest);
		if (number >= 20) {
			struct when_text after = rest;

			if (when_text_starts(&after, '-'))
				after.at++;
			ones = take_number_word(&after);
			if (ones >= 1 && ones <= 9) {
				number += ones;
				rest = after;
			}
		}
	}
	if (number > 0)
		*text = rest;
	return number;
}

static bool take_and_a_half(struct when_text *text)
{
	struct when_text rest = *text;

	if (!when_text_take_word(&rest, "and") || !when_text_take_word(&rest, "a") ||
		!when_text_take_word(&rest, "half"))
		return false;
	*text = rest;
	return true;
}

/* Takes the number before a unit, in halves: "half", "half an", "an", "two", "2 and a half". Digits
 * alone are no words. Return: 0 if the text does not start with such words. */
static unsigned int take_halves(struct when_text *text)
{
	bool half = when_text_take_word(text, "half"), digits = when_text_starts_digit(text);
	bool article = when_text_take_word(text, "an") || when_text_take_word(text, "a");
	unsigned int number;

	if (half || article)
		return half ? 1 : 2;
	number = take_number(text);
	if (number > 0 && take_and_a_half(text))
		return 2 * number + 1;
	return digits ? 0 : 2 * number;
}

/* Return: 1; 0 if the text does not start with words for a number; -EINVAL, and the error is set.
 */
static int read_words(struct when_text *text, struct when_term *ret, struct when_error *error)
{
	const struct when_text start = *text;
	struct when_text rest = start;
	unsigned int halves = take_halves(&rest);
	uint64_t unit;

	if (halves == 0)
		return 0;
	if (when_unit_take(&rest, &unit) < 0)
		return when_error_set(error,
			when_text_done(&rest) ? when_text_word_at(start, start.at)
					      : when_text_first_word(rest),
			-EINVAL, "is not a span; say for example half an hour, or in 5min");
	*ret = (struct when_term){.us = unit * halves / 2, .unit = unit};
	*text = rest;
	return 1;
}

static int read_term(struct when_text *text, struct when_term *ret, struct when_error *error)
{
	const struct when_text start = *text;
	struct when_text number;
	int r = read_words(text, ret, error);

	if (r == 0)
		r = when_term_read(text, ret, error);
	if (r < 0)
		return r;
	if (ret->unit == 0) {
		number = when_text_trimmed((struct when_text){start.at, text->at});
		return when_error_set(error, number, -EINVAL,
			"needs a unit; say for example %.*smin", (int)when_text_length(number),
			number.at);
	}
	when_text_skip_blanks(text);
	if (take_and_a_half(text) && __builtin_add_overflow(ret->us, ret->unit / 2, &ret->us))
		return when_error_set(
			error, start, -ERANGE, "is too long a span; say a shorter one");
	return 0;
}

/* Takes a comma, "and", or both. */
static bool take_separator(struct when_text *text)
{
	bool comma = when_text_starts(text, ',');

	if (comma) {
		text->at++;
		when_text_skip_blanks(text);
	}
	return when_text_take_word(text, "and") || comma;
}

int when_phrase_read(struct when_text text, uint64_t *ret_us, struct when_error *error)
{
	const struct when_text all = text;
	struct when_term term;
	uint64_t sum = 0;
	int r;

	do {
		r = read_term(&text, &term, error);
		if (r < 0)
			return r;
		if (__builtin_add_overflow(sum, term.us, &sum) || sum == WHEN_INFINITY)
			return when_error_set(
				error, all, -ERANGE, "is too long a span; say a shorter one");
		if (take_separator(&text) && when_text_done(&text))
			return when_error_set(error, when_text_word_at(all, all.end), -EINVAL,
				"must stand between two spans, such as 1h and 30min");
	} while (!when_text_done(&text));
	*ret_us = sum;
	return 0;
}

int when_span_or_phrase_read(struct when_text text, uint64_t *ret_us, struct when_error *error)
{
	struct when_error span_error, phrase_error;
	int span_r = when_span_read(text, ret_us, &span_error), phrase_r;

	if (span_r == 0)
		return 0;
	phrase_r = when_phrase_read(text, ret_us, &phrase_error);
	if (phrase_r == 0)
		return 0;
	/* The error that is further right is about the wrong word. No word is wrong if the sum is
	 * too long. */
	if (phrase_r != -ERANGE && phrase_error.word < span_error.word) {
		phrase_error = span_error;
		phrase_r = span_r;
	}
	if (error)
		*error = phrase_error;
	return phrase_r;
}
