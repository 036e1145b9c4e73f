/* SPDX-License-Identifier: MIT */
/*
 * Applies the daemon's packets to the handle's timers and requests.
 *
 * codec_open() has checked the frame of each packet. This file checks the contents against the
 * requests that were sent and the timers that exist. If a packet contradicts them, the result is
 * -EPROTO: the handle closes the connection and connects again.
 */
#include <errno.h>
#include <stdlib.h>

#include "codec.h"
#include "answers.h"
#include "requests.h"
#include "text.h"

static void get(const struct session *s, uint32_t i, void *ret, size_t size)
{
	codec_get(s->connection.in, &s->connection.header, i, ret, size);
}

/* Queues a timer's event and updates the timer. Drops an event that has no handler. */
static void deliver(struct session *s, struct timer *timer, const struct event *event)
{
	bool wanted = timer->handler && !timer->released;

	if (wanted)
		events_push(&s->events, timer, event);
	if (!event->last)
		registry_woken(timer, event->due, event->overruns);
	else if (wanted)
		registry_end(&s->timers, timer);
	else
		registry_drop(&s->timers, timer);
}

/* Whether an event belongs to a former id of this timer. A daemon that adopts the sessions of a
 * killed daemon may send such an event again. */
static bool is_of_former_id(const struct timer *timer, uint64_t id)
{
	return timer->revived && (timer->state != TIMER_HELD || timer->id != id);
}

static int take_wake(struct session *s, const struct proto_wake *wake)
{
	struct timer *timer = registry_find(&s->timers, wake->cookie);

	if (!timer || timer->state == TIMER_ENDED)
		return 0;
	if (is_of_former_id(timer, wake->id))
		return 0;
	if (timer->state != TIMER_HELD)
		return -EPROTO;
	/* A new daemon may repeat a wake that has arrived already. */
	if ((int32_t)(wake->number - timer->number) <= 0)
		return 0;
	timer->number = wake->number;
	deliver(s, timer,
		&(struct event){
			.timer = wake->cookie,
			.type = TOYTIMER_WOKEN,
			.due = clock_offsets_receive(
				&s->offsets, timer->clock, wake->due, timer->due),
			.late = wake->late,
			.overruns = wake->overruns,
			.last = wake->flags & PROTO_WAKE_LAST || !timer->every,
		});
	return 0;
}

static int take_cancelled(struct session *s, const struct proto_cancelled *cancelled)
{
	struct timer *timer = registry_find(&s->timers, cancelled->cookie);

	if (!timer || timer->state == TIMER_ENDED)
		return 0;
	if (is_of_former_id(timer, cancelled->id))
		return 0;
	if (timer->state != TIMER_HELD)
		return -EPROTO;
	deliver(s, timer,
		&(struct event){
			.timer = cancelled->cookie,
			.type = TOYTIMER_CANCELLED,
			.last = true,
		});
	return 0;
}

static int take_events(struct session *s)
{
	const struct proto_header *header = &s->connection.header;
	int r = events_reserve(&s->events, &s->timers, header->count);

	for (uint32_t i = 0; r == 0 && i < header->count; i++) {
		struct proto_cancelled cancelled;
		struct proto_wake wake;

		if (header->opcode == PROTO_WAKE) {
			get(s, i, &wake, sizeof(wake));
			r = take_wake(s, &wake);
		} else {
			get(s, i, &cancelled, sizeof(cancelled));
			r = take_cancelled(s, &cancelled);
		}
	}
	return r;
}

/* Two readings of the clocks can differ by up to this much without a setting of the wall clock. */
#define WALL_TOLERANCE_US 10000

static uint64_t wall_offset(void)
{
	return toytimer_now(TOYTIMER_REALTIME) - toytimer_now(TOYTIMER_BOOTTIME);
}

/* The wall clock was set: queues an event for each timer that asked for it. Return: 0 or -ENOMEM.
 */
static int take_clock_set(struct session *s)
{
	struct timer *timer;
	size_t n = 0;
	int r;

	s->wall_offset = wall_offset();
	for (timer = registry_at(&s->timers, s->timers.first); timer;
		timer = registry_at(&s->timers, timer->next))
		n += (timer->flags & PROTO_TELL_CLOCK_SET) != 0;
	r = events_reserve(&s->events, &s->timers, n);
	for (timer = registry_at(&s->timers, s->timers.first); timer && r == 0;
		timer = registry_at(&s->timers, timer->next))
		if (timer->flags & PROTO_TELL_CLOCK_SET && timer->handler && !timer->released)
			events_push(&s->events, timer,
				&(struct event){
					.timer = registry_name(&s->timers, timer),
					.type = TOYTIMER_CLOCK_SET,
					.due = timer->due,
				});
	return r;
}

/* The daemon has answered the hello. If the wall clock was set while there was no connection, this
 * queues the events for it. */
