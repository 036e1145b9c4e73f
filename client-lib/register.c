/* SPDX-License-Identifier: MIT */
/*
 * Registers one timer, many timers, or a timer without waiting for the answer.
 *
 * A relative due becomes an instant here, at the time of the call. The due then stays the same,
 * even if the daemon gets the registration late or more than once. Arguments are checked here too,
 * so that the call with the bad argument returns the error.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "handle.h"
#include "instant.h"
#include "public.h"
#include "register.h"
#include "requests.h"
#include "text.h"

/* How many registrations a packet holds. */
#define PACKET_MAX PROTO_RECORDS_MAX(struct proto_register)

/* When this many are queued, a blocking call waits until the socket takes some. */
#define QUEUED_MAX (4u * PACKET_MAX)

#define FLAGS ((unsigned int)(TOYTIMER_RELATIVE | TOYTIMER_WAKE_SYSTEM | TOYTIMER_TELL_CLOCK_SET))

static int check_domain(const toytimer_registration *r)
{
	if ((unsigned int)r->clock >= PROTO_CLOCKS)
		return text_invalid("registration.clock: no such clock");
	if (r->flags & ~FLAGS)
		return text_invalid("registration.flags: an unknown flag");
	if (r->flags & TOYTIMER_WAKE_SYSTEM && r->clock == TOYTIMER_MONOTONIC)
		return -EOPNOTSUPP;
	if (r->flags & TOYTIMER_TELL_CLOCK_SET && r->clock != TOYTIMER_REALTIME)
		return text_invalid("registration.flags: TOYTIMER_TELL_CLOCK_SET is for "
				    "TOYTIMER_REALTIME, which alone can be set");
	if (!r->every && r->count > 1)
		return text_invalid(TEXT_COUNT);
	if (r->reserved[0] || r->reserved[1])
		return text_invalid(TEXT_RESERVED);
	return 0;
}

static int copy_label(const char *label, char **ret)
{
	size_t length;

	*ret = NULL;
	if (!label || !*label)
		return 0;
	length = strnlen(label, TOYTIMER_LABEL_MAX + 1);
	if (length > TOYTIMER_LABEL_MAX)
		return text_invalid(TEXT_LABEL_LONG);
	if (!codec_label_valid(label, length))
		return text_invalid(TEXT_LABEL_PRINTABLE);
	*ret = strdup(label);
	return *ret ? 0 : -ENOMEM;
}

/* Queues a registration. The caller has reserved room. batch may be NULL. */
static int enroll(struct toytimer *t, const toytimer_registration *r, struct instants *now,
	struct batch *batch, uint32_t index, uint64_t *ret_timer)
{
	struct timer model = {
		.batch = batch,
		.number = index,
		.slack = r->slack,
		.every = r->every,
		.count = r->count,
		.handler = r->handler,
		.userdata = r->userdata,
		.clock = (uint8_t)r->clock,
		.flags = (uint8_t)((r->flags & TOYTIMER_WAKE_SYSTEM ? PROTO_WAKE_SYSTEM : 0) |
			(r->flags & TOYTIMER_TELL_CLOCK_SET ? PROTO_TELL_CLOCK_SET : 0)),
	};
	int error = check_domain(r);

	if (error == 0 && r->flags & TOYTIMER_TELL_CLOCK_SET &&
		!(t->session.connection.capabilities & PROTO_CAN_TELL_CLOCK_SET))
		error = -ENOSYS;

	if (error == 0)
		error = instant_of(now, r->clock, r->flags, r->due, &model.due);
	if (error == 0)
		error = copy_label(r->label, &model.label);
	if (error < 0)
		return error;
	*ret_timer = registry_name(&t->session.timers, registry_add(&t->session.timers, &model));
	if (batch)
		batch->pending++;
	return 0;
}

/* Whether the queue holds a whole number of full packets. The caller then tries to send, once for
 * each packet. */
static bool packet_full(const struct toytimer *t)
{
	return t->session.timers.unsent_count && t->session.timers.unsent_count % PACKET_MAX == 0;
}

/* Ends a batch whose caller stops waiting. Drops the timers that are not sent. Marks the sent ones,
 * so that they are cancelled when the answer arrives. O(n). */
static void end_batch(struct toytimer *t, struct batch *batch, int error)
{
	for (uint32_t slot = t->session.timers.first; batch->pending && slot != TIMERS_NONE;) {
		struct timer *timer = registry_at(&t->session.timers, slot);

		slot = timer->next;
		if (timer->state == TIMER_HELD || timer->batch != batch)
			continue;
		batch->pending--;
		if (batch->timers)
			batch->timers[timer->number] = 0;
		if (batch->errors)
			batch->errors[timer->number] = error;
		if (timer->state == TIMER_QUEUED) {
			registry_drop(&t->session.timers, timer);
			continue;
		}
		timer->batch = NULL;
		registry_release(&t->session.timers, timer);
	}
}

