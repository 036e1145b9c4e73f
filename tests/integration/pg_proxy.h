/* SPDX-License-Identifier: MIT */
/* Stands between timerqd and PostgreSQL, in a process of its own, and loses answers when asked
 * to. */
#pragma once

#include <sys/types.h>

struct pg_proxy {
	pid_t pid;
	char folder[64];
	char uri[192]; /* of the database through it */
};

/* folder: where the server's socket lies. */
void pg_proxy_start(struct pg_proxy *p, const char *folder);
/* The next commit reaches the server, its answer reaches nobody, and the connection breaks then. */
void pg_proxy_swallow(struct pg_proxy *p);
void pg_proxy_stop(struct pg_proxy *p);
