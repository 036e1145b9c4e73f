/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_text.h"

#define FILE_SYSTEM "/etc/timerd.conf"
#define FILE_USER   "timerd.conf"

/* Rules for more users and groups are complaints. */
#define RULES_MAX 4096

/* Which section a line belongs to. */
enum section {
	SECTION_NONE,	 /* none has begun */
	SECTION_SKIPPED, /* a bad one: its lines are skipped without further complaints */
	SECTION_TIMERD,
	SECTION_QUEUES,
	SECTION_RULE,
};

struct loading {
	struct config *config;
	enum config_names names;
	const char *path;
	struct config_reader reader;
	enum section section;
	size_t rule; /* of SECTION_RULE */
};

int config_find(const char *named, bool user, struct config_source *ret)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char path[PATH_MAX];
	int n;

	*ret = (struct config_source){.required = named};
	if (named || !user)
		n = snprintf(path, sizeof(path), "%s", named ?: FILE_SYSTEM);
	else if (config && *config == '/')
		n = snprintf(path, sizeof(path), "%s/" FILE_USER, config);
	else if (home && *home == '/')
		n = snprintf(path, sizeof(path), "%s/.config/" FILE_USER, home);
	else
		return 0;
	if (n < 0 || (size_t)n >= sizeof(path))
		return 0;
	ret->path = strdup(path);
	return ret->path ? 0 : -ENOMEM;
}

/* Keeps a complaint: FILE:LINE: TEXT. line: 0: about the whole file. */
__attribute__((format(printf, 3, 4))) static void complain(
	struct loading *l, unsigned int line, const char *format, ...)
{
	struct config *c = l->config;
	char text[400];
	size_t n = 0;
	va_list ap;

	if (line)
		n = (size_t)snprintf(text, sizeof(text), "%.200s:%u: ", l->path, line);
	else
		n = (size_t)snprintf(text, sizeof(text), "%.200s: ", l->path);
	va_start(ap, format);
	vsnprintf(text + n, sizeof(text) - n, format, ap);
	va_end(ap);
	/* It becomes one line of the log and of the status. */
	for (char *at = text; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7f)
			*at = '?';
	if (c->complaints < CONFIG_COMPLAINTS_MAX)
		c->complaint[c->complaints] = strdup(text);
	c->complaints++;
}

static void set(struct loading *l, const struct setting *settings, size_t count,
	struct setting_value *values)
{
	const char *key = l->reader.word, *text = l->reader.value;
	char why[SETTING_WHY_MAX];
	size_t i = 0;

	while (i < count && strcmp(settings[i].key, key))
		i++;
	if (i == count)
		complain(l, l->reader.line, "'%s' is no key of this section", key);
	else if (!*text)
		values[i].set = false; /* back to the default */
	else if (setting_parse(&settings[i], text, &values[i], why) < 0)
		complain(l, l->reader.line, "%s: '%s' %s", key, text, why);
}

static void assign(struct loading *l)
{
	struct config *c = l->config;

	switch (l->section) {
	case SECTION_NONE:
		complain(l, l->reader.line, "'%s' stands before the first section", l->reader.word);
		break;
	case SECTION_SKIPPED:
		break;
	case SECTION_TIMERD:
		set(l, settings_timerd, TIMERD_SETTINGS, c->timerd);
		break;
	case SECTION_QUEUES:
		set(l, settings_queues, QUEUES_SETTINGS, c->queues);
		break;
	case SECTION_RULE:
		set(l, settings_own, OWN_SETTINGS, c->rules[l->rule].own);
		break;
	}
}

/* The sizes of a buffer for an entry of a user or group. A group with many members needs a large
 * one. */
#define ENTRY_FIRST ((size_t)4096)
#define ENTRY_MAX   ((size_t)4 << 20)

/* One look-up. Return: 0; -ENOENT: nobody has that name; another negative errno. */
static int look_up_in(bool is_group, const char *name, void *buffer, size_t size, uint32_t *ret)
{
	struct passwd passwd, *user = NULL;
	struct group entry, *group = NULL;
	int r = is_group ? getgrnam_r(name, &entry, buffer, size, &group)
			 : getpwnam_r(name, &passwd, buffer, size, &user);

	if (user)
		*ret = user->pw_uid;
	else if (group)
		*ret = group->gr_gid;
	/* getpwnam(3) lists further numbers with which some systems say that there is none. */
	else
		return r && r != ESRCH && r != EBADF && r != EPERM ? -r : -ENOENT;
	return 0;
}

static int look_up(bool is_group, const char *name, uint32_t *ret)
{
	int r = -ERANGE;

	for (size_t size = ENTRY_FIRST; r == -ERANGE && size <= ENTRY_MAX; size *= 4) {
		void *buffer = malloc(size);

		r = buffer ? look_up_in(is_group, name, buffer, size, ret) : -ENOMEM;
		free(buffer);
	}
	return r;
}

