/* SPDX-License-Identifier: MIT */
#include "setup.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static_assert(SETTINGS_MAX_TIMERS == ARENA_TIMERS_MAX - ARENA_CLIENTS_MAX - 2,
	"the arena also holds a timer for each client without a hello, and the internal timers");
static_assert(SETTINGS_MAX_CLIENTS == ARENA_CLIENTS_MAX, "each client has a session in the arena");

static uint32_t limit(const struct setup *setup, enum settings_timerd which, uint32_t otherwise)
{
	return (uint32_t)setting_number(
		&setup->options->given[which], &setup->config->timerd[which], otherwise);
}

/* Writes what systemctl status shows after the counts. */
static void note(struct setup *setup, const struct config *config, unsigned int lowered)
{
	const struct options *o = setup->options;
	const size_t size = sizeof(setup->notice);

	if (o->complaints)
		snprintf(setup->notice, size, "; bad option, its default holds: %s",
			o->complaint[0]);
	else if (config->complaints)
		snprintf(setup->notice, size, "; ignored: %.*s", OPTIONS_COMPLAINT_MAX,
			config->complaint[0] ?: "out of memory");
	else
		snprintf(setup->notice, size, "%s",
			lowered ? "; a limit is lowered: see the log" : "");
}

/* starts: this is the start, and not a reload. */
static void apply(struct setup *setup, bool starts)
{
	unsigned int lowered;

	/* --check prints all complaints. */
	if (!setup->options->check)
		setup->log->level = (int)limit(setup, TIMERD_LOG_LEVEL, LOG_INFO);
	setup->limits = (struct limits){
		.max_timers = limit(setup, TIMERD_MAX_TIMERS, LIMITS_TIMERS),
		.max_timers_per_user = limit(
			setup, TIMERD_MAX_TIMERS_PER_USER, LIMITS_TIMERS_PER_USER),
		.max_clients = limit(setup, TIMERD_MAX_CLIENTS, LIMITS_CLIENTS),
		.max_clients_per_user = limit(
			setup, TIMERD_MAX_CLIENTS_PER_USER, LIMITS_CLIENTS_PER_USER),
	};
	if (starts)
		options_log(setup->options, setup->log);
	setup->warnings = setup->options->complaints + config_log(setup->config, setup->log);
	lowered = resources_fit(setup->log, &setup->limits);
	setup->warnings += lowered;
	note(setup, setup->config, lowered);
}

void setup_start(
	struct setup *setup, struct log *log, const struct options *options, struct config *config)
{
	*setup = (struct setup){.log = log, .options = options, .config = config};
	apply(setup, true);
}

struct config *setup_reload(struct setup *setup, struct config *config)
{
	struct config *former = setup->config;

	if (config->unread) {
		setup->warnings = setup->options->complaints + config_log(config, setup->log);
		note(setup, config, 0);
		log_print(setup->log, LOG_ERR, "not reloaded: the settings stay as they were");
		return config;
	}
	setup->config = config;
	apply(setup, false);
	config_log_at_start(setup->log, &settings_section_timerd, setup->options->given,
		former->timerd, config->timerd);
	return former;
}

int setup_socket(struct setup *setup, const char **ret)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	const char *path = setting_word(
		&setup->options->given[TIMERD_SOCKET], &setup->config->timerd[TIMERD_SOCKET], NULL);
	int n;

	*ret = path ? path : PROTO_SOCKET_SYSTEM;
	if (path || !setup->options->user)
		return 0;
	if (!runtime || *runtime != '/') {
		fprintf(stderr, "timerd: --user: XDG_RUNTIME_DIR is not set to a path\n");
		return -EINVAL;
	}
	n = snprintf(setup->path, sizeof(setup->path), "%s/%s", runtime, PROTO_SOCKET_USER);
	if (n < 0 || (size_t)n >= sizeof(setup->path)) {
		fprintf(stderr, "timerd: --user: XDG_RUNTIME_DIR '%s' is too long\n", runtime);
		return -EINVAL;
	}
	*ret = setup->path;
	return 0;
}

void setup_close(struct setup *setup)
{
	setup->config = config_free(setup->config);
}
