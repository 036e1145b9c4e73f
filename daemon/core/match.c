/* SPDX-License-Identifier: MIT */
#include "match.h"

#include <string.h>

enum proto_status match_begin(const struct arena *arena, uint32_t session,
	const struct proto_match *m, uint64_t cursor, struct match_scan *ret)
{
	uint32_t uid = arena->sessions[session].uid;
	enum proto_status status = codec_check_match(m);

	if (status)
		return status;
	if (uid != 0 &&
		(m->flags & PROTO_MATCH_EVERYBODY ||
			(m->flags & PROTO_MATCH_USER && m->uid != uid)))
		return PROTO_E_PERMISSION;
	*ret = (struct match_scan){
		.cursor = cursor ? cursor : 1,
		.slots = MATCH_SLOTS,
		.everybody = m->flags & PROTO_MATCH_EVERYBODY,
		.by_label = m->flags & PROTO_MATCH_LABEL,
		.uid = m->flags & PROTO_MATCH_USER ? m->uid : uid,
	};
	memcpy(ret->label, m->label, sizeof(ret->label));
	return PROTO_OK;
}

static bool has_label(const struct arena *arena, uint32_t timer, const char *label)
{
	if (!timers_labelled(arena, timer))
		return !label[0];
	return memcmp(arena->labels[timer], label, PROTO_LABEL_MAX) == 0;
}

static bool is_matching(const struct arena *arena, uint32_t timer, const struct match_scan *scan)
{
	uint32_t owner = arena->timers[timer].session;

	if (timers_state(arena, timer) != TIMER_ARMED || !timers_alive(arena, timer))
		return false;
	if (owner == ARENA_OWN_SESSION)
		return false;
	if (!scan->everybody && arena->sessions[owner].uid != scan->uid)
		return false;
	return !scan->by_label || has_label(arena, timer, scan->label);
}

uint32_t match_next(const struct arena *arena, struct match_scan *scan)
{
	uint64_t top = arena->header->timers_top;

	for (; scan->cursor <= top && scan->slots; scan->cursor++) {
		scan->slots--;
		if (is_matching(arena, (uint32_t)scan->cursor, scan))
			return (uint32_t)scan->cursor++;
	}
	return 0;
}

uint64_t match_cursor(const struct arena *arena, const struct match_scan *scan)
{
	return scan->cursor > arena->header->timers_top ? 0 : scan->cursor;
}

uint32_t match_cost(const struct match_scan *scan)
{
	return (MATCH_SLOTS - scan->slots) / MATCH_SLOTS_A_RECORD;
}
