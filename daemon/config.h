/* SPDX-License-Identifier: MIT */
/*
 * The configuration file of both daemons: see timerd.conf(5).
 *
 * A bad line does not affect the other lines: it becomes a complaint that names the file, line and
 * word. libinih could read such files, but it reports only the first bad line of a file, and none
 * of its words. So this reader is our own, and timerd links nothing more for it.
 *
 * Looking up names can take seconds, if a server answers for them. So reload.h loads in a thread of
 * its own. A struct config never changes after it was loaded.
 */
#pragma once

#include "log.h"
#include "settings.h"

/* This many complaints are kept; further ones are only counted. */
#define CONFIG_COMPLAINTS_MAX 64

/* The limits of one user or one group. */
struct config_rule {
	bool is_group;
	uint32_t id;
	struct setting_value own[OWN_SETTINGS];
};

struct config {
	struct setting_value timerd[TIMERD_SETTINGS], queues[QUEUES_SETTINGS];
	struct config_rule *rules; /* ordered by is_group and id */
	size_t rule_count, rule_room;
	bool has_groups;
	bool has_names; /* some rules name a user or group that was not looked up */
	bool unread;	/* some file exists but could not be read */
	char *complaint[CONFIG_COMPLAINTS_MAX];
	unsigned int complaints; /* `complaint` holds the first ones */
	char **texts;		 /* of the files: words borrow from them */
	size_t text_count;
};

enum config_names {
	CONFIG_SKIP_NAMES,    /* leave out rules whose user or group has to be looked up */
	CONFIG_LOOK_UP_NAMES, /* may block */
};

/* The first file, and the folder of drop-ins beside it. */
struct config_source {
	char *path;    /* NULL: no file is read */
	bool required; /* the command line names it: it must be there */
};

/* Finds the file: the one that the command line names, the system's, or a user's below
 * $XDG_CONFIG_HOME or ~/.config.
 *   named: NULL: the command line names none.
 *   ret: free() its path.
 * Return: 0, -ENOMEM. */
int config_find(const char *named, bool user, struct config_source *ret);

/*
 * Loads the file, then the files *.conf in the folder PATH.d, in the order of their names.
 *   ret: config_free() it.
 * Return: 0, -ENOMEM. Thread-safe.
 */
int config_load(struct config **ret, const struct config_source *source, enum config_names names);

/* Logs each complaint. Return: how many there are. */
unsigned int config_log(const struct config *config, struct log *log);

/* Logs by name the settings of a section that differ and that only a restart applies.
 *   given: set by the command line, which takes precedence. former, now: the values of the file. */
void config_log_at_start(struct log *log, const struct settings_section *section,
	const struct setting_value *given, const struct setting_value *former,
	const struct setting_value *now);

/* config: NULL does nothing. Return: NULL. */
struct config *config_free(struct config *config);

/* Who a client is. */
struct config_who {
	uint32_t uid;
	const uint32_t *gids;
	size_t gid_count;
};

/*
 * The limit that the rules give to this client: that of its user, else the greatest of its groups.
 * No rule binds root. O(log rules), for each of the client's groups if there are rules for groups.
 * Return: the limit; 0: there is no rule, so the limit for every user applies.
 */
uint64_t config_own(
	const struct config *config, const struct config_who *who, enum settings_own which);
