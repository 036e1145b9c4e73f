/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl: timerd at a shell. This file knows what comes before a verb and what every verb
 * needs: the options that say where the daemon is, the connection, and the meaning of an error as a
 * status.
 *
 * Everything that is wrong with a command line is found before the daemon is asked, so that a usage
 * error is one whether or not a daemon runs, and changes nothing.
 */
#include <errno.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "ctl.h"
#include "output.h"

#define SYSTEM_SOCKET "/run/timerd/socket"
#define USER_SOCKET   "timerd/socket" /* below $XDG_RUNTIME_DIR */

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

static const char help[] =
	"toytimerctl [--system|--user|--socket PATH] VERB\n"
	"\n"
	"Ask timerd, the timer service, to wake you.\n"
	"\n"
	"  register [OPTION...] [WHEN] [-- COMMAND [ARG...]]\n"
	"                       Wait, and print or run COMMAND at each wake until the last\n"
	"     --every SPAN      again and again, SPAN apart; without WHEN from SPAN on\n"
	"     --count N         N wakes (default: 1; with --every no end)\n"
	"     --slack SPAN      this much later still suits\n"
	"     --clock CLOCK     monotonic, boottime or realtime\n"
	"     --wake-system     wake the machine from suspend, too\n"
	"     --label TEXT      a name for list to show\n"
	"     --quiet           print nothing\n"
	"     --json            print JSON, an object a line\n"
	"  list                 Show your timers, the next one first\n"
	"     --all             everybody's (root only)\n"
	"     --json            as JSON\n"
	"     --no-legend       no headings, no sum\n"
	"  -o COLUMN[,COLUMN]   id, label, clock, due, left, slack, every, count, fired,\n"
	"                       wake, uid, user, pid, comm\n"
	"  cancel ID...         Cancel timers\n"
	"  status [--json]      Show what timerd has done so far\n"
	"     --queues          what timerqd has done\n"
	"\n"
	"Durable timers, which timerqd keeps in queues (all with --json):\n"
	"  register --queue NAME [OPTION...] WHEN\n"
	"                       Store a timer and exit\n"
	"     --key KEY         in the place of the timer that has this key\n"
	"     --keep            or leave that one as it is\n"
	"     --payload TEXT    what its consumer gets\n"
	"     --payload-file FILE\n"
	"                       the same, from a file; - is standard input\n"
	"     --max-late SPAN   a first wake that is later is missed\n"
	"     --max-attempts N  deliveries until a wake is parked\n"
	"  consume NAME [-- COMMAND [ARG...]]\n"
	"                       Print wakes or run COMMAND for each, and acknowledge them\n"
	"     --window N        so many wakes at a time (100; with COMMAND 1)\n"
	"     --count N         end after N wakes\n"
	"     --retry SPAN      after COMMAND failed (10s), doubled each time up to a day\n"
	"     --max-attempts N  as above\n"
	"     --ack-within SPAN for COMMAND; then another consumer gets the wake\n"
	"  queues [--all]       Show the queues\n"
	"  list --queue NAME [--parked]\n"
	"  cancel --queue NAME ID|KEY...\n"
	"     --key KEY         a key, also if it is all digits\n"
	"  retry --queue NAME ID...\n"
	"                       Have parked wakes come again\n"
	"  purge --queue NAME [--parked]\n"
	"                       Remove everything, or what is parked\n"
	"\n"
	"  help                 Show this text\n"
	"\n"
	"     --system          the daemon of the system\n"
	"     --user            the daemon of this user\n"
	"     --socket PATH     the daemon that listens there\n"
	"                       (default: $TIMERD_SOCKET, else --system)\n"
	"     --queue-socket PATH\n"
	"                       the timerqd that listens there\n"
	"                       (default: $TIMERD_QUEUE_SOCKET, else --system)\n"
	"  -h --help            this text\n"
	"     --version         the version\n"
	"\n"
	"WHEN is a span from now (5s, 1h 30min) or a time (18:00, tomorrow 09:00, 2027-01-01),\n"
	"as in systemd.time(7). See toytimerctl(1).\n";

