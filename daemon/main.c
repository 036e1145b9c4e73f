/* SPDX-License-Identifier: MIT */
/*
 * timerd: its arguments, and from them the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"

enum {
	EXIT_USAGE = 2,
};

/* Descriptors beside the clients': standard ones, epoll, signals, five clocks, listeners and
 * spares. */
#define OTHER_DESCRIPTORS 32

struct options {
	const char *socket; /* NULL: the default one */
	bool user;
	int log_level;
	struct limits limits;
};

static void print_help(void)
{
	printf("timerd [OPTION...]\n"
	       "\n"
	       "Wakes processes in time: the timer service. See timerd(8).\n"
	       "\n"
	       "  --socket PATH               listen there, when not activated by systemd\n"
	       "  --user                      the user's instance: $XDG_RUNTIME_DIR/%s\n"
	       "  --max-timers N              timers in all (%d)\n"
	       "  --max-timers-per-user N     timers of one user (%d)\n"
	       "  --max-clients N             clients in all (%d)\n"
	       "  --max-clients-per-user N    clients of one user (%d)\n"
	       "  --log-level LEVEL           emerg … debug, or 0 … 7 (info)\n"
	       "  --version                   print the version\n"
	       "  --help                      print this\n"
	       "\n"
	       "Root is bound by the totals alone. Without --socket and --user: %s\n",
		PROTO_SOCKET_USER, LIMITS_TIMERS, LIMITS_TIMERS_PER_USER, LIMITS_CLIENTS,
		LIMITS_CLIENTS_PER_USER, PROTO_SOCKET_SYSTEM);
}

/* A whole number from 1 to most, digits only. Return: 0, -EINVAL, -ERANGE. */
static int parse_number(const char *text, uint32_t most, uint32_t *ret)
{
	unsigned long value;
	char *end;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || value < 1 || value > most)
		return -ERANGE;
	*ret = (uint32_t)value;
	return 0;
}

static int parse_limit(const char *name, const char *text, uint32_t most, uint32_t *ret)
{
	int r = parse_number(text, most, ret);

	if (r == -EINVAL)
		fprintf(stderr, "timerd: --%s: '%s' is not a number\n", name, text);
	else if (r < 0)
		fprintf(stderr, "timerd: --%s: '%s' is not between 1 and %u\n", name, text, most);
	return r;
}

static int parse_level(const char *text, int *ret)
{
	int level = log_parse_level(text);

	if (level < 0) {
		fprintf(stderr, "timerd: --log-level: '%s' is not a level\n", text);
		return level;
	}
	*ret = level;
	return 0;
}

enum option_number {
	OPTION_SOCKET = 1,
	OPTION_USER,
	OPTION_MAX_TIMERS,
	OPTION_MAX_TIMERS_PER_USER,
	OPTION_MAX_CLIENTS,
	OPTION_MAX_CLIENTS_PER_USER,
	OPTION_LOG_LEVEL,
	OPTION_VERSION,
	OPTION_HELP,
};

static const struct option long_options[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"user", no_argument, NULL, OPTION_USER},
	{"max-timers", required_argument, NULL, OPTION_MAX_TIMERS},
	{"max-timers-per-user", required_argument, NULL, OPTION_MAX_TIMERS_PER_USER},
	{"max-clients", required_argument, NULL, OPTION_MAX_CLIENTS},
	{"max-clients-per-user", required_argument, NULL, OPTION_MAX_CLIENTS_PER_USER},
	{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"help", no_argument, NULL, OPTION_HELP},
	{0},
};

/* What is left of the arena's places once each client has one for its hello, and each chore its
 * own. */
#define MAX_TIMERS (ARENA_TIMERS_MAX - ARENA_CLIENTS_MAX - 2)

