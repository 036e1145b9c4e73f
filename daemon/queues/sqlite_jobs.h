/* SPDX-License-Identifier: MIT */
/*
 * The order in which the thread of the SQLite store does its jobs. A commit and a load wait for at
 * most one page of a listing or a purge, however many pages clients ask for.
 *
 * Nothing here locks or allocates. All calls are O(1).
 */
#pragma once

#include "sqlite_reads.h"

/* Jobs, first in, first out. All zero: there is none. */
struct jobs {
	struct job *first, *last;
};

void jobs_push(struct jobs *jobs, struct job *job);

/* Return: the first job, which leaves the list, or NULL. */
struct job *jobs_pop(struct jobs *jobs);

/* Jobs that wait for the thread. All zero: there is none. */
struct jobs_waiting {
	struct jobs urgent; /* commits and loads */
	struct jobs pages;  /* listings and purges */
	bool committed;	    /* the last job was a commit */
};

bool jobs_wait(const struct jobs_waiting *w);
void jobs_add(struct jobs_waiting *w, struct job *job);

/* Return: the job whose turn it is, which waits no longer, or NULL. */
struct job *jobs_take(struct jobs_waiting *w);
