/* SPDX-License-Identifier: MIT */
/*
 * The connection to timerqd, and what the verbs of durable queues share.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "connect.h"
#include "output.h"
#include "when.h"

static const struct socket_names timerqd_names = {
	.option = "--queue-socket",
	.variable = "TIMERD_QUEUE_SOCKET",
	.system = "/run/timerd/queues",
	.user = "timerd/queues",
};

int ctl_queue_failed(const char *what, int error)
{
	const char *why = error == -EACCES || error == -EINVAL ? toytimer_get_error() : "";

	output_error("%s: %s", output_word(what), *why ? why : toytimer_queue_strerror(error));
	switch (-error) {
	case ENOSPC:
	case EIO:
	case EHOSTUNREACH:
	case EINPROGRESS:
		return CTL_STORE;
	case ENOBUFS:
	case E2BIG:
		return CTL_REFUSED;
	case ECONNRESET:
	case ENOMEDIUM:
		return CTL_UNREACHABLE;
	case EMSGSIZE:
		return CTL_USAGE;
	default:
		return ctl_status_of(error);
	}
}

int ctl_open_queues(const struct ctl *ctl, toytimer_queue **ret)
{
	char *path;
	int r = connect_path(ctl, &timerqd_names, ctl->queue_path, &path);

	if (r != CTL_DONE)
		return r;
	r = toytimer_queue_open(ret, path, 0);
	if (r == -ECONNREFUSED) {
		connect_report_unreachable(ctl, "timerqd", path, timerqd_names.system);
		r = CTL_UNREACHABLE;
	} else if (r == -EINVAL) {
		output_error("%s: cannot be the path of a socket", output_word(path));
		r = CTL_USAGE;
	} else if (r < 0) {
		r = ctl_queue_failed(path, r);
	}
	free(path);
	return r;
}

void ctl_close_queues(toytimer_queue **q)
{
	toytimer_queue_unref(*q);
}

int ctl_check_queue(struct ctl *ctl, const char *option, const char *name)
{
	static const char allowed[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
	const char *slash = strchr(name, '/'), *own = slash ? slash + 1 : name;
	size_t length = strlen(own);

	if (length >= 1 && length <= TOYTIMER_QUEUE_NAME_MAX && strspn(own, allowed) == length &&
		slash != name)
		return 0;
	return ctl_usage(ctl,
		"%s %s: not the name of a queue (1 to 64 of A-Z a-z 0-9 . _ -; root: USER/NAME)",
		option, output_word(name));
}

int ctl_parse_number(struct ctl *ctl, const char *option, const char *text, uint64_t least,
	uint64_t most, uint64_t *ret)
{
	unsigned long long number;

	if (!*text || strspn(text, "0123456789") != strlen(text))
		return ctl_usage(ctl, "%s %s: not a number", option, output_word(text));
	errno = 0;
	number = strtoull(text, NULL, 10);
	if (errno != 0 || number < least || number > most)
		return ctl_usage(ctl, "%s %s: not between %llu and %llu", option, text,
			(unsigned long long)least, (unsigned long long)most);
	*ret = number;
	return 0;
}

int ctl_parse_span(struct ctl *ctl, const char *option, const char *text, uint64_t *ret)
{
	struct when_error bad = {0};
	int r = when_parse_span(text, ret, &bad);

	if (r == -ENOMEM) {
		ctl->status = ctl_no_memory();
		return CTL_STOP;
	}
	if (r < 0)
		return ctl_usage(ctl, "%s %s: \"%.*s\" %s", option, output_word(text),
			(int)bad.length, bad.word, bad.advice);
	return 0;
}
