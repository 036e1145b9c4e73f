/* SPDX-License-Identifier: MIT */
/*
 * The broker's state, for the files of this folder alone.
 *
 *   list, heap   containers
 *   lanes        wakes in memory, in the order of their lane
 *   queues       which queues have something to do, and when
 *   consumers    windows and deliveries
 *   outcomes     what becomes of a delivered wake
 *   commits      changes gathered into transactions of the store
 *   requests     packets that change something, and their answers
 *   reads        packets that only read
 *   clients      connections: hello, turns, what each may have waiting
 *   broker       the turn
 */
#pragma once

#include "broker.h"
#include "heap.h"
#include "list.h"

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
	bool gone;   /* cancelled, replaced or rescheduled while it was out of its lane */
	bool unsure; /* its queue was purged meanwhile: the store knows whether the row is there */
	bool begun;  /* it was delivered once: not too late any more */
	struct lane *lane;
	struct link link;    /* lane::wakes, consumer::unacked or changing, queue::changing */
	struct link revived; /* queue::revived, if it was parked once */
	struct wake *next_by_id, *next_by_name; /* broker::by_id, by_name */
	struct consumer *consumer;		/* whose window it fills; NULL: nobody's */
	uint64_t avoid;		      /* the consumer that let it become overdue; 0: none */
	uint64_t sent_real, overruns; /* unacked */
	uint64_t term;		      /* of the lease under which it was loaded; 0 on one host */
	uint8_t data[];
};

/* The rows of a queue on one clock. Those up to (horizon_ready, horizon_id) are in memory. */
struct lane {
	struct queue *queue;
	uint8_t clock;
	bool loading;
	bool discard;	   /* the load under way began at another horizon */
	struct link wakes; /* loaded, in order */
	size_t count, bytes, wake_system;
	uint64_t horizon_ready, horizon_id;
	uint64_t next; /* ready of the first row behind the horizon; PROTO_FOREVER: none */
	/* The same of those that wake the machine. No row behind the horizon comes earlier; one
	 * that did may have gone, and is then looked for again. */
	uint64_t next_wake_system;
	bool look_behind; /* for that a row behind the horizon may have gone */
	struct heap_node ready, latest, latest_wake_system; /* broker::ready … */
	struct heap_node retry; /* broker::retries: a read failed and is tried again then */
	struct store_reader reader;
};

/* It is in memory while it has consumers, or while the store does something for it. */
struct queue {
	struct broker *broker;
	struct user *user;  /* the owner */
	uint32_t number;    /* the store's */
	struct queue *next; /* broker::queues */
	struct link dirty;  /* broker::dirty: it is to be looked at */
	struct link turn;   /* user::turns: it can deliver something */
	struct link all;    /* broker::all_queues */
	struct lane lanes[PROTO_CLOCKS];
	struct link with_room, full; /* consumers; the first with room is served next */
	uint32_t consumers;
	uint64_t unacked;
	uint64_t under_way;   /* wakes of it that are WAKE_CHANGING */
	uint64_t missing;     /* of these, those that were too late */
	uint64_t term;	      /* of the lease, while this host holds it */
	bool held;	      /* the lease is; always so on one host */
	struct link changing; /* those that fill nobody's window */
	struct link revived;  /* wakes in memory that were parked once: their rows have other ids */
};

struct consumer {
	struct client *client;
	struct queue *queue;
	struct link of_queue;		 /* queue::with_room, full */
	struct consumer *next_of_client; /* client::consumers */
	uint64_t id;			 /* never used again */
	uint32_t number;		 /* the client's, of the queue */
	uint32_t window, used, max_attempts;
	uint64_t ack_within;
	struct link unacked; /* in the order of their delivery */
	struct link changing;
	struct heap_node overdue; /* broker::overdue */
};

/* A packet that waits for the store, and its answer as it comes to be. */
struct request {
	struct client *client; /* NULL: it has gone */
	struct user *user;
	struct opened_list *opened;
	struct link of_client; /* client::requests */
	struct link put_link;  /* broker::puts, if it has a serial of its token */
	uint64_t serial;
	uint16_t opcode;
	uint32_t count, waiting;	    /* records; changes that are not answered yet */
	size_t charge;			    /* bytes that it and its changes take */
	struct proto_queue_stored *answers; /* of each record; done: id and status of it */
	struct store_put put;
	bool is_put;
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
	struct consumer *consumer; /* NULL: none */
};

