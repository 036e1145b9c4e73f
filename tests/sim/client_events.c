/* SPDX-License-Identifier: MIT */
/*
 * What a client does with each packet that it receives, and what it checks: each wake comes once
 * and in order, none comes for a timer that has ended, and each request has one answer. A packet
 * that comes again after a kill must be the same.
 */
#include "world.h"

struct client_timer *client_find(struct client *client, uint64_t cookie)
{
	for (uint32_t i = 0; i < CLIENT_TIMERS; i++)
		if (client->timers[i].state != CLIENT_TIMER_NONE &&
			client->timers[i].cookie == cookie)
			return &client->timers[i];
	return NULL;
}

static struct client_timer *find_id(struct client *client, uint64_t id)
{
	for (uint32_t i = 0; i < CLIENT_TIMERS; i++)
		if (client->timers[i].state != CLIENT_TIMER_NONE && client->timers[i].id == id)
			return &client->timers[i];
	return NULL;
}

static void end_timer(struct client *client, struct client_timer *t, enum client_timer_state state)
{
	t->state = state;
	client->stale[client->stale_next++ % CLIENT_STALE] = t->id;
}

static void take_again(struct world *w, const struct client_timer *t, const struct proto_wake *wake)
{
	if (!w->counts.kills)
		world_fail(w, "a wake came twice");
	if (t && t->number == wake->number &&
		(t->woken_due != wake->due || t->woken_overruns != wake->overruns))
		world_fail(w, "a wake that came again is not the same");
	w->counts.duplicates++;
	world_happened(w, EVENT_WAKE_AGAIN);
}

static void take_wake(struct world *w, struct client *client, const struct proto_wake *wake)
{
	struct client_timer *t = client_find(client, wake->cookie);
	bool last = wake->flags & PROTO_WAKE_LAST;

	if (!t || wake->number <= t->number) {
		if (t && t->state == CLIENT_TIMER_CANCELLED)
			world_fail(w, "a timer that was cancelled wakes its client");
		take_again(w, t, wake);
		return;
	}
	if (t->state != CLIENT_TIMER_HELD)
		world_fail(w, "a timer that is not held wakes its client");
	if (wake->number != t->number + 1)
		world_fail(w, "a wake was lost");
	if (wake->due != t->due || wake->id != t->id)
		world_fail(w, "a wake is not for the instant that was to come");
	if (!last && (!t->every || wake->number == t->until))
		world_fail(w, "a wake should have been the last");
	t->number = wake->number;
	t->woken_due = wake->due;
	t->woken_overruns = wake->overruns;
	t->due += (wake->overruns + 1) * t->every;
	w->counts.wakes++;
	if (last)
		end_timer(client, t, CLIENT_TIMER_ENDED);
}

static void take_cancelled(
	struct world *w, struct client *client, const struct proto_cancelled *cancelled)
{
	struct client_timer *t = client_find(client, cancelled->cookie);

	/* If the daemon was killed meanwhile, only the owner knows that the last wake was sent. So
	 * another session may still cancel the timer. */
	if (!t || t->state == CLIENT_TIMER_CANCELLED || t->state == CLIENT_TIMER_ENDED) {
		if (!w->counts.kills)
			world_fail(w, "a cancellation was told twice");
		return;
	}
	if (t->state != CLIENT_TIMER_HELD && t->state != CLIENT_TIMER_GONE)
		world_fail(w, "a timer that is not held was cancelled");
	end_timer(client, t, CLIENT_TIMER_CANCELLED);
}

static void take_registered(struct client *client, const struct packet *request,
	const struct proto_header *asked, uint32_t i, const struct proto_registered *a)
{
	struct proto_register r;
	struct client_timer *t;

	codec_get(request->bytes, asked, i, &r, sizeof(r));
	t = client_find(client, r.cookie);
	t->id = a->id;
	t->due = a->due;
	t->state = a->status ? CLIENT_TIMER_NONE : CLIENT_TIMER_HELD;
}

static void take_rearmed(struct world *w, struct client *client, const struct packet *request,
	const struct proto_header *asked, uint32_t i, const struct proto_registered *a)
{
	struct proto_rearm r;
	struct client_timer *t;

	codec_get(request->bytes, asked, i, &r, sizeof(r));
	t = find_id(client, r.id);
	if (t && t->state == CLIENT_TIMER_HELD && a->status == PROTO_E_NO_SUCH_TIMER)
		t->state = CLIENT_TIMER_GONE;
	if (a->status)
		return;
	if (!t || t->state != CLIENT_TIMER_HELD)
		world_fail(w, "a timer was re-armed that is not held");
	t->due = a->due;
	t->every = r.every;
	t->until = !r.every ? t->number + 1 : r.count ? t->number + r.count : 0;
}

static void take_cancel_answer(
	struct world *w, struct client *client, const struct proto_cancel_answer *a)
{
	struct client_timer *t = find_id(client, a->id);

