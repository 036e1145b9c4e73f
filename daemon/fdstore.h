/* SPDX-License-Identifier: MIT */
/*
 * systemd's fd store: it keeps descriptors that outlive this process.
 *
 * systemd can hold descriptors for a service ("fd store", sd_pid_notify_with_fds(3)) and passes
 * them to the service's next process, even after SIGKILL. timerd stores the arena's memory when it
 * starts. It stores a connection once the session has had a timer for a while, and only a bounded
 * number of connections a second. Each one costs PID 1 time in proportion to all that it holds, so
 * a flood of short connections must not become a flood for PID 1. Without systemd all functions
 * here do nothing.
 *
 * A stored connection leaves the fd store before it is closed: the client sees no end of file while
 * any process holds the other end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

/* A session has had a timer for this long before its connection is stored. */
#define FDSTORE_AFTER_US UINT64_C(100000)

/* How many messages are sent to PID 1 at a time. Its queue holds 10 messages unless somebody raises
 * net.unix.max_dgram_qlen, and other services need room there too. */
#define FDSTORE_SLICE 5

/* The time between two slices: 200 messages a second at first. PID 1 takes longer for each message
 * the more descriptors it holds, so the rate goes down with their number. */
#define FDSTORE_EVERY_US(stored) (UINT64_C(25000) * (1 + (stored) / 512))

/* The most connections that are stored. The names of all of them are one string in $LISTEN_FDNAMES,
 * and execve(2) takes 128 KB for one string. FileDescriptorStoreMax= in the unit is this number and
 * two more for memory: during an upgrade systemd holds the memory of two layouts. */
#define FDSTORE_SESSIONS_MAX 8192

/* A connection that an earlier process stored. */
struct fdstore_connection {
	int fd;
	uint32_t session; /* from its name: nobody has checked it yet */
};

struct fdstore {
	bool available;		 /* systemd has given us a notify socket */
	int notify;		 /* connected there, to ask whether its queue has room; -1: none */
	int memory;		 /* of the arena; -1: none yet */
	int previous;		 /* memory of the previous layout; -1: none */
	uint32_t sessions;	 /* connections stored now */
	size_t connection_count; /* of `connections` */
	struct fdstore_connection *connections; /* that systemd passed at the start */
};

void fdstore_init(struct fdstore *store);

/* Closes the descriptors of this process. systemd keeps what is stored. */
void fdstore_close(struct fdstore *store);

/*
 * Takes a descriptor that systemd passed under that name, if fdstore.c uses such names.
 * Return: 1: taken; 0: the name is unknown and the descriptor stays the caller's; -ENOMEM.
 */
int fdstore_take(struct fdstore *store, int fd, const char *name);

/* Removes a descriptor of an unknown name from the fd store, and closes it. Another version of
 * timerd may have stored it. */
void fdstore_remove_unknown(struct fdstore *store, int fd, const char *name);

/* The arena's address is a multiple of this, the size of a huge page, if the kernel allows it. */
#define FDSTORE_ALIGN ((size_t)2 << 20)

/*
 * Maps `size` bytes of memory for an arena. This is the memory of an earlier process if it has that
 * size and is sealed against truncation, else new zeroed memory. New memory is not stored yet: see
 * fdstore_put_memory().
 *   ret_inherited: whether it is the memory of an earlier process.
 * Return: 0, or a negative errno.
 */
int fdstore_map(struct fdstore *store, size_t size, void **ret_block, bool *ret_inherited);

/* Maps `size` bytes of memory of the previous layout, which an earlier version stored.
 * Return: 0; -ENOENT: there is no such memory; another negative errno. */
int fdstore_map_previous(const struct fdstore *store, size_t size, void **ret_block);

/* Stores new memory in the fd store, so that the next process gets it. */
void fdstore_put_memory(struct fdstore *store);

/* Removes the memory of the previous layout from the fd store, and closes it. */
void fdstore_drop_previous(struct fdstore *store);

/* Replaces inherited memory, which is of no use, by new memory, and stores that.
 * Return: as fdstore_map(). */
int fdstore_replace_memory(struct fdstore *store, size_t size, void **ret_block);

/* Return: whether systemd's queue has room for a message, now or within patience_ms. */
bool fdstore_has_room(const struct fdstore *store, int patience_ms);

/* Stores a session's connection; removes it again. Return: false: systemd's queue had no room for
 * the message within patience_ms, so none was sent. */
bool fdstore_put_session(struct fdstore *store, uint32_t session, int fd, int patience_ms);
bool fdstore_remove_session(struct fdstore *store, uint32_t session, int patience_ms);

/* How long a process may wait for systemd when it starts and when it ends. */
#define FDSTORE_PATIENCE_MS 2000

/* Waits until systemd has received all messages, 2 s at most. Only for the end of the process. */
void fdstore_flush(struct fdstore *store);
