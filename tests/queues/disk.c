/* SPDX-License-Identifier: MIT */
/* A disk as a VFS of SQLite. Its calls can fail. */
#include "disk.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk_contents.h"

struct handle {
	sqlite3_file base;
	struct disk *disk;
	int inode;
	enum disk_file kind;
	bool reads_only, made;
};

static bool fails_then(struct disk *d, enum disk_call call)
{
	if (!d->then_at || !d->failed || call != d->then_call || ++d->then_calls != d->then_at)
		return false;
	d->then_failed = true;
	d->system_errno = EIO;
	return true;
}

/* Whether this call must fail. */
static bool fails(struct disk *d, enum disk_call call)
{
	if (d->dead || fails_then(d, call))
		return true;
	d->calls[call]++;
	if (!d->fail_at || call != d->fail_call || d->calls[call] < d->fail_at ||
		d->calls[call] >= d->fail_at + d->fail_times)
		return false;
	d->failed = true;
	d->dead = d->fail_error == DISK_DEAD;
	d->system_errno = d->fail_error == DISK_ENOSPC || d->fail_error == DISK_SHORT ? ENOSPC
		: d->fail_error == DISK_EDQUOT					      ? EDQUOT
										      : EIO;
	return true;
}

void disk_fail(
	struct disk *d, enum disk_call call, uint64_t n, uint64_t times, enum disk_error error)
{
	memset(d->calls, 0, sizeof(d->calls));
	d->fail_call = call;
	d->fail_at = n;
	d->fail_times = times;
	d->fail_error = error;
	d->failed = d->dead = d->then_failed = false;
	d->then_at = 0;
}

void disk_fail_then(struct disk *d, enum disk_call call, uint64_t n)
{
	d->then_call = call;
	d->then_at = n;
	d->then_calls = 0;
}

void disk_heal(struct disk *d)
{
	d->fail_at = d->then_at = 0;
	d->dead = false;
}

static enum disk_sync kind_of_sync(const struct handle *h)
{
	const struct disk_inode *n = &h->disk->inodes[h->inode];

	if (h->reads_only)
		return DISK_SYNC_START;
	if (!n->count)
		return DISK_SYNC_AGAIN;
	if (h->kind == DISK_LOG && n->changes[n->count - 1].truncates)
		return DISK_SYNC_CUT;
	if (h->kind == DISK_LOG)
		return n->changes[n->count - 1].at == 0 ? DISK_SYNC_LOG_HEADER : DISK_SYNC_COMMIT;
	if (h->kind == DISK_JOURNAL)
		return DISK_SYNC_JOURNAL;
	if (h->kind == DISK_NEW)
		return DISK_SYNC_NEW;
	return h->disk->names.inode[DISK_JOURNAL] >= 0 ? DISK_SYNC_MADE : DISK_SYNC_CHECKPOINT;
}

static bool swallows(struct disk *d, enum disk_sync kind)
{
	d->syncs[kind]++;
	return d->swallow == kind;
}

static int disk_close(sqlite3_file *file)
{
	file->pMethods = NULL;
	return SQLITE_OK;
}

static int disk_read(sqlite3_file *file, void *ret, int size, sqlite3_int64 at)
{
	struct handle *h = (struct handle *)file;
	const struct disk_bytes *b = &h->disk->inodes[h->inode].now;
	int64_t n = b->size > at ? b->size - at : 0;

	if (fails(h->disk, DISK_READ))
		return SQLITE_IOERR_READ;
	n = n < size ? n : size;
	if (n)
		memcpy(ret, b->at + at, (size_t)n);
	if (n == size)
		return SQLITE_OK;
	memset((char *)ret + n, 0, (size_t)(size - n));
	return SQLITE_IOERR_SHORT_READ;
}

static void write_some(struct handle *h, const void *bytes, int size, int64_t at)
{
	struct disk_inode *n = &h->disk->inodes[h->inode];

	disk_put_bytes(&n->now, at, bytes, size);
	disk_note(h->disk, n, (struct disk_change){.at = at, .size = size}, bytes);
	disk_told(h->disk);
}

static int disk_write(sqlite3_file *file, const void *bytes, int size, sqlite3_int64 at)
{
	struct handle *h = (struct handle *)file;

	if (h->reads_only)
		abort();
	if (fails(h->disk, DISK_WRITE)) {
		if (h->disk->dead)
			return SQLITE_IOERR_WRITE;
		if (h->disk->fail_error == DISK_SHORT)
			write_some(h, bytes, size / 2, at);
		/* As SQLite's own VFS does. */
		return h->disk->system_errno == ENOSPC ? SQLITE_FULL : SQLITE_IOERR_WRITE;
	}
	write_some(h, bytes, size, at);
	return SQLITE_OK;
}

