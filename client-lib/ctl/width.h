/* SPDX-License-Identifier: MIT */
/*
 * How many columns of a terminal a text needs, and how to cut a text. A character of the locale
 * needs 0, 1 or 2 columns. A byte that is no printable character needs 4, since the table shows it
 * as \x and two digits.
 */
#pragma once

#include <stddef.h>

/* How many columns the text needs. */
size_t width_of(const char *text);

/* Cuts the text in place to at most `width` columns. The cut text ends with an ellipsis: "…", or
 * "~" in a locale without "…". The text needs WIDTH_ELLIPSIS_MAX bytes of space after its 0. */
#define WIDTH_ELLIPSIS_MAX 4
void width_truncate(char *text, size_t width);

/* The width of the terminal on standard output: $COLUMNS if it is a number above 0, else what the
 * kernel reports. 0: standard output is no terminal, or its width is unknown. */
size_t width_of_terminal(void);
