/* SPDX-License-Identifier: MIT */
/*
 * The command line.
 *
 * On a terminal a bad option ends timerd, with a line on standard error. A service must not end for
 * a bad option: systemd would restart it for ever, and its sessions would be lost for a typing
 * error. So in a service (NOTIFY_SOCKET is set) the default replaces a bad option. The complaint is
 * kept for the log and the status. --check rejects a bad option everywhere.
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
	bool service;		 /* a service manager has started timerd */
	unsigned int complaints; /* of a service; `complaint` holds the first ones */
	char complaint[OPTIONS_COMPLAINTS_MAX][OPTIONS_COMPLAINT_MAX];
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* see options_socket() */
};

/* Return: 0; 1: timerd exits successfully, as it has printed the help or the version; -EINVAL
 * after a line on standard error. */
int options_parse(struct options *o, int argc, char **argv);

/*
 * The path of the socket, if systemd passes none.
 *   ret: borrowed, valid as long as o.
 * Return: 0, or -EINVAL after a complaint on standard error.
 */
int options_socket(struct options *o, const char **ret);
