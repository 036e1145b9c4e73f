/* SPDX-License-Identifier: MIT */
/*
 * Loaded into a timerqd by LD_PRELOAD. It plays what a test cannot do from outside:
 *
 *   TEST_HALT=FILE          the process stops itself (SIGSTOP) right before it sends a packet of
 *                           wakes, behind its check of the lease; once, if the file is there
 *   TEST_CLOCK_OFF=SECONDS  its wall clock is off by so much
 *   TEST_LOOKUP=SECONDS     looking up a host takes so long, as where no name server answers
 *   TEST_PAUSE=FILE         its clocks of elapsed time have stood still for so many microseconds
 *                           as the file says, as those of a paused virtual machine; none: for 0
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
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
	/* LD_PRELOAD also loads this file into the test's timerd, which must not change. */
	if (file && !strcmp(program_invocation_short_name, "timerqd") &&
		h.opcode == PROTO_QUEUE_WAKE && unlink(file) == 0)
		raise(SIGSTOP);
	return syscall(SYS_sendto, fd, packet, size, flags, NULL, 0);
}

static long paused_us(void)
{
	const char *file = getenv("TEST_PAUSE");
	int fd = file ? (int)syscall(SYS_openat, AT_FDCWD, file, O_RDONLY | O_CLOEXEC) : -1;
	char text[24] = "";

	if (fd < 0)
		return 0;
	if (syscall(SYS_read, fd, text, sizeof(text) - 1) < 0)
		text[0] = 0;
	syscall(SYS_close, fd);
	return strtol(text, NULL, 10);
}

static void add_us(struct timespec *t, long us)
{
	long long ns = (long long)t->tv_sec * 1000000000 + t->tv_nsec + (long long)us * 1000;

	t->tv_sec = (time_t)(ns / 1000000000);
	t->tv_nsec = (long)(ns % 1000000000);
}

STANDS_IN int clock_gettime(clockid_t clock, struct timespec *ret)
{
	const char *off = clock == CLOCK_REALTIME ? getenv("TEST_CLOCK_OFF") : NULL;
	int r = (int)syscall(SYS_clock_gettime, clock, ret);

	if (off)
		ret->tv_sec += strtol(off, NULL, 10);
	if (clock == CLOCK_BOOTTIME || clock == CLOCK_MONOTONIC)
		add_us(ret, -paused_us());
	return r;
}

/* The kernel's clocks have not stood still. */
STANDS_IN int timerfd_settime(
	int fd, int flags, const struct itimerspec *at, struct itimerspec *ret_old)
{
	struct itimerspec kernel = *at;

	if (flags & TFD_TIMER_ABSTIME && !(flags & TFD_TIMER_CANCEL_ON_SET) &&
		(at->it_value.tv_sec || at->it_value.tv_nsec))
		add_us(&kernel.it_value, paused_us());
	return (int)syscall(SYS_timerfd_settime, fd, flags, &kernel, ret_old);
}

STANDS_IN int getaddrinfo(
	const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **ret)
{
	const char *seconds = getenv("TEST_LOOKUP");
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);

	if (seconds)
		sleep((unsigned int)strtoul(seconds, NULL, 10));
	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	return real ? real(node, service, hints, ret) : EAI_SYSTEM;
}
