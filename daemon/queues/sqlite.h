/* SPDX-License-Identifier: MIT */
/*
 * One connection to the SQLite file of durable timers: what stands in it and how it is changed. The
 * store's thread (store_sqlite.c) is its only caller.
 *
 * A new timer's row is appended: ids grow, and the table of timers is ordered by id. What would be
 * spread over the whole file, the order by due and the look-up by key, are two indexes that are
 * derived from the timers. An index has two parts. New entries go into a sorted set in memory
 * (sqlite_recent.h); from there they are merged into a table on disk, `due` or `keys`, which has
 * some hundreds of them a row (sqlite_blocks.h). That is done in the order of the index, a slice at
 * a time, so that one page takes many entries at once. `indexed` in `meta` says up to which id the
 * tables on disk are complete: after a start the recent part is read again from the rows behind it.
 * So a put writes at one place of the file, and a crash costs nothing.
 *
 * Every function here returns an SQLite result code (SQLITE_OK: 0), unless it says otherwise.
 */
#pragma once

#include <sqlite3.h>

#include "sqlite_blocks.h"
#include "sqlite_queues.h"

#define SQLITE_STORE_ID	     0x514d5454 /* "TTMQ": application_id of the file */
#define SQLITE_STORE_VERSION 2		/* user_version */

/* When what nobody waits for is done. Tests make it happen more often. */
struct sqlite_tuning {
	/* Entries in a recent part from which on it is merged, and in a slice of that. */
	uint32_t recent_max, merge_slice;
	/* Frames in the log: from the first number on it is copied into the file when nobody waits,
	 * from the second on in any case. A long log lets one page take many changes; a short one
	 * lets a start be fast. */
	uint32_t log_idle, log_max;
	/* Bytes of receipts of one user (sqlite_puts.c): about 180,000 small ones, and several
	 * times what one user can have under way. */
	uint64_t receipts_max;
	/* All pages of a file up to this size are checked at a start. */
	uint32_t check_pages;
};

/* 65536 entries take 2 MB. With a million timers at random, a merge then adds seven of them to each
 * block. A commit may have to wait for a slice. */
#define SQLITE_MERGE_SLICE_MAX 1024
extern const struct sqlite_tuning sqlite_tuning_default;

/* Where the file is: what SQLite's VFS does not offer. */
struct sqlite_host {
	const char *vfs; /* NULL: SQLite's own */
	/* Makes the next reads of a file come from the disk, where nothing of it is dirty. */
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
	SQL_FIND_REVIVED,
	SQL_FIND_WAKE_SYSTEM,
	SQL_DELETE,
	SQL_DELETE_KNOWN,
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

/* A merge goes round: a place in the index, behind which it goes on. */
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
	uint64_t read_again;		    /* recent entries up to this id may be on disk, too */
	struct recent recent_due, recent_keys;
	struct sqlite_blocks due, keys;
	bool index_lost; /* the recent parts have to be read again */
	struct sqlite_merge merge_due, merge_keys;
	uint64_t seed[PROTO_QUEUE_KEY_MAX / 4 + 4]; /* of the hash of keys */
	struct sqlite_queues *queues;		    /* the caller's */
	struct sqlite_queue *last_queue;	    /* that a change concerned; NULL: none did */
	bool has_inserted;
	struct store_timer inserted; /* what SQL_INSERT has bound, but for key and payload */
	const char *path;
	const struct sqlite_host *host;
	struct sqlite_tuning tuning;
	bool unsure; /* the last transaction failed, and may be on disk as a whole all the same */
	uint32_t log_frames;   /* in the log, of transactions that are on disk */
	bool log_copied;       /* and all of them in the file, too */
	uint64_t puts_expired; /* when puts were looked through for old ones, boottime */
	uint64_t puts_life;    /* sqlite_user::receipts of another one are not right any more */
};

/* A place in an index by due. */
struct sqlite_due {
	uint32_t queue, clock;
	uint64_t ready, id;
};

/* sqlite_file.c */

/*
 * Opens the file, makes it if there is none, and brings its schema up to date.
 *   q: path, host, tuning and queues are set, the rest is zero.
 *   ret_why: a sentence that names the file and what is wrong; to be freed with sqlite3_free().
 * A file that is refused, and its log, are left byte for byte as they were. What is found has been
 * synced. Return: 0; or a negative errno, with *ret_why set.
 */
int sqlite_open(struct sqlite *q, char **ret_why);
/* What a failed result of an open file says. Return: -ENOSPC: there is no space, and what was to be
 * written was not; -ENOMEM: the same of memory; -EIO: what is on disk is not known. */
int sqlite_errno(const struct sqlite *q, int result);
/* Has q told of each transaction in the log. */
void sqlite_hook(struct sqlite *q);
/* Writes nothing. */
void sqlite_close(struct sqlite *q);
/* Copies the log into the file. The next transaction begins the log anew. */
int sqlite_checkpoint(struct sqlite *q);
/* The same for a stop: the log is empty afterwards, and a start has none to read. */
int sqlite_empty_log(struct sqlite *q);
/* Makes all queues known that have a row. */
int sqlite_read_queues(struct sqlite *q);
int sqlite_run(struct sqlite *q, enum sqlite_statement statement); /* without values */
sqlite3_stmt *sqlite_use(struct sqlite *q, enum sqlite_statement statement);
int sqlite_finish(sqlite3_stmt *statement); /* steps to the end and resets */

/* sqlite_meta.c */

