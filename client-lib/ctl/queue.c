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

static const struct socket_names timerqd_names = {
	.daemon = "timerqd",
	.text = toytimer_queue_strerror,
	.option = "--queue-socket",
	.variable = "TIMERD_QUEUE_SOCKET",
	.system = "/run/timerd/queues",
	.user = "timerd/queues",
};

/* The library's sentence about an argument or the queue, without the name of the argument: the line
 * already names what was typed. */
static const char *reason_of(int error)
{
	static const char argument[] = "queue: ";
	const char *why = error == -EACCES || error == -EINVAL ? toytimer_get_error() : "";

	if (!*why)
		return toytimer_queue_strerror(error);
	return strncmp(why, argument, strlen(argument)) ? why : why + strlen(argument);
}

int ctl_queue_failed(const char *what, int error)
{
	output_error("%s: %s", output_word(what), reason_of(error));
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
	r = r < 0 ? connect_failed(ctl, &timerqd_names, path, r) : CTL_DONE;
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
