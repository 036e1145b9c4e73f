/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "dispatch.h"
#include "handle.h"
#include "text.h"

_Static_assert(sizeof(time_t) == 8, "time_t holds every due");

/* The library receives at most this many packets before a waiting thread checks its condition. */
#define PUMP_MAX 64

void handle_free(struct toytimer *t)
{
	bool ours = t->session.connection.pages && connection_is_ours(&t->session.connection);

	connection_destroy(&t->session.connection);
	if (t->epoll >= 0)
		close(t->epoll);
	if (t->signal >= 0)
		close(t->signal);
	if (t->over >= 0)
		close(t->over);
	t->kind->destroy(&t->session);
	/* In a forked child, the lock may still be held for a thread that exists only in the
	 * parent. */
	if (ours)
		pthread_mutex_destroy(&t->lock);
	free(t);
}

int handle_enter(struct toytimer *t)
{
	int state;

	if (!t)
		return text_invalid(TEXT_NO_HANDLE);
	if (!connection_is_ours(&t->session.connection))
		return -ECHILD;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_mutex_lock(&t->lock);
	t->cancel_state = state;
	if (t->session.dispatch.running)
		dispatch_check(&t->session);
	return 0;
}

/* Whether toytimer_process() has something to do now. While a handler runs it calls no other. */
static bool has_work(struct toytimer *t)
{
	if (t->session.dispatch.running)
		return false;
	return t->kind->has_event(&t->session) || t->kind->ready(&t->session) ||
		(!t->leading && (t->out_of_memory || t->more));
}

/* Return: whether the eventfd is readable now. */
static bool set_readable(int fd, bool is, bool should)
{
	uint64_t value = 1;

	if (is == should)
		return is;
	if (should)
		return write(fd, &value, sizeof(value)) == (ssize_t)sizeof(value);
	return read(fd, &value, sizeof(value)) < 0;
}

int handle_release(struct toytimer *t)
{
	int state = t->cancel_state;

	pthread_mutex_unlock(&t->lock);
	return state;
}

/* Makes the descriptors readable, or not, according to what there is to do now. */
static void update_descriptors(struct toytimer *t)
{
	t->signalled = set_readable(t->signal, t->signalled, has_work(t));
	if (t->runners)
		t->run_over = set_readable(
			t->over, t->run_over, t->kind->run_ends(&t->session) || t->stopped);
}

void handle_leave(struct toytimer *t)
{
	int state = t->cancel_state;

	if (connection_is_ours(&t->session.connection)) {
		update_descriptors(t);
		handle_release(t);
	}
	pthread_setcancelstate(state, NULL);
}

int handle_retake(struct toytimer *t, int cancel_state)
{
	if (!connection_is_ours(&t->session.connection)) {
		pthread_setcancelstate(cancel_state, NULL);
		return -ECHILD;
	}
	pthread_mutex_lock(&t->lock);
	t->cancel_state = cancel_state;
	return 0;
}

uint64_t handle_deadline(const struct toytimer *t)
{
	uint64_t deadline;

	if (__builtin_add_overflow(toytimer_now(TOYTIMER_MONOTONIC), t->timeout, &deadline))
		return TOYTIMER_FOREVER;
	return deadline;
}

/* After an end of file, perhaps a daemon still listens. The caller gets -ECONNREFUSED in both
 * cases. */
static void lose(struct toytimer *t, int error)
{
	if (t->session.connection.state == CONNECTION_UP)
		t->kind->lost(&t->session);
	connection_lose(&t->session.connection, error == -ECONNRESET ? -ECONNREFUSED : error);
}

/* Handles the result of connection_receive().
 * Return: 1: a packet was taken, or the connection lost; 0: there is none now; -ENOMEM. */
static int take(struct toytimer *t, int received)
{
	int r = received;

	if (r == 0)
		return 0;
	if (r > 0)
		r = t->kind->take(&t->session);
	/* The packet stays in `connection`, and no descriptor is readable for it. */
	t->out_of_memory = r == -ENOMEM;
	if (t->out_of_memory)
		return r;
	if (r < 0)
		lose(t, r);
	else
		connection_consume(&t->session.connection);
	return 1;
}

static int receive(struct toytimer *t)
{
	if (!connection_attempt(&t->session.connection))
		return 0;
	return take(t, connection_receive(&t->session.connection, false));
}

