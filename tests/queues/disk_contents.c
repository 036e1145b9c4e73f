/* SPDX-License-Identifier: MIT */
#include "disk_contents.h"

#include <stdlib.h>
#include <string.h>

const char *const disk_suffixes[DISK_FILES] = {"", "-journal", "-wal", "-new"};

static void *need(void *memory)
{
	if (!memory)
		abort();
	return memory;
}

void disk_resize(struct disk_bytes *b, int64_t size)
{
	if (size > b->room) {
		b->room = size + size / 2 + 8192;
		b->at = need(realloc(b->at, (size_t)b->room));
	}
	if (size > b->size)
		memset(b->at + b->size, 0, (size_t)(size - b->size));
	b->size = size;
}

void disk_put_bytes(struct disk_bytes *b, int64_t at, const void *bytes, int64_t size)
{
	if (at + size > b->size)
		disk_resize(b, at + size);
	memcpy(b->at + at, bytes, (size_t)size);
}

void disk_copy_bytes(struct disk_bytes *to, const struct disk_bytes *from)
{
	to->size = 0;
	disk_resize(to, from->size);
	if (from->size)
		memcpy(to->at, from->at, (size_t)from->size);
}

void disk_forget(struct disk_inode *n)
{
	for (size_t i = 0; i < n->count; i++)
		free(n->changes[i].bytes);
	n->count = 0;
}

void disk_note(struct disk *d, struct disk_inode *n, struct disk_change change, const void *bytes)
{
	if (!d->records)
		return;
	if (n->count == n->room) {
		n->room = n->room * 2 + 64;
		n->changes = need(realloc(n->changes, n->room * sizeof(*n->changes)));
	}
	if (bytes) {
		change.bytes = need(malloc((size_t)change.size + 1));
		memcpy(change.bytes, bytes, (size_t)change.size);
	}
	n->changes[n->count++] = change;
}

void disk_make_safe(struct disk_inode *n)
{
	for (size_t i = 0; i < n->count; i++) {
		const struct disk_change *c = &n->changes[i];

		if (c->truncates)
			disk_resize(&n->safe, c->size);
		else
			disk_put_bytes(&n->safe, c->at, c->bytes, c->size);
	}
	disk_forget(n);
}

void disk_told(struct disk *d)
{
	if (d->changed)
		d->changed(d->userdata);
}

void disk_apply_rename(struct disk_names *names, const struct disk_rename *r)
{
	names->inode[r->file] = r->inode;
	names->inode[r->other] = r->other_inode;
}

void disk_change_names(struct disk *d, struct disk_rename r)
{
	disk_apply_rename(&d->names, &r);
	if (!d->records)
		return;
	if (d->rename_count == sizeof(d->renames) / sizeof(d->renames[0]))
		abort();
	d->renames[d->rename_count++] = r;
	disk_told(d);
}

void disk_change_name(struct disk *d, enum disk_file file, int inode)
{
	disk_change_names(d, (struct disk_rename){file, file, (int8_t)inode, (int8_t)inode});
}

void disk_names_safe(struct disk *d)
{
	d->safe_names = d->names;
	d->rename_count = 0;
}

void disk_reap(struct disk *d)
{
	for (int i = 0; i < DISK_INODES; i++) {
		bool named = false;

		for (int f = 0; f < DISK_FILES; f++)
			named = named || d->names.inode[f] == i || d->safe_names.inode[f] == i;
		for (unsigned int k = 0; k < d->rename_count; k++)
			named = named || d->renames[k].inode == i || d->renames[k].other_inode == i;
		if (!named && d->inodes[i].used) {
			disk_forget(&d->inodes[i]);
			d->inodes[i].used = false;
		}
	}
}

int disk_new_inode(struct disk *d)
{
	disk_reap(d);
	for (int i = 0; i < DISK_INODES; i++)
		if (!d->inodes[i].used) {
			d->inodes[i].used = true;
			d->inodes[i].now.size = d->inodes[i].safe.size = 0;
			return i;
		}
	abort();
}

int disk_file_of(const char *name)
{
	for (int f = DISK_FILES - 1; f >= 0; f--) {
		size_t length = strlen(name), suffix = strlen(disk_suffixes[f]);

		if (length >= suffix && !strcmp(name + length - suffix, disk_suffixes[f]))
			return f;
	}
	return -1;
}
