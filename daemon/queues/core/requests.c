/* SPDX-License-Identifier: MIT */
/*
 * Packets of clients: each is checked, becomes changes of the store or a read of it, and is answered
 * once the store has answered. Each record stands for itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "state.h"

/* Rows and queues in one page of an answer: with the longest keys and names they fit. */
#define LIST_PAGE   400
#define QUEUES_PAGE 400
#define PURGE_PAGE  1000
static_assert(LIST_PAGE * (sizeof(struct proto_queue_listed) + PROTO_QUEUE_KEY_MAX) <
		PROTO_PACKET_MAX - sizeof(struct proto_header),
	"a page is a packet");
static_assert(QUEUES_PAGE * (sizeof(struct proto_queue_info) + PROTO_QUEUE_NAME_MAX) <
		PROTO_PACKET_MAX - sizeof(struct proto_header),
	"a page is a packet");

/* systemd's dynamic users: their uids are recycled, and with them would be their queues. */
#define DYNAMIC_UID_MIN 61184
#define DYNAMIC_UID_MAX 65519

static void send_out(struct broker *b, struct client *client, size_t size)
{
	int r = b->outlet->send(b->outlet->userdata, client->number, b->out, size);

	/* A client is not read from while it has not read: there was room for this answer. */
	if (r < 0)
		client->closing = true;
}

static void send_error(
	struct broker *b, struct client *client, uint32_t status, uint64_t serial, const char *text)
{
	struct proto_error error = {.status = status, .serial = serial};
	struct queue_codec_writer w;

	for (size_t i = 0; i < sizeof(error.text) && text[i]; i++)
		error.text[i] = text[i];
	queue_codec_begin(&w, b->out, PROTO_ERROR, 0);
	queue_codec_put(&w, &error);
	send_out(b, client, queue_codec_end(&w, 0));
}

static void answer_begin(
	struct broker *b, struct queue_codec_writer *w, uint16_t opcode, uint64_t serial)
{
	queue_codec_begin(w, b->out, (uint16_t)(opcode | PROTO_ANSWER), serial);
}

static struct request *request_new(
	struct client *client, const struct queue_codec_packet *p, const void *packet, size_t size)
{
	struct request *request = malloc(sizeof(*request) + size);

	if (!request)
		return NULL;
	*request = (struct request){
		.client = client,
		.serial = p->header.serial,
		.opcode = p->header.opcode,
		.count = p->header.count,
		.size = size,
		.answers = calloc(p->header.count + 1u, sizeof(*request->answers)),
	};
	if (!request->answers) {
		free(request);
		return NULL;
	}
	memcpy(request->packet, packet, size);
	client->pending += size;
	client->pending_count++;
	return request;
}

static void request_free(struct request *request)
{
	if (request->client) {
		request->client->pending -= request->size;
		request->client->pending_count--;
	}
	free(request->answers);
	free(request);
}

static bool answers_stored(const struct request *request)
{
	return request->opcode == PROTO_QUEUE_PUT || request->opcode == PROTO_QUEUE_RESCHEDULE;
}

static void count_refusals(struct broker *b, const struct request *request)
{
	for (uint32_t i = 0; i < request->count; i++)
		b->counts.refused += request->answers[i].status != 0 &&
			request->opcode == PROTO_QUEUE_PUT;
}

/* All records are answered. */
static void request_end(struct broker *b, struct request *request)
{
	struct client *client = request->client;
	struct queue_codec_writer w;

	count_refusals(b, request);
	if (client && !client->closing) {
		answer_begin(b, &w, request->opcode, request->serial);
		for (uint32_t i = 0; i < request->count; i++) {
			const struct proto_queue_stored *a = &request->answers[i];
			struct proto_queue_done done = {.id = a->id, .status = a->status};

			if (answers_stored(request))
				queue_codec_put(&w, a);
			else
				queue_codec_put(&w, &done);
		}
		send_out(b, client, queue_codec_end(&w, 0));
	}
	request_free(request);
	if (client)
		b->outlet->resume(b->outlet->userdata, client->number);
}

