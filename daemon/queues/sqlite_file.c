/* SPDX-License-Identifier: MIT */
/*
 * The SQLite file: which files are refused, and how a file is opened and closed.
 *
 * The file is checked before SQLite opens it, because a refused file must not change, nor its log.
 * There is one connection with an exclusive lock: with two connections SQLite's log had a bug
 * (before 3.51.3), and with an exclusive lock the log's index is in memory. Each setting on which a
 * promise depends is read back after it is set.
 */
#include "sqlite_file.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "sqlite_index.h"
#include "sqlite_log.h"
#include "sqlite_meta.h"
#include "sqlite_schema.h"

const struct sqlite_tuning sqlite_tuning_default = {
	.recent_max = 65536,
	.merge_slice = SQLITE_MERGE_SLICE_MAX,
	.log_idle = 4096,
	.log_max = 16384,
	.receipts_max = UINT64_C(16) << 20,
	.check_pages = 4096,
	.recover_us = UINT64_C(10000000),
};

/* Makes the settings on which promises depend, and reads back those that SQLite may refuse. */
static int configure(struct sqlite *q, char **ret_why)
{
	int64_t synchronous = 0;
	sqlite3_stmt *s;
	bool wal = false;
	int r = sqlite3_exec(q->db,
		"PRAGMA locking_mode = EXCLUSIVE; PRAGMA temp_store = MEMORY;"
		"PRAGMA cache_size = -16384; PRAGMA wal_autocheckpoint = 0;"
		"PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
		NULL, NULL, NULL);

	if (!r)
		r = sqlite3_prepare_v2(q->db, "PRAGMA journal_mode = WAL", -1, &s, NULL);
	if (r)
		return r;
	r = sqlite3_step(s);
	if (r == SQLITE_ROW)
		wal = !strcmp((const char *)sqlite3_column_text(s, 0), "wal");
	r = sqlite3_finalize(s);
	if (!r)
		r = sqlite3_exec(q->db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
	if (!r)
		r = sqlite_read_number(q, "PRAGMA synchronous", &synchronous);
	if (!r && (!wal || synchronous != 2)) {
		*ret_why = sqlite3_mprintf("SQLite does not keep a synchronous log here");
		return SQLITE_ERROR;
	}
	return r;
}

/* Cuts off what a killed process wrote after the last committed transaction. Frames of several such
 * processes would look like damage. The connection has the file's lock by now. */
static int cut_log(struct sqlite *q, int64_t end)
{
	sqlite3_file *log = NULL;
	int r = sqlite3_file_control(q->db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);

	if (r || !log || !log->pMethods)
		return r;
	r = log->pMethods->xTruncate(log, end);
	return r ? r : log->pMethods->xSync(log, SQLITE_SYNC_NORMAL);
}

static int create(struct sqlite *q)
{
	int r;

	if (getrandom(q->seed, sizeof(q->seed), 0) != sizeof(q->seed))
		return SQLITE_ERROR;
	r = sqlite3_exec(q->db, "BEGIN IMMEDIATE", NULL, NULL, NULL);
	if (!r)
		r = sqlite_schema_make(q);
	return r;
}

static int write_first(struct sqlite *q)
{
	int r = sqlite_write_meta(q, "seed", q->seed, sizeof(q->seed));

	if (!r)
		r = sqlite_write_counter(q, "next_id", 1);
	if (!r)
		r = sqlite_write_counter(q, "indexed_due", 0);
	if (!r)
		r = sqlite_write_counter(q, "indexed_keys", 0);
	return r ? r : sqlite3_exec(q->db, "COMMIT", NULL, NULL, NULL);
}

static int read_first(struct sqlite *q)
{
	int r = sqlite_read_meta(q, "seed", q->seed, sizeof(q->seed));

	if (!r)
		r = sqlite_read_counter(q, "next_id", &q->next_id);
	if (!r)
		r = sqlite_read_counter(q, "indexed_due", &q->indexed_due);
	if (!r)
		r = sqlite_read_counter(q, "indexed_keys", &q->indexed_keys);
	q->written_next_id = q->next_id;
	/* The schema was made with all of these values, so the file is damaged if one is missing.
	 */
	return r == SQLITE_DONE ? SQLITE_CORRUPT : r;
}

static int check(struct sqlite *q, const char *text, char **ret_why)
{
	sqlite3_stmt *s;
	int r = sqlite3_prepare_v2(q->db, text, -1, &s, NULL);

	if (r)
		return r;
	r = sqlite3_step(s);
	if (r == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(s, 0), "ok")) {
		const char *found = (const char *)sqlite3_column_text(s, 0);
		const char *line = strrchr(found, '\n'); /* after a heading */

		*ret_why = sqlite3_mprintf("a page is damaged (%s)", line ? line + 1 : found);
		r = SQLITE_CORRUPT;
	}
	sqlite3_finalize(s);
	return r == SQLITE_ROW ? SQLITE_OK : r;
}

