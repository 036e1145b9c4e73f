/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl: the command line of timerd. This file parses what stands before the verb and the
 * options that every verb takes, and maps errors to exit statuses.
 *
 * A verb checks its whole command line before it connects. A usage error therefore changes nothing,
 * and does not depend on a running timerd.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "ctl.h"
#include "output.h"
#include "when.h"

enum {
	OPTION_HELP = 'h',
	OPTION_VERSION = 256,
	OPTION_SYSTEM,
	OPTION_USER,
	OPTION_SOCKET,
	OPTION_QUEUE_SOCKET,
};

static const struct option common_options[] = {
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"system", no_argument, NULL, OPTION_SYSTEM},
	{"user", no_argument, NULL, OPTION_USER},
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"queue-socket", required_argument, NULL, OPTION_QUEUE_SOCKET},
	{NULL, 0, NULL, 0},
};

#define COMMON_OPTIONS (sizeof(common_options) / sizeof(common_options[0]))

/* The word of argv with the unknown option; getopt_long() stopped at the letter optopt. */
static const char *unknown_word(int argc, char **argv)
{
	const char *before = argv[optind - 1];
	size_t length = strlen(before);

	if (optopt == 0 || optopt > UINT8_MAX)
		return before;
	/* While more letters of this word follow, optind is still the index of this word. */
	if (length > 1 && before[0] == '-' && before[length - 1] == (char)optopt)
		return before;
	return optind < argc ? argv[optind] : before;
}

int ctl_usage(struct ctl *ctl, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	output_error_v(format, arguments);
	va_end(arguments);
	ctl->status = CTL_USAGE;
	return CTL_STOP;
}

int ctl_no_memory(void)
{
	output_error("out of memory");
	return CTL_FAILED;
}

/* Handles one option. Returns 0 if it is a common one, CTL_STOP, or the verb's own option. */
static int common_option(struct ctl *ctl, int c, int argc, char **argv)
{
	switch (c) {
	case OPTION_HELP:
		(void)ctl_print_help(ctl->out, ctl->verb);
		ctl->status = CTL_DONE;
		return CTL_STOP;
	case OPTION_VERSION:
		fputs("toytimerctl " TIMERD_VERSION "\n", ctl->out);
		ctl->status = CTL_DONE;
		return CTL_STOP;
	case OPTION_SYSTEM:
		ctl->instance = CTL_INSTANCE_SYSTEM;
		return 0;
	case OPTION_USER:
		ctl->instance = CTL_INSTANCE_USER;
		return 0;
	case OPTION_SOCKET:
		ctl->instance = CTL_INSTANCE_PATH;
		ctl->path = optarg;
		return 0;
	case OPTION_QUEUE_SOCKET:
		ctl->queue_path = optarg;
		return 0;
	case ':':
		return ctl_usage(ctl, "%s: needs an argument", argv[optind - 1]);
	case '?':
		if (optopt > UINT8_MAX)
			return ctl_usage(ctl, "%s: takes no argument", argv[optind - 1]);
		return ctl_usage(ctl, "%s: no such option; see --help", unknown_word(argc, argv));
	default:
		return c;
	}
}

int ctl_getopt(
	struct ctl *ctl, int argc, char **argv, const char *letters, const struct option *options)
{
	struct option all[CTL_OPTIONS_MAX + COMMON_OPTIONS];
	char all_letters[32];
	size_t n = 0;
	int c;

	while (options && options[n].name && n < CTL_OPTIONS_MAX) {
		all[n] = options[n];
		n++;
	}
	memcpy(all + n, common_options, sizeof(common_options));
	snprintf(all_letters, sizeof(all_letters), "-:h%s", letters);

	do {
		/* "-": getopt_long() returns arguments and options in the order of argv, up to
		 * "--". */
		c = getopt_long(argc, argv, all_letters, all, NULL);
		if (c >= 0)
			c = common_option(ctl, c, argc, argv);
	} while (c == 0);
	return c;
}

void ctl_warn_of_unknown_zone(void)
{
	if (!when_local_zone_is_known())
		output_error("TZ=%s: no such time zone, so times are in UTC; say for example "
			     "TZ=Europe/Berlin",
			getenv("TZ"));
}

int ctl_status_of(int error)
{
	switch (-error) {
	case ENOENT:
		return CTL_NO_SUCH_TIMER;
	case EDQUOT:
	case ENOSPC:
	case EUSERS:
	case ENFILE:
	case EMFILE:
	case EPERM:
	case EACCES:
		return CTL_REFUSED;
	case ECONNREFUSED:
	case ETIMEDOUT:
		return CTL_UNREACHABLE;
	case EINVAL:
	case ERANGE:
	case EOPNOTSUPP:
		return CTL_USAGE;
	default:
		return CTL_FAILED;
	}
}

static int verb_help(struct ctl *ctl, int argc, char **argv)
{
	const char *verb = NULL;
	int c;

	while ((c = ctl_getopt(ctl, argc, argv, "", NULL)) != CTL_END) {
		if (c != CTL_WORD)
			return ctl->status;
		if (verb) {
			ctl_usage(ctl, "%s: help takes one verb", output_word(optarg));
			return ctl->status;
		}
		verb = optarg;
	}
	if (!verb && optind < argc)
		verb = argv[optind];
	if (ctl_print_help(ctl->out, verb) < 0) {
		ctl_usage(ctl, "%s: no such verb; see --help", output_word(verb));
		return ctl->status;
	}
	return CTL_DONE;
}

static int run_verb(struct ctl *ctl, int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(struct ctl *ctl, int argc, char **argv);
	} verbs[] = {
		{"register", verb_register},
		{"list", verb_list},
		{"cancel", verb_cancel},
		{"status", verb_status},
		{"consume", verb_consume},
		{"queues", verb_queues},
		{"retry", verb_retry},
		{"purge", verb_purge},
		{"help", verb_help},
	};

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (strcmp(argv[0], verbs[i].name) != 0)
			continue;
		ctl->verb = verbs[i].name;
		optind = 0;
		return verbs[i].run(ctl, argc, argv);
	}
	ctl_usage(ctl, "%s: no such verb; see --help", output_word(argv[0]));
	return ctl->status;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	int c;

	opterr = 0;
	do {
		/* "+": stop at the verb; the verb parses its own options. */
		c = getopt_long(argc, argv, "+:h", common_options, NULL);
		if (c >= 0 && common_option(ctl, c, argc, argv) == CTL_STOP)
			return ctl->status;
	} while (c >= 0);

	if (optind >= argc) {
		ctl_usage(ctl,
			"usage: toytimerctl [--system|--user|--socket PATH] VERB; the verbs are "
			"register, list, cancel, status, consume, queues, retry, purge and help");
		return ctl->status;
	}
	return run_verb(ctl, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	struct ctl ctl = {0};
	int r, status;

	if (inherit_fill_descriptors() < 0)
		return CTL_FAILED;
	r = inherit_prepare(&ctl.inherited);
	if (r < 0) {
		output_error("signals: %s", strerror(-r));
		return CTL_FAILED;
	}
	/* Only the characters depend on the locale. Numbers have the form of the C locale. */
	setlocale(LC_CTYPE, "");
	ctl.out = output_open(STDOUT_FILENO);
	ctl.err = output_open(STDERR_FILENO);
	if (!ctl.out || !ctl.err)
		return ctl_no_memory();

	status = run(&ctl, argc, argv);
	if (status == CTL_DONE && output_flush(ctl.out) < 0)
		status = CTL_FAILED;
	if (ctl.signal != 0)
		signals_die(ctl.signal);
	return status;
}
