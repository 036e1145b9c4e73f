/* SPDX-License-Identifier: MIT */
/*
 * Calls that fail when a test wants them to. Code under test is linked anew with -Wl,--wrap=CALL
 * for each of the calls below (fault_calls.c), so that its objects are the very ones that are
 * installed.
 *
 * What is to fail is said in a plan: the N-th use of any of a set of calls, once or from then
 * on, with an errno. The plan of a daemon is a file that it shares with its test, who changes it
 * while the daemon runs; the plan of code in the test's own process is fault_own(). Beside it,
 * memory and descriptors that the code has taken and not given back are counted.
 */
#pragma once

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The variable of the environment that names the plan's file. */
#define FAULT_PLAN "TIMERD_FAULTS"

/* clang-format off */
#define FAULT_CALLS(X) \
	/* memory */ \
	X(malloc) X(calloc) X(reallocarray) X(strdup) X(mmap64) \
	/* files and memory that is one */ \
	X(madvise) X(memfd_create) X(ftruncate64) X(fcntl64) X(fstat64) X(fstatat64) X(fopen64) \
	X(open64) X(openat64) X(readlinkat) X(flock) X(mkdirat) X(fchmod) X(unlinkat) X(close) \
	X(read) X(write) \
	/* sockets */ \
	X(socket) X(bind) X(listen) X(connect) X(accept4) X(recv) X(recvmsg) X(send) X(shutdown) \
	X(getsockopt) X(setsockopt) X(ioctl) \
	/* what is waited for */ \
	X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(poll) X(ppoll) X(eventfd) \
	X(timerfd_create) X(timerfd_settime) X(signalfd) X(sigprocmask) \
	/* the rest */ \
	X(getrandom) X(getrlimit64) X(setrlimit64) X(pthread_mutex_init) \
	X(sd_listen_fds_with_names) X(sd_is_socket) X(sd_notify) X(sd_notifyf) \
	X(sd_pid_notify_with_fds) X(sd_notify_barrier) X(sd_watchdog_enabled)
/* clang-format on */

enum fault_call {
#define X(name) FAULT_##name,
	FAULT_CALLS(X)
#undef X
		FAULT_CALLS_COUNT
};

static_assert(FAULT_CALLS_COUNT <= 64, "a set of calls is a number");

/* Sets of calls. */
#define FAULT_BIT(call) (UINT64_C(1) << (call))
#define FAULT_MEMORY                                                                         \
	(FAULT_BIT(FAULT_malloc) | FAULT_BIT(FAULT_calloc) | FAULT_BIT(FAULT_reallocarray) | \
		FAULT_BIT(FAULT_strdup) | FAULT_BIT(FAULT_mmap64))

/* Instead of an errno: the call gets nothing done and says so, with a result of 0. */
#define FAULT_SHORT (-1)

struct fault_plan {
	_Atomic uint64_t calls; /* 0: nothing is to fail */
	_Atomic uint32_t at;	/* the N-th use of them, from 1 */
	_Atomic bool for_ever;	/* and all that follow */
	_Atomic int error;
	_Atomic uint32_t used;				/* uses of them so far */
	_Atomic uint32_t failed;			/* that failed */
	_Atomic uint32_t counts[FAULT_CALLS_COUNT];	/* uses of each call, whatever is to fail */
	_Atomic bool ready;				/* READY=1 was said */
	_Atomic uint32_t left_memory, left_descriptors; /* at the process's end */
};

/* What a call may fail with, as its man page lists it. */
struct fault_kind {
	const char *name;
	int errors[32]; /* up to a 0 */
};

extern const struct fault_kind fault_kinds[FAULT_CALLS_COUNT];

/* Sets a plan to work. fault_disarm() returns how many calls have failed. */
void fault_arm(struct fault_plan *plan, uint64_t calls, uint32_t at, bool for_ever, int error);
uint32_t fault_disarm(struct fault_plan *plan);

/* Only where fault.c is linked: this process's plan, and what its code has of memory now. */
struct fault_plan *fault_own(void);
size_t fault_memory(void);

/* For fault_calls.c: counts a use. Return: 0, or how it is to fail: an errno, which is set, or
 * FAULT_SHORT. */
int fault_use(enum fault_call call);
/* Notes what has been allocated, what is free again. Both return p. */
void *fault_born(void *p);
void *fault_dead(void *p);
