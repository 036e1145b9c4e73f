/* SPDX-License-Identifier: MIT */
/* See when_error.h. */
#include "when_error.h"

#include <stdarg.h>
#include <stdio.h>

int when_error_set(
	struct when_error *error, struct when_text word, int code, const char *format, ...)
{
	va_list arguments;

	if (!error)
		return code;
	error->word = word.at;
	error->length = when_text_length(word);
	va_start(arguments, format);
	vsnprintf(error->advice, sizeof(error->advice), format, arguments);
	va_end(arguments);
	return code;
}
