/* SPDX-License-Identifier: MIT */
/*
 * Looks at a SQLite file and its write-ahead log before SQLite does.
 *
 * SQLite ends its log at the first frame whose checksum is wrong and takes that for the end of the
 * last crash. It is right where a crash tore the last transaction. It is wrong where a committed
 * transaction in the middle was damaged later: what follows it was answered as stored, and would
 * vanish without a word. timerqd syncs each transaction before it writes the next one, and a start
 * cuts off what a killed process left behind the end. So a crash leaves frames of one transaction
 * there. Frames of the current log (by their salts) behind a commit mark there mean damage.
 *
 * The format is that of https://www.sqlite.org/fileformat2.html, section 4.
 */
#pragma once

#include <sqlite3.h>
#include <stdint.h>

struct sqlite_log_report {
	const char *fault; /* a sentence; NULL: nothing is wrong */
	uint32_t frames;   /* of committed transactions, as SQLite will find them */
	int64_t end;	   /* behind these frames: the log is to be cut there; 0: it has no more */
};

/*
 * Reads the file's header and its log through the VFS, and syncs both: what a killed process wrote
 * last may be in the kernel's cache alone, and will be taken for stored. Writes nothing.
 * Cost: the log is read once.
 *   vfs: NULL: SQLite's own.
 * Return: 0, with what was found; -EBUSY: another process has the file open; or another negative
 * errno: it cannot be read or synced. A file that is not there is no fault.
 */
int sqlite_log_look(const char *path, const char *vfs, struct sqlite_log_report *ret);

/* Where the pages of a file with a log are. */
struct sqlite_log_map {
	uint32_t page_size, pages;
	uint32_t *frames; /* of each page, from 1; 0: it is in the file. To be freed with free() */
};

/*
 * Finds the pages as of the first `frames` frames of a log, and checks these frames.
 * Return: 0; -EBADMSG: they do not end with a committed transaction; -EIO, -ENOMEM.
 */
int sqlite_log_map(sqlite3_file *file, uint32_t frames, struct sqlite_log_map *ret);
/* Return: the offset of a frame's page in the log. */
int64_t sqlite_log_offset(const struct sqlite_log_map *map, uint32_t frame);

/* Opens a file of the store through the VFS. flags: SQLITE_OPEN_… *ret: NULL: there is no such
 * file, and flags do not say to make one. Return: 0; -EACCES, -EIO, -ENOMEM. */
int sqlite_log_open_file(sqlite3_vfs *vfs, sqlite3_filename name, int flags, sqlite3_file **ret);
/* NULL is allowed. */
void sqlite_log_close_file(sqlite3_file *file);

/* The name of a file in the form that a VFS wants, with its log's name behind it. The caller frees
 * it with sqlite_log_free_name(). NULL: no memory. */
sqlite3_filename sqlite_log_name(const char *path);
void sqlite_log_free_name(sqlite3_filename name);

/* Microseconds of CLOCK_MONOTONIC. */
uint64_t sqlite_log_now(void);
