/* SPDX-License-Identifier: MIT */
/* What connect.c, for timerd, shares with queue.c, for timerqd. */
#pragma once

#include "ctl.h"

/* The names of a daemon's socket. */
struct socket_names {
	const char *daemon;
	const char *(*text)(int error); /* the sentence for an error */
	const char *option;		/* the option that sets the path */
	const char *variable;		/* of the environment */
	const char *system;		/* the path of the system's instance */
	const char *user;		/* below $XDG_RUNTIME_DIR */
};

/*
 * The path of the socket of the instance that the user chose. The verb passes it to the library, so
 * that an error can name it.
 *   given: the argument of the option, or NULL
 *   ret: the caller frees it
 * Returns CTL_DONE, or prints an error and returns another status.
 */
int connect_path(
	const struct ctl *ctl, const struct socket_names *names, const char *given, char **ret);

/* Prints why no handle can be opened at that path, and what to do. Returns the exit status. */
int connect_failed(
	const struct ctl *ctl, const struct socket_names *names, const char *path, int error);
