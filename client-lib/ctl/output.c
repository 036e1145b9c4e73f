/* SPDX-License-Identifier: MIT */
/*
 * See output.h. Standard output is checked whenever something has to be known to be out: a full
 * disk is a failure, not a shorter answer. A reader that left has seen enough: SIGPIPE is left as
 * it was found, so that it ends us without a word, as it ends every tool before a `head`.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output.h"

static void output_free(char **p)
{
	free(*p);
}

/* Bytes of the UTF-8 character at p; 0 if there is none. The least code points rule out characters
 * written longer than they need to be. */
static size_t output_utf8(const char *p, uint32_t *ret_code)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned char first = (unsigned char)*p;
	size_t length;
	uint32_t code;

	if (first < 0x80) {
		*ret_code = first;
		return 1;
	}
	if (first >= 0xf8 || first < 0xc0)
		return 0;
	length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
	code = first & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if (((unsigned char)p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | ((unsigned char)p[i] & 0x3f);
	}
	if (code < least[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	*ret_code = code;
	return length;
}

/* Whether a character would steer a terminal: control characters, those that end a line or a
 * paragraph, and those that turn the direction of a line around. No label has them. */
static bool output_steers(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x2028 && code <= 0x202e) ||
		(code >= 0x2066 && code <= 0x2069);
}

/* Bytes of the UTF-8 character at p; 0 if there is none or it would steer a terminal. */
static size_t output_plain_length(const char *p)
{
	uint32_t code = 0;
	size_t length = output_utf8(p, &code);

	return output_steers(code) ? 0 : length;
}

bool output_is_plain(const char *text)
{
	while (*text) {
		size_t length = output_plain_length(text);

		if (length == 0)
			return false;
		text += length;
	}
	return true;
}

const char *output_word(const char *word)
{
	return *word ? word : "''";
}

char *output_escape(const char *text, size_t size)
{
	_cleanup_(output_free) char *copy = malloc(size + 1);
	char *escaped = malloc(size * strlen("\\xff") + 1), *end = escaped;

	if (!escaped || !copy) {
		free(escaped);
		return NULL;
	}
	/* Terminated, so that a character that is cut is seen to be none. */
	memcpy(copy, text, size);
	copy[size] = '\0';
	for (size_t i = 0; i < size;) {
		size_t length = output_plain_length(copy + i);

		if (length > 0) {
			end = mempcpy(end, copy + i, length);
			i += length;
		} else {
			end += sprintf(end, "\\x%02x", (unsigned char)copy[i++]);
		}
	}
	*end = '\0';
	return escaped;
}

void output_error(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	output_error_v(format, arguments);
	va_end(arguments);
}

void output_error_v(const char *format, va_list arguments)
{
	_cleanup_(output_free) char *text = NULL, *escaped = NULL;

	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	else
		escaped = output_escape(text, strlen(text));
	/* In one call, so in one write: others may share our standard error. */
	fprintf(stderr, "toytimerctl: %s\n", escaped ? escaped : "out of memory");
}

int output_flush(FILE *f)
{
	bool failed_before = ferror(f);

	if (f == stderr || (fflush(f) == 0 && !failed_before))
		return 0;

	/* Of an error in an earlier write errno has been lost. */
	output_error("standard output: %s", failed_before ? "write error" : strerror(errno));
	return -1;
}

void output_json_add(json_t **object, const char *key, json_t *value)
{
	if (json_object_set_new(*object, key, value) == 0)
		return;
	json_decref(*object);
	*object = NULL;
}

int output_json(FILE *f, json_t *value)
{
	int r;

	if (!value) {
		output_error("out of memory");
		return -1;
	}
	r = json_dumpf(value, f, JSON_COMPACT);
	json_decref(value);
	if (r < 0 && !ferror(f)) {
		output_error("out of memory");
		return -1;
	}
	fputc('\n', f);
	return output_flush(f);
}

json_t *output_json_number(uint64_t number)
{
	return json_integer(number > INT64_MAX ? INT64_MAX : (json_int_t)number);
}

json_t *output_json_bytes(const void *bytes, size_t size)
{
	return json_stringn(size ? bytes : "", size);
}

json_t *output_json_base64(const void *bytes, size_t size)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	_cleanup_(output_free) char *text = malloc((size + 2) / 3 * 4 + 1);
	const unsigned char *in = bytes;
	char *end = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < size; i += 3) {
		uint32_t group = (uint32_t)in[i] << 16;

		if (i + 1 < size)
			group |= (uint32_t)in[i + 1] << 8;
		if (i + 2 < size)
			group |= in[i + 2];
		*end++ = digits[group >> 18];
		*end++ = digits[group >> 12 & 63];
		*end++ = i + 1 < size ? digits[group >> 6 & 63] : '=';
		*end++ = i + 2 < size ? digits[group & 63] : '=';
	}
	*end = '\0';
	return json_string(text);
}

json_t *output_json_text(const char *text)
{
	static const char replacement[] = "\xef\xbf\xbd";
	_cleanup_(output_free) char *clean = NULL;
	char *end;

	clean = malloc(strlen(text) * strlen(replacement) + 1);
	if (!clean)
		return NULL;

	end = clean;
	while (*text) {
		uint32_t code;
		size_t length = output_utf8(text, &code);

		if (length > 0) {
			end = mempcpy(end, text, length);
			text += length;
		} else {
			end = stpcpy(end, replacement);
			text++;
		}
	}
	*end = '\0';
	return json_string(clean);
}
