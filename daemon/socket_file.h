/* SPDX-License-Identifier: MIT */
/*
 * The socket's name in the file system: its folder, its lock, and the socket itself.
 *
 * Other users may write in the folder's path, and other servers may own the name. So the folder is
 * opened once and held; the lock and the socket are looked up from that descriptor, and no symbolic
 * link is followed. A name is removed only while it still leads to the file that this process made.
 *
 * Two daemons must never serve one path. PATH.lock is held (flock) for the daemon's life. A socket
 * is replaced only if its lock is held here and connect() says ECONNREFUSED. The lock goes with the
 * process, however that ends, so what a killed daemon leaves is found to be dead.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "log.h"

#define SOCKET_FILE_NAME_MAX sizeof(((struct sockaddr_un *)0)->sun_path)

/* Names a file for as long as a descriptor of it is open. */
struct socket_file_id {
	bool known;
	dev_t device;
	ino_t inode;
};

struct socket_file {
	int folder; /* -1: no file was made here */
	int lock;
	struct socket_file_id lock_id, socket_id;
	char name[SOCKET_FILE_NAME_MAX]; /* of the socket, within the folder */
};

void socket_file_init(struct socket_file *file);

/*
 * Makes a socket at path, which nobody can connect to before listen().
 *   mode: of the socket. The umask does not change it.
 *   folder_mode: of the folder, if the folder is missing and its parent exists.
 * Return: the socket, which is the caller's; or a negative errno after it was logged: -EADDRINUSE if
 * another server has the name. socket_file_remove() in either case.
 */
int socket_file_make(struct socket_file *file, struct log *log, const char *path, mode_t mode,
	mode_t folder_mode);

/* Removes what was made here and is still there. Call it before the socket is closed: until then
 * no other file can have the same inode number. */
void socket_file_remove(struct socket_file *file);