void request_changed(struct broker *b, struct change *change, uint32_t status)
{
	struct request *request = change->request;
	struct proto_queue_stored *a = &request->answers[change->record];

	if (!answers_stored(request))
		a->id = change->c.id;
	else if (status) /* of a transaction that failed, too */
		*a = (struct proto_queue_stored){0};
	a->status = status;
	if (!--request->waiting)
		request_end(b, request);
}

/* The queue of that number at this client; NULL: it has none. */
static const struct opened *opened_of(const struct client *client, uint32_t number)
{
	return number >= 1 && number <= client->queue_count ? &client->queues[number - 1] : NULL;
}

static void refuse(struct request *request, uint32_t record, uint32_t status)
{
	request->answers[record].status = status;
}

/* A change for one record. Return: NULL, after the record was refused. */
static struct change *add_change(struct broker *b, struct request *request, uint32_t record,
	uint32_t queue, enum store_change_type type)
{
	const struct opened *opened = opened_of(request->client, queue);
	struct change *change = opened ? commits_add(b, type) : NULL;

	if (!change) {
		refuse(request, record, opened ? PROTO_E_DESCRIPTORS : PROTO_Q_QUEUE);
		return NULL;
	}
	change->request = request;
	change->record = record;
	change->c.timer.queue = opened->number;
	if (answers_stored(request))
		change->c.answer = &request->answers[record];
	request->waiting++;
	return change;
}

static void fill_put(struct broker *b, struct change *change, const struct queue_codec_packet *p,
	const struct proto_queue_put *put, uint64_t due)
{
	const struct opened *opened = opened_of(change->request->client, put->queue);
	struct store_timer *t = &change->c.timer;

	t->due = t->ready = due;
	t->slack = put->slack;
	t->every = put->every;
	t->max_late = put->max_late;
	t->number = 1;
	t->count = put->count;
	t->max_attempts = put->max_attempts;
	t->clock = put->clock;
	t->flags = put->flags & PROTO_WAKE_SYSTEM;
	t->key_size = put->key_size;
	t->payload_size = put->payload_size;
	memcpy(t->label, put->label, sizeof(t->label));
	t->key = queue_codec_bytes(p, put->data);
	t->payload = t->key + put->key_size;
	change->c.keep = put->flags & PROTO_QUEUE_KEEP;
	if (opened->uid != 0) {
		change->c.limit_timers = b->config.limits.max_timers_per_user;
		change->c.limit_bytes = b->config.limits.max_bytes_per_user;
	}
}

static uint32_t put_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_put put;
	struct change *change;
	uint32_t status;
	uint64_t due;

	queue_codec_get(p, i, &put);
	status = queue_codec_check_put(p, &put);
	if (status)
		return status;
	due = put.due;
	if (put.flags & PROTO_RELATIVE && __builtin_add_overflow(due, b->now.at[put.clock], &due))
		return PROTO_E_RANGE;
	if (due > INT64_MAX)
		return PROTO_E_RANGE;
	if (put.flags & PROTO_WAKE_SYSTEM && !b->config.can_wake_system)
		return PROTO_E_WAKE_SYSTEM;
	change = add_change(b, request, i, put.queue, STORE_PUT);
	if (!change)
		return request->answers[i].status;
	fill_put(b, change, p, &put, due);
	return PROTO_OK;
}

static void cancel_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_cancel cancel;
	struct change *change;

	queue_codec_get(p, i, &cancel);
	request->answers[i].id = cancel.id;
	if (cancel.key_size &&
		!queue_codec_key_valid(queue_codec_bytes(p, cancel.key), cancel.key_size)) {
		refuse(request, i, PROTO_Q_KEY);
		return;
	}
	change = add_change(b, request, i, cancel.queue, STORE_CANCEL);
	if (!change)
		return;
	change->c.timer.id = cancel.id & INT64_MAX;
	change->c.timer.key_size = cancel.key_size;
	change->c.timer.key = queue_codec_bytes(p, cancel.key);
}

