/* SPDX-License-Identifier: MIT */
/*
 * Writes a new file in place of one whose writes or syncs have failed: see sqlite_recover.h.
 *
 * The new file gets all pages of the old one, each in its newest version that was answered as
 * stored. A crash leaves one of these states:
 *
 *   the old file and its log              as before;
 *   the new file and the old log          the log holds the pages that the new file has;
 *   the new file alone                    recovered.
 *
 * So the new file goes into its place first, and the log is removed after that.
 */
#include "sqlite_recover.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "sqlite_file.h"
#include "sqlite_log.h"

static void drop_cache(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);

	if (fd < 0)
		return;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	close(fd);
}

static int sync_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char *folder = !slash	? strdup(".")
		: slash == path ? strdup("/")
				: strndup(path, (size_t)(slash - path));
	int fd = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int r = fd < 0 || fsync(fd) < 0 ? -EIO : 0;

	if (fd >= 0)
		close(fd);
	free(folder);
	return r;
}

static int replace(const char *from, const char *to)
{
	if (rename(from, to) < 0)
		return errno == ENOSPC || errno == EDQUOT ? -ENOSPC : -EIO;
	return sync_folder(to);
}

const struct sqlite_host sqlite_host_default = {
	.drop_cache = drop_cache,
	.replace = replace,
	.sync_folder = sync_folder,
};

struct copy {
	sqlite3_vfs *vfs;
	sqlite3_filename name, new_name;
	sqlite3_file *from, *log, *to;
	struct sqlite_log_map map;
	char *path, *wal; /* of the new file, of the old log */
};

static int result_of(int r)
{
	return !r			    ? 0
		: (r & 0xff) == SQLITE_FULL ? -ENOSPC
		: (r & 0xff) == SQLITE_BUSY ? -EBUSY
					    : -EIO;
}

static int begin_copy(struct copy *c, const struct sqlite *q)
{
	*c = (struct copy){
		.vfs = sqlite3_vfs_find(q->host->vfs),
		.path = sqlite3_mprintf("%s-new", q->path),
		.wal = sqlite3_mprintf("%s-wal", q->path),
	};
	if (!c->vfs || !c->path || !c->wal)
		return -ENOMEM;
	c->name = sqlite_log_name(q->path);
	c->new_name = sqlite_log_name(c->path);
	if (!c->name || !c->new_name)
		return -ENOMEM;
	q->host->drop_cache(q->path);
	q->host->drop_cache(c->wal);
	return 0;
}

static void end_copy(struct copy *c)
{
	if (c->from)
		c->from->pMethods->xUnlock(c->from, SQLITE_LOCK_NONE);
	sqlite_log_close_file(c->from);
	sqlite_log_close_file(c->log);
	sqlite_log_close_file(c->to);
	sqlite_log_free_name(c->name);
	sqlite_log_free_name(c->new_name);
	sqlite3_free(c->path);
	sqlite3_free(c->wal);
	free(c->map.frames);
}

/* The size in the file's header, which counts if no frame of the log does. */
static int map_file(struct copy *c)
{
	uint8_t h[100];
	int r = c->from->pMethods->xRead(c->from, h, sizeof(h), 0);

	if (r)
		return -EIO;
	c->map.page_size = (uint32_t)h[16] << 8 | h[17];
	if (c->map.page_size == 1)
		c->map.page_size = 65536;
	c->map.pages = (uint32_t)h[28] << 24 | (uint32_t)h[29] << 16 | (uint32_t)h[30] << 8 | h[31];
	if (c->map.page_size < 512 || !c->map.pages)
		return -EBADMSG;
	c->map.frames = calloc(c->map.pages, sizeof(*c->map.frames));
	return c->map.frames ? 0 : -ENOMEM;
}

