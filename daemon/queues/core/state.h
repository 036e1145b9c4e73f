/* SPDX-License-Identifier: MIT */
/*
 * The broker's state, for the files of this folder only. Other folders call only broker.c. Each
 * file uses only files above it in this list:
 *
 *   list, heap   containers
 *   answers      packets to a client
 *   changes      changes that the next commit will hold
 *   opened       the queues that a client has opened
 *   queue_table  the queues in memory by number, and which of them changed
 *   users        users, and their clients
 *   windows      the room of a consumer's window, and when its oldest wake is overdue
 *   lanes        wakes in memory, in the order of their lane
 *   requests     packets that wait for the store, and their answers
 *   outcomes     the outcomes of delivered wakes
 *   queues       which queues have something to do, and when
 *   consumers    attaching, detaching, and deliveries
 *   clients      connections, and how many requests of each may wait
 *   fleet        leases that this host gets and loses
 *   puts         puts that a client repeats after its connection broke
 *   commits      changes gathered into transactions of the store
 *   batches      packets of records that change something
 *   reads        packets that only read, and purges
 *   packets      whether a packet is allowed now, and which file handles it
 *   broker       the turn
 *
 * Nothing here is thread-safe. Times are in microseconds.
 */
#pragma once

#include "broker_types.h"
#include "heap.h"
#include "list.h"

/* The state of a wake in memory. */
enum wake_state {
	WAKE_LOADED,   /* in its lane */
	WAKE_UNACKED,  /* with a consumer */
	WAKE_CHANGING, /* the store is changing its row: it is out of its lane until the answer */
};

/* A row of the store. `data` has its key and payload. */
struct wake {
	struct store_timer t;
	enum wake_state state;
	bool gone;   /* its timer was cancelled, replaced or rescheduled while the wake was out of
		      * its lane */
	bool unsure; /* after a purge: its row may have been removed */
	bool begun;  /* it was delivered once, so max_late does not apply any more */
	struct lane *lane;
	struct link link;    /* lane::wakes, consumer::unacked or changing, queue::changing */
	struct link revived; /* queue::revived, if it was parked once */
	struct wake *next_by_id, *next_by_name; /* broker::by_id, by_name */
	struct consumer *consumer;		/* the consumer whose window it is in; NULL: none */
	uint64_t avoided_consumer;    /* the consumer that has let the wake become overdue: another
				       * one gets it, if possible; 0: none */
	uint64_t sent_real, overruns; /* unacked */
	uint64_t term;		      /* of the lease under which it was loaded; 0 on one host */
	uint8_t data[];
};

/* The rows of a queue on one clock. The rows up to (horizon_ready, horizon_id) are in memory. */
struct lane {
	struct queue *queue;
	uint8_t clock;
	bool loading;
	bool discard;	   /* the horizon has moved: ignore the rows of the load under way */
	struct link wakes; /* loaded, in order */
	size_t count, bytes, wake_system;
	uint64_t horizon_ready, horizon_id;
	uint64_t until; /* the load under way reads rows that are ready by then */
	uint64_t next;	/* ready of the first row beyond the horizon; PROTO_FOREVER: none */
	/* The same for rows that wake the machine. No such row beyond the horizon comes earlier. If
	 * the row of this instant was removed, the lane looks for the next one. */
	uint64_t next_wake_system;
	bool recheck_beyond; /* a row beyond the horizon may have been removed */
	struct heap_node ready, latest, latest_wake_system; /* broker::ready … */
	struct heap_node retry; /* broker::retries: when to try a failed load again */
	struct store_reader reader;
};

