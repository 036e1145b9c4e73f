/* SPDX-License-Identifier: MIT */
/*
 * The socket's file: its folder, its lock file, and the socket itself.
 *
 * Other users may be able to write in the folder's path, and another server may use the same path.
 * So timerd opens the folder once and keeps it open. It looks up the lock file and the socket from
 * that descriptor, and follows no symbolic link there. It removes a name only while the name leads
 * to the file that this process made.
 *
 * Two daemons must never serve one path. A daemon holds PATH.lock (flock) as long as it runs. It
 * replaces a socket only if it holds the lock and connect() returns ECONNREFUSED. The kernel
 * releases the lock when the process ends, also after a kill. So a killed daemon's socket can be
 * replaced.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "log.h"

#define SOCKET_FILE_NAME_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

/* Identifies a file, as long as a descriptor of the file is open. */
struct socket_file_id {
	bool known;
	dev_t device;
	ino_t inode;
};

struct socket_file {
	int folder; /* -1: socket_file_make() was not called */
	int lock;
	struct socket_file_id lock_id, socket_id;
	char name[SOCKET_FILE_NAME_MAX]; /* of the socket in the folder */
};

void socket_file_init(struct socket_file *file);

/*
 * Makes a socket at path. Nobody can connect to it before listen().
 *   mode: of the socket. The umask does not change it.
 *   folder_mode: of the folder, if the folder is missing and its parent exists.
 * Return: the socket, which the caller closes; or a negative errno after it was logged: -EADDRINUSE
 * if another server uses the path. socket_file_remove() in either case.
 */
int socket_file_make(struct socket_file *file, struct log *log, const char *path, mode_t mode,
	mode_t folder_mode);

/* Removes the files that socket_file_make() made, if they are still there. Call it before the
 * socket is closed: until then no other file can get the same inode number. */
void socket_file_remove(struct socket_file *file);