/* The queues that a client has opened, each with a reference at the store. What the client has
 * asked for names them by these references, also after the client has gone. */
struct opened_list {
	struct broker *broker;
	size_t references; /* the client's, and one of each of its requests */
	uint32_t count, room;
	struct opened *at; /* by number - 1 */
};

/* A put of an earlier connection, which is answered as it was then. */
struct known_put {
	struct known_put *next;
	uint64_t serial;
	size_t n;
	struct proto_queue_stored answers[];
};

struct counts {
	uint64_t stored, delivered, acknowledged, retried, missed, dropped, refused, unacked;
};

/* A user, from the first connection or queue on: there are no more than uids. */
struct user {
	uint32_t uid;
	struct user *next;   /* broker::users */
	struct link turn;    /* broker::turns */
	struct link turns;   /* its queues that can deliver something */
	struct link clients; /* client::of_user */
	uint32_t client_count;
	size_t pending; /* as client::pending, of all its clients */
	struct counts counts;
};

struct client {
	struct broker *broker;
	struct user *user;
	struct link of_user; /* user::clients */
	uint32_t number, uid;
	bool greeted, blocked, closing;
	bool gone; /* it has disconnected while the store reads for it */
	uint64_t serial;
	uint8_t token[STORE_TOKEN_SIZE];
	bool has_token;
	struct link greeting; /* broker::greeting: its token's puts have to be asked for */
	bool finding;	      /* that is under way */
	bool unread;	      /* the store could not say: it is asked again */
	uint64_t asked_at;    /* broker::commits when that was looked at last */
	uint64_t last_put;    /* the last serial of this connection */
	uint64_t last_stored; /* that the store knew when it began */
	struct known_put *known;
	struct opened_list *opened;
	struct consumer *consumers;
	struct link requests;
	size_t pending; /* bytes of requests that wait */
	uint32_t pending_count;
	struct request *reading; /* a list, purge or queues under way */
	uint32_t purged;	 /* the queue, by the store's number */
	bool purges_parked;
	struct store_reader reader, put_reader;
	struct store_position position; /* of its listing */
	uint64_t position_cursor;	/* by which it goes on there */
};

#define BROKER_HASH 256

/* Clients whose puts' outcome is not known that are told from others. */
#define BROKER_UNSURE 64

struct broker {
	struct broker_config config;
	struct store *store;
	const struct broker_outlet *outlet;
	struct client **clients; /* by number - 1 */
	uint32_t client_count, clients_connected;
	struct user *users[BROKER_HASH];
	struct queue **queues; /* hash by number */
	size_t queue_room, queue_count;
	struct link all_queues;
	struct link dirty, turns, greeting, puts;
	struct wake **by_id;   /* all wakes, by row */
	struct wake **by_name; /* revived ones, by timer and number */
	size_t wake_room, wake_count;
	struct heap ready[PROTO_CLOCKS];  /* lanes by their first wake, of queues that wait */
	struct heap latest[PROTO_CLOCKS]; /* the same by the smallest ready + slack */
	struct heap latest_wake_system[PROTO_CLOCKS];
	struct heap overdue, retries; /* consumers, and lanes, by the instant on `real` */
	size_t consumer_count;
	uint64_t consumers_made;
	struct change *first, *last; /* gathered for the next commit */
	struct change *committing;
	struct store_commit commit;
	bool commit_under_way;
	uint64_t commits; /* that were answered */
	struct broker_now now;
	uint64_t retry_commit; /* real: a store that refuses is tried again then */
	uint64_t retry_puts;   /* real: the same for reading puts */
	uint64_t clocks_real;  /* real, when the clocks were stored last */
	int64_t clocks_wall;   /* wall clock - real then */
	struct counts counts;
	unsigned int unsure_count; /* more than BROKER_UNSURE: others, too */
	uint8_t unsure[BROKER_UNSURE][STORE_TOKEN_SIZE];
	size_t out_size;
	uint8_t out[QUEUE_CODEC_BUFFER];
};