static uint32_t reschedule_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_reschedule r;
	struct change *change;
	uint32_t status;

	queue_codec_get(p, i, &r);
	status = queue_codec_check_reschedule(p, &r);
	if (status)
		return status;
	change = add_change(b, request, i, r.queue, STORE_RESCHEDULE);
	if (!change)
		return request->answers[i].status;
	change->c.relative = r.flags & PROTO_RELATIVE;
	change->c.timer.id = r.id & INT64_MAX;
	change->c.timer.key_size = r.key_size;
	change->c.timer.key = queue_codec_bytes(p, r.key);
	change->c.timer.due = r.due;
	change->c.timer.slack = r.slack;
	change->c.timer.every = r.every;
	change->c.timer.count = r.count;
	return PROTO_OK;
}

static uint32_t ack_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_ack ack;
	uint32_t status;

	queue_codec_get(p, i, &ack);
	request->answers[i].id = ack.id;
	status = consumer_ack(b, request->client, &ack, request, i);
	request->waiting += !status;
	return status;
}

static uint32_t retry_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_retry retry;
	uint32_t status;

	queue_codec_get(p, i, &retry);
	request->answers[i].id = retry.id;
	status = consumer_retry(b, request->client, &retry, request, i);
	request->waiting += !status;
	return status;
}

static void revive_record(
	struct broker *b, struct request *request, uint32_t i, const struct queue_codec_packet *p)
{
	struct proto_queue_revive revive;
	struct change *change;

	queue_codec_get(p, i, &revive);
	request->answers[i].id = revive.id;
	change = add_change(b, request, i, revive.queue, STORE_REVIVE);
	if (change)
		change->c.timer.id = revive.id & INT64_MAX;
}

/* Makes each record a change, or refuses it. What is refused at once is answered at once, if all
 * is. */
static void handle_records(
	struct broker *b, struct request *request, const struct queue_codec_packet *p)
{
	request->waiting = 1; /* so that it does not end before all are looked at */
	for (uint32_t i = 0; i < request->count; i++) {
		switch (request->opcode) {
		case PROTO_QUEUE_PUT:
			refuse(request, i, put_record(b, request, i, p));
			break;
		case PROTO_QUEUE_CANCEL:
			cancel_record(b, request, i, p);
			break;
		case PROTO_QUEUE_RESCHEDULE:
			refuse(request, i, reschedule_record(b, request, i, p));
			break;
		case PROTO_QUEUE_ACK:
			refuse(request, i, ack_record(b, request, i, p));
			break;
		case PROTO_QUEUE_RETRY:
			refuse(request, i, retry_record(b, request, i, p));
			break;
		default:
			revive_record(b, request, i, p);
			break;
		}
	}
	if (!--request->waiting)
		request_end(b, request);
}

/* The put of an earlier connection, answered as it was then. Return: whether it is one. */
static bool answer_known(struct broker *b, struct client *client, const struct proto_header *h)
{
	struct known_put *known = client->known;
	struct queue_codec_writer w;

	while (known && known->serial != h->cursor)
		known = known->next;
	if (!known)
		return false;
	answer_begin(b, &w, PROTO_QUEUE_PUT, h->serial);
	for (size_t i = 0; i < known->n; i++)
		queue_codec_put(&w, &known->answers[i]);
	send_out(b, client, queue_codec_end(&w, 0));
	return true;
}

/* Whether a put packet is to be stored. If not, it was answered, or the client ends. */
static bool check_put(struct broker *b, struct client *client, const struct proto_header *h)
{
	if (!client->has_token || !h->cursor)
		return true;
	if (h->cursor <= client->last_put) {
		if (!answer_known(b, client, h)) {
			send_error(b, client, PROTO_E_SEQUENCE, h->serial,
				"cursor: a put of that number was answered long ago");
			client->closing = true;
		}
		return false;
	}
	client->last_put = h->cursor;
	return true;
}

