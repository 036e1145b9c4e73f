/* SPDX-License-Identifier: MIT */
/* The wire's statuses, and our own system calls' errors, as errnos of the library. */
#pragma once

#include <stdint.h>

/* The negative errno that stands for an enum proto_status; 0 for PROTO_OK. */
int text_errno(uint32_t status);

/* The negative errno for one that a system call of ours got, positive: ENFILE and ENOSPC are limits
 * of the daemon's to our callers. */
int text_local(int error);

/* -EINVAL, and the sentence that toytimer_get_error() says of it in this thread from now on. */
int text_invalid(const char *sentence);

#define TEXT_COUNT	     "registration.count: more than one wake, without a period in registration.every"
#define TEXT_RESERVED	     "registration.reserved: not 0"
#define TEXT_LABEL_LONG	     "label: longer than 24 bytes"
#define TEXT_LABEL_PRINTABLE "label: not printable UTF-8"