/* Counts for everybody and for one user. */
#define BROKER_COUNT(b, user, what, n)      \
	do {                                \
		(b)->counts.what += (n);    \
		(user)->counts.what += (n); \
	} while (0)

/* lanes.c */

/* A wake with its row's bytes copied, in no lane; NULL: no memory. */
struct wake *wake_new(struct broker *b, struct lane *lane, const struct store_timer *t);
/* The wake is in no list. */
void wake_free(struct broker *b, struct wake *wake);
/* The wake in memory of this row that stands; NULL: none. */
struct wake *wake_find(const struct broker *b, uint64_t id);
/* The wake that clients know by this name, with that consumer, gone or not; NULL: none. */
struct wake *wake_find_unacked(
	const struct broker *b, const struct consumer *consumer, uint64_t timer, uint32_t number);
void lane_init(struct lane *lane, struct queue *queue, unsigned int clock);
/* A row of the lane has come to be, or has moved: it is kept if it lies within the horizon, and
 * else noted as what comes next. wake: what it is in memory as, in no list; NULL: none. */
void lane_add(struct broker *b, struct lane *lane, const struct store_timer *t, struct wake *wake);
/* Whether such a row lies within the horizon: it is in memory, or has to come there. */
bool lane_reaches(const struct lane *lane, uint64_t ready, uint64_t id);
/* There is such a row behind the horizon. flags: PROTO_WAKE_SYSTEM. */
void lane_note_behind(struct lane *lane, uint64_t ready, uint8_t flags);
/* A row behind the horizon may have gone, or have moved. */
void lane_look_behind(struct lane *lane);
/* Takes a loaded wake out of its lane. */
void lane_remove(struct lane *lane, struct wake *wake);
/* Forgets what is loaded: it is read again from the lane's start. */
void lane_reset(struct broker *b, struct lane *lane);
/* Starts a load if the lane has too little in memory. */
void lane_refill(struct broker *b, struct lane *lane);
/* The first wake of the lane, if it is ready; NULL: none is. */
struct wake *lane_ready(const struct broker *b, const struct lane *lane);

/* queues.c */

/* What the store of a fleet tells. */
void queues_watch_fleet(struct broker *b);
/* Whether a wake of the queue may be sent now. */
bool queue_may_deliver(const struct broker *b, const struct queue *queue);
/* The queue in memory of that number; NULL: none is. */
struct queue *queue_find(const struct broker *b, uint32_t number);
struct queue *queue_get(struct broker *b, uint32_t number, uint32_t uid); /* or a new one; NULL */
/* Something of it has changed: the next turn looks at it. */
void queue_touch(struct queue *queue);
/* It has no consumer: forgets what is loaded, and frees it once nothing is under way for it. */
void queue_release(struct broker *b, struct queue *queue);
void queue_free(struct broker *b, struct queue *queue);
/* Looks at a slice of the queues that changed or whose time has come. Return: whether there are
 * more. */
bool queues_look(struct broker *b);
/* Of the lanes' first wakes the one that has been ready for longest; NULL: none is ready, or an
 * older one is being read. */
struct wake *queue_oldest(const struct broker *b, const struct queue *queue);
/* Whether the queue may deliver, as far as its consumers go. */
bool queue_is_open(const struct queue *queue);
/* Gives the queue a turn. */
void queue_activate(struct broker *b, struct queue *queue);

/* consumers.c */

/* Delivers a slice of what is due: turns go round by user, then by queue. Return: whether there is
 * more. */
bool consumers_deliver(struct broker *b);
uint32_t consumer_attach(
	struct client *client, const struct proto_queue_consume *request, struct broker *b);
/* count: the oldest unacknowledged wake's attempt is counted. */
void consumer_detach(struct broker *b, struct consumer *consumer, bool count);
/* Its window, or its client's socket, has changed. */
void consumer_update(struct consumer *c);
/* The same for all consumers of a client. */
void consumers_update(struct client *client);
/* Sets when its oldest wake is overdue. */
void consumer_arm(struct broker *b, struct consumer *c);

/* outcomes.c */

uint64_t wake_late(const struct broker *b, const struct wake *wake);
uint64_t wake_overruns(const struct broker *b, const struct wake *wake);
/* The due of the wake that follows one that stands for so many further periods; PROTO_FOREVER: none
 * follows. */
