/* SPDX-License-Identifier: MIT */
/*
 * What the disk holds: contents of files and names, each as it is now and as it is safe. For disk.c
 * and disk_crash.c. The program ends where there is no memory.
 */
#pragma once

#include "disk.h"

extern const char *const disk_suffixes[DISK_FILES];
/* Which of the files a name is; -1: none. */
int disk_file_of(const char *name);

void disk_resize(struct disk_bytes *b, int64_t size);
void disk_put_bytes(struct disk_bytes *b, int64_t at, const void *bytes, int64_t size);
void disk_copy_bytes(struct disk_bytes *to, const struct disk_bytes *from);

/* Notes a change that the next sync makes safe. bytes: what a write writes; NULL: a truncation. */
void disk_note(struct disk *d, struct disk_inode *n, struct disk_change change, const void *bytes);
/* Makes all noted changes of the file safe, or forgets them. */
void disk_make_safe(struct disk_inode *n);
void disk_forget(struct disk_inode *n);

/* A free inode, which is empty. */
int disk_new_inode(struct disk *d);
/* Frees inodes that no name leads to, now or after a crash. */
void disk_reap(struct disk *d);

/* Has one name, or two at once, lead to other inodes. -1: the name goes. */
void disk_change_name(struct disk *d, enum disk_file file, int inode);
void disk_change_names(struct disk *d, struct disk_rename r);
void disk_apply_rename(struct disk_names *names, const struct disk_rename *r);
/* Makes all names safe. */
void disk_names_safe(struct disk *d);

/* Calls disk::changed, after a change. */
void disk_told(struct disk *d);