/* Checks all pages of a file that is small enough. Of a larger file it checks the tables that a
 * start reads as a whole, because SQLite cannot be interrupted during a check. Other damage is
 * found when a page is read. */
static int check_pages(struct sqlite *q, char **ret_why)
{
	int64_t pages = 0;
	int r = sqlite_read_number(q, "PRAGMA page_count", &pages);

	if (r)
		return r;
	if (pages <= q->tuning.check_pages)
		return check(q, "PRAGMA quick_check(1)", ret_why);
	r = check(q, "PRAGMA quick_check(meta)", ret_why);
	return r ? r : check(q, "PRAGMA quick_check(queues)", ret_why);
}

/* Whether the file is new, or a start was interrupted before its first commit. */
static int is_fresh(struct sqlite *q, bool *ret)
{
	int64_t tables = 0, application = 0;
	int r = sqlite_read_number(q, "SELECT count(*) FROM sqlite_schema", &tables);

	if (!r)
		r = sqlite_read_number(q, "PRAGMA application_id", &application);
	*ret = !tables && !application;
	return r;
}

static int open_db(struct sqlite *q, int64_t log_end, char **ret_why)
{
	bool fresh = false;
	int r = sqlite3_open_v2(q->path, &q->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
			SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_PRIVATECACHE,
		q->host->vfs);

	if (r)
		return r;
	sqlite3_extended_result_codes(q->db, 1);
	/* A file that is refused keeps its log. */
	sqlite3_db_config(q->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_db_config(q->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	r = configure(q, ret_why);
	if (!r)
		r = is_fresh(q, &fresh);
	if (!r && !fresh)
		r = check_pages(q, ret_why);
	if (!r && log_end)
		r = cut_log(q, log_end);
	if (!r)
		r = fresh ? create(q) : sqlite_schema_upgrade(q);
	if (!r)
		r = sqlite_prepare(q);
	if (!r && fresh)
		r = write_first(q);
	if (!r)
		r = read_first(q);
	if (!r)
		r = sqlite_index_start(q);
	return r;
}

/* Why the file cannot be opened. */
static int errno_of(int result)
{
	switch (result & 0xff) {
	case SQLITE_BUSY:
		return -EBUSY;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB:
		return -EBADMSG;
	case SQLITE_READONLY:
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return -EACCES;
	default:
		return -EIO;
	}
}

/* A hint on what to do, if there is one. */
static const char *advice(int error)
{
	switch (error) {
	case -EBADMSG:
		return "; restore the file and its -wal from a copy, or move both away";
	case -ENOSPC:
		return "; make room";
	case -EACCES:
		return "; it has to be a file of this user, and no link";
	case -EBUSY:
		return "; stop that one first, or name another folder with --state";
	default:
		return "";
	}
}

/* Whether the last failed write, to the log or the file, exceeded a quota. SQLite reports only a
 * full disk as such, and keeps no errno of a failed commit. */
static bool exceeds_quota(sqlite3 *db)
{
	sqlite3_file *log = NULL;
	int in_log = 0, in_file = 0;

	sqlite3_file_control(db, "main", SQLITE_FCNTL_LAST_ERRNO, &in_file);
	sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &log);
	if (log && log->pMethods)
		log->pMethods->xFileControl(log, SQLITE_FCNTL_LAST_ERRNO, &in_log);
	return in_file == EDQUOT || in_log == EDQUOT;
}

int sqlite_errno(const struct sqlite *q, int result)
{
	if ((result & 0xff) == SQLITE_FULL)
		return -ENOSPC;
	if (result == SQLITE_IOERR_WRITE && q->db && exceeds_quota(q->db))
		return -ENOSPC;
	return (result & 0xff) == SQLITE_NOMEM || result == SQLITE_IOERR_NOMEM ? -ENOMEM : -EIO;
}

static int note_log(void *userdata, sqlite3 *db, const char *name, int pages)
{
	struct sqlite *q = userdata;

	(void)db;
	(void)name;
	q->log_frames = (uint32_t)pages;
	q->log_copied = false;
	return SQLITE_OK;
}

void sqlite_hook(struct sqlite *q)
{
	sqlite3_wal_hook(q->db, note_log, q);
}

static char *wal_name(const char *path)
{
	return sqlite3_mprintf("%s-wal", path);
}

/* Looks at the files as they are on the disk, because an earlier timerqd may have died of a failed
 * sync. */
static int check_files(struct sqlite *q, int64_t *ret_log_end, char **ret_why)
{
	struct sqlite_log_report report;
	char *wal = wal_name(q->path);
	int r;

	if (wal) {
		q->host->drop_cache(q->path);
		q->host->drop_cache(wal);
	}
	sqlite3_free(wal);
	r = sqlite_log_check(q->path, q->host->vfs, &report);
	if (r == -EBUSY)
		*ret_why = sqlite3_mprintf("%s: another process uses it%s", q->path, advice(r));
	else if (r < 0)
		*ret_why = sqlite3_mprintf("%s: %s%s", q->path, strerror(-r), advice(r));
	else if (report.fault)
		*ret_why = sqlite3_mprintf("%s: %s", q->path, report.fault);
	q->log_frames = report.frames;
	*ret_log_end = report.end;
	return r < 0 ? r : report.fault ? -EBADMSG : 0;
}

int sqlite_open(struct sqlite *q, char **ret_why)
{
	int64_t log_end;
	int r;

	*ret_why = NULL;
	q->puts_life += !q->puts_life;
	r = check_files(q, &log_end, ret_why);
	if (r)
		return r;
	/* Syncs what a killed process did to the names of its files before anything is written now.
	 */
	r = q->host->sync_folder(q->path) ? SQLITE_IOERR_DIR_FSYNC : open_db(q, log_end, ret_why);
	if (!r) {
		sqlite_hook(q);
		if (!q->host->sync_folder(q->path))
			return 0;
		r = SQLITE_IOERR_DIR_FSYNC;
	}
	if (r == SQLITE_BUSY)
		*ret_why = sqlite3_mprintf(
			"%s: another process uses it%s", q->path, advice(-EBUSY));
	else if (r == SQLITE_IOERR_DIR_FSYNC)
		*ret_why = sqlite3_mprintf(
			"%s: its folder cannot be synced; check the disk", q->path);
	else if (*ret_why)
		*ret_why = sqlite3_mprintf("%s: %z%s", q->path, *ret_why, advice(errno_of(r)));
	else
		*ret_why = sqlite3_mprintf("%s: %s%s", q->path,
			q->db ? sqlite3_errmsg(q->db) : sqlite3_errstr(r), advice(errno_of(r)));
	sqlite_close(q);
	return errno_of(r);
}

void sqlite_close(struct sqlite *q)
{
	sqlite_unprepare(q);
	q->has_inserted = false;
	sqlite3_close(q->db);
	q->db = NULL;
	recent_clear(&q->recent_due);
	recent_clear(&q->recent_keys);
}

int sqlite_checkpoint(struct sqlite *q)
{
	int frames = 0, copied = 0;
	int r = sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_PASSIVE, &frames, &copied);

	if (!r && frames == copied)
		q->log_copied = true;
	return r;
}