/* Reads a value of meta that is size bytes long. SQLITE_OK; SQLITE_DONE: there is none;
 * SQLITE_CORRUPT: it is of another size. */
int sqlite_read_meta(struct sqlite *q, const char *name, void *ret, size_t size);
int sqlite_write_meta(struct sqlite *q, const char *name, const void *value, size_t size);
int sqlite_read_counter(struct sqlite *q, const char *name, uint64_t *ret);
int sqlite_write_counter(struct sqlite *q, const char *name, uint64_t value);
int sqlite_read_clocks(struct sqlite *q, struct clocks_stored *ret);
int sqlite_write_clocks(struct sqlite *q, const struct clocks_stored *clocks);

/* sqlite_index.c */

int sqlite_index_start(struct sqlite *q);
/* Reads the recent parts again: a transaction was rolled back, and they have its entries. */
int sqlite_index_restart(struct sqlite *q);
/* Does that now where it failed before. To be called before the indexes are used. */
int sqlite_index_mend(struct sqlite *q);
uint64_t sqlite_hash(const struct sqlite *q, uint32_t queue, const char *key, size_t size);
int sqlite_due_add(struct sqlite *q, const struct sqlite_due *due);
int sqlite_due_remove(struct sqlite *q, const struct sqlite_due *due);
int sqlite_key_add(struct sqlite *q, uint64_t hash, uint64_t id);
int sqlite_key_remove(struct sqlite *q, uint64_t hash, uint64_t id);
/* The next id behind `after` that has this hash, in one part of the index; 0: none. */
int sqlite_key_after(
	struct sqlite *q, bool on_disk, uint64_t hash, uint64_t after, uint64_t *ret_id);
/* Writes what was changed on disk: to be called before a transaction ends. */
int sqlite_index_flush(struct sqlite *q);
/* Entries in the larger part in memory. */
uint64_t sqlite_recent(const struct sqlite *q);
/* Return: whether there is something to merge; sqlite_merge() does a slice of it, in a transaction
 * of its own. */
bool sqlite_wants_merge(const struct sqlite *q);
int sqlite_merge(struct sqlite *q);

/* Goes through both parts of the index by due, in order. The index may change meanwhile. */
struct sqlite_cursor {
	struct sqlite *q;
	struct recent_entry at; /* the last entry that it has told of */
};
void sqlite_cursor_begin(struct sqlite_cursor *c, struct sqlite *q, const struct sqlite_due *after);
/* SQLITE_ROW: *ret is the next; SQLITE_DONE: the lane has no more. */
int sqlite_cursor_next(struct sqlite_cursor *c, struct sqlite_due *ret);

/* sqlite_rows.c */

/* The queue of that number; NULL: there is none. */
struct sqlite_queue *sqlite_queue_of(struct sqlite *q, uint32_t number);

/* Reads a row into *ret; its key and payload are valid until the statement is reset. SQLITE_ROW, or
 * SQLITE_DONE: there is none. The caller resets SQL_FIND. */
int sqlite_find(struct sqlite *q, uint64_t id, struct store_timer *ret);
void sqlite_column_timer(sqlite3_stmt *statement, struct store_timer *ret);
/* The waiting row of a key; 0: there is none. */
int sqlite_find_key(struct sqlite *q, uint32_t queue, const char *key, size_t size, uint64_t *ret);
int sqlite_insert(struct sqlite *q, const struct store_timer *t);
int sqlite_remove(struct sqlite *q, const struct store_timer *t);
/* The same for a row that is known as it was read: ret_removed: false: it is no more as t says. */
int sqlite_remove_known(struct sqlite *q, const struct store_timer *t, bool *ret_removed);
int sqlite_park(struct sqlite *q, const struct store_timer *t);
/* Gives a row another due, ready, slack, every, count, number and attempt. */
int sqlite_update(struct sqlite *q, const struct store_timer *was, const struct store_timer *t);
int sqlite_touch(struct sqlite *q, uint32_t queue, int64_t timers, int64_t parked, int64_t bytes);

/* sqlite_changes.c */

/* The stored form of a put's answer: id and due, status and flags, little-endian. */
#define SQLITE_ANSWER_SIZE 24

/* One transaction: all of the commit's changes, and its clocks. SQLITE_OK: it is on disk. Else
 * nothing of it is. */
int sqlite_commit(struct sqlite *q, struct store_commit *commit);
int sqlite_purge(struct sqlite *q, uint32_t queue, bool parked, size_t n, uint64_t *ret_n,
	uint64_t *ret_bytes, bool *ret_more);

/* sqlite_puts.c */

int sqlite_puts_write(struct sqlite *q, const struct store_put *p, uint64_t now);
/* Removes what is older than a day, if that was not done for long. now: boottime. */
int sqlite_puts_expire(struct sqlite *q, uint64_t now);

/* sqlite_recover.c */

/*
 * Goes on after a write or a sync has failed. What the kernel's cache says about the files is not
 * to be believed then, and nothing may be added to them. So the cache is dropped, and what was
 * answered as stored is read from the disk, checked, written to a new file and synced, which takes
 * the place of the old one. No sync is tried again.
 *
 * What was answered is the file with the first log_frames frames of its log. The transaction that
 * failed is not part of it. A crash on the way loses nothing: see the implementation.
 *
 * Return: 0: q is open, and holds what was answered. A negative errno: q is closed, and another
 * call may follow. ret_why: as in sqlite_open(), where it fails.
 */
int sqlite_recover(struct sqlite *q, char **ret_why);
