/* SPDX-License-Identifier: MIT */
/*
 * See wait.h. The library's handler only notes an event; it is handled outside, where a status can be
 * returned. Each line is written at once: whoever reads them through a pipe waits for each.
 *
 * With a COMMAND standard output is COMMAND's, so that `$(toytimerctl register ... -- COMMAND)` is
 * what COMMAND prints. Then our own line goes to standard error.
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

/* How long a connection may be lost before that is told: a restart takes less. */
#define AWAY_US UINT64_C(200000)

/* For how long a daemon that does not answer may keep us from SIGTERM. */
#define PATIENCE_US UINT64_C(1000000)

/* Clocks that are this far apart are those of two time namespaces. */
#define SKEW_LEAST_US 1000000

struct waiter {
	const struct wait_request *request;
	toytimer *t;
	uint64_t timer; /* its name at t */
	struct signals signals;
	toytimer_event event; /* the last one that came */
	uint64_t id;	      /* the last that was told of */
	uint64_t lost_since;  /* monotonic; 0: the daemon holds the timer */
	bool lost_told;
	int64_t skew; /* of the daemon's clock, as it is seen here */
	struct runs runs;
	int command_status; /* of the last command */
};

/* A wait goes on until it has a status, none of which is negative. */
#define WAITING (-1)

static int take_event(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct waiter *w = userdata;

	(void)t;
	w->event = *event;
	return 0;
}

static FILE *output_of(const struct wait_request *request)
{
	return request->command ? stderr : stdout;
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
		return output_json(output_of(request), object);
	}

	if (r->clock != TOYTIMER_REALTIME)
		wall = clock_after(toytimer_now(TOYTIMER_REALTIME), left);
	when_format_timestamp(timestamp, sizeof(timestamp), wall, WHEN_LOCAL);
	when_format_span(span, sizeof(span), left < 0 ? 0 : (uint64_t)left, 0);
	fprintf(output_of(request), "registered %llu due %s (in %s)\n", (unsigned long long)id,
		timestamp, span);
	return output_flush(output_of(request));
}

static int print_woken(const struct wait_request *request, uint64_t id, const toytimer_event *event)
{
	char span[WHEN_SPAN_MAX];

	if (request->quiet)
		return 0;
	if (request->json) {
		json_t *object = json_object();

		output_json_add(&object, "event", json_string("woken"));
		output_json_add(&object, "id", output_json_number(id));
		output_json_add(&object, "due_us", output_json_number(event->due));
		output_json_add(&object, "late_us", output_json_number(event->late));
		output_json_add(&object, "overruns", output_json_number(event->overruns));
		return output_json(stdout, object);
	}

	when_format_span(span, sizeof(span), event->late, 0);
	printf("woken %llu late %s overruns %llu\n", (unsigned long long)id, span,
		(unsigned long long)event->overruns);
	return output_flush(stdout);
}

static int set_number(const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	return setenv(name, text, 1);
}

static uint64_t daemon_now(const struct waiter *w)
{
	return clock_after(toytimer_now(w->request->registration.clock), w->skew);
}

/* Several periods have passed while COMMAND ran: they shall make one run. Whatever comes of the
 * re-arming, runs_take() sorts out which periods a wake is for. */
static void catch_up(struct waiter *w)
{
	toytimer_registration r = w->request->registration;

	if (!runs_behind(&w->runs, daemon_now(w), &r.due))
		return;
	r.flags = 0;
	if (r.count > 0)
		r.count -= (uint32_t)w->runs.done;
	if (toytimer_rearm(w->t, w->timer, &r) == 0)
		runs_rearmed(&w->runs, r.due);
}

/* Returns a status, or WAITING if there is more to come. */
static int run_command(struct waiter *w)
{
	uint32_t count = w->request->registration.count;
	toytimer_event e = w->event;

	if (!runs_take(&w->runs, &e, daemon_now(w)))
		return e.last ? w->command_status : WAITING;
	if (set_number("TIMERD_ID", w->id) < 0 || set_number("TIMERD_DUE_US", e.due) < 0 ||
		set_number("TIMERD_LATE_US", e.late) < 0 ||
		set_number("TIMERD_OVERRUNS", e.overruns) < 0)
		return ctl_no_memory();
	w->command_status = command_run(w->request->command, &w->signals, -1);
	signals_take(&w->signals);
	if (e.last || (count > 0 && w->runs.done >= count))
		return w->command_status;
	catch_up(w);
	return WAITING;
}

/* The default actions hold while a line is written: its reader may be slow. */
static int tell_woken(struct waiter *w)
{
	int r;

	signals_unblock(&w->signals);
	r = print_woken(w->request, w->id, &w->event);
	signals_block(&w->signals);
	if (r < 0)
		return CTL_FAILED;
	return w->event.last ? CTL_DONE : WAITING;
}

