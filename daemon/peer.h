/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end of a connection, as the kernel says.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* In a user namespace, all uids that are not mapped appear as one uid, the overflow uid
 * (user_namespaces(7)). So a peer with that uid has no identity, unless every uid is mapped. */
struct peer_rules {
	uint32_t overflow_uid;
	bool overflow_is_nobody; /* some uids are not mapped here, or the mapping is not known */
};

/* Reads the rules of this user namespace. Without /proc the overflow uid is nobody. */
struct peer_rules peer_read_rules(void);

/* Return: 0; -EPERM: the peer has no identity here; another negative errno: the kernel does not say
 * who it is. */
int peer_get(const struct peer_rules *rules, int fd, uint32_t *ret_uid, pid_t *ret_pid);

/* The same without the rules: the uid may be the overflow uid. Return: 0, or a negative errno. */
int peer_get_unchecked(int fd, uint32_t *ret_uid, pid_t *ret_pid);

/* More groups of one process than Linux allows (NGROUPS_MAX). */
#define PEER_GROUPS_MAX 65537

/* The groups of the process at the time when it connected: the primary one, then the others.
 *   ret: PEER_GROUPS_MAX of them.
 * Return: how many; 0: the kernel does not say. */
size_t peer_get_groups(int fd, uint32_t *ret);
