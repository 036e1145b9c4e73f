/* SPDX-License-Identifier: MIT */
/*
 * Preloaded into timerqd. With it, power_cut shows that it detects a store that does not sync.
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
