/* SPDX-License-Identifier: MIT */
/* The outcomes of wakes: acknowledged, retried, parked, missed, given back. outcomes.c draws the
 * states. */
#pragma once

#include "state.h"

/* How late the wake is, in microseconds of its clock; 0: it is not due yet. */
uint64_t wake_late(const struct broker *b, const struct wake *wake);

/* How many further periods have passed since the wake was due. */
uint64_t wake_overruns(const struct broker *b, const struct wake *wake);

/* The due of the timer's next wake, if this wake stands for `overruns` further periods;
 * PROTO_FOREVER: this wake is the last. */
uint64_t wake_next_due(const struct wake *wake, uint64_t overruns);

/* Whether a wake that was never delivered is later than its timer allows. */
bool wake_is_too_late(const struct broker *b, const struct wake *wake);

/* Counts a loaded wake that is too late as missed, and changes its row. Return: false: no memory,
 * the wake stays. */
bool wake_miss(struct broker *b, struct wake *wake);

/* Gives an unacknowledged wake back to its lane, as if it had not been delivered. May free it. */
void wake_give_back(struct broker *b, struct wake *wake);

/* An attempt has failed: the wake comes again from `ready` on, or is parked. Return: the change;
 * NULL: no memory, and the wake stays unacknowledged. */
struct change *wake_count_attempt(struct broker *b, struct wake *wake, uint64_t ready);

/* The wake takes no room in a window any more. */
void wake_leave_window(struct wake *wake);

/* A client acknowledges a wake, or asks for another attempt. Return: PROTO_OK: the store is asked,
 * and the record's answer follows; PROTO_E_NO_SUCH_TIMER: the client has no such wake;
 * PROTO_E_RANGE, PROTO_E_DESCRIPTORS (no memory): nothing has changed. */
uint32_t wake_ack(struct broker *b, struct client *client, const struct proto_queue_ack *ack,
	struct request *request, uint32_t record);
uint32_t wake_retry(struct broker *b, struct client *client, const struct proto_queue_retry *retry,
	struct request *request, uint32_t record);

/* Takes back a slice of the overdue wakes: those held for longer than the consumer's ack_within.
 * Return: whether there are more. */
bool wakes_take_overdue(struct broker *b);

/* The store has made a change of a wake's row, or has refused it because there is no such row. */
void wake_changed(struct broker *b, struct change *change);

/* The row of that id was removed, or now belongs to another wake. Return: whether it was in memory.
 * */
bool wake_row_gone(struct broker *b, uint64_t id);

/* The same for the revived wakes of a timer. O(revived wakes of the queue in memory). */
void wakes_revived_gone(struct broker *b, struct queue *queue, uint64_t timer);

/* Unknown rows of a queue were removed. O(the queue's wakes in memory). */
void wakes_purged(struct broker *b, uint32_t queue);
