/* SPDX-License-Identifier: MIT */
/*
 * timerqd and a database whose host is a name, or one of several. Name servers and hosts may answer
 * late, or never: nobody else waits for them.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <toytimer-queue.h>
#include <unistd.h>

#include "cutter.h"
#include "database.h"
#include "jobs.h"
#include "queues.h"

#define SECOND UINT64_C(1000000)

static struct test_queues a;
static struct cutter cutter;

/* A schema, and a way to the database by a name. */
static int set_up(void **state)
{
	(void)state;
	queues_start(&a, NULL);
	queues_kill(&a);
	cutter_start_tcp(&cutter, postgres.folder);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	queues_clean(&a);
	cutter_stop(&cutter);
	return 0;
}

static void start_with(const char *uri)
{
	queues_start(&a, "--store", uri, NULL);
}

static void expect_service(void)
{
	toytimer_queue *q = jobs_open(&a);
	struct jobs_log log = {0};

	jobs_consume(q, &log);
	jobs_put_soon(q, 0);
	jobs_process(q, &log, 1, 20000);
	assert_int_equal(log.n, 1);
	toytimer_queue_unref(q);
	assert_int_equal(queues_stop(&a), 0);
}

/* Also if the name has a second address, which nobody listens at. */
static void test_name(void **state)
{
	(void)state;
	start_with(cutter.uri);
	expect_service();
}

/* libpq takes a list of hosts, with a port for each. */
static void test_names(void **state)
{
	const char *port = strrchr(cutter.uri, ':') + 1;
	char uri[256];

	(void)state;
	snprintf(uri, sizeof(uri),
		"postgresql:///postgres?user=timerd"
		"&host=nobody.invalid,/nowhere,localhost,127.0.0.1&port=1,2,3,%.*s",
		(int)strcspn(port, "/"), port);
	start_with(uri);
	expect_service();
}

/* Listens on TCP and takes no connection, as a host that is halted. Return: the descriptor. */
static int listen_silently(unsigned int *ret_port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&address, size), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

/* A host that is silent does not keep timerqd from the next one, whether libpq or timerqd knows its
 * address. */
static void test_silent_host(void **state)
{
	const char *port = strrchr(cutter.uri, ':') + 1;
	unsigned int silent;
	int fd = listen_silently(&silent);
	char uri[256];

	(void)state;
	snprintf(uri, sizeof(uri),
		"postgresql:///postgres?user=timerd&hostaddr=127.0.0.1,127.0.0.1&port=%u,%.*s",
		silent, (int)strcspn(port, "/"), port);
	start_with(uri);
	expect_service();
	close(fd);
}

static void test_unknown_name(void **state)
{
	toytimer_queue *q;

	(void)state;
	start_with("postgresql://timerd@nobody.invalid/postgres");
	q = jobs_open(&a);
	assert_int_equal(jobs_put(q, 0), -EHOSTUNREACH);
	toytimer_queue_unref(q);
	assert_int_equal(queues_stop(&a), 0);
}

/* The lookup does not end while the test runs. */
static void test_silent_name_server(void **state)
{
	toytimer_queue_status status;
	toytimer_queue *q;
	unsigned int soon = 0;

	(void)state;
	setenv("LD_PRELOAD", daemon_binary("FLEET_PRELOAD"), 1);
	/* The sanitizers want to come first. */
	setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
	setenv("TEST_LOOKUP", "1000", 1);
	start_with(cutter.uri);
	unsetenv("LD_PRELOAD");
	unsetenv("ASAN_OPTIONS");
	unsetenv("TEST_LOOKUP");
	q = jobs_open(&a);
	for (int i = 0; i < 20; i++) {
		uint64_t start = toytimer_now(TOYTIMER_BOOTTIME);

		assert_int_equal(toytimer_queue_get_status(q, &status), 0);
		assert_int_equal(status.store, TOYTIMER_QUEUE_STORE_AWAY);
		soon += toytimer_now(TOYTIMER_BOOTTIME) - start < SECOND;
		usleep(100000);
	}
	assert_true(soon >= 18);
	toytimer_queue_unref(q);
	assert_int_equal(queues_stop(&a), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(test_name),
		TEST(test_names),
		TEST(test_silent_host),
		TEST(test_unknown_name),
		TEST(test_silent_name_server),
	};
	return queues_run(tests);
}