static int take_greeting(struct session *s)
{
	uint64_t change;
	int r = connection_greeted(&s->connection);

	if (r < 0)
		return r;
	change = wall_offset() - s->wall_offset;
	if (s->connection.times > 1 && change + WALL_TOLERANCE_US > 2 * WALL_TOLERANCE_US)
		(void)take_clock_set(s); /* -ENOMEM: this setting has no events */
	s->wall_offset = wall_offset();
	return 0;
}

static void take_refusal(struct session *s, struct timer *timer, struct batch *batch, int error)
{
	if (batch) {
		if (batch->timers)
			batch->timers[timer->number] = 0;
		if (batch->errors)
			batch->errors[timer->number] = error;
		registry_drop(&s->timers, timer);
		return;
	}
	timer->id = 0;
	deliver(s, timer,
		&(struct event){
			.timer = registry_name(&s->timers, timer),
			.type = TOYTIMER_REFUSED,
			.error = error,
			.last = true,
		});
}

static void take_registered(
	struct session *s, struct timer *timer, const struct proto_registered *answer)
{
	struct batch *batch = timer->batch;
	uint32_t status = s->connection.header.status;

	if (!status)
		status = answer->status;
	timer->state = TIMER_HELD;
	timer->id = answer->id;
	if (batch)
		batch->pending--;
	if (status) {
		bool too_old = timer->flags & PROTO_TELL_CLOCK_SET &&
			!(s->connection.capabilities & PROTO_CAN_TELL_CLOCK_SET);

		take_refusal(s, timer, batch, too_old ? -ENOSYS : text_errno(status));
		return;
	}
	if (batch)
		batch->registered++;
	timer->due = clock_offsets_learn(&s->offsets, timer->clock, timer->due, answer->due);
	timer->number = 0;
	/* The caller has stopped waiting, or has cancelled the timer meanwhile. If there is no
	 * memory to cancel it at the daemon, the daemon keeps the timer, and deliver() drops its
	 * wakes. */
	if (timer->released)
		(void)requests_queue_cancel(s, timer);
}

static int take_registered_all(struct session *s, const struct request *request)
{
	const struct proto_header *header = &s->connection.header;
	uint32_t slot = request->first, refused = 0;
	struct proto_registered answer;
	int r;

	for (uint32_t i = 0; i < header->count; i++) {
		get(s, i, &answer, sizeof(answer));
		refused += header->status || answer.status;
		if (!answer.id && !header->status && !answer.status)
			return -EPROTO;
	}
	r = events_reserve(&s->events, &s->timers, refused);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < header->count; i++) {
		struct timer *timer = registry_at(&s->timers, slot);

		slot = timer->next;
		get(s, i, &answer, sizeof(answer));
		take_registered(s, timer, &answer);
	}
	requests_done(&s->requests);
	return 0;
}

/*
 * Applies the answer for one timer of a cancel request. -ENOENT from the daemon can mean that the
 * timer ended before the request arrived. The last event is then queued here, or follows this
 * answer. No handler has started for that event, so the timer counts as cancelled.
 */
static void take_cancel(struct session *s, struct cancel_item *item, int error)
{
	struct timer *timer = requests_cancelled(s, item);

	item->error = error;
	if (!timer || (error && error != -ENOENT))
		return;
	item->error = 0;
	registry_drop(&s->timers, timer);
}

static void take_cancels(struct session *s, struct call *call)
{
	for (uint32_t i = 0; i < call->n; i++) {
		struct proto_cancel_answer answer;

		get(s, i, &answer, sizeof(answer));
		take_cancel(s, &call->cancels[i],
			text_errno(s->connection.header.status ?: answer.status));
	}
	call_finish(call, 0);
}

/* The caller has reserved room for one event. Return: 0 or a negative errno. */
static int take_rearmed(struct session *s, const struct rearm_item *item, bool asynchronous,
	const struct proto_registered *answer)
{
	struct timer *timer = registry_find(&s->timers, item->timer);
	int error = text_errno(s->connection.header.status ?: answer->status);
	bool held = timer && timer->state == TIMER_HELD && timer->id == item->record.id;

	if (!error && held && answer->id == timer->id)
		registry_rearm(timer, &item->record);
	/* -ENOENT needs no event here: the timer has ended, and its last event says so. */
	if (error && error != -ENOENT && held && asynchronous && timer->handler && !timer->released)
		events_push(&s->events, timer,
			&(struct event){
				.timer = item->timer,
				.type = TOYTIMER_REFUSED,
				.error = error,
			});
	return error;
}

/* The caller has reserved room for an event for each record. */
static void take_rearms(struct session *s, struct call *call)
{
	struct proto_registered answer;
	int error = 0;

	for (uint32_t i = 0; i < call->n; i++) {
		get(s, i, &answer, sizeof(answer));
		error = take_rearmed(s, &call->rearms[i], call->asynchronous, &answer);
	}
	call_finish(call, error);
}

