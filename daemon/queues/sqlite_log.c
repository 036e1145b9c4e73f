/* SPDX-License-Identifier: MIT */
#include "sqlite_log.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sqlite.h"

#define DB_HEADER    100
#define WAL_HEADER   32
#define FRAME_HEADER 24
#define PAGE_MAX     65536
#define SECTOR	     512 /* the smallest unit that a disk writes as a whole */

#define WAL_MAGIC   0x377f0682u /* + 1: checksums read words big-endian */
#define WAL_VERSION 3007000u

/* Offsets in the file's header. */
#define AT_USER_VERSION 60
#define AT_APPLICATION	68
#define AT_CELLS	103 /* of page 1: rows of the schema */

static const char db_magic[16] = "SQLite format 3";

struct log {
	sqlite3_file *file;
	sqlite3_int64 size;
	uint32_t page_size, salts[2], sums[2];
	bool big_endian;
	int64_t end;	/* the offset after the last committed frame */
	uint32_t pages; /* of the file, as of that frame */
	int64_t valid;	/* the offset after the last frame with a right checksum */
	bool has_first; /* page 1 was committed */
	uint8_t first[DB_HEADER + 5];
	uint8_t frame[FRAME_HEADER + PAGE_MAX];
};

uint64_t sqlite_log_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t get32_little(const uint8_t *p)
{
	return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* Continues the checksum over size bytes, a multiple of 8. */
static void add_sum(const struct log *log, uint32_t sums[2], const uint8_t *p, size_t size)
{
	for (size_t i = 0; i < size; i += 8) {
		sums[0] += (log->big_endian ? get32(p + i) : get32_little(p + i)) + sums[1];
		sums[1] += (log->big_endian ? get32(p + i + 4) : get32_little(p + i + 4)) + sums[0];
	}
}

/* Return: 0, -ENODATA where the file is shorter, -EIO. */
static int read_at(sqlite3_file *file, void *ret, size_t size, int64_t at)
{
	int r = file->pMethods->xRead(file, ret, (int)size, at);

	if (r == SQLITE_OK)
		return 0;
	return r == SQLITE_IOERR_SHORT_READ ? -ENODATA : -EIO;
}

static bool read_log_header(struct log *log)
{
	uint8_t h[WAL_HEADER];
	uint32_t magic;

	if (log->size < WAL_HEADER || read_at(log->file, h, sizeof(h), 0))
		return false;
	magic = get32(h);
	log->big_endian = magic & 1;
	log->page_size = get32(h + 8);
	if ((magic & ~1u) != WAL_MAGIC || get32(h + 4) != WAL_VERSION || log->page_size < 512 ||
		log->page_size > PAGE_MAX || log->page_size & (log->page_size - 1))
		return false;
	memcpy(log->salts, h + 16, sizeof(log->salts)); /* compared as bytes only */
	add_sum(log, log->sums, h, 24);
	return log->sums[0] == get32(h + 24) && log->sums[1] == get32(h + 28);
}

static bool has_salts(const struct log *log)
{
	return !memcmp(log->frame + 8, log->salts, sizeof(log->salts));
}

/* Whether the frame at that offset, which has the salts, is the last one of a transaction. A crash
 * may leave the sectors of two frames, of which the older one has other salts. So the mark counts
 * only if it lies in the same sector as the salts. */
static bool has_mark(const struct log *log, int64_t at)
{
	return get32(log->frame + 4) && at % SECTOR + 8 + (int64_t)sizeof(log->salts) <= SECTOR;
}

/* Whether the checksum of the frame continues the chain. */
static bool continues_chain(struct log *log)
{
	uint32_t sums[2] = {log->sums[0], log->sums[1]};

	if (!get32(log->frame) || !has_salts(log))
		return false;
	add_sum(log, sums, log->frame, 8);
	add_sum(log, sums, log->frame + FRAME_HEADER, log->page_size);
	if (sums[0] != get32(log->frame + 16) || sums[1] != get32(log->frame + 20))
		return false;
	memcpy(log->sums, sums, sizeof(sums));
	return true;
}

/* What find_end() reports of each frame. */
struct frame_reader {
	int (*found)(struct frame_reader *r, const struct log *log, uint32_t page);
	uint32_t most;	/* frames to read */
	uint32_t count; /* that were read */
	struct sqlite_log_map *map;
};

/* Finds where SQLite will end the log, and page 1 as committed there. reader: NULL: nobody's. */
static int find_end(struct log *log, struct frame_reader *reader)
{
	size_t size = FRAME_HEADER + log->page_size;
	uint8_t first[sizeof(log->first)];
	bool has_first = false;

	log->end = log->valid = WAL_HEADER;
	while (log->valid + (int64_t)size <= log->size &&
		(!reader || reader->count < reader->most)) {
		int r = read_at(log->file, log->frame, size, log->valid);

		if (r)
			return r;
		if (!continues_chain(log))
			return 0;
		log->valid += (int64_t)size;
		if (reader && (r = reader->found(reader, log, get32(log->frame))))
			return r;
		if (get32(log->frame) == 1) {
			memcpy(first, log->frame + FRAME_HEADER, sizeof(first));
			has_first = true;
		}
		if (!get32(log->frame + 4))
			continue;
		log->end = log->valid;
		log->pages = get32(log->frame + 4);
		if (has_first)
			memcpy(log->first, first, sizeof(first));
		log->has_first = log->has_first || has_first;
	}
	return 0;
}

/* Whether only damage can explain frames after the end: see the top of sqlite_log.h. */
static int is_damaged(struct log *log, bool *ret)
{
	int64_t size = FRAME_HEADER + (int64_t)log->page_size;
	bool marked = false;

	*ret = false;
	for (int64_t at = log->end; at + size <= log->size; at += size) {
		int r = read_at(log->file, log->frame, FRAME_HEADER, at);

		if (r)
			return r;
		if (!has_salts(log))
			continue;
		if (marked) {
			*ret = true;
			return 0;
		}
		marked = has_mark(log, at);
	}
	return 0;
}

static int read_log(struct log *log, struct sqlite_log_report *ret)
{
	bool damaged = false;
	int r = 0;

	if (!log->file || log->size < WAL_HEADER)
		return 0; /* SQLite begins it anew */
	/* The header is synced before the first frame is written. */
	if (!read_log_header(log))
		damaged = log->size > WAL_HEADER;
	else
		r = find_end(log, NULL);
	if (!r && log->end) {
		ret->frames = (uint32_t)((log->end - WAL_HEADER) /
			(FRAME_HEADER + (int64_t)log->page_size));
		ret->end = log->end < log->size ? log->end : 0;
	}
	if (!r && !damaged)
		r = is_damaged(log, &damaged);
	if (!r && damaged)
		ret->fault = "its log (-wal) is damaged: stored transactions follow what cannot be "
			     "read; restore both files from a copy, or move both away";
	return r;
}

static void read_header(const uint8_t *header, struct sqlite_log_report *ret)
{
	uint32_t application = get32(header + AT_APPLICATION);
	uint32_t version = get32(header + AT_USER_VERSION);

	if (memcmp(header, db_magic, sizeof(db_magic)))
		ret->fault = "not a SQLite file; move it away";
	else if (!application && !version && !header[AT_CELLS] && !header[AT_CELLS + 1])
		return; /* a start was interrupted before the first commit */
	else if (application != SQLITE_STORE_ID)
		ret->fault = "a SQLite file, but not one of timerqd; move it away";
	else if (version > SQLITE_STORE_VERSION)
		ret->fault = "written by a newer timerqd; install that version";
}

int sqlite_log_open_file(sqlite3_vfs *vfs, sqlite3_filename name, int flags, sqlite3_file **ret)
{
	sqlite3_file *file;
	int exists = 0, out = 0, r;

	*ret = NULL;
	r = vfs->xAccess(vfs, name, SQLITE_ACCESS_EXISTS, &exists);
	if (r || (!exists && !(flags & SQLITE_OPEN_CREATE)))
		return r ? -EIO : 0;
	file = calloc(1, (size_t)vfs->szOsFile);
	if (!file)
		return -ENOMEM;
	r = vfs->xOpen(vfs, name, file, flags, &out);
	if (r) {
		free(file);
		return (r & 0xff) == SQLITE_CANTOPEN ? -EACCES : -EIO;
	}
	*ret = file;
	return 0;
}

void sqlite_log_close_file(sqlite3_file *file)
{
	if (file && file->pMethods)
		file->pMethods->xClose(file);
	free(file);
}

sqlite3_filename sqlite_log_name(const char *path)
{
	char *journal = sqlite3_mprintf("%s-journal", path);
	char *wal = sqlite3_mprintf("%s-wal", path);
	sqlite3_filename name = journal && wal
		? sqlite3_create_filename(path, journal, wal, 0, NULL)
		: NULL;

	sqlite3_free(journal);
	sqlite3_free(wal);
	return name;
}

void sqlite_log_free_name(sqlite3_filename name)
{
	sqlite3_free_filename(name);
}

static bool is_zero(const uint8_t *p, size_t size)
{
	while (size && !*p)
		p++, size--;
	return !size;
}

/* Opens both files. The lock shows whether another process has them: a write under way would look
 * like damage. ret_journal: there is a rollback journal, as while the file is made. */
static int open_both(sqlite3_vfs *vfs, sqlite3_filename name, struct log *log, sqlite3_file **db,
	bool *ret_journal)
{
	int journal = 0;
	int r = sqlite_log_open_file(vfs, name, SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READONLY, db);

	if (!r && *db) {
		r = (*db)->pMethods->xLock(*db, SQLITE_LOCK_SHARED);
		r = !r ? 0 : (r & 0xff) == SQLITE_BUSY ? -EBUSY : -EIO;
	}
	if (!r && vfs->xAccess(vfs, sqlite3_filename_journal(name), SQLITE_ACCESS_EXISTS, &journal))
		r = -EIO;
	if (!r && !*db) {
		/* SQLite's own VFS opens no log without its file. What is in it does not matter. */
		int exists = 0;

		r = vfs->xAccess(vfs, sqlite3_filename_wal(name), SQLITE_ACCESS_EXISTS, &exists)
			? -EIO
			: 0;
		log->size = exists;
	} else if (!r) {
		r = sqlite_log_open_file(vfs, sqlite3_filename_wal(name),
			SQLITE_OPEN_WAL | SQLITE_OPEN_READONLY, &log->file);
	}
	if (!r && log->file && log->file->pMethods->xFileSize(log->file, &log->size))
		r = -EIO;
	*ret_journal = journal;
	return r;
}

static int read_files(
	struct log *log, sqlite3_file *db, bool journal, struct sqlite_log_report *ret)
{
	uint8_t header[sizeof(log->first)] = {0};
	sqlite3_int64 size = 0;
	int r = 0;

	if (db && db->pMethods->xFileSize(db, &size))
		return -EIO;
	if (!size) {
		if (log->size)
			ret->fault = "empty, but its -wal is not; restore both from a copy";
		return 0;
	}
	r = read_at(db, header, sizeof(header), 0);
	if (r == -ENODATA)
		r = 0; /* the rest is zero */
	/* SQLite undoes what was begun: the file is made again. */
	if (r || (journal && is_zero(header, sizeof(header))))
		return r;
	read_header(header, ret);
	if (!ret->fault)
		r = read_log(log, ret);
	if (!r && !ret->fault && log->has_first)
		read_header(log->first, ret);
	return r;
}

static int check_files(sqlite3_vfs *vfs, sqlite3_filename name, struct log *log, sqlite3_file **db,
	struct sqlite_log_report *ret)
{
	bool journal = false;
	int r = open_both(vfs, name, log, db, &journal);

	if (!r)
		r = read_files(log, *db, journal, ret);
	if (!r && !ret->fault && *db && (*db)->pMethods->xSync(*db, SQLITE_SYNC_NORMAL))
		r = -EIO;
	if (!r && !ret->fault && log->file && log->size &&
		log->file->pMethods->xSync(log->file, SQLITE_SYNC_NORMAL))
		r = -EIO;
	return r;
}

int sqlite_log_check(const char *path, const char *vfs_name, struct sqlite_log_report *ret)
{
	sqlite3_vfs *vfs;
	struct log *log;
	sqlite3_file *db = NULL;
	sqlite3_filename name;
	int r = -ENOMEM;

	*ret = (struct sqlite_log_report){0};
	if (sqlite3_initialize())
		return -ENOMEM;
	vfs = sqlite3_vfs_find(vfs_name);
	log = calloc(1, sizeof(*log));
	name = sqlite_log_name(path);
	if (vfs && log && name)
		r = check_files(vfs, name, log, &db, ret);
	if (db)
		db->pMethods->xUnlock(db, SQLITE_LOCK_NONE);
	sqlite_log_close_file(db);
	sqlite_log_close_file(log ? log->file : NULL);
	sqlite_log_free_name(name);
	free(log);
	return r;
}

static int note_frame(struct frame_reader *r, const struct log *log, uint32_t page)
{
	struct sqlite_log_map *map = r->map;

	/* As many as there are frames are enough at first: a page is looked for below its number.
	 */
	if (page > map->pages) {
		size_t pages = (size_t)page + map->pages / 2 + 1024;
		uint32_t *frames = realloc(map->frames, pages * sizeof(*frames));

		if (!frames)
			return -ENOMEM;
		memset(frames + map->pages, 0, (pages - map->pages) * sizeof(*frames));
		map->frames = frames;
		map->pages = (uint32_t)pages;
	}
	(void)log;
	map->frames[page - 1] = ++r->count;
	return 0;
}

int sqlite_log_map(sqlite3_file *file, uint32_t frames, struct sqlite_log_map *ret)
{
	struct sqlite_log_map map = {0};
	struct frame_reader reader = {.found = note_frame, .most = frames, .map = &map};
	struct log *log = calloc(1, sizeof(*log));
	int r = log ? 0 : -ENOMEM;

	if (!r) {
		log->file = file;
		if (file->pMethods->xFileSize(file, &log->size))
			r = -EIO;
		else if (!read_log_header(log))
			r = -EBADMSG;
	}
	if (!r)
		r = find_end(log, &reader);
	if (!r && (reader.count != frames || log->end != log->valid))
		r = -EBADMSG;
	if (!r && log->pages > map.pages) {
		uint32_t *all = realloc(map.frames, log->pages * sizeof(*all));

		if (all) {
			memset(all + map.pages, 0, (log->pages - map.pages) * sizeof(*all));
			map.frames = all;
		}
		r = all ? 0 : -ENOMEM;
	}
	map.page_size = log ? log->page_size : 0;
	map.pages = log ? log->pages : 0;
	free(log);
	if (r)
		free(map.frames);
	else
		*ret = map;
	return r;
}

int64_t sqlite_log_offset(const struct sqlite_log_map *map, uint32_t frame)
{
	return WAL_HEADER + (int64_t)(frame - 1) * (FRAME_HEADER + (int64_t)map->page_size) +
		FRAME_HEADER;
}
