/* SPDX-License-Identifier: MIT */
/*
 * A service manager for a timerd under test, in place of systemd. It passes the socket to the
 * daemon, receives its notifications in a thread, stores its descriptors, and passes them to the
 * next process (sd_listen_fds(3), sd_notify(3), sd_pid_notify_with_fds(3)). A failure in these
 * functions fails the cmocka test.
 *
 *	manager_init(&m, directory, socket);
 *	pid = manager_fork(&m);
 *	if (pid == 0) {
 *		manager_pass(&m);
 *		execl(...);
 *	}
 *	... kill it, and manager_fork() again: the next process adopts its sessions ...
 *	manager_clean(&m);
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define MANAGER_STORED_MAX 64

struct manager_stored {
	char name[32];
	int fd;
};

struct manager {
	char path[96]; /* of the socket for notifications */
	int listener, notify;
	pthread_t listening;
	pthread_mutex_t lock; /* for the members below */
	struct manager_stored stored[MANAGER_STORED_MAX];
	size_t stored_count;
	bool ready; /* READY=1 has come since the last manager_fork() */
	char status[64];
	unsigned int barriers; /* how many BARRIER=1 have come */
	unsigned int fed;      /* how many WATCHDOG=1 have come */
	unsigned int marks; /* our own messages: the thread has handled all messages before them */
};

void manager_init(struct manager *m, const char *directory, const char *socket);
void manager_clean(struct manager *m);

/* Waits until the thread has handled all notifications, and forks. The child becomes the daemon.
 */
pid_t manager_fork(struct manager *m);

/* In the child: moves the listener and the stored descriptors to the numbers from 3 on, and sets
 * the environment for sd_listen_fds(3). Closes all other descriptors above standard error. */
void manager_pass(const struct manager *m);

/* How many descriptors are stored; whether READY=1 has come. */
size_t manager_count(struct manager *m);
bool manager_is_ready(struct manager *m);

/* Waits until that many descriptors are stored. */
void manager_await(struct manager *m, size_t count);

/* Fills the queue of notifications and stops receiving, until manager_listen(). Do not call another
 * function of the manager meanwhile. */
void manager_go_deaf(struct manager *m);
void manager_listen(struct manager *m);

/* Return: the descriptor stored under a name, which the manager still owns; -1: there is none. */
int manager_find(struct manager *m, const char *name);

/* Stores a descriptor under a name, as if the daemon had sent it; drops all that have a name. */
void manager_keep(struct manager *m, const char *name, int fd);
void manager_drop(struct manager *m, const char *name);
