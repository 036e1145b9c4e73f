/* SPDX-License-Identifier: MIT */
#include "faulty.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 60000
#define FDS_START   3	/* SD_LISTEN_FDS_START */
#define FDS_ABOVE   200 /* where there is room to sort descriptors */
#define NAMES_MAX   2048

static void put_address(struct sockaddr_un *address, const char *path)
{
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	assert_true(strlen(path) < sizeof(address->sun_path));
	memcpy(address->sun_path, path, strlen(path));
}

static int make_socket(const char *path, int type)
{
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);
	struct sockaddr_un address;

	put_address(&address, path);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* The store of descriptors, as sd_pid_notify_with_fds(3) tells of it. */
static void keep(struct faulty *f, const char *name, int fd)
{
	if (f->stored_count == FAULTY_STORED_MAX) {
		close(fd);
		return;
	}
	snprintf(f->stored[f->stored_count].name, sizeof(f->stored[0].name), "%s", name);
	f->stored[f->stored_count++].fd = fd;
}

static void drop(struct faulty *f, const char *name)
{
	size_t kept = 0;

	for (size_t i = 0; i < f->stored_count; i++)
		if (strcmp(f->stored[i].name, name) == 0)
			close(f->stored[i].fd);
		else
			f->stored[kept++] = f->stored[i];
	f->stored_count = kept;
}

static void take_message(struct faulty *f, char *message, const int *fds, size_t n)
{
	char *name = strstr(message, "FDNAME=");
	bool stores = strstr(message, "FDSTORE=1"), removes = strstr(message, "FDSTOREREMOVE=1");

	if (name) {
		name += strlen("FDNAME=");
		name[strcspn(name, "\n")] = 0;
	}
	pthread_mutex_lock(&f->lock);
	if (removes && name)
		drop(f, name);
	for (size_t i = 0; i < n; i++)
		if (stores && !removes && name)
			keep(f, name, fds[i]);
		else
			close(fds[i]); /* which a barrier waits for */
	pthread_mutex_unlock(&f->lock);
}

static void *listen_on(void *userdata)
{
	struct faulty *f = userdata;
	char message[512];

	for (;;) {
		union {
			struct cmsghdr header;
			char bytes[CMSG_SPACE(8 * sizeof(int))];
		} control;
		struct iovec iov = {message, sizeof(message) - 1};
		struct msghdr m = {.msg_iov = &iov,
			.msg_iovlen = 1,
			.msg_control = &control,
			.msg_controllen = sizeof(control)};
		ssize_t size = recvmsg(f->notify, &m, MSG_CMSG_CLOEXEC);
		int fds[8];
		size_t n = 0;

		if (size <= 0)
			return NULL;
		message[size] = 0;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
				n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
				memcpy(fds, CMSG_DATA(c), n * sizeof(int));
			}
		take_message(f, message, fds, n);
	}
}

static void share_plan(struct faulty *f)
{
	int fd = open(f->plan_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, sizeof(*f->plan)), 0);
	f->plan = mmap(NULL, sizeof(*f->plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	assert_ptr_not_equal(f->plan, MAP_FAILED);
	close(fd);
}

void faulty_init(struct faulty *f, bool managed)
{
	*f = (struct faulty){.managed = managed, .listener = -1, .notify = -1};
	snprintf(f->directory, sizeof(f->directory), "/tmp/timerd-test-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->socket, sizeof(f->socket), "%s/socket", f->directory);
	snprintf(f->plan_path, sizeof(f->plan_path), "%s/plan", f->directory);
	snprintf(f->log, sizeof(f->log), "%s/log", f->directory);
	snprintf(f->notify_path, sizeof(f->notify_path), "%s/notify", f->directory);
	share_plan(f);
	if (!managed)
		return;
	f->notify = make_socket(f->notify_path, SOCK_DGRAM);
	f->listener = make_socket(f->socket, SOCK_SEQPACKET);
	assert_int_equal(listen(f->listener, 64), 0);
	pthread_mutex_init(&f->lock, NULL);
	assert_int_equal(pthread_create(&f->listening, NULL, listen_on, f), 0);
}

void faulty_clean(struct faulty *f)
{
	static const char *const names[] = {"socket", "socket.lock", "plan", "log", "notify"};
	char path[128];

	if (!f->plan)
		return;
	if (f->pid)
		faulty_kill(f);
	if (f->managed) {
		shutdown(f->notify, SHUT_RDWR);
		pthread_join(f->listening, NULL);
		close(f->notify);
		close(f->listener);
		while (f->stored_count)
			close(f->stored[--f->stored_count].fd);
		pthread_mutex_destroy(&f->lock);
	}
	munmap(f->plan, sizeof(*f->plan));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->directory, names[i]);
		unlink(path);
	}
	rmdir(f->directory);
	*f = (struct faulty){0};
}

