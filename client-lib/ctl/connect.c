/* SPDX-License-Identifier: MIT */
/*
 * The connection to timerd: which socket, why a daemon cannot be reached, and whether the process
 * ids of timerd are ours.
 *
 * The library returns one error for "cannot be reached". To give the user a reason, this file
 * connects once more itself and reads errno.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "connect.h"
#include "output.h"

static const struct socket_names timerd_names = {
	.daemon = "timerd",
	.text = toytimer_strerror,
	.option = "--socket",
	.variable = "TIMERD_SOCKET",
	.system = "/run/timerd/socket",
	.user = "timerd/socket",
};

/* The environment variable; NULL if it is empty or not set. */
static const char *variable(const char *name)
{
	const char *value = getenv(name);

	return value && *value ? value : NULL;
}

int connect_path(
	const struct ctl *ctl, const struct socket_names *names, const char *given, char **ret)
{
	const char *path = given ? given : names->system, *folder;
	char *copy = NULL;

	if (!given && ctl->instance == CTL_INSTANCE_USER) {
		folder = variable("XDG_RUNTIME_DIR");
		if (!folder) {
			output_error("--user: XDG_RUNTIME_DIR is not set; "
				     "log in, or name the socket with %s PATH",
				names->option);
			return CTL_UNREACHABLE;
		}
		if (asprintf(&copy, "%s/%s", folder, names->user) < 0)
			copy = NULL;
	} else {
		if (!given && ctl->instance != CTL_INSTANCE_SYSTEM && variable(names->variable))
			path = variable(names->variable);
		copy = strdup(path);
	}
	if (!copy)
		return ctl_no_memory();
	*ret = copy;
	return CTL_DONE;
}

static int timerd_path(const struct ctl *ctl, char **ret)
{
	return connect_path(
		ctl, &timerd_names, ctl->instance == CTL_INSTANCE_PATH ? ctl->path : NULL, ret);
}

static void free_path(char **path)
{
	free(*path);
}

/* Returns the descriptor of a new connection, or a negative errno. */
static int connect_to(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd, error;

	if (strlen(path) >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		error = errno;
		close(fd);
		return -error;
	}
	return fd;
}

/* Whether something other than a socket has that name. */
static bool is_no_socket(const char *path)
{
	struct stat about;

	return stat(path, &about) == 0 && !S_ISSOCK(about.st_mode);
}

static void report_unreachable(
	const struct ctl *ctl, const struct socket_names *names, const char *path)
{
	const char *why = "it closed the connection", *daemon = names->daemon;
	int fd = connect_to(path);
	/* There is no socket, or nobody listens. */
	bool down = fd == -ENOENT || fd == -ECONNREFUSED;
	/* --queue-socket wins over --user. */
	bool of_user = ctl->instance == CTL_INSTANCE_USER &&
		strcmp(path, ctl->queue_path ? ctl->queue_path : "") != 0;

	if (fd >= 0)
		close(fd);
	else
		why = strerror(-fd);
	if (down && is_no_socket(path))
		output_error("%s: %s cannot be reached: %s; it is no socket: name one with %s",
			path, daemon, why, names->option);
	else if (down && of_user)
		output_error("%s: %s cannot be reached: %s; try: systemctl --user start %s.socket",
			path, daemon, why, daemon);
	else if (down && !strcmp(path, names->system))
		output_error("%s: %s cannot be reached: %s; try: systemctl start %s.socket", path,
			daemon, why, daemon);
	else if (down)
		output_error("%s: %s cannot be reached: %s; try: %s --socket %s", path, daemon, why,
			daemon, path);
	else
		output_error("%s: %s cannot be reached: %s", output_word(path), daemon, why);
}

int connect_failed(
	const struct ctl *ctl, const struct socket_names *names, const char *path, int error)
{
	const char *word = output_word(path);

	switch (-error) {
	case ECONNREFUSED:
		report_unreachable(ctl, names, path);
		break;
	case EACCES:
		output_error("%s: %s", word, toytimer_get_error());
		break;
	case EINVAL:
		output_error("%s: cannot be the path of a socket", word);
		break;
	case EPROTO:
		output_error(
			"%s: %s; is it the socket of %s?", word, names->text(error), names->daemon);
		break;
	default:
		output_error("%s: %s", word, names->text(error));
		break;
	}
	return ctl_status_of(error);
}

int ctl_open(const struct ctl *ctl, toytimer **ret)
{
	_cleanup_(free_path) char *path = NULL;
	int r;

	r = timerd_path(ctl, &path);
	if (r != CTL_DONE)
		return r;
	r = toytimer_open(ret, path);
	return r < 0 ? connect_failed(ctl, &timerd_names, path, r) : CTL_DONE;
}

void ctl_close(toytimer **t)
{
	toytimer_unref(*t);
}

/* The parent of a process, from /proc; 0: unknown. */
static uint32_t parent_of(uint32_t pid)
{
	char path[32], line[128];
	unsigned int parent = 0;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	f = fopen(path, "re");
	if (!f)
		return 0;
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "PPid: %u", &parent) == 1)
			break;
	fclose(f);
	return parent;
}

/*
 * The kernel translates the peer's process id into our pid namespace, timerd's status does not. The
 * peer is the process that listens: timerd, or the service manager that started timerd.
 */
bool ctl_shares_pids(const struct ctl *ctl, uint32_t daemon_pid)
{
	_cleanup_(free_path) char *path = NULL;
	struct ucred peer = {0};
	socklen_t size = sizeof(peer);
	int fd, r;

	if (timerd_path(ctl, &path) != CTL_DONE)
		return false;
	fd = connect_to(path);
	if (fd < 0)
		return false;
	r = getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size);
	close(fd);
	if (r < 0 || peer.pid <= 0)
		return false;
	return (uint32_t)peer.pid == daemon_pid || (uint32_t)peer.pid == parent_of(daemon_pid);
}