/* The id that a section names, by number or by name. Return: 0; -EAGAIN: it would need a look-up,
 * and `names` does not allow one; -EINVAL after a complaint. */
static int find_id(struct loading *l, bool is_group, const char *name, uint32_t *ret)
{
	const char *kind = is_group ? "group" : "user";
	int r = 0;

	if (*name && strspn(name, "0123456789") == strlen(name)) {
		unsigned long long id;

		errno = 0;
		id = strtoull(name, NULL, 10);
		if (errno || id >= UINT32_MAX)
			r = -ENOENT;
		*ret = (uint32_t)id;
	} else if (l->names == CONFIG_SKIP_NAMES) {
		l->config->has_names = true;
		return -EAGAIN;
	} else {
		r = look_up(is_group, name, ret);
	}
	if (r == -ENOENT)
		complain(l, l->reader.line, "there is no %s '%s'", kind, name);
	else if (r < 0)
		complain(l, l->reader.line, "cannot look up the %s '%s': %s", kind, name,
			strerror(-r));
	if (r < 0)
		return -EINVAL;
	if (!is_group && *ret == 0) {
		complain(l, l->reader.line,
			"'%s' has no limits of its own: only the totals limit root", name);
		return -EINVAL;
	}
	return 0;
}

/* Finds the rule for this id, or adds one. Return: 0, -EINVAL after a complaint, -ENOMEM. */
static int find_rule(struct loading *l, bool is_group, uint32_t id)
{
	struct config *c = l->config;

	for (l->rule = 0; l->rule < c->rule_count; l->rule++)
		if (c->rules[l->rule].is_group == is_group && c->rules[l->rule].id == id)
			return 0;
	if (c->rule_count == RULES_MAX) {
		complain(l, l->reader.line, "more than %d users and groups have sections",
			RULES_MAX);
		return -EINVAL;
	}
	if (c->rule_count == c->rule_room) {
		size_t room = c->rule_room ? 2 * c->rule_room : 16;
		struct config_rule *rules = reallocarray(c->rules, room, sizeof(*rules));

		if (!rules)
			return -ENOMEM;
		c->rules = rules;
		c->rule_room = room;
	}
	c->rules[c->rule_count++] = (struct config_rule){.is_group = is_group, .id = id};
	c->has_groups |= is_group;
	return 0;
}

/* Return: 0, -ENOMEM. */
static int begin_section(struct loading *l)
{
	const char *word = l->reader.word;
	bool is_group = !strncmp(word, "Group ", 6), is_user = !strncmp(word, "User ", 5);
	uint32_t id = 0;
	int r = 0;

	l->section = SECTION_SKIPPED;
	if (is_group || is_user) {
		word += is_group ? 6 : 5;
		word += strspn(word, " \t");
		r = find_id(l, is_group, word, &id);
		if (r == 0)
			r = find_rule(l, is_group, id);
		if (r == 0)
			l->section = SECTION_RULE;
	} else if (!strcmp(word, "Timerd")) {
		l->section = SECTION_TIMERD;
	} else if (!strcmp(word, "Queues")) {
		l->section = SECTION_QUEUES;
	} else {
		complain(l, l->reader.line,
			"'[%.60s]' is not [Timerd], [Queues], [User NAME] or [Group NAME]", word);
	}
	return r == -ENOMEM ? r : 0;
}

/* Takes over the text, because words borrow from it. Return: 0, -ENOMEM. */
static int keep_text(struct config *c, char *text)
{
	char **texts = reallocarray(c->texts, c->text_count + 1, sizeof(*texts));

	if (!texts) {
		free(text);
		return -ENOMEM;
	}
	c->texts = texts;
	c->texts[c->text_count++] = text;
	return 0;
}

static int parse_text(struct loading *l, char *text)
{
	enum config_line line;
	int r = keep_text(l->config, text);

	if (r < 0)
		return r;
	l->reader = (struct config_reader){.at = text};
	l->section = SECTION_NONE;
	while (r == 0 && (line = config_text_next(&l->reader)) != CONFIG_END) {
		if (line == CONFIG_SECTION) {
			r = begin_section(l);
		} else if (line == CONFIG_KEY) {
			assign(l);
		} else {
			complain(l, l->reader.line, "'%s' is neither [SECTION] nor KEY=VALUE",
				l->reader.word);
			if (*l->reader.word == '[')
				l->section = SECTION_SKIPPED;
		}
	}
	return r;
}

/* Return: 0, -ENOMEM. */
static int load_file(struct loading *l, const char *path, bool required)
{
	const char *why;
	char *text;
	int r;

	l->path = path;
	r = config_text_read(path, &text, &why);
	if (r == 0)
		return parse_text(l, text);
	if (r == -ENOMEM)
		return r;
	if (r == -ENOENT && !required)
		return 0;
	l->config->unread = true;
	complain(l, 0, "not read: %s", why ? why : strerror(-r));
	return 0;
}

