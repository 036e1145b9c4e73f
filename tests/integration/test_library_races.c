/* SPDX-License-Identifier: MIT */
/*
 * libtoytimer when an answer and an event, or two threads, cross. A thread plays the daemon, so
 * that each crossing happens as intended. This daemon keeps to the protocol, so the connection must
 * last.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "peer.h"
#include "recorder.h"

#define ID 7

/* With these, the two sides wait for each other. */
static sem_t peer_may, peer_did;

struct crossing {
	void (*play)(struct peer *p); /* runs after the answer to the registration */
	pthread_t thread;
	struct recorder recorder;
	toytimer *t;
	uint64_t timer;
};

static void *peer_main(void *userdata)
{
	struct crossing *c = userdata;
	struct peer *p = peer_accept();

	if (peer_greet(p)) {
		peer_say_registered(p, p->header.serial, 1, ID);
		c->play(p);
	}
	peer_end(p, true);
	return NULL;
}

/* Registers a periodic timer at a daemon that then runs `play`. */
static void begin(struct crossing *c, void (*play)(struct peer *p))
{
	toytimer_registration r = recorder_after(&c->recorder, 0);

	*c = (struct crossing){.play = play};
	r.every = 1000;
	assert_int_equal(sem_init(&peer_may, 0, 0), 0);
	assert_int_equal(sem_init(&peer_did, 0, 0), 0);
	assert_int_equal(pthread_create(&c->thread, NULL, peer_main, c), 0);
	assert_int_equal(toytimer_open(&c->t, peer_path), 0);
	assert_int_equal(toytimer_register(c->t, &r, &c->timer), 0);
}

static void end(struct crossing *c)
{
	assert_int_equal(toytimer_get_reconnects(c->t), 0);
	assert_int_equal(toytimer_count(c->t), 0);
	toytimer_unref(c->t);
	pthread_join(c->thread, NULL);
	recorder_clear(&c->recorder);
	sem_destroy(&peer_may);
	sem_destroy(&peer_did);
}

/* Sends the timer's last wake instead of an answer. */
static void wake_instead(struct peer *p)
{
	if (peer_receive(p) && p->header.opcode == PROTO_CANCEL)
		peer_say_wake(p, p->registered.cookie, 1, PROTO_WAKE_LAST);
}

static void test_a_last_wake_in_place_of_an_answer_is_dropped(void **state)
{
	struct crossing c;

	(void)state;
	begin(&c, wake_instead);
	assert_int_equal(toytimer_set_timeout(c.t, 100 * MS), 0);
	assert_int_equal(toytimer_cancel(c.t, c.timer), 0);
	recorder_linger(c.t, 10 * MS);
	assert_int_equal(c.recorder.n, 0);
	end(&c);
}

/* Another session has cancelled the timer. The event follows the answer. */
static void cancelled_by_another(struct peer *p)
{
	struct proto_cancelled cancelled = {.cookie = p->registered.cookie, .id = ID};
	struct proto_cancel_answer answer = {.id = ID, .status = PROTO_E_NO_SUCH_TIMER};

	if (!peer_receive(p) || p->header.opcode != PROTO_CANCEL)
		return;
	peer_say(p, PROTO_CANCEL | PROTO_ANSWER, p->header.serial, 1, &answer);
	sem_wait(&peer_may);
	peer_say(p, PROTO_CANCELLED, 0, 1, &cancelled);
}

static void test_a_timer_cancelled_by_two_ends_once(void **state)
{
	struct crossing c;

	(void)state;
	begin(&c, cancelled_by_another);
	assert_int_equal(toytimer_cancel(c.t, c.timer), 0);
	sem_post(&peer_may);
	recorder_linger(c.t, 10 * MS);
	assert_int_equal(c.recorder.n, 0);
	end(&c);
}

/* Both requests are answered once both have come. */
static void register_and_cancel(struct peer *p)
{
	struct proto_cancel_answer answer = {.id = ID + 1};
	uint64_t serial;

	if (!peer_receive(p) || p->header.opcode != PROTO_REGISTER)
		return;
	serial = p->header.serial;
	if (!peer_receive(p) || p->header.opcode != PROTO_CANCEL)
		return;
	peer_say_registered(p, serial, 1, ID + 1);
	peer_say(p, PROTO_CANCEL | PROTO_ANSWER, p->header.serial, 1, &answer);
	peer_say_wake(p, p->registered.cookie, 1, PROTO_WAKE_LAST);
}

/* The id is cancelled before the library knows that the timer is its own. */
static void test_cancel_by_id_before_it_is_known(void **state)
{
	toytimer_registration r = {.due = 3600 * S, .flags = TOYTIMER_RELATIVE};
	struct crossing c;

	(void)state;
	begin(&c, register_and_cancel);
	assert_int_equal(toytimer_register_async(c.t, &r, NULL), 0);
	assert_int_equal(toytimer_cancel_id(c.t, ID + 1), 0);
	assert_int_equal(toytimer_count(c.t), 1);
	recorder_await(&c.recorder, c.t, 1);
	end(&c);
}

