/* SPDX-License-Identifier: MIT */
/*
 * timerd: parses the arguments, opens the socket and runs the loop.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "descriptors.h"
#include "log.h"
#include "loop.h"
#include "options.h"
#include "resources.h"

static void print_help(void)
{
	printf("timerd [OPTION...]\n"
	       "\n"
	       "The timer service: wakes processes at the times they ask for. See timerd(8).\n"
	       "\n"
	       "  --config PATH               read PATH instead of the usual file\n"
	       "  --socket PATH               listen at PATH, if systemd passes no socket\n"
	       "  --user                      a user's instance: $XDG_RUNTIME_DIR/%s\n"
	       "  --max-timers N              timers of all users (%d)\n"
	       "  --max-timers-per-user N     timers of one user (%d)\n"
	       "  --max-clients N             clients of all users (%d)\n"
	       "  --max-clients-per-user N    clients of one user (%d)\n"
	       "  --log-level LEVEL           emerg … debug, or 0 … 7 (info)\n"
	       "  --check                     check the options and the file, and exit\n"
	       "  --version                   print the version\n"
	       "  -h, --help                  print this help\n"
	       "\n"
	       "Limits of one user do not bind root. The default socket is %s\n"
	       "timerd.conf(5) can set most of these; an option overrides it.\n",
		PROTO_SOCKET_USER, LIMITS_TIMERS, LIMITS_TIMERS_PER_USER, LIMITS_CLIENTS,
		LIMITS_CLIENTS_PER_USER, PROTO_SOCKET_SYSTEM);
}

static uint64_t choose_instance(const struct now *now)
{
	uint64_t instance;

	if (getrandom(&instance, sizeof(instance), GRND_NONBLOCK) != sizeof(instance))
		instance = now->at[PROTO_CLOCK_BOOTTIME] << 20 ^ (uint64_t)getpid();
	return instance;
}

/* Makes the socket, as systemd has passed none. ret_status: set to EXIT_USAGE after a bad option.
 * Return: 0, or a negative errno after a line that says why. */
static int make_socket(struct loop *loop, struct setup *setup, int *ret_status)
{
	bool user = setup->options->user;
	const char *path;
	int r = setup_socket(setup, &path);

	if (r < 0) {
		*ret_status = EXIT_USAGE;
		return r;
	}
	return listener_open(
		&loop->listener, setup->log, path, user ? 0600 : 0666, user ? 0700 : 0755);
}

/* Serves with these settings. Return: the exit status. */
static int serve(struct setup *setup, const struct reload *reload)
{
	struct now now = alarm_now();
	const struct worker_config config = {
		.limits = setup->limits,
		/* The layout of the arena does not depend on the options, so that the next process
		 * can adopt it with other options. */
		.room_timers = ARENA_TIMERS_MAX,
		.room_clients = ARENA_CLIENTS_MAX,
		.pid = (uint32_t)getpid(),
		.instance = choose_instance(&now),
		.version = TIMERD_VERSION,
		.warnings = setup->warnings,
	};
	int r, status = EXIT_FAILURE;
	static struct loop loop;

	r = loop_init(&loop, setup->log, &config, setup, reload);
	if (r == 0 && !loop.listener.count)
		r = make_socket(&loop, setup, &status);
	if (r >= 0) {
		log_print(setup->log, LOG_INFO, "timerd %s serves %s", TIMERD_VERSION,
			loop.listener.path ? loop.listener.path : "the socket from systemd");
		r = loop_run(&loop);
	}
	loop_close(&loop);
	return r < 0 ? status : EXIT_SUCCESS;
}

static int run(const struct options *o)
{
	struct config *config;
	struct reload reload;
	struct setup setup;
	struct log log;
	int status;

	descriptors_open_standard();
	log_init(&log, LOG_INFO);
	if (reload_open(&reload, &log, o->config, o->user, &config) < 0) {
		reload_close(&reload);
		return EXIT_FAILURE;
	}
	setup_start(&setup, &log, o, config);
	status = serve(&setup, &reload);
	setup_close(&setup);
	return status;
}

/* Prints what is wrong with the socket's path. Return: 0, -EINVAL. */
static int check_socket(struct setup *setup)
{
	const char *path;

	if (setup_socket(setup, &path) < 0)
		return -EINVAL;
	if (*path && strlen(path) < sizeof(setup->path))
		return 0;
	fprintf(stderr, "timerd: --socket: '%s' is empty or longer than %zu bytes\n", path,
		sizeof(setup->path) - 1);
	return -EINVAL;
}

/* --check: checks the options and the file without a start. Return: the exit status. */
static int check(const struct options *o)
{
	struct config_source source = {0};
	struct config *config;
	struct setup setup;
	struct log log;
	int status = EXIT_SUCCESS;

	log_init(&log, LOG_INFO);
	if (config_find(o->config, o->user, &source) < 0 ||
		config_load(&config, &source, CONFIG_LOOK_UP_NAMES) < 0) {
		fprintf(stderr, "timerd: out of memory\n");
		return EXIT_FAILURE;
	}
	setup_start(&setup, &log, o, config);
	if (config->complaints)
		status = EXIT_FAILURE;
	if (check_socket(&setup) < 0)
		status = EXIT_USAGE;
	setup_close(&setup);
	free(source.path);
	return status;
}

static const struct options_program program = {
	.name = "timerd",
	.settings = settings_timerd,
	.count = TIMERD_SETTINGS,
	.print_help = print_help,
};

int main(int argc, char **argv)
{
	struct options o;
	int r = options_parse(&o, &program, argc, argv);

	if (r < 0)
		return EXIT_USAGE;
	if (r > 0)
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	return o.check ? check(&o) : run(&o);
}