static int is_drop_in(const struct dirent *entry)
{
	size_t n = strlen(entry->d_name);

	return *entry->d_name != '.' && n > 5 && !strcmp(entry->d_name + n - 5, ".conf");
}

/* By bytes, not by the locale. */
static int compare_names(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int load_drop_ins(struct loading *l, const char *folder)
{
	struct dirent **entries;
	int n = scandir(folder, &entries, is_drop_in, compare_names), r = 0;

	if (n < 0 && errno != ENOENT && errno != ENOTDIR) {
		if (errno == ENOMEM)
			return -ENOMEM;
		l->path = folder;
		l->config->unread = true;
		complain(l, 0, "not read: %s", strerror(errno));
	}
	for (int i = 0; i < n; i++) {
		char path[PATH_MAX];

		if (r == 0 &&
			(size_t)snprintf(path, sizeof(path), "%s/%s", folder, entries[i]->d_name) <
				sizeof(path))
			r = load_file(l, path, false);
		free(entries[i]);
	}
	if (n >= 0)
		free(entries);
	return r;
}

static int compare_rules(const void *a, const void *b)
{
	const struct config_rule *x = a, *y = b;

	if (x->is_group != y->is_group)
		return x->is_group ? 1 : -1;
	return x->id < y->id ? -1 : x->id > y->id;
}

int config_load(struct config **ret, const struct config_source *source, enum config_names names)
{
	struct loading l = {.config = calloc(1, sizeof(struct config)), .names = names};
	const char *path = source->path;
	char folder[PATH_MAX];
	int r = 0;

	if (!l.config)
		return -ENOMEM;
	if (path)
		r = load_file(&l, path, source->required);
	if (path && r == 0 &&
		(size_t)snprintf(folder, sizeof(folder), "%s.d", path) < sizeof(folder))
		r = load_drop_ins(&l, folder);
	if (r < 0) {
		config_free(l.config);
		return r;
	}
	if (l.config->rule_count)
		qsort(l.config->rules, l.config->rule_count, sizeof(*l.config->rules),
			compare_rules);
	*ret = l.config;
	return 0;
}

unsigned int config_log(const struct config *config, struct log *log)
{
	for (unsigned int i = 0; i < config->complaints && i < CONFIG_COMPLAINTS_MAX; i++)
		log_print(log, LOG_ERR, "ignored: %s", config->complaint[i] ?: "out of memory");
	if (config->complaints > CONFIG_COMPLAINTS_MAX)
		log_print(log, LOG_ERR, "ignored: %u more bad lines",
			config->complaints - CONFIG_COMPLAINTS_MAX);
	return config->complaints;
}

static bool is_equal(const struct setting_value *a, const struct setting_value *b)
{
	if (a->set != b->set)
		return false;
	return !a->set || (a->number == b->number && !strcmp(a->word, b->word));
}

void config_log_at_start(struct log *log, const struct settings_section *section,
	const struct setting_value *given, const struct setting_value *former,
	const struct setting_value *now)
{
	for (size_t i = 0; i < section->count; i++)
		if (section->settings[i].at_start && !given[i].set &&
			!is_equal(&former[i], &now[i]))
			log_print(log, LOG_WARNING,
				"[%s] %s= has changed: only a restart applies it", section->name,
				section->settings[i].key);
}

struct config *config_free(struct config *config)
{
	if (!config)
		return NULL;
	for (size_t i = 0; i < config->text_count; i++)
		free(config->texts[i]);
	for (size_t i = 0; i < CONFIG_COMPLAINTS_MAX; i++)
		free(config->complaint[i]);
	free(config->texts);
	free(config->rules);
	free(config);
	return NULL;
}

/* The limit that the rule for this id sets; 0: none. */
static uint64_t own_of(
	const struct config *config, bool is_group, uint32_t id, enum settings_own which)
{
	const struct config_rule key = {.is_group = is_group, .id = id}, *rule = NULL;

	if (config->rule_count)
		rule = bsearch(&key, config->rules, config->rule_count, sizeof(key), compare_rules);
	return rule && rule->own[which].set ? rule->own[which].number : 0;
}

uint64_t config_own(
	const struct config *config, const struct config_who *who, enum settings_own which)
{
	uint64_t limit = who->uid ? own_of(config, false, who->uid, which) : 0;

	if (limit || !config->has_groups || !who->uid)
		return limit;
	for (size_t i = 0; i < who->gid_count; i++) {
		uint64_t of_group = own_of(config, true, who->gids[i], which);

		limit = of_group > limit ? of_group : limit;
	}
	return limit;
}
