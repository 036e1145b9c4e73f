/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "descriptor.h"
#include "text.h"

int descriptor_keep(int fd)
{
	int kept, error;

	if (fd < 0)
		return text_local(errno);
	if (fd > STDERR_FILENO)
		return fd;
	kept = fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	error = errno;
	close(fd);
	return kept < 0 ? text_local(error) : kept;
}
