/* SPDX-License-Identifier: MIT */
/*
 * Who is at the other end of a connection, as the kernel says.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* Uids that have no name in this user namespace all look like one, the overflow uid
 * (user_namespaces(7)). A peer with that uid has no identity, unless every uid has a name here. */
struct peer_rules {
	uint32_t overflow_uid;
	bool overflow_is_nobody;
};

/* Reads the rules of this user namespace. Where /proc is missing the overflow uid is nobody. */
struct peer_rules peer_read_rules(void);

/* Return: 0; -EPERM: the peer has no identity here; another negative errno: the kernel does not say
 * who it is. */
int peer_get(const struct peer_rules *rules, int fd, uint32_t *ret_uid, pid_t *ret_pid);
