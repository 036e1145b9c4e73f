/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl cancel: all ids are read before one is sent, so that a slip of the finger cancels
 * nothing; then all are tried, since those that are gone already do not concern the others.
 */
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

#include "ctl.h"
#include "output.h"

/* Whether the word is an id: digits, and no more of them than 64 bits hold. */
static bool parse_id(const char *word, uint64_t *ret)
{
	unsigned long long id;
	char *end;

	if (!isdigit((unsigned char)*word))
		return false;
	errno = 0;
	id = strtoull(word, &end, 10);
	if (*end || errno != 0)
		return false;
	*ret = id;
	return true;
}

/* Returns CTL_DONE, or what one of them came to; a daemon that cannot be reached ends the
 * attempt. */
static int cancel_all(toytimer *t, size_t n, const uint64_t *ids)
{
	int status = CTL_DONE;

	for (size_t i = 0; i < n; i++) {
		int r = toytimer_cancel_id(t, ids[i]);

		if (r >= 0)
			continue;
		output_error("%llu: %s", (unsigned long long)ids[i], toytimer_strerror(r));
		status = ctl_status_of(r);
		if (status != CTL_NO_SUCH_TIMER)
			break;
	}
	return status;
}

/* Reads the command line into ids, which has room for argc. Returns 0 or CTL_STOP. */
static int parse_ids(struct ctl *ctl, int argc, char **argv, uint64_t *ids, size_t *ret_n)
{
	size_t n = 0;
	int c;

	while ((c = ctl_getopt(ctl, argc, argv, "", NULL)) != CTL_END) {
		if (c == CTL_STOP)
			return CTL_STOP;
		if (!parse_id(optarg, &ids[n++]))
			return ctl_usage(ctl, "%s: not the id of a timer", output_word(optarg));
	}
	for (; optind < argc; optind++)
		if (!parse_id(argv[optind], &ids[n++]))
			return ctl_usage(
				ctl, "%s: not the id of a timer", output_word(argv[optind]));
	if (n == 0)
		return ctl_usage(ctl, "usage: toytimerctl cancel ID...");

	*ret_n = n;
	return 0;
}

static void free_ids(uint64_t **ids)
{
	free(*ids);
}

int verb_cancel(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(ctl_close) toytimer *t = NULL;
	_cleanup_(free_ids) uint64_t *ids = NULL;
	size_t n = 0;
	int status;

	/* No word of argv is more than one id. */
	ids = calloc((size_t)argc, sizeof(*ids));
	if (!ids)
		return ctl_no_memory();

	if (parse_ids(ctl, argc, argv, ids, &n) == CTL_STOP)
		return ctl->status;
	status = ctl_open(ctl, &t);
	if (status != CTL_DONE)
		return status;
	return cancel_all(t, n, ids);
}
