/* SPDX-License-Identifier: MIT */
/*
 * See wait.h. The library's handler only takes an event down; it is told of outside, where there is
 * nobody to return a status through. Lines go out one by one: whoever reads them through a pipe is
 * waiting for each.
 *
 * While a command runs nothing is read from the daemon, which then merges the wakes that fall due
 * into one: nothing is to be done for that here.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "command.h"
#include "output.h"
#include "wait.h"
#include "when.h"

struct waiter {
	const struct wait_request *request;
	struct signals signals;
	toytimer_event event; /* the last one that came */
	uint64_t id;	      /* the last that was told of: none comes with a refusal */
	int command_status;   /* of the last command */
};

/* A wait goes on until it has a status, none of which is negative. */
#define WAITING (-1)

static int take_event(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct waiter *w = userdata;

	(void)t;
	w->event = *event;
	if (event->id)
		w->id = event->id;
	return 0;
}

/* How long it is from the moment of registration, which for a span is that span. */
static int64_t left_of(const toytimer_registration *r, uint64_t due)
{
	if (r->flags & TOYTIMER_RELATIVE)
		return r->due > INT64_MAX ? INT64_MAX : (int64_t)r->due;
	return clock_left(due, toytimer_now(r->clock));
}

static int print_registered(const struct wait_request *request, uint64_t id, uint64_t due)
{
	const toytimer_registration *r = &request->registration;
	char timestamp[WHEN_TIMESTAMP_MAX], span[WHEN_SPAN_MAX];
	int64_t left = left_of(r, due);
	uint64_t wall = due;

	if (request->quiet)
		return 0;
	if (request->json) {
		json_t *object = json_object();

		output_json_add(&object, "event", json_string("registered"));
		output_json_add(&object, "id", output_json_number(id));
		output_json_add(&object, "due_us", output_json_number(due));
		output_json_add(&object, "left_us", json_integer(left));
		return output_json(object);
	}

	if (r->clock != TOYTIMER_REALTIME)
		wall = clock_after(
			toytimer_now(TOYTIMER_REALTIME), clock_left(due, toytimer_now(r->clock)));
	when_format_timestamp(timestamp, sizeof(timestamp), wall, WHEN_LOCAL);
	when_format_span(span, sizeof(span), left < 0 ? 0 : (uint64_t)left, 0);
	printf("registered %llu due %s (in %s)\n", (unsigned long long)id, timestamp, span);
	return output_flush();
}

static int print_woken(const struct wait_request *request, const toytimer_event *event)
{
	char span[WHEN_SPAN_MAX];

	if (request->quiet)
		return 0;
	if (request->json) {
		json_t *object = json_object();

		output_json_add(&object, "event", json_string("woken"));
		output_json_add(&object, "id", output_json_number(event->id));
		output_json_add(&object, "due_us", output_json_number(event->due));
		output_json_add(&object, "late_us", output_json_number(event->late));
		output_json_add(&object, "overruns", output_json_number(event->overruns));
		return output_json(object);
	}

	when_format_span(span, sizeof(span), event->late, 0);
	printf("woken %llu late %s overruns %llu\n", (unsigned long long)event->id, span,
		(unsigned long long)event->overruns);
	return output_flush();
}

static int set_number(const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	return setenv(name, text, 1);
}

/* Returns 0, or -1, the reason having been told. */
static int run_command(struct waiter *w)
{
	const toytimer_event *e = &w->event;

	if (set_number("TIMERD_ID", e->id) < 0 || set_number("TIMERD_DUE_US", e->due) < 0 ||
		set_number("TIMERD_LATE_US", e->late) < 0 ||
		set_number("TIMERD_OVERRUNS", e->overruns) < 0) {
		ctl_no_memory();
		return -1;
	}
	w->command_status = command_run(w->request->command, &w->signals);
	return 0;
}

/* Returns a status, or WAITING if there is more to come. */
static int handle_event(struct waiter *w)
{
	const toytimer_event *e = &w->event;
	int r;

	switch (e->type) {
	case TOYTIMER_WOKEN:
		r = w->request->command ? run_command(w) : print_woken(w->request, e);
		if (r < 0)
			return CTL_FAILED;
		return e->last ? w->command_status : WAITING;
	case TOYTIMER_CANCELLED:
		output_error("%llu: cancelled by another", (unsigned long long)e->id);
		return CTL_CANCELLED;
	case TOYTIMER_REFUSED:
		/* timerd was started again, with other limits or other clients than before. */
		output_error("%llu: %s", (unsigned long long)w->id, toytimer_strerror(e->error));
		return ctl_status_of(e->error);
	}
	return WAITING;
}

/* Handles events until there is a status. Signals are looked at between any two events: of a short
 * period there may always be a next one. */
static int wait_loop(toytimer *t, struct waiter *w)
{
	struct pollfd fds[2] = {
		{.fd = toytimer_get_fd(t), .events = (short)toytimer_get_events(t)},
		{.fd = w->signals.fd, .events = POLLIN},
	};

	for (;;) {
		int status = WAITING;
		int r = toytimer_process(t);

		if (r < 0) {
			output_error("%s", toytimer_strerror(r));
			return ctl_status_of(r);
		}
		if (r > 0)
			status = handle_event(w);
		if (status != WAITING)
			return status;
		signals_take(&w->signals);
		if (w->signals.caught != 0)
			return CTL_SIGNAL + w->signals.caught;
		if (r == 0 && poll(fds, 2, -1) < 0 && errno != EINTR) {
			output_error("poll: %s", strerror(errno));
			return CTL_FAILED;
		}
	}
}

/* A refusal by the word that brought it about, as far as that can be told. */
static int register_failed(const struct wait_request *request, int error)
{
	const char *why = toytimer_strerror(error);

	if (error == -ERANGE)
		output_error("WHEN %s: %s", request->when, why);
	else if (error == -EPERM)
		output_error("--wake-system: %s", why);
	else
		output_error("register: %s", why);
	return ctl_status_of(error);
}

static void waiter_close(struct waiter *w)
{
	signals_close(&w->signals);
}

int wait_for_wakes(const struct ctl *ctl, const struct wait_request *request)
{
	_cleanup_(waiter_close) struct waiter w = {.request = request, .signals.fd = -1};
	_cleanup_(ctl_close) toytimer *t = NULL;
	toytimer_registration registration = request->registration;
	uint64_t timer, due;
	int r;

	r = ctl_open(ctl, &t);
	if (r != CTL_DONE)
		return r;

	registration.handler = take_event;
	registration.userdata = &w;
	r = toytimer_register(t, &registration, &timer);
	if (r < 0)
		return register_failed(request, r);

	/* From here on an interrupt is answered; before, there was nothing to be undone. */
	r = signals_block(&w.signals);
	if (r < 0) {
		output_error("signals: %s", strerror(-r));
		return CTL_FAILED;
	}

	r = toytimer_get_timer(t, timer, &w.id, &due);
	if (r < 0) {
		output_error("register: %s", toytimer_strerror(r));
		return CTL_FAILED;
	}
	if (print_registered(request, w.id, due) < 0)
		return CTL_FAILED;
	return wait_loop(t, &w);
}
