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
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "daemon.h"

#define PATIENCE_MS 60000
#define FDS_START   3 /* above standard error */

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
	*f = (struct faulty){.managed = managed};
	snprintf(f->directory, sizeof(f->directory), "/tmp/timerd-test-XXXXXX");
	assert_non_null(mkdtemp(f->directory));
	snprintf(f->socket, sizeof(f->socket), "%s/socket", f->directory);
	snprintf(f->plan_path, sizeof(f->plan_path), "%s/plan", f->directory);
	snprintf(f->log, sizeof(f->log), "%s/log", f->directory);
	share_plan(f);
	if (managed)
		manager_init(&f->manager, f->directory, f->socket);
}

void faulty_clean(struct faulty *f)
{
	static const char *const names[] = {"socket", "socket.lock", "plan", "log"};
	char path[128];

	if (!f->plan)
		return;
	if (f->pid)
		faulty_kill(f);
	if (f->managed)
		manager_clean(&f->manager);
	munmap(f->plan, sizeof(*f->plan));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", f->directory, names[i]);
		unlink(path);
	}
	rmdir(f->directory);
	*f = (struct faulty){0};
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
		manager_pass(&f->manager);
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
	f->pid = f->managed ? manager_fork(&f->manager) : fork();
	if (f->pid == 0)
		become_faulty(f);
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
	end(f, daemon_kill_signal());
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
