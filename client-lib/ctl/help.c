/* SPDX-License-Identifier: MIT */
/*
 * The texts of --help and of the verb help. The help of toytimerctl shows all verbs; it is made of
 * the same parts as the help of one verb, so that the two cannot differ.
 */
#include <errno.h>
#include <string.h>

#include "help.h"

#define PROGRAM "toytimerctl [--system|--user|--socket PATH] "

struct verb_help {
	const char *verb;
	const char *usage;   /* after the verb */
	const char *summary; /* one line */
	const char *options; /* a line each */
	const char *note;    /* for the help of this verb only */
};

static const struct verb_help verbs[] = {
	{
		.verb = "register",
		.usage = " [OPTION...] [WHEN] [-- COMMAND [ARG...]]",
		.summary = "Wait until WHEN, then print a line or run COMMAND",
		.options = "     --every SPAN      repeat with this period; without "
			   "WHEN, first after SPAN\n"
			   "     --count N         end after N wakes (default: 1; with "
			   "--every: no end)\n"
			   "     --slack SPAN      allow a wake to be this much later\n"
			   "     --clock CLOCK     monotonic, boottime or realtime\n"
			   "     --wake-system     also wake the machine from suspend\n"
			   "     --label TEXT      a name that list shows\n"
			   "     --quiet           print nothing\n"
			   "     --json            print one JSON object a line\n"
			   "  for a durable timer, which a consumer gets:\n"
			   "     --queue NAME      store the timer in this queue at "
			   "timerqd, and exit\n"
			   "     --key KEY         replace the timer that has this key\n"
			   "     --keep            with --key: keep such a timer, and store none\n"
			   "     --payload TEXT    give this text to the consumer\n"
			   "     --payload-file FILE\n"
			   "                       give this file to the consumer; - is "
			   "standard input\n"
			   "     --max-late SPAN   a wake that is later than this is missed\n"
			   "     --max-attempts N  park a wake after N deliveries\n",
		.note = "WHEN is a span from now (5s, 1h 30min) or a time (18:00, tomorrow 9am,\n"
			"2027-01-01 09:00).\n",
	},
	{
		.verb = "list",
		.usage = " [OPTION...]",
		.summary = "Show your timers, the next one first",
		.options =
			"     --label TEXT      show only timers with this label\n"
			"     --all             show the timers of all users (root only)\n"
			"     --user USER       show the timers of a user (root "
			"only, except your own)\n"
			"     --json            print JSON\n"
			"     --no-legend       print neither headings nor the number of timers\n"
			"  -o COLUMN[,COLUMN]   show these columns: id, label, "
			"clock, due, left, slack,\n"
			"                       every, count, fired, wake, uid, user, pid, comm\n"
			"     --queue NAME      show the durable timers of this "
			"queue; columns: id, key,\n"
			"                       due, left, every, state, attempt, "
			"fired, size, clock,\n"
			"                       label\n"
			"     --parked          with --queue: show only parked wakes\n",
		.note = "",
	},
	{
		.verb = "cancel",
		.usage = " ID... | [--label TEXT] [--all|--user USER] | --queue NAME ID|KEY...",
		.summary = "Cancel timers",
		.options =
			"     --label TEXT      cancel your timers with this label\n"
			"     --all             cancel all your timers\n"
			"     --user USER       cancel the timers of a user (root "
			"only, except your own)\n"
			"     --queue NAME      cancel durable timers of this queue, by id or key\n"
			"     --key KEY         cancel the timer with this key, digits or not\n"
			"     --json            with --queue: print JSON\n",
		.note = "\"toytimerctl list\" shows the ids.\n",
	},
	{
		.verb = "status",
		.usage = " [OPTION...]",
		.summary = "Show the counters of timerd",
		.options = "     --json            print JSON\n"
			   "     --queues          show the counters of timerqd\n",
		.note = "",
	},
	{
		.verb = "consume",
		.usage = " [OPTION...] NAME [-- COMMAND [ARG...]]",
		.summary = "Print each wake of a queue, or run COMMAND for it, and acknowledge it",
		.options =
			"     --window N        take N wakes at a time (default: "
			"100; with COMMAND: 1)\n"
			"     --count N         end after N wakes (default: no end)\n"
			"     --retry SPAN      after COMMAND failed, wait this long "
			"(default: 10s),\n"
			"                       doubled each time up to a day\n"
			"     --max-attempts N  park a wake after N deliveries\n"
			"     --ack-within SPAN deliver an unacknowledged wake again after SPAN\n"
			"     --json            print one JSON object a line\n",
		.note = "COMMAND reads the payload from its standard input.\n",
	},
	{
		.verb = "queues",
		.usage = " [OPTION...]",
		.summary = "Show your queues",
		.options =
			"     --all             show the queues of all users (root only)\n"
			"     --json            print JSON\n"
			"     --no-legend       print neither headings nor the number of queues\n",
		.note = "",
	},
	{
		.verb = "retry",
		.usage = " --queue NAME ID...",
		.summary = "Deliver parked wakes again",
		.options = "     --json            print JSON\n",
		.note = "\"toytimerctl list --queue NAME --parked\" shows the ids.\n",
	},
	{
		.verb = "purge",
		.usage = " --queue NAME [--parked]",
		.summary = "Remove all timers of a queue",
		.options = "     --parked          remove only parked wakes\n"
			   "     --json            print JSON\n",
		.note = "",
	},
	{
		.verb = "help",
		.usage = " [VERB]",
		.summary = "Show this help, or the help of VERB",
		.options = "",
		.note = "",
	},
};

static const char common_options[] =
	"     --system          use the instance of the system\n"
	"     --user            use the instance of this user\n"
	"     --socket PATH     use the instance that listens at PATH\n"
	"                       (default: $TIMERD_SOCKET, else --system)\n"
	"     --queue-socket PATH\n"
	"                       use the timerqd that listens at PATH\n"
	"                       (default: $TIMERD_QUEUE_SOCKET, else --system)\n"
	"  -h --help            show this help\n"
	"     --version         show the version\n";

static void print_all(FILE *out)
{
	fputs(PROGRAM "VERB\n\nRegister, list and cancel timers at timerd, the timer service.\n\n",
		out);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const struct verb_help *v = &verbs[i];
		int width = fprintf(out, "  %s%s", v->verb, v->usage);

		if (width < 22)
			fprintf(out, "%*s %s\n", 22 - width, "", v->summary);
		else
			fprintf(out, "\n%23s%s\n", "", v->summary);
		fputs(v->options, out);
	}
	fprintf(out, "\n%s\n%sSee toytimerctl(1).\n", common_options, verbs[0].note);
}

int help_print(FILE *out, const char *verb)
{
	if (!verb) {
		print_all(out);
		return 0;
	}
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		const struct verb_help *v = &verbs[i];

		if (strcmp(v->verb, verb) != 0)
			continue;
		fprintf(out, PROGRAM "%s%s\n\n%s.\n\n%s%s%s\n%sSee toytimerctl(1).\n", v->verb,
			v->usage, v->summary, v->options, *v->options ? "\n" : "", common_options,
			v->note);
		return 0;
	}
	return -ENOENT;
}
