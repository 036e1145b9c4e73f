/* SPDX-License-Identifier: MIT */
#include "descriptors.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

void descriptors_open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static unsigned long long raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return RLIM_INFINITY;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	return limit.rlim_max;
}

bool descriptors_fit(struct log *log, uint32_t others, uint32_t *max_clients)
{
	unsigned long long allowed = raise_limit();
	uint32_t fit = 1;

	if (allowed >= (unsigned long long)*max_clients + others)
		return false;
	if (allowed > others)
		fit = (uint32_t)(allowed - others);
	log_print(log, LOG_WARNING,
		"%llu descriptors are allowed (RLIMIT_NOFILE): "
		"--max-clients is lowered from %u to %u",
		allowed, *max_clients, fit);
	*max_clients = fit;
	return true;
}
