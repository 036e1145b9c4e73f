/* SPDX-License-Identifier: MIT */
/*
 * What a service manager passes to the daemon, and what the daemon sends to it: listeners, clients
 * that connected before the daemon started, and the watchdog. The test plays the manager
 * (service.h).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "manager.h"
#include "service.h"
#include "wire.h"

#define MS UINT64_C(1000)

static int listen_at(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	check(fd >= 0 && strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	check(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 5) == 0);
	return fd;
}

/* The daemon names the socket that it cannot serve, and does not start. */
static void test_a_foreign_listener_stops_the_start(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/stream", service.directory);
	manager_keep(&service.manager, "stream", listen_at(path, SOCK_STREAM));
	check(unlink(path) == 0);
	check(service_start_with(NULL, NULL) == 1);
	check(service_said("'stream' from systemd is not a listening SOCK_SEQPACKET socket of "
			   "AF_UNIX") == 1);
	check(service_said("cannot start: Invalid argument") == 1);
	manager_drop(&service.manager, "stream");
	service_start();
}

/* The daemon serves all listeners up to a limit, and logs the limit. */
static void test_several_listeners_are_served(void **state)
{
	char path[128], word[64];
	struct wire w;
	int status;

	(void)state;
	for (int i = 2;; i++) {
		snprintf(path, sizeof(path), "%s/socket%d", service.directory, i);
		manager_keep(&service.manager, "more", listen_at(path, SOCK_SEQPACKET));
		status = service_start_with(NULL, NULL);
		if (status == SERVES) {
			wire_open(&w, path);
			wire_close(&w);
			service_end_by_kill();
		}
		check(unlink(path) == 0);
		if (status != SERVES) {
			check(status == 1 && i > 2);
			snprintf(word, sizeof(word), "one socket too many: timerd takes %d", i - 1);
			check(service_said(word) == 1);
			return;
		}
	}
}

/* A client passes a descriptor before the daemon starts: the daemon closes it, and the connection.
 * Later the kernel refuses descriptors, since Linux 6.16. */
static void test_passed_descriptors_are_dropped(void **state)
{
	struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	static struct wire early, late;
	struct codec_writer w;
	size_t size;

	(void)state;
	codec_begin(&w, early.out, PROTO_HELLO, 1);
	codec_put(&w, &hello, sizeof(hello));
	size = codec_end(&w, 0);
	wire_connect(&early, service.socket);
	check(wire_pass(&early, early.out, size, 1));
	service_start();
	wire_expect_error(&early, PROTO_E_PASSED_DESCRIPTOR, 0,
		"a file descriptor came with a packet; timerd takes none");
	wire_close(&early);
	wire_connect(&late, service.socket);
	if (wire_pass(&late, early.out, size, 1)) {
		wire_expect_error(&late, PROTO_E_PASSED_DESCRIPTOR, 0,
			"a file descriptor came with a packet; timerd takes none");
	} else { /* Linux 6.16 */
		late.serial = 1;
		check(wire_send(&late, early.out, size));
		wire_expect(&late, PROTO_HELLO | PROTO_ANSWER);
	}
	wire_close(&late);
}

/* How often the daemon has fed the watchdog. */
static unsigned int fed(void)
{
	unsigned int times;

	pthread_mutex_lock(&service.manager.lock);
	times = service.manager.fed;
	pthread_mutex_unlock(&service.manager.lock);
	return times;
}

/* Waits until the watchdog was fed that often. Return: false if that took too long. */
static bool await_fed(unsigned int times, int patience_ms)
{
	for (int ms = 0; fed() < times && ms < patience_ms; ms++)
		wire_sleep_us(1 * MS);
	return fed() >= times;
}

/* The daemon sends keep-alives and its status. */
static void test_the_watchdog_is_fed_and_the_status_told(void **state)
{
	(void)state;
	service_start();
	service_follow_stored(&one);
	check(await_fed(fed() + 3, WIRE_PATIENCE_MS));
	check(strcmp(service.manager.status, "1 clients, 1 timers") == 0);
}

/* The daemon retries a keep-alive soon when the queue was full, and not half a watchdog time
 * later. */
static void test_a_keepalive_that_found_no_room_is_sent_soon(void **state)
{
	int soon = 0;

	(void)state;
	service_start();
	check(await_fed(fed() + 1, WIRE_PATIENCE_MS));
	for (int i = 0; i < 10; i++) {
		unsigned int before = fed();

		manager_go_deaf(&service.manager);
		wire_sleep_us(300 * MS);
		manager_listen(&service.manager);
		soon += await_fed(before + 1, 60);
	}
	/* By chance there would be about three. */
	check(soon >= 8);
}

/* At --log-level debug, the log has a line for each session that the daemon adopts. */
static void test_each_adopted_session_is_logged_on_request(void **state)
{
	char word[96];

	(void)state;
	service_start();
	service_follow_stored(&one);
	service_end_by_kill();
	check(service_start_with("--log-level", "debug") == SERVES);
	snprintf(word, sizeof(word), "is adopted, with 1 timers (uid %u, pid %d)", getuid(),
		getpid());
	check(service_said(word) == 1);
	service_end_by_kill();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(test_a_foreign_listener_stops_the_start),
		SERVICE_TEST(test_several_listeners_are_served),
		SERVICE_TEST(test_passed_descriptors_are_dropped),
		SERVICE_TEST(test_the_watchdog_is_fed_and_the_status_told),
		SERVICE_TEST(test_a_keepalive_that_found_no_room_is_sent_soon),
		SERVICE_TEST(test_each_adopted_session_is_logged_on_request),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