static int handle_batch(struct broker *b, struct client *client, const void *packet, size_t size,
	const struct queue_codec_packet *p)
{
	struct queue_codec_packet own;
	struct request *request;

	if (p->header.opcode == PROTO_QUEUE_PUT && !check_put(b, client, &p->header))
		return client->closing;
	request = request_new(client, p, packet, size);
	if (!request) {
		send_error(b, client, PROTO_E_DESCRIPTORS, p->header.serial,
			"timerqd is out of memory");
		return 1;
	}
	/* Keys and payloads are borrowed from the packet for as long as the request lives. */
	own = *p;
	own.records = request->packet + (p->records - (const uint8_t *)packet);
	own.area = request->packet + (p->area - (const uint8_t *)packet);
	if (p->header.opcode == PROTO_QUEUE_PUT && client->has_token && p->header.cursor) {
		request->is_put = true;
		request->put.serial = p->header.cursor;
		request->put.answers = request->answers;
		request->put.count = request->count;
		memcpy(request->put.token, client->token, sizeof(request->put.token));
	}
	handle_records(b, request, &own);
	return client->closing;
}

static int greet(struct broker *b, struct client *client, const struct queue_codec_packet *p)
{
	static const uint8_t none[PROTO_QUEUE_TOKEN_SIZE];
	struct proto_queue_hello_answer answer = {
		.magic = PROTO_QUEUE_MAGIC,
		.version = PROTO_QUEUE_VERSION,
		.capabilities = b->config.can_wake_system ? PROTO_CAN_WAKE_SYSTEM : 0,
		.instance = b->config.instance,
		.pid = b->config.pid,
	};
	struct queue_codec_writer w;
	struct proto_queue_hello hello;

	queue_codec_get(p, 0, &hello);
	if (hello.magic != PROTO_QUEUE_MAGIC || hello.reserved) {
		send_error(b, client, PROTO_E_PACKET, p->header.serial,
			"hello: magic is not that of timerqd, or reserved is not 0");
		return 1;
	}
	if (hello.version < PROTO_QUEUE_VERSION) {
		send_error(b, client, PROTO_E_VERSION, p->header.serial,
			"version: this timerqd speaks version 1");
		return 1;
	}
	client->greeted = true;
	client->has_token = memcmp(hello.token, none, sizeof(none)) != 0;
	memcpy(client->token, hello.token, sizeof(client->token));
	client->last_put = hello.answered;
	client->wants_puts = client->has_token;
	answer_begin(b, &w, PROTO_QUEUE_HELLO, p->header.serial);
	queue_codec_put(&w, &answer);
	send_out(b, client, queue_codec_end(&w, 0));
	return client->closing;
}

static void put_found(struct store_reader *r, uint64_t serial,
	const struct proto_queue_stored *answers, size_t n, int error)
{
	struct client *client = r->userdata;
	struct known_put *known;

	if (n) {
		known = malloc(sizeof(*known) + n * sizeof(*answers));
		if (!known)
			return; /* a put that is sent again then ends the connection */
		known->serial = serial;
		known->n = n;
		memcpy(known->answers, answers, n * sizeof(*answers));
		known->next = client->known;
		client->known = known;
		return;
	}
	client->finding = false;
	if (client->gone) {
		client_free(client->broker, client);
		return;
	}
	if (!error && serial > client->last_put)
		client->last_put = serial;
	client->closing = client->closing || error;
	client->broker->outlet->resume(client->broker->outlet->userdata, client->number);
}

/* Whether a put of that token is on its way to the store, from an earlier connection. */
static bool has_puts_under_way(const struct broker *b, const struct client *client)
{
	const struct change *lists[] = {b->first, b->committing};

	for (unsigned int i = 0; i < 2; i++)
		for (const struct change *c = lists[i]; c; c = c->next)
			if (c->request && c->request->is_put &&
				!memcmp(c->request->put.token, client->token,
					sizeof(client->token)))
				return true;
	return false;
}

void requests_find_puts(struct broker *b)
{
	for (uint32_t i = 0; i < b->client_count; i++) {
		struct client *client = b->clients[i];

		if (!client || !client->wants_puts || client->finding ||
			has_puts_under_way(b, client))
			continue;
		client->put_reader = (struct store_reader){.put = put_found, .userdata = client};
		if (b->store->ops->find_puts(b->store, client->token, &client->put_reader))
			continue;
		client->finding = true;
		client->wants_puts = false;
	}
}