/* The waiting thread is cancelled. Its output arrays may be gone. */
static void undo_batch(struct toytimer *t, void *userdata)
{
	struct batch *batch = userdata;

	batch->timers = NULL;
	batch->errors = NULL;
	end_batch(t, batch, 0);
}

/* Waits until the socket has taken enough of the queue, and reserves room for n more. Also
 * receives: the daemon stops reading when its answers are not read. */
static int make_room(struct toytimer *t, size_t n, uint64_t deadline, struct batch *batch)
{
	int r = handle_pump(t, false);

	while (r == 0 && t->session.timers.unsent_count >= QUEUED_MAX)
		r = handle_await(t, deadline, undo_batch, batch);
	return r ?: registry_reserve(&t->session.timers, n);
}

static void register_all(
	struct toytimer *t, const toytimer_registration *r, size_t n, struct batch *batch)
{
	uint64_t deadline = handle_deadline(t);
	struct instants now = {0};
	int error = 0;

	for (size_t i = 0; i < n; i++) {
		uint64_t timer = 0;
		int e = error;

		if (e == 0)
			e = enroll(t, &r[i], &now, batch, (uint32_t)i, &timer);
		if (batch->timers)
			batch->timers[i] = timer;
		if (batch->errors)
			batch->errors[i] = e;
		if (error == 0 && packet_full(t))
			error = make_room(t, n - i, deadline, batch);
	}
	while (error == 0 && batch->pending)
		error = handle_await(t, deadline, undo_batch, batch);
	if (error < 0)
		end_batch(t, batch, error);
}

int register_again(struct toytimer *t, struct timer *timer, const struct proto_rearm *record)
{
	int error = 0, r = 0;
	struct batch batch = {.errors = &error, .pending = 1};
	uint64_t deadline = handle_deadline(t);

	requests_forget_rearms(&t->session, registry_name(&t->session.timers, timer));
	registry_revive(&t->session.timers, timer, record, &batch);
	while (r == 0 && batch.pending)
		r = handle_await(t, deadline, undo_batch, &batch);
	if (r < 0)
		end_batch(t, &batch, r);
	return r ?: error;
}

void register_again_async(struct toytimer *t, struct timer *timer, const struct proto_rearm *record)
{
	requests_forget_rearms(&t->session, registry_name(&t->session.timers, timer));
	registry_revive(&t->session.timers, timer, record, NULL);
	if (packet_full(t))
		(void)handle_pump(t, false);
}

_public_ int toytimer_register_many(toytimer *t, const toytimer_registration *r, size_t n,
	uint64_t *ret_timers, int *ret_errors)
{
	struct batch batch = {.timers = ret_timers, .errors = ret_errors};
	int error;

	if (n && !r)
		return text_invalid("r: NULL");
	if (n > INT_MAX)
		return text_invalid("n: more than INT_MAX");
	error = handle_enter(t);
	if (error < 0)
		return error;
	error = registry_reserve(&t->session.timers, n);
	if (error == 0)
		register_all(t, r, n, &batch);
	handle_leave(t);
	return error ?: batch.registered;
}

_public_ int toytimer_register(toytimer *t, const toytimer_registration *r, uint64_t *ret_timer)
{
	uint64_t timer;
	int error, n;

	n = toytimer_register_many(t, r, 1, &timer, &error);
	if (n < 0)
		return n;
	if (n == 0)
		return error;
	if (ret_timer)
		*ret_timer = timer;
	return 0;
}

_public_ int toytimer_register_async(
	toytimer *t, const toytimer_registration *r, uint64_t *ret_timer)
{
	struct instants now = {0};
	uint64_t timer;
	int error;

	if (!r)
		return text_invalid("r: NULL");
	error = handle_enter(t);
	if (error < 0)
		return error;
	error = registry_reserve(&t->session.timers, 1);
	if (error == 0)
		error = enroll(t, r, &now, NULL, 0, &timer);
	if (error == 0 && ret_timer)
		*ret_timer = timer;
	/* Also receives: the daemon stops reading when its answers are not read. */
	if (error == 0 && packet_full(t))
		(void)handle_pump(t, false);
	handle_leave(t);
	return error;
}

_public_ int toytimer_flush(toytimer *t)
{
	int r = handle_enter(t);

	if (r < 0)
		return r;
	requests_send(&t->session);
	handle_leave(t);
	return 0;
}
