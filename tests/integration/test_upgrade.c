/* SPDX-License-Identifier: MIT */
/*
 * An upgrade across a change of the arena's layout, from the released daemon itself
 * (TIMERD_RELEASED_BINARY, see with-released). The test plays the service manager. The clients
 * keep their sessions, and no wake is lost or doubled, wherever either daemon is killed.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon.h"
#include "dice.h"
#include "follower.h"
#include "manager.h"
#include "service.h"
#include "wire.h"

#define MS     UINT64_C(1000)
#define FAR    (3600000 * MS)
#define EVERY  (5 * MS)
#define ROUNDS 10
#define KILLS  5 /* of the new daemon in a round, while it starts */

/* The names in the store: the arenas of both layouts, and the connection. */
#define NAME_RELEASED "arena"
#define NAME_NEW      "arena-4"

static void start_released(void)
{
	service.binary = daemon_binary("TIMERD_RELEASED_BINARY");
	service_start();
	service.binary = NULL;
}

static void follow_for(struct follower *f, uint64_t span)
{
	uint64_t until = wire_now(PROTO_CLOCK_MONOTONIC) + span;

	while (wire_now(PROTO_CLOCK_MONOTONIC) < until)
		follower_take(f, 1);
}

/* Opens a client with a periodic timer on each clock and one timer with a far due, and waits until
 * its connection is stored. */
static void follow_released(struct follower *f)
{
	start_released();
	service_follow(f);
	for (uint8_t clock = 0; clock < PROTO_CLOCKS; clock++) {
		f->clock = clock;
		follower_enroll(f, EVERY, EVERY);
	}
	follower_enroll(f, FAR, 0);
	manager_await(&service.manager, 2);
	check(manager_find(&service.manager, NAME_RELEASED) >= 0);
}

static void check_kept(void)
{
	check(manager_count(&service.manager) == 2);
	check(manager_find(&service.manager, NAME_NEW) >= 0);
	check(manager_find(&service.manager, NAME_RELEASED) < 0);
}

static void check_goes_on(struct follower *f)
{
	unsigned int wakes = f->wakes;
	struct proto_status_answer status;

	follower_enroll(f, 20 * MS, 0);
	while (!f->of[f->timers - 1].gone)
		check(follower_take(f, WIRE_PATIENCE_MS));
	check(f->wakes > wakes);
	wire_status(service.socket, &status);
	check(status.timers == PROTO_CLOCKS + 1);
	check(status.dropped_records == 0);
}

/* While an answer is on its way, or with a request that no daemon has read. */
static void test_sessions_survive_an_upgrade(void **state)
{
	struct follower *f = &one;

	(void)state;
	follow_released(f);
	follow_for(f, 50 * MS);
	follower_ask(f, 1 * MS, 0);
	service_end_by_kill();
	wire_sleep_us(30 * MS);
	service_start();
	follower_await_resumed(f, 1);
	follower_await_answer(f);
	check(service_said("converted the state of an earlier version") == 1);
	check_goes_on(f);
	check_kept();
	/* From here on the session is like any other. */
	service_end_by_kill();
	service_start();
	follower_await_resumed(f, 2);
	check(service_said("converted") == 0);
	check_goes_on(f);
	check_kept();
}

/* Packages upgrade by `systemctl restart`. */
static void test_sessions_survive_an_upgrade_by_restart(void **state)
{
	struct follower *f = &one;

	(void)state;
	follow_released(f);
	check(service_end(SIGTERM) == 0);
	service_start();
	follower_await_resumed(f, 1);
	check_goes_on(f);
	check_kept();
}

static void start_and_kill(uint64_t after_us)
{
	pid_t pid = manager_fork(&service.manager);
	const char *binary = daemon_binary("TIMERD_BINARY");
	int status;

	service.starts++;
	if (pid == 0) {
		manager_pass(&service.manager);
		execl(binary, binary, "--log-level", "err", (char *)NULL);
		_exit(127);
	}
	wire_sleep_us(after_us);
	check(kill(pid, daemon_kill_signal()) == 0);
	check(waitpid(pid, &status, 0) == pid);
}

/* The new daemon is killed again and again while it converts the arena. */
static void test_an_upgrade_survives_kills(void **state)
{
	struct dice dice = dice_new("upgrade", 1);

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		struct follower *f = &one;

		follow_released(f);
		service_end_by_kill();
		for (int i = 0; i < KILLS; i++)
			start_and_kill(dice_below(&dice, 20 * MS));
		service_start();
		check_goes_on(f);
		check_kept();
		wire_close(&f->wire);
		service_end_by_kill();
		service_clean();
		service_init();
	}
}

/* The old daemon cannot read the new layout. It tells the client at once, and serves. */
static void test_a_downgrade_tells_clients_to_begin_anew(void **state)
{
	static struct wire w;

	(void)state;
	service_start();
	service_follow_stored(&one);
	service_end_by_kill();
	start_released();
	check(service_said("this build cannot read what another one left: 1 sessions end") == 1);
	wire_expect(&one.wire, PROTO_GOING_AWAY);
	wire_open(&w, service.socket);
	wire_close(&w);
	check(manager_find(&service.manager, NAME_NEW) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVICE_TEST(test_sessions_survive_an_upgrade),
		SERVICE_TEST(test_sessions_survive_an_upgrade_by_restart),
		SERVICE_TEST(test_an_upgrade_survives_kills),
		SERVICE_TEST(test_a_downgrade_tells_clients_to_begin_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
