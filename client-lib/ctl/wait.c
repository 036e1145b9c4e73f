/* SPDX-License-Identifier: MIT */
/*
 * See wait.h. The library's handler only stores the event. The loop handles it, since the loop can
 * return an exit status. Each line is flushed at once, for a reader at the end of a pipe.
 *
 * With COMMAND the line `registered` goes to standard error. So `$(toytimerctl register ... --
 * COMMAND)` is the output of COMMAND alone.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "command.h"
#include "output.h"
#include "runs.h"
#include "wait.h"
#include "when.h"

/* A lost connection is reported after this time: a restart of timerd takes less. */
#define AWAY_US UINT64_C(200000)

/* The limit of one call to timerd, during which SIGTERM waits. */
#define CALL_TIMEOUT_US UINT64_C(1000000)

struct waiter {
	struct ctl *ctl;
	const struct wait_request *request;
	toytimer *t;
	uint64_t timer; /* the library's name of the timer */
	struct signals signals;
	toytimer_event event; /* the last one */
	uint64_t id;	      /* the last one that was printed */
	uint64_t lost_since;  /* on the monotonic clock; 0: timerd has the timer */
	bool away_reported;
	struct runs runs;
	int command_status; /* of the last run */
};

/* Not a status: toytimerctl continues to wait. */
#define WAITING (-1)

static int store_event(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct waiter *w = userdata;

	(void)t;
	w->event = *event;
	return 0;
}

/* Where `registered` goes. */
static FILE *output_of(const struct waiter *w)
{
	return w->request->command ? w->ctl->err : w->ctl->out;
}

/* Returns 0, or prints an error and returns -1. A failure of standard error is ignored, since an
 * error line would fail, too. */
static int flush(const struct waiter *w, FILE *f)
{
	if (f == w->ctl->out)
		return output_flush(f);
	(void)fflush(f);
	return 0;
}

/* The time from the registration until the due; for a span, exactly that span. */
static int64_t remaining_until(const toytimer_registration *r, uint64_t due)
{
	if (r->flags & TOYTIMER_RELATIVE)
		return r->due > INT64_MAX ? INT64_MAX : (int64_t)r->due;
	return clock_remaining(due, toytimer_now(r->clock));
}

static int print_registered_json(FILE *out, uint64_t id, uint64_t due, int64_t remaining)
{
	json_t *object = json_object();

	output_json_add(&object, "event", json_string("registered"));
	output_json_add(&object, "id", output_json_number(id));
	output_json_add(&object, "due_us", output_json_number(due));
	output_json_add(&object, "left_us", json_integer(remaining));
	return output_json(out, object);
}

static int print_registered(const struct waiter *w, uint64_t due)
{
	const toytimer_registration *r = &w->request->registration;
	char timestamp[WHEN_TIMESTAMP_MAX], span[WHEN_SPAN_MAX];
	int64_t remaining = remaining_until(r, due);
	FILE *out = output_of(w);
	uint64_t wall = due;

	if (w->request->quiet)
		return 0;
	if (w->request->json)
		return print_registered_json(out, w->id, due, remaining) < 0 ? -1 : flush(w, out);

	if (r->clock != TOYTIMER_REALTIME)
		wall = clock_after(toytimer_now(TOYTIMER_REALTIME), remaining);
	when_format_timestamp(timestamp, sizeof(timestamp), wall, WHEN_LOCAL);
	when_format_span(span, sizeof(span), remaining < 0 ? 0 : (uint64_t)remaining, 0);
	fprintf(out, "registered %llu due %s (in %s)\n", (unsigned long long)w->id, timestamp,
		span);
	return flush(w, out);
}

static int print_woken(const struct waiter *w)
{
	const toytimer_event *event = &w->event;
	FILE *out = w->ctl->out;
	char span[WHEN_SPAN_MAX];

	if (w->request->quiet)
		return 0;
	if (w->request->json) {
		json_t *object = json_object();

		output_json_add(&object, "event", json_string("woken"));
		output_json_add(&object, "id", output_json_number(w->id));
		output_json_add(&object, "due_us", output_json_number(event->due));
		output_json_add(&object, "late_us", output_json_number(event->late));
		output_json_add(&object, "overruns", output_json_number(event->overruns));
		return output_json(out, object) < 0 ? -1 : flush(w, out);
	}

	when_format_span(span, sizeof(span), event->late, 0);
	fprintf(out, "woken %llu late %s overruns %llu\n", (unsigned long long)w->id, span,
		(unsigned long long)event->overruns);
	return flush(w, out);
}

static int set_number(const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	return setenv(name, text, 1);
}

static uint64_t timer_now(const struct waiter *w)
{
	return toytimer_now(w->request->registration.clock);
}

/* Re-arms the timer after COMMAND took longer than a period, so that the periods that passed make
 * one run. If that fails, runs_take() still drops the wakes of periods that had a run. */
static void catch_up(struct waiter *w)
{
	toytimer_registration r = w->request->registration;

	if (!runs_overdue(&w->runs, timer_now(w), &r.due))
		return;
	r.flags = 0;
	r.count = runs_wakes(&w->runs);
	if (toytimer_rearm(w->t, w->timer, &r) == 0)
		runs_rearmed(&w->runs, r.due);
}

/* Returns a status, or WAITING if more wakes will come. */
static int run_command(struct waiter *w)
{
	toytimer_event e = w->event;

	if (!runs_take(&w->runs, &e, timer_now(w)))
		return e.last ? w->command_status : WAITING;
	if (set_number("TIMERD_ID", w->id) < 0 || set_number("TIMERD_DUE_US", e.due) < 0 ||
		set_number("TIMERD_LATE_US", e.late) < 0 ||
		set_number("TIMERD_OVERRUNS", e.overruns) < 0)
		return ctl_no_memory();
	w->command_status = command_run(w->request->command, &w->signals, -1);
	signals_read(&w->signals);
	if (e.last || runs_ended(&w->runs))
		return w->command_status;
	catch_up(w);
	return WAITING;
}

