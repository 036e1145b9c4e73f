/* SPDX-License-Identifier: MIT */
/*
 * A store that timerqd loads when --store asks for it: a shared object, so that timerqd itself
 * links no client of a database, and so that it can be packaged apart.
 *
 * The object exports one struct store_module as STORE_MODULE_SYMBOL. It calls nothing of timerqd.
 */
#pragma once

#include "store.h"

/* Raised with each change of this header or of store.h: the object and timerqd are of one build. */
#define STORE_MODULE_VERSION 1
#define STORE_MODULE_SYMBOL  "timerqd_store_module"

struct store_module {
	unsigned int version; /* STORE_MODULE_VERSION */
	const char *name;
	/* Opens the store. It may wait for some seconds. ret_why: a sentence, which the caller
	 * frees. It is set with a negative errno, and with 0 where the database is away and the
	 * store goes on to look for it. */
	int (*open)(struct store **ret, const char *uri, char **ret_why);
	/* Makes the schema, or brings it up to date. Return: 0, or a negative errno after a line on
	 * standard error. */
	int (*migrate)(const char *uri);
	/* Prints what migrate() does to an empty database. Return: as migrate(). */
	int (*print_schema)(void);
};

/* Loads the module of that name (postgresql). Return: NULL after a line on standard error. */
const struct store_module *store_module_load(const char *name);
