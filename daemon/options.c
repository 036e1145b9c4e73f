/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

/* The arena also holds one timer for each client that has not said hello, and the internal
 * timers. */
#define MAX_TIMERS (ARENA_TIMERS_MAX - ARENA_CLIENTS_MAX - 2)

enum option_number {
	OPTION_SOCKET = 1,
	OPTION_USER,
	OPTION_LOG_LEVEL,
	OPTION_CHECK,
	OPTION_VERSION,
	OPTION_HELP = 'h',
	OPTION_LIMIT = 256, /* plus an index into limit_options */
};

static const struct limit_option {
	const char *name;
	uint32_t max, default_value;
	size_t offset; /* in struct limits */
} limit_options[] = {
	{"max-timers", MAX_TIMERS, LIMITS_TIMERS, offsetof(struct limits, max_timers)},
	{"max-timers-per-user", UINT32_MAX, LIMITS_TIMERS_PER_USER,
		offsetof(struct limits, max_timers_per_user)},
	{"max-clients", ARENA_CLIENTS_MAX, LIMITS_CLIENTS, offsetof(struct limits, max_clients)},
	{"max-clients-per-user", UINT32_MAX, LIMITS_CLIENTS_PER_USER,
		offsetof(struct limits, max_clients_per_user)},
};

static const struct option long_options[] = {
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"user", no_argument, NULL, OPTION_USER},
	{"max-timers", required_argument, NULL, OPTION_LIMIT + 0},
	{"max-timers-per-user", required_argument, NULL, OPTION_LIMIT + 1},
	{"max-clients", required_argument, NULL, OPTION_LIMIT + 2},
	{"max-clients-per-user", required_argument, NULL, OPTION_LIMIT + 3},
	{"log-level", required_argument, NULL, OPTION_LOG_LEVEL},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"help", no_argument, NULL, OPTION_HELP},
	{0},
};

static void print_help(void)
{
	printf("timerd [OPTION...]\n"
	       "\n"
	       "The timer service: wakes processes at the times they ask for. See timerd(8).\n"
	       "\n"
	       "  --socket PATH               listen at PATH, if systemd passes no socket\n"
	       "  --user                      a user's instance: $XDG_RUNTIME_DIR/%s\n"
	       "  --max-timers N              timers in all (%d)\n"
	       "  --max-timers-per-user N     timers of one user (%d)\n"
	       "  --max-clients N             clients in all (%d)\n"
	       "  --max-clients-per-user N    clients of one user (%d)\n"
	       "  --log-level LEVEL           emerg … debug, or 0 … 7 (info)\n"
	       "  --check                     check the options and exit\n"
	       "  --version                   print the version\n"
	       "  -h, --help                  print this help\n"
	       "\n"
	       "Only the totals apply to root. The default socket is %s\n",
		PROTO_SOCKET_USER, LIMITS_TIMERS, LIMITS_TIMERS_PER_USER, LIMITS_CLIENTS,
		LIMITS_CLIENTS_PER_USER, PROTO_SOCKET_SYSTEM);
}

/* Keeps a complaint in a service; prints it otherwise. Return: 0: go on; -EINVAL: exit. */
__attribute__((format(printf, 2, 3))) static int complain(
	struct options *o, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (!o->service || o->check) {
		fprintf(stderr, "timerd: ");
		vfprintf(stderr, format, ap);
		fputc('\n', stderr);
	} else if (o->complaints < OPTIONS_COMPLAINTS_MAX) {
		char *text = o->complaint[o->complaints];

		vsnprintf(text, OPTIONS_COMPLAINT_MAX, format, ap);
		/* It becomes one line of the status, so it must have no line breaks. */
		for (; *text; text++)
			if ((unsigned char)*text < ' ')
				*text = '?';
	}
	va_end(ap);
	o->complaints++;
	return o->service && !o->check ? 0 : -EINVAL;
}