/* A queue is in memory while it has consumers or while work of the store for it is under way. */
struct queue {
	struct broker *broker;
	struct user *user;  /* the owner */
	uint32_t number;    /* the store's */
	struct queue *next; /* broker::queues */
	struct link dirty;  /* broker::dirty: the next turn looks at it */
	struct link turn;   /* user::turns: it can deliver something */
	struct link all;    /* broker::all_queues */
	struct lane lanes[PROTO_CLOCKS];
	struct link with_room, full; /* consumers; the first with room is served next */
	uint32_t consumers;
	uint64_t unacked;
	uint64_t under_way;   /* its wakes that are WAKE_CHANGING */
	uint64_t missing;     /* among these, wakes that were too late */
	uint64_t term;	      /* of the lease, while this host holds it */
	bool held;	      /* this host holds the lease; always true on one host */
	struct link changing; /* wakes that are WAKE_CHANGING and in no window */
	struct link revived;  /* wakes in memory that were parked once: see store_timer::timer */
};

struct consumer {
	struct client *client;
	struct queue *queue;
	struct link of_queue;		 /* queue::with_room, full */
	struct consumer *next_of_client; /* client::consumers */
	uint64_t id;			 /* never reused */
	uint32_t number;		 /* the client's number of the queue */
	uint32_t window, used, max_attempts;
	uint64_t ack_within;
	struct link unacked; /* in the order of their delivery */
	struct link changing;
	struct heap_node overdue; /* broker::overdue */
};

/* A packet that waits for the store, with the answers to its records so far. */
struct request {
	struct client *client; /* NULL: it has gone */
	struct user *user;
	struct opened_list *opened;
	struct link of_client; /* client::requests */
	struct link put_link;  /* broker::puts, if the packet is a put with a number */
	uint64_t serial;
	uint16_t opcode;
	uint32_t count, waiting;	    /* records; changes that have no answer yet */
	size_t charge;			    /* bytes that the request and its changes take */
	struct proto_queue_stored *answers; /* one for each record */
	struct store_put put;
	bool is_put;
	uint8_t packet[]; /* keys and payloads stay in it */
};

/* A change, and where its result goes. */
struct change {
	struct store_change c;
	struct change *next;
	struct request *request; /* NULL: the broker's own */
	uint32_t record;
	struct wake *wake;  /* whose row it changes; NULL: by id or key */
	bool missed;	    /* the wake was too late, and counts as missed */
	uint64_t locked_at; /* on `real`: when it began to wait for a lock; 0: it has not waited */
};

struct opened {
	uint32_t number, uid;
	struct consumer *consumer; /* NULL: none */
};

/* The queues that a client has opened, each with a reference at the store. Requests use these
 * references, also after the client has gone. */
struct opened_list {
	struct broker *broker;
	size_t references; /* the client's, and one of each of its requests */
	uint32_t count, room;
	struct opened *at; /* by number - 1 */
};

/* A put of an earlier connection. If the client repeats it, it gets this answer. */
struct known_put {
	struct known_put *next;
	uint64_t serial;
	size_t n;
	struct proto_queue_stored answers[];
};

struct counts {
	uint64_t stored, delivered, acknowledged, retried, missed, dropped, refused, unacked;
	uint64_t standby; /* queues with consumers that another host serves */
};

/* A user, from its first connection or queue on. */
struct user {
	uint32_t uid;
	struct user *next;   /* broker::users */
	struct link turn;    /* broker::turns */
	struct link turns;   /* its queues that can deliver something */
	struct link clients; /* client::of_user */
	uint32_t client_count;
	struct client *reader; /* whose read is at the store; NULL: none */
	struct link readers;   /* client::read_turn: clients that wait until that read ends */
	size_t pending; /* the sum of client::pending of its clients, and of requests without one */
	uint64_t transaction; /* broker::commits + 1 when `taken` was cleared */
	size_t taken;	      /* changes that this transaction has of the user */
	struct counts counts;
};

/* How many listings one connection can have under way, for threads that share a handle. A further
 * one ends the listing whose last request is the oldest. */
#define CLIENT_LISTINGS 8

/* A listing of a queue that has further pages. */
struct listing {
	uint64_t cursor; /* of the next page; 0: none */
	struct store_position position;
	uint32_t queue; /* the store's number */
	bool parked;
};

