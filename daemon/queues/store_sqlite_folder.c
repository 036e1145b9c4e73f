/* SPDX-License-Identifier: MIT */
#include "store_sqlite_folder.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
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

int store_sqlite_check_folder(const char *folder, char **ret_why)
{
	struct statfs fs;
	struct stat st;
	const char *what = NULL;

	*ret_why = NULL;
	if (stat(folder, &st) < 0 || statfs(folder, &fs) < 0) {
		int r = -errno;

		if (asprintf(ret_why, "%s: %s", folder, strerror(-r)) < 0)
			*ret_why = NULL;
		return r;
	}
	if (!S_ISDIR(st.st_mode))
		what = "not a folder";
	else if (st.st_uid != geteuid())
		what = "owned by somebody else; chown it, or name another folder with --state";
	else if (st.st_mode & (S_IWGRP | S_IWOTH))
		what = "others may write to it; chmod go-w";
	else if (is_remote(fs.f_type))
		what = "on a network file system; name a local folder with --state";
	if (!what)
		return 0;
	if (asprintf(ret_why, "%s: %s", folder, what) < 0)
		*ret_why = NULL;
	return -EPERM;
}
