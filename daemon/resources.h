/* SPDX-License-Identifier: MIT */
/*
 * The descriptors and the memory that the system allows this process.
 *
 * If the limits of timerd promise more than that, they are lowered at the start. A client that is
 * refused with a clear error is better off than one that waits for a descriptor. If the kernel
 * killed timerd for its memory, all clients would suffer.
 */
#pragma once

#include "limits.h"
#include "log.h"

/* Raises RLIMIT_NOFILE to its hard limit. Lowers each of the limits that does not fit, and logs
 * that.
 * Return: how many limits it has lowered. */
unsigned int resources_fit(struct log *log, struct limits *limits);

/* Finds the smallest memory limit of the control groups of this process.
 *   groups: the content of /proc/self/cgroup; root: /sys/fs/cgroup.
 * Return: the limit in bytes; UINT64_MAX: there is none. */
uint64_t resources_memory(const char *groups, const char *root);