/* Which word of argv getopt() did not know, given that it stopped at the letter optopt. */
static const char *unknown_word(int argc, char **argv)
{
	const char *before = argv[optind - 1];
	size_t length = strlen(before);

	if (optopt == 0 || optopt > UINT8_MAX)
		return before;
	/* In the midst of a word of several letters, optind has not gone past that word yet. */
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

/* Sees to one option. Returns it if it is not one of the common ones, 0 if it is done with,
 * CTL_STOP. */
static int common_option(struct ctl *ctl, int c, int argc, char **argv)
{
	switch (c) {
	case OPTION_HELP:
		fputs(help, stdout);
		ctl->status = CTL_DONE;
		return CTL_STOP;
	case OPTION_VERSION:
		puts("toytimerctl " TIMERD_VERSION);
		ctl->status = CTL_DONE;
		return CTL_STOP;
	case OPTION_SYSTEM:
		ctl->where = CTL_SYSTEM;
		return 0;
	case OPTION_USER:
		ctl->where = CTL_USER;
		return 0;
	case OPTION_SOCKET:
		ctl->where = CTL_PATH;
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
		return ctl_usage(ctl, "%s: no such option, see --help", unknown_word(argc, argv));
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
		/* "-": words come in their order among the options, and what follows "--" does
		 * not. */
		c = getopt_long(argc, argv, all_letters, all, NULL);
		if (c >= 0)
			c = common_option(ctl, c, argc, argv);
	} while (c == 0);
	return c;
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

static const char *empty_as_null(const char *s)
{
	return s && *s ? s : NULL;
}

/* The path is resolved here and not by the library, so that an error can name it. */
static int socket_path(const struct ctl *ctl, char **ret)
{
	const char *path = SYSTEM_SOCKET;
	char *copy = NULL;

	if (ctl->where == CTL_PATH)
		path = ctl->path;
	else if (ctl->where == CTL_DEFAULT && empty_as_null(getenv("TIMERD_SOCKET")))
		path = getenv("TIMERD_SOCKET");

	if (ctl->where == CTL_USER) {
		const char *directory = empty_as_null(getenv("XDG_RUNTIME_DIR"));

		if (!directory) {
			output_error("--user: XDG_RUNTIME_DIR is not set");
			return CTL_UNREACHABLE;
		}
		if (asprintf(&copy, "%s/" USER_SOCKET, directory) < 0)
			copy = NULL;
	} else {
		copy = strdup(path);
	}
	if (!copy)
		return ctl_no_memory();
	*ret = copy;
	return CTL_DONE;
}

int ctl_open(const struct ctl *ctl, toytimer **ret)
{
	char *path;
	int r;

	r = socket_path(ctl, &path);
	if (r != CTL_DONE)
		return r;

	r = toytimer_open(ret, path);
	if (r < 0) {
		if (r == -ECONNREFUSED)
			ctl_tell_unreachable(ctl, "timerd", path, SYSTEM_SOCKET);
		else
			output_error("%s: %s", output_word(path),
				r == -EINVAL ? "cannot be the path of a socket"
					     : toytimer_strerror(r));
		r = ctl_status_of(r);
	} else {
		r = CTL_DONE;
	}
	free(path);
	return r;
}

void ctl_close(toytimer **t)
{
	toytimer_unref(*t);
}

static int verb_help(struct ctl *ctl, int argc, char **argv)
{
	(void)ctl, (void)argc, (void)argv;
	fputs(help, stdout);
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
		optind = 0;
		return verbs[i].run(ctl, argc, argv);
	}
	ctl_usage(ctl, "%s: no such verb, see --help", output_word(argv[0]));
	return ctl->status;
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	int c;

	opterr = 0;
	do {
		/* "+": the options that follow the verb are the verb's to look at. */
		c = getopt_long(argc, argv, "+:h", common_options, NULL);
		if (c >= 0 && common_option(ctl, c, argc, argv) == CTL_STOP)
			return ctl->status;
	} while (c >= 0);

	if (optind >= argc) {
		ctl_usage(ctl,
			"usage: toytimerctl [--system|--user|--socket PATH] VERB, with VERB one of "
			"register, list, cancel, status, consume, queues, retry, purge, help");
		return ctl->status;
	}
	return run_verb(ctl, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	struct ctl ctl = {0};
	int r, status;

	if (inherit_hold_descriptors() < 0)
		return CTL_FAILED;
	r = inherit_take(&ctl.inherited);
	if (r < 0) {
		output_error("signals: %s", strerror(-r));
		return CTL_FAILED;
	}
	/* Only how characters are written: numbers are read and written as in C everywhere. */
	setlocale(LC_CTYPE, "");

	status = run(&ctl, argc, argv);
	if (status == CTL_DONE && output_flush(stdout) < 0)
		status = CTL_FAILED;
	if (ctl.signal != 0)
		signals_die(ctl.signal);
	return status;
}
