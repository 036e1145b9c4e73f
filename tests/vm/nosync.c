/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into timerqd, so that power_cut can show that it finds a store which does not sync.
 */
#include <unistd.h>

__attribute__((visibility("default"))) int fsync(int fd)
{
	(void)fd;
	return 0;
}

__attribute__((visibility("default"))) int fdatasync(int fd)
{
	(void)fd;
	return 0;
}
