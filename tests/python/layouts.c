/* SPDX-License-Identifier: MIT */
/*
 * Prints the layout of each struct that other languages declare, too: its name there, the name of a
 * member, its offset and its size, and the size of the struct.
 */
#include <stddef.h>
#include <stdio.h>
#include <toytimer-queue.h>

#define MEMBER(name, type, member) \
	printf(#name " " #member " %zu %zu\n", offsetof(type, member), sizeof(((type *)0)->member));

/* MEMBERS(name, type, a, b) is MEMBER(name, type, a) MEMBER(name, type, b): each time that the
 * preprocessor scans the text, it expands one more AGAIN. */
#define MEMBERS(name, type, member, ...) \
	MEMBER(name, type, member) __VA_OPT__(AGAIN NONE(name, type, __VA_ARGS__))
#define AGAIN()	    MEMBERS
#define NONE	    ()
#define SCAN(...)   SCAN_4(SCAN_4(SCAN_4(SCAN_4(__VA_ARGS__))))
#define SCAN_4(...) SCAN_1(SCAN_1(SCAN_1(SCAN_1(__VA_ARGS__))))
#define SCAN_1(...) __VA_ARGS__
#define LAYOUT(name, type, ...)                   \
	printf(#name " * 0 %zu\n", sizeof(type)); \
	SCAN(MEMBERS(name, type, __VA_ARGS__))

int main(void)
{
	LAYOUT(Event, toytimer_event, type, error, timer, id, due, late, overruns, last);
	LAYOUT(Registration, toytimer_registration, due, slack, every, count, clock, flags, label,
		handler, userdata, reserved);
	LAYOUT(Match, toytimer_match, flags, uid, label, reserved);
	LAYOUT(Listed, toytimer_listed, id, label, clock, flags, due, left, slack, every, count,
		fired, uid, pid, comm);
	LAYOUT(QueueTimer, toytimer_queue_timer, due, slack, every, max_late, count, max_attempts,
		clock, flags, label, key, payload, payload_size, reserved);
	LAYOUT(QueueStored, toytimer_queue_stored, error, replaced, kept, id, due);
	LAYOUT(WakeRef, toytimer_wake_ref, id, term, number, queue);
	LAYOUT(QueueWake, toytimer_wake, ref, queue, due, late, overruns, attempt, last, clock,
		label, key, payload, payload_size);
	LAYOUT(QueueConsumer, toytimer_queue_consumer, window, max_attempts, ack_within, handler,
		userdata, reserved);
	LAYOUT(QueueListed, toytimer_queue_listed, id, key, label, clock, flags, state, due, left,
		slack, every, count, fired, attempt, payload_size, uid);
}
