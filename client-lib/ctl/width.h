/* SPDX-License-Identifier: MIT */
/*
 * How many columns of a terminal a text takes, and how to cut it to fewer. A character of the
 * locale may take no column or two; a byte that is no printable character takes four, since the
 * table shows it as \x and two digits.
 */
#pragma once

#include <stddef.h>

/* The columns that the text takes. */
size_t width_of(const char *text);

/* Cuts the text to at most so many columns, in place. An ellipsis ends what was cut, "…" or, in a
 * locale without it, "~". The text needs WIDTH_ELLIPSIS_MAX bytes of room after its 0. */
#define WIDTH_ELLIPSIS_MAX 4
void width_cut(char *text, size_t width);

/* The columns of the terminal that standard output is: $COLUMNS if that is a number above 0, else
 * what the terminal says. 0: it is no terminal, or nobody knows. */
size_t width_of_terminal(void);
