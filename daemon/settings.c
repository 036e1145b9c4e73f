/* SPDX-License-Identifier: MIT */
#include "settings.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

const struct setting settings_timerd[TIMERD_SETTINGS] = {
	[TIMERD_SOCKET] = {"Socket", "socket", SETTING_WORD, 0, true},
	[TIMERD_MAX_TIMERS] = {"MaxTimers", "max-timers", SETTING_COUNT, SETTINGS_MAX_TIMERS,
		false},
	[TIMERD_MAX_TIMERS_PER_USER] = {"MaxTimersPerUser", "max-timers-per-user", SETTING_COUNT,
		UINT32_MAX, false},
	[TIMERD_MAX_CLIENTS] = {"MaxClients", "max-clients", SETTING_COUNT, SETTINGS_MAX_CLIENTS,
		false},
	[TIMERD_MAX_CLIENTS_PER_USER] = {"MaxClientsPerUser", "max-clients-per-user", SETTING_COUNT,
		UINT32_MAX, false},
	[TIMERD_LOG_LEVEL] = {"LogLevel", "log-level", SETTING_LEVEL, 0, false},
};

const struct setting settings_queues[QUEUES_SETTINGS] = {
	[QUEUES_SOCKET] = {"Socket", "socket", SETTING_WORD, 0, true},
	[QUEUES_STATE] = {"State", "state", SETTING_WORD, 0, true},
	[QUEUES_STORE] = {"Store", "store", SETTING_WORD, 0, true},
	[QUEUES_TIMERD] = {"Timerd", "timerd", SETTING_WORD, 0, true},
	[QUEUES_MAX_TIMERS_PER_USER] = {"MaxTimersPerUser", "max-timers-per-user", SETTING_COUNT,
		UINT32_MAX, false},
	[QUEUES_MAX_BYTES_PER_USER] = {"MaxBytesPerUser", "max-bytes-per-user", SETTING_SIZE, 0,
		false},
	[QUEUES_MAX_CLIENTS] = {"MaxClients", "max-clients", SETTING_COUNT, SETTINGS_MAX_CLIENTS,
		true},
	[QUEUES_MAX_CLIENTS_PER_USER] = {"MaxClientsPerUser", "max-clients-per-user", SETTING_COUNT,
		UINT32_MAX, false},
	[QUEUES_CLOCK_PATIENCE] = {"ClockPatience", "clock-patience", SETTING_SPAN, 0, true},
	[QUEUES_LOG_LEVEL] = {"LogLevel", "log-level", SETTING_LEVEL, 0, false},
};

const struct settings_section settings_section_timerd = {
	"Timerd", settings_timerd, TIMERD_SETTINGS};
const struct settings_section settings_section_queues = {
	"Queues", settings_queues, QUEUES_SETTINGS};

const struct setting settings_own[OWN_SETTINGS] = {
	[OWN_MAX_TIMERS] = {"MaxTimers", NULL, SETTING_COUNT, UINT32_MAX, false},
	[OWN_MAX_CLIENTS] = {"MaxClients", NULL, SETTING_COUNT, UINT32_MAX, false},
	[OWN_MAX_QUEUE_TIMERS] = {"MaxQueueTimers", NULL, SETTING_COUNT, UINT32_MAX, false},
	[OWN_MAX_QUEUE_BYTES] = {"MaxQueueBytes", NULL, SETTING_SIZE, 0, false},
	[OWN_MAX_QUEUE_CLIENTS] = {"MaxQueueClients", NULL, SETTING_COUNT, UINT32_MAX, false},
};

#define DIGITS "0123456789"

/* Digits only, from 1 to max. */
static int parse_count(
	const char *text, uint64_t max, uint64_t *ret, char why[static SETTING_WHY_MAX])
{
	unsigned long long value;

	if (!*text || strspn(text, DIGITS) != strlen(text)) {
		snprintf(why, SETTING_WHY_MAX, "is not a number");
		return -EINVAL;
	}
	errno = 0;
	value = strtoull(text, NULL, 10);
	if (errno || value < 1 || value > max) {
		snprintf(why, SETTING_WHY_MAX, "is not between 1 and %" PRIu64, max);
		return -EINVAL;
	}
	*ret = value;
	return 0;
}

static int parse_size(const char *text, uint64_t *ret, char why[static SETTING_WHY_MAX])
{
	static const char units[] = "KMGT";
	size_t length = strlen(text);
	const char *unit = length ? strchr(units, text[length - 1]) : NULL;
	unsigned int shift = unit ? 10 * (unsigned int)(unit - units + 1) : 0;
	char digits[32];
	int r;

	if (length >= sizeof(digits)) {
		snprintf(why, SETTING_WHY_MAX, "is not a size, such as 256M");
		return -EINVAL;
	}
	memcpy(digits, text, length + 1);
	if (unit)
		digits[length - 1] = 0;
	r = parse_count(digits, (uint64_t)INT64_MAX >> shift, ret, why);
	if (r == 0)
		*ret <<= shift;
	return r;
}

