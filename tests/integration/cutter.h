/* SPDX-License-Identifier: MIT */
/*
 * Stands between a timerqd and its PostgreSQL, in a process of its own, and cuts the two apart.
 */
#pragma once

#include <sys/types.h>

enum cutter_mode {
	CUTTER_PASS,
	CUTTER_STALL, /* passes nothing on, and keeps it */
	CUTTER_DROP,  /* throws everything away; the connections break when it ends */
	CUTTER_RESET, /* breaks all connections, and accepts none */
	CUTTER_END,
};

struct cutter {
	pid_t pid;
	char folder[64];
	char uri[192]; /* of the database through it */
	_Atomic int *mode;
};

/* folder: where the server's socket lies. Whatever fails, fails the cmocka test. */
void cutter_start(struct cutter *c, const char *folder);
void cutter_set(struct cutter *c, enum cutter_mode mode);
void cutter_stop(struct cutter *c);
