/* SPDX-License-Identifier: MIT */
/*
 * The command line of timerd and of timerqd.
 *
 * On a terminal a bad option ends the daemon, with a line on standard error. A service must not end
 * for a bad option: systemd would restart it for ever, and a typing error would cost all sessions.
 * So in a service (NOTIFY_SOCKET is set) the default replaces a bad option. The complaint is kept
 * for the log and the status. --check rejects a bad option everywhere.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "log.h"
#include "settings.h"

#define OPTIONS_COMPLAINTS_MAX 8
#define OPTIONS_COMPLAINT_MAX  200

/* At least as many as each daemon has. */
#define OPTIONS_SETTINGS_MAX 16

struct options_program {
	const char *name;
	const struct setting *settings;
	size_t count;
	bool has_schema; /* it takes --migrate and --print-schema */
	void (*print_help)(void);
};

struct options {
	const struct options_program *program;
	struct setting_value given[OPTIONS_SETTINGS_MAX]; /* these take precedence over the file */
	const char *config;				  /* NULL: the usual file */
	bool user, check;
	bool migrate, print_schema;
	bool service;		 /* a service manager has started the daemon */
	unsigned int complaints; /* of a service; `complaint` holds the first ones */
	char complaint[OPTIONS_COMPLAINTS_MAX][OPTIONS_COMPLAINT_MAX];
};

/* The exit status after a bad option. */
#define EXIT_USAGE 2

/* program: borrowed. Return: 0; 1: the daemon exits successfully, as it has printed the help or the
 * version; -EINVAL after a line on standard error. */
int options_parse(struct options *o, const struct options_program *program, int argc, char **argv);

/* Logs the complaints that a service has kept. */
void options_log(const struct options *o, struct log *log);