/* The signals have their default action during the write, since a slow reader may block it. */
static int report_woken(struct waiter *w)
{
	int r;

	signals_unblock(&w->signals);
	r = print_woken(w);
	signals_block(&w->signals);
	if (r < 0)
		return CTL_FAILED;
	return w->event.last ? CTL_DONE : WAITING;
}

/* Reports the id that the timer has after a reconnection. id 0: timerd does not have the timer. */
static void report_id(struct waiter *w, uint64_t id)
{
	if (id != 0 && id != w->id) {
		output_error("timerd is back: timer %llu is now %llu", (unsigned long long)w->id,
			(unsigned long long)id);
		w->id = id;
	}
}

/* Returns a status, or WAITING if more events will come. */
static int handle_event(struct waiter *w)
{
	const toytimer_event *e = &w->event;

	switch (e->type) {
	case TOYTIMER_WOKEN:
		report_id(w, e->id);
		return w->request->command ? run_command(w) : report_woken(w);
	case TOYTIMER_CANCELLED:
		report_id(w, e->id);
		output_error("%llu: cancelled by another", (unsigned long long)w->id);
		return CTL_CANCELLED;
	case TOYTIMER_CLOCK_SET:
		break; /* never sent, since toytimerctl does not ask for it */
	case TOYTIMER_REFUSED:
		/* A timerd with other limits or other clients refused the second registration. */
		output_error("%llu: %s", (unsigned long long)w->id, toytimer_strerror(e->error));
		return ctl_status_of(e->error);
	}
	return WAITING;
}

/* Reports once that the connection is lost, and the new id after a reconnection. Returns the
 * timeout for poll(), in milliseconds; -1: none. */
static int report_connection(struct waiter *w)
{
	uint64_t id = 0, now = toytimer_now(TOYTIMER_MONOTONIC);

	if (toytimer_get_timer(w->t, w->timer, &id, NULL) < 0 || id != 0) {
		report_id(w, id);
		w->lost_since = 0;
		w->away_reported = false;
		return -1;
	}
	if (w->lost_since == 0)
		w->lost_since = now;
	if (w->away_reported)
		return -1;
	if (now - w->lost_since < AWAY_US)
		return (int)((w->lost_since + AWAY_US - now) / 1000 + 1);
	output_error("timerd is away: waiting for it, to register timer %llu again",
		(unsigned long long)w->id);
	w->away_reported = true;
	return -1;
}

/* Waits for an event or a signal. Returns a status, or WAITING. */
static int wait_for_event(struct waiter *w)
{
	struct pollfd fds[2] = {
		{.fd = toytimer_get_fd(w->t), .events = (short)toytimer_get_events(w->t)},
		{.fd = w->signals.fd, .events = POLLIN},
	};

	if (poll(fds, 2, report_connection(w)) < 0 && errno != EINTR) {
		output_error("poll: %s", strerror(errno));
		return CTL_FAILED;
	}
	return WAITING;
}

/* Handles events until there is a status. Reads signals after each event, since a timer with a
 * short period may always have a next event. */
static int wait_loop(struct ctl *ctl, struct waiter *w)
{
	int status = WAITING;

	while (status == WAITING) {
		int r = toytimer_process(w->t);

		if (r < 0) {
			output_error("%s", toytimer_strerror(r));
			return ctl_status_of(r);
		}
		if (r > 0)
			status = handle_event(w);
		signals_read(&w->signals);
		ctl->signal = w->signals.caught;
		if (ctl->signal != 0)
			return CTL_SIGNAL + ctl->signal;
		if (r == 0)
			status = wait_for_event(w);
	}
	return status;
}

/* Prints an error that names the option that caused it, if there is one. Returns the status. */
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
	toytimer_unref(w->t);
}

/* Registers and prints `registered`. Returns a status, or WAITING. */
static int waiter_register(struct waiter *w)
{
	toytimer_registration registration = w->request->registration;
	uint64_t due;
	int r;

	registration.handler = store_event;
	registration.userdata = w;
	w->runs.period = registration.every;
	w->runs.count = registration.count;
	if (w->request->command)
		registration.count = runs_wakes(&w->runs);
	r = toytimer_register(w->t, &registration, &w->timer);
	if (r < 0)
		return register_failed(w->request, r);
	r = toytimer_get_timer(w->t, w->timer, &w->id, &due);
	if (r < 0) {
		output_error("register: %s", toytimer_strerror(r));
		return CTL_FAILED;
	}
	return print_registered(w, due) < 0 ? CTL_FAILED : WAITING;
}

int wait_for_wakes(struct ctl *ctl, const struct wait_request *request)
{
	_cleanup_(waiter_close) struct waiter w = {
		.ctl = ctl, .request = request, .signals.fd = -1};
	int r;

	r = ctl_open(ctl, &w.t);
	if (r != CTL_DONE)
		return r;
	r = signals_open(&w.signals, &ctl->inherited);
	if (r < 0) {
		output_error("signals: %s", strerror(-r));
		return r == -EMFILE || r == -ENFILE ? CTL_REFUSED : CTL_FAILED;
	}
	/* Signals are not blocked yet: before the registration, their default action is right. */
	r = waiter_register(&w);
	if (r != WAITING)
		return r;
	(void)toytimer_set_timeout(w.t, CALL_TIMEOUT_US);
	signals_block(&w.signals);
	return wait_loop(ctl, &w);
}
