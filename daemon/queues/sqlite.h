/* SPDX-License-Identifier: MIT */
/*
 * One connection to the SQLite file of durable timers. The store's thread (store_sqlite.c) is the
 * only user of this struct and of the functions that take it.
 *
 * A new timer's row is appended: ids grow, and the table of timers is ordered by id. The order by
 * due and the look-up by key are two indexes, which are derived from the timers. Entries for new
 * rows would be spread over the whole file. So each index has two parts. New entries go into a
 * sorted set in memory (sqlite_recent.h). From there they are merged into a table on disk, `due` or
 * `keys`, which has some hundreds of entries in a row (sqlite_blocks.h). A merge goes in the order
 * of the index, a slice at a time, so that one page takes many entries at once. `indexed_due` and
 * `indexed_keys` in `meta` say up to which id the tables on disk are complete. A start reads the
 * rows with greater ids and fills the parts in memory from them. So a put writes at one place of
 * the file, and a crash costs nothing.
 */
#pragma once

#include <sqlite3.h>

#include "sqlite_blocks.h"
#include "sqlite_queues.h"

#define SQLITE_STORE_ID	     0x514d5454 /* "TTMQ": application_id of the file */
#define SQLITE_STORE_VERSION 2		/* user_version */

/* When the store's thread does background work. Tests make it happen more often. */
struct sqlite_tuning {
	/* A merge begins when a part in memory has recent_max entries. A slice is merge_slice. */
	uint32_t recent_max, merge_slice;
	/* Frames in the log: if it has log_idle, it is copied into the file when no job waits; if
	 * it has log_max, at once. With a long log one page takes many changes; with a short log a
	 * start is fast. */
	uint32_t log_idle, log_max;
	/* The most bytes of receipts of one user (sqlite_puts.c): about 180,000 small ones, several
	 * times what the puts of one user that wait for answers need. */
	uint64_t receipts_max;
	/* A start checks all pages of a file that has at most this many. */
	uint32_t check_pages;
	/* After a failure the store is recovered at once. If that fails, it is tried again after
	 * this many microseconds. Each further span is twice as long, up to 60 times the first. */
	uint64_t recover_us;
};

/* The most entries of a slice of a merge: a commit may have to wait for one slice. recent_max is
 * 65536 entries, which take 2 MB: with a million timers at random, a merge then adds seven entries
 * to each block. */
#define SQLITE_MERGE_SLICE_MAX 1024
extern const struct sqlite_tuning sqlite_tuning_default;

/* Operations on the file that SQLite's VFS does not have. */
struct sqlite_host {
	const char *vfs; /* NULL: SQLite's own */
	/* Drops the clean pages of a file from the kernel's cache, so that the next reads come from
	 * the disk. */
	void (*drop_cache)(const char *path);
	/* Renames a file over another one, and syncs their folder. Return: 0, -EIO, -ENOSPC. */
	int (*replace)(const char *from, const char *to);
	/* Syncs the folder that a file is in. Return: 0, -EIO. */
	int (*sync_folder)(const char *path);
};
extern const struct sqlite_host sqlite_host_default;

enum sqlite_statement {
	SQL_BEGIN,
	SQL_COMMIT,
	SQL_ROLLBACK,
	SQL_INSERT,
	SQL_FIND,
	SQL_FIND_FROM,
	SQL_FIND_REVIVED,
	SQL_FIND_WAKE_SYSTEM,
	SQL_DELETE,
	SQL_DELETE_KNOWN,
	SQL_RUN,
	SQL_DELETE_RUN,
	SQL_UPDATE,
	SQL_PARKED_INSERT,
	SQL_PARKED_FIND,
	SQL_PARKED_DELETE,
	SQL_PARKED_AFTER,
	SQL_PUT_WRITE,
	SQL_PUT_SIZE,
	SQL_PUTS_SIZE,
	SQL_PUTS_OLDEST,
	SQL_PUTS_FORGET,
	SQL_PUTS_OF_TOKEN,
	SQL_PUTS_EXPIRE,
	SQL_META_WRITE,
	SQL_QUEUE_WRITE,
	SQL_QUEUE_DELETE,
	SQL_STATEMENTS,
};

/* A merge goes through the whole index in one round. `at` is the last entry that it has written. */
struct sqlite_merge {
	bool under_way;
	uint64_t newest; /* the last id when the round began */
	struct recent_entry at;
};

struct sqlite {
	sqlite3 *db;
	sqlite3_stmt *statements[SQL_STATEMENTS];
	uint64_t next_id, written_next_id;
	uint64_t indexed_due, indexed_keys; /* the tables on disk are complete up to this id */
	uint64_t read_again; /* entries in memory up to this id may also be on disk */
	struct recent recent_due, recent_keys;
	struct sqlite_blocks due, keys;
	bool index_lost; /* the parts in memory must be filled again */
	struct sqlite_merge merge_due, merge_keys;
	uint64_t seed[PROTO_QUEUE_KEY_MAX / 4 + 4]; /* of the hash of keys */
	struct sqlite_queues *queues;		    /* borrowed */
	struct sqlite_queue *last_queue;	    /* of the last change; NULL: there was none */
	bool has_inserted;
	struct store_timer inserted; /* what SQL_INSERT has bound, without key and payload */
	const char *path;
	const struct sqlite_host *host;
	struct sqlite_tuning tuning;
	bool unsure;	       /* the last transaction failed, but all of it may be on disk */
	uint32_t log_frames;   /* frames in the log, of transactions that are on disk */
	bool log_copied;       /* all of these frames are also in the file */
	uint64_t puts_expired; /* when old receipts were last looked for, boottime */
	uint64_t puts_life; /* sqlite_user::receipts is valid only if receipts_of is this number */
};

/* An entry of the index by due. */
struct sqlite_due {
	uint32_t queue, clock;
	uint64_t ready, id;
};
