/* SPDX-License-Identifier: MIT */
/*
 * Output streams, error lines, JSON.
 *
 * The reader is often a program. So no text from outside (an argument, a label, the name of a
 * process) may break a line in two, send control characters to a terminal, or make JSON invalid.
 */
#pragma once

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "macros.h"

/*
 * Opens a stream that writes to fd. Where stdio's own streams fail with EAGAIN, because fd has
 * O_NONBLOCK and its reader is slow, this one waits. Returns NULL without memory.
 */
FILE *output_open(int fd);

/* Whether the text is UTF-8 without control characters. timerd refuses a label that is not. */
bool output_is_plain(const char *text);

/* A word for an error line: an empty word is shown as ''. */
const char *output_word(const char *word);

/* The bytes for one line of a terminal: each byte that is not plain becomes \x and two hexadecimal
 * digits. The caller frees the text. NULL: out of memory. */
char *output_escape(const char *bytes, size_t size);

/* Writes "toytimerctl: ", the text and a newline to standard error. Each byte that is not plain
 * becomes \x and two hexadecimal digits. */
void output_error(const char *format, ...) _printf_(1, 2);
void output_error_v(const char *format, va_list arguments) _printf_(1, 0);

/* Flushes ctl->out. Returns 0, or prints an error and returns -1. */
int output_flush(FILE *f);

/* Adds a member to *object and takes the reference to value. If either is NULL or memory runs out,
 * *object becomes NULL, so that no incomplete object is printed. */
void output_json_add(json_t **object, const char *key, json_t *value);

/*
 * Writes a JSON value and a newline to f; the caller flushes f. Takes the reference to value; NULL
 * stands for out of memory. Returns 0, or prints an error and returns -1.
 */
int output_json(FILE *f, json_t *value);

/* A JSON integer. A larger number becomes INT64_MAX, the largest integer of jansson. */
json_t *output_json_number(uint64_t number);

/* A JSON string of size bytes. NULL: they are not UTF-8, or there is no memory. */
json_t *output_json_bytes(const void *bytes, size_t size);

/* The bytes in base64 (RFC 4648). */
json_t *output_json_base64(const void *bytes, size_t size);

/* A JSON string. Each byte that is not UTF-8 becomes U+FFFD. */
json_t *output_json_text(const char *text);
