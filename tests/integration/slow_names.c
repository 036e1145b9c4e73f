/* SPDX-License-Identifier: MIT */
/*
 * For LD_PRELOAD: looking up a user takes three seconds, as with a slow name server.
 */
#include <pwd.h>
#include <stddef.h>
#include <unistd.h>

__attribute__((visibility("default"))) int getpwnam_r(
	const char *name, struct passwd *entry, char *buffer, size_t size, struct passwd **ret)
{
	(void)name;
	(void)buffer;
	(void)size;
	sleep(3);
	entry->pw_uid = 54321;
	*ret = entry;
	return 0;
}
