/* SPDX-License-Identifier: MIT */
/* The wire's statuses, and our own system calls' errors, as errnos of the library. */
#pragma once

#include <stdint.h>

/* The negative errno that stands for an enum proto_status; 0 for PROTO_OK. */
int text_errno(uint32_t status);

/* The negative errno for one that a system call of ours got, positive: ENFILE and ENOSPC are limits
 * of the daemon's to our callers. */
int text_local(int error);
