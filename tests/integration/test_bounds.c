/* SPDX-License-Identifier: MIT */
/*
 * The bounds of the daemon: its socket is taken, a limit is reached, or descriptors have run out.
 * The daemon names the bound to the client that meets it, and serves everybody else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "wire.h"
#include "witness.h"

#define HOUR  UINT64_C(3600000000)
#define ALICE 31337 /* uids that nobody has */
#define BOB   31338
#define WIRES 64

static struct test_daemon d;
static struct wire wires[WIRES];

/* Runs a second daemon until it exits. said: its standard error. Return: its exit status. */
static int run_to_end(const char *socket, char *said, size_t size)
{
	const char *binary = daemon_binary("TIMERD_BINARY");
	int out[2], status;
	size_t n = 0;
	ssize_t r;
	pid_t pid;

	check(pipe2(out, O_CLOEXEC) == 0);
	pid = wire_fork();
	if (pid == 0) {
		dup2(out[1], STDERR_FILENO);
		execl(binary, binary, "--socket", socket, (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	while (n < size - 1 && (r = read(out[0], said + n, size - 1 - n)) > 0)
		n += (size_t)r;
	said[n] = '\0';
	close(out[0]);
	check(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void check_one_line(const char *said, const char *word)
{
	if (!strstr(said, word) || strchr(said, '\n') != said + strlen(said) - 1)
		print_error("it said: %s", said);
	check(strstr(said, word) != NULL);
	check(strchr(said, '\n') == said + strlen(said) - 1);
}

static void test_a_second_daemon_does_not_start(void **state)
{
	struct witness witness;
	char said[1024];

	(void)state;
	daemon_start(&d, "--log-level", "warning", NULL);
	witness_start(&witness, daemon_socket(&d));
	check(run_to_end(daemon_socket(&d), said, sizeof(said)) == 1);
	check_one_line(said, daemon_socket(&d));
	witness_stop(&witness);

	daemon_kill(&d);
	check(access(daemon_socket(&d), F_OK) == 0);
	daemon_start(&d, NULL);
	wire_open(&wires[0], daemon_socket(&d));
	check(daemon_stop(&d) == 0);
	wire_expect(&wires[0], PROTO_GOING_AWAY);
	wire_expect_end(&wires[0]);
	check(access(daemon_socket(&d), F_OK) < 0);
}

/* The daemon leaves a file at its path alone if it is not a socket. */
static void test_a_file_in_the_way_stays(void **state)
{
	char path[] = "/tmp/timerd-file-XXXXXX", lock[64], said[1024], content[16] = "";
	int fd = mkstemp(path);

	(void)state;
	check(fd >= 0 && write(fd, "precious", 8) == 8);
	check(run_to_end(path, said, sizeof(said)) == 1);
	check_one_line(said, path);
	check(pread(fd, content, sizeof(content), 0) == 8 && strcmp(content, "precious") == 0);
	close(fd);
	snprintf(lock, sizeof(lock), "%s.lock", path);
	unlink(lock);
	check(unlink(path) == 0);

	check(run_to_end("/nonexistent/folder/socket", said, sizeof(said)) == 1);
	check_one_line(said, "/nonexistent/folder/socket");
}

/* Registers n timers in one packet. The first answers have ids; all others must have that status.
 * Return: how many have ids. */
static uint32_t enroll(struct wire *w, uint32_t n, enum proto_status otherwise, uint64_t *ret_id)
{
	uint32_t accepted = 0;

	wire_begin(w, PROTO_REGISTER);
	for (uint32_t i = 0; i < n; i++)
		wire_put(w, &(struct proto_register){.due = HOUR, .flags = PROTO_RELATIVE});
	wire_end(w, 0);
	wire_expect(w, PROTO_REGISTER | PROTO_ANSWER);
	check(w->header.count == n);
	for (uint32_t i = 0; i < n; i++) {
		struct proto_registered registered;

		wire_get(w, i, &registered);
		check(registered.status == (registered.id ? PROTO_OK : otherwise));
		check(!registered.id || accepted == i);
		accepted += registered.id != 0;
		if (registered.id)
			*ret_id = registered.id;
	}
	return accepted;
}

static void cancel(struct wire *w, uint64_t id)
{
	struct proto_cancel_answer answer;

	wire_request(w, PROTO_CANCEL, &id, 1);
	wire_expect(w, PROTO_CANCEL | PROTO_ANSWER);
	wire_get(w, 0, &answer);
	check(answer.status == PROTO_OK);
}

/* Fills the limit from two sessions, and finds room as soon as one timer has ended. */
static void check_timer_limit(uint32_t limit, enum proto_status status)
{
	uint64_t id = 0, unused;

	wire_open(&wires[0], daemon_socket(&d));
	wire_open(&wires[1], daemon_socket(&d));
	check(enroll(&wires[0], limit - 10, status, &id) == limit - 10);
	check(enroll(&wires[1], 9, status, &unused) == 9);
	check(enroll(&wires[1], 3, status, &unused) == 1);
	check(enroll(&wires[0], 1, status, &unused) == 0);
	check(enroll(&wires[1], 1000, status, &unused) == 0);
	cancel(&wires[0], id);
	check(enroll(&wires[1], 2, status, &unused) == 1);
	wire_close(&wires[0]);
}

static void test_all_users_hold_no_more_timers_than_allowed(void **state)
{
	struct proto_status_answer status;
	uint64_t unused;

	(void)state;
	daemon_start(&d, "--max-timers", "500", NULL);
	check_timer_limit(500, PROTO_E_TIMERS);
	/* The first session's share is free again. The second session holds 11 timers. */
	wire_await_timers(daemon_socket(&d), 11);
	check(enroll(&wires[1], 1000, PROTO_E_TIMERS, &unused) == 489);
	wire_status(daemon_socket(&d), &status);
	check(status.timers == 500);
	check(status.refused == 2 + 1 + 1000 + 1 + 511);
}

static void test_a_limit_of_one_timer(void **state)
{
	uint64_t id, unused;

	(void)state;
	daemon_start(&d, "--max-timers", "1", "--max-clients", "2", NULL);
	wire_open(&wires[0], daemon_socket(&d));
	wire_open(&wires[1], daemon_socket(&d)); /* hellos use no timers of the limit */
	for (int i = 0; i < 10; i++) {
		check(enroll(&wires[0], 2, PROTO_E_TIMERS, &id) == 1);
		check(enroll(&wires[1], 1, PROTO_E_TIMERS, &unused) == 0);
		cancel(&wires[i % 2], id);
		if (i % 2)
			wire_expect(&wires[0], PROTO_CANCELLED);
	}
}

/* Runs it in a process with another uid; without root, in this process. */
static void as_user(uid_t uid, void (*what)(void))
{
	pid_t pid = wire_fork();

	if (pid == 0) {
		check(geteuid() != 0 || setuid(uid) == 0);
		what();
		_exit(0);
	}
	wire_join(pid);
}

static void fill_timers_of_user(void)
{
	check_timer_limit(100, PROTO_E_TIMERS_USER);
}

static void test_a_user_holds_no_more_timers_than_allowed(void **state)
{
	uint64_t unused;

	(void)state;
	daemon_start(&d, "--max-timers-per-user", "100", NULL);
	as_user(ALICE, fill_timers_of_user);
	wire_await_timers(daemon_socket(&d), 0);
	if (geteuid() != 0) {
		print_message("the rest needs root\n");
		skip();
	}
	/* Root is bound by the totals alone. */
	wire_open(&wires[0], daemon_socket(&d));
	check(enroll(&wires[0], 1000, PROTO_E_TIMERS_USER, &unused) == 1000);
	as_user(BOB, fill_timers_of_user);
}

/* Opens n sessions, and expects that the next one is refused. */
static void fill_clients(unsigned int n, enum proto_status status)
{
	static struct wire extra;

	check(n < WIRES);
	for (unsigned int i = 0; i < n; i++)
		wire_open(&wires[i], daemon_socket(&d));
	for (int i = 0; i < 3; i++) {
		wire_connect(&extra, daemon_socket(&d));
		wire_expect_error(&extra, status, 0, NULL);
		wire_close(&extra);
	}
	/* When one client leaves, another one may come. */
	wire_close(&wires[0]);
	for (int tries = 0;; tries++) {
		wire_connect(&extra, daemon_socket(&d));
		if (!wire_wait(&extra, 50))
			break;
		wire_close(&extra);
		check(tries < 100);
	}
	wire_close(&extra);
}

static void test_all_users_have_no_more_clients_than_allowed(void **state)
{
	(void)state;
	daemon_start(&d, "--max-clients", "32", NULL);
	/* A sixteenth of the slots is reserved for root. */
	fill_clients(geteuid() == 0 ? 32 : 30, PROTO_E_CLIENTS);
}

static void fill_clients_but_roots(void)
{
	fill_clients(30, PROTO_E_CLIENTS);
}

static void test_root_has_a_reserve_of_clients(void **state)
{
	struct proto_status_answer status;
	int full[2];
	pid_t pid;

	(void)state;
	if (geteuid() != 0)
		skip();
	daemon_start(&d, "--max-clients", "32", NULL);
	as_user(ALICE, fill_clients_but_roots);
	wire_await_clients(daemon_socket(&d), 0);
	check(pipe2(full, O_CLOEXEC) == 0);
	pid = wire_fork();
	if (pid == 0) {
		check(setuid(ALICE) == 0);
		for (int i = 0; i < 30; i++)
			wire_open(&wires[i], daemon_socket(&d));
		close(full[1]);
		pause();
	}
	close(full[1]);
	check(read(full[0], &status, 1) == 0); /* the child has closed it */
	close(full[0]);
	wire_status(daemon_socket(&d), &status); /* root gets one of its reserved slots */
	check(status.clients == 31);
	check(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
}

static void fill_clients_of_user(void)
{
	fill_clients(5, PROTO_E_CLIENTS_USER);
}

static void test_a_user_has_no_more_clients_than_allowed(void **state)
{
	(void)state;
	daemon_start(&d, "--max-clients-per-user", "5", NULL);
	as_user(ALICE, fill_clients_of_user);
	if (geteuid() != 0) {
		print_message("the rest needs root\n");
		skip();
	}
	wire_await_clients(daemon_socket(&d), 0);
	for (int i = 0; i < 10; i++)
		wire_open(&wires[i], daemon_socket(&d));
	as_user(BOB, fill_clients_of_user);
}

/* A client sends its hello before it can know that it is refused. It still gets the refusal. */
static void test_a_hello_sent_too_early_gets_the_refusal(void **state)
{
	const struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	unsigned int most = geteuid() == 0 ? 16 : 15;

	(void)state;
	daemon_start(&d, "--max-clients", "16", NULL);
	for (unsigned int i = 0; i < most; i++)
		wire_open(&wires[i], daemon_socket(&d));
	for (unsigned int i = 0; i < 200; i++) {
		struct wire *w = &wires[most];
		size_t size;

		wire_connect(w, daemon_socket(&d));
		wire_begin(w, PROTO_HELLO);
		wire_put(w, &hello);
		size = codec_end(&w->writer, 0);
		for (int n = 0; n < 3; n++)
			wire_send(w, w->out, size);
		wire_expect_error(w, PROTO_E_CLIENTS, 0, NULL);
		wire_close(w);
	}
}

/* Sets the daemon's limit. Its own user may do that; root needs CAP_SYS_RESOURCE. */
static void set_descriptors(rlim_t n)
{
	struct rlimit limit;
	char path[32];
	struct stat st;
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/%d", d.pid);
	check(stat(path, &st) == 0);
	pid = wire_fork();
	if (pid == 0) {
		if (geteuid() == 0)
			check(setresgid(st.st_gid, st.st_gid, st.st_gid) == 0 &&
				setresuid(st.st_uid, st.st_uid, st.st_uid) == 0);
		check(prlimit(d.pid, RLIMIT_NOFILE, NULL, &limit) == 0);
		limit.rlim_cur = n;
		check(prlimit(d.pid, RLIMIT_NOFILE, &limit, NULL) == 0);
		_exit(0);
	}
	wire_join(pid);
}

/* Processor time that the daemon has used, in microseconds. */
static uint64_t cpu_time(void)
{
	unsigned long user, system;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", d.pid);
	f = fopen(path, "re");
	check(f != NULL);
	check(fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
		      &system) == 2);
	fclose(f);
	return (user + system) * 1000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

/* The daemon has few descriptors left. It refuses a new client at once, as long as it gets a
 * descriptor for that. */
static void test_few_descriptors_refuse_new_clients_at_once(void **state)
{
	unsigned int accepted = 0;

	(void)state;
	daemon_start(&d, "--log-level", "err", NULL);
	wire_open(&wires[0], daemon_socket(&d));
	wire_sleep_us(20000); /* the daemon is idle now */
	set_descriptors((rlim_t)daemon_count_fds(d.pid) + 5);
	for (unsigned int i = 1; i < 20; i++) {
		wire_connect(&wires[i], daemon_socket(&d));
		if (!wire_wait(&wires[i], 100)) {
			accepted++;
			continue;
		}
		check(wires[i].header.opcode == PROTO_ERROR);
		wire_close(&wires[i]);
		wire_connect(&wires[i], daemon_socket(&d));
		wire_expect_error(&wires[i], PROTO_E_DESCRIPTORS, 0, NULL);
	}
	check(accepted > 0 && accepted < 15);
	/* Connected clients are served. When one leaves, another one may come. */
	wire_request(&wires[0], PROTO_STATUS, NULL, 0);
	wire_expect(&wires[0], PROTO_STATUS | PROTO_ANSWER);
	wire_close(&wires[1]);
	wire_sleep_us(100000);
	wire_open(&wires[1], daemon_socket(&d));
}

/* The daemon gets no descriptor at all. New clients wait, and the daemon neither spins nor
 * forgets its timers. */
static void test_without_descriptors_new_clients_wait(void **state)
{
	struct witness witness;
	uint64_t used;
	double share;

	(void)state;
	daemon_start(&d, "--log-level", "err", NULL);
	witness_start(&witness, daemon_socket(&d));
	wire_sleep_us(50000); /* its wakes have begun */
	set_descriptors(3);
	for (int i = 0; i < 20; i++)
		wire_connect(&wires[i], daemon_socket(&d));
	wire_sleep_us(300000);
	used = cpu_time();
	wire_sleep_us(2000000);
	share = (double)(cpu_time() - used) / 2000000;
	print_message("%.1f %% of a processor with 20 connections waiting\n", share * 100);
	check(share < 0.15);

	set_descriptors(1024);
	for (int i = 0; i < 20; i++) {
		const struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};

		wire_request(&wires[i], PROTO_HELLO, &hello, 1);
		wire_expect(&wires[i], PROTO_HELLO | PROTO_ANSWER);
	}
	witness_stop(&witness);
}

/* A clock that nobody has used before works even when there is no descriptor left. */
static void test_a_new_clock_works_without_descriptors(void **state)
{
	(void)state;
	daemon_start(&d, NULL);
	wire_open(&wires[0], daemon_socket(&d));
	wire_sleep_us(20000);
	set_descriptors(3);
	wire_begin(&wires[0], PROTO_REGISTER);
	for (enum proto_clock clock = 0; clock < PROTO_CLOCKS; clock++)
		wire_put(&wires[0],
			&(struct proto_register){
				.due = 50000, .clock = (uint8_t)clock, .flags = PROTO_RELATIVE});
	wire_end(&wires[0], 0);
	wire_expect(&wires[0], PROTO_REGISTER | PROTO_ANSWER);
	for (uint32_t woken = 0; woken < PROTO_CLOCKS; woken += wires[0].header.count)
		wire_expect(&wires[0], PROTO_WAKE);
	set_descriptors(1024);
}

static int before_each(void **state)
{
	(void)state;
	for (int i = 0; i < WIRES; i++)
		wires[i].fd = -1;
	return 0;
}

static int after_each(void **state)
{
	(void)state;
	for (int i = 0; i < WIRES; i++)
		wire_close(&wires[i]);
	daemon_finish(&d);
	return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, before_each, after_each)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_second_daemon_does_not_start),
		TEST(test_a_file_in_the_way_stays),
		TEST(test_all_users_hold_no_more_timers_than_allowed),
		TEST(test_a_limit_of_one_timer),
		TEST(test_a_user_holds_no_more_timers_than_allowed),
		TEST(test_all_users_have_no_more_clients_than_allowed),
		TEST(test_root_has_a_reserve_of_clients),
		TEST(test_a_user_has_no_more_clients_than_allowed),
		TEST(test_a_hello_sent_too_early_gets_the_refusal),
		TEST(test_few_descriptors_refuse_new_clients_at_once),
		TEST(test_without_descriptors_new_clients_wait),
		TEST(test_a_new_clock_works_without_descriptors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
