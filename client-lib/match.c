/* SPDX-License-Identifier: MIT */
/*
 * Listing timers, and cancelling by user and label. Each request returns one page of timers. A
 * listing passes a page to the handler before it asks for the next one, so memory does not grow
 * with the number of timers.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "calls.h"
#include "codec.h"
#include "handle.h"
#include "public.h"
#include "requests.h"
#include "text.h"

/* The state of a request of several pages. */
struct pages {
	uint16_t opcode;
	struct proto_match match;
	uint64_t cursor;
	uint64_t times;	   /* connection.times of the first page */
	uint64_t deadline; /* for all pages together; 0: not computed yet */
};

static int set_match(struct pages *pages, const toytimer_match *m)
{
	const unsigned int known = TOYTIMER_MATCH_USER | TOYTIMER_MATCH_EVERYBODY;
	size_t length = 0;

	if (!m)
		return 0;
	if (m->flags & ~known)
		return text_invalid("match.flags: an unknown flag");
	if (m->flags == known)
		return text_invalid("match.flags: either USER or EVERYBODY");
	if (m->reserved[0] || m->reserved[1])
		return text_invalid("match.reserved: not 0");
	if (m->uid && !(m->flags & TOYTIMER_MATCH_USER))
		return text_invalid("match.uid: set without TOYTIMER_MATCH_USER");
	if (m->label)
		length = strnlen(m->label, TOYTIMER_LABEL_MAX + 1);
	if (length > TOYTIMER_LABEL_MAX)
		return text_invalid(TEXT_LABEL_LONG);
	if (m->label && !codec_label_valid(m->label, length))
		return text_invalid(TEXT_LABEL_PRINTABLE);
	if (m->flags & TOYTIMER_MATCH_USER)
		pages->match.flags |= PROTO_MATCH_USER;
	if (m->flags & TOYTIMER_MATCH_EVERYBODY)
		pages->match.flags |= PROTO_MATCH_EVERYBODY;
	if (m->label)
		pages->match.flags |= PROTO_MATCH_LABEL;
	pages->match.uid = m->uid;
	memcpy(pages->match.label, m->label ? m->label : "", length);
	return 0;
}

/* Asks for the next page, with the lock held. Return: 0, and the caller frees *ret; or a negative
 * errno. */
static int ask_page(struct toytimer *t, struct pages *pages, struct call **ret)
{
	struct call *call;
	int r;

	if (!requests_supports(&t->session, pages->opcode))
		return -ENOSYS;
	if (!pages->deadline)
		pages->deadline = handle_deadline(t);
	if (pages->cursor && pages->times != t->session.connection.times) {
		if (pages->opcode != PROTO_CANCEL_MATCHING)
			return -ECONNRESET;
		pages->cursor = 0; /* a new daemon: start over; cancelling twice does no harm */
	}
	call = call_new(pages->opcode, 0);
	if (!call)
		return -ENOMEM;
	call->page.match = pages->match;
	call->page.cursor = pages->cursor;
	r = call_ask(t, call, pages->deadline);
	if (r < 0)
		return r;
	r = call->result;
	if (r < 0) {
		call_free(call);
		return r;
	}
	pages->cursor = call->page.cursor;
	pages->times = t->session.connection.times;
	*ret = call;
	return 0;
}

static int show(struct toytimer *t, const struct proto_listed *listed,
	int (*handler)(const toytimer_listed *listed, void *userdata), void *userdata)
{
	char label[PROTO_LABEL_MAX + 1] = "", comm[PROTO_COMM_MAX + 1] = "";
	toytimer_listed shown = {
		.id = listed->id,
		.label = label,
		.clock = (enum toytimer_clock)listed->clock,
		.flags = listed->flags & PROTO_WAKE_SYSTEM ? TOYTIMER_WAKE_SYSTEM : 0,
		.due = clock_offsets_listed(
			&t->session.offsets, listed->clock, listed->due, listed->left),
		.left = listed->left,
		.slack = listed->slack,
		.every = listed->every,
		.count = listed->count,
		.fired = listed->fired,
		.uid = listed->uid,
		.pid = listed->pid,
		.comm = comm,
	};

	if (listed->clock >= PROTO_CLOCKS)
		return -EPROTO;
	memcpy(label, listed->label, sizeof(listed->label));
	memcpy(comm, listed->comm, sizeof(listed->comm));
	return handler(&shown, userdata);
}

