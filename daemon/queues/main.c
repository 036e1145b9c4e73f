/* SPDX-License-Identifier: MIT */
/*
 * timerqd: its arguments, its store, and from them the server.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "server.h"
#include "store_module.h"
#include "store_sqlite.h"
#include "when.h"

enum {
	EXIT_USAGE = 2,
};

#define STATE_SYSTEM "/var/lib/timerd"

/* How long a wall clock that is behind is waited for, microseconds. */
#define PATIENCE_US UINT64_C(600000000)

/* Descriptors beside the clients': standard ones, epoll, signals, the store's files, timerd. */
#define OTHER_DESCRIPTORS 64

struct options {
	struct server_options server;
	const char *state;
	const char *store; /* a URI; NULL: SQLite */
	bool migrate, print_schema;
	int log_level;
	char socket[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char timerd[sizeof(((struct sockaddr_un *)0)->sun_path)];
	char folder[4096];
};

static void print_help(void)
{
	printf("timerqd [OPTION...]\n"
	       "\n"
	       "Keeps timers over reboots, in queues: a client of timerd. See timerqd(8).\n"
	       "\n"
	       "  --socket PATH               listen there, when not activated by systemd\n"
	       "  --state DIR                 keep the timers in DIR/queues.db\n"
	       "  --store postgresql://…      keep the timers in a database that hosts share\n"
	       "    --migrate                 make its schema or bring it up to date, and exit\n"
	       "    --print-schema            print the schema, and exit\n"
	       "  --timerd PATH               the socket of timerd\n"
	       "  --user                      the user's instance\n"
	       "  --max-timers-per-user N     timers of one user (%d)\n"
	       "  --max-bytes-per-user SIZE   keys and payloads of one user (%lluM)\n"
	       "  --max-clients N             clients in all (%d)\n"
	       "  --max-clients-per-user N    clients of one user (%d)\n"
	       "  --clock-patience SPAN       how long a wall clock that is behind is waited for "
	       "(10min)\n"
	       "  --log-level LEVEL           emerg … debug, or 0 … 7 (info)\n"
	       "  --version                   print the version\n"
	       "  -h, --help                  print this\n"
	       "\n"
	       "Without these: %s, state in %s; with --user\n"
	       "$XDG_RUNTIME_DIR/%s, state in $XDG_STATE_HOME/timerd.\n",
		BROKER_TIMERS_PER_USER, (unsigned long long)(BROKER_BYTES_PER_USER >> 20),
		BROKER_CLIENTS, BROKER_CLIENTS_PER_USER, PROTO_QUEUE_SOCKET_SYSTEM, STATE_SYSTEM,
		PROTO_QUEUE_SOCKET_USER);
}

static int complain(const char *name, const char *text, const char *what)
{
	fprintf(stderr, "timerqd: --%s: '%s' %s\n", name, text, what);
	return -EINVAL;
}

static int parse_number(const char *name, const char *text, uint64_t most, uint64_t *ret)
{
	unsigned long long value;
	char *end;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return complain(name, text, "is not a number");
	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || value < 1 || value > most) {
		fprintf(stderr, "timerqd: --%s: '%s' is not between 1 and %llu\n", name, text,
			(unsigned long long)most);
		return -ERANGE;
	}
	*ret = value;
	return 0;
}

static int parse_count(const char *name, const char *text, uint32_t most, uint32_t *ret)
{
	uint64_t value;
	int r = parse_number(name, text, most, &value);

	if (r == 0)
		*ret = (uint32_t)value;
	return r;
}

/* Bytes; with K, M, G or T so many times 1024. */
static int parse_size(const char *name, const char *text, uint64_t *ret)
{
	static const char units[] = "KMGT";
	size_t length = strlen(text);
	const char *unit = length ? strchr(units, text[length - 1]) : NULL;
	char digits[32];
	unsigned int shift = unit ? 10 * (unsigned int)(unit - units + 1) : 0;
	int r;

	if (length >= sizeof(digits))
		return complain(name, text, "is not a size");
	memcpy(digits, text, length + 1);
	if (unit)
		digits[length - 1] = 0;
	r = parse_number(name, digits, UINT64_MAX >> (shift + 1), ret);
	if (r == 0)
		*ret <<= shift;
	return r;
}

static int parse_patience(const char *name, const char *text, uint64_t *ret)
{
	uint64_t span;

	if (when_parse_span(text, &span, NULL) < 0)
		return complain(name, text, "is not a span, such as 10min");
	*ret = span > INT64_MAX ? INT64_MAX : span;
	return 0;
}

