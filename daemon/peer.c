/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

/* The kernel's default, if /proc does not say. */
#define OVERFLOW_UID 65534

static uint32_t read_overflow_uid(void)
{
	uint32_t uid = OVERFLOW_UID;
	FILE *f = fopen("/proc/sys/kernel/overflowuid", "re");

	if (f && fscanf(f, "%u", &uid) != 1)
		uid = OVERFLOW_UID;
	if (f)
		fclose(f);
	return uid;
}

/* Whether this kernel has no user namespaces. /proc/self/uid_map failed to open with `error`; if
 * that file is missing from a mounted /proc, the kernel has none. */
static bool no_user_namespaces(int error)
{
	FILE *f = error == ENOENT ? fopen("/proc/self/status", "re") : NULL;

	if (f)
		fclose(f);
	return f;
}

/* Whether every uid has its own name here. Outside of any user namespace the map is one line: 0 0
 * 2^32 - 1. If the map cannot be read, the answer is no. */
static bool all_uids_named(void)
{
	unsigned long inside = 1, outside = 1, count = 0;
	FILE *f = fopen("/proc/self/uid_map", "re");
	int n;

	if (!f)
		return no_user_namespaces(errno);
	n = fscanf(f, "%lu %lu %lu", &inside, &outside, &count);
	fclose(f);
	return n == 3 && inside == 0 && outside == 0 && count == UINT32_MAX;
}

struct peer_rules peer_read_rules(void)
{
	return (struct peer_rules){
		.overflow_uid = read_overflow_uid(),
		.overflow_is_nobody = !all_uids_named(),
	};
}

int peer_get_unchecked(int fd, uint32_t *ret_uid, pid_t *ret_pid)
{
	struct ucred ucred;
	socklen_t size = sizeof(ucred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) < 0)
		return -errno;
	*ret_uid = ucred.uid;
	*ret_pid = ucred.pid;
	return 0;
}

int peer_get(const struct peer_rules *rules, int fd, uint32_t *ret_uid, pid_t *ret_pid)
{
	uint32_t uid = (uid_t)-1;
	pid_t pid = 0;
	int r = peer_get_unchecked(fd, &uid, &pid);

	if (r < 0)
		return r;
	if (uid == (uid_t)-1 || (rules->overflow_is_nobody && uid == rules->overflow_uid))
		return -EPERM;
	*ret_uid = uid;
	*ret_pid = pid;
	return 0;
}

size_t peer_get_groups(int fd, uint32_t *ret)
{
	socklen_t size = (PEER_GROUPS_MAX - 1) * sizeof(gid_t);
	struct ucred ucred;
	socklen_t ucred_size = sizeof(ucred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &ucred_size) < 0)
		return 0;
	ret[0] = ucred.gid;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, ret + 1, &size) < 0)
		size = 0;
	return 1 + size / sizeof(gid_t);
}