	if (!t)
		return;
	if (a->status && t->state == CLIENT_TIMER_HELD)
		t->state = CLIENT_TIMER_GONE;
	if (a->status)
		return;
	if (t->state != CLIENT_TIMER_HELD)
		world_fail(w, "a timer was cancelled that is not held");
	end_timer(client, t, CLIENT_TIMER_CANCELLED);
}

static void take_records(struct world *w, struct client *client, const struct packet *request,
	const struct packet *answer, const struct proto_header *h)
{
	struct proto_header asked = {0};

	codec_open(request->bytes, request->size, CODEC_FROM_CLIENT, &asked);
	for (uint32_t i = 0; i < h->count; i++) {
		struct proto_registered registered;
		struct proto_cancel_answer cancel;
		struct proto_cancelled cancelled;

		switch (asked.opcode) {
		case PROTO_REGISTER:
			codec_get(answer->bytes, h, i, &registered, sizeof(registered));
			take_registered(client, request, &asked, i, &registered);
			break;
		case PROTO_REARM:
			codec_get(answer->bytes, h, i, &registered, sizeof(registered));
			take_rearmed(w, client, request, &asked, i, &registered);
			break;
		case PROTO_CANCEL:
			codec_get(answer->bytes, h, i, &cancel, sizeof(cancel));
			take_cancel_answer(w, client, &cancel);
			break;
		case PROTO_CANCEL_MATCHING:
			codec_get(answer->bytes, h, i, &cancelled, sizeof(cancelled));
			if (cancelled.cookie)
				take_cancel_answer(w, client,
					&(struct proto_cancel_answer){.id = cancelled.id});
			break;
		}
	}
}

/* Answers come in the order of their requests. */
static void take_answer(struct world *w, struct client *client, const struct packet *answer,
	const struct proto_header *h)
{
	uint64_t oldest = client->serial - client->count + 1;
	struct packet *request;

	if (h->serial < oldest) {
		if (!w->counts.kills)
			world_fail(w, "an answer came twice");
		return;
	}
	if (client->guilty && (!client->count || h->serial != oldest))
		return; /* packets that it sent out of order may happen to be valid */
	if (!client->count || h->serial != oldest)
		world_fail(w, "an answer is missing");
	request = client->flight[client->first];
	take_records(w, client, request, answer, h);
	if (h->opcode == (PROTO_HELLO | PROTO_ANSWER))
		client->state = CLIENT_UP;
	packet_unref(request);
	client->first = (client->first + 1) % CLIENT_FLIGHT;
	client->count--;
	/* Requests that had arrived before they were sent again are answered, too. */
	if (client->again > client->count)
		client->again = client->count;
}

static void take_resumed(struct world *w, struct client *client, uint64_t serial)
{
	uint64_t answered = client->serial - client->count;

	if (!w->counts.kills)
		world_fail(w, "a session resumed that was not interrupted");
	if (serial < answered)
		world_fail(w, "an answered request is to be sent again");
	if (serial > answered)
		world_fail(w, "a session resumed behind requests that were not answered");
	client->again = client->count;
	w->counts.events[EVENT_SENT_AGAIN] += client->count;
}

static void take_events(struct world *w, struct client *client, const struct packet *packet,
	const struct proto_header *h)
{
	for (uint32_t i = 0; i < h->count; i++) {
		struct proto_cancelled cancelled;
		struct proto_wake wake;

		if (h->opcode == PROTO_WAKE) {
			codec_get(packet->bytes, h, i, &wake, sizeof(wake));
			take_wake(w, client, &wake);
		} else {
			codec_get(packet->bytes, h, i, &cancelled, sizeof(cancelled));
			take_cancelled(w, client, &cancelled);
		}
	}
}

void client_take(struct world *w, struct client *client, const struct packet *packet)
{
	struct proto_resumed resumed;
	struct proto_error error;
	struct proto_header h;

	if (codec_open(packet->bytes, packet->size, CODEC_FROM_DAEMON, &h) != CODEC_OK)
		world_fail(w, "the daemon sent a malformed packet");
	world_say(w, "client %u reads %s of %u, serial %" PRIu64, client->pid,
		codec_opcode_name(h.opcode), h.count, h.serial);
	switch (h.opcode) {
	case PROTO_ERROR:
		codec_get(packet->bytes, &h, 0, &error, sizeof(error));
		/* The machine may be suspended between two turns of the daemon. Then even a good
		 * client's hello is late. */
		if (!client->guilty && error.status != PROTO_E_CLIENTS &&
			error.status != PROTO_E_CLIENTS_USER &&
			error.status != PROTO_E_HELLO_TIMEOUT)
			world_fail(w, "a client was turned out that had done nothing");
		return;
	case PROTO_RESUMED:
		codec_get(packet->bytes, &h, 0, &resumed, sizeof(resumed));
		take_resumed(w, client, resumed.serial);
		return;
	case PROTO_CLOCK_SET:
		return;
	case PROTO_WAKE:
	case PROTO_CANCELLED:
		take_events(w, client, packet, &h);
		return;
	default:
		take_answer(w, client, packet, &h);
	}
}
