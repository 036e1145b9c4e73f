/* SPDX-License-Identifier: MIT */
/*
 * The life of a handle: opening, references, and its end.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "answers.h"
#include "descriptor.h"
#include "dispatch.h"
#include "handle.h"
#include "handler.h"
#include "public.h"
#include "requests.h"
#include "text.h"

_Static_assert(sizeof(time_t) == 8, "time_t holds every due");

#define TIMEOUT_US UINT64_C(25000000) /* the default of sd-bus */

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
	if (epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->session.connection.epoll, &event) < 0 ||
		epoll_ctl(t->epoll, EPOLL_CTL_ADD, t->signal, &event) < 0)
		return text_local(errno);
	return 0;
}

static void free_cancelled(void *userdata)
{
	handle_free(userdata);
}

/* Waits for the first connection. If the daemon is absent or refuses the client, the call fails at
 * once. If the daemon is only slow, the call waits. */
static int wait_until_up(struct toytimer *t)
{
	uint64_t deadline = handle_deadline(t);
	int r = handle_enter(t);

	pthread_cleanup_push(free_cancelled, t);
	while (r == 0 && t->session.connection.state != CONNECTION_UP) {
		r = handle_await(t, deadline, NULL, NULL);
		if (r == 0 && t->session.connection.state == CONNECTION_DOWN &&
			t->session.connection.error != -ETIMEDOUT)
			r = t->session.connection.error;
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

_public_ int toytimer_open_user(toytimer **ret)
{
	const char *directory = secure_getenv("XDG_RUNTIME_DIR");
	char path[PATH_MAX];
	int n;

	if (!directory || !*directory)
		return -ENOMEDIUM;
	n = snprintf(path, sizeof(path), "%s/" PROTO_SOCKET_USER, directory);
	if (n < 0 || (size_t)n >= sizeof(path))
		return text_invalid("XDG_RUNTIME_DIR: too long for a path");
	return toytimer_open(ret, path);
}

int handle_open(struct toytimer *t, const char *path)
{
	int r;

	atomic_init(&t->references, 1);
	t->epoll = t->signal = t->over = -1;
	t->timeout = TIMEOUT_US;
	r = -pthread_mutex_init(&t->lock, NULL);
	if (r == 0)
		r = connection_init(&t->session.connection, path, t->kind->connection);
	if (r == 0)
		r = init_descriptors(t);
	if (r == 0)
		r = wait_until_up(t);
	if (r < 0)
		handle_free(t);
	return r;
}

static bool awaits(const struct session *s)
{
	return s->requests.length;
}

static bool has_event(struct session *s)
{
	events_trim(&s->events, &s->timers);
	return s->events.length;
}

static bool run_ends(const struct session *s)
{
	/* A handler that runs in another thread may register the next timer. */
	return !s->timers.count && !s->dispatch.running;
}

static void destroy(struct session *s)
{
	requests_destroy(&s->requests);
	events_destroy(&s->events);
	registry_destroy(&s->timers);
}

static const struct handle_kind handle_timerd = {
	.connection = &connection_timerd,
	.lost = requests_lost,
	.take = answers_take,
	.send = requests_send,
	.ready = requests_ready,
	.awaits = awaits,
	.has_event = has_event,
	.dispatch = handler_call_next,
	.run_ends = run_ends,
	.destroy = destroy,
};

_public_ int toytimer_open(toytimer **ret, const char *path)
{
	struct toytimer *t;
	int r;

	if (!ret)
		return text_invalid("ret: NULL");
	t = calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->kind = &handle_timerd;
	registry_init(&t->session.timers);
	requests_init(&t->session.requests);
	clock_offsets_init(&t->session.offsets);
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

/* A handler may drop the last reference, also in a child that it has forked. The handle must stay
 * until the handler returns. */
static bool free_later(struct toytimer *t)
{
	if (!dispatch_is_here(&t->session))
		return false;
	t->session.dispatch.free_at_end = true;
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