static uint32_t open_queue(struct broker *b, struct client *client,
	const struct proto_queue_open *open, const char *at)
{
	uint32_t uid = open->uid == PROTO_QUEUE_OWN ? client->uid : open->uid, number;
	char name[PROTO_QUEUE_NAME_MAX + 1] = "";
	struct opened *queues;

	if (open->reserved || open->reserved2)
		return PROTO_E_FLAGS;
	if (!queue_codec_name_valid(at, open->name_size))
		return PROTO_Q_NAME;
	if (uid != client->uid && client->uid != 0)
		return PROTO_E_PERMISSION;
	if (uid >= DYNAMIC_UID_MIN && uid <= DYNAMIC_UID_MAX)
		return PROTO_Q_USER;
	if (client->queue_count >= PROTO_QUEUE_OPEN_MAX)
		return PROTO_Q_QUEUES;
	memcpy(name, at, open->name_size);
	queues = realloc(client->queues, (client->queue_count + 1) * sizeof(*queues));
	if (!queues)
		return PROTO_E_DESCRIPTORS;
	client->queues = queues;
	if (b->store->ops->open_queue(b->store, uid, name, &number))
		return PROTO_E_DESCRIPTORS;
	client->queues[client->queue_count++] = (struct opened){.number = number, .uid = uid};
	return PROTO_OK;
}

static int handle_open(struct broker *b, struct client *client, const struct queue_codec_packet *p)
{
	struct queue_codec_writer w;

	answer_begin(b, &w, PROTO_QUEUE_OPEN, p->header.serial);
	for (uint32_t i = 0; i < p->header.count; i++) {
		struct proto_queue_opened opened = {0};
		struct proto_queue_open open;

		queue_codec_get(p, i, &open);
		opened.status = open_queue(b, client, &open, queue_codec_bytes(p, open.name));
		opened.queue = opened.status ? 0 : client->queue_count;
		queue_codec_put(&w, &opened);
	}
	send_out(b, client, queue_codec_end(&w, 0));
	return client->closing;
}

static void answer_done(struct broker *b, struct client *client, const struct proto_header *h,
	uint64_t id, uint32_t status, uint64_t cursor)
{
	struct proto_queue_done done = {.id = id, .status = status};
	struct queue_codec_writer w;

	answer_begin(b, &w, h->opcode & (uint16_t)~PROTO_ANSWER, h->serial);
	queue_codec_put(&w, &done);
	send_out(b, client, queue_codec_end(&w, cursor));
}

static int handle_consume(
	struct broker *b, struct client *client, const struct queue_codec_packet *p)
{
	struct proto_queue_consume consume;
	uint32_t status = PROTO_Q_QUEUE;

	queue_codec_get(p, 0, &consume);
	if (opened_of(client, consume.queue))
		status = consume.reserved ? PROTO_E_FLAGS : consumer_attach(client, &consume, b);
	answer_done(b, client, &p->header, 0, status, 0);
	return client->closing;
}

static int handle_detach(
	struct broker *b, struct client *client, const struct queue_codec_packet *p)
{
	struct consumer *c = client->consumers;
	struct proto_queue_detach detach;

	queue_codec_get(p, 0, &detach);
	while (c && c->number != detach.queue)
		c = c->next_of_client;
	if (c)
		consumer_detach(b, c, false);
	answer_done(b, client, &p->header, 0, c ? PROTO_OK : PROTO_Q_QUEUE, 0);
	return client->closing;
}

/* What a row is doing, as far as memory says. */
static enum proto_queue_state state_of(const struct broker *b, const struct store_timer *t)
{
	const struct wake *wake = wake_find(b, t->id);