enum option_number {
	OPTION_SOCKET = 1,
	OPTION_STATE,
	OPTION_STORE,
	OPTION_MIGRATE,
	OPTION_PRINT_SCHEMA,
	OPTION_TIMERD,
	OPTION_USER,
	OPTION_MAX_TIMERS_PER_USER,
	OPTION_MAX_BYTES_PER_USER,
	OPTION_MAX_CLIENTS,
	OPTION_MAX_CLIENTS_PER_USER,
	OPTION_CLOCK_PATIENCE,
	OPTION_LOG_LEVEL,
	OPTION_VERSION,
	OPTION_HELP = 'h',
};

static const struct option long_options[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"state", required_argument, NULL, OPTION_STATE},
	{"store", required_argument, NULL, OPTION_STORE},
	{"migrate", no_argument, NULL, OPTION_MIGRATE},
	{"print-schema", no_argument, NULL, OPTION_PRINT_SCHEMA},
	{"timerd", required_argument, NULL, OPTION_TIMERD},
	{"user", no_argument, NULL, OPTION_USER},
	{"max-timers-per-user", required_argument, NULL, OPTION_MAX_TIMERS_PER_USER},
	{"max-bytes-per-user", required_argument, NULL, OPTION_MAX_BYTES_PER_USER},
	{"max-clients", required_argument, NULL, OPTION_MAX_CLIENTS},
	{"max-clients-per-user", required_argument, NULL, OPTION_MAX_CLIENTS_PER_USER},
	{"clock-patience", required_argument, NULL, OPTION_CLOCK_PATIENCE},
	{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"help", no_argument, NULL, OPTION_HELP},
	{0},
};

/* Return: 0 to go on, 1 to exit in peace, a negative errno after a line on standard error. */
static int parse_option(struct options *o, int option, const char *name)
{
	struct broker_limits *limits = &o->server.limits;

	switch (option) {
	case OPTION_SOCKET:
		o->server.socket = optarg;
		return 0;
	case OPTION_STATE:
		o->state = optarg;
		return 0;
	case OPTION_STORE:
		o->store = optarg;
		return 0;
	case OPTION_MIGRATE:
		o->migrate = true;
		return 0;
	case OPTION_PRINT_SCHEMA:
		o->print_schema = true;
		return 0;
	case OPTION_TIMERD:
		o->server.timerd = optarg;
		return 0;
	case OPTION_USER:
		o->server.user = true;
		return 0;
	case OPTION_MAX_TIMERS_PER_USER:
		return parse_count(name, optarg, UINT32_MAX, &limits->max_timers_per_user);
	case OPTION_MAX_BYTES_PER_USER:
		return parse_size(name, optarg, &limits->max_bytes_per_user);
	case OPTION_MAX_CLIENTS:
		return parse_count(name, optarg, 65535, &limits->max_clients);
	case OPTION_MAX_CLIENTS_PER_USER:
		return parse_count(name, optarg, UINT32_MAX, &limits->max_clients_per_user);
	case OPTION_CLOCK_PATIENCE:
		return parse_patience(name, optarg, &o->server.clock_patience);
	case OPTION_LOG_LEVEL:
		o->log_level = log_parse_level(optarg);
		return o->log_level < 0 ? complain(name, optarg, "is not a level") : 0;
	case OPTION_VERSION:
		printf("timerqd %s\n", TIMERD_VERSION);
		return 1;
	case OPTION_HELP:
		print_help();
		return 1;
	default: /* getopt has named the offending word */
		return -EINVAL;
	}
}

