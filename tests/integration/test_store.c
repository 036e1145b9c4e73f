/* SPDX-License-Identifier: MIT */
/*
 * What outlives a daemon. The test plays the service manager (manager.h): it kills the daemon,
 * stops it, and starts it again with what the daemon had stored, whole or changed. A client at the
 * level of packets sees its session go on, with no wake lost or doubled, or learns at once that
 * the session has ended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "follower.h"
#include "manager.h"
#include "service.h"
#include "wire.h"

#define MS     UINT64_C(1000)
#define FAR    (3600000 * MS)
#define EVERY  (5 * MS)
#define ROUNDS 10 /* each with two timers */
#define CROWD  13 /* more than twice as many as one slice stores */

#define DEAF	    (800 * MS)
#define PUNCTUAL_MS 500 /* for a busy machine, and less than DEAF */

static struct follower crowd[CROWD];

static void check_status(uint64_t restarts, uint64_t timers)
{
	struct proto_status_answer status;

	wire_status(service.socket, &status);
	check(status.restarts == restarts);
	check(status.timers == timers);
	check((pid_t)status.pid == service.pid);
}

/* The daemon is killed at any point, also with a request on its way or with one that no daemon
 * has read. A timer that falls due meanwhile wakes late and once. */
static void test_a_session_survives_kills(void **state)
{
	struct follower *f = &one;
	uint64_t until;

	(void)state;
	service_start();
	service_follow(f);
	follower_enroll(f, EVERY, EVERY);
	follower_enroll(f, FAR, 0);
	manager_await(&service.manager, 2);
	for (int round = 0; round < ROUNDS; round++) {
		follower_enroll(f, 20 * MS, 0);
		until = wire_now(PROTO_CLOCK_MONOTONIC) + (uint64_t)round * 3 * MS;
		while (wire_now(PROTO_CLOCK_MONOTONIC) < until)
			follower_take(f, 1);
		if (round % 2)
			follower_ask(f, 1 * MS, 0);
		service_end_by_kill();
		wire_sleep_us(30 * MS);
		if (round % 2 == 0)
			follower_ask(f, 1 * MS, 0);
		service_start();
		follower_await_resumed(f, (uint64_t)round + 1);
		follower_await_answer(f);
		check(manager_count(&service.manager) == 2);
	}
	for (unsigned int i = 2; i < f->timers; i++)
		while (!f->of[i].gone)
			check(follower_take(f, WIRE_PATIENCE_MS));
	check(f->resumed == ROUNDS);
	check_status(ROUNDS, 2);
	printf("%u wakes, %u of them twice, over %d kills\n", f->wakes, f->again, ROUNDS);
}

static bool can_wake_system(void)
{
	struct proto_hello_answer answer;
	struct wire w;

	wire_open(&w, service.socket);
	wire_get(&w, 0, &answer);
	wire_close(&w);
	return answer.capabilities & PROTO_CAN_WAKE_SYSTEM;
}

/* The new daemon may not wake the system. The timer still wakes its client. */
static void test_a_wake_system_timer_survives_without_the_capability(void **state)
{
	struct follower *f = &one;

	(void)state;
	if (geteuid() != 0) {
		puts("needs root");
		skip();
	}
	service_start();
	service_follow(f);
	f->clock = PROTO_CLOCK_BOOTTIME;
	f->flags = can_wake_system() ? PROTO_WAKE_SYSTEM : 0;
	follower_enroll(f, 300 * MS, 0);
	follower_enroll(f, FAR, 0);
	manager_await(&service.manager, 2);
	service_end_by_kill();
	service.no_wake_alarm = true;
	service_start();
	follower_await_resumed(f, 1);
	check(!can_wake_system());
	while (!f->of[0].gone)
		check(follower_take(f, WIRE_PATIENCE_MS));
	check_status(1, 1);
}

/* SIGTERM may be part of a restart. So a session with timers stays, and a session without timers
 * gets an event. */
static void test_sessions_with_timers_survive_sigterm(void **state)
{
	struct wire idle;

	(void)state;
	service_start();
	service_follow_stored(&one);
	service_follow(&crowd[0]);
	follower_enroll(&crowd[0], FAR, 0); /* probably not stored yet */
	wire_open(&idle, service.socket);
	check(service_end(SIGTERM) == 0);
	wire_expect(&idle, PROTO_GOING_AWAY);
	wire_expect_end(&idle);
	wire_close(&idle);
	check(service.manager.barriers == 1);
	check(manager_count(&service.manager) == 3);
	check(!wire_wait(&one.wire, 0));
	service_start();
	follower_await_resumed(&one, 1);
	follower_await_resumed(&crowd[0], 1);
	follower_enroll(&one, 1 * MS, 0);
	while (!one.of[1].gone)
		check(follower_take(&one, WIRE_PATIENCE_MS));
	check_status(1, 2);
	check(service_end(SIGINT) == 0);
	check(service_said("SIGINT: stopping") == 1);
}

