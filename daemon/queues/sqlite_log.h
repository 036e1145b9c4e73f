/* SPDX-License-Identifier: MIT */
/*
 * Checks an SQLite file and its write-ahead log before SQLite opens them.
 *
 * SQLite ends its log at the first frame with a wrong checksum. It assumes that a crash interrupted
 * the last transaction there. But a committed transaction in the middle may have been damaged
 * later. Then SQLite would silently drop the transactions after it, which were answered as stored.
 * timerqd syncs each transaction before it writes the next one, and a start cuts off the frames
 * that a killed process wrote after the last commit. So a crash leaves frames of at most one
 * transaction after the end. If frames of the current log (by their salts) follow a commit mark
 * there, the log is damaged.
 *
 * The format is that of https://www.sqlite.org/fileformat2.html, section 4.
 */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

struct sqlite_log_report {
	const char *fault; /* a sentence; NULL: nothing is wrong */
	uint32_t frames;   /* of committed transactions, as SQLite will find them */
	int64_t end;	   /* the offset after these frames, to cut the log at; 0: it ends there */
};

/*
 * Reads the file's header and its log through the VFS, and syncs both: the last writes of a killed
 * process may be only in the kernel's cache, and will count as stored. Writes nothing.
 * Cost: the log is read once.
 *   vfs: NULL: SQLite's own.
 * Return: 0, with what was found; -EBUSY: another process has the file open; or another negative
 * errno: it cannot be read or synced. A missing file is no fault.
 */
int sqlite_log_check(const char *path, const char *vfs, struct sqlite_log_report *ret);

/* Where the pages of a file with a log are. */
struct sqlite_log_map {
	uint32_t page_size, pages;
	uint32_t
		*frames; /* of each page, from 1; 0: the page is in the file. The caller frees it */
};

/*
 * Finds the pages as of the first `frames` frames of a log, and checks these frames.
 * Return: 0; -EBADMSG: they do not end with a committed transaction; -EIO, -ENOMEM.
 */
int sqlite_log_map(sqlite3_file *file, uint32_t frames, struct sqlite_log_map *ret);
/* Return: the offset of a frame's page in the log. */
int64_t sqlite_log_offset(const struct sqlite_log_map *map, uint32_t frame);

/* Opens a file of the store through the VFS. flags: SQLITE_OPEN_… *ret: NULL: there is no such
 * file, and flags do not allow to make one. Return: 0; -EACCES, -EIO, -ENOMEM. */
int sqlite_log_open_file(sqlite3_vfs *vfs, sqlite3_filename name, int flags, sqlite3_file **ret);
/* NULL is allowed. */
void sqlite_log_close_file(sqlite3_file *file);

/* The name of a file in the form that a VFS needs, followed by the name of its log. The caller
 * frees it with sqlite_log_free_name(). NULL: no memory. */
sqlite3_filename sqlite_log_name(const char *path);
void sqlite_log_free_name(sqlite3_filename name);

/* Microseconds of CLOCK_MONOTONIC. */
uint64_t sqlite_log_now(void);
