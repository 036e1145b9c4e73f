/* SPDX-License-Identifier: MIT */
/*
 * Files of other programs, and damaged files: timerqd refuses each with one line that says which
 * file and what to do, and changes no byte. And a disk that is really full.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "ask.h"
#include "sqlite.h"
#include "store_sqlite.h"
#include "store_sqlite_folder.h"

static char folder[32], db[64], wal[64];

static int set_up(void **state)
{
	(void)state;
	strcpy(folder, "/tmp/store-XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(db, sizeof(db), "%s/queues.db", folder);
	snprintf(wal, sizeof(wal), "%s/queues.db-wal", folder);
	return 0;
}

static int tear_down(void **state)
{
	char command[64];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf %s", folder);
	return system(command);
}

static struct store_change make_put(uint32_t queue, const char *payload)
{
	return (struct store_change){.type = STORE_PUT,
		.timer = {.queue = queue,
			.due = 1,
			.ready = 1,
			.number = 1,
			.max_late = PROTO_FOREVER,
			.payload = payload,
			.payload_size = (uint32_t)strlen(payload)}};
}

static struct store *open_store(void)
{
	struct clocks_stored clocks;
	struct store *s;
	char *why;
	int r = store_sqlite_open(&s, db, NULL, NULL, &clocks, &why);

	if (r)
		print_error("%s\n", why);
	assert_int_equal(r, 0);
	return s;
}

/* Makes a store with some transactions in its log, and ends as by a kill. */
static void make_store(unsigned int transactions)
{
	struct store *s = open_store();
	uint32_t queue;

	assert_int_equal(s->ops->open_queue(s, 7, "mail", &queue), 0);
	for (unsigned int i = 0; i < transactions; i++) {
		struct store_change c = make_put(queue, "payload");

		assert_int_equal(ask_change(s, &c), 0);
		assert_int_equal(c.status, PROTO_OK);
	}
	s->ops->close(s, NULL);
}

static void run_sql(const char *path, const char *text)
{
	sqlite3 *q;

	assert_int_equal(sqlite3_open(path, &q), SQLITE_OK);
	assert_int_equal(sqlite3_exec(q, text, NULL, NULL, NULL), SQLITE_OK);
	/* Otherwise closing would move the log into the database. */
	sqlite3_db_config(q, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	sqlite3_close(q);
}

static int64_t number_of(const char *text)
{
	int64_t number = -1;
	sqlite3_stmt *s;
	sqlite3 *q;

	assert_int_equal(sqlite3_open(db, &q), SQLITE_OK);
	assert_int_equal(sqlite3_prepare_v2(q, text, -1, &s, NULL), SQLITE_OK);
	if (sqlite3_step(s) == SQLITE_ROW)
		number = sqlite3_column_int64(s, 0);
	sqlite3_finalize(s);
	sqlite3_close(q);
	return number;
}

static void write_at(const char *path, off_t at, const void *bytes, size_t size)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, size, at), size);
	close(fd);
}

static off_t size_of(const char *path)
{
	struct stat st;

	return stat(path, &st) < 0 ? -1 : st.st_size;
}

static void sum_files(char ret[static 512])
{
	char command[256];
	FILE *f;
	size_t n;

	/* SQLite makes a log when it opens the database. It must stay empty. */
	snprintf(command, sizeof(command),
		"cd %s && find . -type f -size +0 | sort | xargs -r cksum", folder);
	f = popen(command, "r");
	assert_non_null(f);
	n = fread(ret, 1, 511, f);
	ret[n] = 0;
	pclose(f);
}

static void refused(const char *what)
{
	char before[512], after[512];
	struct clocks_stored clocks;
	struct store *s;
	char *why = NULL;
	int r;

	sum_files(before);
	r = store_sqlite_open(&s, db, NULL, NULL, &clocks, &why);
	assert_true(r < 0);
	assert_non_null(why);
	if (!strstr(why, db) || !strstr(why, what) || strchr(why, '\n'))
		print_error("'%s' does not say '%s' of %s in a line\n", why, what, db);
	assert_non_null(strstr(why, db));
	assert_non_null(strstr(why, what));
	assert_null(strchr(why, '\n'));
	free(why);
	sum_files(after);
	assert_string_equal(before, after);
}

static void is_no_sqlite_file(void **state)
{
	(void)state;
	write_at(db, 0, "hello", 5);
	refused("not a SQLite file; move it away");
	write_at(db, 20000, "hello", 5);
	refused("not a SQLite file; move it away");
}

static void is_another_application(void **state)
{
	(void)state;
	run_sql(db, "CREATE TABLE t (x); PRAGMA application_id = 5");
	refused("not one of timerqd");
	unlink(db);
	run_sql(db, "CREATE TABLE t (x)");
	refused("not one of timerqd");
	unlink(db);
	run_sql(db, "PRAGMA journal_mode = WAL; CREATE TABLE t (x)");
	refused("not one of timerqd");
}

