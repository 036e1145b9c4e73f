/* SPDX-License-Identifier: MIT */
/* See runs.h. */
#include "runs.h"

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* Leaves out the periods that had a run or that another wake tells of. Returns false if no period
 * is left. */
static bool leave_out(const struct runs *runs, toytimer_event *event)
{
	uint64_t first = runs->from > runs->next ? runs->from : runs->next, n;

	if (event->due >= first)
		return true;
	n = (first - event->due - 1) / runs->every + 1;
	if (n > event->overruns)
		return false;
	event->due = add(event->due, n * runs->every);
	event->overruns -= n;
	return true;
}

/* Adds the periods before this wake that had no run. */
static void add_missed(const struct runs *runs, toytimer_event *event)
{
	uint64_t missed = (event->due - runs->next) / runs->every;

	event->due -= missed * runs->every;
	event->overruns = add(event->overruns, missed);
}

static uint64_t since(uint64_t due, uint64_t now)
{
	return now > due ? now - due : 0;
}

bool runs_take(struct runs *runs, toytimer_event *event, uint64_t now)
{
	uint64_t periods, span;

	if (runs->every && runs->done > 0) {
		if (!leave_out(runs, event))
			return false;
		add_missed(runs, event);
	}
	event->late = since(event->due, now);
	if (runs->every && event->last && event->overruns < event->late / runs->every)
		event->overruns = event->late / runs->every;

	periods = add(event->overruns, 1);
	runs->next = __builtin_mul_overflow(periods, runs->every, &span) ? UINT64_MAX
									 : add(event->due, span);
	runs->done++;
	return true;
}

bool runs_behind(const struct runs *runs, uint64_t now, uint64_t *ret_due)
{
	if (!runs->every || now < runs->next)
		return false;
	*ret_due = runs->next + (now - runs->next) / runs->every * runs->every;
	return true;
}

void runs_rearmed(struct runs *runs, uint64_t due)
{
	runs->from = due;
}
