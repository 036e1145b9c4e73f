/* SPDX-License-Identifier: MIT */
/* Converts statuses of the protocol and errors of system calls to errnos of the library. */
#pragma once

#include <stdint.h>

/* The negative errno that stands for an enum proto_status; 0 for PROTO_OK. */
int text_errno(uint32_t status);

/* The same for a status that refuses a connection: -EACCES comes with a sentence for
 * toytimer_get_error(). */
int text_refusal(uint32_t status);

/* Converts the positive errno of a system call to the library's negative errno. ENFILE and ENOSPC
 * become -EMFILE, because for callers they mean limits of the daemon. */
int text_local(int error);

/* Sets the sentence that toytimer_get_error() returns in this thread. Return: -EINVAL. */
int text_invalid(const char *sentence);

/* The same for a call that fails with another error. Return: the error. */
int text_refused(int error, const char *sentence);

#define TEXT_NO_HANDLE "handle: NULL"
#define TEXT_END       " past the end of the clock"
#define TEXT_COUNT                               \
	"registration.count: more than one wake" \
	", without a period in registration.every"
#define TEXT_RESERVED	     "registration.reserved: not 0"
#define TEXT_LABEL_LONG	     "label: longer than 24 bytes"
#define TEXT_LABEL_PRINTABLE "label: not printable UTF-8"