/* A list, purge or queues. */
struct read {
	uint16_t opcode;
	uint64_t cursor;
	union {
		struct proto_queue_list list; /* of a purge, too */
		struct proto_queue_queues queues;
	};
};

struct client {
	struct broker *broker;
	struct user *user;
	struct link of_user; /* user::clients */
	uint32_t number, uid;
	bool greeted, blocked, closing;
	bool gone; /* it has disconnected, but the store still reads for it */
	uint64_t serial;
	uint8_t token[STORE_TOKEN_SIZE];
	bool has_token;
	struct link silent;   /* broker::silent: it has sent no hello yet */
	uint64_t hello_by;    /* on `real`: when its hello must have come */
	struct link greeting; /* broker::greeting: the store must read the puts of its token */
	bool finding;	      /* the store is reading these puts */
	bool unread;	      /* the store could not read these puts: the broker will ask again */
	uint64_t asked_at; /* broker::commits when the broker last asked the store for these puts */
	uint64_t last_put; /* the last serial of this connection */
	uint64_t last_stored; /* the last serial that the store knew when the connection began */
	struct known_put *known;
	struct opened_list *opened;
	struct consumer *consumers;
	struct link requests;
	size_t pending; /* bytes of requests that wait */
	uint32_t pending_count;
	struct request *reading; /* the request of a read that is under way or waits */
	struct read read;
	struct link read_turn; /* user::readers */
	uint32_t purged;       /* the queue, by the store's number */
	bool purges_parked;
	struct store_reader reader, put_reader;
	struct listing listings[CLIENT_LISTINGS];
	struct listing *listing; /* the listing that the read under way continues */
	uint64_t cursors;	 /* the number of cursors given to this connection, so that no
				  * cursor is given twice */
};

#define BROKER_HASH 256

/* The most tokens with puts of unknown outcome that are listed one by one. */
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
	struct link silent; /* clients in the order of hello_by */
	struct link dirty, turns, greeting, puts;
	struct wake **by_id;   /* all wakes, by row */
	struct wake **by_name; /* revived ones, by timer and number */
	size_t wake_room, wake_count;
	struct heap ready[PROTO_CLOCKS]; /* lanes of waiting queues, by ready of their first wake */
	struct heap latest[PROTO_CLOCKS]; /* the same lanes by their smallest ready + slack */
	struct heap latest_wake_system[PROTO_CLOCKS];
	struct heap overdue, retries; /* of consumers, and of lanes; instants on `real` */
	size_t consumer_count;
	uint64_t consumers_made;
	struct change *first, *last;	     /* gathered for the next commit */
	struct change *locked, *last_locked; /* changes that wait for locks: see locked.h */
	uint8_t *locked_queues; /* a bit for each queue number: `locked` has changes of it */
	size_t locked_room;	/* bytes of locked_queues */
	struct change *committing;
	struct store_commit commit;
	bool commit_under_way;
	uint64_t commits;   /* the number of commits that were answered */
	size_t changes_max; /* of the next transaction; 0: not set yet */
	struct broker_now now;
	uint64_t retry_commit; /* on `real`: when to try the store again */
	uint64_t retry_locked; /* on `real`: when to try `locked` again */
	uint64_t retry_puts;   /* on `real`: when to read puts again */
	uint64_t clocks_real;  /* on `real`: when the clocks were last stored */
	int64_t clocks_wall;   /* the wall clock - `real` at that time */
	struct counts counts;
	unsigned int unsure_count; /* if it is above BROKER_UNSURE, some tokens are not listed */
	uint8_t unsure[BROKER_UNSURE][STORE_TOKEN_SIZE];
	size_t out_size;
	uint8_t out[QUEUE_CODEC_BUFFER];
};

/* Adds n to a count of the broker and of one user. */
#define BROKER_COUNT(b, user, what, n)      \
	do {                                \
		(b)->counts.what += (n);    \
		(user)->counts.what += (n); \
	} while (0)
