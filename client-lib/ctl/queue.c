/* SPDX-License-Identifier: MIT */
/*
 * The way to timerqd, and what the verbs of durable queues share.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl.h"
#include "output.h"
#include "when.h"

#define SYSTEM_SOCKET "/run/timerd/queues"
#define USER_SOCKET   "timerd/queues" /* below $XDG_RUNTIME_DIR */

static const char *empty_as_null(const char *s)
{
	return s && *s ? s : NULL;
}

/* The path is resolved here and not by the library, so that an error can name it. */
static int socket_path(const struct ctl *ctl, char **ret)
{
	const char *path = ctl->queue_path, *folder;

	if (!path && ctl->instance == CTL_INSTANCE_USER) {
		folder = empty_as_null(getenv("XDG_RUNTIME_DIR"));
		if (!folder) {
			output_error("--user: XDG_RUNTIME_DIR is not set");
			return CTL_UNREACHABLE;
		}
		if (asprintf(ret, "%s/" USER_SOCKET, folder) < 0)
			*ret = NULL;
	} else {
		if (!path && ctl->instance != CTL_INSTANCE_SYSTEM)
			path = empty_as_null(getenv("TIMERD_QUEUE_SOCKET"));
		*ret = strdup(path ? path : SYSTEM_SOCKET);
	}
	return *ret ? CTL_DONE : ctl_no_memory();
}

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
	int r = socket_path(ctl, &path);

	if (r != CTL_DONE)
		return r;
	r = toytimer_queue_open(ret, path, 0);
	if (r == -ECONNREFUSED) {
		ctl_report_unreachable(ctl, "timerqd", path, SYSTEM_SOCKET);
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
