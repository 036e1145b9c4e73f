/* SPDX-License-Identifier: MIT */
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_number {
	OPTION_CONFIG = 1,
	OPTION_USER,
	OPTION_CHECK,
	OPTION_MIGRATE,
	OPTION_PRINT_SCHEMA,
	OPTION_VERSION,
	OPTION_HELP = 'h',
	OPTION_SETTING = 256, /* plus an index into the settings */
};

static const struct option other_options[] = {
	{"config", required_argument, NULL, OPTION_CONFIG},
	{"user", no_argument, NULL, OPTION_USER},
	{"check", no_argument, NULL, OPTION_CHECK},
	{"version", no_argument, NULL, OPTION_VERSION},
	{"help", no_argument, NULL, OPTION_HELP},
	/* The last two are only for programs with a schema. */
	{"migrate", no_argument, NULL, OPTION_MIGRATE},
	{"print-schema", no_argument, NULL, OPTION_PRINT_SCHEMA},
};

#define OTHER_OPTIONS  (sizeof(other_options) / sizeof(other_options[0]))
#define SCHEMA_OPTIONS 2

/* Keeps a complaint in a service; prints it otherwise. Return: 0: go on; -EINVAL: exit. */
__attribute__((format(printf, 2, 3))) static int complain(
	struct options *o, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (!o->service || o->check) {
		fprintf(stderr, "%s: ", o->program->name);
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

static int parse_setting(struct options *o, size_t i)
{
	const struct setting *setting = &o->program->settings[i];
	char why[SETTING_WHY_MAX];

	if (setting_parse(setting, optarg, &o->given[i], why) == 0)
		return 0;
	return complain(o, "--%s: '%s' %s", setting->option, optarg, why);
}

/* A service that exits after such an option would be restarted for ever. */
static bool must_serve(const struct options *o)
{
	return o->service && getenv("LISTEN_FDS");
}

static int choose_schema(struct options *o, const char *name, bool *chosen)
{
	if (must_serve(o))
		return complain(o, "--%s is not for a service", name);
	*chosen = true;
	return 0;
}

static int print(struct options *o, bool version)
{
	if (must_serve(o))
		return complain(o, "--%s is not for a service", version ? "version" : "help");
	if (version)
		printf("%s %s\n", o->program->name, TIMERD_VERSION);
	else
		o->program->print_help();
	return 1;
}

/* word: the argument that getopt has parsed. */
static int parse_option(struct options *o, int option, const char *word)
{
	switch (option) {
	case OPTION_CONFIG:
		o->config = optarg;
		return 0;
	case OPTION_USER:
		o->user = true;
		return 0;
	case OPTION_CHECK:
		o->check = true;
		return 0;
	case OPTION_MIGRATE:
		return choose_schema(o, "migrate", &o->migrate);
	case OPTION_PRINT_SCHEMA:
		return choose_schema(o, "print-schema", &o->print_schema);
	case OPTION_VERSION:
		return print(o, true);
	case OPTION_HELP:
		return print(o, false);
	case ':':
		return complain(o, "'%s' needs a value", word);
	case '?':
		/* optopt is the letter of a short option, or the number of a long option that takes
		 * no value. */
		if (optopt > ' ' && optopt != OPTION_HELP && optopt < OPTION_SETTING)
			return complain(o, "'-%c' is no option", optopt);
		return complain(o, optopt ? "'%s' takes no value" : "'%s' is no option", word);
	default:
		return parse_setting(o, (size_t)(option - OPTION_SETTING));
	}
}

/* The options for getopt: one for each setting, and the others. */
static void list_options(const struct options_program *program, struct option *list)
{
	size_t others = program->has_schema ? OTHER_OPTIONS : OTHER_OPTIONS - SCHEMA_OPTIONS;

	for (size_t i = 0; i < program->count; i++)
		*list++ = (struct option){program->settings[i].option, required_argument, NULL,
			OPTION_SETTING + (int)i};
	memcpy(list, other_options, others * sizeof(*list));
	list[others] = (struct option){0};
}

int options_parse(struct options *o, const struct options_program *program, int argc, char **argv)
{
	struct option long_options[OPTIONS_SETTINGS_MAX + OTHER_OPTIONS + 1];
	int option, r = 0, bad = 0;

	*o = (struct options){
		.program = program,
		.service = getenv("NOTIFY_SOCKET") != NULL,
	};
	list_options(program, long_options);
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
		r = complain(o, "'%s': %s takes options only", argv[optind], program->name);
		bad = r < 0 ? r : bad;
		if (bad && !o->check)
			break;
	}
	return bad;
}

void options_log(const struct options *o, struct log *log)
{
	for (unsigned int i = 0; i < o->complaints && i < OPTIONS_COMPLAINTS_MAX; i++)
		log_print(log, LOG_ERR, "bad option, its default holds: %s", o->complaint[i]);
	if (o->complaints > OPTIONS_COMPLAINTS_MAX)
		log_print(log, LOG_ERR, "bad options, their defaults hold: %u more",
			o->complaints - OPTIONS_COMPLAINTS_MAX);
}
