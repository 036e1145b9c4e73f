/* SPDX-License-Identifier: MIT */
/*
 * Each call that toytimerctl itself makes fails, at each of its uses, with each error of its man
 * page, for each verb. toytimerctl must end with the status that it has without the fault, or print
 * a line with the reason. It must never die of a signal, and never return success after incomplete
 * output.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "sweep.h"
#include "wire.h"

#define WORDS_MAX 12

static struct test_daemon d;
static struct sweep sweep;
static struct wire wire; /* has a timer, so that `list` shows one */
static char plan_path[128], out_path[128], err_path[128];

/* The command, and its exit status without a fault. */
static struct {
	const char *words[WORDS_MAX];
	bool closed; /* standard input is closed */
	int status;
	size_t lines;
} verb;

static void share_plan(void)
{
	int fd = open(plan_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	check(fd >= 0 && ftruncate(fd, sizeof(*sweep.plan)) == 0);
	sweep.plan = mmap(NULL, sizeof(*sweep.plan), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	check(sweep.plan != MAP_FAILED);
	close(fd);
}

static void become_ctl(void)
{
	const char *argv[WORDS_MAX + 4] = {
		daemon_binary("TOYTIMERCTL_FAULTY_BINARY"), "--socket", daemon_socket(&d)};

	for (size_t i = 0; i < WORDS_MAX; i++)
		argv[3 + i] = verb.words[i];
	setenv(FAULT_PLAN, plan_path, 1);
	if (verb.closed)
		close(STDIN_FILENO);
	dup2(open(out_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), STDOUT_FILENO);
	dup2(open(err_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600), STDERR_FILENO);
	execv(argv[0], (char **)argv);
	_exit(99);
}

static int run(void)
{
	pid_t pid = wire_fork();
	int status;

	if (pid == 0)
		become_ctl();
	check(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Counts the lines of a file. Each must begin with `start`. */
static size_t count_lines(const char *path, const char *start)
{
	FILE *f = fopen(path, "re");
	char line[1024];
	size_t n = 0;

	check(f != NULL);
	for (; fgets(line, sizeof(line), f); n++)
		check(strncmp(line, start, strlen(start)) == 0);
	fclose(f);
	return n;
}

static void point(void)
{
	int status = run();
	bool failed = atomic_load(&sweep.plan->failed);

	sweep_end(&sweep, status != verb.status);
	check(status < 128);
	check(failed || status == verb.status);
	if (status == verb.status) {
		check(count_lines(out_path, "") == verb.lines);
		check(count_lines(err_path, "toytimerctl: ") == (status ? 1 : 0));
	} else {
		/* Too few descriptors: CTL_REFUSED is right, too. */
		check(status == 1 || status == 4);
		/* If toytimerctl cannot open its standard descriptors, it prints nothing: the line
		 * could go anywhere. */
		bool mute = sweep.call == FAULT_fcntl64 || sweep.call == FAULT_open64;

		check(mute || count_lines(err_path, "toytimerctl: ") == 1);
	}
}

static void sweep_verb(const char *name)
{
	uint32_t counts[FAULT_CALLS_COUNT];

	for (size_t i = 0; i < FAULT_CALLS_COUNT; i++)
		atomic_store(&sweep.plan->counts[i], 0);
	fault_arm(sweep.plan, 0, 0, false, 0);
	check(run() == verb.status);
	verb.lines = count_lines(out_path, "");
	sweep_copy_counts(&sweep, counts);
	sweep_run(&sweep, name, counts, point);
	check(sweep.points > 0);
}

#define SET_VERB(...) \
	(memcpy(verb.words, ((const char *[WORDS_MAX]){__VA_ARGS__}), sizeof(verb.words)))

static void test_list_survives_each_fault(void **state)
{
	(void)state;
	SET_VERB("list");
	sweep_verb("list");
	SET_VERB("list", "-o", "id,label,comm", "--no-legend");
	sweep_verb("list -o");
	SET_VERB("list", "--json");
	sweep_verb("list --json");
}

static void test_register_survives_each_fault(void **state)
{
	(void)state;
	SET_VERB("register", "--label", "fault", "0s", "5ms");
	sweep_verb("register");
	SET_VERB("register", "--json", "5ms");
	sweep_verb("register --json");
	SET_VERB("register", "--quiet", "--every", "5ms", "--count", "2", "--", "true");
	sweep_verb("register COMMAND");
}

static void test_the_other_verbs_survive_each_fault(void **state)
{
	(void)state;
	SET_VERB("status", "--json");
	sweep_verb("status --json");
	SET_VERB("cancel", "1", "--", "2");
	verb.status = 3;
	check(run() == 3 && count_lines(err_path, "toytimerctl: ") == 2);
	SET_VERB("cancel", "1");
	sweep_verb("cancel");
	SET_VERB("status");
	verb.status = 0;
	verb.closed = true;
	sweep_verb("status, closed");
}

static int before_each(void **state)
{
	(void)state;
	memset(&verb, 0, sizeof(verb));
	daemon_start(&d, NULL);
	wire_open(&wire, daemon_socket(&d));
	wire_request(&wire, PROTO_REGISTER,
		&(struct proto_register){
			.due = UINT64_C(3600000000), .flags = PROTO_RELATIVE, .label = "listed"},
		1);
	wire_expect(&wire, PROTO_REGISTER | PROTO_ANSWER);
	snprintf(plan_path, sizeof(plan_path), "%s/plan", d.directory);
	snprintf(out_path, sizeof(out_path), "%s/out", d.directory);
	snprintf(err_path, sizeof(err_path), "%s/err", d.directory);
	share_plan();
	return 0;
}

static int after_each(void **state)
{
	(void)state;
	sweep_tell(&sweep);
	wire_close(&wire);
	munmap(sweep.plan, sizeof(*sweep.plan));
	daemon_clean(&d);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, before_each, after_each)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_list_survives_each_fault),
		TEST(test_register_survives_each_fault),
		TEST(test_the_other_verbs_survive_each_fault),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
