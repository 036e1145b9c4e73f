/* SPDX-License-Identifier: MIT */
#include "peer.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

/* The kernel's default, where /proc does not say. */
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

/* Whether this kernel has no user namespaces: /proc is there and knows of none. Without /proc, that
 * is not known. */
static bool no_user_namespaces(int error)
{
	FILE *f = error == ENOENT ? fopen("/proc/self/status", "re") : NULL;

	if (f)
		fclose(f);
	return f;
}

/* Whether every uid has its own name here, as outside of any user namespace: one line, 0 0 2^32 -
 * 1. Where that cannot be found out, the answer is no. */
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

int peer_get(const struct peer_rules *rules, int fd, uint32_t *ret_uid, pid_t *ret_pid)
{
	struct ucred ucred;
	socklen_t size = sizeof(ucred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &ucred, &size) < 0)
		return -errno;
	if (ucred.uid == (uid_t)-1 ||
		(rules->overflow_is_nobody && ucred.uid == rules->overflow_uid))
		return -EPERM;
	*ret_uid = ucred.uid;
	*ret_pid = ucred.pid;
	return 0;
}
