/* SPDX-License-Identifier: MIT */
/* toytimer-queue.h against the real daemons: each call, and its errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "queue_stage.h"

static void test_put_consume_acknowledge(void **state)
{
	toytimer_queue *q = open_queue();
	struct log log = {0};

	(void)state;
	put(q, "jobs", 50000, "one");
	put(q, "jobs", 100000, "two");
	assert_int_equal(listed(q, "jobs"), 2);
	consume(q, "jobs", 10, 0, &log);
	expect_wakes(q, &log, 2);
	assert_string_equal(log.wakes[0].payload, "one");
	assert_string_equal(log.wakes[1].payload, "two");
	assert_string_equal(log.wakes[1].queue, "jobs");
	assert_int_equal(log.wakes[0].attempt, 1);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[0].ref), 0);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[0].ref), -ENOENT);
	assert_int_equal(listed(q, "jobs"), 1);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[1].ref), 0);
	assert_int_equal(listed(q, "jobs"), 0);
	toytimer_queue_unref(q);
}

static void test_retry(void **state)
{
	toytimer_queue *q = open_queue();
	struct log log = {0};

	(void)state;
	put(q, "jobs", 0, "again");
	consume(q, "jobs", 1, 0, &log);
	expect_wakes(q, &log, 1);
	assert_int_equal(toytimer_queue_retry(q, &log.wakes[0].ref, 100000), 0);
	expect_wakes(q, &log, 2);
	assert_int_equal(log.wakes[1].ref.number, log.wakes[0].ref.number);
	assert_int_equal(log.wakes[1].attempt, 2);
	assert_int_equal(toytimer_queue_ack(q, &log.wakes[1].ref), 0);
	assert_int_equal(toytimer_queue_retry(q, &log.wakes[1].ref, 0), -ENOENT);
	toytimer_queue_unref(q);
}

static void test_keys(void **state)
{
	toytimer_queue *q = open_queue();
	toytimer_queue_timer t = {
		.due = 3600000000,
		.flags = TOYTIMER_RELATIVE,
		.clock = TOYTIMER_BOOTTIME,
		.key = "k",
	};
	toytimer_queue_stored first, s;

	(void)state;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, &first), 0);
	assert_false(first.replaced);
	t.flags |= TOYTIMER_QUEUE_KEEP;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, &s), 0);
	assert_true(s.kept && !s.replaced && s.id == first.id && s.due == first.due);
	t.flags = TOYTIMER_RELATIVE;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, &s), 0);
	assert_true(s.replaced && !s.kept && s.id != first.id);
	assert_int_equal(listed(q, "jobs"), 1);
	assert_int_equal(toytimer_queue_cancel(q, "jobs", first.id, NULL), -ENOENT);
	t.due = 7200000000;
	assert_int_equal(toytimer_queue_reschedule(q, "jobs", 0, "k", &t, &first), 0);
	assert_true(first.id == s.id && first.due > s.due);
	assert_int_equal(toytimer_queue_reschedule(q, "jobs", 0, "none", &t, NULL), -ENOENT);
	assert_int_equal(toytimer_queue_cancel(q, "jobs", 0, "k"), 0);
	assert_int_equal(toytimer_queue_cancel(q, "jobs", 0, "k"), -ENOENT);
	assert_int_equal(listed(q, "jobs"), 0);
	toytimer_queue_unref(q);
}

/* The call fails with the error, and a sentence that names the member. */
static void named(int r, int error, const char *member)
{
	assert_int_equal(r, error);
	assert_ptr_equal(strstr(toytimer_get_error(), member), toytimer_get_error());
}

