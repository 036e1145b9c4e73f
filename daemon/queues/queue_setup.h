/* SPDX-License-Identifier: MIT */
/*
 * The settings of timerqd in force: from the command line, else from the file, else the defaults.
 */
#pragma once

#include <sys/un.h>

#include "../config.h"
#include "../options.h"
#include "core/broker_types.h"

#define QUEUE_SETUP_STATE "/var/lib/timerd"

struct queue_setup {
	struct log *log;
	const struct options *options;
	struct config *config;
	const char *socket;	 /* where to listen if systemd passes no socket */
	const char *state;	 /* the folder of the store */
	const char *store;	 /* the URI of a database that replaces it; NULL: none */
	const char *timerd;	 /* timerd's socket; NULL: as libtoytimer finds it */
	uint64_t clock_patience; /* microseconds */
	struct broker_limits limits;
	char socket_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char timerd_path[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char folder[4096];
};

/* Puts the settings of a start in force, and logs all complaints.
 *   config: taken over; queue_setup_close() frees it. */
void queue_setup_start(struct queue_setup *setup, struct log *log, const struct options *options,
	struct config *config);

/* Chooses the paths that no setting names. Return: 0, or -EINVAL after a line on standard error. */
int queue_setup_paths(struct queue_setup *setup);

/* The name of the module that implements the store (store_module.h). ret: NULL: the store is a
 * file.
 * Return: 0, or -EINVAL after a line on standard error. */
int queue_setup_module(const struct queue_setup *setup, const char **ret);

/*
 * Puts the settings of a reload in force. Logs all complaints, and the name of each changed setting
 * that only a restart applies. If a file could not be read, everything stays as it is.
 *   config: taken over.
 */
void queue_setup_reload(struct queue_setup *setup, struct config *config);

/* Frees the configuration. */
void queue_setup_close(struct queue_setup *setup);
