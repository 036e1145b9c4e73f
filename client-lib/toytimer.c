/* SPDX-License-Identifier: MIT */
/*
 * The handle's life, and the calls that hand events to their handlers.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "descriptor.h"
#include "handle.h"
#include "text.h"

#define TIMEOUT_US UINT64_C(25000000) /* as sd-bus has it */

void handle_free(struct toytimer *t)
{
	bool ours = t->connection.pages && connection_is_ours(&t->connection);

	connection_destroy(&t->connection);
	if (t->epoll >= 0)
		close(t->epoll);
	if (t->signal >= 0)
		close(t->signal);
	if (t->over >= 0)
		close(t->over);
	t->kind->destroy(t);
	/* In a forked child, a thread of the parent's may seem to hold the lock for ever. */
	if (ours) {
		pthread_cond_destroy(&t->progress);
		pthread_mutex_destroy(&t->lock);
	}
	free(t);
}

static int init_lock(struct toytimer *t)
{
	pthread_condattr_t attributes;
	int r = pthread_mutex_init(&t->lock, NULL);

	if (r == 0)
		r = pthread_condattr_init(&attributes);
	if (r != 0)
		return -r;
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	r = pthread_cond_init(&t->progress, &attributes);
	pthread_condattr_destroy(&attributes);
	return -r;
}

static int init_descriptors(struct toytimer *t)
{
	struct epoll_event event = {.events = EPOLLIN};

	t->epoll = descriptor_keep(epoll_create1(EPOLL_CLOEXEC));
	if (t->epoll < 0)
		return t->epoll;
	t->signal = descriptor_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (t->signal < 0)
		return t->signal;
	t->over = descriptor_keep(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
	if (t->over < 0)
		return t->over;
	if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->connection.epoll, &event) < 0 ||
		epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->signal, &event) < 0)
		return text_local(errno);
	return 0;
}

static void free_cancelled(void *userdata)
{
	handle_free(userdata);
}

/* Waits for the first connection. Other than later ones, it fails at once, but where the daemon is
 * there and merely has not come to accept us. */
static int wait_until_up(struct toytimer *t)
{
	uint64_t deadline = handle_deadline(t);
	int r = handle_enter(t);

	pthread_cleanup_push(free_cancelled, t);
	while (r == 0 && t->connection.state != CONNECTION_UP) {
		r = handle_await(t, deadline, NULL, NULL);
		if (r == 0 && t->connection.state == CONNECTION_DOWN &&
			t->connection.error != -ETIMEDOUT)
			r = t->connection.error;
	}
	pthread_cleanup_pop(0);
	handle_leave(t);
	return r;
}

static const char *socket_path(const char *path)
{
	if (path)
		return path;
	path = secure_getenv("TIMERD_SOCKET");
	return path && *path ? path : PROTO_SOCKET_SYSTEM;
}

int handle_open(struct toytimer *t, const char *path)
{
	int r;

	atomic_init(&t->references, 1);
	t->epoll = t->signal = t->over = -1;
	t->timeout = TIMEOUT_US;
	r = init_lock(t);
	if (r == 0)
		r = connection_init(&t->connection, path, t->kind->connection);
	if (r == 0)
		r = init_descriptors(t);
	if (r == 0)
		r = wait_until_up(t);
	if (r < 0)
		handle_free(t);
	return r;
}

static bool has_answers(const struct toytimer *t)
{
	return t->requests.length;
}

static bool has_event(struct toytimer *t)
{
	events_trim(&t->events, &t->timers);
	return t->events.length;
}

static bool run_ends(const struct toytimer *t)
{
	/* A handler that runs in another thread may register the next timer. */
	return !t->timers.count && !t->dispatch.running;
}

static void destroy(struct toytimer *t)
{
	requests_destroy(&t->requests);
	events_destroy(&t->events);
	timers_destroy(&t->timers);
}

static const struct handle_kind handle_timerd = {
	.connection = &connection_timerd,
	.lost = requests_lost,
	.take = answers_take,
	.send = requests_send,
	.ready = requests_ready,
	.awaits = has_answers,
	.has_event = has_event,
	.dispatch = dispatch_next,
	.run_ends = run_ends,
	.destroy = destroy,
};

_public_ int toytimer_open(toytimer **ret, const char *path)
{
	struct toytimer *t;
	int r;

	if (!ret)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->kind = &handle_timerd;
	timers_init(&t->timers);
	requests_init(&t->requests);
	r = handle_open(t, socket_path(path));
	if (r < 0)
		return r;
	*ret = t;
	return 0;
}

_public_ toytimer *toytimer_ref(toytimer *t)
{
	if (t)
		atomic_fetch_add(&t->references, 1);
	return t;
}

/* A forked child may drop its copy within the handler in which it was forked, and then return from
 * it: until then the copy has to stay. */
static bool free_later(struct toytimer *t)
{
	if (connection_is_ours(&t->connection) || !dispatch_is_here(t))
		return false;
	t->dispatch.forsaken = true;
	return true;
}

