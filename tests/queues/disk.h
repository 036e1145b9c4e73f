/* SPDX-License-Identifier: MIT */
/*
 * A disk in memory, as a VFS of SQLite: it knows what was synced and what was not, and what may be
 * left of it when the power fails at any moment.
 *
 * A file's content is safe as of its last sync. What was written since may be there after a crash
 * or not, each sector by itself. A name that is made, removed or renamed is safe once its folder is
 * synced.
 */
#pragma once

#include <sqlite3.h>
#include <stdbool.h>
#include <stdint.h>

#include "sqlite.h"

#define DISK_SECTOR 512
#define DISK_FILES  4 /* the file, its journal, its log, and the new file of a recovery */
#define DISK_INODES 16

enum disk_file {
	DISK_DB,
	DISK_JOURNAL,
	DISK_LOG,
	DISK_NEW,
};

/* Which promise a sync keeps. */
enum disk_sync {
	DISK_SYNC_NONE,
	DISK_SYNC_COMMIT,     /* the log, once a transaction is written */
	DISK_SYNC_LOG_HEADER, /* the log, before its first frame takes an old one's place */
	DISK_SYNC_START,      /* file and log, before what a killed process left is trusted */
	DISK_SYNC_CUT,	      /* the log, once what such a process began is cut off */
	DISK_SYNC_CHECKPOINT, /* the file, before the log begins anew */
	DISK_SYNC_NEW,	      /* the new file, before it takes the old one's place */
	DISK_SYNC_REPLACE,    /* the folder, before the old log goes */
	DISK_SYNC_MADE,	      /* the file, when it is made */
	DISK_SYNC_JOURNAL,    /* its journal then */
	DISK_SYNC_FOLDER,     /* the folder, for the file's and the log's names */
	DISK_SYNC_AGAIN,      /* a file of which all is safe */
	DISK_SYNCS,
};

enum disk_call {
	DISK_OPEN,
	DISK_READ,
	DISK_WRITE,
	DISK_TRUNCATE,
	DISK_SYNC,
	DISK_SIZE,
	DISK_ACCESS,
	DISK_DELETE,
	DISK_RENAME,
	DISK_CALLS,
};

enum disk_error {
	DISK_EIO,
	DISK_ENOSPC,
	DISK_EDQUOT,
	DISK_SHORT, /* half of a write, and no space for the rest */
	DISK_DEAD,  /* this call and all that follow: the process is killed */
};

struct disk_change {
	bool truncates;
	int64_t at, size; /* truncates: size is the file's */
	uint8_t *bytes;
};

struct disk_bytes {
	uint8_t *at;
	int64_t size, room;
};

struct disk_inode {
	bool used;
	struct disk_bytes now, safe;
	struct disk_change *changes; /* since the last sync */
	size_t count, room;
};

struct disk_names {
	int8_t inode[DISK_FILES]; /* -1: there is no such file */
};

/* A name leads to another inode; with a rename, two names at once. */
struct disk_rename {
	enum disk_file file, other;
	int8_t inode, other_inode;
};

struct disk {
	sqlite3_vfs vfs;
	struct sqlite_host host;
	struct disk_inode inodes[DISK_INODES];
	struct disk_names names;
	struct disk_names safe_names;
	struct disk_rename renames[64]; /* since the folder was synced */
	unsigned int rename_count;
	bool records; /* else nothing but `now` is kept */
	bool lost;    /* a failed sync marks what it was to sync as clean: it is lost (Linux) */
	uint64_t random;
	uint64_t syncs[DISK_SYNCS]; /* by kind */
	enum disk_sync swallow;	    /* syncs of this kind do nothing */
	uint64_t calls[DISK_CALLS]; /* since disk_fail() */
	enum disk_call fail_call;
	enum disk_error fail_error;
	uint64_t fail_at;    /* the n-th call from now on; 0: none */
	uint64_t fail_times; /* calls that fail from there on */
	bool failed;
	enum disk_call then_call; /* after that, the n-th of these fails as well */
	uint64_t then_at, then_calls;
	bool then_failed;
	int system_errno;
	bool dead;
	bool taken;			 /* by another process */
	void (*changed)(void *userdata); /* after each change */
	void *userdata;
};

/* name: of the VFS; kept. */
void disk_init(struct disk *d, const char *name, uint64_t seed);
/* Keeps what a crash needs from now on; host functions are of this disk. */
void disk_record(struct disk *d);
/* Removes all files, at once and safely. */
void disk_erase(struct disk *d);
void disk_free(struct disk *d);
uint64_t disk_random(uint64_t *state);
/* Makes what the store and SQLite draw depend on the seed alone from now on, so that a run can be
 * repeated. */
void disk_repeat(uint64_t seed);

/* How a crash picks what is left of what was not synced. */
enum disk_pick {
	DISK_ALL,     /* all: the system goes on, or wrote everything in time */
	DISK_NOTHING, /* nothing */
	DISK_PREFIX,  /* of each file what was written first */
	DISK_SOME,    /* some writes */
	DISK_TORN,    /* some sectors */
};

/* Makes ret what a crash of d leaves now. ret: made by disk_init(). */
void disk_crash(const struct disk *d, enum disk_pick pick, uint64_t seed, struct disk *ret);

/* Has the n-th call of a kind fail, and those that follow it, `times` in all. */
void disk_fail(
	struct disk *d, enum disk_call call, uint64_t n, uint64_t times, enum disk_error error);
/* Once that has failed, has the n-th call of this kind from then on fail with EIO, too. */
void disk_fail_then(struct disk *d, enum disk_call call, uint64_t n);
void disk_heal(struct disk *d);

/* Writes the files into a folder, as queues.db and so on. */
int disk_export(const struct disk *d, const char *folder);
