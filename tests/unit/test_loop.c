/* SPDX-License-Identifier: MIT */
/*
 * The loop of the daemon, one turn at a time. It runs in a thread, which waits at each epoll_wait()
 * until the test lets it go on (loop_calls.h). So a test does something between two turns, or at a
 * chosen system call, and then counts what the loop does before it answers. Nothing here depends on
 * the speed of the machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec.h"
#include "loop.h"
#include "loop_calls.h"

#define FLOODER 1001
#define VICTIM	1002
#define FLOODS	16
#define HOUR	UINT64_C(3600000000)

/* After this many turns without the expected event, a test fails. */
#define TURNS_MAX 400

/* How many packets of a flood the loop may handle before a wake: one for each of two slices. Each
 * of these packets costs more than a slice may (SLICE_COST). */
#define SLICES 2

static struct loop loop;
static const struct options options;
static struct setup settings; /* without files and options */
static struct log log_;
static char folder[] = "/tmp/test_loop.XXXXXX", path[64];
static pthread_t thread;
static bool ended;

static void *run(void *unused)
{
	assert_true(loop_run(&loop) == 0);
	ended = true;
	sem_post(&calls.arrived);
	return unused;
}

static void wait_for_loop(void)
{
	while (sem_wait(&calls.arrived) < 0)
		;
}

/* Lets the loop go on until its next epoll_wait(). */
static void turn(void)
{
	sem_post(&calls.may_go);
	wait_for_loop();
}

static void turns(unsigned int n)
{
	while (n--)
		turn();
}

