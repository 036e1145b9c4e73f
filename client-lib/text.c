/* SPDX-License-Identifier: MIT */
/*
 * Converts a status of the protocol to an errno, and an errno to a sentence. If a caller may need
 * to distinguish two failures, they have different errnos.
 */
#include <errno.h>
#include <stddef.h>

#include "proto.h"
#include "public.h"
#include "text.h"
#include "toytimer.h"

int text_errno(uint32_t status)
{
	switch ((enum proto_status)status) {
	case PROTO_OK:
		return 0;
	case PROTO_E_NO_SUCH_TIMER:
		return -ENOENT;
	case PROTO_E_TIMERS:
		return -ENOSPC;
	case PROTO_E_TIMERS_USER:
		return -EDQUOT;
	case PROTO_E_CLOCK:
	case PROTO_E_FLAGS:
	case PROTO_E_COUNT:
	case PROTO_E_LABEL:
		return -EINVAL;
	case PROTO_E_RANGE:
		return -ERANGE;
	case PROTO_E_WAKE_SYSTEM:
		return -EPERM;
	case PROTO_E_WAKE_CLOCK:
	case PROTO_E_SET_CLOCK:
		return -EOPNOTSUPP;
	case PROTO_E_PERMISSION:
	case PROTO_E_NOBODY:
	case PROTO_E_SLOW_SOCKETS:
		return -EACCES;
	case PROTO_E_CLIENTS:
		return -ENFILE;
	case PROTO_E_CLIENTS_USER:
		return -EUSERS;
	case PROTO_E_DESCRIPTORS:
		return -EMFILE;
	case PROTO_E_HELLO_TIMEOUT:
		return -ETIMEDOUT;
	case PROTO_E_VERSION:
	case PROTO_E_PACKET:
	case PROTO_E_SEQUENCE:
	case PROTO_E_PASSED_DESCRIPTOR:
		break;
	}
	return -EPROTO; /* also for a status of a later version */
}

/* This state is not in the handle, because toytimer_open() fails without a handle. */
static _Thread_local const char *invalid = "";

int text_refused(int error, const char *sentence)
{
	invalid = sentence;
	return error;
}

int text_refusal(uint32_t status)
{
	int error = text_errno(status);

	switch (status) {
	case PROTO_E_NOBODY:
		return text_refused(error,
			"the daemon does not serve the overflow user, which stands for every user "
			"without a uid here");
	case PROTO_E_SLOW_SOCKETS:
		return text_refused(error,
			"the daemon does not serve this user for some seconds: calls on its "
			"sockets took too long");
	default:
		return error;
	}
}

int text_invalid(const char *sentence)
{
	return text_refused(-EINVAL, sentence);
}

_public_ const char *toytimer_get_error(void)
{
	return invalid;
}

int text_local(int error)
{
	return error == ENFILE || error == ENOSPC ? -EMFILE : -error;
}

_public_ const char *toytimer_strerror(int error)
{
	static const struct {
		int error;
		const char *text;
	} texts[] = {
		{0, "no error"},
		{EDQUOT, "too many timers for this user (--max-timers-per-user)"},
		{ENOSPC, "too many timers in all (--max-timers)"},
		{EUSERS, "too many clients for this user (--max-clients-per-user)"},
		{ENFILE, "too many clients in all (--max-clients)"},
		{EMFILE, "out of file descriptors or memory, here or in timerd"},
		{EPERM, "timerd may not wake the system: it does not hold CAP_WAKE_ALARM"},
		{EOPNOTSUPP, "the monotonic clock cannot wake the system"},
		{EACCES, "permission denied"},
		{ENOENT, "no such timer"},
		{EINVAL, "invalid argument"},
		{ERANGE, "the instant passes the end of the clock"},
		{ECONNREFUSED, "timerd cannot be reached"},
		{ETIMEDOUT, "timerd did not answer in time"},
		{EPROTO, "timerd and this library do not understand each other"},
		{ENOMEM, "out of memory"},
		{ECHILD, "the handle belongs to the parent process"},
		{EBUSY, "not from within a handler"},
		{EINTR, "interrupted by a signal"},
		{EBADF, "the program has closed the handle's descriptors"},
		{ENOSYS, "this timerd is too old for that"},
		{ECONNRESET, "timerd was lost in the middle of a listing"},
		{ENOMEDIUM, "XDG_RUNTIME_DIR is not set"},
		{ECANCELED, "cancelled by another session"},
	};

	/* Negates the known errors, because -INT_MIN overflows. */
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (error == texts[i].error || error == -texts[i].error)
			return texts[i].text;
	return "unknown error";
}
