/* SPDX-License-Identifier: MIT */
#include "queue_setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../descriptors.h"

/* Descriptors that belong to no client: standard streams, epoll, timers, listeners, the store or
 * the connections to its database, the connection to timerd, and some spare ones. */
#define OTHER_DESCRIPTORS 48

/* How long to wait for a wall clock that is behind, in microseconds. */
#define PATIENCE_US UINT64_C(600000000)

static uint64_t number(
	const struct queue_setup *setup, enum settings_queues which, uint64_t otherwise)
{
	return setting_number(
		&setup->options->given[which], &setup->config->queues[which], otherwise);
}

static const char *word(
	const struct queue_setup *setup, enum settings_queues which, const char *otherwise)
{
	return setting_word(
		&setup->options->given[which], &setup->config->queues[which], otherwise);
}

/* Applies what a running timerqd can change. */
static void apply(struct queue_setup *setup)
{
	/* --check prints all complaints. */
	if (!setup->options->check)
		setup->log->level = (int)number(setup, QUEUES_LOG_LEVEL, LOG_INFO);
	setup->limits.max_timers_per_user = (uint32_t)number(
		setup, QUEUES_MAX_TIMERS_PER_USER, BROKER_TIMERS_PER_USER);
	setup->limits.max_bytes_per_user = number(
		setup, QUEUES_MAX_BYTES_PER_USER, BROKER_BYTES_PER_USER);
	setup->limits.max_clients_per_user = (uint32_t)number(
		setup, QUEUES_MAX_CLIENTS_PER_USER, BROKER_CLIENTS_PER_USER);
}

void queue_setup_start(struct queue_setup *setup, struct log *log, const struct options *options,
	struct config *config)
{
	*setup = (struct queue_setup){.log = log, .options = options, .config = config};
	setup->limits.max_clients = (uint32_t)number(setup, QUEUES_MAX_CLIENTS, BROKER_CLIENTS);
	setup->store = word(setup, QUEUES_STORE, NULL);
	setup->clock_patience = number(setup, QUEUES_CLOCK_PATIENCE, PATIENCE_US);
	apply(setup);
	options_log(options, log);
	config_log(config, log);
	descriptors_fit(log, OTHER_DESCRIPTORS, &setup->limits.max_clients);
}

void queue_setup_reload(struct queue_setup *setup, struct config *config)
{
	struct config *former = setup->config;

	config_log(config, setup->log);
	if (config->unread) {
		log_print(setup->log, LOG_ERR, "not reloaded: the settings stay as they were");
		config_free(config);
		return;
	}
	config_log_at_start(setup->log, &settings_section_queues, setup->options->given,
		former->queues, config->queues);
	setup->config = config;
	apply(setup);
	config_free(former);
}

static int join(char *ret, size_t size, const char *folder, const char *name)
{
	int n = snprintf(ret, size, "%s/%s", folder, name);

	if (n >= 0 && (size_t)n < size)
		return 0;
	fprintf(stderr, "timerqd: '%s/%s' is too long\n", folder, name);
	return -EINVAL;
}

/* The user's folder for state: below XDG_STATE_HOME, or ~/.local/state. */
static int choose_user_state(struct queue_setup *setup)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	setup->state = setup->folder;
	if (state && *state == '/')
		return join(setup->folder, sizeof(setup->folder), state, "timerd");
	if (home && *home == '/')
		return join(setup->folder, sizeof(setup->folder), home, ".local/state/timerd");
	fprintf(stderr, "timerqd: --user: neither XDG_STATE_HOME nor HOME is set; use --state\n");
	return -EINVAL;
}

/* A user's instance is a client of this user's timerd. */
static int choose_timerd(struct queue_setup *setup, const char *runtime)
{
	const char *named = getenv("TIMERD_SOCKET");

	if (!setup->options->user || setup->timerd || (named && *named) || !runtime)
		return 0;
	setup->timerd = setup->timerd_path;
	return join(setup->timerd_path, sizeof(setup->timerd_path), runtime, PROTO_SOCKET_USER);
}

static int choose_socket(struct queue_setup *setup, const char *runtime)
{
	if (setup->socket)
		return 0;
	if (!setup->options->user) {
		setup->socket = PROTO_QUEUE_SOCKET_SYSTEM;
		return 0;
	}
	if (!runtime || *runtime != '/') {
		fprintf(stderr, "timerqd: --user: XDG_RUNTIME_DIR is not set to a path\n");
		return -EINVAL;
	}
	setup->socket = setup->socket_path;
	return join(
		setup->socket_path, sizeof(setup->socket_path), runtime, PROTO_QUEUE_SOCKET_USER);
}

int queue_setup_paths(struct queue_setup *setup)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int r = 0;

	setup->socket = word(setup, QUEUES_SOCKET, NULL);
	setup->state = word(setup, QUEUES_STATE, NULL);
	setup->timerd = word(setup, QUEUES_TIMERD, NULL);
	if (!setup->state && setup->options->user)
		r = choose_user_state(setup);
	else if (!setup->state)
		setup->state = QUEUE_SETUP_STATE;
	if (r == 0)
		r = choose_timerd(setup, runtime);
	if (r == 0)
		r = choose_socket(setup, runtime);
	return r;
}

int queue_setup_module(const struct queue_setup *setup, const char **ret)
{
	static const char *const schemes[] = {"postgresql://", "postgres://"};

	if (!setup->store) {
		*ret = NULL;
		return 0;
	}
	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++) {
		if (!strncmp(setup->store, schemes[i], strlen(schemes[i]))) {
			*ret = "postgresql";
			return 0;
		}
	}
	/* The log does not show what may be a password. */
	if (strchr(setup->store, '@') || strstr(setup->store, "password"))
		fputs("timerqd: --store: this is not a URI that begins with postgresql://\n",
			stderr);
	else
		fprintf(stderr,
			"timerqd: --store: '%s' is not a URI that begins with postgresql://\n",
			setup->store);
	return -EINVAL;
}

void queue_setup_close(struct queue_setup *setup)
{
	setup->config = config_free(setup->config);
}
