/* SPDX-License-Identifier: MIT */
/*
 * See output.h. Every write to standard output is checked: a full disk is a failure. SIGPIPE keeps
 * the action that toytimerctl was started with. By default it ends toytimerctl without a message
 * when the reader exits, as it ends other tools before a `head`.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"

/* Waits until fd takes more bytes. Returns 0, or -1 and errno. */
static int wait_for_room(int fd)
{
	struct pollfd room = {.fd = fd, .events = POLLOUT};

	return poll(&room, 1, -1) < 0 && errno != EINTR ? -1 : 0;
}

/* For fopencookie(): returns how many bytes were written; fewer than size: errno says why. */
static ssize_t output_write(void *cookie, const char *data, size_t size)
{
	int fd = (int)(intptr_t)cookie;
	size_t done = 0;

	while (done < size) {
		ssize_t n = write(fd, data + done, size - done);

		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR && (errno != EAGAIN || wait_for_room(fd) < 0))
			break;
	}
	return (ssize_t)done;
}

FILE *output_open(int fd)
{
	/* The library takes the functions by value. */
	return fopencookie(
		(void *)(intptr_t)fd, "w", (cookie_io_functions_t){.write = output_write});
}

static void output_free(char **p)
{
	free(*p);
}

/* The length of the UTF-8 character at p; 0 if p is not UTF-8. least[] excludes encodings that are
 * longer than necessary. */
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

/* Control characters, line and paragraph separators, and marks that change the direction of text.
 */
static bool output_is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || (code >= 0x2028 && code <= 0x202e) ||
		(code >= 0x2066 && code <= 0x2069);
}

/* The length of the UTF-8 character at p; 0 if p is not UTF-8 or a control character. */
static size_t output_plain_length(const char *p)
{
	uint32_t code = 0;
	size_t length = output_utf8(p, &code);

	return output_is_control(code) ? 0 : length;
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

char *output_escape(const char *bytes, size_t size)
{
	_cleanup_(output_free) char *copy = malloc(size + 1);
	char *escaped = malloc(size * strlen("\\xff") + 1), *end = escaped;

	if (!escaped || !copy) {
		free(escaped);
		return NULL;
	}
	/* The terminator ends a character that is cut off. */
	memcpy(copy, bytes, size);
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

/* One write for the whole line, since other processes may share standard error. A failure cannot be
 * reported anywhere. */
static void output_line(const char *text)
{
	_cleanup_(output_free) char *line = NULL;
	int length = asprintf(&line, "toytimerctl: %s\n", text);
	size_t done = 0;

	if (length < 0) {
		line = NULL;
		fputs("toytimerctl: out of memory\n", stderr);
		return;
	}
	do {
		clearerr(stderr);
		done += fwrite(line + done, 1, (size_t)length - done, stderr);
	} while (done < (size_t)length && errno == EAGAIN && wait_for_room(STDERR_FILENO) == 0);
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
	output_line(escaped ? escaped : "out of memory");
}

int output_flush(FILE *f)
{
	bool failed_before = ferror(f);

	if (fflush(f) == 0 && !failed_before)
		return 0;

	/* errno of an earlier write is lost. */
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
	/* json_dumpf() fails for a failed write, too: the caller's flush reports that one. */
	r = json_dumpf(value, f, JSON_COMPACT);
	json_decref(value);
	if (r < 0 && !ferror(f)) {
		output_error("out of memory");
		return -1;
	}
	fputc('\n', f);
	return 0;
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