static int disk_truncate(sqlite3_file *file, sqlite3_int64 size)
{
	struct handle *h = (struct handle *)file;
	struct disk_inode *n = &h->disk->inodes[h->inode];

	if (fails(h->disk, DISK_TRUNCATE))
		return SQLITE_IOERR_TRUNCATE;
	disk_resize(&n->now, size);
	disk_note(h->disk, n, (struct disk_change){.truncates = true, .size = size}, NULL);
	disk_told(h->disk);
	return SQLITE_OK;
}

static int disk_sync(sqlite3_file *file, int flags)
{
	struct handle *h = (struct handle *)file;
	struct disk_inode *n = &h->disk->inodes[h->inode];
	enum disk_sync kind = kind_of_sync(h);

	(void)flags;
	if (fails(h->disk, DISK_SYNC)) {
		/* Like the kernel after a failed fsync(): the pages are clean, and their content
		 * may not be on the disk. */
		if (h->disk->lost && !h->disk->dead)
			disk_forget(n);
		return SQLITE_IOERR_FSYNC;
	}
	if (!swallows(h->disk, kind)) {
		disk_make_safe(n);
		/* As SQLite's own VFS does: the first sync of a new journal or log also syncs its
		 * folder. */
		if (h->made && (h->kind == DISK_JOURNAL || h->kind == DISK_LOG)) {
			disk_names_safe(h->disk);
			h->made = false;
		}
	}
	disk_told(h->disk);
	return SQLITE_OK;
}

static int disk_size(sqlite3_file *file, sqlite3_int64 *ret)
{
	struct handle *h = (struct handle *)file;

	if (fails(h->disk, DISK_SIZE))
		return SQLITE_IOERR_FSTAT;
	*ret = h->disk->inodes[h->inode].now.size;
	return SQLITE_OK;
}

static int disk_lock(sqlite3_file *file, int level)
{
	(void)level;
	return ((struct handle *)file)->disk->taken ? SQLITE_BUSY : SQLITE_OK;
}

static int disk_unlock(sqlite3_file *file, int level)
{
	(void)file;
	(void)level;
	return SQLITE_OK;
}

static int disk_check_lock(sqlite3_file *file, int *ret)
{
	(void)file;
	*ret = 0;
	return SQLITE_OK;
}

static int disk_control(sqlite3_file *file, int op, void *argument)
{
	if (op != SQLITE_FCNTL_LAST_ERRNO)
		return SQLITE_NOTFOUND;
	*(int *)argument = ((struct handle *)file)->disk->system_errno;
	return SQLITE_OK;
}

static int disk_sector(sqlite3_file *file)
{
	(void)file;
	return DISK_SECTOR;
}

/* As SQLite's own VFS on Linux. */
static int disk_traits(sqlite3_file *file)
{
	(void)file;
	return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
	.iVersion = 1,
	.xClose = disk_close,
	.xRead = disk_read,
	.xWrite = disk_write,
	.xTruncate = disk_truncate,
	.xSync = disk_sync,
	.xFileSize = disk_size,
	.xLock = disk_lock,
	.xUnlock = disk_unlock,
	.xCheckReservedLock = disk_check_lock,
	.xFileControl = disk_control,
	.xSectorSize = disk_sector,
	.xDeviceCharacteristics = disk_traits,
};

static int disk_open(
	sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *ret_flags)
{
	struct disk *d = vfs->pAppData;
	struct handle *h = (struct handle *)file;
	int kind = name ? disk_file_of(name) : -1;

	file->pMethods = NULL;
	if (kind < 0)
		abort(); /* timerqd must use no temporary file */
	if (fails(d, DISK_OPEN))
		return d->dead || d->fail_error == DISK_EIO ? SQLITE_IOERR : SQLITE_CANTOPEN;
	*h = (struct handle){
		.disk = d,
		.inode = d->names.inode[kind],
		.kind = (enum disk_file)kind,
		.reads_only = flags & SQLITE_OPEN_READONLY,
	};
	if (h->inode < 0) {
		if (!(flags & SQLITE_OPEN_CREATE))
			return SQLITE_CANTOPEN;
		h->inode = disk_new_inode(d);
		h->made = true;
		disk_change_name(d, (enum disk_file)kind, h->inode);
	}
	file->pMethods = &methods;
	if (ret_flags)
		*ret_flags = flags;
	return SQLITE_OK;
}

static int disk_delete(sqlite3_vfs *vfs, const char *name, int sync)
{
	struct disk *d = vfs->pAppData;
	int kind = disk_file_of(name);

	if (fails(d, DISK_DELETE))
		return SQLITE_IOERR_DELETE;
	if (d->names.inode[kind] < 0)
		return SQLITE_IOERR_DELETE_NOENT;
	disk_change_name(d, (enum disk_file)kind, -1);
	if (sync) {
		disk_names_safe(d);
		disk_told(d);
	}
	return SQLITE_OK;
}

