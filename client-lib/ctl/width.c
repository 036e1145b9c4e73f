/* SPDX-License-Identifier: MIT */
/* See width.h. */
#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>
#include <wctype.h>

#include "width.h"

#define ESCAPED 4 /* "\xff" */

/* Returns the length of the first character in bytes, sets *ret_width to its columns. The text is
 * not empty. */
static size_t first_character(const char *text, mbstate_t *state, size_t *ret_width)
{
	wchar_t c;
	size_t length = mbrtowc(&c, text, MB_CUR_MAX, state);

	if (length == 0 || length > MB_LEN_MAX || !iswprint((wint_t)c) || wcwidth(c) < 0) {
		*state = (mbstate_t){0};
		*ret_width = ESCAPED;
		return 1;
	}
	*ret_width = (size_t)wcwidth(c);
	return length;
}

size_t width_of(const char *text)
{
	mbstate_t state = {0};
	size_t sum = 0, width;

	while (*text) {
		text += first_character(text, &state, &width);
		sum += width;
	}
	return sum;
}

static const char *ellipsis(void)
{
	static const char dots[] = "\xe2\x80\xa6";
	mbstate_t state = {0};
	wchar_t c;

	return mbrtowc(&c, dots, sizeof(dots) - 1, &state) == sizeof(dots) - 1 ? dots : "~";
}

void width_truncate(char *text, size_t width)
{
	mbstate_t state = {0};
	size_t at = 0, sum = 0, step;

	if (width_of(text) <= width)
		return;
	while (text[at]) {
		size_t length = first_character(text + at, &state, &step);

		if (sum + step + 1 > width)
			break;
		sum += step;
		at += length;
	}
	strcpy(text + at, width > 0 ? ellipsis() : "");
}

size_t width_of_terminal(void)
{
	const char *columns = getenv("COLUMNS");
	struct winsize size = {0};
	unsigned long number = 0;

	if (!isatty(STDOUT_FILENO))
		return 0;
	if (columns && isdigit((unsigned char)*columns))
		number = strtoul(columns, NULL, 10);
	if (number > 0 && number <= USHRT_MAX)
		return number;
	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 ? 0 : size.ws_col;
}
