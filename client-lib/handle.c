/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "handle.h"

/* Packets that are received at one go, before whoever waits looks at what they brought. */
#define PUMP_MAX 64

int handle_enter(struct toytimer *t)
{
	int state;

	if (!t)
		return -EINVAL;
	if (!connection_is_ours(&t->connection))
		return -ECHILD;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_mutex_lock(&t->lock);
	t->cancel_state = state;
	if (t->dispatch.running)
		dispatch_check(t);
	return 0;
}

/* What toytimer_process() could do now. While a handler runs it could call no other. */
static bool has_work(struct toytimer *t)
{
	if (t->dispatch.running)
		return false;
	return t->kind->has_event(t) || t->kind->ready(t) ||
		(!t->leading && (t->starved || t->more));
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

/* Tells whoever polls the descriptors what there is to do now. */
static void leave_work(struct toytimer *t)
{
	t->signalled = set_readable(t->signal, t->signalled, has_work(t));
	if (t->runners)
		t->run_over = set_readable(
			t->over, t->run_over, t->kind->run_ends(t) || t->stopped);
}

void handle_leave(struct toytimer *t)
{
	int state = t->cancel_state;

	if (connection_is_ours(&t->connection)) {
		leave_work(t);
		handle_release(t);
	}
	pthread_setcancelstate(state, NULL);
}

int handle_retake(struct toytimer *t, int cancel_state)
{
	if (!connection_is_ours(&t->connection)) {
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

/* An end of file comes before we are sure that nobody listens any more; to callers it is the
 * same. */
static void lose(struct toytimer *t, int error)
{
	if (t->connection.state == CONNECTION_UP)
		t->kind->lost(t);
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
		r = t->kind->take(t);
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

/* Whether the caller's descriptor tells of what there is to receive. */
static void set_muted(struct toytimer *t, bool muted)
{
	struct epoll_event event = {.events = muted ? 0 : EPOLLIN};

	if (t->muted != muted &&
		epoll_ctl(t->epoll, EPOLL_CTL_MOD, t->connection.epoll, &event) == 0)
		t->muted = muted;
}

int handle_pump(struct toytimer *t, bool one_event)
{
	int taken = 0, r = 1;

	while (!t->leading && r > 0 && taken < PUMP_MAX && !(one_event && t->kind->has_event(t))) {
		r = receive(t);
		taken++;
	}
	t->more = r > 0 && taken == PUMP_MAX;
	t->kind->send(t);
	return r < 0 ? r : 0;
}

void handle_yield_to_leader(struct toytimer *t)
{
	if (!t->leading)
		return;
	t->watched = true;
	set_muted(t, true);
}

/* Receives what a waiting thread may wait for. Once nothing is in flight, what else there is stays
 * in the socket for toytimer_process(): to ask whether there is something costs as much as the
 * answer did. */
static int receive_answers(struct toytimer *t, int r)
{
	for (int i = 0; i < PUMP_MAX && r > 0; i++) {
		if (t->connection.state == CONNECTION_UP && !t->kind->awaits(t))
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

/* A thread that sleeps, and what there is to do if it is cancelled. */
struct sleeper {
	struct toytimer *t;
	int cancel_state;
	bool leads;
	handle_undo undo;
	void *userdata;
};

/* What arrived meanwhile is everybody's again. */
static void end_leading(struct toytimer *t)
{
	t->leading = false;
	set_muted(t, false);
	/* Followers have their answers, or one of them has to lead. */
	pthread_cond_broadcast(&t->progress);
}

/* Cancelled with the lock held, as it is where a condition is waited for. */
static void cancel_locked(void *userdata)
{
	struct sleeper *sleeper = userdata;
	struct toytimer *t = sleeper->t;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	t->cancel_state = sleeper->cancel_state;
	if (sleeper->leads)
		end_leading(t);
	if (sleeper->undo)
		sleeper->undo(t, sleeper->userdata);
	handle_leave(t);
}

static void cancel_unlocked(void *userdata)
{
	struct sleeper *sleeper = userdata;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	if (handle_retake(sleeper->t, sleeper->cancel_state) == 0)
		cancel_locked(sleeper);
}

/*
 * With `receives` the sleep and the receiving are one system call. It must not be a point of
 * cancellation, or the packet that it took could be lost, and its patience is short instead.
 * Return: what connection_receive() does; 0 without `receives`.
 */
static int sleep_leading(struct sleeper *sleeper, bool receives, int timeout_ms)
{
	struct toytimer *t = sleeper->t;
	struct epoll_event event;
	int r = 0;

	pthread_cleanup_push(cancel_unlocked, sleeper);
	if (receives)
		r = connection_receive(&t->connection, true);
	pthread_setcancelstate(sleeper->cancel_state, NULL);
	if (!receives)
		(void)epoll_wait(t->connection.epoll, &event, 1, timeout_ms);
	else if (r == 0)
		pthread_testcancel();
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_pop(0);
	return r;
}

static int lead(struct toytimer *t, uint64_t now, uint64_t deadline, struct sleeper *sleeper)
{
	bool receives = connection_may_wait(&t->connection) &&
		deadline - now > CONNECTION_PATIENCE_US;
	int received, r;

	/* Nobody else receives meanwhile, and so nobody closes the socket. */
	t->leading = sleeper->leads = true;
	set_muted(t, t->watched);
	sleeper->cancel_state = t->cancel_state;
	leave_work(t);
	handle_release(t);
	received = sleep_leading(sleeper, receives, sleep_ms(now, deadline));
	r = handle_retake(t, sleeper->cancel_state);
	if (r < 0)
		return r;
	t->leading = false;
	r = receive_answers(t, receives ? take(t, received) : receive(t));
	t->kind->send(t);
	end_leading(t);
	return r;
}

static void follow(struct toytimer *t, uint64_t deadline, struct sleeper *sleeper)
{
	struct timespec until = {
		.tv_sec = (time_t)(deadline / 1000000),
		.tv_nsec = (long)(deadline % 1000000) * 1000,
	};

	sleeper->cancel_state = t->cancel_state;
	pthread_cleanup_push(cancel_locked, sleeper);
	pthread_setcancelstate(sleeper->cancel_state, NULL);
	if (deadline == TOYTIMER_FOREVER)
		pthread_cond_wait(&t->progress, &t->lock);
	else
		pthread_cond_timedwait(&t->progress, &t->lock, &until);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	pthread_cleanup_pop(0);
	t->cancel_state = sleeper->cancel_state;
}

int handle_await(struct toytimer *t, uint64_t deadline, handle_undo undo, void *userdata)
{
	struct sleeper sleeper = {.t = t, .undo = undo, .userdata = userdata};
	uint64_t now = toytimer_now(TOYTIMER_MONOTONIC);

	t->kind->send(t);
	if (now >= deadline) {
		if (t->connection.state != CONNECTION_UP && t->connection.error)
			return t->connection.error;
		return -ETIMEDOUT;
	}
	if (!t->leading)
		return lead(t, now, deadline, &sleeper);
	follow(t, deadline, &sleeper);
	return 0;
}

static void forget_awaited(struct toytimer *t, void *userdata)
{
	(void)userdata;
	t->dispatch.awaited--;
}

int handle_await_handler(struct toytimer *t, uint64_t timer, uint64_t deadline)
{
	struct sleeper sleeper = {.t = t, .undo = forget_awaited};
	uint64_t number = t->dispatch.number;
	int r = 0;

	if (t->dispatch.timer != timer || dispatch_is_here(t))
		return 0;
	t->dispatch.awaited++;
	while (r == 0 && t->dispatch.running && t->dispatch.number == number) {
		if (toytimer_now(TOYTIMER_MONOTONIC) >= deadline)
			r = -ETIMEDOUT;
		else
			follow(t, deadline, &sleeper);
	}
	t->dispatch.awaited--;
	return r;
}

/* A runner wakes up, or is cancelled in its sleep. stops: toytimer.stops as it was before. */
static void forget_runner(struct toytimer *t, void *userdata)
{
	const uint64_t *stops = userdata;

	t->runners--;
	if (t->stops != *stops && t->stopped)
		t->stopped--;
}

/* Return: 1, 0 or -EINTR. */
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
	leave_work(t);
	handle_release(t);
	pthread_cleanup_push(cancel_unlocked, &sleeper);
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