/* In the child: puts the listener and what is kept at 3 and above, and names them. */
static void pass_descriptors(const struct faulty *f)
{
	char names[NAMES_MAX] = "timerd.socket", number[16];
	int fds[1 + FAULTY_STORED_MAX], n = 0;

	fds[n++] = fcntl(f->listener, F_DUPFD, FDS_ABOVE);
	for (size_t i = 0; i < f->stored_count; i++) {
		size_t used = strlen(names);

		fds[n++] = fcntl(f->stored[i].fd, F_DUPFD, FDS_ABOVE);
		snprintf(names + used, sizeof(names) - used, ":%s", f->stored[i].name);
	}
	for (int i = 0; i < n; i++)
		dup2(fds[i], FDS_START + i);
	close_range((unsigned int)(FDS_START + n), ~0u, 0);
	snprintf(number, sizeof(number), "%d", n);
	setenv("LISTEN_FDS", number, 1);
	setenv("LISTEN_FDNAMES", names, 1);
	snprintf(number, sizeof(number), "%ld", (long)getpid());
	setenv("LISTEN_PID", number, 1);
	setenv("NOTIFY_SOCKET", f->notify_path, 1);
	/* A watchdog of 400 ms, so that it is fed meanwhile. */
	setenv("WATCHDOG_PID", number, 1);
	setenv("WATCHDOG_USEC", "400000", 1);
}

static void become_faulty(const struct faulty *f)
{
	const char *binary = getenv("TIMERD_FAULTY_BINARY");
	int log = open(f->log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!binary || log < 0)
		_exit(127);
	dup2(log, STDERR_FILENO);
	setenv(FAULT_PLAN, f->plan_path, 1);
	if (f->managed) {
		pass_descriptors(f);
		execl(binary, binary, (char *)NULL);
	} else {
		close_range(FDS_START, ~0u, 0);
		execl(binary, binary, "--socket", f->socket, (char *)NULL);
	}
	_exit(127);
}

/* The status of waitpid(2) as a shell shows it. */
static int end_of(struct faulty *f, int status)
{
	f->pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int faulty_ended(struct faulty *f)
{
	int status;
	pid_t pid = waitpid(f->pid, &status, WNOHANG);

	assert_true(pid >= 0);
	return pid ? end_of(f, status) : FAULTY_SERVES;
}

int faulty_start(struct faulty *f)
{
	assert_int_equal(f->pid, 0);
	atomic_store(&f->plan->ready, false);
	for (size_t i = 0; i < FAULT_CALLS_COUNT; i++)
		atomic_store(&f->plan->counts[i], 0);
	fflush(NULL);
	/* The child must find the lock open and the store whole. */
	if (f->managed)
		pthread_mutex_lock(&f->lock);
	f->pid = fork();
	if (f->pid == 0)
		become_faulty(f);
	if (f->managed)
		pthread_mutex_unlock(&f->lock);
	assert_true(f->pid > 0);
	for (int i = 0; !atomic_load(&f->plan->ready); i++) {
		int status = faulty_ended(f);

		if (status != FAULTY_SERVES)
			return status;
		assert_true(i < PATIENCE_MS * 5);
		nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
	}
	return FAULTY_SERVES;
}

static int end(struct faulty *f, int signal)
{
	int status;
	pid_t pid;

	fault_disarm(f->plan);
	assert_true(f->pid > 0);
	assert_int_equal(kill(f->pid, signal), 0);
	do
		pid = waitpid(f->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	assert_int_equal(pid, f->pid);
	return end_of(f, status);
}

int faulty_stop(struct faulty *f)
{
	return end(f, SIGTERM);
}

void faulty_kill(struct faulty *f)
{
	end(f, SIGKILL);
}

void faulty_check_end(struct faulty *f, size_t lines)
{
	FILE *log = fopen(f->log, "re");
	char line[1024];
	size_t n = 0;

	assert_non_null(log);
	while (fgets(line, sizeof(line), log)) {
		if (strncmp(line, "timerd: ", strlen("timerd: ")) != 0)
			fail_msg("it said: %s", line);
		n++;
	}
	fclose(log);
	if (n < lines)
		fail_msg("it said %zu lines, not %zu", n, lines);
	assert_int_equal(atomic_load(&f->plan->left_memory), 0);
	assert_int_equal(atomic_load(&f->plan->left_descriptors), 0);
}

size_t faulty_stored_count(struct faulty *f)
{
	size_t n;

	pthread_mutex_lock(&f->lock);
	n = f->stored_count;
	pthread_mutex_unlock(&f->lock);
	return n;
}
