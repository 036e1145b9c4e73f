/* SPDX-License-Identifier: MIT */
/* See runs.h. */
#include "runs.h"

static uint64_t add(uint64_t a, uint64_t b)
{
	uint64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

/* Removes the periods that had a run, or that come before the re-arming. Returns false if none
 * remains. */
static bool remove_counted(const struct runs *runs, toytimer_event *event)
{
	uint64_t first = runs->rearmed_due > runs->next_due ? runs->rearmed_due : runs->next_due, n;

	if (event->due >= first)
		return true;
	n = (first - event->due - 1) / runs->period + 1;
	if (n > event->overruns)
		return false;
	event->due = add(event->due, n * runs->period);
	event->overruns -= n;
	return true;
}

/* Adds the periods between the last run and this wake. */
static void add_missed(const struct runs *runs, toytimer_event *event)
{
	uint64_t missed = (event->due - runs->next_due) / runs->period;

	event->due -= missed * runs->period;
	event->overruns = add(event->overruns, missed);
}

static uint64_t since(uint64_t due, uint64_t now)
{
	return now > due ? now - due : 0;
}

/* The last runs need no re-arming. */
#define WITHOUT_REARMING 2
#define WAKES_MIN	 5

uint32_t runs_wakes(const struct runs *runs)
{
	uint32_t remaining = runs->count ? runs->count - (uint32_t)runs->completed : 0;

	return remaining <= WITHOUT_REARMING || remaining > WAKES_MIN ? remaining : WAKES_MIN;
}

bool runs_ended(const struct runs *runs)
{
	return runs->count && runs->completed >= runs->count;
}

bool runs_take(struct runs *runs, toytimer_event *event, uint64_t now)
{
	bool last = event->last || (runs->count && runs->completed + 1 >= runs->count);
	uint64_t periods, span;

	if (runs->period && runs->completed > 0) {
		if (!remove_counted(runs, event))
			return false;
		add_missed(runs, event);
	}
	event->late = since(event->due, now);
	if (runs->period && last && event->overruns < event->late / runs->period)
		event->overruns = event->late / runs->period;

	periods = add(event->overruns, 1);
	runs->next_due = __builtin_mul_overflow(periods, runs->period, &span)
		? UINT64_MAX
		: add(event->due, span);
	runs->completed++;
	return true;
}

bool runs_overdue(const struct runs *runs, uint64_t now, uint64_t *ret_due)
{
	if (!runs->period || now < runs->next_due)
		return false;
	*ret_due = runs->next_due + (now - runs->next_due) / runs->period * runs->period;
	return true;
}

void runs_rearmed(struct runs *runs, uint64_t due)
{
	runs->rearmed_due = due;
}