/* Sets whether the caller's descriptor becomes readable for packets of the daemon. */
static void set_socket_off(struct toytimer *t, bool off)
{
	struct epoll_event event = {.events = off ? 0 : EPOLLIN};

	if (t->socket_off != off &&
		epoll_ctl(t->epoll, EPOLL_CTL_MOD, t->session.connection.epoll, &event) == 0)
		t->socket_off = off;
}

int handle_pump(struct toytimer *t, bool one_event)
{
	int taken = 0, r = 1;

	while (!t->leading && r > 0 && taken < PUMP_MAX &&
		!(one_event && t->kind->has_event(&t->session))) {
		r = receive(t);
		taken++;
	}
	t->more = r > 0 && taken == PUMP_MAX;
	t->kind->send(&t->session);
	return r < 0 ? r : 0;
}

void handle_yield_to_leader(struct toytimer *t)
{
	if (!t->leading)
		return;
	t->others_process = true;
	set_socket_off(t, true);
}

/* Receives the answers that threads wait for. When no answer is expected, other packets stay in the
 * socket for toytimer_process(): a further receive call costs as much as the answer did. */
static int receive_answers(struct toytimer *t, int r)
{
	for (int i = 0; i < PUMP_MAX && r > 0; i++) {
		if (t->session.connection.state == CONNECTION_UP && !t->kind->awaits(&t->session))
			break;
		r = receive(t);
	}
	return r < 0 ? r : 0;
}

/* The timeout for epoll_wait(), in milliseconds, rounded up: with a shorter one the caller would
 * spin. */
static int sleep_ms(uint64_t now, uint64_t deadline)
{
	uint64_t ms;

	if (deadline == TOYTIMER_FOREVER)
		return -1;
	ms = (deadline - now + 999) / 1000;
	return ms > 1000000 ? 1000000 : (int)ms;
}

/* A thread that sleeps, and what to undo if it is cancelled. */
struct sleeper {
	struct toytimer *t;
	int cancel_state;
	bool leads;
	handle_undo undo;
	void *userdata;
};

/* From now on every thread may receive. */
static void end_leading(struct toytimer *t)
{
	t->leading = false;
	set_socket_off(t, false);
	/* Followers have their answers, or one of them has to lead. */
	progress_note(&t->session.progress);
}

static void cancel_sleep(void *userdata)
{
	struct sleeper *sleeper = userdata;
	struct toytimer *t = sleeper->t;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	if (handle_retake(t, sleeper->cancel_state) < 0)
		return;
	if (sleeper->leads)
		end_leading(t);
	if (sleeper->undo)
		sleeper->undo(t, sleeper->userdata);
	handle_leave(t);
}

static void test_cancelled(const struct sleeper *sleeper)
{
	pthread_setcancelstate(sleeper->cancel_state, NULL);
	pthread_testcancel();
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
}

/*
 * With `receives`, one system call sleeps and receives. It is no cancellation point, because a
 * received packet could be lost. So it has a short timeout, and a cancelled thread ends before or
 * after it. The check before it ends a thread whose calls are all answered at once.
 * Return: as connection_receive(); 0 without `receives`.
 */
static int sleep_leading(struct sleeper *sleeper, bool receives, int timeout_ms)
{
	struct toytimer *t = sleeper->t;
	struct epoll_event event;
	int r = 0;

	pthread_cleanup_push(cancel_sleep, sleeper);
	if (receives) {
		test_cancelled(sleeper);
		r = connection_receive(&t->session.connection, true);
		if (r == 0)
			test_cancelled(sleeper);
	} else {
		if (connection_is_queued_out(&t->session.connection))
			connection_wait(&t->session.connection, timeout_ms);
		pthread_setcancelstate(sleeper->cancel_state, NULL);
		(void)epoll_wait(t->session.connection.epoll, &event, 1, timeout_ms);
		pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	}
	pthread_cleanup_pop(0);
	return r;
}

static int lead(struct toytimer *t, uint64_t now, uint64_t deadline, struct sleeper *sleeper)
{
	bool receives = connection_may_wait(&t->session.connection) &&
		deadline - now > CONNECTION_PATIENCE_US;
	int received, r;

	/* No other thread receives meanwhile, so none closes the socket. */
	t->leading = sleeper->leads = true;
	set_socket_off(t, t->others_process);
	sleeper->cancel_state = t->cancel_state;
	update_descriptors(t);
	handle_release(t);
	received = sleep_leading(sleeper, receives, sleep_ms(now, deadline));
	r = handle_retake(t, sleeper->cancel_state);
	if (r < 0)
		return r;
	t->leading = false;
	r = receive_answers(t, receives ? take(t, received) : receive(t));
	t->kind->send(&t->session);
	end_leading(t);
	return r;
}

