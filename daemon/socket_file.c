/* SPDX-License-Identifier: MIT */
/*
 * bind() takes a path and not the descriptor of a folder. So the socket is bound by its path, which
 * ss(8) also shows, and then looked up in the open folder. bind() follows no link at the end of the
 * path and replaces no file. If the socket is not in the folder, somebody has changed the path
 * meanwhile, and timerd does not start.
 */
#include "socket_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <unistd.h>

/* The most symbolic links in one path: as many as Linux follows. */
#define LINKS_MAX 40

/* How often taking the lock is tried: another process can make or remove the lock file between two
 * calls. */
#define LOCK_TRIES 16

#define LOCK_SUFFIX ".lock"

/* Another user could change where the path leads. No system call used here returns this errno. */
#define EUNSAFE ENOTUNIQ

void socket_file_init(struct socket_file *file)
{
	*file = (struct socket_file){.folder = -1, .lock = -1};
}

static bool is_trusted(uid_t uid)
{
	return uid == 0 || uid == geteuid();
}

/* Return: why other users could change what a name in this folder leads to; NULL: they cannot. */
static const char *folder_fault(const struct stat *st)
{
	if (!is_trusted(st->st_uid))
		return "the folder belongs to another user";
	if (st->st_mode & S_ISVTX)
		return NULL;
	if (st->st_mode & S_IWOTH)
		return "everybody may write in the folder, and it has no sticky bit";
	if (st->st_mode & S_IWGRP && st->st_gid != 0 && st->st_gid != getegid())
		return "another group may write in the folder, and it has no sticky bit";
	return NULL;
}

/* Whether a symbolic link in the folder may be followed. A link that another user could have put
 * there may not. fs.protected_symlinks (proc_sys_fs(5)) has the same rule for sticky folders
 * only. */
static bool may_follow(int folder, const struct stat *link)
{
	struct stat st;

	if (is_trusted(link->st_uid))
		return true;
	return fstat(folder, &st) == 0 && st.st_uid == link->st_uid &&
		!(st.st_mode & (S_IWGRP | S_IWOTH));
}

/* Puts the target of a link before the rest of the path. Return: 0, a negative errno. */
static int follow(int *folder, int link, char rest[static PATH_MAX])
{
	char target[PATH_MAX], whole[2 * PATH_MAX];
	ssize_t n = readlinkat(link, "", target, sizeof(target) - 1);
	int root, size;

	if (n <= 0)
		return n < 0 ? -errno : -ENOENT;
	target[n] = 0;
	if (*target == '/') {
		root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (root < 0)
			return -errno;
		close(*folder);
		*folder = root;
	}
	size = snprintf(whole, sizeof(whole), "%s/%s", target, rest);
	if (size >= PATH_MAX)
		return -ENAMETOOLONG;
	memcpy(rest, whole, (size_t)size + 1);
	return 0;
}

/* Moves the first name of a path to `name`. Return: whether there was one. */
static bool take_name(char rest[static PATH_MAX], char name[static NAME_MAX + 1])
{
	size_t start = strspn(rest, "/"), n = strcspn(rest + start, "/");

	if (n > NAME_MAX)
		n = NAME_MAX; /* no file has a name of NAME_MAX bytes and more after it */
	memcpy(name, rest + start, n);
	name[n] = 0;
	memmove(rest, rest + start + n, strlen(rest + start + n) + 1);
	return n > 0;
}

/* Replaces the folder by its entry `name`. Return: 0; 1: the entry is a link, and `rest` begins
 * with its target now; a negative errno: -EUNSAFE for a link that may not be followed. */
static int step(int *folder, const char *name, char rest[static PATH_MAX])
{
	int next = openat(*folder, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), r;
	struct stat st;

	if (next < 0)
		return -errno;
	r = fstat(next, &st) < 0 ? -errno : S_ISLNK(st.st_mode);
	if (r == 1) {
		r = may_follow(*folder, &st) ? follow(folder, next, rest) : -EUNSAFE;
		close(next);
		return r < 0 ? r : 1;
	}
	if (r == 0 && !S_ISDIR(st.st_mode))
		r = -ENOTDIR;
	if (r < 0) {
		close(next);
		return r;
	}
	close(*folder);
	*folder = next;
	return 0;
}