/* Return: 0 to go on, 1 to exit in peace, -EINVAL after a line on standard error. */
static int parse_option(struct options *o, int option, const char *name)
{
	switch (option) {
	case OPTION_SOCKET:
		o->socket = optarg;
		return 0;
	case OPTION_USER:
		o->user = true;
		return 0;
	case OPTION_MAX_TIMERS:
		return parse_limit(name, optarg, MAX_TIMERS, &o->limits.max_timers);
	case OPTION_MAX_TIMERS_PER_USER:
		return parse_limit(name, optarg, UINT32_MAX, &o->limits.max_timers_per_user);
	case OPTION_MAX_CLIENTS:
		return parse_limit(name, optarg, ARENA_CLIENTS_MAX, &o->limits.max_clients);
	case OPTION_MAX_CLIENTS_PER_USER:
		return parse_limit(name, optarg, UINT32_MAX, &o->limits.max_clients_per_user);
	case OPTION_LOG_LEVEL:
		return parse_level(optarg, &o->log_level);
	case OPTION_VERSION:
		printf("timerd %s\n", TIMERD_VERSION);
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

	while ((option = getopt_long(argc, argv, "", long_options, &index)) >= 0) {
		r = parse_option(o, option, long_options[index].name);
		if (r)
			return r;
	}
	if (optind < argc) {
		fprintf(stderr, "timerd: '%s': timerd takes options only\n", argv[optind]);
		return -EINVAL;
	}
	return 0;
}

/* The socket to make. buffer: sized as an address. Return: 0, or -EINVAL after a line. */
static int choose_socket(const struct options *o, char *buffer, size_t size, const char **ret)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int n;

	*ret = o->socket ? o->socket : PROTO_SOCKET_SYSTEM;
	if (o->socket || !o->user)
		return 0;
	if (!runtime || *runtime != '/') {
		fprintf(stderr, "timerd: --user: XDG_RUNTIME_DIR is not set to a path\n");
		return -EINVAL;
	}
	n = snprintf(buffer, size, "%s/%s", runtime, PROTO_SOCKET_USER);
	if (n < 0 || (size_t)n >= size) {
		fprintf(stderr, "timerd: --user: XDG_RUNTIME_DIR '%s' is too long\n", runtime);
		return -EINVAL;
	}
	*ret = buffer;
	return 0;
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

/* As many descriptors as this process may have: a client is one. */
static void raise_descriptors(struct log *log, const struct limits *limits)
{
	rlim_t wanted = (rlim_t)limits->max_clients + OTHER_DESCRIPTORS;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max < wanted)
		log_print(log, LOG_NOTICE,
			"%llu descriptors are allowed (RLIMIT_NOFILE): fewer clients than "
			"--max-clients %u will get in",
			(unsigned long long)limit.rlim_max, limits->max_clients);
}

static uint64_t choose_instance(const struct now *now)
{
	uint64_t instance;

	if (getrandom(&instance, sizeof(instance), GRND_NONBLOCK) != sizeof(instance))
		instance = now->at[PROTO_CLOCK_BOOTTIME] << 20 ^ (uint64_t)getpid();
	return instance;
}

static int run(const struct options *o, const char *path)
{
	struct now now = alarm_now();
	struct worker_config config = {
		.limits = o->limits,
		/* The arena is laid out alike whatever the options say, so that the next process,
		 * with others, can go on with it. */
		.room_timers = ARENA_TIMERS_MAX,
		.room_clients = ARENA_CLIENTS_MAX,
		.pid = (uint32_t)getpid(),
		.instance = choose_instance(&now),
		.version = TIMERD_VERSION,
	};
	static struct loop loop;
	struct log log;
	int r;

	open_standard();
	log_init(&log, o->log_level);
	raise_descriptors(&log, &o->limits);
	r = loop_init(&loop, &log, &config);
	if (r == 0 && !loop.listener.count)
		r = listener_open(
			&loop.listener, &log, path, o->user ? 0600 : 0666, o->user ? 0700 : 0755);
	if (r >= 0) {
		log_print(&log, LOG_INFO, "timerd %s serves %s", TIMERD_VERSION,
			loop.listener.path ? loop.listener.path : "the socket from systemd");
		r = loop_run(&loop);
	}
	loop_close(&loop);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	char buffer[sizeof(((struct sockaddr_un *)0)->sun_path)];
	struct options o = {
		.log_level = LOG_INFO,
		.limits =
			{
				.max_timers = LIMITS_TIMERS,
				.max_timers_per_user = LIMITS_TIMERS_PER_USER,
				.max_clients = LIMITS_CLIENTS,
				.max_clients_per_user = LIMITS_CLIENTS_PER_USER,
			},
	};
	const char *path;
	int r = parse_options(&o, argc, argv);

	if (r == 0)
		r = choose_socket(&o, buffer, sizeof(buffer), &path);
	if (r < 0)
		return EXIT_USAGE;
	if (r > 0)
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	return run(&o, path);
}