/* Waits until another thread reports progress, or for a short time. The caller then checks its
 * condition. Return: 0 or -ECHILD. */
static int follow(struct toytimer *t, uint64_t now, uint64_t deadline, struct sleeper *sleeper)
{
	unsigned int count = progress_count(&t->session.progress);
	uint64_t span = deadline - now < CONNECTION_PATIENCE_US ? deadline - now
								: CONNECTION_PATIENCE_US;

	sleeper->cancel_state = t->cancel_state;
	handle_release(t);
	pthread_cleanup_push(cancel_sleep, sleeper);
	pthread_setcancelstate(sleeper->cancel_state, NULL);
	progress_wait(&t->session.progress, count, span);
	pthread_testcancel();
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_pop(0);
	return handle_retake(t, sleeper->cancel_state);
}

int handle_await(struct toytimer *t, uint64_t deadline, handle_undo undo, void *userdata)
{
	struct sleeper sleeper = {.t = t, .undo = undo, .userdata = userdata};
	uint64_t now = toytimer_now(TOYTIMER_MONOTONIC);

	t->kind->send(&t->session);
	if (now >= deadline) {
		if (t->session.connection.state != CONNECTION_UP && t->session.connection.error)
			return t->session.connection.error;
		return -ETIMEDOUT;
	}
	if (!t->leading)
		return lead(t, now, deadline, &sleeper);
	return follow(t, now, deadline, &sleeper);
}

static void forget_awaited(struct toytimer *t, void *userdata)
{
	(void)userdata;
	t->session.dispatch.awaited--;
}

int handle_await_handler(struct toytimer *t, uint64_t timer, uint64_t deadline)
{
	struct sleeper sleeper = {.t = t, .undo = forget_awaited};
	uint64_t number = t->session.dispatch.number;
	int r = 0;

	if (t->session.dispatch.timer != timer || dispatch_is_here(&t->session))
		return 0;
	t->session.dispatch.awaited++;
	while (r == 0 && t->session.dispatch.running && t->session.dispatch.number == number) {
		uint64_t now = toytimer_now(TOYTIMER_MONOTONIC);

		r = now < deadline ? follow(t, now, deadline, &sleeper) : -ETIMEDOUT;
		if (r == -ECHILD)
			return r;
	}
	t->session.dispatch.awaited--;
	return r;
}

/* A thread in toytimer_run() wakes up or is cancelled. stops: toytimer.stops before its sleep. */
static void forget_runner(struct toytimer *t, void *userdata)
{
	const uint64_t *stops = userdata;

	t->runners--;
	if (t->stops != *stops && t->stopped)
		t->stopped--;
}

/* Return: 1, 0, -EINTR or -EBADF. */
static int poll_work(struct sleeper *sleeper, uint64_t timeout, bool runs)
{
	struct pollfd fds[] = {
		{.fd = sleeper->t->epoll, .events = POLLIN},
		{.fd = sleeper->t->over, .events = POLLIN},
	};
	struct timespec span = {
		.tv_sec = (time_t)(timeout / 1000000),
		.tv_nsec = (long)(timeout % 1000000) * 1000,
	};
	int r;

	r = ppoll(fds, runs ? 2 : 1, timeout == TOYTIMER_FOREVER ? NULL : &span, NULL);
	/* The program has closed a descriptor of the handle. Without an error the caller would
	 * spin. */
	if (r > 0 && (fds[0].revents | fds[1].revents) & POLLNVAL)
		return -EBADF;
	return r < 0 ? -errno : r > 0;
}

int handle_sleep(struct toytimer *t, uint64_t timeout, bool runs)
{
	uint64_t stops = t->stops;
	struct sleeper sleeper = {
		.t = t,
		.cancel_state = t->cancel_state,
		.undo = runs ? forget_runner : NULL,
		.userdata = &stops,
	};
	int r, retaken;

	t->runners += runs;
	update_descriptors(t);
	handle_release(t);
	pthread_cleanup_push(cancel_sleep, &sleeper);
	pthread_setcancelstate(sleeper.cancel_state, NULL);
	r = poll_work(&sleeper, timeout, runs);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_pop(0);
	retaken = handle_retake(t, sleeper.cancel_state);
	if (retaken < 0)
		return retaken;
	if (runs)
		forget_runner(t, &stops);
	return r;
}