static int setup(void **state)
{
	const struct worker_config worker = {
		.limits = {50000, 40000, 100, 50}, .instance = 1, .version = "test"};
	struct config *config;
	struct reload reload;

	(void)state;
	ended = false;
	calls = (struct loop_calls){0};
	log_init(&log_, LOG_EMERG);
	sem_init(&calls.arrived, 0, 0);
	sem_init(&calls.may_go, 0, 0);
	strcpy(folder, "/tmp/test_loop.XXXXXX");
	assert_non_null(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/socket", folder);
	assert_int_equal(reload_open(&reload, &log_, "/dev/null", false, &config), 0);
	assert_int_equal(config->complaints, 0);
	setup_start(&settings, &log_, &options, config);
	assert_int_equal(loop_init(&loop, &log_, &worker, &settings, &reload), 0);
	assert_int_equal(listener_open(&loop.listener, &log_, path, 0600, 0700), 0);
	assert_int_equal(pthread_create(&thread, NULL, run, NULL), 0);
	wait_for_loop();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	calls.point = POINT_NONE;
	loop.stopping = true;
	while (!ended) /* a turn may look at events between its slices, too */
		turn();
	pthread_join(thread, NULL);
	loop_close(&loop);
	setup_close(&settings);
	rmdir(folder);
	return 0;
}

struct client_end {
	int fd;
	uint64_t serial;
	uint8_t in[PROTO_PACKET_MAX];
	struct proto_header header;
};

static struct client_end victim, floods[FLOODS];

/* Sends a request of n equal records. Return: whether the socket had room. */
static bool request(struct client_end *c, enum proto_opcode opcode, const void *record, size_t size,
	unsigned int n)
{
	static uint8_t packet[PROTO_PACKET_MAX];
	struct codec_writer writer;

	codec_begin(&writer, packet, opcode, c->serial + 1);
	for (unsigned int i = 0; i < n; i++)
		codec_put(&writer, record, size);
	if (send(c->fd, packet, codec_end(&writer, 0), MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
		return false;
	c->serial++;
	return true;
}

/* Receives a packet, if there is one. */
static bool take(struct client_end *c)
{
	ssize_t n = recv(c->fd, c->in, sizeof(c->in), MSG_DONTWAIT);

	if (n < 0)
		return false;
	assert_int_equal(codec_open(c->in, (size_t)n, CODEC_FROM_DAEMON, &c->header), CODEC_OK);
	return true;
}

static void dial(struct client_end *c, uint32_t uid)
{
	const struct proto_hello hello = {.magic = PROTO_MAGIC, .version = PROTO_VERSION};
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	calls.next_uid = uid;
	strcpy(address.sun_path, path);
	c->fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	c->serial = 0;
	assert_int_equal(connect(c->fd, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_true(request(c, PROTO_HELLO, &hello, sizeof(hello), 1));
}

/* Turns until the client has received a packet of that opcode. */
static void await(struct client_end *c, unsigned int opcode)
{
	for (unsigned int i = 0; i < TURNS_MAX; i++) {
		while (take(c))
			if (c->header.opcode == opcode)
				return;
		turn();
	}
	fail_msg("no packet of opcode %u", opcode);
}

static void enter(struct client_end *c, uint32_t uid)
{
	dial(c, uid);
	await(c, PROTO_HELLO | PROTO_ANSWER);
}

static const struct proto_register at_once = {.due = 1},
				   in_an_hour = {.due = HOUR, .flags = PROTO_RELATIVE};

static void register_timers(struct client_end *c, const struct proto_register *r, unsigned int n)
{
	assert_true(request(c, PROTO_REGISTER, r, sizeof(*r), n));
}

/* Keeps the queue of each flooding client full, and reads its answers. */
static void top_up(void)
{
	static const struct proto_rearm r = {.id = 1, .due = HOUR, .flags = PROTO_RELATIVE};

	for (unsigned int i = 0; i < FLOODS; i++) {
		while (take(&floods[i]))
			;
		while (request(&floods[i], PROTO_REARM, &r, sizeof(r),
			PROTO_RECORDS_MAX(struct proto_rearm)))
			;
	}
}

/* Turns with a flood that never ends. */
static void flooded_turns(unsigned int n)
{
	while (n--) {
		top_up();
		turn();
	}
}

static void flood(void)
{
	for (unsigned int i = 0; i < FLOODS; i++)
		enter(&floods[i], FLOODER);
	flooded_turns(2 * FLOODS);
}

static void stop_flood(void)
{
	for (unsigned int i = 0; i < FLOODS; i++)
		close(floods[i].fd);
	close(victim.fd);
}

/* Expects an event for the victim before the loop has handled more than `most` packets. */
static void expect_within(unsigned int most, unsigned int opcode)
{
	unsigned int before = calls.packets;

	for (unsigned int i = 0; i < TURNS_MAX; i++) {
		while (take(&victim))
			if (victim.header.opcode == opcode) {
				assert_in_range(calls.packets - before, 0, most);
				flooded_turns(4);
				assert_true(calls.packets - before >= 2);
				return;
			}
		flooded_turns(1);
	}
	fail_msg("no packet of opcode %u within %u turns", opcode, TURNS_MAX);
}

static void test_slices_look_at_the_clocks(void **state)
{
	(void)state;
	enter(&victim, VICTIM);
	register_timers(&victim, &in_an_hour, 1);
	await(&victim, PROTO_REGISTER | PROTO_ANSWER);
	flood();
	calls.offset += 2 * HOUR;
	expect_within(SLICES, PROTO_WAKE);
	stop_flood();
}

/* A wake of a periodic timer waits until its client has read the last one. */
static void test_slices_look_at_clients_that_have_read(void **state)
{
	(void)state;
	enter(&victim, VICTIM);
	register_timers(&victim,
		&(struct proto_register){.due = 1, .every = 1, .flags = PROTO_RELATIVE}, 1);
	turns(10);
	flood();
	await(&victim, PROTO_WAKE);
	expect_within(SLICES, PROTO_WAKE);
	stop_flood();
}

/* Wakes that found the socket full wait until the client has made room. */
static void test_slices_look_at_sockets_that_have_room(void **state)
{
	unsigned int wakes = 0;

	(void)state;
	enter(&victim, VICTIM);
	for (unsigned int i = 0; i < 20; i++) {
		register_timers(&victim, &in_an_hour, 1000);
		await(&victim, PROTO_REGISTER | PROTO_ANSWER);
	}
	calls.offset += 2 * HOUR;
	turns(20);
	flood();
	while (take(&victim))
		wakes += victim.header.count;
	assert_in_range(wakes, 1, 20000 - 1);
	expect_within(SLICES, PROTO_WAKE);
	stop_flood();
}

static void test_slices_look_at_requests_of_other_users(void **state)
{
	(void)state;
	enter(&victim, VICTIM);
	flood();
	register_timers(&victim, &at_once, 1);
	expect_within(SLICES, PROTO_WAKE);
	stop_flood();
}

static void test_slices_look_at_new_connections(void **state)
{
	(void)state;
	flood();
	dial(&victim, VICTIM);
	register_timers(&victim, &at_once, 1);
	/* Two more slices: one accepts it, and one reads its hello. */
	expect_within(SLICES + 2, PROTO_WAKE);
	stop_flood();
}

static void test_slices_look_for_a_set_clock(void **state)
{
	(void)state;
	enter(&victim, VICTIM);
	register_timers(&victim,
		&(struct proto_register){.due = HOUR,
			.clock = PROTO_CLOCK_REALTIME,
			.flags = PROTO_RELATIVE | PROTO_TELL_CLOCK_SET},
		1);
	await(&victim, PROTO_REGISTER | PROTO_ANSWER);
	flood();
	calls.clock_was_set = true;
	expect_within(SLICES, PROTO_CLOCK_SET);
	stop_flood();
}

static void ask(void)
{
	assert_true(request(&victim, PROTO_STATUS, NULL, 0, 0));
}

/* Sends one request now and another one at the point, and expects both answers. */
static void expect_two_answers(enum point where)
{
	unsigned int answers = 0;

	calls.point = where;
	calls.at_point = ask;
	ask();
	for (unsigned int i = 0; i < 20; i++) {
		turn();
		while (take(&victim))
			answers += victim.header.opcode == (PROTO_STATUS | PROTO_ANSWER);
	}
	/* A turn that changes no watch does not reach the points at such changes. */
	if (calls.point != POINT_NONE)
		assert_true(where == BEFORE_WATCH || where == AFTER_WATCH);
	assert_int_equal(answers, where == POINT_NONE || calls.point != POINT_NONE ? 1 : 2);
	calls.point = POINT_NONE;
}

/* epoll reports a client when a packet arrives, and the loop reads until the kernel says EAGAIN. A
 * packet that arrives at any moment between is read. */
static void test_no_packet_is_stranded(void **state)
{
	(void)state;
	enter(&victim, VICTIM);
	for (enum point where = BEFORE_WAIT; where < POINTS; where++)
		for (unsigned int i = 0; i < 3; i++)
			expect_two_answers(where);
	close(victim.fd);
}

/* The kernel says EAGAIN only if there is no packet. If it ever did so after it has reported one,
 * the packet would still be read. */
static void test_a_false_eagain_strands_no_packet(void **state)
{
	(void)state;
	enter(&victim, VICTIM);
	for (enum point where = POINT_NONE; where < POINTS; where++) {
		turns(3);
		calls.again = true;
		expect_two_answers(where);
		assert_false(calls.again);
	}
	close(victim.fd);
}

/* Reads the wake that blocks the client, and expects the next one and both answers. */
static void expect_wakes_and_answers(void)
{
	unsigned int wakes = 0, answers = 0;

	for (unsigned int i = 0; i < 20; i++) {
		while (take(&victim)) {
			wakes += victim.header.opcode == PROTO_WAKE;
			answers += victim.header.opcode == (PROTO_STATUS | PROTO_ANSWER);
		}
		turn();
	}
	assert_int_equal(wakes, 2);
	assert_int_equal(answers, 2);
}

/* The same while the client is blocked: it sends a request, reads, and sends another one. */
static void test_no_packet_of_a_blocked_client_is_stranded(void **state)
{
	const struct proto_register twice = {
		.due = 1, .every = HOUR, .count = 2, .flags = PROTO_RELATIVE};

	(void)state;
	enter(&victim, VICTIM);
	for (enum point where = BEFORE_WAIT; where < POINTS; where++) {
		register_timers(&victim, &twice, 1);
		turns(5);
		calls.offset += 2 *
			HOUR; /* the client has not read the first wake, so the second one waits */
		turns(5);
		assert_true(loop.clients.by_session[ARENA_OWN_SESSION + 1].blocked);
		calls.point = where;
		calls.at_point = ask;
		ask();
		expect_wakes_and_answers();
		assert_int_equal(calls.point, POINT_NONE);
	}
	close(victim.fd);
}

static uint64_t refused(void)
{
	struct proto_status_answer status;

	ask();
	await(&victim, PROTO_STATUS | PROTO_ANSWER);
	codec_get(victim.in, &victim.header, 0, &status, sizeof(status));
	return status.refused;
}

/* The client learns why, and the status counts it. */
static void test_a_shortage_of_descriptors_is_counted(void **state)
{
	struct proto_error error;
	uint64_t before;

	(void)state;
	enter(&victim, 0);
	before = refused();
	calls.accepts_that_fail = 1;
	dial(&floods[0], FLOODER);
	await(&floods[0], PROTO_ERROR);
	codec_get(floods[0].in, &floods[0].header, 0, &error, sizeof(error));
	assert_int_equal(error.status, PROTO_E_DESCRIPTORS);
	assert_int_equal(refused(), before + 1);
	close(floods[0].fd);

	/* Not even the spare descriptor helps: the connection waits, and is accepted later. */
	calls.accepts_that_fail = 1000;
	dial(&floods[0], FLOODER);
	turns(5);
	assert_false(take(&floods[0]));
	calls.accepts_that_fail = 0;
	calls.offset += LISTENER_PAUSE_US;
	await(&floods[0], PROTO_HELLO | PROTO_ANSWER);
	assert_int_equal(refused(), before + 1);
	close(floods[0].fd);
	close(victim.fd);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_slices_look_at_the_clocks),
		TEST(test_slices_look_at_clients_that_have_read),
		TEST(test_slices_look_at_sockets_that_have_room),
		TEST(test_slices_look_at_requests_of_other_users),
		TEST(test_slices_look_at_new_connections),
		TEST(test_slices_look_for_a_set_clock),
		TEST(test_no_packet_is_stranded),
		TEST(test_a_false_eagain_strands_no_packet),
		TEST(test_no_packet_of_a_blocked_client_is_stranded),
		TEST(test_a_shortage_of_descriptors_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
