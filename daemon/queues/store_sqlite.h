/* SPDX-License-Identifier: MIT */
/*
 * The store on one host: a SQLite file, and a thread that owns the connection to it.
 */
#pragma once

#include "store.h"

struct sqlite_host;
struct sqlite_tuning;

/*
 * Opens the file and starts the thread.
 *   host, tuning: NULL: the defaults; a test gives its own.
 *   ret_clocks: what was stored last; zero for a new file.
 *   ret_why: on failure a sentence that names the file and says what to do; the caller frees it.
 * Return: 0, or a negative errno: what is there is as it was.
 */
int store_sqlite_open(struct store **ret, const char *path, const struct sqlite_host *host,
	const struct sqlite_tuning *tuning, struct clocks_stored *ret_clocks, char **ret_why);
