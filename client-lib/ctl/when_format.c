/* SPDX-License-Identifier: MIT */
/*
 * Formats spans and instants; see when.h. The text is the same as systemd's, so that users need to
 * learn one form only and can type what is printed.
 */
#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "when.h"
#include "when_text.h"

_Static_assert(sizeof(time_t) == 8, "time_t holds every due");

/* The unused part of the caller's buffer. Longer text is cut off. */
struct output {
	char *at;
	size_t size;
};

static const struct {
	const char *name;
	uint64_t us;
	int digits; /* after the decimal point; 0: this unit has no fraction */
} steps[] = {
	{"y", UINT64_C(31557600) * WHEN_US_PER_SECOND, 0},
	{"month", UINT64_C(2629800) * WHEN_US_PER_SECOND, 0},
	{"w", UINT64_C(604800) * WHEN_US_PER_SECOND, 0},
	{"d", UINT64_C(86400) * WHEN_US_PER_SECOND, 0},
	{"h", UINT64_C(3600) * WHEN_US_PER_SECOND, 0},
	{"min", UINT64_C(60) * WHEN_US_PER_SECOND, 0},
	{"s", WHEN_US_PER_SECOND, 6},
	{"ms", 1000, 3},
	{"us", 1, 0},
};

__attribute__((format(printf, 2, 3))) static void append(
	struct output *out, const char *format, ...)
{
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(out->at, out->size, format, arguments);
	va_end(arguments);
	/* n is never negative: no format here has wide characters or a huge width. */
	if ((size_t)n >= out->size)
		n = (int)(out->size - 1);
	out->at += n;
	out->size -= (size_t)n;
}

/* How many decimal digits of a microsecond are below the accuracy. */
static int digits_below(uint64_t accuracy_us)
{
	int digits = 0;

	for (; accuracy_us > 1; accuracy_us /= 10)
		digits++;
	return digits;
}

char *when_format_span(char *buffer, size_t size, uint64_t us, uint64_t accuracy_us)
{
	struct output out = {buffer, size};
	const char *space = "";

	if (us == WHEN_INFINITY) {
		append(&out, "infinity");
		return buffer;
	}
	append(&out, "%s", us == 0 ? "0" : "");
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]) && us > 0; i++) {
		uint64_t whole = us / steps[i].us, rest = us % steps[i].us;
		int digits = steps[i].digits - digits_below(accuracy_us);

		if (us < accuracy_us && *space != '\0')
			break;
		if (whole == 0)
			continue;
		if (rest > 0 && digits > 0) {
			for (int cut = steps[i].digits; cut > digits; cut--)
				rest /= 10;
			append(&out, "%s%llu.%0*llu%s", space, (unsigned long long)whole, digits,
				(unsigned long long)rest, steps[i].name);
			break;
		}
		append(&out, "%s%llu%s", space, (unsigned long long)whole, steps[i].name);
		space = " ";
		us = rest;
	}
	return buffer;
}

/* Appends a space and the zone's name, or nothing if they do not fit. */
static void append_zone(struct output *out, const char *name)
{
	size_t length = strlen(name);

	if (length > 0 && length + 1 < out->size)
		append(out, " %s", name);
}

char *when_format_timestamp(char *buffer, size_t size, uint64_t us, unsigned int style)
{
	static const char *const weekdays[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
	struct output out = {buffer, size};
	bool utc = style & WHEN_UTC;
	bool is_short = style & WHEN_SHORT;
	struct tm tm;
	time_t t;

	if (us == WHEN_INFINITY) {
		append(&out, "-");
		return buffer;
	}
	t = (time_t)(us / WHEN_US_PER_SECOND);
	if (us > WHEN_TIMESTAMP_LAST) {
		append(&out, "--- XXXX-XX-XX XX:XX:XX");
		return buffer;
	}
	/* These cannot fail, since the year has four digits. */
	if (utc) {
		gmtime_r(&t, &tm);
	} else {
		tzset();
		localtime_r(&t, &tm);
	}

	/* strftime("%a") would depend on the locale. */
	if (!is_short)
		append(&out, "%s ", weekdays[tm.tm_wday]);
	append(&out, "%04d-%02d-%02d %02d:%02d", tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday,
		tm.tm_hour, tm.tm_min);
	if (is_short)
		return buffer;
	append(&out, ":%02d", tm.tm_sec);
	if (style & WHEN_MICROSECONDS)
		append(&out, ".%06llu", (unsigned long long)(us % WHEN_US_PER_SECOND));
	append_zone(&out, utc ? "UTC" : tm.tm_zone);
	return buffer;
}
