/* SPDX-License-Identifier: MIT */
/*
 * timerqd: reads its arguments, opens its store, and runs the server.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../descriptors.h"
#include "../options.h"
#include "../reload.h"
#include "queue_setup.h"
#include "server.h"
#include "store_module.h"
#include "store_sqlite.h"
#include "store_sqlite_folder.h"

static void print_help(void)
{
	printf("timerqd [OPTION...]\n"
	       "\n"
	       "Keeps timers on disk, in queues, and delivers their wakes. See timerqd(8).\n"
	       "\n"
	       "  --config PATH               read PATH instead of the usual file\n"
	       "  --socket PATH               listen at PATH, if systemd passes no socket\n"
	       "  --state DIR                 keep the timers in DIR/queues.db\n"
	       "  --store postgresql://…      keep the timers in a database that hosts share\n"
	       "    --migrate                 create or update its schema, and exit\n"
	       "    --print-schema            print the schema, and exit\n"
	       "  --timerd PATH               the socket of timerd\n"
	       "  --user                      a user's instance\n"
	       "  --max-timers-per-user N     timers of one user (%d)\n"
	       "  --max-bytes-per-user SIZE   keys and payloads of one user (%lluM)\n"
	       "  --max-clients N             clients of all users (%d)\n"
	       "  --max-clients-per-user N    clients of one user (%d)\n"
	       "  --clock-patience SPAN       how long to wait for a correct wall clock (10min)\n"
	       "  --log-level LEVEL           emerg … debug, or 0 … 7 (info)\n"
	       "  --check                     check the options and the file, and exit\n"
	       "  --version                   print the version\n"
	       "  -h, --help                  print this help\n"
	       "\n"
	       "Defaults: socket %s, state in %s; with --user\n"
	       "$XDG_RUNTIME_DIR/%s, state in $XDG_STATE_HOME/timerd.\n"
	       "timerd.conf(5) can set most of these; an option overrides it.\n",
		BROKER_TIMERS_PER_USER, (unsigned long long)(BROKER_BYTES_PER_USER >> 20),
		BROKER_CLIENTS, BROKER_CLIENTS_PER_USER, PROTO_QUEUE_SOCKET_SYSTEM,
		QUEUE_SETUP_STATE, PROTO_QUEUE_SOCKET_USER);
}

/* Makes the folder, and missing folders above it, accessible to this user only. Return: 0, or the
 * negative errno of the first folder that is missing. */
static int make_folder(const char *path)
{
	char part[4096];
	int error = 0;

	for (const char *at = path; (at = strchr(at + 1, '/'));) {
		size_t length = (size_t)(at - path);

		if (length >= sizeof(part))
			return -ENAMETOOLONG;
		memcpy(part, path, length);
		part[length] = 0;
		if (mkdir(part, 0700) < 0 && errno != EEXIST && error == 0)
			error = -errno;
	}
	if (mkdir(path, 0700) == 0 || errno == EEXIST)
		return 0;
	return error ? error : -errno;
}

static int open_database(
	struct log *log, const char *module_name, const char *uri, struct store **ret)
{
	const struct store_module *module = store_module_load(module_name);
	char *why = NULL;
	int r = module ? module->open(ret, uri, &why) : -ENOENT;

	if (module && r < 0)
		log_print(log, LOG_ERR, "--store: %s", why ? why : strerror(-r));
	else if (why)
		log_print(log, LOG_WARNING, "the database is away; timerqd tries again: %s", why);
	free(why);
	return r;
}

static int open_file(
	struct log *log, const char *folder, struct store **ret, struct clocks_stored *ret_clocks)
{
	char *path = NULL, *why = NULL;
	int r = make_folder(folder);

	if (r < 0) {
		log_print(log, LOG_ERR, "cannot make %s: %s", folder, strerror(-r));
		return r;
	}
	r = store_sqlite_find(folder, &path, &why);
	if (r == 0)
		r = store_sqlite_open(ret, path, NULL, NULL, ret_clocks, &why);
	if (r < 0)
		log_print(log, LOG_ERR, "%s", why ? why : strerror(-r));
	free(path);
	free(why);
	return r;
}