/* Each time past the end of its clock, in a blocking call and in one that does not wait. */
static void check_ranges(toytimer_queue *q)
{
	const uint64_t past = (uint64_t)INT64_MAX + 1;
	/* A clock that a fleet has, too. */
	const toytimer_queue_timer late = {
		.due = INT64_MAX, .flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};
	const struct {
		toytimer_queue_timer t;
		const char *member;
	} table[] = {
		{{.due = past}, "timer.due:"},
		{{.slack = past}, "timer.slack:"},
		{{.every = past}, "timer.every:"},
		{{.max_late = past}, "timer.max_late:"},
	};
	const toytimer_queue_timer many = {.count = 2};
	toytimer_wake_ref wake = {0};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const toytimer_queue_timer *t = &table[i].t;

		named(toytimer_queue_put(NULL, "jobs", t, NULL), -EINVAL, "handle:");
		named(toytimer_queue_put(q, "jobs", t, NULL), -ERANGE, table[i].member);
		named(toytimer_queue_put(NULL, "jobs", t, NULL), -EINVAL, "handle:");
		named(toytimer_queue_put_async(q, "jobs", t, NULL, NULL), -ERANGE, table[i].member);
		named(toytimer_queue_reschedule(q, "jobs", 1, NULL, t, NULL), -ERANGE,
			table[i].member);
	}
	named(toytimer_queue_reschedule(q, "jobs", 1, NULL, &many, NULL), -EINVAL, "timer.count:");
	named(toytimer_queue_put(q, "jobs", NULL, NULL), -EINVAL, "timer:");
	named(toytimer_queue_ack(q, NULL), -EINVAL, "wake:");
	named(toytimer_queue_put(NULL, "jobs", &late, NULL), -EINVAL, "handle:");
	/* timerqd reads the clock, and refuses it. */
	named(toytimer_queue_put(q, "jobs", &late, NULL), -ERANGE, "timer.due:");
	named(toytimer_queue_retry(q, &wake, past), -ERANGE, "delay:");
}

static void test_bad_arguments(void **state)
{
	toytimer_queue_consumer c = {.handler = note_wake, .window = 10001};
	char name[66] = "", payload[16385] = "", label[26] = "";
	toytimer_queue *q = open_queue();
	toytimer_queue_timer t = {0};

	(void)state;
	memset(name, 'a', 65);
	memset(label, 'a', 25);
	assert_int_equal(toytimer_queue_put(q, name, &t, NULL), -EINVAL);
	assert_int_equal(toytimer_queue_put(q, "", &t, NULL), -EINVAL);
	assert_int_equal(toytimer_queue_put(q, "a b", &t, NULL), -EINVAL);
	assert_int_equal(toytimer_queue_put(q, NULL, &t, NULL), -EINVAL);
	assert_int_equal(toytimer_queue_put(q, "no-such-user/a", &t, NULL), -EACCES);
	assert_int_equal(toytimer_queue_put(q, "61184/a", &t, NULL), -EACCES);
	t.key = name;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EINVAL);
	t.key = "a\nb";
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EINVAL);
	t.key = NULL;
	t.flags = TOYTIMER_QUEUE_KEEP;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EINVAL);
	t.flags = TOYTIMER_WAKE_SYSTEM;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EOPNOTSUPP);
	t.flags = 0;
	t.clock = TOYTIMER_BOOTTIME;
	t.payload = payload;
	t.payload_size = sizeof(payload);
	named(toytimer_queue_put(q, "jobs", &t, NULL), -EMSGSIZE, "timer.payload_size:");
	t.payload_size--;
	t.due = INT64_MAX;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), 0);
	t.due++;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -ERANGE);
	t.due = 0;
	check_ranges(q);
	t.label = label;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EINVAL);
	t.label = NULL;
	t.count = 2;
	assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), -EINVAL);
	assert_int_equal(toytimer_queue_consume(q, "jobs", &c), -EINVAL);
	assert_int_equal(toytimer_queue_detach(q, "jobs"), -ENOTCONN);
	assert_int_equal(toytimer_queue_put(NULL, "jobs", &t, NULL), -EINVAL);
	toytimer_queue_unref(q);
}