	if (t->parked)
		return PROTO_QUEUE_IS_PARKED;
	if (wake && wake->state != WAKE_LOADED)
		return PROTO_QUEUE_UNACKED;
	if (b->now.held[t->clock])
		return PROTO_QUEUE_HELD;
	return t->ready <= b->now.at[t->clock] ? PROTO_QUEUE_DUE : PROTO_QUEUE_WAITING;
}

static int64_t left_of(uint64_t due, uint64_t now)
{
	return (int64_t)due - (int64_t)now; /* both are at most INT64_MAX */
}

static void write_row(
	const struct broker *b, const struct store_timer *t, struct queue_codec_writer *w)
{
	struct proto_queue_listed listed = {
		.id = t->timer,
		.due = t->due,
		.left = left_of(t->due, b->now.at[t->clock]),
		.slack = t->slack,
		.every = t->every,
		.fired = t->number - 1,
		.count = t->count,
		.payload_size = t->payload_size,
		.key = queue_codec_add_bytes(w, t->key, t->key_size),
		.key_size = t->key_size,
		.clock = t->clock,
		.flags = t->flags,
		.state = (uint8_t)state_of(b, t),
	};

	listed.attempt = t->attempt + (listed.state == PROTO_QUEUE_UNACKED);
	memcpy(listed.label, t->label, sizeof(listed.label));
	queue_codec_put(w, &listed);
}

/* A read of the store was answered. Return: the client to tell; NULL: it has gone. */
static struct client *end_reading(struct broker *b, struct client *client, struct proto_header *ret)
{
	struct request *request = client->reading;

	*ret = (struct proto_header){.opcode = request->opcode, .serial = request->serial};
	client->reading = NULL;
	request_free(request);
	if (!client->gone)
		return client;
	client_free(b, client);
	return NULL;
}

static void rows_listed(struct store_reader *r, const struct store_timer *rows, size_t n,
	uint64_t next, bool more, int error)
{
	struct client *client = r->userdata;
	struct broker *b = client->broker;
	struct queue_codec_writer w;
	struct proto_header h;

	(void)next;
	client = end_reading(b, client, &h);
	if (!client)
		return;
	answer_begin(b, &w, h.opcode, h.serial);
	if (error)
		w.header.status = PROTO_Q_STORE_FAILED;
	for (size_t i = 0; i < n; i++)
		write_row(b, &rows[i], &w);
	if (n) {
		const struct store_timer *last = &rows[n - 1];

		client->position = (struct store_position){
			.ready = last->ready,
			.id = last->parked ? last->timer : last->id,
			.clock = last->clock,
			.number = last->number,
		};
	}
	client->position_cursor = more && n ? client->position_cursor + 1 : 0;
	send_out(b, client, queue_codec_end(&w, client->position_cursor));
	b->outlet->resume(b->outlet->userdata, client->number);
}

static uint64_t first_of(const struct broker *b, const struct store_queue *q, uint64_t *ret_next)
{
	uint64_t oldest = PROTO_FOREVER;

	*ret_next = PROTO_FOREVER;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		uint64_t now = b->now.at[i], first = q->first[i];

		if (first == PROTO_FOREVER)
			continue;
		if (first <= now && (oldest == PROTO_FOREVER || now - first > oldest))
			oldest = now - first;
		if (first > now && first - now < *ret_next)
			*ret_next = first - now;
	}
	return oldest;
}

static void write_queue(
	const struct broker *b, const struct store_queue *q, struct queue_codec_writer *w)
{
	const struct queue *queue = queue_find(b, q->number);
	struct proto_queue_info info = {
		.timers = q->timers,
		.due = q->due,
		.parked = q->parked,
		.unacked = queue ? queue->unacked : 0,
		.uid = q->uid,
		.name_size = (uint16_t)strlen(q->name),
	};

	info.oldest = first_of(b, q, &info.next);
	for (const struct consumer *c = queue ? queue->consumers : NULL; c; c = c->next_of_queue)
		info.consumers++;
	/* A queue is there while it holds a timer or has a consumer. */
	if (!info.timers && !info.parked && !info.consumers)
		return;
	info.name = queue_codec_add_bytes(w, q->name, info.name_size);
	queue_codec_put(w, &info);
}

