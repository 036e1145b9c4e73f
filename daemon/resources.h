/* SPDX-License-Identifier: MIT */
/*
 * What the system lets this process have: descriptors and memory. Limits that promise more are lowered
 * at the start, because a client that is refused by name is better off than one that waits for a
 * descriptor, or than everybody when the kernel kills timerd for its memory.
 */
#pragma once

#include "limits.h"
#include "log.h"

/* Raises RLIMIT_NOFILE to its hard limit, then lowers limits to what fits, and logs what it lowers.
 * Return: how many limits it has lowered. */
unsigned int resources_fit(struct log *log, struct limits *limits);

/* The smallest memory limit of a text of /proc/self/cgroup and of the control groups below root,
 * which is /sys/fs/cgroup; UINT64_MAX: there is none. */
uint64_t resources_memory(const char *groups, const char *root);