static void test_put_many(void **state)
{
	enum { MANY = 5000 };
	toytimer_queue_timer *t = calloc(MANY, sizeof(*t));
	toytimer_queue_stored *s = calloc(MANY, sizeof(*s));
	toytimer_queue *q = open_queue();
	uint64_t n;

	(void)state;
	for (size_t i = 0; i < MANY; i++) {
		t[i].due = 3600000000 + i;
		t[i].flags = TOYTIMER_RELATIVE;
		t[i].clock = TOYTIMER_BOOTTIME;
		t[i].payload = "0123456789012345678901234567890123456789012345678901234567890123";
		t[i].payload_size = 64;
	}
	t[7].key = ""; /* one that is refused concerns nobody else */
	assert_int_equal(toytimer_queue_put_many(q, "jobs", t, MANY, s), MANY - 1);
	for (size_t i = 0; i < MANY; i++)
		assert_int_equal(s[i].error, i == 7 ? -EINVAL : 0);
	assert_int_equal(listed(q, "jobs"), MANY - 1);
	assert_int_equal(toytimer_queue_purge(q, "jobs", 0, &n), 0);
	assert_int_equal(n, MANY - 1);
	assert_int_equal(listed(q, "jobs"), 0);
	toytimer_queue_unref(q);
	free(t);
	free(s);
}

/* A listing whose handler lists as well. */
struct nested {
	toytimer_queue *q;
	unsigned int deeper; /* so many listings below this one */
	size_t n;
	size_t all; /* timers of the queue */
};

static int list_nested(const toytimer_queue_listed *listed, void *userdata)
{
	struct nested *outer = userdata;
	struct nested inner = {
		.q = outer->q,
		.deeper = outer->deeper - 1,
		.all = outer->all,
	};

	(void)listed;
	/* The page that this timer came with is not the last one. */
	if (++outer->n == 1 && outer->deeper) {
		assert_int_equal(toytimer_queue_list(outer->q, "jobs", 0, list_nested, &inner), 0);
		assert_int_equal(inner.n, outer->all);
	}
	return 0;
}

/* Each listing of a connection has its own position. Of nine, timerqd ends the first one. */
static void test_listings_do_not_disturb_each_other(void **state)
{
	toytimer_queue_timer t = {
		.due = 3600000000, .flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};
	toytimer_queue *q = open_queue();
	struct nested eight = {.q = q, .deeper = 7, .all = 1500};
	struct nested nine = {.q = q, .deeper = 8, .all = 1500};
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 1500; i++)
		put_async(q, "jobs", &t, &n);
	assert_int_equal(toytimer_queue_run(q), 0);
	assert_int_equal(toytimer_queue_list(q, "jobs", 0, list_nested, &eight), 0);
	assert_int_equal(eight.n, 1500);
	assert_int_equal(toytimer_queue_list(q, "jobs", 0, list_nested, &nine), -ECONNRESET);
	assert_true(nine.n < 1500);
	assert_int_equal(listed(q, "jobs"), 1500);
	toytimer_queue_unref(q);
}

static void test_put_async(void **state)
{
	toytimer_queue_timer t = {
		.due = 3600000000, .flags = TOYTIMER_RELATIVE, .clock = TOYTIMER_BOOTTIME};
	toytimer_queue *q = open_queue();
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 3000; i++)
		put_async(q, "jobs", &t, &n);
	assert_int_equal(toytimer_queue_run(q), 0); /* ends when all requests are answered */
	assert_int_equal(n, 3000);
	assert_int_equal(listed(q, "jobs"), 3000);
	toytimer_queue_unref(q);
}

static void test_limits(void **state)
{
	toytimer_queue_timer t = {
		.due = 3600000000,
		.flags = TOYTIMER_RELATIVE,
		.clock = TOYTIMER_BOOTTIME,
		.payload = "12345678",
		.payload_size = 8,
	};
	toytimer_queue_status status;
	toytimer_queue *q;

	(void)state;
	queues_kill(&d);
	queues_start(&d, "--max-timers-per-user", "3", "--max-bytes-per-user", "20", NULL);
	q = open_queue();
	assert_int_equal(toytimer_queue_get_status(q, &status), 0);
	assert_int_equal(status.pid, d.pid);
	assert_int_equal(status.store, TOYTIMER_QUEUE_STORE_OK);
	if (geteuid() == 0) {
		/* No limit binds root. Another user's queue counts against that user's limits. */
		for (int i = 0; i < 5; i++)
			assert_int_equal(toytimer_queue_put(q, "jobs", &t, NULL), 0);
		assert_int_equal(toytimer_queue_put(q, "12345/jobs", &t, NULL), 0);
		assert_int_equal(toytimer_queue_put(q, "12345/jobs", &t, NULL), 0);
		assert_int_equal(toytimer_queue_put(q, "12345/jobs", &t, NULL), -ENOBUFS);
		t.payload_size = 0;
		assert_int_equal(toytimer_queue_put(q, "12345/jobs", &t, NULL), 0);
		assert_int_equal(toytimer_queue_put(q, "12345/other", &t, NULL), -EDQUOT);
	}
	toytimer_queue_unref(q);
}

