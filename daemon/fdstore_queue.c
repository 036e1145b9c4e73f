/* SPDX-License-Identifier: MIT */
#include "fdstore_queue.h"

#include <errno.h>
#include <stdlib.h>

int fdstore_queue_init(
	struct fdstore_queue *queue, struct fdstore *store, struct worker *worker, uint32_t count)
{
	*queue = (struct fdstore_queue){
		.store = store,
		.worker = worker,
		.entries = calloc(count, sizeof(struct fdstore_entry)),
	};
	return queue->entries ? 0 : -ENOMEM;
}

void fdstore_queue_free(struct fdstore_queue *queue)
{
	free(queue->entries);
	*queue = (struct fdstore_queue){0};
}

static bool has_timers(const struct fdstore_queue *queue, uint32_t session)
{
	return queue->worker->arena.sessions[session].held;
}

static void append(struct fdstore_queue *queue, uint32_t session)
{
	struct fdstore_entry *entry = &queue->entries[session];

	if (entry->queued)
		return;
	entry->queued = true;
	entry->next = 0;
	if (queue->last)
		queue->entries[queue->last].next = session;
	else
		queue->first = session;
	queue->last = session;
}

void fdstore_queue_add(struct fdstore_queue *queue, uint32_t session, int fd, const struct now *now)
{
	struct fdstore_entry *entry = &queue->entries[session];

	if (!queue->store->available || entry->stored || entry->fd || !has_timers(queue, session))
		return;
	entry->fd = fd;
	entry->queued_at = now->at[PROTO_CLOCK_MONOTONIC];
	append(queue, session);
}

void fdstore_queue_set_stored(struct fdstore_queue *queue, uint32_t session)
{
	queue->entries[session].stored = true;
}

bool fdstore_queue_is_stored(const struct fdstore_queue *queue, uint32_t session)
{
	return queue->entries[session].stored;
}

void fdstore_queue_remove(struct fdstore_queue *queue, uint32_t session)
{
	struct fdstore_entry *entry = &queue->entries[session];

	if (entry->stored)
		entry->removal_pending = !fdstore_remove_session(queue->store, session, 0);
	entry->stored = false;
	entry->fd = 0;
	/* The session may be in the queue already: take_first() then finds nothing to store. */
	if (entry->removal_pending)
		append(queue, session);
}

void fdstore_queue_schedule(struct fdstore_queue *queue, const struct now *now)
{
	if (!queue->first || queue->scheduled)
		return;
	worker_start_internal(queue->worker, WORKER_FDSTORE, FDSTORE_AFTER_US, 0, now);
	queue->scheduled = true;
}

static bool is_worth_storing(const struct fdstore_queue *queue, uint32_t session)
{
	return queue->entries[session].fd && has_timers(queue, session);
}

/* Takes the first session out of the queue, unless that session is to be stored later than `at`.
 * Return: the session; 0: none. */
static uint32_t take_first(struct fdstore_queue *queue, uint64_t at)
{
	uint32_t session = queue->first;
	struct fdstore_entry *entry = &queue->entries[session];

	if (!session ||
		(is_worth_storing(queue, session) && entry->queued_at + FDSTORE_AFTER_US > at))
		return 0;
	queue->first = entry->next;
	if (!queue->first)
		queue->last = 0;
	entry->queued = false;
	return session;
}

/* Sends systemd the pending removal and the new connection of the session, if there are any.
 * Return: how many messages that took; -EAGAIN: systemd's queue is full, and the session joins our
 * queue again. */
static int update_store(struct fdstore_queue *queue, uint32_t session, int patience_ms)
{
	struct fdstore_entry *entry = &queue->entries[session];
	struct fdstore *store = queue->store;
	int messages = entry->removal_pending;
	bool sent = !entry->removal_pending || fdstore_remove_session(store, session, patience_ms);

	entry->removal_pending = !sent;
	if (sent && is_worth_storing(queue, session) && store->sessions < FDSTORE_SESSIONS_MAX) {
		sent = entry->stored = fdstore_put_session(store, session, entry->fd, patience_ms);
		messages++;
	}
	if (!sent) {
		append(queue, session);
		return -EAGAIN;
	}
	entry->fd = 0;
	return messages;
}

void fdstore_queue_run(struct fdstore_queue *queue, const struct now *now)
{
	uint64_t at = now->at[PROTO_CLOCK_MONOTONIC];
	uint32_t session;
	int r = 0;

	for (int sent = 0; sent < FDSTORE_SLICE && r >= 0; sent += r) {
		session = take_first(queue, at);
		if (!session)
			break;
		r = update_store(queue, session, 0);
	}
	queue->scheduled = queue->first;
	if (queue->scheduled)
		worker_start_internal(queue->worker, WORKER_FDSTORE,
			FDSTORE_EVERY_US(queue->store->sessions), 0, now);
}

void fdstore_queue_flush(struct fdstore_queue *queue)
{
	uint32_t session;

	while ((session = take_first(queue, UINT64_MAX)) &&
		update_store(queue, session, FDSTORE_PATIENCE_MS) >= 0)
		;
	fdstore_flush(queue->store);
}