int sqlite_empty_log(struct sqlite *q)
{
	return sqlite3_wal_checkpoint_v2(q->db, NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL);
}

static int read_queue(struct sqlite *q, sqlite3_stmt *s)
{
	const char *name = (const char *)sqlite3_column_text(s, 2);
	int64_t number = sqlite3_column_int64(s, 0), uid = sqlite3_column_int64(s, 1);
	struct sqlite_counts holds = {
		.timers = sqlite3_column_int64(s, 3),
		.parked = sqlite3_column_int64(s, 4),
		.bytes = sqlite3_column_int64(s, 5),
	};
	int r;

	if (number < 1 || number > UINT32_MAX || uid < 0 || uid > UINT32_MAX || !name || !*name ||
		strlen(name) > PROTO_QUEUE_NAME_MAX)
		return SQLITE_CORRUPT;
	r = sqlite_queues_add(q->queues, (uint32_t)number, (uint32_t)uid, name, &holds);
	return !r ? SQLITE_OK : r == -ENOMEM ? SQLITE_NOMEM : SQLITE_CORRUPT;
}

int sqlite_read_queues(struct sqlite *q)
{
	sqlite3_stmt *s;
	int r = sqlite3_prepare_v2(
		q->db, "SELECT number, uid, name, timers, parked, bytes FROM queues", -1, &s, NULL);

	if (r)
		return r;
	while ((r = sqlite3_step(s)) == SQLITE_ROW) {
		r = read_queue(q, s);
		if (r)
			break;
	}
	sqlite3_finalize(s);
	return r == SQLITE_DONE ? SQLITE_OK : r;
}
