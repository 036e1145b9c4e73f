/* SPDX-License-Identifier: MIT */
/*
 * What outlives a daemon, with this test as the service manager (manager.h): it is killed, stopped,
 * started again with what it had stored, whole or meddled with. A client at the level of packets
 * sees its session go on, with no wake lost or doubled, or sees at once that it does not.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "follower.h"
#include "manager.h"
#include "wire.h"

#define MS     UINT64_C(1000)
#define FAR    (3600000 * MS)
#define EVERY  (5 * MS)
#define ROUNDS 10 /* of two timers each */
#define CROWD  13 /* more than are stored at a time, twice */

#define DEAF	    (800 * MS)
#define PUNCTUAL_MS 500 /* a busy machine's, and less than DEAF */

#define SERVES (-1)

static struct {
	char directory[64], socket[96], log[96];
	struct manager manager;
	pid_t pid;
	unsigned int starts;
	bool no_wake_alarm; /* it starts without CAP_WAKE_ALARM */
} service;

static struct follower one, crowd[CROWD];

/* Return: SERVES once it does, or its exit status. */
static int start_with(const char *name, const char *value)
{
	const char *binary = daemon_binary("TIMERD_BINARY");
	int status, log;

	check(!service.pid);
	service.starts++;
	service.pid = manager_fork(&service.manager);
	if (service.pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		log = open(service.log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		dup2(log, STDERR_FILENO);
		manager_pass(&service.manager);
		if (service.no_wake_alarm)
			prctl(PR_CAPBSET_DROP, CAP_WAKE_ALARM);
		execl(binary, binary, name, value, (char *)NULL);
		_exit(127);
	}
	while (!manager_is_ready(&service.manager)) {
		pid_t pid = waitpid(service.pid, &status, WNOHANG);

		check(pid >= 0);
		if (pid > 0) {
			service.pid = 0;
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		}
		wire_sleep_us(1 * MS);
	}
	return SERVES;
}

static void start(void)
{
	check(start_with(NULL, NULL) == SERVES);
}

/* Return: its exit status. */
static int end(int signal)
{
	int status;

	check(kill(service.pid, signal) == 0);
	check(waitpid(service.pid, &status, 0) == service.pid);
	service.pid = 0;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void end_by_kill(void)
{
	check(end(daemon_kill_signal()) == 128 + SIGKILL);
}

/* How often the daemon has said a word since its start. */
static unsigned int said(const char *word)
{
	FILE *log = fopen(service.log, "re");
	char line[1024];
	unsigned int n = 0;

	check(log != NULL);
	while (fgets(line, sizeof(line), log))
		n += strstr(line, word) != NULL;
	fclose(log);
	return n;
}

static void open_follower(struct follower *f)
{
	follower_open(f, service.socket, &service.starts);
}

/* One whose connection is stored. */
static void open_stored(struct follower *f)
{
	size_t stored = manager_count(&service.manager);

	open_follower(f);
	follower_enroll(f, FAR, 0);
	manager_await(&service.manager, stored + 1);
}

static void check_status(uint64_t restarts, uint64_t timers)
{
	struct proto_status_answer status;

	wire_status(service.socket, &status);
	check(status.restarts == restarts);
	check(status.timers == timers);
	check((pid_t)status.pid == service.pid);
}

/* It is killed wherever it is, now with a request on its way, and now with one sent to nobody; what
 * falls due meanwhile is late, and comes once. */
static void test_killed(void **state)
{
	struct follower *f = &one;
	uint64_t until;

	(void)state;
	start();
	open_follower(f);
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
		end_by_kill();
		wire_sleep_us(30 * MS);
		if (round % 2 == 0)
			follower_ask(f, 1 * MS, 0);
		start();
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

/* A timer that wakes the system goes on in a daemon that may not do that: it wakes its client. */
static void test_capability_taken_away(void **state)
{
	struct follower *f = &one;

	(void)state;
	if (geteuid() != 0) {
		puts("needs root");
		skip();
	}
	start();
	open_follower(f);
	f->clock = PROTO_CLOCK_BOOTTIME;
	f->flags = can_wake_system() ? PROTO_WAKE_SYSTEM : 0;
	follower_enroll(f, 300 * MS, 0);
	follower_enroll(f, FAR, 0);
	manager_await(&service.manager, 2);
	end_by_kill();
	service.no_wake_alarm = true;
	start();
	follower_await_resumed(f, 1);
	check(!can_wake_system());
	while (!f->of[0].gone)
		check(follower_take(f, WIRE_PATIENCE_MS));
	check_status(1, 1);
}

/* SIGTERM may be a restart: who has timers stays, and who has none is told. */
static void test_stopped(void **state)
{
	struct wire idle;

	(void)state;
	start();
	open_stored(&one);
	open_follower(&crowd[0]);
	follower_enroll(&crowd[0], FAR, 0); /* not stored yet, if we are quick */
	wire_open(&idle, service.socket);
	check(end(SIGTERM) == 0);
	wire_expect(&idle, PROTO_GOING_AWAY);
	wire_expect_end(&idle);
	wire_close(&idle);
	check(service.manager.barriers == 1);
	check(manager_count(&service.manager) == 3);
	check(!wire_wait(&one.wire, 0));
	start();
	follower_await_resumed(&one, 1);
	follower_await_resumed(&crowd[0], 1);
	follower_enroll(&one, 1 * MS, 0);
	while (!one.of[1].gone)
		check(follower_take(&one, WIRE_PATIENCE_MS));
	check_status(1, 2);
	check(end(SIGINT) == 0);
	check(said("SIGINT: stopping") == 1);
}

/* Stored in slices, given up one by one; who leaves while nobody is there is found gone. */
static void test_crowd(void **state)
{
	(void)state;
	start();
	for (int i = 0; i < CROWD; i++) {
		open_follower(&crowd[i]);
		follower_enroll(&crowd[i], FAR, 0);
	}
	manager_await(&service.manager, 1 + CROWD);
	wire_close(&crowd[0].wire);
	manager_await(&service.manager, CROWD);
	wire_await_timers(service.socket, CROWD - 1);
	end_by_kill();
	wire_close(&crowd[1].wire);
	start();
	manager_await(&service.manager, CROWD - 1);
	wire_await_timers(service.socket, CROWD - 2);
	for (int i = 2; i < CROWD; i++)
		follower_await_resumed(&crowd[i], 1);
	check(said("went on with 12 sessions and 12 timers; 0 records") == 1);
	/* Gone before its turn to be stored comes, or without a timer by then: it is passed
	 * over. */
	open_follower(&crowd[0]);
	follower_enroll(&crowd[0], FAR, 0);
	wire_close(&crowd[0].wire);
	open_follower(&crowd[1]);
	follower_enroll(&crowd[1], 10 * MS, 0);
	while (!crowd[1].of[0].gone)
		check(follower_take(&crowd[1], WIRE_PATIENCE_MS));
	open_stored(&crowd[0]);
	check(manager_count(&service.manager) == CROWD);
}

/* Nobody listens to the daemon, and its queue is full: it waits for nobody, and says later what
 * there was. The number of a session that has gone meanwhile is the next one's. */
static void test_deaf_manager(void **state)
{
	uint64_t until;

	(void)state;
	start();
	open_stored(&one);
	follower_enroll(&one, EVERY, EVERY);
	open_stored(&crowd[0]);
	manager_go_deaf(&service.manager);
	wire_close(&crowd[0].wire);
	wire_await_timers(service.socket, 2);
	open_follower(&crowd[1]);
	follower_enroll(&crowd[1], FAR, 0);
	until = wire_now(PROTO_CLOCK_MONOTONIC) + DEAF;
	while (wire_now(PROTO_CLOCK_MONOTONIC) < until)
		check(follower_take(&one, PUNCTUAL_MS));
	check(one.wakes > 20);
	manager_listen(&service.manager);
	open_follower(&crowd[2]);
	follower_enroll(&crowd[2], FAR, 0);
	manager_await(&service.manager, 4); /* one was given up, two were given */
	end_by_kill();
	start();
	follower_await_resumed(&one, 1);
	follower_await_resumed(&crowd[1], 1);
	follower_await_resumed(&crowd[2], 1);
	check(manager_count(&service.manager) == 4);
	check_status(1, 4);
}

/* Two connections under each other's names: neither is the session's, and both end. */
static void test_confused(void **state)
{
	int fds[2];

	(void)state;
	start();
	open_stored(&one);
	open_stored(&crowd[0]);
	open_stored(&crowd[1]);
	end_by_kill();
	check(strcmp(service.manager.stored[0].name, "arena") == 0);
	fds[0] = service.manager.stored[1].fd;
	fds[1] = service.manager.stored[2].fd;
	service.manager.stored[1].fd = fds[1];
	service.manager.stored[2].fd = fds[0];
	start();
	wire_expect_end(&one.wire);
	wire_expect_end(&crowd[0].wire);
	follower_await_resumed(&crowd[1], 1);
	manager_await(&service.manager, 2);
	check_status(1, 1);
}

/* A connection comes twice, or under the name of a session that there is not. */
static void test_strangers(void **state)
{
	static const char *const names[] = {"s1", "s77", "s4294967295"};
	char peer[1];
	int pair[2];

	(void)state;
	start();
	open_stored(&one);
	end_by_kill();
	manager_keep(&service.manager, service.manager.stored[1].name,
		fcntl(service.manager.stored[1].fd, F_DUPFD_CLOEXEC, 0));
	start();
	/* They are one socket: as the second ends, so does the first, at once. */
	do
		check(wire_wait(&one.wire, WIRE_PATIENCE_MS));
	while (one.wire.size > 0);
	manager_await(&service.manager, 1);
	wire_await_timers(service.socket, 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		end_by_kill();
		check(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
		manager_keep(&service.manager, names[i], pair[0]);
		start();
		check(recv(pair[1], peer, sizeof(peer), 0) == 0);
		close(pair[1]);
		manager_await(&service.manager, 1);
	}
}

/* A later version's, say. They must not stay, nor keep anything else from going on. */
static void test_unknown_names(void **state)
{
	static const char *const names[] = {"", "x", "s", "s0", "s-1", "s1x", "s4294967296",
		"s99999999999999999999", "stored", "arena2"};
	size_t n = sizeof(names) / sizeof(names[0]);

	(void)state;
	start();
	open_stored(&one);
	end_by_kill();
	for (size_t i = 0; i < n; i++)
		manager_keep(&service.manager, names[i], open("/dev/null", O_RDWR | O_CLOEXEC));
	start();
	follower_await_resumed(&one, 1);
	check(said("is nothing that I know: dropped") == n);
	manager_await(&service.manager, 2);
	follower_enroll(&one, 1 * MS, 0);
}

/* A process died after it had given new memory, and before it had the old removed. */
static void test_two_memories(void **state)
{
	struct manager_stored *stored = service.manager.stored, arena;

	(void)state;
	start();
	open_stored(&one);
	end_by_kill();
	manager_keep(&service.manager, "arena", memfd_create("old", MFD_CLOEXEC));
	check(service.manager.stored_count == 3);
	arena = stored[0];
	stored[0] = stored[2];
	stored[2] = arena;
	start();
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

/* Memory that cannot be gone on with: its clients are told to begin anew, on a connection of
 * theirs. */
static void test_memory_of_no_use(void **state)
{
	const int whole = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	struct proto_going_away going;
	struct stat st;

	(void)state;
	for (int i = 0; i < 5; i++) {
		start();
		open_stored(&one);
		end_by_kill();
		check(fstat(manager_find(&service.manager, "arena"), &st) == 0);
		manager_drop(&service.manager, "arena");
		switch (i) {
		case 0: /* lost */
			break;
		case 1: /* of another size */
			manager_keep(&service.manager, "arena", make_empty(st.st_size / 2, whole));
			break;
		case 2: /* somebody could cut it off */
			manager_keep(&service.manager, "arena",
				make_empty(st.st_size, F_SEAL_GROW | F_SEAL_SEAL));
			break;
		case 3: /* empty */
			manager_keep(&service.manager, "arena", make_empty(st.st_size, whole));
			break;
		case 4:
			manager_keep(
				&service.manager, "arena", open("/dev/null", O_RDWR | O_CLOEXEC));
			break;
		}
		start();
		check(said("this build cannot read what another one left: 1 sessions end") == 1);
		wire_expect(&one.wire, PROTO_GOING_AWAY);
		wire_get(&one.wire, 0, &going);
		check(going.reason == PROTO_LAYOUT);
		wire_expect_end(&one.wire);
		wire_close(&one.wire);
		manager_await(&service.manager, 1);
		check(manager_find(&service.manager, "arena") >= 0);
		check_status(0, 0);
		end_by_kill();
	}
}

static int listen_at(const char *path, int type)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	check(fd >= 0 && strlen(path) < sizeof(address.sun_path));
	memcpy(address.sun_path, path, strlen(path));
	check(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(fd, 5) == 0);
	return fd;
}

/* A socket that it cannot serve: it says so, and does not start. */
static void test_foreign_listener(void **state)
{
	char path[128];

	(void)state;
	snprintf(path, sizeof(path), "%s/stream", service.directory);
	manager_keep(&service.manager, "stream", listen_at(path, SOCK_STREAM));
	check(unlink(path) == 0);
	check(start_with(NULL, NULL) == 1);
	check(said("'stream' from systemd is not a listening SOCK_SEQPACKET of AF_UNIX") == 1);
	check(said("cannot start: Invalid argument") == 1);
	manager_drop(&service.manager, "stream");
	start();
}

/* More listeners are served alike, up to a limit of which it tells. */
static void test_listeners(void **state)
{
	char path[128], word[64];
	struct wire w;
	int status;

	(void)state;
	for (int i = 2;; i++) {
		snprintf(path, sizeof(path), "%s/socket%d", service.directory, i);
		manager_keep(&service.manager, "more", listen_at(path, SOCK_SEQPACKET));
		status = start_with(NULL, NULL);
		if (status == SERVES) {
			wire_open(&w, path);
			wire_close(&w);
			end_by_kill();
		}
		check(unlink(path) == 0);
		if (status != SERVES) {
			check(status == 1 && i > 2);
			snprintf(word, sizeof(word), "or the %dth of them", i);
			check(said(word) == 1);
			return;
		}
	}
}

/* A descriptor that was passed before there was a daemon is dropped, and its sender with it; once
 * there is one, the kernel lets none through, where it can. */
static void test_passed_descriptors(void **state)
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
	start();
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

/* How often the watchdog has been fed. */
static unsigned int fed(void)
{
	unsigned int times;

	pthread_mutex_lock(&service.manager.lock);
	times = service.manager.fed;
	pthread_mutex_unlock(&service.manager.lock);
	return times;
}

/* Waits until it is so often, for so long. Return: whether it was. */
static bool await_fed(unsigned int times, int patience_ms)
{
	for (int ms = 0; fed() < times && ms < patience_ms; ms++)
		wire_sleep_us(1 * MS);
	return fed() >= times;
}

/* It says that it lives, and how it does. */
static void test_watchdog(void **state)
{
	(void)state;
	start();
	open_stored(&one);
	check(await_fed(fed() + 3, WIRE_PATIENCE_MS));
	check(strcmp(service.manager.status, "1 clients, 1 timers") == 0);
}

/* What found no room is said again soon, and not half of the watchdog's time later. */
static void test_watchdog_without_room(void **state)
{
	int soon = 0;

	(void)state;
	start();
	check(await_fed(fed() + 1, WIRE_PATIENCE_MS));
	for (int i = 0; i < 10; i++) {
		unsigned int before = fed();

		manager_go_deaf(&service.manager);
		wire_sleep_us(300 * MS);
		manager_listen(&service.manager);
		soon += await_fed(before + 1, 60);
	}
	/* By chance alone it would be three or so. */
	check(soon >= 8);
}

static int before_each(void **state)
{
	(void)state;
	snprintf(service.directory, sizeof(service.directory), "/tmp/timerd-test-XXXXXX");
	check(mkdtemp(service.directory) != NULL);
	snprintf(service.socket, sizeof(service.socket), "%s/socket", service.directory);
	snprintf(service.log, sizeof(service.log), "%s/log", service.directory);
	manager_init(&service.manager, service.directory, service.socket);
	one.wire.fd = -1;
	for (int i = 0; i < CROWD; i++)
		crowd[i].wire.fd = -1;
	return 0;
}

static int after_each(void **state)
{
	(void)state;
	if (service.pid)
		end_by_kill();
	service.no_wake_alarm = false;
	manager_clean(&service.manager);
	wire_close(&one.wire);
	for (int i = 0; i < CROWD; i++)
		wire_close(&crowd[i].wire);
	unlink(service.log);
	unlink(service.socket);
	rmdir(service.directory);
	return 0;
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, before_each, after_each)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_killed),
		TEST(test_capability_taken_away),
		TEST(test_stopped),
		TEST(test_crowd),
		TEST(test_deaf_manager),
		TEST(test_confused),
		TEST(test_strangers),
		TEST(test_unknown_names),
		TEST(test_two_memories),
		TEST(test_memory_of_no_use),
		TEST(test_foreign_listener),
		TEST(test_listeners),
		TEST(test_passed_descriptors),
		TEST(test_watchdog),
		TEST(test_watchdog_without_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
