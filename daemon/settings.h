/* SPDX-License-Identifier: MIT */
/*
 * The settings of timerd and timerqd: one table for each group, which the command lines and the
 * configuration file (config.h) share. So each option has a key, and both accept the same values.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum settings_timerd {
	TIMERD_SOCKET,
	TIMERD_MAX_TIMERS,
	TIMERD_MAX_TIMERS_PER_USER,
	TIMERD_MAX_CLIENTS,
	TIMERD_MAX_CLIENTS_PER_USER,
	TIMERD_LOG_LEVEL,
	TIMERD_SETTINGS,
};

enum settings_queues {
	QUEUES_SOCKET,
	QUEUES_STATE,
	QUEUES_STORE,
	QUEUES_TIMERD,
	QUEUES_MAX_TIMERS_PER_USER,
	QUEUES_MAX_BYTES_PER_USER,
	QUEUES_MAX_CLIENTS,
	QUEUES_MAX_CLIENTS_PER_USER,
	QUEUES_CLOCK_PATIENCE,
	QUEUES_LOG_LEVEL,
	QUEUES_SETTINGS,
};

/* The limits of one user or group. Only the file has them. */
enum settings_own {
	OWN_MAX_TIMERS,
	OWN_MAX_CLIENTS,
	OWN_MAX_QUEUE_TIMERS,
	OWN_MAX_QUEUE_BYTES,
	OWN_MAX_QUEUE_CLIENTS,
	OWN_SETTINGS,
};

/* The greatest --max-timers and --max-clients: what the arena of timerd has room for. */
#define SETTINGS_MAX_TIMERS  UINT32_C(4128766)
#define SETTINGS_MAX_CLIENTS UINT32_C(65535)

enum setting_type {
	SETTING_WORD,  /* a path or an address */
	SETTING_COUNT, /* a whole number from 1 on */
	SETTING_SIZE,  /* bytes; K, M, G and T are powers of 1024 */
	SETTING_SPAN,  /* microseconds, written as in systemd.time(7) */
	SETTING_LEVEL, /* of syslog */
};

struct setting {
	const char *key;    /* in the file */
	const char *option; /* on the command line, without the dashes; NULL: none */
	enum setting_type type;
	uint64_t max;  /* of a count */
	bool at_start; /* a running daemon cannot change it */
};

/* A value. If it is not set, another source or the default applies. */
struct setting_value {
	bool set;
	uint64_t number;
	const char *word; /* of SETTING_WORD; borrowed */
};

extern const struct setting settings_timerd[TIMERD_SETTINGS];
extern const struct setting settings_queues[QUEUES_SETTINGS];
extern const struct setting settings_own[OWN_SETTINGS];

/* A section of the file that has the options of one daemon. */
struct settings_section {
	const char *name;
	const struct setting *settings;
	size_t count;
};

extern const struct settings_section settings_section_timerd, settings_section_queues;

#define SETTING_WHY_MAX 64

/* Parses a value. A word is borrowed from `text`.
 *   ret_why: after a failure, what is wrong with the text: "is not a number".
 * Return: 0, or -EINVAL. */
int setting_parse(const struct setting *setting, const char *text, struct setting_value *ret,
	char ret_why[static SETTING_WHY_MAX]);

/* The number of the first value that is set; `otherwise` if neither is. */
uint64_t setting_number(
	const struct setting_value *first, const struct setting_value *second, uint64_t otherwise);

/* The same for words. */
const char *setting_word(const struct setting_value *first, const struct setting_value *second,
	const char *otherwise);