/* Whether a page moves the cursor forward, by at least one slot for each timer of the page, and
 * within the slots that a daemon can have. A request of several pages then ends, even if the daemon
 * errs. */
static bool page_advances(const struct call *call, const struct proto_header *header)
{
	const uint64_t slots = UINT64_C(1) << PROTO_ID_INDEX_BITS;

	if (!header->cursor)
		return true;
	return header->cursor <= slots && header->cursor > call->page.cursor &&
		header->cursor - call->page.cursor >= header->count;
}

static int take_page(struct session *s, struct call *call)
{
	const struct proto_header *header = &s->connection.header;
	int r = text_errno(header->status);

	if (r == 0 && !page_advances(call, header)) {
		call_finish(call, -EPROTO);
		return -EPROTO;
	}
	if (r == 0 && header->count && !call->detached) {
		call->page.records = calloc(header->count, sizeof(struct proto_listed));
		r = call->page.records ? 0 : -ENOMEM;
	}
	if (r == 0 && !call->detached)
		for (; call->page.n < header->count; call->page.n++)
			get(s, (uint32_t)call->page.n, &call->page.records[call->page.n],
				sizeof(struct proto_listed));
	call->page.cursor = header->cursor;
	call_finish(call, r);
	return 0;
}

/* The daemon sends no event to the session that cancels: this answer names the cancelled timers. */
static int take_cancelled_page(struct session *s, struct call *call)
{
	const struct proto_header *header = &s->connection.header;

	if (!page_advances(call, header)) {
		call_finish(call, -EPROTO);
		return -EPROTO;
	}
	for (uint32_t i = 0; i < header->count; i++) {
		struct proto_cancelled cancelled;
		struct timer *timer;

		get(s, i, &cancelled, sizeof(cancelled));
		timer = requests_cancelled(
			s, &(struct cancel_item){.timer = cancelled.cookie, .id = cancelled.id});
		if (cancelled.cookie && timer)
			registry_drop(&s->timers, timer);
	}
	call->page.n += header->count;
	call->page.cursor = header->cursor;
	call_finish(call, text_errno(header->status));
	return 0;
}

static void take_status(struct session *s, struct call *call)
{
	get(s, 0, &call->status, sizeof(call->status));
	call_finish(call, text_errno(s->connection.header.status));
}

/* A daemon that adopts the sessions of a killed daemon may repeat the last answer. The repeated
 * answer has no request and is ignored. */
static int take_answer(struct session *s)
{
	const struct proto_header *header = &s->connection.header;
	uint16_t opcode = header->opcode & (uint16_t)~PROTO_ANSWER;
	struct request *request = requests_find(&s->requests, header->serial, opcode);
	struct call *call;

	if (!request)
		return header->serial <= s->connection.serial - s->requests.length ? 0 : -EPROTO;
	if ((opcode == PROTO_REGISTER || opcode == PROTO_CANCEL || opcode == PROTO_REARM) &&
		header->count != request->count)
		return -EPROTO;
	if (opcode == PROTO_REGISTER)
		return take_registered_all(s, request);

	if (opcode == PROTO_REARM && events_reserve(&s->events, &s->timers, header->count) < 0)
		return -ENOMEM;

	call = request->call;
	requests_done(&s->requests);
	switch (opcode) {
	case PROTO_CANCEL:
		take_cancels(s, call);
		break;
	case PROTO_REARM:
		take_rearms(s, call);
		break;
	case PROTO_LIST:
	case PROTO_LIST_MATCHING:
		return take_page(s, call);
	case PROTO_CANCEL_MATCHING:
		return take_cancelled_page(s, call);
	case PROTO_STATUS:
		take_status(s, call);
		break;
	}
	return 0;
}

int answers_take(struct session *s)
{
	struct proto_resumed resumed;
	struct proto_error error;

	switch (s->connection.header.opcode) {
	case PROTO_ERROR:
		get(s, 0, &error, sizeof(error));
		return text_refusal(error.status) ?: -EPROTO;
	case PROTO_GOING_AWAY:
		return -ECONNRESET;
	case PROTO_HELLO | PROTO_ANSWER:
		if (s->connection.state != CONNECTION_GREETING)
			return -EPROTO;
		return take_greeting(s);
	}
	if (s->connection.state != CONNECTION_UP)
		return -EPROTO;
	if (s->connection.header.opcode & PROTO_ANSWER)
		return take_answer(s);
	if (s->connection.header.opcode == PROTO_RESUMED) {
		get(s, 0, &resumed, sizeof(resumed));
		return requests_resume(s, resumed.serial);
	}
	if (s->connection.header.opcode == PROTO_CLOCK_SET)
		return take_clock_set(s);
	return take_events(s);
}
