/* SPDX-License-Identifier: MIT */
/*
 * Opens and frees queue handles. The first member of a queue handle is a handle of the kind
 * handle_timerqd, so that most calls are those of toytimer.h.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "public.h"
#include "queue_state.h"
#include "text.h"

#define PATH_SIZE 4096

static enum codec_fault timerqd_open(const void *packet, size_t size, struct proto_header *ret)
{
	struct queue_codec_packet p;
	enum codec_fault fault = queue_codec_open(packet, size, CODEC_FROM_DAEMON, &p);

	if (fault == CODEC_OK)
		*ret = p.header;
	return fault;
}

static struct toytimer_queue *queue_of_connection(struct connection *c)
{
	return (struct toytimer_queue *)((char *)c -
		offsetof(struct toytimer_queue, base.session.connection));
}

static size_t timerqd_hello(struct connection *c)
{
	const struct toytimer_queue *q = queue_of_connection(c);
	struct proto_queue_hello hello = {
		.magic = PROTO_QUEUE_MAGIC,
		.version = PROTO_QUEUE_VERSION,
		.answered = queue_puts_answered(q),
	};
	struct queue_codec_writer w;
	size_t size;

	memcpy(hello.token, q->token, sizeof(hello.token));
	/* Nothing is received yet, so `in` is free. A hello has no area, so it fits into `in`. */
	queue_codec_begin(&w, c->in, PROTO_QUEUE_HELLO, c->serial);
	queue_codec_put(&w, &hello);
	size = queue_codec_end(&w, 0);
	memcpy(c->out, c->in, size);
	return size;
}

static int timerqd_greeted(struct connection *c)
{
	struct proto_queue_hello_answer answer;
	struct queue_codec_packet p;

	if (queue_codec_open(c->in, c->in_size, CODEC_FROM_DAEMON, &p))
		return -EPROTO;
	queue_codec_get(&p, 0, &answer);
	return answer.magic == PROTO_QUEUE_MAGIC && answer.version == PROTO_QUEUE_VERSION ? 0
											  : -EPROTO;
}

static const struct connection_kind connection_timerqd = {
	.open = timerqd_open,
	.hello = timerqd_hello,
	.greeted = timerqd_greeted,
};

static void destroy(struct session *s)
{
	struct toytimer_queue *q = queue_of(s);

	queue_lists_destroy(q);
	while (q->wakes) {
		struct queue_wakes *next = q->wakes->next;

		free(q->wakes);
		q->wakes = next;
	}
	while (q->completions) {
		struct queue_completion *next = q->completions->next;

		free(q->completions);
		q->completions = next;
	}
	helds_destroy(&q->helds);
	free(q->uses);
}

const struct handle_kind handle_timerqd = {
	.connection = &connection_timerqd,
	.lost = queue_lost,
	.take = queue_take,
	.send = queue_send,
	.ready = queue_ready,
	.awaits = queue_awaits,
	.has_event = queue_has_event,
	.dispatch = queue_dispatch,
	.run_ends = queue_run_ends,
	.destroy = destroy,
};

/* Chooses a random token: timerqd recognises by it the puts that this handle sends again. */
static int choose_token(struct toytimer_queue *q)
{
	ssize_t n;

	do
		n = getrandom(q->token, sizeof(q->token), 0);
	while (n < 0 && errno == EINTR);
	return n == sizeof(q->token) ? 0 : -EIO;
}

/* Chooses the path of the socket. Return: 0, -EINVAL or -ENOMEDIUM. */
static int choose_path(const char *path, unsigned int flags, char ret[static PATH_SIZE])
{
	const char *folder;
	int n;

	if (!path && flags & TOYTIMER_QUEUE_USER) {
		folder = secure_getenv("XDG_RUNTIME_DIR");
		if (!folder || !*folder)
			return -ENOMEDIUM;
		n = snprintf(ret, PATH_SIZE, "%s/%s", folder, PROTO_QUEUE_SOCKET_USER);
		return n < PATH_SIZE ? 0 : text_invalid("XDG_RUNTIME_DIR: too long for a path");
	}
	if (!path) {
		path = secure_getenv("TIMERD_QUEUE_SOCKET");
		path = path && *path ? path : PROTO_QUEUE_SOCKET_SYSTEM;
	}
	n = snprintf(ret, PATH_SIZE, "%s", path);
	return n < PATH_SIZE ? 0 : text_invalid("path: too long for the address of a socket");
}

_public_ int toytimer_queue_open(toytimer_queue **ret, const char *path, unsigned int flags)
{
	char where[PATH_SIZE];
	struct toytimer_queue *q;
	int r;

	if (!ret)
		return text_invalid("ret: NULL");
	if (flags & ~(unsigned int)TOYTIMER_QUEUE_USER)
		return text_invalid("flags: not only TOYTIMER_QUEUE_USER");
	r = choose_path(path, flags, where);
	if (r < 0)
		return r;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -ENOMEM;
	q->base.kind = &handle_timerqd;
	queue_lists_init(q);
	q->wakes_end = &q->wakes;
	q->completions_end = &q->completions;
	r = choose_token(q);
	if (r < 0) {
		free(q);
		return r;
	}
	r = handle_open(&q->base, where);
	if (r < 0)
		return r;
	*ret = q;
	return 0;
}

_public_ toytimer_queue *toytimer_queue_ref(toytimer_queue *q)
{
	toytimer_ref(q ? &q->base : NULL);
	return q;
}

_public_ toytimer_queue *toytimer_queue_unref(toytimer_queue *q)
{
	toytimer_unref(q ? &q->base : NULL);
	return NULL;
}

_public_ int toytimer_queue_set_timeout(toytimer_queue *q, uint64_t timeout)
{
	return toytimer_set_timeout(q ? &q->base : NULL, timeout);
}

_public_ int toytimer_queue_get_fd(toytimer_queue *q)
{
	return toytimer_get_fd(q ? &q->base : NULL);
}

_public_ int toytimer_queue_get_events(toytimer_queue *q)
{
	return toytimer_get_events(q ? &q->base : NULL);
}

_public_ int toytimer_queue_process(toytimer_queue *q)
{
	return toytimer_process(q ? &q->base : NULL);
}

_public_ int toytimer_queue_wait(toytimer_queue *q, uint64_t timeout)
{
	return toytimer_wait(q ? &q->base : NULL, timeout);
}

_public_ int toytimer_queue_run(toytimer_queue *q)
{
	return toytimer_run(q ? &q->base : NULL);
}

_public_ int toytimer_queue_stop(toytimer_queue *q)
{
	return toytimer_stop(q ? &q->base : NULL);
}

_public_ uint64_t toytimer_queue_get_reconnects(toytimer_queue *q)
{
	return toytimer_get_reconnects(q ? &q->base : NULL);
}

_public_ int toytimer_queue_flush(toytimer_queue *q)
{
	int r = handle_enter(q ? &q->base : NULL);

	if (r < 0)
		return r;
	queue_send(&q->base.session);
	handle_leave(&q->base);
	return 0;
}

_public_ int toytimer_queue_get_error(toytimer_queue *q)
{
	int error = 0, r = handle_enter(q ? &q->base : NULL);

	if (r < 0)
		return r;
	if (q->base.session.connection.state == CONNECTION_DOWN)
		error = q->base.session.connection.error;
	error = error ?: q->refused;
	handle_leave(&q->base);
	return error;
}