static void drop_call(void *userdata)
{
	call_free(userdata);
}

/* Calls the handler for each timer of a page, and frees the page. */
static int show_page(struct toytimer *t, struct call *call,
	int (*handler)(const toytimer_listed *listed, void *userdata), void *userdata)
{
	int r = 0;

	pthread_cleanup_push(drop_call, call);
	for (size_t i = 0; r == 0 && i < call->page.n; i++) {
		r = show(t, &call->page.records[i], handler, userdata);
		if (!connection_is_ours(&t->session.connection))
			r = -ECHILD;
	}
	pthread_cleanup_pop(1);
	return r;
}

static int list(struct toytimer *t, struct pages *pages,
	int (*handler)(const toytimer_listed *listed, void *userdata), void *userdata)
{
	struct call *call;
	int r;

	do {
		uint64_t before;

		r = handle_enter(t);
		if (r < 0)
			return r;
		r = ask_page(t, pages, &call);
		handle_leave(t);
		if (r < 0)
			return r;
		before = toytimer_now(TOYTIMER_MONOTONIC);
		r = show_page(t, call, handler, userdata);
		/* The handler's time does not count against the daemon. */
		if (__builtin_add_overflow(pages->deadline,
			    toytimer_now(TOYTIMER_MONOTONIC) - before, &pages->deadline))
			pages->deadline = TOYTIMER_FOREVER;
	} while (r == 0 && pages->cursor);
	return r;
}

_public_ int toytimer_list(toytimer *t, unsigned int flags,
	int (*handler)(const toytimer_listed *listed, void *userdata), void *userdata)
{
	struct pages pages = {.opcode = PROTO_LIST};

	if (!handler)
		return text_invalid("handler: NULL");
	if (flags & ~(unsigned int)TOYTIMER_LIST_ALL)
		return text_invalid("flags: an unknown flag");
	if (flags & TOYTIMER_LIST_ALL)
		pages.match.flags = PROTO_MATCH_EVERYBODY;
	return list(t, &pages, handler, userdata);
}

_public_ int toytimer_list_matching(toytimer *t, const toytimer_match *match,
	int (*handler)(const toytimer_listed *listed, void *userdata), void *userdata)
{
	struct pages pages = {.opcode = PROTO_LIST_MATCHING};
	int r;

	if (!handler)
		return text_invalid("handler: NULL");
	r = set_match(&pages, match);
	return r < 0 ? r : list(t, &pages, handler, userdata);
}

/* Cancels matching timers of this handle that have ended at the daemon, but whose last event is not
 * processed. Return: how many. */
static uint64_t cancel_ended(struct toytimer *t, const struct proto_match *m)
{
	uint64_t n = 0;

	if (m->flags & PROTO_MATCH_USER && m->uid != geteuid())
		return 0;
	for (uint32_t i = 0; i < t->session.timers.used; i++) {
		struct timer *timer = &t->session.timers.array[i];

		if (timer->state != TIMER_ENDED || timer->released)
			continue;
		if (m->flags & PROTO_MATCH_LABEL &&
			strncmp(timer->label ? timer->label : "", m->label, sizeof(m->label)) != 0)
			continue;
		registry_drop(&t->session.timers, timer);
		n++;
	}
	return n;
}

_public_ int toytimer_cancel_matching(
	toytimer *t, const toytimer_match *match, uint64_t *ret_cancelled)
{
	struct pages pages = {.opcode = PROTO_CANCEL_MATCHING};
	uint64_t cancelled = 0;
	struct call *call;
	int r = set_match(&pages, match);

	if (r < 0)
		return r;
	r = handle_enter(t);
	if (r < 0)
		return r;
	do {
		r = ask_page(t, &pages, &call);
		if (r < 0)
			break;
		cancelled += call->page.n;
		call_free(call);
	} while (pages.cursor);
	if (r == 0)
		cancelled += cancel_ended(t, &pages.match);
	handle_leave(t);
	if (r == 0 && ret_cancelled)
		*ret_cancelled = cancelled;
	return r;
}