static int stop_at_once(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	(void)userdata;
	assert_int_equal(toytimer_queue_process(q), -EBUSY);
	assert_int_equal(toytimer_queue_ack(q, &w->ref), 0);
	assert_int_equal(toytimer_queue_stop(q), 0);
	return 0;
}

static int fail_at_once(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	(void)userdata;
	assert_int_equal(toytimer_queue_ack_async(q, &w->ref), 0);
	return -42;
}

static void test_run(void **state)
{
	toytimer_queue_consumer c = {.handler = stop_at_once};
	toytimer_queue *q = open_queue();

	(void)state;
	assert_int_equal(toytimer_queue_run(q), 0); /* nothing to wait for */
	assert_int_equal(toytimer_queue_consume(q, "a", &c), 0);
	put(q, "a", 50000, "");
	assert_int_equal(toytimer_queue_run(q), 0);
	c.handler = fail_at_once;
	assert_int_equal(toytimer_queue_consume(q, "b", &c), 0);
	put(q, "b", 50000, "");
	assert_int_equal(toytimer_queue_run(q), -42);
	assert_int_equal(toytimer_queue_detach(q, "a"), 0);
	assert_int_equal(toytimer_queue_detach(q, "b"), 0);
	assert_int_equal(toytimer_queue_run(q), 0);
	toytimer_queue_unref(q);
}

static void *put_some(void *userdata)
{
	for (int i = 0; i < 50; i++)
		put(userdata, i % 2 ? "odd" : "even", 3600000000, "thread");
	return NULL;
}

static void test_threads(void **state)
{
	toytimer_queue *q = open_queue();
	pthread_t threads[8];

	(void)state;
	for (size_t i = 0; i < 8; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, put_some, q), 0);
	for (size_t i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(listed(q, "odd"), 200);
	assert_int_equal(listed(q, "even"), 200);
	toytimer_queue_unref(q);
}

static void test_inherited(void **state)
{
	toytimer_queue *q = open_queue();
	toytimer_queue_timer t = {0};
	int status;
	pid_t pid;

	(void)state;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		bool right = toytimer_queue_put(q, "jobs", &t, NULL) == -ECHILD &&
			toytimer_queue_process(q) == -ECHILD && toytimer_queue_get_fd(q) == -ECHILD;

		toytimer_queue_unref(q);
		_exit(!right);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	put(q, "jobs", 3600000000, "the parent's");
	toytimer_queue_unref(q);
}

/* The library never uses the numbers of the standard descriptors. A relative path counts from the
 * folder of the call. */
static void test_descriptors_and_folders(void **state)
{
	int before = daemon_count_fds(0), saved = dup(STDIN_FILENO);
	char folder[4096];
	toytimer_queue *q;

	(void)state;
	assert_non_null(getcwd(folder, sizeof(folder)));
	assert_int_equal(chdir(d.timerd.directory), 0);
	close(STDIN_FILENO);
	assert_int_equal(toytimer_queue_open(&q, "queues", 0), 0);
	assert_int_equal(fcntl(STDIN_FILENO, F_GETFD), -1);
	dup2(saved, STDIN_FILENO);
	close(saved);
	assert_int_equal(chdir("/"), 0);
	queues_kill(&d);
	queues_start(&d, NULL);
	put(q, "jobs", 3600000000, "");
	assert_int_equal(chdir(folder), 0);
	toytimer_queue_unref(q);
	assert_int_equal(daemon_count_fds(0), before);
	assert_int_equal(toytimer_queue_open(&q, "/nonexistent", 0), -ECONNREFUSED);
	assert_int_equal(toytimer_queue_open(&q, "", 0), -EINVAL);
	assert_int_equal(toytimer_queue_open(&q, daemon_socket(&d.timerd), 0), -EPROTO);
	setenv("TIMERD_QUEUE_SOCKET", d.socket, 1);
	assert_int_equal(toytimer_queue_open(&q, NULL, 0), 0);
	toytimer_queue_unref(q);
	unsetenv("TIMERD_QUEUE_SOCKET");
	unsetenv("XDG_RUNTIME_DIR");
	assert_int_equal(toytimer_queue_open(&q, NULL, TOYTIMER_QUEUE_USER), -ENOMEDIUM);
}

