/* SPDX-License-Identifier: MIT */
/*
 * Writes packets of events, and applies them after they were sent. Writing changes no timer. So a
 * kill before the packet is applied loses no wake: the next process sends the wake again.
 */
#include "wakes.h"

#include <string.h>

#include "check.h"
#include "errors.h"
#include "histogram.h"
#include "lateness.h"

/* Cancellations by other sessions come before wakes. */
static void write_cancelled(struct worker *w, uint32_t session, struct codec_writer *writer)
{
	struct arena *arena = &w->arena;

	for (uint32_t timer = sessions_first_cancelled(arena, session);
		timer && !codec_full(writer); timer = sessions_next_cancelled(arena, timer)) {
		struct proto_cancelled *cancelled = codec_add(writer, sizeof(*cancelled));

		*cancelled = (struct proto_cancelled){
			.cookie = arena->timers[timer].cookie,
			.id = timers_id(arena, timer),
		};
		w->batch.timers[w->batch.count++] = timer;
	}
}

/* The field `late` of a wake. The status measures lateness_of() instead. */
static uint64_t time_since_due(const struct arena *arena, uint32_t timer, uint64_t at)
{
	/* The clock may have been set back since the timer was found due. */
	return at > arena->nodes[timer].due ? at - arena->nodes[timer].due : 0;
}

static void write_wake(
	struct worker *w, uint32_t timer, uint64_t at, uint64_t now, struct codec_writer *writer)
{
	const struct arena *arena = &w->arena;
	const struct timer *t = &arena->timers[timer];
	struct proto_wake *wake = codec_add(writer, sizeof(*wake));

	*wake = (struct proto_wake){
		.cookie = t->cookie,
		.id = timers_id(arena, timer),
		.due = arena->nodes[timer].due,
		.late = time_since_due(arena, timer, now),
		.overruns = timers_overruns(arena, timer, at),
		.number = t->fired + 1,
		.flags = timers_last(arena, timer, at) ? PROTO_WAKE_LAST : 0,
	};
	w->batch.timers[w->batch.count++] = timer;
}

/* The number of timers whose records are prefetched together. */
#define GATHERED 16

/* Finds at most GATHERED timers that are due at that time, starting at `timer`, and prefetches
 * their records. Return: how many. */
static unsigned int gather(
	const struct arena *arena, uint32_t timer, uint64_t at, uint32_t timers[static GATHERED])
{
	unsigned int n = 0;

	for (; timer && arena->nodes[timer].due <= at && n < GATHERED;
		timer = rbtree_next(arena->nodes, timer)) {
		__builtin_prefetch(&arena->timers[timer]);
		timers[n++] = timer;
	}
	return n;
}

/* Writes the wakes that are due at the batch's time. Return: whether it stopped at a timer whose
 * last wake its client may not have read. */
static bool write_wakes(struct worker *w, const struct session *s, const struct now *now,
	bool drained, struct codec_writer *writer)
{
	const struct arena *arena = &w->arena;
	uint32_t timers[GATHERED];

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint64_t at = timers_now(&w->batch.at, clock);
		uint32_t next = s->timers[clock].first;
		unsigned int n;

		while ((n = gather(arena, next, at, timers))) {
			for (unsigned int i = 0; i < n; i++) {
				if (codec_full(writer))
					return false;
				if (!drained && arena->timers[timers[i]].fired)
					return true;
				write_wake(w, timers[i], at, timers_now(now, clock), writer);
				w->batch.last[clock] = timers[i];
			}
			next = rbtree_next(arena->nodes, timers[n - 1]);
		}
	}
	return false;
}

void wakes_end_sending(struct session *s)
{
	if (s->sending && !sessions_send_again(s))
		ARENA_PUBLISH(s->sending, 0);
}

/*
 * A wake that is sent again must have the same overruns as before, because the client ignores a
 * second wake of the same number. So the session stores the time for which a packet is made. After
 * an adoption the packet is made again for that time, even if a clock was set back since. Only
 * `late` is computed again.
 */
static bool write_batch(struct worker *w, struct session *s, const struct now *now, bool drained,
	struct codec_writer *writer)
{
	bool held;