_public_ toytimer *toytimer_unref(toytimer *t)
{
	int state;

	if (!t || atomic_fetch_sub(&t->references, 1) != 1 || free_later(t))
		return NULL;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	handle_free(t);
	pthread_setcancelstate(state, NULL);
	return NULL;
}

_public_ int toytimer_set_timeout(toytimer *t, uint64_t timeout)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	t->timeout = timeout;
	handle_leave(t);
	return 0;
}

_public_ int toytimer_get_fd(toytimer *t)
{
	if (!t)
		return -EINVAL;
	return connection_is_ours(&t->connection) ? t->epoll : -ECHILD;
}

_public_ int toytimer_get_events(toytimer *t)
{
	if (!t)
		return -EINVAL;
	return connection_is_ours(&t->connection) ? POLLIN : -ECHILD;
}

/* toytimer_process() with the lock held, and with whatever the handler returned. Return: as that,
 * or -ECHILD as dispatch_next(). */
static int process(struct toytimer *t, int *ret_result)
{
	int r = 0, error;

	/* What handlers have queued is sent when no event is left, so that it travels together. */
	if (!t->dispatch.running)
		r = t->kind->dispatch(t, ret_result);
	if (r != 0)
		return r;
	handle_yield_to_leader(t);
	/* While a handler runs, all that comes is taken in, or the descriptor would stay
	 * readable. */
	error = handle_pump(t, !t->dispatch.running);
	if (!t->dispatch.running)
		r = t->kind->dispatch(t, ret_result);
	return r ?: error;
}

_public_ int toytimer_process(toytimer *t)
{
	int result = 0, r = handle_enter(t);

	if (r < 0)
		return r;
	r = dispatch_is_here(t) ? -EBUSY : process(t, &result);
	if (r == -ECHILD)
		return r;
	handle_leave(t);
	return r == 1 && result < 0 ? result : r;
}

_public_ int toytimer_wait(toytimer *t, uint64_t timeout)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	t->kind->send(t);
	r = handle_sleep(t, timeout, false);
	if (r != -ECHILD)
		handle_leave(t);
	return r;
}

/* Whether toytimer_stop() was called since: a call of it ends at least one toytimer_run(). */
static bool stopped_since(struct toytimer *t, uint64_t stops)
{
	if (t->stops == stops)
		return false;
	t->stop_next = false;
	return true;
}

/* toytimer_run() with the lock held. Return: 0; 1: *ret_result is a handler's negative return; or a
 * negative errno: with -ECHILD the lock is not held, and the handle may be gone. */
static int run(struct toytimer *t, int *ret_result)
{
	uint64_t stops = t->stops - t->stop_next;

	while (!stopped_since(t, stops)) {
		int r = process(t, ret_result);

		if (r == 1 && *ret_result >= 0)
			continue;
		if (r != 0)
			return r;
		if (t->stops != stops)
			continue;
		if (t->kind->run_ends(t))
			return 0;
		r = handle_sleep(t, TOYTIMER_FOREVER, true);
		if (r < 0)
			return r;
	}
	return 0;
}

_public_ int toytimer_run(toytimer *t)
{
	int result = 0, r = handle_enter(t);

	if (r < 0)
		return r;
	r = dispatch_is_here(t) ? -EBUSY : run(t, &result);
	if (r == -ECHILD)
		return r;
	handle_leave(t);
	return r == 1 ? result : r;
}

_public_ int toytimer_stop(toytimer *t)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	t->stops++;
	t->stop_next = true;
	t->stopped = t->runners;
	handle_leave(t);
	return 0;
}

_public_ int toytimer_get_timer(toytimer *t, uint64_t timer, uint64_t *ret_id, uint64_t *ret_due)
{
	struct timer *found;
	int r = handle_enter(t);

	if (r < 0)
		return r;
	found = timers_find(&t->timers, timer);
	if (found && !found->abandoned) {
		bool held = found->state == TIMER_HELD || found->state == TIMER_ENDED;

		if (ret_id)
			*ret_id = held ? found->id : 0;
		if (ret_due)
			*ret_due = found->due;
	} else
		r = -ENOENT;
	handle_leave(t);
	return r;
}

_public_ size_t toytimer_count(toytimer *t)
{
	size_t count;

	if (handle_enter(t) < 0)
		return 0;
	count = t->timers.count;
	handle_leave(t);
	return count;
}

_public_ uint64_t toytimer_get_reconnects(toytimer *t)
{
	uint64_t times;

	if (handle_enter(t) < 0)
		return 0;
	times = t->connection.times;
	handle_leave(t);
	return times ? times - 1 : 0;
}

_public_ uint64_t toytimer_now(enum toytimer_clock clock)
{
	static const clockid_t clocks[] = {
		[TOYTIMER_MONOTONIC] = CLOCK_MONOTONIC,
		[TOYTIMER_BOOTTIME] = CLOCK_BOOTTIME,
		[TOYTIMER_REALTIME] = CLOCK_REALTIME,
	};
	struct timespec now;

	if ((unsigned int)clock >= sizeof(clocks) / sizeof(clocks[0]) ||
		clock_gettime(clocks[clock], &now) < 0 || now.tv_sec < 0)
		return 0;
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