static void is_newer(void **state)
{
	(void)state;
	make_store(3);
	run_sql(db, "PRAGMA wal_checkpoint; PRAGMA user_version = 3");
	assert_true(size_of(wal) > 0);
	refused("written by a newer timerqd"); /* so says its log alone */
	run_sql(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	refused("written by a newer timerqd");
}

/* A file of version 1: removes from a new file what version 2 has added. */
static void is_older(void **state)
{
	struct store_position from = {0};
	struct ask_rows rows;
	struct store *s;
	uint32_t queue;

	(void)state;
	make_store(3);
	run_sql(db,
		"DROP INDEX wake_system; ALTER TABLE parked DROP COLUMN max_attempts;"
		"INSERT INTO parked SELECT queue, id, number, clock, flags, due, slack, every,"
		" count, attempt, label, key, payload FROM timers WHERE id = 1;"
		"DELETE FROM due WHERE id = 1; DELETE FROM timers WHERE id = 1;"
		"UPDATE queues SET timers = timers - 1, parked = parked + 1;"
		"UPDATE timers SET flags = 2 WHERE id = 3;"
		"PRAGMA user_version = 1; PRAGMA wal_checkpoint(TRUNCATE)");
	s = open_store();
	assert_int_equal(s->ops->open_queue(s, 7, "mail", &queue), 0);
	ask_list(s, queue, true, &from, 10, &rows);
	assert_true(rows.n == 1 && rows.rows[0].max_attempts == 0);
	ask_load_some(s, queue, PROTO_CLOCK_MONOTONIC, INT64_MAX, 1, &rows);
	assert_int_equal(rows.beyond.wake_system, rows.beyond.ready);
	s->ops->close(s, NULL);
	assert_int_equal(number_of("PRAGMA user_version"), 2);
}

static void has_a_damaged_page(void **state)
{
	static char garbage[4096];

	(void)state;
	make_store(300);
	run_sql(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	memset(garbage, 0xa5, sizeof(garbage));
	for (off_t page = 1; page < size_of(db) / 4096; page += 7) {
		char before[4096];
		int fd = open(db, O_RDONLY | O_CLOEXEC);

		assert_int_equal(pread(fd, before, sizeof(before), page * 4096), sizeof(before));
		close(fd);
		write_at(db, page * 4096, garbage, sizeof(garbage));
		refused("restore the file and its -wal from a copy");
		write_at(db, page * 4096, before, sizeof(before));
	}
	make_store(1);
}

/* A damaged frame in the middle of the log. The transactions after it were answered as stored. */
static void has_a_damaged_log(void **state)
{
	(void)state;
	make_store(40);
	for (off_t at = 32 + 5 * 4120; at < size_of(wal) - 20 * 4120; at += 7 * 4120) {
		uint8_t byte, other;
		int fd = open(wal, O_RDONLY | O_CLOEXEC);

		assert_int_equal(pread(fd, &byte, 1, at + 100), 1);
		close(fd);
		other = byte ^ 0xff;
		write_at(wal, at + 100, &other, 1);
		refused("log (-wal) is damaged");
		write_at(wal, at + 100, &byte, 1);
	}
	write_at(wal, 9, "x", 1); /* the header */
	refused("log (-wal) is damaged");
}

/* Appends the first frame of the log to the log. At this position its checksum is wrong. */
static void append_frame(bool mark)
{
	uint8_t frame[24 + 4096];
	int fd = open(wal, O_RDONLY | O_CLOEXEC);

	assert_int_equal(pread(fd, frame, sizeof(frame), 32), sizeof(frame));
	close(fd);
	frame[7] = mark;
	write_at(wal, size_of(wal), frame, sizeof(frame));
}

/* The incomplete writes of a killed process are no damage. The next process does not find them. */
static void has_the_frames_of_killed_processes(void **state)
{
	off_t end;

	(void)state;
	make_store(40);
	for (unsigned int kills = 0; kills < 3; kills++) {
		end = size_of(wal);
		append_frame(false);
		append_frame(true);
		make_store(0);
		assert_int_equal(size_of(wal), end);
	}
	append_frame(true);
	append_frame(true);
	refused("log (-wal) is damaged");
}

/* The power fails, and one sector of a frame's header has the content of an older frame. */
static void has_a_torn_frame(void **state)
{
	(void)state;
	make_store(40);
	while (size_of(wal) % 512 != 504)
		append_frame(false);
	append_frame(true);
	append_frame(false);
	append_frame(true);
	make_store(1);
}

static void is_empty_with_a_log(void **state)
{
	(void)state;
	make_store(3);
	assert_int_equal(truncate(db, 0), 0);
	refused("empty, but its -wal is not");
	unlink(db);
	refused("empty, but its -wal is not");
}

static void is_a_link(void **state)
{
	char other[64];

	(void)state;
	make_store(1);
	snprintf(other, sizeof(other), "%s/other.db", folder);
	assert_int_equal(rename(db, other), 0);
	unlink(wal);
	assert_int_equal(symlink(other, db), 0);
	refused("no link");
}

static void is_in_use(void **state)
{
	int ready[2], status;
	char byte;
	pid_t pid;

	(void)state;
	make_store(3);
	assert_int_equal(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		struct clocks_stored clocks;
		struct store *s;
		char *why;

		if (store_sqlite_open(&s, db, NULL, NULL, &clocks, &why) ||
			write(ready[1], "x", 1) != 1)
			_exit(1);
		pause();
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	refused("another process uses it");
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	close(ready[0]);
	close(ready[1]);
	make_store(1);
}

static void find_refused(const char *where, const char *what)
{
	char *path, *why;

	assert_true(store_sqlite_find(folder, &path, &why) < 0);
	assert_non_null(why);
	assert_non_null(strstr(why, where));
	assert_non_null(strstr(why, what));
	free(why);
}

static void found(const char *where)
{
	char *path, *why;

	assert_int_equal(store_sqlite_find(where, &path, &why), 0);
	assert_string_equal(path, db);
	free(path);
}

static void folder_is_not_ours(void **state)
{
	(void)state;
	found(folder);
	chmod(folder, 0720);
	find_refused(folder, "others may write to it");
	chmod(folder, 0702);
	find_refused(folder, "others may write to it");
	chmod(folder, 0700);
	if (geteuid() == 0 && chown(folder, 12345, 0) == 0)
		find_refused(folder, "owned by somebody else");
}

/* For example a home folder that is reached through a link. SQLite alone follows no link in any
 * part of the path. */
static void folder_is_a_link(void **state)
{
	char link[64];

	(void)state;
	snprintf(link, sizeof(link), "%s-link", folder);
	unlink(link);
	assert_int_equal(symlink(folder, link), 0);
	found(link);
	unlink(link);
}

static void file_is_not_ours(void **state)
{
	const char *paths[] = {db, wal};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		unlink(db);
		unlink(wal);
		make_store(1);
		chmod(paths[i], 0620);
		find_refused(paths[i], "others may write to it");
		chmod(paths[i], 0600);
		found(folder);
		if (geteuid() == 0 && chown(paths[i], 12345, 0) == 0)
			find_refused(paths[i], "owned by somebody else");
		unlink(paths[i]);
		assert_int_equal(mkfifo(paths[i], 0600), 0);
		find_refused(paths[i], "not a file");
		unlink(paths[i]);
		assert_int_equal(mkdir(paths[i], 0700), 0);
		find_refused(paths[i], "not a file");
		rmdir(paths[i]);
		assert_int_equal(symlink("/dev/null", paths[i]), 0);
		find_refused(paths[i], "a link");
		unlink(paths[i]);
	}
}

static void disk_is_full(void **state)
{
	static char big[16000];
	struct store_change c;
	struct ask_rows rows;
	unsigned int held = 0;
	struct store *s;
	uint32_t queue;
	int r;

	(void)state;
	if (mount("tmpfs", folder, "tmpfs", 0, "size=1M,mode=700") < 0) {
		print_message("skipped: a tmpfs cannot be mounted: %s\n", strerror(errno));
		skip();
	}
	memset(big, 'x', sizeof(big) - 1);
	s = open_store();
	assert_int_equal(s->ops->open_queue(s, 7, "mail", &queue), 0);
	do {
		c = make_put(queue, big);
		r = ask_change(s, &c);
		held += !r;
	} while (!r && held < 1000);
	assert_int_equal(r, -ENOSPC);
	assert_true(ask_state(s, STORE_FULL));
	ask_load(s, queue, 0, INT64_MAX, &rows);
	assert_int_equal(rows.n, held);
	assert_int_equal(mount("tmpfs", folder, "tmpfs", MS_REMOUNT, "size=8M"), 0);
	c = make_put(queue, big);
	assert_int_equal(ask_change(s, &c), 0);
	assert_true(ask_state(s, STORE_OK));
	s->ops->close(s, NULL);
	s = open_store();
	ask_load(s, queue, 0, INT64_MAX, &rows);
	assert_int_equal(rows.n, held + 1);
	s->ops->close(s, NULL);
	assert_int_equal(umount(folder), 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(is_no_sqlite_file),
		TEST(is_another_application),
		TEST(is_newer),
		TEST(is_older),
		TEST(has_a_damaged_page),
		TEST(has_a_damaged_log),
		TEST(has_the_frames_of_killed_processes),
		TEST(has_a_torn_frame),
		TEST(is_empty_with_a_log),
		TEST(is_a_link),
		TEST(is_in_use),
		TEST(folder_is_not_ours),
		TEST(folder_is_a_link),
		TEST(file_is_not_ours),
		TEST(disk_is_full),
	};

	return cmocka_run_group_tests_name("store files", tests, NULL, NULL);
}
