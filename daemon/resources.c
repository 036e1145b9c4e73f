/* SPDX-License-Identifier: MIT */
/*
 * The limit of a control group also applies to all groups below it. Linux has two versions of
 * control groups (cgroups(7)). In version 2 a line "0::PATH" of /proc/self/cgroup names the group
 * below /sys/fs/cgroup. In version 1 a line "N:memory:PATH" names the group below
 * /sys/fs/cgroup/memory. In a container the path may be a path of the host, which does not exist
 * here. Its parents still count.
 */
#include "resources.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "descriptors.h"

/* Descriptors that belong to no client: standard streams, epoll, signals, five clocks, listeners
 * and some spare ones. */
#define OTHER_DESCRIPTORS 32

/* Memory that belongs to no timer: the process itself, and the records of sessions and users. */
#define OTHER_MEMORY (UINT64_C(16) << 20)

/* Memory of one timer: both halves of its record, its label, and a bit in the set of free
 * timers. */
#define TIMER_BYTES (sizeof(struct rbnode) + sizeof(struct timer) + PROTO_LABEL_MAX + 1)

#define FILE_BYTES 8192

/* Reads a small file into text, and adds a zero byte. Return: whether the file has any content. */
static bool read_file(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, text, size - 1);
	close(fd);
	text[n > 0 ? n : 0] = 0;
	return n > 0;
}

/* Return: the limit in one file; UINT64_MAX if the file is missing or says "max". */
static uint64_t limit_in(const char *folder, const char *name)
{
	char path[FILE_BYTES], text[64], *end;
	unsigned long long limit;

	if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path) ||
		!read_file(path, text, sizeof(text)))
		return UINT64_MAX;
	errno = 0;
	limit = strtoull(text, &end, 10);
	return end == text || errno ? UINT64_MAX : limit;
}

/* Return: the smallest limit of a group and of all groups above it. */
static uint64_t least_limit(const char *root, const char *group, size_t length, const char *name)
{
	uint64_t least = UINT64_MAX, limit;
	char folder[FILE_BYTES];
	size_t top = strlen(root);

	if (snprintf(folder, sizeof(folder), "%s%.*s", root, (int)length, group) >=
		(int)sizeof(folder))
		return UINT64_MAX;
	for (;;) {
		limit = limit_in(folder, name);
		least = limit < least ? limit : least;
		if (strlen(folder) <= top)
			return least;
		*strrchr(folder, '/') = 0;
	}
}

/* Whether a list of names, separated by commas, contains "memory". */
static bool has_memory(const char *names, size_t length)
{
	static const char memory[] = "memory";
	const char *end = names + length;

	for (const char *name = names; name < end; name++) {
		size_t n = strcspn(name, ",:");

		if (n == strlen(memory) && !strncmp(name, memory, n))
			return true;
		name += n;
	}
	return false;
}

uint64_t resources_memory(const char *groups, const char *root)
{
	uint64_t least = UINT64_MAX, limit = UINT64_MAX;
	char first[FILE_BYTES];

	snprintf(first, sizeof(first), "%s/memory", root);
	for (const char *line = groups; *line;) {
		size_t length = strcspn(line, "\n");
		const char *names = memchr(line, ':', length), *path = NULL;

		if (names)
			path = memchr(names + 1, ':', length - (size_t)(names + 1 - line));
		if (path && path[1] == '/') {
			size_t n = (size_t)(line + length - (path + 1));

			if (path == names + 1)
				limit = least_limit(root, path + 1, n, "memory.max");
			else if (has_memory(names + 1, (size_t)(path - names - 1)))
				limit = least_limit(first, path + 1, n, "memory.limit_in_bytes");
			least = limit < least ? limit : least;
		}
		line += length + (line[length] == '\n');
	}
	return least;
}

/* A quarter of the memory stays reserved for the kernel: its buffers for packets count, too. */
static uint64_t timers_in(uint64_t memory)
{
	uint64_t other = memory / 2 < OTHER_MEMORY ? memory / 2 : OTHER_MEMORY;
	uint64_t timers = (memory - other) / 4 * 3 / TIMER_BYTES;

	return timers ? timers : 1;
}

static bool fit_memory(struct log *log, struct limits *limits)
{
	char groups[FILE_BYTES];
	uint64_t memory, fit;

	if (!read_file("/proc/self/cgroup", groups, sizeof(groups)))
		return false;
	memory = resources_memory(groups, "/sys/fs/cgroup");
	fit = timers_in(memory);
	if (fit >= limits->max_timers)
		return false;
	log_print(log, LOG_WARNING,
		"%llu MB of memory are allowed (memory.max of the control group): --max-timers is "
		"lowered from %u to %u",
		(unsigned long long)memory >> 20, limits->max_timers, (uint32_t)fit);
	limits->max_timers = (uint32_t)fit;
	return true;
}

unsigned int resources_fit(struct log *log, struct limits *limits)
{
	return (unsigned int)descriptors_fit(log, OTHER_DESCRIPTORS, &limits->max_clients) +
		(unsigned int)fit_memory(log, limits);
}
