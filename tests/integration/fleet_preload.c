/* SPDX-License-Identifier: MIT */
/*
 * Loaded into a timerqd by LD_PRELOAD. It plays what a test cannot do from outside:
 *
 *   TEST_HALT=FILE          the process stops itself (SIGSTOP) right before it sends a packet of
 *                           wakes, behind its check of the lease; once, if the file is there
 *   TEST_CLOCK_OFF=SECONDS  its wall clock is off by so much
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "proto.h"
#include "queue.h"

#define STANDS_IN __attribute__((visibility("default")))

STANDS_IN ssize_t send(int fd, const void *packet, size_t size, int flags)
{
	const char *file = getenv("TEST_HALT");
	struct proto_header h = {0};

	memcpy(&h, packet, size < sizeof(h) ? size : sizeof(h));
	/* The test's timerd is loaded with it, too. */
	if (file && !strcmp(program_invocation_short_name, "timerqd") &&
		h.opcode == PROTO_QUEUE_WAKE && unlink(file) == 0)
		raise(SIGSTOP);
	return syscall(SYS_sendto, fd, packet, size, flags, NULL, 0);
}

STANDS_IN int clock_gettime(clockid_t clock, struct timespec *ret)
{
	const char *off = clock == CLOCK_REALTIME ? getenv("TEST_CLOCK_OFF") : NULL;
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (off)
		ret->tv_sec += strtol(off, NULL, 10);
	return r;
}
