/* SPDX-License-Identifier: MIT */
/*
 * The folder of the store in an SQLite file.
 */
#pragma once

/*
 * Finds the file of a store, queues.db in a folder, and checks both: they belong to this user, and
 * nobody else may write to them. The folder may be a link, the file and its log may not. The folder
 * is not on a network file system, whose locks and syncs cannot be relied on.
 *   ret_path: the path of the file without links, which need not exist; the caller frees it.
 *   ret_why: on failure a sentence that says what is wrong, or NULL; the caller frees it.
 * Return: 0, or a negative errno.
 */
int store_sqlite_find(const char *folder, char **ret_path, char **ret_why);
