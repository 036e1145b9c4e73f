/* SPDX-License-Identifier: MIT */
/*
 * What the command line says.
 *
 * On a terminal a bad option ends timerd, with a line on standard error. A service must not end for
 * it: it would be restarted for ever, and its sessions would be lost over a typing error. There
 * (NOTIFY_SOCKET is set) the default takes the option's place, and the complaint is kept, to be logged
 * and shown in the status. --check refuses a bad option everywhere.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>
#include <sys/un.h>

#include "limits.h"

#define OPTIONS_COMPLAINTS_MAX 8
#define OPTIONS_COMPLAINT_MAX  200

struct options {
	const char *socket; /* NULL: the default one */
	bool user, check;
	int log_level;
	struct limits limits;
	bool service;		 /* a service manager has started it */
	unsigned int complaints; /* of a service; the first of them are kept */
	char complaint[OPTIONS_COMPLAINTS_MAX][OPTIONS_COMPLAINT_MAX];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* see options_socket() */
};

/* Return: 0 to go on, 1 to exit in peace, -EINVAL after a line on standard error. */
int options_parse(struct options *o, int argc, char **argv);

/*
 * The path to listen at, where no socket is passed.
 *   ret: borrowed, of o's life.
 * Return: 0, or -EINVAL after a complaint on standard error.
 */
int options_socket(struct options *o, const char **ret);