static int parse_options(struct options *o, int argc, char **argv)
{
	int option, index = 0, r;

	while ((option = getopt_long(argc, argv, "h", long_options, &index)) >= 0) {
		r = parse_option(o, option, long_options[index].name);
		if (r)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "timerqd: '%s': timerqd takes options only\n", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

static int join(char *ret, size_t size, const char *folder, const char *name)
{
	int n = snprintf(ret, size, "%s/%s", folder, name);

	if (n >= 0 && (size_t)n < size)
		return 0;
	fprintf(stderr, "timerqd: '%s/%s' is too long\n", folder, name);
	return -EINVAL;
}

/* The user's folder for state: systemd's, XDG_STATE_HOME, or ~/.local/state. */
static int choose_user_state(struct options *o)
{
	const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");

	if (state && *state == '/')
		return join(o->folder, sizeof(o->folder), state, "timerd");
	if (home && *home == '/')
		return join(o->folder, sizeof(o->folder), home, ".local/state/timerd");
	fprintf(stderr, "timerqd: --user: neither XDG_STATE_HOME nor HOME is set; use --state\n");
	return -EINVAL;
}

/* The user's instance is a client of the user's timerd. */
static int choose_timerd(struct options *o, const char *runtime)
{
	const char *named = getenv("TIMERD_SOCKET");
	int r;

	if (!o->server.user || o->server.timerd || (named && *named) || !runtime)
		return 0;
	r = join(o->timerd, sizeof(o->timerd), runtime, PROTO_SOCKET_USER);
	o->server.timerd = o->timerd;
	return r;
}

static int choose_paths(struct options *o)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int r = choose_timerd(o, runtime);

	if (r < 0)
		return r;
	if (!o->state && o->server.user) {
		r = choose_user_state(o);
		o->state = o->folder;
	} else if (!o->state) {
		o->state = STATE_SYSTEM;
	}
	if (r < 0 || o->server.socket)
		return r;
	o->server.socket = PROTO_QUEUE_SOCKET_SYSTEM;
	if (!o->server.user)
		return 0;
	if (!runtime || *runtime != '/') {
		fprintf(stderr, "timerqd: --user: XDG_RUNTIME_DIR is not set to a path\n");
		return -EINVAL;
	}
	r = join(o->socket, sizeof(o->socket), runtime, PROTO_QUEUE_SOCKET_USER);
	o->server.socket = o->socket;
	return r;
}

/* Standard input, output and error are open, so that no other descriptor gets their numbers. */
static void open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Makes the folder and those above it that are missing, for this user alone. */
static void make_folder(const char *path)
{
	char part[4096];

	for (const char *at = path; (at = strchr(at + 1, '/'));) {
		size_t length = (size_t)(at - path);

		if (length >= sizeof(part))
			return;
		memcpy(part, path, length);
		part[length] = 0;
		mkdir(part, 0700);
	}
	mkdir(path, 0700);
}

/* The module for a URI; NULL after a line. */
static const struct store_module *load_module(const char *uri)
{
	static const char *const schemes[] = {"postgresql://", "postgres://"};

	for (size_t i = 0; i < sizeof(schemes) / sizeof(schemes[0]); i++)
		if (!strncmp(uri, schemes[i], strlen(schemes[i])))
			return store_module_load("postgresql");
	fprintf(stderr, "timerqd: --store: '%s' is not a URI that begins with postgresql://\n",
		uri);
	return NULL;
}

static int open_database(struct log *log, const char *uri, struct store **ret)
{
	const struct store_module *module = load_module(uri);
	char *why = NULL;
	int r = module ? module->open(ret, uri, &why) : -ENOENT;

	if (module && r < 0)
		log_print(log, LOG_ERR, "--store: %s", why ? why : strerror(-r));
	else if (why)
		log_print(log, LOG_WARNING, "the database is away, and is looked for: %s", why);
	free(why);
	return r;
}

/* --migrate and --print-schema. Return: an exit status. */
static int manage_schema(const struct options *o)
{
	const struct store_module *module;
	int r;

	if (!o->store && o->migrate) {
		fprintf(stderr, "timerqd: --migrate: it needs --store URI\n");
		return EXIT_USAGE;
	}
	module = o->store ? load_module(o->store) : store_module_load("postgresql");
	if (!module)
		return EXIT_FAILURE;
	r = o->migrate ? module->migrate(o->store) : module->print_schema();
	return r < 0 || fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int open_store(
	struct log *log, const char *folder, struct store **ret, struct clocks_stored *ret_clocks)
{
	char path[4200];
	char *why = NULL;
	int r;

	make_folder(folder);
	snprintf(path, sizeof(path), "%s/queues.db", folder);
	r = store_sqlite_check_folder(folder, &why);
	if (r == 0)
		r = store_sqlite_open(ret, path, NULL, NULL, ret_clocks, &why);
	if (r < 0)
		log_print(log, LOG_ERR, "%s", why ? why : strerror(-r));
	free(why);
	return r;
}

static int run(struct options *o)
{
	static struct server server;
	struct clocks_stored clocks = {0};
	struct store *store;
	struct log log;
	int r;

	open_standard();
	umask(077); /* what is stored is nobody else's to read */
	log_init(&log, o->log_level);
	log.name = "timerqd";
	raise_descriptors();
	r = o->store ? open_database(&log, o->store, &store)
		     : open_store(&log, o->state, &store, &clocks);
	if (r < 0)
		return EXIT_FAILURE;
	r = server_init(&server, &log, &o->server, store, &clocks);
	if (r >= 0) {
		log_print(&log, LOG_INFO, "timerqd %s serves %s", TIMERD_VERSION,
			server.file.folder >= 0 ? o->server.socket : "the socket from systemd");
		r = server_run(&server);
	}
	server_close(&server);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	static struct options o = {
		.log_level = LOG_INFO,
		.server =
			{
				.clock_patience = PATIENCE_US,
				.limits =
					{
						.max_timers_per_user = BROKER_TIMERS_PER_USER,
						.max_bytes_per_user = BROKER_BYTES_PER_USER,
						.max_clients = BROKER_CLIENTS,
						.max_clients_per_user = BROKER_CLIENTS_PER_USER,
					},
			},
	};
	int r = parse_options(&o, argc, argv);

	if (r == 0 && (o.migrate || o.print_schema))
		return manage_schema(&o);
	if (r == 0)
		r = choose_paths(&o);
	if (r < 0)
		return EXIT_USAGE;
	if (r > 0)
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	return run(&o);
}
