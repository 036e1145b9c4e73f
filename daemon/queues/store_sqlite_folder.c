/* SPDX-License-Identifier: MIT */
#include "store_sqlite_folder.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Types of file systems on other machines, from linux/magic.h and its users. */
static bool is_remote(long type)
{
	static const unsigned int types[] = {
		0x6969u /* NFS */,
		0x517bu /* SMB */,
		0xfe534d42u /* SMB2 */,
		0xff534d42u /* CIFS */,
		0x5346414fu /* AFS */,
		0x73757245u /* CODA */,
		0x01021997u /* 9P */,
		0x00c36400u /* CEPH */,
		0x013111a8u /* IBRIX */,
		0x7461636fu /* OCFS2 */,
		0x01161970u /* GFS2 */,
		0x47504653u /* GPFS */,
		0x0bd00bd0u /* LUSTRE */,
	};

	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++)
		if ((unsigned int)type == types[i])
			return true;
	return false;
}

/* Fills ret_why, on a best effort, with what is wrong with a path. Return: error. */
static int refuse(char **ret_why, const char *path, const char *what, int error)
{
	if (asprintf(ret_why, "%s: %s", *path ? path : "''", what) < 0)
		*ret_why = NULL;
	return error;
}

static int check_folder(const char *folder, char **ret_why)
{
	struct statfs fs;
	struct stat st;

	if (stat(folder, &st) < 0 || statfs(folder, &fs) < 0)
		return refuse(ret_why, folder, strerror(errno), -EIO);
	if (!S_ISDIR(st.st_mode))
		return refuse(ret_why, folder, "not a folder", -EPERM);
	if (st.st_uid != geteuid())
		return refuse(ret_why, folder,
			"owned by somebody else; chown it, or name another folder with --state",
			-EPERM);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return refuse(ret_why, folder, "others may write to it; chmod go-w", -EPERM);
	if (is_remote(fs.f_type))
		return refuse(ret_why, folder,
			"on a network file system; name a local folder with --state", -EPERM);
	return 0;
}

/* SQLite waits for ever in open() of a FIFO, and follows no link. A missing file is fine. */
static int check_file(const char *path, char **ret_why)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : refuse(ret_why, path, strerror(errno), -EIO);
	if (S_ISLNK(st.st_mode))
		return refuse(ret_why, path,
			"a link; put the file there, or name its folder "
			"with --state",
			-EPERM);
	if (!S_ISREG(st.st_mode))
		return refuse(ret_why, path, "not a file; move it away", -EPERM);
	if (st.st_uid != geteuid())
		return refuse(ret_why, path, "owned by somebody else; chown it", -EPERM);
	if (st.st_mode & (S_IWGRP | S_IWOTH))
		return refuse(ret_why, path, "others may write to it; chmod go-w", -EPERM);
	return 0;
}

int store_sqlite_find(const char *folder, char **ret_path, char **ret_why)
{
	char *real = realpath(folder, NULL), *path = NULL, *wal = NULL;
	int r;

	*ret_why = NULL;
	if (!real)
		return refuse(ret_why, folder, strerror(errno), -EIO);
	r = check_folder(real, ret_why);
	if (r == 0 &&
		(asprintf(&path, "%s/queues.db", real) < 0 || asprintf(&wal, "%s-wal", path) < 0))
		r = -ENOMEM;
	if (r == 0)
		r = check_file(path, ret_why);
	if (r == 0)
		r = check_file(wal, ret_why);
	free(real);
	free(wal);
	if (r < 0)
		free(path);
	else
		*ret_path = path;
	return r;
}
