/* SPDX-License-Identifier: MIT */
/*
 * The part in the process under test: it decides whether a call fails, and counts what the process
 * has not released at its end.
 */
#include "fault.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define LIVE_MAX 65536

void *__real_mmap64(void *address, size_t size, int prot, int flags, int fd, off_t offset);
int __real_open64(const char *path, int flags, ...);
int __real_close(int fd);

static struct fault_plan own, *plan = &own;
static void *live[LIVE_MAX];
static size_t live_count;
static int first_own; /* the lowest descriptor that was not open at the start */

/* Runs before main(). Maps the plan of the test. */
__attribute__((constructor)) static void attach(void)
{
	const char *path = getenv(FAULT_PLAN), *passed = getenv("LISTEN_FDS");
	int fd = path ? __real_open64(path, O_RDWR | O_CLOEXEC) : -1;
	void *p;

	first_own = STDERR_FILENO + 1 + (passed ? atoi(passed) : 0);
	if (fd < 0)
		return;
	p = __real_mmap64(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (p != MAP_FAILED)
		plan = p;
	__real_close(fd);
}

static uint32_t count_descriptors(void)
{
	DIR *directory = opendir("/proc/self/fd");
	struct dirent *entry;
	uint32_t n = 0;

	while (directory && (entry = readdir(directory))) {
		int fd = entry->d_name[0] == '.' ? -1 : atoi(entry->d_name);

		n += fd >= first_own && fd != dirfd(directory);
	}
	if (directory)
		closedir(directory);
	return n;
}

__attribute__((destructor)) static void detach(void)
{
	atomic_store(&plan->calls, 0);
	atomic_store(&plan->left_memory, (uint32_t)live_count);
	atomic_store(&plan->left_descriptors, count_descriptors());
}

struct fault_plan *fault_own(void)
{
	return plan;
}

size_t fault_memory(void)
{
	return live_count;
}

int fault_use(enum fault_call call)
{
	uint32_t use, at;
	int error;

	atomic_fetch_add(&plan->counts[call], 1);
	if (!(atomic_load(&plan->calls) & FAULT_BIT(call)))
		return 0;
	use = atomic_fetch_add(&plan->used, 1) + 1;
	at = atomic_load(&plan->at);
	if (use < at || (use > at && !atomic_load(&plan->for_ever)))
		return 0;
	atomic_fetch_add(&plan->failed, 1);
	error = atomic_load(&plan->error);
	if (error > 0)
		errno = error;
	return error;
}

void *fault_born(void *p)
{
	if (p && p != MAP_FAILED) {
		if (live_count == LIVE_MAX)
			abort();
		live[live_count++] = p;
	}
	return p;
}

/* A pointer that is not in the list was allocated inside a library. */
void *fault_dead(void *p)
{
	for (size_t i = live_count; p && i-- > 0;)
		if (live[i] == p) {
			live[i] = live[--live_count];
			break;
		}
	return p;
}