static void queues_listed(
	struct store_reader *r, const struct store_queue *queues, size_t n, bool more, int error)
{
	struct client *client = r->userdata;
	struct broker *b = client->broker;
	struct queue_codec_writer w;
	struct proto_header h;

	client = end_reading(b, client, &h);
	if (!client)
		return;
	answer_begin(b, &w, h.opcode, h.serial);
	if (error)
		w.header.status = PROTO_Q_STORE_FAILED;
	for (size_t i = 0; i < n; i++)
		write_queue(b, &queues[i], &w);
	send_out(b, client, queue_codec_end(&w, more && n ? queues[n - 1].number : 0));
	b->outlet->resume(b->outlet->userdata, client->number);
}

static void rows_purged(struct store_reader *r, uint64_t n, uint64_t bytes, bool more, int error)
{
	struct client *client = r->userdata;
	struct broker *b = client->broker;
	struct proto_header h;

	(void)bytes;
	b->counts.dropped += n;
	if (n && !client->purges_parked)
		consumer_queue_gone(b, client->purged);
	client = end_reading(b, client, &h);
	if (!client)
		return;
	answer_done(b, client, &h, n,
		error == -ENOSPC ? PROTO_Q_STORE_FULL
			: error	 ? PROTO_Q_STORE_FAILED
				 : PROTO_OK,
		more);
	b->outlet->resume(b->outlet->userdata, client->number);
}

static uint32_t start_reading(struct broker *b, struct client *client,
	const struct queue_codec_packet *p, const struct proto_queue_list *list)
{
	const struct opened *opened = opened_of(client, list->queue);
	bool parked = list->flags & PROTO_QUEUE_PARKED;
	int r;

	if (!opened)
		return PROTO_Q_QUEUE;
	if (list->flags & ~(uint32_t)PROTO_QUEUE_PARKED)
		return PROTO_E_FLAGS;
	if (p->header.opcode == PROTO_QUEUE_PURGE) {
		client->purged = opened->number;
		client->purges_parked = parked;
		r = b->store->ops->purge(
			b->store, opened->number, parked, PURGE_PAGE, &client->reader);
	} else {
		if (!p->header.cursor)
			client->position = (struct store_position){0};
		else if (p->header.cursor != client->position_cursor)
			return PROTO_E_RANGE;
		client->position_cursor = p->header.cursor;
		r = b->store->ops->list(b->store, opened->number, parked, &client->position,
			LIST_PAGE, &client->reader);
	}
	return r ? PROTO_E_DESCRIPTORS : PROTO_OK;
}

static uint32_t start_queues(
	struct broker *b, struct client *client, const struct queue_codec_packet *p)
{
	struct proto_queue_queues request;
	bool all;

	queue_codec_get(p, 0, &request);
	all = request.flags & PROTO_QUEUE_ALL;
	if (request.flags & ~(uint32_t)PROTO_QUEUE_ALL || request.reserved)
		return PROTO_E_FLAGS;
	if (all && client->uid != 0)
		return PROTO_E_PERMISSION;
	return b->store->ops->queues(b->store, all ? PROTO_QUEUE_OWN : client->uid,
		       (uint32_t)p->header.cursor, QUEUES_PAGE, b->now.at, &client->reader)
		? PROTO_E_DESCRIPTORS
		: PROTO_OK;
}

/* A list, a purge or a listing of queues: one at a time for each client. */
static int handle_reading(struct broker *b, struct client *client, const void *packet, size_t size,
	const struct queue_codec_packet *p)
{
	struct proto_queue_list list = {0};
	struct queue_codec_writer w;
	uint32_t status;

	client->reader = (struct store_reader){
		.rows = rows_listed,
		.queues = queues_listed,
		.purged = rows_purged,
		.userdata = client,
	};
	if (p->header.opcode == PROTO_QUEUE_QUEUES) {
		status = start_queues(b, client, p);
	} else {
		queue_codec_get(p, 0, &list);
		status = start_reading(b, client, p, &list);
	}
	if (!status) {
		client->reading = request_new(client, p, packet, size);
		if (client->reading)
			return 0;
		/* The read will be answered into nothing: no client is worth an abort. */
		client->reader.userdata = NULL;
		return -ENOMEM;
	}
	if (p->header.opcode == PROTO_QUEUE_PURGE) {
		answer_done(b, client, &p->header, 0, status, 0);
		return client->closing;
	}
	answer_begin(b, &w, p->header.opcode, p->header.serial);
	w.header.status = (uint16_t)status;
	send_out(b, client, queue_codec_end(&w, 0));
	return client->closing;
}