/* Sends three long packets while timerqd is stopped, lets it go on, and awaits the answers. Return:
 * how many syncs that took, as the file `counted` counts them. */
static off_t sync_packets(toytimer_queue *q, const char *counted)
{
	static char payload[TOYTIMER_QUEUE_PAYLOAD_MAX]; /* three of them share a packet */
	toytimer_queue_timer t = {
		.due = 3600000000,
		.clock = TOYTIMER_BOOTTIME,
		.flags = TOYTIMER_RELATIVE,
		.payload = payload,
		.payload_size = sizeof(payload),
	};
	struct stat before, after;
	size_t stored = 0;

	assert_int_equal(stat(counted, &before), 0);
	kill(d.pid, SIGSTOP);
	for (int i = 1; i <= 9; i++) {
		put_async(q, "jobs", &t, &stored);
		if (i % 3 == 0)
			assert_int_equal(toytimer_queue_flush(q), 0);
	}
	kill(d.pid, SIGCONT);
	while (stored < 9)
		assert_true(toytimer_queue_wait(q, 1000) >= 0 && toytimer_queue_process(q) >= 0);
	assert_int_equal(stat(counted, &after), 0);
	return after.st_size - before.st_size;
}

/* A stopped timerqd may take longer than its slice for three packets on a busy machine. So one of
 * several attempts has to show it. */
static void test_packets_of_a_client_share_a_transaction(void **state)
{
	char counted[160], *binary = strdup(getenv("TIMERQD_BINARY"));
	toytimer_queue *q;
	off_t least = 3;

	(void)state;
	snprintf(counted, sizeof(counted), "%s/syncs", d.timerd.directory);
	close(open(counted, O_CREAT | O_CLOEXEC, 0600));
	queues_kill(&d);
	setenv("COUNTED_SYNCS", counted, 1);
	setenv("TIMERQD_BINARY", getenv("TIMERQD_FAILING_BINARY"), 1);
	queues_start(&d, NULL);
	setenv("TIMERQD_BINARY", binary, 1);
	free(binary);
	q = open_queue();
	put(q, "jobs", 3600000000, ""); /* the first use of a queue's name waits for timerqd */
	for (int i = 0; i < 20 && least > 1; i++) {
		off_t syncs = sync_packets(q, counted);

		least = syncs < least ? syncs : least;
	}
	assert_int_equal(least, 1);
	unsetenv("COUNTED_SYNCS");
	toytimer_queue_unref(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STAGED(test_packets_of_a_client_share_a_transaction),
		STAGED(test_put_consume_acknowledge),
		STAGED(test_retry),
		STAGED(test_keys),
		STAGED(test_bad_arguments),
		STAGED(test_put_many),
		STAGED(test_put_async),
		STAGED(test_listings_do_not_disturb_each_other),
		STAGED(test_limits),
		STAGED(test_run),
		STAGED(test_threads),
		STAGED(test_inherited),
		STAGED(test_descriptors_and_folders),
	};

	/* PostgreSQL's syncs are not timerqd's, so the first test is for SQLite only. */
	const size_t first = getenv("TIMERQD_TEST_STORE") ? 1 : 0;

	return queues_run_tests(tests + first, sizeof(tests) / sizeof(tests[0]) - first);
}
