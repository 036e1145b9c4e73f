/* SPDX-License-Identifier: MIT */
/*
 * Makes system calls fail at the will of a test. The objects under test are those that are
 * installed, linked once more with -Wl,--wrap=CALL for each of the calls below (fault_calls.c).
 *
 * A plan says which call fails: the N-th use of any of a set of calls, once or from then on, with
 * an errno. The plan of a daemon is a file, which the daemon maps and the test changes while the
 * daemon runs. The plan of code in the test's own process is fault_own(). The wrapped calls also
 * count the memory and the descriptors that the code has taken and not released.
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
	/* files, and memory as a file */ \
	X(madvise) X(memfd_create) X(ftruncate64) X(fcntl64) X(fstat64) X(fstatat64) X(fopen64) \
	X(open64) X(openat64) X(readlinkat) X(flock) X(mkdirat) X(fchmod) X(unlinkat) X(close) \
	X(read) X(write) \
	/* sockets */ \
	X(socket) X(bind) X(listen) X(connect) X(accept4) X(recv) X(recvmsg) X(send) X(shutdown) \
	X(getsockopt) X(setsockopt) X(ioctl) \
	/* waiting */ \
	X(epoll_create1) X(epoll_ctl) X(epoll_wait) X(poll) X(ppoll) X(eventfd) \
	X(timerfd_create) X(timerfd_settime) X(signalfd) X(sigprocmask) \
	/* others */ \
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

/* Instead of an errno: the call does nothing and returns 0. */
#define FAULT_SHORT (-1)

struct fault_plan {
	_Atomic uint64_t calls; /* the set of calls; 0: no call fails */
	_Atomic uint32_t at;	/* the N-th use of these calls fails, from 1 */
	_Atomic bool for_ever;	/* all later uses fail, too */
	_Atomic int error;
	_Atomic uint32_t used;				/* uses of these calls so far */
	_Atomic uint32_t failed;			/* how many of them failed */
	_Atomic uint32_t counts[FAULT_CALLS_COUNT];	/* uses of each call, in the set or not */
	_Atomic bool ready;				/* READY=1 was sent */
	_Atomic uint32_t left_memory, left_descriptors; /* not released at the process's end */
};

/* The errors of a call, from its man page. */
struct fault_kind {
	const char *name;
	int errors[32]; /* a 0 ends them */
};

extern const struct fault_kind fault_kinds[FAULT_CALLS_COUNT];

/* fault_arm() starts a plan, and fault_disarm() ends it and returns how many calls have failed. */
void fault_arm(struct fault_plan *plan, uint64_t calls, uint32_t at, bool for_ever, int error);
uint32_t fault_disarm(struct fault_plan *plan);

/* Only in programs that link fault.c: the plan of this process, and how many allocations its code
 * holds now. */
struct fault_plan *fault_own(void);
size_t fault_memory(void);

/* For fault_calls.c: counts a use. Return: 0: it does not fail; an errno, which is also set;
 * FAULT_SHORT. */
int fault_use(enum fault_call call);
/* Note that memory was allocated, or freed. Both return p. */
void *fault_born(void *p);
void *fault_dead(void *p);
