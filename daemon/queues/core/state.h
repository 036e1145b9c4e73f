/* SPDX-License-Identifier: MIT */
/*
 * The broker's state, for the files of this folder alone.
 *
 *   lanes.c      wakes in memory, in the order of their lane
 *   consumers.c  windows, deliveries, and what becomes of them
 *   requests.c   packets: what clients ask for, and their answers
 *   commits.c    changes gathered into transactions of the store
 *   broker.c     the turn
 */
#pragma once

#include "broker.h"

/* What a wake in memory is doing. */
enum wake_state {
	WAKE_LOADED,   /* in its lane */
	WAKE_UNACKED,  /* with a consumer */
	WAKE_CHANGING, /* its row is being changed: out of its lane until the store has answered */
};

/* A row of the store, with its key and payload behind it. */
struct wake {
	struct store_timer t;
	enum wake_state state;
	bool gone; /* cancelled or replaced while it was out of its lane */
	struct lane *lane;
	struct wake *next, *prev;     /* lane::first, or consumer::oldest */
	struct wake *hash_next;	      /* broker::wakes */
	struct consumer *consumer;    /* unacked; changing: whose window it fills; NULL: nobody's */
	uint64_t sent_real, overruns; /* unacked */
	uint8_t data[];
};

/* The rows of a queue on one clock: those up to (horizon_ready, horizon_id) are in memory. */
struct lane {
	struct queue *queue;
	uint8_t clock;
	struct wake *first, *last; /* loaded */
	size_t count, bytes;	   /* loaded */
	uint64_t horizon_ready, horizon_id;
	uint64_t next; /* ready of the first row behind the horizon; PROTO_FOREVER: none */
	bool loading;
	uint64_t retry; /* real: a read failed, and is tried again then; 0: none did */
	bool discard;	/* the load under way began before lane_reset() */
	bool stale;	/* a row was added behind the horizon while loading: the answer misses it */
	struct store_reader reader;
};

struct queue {
	struct broker *broker;
	uint32_t number, uid; /* the store's number */
	struct queue *next;   /* broker::queues */
	struct lane lanes[PROTO_CLOCKS];
	struct consumer *consumers; /* by next_of_queue; the first is served next */
	uint64_t unacked;
	uint64_t revived;  /* wakes in memory that were parked once */
	uint64_t changing; /* wakes of it that are WAKE_CHANGING */
	bool dead; /* without consumers; freed once no read and no change of it is under way */
};

struct consumer {
	struct client *client;
	struct queue *queue;
	struct consumer *next_of_queue, *next_of_client;
	uint32_t number; /* the client's, of the queue */
	uint32_t window, used, max_attempts;
	uint64_t ack_within;
	struct wake *oldest, *newest; /* unacked, in the order of their delivery */
};

/* A packet that waits for the store, and its answer as it comes to be. */
struct request {
	struct request *next;  /* client::unsent, broker::puts */
	struct client *client; /* NULL: it has gone */
	uint64_t serial;
	uint16_t opcode;
	uint32_t count, waiting;	    /* records; changes that are not answered yet */
	size_t size;			    /* bytes of the packet */
	struct proto_queue_stored *answers; /* of each record; done: id and status of it */
	struct store_put put;
	bool is_put;	  /* it has a serial of its token */
	uint8_t packet[]; /* keys and payloads stay in it */
};

/* One change, and what it is for. */
struct change {
	struct store_change c;
	struct change *next;
	struct request *request; /* NULL: the broker's own */
	uint32_t record;
	struct wake *wake; /* whose row it changes; NULL: by id or key */
	bool missed;	   /* too late: counted so */
};

struct opened {
	uint32_t number, uid;
};

/* A put of an earlier connection, which is answered as it was then. */
struct known_put {
	struct known_put *next;
	uint64_t serial;
	size_t n;
	struct proto_queue_stored answers[];
};

struct client {
	struct broker *broker;
	uint32_t number, uid;
	bool greeted, blocked, closing;
	uint64_t serial;
	uint8_t token[PROTO_QUEUE_TOKEN_SIZE];
	bool has_token;
	bool wants_puts; /* what is known of its token has to be asked for */
	bool finding;	 /* that is under way */
	bool gone;	 /* it has disconnected while the store reads for it */
	uint64_t last_put;
	struct known_put *known;
	struct opened *queues; /* by number - 1 */
	uint32_t queue_count;
	struct consumer *consumers;
	size_t pending; /* bytes of requests that wait */
	uint32_t pending_count;
	struct request *reading; /* a list, purge or queues under way */
	uint32_t purged;	 /* the queue, by the store's number */
	bool purges_parked;
	struct store_reader reader, put_reader;
	struct store_position position; /* of its listing */
	uint64_t position_cursor;	/* by which it goes on there */
};

