/* SPDX-License-Identifier: MIT */
/*
 * The settings in force: from the command line, else from the file, else the defaults; and lowered
 * to what the system allows.
 */
#pragma once

#include <sys/un.h>

#include "config.h"
#include "limits.h"
#include "log.h"
#include "options.h"
#include "resources.h"

struct setup {
	struct log *log;
	const struct options *options;
	struct config *config;
	struct limits limits;
	uint32_t warnings;			 /* settings that could not be applied */
	char notice[OPTIONS_COMPLAINT_MAX + 64]; /* follows the counts in the status */
	char path[sizeof(((struct sockaddr_un *)0)->sun_path)]; /* see setup_socket() */
};

/* Puts the settings of a start in force, and logs all complaints.
 *   config: taken over; setup_close() frees it. */
void setup_start(
	struct setup *setup, struct log *log, const struct options *options, struct config *config);

/*
 * Puts the settings of a reload in force. Logs all complaints, and the name of each changed setting
 * that only a restart applies. If a file could not be read, everything stays as it is.
 *   config: taken over.
 * Return: the former config, which the caller frees when nothing uses it any more; `config` if
 * everything stays as it is.
 */
struct config *setup_reload(struct setup *setup, struct config *config);

/*
 * The path of the socket, if systemd passes none.
 *   ret: borrowed, valid as long as the config in force.
 * Return: 0, or -EINVAL after a complaint on standard error.
 */
int setup_socket(struct setup *setup, const char **ret);

void setup_close(struct setup *setup);
