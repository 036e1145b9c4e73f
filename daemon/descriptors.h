/* SPDX-License-Identifier: MIT */
/*
 * What timerd and timerqd do about their descriptors when they start.
 */
#pragma once

/* Opens the standard streams that are closed. Otherwise a socket could get the number of one of
 * them, and a print would go to a client. */
void descriptors_open_standard(void);

/* Raises RLIMIT_NOFILE to its hard limit. Return: that limit; RLIM_INFINITY, also if the limit
 * cannot be read. */
unsigned long long descriptors_raise(void);
