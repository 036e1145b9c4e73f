/* SPDX-License-Identifier: MIT */
/*
 * The simulation against cores with a fault. A saboteur replaces one function (by the linker's
 * --wrap) and does a small part of its job wrong. The simulation must detect each saboteur, and
 * cut the history to a few steps that fail again in the same way. Without the saboteur those steps
 * must pass.
 */
#include <string.h>
#include <unistd.h>

#include "history.h"
#include "timer_state.h"
#include "lateness.h"
#include "limits.h"
#include "report.h"
#include "sessions.h"
#include "wakes.h"

#define SEEDS 200
#define STEPS 600
/* Most histories need ten steps, but a kill must hit the same store again. */
#define STEPS_CUT 100

enum saboteur {
	NOBODY,
	EARLY,
	LATE,
	LOST,
	TWICE,
	ORDER,
	DRIFT,
	OVERRUNS,
	SLACK,
	RING,
	STATUS,
	LIMIT_TIMERS,
	LIMIT_CLIENTS,
	LEAK,
	HALF,
	BLAMED,
	SPARED,
	SABOTEURS,
};

static const char *const names[SABOTEURS] = {
	[EARLY] = "a wake comes early",
	[LATE] = "a wake comes late",
	[LOST] = "a wake is lost",
	[TWICE] = "a wake comes twice",
	[ORDER] = "equals come in the wrong order",
	[DRIFT] = "a period drifts",
	[OVERRUNS] = "an overrun is not counted",
	[SLACK] = "slack is not used",
	[RING] = "the alarm rings once too often",
	[STATUS] = "a refusal is not counted",
	[LIMIT_TIMERS] = "a user has a timer too many",
	[LIMIT_CLIENTS] = "there is a client too many",
	[LEAK] = "a session's slot has leaked",
	[HALF] = "what was half applied at a kill stays",
	[BLAMED] = "what is no lateness counts as such",
	[SPARED] = "no lateness is counted",
};

static enum saboteur at_work;

/* The function that the linker calls instead, and the original one. Both have the same type. */
#define STANDS_IN(type, name, ...)      \
	__typeof__(name) __real_##name; \
	__typeof__(name) __wrap_##name; \
	type __wrap_##name(__VA_ARGS__)

static struct now shifted(const struct now *now, uint64_t later)
{
	struct now other = *now;

	for (unsigned int clock = 0; clock < PROTO_CLOCKS; clock++)
		other.at[clock] += later;
	return other;
}

static struct proto_wake *wakes_of(void *packet, struct proto_header *ret)
{
	*ret = (struct proto_header){0};
	codec_open(packet, PROTO_PACKET_MAX, CODEC_FROM_DAEMON, ret);
	memcpy(ret, packet, sizeof(*ret));
	ret->count = ret->opcode == PROTO_WAKE ? ret->count : 0;
	return (struct proto_wake *)((uint8_t *)packet + sizeof(*ret));
}

static void spoil_wakes(void *packet, size_t *size)
{
	struct proto_header header;
	struct proto_wake *wakes = wakes_of(packet, &header);

	for (uint16_t i = 0; i + 1 < header.count && at_work == ORDER; i++)
		if (wakes[i].due == wakes[i + 1].due) {
			struct proto_wake first = wakes[i];

			wakes[i] = wakes[i + 1];
			wakes[i + 1] = first;
			return;
		}
	for (uint16_t i = 0; i < header.count && at_work == OVERRUNS; i++)
		wakes[i].overruns -= wakes[i].overruns > 2;
	if (at_work == LOST && header.count > 1) {
		header.count--;
		memcpy(packet, &header, sizeof(header));
		*size -= sizeof(struct proto_wake);
	}
}

STANDS_IN(enum wakes_next, wakes_write, struct worker *w, uint32_t session, const struct now *now,
	bool drained, void *packet, size_t *ret_size)
{
	struct now later = shifted(now, at_work == EARLY ? 1 : 0);
	enum wakes_next what;

	what = __real_wakes_write(w, session, &later, drained, packet, ret_size);
	if (what == WAKES_PACKET)
		spoil_wakes(packet, ret_size);
	return what;
}

STANDS_IN(void, wakes_sent, struct worker *w, const struct now *now)
{
	if (at_work != TWICE || w->batch.opcode != PROTO_WAKE || w->batch.count < 3)
		__real_wakes_sent(w, now);
}

