/* SPDX-License-Identifier: MIT */
/*
 * Prints the layout of the structs that other languages declare for themselves: their name there, a
 * member, its offset and its size; with the member * the size of the whole.
 */
#include <stddef.h>
#include <stdio.h>
#include <toytimer-queue.h>

#define WHOLE(name, type) printf(#name " * 0 %zu\n", sizeof(type))
#define MEMBER(name, type, member) \
	printf(#name " " #member " %zu %zu\n", offsetof(type, member), sizeof(((type *)0)->member))

static void timers(void)
{
	WHOLE(Event, toytimer_event);
	MEMBER(Event, toytimer_event, type);
	MEMBER(Event, toytimer_event, error);
	MEMBER(Event, toytimer_event, timer);
	MEMBER(Event, toytimer_event, id);
	MEMBER(Event, toytimer_event, due);
	MEMBER(Event, toytimer_event, late);
	MEMBER(Event, toytimer_event, overruns);
	MEMBER(Event, toytimer_event, last);
	WHOLE(Registration, toytimer_registration);
	MEMBER(Registration, toytimer_registration, due);
	MEMBER(Registration, toytimer_registration, slack);
	MEMBER(Registration, toytimer_registration, every);
	MEMBER(Registration, toytimer_registration, count);
	MEMBER(Registration, toytimer_registration, clock);
	MEMBER(Registration, toytimer_registration, flags);
	MEMBER(Registration, toytimer_registration, label);
	MEMBER(Registration, toytimer_registration, handler);
	MEMBER(Registration, toytimer_registration, userdata);
	MEMBER(Registration, toytimer_registration, reserved);
	WHOLE(Match, toytimer_match);
	MEMBER(Match, toytimer_match, flags);
	MEMBER(Match, toytimer_match, uid);
	MEMBER(Match, toytimer_match, label);
	MEMBER(Match, toytimer_match, reserved);
	WHOLE(Listed, toytimer_listed);
	MEMBER(Listed, toytimer_listed, id);
	MEMBER(Listed, toytimer_listed, label);
	MEMBER(Listed, toytimer_listed, clock);
	MEMBER(Listed, toytimer_listed, flags);
	MEMBER(Listed, toytimer_listed, due);
	MEMBER(Listed, toytimer_listed, left);
	MEMBER(Listed, toytimer_listed, slack);
	MEMBER(Listed, toytimer_listed, every);
	MEMBER(Listed, toytimer_listed, count);
	MEMBER(Listed, toytimer_listed, fired);
	MEMBER(Listed, toytimer_listed, uid);
	MEMBER(Listed, toytimer_listed, pid);
	MEMBER(Listed, toytimer_listed, comm);
}

static void puts_and_wakes(void)
{
	WHOLE(QueueTimer, toytimer_queue_timer);
	MEMBER(QueueTimer, toytimer_queue_timer, due);
	MEMBER(QueueTimer, toytimer_queue_timer, slack);
	MEMBER(QueueTimer, toytimer_queue_timer, every);
	MEMBER(QueueTimer, toytimer_queue_timer, max_late);
	MEMBER(QueueTimer, toytimer_queue_timer, count);
	MEMBER(QueueTimer, toytimer_queue_timer, max_attempts);
	MEMBER(QueueTimer, toytimer_queue_timer, clock);
	MEMBER(QueueTimer, toytimer_queue_timer, flags);
	MEMBER(QueueTimer, toytimer_queue_timer, label);
	MEMBER(QueueTimer, toytimer_queue_timer, key);
	MEMBER(QueueTimer, toytimer_queue_timer, payload);
	MEMBER(QueueTimer, toytimer_queue_timer, payload_size);
	MEMBER(QueueTimer, toytimer_queue_timer, reserved);
	WHOLE(QueueStored, toytimer_queue_stored);
	MEMBER(QueueStored, toytimer_queue_stored, error);
	MEMBER(QueueStored, toytimer_queue_stored, replaced);
	MEMBER(QueueStored, toytimer_queue_stored, kept);
	MEMBER(QueueStored, toytimer_queue_stored, id);
	MEMBER(QueueStored, toytimer_queue_stored, due);
	WHOLE(WakeRef, toytimer_wake_ref);
	MEMBER(WakeRef, toytimer_wake_ref, id);
	MEMBER(WakeRef, toytimer_wake_ref, term);
	MEMBER(WakeRef, toytimer_wake_ref, number);
	MEMBER(WakeRef, toytimer_wake_ref, queue);
	WHOLE(QueueWake, toytimer_wake);
	MEMBER(QueueWake, toytimer_wake, ref);
	MEMBER(QueueWake, toytimer_wake, queue);
	MEMBER(QueueWake, toytimer_wake, due);
	MEMBER(QueueWake, toytimer_wake, late);
	MEMBER(QueueWake, toytimer_wake, overruns);
	MEMBER(QueueWake, toytimer_wake, attempt);
	MEMBER(QueueWake, toytimer_wake, last);
	MEMBER(QueueWake, toytimer_wake, clock);
	MEMBER(QueueWake, toytimer_wake, label);
	MEMBER(QueueWake, toytimer_wake, key);
	MEMBER(QueueWake, toytimer_wake, payload);
	MEMBER(QueueWake, toytimer_wake, payload_size);
}

static void consumers_and_lists(void)
{
	WHOLE(QueueConsumer, toytimer_queue_consumer);
	MEMBER(QueueConsumer, toytimer_queue_consumer, window);
	MEMBER(QueueConsumer, toytimer_queue_consumer, max_attempts);
	MEMBER(QueueConsumer, toytimer_queue_consumer, ack_within);
	MEMBER(QueueConsumer, toytimer_queue_consumer, handler);
	MEMBER(QueueConsumer, toytimer_queue_consumer, userdata);
	MEMBER(QueueConsumer, toytimer_queue_consumer, reserved);
	WHOLE(QueueListed, toytimer_queue_listed);
	MEMBER(QueueListed, toytimer_queue_listed, id);
	MEMBER(QueueListed, toytimer_queue_listed, key);
	MEMBER(QueueListed, toytimer_queue_listed, label);
	MEMBER(QueueListed, toytimer_queue_listed, clock);
	MEMBER(QueueListed, toytimer_queue_listed, flags);
	MEMBER(QueueListed, toytimer_queue_listed, state);
	MEMBER(QueueListed, toytimer_queue_listed, due);
	MEMBER(QueueListed, toytimer_queue_listed, left);
	MEMBER(QueueListed, toytimer_queue_listed, slack);
	MEMBER(QueueListed, toytimer_queue_listed, every);
	MEMBER(QueueListed, toytimer_queue_listed, count);
	MEMBER(QueueListed, toytimer_queue_listed, fired);
	MEMBER(QueueListed, toytimer_queue_listed, attempt);
	MEMBER(QueueListed, toytimer_queue_listed, payload_size);
	MEMBER(QueueListed, toytimer_queue_listed, uid);
}

int main(void)
{
	timers();
	puts_and_wakes();
	consumers_and_lists();
}
