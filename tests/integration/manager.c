/* SPDX-License-Identifier: MIT */
#include "manager.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 60000
#define FDS_START   3	/* SD_LISTEN_FDS_START */
#define FDS_ABOVE   200 /* where there is room to sort descriptors */
#define NAMES_MAX   2048
#define MARK	    "X_MARK=1"

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	assert_true(strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	return address;
}

static int make_socket(const char *path, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = address_of(path);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static void keep(struct manager *m, const char *name, int fd)
{
	if (m->stored_count == MANAGER_STORED_MAX) {
		close(fd);
		return;
	}
	snprintf(m->stored[m->stored_count].name, sizeof(m->stored[0].name), "%s", name);
	m->stored[m->stored_count++].fd = fd;
}

static void drop(struct manager *m, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < m->stored_count; i++)
		if (strcmp(m->stored[i].name, name) == 0)
			close(m->stored[i].fd);
		else
			m->stored[kept++] = m->stored[i];
	m->stored_count = kept;
}

/* The value of a line NAME=VALUE; NULL if the line has another name. */
static const char *value_of(char *line, const char *name)
{
	size_t n = strlen(name);

	return strncmp(line, name, n) == 0 && line[n] == '=' ? line + n + 1 : NULL;
}

/* Handles one message. It owns the descriptors from now on. */
static void take_message(struct manager *m, char *message, const int *fds, size_t n)
{
	bool stores = false, removes = false;
	const char *name = NULL, *value;

	for (char *rest = message, *line; (line = strsep(&rest, "\n"));) {
		if ((value = value_of(line, "FDNAME")))
			name = value;
		if ((value = value_of(line, "STATUS")))
			snprintf(m->status, sizeof(m->status), "%s", value);
		stores |= strcmp(line, "FDSTORE=1") == 0;
		removes |= strcmp(line, "FDSTOREREMOVE=1") == 0;
		m->ready |= strcmp(line, "READY=1") == 0;
		m->barriers += strcmp(line, "BARRIER=1") == 0;
		m->fed += strcmp(line, "WATCHDOG=1") == 0;
		m->marks += strcmp(line, MARK) == 0;
	}
	if (removes && name)
		drop(m, name);
	for (size_t i = 0; i < n; i++)
		if (stores && !removes && name)
			keep(m, name, fds[i]);
		else
			close(fds[i]); /* a barrier waits until its descriptor is closed */
}

static void *listen_on(void *userdata)
{
	struct manager *m = userdata;
	char message[512];

	for (;;) {
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(8 * sizeof(int))];
		} control;
		struct iovec iov = {message, sizeof(message) - 1};
		struct msghdr msg = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control)};
		ssize_t size = recvmsg(m->notify, &msg, MSG_CMSG_CLOEXEC);
		int fds[8];
		size_t n = 0;

		if (size <= 0)
			return NULL;
		message[size] = 0;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c))
			if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
				n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
				memcpy(fds, CMSG_DATA(c), n * sizeof(int));
			}
		pthread_mutex_lock(&m->lock);
		take_message(m, message, fds, n);
		pthread_mutex_unlock(&m->lock);
	}
}

void manager_init(struct manager *m, const char *directory, const char *socket)
{
	*m = (struct manager){.listener = -1, .notify = -1};
	snprintf(m->path, sizeof(m->path), "%s/notify", directory);
	m->notify = make_socket(m->path, SOCK_DGRAM);
	m->listener = make_socket(socket, SOCK_SEQPACKET);
	assert_int_equal(listen(m->listener, 64), 0);
	pthread_mutex_init(&m->lock, NULL);
	assert_int_equal(pthread_create(&m->listening, NULL, listen_on, m), 0);
}

void manager_clean(struct manager *m)
{
	shutdown(m->notify, SHUT_RDWR);
	pthread_join(m->listening, NULL);
	close(m->notify);
	close(m->listener);
	unlink(m->path);
	while (m->stored_count)
		close(m->stored[--m->stored_count].fd);
	pthread_mutex_destroy(&m->lock);
	*m = (struct manager){.listener = -1, .notify = -1};
}

