/* SPDX-License-Identifier: MIT */
/*
 * What outlives the process: the arena's memory and the clients' connections, in systemd's keeping.
 *
 * systemd holds descriptors for a service (the "fd store", sd_pid_notify_with_fds(3)) and hands
 * them to its next process, also after a SIGKILL. The memory goes there at the start. A connection
 * goes there once its session has had a timer for a while, and a bounded number of them a second:
 * each costs PID 1 time in proportion to those that it holds, and a flood of short connections must
 * not become a flood of PID 1's. Where there is no systemd, all of this does nothing.
 *
 * A stored connection has to leave the store before it is closed: its client sees no end of file
 * while anybody holds the other end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"

/* How long a session has a timer before its connection is worth storing. */
#define STORE_AFTER_US UINT64_C(100000)

/* How many are stored at a time: fewer than the 10 messages that may wait for PID 1, where nobody
 * has raised that (net.unix.max_dgram_qlen), lest others wait for us. And how far such times lie
 * apart: 200 a second at first, and slower as PID 1 does, whose work for one grows with those that
 * it holds. */
#define STORE_SLICE	       5
#define STORE_EVERY_US(stored) (UINT64_C(25000) * (1 + (stored) / 512))

/* How many are stored at most: the names of all of them, in $LISTEN_FDNAMES, are one string, for
 * which execve(2) has 128 KB. FileDescriptorStoreMax= of the unit is this and two for the
 * memory: during an upgrade systemd holds that of two layouts. */
#define STORE_SESSIONS_MAX 8192

/* A connection that an earlier process left. */
struct store_left {
	int fd;
	uint32_t session; /* by its name; nothing is certain about it yet */
};

struct store {
	bool open;	   /* systemd is there to be told */
	int room;	   /* says whether systemd's queue has room; -1: nothing does */
	int memory;	   /* -1: not so far */
	int previous;	   /* memory of the layout before this one; -1: there is none */
	bool inherited;	   /* the memory is one that an earlier process left */
	uint32_t sessions; /* connections stored now */
	struct store_left *left;
	size_t left_count;
};

void store_init(struct store *store);

/* Closes what is this process's; what is stored stays stored. */
void store_close(struct store *store);

/*
 * Takes a descriptor that systemd passed under that name, if it is one that store.c named.
 * Return: 1: it is; 0: it is not, and stays the caller's; -ENOMEM.
 */
int store_take(struct store *store, int fd, const char *name);

/* Gives up a descriptor that another version may have stored: this one knows no use for it. */
void store_forget(struct store *store, int fd, const char *name);

/* What the arena's address is a multiple of, if that can be had: the size of a huge page. */
#define STORE_ALIGN ((size_t)2 << 20)

/*
 * Maps the memory for an arena of size bytes: that of an earlier process if it is whole and cannot
 * be cut off, else new and zeroed. systemd gets new memory with store_keep() only.
 *   ret_inherited: whether it is an earlier process's.
 * Return: 0, or a negative errno.
 */
int store_map(struct store *store, size_t size, void **ret_block, bool *ret_inherited);

/* Maps what a version with the layout before this one left, size bytes of it. Return: 0; -ENOENT:
 * there is no such memory; another negative errno. */
int store_map_previous(const struct store *store, size_t size, void **ret_block);

/* Gives systemd new memory, so that the next process gets it. */
void store_keep(struct store *store);

/* Has systemd drop the memory of the previous layout, if it holds any. */
void store_drop_previous(struct store *store);

/* Puts new memory in the place of what was inherited and is of no use. Return: as store_map(). */
int store_renew(struct store *store, size_t size, void **ret_block);

/* Whether systemd can be told something without waiting, now or within so many milliseconds. */
bool store_has_room(const struct store *store, int patience_ms);

/* Gives systemd a session's connection; takes it away again. Return: false: nothing was said, since
 * there was no room for it within so many milliseconds. */
bool store_put(struct store *store, uint32_t session, int fd, int patience_ms);
bool store_remove(struct store *store, uint32_t session, int patience_ms);

/* The patience of a process that starts or ends. */
#define STORE_PATIENCE_MS 2000

/* Waits until systemd has seen all of it, 2 s at most. Only for the end of the process. */
void store_flush(struct store *store);
