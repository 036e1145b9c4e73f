/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl: the command line of timerd. This file starts and ends the process, and calls the
 * verb.
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
#include "help.h"
#include "output.h"
#include "verbs.h"

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
	if (help_print(ctl->out, verb) < 0) {
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
	if (ctl_getopt_verb(ctl, argc, argv) == CTL_STOP)
		return ctl->status;
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