/* It never uses another store than the one in the settings. */
static int open_store(
	const struct queue_setup *setup, struct store **ret, struct clocks_stored *ret_clocks)
{
	const char *module;
	int r = queue_setup_module(setup, &module);

	if (r < 0)
		return r;
	return module ? open_database(setup->log, module, setup->store, ret)
		      : open_file(setup->log, setup->state, ret, ret_clocks);
}

/* Serves with these settings. Return: the exit status. */
static int serve(struct queue_setup *setup, struct reload *reload)
{
	static struct server server;
	struct clocks_stored clocks = {0};
	struct store *store;
	int r = open_store(setup, &store, &clocks);

	if (r < 0)
		return EXIT_FAILURE;
	r = server_init(&server, setup, reload, store, &clocks);
	if (r >= 0) {
		log_print(setup->log, LOG_INFO, "timerqd %s serves %s", TIMERD_VERSION,
			server.file.folder >= 0 ? setup->socket : "the socket from systemd");
		r = server_run(&server);
	}
	server_close(&server);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int run(const struct options *o)
{
	static struct queue_setup setup;
	struct config *config;
	struct reload reload;
	struct log log;
	int status;

	descriptors_open_standard();
	umask(077); /* nobody else may read what is stored */
	log_init(&log, LOG_INFO);
	log.name = "timerqd";
	if (reload_open(&reload, &log, o->config, o->user, &config) < 0) {
		reload_close(&reload);
		return EXIT_FAILURE;
	}
	queue_setup_start(&setup, &log, o, config);
	status = queue_setup_paths(&setup) < 0 ? EXIT_USAGE : serve(&setup, &reload);
	reload_close(&reload);
	queue_setup_close(&setup);
	return status;
}

/* Reads the settings for a run that does not serve. Return: 0: the caller calls
 * queue_setup_close(); -ENOMEM after a line on standard error. */
static int read_settings(struct queue_setup *setup, struct log *log, const struct options *o,
	enum config_names names)
{
	struct config_source source = {0};
	struct config *config;
	int r = config_find(o->config, o->user, &source);

	log_init(log, LOG_INFO);
	log->name = "timerqd";
	if (r == 0)
		r = config_load(&config, &source, names);
	if (r == 0)
		queue_setup_start(setup, log, o, config);
	else
		fprintf(stderr, "timerqd: out of memory\n");
	free(source.path);
	return r;
}

/* --check: checks the options and the file without a start. Return: the exit status. */
static int check(const struct options *o)
{
	static struct queue_setup setup;
	const char *module;
	struct log log;
	int status = EXIT_SUCCESS;

	if (read_settings(&setup, &log, o, CONFIG_LOOK_UP_NAMES) < 0)
		return EXIT_FAILURE;
	if (setup.config->complaints)
		status = EXIT_FAILURE;
	if (queue_setup_paths(&setup) < 0 || queue_setup_module(&setup, &module) < 0)
		status = EXIT_USAGE;
	queue_setup_close(&setup);
	return status;
}

/* --migrate and --print-schema. Return: the exit status. */
static int manage_schema(const struct options *o)
{
	static struct queue_setup setup;
	const struct store_module *module = NULL;
	const char *name;
	struct log log;
	int status = EXIT_FAILURE;

	if (read_settings(&setup, &log, o, CONFIG_SKIP_NAMES) < 0)
		return EXIT_FAILURE;
	if (!setup.store && o->migrate) {
		fprintf(stderr, "timerqd: --migrate: name a store with --store or Store=\n");
		status = EXIT_USAGE;
	} else if (queue_setup_module(&setup, &name) == 0) {
		module = store_module_load(name ? name : "postgresql");
	}
	if (module) {
		int r = o->migrate ? module->migrate(setup.store) : module->print_schema();

		status = r < 0 || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	queue_setup_close(&setup);
	return status;
}

static const struct options_program program = {
	.name = "timerqd",
	.settings = settings_queues,
	.count = QUEUES_SETTINGS,
	.has_schema = true,
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
	if (o.check)
		return check(&o);
	return o.migrate || o.print_schema ? manage_schema(&o) : run(&o);
}
