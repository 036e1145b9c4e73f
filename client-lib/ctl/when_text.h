/* SPDX-License-Identifier: MIT */
/*
 * A piece of what was typed, for the when_*.c files only. They look at the text in place, never at
 * copies of it: so no length needs a limit, and an error can point at the very word.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "when.h"

#define WHEN_US_PER_SECOND UINT64_C(1000000)

/* From at up to, but without, end. Parsers move at forwards. */
struct when_text {
	const char *at;
	const char *end;
};

/* Not isspace() and its kin: they ask the locale, and may not be given a negative char. */
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

static inline struct when_text when_text(const char *string)
{
	return (struct when_text){string, string + strlen(string)};
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
	size_t length = strlen(word);

	return (size_t)(text.end - text.at) == length && memcmp(text.at, word, length) == 0;
}

/* The same with upper case as good as lower case. An empty word is nobody's. */
static inline bool when_text_is_caseless(struct when_text text, const char *word)
{
	size_t length = strlen(word);

	return length > 0 && (size_t)(text.end - text.at) == length &&
		strncasecmp(text.at, word, length) == 0;
}

/* If the text ends with the given tail, takes that off. Return: whether it did. */
static inline bool when_text_cut_tail(struct when_text *text, const char *tail)
{
	size_t length = strlen(tail);

	if ((size_t)(text->end - text->at) < length ||
		memcmp(text->end - length, tail, length) != 0)
		return false;
	text->end -= length;
	return true;
}

static inline void when_text_skip_blanks(struct when_text *text)
{
	while (text->at < text->end && when_is_blank(*text->at))
		text->at++;
}

/* Blames the bytes of text. Return: code. */
int when_blame(struct when_text text, int code, struct when_error *error);

/* Blames the word of text that at is in; between words the next one, at the end the last.
 * Return: code. */
int when_blame_word(struct when_text text, const char *at, int code, struct when_error *error);

/* Blames the last word of text if the error names none, so that "+" alone is blamed itself for what
 * is missing behind it. Return: code. */
int when_blame_if_none(struct when_text text, int code, struct when_error *error);

/* when_parse_span() of a piece of text. */
int when_span_from_text(struct when_text text, uint64_t *ret_us, struct when_error *error);
