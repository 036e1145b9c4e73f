/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "handle.h"

/* Packets that are received at one go, before whoever waits looks at what they brought. */
#define PUMP_MAX 64

int handle_enter(struct toytimer *t)
{
	if (!t)
		return -EINVAL;
	if (!connection_is_ours(&t->connection))
		return -ECHILD;
	pthread_mutex_lock(&t->lock);
	return 0;
}

/* While a handler runs, there is nothing for another thread to process. */
static bool has_work(const struct toytimer *t)
{
	if (t->dispatching)
		return false;
	return t->events.length || t->starved || requests_ready(t) ||
		(t->runners && !t->timers.count);
}

/*
 * The descriptor is made readable by whoever leaves work behind, but unreadable only by
 * toytimer_process(): a call in between that finds it readable for nothing costs less than two
 * system calls for each registration that is queued and sent.
 */
void handle_leave(struct toytimer *t)
{
	uint64_t one = 1;

	if (!t->signalled && has_work(t))
		t->signalled = write(t->signal, &one, sizeof(one)) == (ssize_t)sizeof(one);
	pthread_mutex_unlock(&t->lock);
}

void handle_calm(struct toytimer *t)
{
	uint64_t value;

	if (t->signalled && !has_work(t))
		t->signalled = read(t->signal, &value, sizeof(value)) < 0;
}

uint64_t handle_deadline(const struct toytimer *t)
{
	uint64_t deadline;

	if (__builtin_add_overflow(toytimer_now(TOYTIMER_MONOTONIC), t->timeout, &deadline))
		return TOYTIMER_FOREVER;
	return deadline;
}

/* An end of file comes before we are sure that nobody listens any more; to callers it is the
 * same. */
static void lose(struct toytimer *t, int error)
{
	if (t->connection.state == CONNECTION_UP)
		requests_lost(t);
	connection_lose(&t->connection, error == -ECONNRESET ? -ECONNREFUSED : error);
}

/* What to do with what connection_receive() returned.
 * Return: 1: a packet was taken, or the connection lost; 0: there is none now; -ENOMEM. */
static int take(struct toytimer *t, int received)
{
	int r = received;

	if (r == 0)
		return 0;
	if (r > 0)
		r = answers_take(t);
	/* No descriptor tells of a packet that is here already. */
	t->starved = r == -ENOMEM;
	if (t->starved)
		return r;
	if (r < 0)
		lose(t, r);
	else
		connection_consume(&t->connection);
	return 1;
}

static int receive(struct toytimer *t)
{
	if (!connection_attempt(&t->connection))
		return 0;
	return take(t, connection_receive(&t->connection, false));
}

int handle_pump(struct toytimer *t, bool one_event)
{
	int r = 0;

	if (!t->leading)
		for (int i = 0; i < PUMP_MAX && !(one_event && t->events.length); i++) {
			r = receive(t);
			if (r <= 0)
				break;
		}
	requests_send(t);
	return r < 0 ? r : 0;
}

/* Receives what a waiting thread may wait for. Once nothing is in flight, what else there is stays
 * in the socket for toytimer_process(): to ask whether there is something costs as much as the
 * answer did. */
static int receive_answers(struct toytimer *t, int r)
{
	for (int i = 0; i < PUMP_MAX && r > 0; i++) {
		if (t->connection.state == CONNECTION_UP && !t->requests.length)
			break;
		r = receive(t);
	}
	return r < 0 ? r : 0;
}

/* Milliseconds that epoll_wait() is to sleep, rounded up: never too short, for it would spin. */
static int sleep_ms(uint64_t now, uint64_t deadline)
{
	uint64_t ms;

	if (deadline == TOYTIMER_FOREVER)
		return -1;
	ms = (deadline - now + 999) / 1000;
	return ms > 1000000 ? 1000000 : (int)ms;
}

static int lead(struct toytimer *t, uint64_t now, uint64_t deadline)
{
	bool wait = connection_may_wait(&t->connection) && deadline - now > CONNECTION_PATIENCE_US;
	struct epoll_event event;
	int r = 0;

	/* Nobody else receives meanwhile, and so nobody closes the socket. */
	t->leading = true;
	handle_leave(t);
	if (wait)
		r = connection_receive(&t->connection, true);
	else
		(void)epoll_wait(t->connection.epoll, &event, 1, sleep_ms(now, deadline));
	pthread_mutex_lock(&t->lock);
	t->leading = false;
	r = receive_answers(t, wait ? take(t, r) : receive(t));
	requests_send(t);
	/* Followers have their answers, or one of them has to lead. */
	pthread_cond_broadcast(&t->progress);
	return r;
}

static void follow(struct toytimer *t, uint64_t deadline)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline / 1000000),
		.tv_nsec = (long)(deadline % 1000000) * 1000,
	};

	if (deadline == TOYTIMER_FOREVER)
		pthread_cond_wait(&t->progress, &t->lock);
	else
		pthread_cond_timedwait(&t->progress, &t->lock, &until);
}

int handle_await(struct toytimer *t, uint64_t deadline)
{
	uint64_t now = toytimer_now(TOYTIMER_MONOTONIC);

	requests_send(t);
	if (now >= deadline) {
		if (t->connection.state != CONNECTION_UP && t->connection.error)
			return t->connection.error;
		return -ETIMEDOUT;
	}
	if (!t->leading)
		return lead(t, now, deadline);
	follow(t, deadline);
	return 0;
}
