/* SPDX-License-Identifier: MIT */
/*
 * The folder of the store in an SQLite file.
 */
#pragma once

/*
 * Checks the folder of a store: it belongs to this user, nobody else may write to it, and it is
 * not on a network file system, whose locks and syncs cannot be relied on.
 *   ret_why: on failure a sentence that says what is wrong; the caller frees it.
 * Return: 0, or a negative errno.
 */
int store_sqlite_check_folder(const char *folder, char **ret_why);
