/* SPDX-License-Identifier: MIT */
/*
 * Loads the configuration in a thread of its own, because a look-up of a user may block for long
 * (see config.h). The loop watches a descriptor meanwhile.
 */
#pragma once

#include <pthread.h>

#include "config.h"
#include "log.h"

struct reload_job;

struct reload {
	int fd; /* readable when a result waits */
	struct config_source source;
	pthread_t thread;
	struct reload_job *job; /* NULL: nothing is under way */
	bool again;		/* asked for while one was under way */
};

/* Finds the files and loads them for the first time. It does not wait for long look-ups: clients of
 * an earlier process wait for their wakes. If one takes long, `ret` lacks the rules with names, a
 * load is under way, and the log says so.
 *   path, user: see config_find().
 *   ret: config_free() it.
 * Return: 0, or a negative errno, which is logged; reload_close() in either case. */
int reload_open(
	struct reload *reload, struct log *log, const char *path, bool user, struct config **ret);

/* Starts to load. While one load is under way, another follows it. Return: 0, or a negative
 * errno. */
int reload_start(struct reload *reload);

/* Takes the result.
 *   ret: config_free() it.
 * Return: 1: `ret` is set; 0: there is none yet, or another load has begun; a negative errno:
 * loading failed. */
int reload_take(struct reload *reload, struct config **ret);

/* Does not wait for a look-up that takes long: its thread ends with the process. */
void reload_close(struct reload *reload);
