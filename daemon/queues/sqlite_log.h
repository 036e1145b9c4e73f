/* SPDX-License-Identifier: MIT */
/*
 * Looks at a SQLite file and its write-ahead log before SQLite does.
 *
 * SQLite ends its log at the first frame whose checksum is wrong and takes that for the end of the
 * last crash. It is right where a crash tore the last transaction. It is wrong where a committed
 * transaction in the middle was damaged later: what follows it was answered as stored, and would
 * vanish without a word. timerqd syncs each transaction before it writes the next one, so a crash
 * leaves frames of one transaction behind the end. Frames of the current log (by their salts) behind
 * a second commit mark there mean damage.
 *
 * The format is that of https://www.sqlite.org/fileformat2.html, section 4.
 */
#pragma once

#include <stdint.h>

struct sqlite_log_report {
	const char *fault; /* a sentence; NULL: nothing is wrong */
};

/*
 * Reads the file's header and its log through the VFS; writes nothing. Cost: the log is read once.
 *   vfs: NULL: SQLite's own.
 * Return: 0, with what was found; or a negative errno: it cannot be read. A file that is not there
 * is no fault.
 */
int sqlite_log_look(const char *path, const char *vfs, struct sqlite_log_report *ret);

/* Microseconds of CLOCK_MONOTONIC. */
uint64_t sqlite_log_now(void);
