/* SPDX-License-Identifier: MIT */
/*
 * The wrappers. With -Wl,--wrap=read, a call of read() goes to __wrap_read(), and __real_read() is
 * the function of the C library. The names are those in the object files, with 64-bit offsets.
 */
#include "fault_wrap.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/types.h>

/* A function that returns the errno. */
#define WRAP_PTHREAD(name, parameters, arguments) WRAP_AS(int, name, fault, parameters, arguments)

/* A function that does its work although it returns an error. */
#define WRAP_DONE(name, done, parameters, arguments)                     \
	int __real_##name parameters;                                    \
	int __wrap_##name parameters;                                    \
	int __wrap_##name parameters                                     \
	{                                                                \
		int fault = fault_use(FAULT_##name);                     \
		int r = fault && !(done) ? -1 : __real_##name arguments; \
                                                                         \
		if (fault)                                               \
			errno = fault;                                   \
		return fault ? -1 : r;                                   \
	}

/* A function that allocates. */
#define WRAP_MEMORY(name, failed, parameters, arguments)                                       \
	void *__real_##name parameters;                                                        \
	void *__wrap_##name parameters;                                                        \
	void *__wrap_##name parameters                                                         \
	{                                                                                      \
		return fault_use(FAULT_##name) ? failed : fault_born(__real_##name arguments); \
	}

WRAP_MEMORY(malloc, NULL, (size_t size), (size))
WRAP_MEMORY(calloc, NULL, (size_t n, size_t size), (n, size))
WRAP_MEMORY(mmap64, MAP_FAILED,
	(void *address, size_t size, int prot, int flags, int fd, off_t offset),
	(address, size, prot, flags, fd, offset))

void *__real_reallocarray(void *old, size_t n, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size);
void *__wrap_reallocarray(void *old, size_t n, size_t size)
{
	void *p;

	if (fault_use(FAULT_reallocarray))
		return NULL;
	fault_dead(old);
	p = __real_reallocarray(old, n, size);
	if (!p)
		abort(); /* abort(): without memory this test means nothing. */
	return fault_born(p);
}

char *__real_strdup(const char *text);
char *__wrap_strdup(const char *text);
char *__wrap_strdup(const char *text)
{
	return fault_use(FAULT_strdup) ? NULL : fault_born(__real_strdup(text));
}

void __real_free(void *p);
void __wrap_free(void *p);
void __wrap_free(void *p)
{
	__real_free(fault_dead(p));
}

int __real_munmap(void *p, size_t size);
int __wrap_munmap(void *p, size_t size);
int __wrap_munmap(void *p, size_t size)
{
	return __real_munmap(fault_dead(p), size);
}

WRAP_AS(FILE *, fopen64, NULL, (const char *path, const char *mode), (path, mode))
WRAP(int, madvise, (void *p, size_t size, int advice), (p, size, advice))
WRAP(int, memfd_create, (const char *name, unsigned int flags), (name, flags))
WRAP(int, ftruncate64, (int fd, off_t size), (fd, size))
WRAP(int, fstat64, (int fd, struct stat *st), (fd, st))
WRAP(int, fstatat64, (int at, const char *path, struct stat *st, int flags), (at, path, st, flags))
WRAP(int, flock, (int fd, int operation), (fd, operation))
WRAP(int, mkdirat, (int at, const char *path, mode_t mode), (at, path, mode))
WRAP(int, fchmod, (int fd, mode_t mode), (fd, mode))
WRAP(int, unlinkat, (int at, const char *path, int flags), (at, path, flags))
WRAP(ssize_t, readlinkat, (int at, const char *path, char *p, size_t n), (at, path, p, n))
WRAP_DONE(close, true, (int fd), (fd))
WRAP(ssize_t, read, (int fd, void *p, size_t n), (fd, p, n))
WRAP(ssize_t, write, (int fd, const void *p, size_t n), (fd, p, n))

int __real_fcntl64(int fd, int command, ...);
int __wrap_fcntl64(int fd, int command, long argument);
int __wrap_fcntl64(int fd, int command, long argument)
{
	return fault_use(FAULT_fcntl64) ? -1 : __real_fcntl64(fd, command, argument);
}

int __real_open64(const char *path, int flags, ...);
int __wrap_open64(const char *path, int flags, mode_t mode);
int __wrap_open64(const char *path, int flags, mode_t mode)
{
	return fault_use(FAULT_open64) ? -1 : __real_open64(path, flags, mode);
}

int __real_openat64(int at, const char *path, int flags, ...);
int __wrap_openat64(int at, const char *path, int flags, mode_t mode);
int __wrap_openat64(int at, const char *path, int flags, mode_t mode)
{
	return fault_use(FAULT_openat64) ? -1 : __real_openat64(at, path, flags, mode);
}

int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
	return fault_use(FAULT_ioctl) ? -1 : __real_ioctl(fd, request, argument);
}

WRAP(int, socket, (int domain, int type, int protocol), (domain, type, protocol))
WRAP(int, bind, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(int, listen, (int fd, int backlog), (fd, backlog))
/* EINTR, or an error although the connection exists: connect(2) continues in the background. */
WRAP(int, connect, (int fd, const struct sockaddr *a, socklen_t n), (fd, a, n))
WRAP(int, accept4, (int fd, struct sockaddr *a, socklen_t *n, int flags), (fd, a, n, flags))
WRAP(ssize_t, recv, (int fd, void *p, size_t n, int flags), (fd, p, n, flags))
WRAP(ssize_t, recvmsg, (int fd, struct msghdr *m, int flags), (fd, m, flags))
WRAP(int, shutdown, (int fd, int how), (fd, how))

ssize_t __real_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags);
ssize_t __wrap_send(int fd, const void *p, size_t n, int flags)
{
	int fault = fault_use(FAULT_send);

	if (!fault)
		return __real_send(fd, p, n, flags);
	/* Only a connection that has ended has these errors. */
	if (fault == EPIPE || fault == ECONNRESET)
		__real_shutdown(fd, SHUT_RDWR);
	errno = fault;
	return -1;
}

WRAP(int, getsockopt, (int fd, int level, int name, void *p, socklen_t *n), (fd, level, name, p, n))
WRAP(int, setsockopt, (int fd, int level, int name, const void *p, socklen_t n),
	(fd, level, name, p, n))

WRAP(int, epoll_create1, (int flags), (flags))
WRAP(int, epoll_ctl, (int epoll, int operation, int fd, struct epoll_event *e),
	(epoll, operation, fd, e))
WRAP(int, epoll_wait, (int epoll, struct epoll_event *e, int n, int ms), (epoll, e, n, ms))
WRAP(int, poll, (struct pollfd * p, nfds_t n, int ms), (p, n, ms))
WRAP(int, ppoll, (struct pollfd * p, nfds_t n, const struct timespec *ts, const sigset_t *mask),
	(p, n, ts, mask))
WRAP(int, eventfd, (unsigned int value, int flags), (value, flags))
WRAP(int, timerfd_create, (clockid_t clock, int flags), (clock, flags))
/* ECANCELED: the clock was set, and the timer is armed all the same. */
WRAP_DONE(timerfd_settime, fault == ECANCELED,
	(int fd, int flags, const struct itimerspec *to, struct itimerspec *was),
	(fd, flags, to, was))
WRAP(int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
WRAP(int, sigprocmask, (int how, const sigset_t *set, sigset_t *was), (how, set, was))

WRAP_AS(ssize_t, getrandom, fault < 0 ? (ssize_t)n / 2 : -1,
	(void *p, size_t n, unsigned int flags), (p, n, flags))
WRAP(int, getrlimit64, (int resource, struct rlimit *limit), (resource, limit))
WRAP(int, setrlimit64, (int resource, const struct rlimit *limit), (resource, limit))
WRAP_PTHREAD(
	pthread_mutex_init, (pthread_mutex_t * mutex, const pthread_mutexattr_t *a), (mutex, a))
