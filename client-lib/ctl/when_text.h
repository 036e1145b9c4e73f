/* SPDX-License-Identifier: MIT */
/*
 * A part of the text that is parsed, for the when_*.c files only. The parsers look at the caller's
 * text in place. So no word has a maximum length, and an error can point to its word.
 *
 * Keywords are ASCII and compare the same in every locale: in Turkish, tolower("FRIDAY") is not
 * "friday". So no when_*.c file calls a function that depends on the locale.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define WHEN_US_PER_SECOND UINT64_C(1000000)

/* The bytes from at to before end. Parsers advance at. */
struct when_text {
	const char *at;
	const char *end;
};

static inline bool when_is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline bool when_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool when_is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static inline char when_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static inline struct when_text when_text(const char *string)
{
	return (struct when_text){string, string + strlen(string)};
}

static inline size_t when_text_length(struct when_text text)
{
	return (size_t)(text.end - text.at);
}

static inline bool when_text_done(const struct when_text *text)
{
	return text->at >= text->end;
}

static inline bool when_text_starts(const struct when_text *text, char c)
{
	return text->at < text->end && *text->at == c;
}

static inline bool when_text_starts_digit(const struct when_text *text)
{
	return text->at < text->end && when_is_digit(*text->at);
}

static inline bool when_text_is(struct when_text text, const char *word)
{
	return when_text_length(text) == strlen(word) && memcmp(text.at, word, strlen(word)) == 0;
}

/* The same, ignoring the case of ASCII letters. False for an empty word. */
static inline bool when_text_is_caseless(struct when_text text, const char *word)
{
	if (*word == '\0' || when_text_length(text) != strlen(word))
		return false;
	for (; text.at < text.end; text.at++, word++) {
		if (when_lower(*text.at) != when_lower(*word))
			return false;
	}
	return true;
}

static inline void when_text_skip_blanks(struct when_text *text)
{
	while (text->at < text->end && when_is_blank(*text->at))
		text->at++;
}

static inline struct when_text when_text_trimmed(struct when_text text)
{
	when_text_skip_blanks(&text);
	while (text.end > text.at && when_is_blank(text.end[-1]))
		text.end--;
	return text;
}

/* How many digits a text starts with. */
static inline size_t when_text_digits(struct when_text text)
{
	size_t digits = 0;

	while (text.at + digits < text.end && when_is_digit(text.at[digits]))
		digits++;
	return digits;
}

/* The letters at the start of a text; may be empty. */
static inline struct when_text when_text_letters(struct when_text text)
{
	const char *at = text.at;

	while (at < text.end && when_is_letter(*at))
		at++;
	return (struct when_text){text.at, at};
}

/* The text up to the first blank. */
static inline struct when_text when_text_first_word(struct when_text text)
{
	const char *at = text.at;

	while (at < text.end && !when_is_blank(*at))
		at++;
	return (struct when_text){text.at, at};
}

/* The word at this position; at a blank the next word, at the end the last word. The text does not
 * end with a blank. */
static inline struct when_text when_text_word_at(struct when_text text, const char *at)
{
	const char *start, *end;

	while (at < text.end && when_is_blank(*at))
		at++;
	if (at >= text.end && at > text.at)
		at--;
	for (start = at; start > text.at && !when_is_blank(start[-1]);)
		start--;
	for (end = at; end < text.end && !when_is_blank(*end);)
		end++;
	return (struct when_text){start, end};
}

/* Removes this word and the blanks after it from the start of the text. Returns false if the text
 * does not start with it. */
static inline bool when_text_take_word(struct when_text *text, const char *word)
{
	struct when_text first = when_text_first_word(*text);

	if (!when_text_is_caseless(first, word))
		return false;
	text->at = first.end;
	when_text_skip_blanks(text);
	return true;
}

/* Removes this word and the blanks before it from the end of the text. Returns false if the text
 * does not end with it, or if it is the only word. */
static inline bool when_text_take_last_word(struct when_text *text, const char *word)
{
	struct when_text last = when_text_word_at(*text, text->end);

	if (last.at == text->at || !when_text_is_caseless(last, word))
		return false;
	text->end = last.at;
	*text = when_text_trimmed(*text);
	return true;
}