static unsigned int count_marks(struct manager *m)
{
	unsigned int n;

	pthread_mutex_lock(&m->lock);
	n = m->marks;
	pthread_mutex_unlock(&m->lock);
	return n;
}

/* Handles what a process that has died sent before its death. */
static void catch_up(struct manager *m)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un address = address_of(m->path);
	unsigned int marks = count_marks(m);

	assert_true(fd >= 0);
	assert_int_equal(
		sendto(fd, MARK, strlen(MARK), 0, (struct sockaddr *)&address, sizeof(address)),
		strlen(MARK));
	close(fd);
	for (int ms = 0; count_marks(m) == marks; ms++) {
		assert_true(ms < PATIENCE_MS);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

pid_t manager_fork(struct manager *m)
{
	pid_t pid;

	catch_up(m);
	fflush(NULL);
	/* In the child, the lock must be free and the list of descriptors complete. */
	pthread_mutex_lock(&m->lock);
	m->ready = false;
	pid = fork();
	pthread_mutex_unlock(&m->lock);
	assert_true(pid >= 0);
	return pid;
}

void manager_pass(const struct manager *m)
{
	char names[NAMES_MAX] = "timerd.socket", number[16];
	int fds[1 + MANAGER_STORED_MAX], n = 0;

	fds[n++] = fcntl(m->listener, F_DUPFD, FDS_ABOVE);
	for (size_t i = 0; i < m->stored_count; i++) {
		size_t used = strlen(names);

		fds[n++] = fcntl(m->stored[i].fd, F_DUPFD, FDS_ABOVE);
		snprintf(names + used, sizeof(names) - used, ":%s", m->stored[i].name);
	}
	for (int i = 0; i < n; i++)
		dup2(fds[i], FDS_START + i);
	close_range((unsigned int)(FDS_START + n), ~0u, 0);
	snprintf(number, sizeof(number), "%d", n);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(number, sizeof(number), "%ld", (long)getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("NOTIFY_SOCKET", m->path, 1);
	/* 400 ms, so that the daemon feeds the watchdog during the test. */
	setenv("WATCHDOG_PID", number, 1);
	setenv("WATCHDOG_USEC", "400000", 1);
}

size_t manager_count(struct manager *m)
{
	size_t n;

	pthread_mutex_lock(&m->lock);
	n = m->stored_count;
	pthread_mutex_unlock(&m->lock);
	return n;
}

bool manager_is_ready(struct manager *m)
{
	bool ready;

	pthread_mutex_lock(&m->lock);
	ready = m->ready;
	pthread_mutex_unlock(&m->lock);
	return ready;
}

void manager_await(struct manager *m, size_t count)
{
	for (int ms = 0; manager_count(m) != count; ms++) {
		assert_true(ms < PATIENCE_MS);
		nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
	}
}

void manager_go_deaf(struct manager *m)
{
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un address = address_of(m->path);

	assert_true(fd >= 0);
	pthread_mutex_lock(&m->lock);
	/* The thread receives one more message and then waits for the lock. */
	for (int full = 0; full < 2; full++) {
		while (sendto(fd, "", 1, 0, (struct sockaddr *)&address, sizeof(address)) == 1)
			;
		assert_int_equal(errno, EAGAIN);
		nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	}
	close(fd);
}

void manager_listen(struct manager *m)
{
	pthread_mutex_unlock(&m->lock);
}

int manager_find(struct manager *m, const char *name)
{
	int fd = -1;

	pthread_mutex_lock(&m->lock);
	for (size_t i = 0; i < m->stored_count; i++)
		if (strcmp(m->stored[i].name, name) == 0)
			fd = m->stored[i].fd;
	pthread_mutex_unlock(&m->lock);
	return fd;
}

void manager_keep(struct manager *m, const char *name, int fd)
{
	pthread_mutex_lock(&m->lock);
	keep(m, name, fd);
	pthread_mutex_unlock(&m->lock);
}

void manager_drop(struct manager *m, const char *name)
{
	pthread_mutex_lock(&m->lock);
	drop(m, name);
	pthread_mutex_unlock(&m->lock);
}
