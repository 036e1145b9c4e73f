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

#include "handle.h"
#include "text.h"

#define TIMEOUT_US UINT64_C(25000000) /* as sd-bus has it */

/* Frees a handle, also a half-built one. */
static void handle_free(struct toytimer *t)
{
	bool ours = t->connection.pages && connection_is_ours(&t->connection);

	connection_destroy(&t->connection);
	if (t->epoll >= 0)
		close(t->epoll);
	if (t->signal >= 0)
		close(t->signal);
	requests_destroy(&t->requests);
	events_destroy(&t->events);
	timers_destroy(&t->timers);
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

	t->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (t->epoll < 0)
		return text_local(errno);
	t->signal = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (t->signal < 0)
		return text_local(errno);
	if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->connection.epoll, &event) < 0 ||
		epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->signal, &event) < 0)
		return text_local(errno);
	return 0;
}

/* Waits for the first connection. Other than later ones, it fails at once, but where the daemon is
 * there and merely has not come to accept us. */
static int wait_until_up(struct toytimer *t)
{
	uint64_t deadline = handle_deadline(t);
	int r = 0;

	pthread_mutex_lock(&t->lock);
	while (r == 0 && t->connection.state != CONNECTION_UP) {
		r = handle_await(t, deadline);
		if (r == 0 && t->connection.state == CONNECTION_DOWN &&
			t->connection.error != -ETIMEDOUT)
			r = t->connection.error;
	}
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

_public_ int toytimer_open(toytimer **ret, const char *path)
{
	struct toytimer *t;
	int r;

	if (!ret)
		return -EINVAL;
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	atomic_init(&t->references, 1);
	t->epoll = t->signal = -1;
	t->timeout = TIMEOUT_US;
	timers_init(&t->timers);
	requests_init(&t->requests);

	r = init_lock(t);
	if (r == 0)
		r = connection_init(&t->connection, socket_path(path));
	if (r == 0)
		r = init_descriptors(t);
	if (r == 0)
		r = wait_until_up(t);
	if (r < 0) {
		handle_free(t);
		return r;
	}
	*ret = t;
	return 0;
}

_public_ toytimer *toytimer_ref(toytimer *t)
{
	if (t)
		atomic_fetch_add(&t->references, 1);
	return t;
}

_public_ toytimer *toytimer_unref(toytimer *t)
{
	if (t && atomic_fetch_sub(&t->references, 1) == 1)
		handle_free(t);
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

/* Whether we were called by a handler of this handle. */
static bool in_handler(const struct toytimer *t)
{
	return t->dispatching && pthread_equal(t->dispatcher, pthread_self());
}

static int call_handler(
	struct toytimer *t, toytimer_handler handler, const toytimer_event *event, void *userdata)
{
	int result;

	t->dispatching = true;
	t->dispatcher = pthread_self();
	handle_leave(t);
	result = handler(t, event, userdata);
	pthread_mutex_lock(&t->lock);
	t->dispatching = false;
	return result;
}

/* Hands out the oldest event that is still wanted. Return: whether there was one. */
static bool dispatch(struct toytimer *t, int *ret_result)
{
	struct event event;

	while (events_pop(&t->events, &event)) {
		struct timer *timer = timers_find(&t->timers, event.timer);
		toytimer_handler handler;
		void *userdata;
		uint64_t id;

		if (!timer || timer->abandoned)
			continue;
		handler = timer->handler;
		userdata = timer->userdata;
		/* A wake that arrived before the connection was lost: the daemon that knew it is
		 * gone. */
		id = timer->state == TIMER_HELD || timer->state == TIMER_ENDED ? timer->id : 0;
		if (event.last)
			timers_drop(&t->timers, timer);
		*ret_result = call_handler(t, handler,
			&(toytimer_event){
				.type = (enum toytimer_event_type)event.type,
				.error = event.error,
				.timer = event.timer,
				.id = id,
				.due = event.due,
				.late = event.late,
				.overruns = event.overruns,
				.last = event.last,
			},
			userdata);
		return true;
	}
	return false;
}

/* toytimer_process() with the lock held, and with whatever the handler returned. */
static int process(struct toytimer *t, int *ret_result)
{
	int r = 0;

	/* What handlers have queued is sent when no event is left, so that it travels together.
	 * While one runs, all that comes is taken in, or the descriptor would stay readable. */
	if (!t->dispatching && dispatch(t, ret_result)) {
		r = 1;
	} else {
		r = handle_pump(t, !t->dispatching);
		if (!t->dispatching && dispatch(t, ret_result))
			r = 1;
	}
	handle_calm(t);
	return r;
}

_public_ int toytimer_process(toytimer *t)
{
	int result = 0, r = handle_enter(t);

	if (r < 0)
		return r;
	r = in_handler(t) ? -EBUSY : process(t, &result);
	handle_leave(t);
	return r == 1 && result < 0 ? result : r;
}

static int wait_for_work(struct toytimer *t, uint64_t timeout)
{
	struct pollfd fd = {.fd = t->epoll, .events = POLLIN};
	struct timespec span = {
		.tv_sec = (time_t)(timeout / 1000000),
		.tv_nsec = (long)(timeout % 1000000) * 1000,
	};

	if (ppoll(&fd, 1, timeout == TOYTIMER_FOREVER ? NULL : &span, NULL) < 0)
		return -errno;
	return fd.revents != 0;
}

_public_ int toytimer_wait(toytimer *t, uint64_t timeout)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	requests_send(t);
	handle_leave(t);
	return wait_for_work(t, timeout);
}

/* toytimer_run() with the lock held. */
static int run(struct toytimer *t)
{
	for (;;) {
		int result = 0, r = process(t, &result);

		if (r == 1 && result == 0)
			continue;
		if (r != 0)
			return r == 1 ? result : r;
		/* A handler that runs in another thread may register the next timer. */
		if (!t->timers.count && !t->dispatching)
			return 0;
		handle_leave(t);
		r = wait_for_work(t, TOYTIMER_FOREVER);
		pthread_mutex_lock(&t->lock);
		if (r < 0)
			return r;
	}
}

_public_ int toytimer_run(toytimer *t)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	if (in_handler(t)) {
		r = -EBUSY;
	} else {
		t->runners++;
		r = run(t);
		t->runners--;
	}
	handle_leave(t);
	return r;
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