struct broker {
	struct broker_config config;
	struct store *store;
	const struct broker_outlet *outlet;
	struct client **clients; /* by number - 1 */
	uint32_t client_count, clients_connected;
	struct queue *queues; /* with consumers */
	struct queue *turn;   /* whose deliveries come next */
	struct wake **wakes;  /* hash by id */
	size_t wake_room, wake_count;
	struct change *first, *last; /* gathered for the next commit */
	struct change *committing;
	struct store_commit commit;
	struct broker_now now;
	uint64_t retry_commit; /* real: a full store is tried again then */
	struct {
		uint64_t stored, delivered, acknowledged, retried, missed, dropped, refused,
			unacked;
	} counts;
	size_t out_size;
	uint8_t out[QUEUE_CODEC_BUFFER];
};

/* lanes.c */

/* A wake with its row's bytes copied; NULL: no memory. */
struct wake *wake_new(struct broker *b, struct lane *lane, const struct store_timer *t);
void wake_free(struct broker *b, struct wake *wake);
/* The wake in memory with this row id; NULL: none. */
struct wake *wake_find(const struct broker *b, uint64_t id);
/* A row of the lane has come to be, or has moved: it is kept if it lies within the horizon, and else
 * noted as what comes next. wake: the one that it is in memory as, out of its lane; NULL: none. */
void lane_add(struct broker *b, struct lane *lane, const struct store_timer *t, struct wake *wake);
/* Takes a loaded wake out of its lane. */
void lane_remove(struct lane *lane, struct wake *wake);
/* Forgets what is loaded: it is read again from the lane's start. */
void lane_reset(struct broker *b, struct lane *lane);
/* Starts a load if the lane has too little in memory. */
int lane_refill(struct broker *b, struct lane *lane);
/* The first wake of the lane, if it is ready; NULL: none is. */
struct wake *lane_ready(const struct broker *b, const struct lane *lane);

/* The queue with consumers of that number; NULL: there is none. */
struct queue *queue_find(const struct broker *b, uint32_t number);
struct queue *queue_get(struct broker *b, uint32_t number, uint32_t uid); /* or a new one; NULL */
/* Frees a queue that has no consumer, once no read of it is under way. */
void queue_release(struct broker *b, struct queue *queue);

/* consumers.c */

/* Delivers a slice of what is due, a packet each in turn. Return: whether there is more. */
bool consumers_deliver(struct broker *b);
uint32_t consumer_attach(
	struct client *client, const struct proto_queue_consume *request, struct broker *b);
/* count: the oldest unacknowledged wake's attempt is counted. */
void consumer_detach(struct broker *b, struct consumer *consumer, bool count);
/* What a client says of a wake that it has. Return: PROTO_OK and the change under way, or why not. */
uint32_t consumer_ack(struct broker *b, struct client *client, const struct proto_queue_ack *ack,
	struct request *request, uint32_t record);
uint32_t consumer_retry(struct broker *b, struct client *client,
	const struct proto_queue_retry *retry, struct request *request, uint32_t record);
/* Takes wakes back from consumers that have had them for longer than they may. */
void consumers_take_overdue(struct broker *b);
/* A change of a wake's row was answered by the store. */
void consumer_changed(struct broker *b, struct change *change, int error);
/* Rows of a timer were cancelled, replaced or rescheduled by somebody. */
void consumer_timer_gone(struct broker *b, uint32_t queue, uint64_t timer);
/* The same for all timers of a queue. */
void consumer_queue_gone(struct broker *b, uint32_t queue);

/* commits.c */

/* A change that the next commit will hold; NULL: no memory. The caller fills it in. */
struct change *commits_add(struct broker *b, enum store_change_type type);
int commits_begin(struct broker *b);

/* requests.c */

/* One change of the request was answered. */
void request_changed(struct broker *b, struct change *change, uint32_t status);
/* Asks the store for earlier puts of clients that have said hello. */
void requests_find_puts(struct broker *b);
void client_free(struct broker *b, struct client *client);