/* Opens a folder by its path. Return: its descriptor, a negative errno. */
static int open_folder(const char *path)
{
	int folder = open(*path == '/' ? "/" : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char rest[PATH_MAX], name[NAME_MAX + 1];
	int links = 0, r = 0;

	if (folder < 0)
		return -errno;
	snprintf(rest, sizeof(rest), "%s", path);
	while (r >= 0 && take_name(rest, name)) {
		r = step(&folder, name, rest);
		if (r > 0 && ++links > LINKS_MAX)
			r = -ELOOP;
	}
	if (r >= 0)
		return folder;
	close(folder);
	return r;
}

/* Cuts the last name off the path of a folder. Return: that name. */
static const char *split(char *path)
{
	char *slash;

	while ((slash = strrchr(path, '/')) && !slash[1] && slash > path)
		*slash = 0;
	if (!slash)
		return path;
	*slash = 0;
	return slash + 1;
}

/* Makes a folder and opens it. Return: its descriptor, a negative errno. */
static int make_folder(int parent, const char *name, mode_t mode)
{
	struct stat st;
	int folder;

	if (fstat(parent, &st) < 0)
		return -errno;
	if (folder_fault(&st))
		return -EUNSAFE;
	if (mkdirat(parent, name, mode) < 0)
		return -errno;
	folder = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return folder < 0 ? -errno : folder;
}

/* Opens the folder. Makes it first if it is missing and its parent exists. Return: its
 * descriptor, a negative errno. */
static int open_or_make_folder(const char *path, mode_t mode)
{
	char parent_path[SOCKET_FILE_NAME_MAX];
	int folder = open_folder(path), parent;
	const char *name;

	if (folder != -ENOENT)
		return folder;
	snprintf(parent_path, sizeof(parent_path), "%s", path);
	name = split(parent_path);
	parent = open_folder(name == parent_path ? "." : *parent_path ? parent_path : "/");
	if (parent < 0)
		return parent;
	folder = make_folder(parent, name, mode);
	close(parent);
	return folder;
}

static struct socket_file_id id_of(const struct stat *st)
{
	return (struct socket_file_id){true, st->st_dev, st->st_ino};
}

static bool is_at(int folder, const char *name, const struct socket_file_id *id)
{
	struct stat st;

	return id->known && fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		st.st_dev == id->device && st.st_ino == id->inode;
}

/* Opens the lock file, or makes it. An existing file is opened without O_CREAT: in a sticky folder
 * fs.protected_regular refuses O_CREAT for a file of another user.
 * Return: its descriptor; -EAGAIN: try again; another negative errno. */
static int open_lock(int folder, const char *name)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
	int fd = openat(folder, name, flags);

	if (fd < 0 && errno == ENOENT)
		fd = openat(folder, name, flags | O_CREAT | O_EXCL, 0600);
	if (fd < 0)
		return errno == EEXIST ? -EAGAIN : -errno;
	return fd;
}

/*
 * Locks an open lock file. Removes a lock file of another user: its owner could remove it at any
 * time, and the next daemon would lock another file. A process that locks a removed file sees that
 * the name leads to another file, and tries again.
 * Return: 0; -EAGAIN: the name leads to another file now; -EADDRINUSE: another process holds the
 * lock; -EEXIST: the file is not a regular file; another negative errno.
 */
static int claim_lock(int folder, const char *name, int fd, struct socket_file_id *ret_id)
{
	struct socket_file_id id;
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EEXIST;
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
	id = id_of(&st);
	if (!is_at(folder, name, &id))
		return -EAGAIN;
	if (st.st_uid != geteuid())
		return unlinkat(folder, name, 0) < 0 ? -errno : -EAGAIN;
	*ret_id = id;
	return 0;
}

static void lock_name(const struct socket_file *file, char *name, size_t size)
{
	snprintf(name, size, "%s" LOCK_SUFFIX, file->name);
}

/* Return: as claim_lock(). */
static int take_lock(struct socket_file *file)
{
	char name[SOCKET_FILE_NAME_MAX + sizeof(LOCK_SUFFIX)];
	int r = -EAGAIN;

	lock_name(file, name, sizeof(name));
	for (int i = 0; i < LOCK_TRIES && r == -EAGAIN; i++) {
		int fd = open_lock(file->folder, name);

		r = fd < 0 ? fd : claim_lock(file->folder, name, fd, &file->lock_id);
		if (r == 0)
			file->lock = fd;
		else if (fd >= 0)
			close(fd);
	}
	return r;
}