static void tell_id(struct waiter *w, uint64_t id)
{
	if (id != 0 && id != w->id) {
		output_error("timerd is back: timer %llu is now %llu", (unsigned long long)w->id,
			(unsigned long long)id);
		w->id = id;
	}
}

/* Returns a status, or WAITING if there is more to come. */
static int handle_event(struct waiter *w)
{
	const toytimer_event *e = &w->event;

	switch (e->type) {
	case TOYTIMER_WOKEN:
		/* 0: the connection was lost after the wake had arrived. */
		tell_id(w, e->id);
		return w->request->command ? run_command(w) : tell_woken(w);
	case TOYTIMER_CANCELLED:
		tell_id(w, e->id);
		output_error("%llu: cancelled by another", (unsigned long long)w->id);
		return CTL_CANCELLED;
	case TOYTIMER_REFUSED:
		/* timerd was started again, with other limits or other clients than before. */
		output_error("%llu: %s", (unsigned long long)w->id, toytimer_strerror(e->error));
		return ctl_status_of(e->error);
	}
	return WAITING;
}

/* Tells that the daemon is away, once each time, and under which id the timer is registered again.
 * Returns for how many milliseconds to wait at most; -1: for ever. */
static int tell_connection(struct waiter *w)
{
	uint64_t id = 0, now = toytimer_now(TOYTIMER_MONOTONIC);

	if (toytimer_get_timer(w->t, w->timer, &id, NULL) < 0 || id != 0) {
		tell_id(w, id);
		w->lost_since = 0;
		w->lost_told = false;
		return -1;
	}
	if (w->lost_since == 0)
		w->lost_since = now;
	if (w->lost_told)
		return -1;
	if (now - w->lost_since < AWAY_US)
		return (int)((w->lost_since + AWAY_US - now) / 1000 + 1);
	output_error("timerd is away: waiting for it, to register timer %llu again",
		(unsigned long long)w->id);
	w->lost_told = true;
	return -1;
}

/* Waits for an event or a signal. Returns a status, or WAITING. */
static int wait_for_event(struct waiter *w)
{
	struct pollfd fds[2] = {
		{.fd = toytimer_get_fd(w->t), .events = (short)toytimer_get_events(w->t)},
		{.fd = w->signals.fd, .events = POLLIN},
	};

	if (poll(fds, 2, tell_connection(w)) < 0 && errno != EINTR) {
		output_error("poll: %s", strerror(errno));
		return CTL_FAILED;
	}
	return WAITING;
}

/* Handles events until there is a status. Signals are looked at between any two events: of a short
 * period there may always be a next one. */
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
		signals_take(&w->signals);
		ctl->signal = w->signals.caught;
		if (ctl->signal != 0)
			return CTL_SIGNAL + ctl->signal;
		if (r == 0)
			status = wait_for_event(w);
	}
	return status;
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

/* The daemon may be in another time namespace. What it answered to a span tells how far apart the
 * clocks are; less is the time that the answer took. */
static int64_t clock_skew(const toytimer_registration *r, uint64_t due)
{
	int64_t skew;

	if (!(r->flags & TOYTIMER_RELATIVE) || r->clock == TOYTIMER_REALTIME)
		return 0;
	skew = clock_left(due, clock_after(toytimer_now(r->clock), left_of(r, due)));
	return skew > 0 || skew < -SKEW_LEAST_US ? skew : 0;
}

static void waiter_close(struct waiter *w)
{
	signals_close(&w->signals);
	toytimer_unref(w->t);
}

/* Registers, and tells of it. Returns a status, or WAITING. */
static int waiter_register(struct waiter *w)
{
	toytimer_registration registration = w->request->registration;
	uint64_t due;
	int r;

	registration.handler = take_event;
	registration.userdata = w;
	r = toytimer_register(w->t, &registration, &w->timer);
	if (r < 0)
		return register_failed(w->request, r);
	r = toytimer_get_timer(w->t, w->timer, &w->id, &due);
	if (r < 0) {
		output_error("register: %s", toytimer_strerror(r));
		return CTL_FAILED;
	}
	w->skew = clock_skew(&registration, due);
	w->runs.every = registration.every;
	return print_registered(w->request, w->id, due) < 0 ? CTL_FAILED : WAITING;
}

int wait_for_wakes(struct ctl *ctl, const struct wait_request *request)
{
	_cleanup_(waiter_close) struct waiter w = {.request = request, .signals.fd = -1};
	int r;

	r = ctl_open(ctl, &w.t);
	if (r != CTL_DONE)
		return r;
	r = signals_open(&w.signals, &ctl->inherited);
	if (r < 0) {
		output_error("signals: %s", strerror(-r));
		return r == -EMFILE || r == -ENFILE ? CTL_REFUSED : CTL_FAILED;
	}
	/* Until the timer is registered an interrupt has nothing to undo. */
	r = waiter_register(&w);
	if (r != WAITING)
		return r;
	(void)toytimer_set_timeout(w.t, PATIENCE_US);
	signals_block(&w.signals);
	return wait_loop(ctl, &w);
}