/* The daemon stores sessions in slices, and removes them one by one. The next daemon notices
 * clients that left while no daemon ran. */
static void test_many_sessions_are_stored_and_removed(void **state)
{
	(void)state;
	service_start();
	for (int i = 0; i < CROWD; i++) {
		service_follow(&crowd[i]);
		follower_enroll(&crowd[i], FAR, 0);
	}
	manager_await(&service.manager, 1 + CROWD);
	wire_close(&crowd[0].wire);
	manager_await(&service.manager, CROWD);
	wire_await_timers(service.socket, CROWD - 1);
	service_end_by_kill();
	wire_close(&crowd[1].wire);
	service_start();
	manager_await(&service.manager, CROWD - 1);
	wire_await_timers(service.socket, CROWD - 2);
	for (int i = 2; i < CROWD; i++)
		follower_await_resumed(&crowd[i], 1);
	check(service_said("adopted 12 sessions and 12 timers; 0 records") == 1);
	/* A client that leaves, or has no more timers, before its turn to be stored is skipped. */
	service_follow(&crowd[0]);
	follower_enroll(&crowd[0], FAR, 0);
	wire_close(&crowd[0].wire);
	service_follow(&crowd[1]);
	follower_enroll(&crowd[1], 10 * MS, 0);
	while (!crowd[1].of[0].gone)
		check(follower_take(&crowd[1], WIRE_PATIENCE_MS));
	service_follow_stored(&crowd[0]);
	check(manager_count(&service.manager) == CROWD);
}

/* Nobody reads the daemon's messages, and its queue is full. The daemon waits for nobody and
 * sends the messages later. A session that has closed meanwhile gives its number to the next
 * session. */
static void test_a_manager_that_does_not_read_delays_nobody(void **state)
{
	uint64_t until;

	(void)state;
	service_start();
	service_follow_stored(&one);
	follower_enroll(&one, EVERY, EVERY);
	service_follow_stored(&crowd[0]);
	manager_go_deaf(&service.manager);
	wire_close(&crowd[0].wire);
	wire_await_timers(service.socket, 2);
	service_follow(&crowd[1]);
	follower_enroll(&crowd[1], FAR, 0);
	until = wire_now(PROTO_CLOCK_MONOTONIC) + DEAF;
	while (wire_now(PROTO_CLOCK_MONOTONIC) < until)
		check(follower_take(&one, PUNCTUAL_MS));
	check(one.wakes > 20);
	manager_listen(&service.manager);
	service_follow(&crowd[2]);
	follower_enroll(&crowd[2], FAR, 0);
	manager_await(&service.manager, 4); /* one was removed, two were stored */
	service_end_by_kill();
	service_start();
	follower_await_resumed(&one, 1);
	follower_await_resumed(&crowd[1], 1);
	follower_await_resumed(&crowd[2], 1);
	check(manager_count(&service.manager) == 4);
	check_status(1, 4);
}

/* Two connections come back with exchanged names. Both end. */
static void test_swapped_names_end_both_sessions(void **state)
{
	int fds[2];

	(void)state;
	service_start();
	service_follow_stored(&one);
	service_follow_stored(&crowd[0]);
	service_follow_stored(&crowd[1]);
	service_end_by_kill();
	check(strcmp(service.manager.stored[0].name, "arena-4") == 0);
	fds[0] = service.manager.stored[1].fd;
	fds[1] = service.manager.stored[2].fd;
	service.manager.stored[1].fd = fds[1];
	service.manager.stored[2].fd = fds[0];
	service_start();
	wire_expect_end(&one.wire);
	wire_expect_end(&crowd[0].wire);
	follower_await_resumed(&crowd[1], 1);
	manager_await(&service.manager, 2);
	check_status(1, 1);
}

/* A connection comes back twice, or with the name of a session that does not exist. */
static void test_unknown_and_repeated_connections_are_dropped(void **state)
{
	static const char *const names[] = {"s1", "s77", "s4294967295"};
	char peer[1];
	int pair[2];

	(void)state;
	service_start();
	service_follow_stored(&one);
	service_end_by_kill();
	manager_keep(&service.manager, service.manager.stored[1].name,
		fcntl(service.manager.stored[1].fd, F_DUPFD_CLOEXEC, 0));
	service_start();
	/* Both descriptors are the same socket: when the second session ends, the first one ends,
	 * too. */
	do
		check(wire_wait(&one.wire, WIRE_PATIENCE_MS));
	while (one.wire.size > 0);
	manager_await(&service.manager, 1);
	wire_await_timers(service.socket, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		service_end_by_kill();
		check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
		manager_keep(&service.manager, names[i], pair[0]);
		service_start();
		check(recv(pair[1], peer, sizeof(peer), 0) == 0);
		close(pair[1]);
		manager_await(&service.manager, 1);
	}
}