STANDS_IN(bool, sessions_collect, struct arena *arena, const struct now *now, uint32_t budget)
{
	struct now earlier = shifted(now, at_work == LATE ? UINT64_MAX : 0);

	return __real_sessions_collect(arena, &earlier, budget);
}

STANDS_IN(void, timer_state_advance, struct arena *arena, uint32_t timer, uint64_t at)
{
	struct arena_intent change;

	__real_timer_state_advance(arena, timer, at);
	if (at_work != DRIFT)
		return;
	change = timer_state_values(arena, timer);
	change.due++;
	change.latest += change.latest < change.due;
	timer_state_change(arena, timer, &change);
}

STANDS_IN(uint64_t, sessions_next, const struct arena *arena, unsigned int clock)
{
	uint32_t first = arena->header->watched[clock].first;

	if (at_work == SLACK && first)
		return arena_heads(arena, clock)[first].due;
	return __real_sessions_next(arena, clock);
}

STANDS_IN(uint64_t, world_next_alarm, const struct world *w)
{
	uint64_t next = __real_world_next_alarm(w);

	return at_work == RING && next != TIMERS_FOREVER ? next / 2 : next;
}

STANDS_IN(void, report_status, const struct arena *arena, uint32_t session, const struct now *now,
	struct proto_status_answer *ret)
{
	__real_report_status(arena, session, now, ret);
	ret->refused -= at_work == STATUS && ret->refused;
}

STANDS_IN(enum proto_status, limits_check_timer, const struct arena *arena,
	const struct limits *limits, uint32_t user, uint32_t pending)
{
	struct limits more = *limits;

	more.max_timers_per_user += at_work == LIMIT_TIMERS;
	return __real_limits_check_timer(arena, &more, user, pending);
}

STANDS_IN(enum proto_status, limits_take_client, struct arena *arena, const struct limits *limits,
	uint32_t uid, uint32_t *ret_user)
{
	struct limits more = *limits;

	more.max_clients_per_user += at_work == LIMIT_CLIENTS;
	return __real_limits_take_client(arena, &more, uid, ret_user);
}

STANDS_IN(void, arena_free_session, struct arena *arena, uint32_t session)
{
	if (at_work == LEAK)
		ARENA_PUBLISH(arena->sessions[session].state, SESSION_FREE);
	else
		__real_arena_free_session(arena, session);
}

STANDS_IN(void, timer_state_take_back, struct arena *arena)
{
	if (at_work != HALF)
		__real_timer_state_take_back(arena);
}

STANDS_IN(uint64_t, lateness_of, const struct arena *arena, uint32_t timer, const struct now *now)
{
	uint64_t at = timers_now(now, timers_clock(arena, timer)), due = arena->nodes[timer].due;

	if (at_work == BLAMED)
		return at > due ? at - due : 0;
	return at_work == SPARED ? 0 : __real_lateness_of(arena, timer, now);
}

/* Finds the first seed with which the saboteur makes a history fail. */
static bool find(struct history *h, struct world_place *ret)
{
	for (h->seed = 1; h->seed <= SEEDS; h->seed++) {
		*ret = (struct world_place){0};
		if (history_fails(h, ret))
			return true;
	}
	return false;
}

static const char *trouble(struct history *h, struct world_place *place)
{
	struct world_place again = {0}, honest = {0};
	enum saboteur saboteur = at_work;
	bool fails;

	if (!find(h, place))
		return "nobody noticed";
	if (!place->fault)
		return "it ended without a word";
	history_shrink(h);
	*place = (struct world_place){0};
	if (!history_fails(h, place) || !history_fails(h, &again))
		return "what was cut fails no more";
	if (place->fault != again.fault || place->step != again.step)
		return "what was cut fails now so, now so";
	if (h->count > STEPS_CUT)
		return "it was not cut to the least";
	at_work = NOBODY;
	fails = history_fails(h, &honest);
	at_work = saboteur;
	return fails ? "it fails without, too" : NULL;
}

int main(void)
{
	int failed = 0;

	printf("1..%d\n", SABOTEURS - 1);
	for (at_work = NOBODY + 1; at_work < SABOTEURS; at_work++) {
		struct history h = {0};
		struct world_place place = {0};
		const char *text;

		history_number(&h, STEPS, NULL);
		text = trouble(&h, &place);
		failed += text != NULL;
		printf("%s %d - %s: seed %" PRIu64 ", %zu of %d steps: %s\n",
			text ? "not ok" : "ok", (int)at_work, names[at_work], h.seed, h.count,
			STEPS, text ?: place.fault);
		history_free(&h);
	}
	return failed != 0;
}
