/* SPDX-License-Identifier: MIT */
/*
 * Stands between a timerqd and its PostgreSQL, in a process of its own, and cuts the two apart.
 */
#pragma once

#include <sys/types.h>

enum cutter_mode {
	CUTTER_PASS,
	CUTTER_STALL, /* passes nothing on; the bytes wait for CUTTER_PASS */
	CUTTER_DROP,  /* discards everything; the connections break when this mode ends */
	CUTTER_RESET, /* breaks all connections, and accepts none */
	CUTTER_END,
};

struct cutter {
	pid_t pid;
	char folder[64]; /* "": it listens on TCP */
	char uri[192];	 /* of the database, through the cutter */
	_Atomic int *mode;
};

/* folder: that of the server's socket. A failure fails the cmocka test. */
void cutter_start(struct cutter *c, const char *folder);
/* The same, reached over TCP at the name localhost. */
void cutter_start_tcp(struct cutter *c, const char *folder);
void cutter_set(struct cutter *c, enum cutter_mode mode);
void cutter_stop(struct cutter *c);