/* Parses a whole number of digits only, from 1 to max. Return: 0, -EINVAL, -ERANGE. */
static int parse_number(const char *text, uint32_t max, uint32_t *ret)
{
	unsigned long value;
	char *end;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return -EINVAL;
	errno = 0;
	value = strtoul(text, &end, 10);
	if (errno || value < 1 || value > max)
		return -ERANGE;
	*ret = (uint32_t)value;
	return 0;
}

static int parse_limit(struct options *o, const struct limit_option *option)
{
	uint32_t *limit = (uint32_t *)(void *)((char *)&o->limits + option->offset);
	int r = parse_number(optarg, option->max, limit);

	if (r == 0)
		return 0;
	*limit = option->default_value;
	if (r == -EINVAL)
		return complain(o, "--%s: '%s' is not a number", option->name, optarg);
	return complain(o, "--%s: '%s' is not between 1 and %u", option->name, optarg, option->max);
}

static int parse_level(struct options *o)
{
	int level = log_parse_level(optarg);

	o->log_level = level < 0 ? LOG_INFO : level;
	return level < 0 ? complain(o, "--log-level: '%s' is not a level", optarg) : 0;
}

/* A service that prints and exits would be restarted for ever. */
static int print(struct options *o, const char *name, void (*print_it)(void))
{
	if (o->service && getenv("LISTEN_FDS"))
		return complain(o, "--%s is not for a service", name);
	print_it();
	return 1;
}

static void print_version(void)
{
	printf("timerd %s\n", TIMERD_VERSION);
}

/* word: the argument that getopt has parsed. */
static int parse_option(struct options *o, int option, const char *word)
{
	switch (option) {
	case OPTION_SOCKET:
		o->socket = optarg;
		return 0;
	case OPTION_USER:
		o->user = true;
		return 0;
	case OPTION_LOG_LEVEL:
		return parse_level(o);
	case OPTION_CHECK:
		o->check = true;
		return 0;
	case OPTION_VERSION:
		return print(o, "version", print_version);
	case OPTION_HELP:
		return print(o, "help", print_help);
	case ':':
		return complain(o, "'%s' needs a value", word);
	case '?':
		/* optopt is the letter of a short option, or the number of a long option that takes
		 * no value. */
		if (optopt > ' ' && optopt != OPTION_HELP && optopt < OPTION_LIMIT)
			return complain(o, "'-%c' is no option", optopt);
		return complain(o, optopt ? "'%s' takes no value" : "'%s' is no option", word);
	default:
		return parse_limit(o, &limit_options[option - OPTION_LIMIT]);
	}
}

int options_parse(struct options *o, int argc, char **argv)
{
	int option, r = 0, bad = 0;

	*o = (struct options){
		.log_level = LOG_INFO,
		.service = getenv("NOTIFY_SOCKET") != NULL,
	};
	for (size_t i = 0; i < sizeof(limit_options) / sizeof(limit_options[0]); i++)
		*(uint32_t *)(void *)((char *)&o->limits +
			limit_options[i].offset) = limit_options[i].default_value;
	/* --check also applies to the options before it. */
	for (int i = 1; i < argc; i++)
		o->check |= !strcmp(argv[i], "--check");
	opterr = 0;
	while ((option = getopt_long(argc, argv, ":h", long_options, NULL)) >= 0) {
		r = parse_option(o, option, argv[optind - 1]);
		if (r > 0 || (r < 0 && !o->check))
			return r;
		bad = r < 0 ? r : bad;
	}
	for (; optind < argc; optind++) {
		r = complain(o, "'%s': timerd takes options only", argv[optind]);
		bad = r < 0 ? r : bad;
		if (bad && !o->check)
			break;
	}
	return bad;
}

int options_socket(struct options *o, const char **ret)
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
	n = snprintf(o->path, sizeof(o->path), "%s/%s", runtime, PROTO_SOCKET_USER);
	if (n < 0 || (size_t)n >= sizeof(o->path)) {
		fprintf(stderr, "timerd: --user: XDG_RUNTIME_DIR '%s' is too long\n", runtime);
		return -EINVAL;
	}
	*ret = o->path;
	return 0;
}
