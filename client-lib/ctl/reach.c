/* SPDX-License-Identifier: MIT */
/*
 * Why a daemon cannot be reached, and what to do. The library's error says only that; so this tries to
 * connect once more, and asks the kernel.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ctl.h"
#include "output.h"
#include "toytimer.h"

/* Return: the errno of connecting; 0: it connects now. */
static int try_to_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, error = 0;

	if (strlen(path) >= sizeof(address.sun_path))
		return ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		error = errno;
	if (fd >= 0)
		close(fd);
	return error;
}

void ctl_tell_unreachable(
	const struct ctl *ctl, const char *daemon, const char *path, const char *system_path)
{
	int error = try_to_connect(path);
	/* Nobody has made a socket there, or nobody listens at it any more. */
	bool down = error == ENOENT || error == ECONNREFUSED;
	const char *why = error ? strerror(error) : "it ended the connection";
	/* --queue-socket wins over --user. */
	bool users = ctl->where == CTL_USER && strcmp(path, ctl->queue_path ?: "") != 0;

	if (down && users)
		output_error("%s: %s cannot be reached: %s; try: systemctl --user start %s.socket",
			path, daemon, why, daemon);
	else if (down && !strcmp(path, system_path))
		output_error("%s: %s cannot be reached: %s; try: systemctl start %s.socket", path,
			daemon, why, daemon);
	else if (down)
		output_error("%s: %s cannot be reached: %s; try: %s --socket %s", path, daemon, why,
			daemon, path);
	else
		output_error("%s: %s cannot be reached: %s", output_word(path), daemon, why);
}