	w->batch.at = *now;
	if (s->adoption == SESSION_SENDS_AGAIN) {
		memcpy(w->batch.at.at, s->sent_at, sizeof(s->sent_at));
		held = write_wakes(w, s, now, drained, writer);
		if (w->batch.count || held)
			return held;
		s->adoption = SESSION_RECOVERED;
		wakes_end_sending(s);
		w->batch.at = *now;
	}
	held = write_wakes(w, s, now, drained, writer);
	if (!w->batch.count)
		return held;
	for (unsigned int clock = 0; clock < PROTO_CLOCKS; clock++)
		ARENA_WRITE(s->sent_at[clock], now->at[clock]);
	ARENA_PUBLISH(s->sending, check_sending(s));
	return held;
}

/* Tells the client that a new daemon has adopted its session. */
static size_t write_resumed(const struct session *s, void *packet)
{
	struct proto_resumed resumed = {.serial = s->serial};
	struct codec_writer writer;

	codec_begin(&writer, packet, PROTO_RESUMED, 0);
	codec_put(&writer, &resumed, sizeof(resumed));
	return codec_end(&writer, 0);
}

enum wakes_next wakes_write(struct worker *w, uint32_t session, const struct now *now, bool drained,
	void *packet, size_t *ret_size)
{
	struct session *s = &w->arena.sessions[session];
	struct codec_writer writer;
	bool held = false, cancelled = sessions_first_cancelled(&w->arena, session);

	if (s->fault) {
		*ret_size = errors_write(packet, s->fault, 0, errors_text(s->fault));
		return WAKES_END;
	}
	w->batch.session = session;
	w->batch.count = 0;
	memset(w->batch.last, 0, sizeof(w->batch.last));
	if (s->adoption == SESSION_SENDS_RESUMED) {
		w->batch.opcode = PROTO_RESUMED;
		*ret_size = write_resumed(s, packet);
		return WAKES_PACKET;
	}
	if (s->clock_set_pending && !cancelled) {
		w->batch.opcode = PROTO_CLOCK_SET;
		codec_begin(&writer, packet, PROTO_CLOCK_SET, 0);
		*ret_size = codec_end(&writer, 0);
		return WAKES_PACKET;
	}
	w->batch.opcode = cancelled ? PROTO_CANCELLED : PROTO_WAKE;
	codec_begin(&writer, packet, w->batch.opcode, 0);
	if (cancelled)
		write_cancelled(w, session, &writer);
	else
		held = write_batch(w, s, now, drained, &writer);
	if (!w->batch.count)
		return held ? WAKES_HOLD : WAKES_NOTHING;
	*ret_size = codec_end(&writer, 0);
	return WAKES_PACKET;
}

/* Applies one wake. The timer is in no tree. Return: whether that was its last wake. */
static bool woken(struct worker *w, uint32_t timer, const struct now *now)
{
	struct arena *arena = &w->arena;
	unsigned int clock = timers_clock(arena, timer);
	uint64_t at = timers_now(&w->batch.at, clock);

	histogram_add(&arena->header->counters, lateness_of(arena, timer, now));
	if (timers_last(arena, timer, at)) {
		timer_state_free(arena, timer);
		return true;
	}
	timer_state_advance(arena, timer, at);
	sessions_enroll(arena, timer);
	return false;
}

static void count_woken(struct arena *arena, const struct wakes_batch *batch)
{
	struct tally *tally = limits_tally(arena, batch->session);

	tally->wakeups++;
	tally->woken += batch->count;
	arena->header->counters.woken += batch->count;
}

void wakes_sent(struct worker *w, const struct now *now)
{
	struct wakes_batch *batch = &w->batch;
	struct session *s = &w->arena.sessions[batch->session];
	uint32_t gone = 0;

	if (batch->opcode == PROTO_RESUMED)
		s->adoption = s->sending ? SESSION_SENDS_AGAIN : SESSION_RECOVERED;
	if (batch->opcode == PROTO_CLOCK_SET)
		ARENA_WRITE(s->clock_set_pending, false);
	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		if (batch->last[clock])
			sessions_withdraw_until(&w->arena, batch->last[clock]);
	if (batch->opcode == PROTO_CANCELLED) {
		for (uint32_t i = 0; i < batch->count; i++)
			sessions_free_cancelled(&w->arena, batch->session);
		gone = batch->count;
	} else if (batch->opcode == PROTO_WAKE) {
		count_woken(&w->arena, batch);
		for (uint32_t i = 0; i < batch->count; i++)
			gone += woken(w, batch->timers[i], now);
		wakes_end_sending(s);
	}
	timer_state_count_freed(&w->arena, batch->session, gone);
	batch->count = 0;
}
