/* SPDX-License-Identifier: MIT */
/*
 * What systemd is to a timerd, without systemd: who gives it its socket, listens to what it
 * notifies, keeps its descriptors, and passes all of them to its next process (sd_listen_fds(3),
 * sd_notify(3), sd_pid_notify_with_fds(3)). A thread does the listening. What goes wrong in here
 * fails the cmocka test that called it.
 *
 *	manager_init(&m, directory, socket);
 *	pid = manager_fork(&m);
 *	if (pid == 0) {
 *		manager_pass(&m);
 *		execl(...);
 *	}
 *	... kill it, manager_fork() again: it goes on where the other was ...
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
	char path[96]; /* where it is notified */
	int listener, notify;
	pthread_t listening;
	pthread_mutex_t lock; /* of what follows */
	struct manager_stored stored[MANAGER_STORED_MAX];
	size_t stored_count;
	bool ready; /* READY=1 was said since the last manager_fork() */
	char status[64];
	unsigned int barriers,
		fed;	    /* times that somebody waited for us, that the watchdog was fed */
	unsigned int marks; /* messages of our own: all that came before them is done */
};

void manager_init(struct manager *m, const char *directory, const char *socket);
void manager_clean(struct manager *m);

/* A process that is to become the daemon: fork(2), once all that was notified so far is done. */
pid_t manager_fork(struct manager *m);

/* In that process: puts the listener and what is kept at descriptor 3 and above, and says so in its
 * environment. Everything else above standard error is closed. */
void manager_pass(const struct manager *m);

/* How many descriptors are kept, and whether READY=1 was said. */
size_t manager_count(struct manager *m);
bool manager_is_ready(struct manager *m);

/* Waits until so many are kept. */
void manager_await(struct manager *m, size_t count);

/* Fills its queue and stops to take what is notified, until it listens again; nothing else of the
 * manager may be called meanwhile. */
void manager_go_deaf(struct manager *m);
void manager_listen(struct manager *m);

/* What is kept under a name, the manager's still; -1: nothing. */
int manager_find(struct manager *m, const char *name);

/* Keeps a descriptor under a name, as if the daemon had given it; drops all of a name. */
void manager_keep(struct manager *m, const char *name, int fd);
void manager_drop(struct manager *m, const char *name);