/*
 * The daemon removes descriptors with unknown names. They do not stop it.
 */
static void test_unknown_names_are_removed(void **state)
{
	static const char *const names[] = {"", "x", "s", "s0", "s-1", "s1x", "s4294967296",
		"s99999999999999999999", "stored", "arena2"};
	size_t n = sizeof(names) / sizeof(names[0]);

	(void)state;
	service_start();
	service_follow_stored(&one);
	service_end_by_kill();
	for (size_t i = 0; i < n; i++)
		manager_keep(&service.manager, names[i], open("/dev/null", O_RDWR | O_CLOEXEC));
	service_start();
	follower_await_resumed(&one, 1);
	check(service_said("from systemd is unknown: removed") == n);
	manager_await(&service.manager, 2);
	follower_enroll(&one, 1 * MS, 0);
}

/* The daemon died after it had stored a new arena, and before it removed the old one. */
static void test_the_older_of_two_memories_is_removed(void **state)
{
	struct manager_stored *stored = service.manager.stored, arena;

	(void)state;
	service_start();
	service_follow_stored(&one);
	service_end_by_kill();
	manager_keep(&service.manager, "arena-4", memfd_create("old", MFD_CLOEXEC));
	check(service.manager.stored_count == 3);
	arena = stored[0];
	stored[0] = stored[2];
	stored[2] = arena;
	service_start();
	follower_await_resumed(&one, 1);
	check_status(1, 1);
}

static int make_empty(off_t size, int seals)
{
	int fd = memfd_create("meddled", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	check(fd >= 0 && ftruncate(fd, size) == 0);
	check(fcntl(fd, F_ADD_SEALS, seals) == 0);
	return fd;
}

/* The daemon cannot use the stored arena. It tells each client, over its connection, to start anew.
 */
static void test_clients_of_an_unusable_memory_begin_anew(void **state)
{
	const int whole = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct proto_going_away going;
	struct stat st;

	(void)state;
	for (int i = 0; i < 5; i++) {
		service_start();
		service_follow_stored(&one);
		service_end_by_kill();
		check(fstat(manager_find(&service.manager, "arena-4"), &st) == 0);
		manager_drop(&service.manager, "arena-4");
		switch (i) {
		case 0: /* missing */
			break;
		case 1: /* with another size */
			manager_keep(
				&service.manager, "arena-4", make_empty(st.st_size / 2, whole));
			break;
		case 2: /* a file that somebody could truncate */
			manager_keep(&service.manager, "arena-4",
				make_empty(st.st_size, F_SEAL_GROW | F_SEAL_SEAL));
			break;
		case 3: /* empty */
			manager_keep(&service.manager, "arena-4", make_empty(st.st_size, whole));
			break;
		case 4:
			manager_keep(
				&service.manager, "arena-4", open("/dev/null", O_RDWR | O_CLOEXEC));
			break;
		}
		service_start();
		check(service_said("cannot read the state of another version: 1 sessions end") ==
			1);
		wire_expect(&one.wire, PROTO_GOING_AWAY);
		wire_get(&one.wire, 0, &going);
		check(going.reason == PROTO_LAYOUT);
		wire_expect_end(&one.wire);
		wire_close(&one.wire);
		manager_await(&service.manager, 1);
		check(manager_find(&service.manager, "arena-4") >= 0);
		check_status(0, 0);
		service_end_by_kill();
	}
}

static int before_each(void **state)
{
	for (int i = 0; i < CROWD; i++)
		crowd[i].wire.fd = -1;
	return service_before_each(state);
}

static int after_each(void **state)
{
	service_after_each(state);
	for (int i = 0; i < CROWD; i++)
		wire_close(&crowd[i].wire);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, before_each, after_each)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_a_session_survives_kills),
		TEST(test_a_wake_system_timer_survives_without_the_capability),
		TEST(test_sessions_with_timers_survive_sigterm),
		TEST(test_many_sessions_are_stored_and_removed),
		TEST(test_a_manager_that_does_not_read_delays_nobody),
		TEST(test_swapped_names_end_both_sessions),
		TEST(test_unknown_and_repeated_connections_are_dropped),
		TEST(test_unknown_names_are_removed),
		TEST(test_the_older_of_two_memories_is_removed),
		TEST(test_clients_of_an_unusable_memory_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