/* Connects to the path. Return: 0: a server listens there; a positive errno. */
static int try_connect(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int error;

	if (fd < 0)
		return errno;
	memcpy(address.sun_path, path, strlen(path));
	error = connect(fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ? errno : 0;
	close(fd);
	return error;
}

/* Connects to the socket in the open folder. Without /proc, connects to the path.
 * Return: as try_connect(). */
static int try_connect_held(const struct socket_file *file, const char *path)
{
	char held[SOCKET_FILE_NAME_MAX];
	int n = snprintf(held, sizeof(held), "/proc/self/fd/%d/%s", file->folder, file->name);
	int error = n < (int)sizeof(held) ? try_connect(held) : ENOENT;

	return error == ENOENT ? try_connect(path) : error;
}

/*
 * Removes the socket of a dead server. Only ECONNREFUSED proves that the server is dead. A live
 * server may cause other errors: EPROTOTYPE if its socket has another type, EAGAIN if its queue is
 * full, EACCES in any case.
 *   ret_connect: the result of try_connect_held().
 * Return: 0: the name is free; -EADDRINUSE; -EEXIST: the file is not a socket; another negative
 * errno.
 */
static int clear_name(const struct socket_file *file, const char *path, int *ret_connect)
{
	struct socket_file_id id;
	struct stat st;

	if (fstatat(file->folder, file->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	id = id_of(&st);
	*ret_connect = try_connect_held(file, path);
	if (*ret_connect != ECONNREFUSED || !is_at(file->folder, file->name, &id))
		return -EADDRINUSE;
	return unlinkat(file->folder, file->name, 0) < 0 ? -errno : 0;
}

/* Binds a socket to the path. The mode is set before bind(), which makes the file with that mode:
 * chmod() of the path could change another file. Return: the socket, a negative errno. */
static int bind_name(struct socket_file *file, const char *path, mode_t mode)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), r;
	struct stat st;

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, path, strlen(path));
	if (fchmod(fd, mode) == 0 &&
		bind(fd, (const struct sockaddr *)&address, sizeof(address)) == 0 &&
		fstatat(file->folder, file->name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		if (S_ISSOCK(st.st_mode) && st.st_uid == geteuid()) {
			file->socket_id = id_of(&st);
			return fd;
		}
		errno = ESTALE;
	}
	r = -errno;
	close(fd);
	return r;
}

/* Splits the path and opens its folder. Return: 0, or a negative errno after it was logged. */
static int open_path(
	struct socket_file *file, struct log *log, const char *path, mode_t folder_mode)
{
	const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *fault;
	char folder[SOCKET_FILE_NAME_MAX];
	struct stat st;

	snprintf(folder, sizeof(folder), "%.*s", (int)(name - path), path);
	snprintf(file->name, sizeof(file->name), "%s", name);
	file->folder = open_or_make_folder(folder, folder_mode);
	if (file->folder == -EUNSAFE) {
		log_print(log, LOG_ERR,
			"cannot serve %s: another user could change where this path leads", path);
		return -EPERM;
	}
	if (file->folder < 0) {
		log_print(log, LOG_ERR, "cannot make the folder of %s: %s", path,
			strerror(-file->folder));
		return file->folder;
	}
	if (fstat(file->folder, &st) < 0) {
		int r = -errno;

		log_print(log, LOG_ERR, "cannot read the status of the folder of %s: %s", path,
			strerror(-r));
		return r;
	}
	fault = folder_fault(&st);
	if (!fault)
		return 0;
	log_print(log, LOG_ERR, "cannot serve %s: %s (uid %u, mode %04o)", path, fault, st.st_uid,
		st.st_mode & 07777);
	return -EPERM;
}

static int make(struct socket_file *file, struct log *log, const char *path, mode_t mode,
	mode_t folder_mode)
{
	int r = open_path(file, log, path, folder_mode), answer = 0;

	if (r < 0)
		return r;
	r = take_lock(file);
	if (r == -EADDRINUSE) {
		log_print(log, LOG_ERR, "another %s holds %s", log->name, path);
		return r;
	}
	if (r < 0) {
		log_print(log, LOG_ERR, "cannot lock %s" LOCK_SUFFIX ": %s", path,
			r == -EEXIST ? "it is not a regular file" : strerror(-r));
		return r;
	}
	r = clear_name(file, path, &answer);
	if (r == -EADDRINUSE) {
		log_print(log, LOG_ERR, "another server holds %s (connect: %s)", path,
			answer ? strerror(answer) : "it is accepted");
		return r;
	}
	if (r == 0)
		r = bind_name(file, path, mode);
	if (r < 0)
		log_print(log, LOG_ERR, "cannot make the socket %s: %s", path, strerror(-r));
	return r;
}

int socket_file_make(struct socket_file *file, struct log *log, const char *path, mode_t mode,
	mode_t folder_mode)
{
	size_t size = strlen(path);
	mode_t mask;
	int r;

	if (!size || size >= SOCKET_FILE_NAME_MAX) {
		log_print(log, LOG_ERR, "socket path '%s' is empty or longer than %zu bytes", path,
			SOCKET_FILE_NAME_MAX - 1);
		return -ENAMETOOLONG;
	}
	if (path[size - 1] == '/') {
		log_print(log, LOG_ERR, "socket path '%s' ends with a slash: name a file", path);
		return -EISDIR;
	}
	/* The umask of timerd must not keep users from connecting. */
	mask = umask(0);
	r = make(file, log, path, mode, folder_mode);
	umask(mask);
	return r;
}

void socket_file_remove(struct socket_file *file)
{
	char name[SOCKET_FILE_NAME_MAX + sizeof(LOCK_SUFFIX)];

	if (file->folder < 0)
		return;
	lock_name(file, name, sizeof(name));
	if (is_at(file->folder, file->name, &file->socket_id))
		unlinkat(file->folder, file->name, 0);
	/* Last: while the lock file is there, no other timerd makes a socket of this name. */
	if (is_at(file->folder, name, &file->lock_id))
		unlinkat(file->folder, name, 0);
	if (file->lock >= 0)
		close(file->lock);
	close(file->folder);
	socket_file_init(file);
}