/* Opens the file and its log. The lock keeps other processes away meanwhile. */
static int open_old(struct copy *c, const struct sqlite *q)
{
	int r = sqlite_log_open_file(
		c->vfs, c->name, SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READWRITE, &c->from);

	if (r || !c->from)
		return r ? r : -EIO;
	r = result_of(c->from->pMethods->xLock(c->from, SQLITE_LOCK_SHARED));
	if (!r)
		r = result_of(c->from->pMethods->xLock(c->from, SQLITE_LOCK_EXCLUSIVE));
	if (r || !q->log_frames || q->log_copied)
		return r ? r : map_file(c);
	r = sqlite_log_open_file(c->vfs, sqlite3_filename_wal(c->name),
		SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE, &c->log);
	if (r || !c->log)
		return r ? r : -EBADMSG;
	return sqlite_log_map(c->log, q->log_frames, &c->map);
}

/* Cuts the failed transaction off the log. No client was told that it is stored, and a start before
 * the end of this recovery should not find it. If the cut fails, too, such a start may find it. */
static void cut_log(struct copy *c, const struct sqlite *q)
{
	sqlite3_file *log = c->log;
	int64_t end = 0;

	if (log)
		end = sqlite_log_offset(&c->map, q->log_frames) + c->map.page_size;
	else
		sqlite_log_open_file(c->vfs, sqlite3_filename_wal(c->name),
			SQLITE_OPEN_WAL | SQLITE_OPEN_READWRITE, &log);
	if (log)
		log->pMethods->xTruncate(log, end);
	if (log != c->log)
		sqlite_log_close_file(log);
}

static int copy_page(struct copy *c, uint32_t page, uint8_t *buffer)
{
	uint32_t frame = c->map.frames[page - 1];
	int size = (int)c->map.page_size, r;
	int64_t at = (int64_t)(page - 1) * size;

	if (frame)
		r = c->log->pMethods->xRead(
			c->log, buffer, size, sqlite_log_offset(&c->map, frame));
	else
		r = c->from->pMethods->xRead(c->from, buffer, size, at);
	return result_of(r ? r : c->to->pMethods->xWrite(c->to, buffer, size, at));
}

static int write_new(struct copy *c)
{
	uint8_t *buffer = malloc(c->map.page_size);
	int r = buffer ? 0 : -ENOMEM;

	if (!r)
		r = sqlite_log_open_file(c->vfs, c->new_name,
			SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, &c->to);
	if (!r) /* left by an earlier attempt */
		r = result_of(c->to->pMethods->xTruncate(c->to, 0));
	for (uint32_t page = 1; page <= c->map.pages && !r; page++)
		r = copy_page(c, page, buffer);
	if (!r)
		r = result_of(c->to->pMethods->xSync(c->to, SQLITE_SYNC_NORMAL));
	free(buffer);
	return r;
}

static int copy(struct sqlite *q)
{
	struct copy c;
	int r = begin_copy(&c, q);

	if (!r)
		r = open_old(&c, q);
	if (!r) {
		cut_log(&c, q);
		r = write_new(&c);
		if (r)
			c.vfs->xDelete(c.vfs, c.path, 0);
	}
	if (!r)
		r = q->host->replace(c.path, q->path);
	if (!r) {
		/* The new file holds the log's pages, too. */
		q->log_frames = 0;
		q->log_copied = true;
		r = c.vfs->xDelete(c.vfs, c.wal, 1);
		r = r == SQLITE_IOERR_DELETE_NOENT ? 0 : result_of(r);
	}
	end_copy(&c);
	return r;
}

int sqlite_recover(struct sqlite *q, char **ret_why)
{
	struct sqlite fresh = {
		.path = q->path,
		.host = q->host,
		.tuning = q->tuning,
		.queues = q->queues,
		.puts_expired = q->puts_expired,
		.puts_life = q->puts_life + 1,
	};
	int r;

	*ret_why = NULL;
	if (q->db)
		sqlite_close(q);
	r = copy(q);
	if (r) {
		*ret_why = sqlite3_mprintf("%s: %s", q->path, strerror(-r));
		return r;
	}
	fresh.tuning.check_pages = UINT32_MAX;
	r = sqlite_open(&fresh, ret_why);
	if (r)
		return r;
	fresh.tuning = q->tuning;
	*q = fresh;
	/* The hook of the log has to find q. */
	sqlite_hook(q);
	return 0;
}
