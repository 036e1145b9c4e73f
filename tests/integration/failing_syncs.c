/* SPDX-License-Identifier: MIT */
/*
 * Makes syncs fail in a timerqd that is linked with this file, and counts them. The functions of an
 * executable replace those of libc, also for libsqlite3. While the file that FAILING_SYNCS names
 * has bytes, each sync fails with EIO and removes one byte. Each fdatasync() adds a byte to the
 * file that COUNTED_SYNCS names.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

__attribute__((visibility("default"))) int fsync(int fd);
__attribute__((visibility("default"))) int fdatasync(int fd);

static bool fails(void)
{
	const char *path = getenv("FAILING_SYNCS");
	int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	struct stat st;
	bool has_bytes;

	if (file < 0)
		return false;
	has_bytes = fstat(file, &st) == 0 && st.st_size > 0 && ftruncate(file, st.st_size - 1) == 0;
	close(file);
	return has_bytes;
}

static void count(void)
{
	const char *path = getenv("COUNTED_SYNCS");
	int file = path ? open(path, O_WRONLY | O_APPEND | O_CLOEXEC) : -1;

	if (file < 0)
		return;
	if (write(file, "", 1) != 1)
		abort();
	close(file);
}

int fsync(int fd)
{
	if (!fails())
		return (int)syscall(SYS_fsync, fd);
	errno = EIO;
	return -1;
}

int fdatasync(int fd)
{
	count();
	if (!fails())
		return (int)syscall(SYS_fdatasync, fd);
	errno = EIO;
	return -1;
}
