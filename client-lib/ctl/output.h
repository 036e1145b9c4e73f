/* SPDX-License-Identifier: MIT */
/*
 * What toytimerctl writes, and whether it arrived.
 *
 * Whoever reads us is as often a program as a person, so nothing from outside (an argument, another
 * user's label, a process's name) may break a line in two, steer a terminal or spoil a JSON text.
 */
#pragma once

#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "ctl.h"

/* Whether the text is UTF-8 and steers no terminal: the daemon takes no other label. */
bool output_is_plain(const char *text);

/* A word as an error shows it: one that is empty, as "$nothing" is, has to be seen, too. */
const char *output_word(const char *word);

/* Size bytes made fit for one line of a terminal: what is not plain becomes \x and two hexadecimal
 * digits a byte. The caller frees it. NULL: out of memory. */
char *output_escape(const char *text, size_t size);

/* Writes one line to standard error, with what is not plain as \x and two hexadecimal digits a
 * byte. */
void output_error(const char *format, ...) _printf_(1, 2);
void output_error_v(const char *format, va_list arguments) _printf_(1, 0);

/* Writes out what standard output holds. Returns 0, or -1, the reason having been told. Standard
 * error has nobody to tell a failure to: then it returns 0. */
int output_flush(FILE *f);

/* Adds a member to *object, taking the reference to value. Where either is missing for want of
 * memory, *object becomes NULL: an object is whole or is not printed. */
void output_json_add(json_t **object, const char *key, json_t *value);

/*
 * Writes a JSON value in one line to f, standard output or error, and flushes it. Takes the reference to it; NULL counts as out of
 * memory. Returns 0, or -1, the reason having been told.
 */
int output_json(FILE *f, json_t *value);

/*
 * A JSON integer. JSON has no greatest one, but its readers have, and so has jansson: what does not
 * fit 63 bits comes out as the greatest that does.
 */
json_t *output_json_number(uint64_t number);

/* A JSON string of size bytes if they are UTF-8; NULL: they are not, or there is no memory. */
json_t *output_json_bytes(const void *bytes, size_t size);

/* The bytes in base64 (RFC 4648). */
json_t *output_json_base64(const void *bytes, size_t size);

/* A JSON string. Bytes that are not UTF-8 (a process may name itself as it likes) become U+FFFD. */
json_t *output_json_text(const char *text);
