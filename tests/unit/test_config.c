/* SPDX-License-Identifier: MIT */
/*
 * The configuration file: syntax, bad lines, drop-ins, files that others can write, and which limit
 * a user gets. Each test writes its files into a folder of its own.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "config.h"

static char logged[8000];

/* Replaces the function of the log. */
void log_print(struct log *log, int priority, const char *format, ...)
{
	size_t n = strlen(logged);
	va_list ap;

	(void)log;
	n += (size_t)snprintf(logged + n, sizeof(logged) - n, "<%d>", priority);
	va_start(ap, format);
	n += (size_t)vsnprintf(logged + n, sizeof(logged) - n, format, ap);
	va_end(ap);
	snprintf(logged + n, sizeof(logged) - n, "\n");
}

static char folder[64], main_file[128], drop_ins[128];
static struct config *config;

static int before_each(void **state)
{
	(void)state;
	snprintf(folder, sizeof(folder), "/tmp/test_config.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(main_file, sizeof(main_file), "%s/c.conf", folder);
	snprintf(drop_ins, sizeof(drop_ins), "%s/c.conf.d", folder);
	*logged = 0;
	return 0;
}

static int after_each(void **state)
{
	char command[128];

	(void)state;
	config = config_free(config);
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static void write_file(const char *path, const char *text, size_t size)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_int_equal(fwrite(text, 1, size, f), size);
	fclose(f);
}

static void drop_in(const char *name, const char *text)
{
	char path[256];

	mkdir(drop_ins, 0755);
	snprintf(path, sizeof(path), "%s/%s", drop_ins, name);
	write_file(path, text, strlen(text));
}

static void load(void)
{
	const struct config_source source = {main_file, false};

	config_free(config);
	config = NULL;
	assert_int_equal(config_load(&config, &source, CONFIG_LOOK_UP_NAMES), 0);
}

static void load_text(const char *text)
{
	write_file(main_file, text, strlen(text));
	load();
}

/* Expects these log lines in this order, each after the path of the file. NULL ends the list. */
static void check_complaints(const char *first, ...)
{
	unsigned int n = 0;
	va_list ap;

	va_start(ap, first);
	for (const char *text = first; text; text = va_arg(ap, const char *), n++) {
		char expected[400];

		snprintf(expected, sizeof(expected), "%s%s", main_file, text);
		assert_true(n < config->complaints);
		assert_string_equal(config->complaint[n], expected);
	}
	va_end(ap);
	if (n < config->complaints)
		fail_msg("one more: %s", config->complaint[n]);
}

static uint64_t own(uint32_t uid, enum settings_own which)
{
	const struct config_who who = {.uid = uid};

	return config_own(config, &who, which);
}

static void test_no_file_is_no_complaint(void **state)
{
	const struct config_source none = {NULL, false}, required = {main_file, true};

	(void)state;
	load();
	check_complaints(NULL);
	assert_false(config->unread);
	config_free(config);
	assert_int_equal(config_load(&config, &none, CONFIG_LOOK_UP_NAMES), 0);
	check_complaints(NULL);
	config_free(config);
	assert_int_equal(config_load(&config, &required, CONFIG_LOOK_UP_NAMES), 0);
	check_complaints(": not read: No such file or directory", NULL);
	assert_true(config->unread);
}

static void test_the_syntax_is_that_of_systemd(void **state)
{
	(void)state;
	load_text("# MaxTimers=1\n"
		  "; MaxTimers=2 \\\n"
		  "\n"
		  "   \t\r\n"
		  "  [Timerd]  \r\n"
		  "MaxTimers=10\r\n"
		  "\tMaxClients =  20\t\n"
		  "MaxTimersPerUser= \\\n"
		  "   30\n"
		  "MaxClientsPerUser=40\n"
		  "MaxClientsPerUser=\n"
		  "Socket=/a=b c;d#e\n"
		  "[Queues]\n"
		  "State=/s\n"
		  "[Timerd]\n"
		  "LogLevel=debug");
	check_complaints(NULL);
	assert_int_equal(config->timerd[TIMERD_MAX_TIMERS].number, 10);
	assert_int_equal(config->timerd[TIMERD_MAX_CLIENTS].number, 20);
	assert_int_equal(config->timerd[TIMERD_MAX_TIMERS_PER_USER].number, 30);
	assert_false(config->timerd[TIMERD_MAX_CLIENTS_PER_USER].set);
	assert_string_equal(config->timerd[TIMERD_SOCKET].word, "/a=b c;d#e");
	assert_string_equal(config->queues[QUEUES_STATE].word, "/s");
	assert_int_equal(config->timerd[TIMERD_LOG_LEVEL].number, 7);
}

static void test_a_bad_line_costs_only_itself(void **state)
{
	(void)state;
	load_text("MaxTimers=1\n" /* 1 */
		  "[Timerd]\n"
		  "MaxTimers=10k\n" /* 3 */
		  "Frobnicate=yes\n"
		  "MaxTimers\n" /* 5 */
		  "=5\n"
		  "maxtimers=7\n" /* 7 */
		  "MaxBytesPerUser=1G\n"
		  "MaxClients=\\\n" /* 9 */
		  "none\n"
		  "LogLevel=x\001y\n" /* 11 */
		  "MaxTimersPerUser=5\n"
		  "[Timer]\n" /* 13 */
		  "MaxTimers=8\n"
		  "[Timerd\n" /* 15 */
		  "MaxTimers=9\n"
		  "[]\n" /* 17 */
		  "[User no such user]\n"
		  "MaxTimers=9\n" /* 19 */
		  "[Group no-such-group]\n"
		  "[User 4294967295]\n" /* 21 */
		  "[User 0]\n"
		  "[User root]\n" /* 23 */
		  "[User]\n"
		  "[User 7]\n" /* 25 */
		  "MaxTimers=0\n"
		  "MaxTimersPerUser=1\n" /* 27 */
		  "MaxClients=3\n"
		  "[Queues]\n" /* 29 */
		  "ClockPatience=soon\n");
	check_complaints(":1: 'MaxTimers' stands before the first section",
		":3: MaxTimers: '10k' is not a number",
		":4: 'Frobnicate' is no key of this section",
		":5: 'MaxTimers' is neither [SECTION] nor KEY=VALUE",
		":6: '' is no key of this section", ":7: 'maxtimers' is no key of this section",
		":8: 'MaxBytesPerUser' is no key of this section",
		":9: MaxClients: 'none' is not a number", ":11: LogLevel: 'x?y' is not a level",
		":13: '[Timer]' is not [Timerd], [Queues], [User NAME] or [Group NAME]",
		":15: '[Timerd' is neither [SECTION] nor KEY=VALUE",
		":17: '[]' is not [Timerd], [Queues], [User NAME] or [Group NAME]",
		":18: there is no user 'no such user'", ":20: there is no group 'no-such-group'",
		":21: there is no user '4294967295'",
		":22: '0' has no limits of its own: only the totals limit root",
		":23: 'root' has no limits of its own: only the totals limit root",
		":24: '[User]' is not [Timerd], [Queues], [User NAME] or [Group NAME]",
		":26: MaxTimers: '0' is not between 1 and 4294967295",
		":27: 'MaxTimersPerUser' is no key of this section",
		":30: ClockPatience: 'soon' is not a span, such as 10min", NULL);
	assert_false(config->timerd[TIMERD_MAX_TIMERS].set);
	assert_int_equal(config->timerd[TIMERD_MAX_TIMERS_PER_USER].number, 5);
	assert_int_equal(own(7, OWN_MAX_CLIENTS), 3);
	assert_int_equal(own(7, OWN_MAX_TIMERS), 0);
	assert_false(config->unread);
}

static void test_many_bad_lines_are_counted(void **state)
{
	char text[8000] = "[Timerd]\n";

	(void)state;
	for (int i = 0; i < 1000; i++)
		strcat(text, "oops\n");
	load_text(text);
	assert_int_equal(config->complaints, 1000);
	assert_int_equal(config_log(config, NULL), 1000);
	assert_non_null(strstr(logged, ":65: 'oops' is neither"));
	assert_null(strstr(logged, ":66: "));
	assert_non_null(strstr(logged, "<3>ignored: 936 more bad lines\n"));
}

static void test_hostile_bytes_are_harmless(void **state)
{
	static const char zero[] = "[Timerd]\nMaxTimers=5\0000\nMaxClients=6\n";
	char *text = malloc(100001);
	unsigned int seed = 1;

	(void)state;
	write_file(main_file, zero, sizeof(zero) - 1);
	load();
	check_complaints(":2: MaxTimers: '5?0' is not a number", NULL);
	assert_int_equal(config->timerd[TIMERD_MAX_CLIENTS].number, 6);
	/* A line without an end, and lines until the end of the file. */
	memset(text, 'x', 100000);
	text[100000] = 0;
	load_text(text);
	assert_int_equal(config->complaints, 1);
	for (int i = 0; i < 100000; i += 2)
		memcpy(text + i, "\\\n", 2);
	load_text(text);
	for (int round = 0; round < 200; round++) {
		static const char letters[] = "[]=\\\n #;MaxTimersUserGroup 019KTimerd";

		for (int i = 0; i < 2000; i++) {
			seed = seed * 1103515245 + 12345;
			text[i] = letters[(seed >> 16) % (sizeof(letters) - 1)];
		}
		text[2000] = 0;
		load_text(text);
	}
	free(text);
}

static void test_drop_ins_follow_in_the_order_of_their_names(void **state)
{
	char path[256];

	(void)state;
	drop_in("20-b.conf", "[Timerd]\nMaxTimers=3\n");
	drop_in("10-a.conf", "[Timerd]\nMaxTimers=2\nMaxClients=2\n[User 7]\nMaxTimers=1\n");
	drop_in("Z.conf", "[User 7]\nMaxTimers=4\n");
	drop_in("a.conf", "MaxTimers=9\n[User 7]\nMaxClients=5\n");
	drop_in("99.conf~", "[Timerd]\nMaxTimers=9\n");
	drop_in(".99.conf", "[Timerd]\nMaxTimers=9\n");
	drop_in(".conf", "[Timerd]\nMaxTimers=9\n");
	drop_in("99", "[Timerd]\nMaxTimers=9\n");
	snprintf(path, sizeof(path), "%s/30-off.conf", drop_ins);
	assert_int_equal(symlink("/dev/null", path), 0);
	load_text("[Timerd]\nMaxTimers=1\nMaxClients=1\nMaxClientsPerUser=1\n");
	check_complaints(".d/a.conf:1: 'MaxTimers' stands before the first section", NULL);
	assert_int_equal(config->timerd[TIMERD_MAX_TIMERS].number, 3);
	assert_int_equal(config->timerd[TIMERD_MAX_CLIENTS].number, 2);
	assert_int_equal(config->timerd[TIMERD_MAX_CLIENTS_PER_USER].number, 1);
	assert_int_equal(own(7, OWN_MAX_TIMERS), 4);
	assert_int_equal(own(7, OWN_MAX_CLIENTS), 5);
}

static void test_drop_ins_need_no_main_file(void **state)
{
	(void)state;
	drop_in("a.conf", "[Timerd]\nMaxTimers=3\n");
	load();
	check_complaints(NULL);
	assert_int_equal(config->timerd[TIMERD_MAX_TIMERS].number, 3);
}

static void test_files_of_others_are_not_read(void **state)
{
	static const char text[] = "[Timerd]\nMaxTimers=3\n";

	(void)state;
	load_text(text);
	assert_int_equal(chmod(main_file, 0666), 0);
	load();
	check_complaints(": not read: may be written by everybody", NULL);
	assert_true(config->unread);
	assert_false(config->timerd[TIMERD_MAX_TIMERS].set);
	assert_int_equal(chmod(main_file, 0664), 0);
	load();
	check_complaints(NULL);
	if (geteuid() == 0) {
		assert_int_equal(chown(main_file, 54321, 0), 0);
		load();
		check_complaints(": not read: belongs to another user than root", NULL);
		assert_true(config->unread);
	}
}

static void test_what_is_no_file_is_not_read(void **state)
{
	char looped[100];

	(void)state;
	/* The C libraries have different sentences for it. */
	snprintf(looped, sizeof(looped), ": not read: %s", strerror(ELOOP));
	assert_int_equal(mkdir(main_file, 0755), 0);
	load();
	check_complaints(": not read: is no file", NULL);
	assert_int_equal(rmdir(main_file), 0);
	assert_int_equal(mkfifo(main_file, 0644), 0);
	load();
	check_complaints(": not read: is no file", NULL);
	assert_int_equal(unlink(main_file), 0);
	assert_int_equal(symlink("c.conf", main_file), 0);
	load();
	check_complaints(looped, NULL);
	assert_int_equal(unlink(main_file), 0);
	write_file(main_file, "", 0);
	assert_int_equal(truncate(main_file, (1 << 20) + 1), 0);
	load();
	check_complaints(": not read: is longer than 1 MB", NULL);
	assert_true(config->unread);
}

static void test_a_user_goes_before_groups_and_the_greatest_group_counts(void **state)
{
	static const uint32_t gids[] = {300, 100, 200};
	struct config_who who = {.uid = 1000, .gids = gids, .gid_count = 3};

	(void)state;
	load_text("[Group 200]\nMaxTimers=20\nMaxClients=2\n"
		  "[Group 100]\nMaxTimers=30\nMaxQueueBytes=1K\n"
		  "[Group 400]\nMaxTimers=99\n"
		  "[User 1000]\nMaxClients=1\n"
		  "[User 1001]\nMaxTimers=7\n");
	check_complaints(NULL);
	assert_true(config->has_groups);
	assert_int_equal(config_own(config, &who, OWN_MAX_TIMERS), 30);
	assert_int_equal(config_own(config, &who, OWN_MAX_CLIENTS), 1);
	assert_int_equal(config_own(config, &who, OWN_MAX_QUEUE_BYTES), 1024);
	assert_int_equal(config_own(config, &who, OWN_MAX_QUEUE_TIMERS), 0);
	who.uid = 1001;
	assert_int_equal(config_own(config, &who, OWN_MAX_TIMERS), 7);
	who.uid = 0;
	assert_int_equal(config_own(config, &who, OWN_MAX_TIMERS), 0);
	who.uid = 1002;
	who.gid_count = 1;
	assert_int_equal(config_own(config, &who, OWN_MAX_TIMERS), 0);
}

static void test_what_only_a_restart_changes_is_named(void **state)
{
	struct setting_value given[QUEUES_SETTINGS] = {[QUEUES_TIMERD] = {true, 0, "/t"}};
	struct config *former;

	(void)state;
	load_text("[Queues]\nState=/a\nTimerd=/b\nSocket=/c\nClockPatience=5s\nLogLevel=info\n");
	former = config;
	config = NULL;
	load_text("[Queues]\nTimerd=/e\nSocket=/c\nClockPatience=6s\nLogLevel=debug\n");
	config_log_at_start(NULL, &settings_section_queues, given, former->queues, config->queues);
	config_free(former);
	assert_string_equal(logged,
		"<4>[Queues] State= has changed: only a restart applies it\n"
		"<4>[Queues] ClockPatience= has changed: only a restart applies it\n");
}

static void test_names_are_looked_up_only_if_asked_for(void **state)
{
	const struct config_source source = {main_file, false};

	(void)state;
	load_text(
		"[User daemon]\nMaxTimers=5\n[User 7]\nMaxTimers=6\n[Group daemon]\nMaxTimers=4\n");
	check_complaints(NULL);
	assert_false(config->has_names);
	assert_int_equal(own(1, OWN_MAX_TIMERS), 5); /* the user daemon has uid 1 on each Linux */
	config_free(config);
	assert_int_equal(config_load(&config, &source, CONFIG_SKIP_NAMES), 0);
	check_complaints(NULL);
	assert_true(config->has_names);
	assert_int_equal(own(1, OWN_MAX_TIMERS), 0);
	assert_int_equal(own(7, OWN_MAX_TIMERS), 6);
}

static void test_many_rules_are_found(void **state)
{
	char *text = malloc(200000), *at = text;

	(void)state;
	for (unsigned int i = 1; i <= 4097; i++)
		at += sprintf(at, "[User %u]\nMaxTimers=%u\n", 5000 - i, i);
	load_text(text);
	check_complaints(":8193: more than 4096 users and groups have sections", NULL);
	for (unsigned int i = 1; i <= 4096; i++)
		assert_int_equal(own(5000 - i, OWN_MAX_TIMERS), i);
	assert_int_equal(own(5001, OWN_MAX_TIMERS), 0);
	free(text);
}

static void test_the_usual_files_are_found(void **state)
{
	struct config_source source;

	(void)state;
	assert_int_equal(config_find(NULL, false, &source), 0);
	assert_string_equal(source.path, "/etc/timerd.conf");
	assert_false(source.required);
	free(source.path);
	setenv("XDG_CONFIG_HOME", "/x", 1);
	setenv("HOME", "/h", 1);
	assert_int_equal(config_find(NULL, true, &source), 0);
	assert_string_equal(source.path, "/x/timerd.conf");
	free(source.path);
	setenv("XDG_CONFIG_HOME", "relative", 1);
	assert_int_equal(config_find(NULL, true, &source), 0);
	assert_string_equal(source.path, "/h/.config/timerd.conf");
	free(source.path);
	unsetenv("HOME");
	assert_int_equal(config_find(NULL, true, &source), 0);
	assert_null(source.path);
	assert_int_equal(config_find("named", true, &source), 0);
	assert_string_equal(source.path, "named");
	assert_true(source.required);
	free(source.path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before_each, after_each)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_file_is_no_complaint),
		TEST(test_the_syntax_is_that_of_systemd),
		TEST(test_a_bad_line_costs_only_itself),
		TEST(test_many_bad_lines_are_counted),
		TEST(test_hostile_bytes_are_harmless),
		TEST(test_drop_ins_follow_in_the_order_of_their_names),
		TEST(test_drop_ins_need_no_main_file),
		TEST(test_files_of_others_are_not_read),
		TEST(test_what_is_no_file_is_not_read),
		TEST(test_a_user_goes_before_groups_and_the_greatest_group_counts),
		TEST(test_what_only_a_restart_changes_is_named),
		TEST(test_names_are_looked_up_only_if_asked_for),
		TEST(test_many_rules_are_found),
		TEST(test_the_usual_files_are_found),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
