/* SPDX-License-Identifier: MIT */
/* The content of the disk after a crash. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include "disk_contents.h"

/* splitmix64 (Steele, Lea and Flood, Fast Splittable Pseudorandom Number Generators, 2014). */
uint64_t disk_random(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static uint64_t drawn;

/* Replaces the function of the C library. */
ssize_t getrandom(void *ret, size_t size, unsigned int flags)
{
	(void)flags;
	for (size_t i = 0; i < size; i++)
		((uint8_t *)ret)[i] = (uint8_t)disk_random(&drawn);
	return (ssize_t)size;
}

void disk_repeat(uint64_t seed)
{
	drawn = seed;
	sqlite3_test_control(SQLITE_TESTCTRL_PRNG_SEED, (int)seed, NULL);
}

/* Applies a change to an image, or only some of its sectors. */
static void apply(struct disk_bytes *to, const struct disk_change *c, enum disk_pick pick,
	unsigned int chance, uint64_t *random)
{
	if (c->truncates) {
		if (pick == DISK_ALL || pick == DISK_PREFIX || disk_random(random) % 8 < chance)
			disk_resize(to, c->size);
		return;
	}
	if (pick != DISK_TORN) {
		if (pick != DISK_SOME || disk_random(random) % 8 < chance)
			disk_put_bytes(to, c->at, c->bytes, c->size);
		return;
	}
	for (int64_t at = c->at, end = c->at + c->size; at < end;) {
		int64_t next = (at / DISK_SECTOR + 1) * DISK_SECTOR;

		next = next < end ? next : end;
		if (disk_random(random) % 8 < chance)
			disk_put_bytes(to, at, c->bytes + (at - c->at), next - at);
		at = next;
	}
}

void disk_crash(const struct disk *d, enum disk_pick pick, uint64_t seed, struct disk *ret)
{
	uint64_t random = seed;
	unsigned int chance = 1 + (unsigned int)(disk_random(&random) % 7);

	ret->names = d->safe_names;
	for (unsigned int i = 0; i < d->rename_count; i++)
		if (pick == DISK_ALL || (pick != DISK_NOTHING && disk_random(&random) % 8 < chance))
			disk_apply_rename(&ret->names, &d->renames[i]);
	for (int i = 0; i < DISK_INODES; i++) {
		const struct disk_inode *n = &d->inodes[i];
		size_t count = n->count;

		ret->inodes[i].used = n->used;
		if (!n->used)
			continue;
		if (pick == DISK_NOTHING)
			count = 0;
		else if (pick == DISK_PREFIX && count)
			count = (size_t)(disk_random(&random) % (count + 1));
		disk_copy_bytes(&ret->inodes[i].now, &n->safe);
		for (size_t k = 0; k < count; k++)
			apply(&ret->inodes[i].now, &n->changes[k], pick, chance, &random);
	}
}

int disk_export(const struct disk *d, const char *folder)
{
	for (int f = 0; f < DISK_FILES; f++) {
		char path[4096];
		int fd, inode = d->names.inode[f];
		const struct disk_bytes *b;

		snprintf(path, sizeof(path), "%s/queues.db%s", folder, disk_suffixes[f]);
		unlink(path);
		if (inode < 0)
			continue;
		b = &d->inodes[inode].now;
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 || (b->size && write(fd, b->at, (size_t)b->size) != b->size))
			return -errno;
		close(fd);
	}
	return 0;
}
