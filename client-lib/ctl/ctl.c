/* SPDX-License-Identifier: MIT */
/* What all verbs share: common options, errors of the command line, exit statuses. */
#include "ctl.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "help.h"
#include "output.h"
#include "when.h"
#include "when_zone.h"

enum {
	OPTION_HELP = 'h',
	OPTION_VERSION = 256,
	OPTION_SYSTEM,
	OPTION_USER,
	OPTION_SOCKET,
	OPTION_QUEUE_SOCKET,
	OPTION_NO_QUEUE,
};

static const struct option common_options[] = {
	{"help", no_argument, NULL, OPTION_HELP},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"system", no_argument, NULL, OPTION_SYSTEM},
	{"user", no_argument, NULL, OPTION_USER},
	{"socket", required_argument, NULL, OPTION_SOCKET},
	{"queue-socket", required_argument, NULL, OPTION_QUEUE_SOCKET},
	/* If a verb has no option --queue, getopt_long() takes --queue for an abbreviation of
	 * --queue-socket. */
	{"queue", required_argument, NULL, OPTION_NO_QUEUE},
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

static int unknown_option(struct ctl *ctl, const char *word)
{
	/* A time in the past, in the syntax of systemd.time(7). */
	if (ctl->verb && strcmp(ctl->verb, "register") == 0 && isdigit((unsigned char)word[1]))
		return ctl_usage(ctl, "%s: no such option; a time in the past is \"5s ago\"", word);
	return ctl_usage(ctl, "%s: no such option; see --help", word);
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
		(void)help_print(ctl->out, ctl->verb);
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
	case OPTION_NO_QUEUE:
		if (!ctl->verb)
			return ctl_usage(ctl, "--queue: write it after the verb");
		return ctl_usage(ctl, "--queue: no option of %s; see --help", ctl->verb);
	case ':':
		return ctl_usage(ctl, "%s: needs an argument", argv[optind - 1]);
	case '?':
		if (optopt > UINT8_MAX)
			return ctl_usage(ctl, "%s: takes no argument", argv[optind - 1]);
		return unknown_option(ctl, unknown_word(argc, argv));
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

int ctl_getopt_verb(struct ctl *ctl, int argc, char **argv)
{
	int c;

	opterr = 0;
	do {
		/* "+": stop at the verb; the verb parses its own options. */
		c = getopt_long(argc, argv, "+:h", common_options, NULL);
		if (c >= 0 && common_option(ctl, c, argc, argv) == CTL_STOP)
			return CTL_STOP;
	} while (c >= 0);
	return 0;
}

int ctl_parse_number(struct ctl *ctl, const char *option, const char *text, uint64_t least,
	uint64_t most, uint64_t *ret)
{
	unsigned long long number;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return ctl_usage(ctl, "%s %s: not a number; say one from %llu to %llu", option,
			output_word(text), (unsigned long long)least, (unsigned long long)most);
	errno = 0;
	number = strtoull(text, NULL, 10);
	if (errno != 0 || number < least || number > most)
		return ctl_usage(ctl, "%s %s: not between %llu and %llu", option, text,
			(unsigned long long)least, (unsigned long long)most);
	*ret = number;
	return 0;
}

/* No clock reaches its end within this span from now. */
#define SPAN_MAX_YEARS 100000
#define SPAN_MAX       (SPAN_MAX_YEARS * UINT64_C(31557600000000))

int ctl_parse_span(
	struct ctl *ctl, const char *option, const char *text, bool may_be_infinite, uint64_t *ret)
{
	struct when_error bad = {0};
	uint64_t span;
	int r = when_parse_span(text, &span, &bad);

	if (r == -ENOMEM) {
		ctl->status = ctl_no_memory();
		return CTL_STOP;
	}
	if (r < 0)
		return ctl_usage(ctl, "%s %s: \"%.*s\" %s", option, output_word(text),
			(int)bad.length, bad.word, bad.advice);
	if (span > SPAN_MAX && !(span == WHEN_INFINITY && may_be_infinite))
		return ctl_usage(ctl, "%s %s: too long; the longest span is %dy%s", option, text,
			SPAN_MAX_YEARS, may_be_infinite ? ", or say infinity" : "");
	ctl_warn_of_doubt(option, text);
	*ret = span;
	return 0;
}

void ctl_warn_of_doubt(const char *option, const char *text)
{
	struct when_error doubt;

	if (when_doubt(text, &doubt))
		output_error("%s %s: \"%.*s\" %s", option, text, (int)doubt.length, doubt.word,
			doubt.advice);
}

int ctl_parse_label(struct ctl *ctl, const char *text, const char **ret)
{
	if (strlen(text) > TOYTIMER_LABEL_MAX)
		return ctl_usage(ctl, "--label %s: too long; a label has at most %d bytes", text,
			TOYTIMER_LABEL_MAX);
	if (!output_is_plain(text))
		return ctl_usage(ctl,
			"--label %s: not plain text; use UTF-8 without control characters", text);
	*ret = text;
	return 0;
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