/* Sends a wake before each answer. After the first timer is cancelled, it is a wake of another
 * timer. */
static void wake_before_answer(struct peer *p)
{
	struct proto_status_answer status = {.timers = 2};
	struct proto_cancel_answer cancelled = {.id = ID};
	uint64_t first = p->registered.cookie, second;

	if (!peer_receive(p) || p->header.opcode != PROTO_REGISTER)
		return;
	codec_get(p->in, &p->header, 0, &p->registered, sizeof(p->registered));
	second = p->registered.cookie;
	peer_say_registered(p, p->header.serial, 1, ID + 1);
	if (!peer_receive(p) || p->header.opcode != PROTO_STATUS)
		return;
	peer_say_wake(p, first, 1, 0);
	peer_say(p, PROTO_STATUS | PROTO_ANSWER, p->header.serial, 1, &status);
	if (!peer_receive(p) || p->header.opcode != PROTO_CANCEL)
		return;
	peer_say(p, PROTO_CANCEL | PROTO_ANSWER, p->header.serial, 1, &cancelled);
	sem_wait(&peer_may);
	peer_say_wake(p, second, 1, PROTO_WAKE_LAST);
	sem_post(&peer_did);
}

/* Events of cancelled timers do not hide an event that can be received. */
static void test_stale_events_hide_no_other_event(void **state)
{
	toytimer_registration r;
	toytimer_status status;
	struct crossing c;

	(void)state;
	begin(&c, wake_before_answer);
	r = recorder_after(&c.recorder, 3600 * S);
	assert_int_equal(toytimer_register(c.t, &r, NULL), 0);
	assert_int_equal(toytimer_get_status(c.t, &status), 0);
	assert_int_equal(toytimer_cancel(c.t, c.timer), 0);
	sem_post(&peer_may);
	sem_wait(&peer_did);
	assert_int_equal(toytimer_process(c.t), 1);
	assert_int_equal(c.recorder.n, 1);
	assert_int_equal(c.recorder.events[0].id, ID + 1);
	end(&c);
}

/* Sends two wakes in two packets, while the handler of the first one runs. */
static void wake_by_wake(struct peer *p)
{
	peer_say_wake(p, p->registered.cookie, 1, 0);
	sem_wait(&peer_may);
	peer_say_wake(p, p->registered.cookie, 2, 0);
	peer_say_wake(p, p->registered.cookie, 3, PROTO_WAKE_LAST);
	sem_post(&peer_did);
}

static sem_t handler_may;

static int wait_in_handler(toytimer *t, const toytimer_event *event, void *userdata)
{
	(void)t;
	if (userdata && event->last)
		++*(int *)userdata;
	sem_post(&peer_may);
	sem_wait(&handler_may);
	return 0;
}

static void *run_main(void *userdata)
{
	toytimer_run(userdata);
	return NULL;
}

/* While another thread's handler runs, this thread has nothing to do, whatever arrives, and its
 * loop must sleep. */
static void test_the_descriptor_is_quiet_while_another_handler_runs(void **state)
{
	int last = 0;
	toytimer_registration r = {
		.flags = TOYTIMER_RELATIVE,
		.every = 1000,
		.handler = wait_in_handler,
		.userdata = &last,
	};
	struct crossing c = {.play = wake_by_wake};
	pthread_t runner;

	(void)state;
	sem_init(&peer_may, 0, 0);
	sem_init(&peer_did, 0, 0);
	sem_init(&handler_may, 0, 0);
	assert_int_equal(pthread_create(&c.thread, NULL, peer_main, &c), 0);
	assert_int_equal(toytimer_open(&c.t, peer_path), 0);
	assert_int_equal(toytimer_register(c.t, &r, NULL), 0);
	assert_int_equal(pthread_create(&runner, NULL, run_main, c.t), 0);
	sem_wait(&peer_did);
	assert_int_equal(toytimer_process(c.t), 0);
	assert_int_equal(toytimer_wait(c.t, 20 * MS), 0);
	for (int i = 0; i < 3; i++)
		sem_post(&handler_may);
	pthread_join(runner, NULL);
	assert_int_equal(last, 1);
	sem_destroy(&handler_may);
	end(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_last_wake_in_place_of_an_answer_is_dropped),
		cmocka_unit_test(test_a_timer_cancelled_by_two_ends_once),
		cmocka_unit_test(test_cancel_by_id_before_it_is_known),
		cmocka_unit_test(test_stale_events_hide_no_other_event),
		cmocka_unit_test(test_the_descriptor_is_quiet_while_another_handler_runs),
	};

	return cmocka_run_group_tests(tests, peer_start, peer_stop);
}