uint64_t wake_next_due(const struct wake *wake, uint64_t overruns);
bool wake_is_too_late(const struct broker *b, const struct wake *wake);
/* What becomes of a loaded wake that is too late. Return: false: no memory, it stays. */
bool wake_miss(struct broker *b, struct wake *wake);
/* The wake goes back, as if it had not been delivered. */
void wake_give_back(struct broker *b, struct wake *wake);
/* An attempt failed: the wake comes again from `ready` on, or is parked. Return: the change; NULL:
 * no memory, and the wake is unacknowledged as before. */
struct change *wake_count_attempt(struct broker *b, struct wake *wake, uint64_t ready);
/* The wake fills nobody's window any more. */
void wake_leave_window(struct wake *wake);
/* What a client says of a wake that it has. Return: PROTO_OK and the change under way, or why not.
 */
uint32_t wake_ack(struct broker *b, struct client *client, const struct proto_queue_ack *ack,
	struct request *request, uint32_t record);
uint32_t wake_retry(struct broker *b, struct client *client, const struct proto_queue_retry *retry,
	struct request *request, uint32_t record);
/* Takes a slice of the wakes back that consumers have had for longer than they may. Return: whether
 * there are more. */
bool wakes_take_overdue(struct broker *b);
/* A change of a wake's row is stored, or was refused since the row is not there. */
void wake_changed(struct broker *b, struct change *change);
/* The row of that id went, or is another wake's now. Return: whether it was in memory. */
bool wake_row_gone(struct broker *b, uint64_t id);
/* The same for the revived wakes of a timer. */
void wakes_revived_gone(struct broker *b, struct queue *queue, uint64_t timer);
/* Rows of a queue went, nobody knows which. */
void wakes_purged(struct broker *b, uint32_t queue);

/* commits.c */

/* A change that the next commit will hold; NULL: no memory. The caller fills it in. */
struct change *commits_add(struct broker *b, enum store_change_type type);
void commits_begin(struct broker *b);

/* requests.c */

struct request *request_new(struct client *client, const struct queue_codec_packet *p,
	const void *packet, size_t size); /* NULL: no memory */
void request_free(struct request *request);
/* One change of the request was answered. */
void request_changed(struct broker *b, struct change *change, uint32_t status);
int handle_batch(struct broker *b, struct client *client, const void *packet, size_t size,
	const struct queue_codec_packet *p);
/* The client's number of a queue; NULL: it has none. */
struct opened *opened_of(const struct client *client, uint32_t number);
/* Gives a reference back. Return: NULL. */
struct opened_list *opened_unref(struct opened_list *opened);

/* reads.c */

/* A list, a purge or a listing of queues: one at a time for each client. */
int handle_reading(struct broker *b, struct client *client, const void *packet, size_t size,
	const struct queue_codec_packet *p);
int handle_status(struct broker *b, struct client *client, const struct proto_header *h);

/* clients.c */

void send_out(struct broker *b, struct client *client, size_t size);
void send_error(struct broker *b, struct client *client, uint32_t status, uint64_t serial,
	const char *text);
void answer_begin(struct broker *b, struct queue_codec_writer *w, uint16_t opcode, uint64_t serial);
/* One record of struct proto_queue_done. */
void answer_done(struct broker *b, struct client *client, const struct proto_header *h, uint64_t id,
	uint32_t status, uint64_t cursor);
void client_free(struct broker *b, struct client *client);
struct user *user_get(struct broker *b, uint32_t uid); /* or a new one; NULL: no memory */
/* Asks the store for earlier puts of clients that have said hello. */
void clients_find_puts(struct broker *b);
/* A put of that token was sent to the store, and nobody knows whether it stands. */
void client_note_unsure(struct broker *b, const uint8_t token[static STORE_TOKEN_SIZE]);

/* Whether a put of that token may be stored though it was not answered. */
bool client_is_unsure(const struct broker *b, const uint8_t token[static STORE_TOKEN_SIZE]);
/* Whether a put packet is to be stored. If not, it was answered, or the client ends. */
bool client_takes_put(struct broker *b, struct client *client, const struct proto_header *h);
/* Less of what it asked for waits: its clients may be read from again. */
void user_resume(struct user *user);
