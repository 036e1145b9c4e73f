/* SPDX-License-Identifier: MIT */
/* Statuses of timerqd as errnos, and errnos as sentences. See text.c. */
#include <errno.h>
#include <stddef.h>

#include "public.h"
#include "queue_state.h"
#include "text.h"

int queue_errno(uint32_t status)
{
	switch (status) {
	case PROTO_Q_NAME:
	case PROTO_Q_KEY:
	case PROTO_Q_WINDOW:
		return -EINVAL;
	case PROTO_Q_QUEUE:
		return -ENOTCONN;
	case PROTO_Q_PAYLOAD:
		return -EMSGSIZE;
	case PROTO_Q_BYTES_USER:
		return -ENOBUFS;
	case PROTO_Q_USER:
		return -EACCES;
	case PROTO_Q_STORE_FULL:
		return -ENOSPC;
	case PROTO_Q_STORE_FAILED:
		return -EIO;
	case PROTO_Q_STORE_AWAY:
		return -EHOSTUNREACH;
	case PROTO_Q_STORE_UNKNOWN:
		return -EINPROGRESS;
	case PROTO_Q_ATTACHED:
		return -EALREADY;
	case PROTO_Q_QUEUES:
		return -E2BIG;
	case PROTO_Q_PARKED:
		return -ENOENT;
	case PROTO_Q_FLEET:
		return -EOPNOTSUPP;
	default:
		return text_errno(status);
	}
}

int queue_refusal(uint32_t status)
{
	int error = queue_errno(status);

	switch (status) {
	case PROTO_E_PERMISSION:
		return text_refused(error, "queue: another user's, which only root may use");
	case PROTO_Q_USER:
		return text_refused(error,
			"queue: its user may have none, being one of systemd's dynamic users (uids "
			"61184 to 65519) or the overflow user");
	default:
		return error == -EACCES ? text_refusal(status) : error;
	}
}

int queue_check_times(const toytimer_queue_timer *t)
{
	if (t->due > INT64_MAX)
		return text_refused(-ERANGE, QUEUE_TEXT_DUE);
	if (t->slack > INT64_MAX && t->slack != TOYTIMER_FOREVER)
		return text_refused(-ERANGE, "timer.slack:" TEXT_END);
	if (t->every > INT64_MAX)
		return text_refused(-ERANGE, "timer.every:" TEXT_END);
	if (t->max_late > INT64_MAX && t->max_late != TOYTIMER_FOREVER)
		return text_refused(-ERANGE, "timer.max_late:" TEXT_END);
	if (!t->every && t->count > 1)
		return text_invalid(
			"timer.count: more than one wake, without a period in timer.every");
	return 0;
}

_public_ const char *toytimer_queue_strerror(int error)
{
	static const struct {
		int error;
		const char *text;
	} texts[] = {
		{EDQUOT, "too many durable timers for this user (--max-timers-per-user)"},
		{ENOSPC, "the store is full: nothing was stored"},
		{EIO, "the store has failed: nothing is stored any more"},
		{EHOSTUNREACH, "the store cannot be reached"},
		{EOPNOTSUPP,
			"the monotonic clock cannot wake the system; queues that are shared by a "
			"fleet have no monotonic clock, and wake no machine"},
		{EINPROGRESS, "it is not known whether it was stored"},
		{ENOBUFS,
			"too many bytes of payloads and keys for this user (--max-bytes-per-user)"},
		{EMSGSIZE, "the payload is longer than 16384 bytes"},
		{EALREADY, "this handle consumes the queue already"},
		{ENOTCONN, "this handle does not consume the queue"},
		{EACCES, "permission denied, or this user may have no queues"},
		{EAGAIN, "too much is queued: process some of it first"},
		{ECONNRESET, "the connection broke before the answer came"},
		{ECONNREFUSED, "timerqd cannot be reached"},
		{ETIMEDOUT, "timerqd did not answer in time"},
		{EPROTO, "timerqd and this library do not understand each other"},
		{EMFILE, "out of file descriptors or memory, here or in timerqd"},
		{E2BIG, "this handle uses 1024 queues, and may use no more"},
		{ENOSYS, "this timerqd is too old for that"},
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (error == texts[i].error || error == -texts[i].error)
			return texts[i].text;
	return toytimer_strerror(error);
}