/* A unit of systemd.time(7), in microseconds; 0: no such unit. */
static uint64_t unit_us(const char *name, size_t length)
{
	static const struct {
		const char *names; /* with a blank around each */
		uint64_t us;
	} units[] = {
		{" us usec \xc2\xb5s \xce\xbcs ", 1},
		{" ms msec ", 1000},
		{"  s sec secs second seconds ", UINT64_C(1000000)}, /* also no unit at all */
		{" m min mins minute minutes ", UINT64_C(60000000)},
		{" h hr hrs hour hours ", UINT64_C(3600000000)},
		{" d day days ", UINT64_C(86400000000)},
		{" w week weeks ", UINT64_C(604800000000)},
		{" M month months ", UINT64_C(2629800000000)},
		{" y year years ", UINT64_C(31557600000000)},
	};
	char word[16];

	if (length > sizeof(word) - 3)
		return 0;
	snprintf(word, sizeof(word), " %.*s ", (int)length, name);
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (strstr(units[i].names, word))
			return units[i].us;
	return 0;
}

/* Adds one number with its unit. Return: what follows it; NULL: it is none, or the sum is too
 * great. */
static const char *parse_term(const char *text, uint64_t *sum)
{
	size_t whole = strspn(text, DIGITS), part = 0, unit;
	const char *digits = text, *fraction = text + whole;
	uint64_t value = 0, us;

	if (*fraction == '.')
		part = strspn(++fraction, DIGITS);
	text = fraction + part;
	text += strspn(text, " \t");
	unit = strcspn(text, " \t." DIGITS);
	us = unit_us(text, unit);
	if (whole + part == 0 || !us || text[unit] == '.')
		return NULL;
	for (size_t i = 0; i < whole; i++)
		if (__builtin_mul_overflow(value, 10u, &value) ||
			__builtin_add_overflow(value, (unsigned int)(digits[i] - '0'), &value))
			return NULL;
	if (__builtin_mul_overflow(value, us, &value) || __builtin_add_overflow(*sum, value, sum))
		return NULL;
	for (size_t i = 0; i < part; i++) {
		us /= 10;
		if (__builtin_add_overflow(*sum, us * (unsigned int)(fraction[i] - '0'), sum))
			return NULL;
	}
	return *sum > INT64_MAX ? NULL : text + unit;
}

static int parse_span(const char *text, uint64_t *ret, char why[static SETTING_WHY_MAX])
{
	const char *at = text + strspn(text, " \t");
	uint64_t sum = 0;

	if (!strcmp(at, "infinity")) {
		*ret = INT64_MAX;
		return 0;
	}
	do {
		at = parse_term(at, &sum);
		if (at)
			at += strspn(at, " \t");
	} while (at && *at);
	if (!at) {
		snprintf(why, SETTING_WHY_MAX, "is not a span, such as 10min");
		return -EINVAL;
	}
	*ret = sum;
	return 0;
}

static int parse_level(const char *text, uint64_t *ret, char why[static SETTING_WHY_MAX])
{
	static const char *const names[] = {
		"emerg", "alert", "crit", "err", "warning", "notice", "info", "debug", "error"};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char digit[2] = {(char)('0' + i), 0};

		if (!strcmp(text, names[i]) || (i <= LOG_DEBUG && !strcmp(text, digit))) {
			*ret = i <= LOG_DEBUG ? i : LOG_ERR;
			return 0;
		}
	}
	snprintf(why, SETTING_WHY_MAX, "is not a level");
	return -EINVAL;
}

static int parse_number(const struct setting *setting, const char *text, uint64_t *ret, char why[])
{
	switch (setting->type) {
	case SETTING_SIZE:
		return parse_size(text, ret, why);
	case SETTING_SPAN:
		return parse_span(text, ret, why);
	case SETTING_LEVEL:
		return parse_level(text, ret, why);
	case SETTING_COUNT:
	case SETTING_WORD:
		break;
	}
	return parse_count(text, setting->max, ret, why);
}

int setting_parse(const struct setting *setting, const char *text, struct setting_value *ret,
	char ret_why[static SETTING_WHY_MAX])
{
	struct setting_value value = {.set = true, .word = text};
	int r = 0;

	if (setting->type != SETTING_WORD) {
		r = parse_number(setting, text, &value.number, ret_why);
	} else if (!*text) {
		snprintf(ret_why, SETTING_WHY_MAX, "is empty");
		r = -EINVAL;
	}
	if (r == 0)
		*ret = value;
	return r;
}

uint64_t setting_number(
	const struct setting_value *first, const struct setting_value *second, uint64_t otherwise)
{
	if (first->set)
		return first->number;
	return second->set ? second->number : otherwise;
}

const char *setting_word(const struct setting_value *first, const struct setting_value *second,
	const char *otherwise)
{
	if (first->set)
		return first->word;
	return second->set ? second->word : otherwise;
}