static int handle_status(struct broker *b, struct client *client, const struct proto_header *h)
{
	struct proto_queue_status_answer answer = {
		.uptime = b->now.real - b->config.started,
		.stored = b->counts.stored,
		.delivered = b->counts.delivered,
		.acknowledged = b->counts.acknowledged,
		.retried = b->counts.retried,
		.missed = b->counts.missed,
		.dropped = b->counts.dropped,
		.refused = b->counts.refused,
		.pid = b->config.pid,
	};
	struct queue_codec_writer w;
	struct store_usage usage;
	const char *why;

	b->store->ops->usage(b->store, client->uid ? client->uid : PROTO_QUEUE_OWN, &usage);
	answer.queues = usage.queues;
	answer.timers = usage.timers;
	answer.parked = usage.parked;
	answer.store = (uint32_t)b->store->ops->state(b->store, &why);
	for (uint32_t i = 0; i < b->client_count; i++)
		answer.clients += b->clients[i] && !b->clients[i]->gone &&
			(!client->uid || b->clients[i]->uid == client->uid);
	for (const struct queue *q = b->queues; q; q = q->next)
		answer.unacked += !client->uid || q->uid == client->uid ? q->unacked : 0;
	for (size_t i = 0; i < sizeof(answer.version) && b->config.version[i]; i++)
		answer.version[i] = b->config.version[i];
	answer_begin(b, &w, PROTO_QUEUE_STATUS, h->serial);
	queue_codec_put(&w, &answer);
	send_out(b, client, queue_codec_end(&w, 0));
	return client->closing;
}

/* Whether the packet has to come now; if not, why the client ends. */
static const char *check_turn(const struct client *client, const struct proto_header *h)
{
	if (!client->greeted && h->opcode != PROTO_QUEUE_HELLO)
		return "opcode: a hello has to come first";
	if (client->greeted && h->opcode == PROTO_QUEUE_HELLO)
		return "opcode: there was a hello already";
	if (h->serial != client->serial + 1)
		return "serial: not one more than that of the request before";
	return NULL;
}

int broker_handle(struct broker *b, uint32_t number, const void *packet, size_t size,
	const struct broker_now *now)
{
	struct client *client = b->clients[number - 1];
	struct queue_codec_packet p = {0};
	enum codec_fault fault = queue_codec_open(packet, size, CODEC_FROM_CLIENT, &p);
	const char *text;

	b->now = *now;
	if (fault) {
		send_error(b, client, PROTO_E_PACKET, 0, codec_fault_text(fault));
		return 1;
	}
	text = check_turn(client, &p.header);
	if (text) {
		send_error(b, client, PROTO_E_SEQUENCE, p.header.serial, text);
		return 1;
	}
	client->serial = p.header.serial;
	switch (p.header.opcode) {
	case PROTO_QUEUE_HELLO:
		return greet(b, client, &p);
	case PROTO_QUEUE_OPEN:
		return handle_open(b, client, &p);
	case PROTO_QUEUE_CONSUME:
		return handle_consume(b, client, &p);
	case PROTO_QUEUE_DETACH:
		return handle_detach(b, client, &p);
	case PROTO_QUEUE_LIST:
	case PROTO_QUEUE_PURGE:
	case PROTO_QUEUE_QUEUES:
		return handle_reading(b, client, packet, size, &p);
	case PROTO_QUEUE_STATUS:
		return handle_status(b, client, &p.header);
	default:
		return handle_batch(b, client, packet, size, &p);
	}
}