static int disk_access(sqlite3_vfs *vfs, const char *name, int flags, int *ret)
{
	struct disk *d = vfs->pAppData;

	(void)flags;
	if (fails(d, DISK_ACCESS))
		return SQLITE_IOERR_ACCESS;
	*ret = d->names.inode[disk_file_of(name)] >= 0;
	if (*ret &&
		flags == SQLITE_ACCESS_EXISTS) /* an empty file counts as none, as in unixAccess */
		*ret = d->inodes[d->names.inode[disk_file_of(name)]].now.size > 0;
	return SQLITE_OK;
}

static int disk_path(sqlite3_vfs *vfs, const char *name, int size, char *ret)
{
	(void)vfs;
	snprintf(ret, (size_t)size, "%s", name);
	return SQLITE_OK;
}

static int disk_randomness(sqlite3_vfs *vfs, int size, char *ret)
{
	struct disk *d = vfs->pAppData;

	for (int i = 0; i < size; i++)
		ret[i] = (char)disk_random(&d->random);
	return size;
}

static int disk_sleep(sqlite3_vfs *vfs, int us)
{
	(void)vfs;
	return us;
}

static int disk_time(sqlite3_vfs *vfs, double *ret)
{
	(void)vfs;
	*ret = 2461000.5;
	return SQLITE_OK;
}

/* The functions of the host have no argument for the disk, so they use this one. */
static struct disk *host_disk;

static void host_drop_cache(const char *path)
{
	struct disk *d = host_disk;
	int inode = d->names.inode[disk_file_of(path)];

	/* If a failed sync lost data, the loss is visible from now on. Dirty pages stay. */
	if (inode < 0 || !d->lost)
		return;
	disk_copy_bytes(&d->inodes[inode].now, &d->inodes[inode].safe);
	for (size_t i = 0; i < d->inodes[inode].count; i++) {
		const struct disk_change *c = &d->inodes[inode].changes[i];

		if (c->truncates)
			disk_resize(&d->inodes[inode].now, c->size);
		else
			disk_put_bytes(&d->inodes[inode].now, c->at, c->bytes, c->size);
	}
}

static int host_replace(const char *from, const char *to)
{
	struct disk *d = host_disk;

	if (fails(d, DISK_RENAME))
		return -EIO;
	disk_change_names(d,
		(struct disk_rename){(enum disk_file)disk_file_of(to),
			(enum disk_file)disk_file_of(from), d->names.inode[disk_file_of(from)],
			-1});
	if (!swallows(d, DISK_SYNC_REPLACE))
		disk_names_safe(d);
	disk_told(d);
	return 0;
}

static int host_sync_folder(const char *path)
{
	struct disk *d = host_disk;

	(void)path;
	if (d->dead)
		return -EIO;
	if (!d->records)
		return 0;
	if (!swallows(d, DISK_SYNC_FOLDER))
		disk_names_safe(d);
	disk_told(d);
	return 0;
}

static void image_drop_cache(const char *path)
{
	(void)path;
}

static int image_sync_folder(const char *path)
{
	(void)path;
	return 0;
}

void disk_init(struct disk *d, const char *name, uint64_t seed)
{
	*d = (struct disk){
		.vfs =
			{
				.iVersion = 1,
				.szOsFile = sizeof(struct handle),
				.mxPathname = 512,
				.zName = name,
				.pAppData = d,
				.xOpen = disk_open,
				.xDelete = disk_delete,
				.xAccess = disk_access,
				.xFullPathname = disk_path,
				.xRandomness = disk_randomness,
				.xSleep = disk_sleep,
				.xCurrentTime = disk_time,
			},
		.host =
			{
				.vfs = name,
				.drop_cache = image_drop_cache,
				.replace = host_replace,
				.sync_folder = image_sync_folder,
			},
		.random = seed,
	};
	memset(&d->names, -1, sizeof(d->names));
	disk_names_safe(d);
	if (sqlite3_vfs_register(&d->vfs, 0))
		abort();
}

void disk_record(struct disk *d)
{
	d->records = true;
	host_disk = d;
	d->host.drop_cache = host_drop_cache;
	d->host.sync_folder = host_sync_folder;
}

void disk_erase(struct disk *d)
{
	memset(&d->names, -1, sizeof(d->names));
	disk_names_safe(d);
	disk_reap(d);
}

void disk_free(struct disk *d)
{
	for (int i = 0; i < DISK_INODES; i++) {
		disk_forget(&d->inodes[i]);
		free(d->inodes[i].changes);
		free(d->inodes[i].now.at);
		free(d->inodes[i].safe.at);
	}
	sqlite3_vfs_unregister(&d->vfs);
}
