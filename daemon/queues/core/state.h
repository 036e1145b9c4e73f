/* SPDX-License-Identifier: MIT */
/*
 * The broker's state, for the files of this folder alone. No file but broker.c is called from
 * outside. Each file uses the files that stand before it:
 *
 *   list, heap   containers
 *   answers      packets to a client
 *   changes      changes that the next commit will hold
 *   opened       the queues that a client has opened
 *   queue_table  the queues in memory by number, and which of them changed
 *   users        users, and their clients
 *   windows      whether a consumer has room, and when its oldest wake is overdue
 *   lanes        wakes in memory, in the order of their lane
 *   requests     packets that wait for the store, and their answers
 *   outcomes     what becomes of a delivered wake
 *   queues       which queues have something to do, and when
 *   consumers    attaching, detaching, and deliveries
 *   clients      connections, and what each may have waiting
 *   fleet        leases that come and go
 *   puts         puts that are sent again after a connection broke
 *   commits      changes gathered into transactions of the store
 *   batches      packets of records that change something
 *   reads        packets that only read, and purges
 *   packets      a client's packet: whether it may come now, and which file handles it
 *   broker       the turn
 *
 * Nothing here is thread-safe. Times are in microseconds.
 */
#pragma once

#include "broker_types.h"
#include "heap.h"
#include "list.h"

/* What a wake in memory is doing. */
enum wake_state {
	WAKE_LOADED,   /* in its lane */
	WAKE_UNACKED,  /* with a consumer */
	WAKE_CHANGING, /* the store is changing its row: it is out of its lane until the answer */
};

/* A row of the store, with its key and payload behind it. */
struct wake {
	struct store_timer t;
	enum wake_state state;
	bool gone;   /* cancelled, replaced or rescheduled while it was out of its lane */
	bool unsure; /* after a purge: only the store knows whether its row exists */
	bool begun;  /* it was delivered once, so max_late does not concern it any more */
	struct lane *lane;
	struct link link;    /* lane::wakes, consumer::unacked or changing, queue::changing */
	struct link revived; /* queue::revived, if it was parked once */
	struct wake *next_by_id, *next_by_name; /* broker::by_id, by_name */
	struct consumer *consumer;		/* whose window it fills; NULL: none */
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
	bool discard;	   /* the load under way began at another horizon: its rows do not fit */
	struct link wakes; /* loaded, in order */
	size_t count, bytes, wake_system;
	uint64_t horizon_ready, horizon_id;
	uint64_t until; /* the load under way reads what is ready by then */
	uint64_t next;	/* ready of the first row behind the horizon; PROTO_FOREVER: none */
	/* The same among rows that wake the machine. No row behind the horizon comes earlier. If
	 * the row of this instant has gone, the lane looks for the next one. */
	uint64_t next_wake_system;
	bool look_behind; /* because a row behind the horizon may have gone */
	struct heap_node ready, latest, latest_wake_system; /* broker::ready … */
	struct heap_node retry; /* broker::retries: a load failed, and is tried again then */
	struct store_reader reader;
};

/* A queue is in memory while it has consumers, or while the store does something for it. */
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
	bool held;	      /* this host holds the lease; always so on one host */
	struct link changing; /* wakes that are WAKE_CHANGING and fill nobody's window */
	struct link revived;  /* wakes in memory that were parked once: their rows have other ids */
};

struct consumer {
	struct client *client;
	struct queue *queue;
	struct link of_queue;		 /* queue::with_room, full */
	struct consumer *next_of_client; /* client::consumers */
	uint64_t id;			 /* never used again */
	uint32_t number;		 /* the client's number of the queue */
	uint32_t window, used, max_attempts;
	uint64_t ack_within;
	struct link unacked; /* in the order of their delivery */
	struct link changing;
	struct heap_node overdue; /* broker::overdue */
};

/* A packet that waits for the store, with the part of its answer that is known. */
struct request {
	struct client *client; /* NULL: it has gone */
	struct user *user;
	struct opened_list *opened;
	struct link of_client; /* client::requests */
	struct link put_link;  /* broker::puts, if it has a serial of its token */
	uint64_t serial;
	uint16_t opcode;
	uint32_t count, waiting;	    /* records; changes without an answer so far */
	size_t charge;			    /* bytes that the request and its changes take */
	struct proto_queue_stored *answers; /* of each record; done: id and status of it */
	struct store_put put;
	bool is_put;
	uint8_t packet[]; /* keys and payloads stay in it */
};

/* One change, and for whom it is made. */
struct change {
	struct store_change c;
	struct change *next;
	struct request *request; /* NULL: the broker's own */
	uint32_t record;
	struct wake *wake; /* whose row it changes; NULL: by id or key */
	bool missed;	   /* the wake was too late, and counts as missed */
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

/* A put of an earlier connection. If it is sent again, it gets this answer again. */
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
	size_t pending; /* the sum of client::pending of its clients, and of requests without one */
	struct counts counts;
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
	struct link greeting; /* broker::greeting: the puts of its token have to be read */
	bool finding;	      /* the store is reading them */
	bool unread;	      /* the store could not read them, and is asked again */
	uint64_t asked_at;    /* broker::commits when the broker last tried to have them read */
	uint64_t last_put;    /* the last serial of this connection */
	uint64_t last_stored; /* the last serial that the store knew when the connection began */
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
	uint64_t position_cursor;	/* the cursor of that position */
};

#define BROKER_HASH 256

/* How many tokens with puts of unknown outcome are told apart. */
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
	uint64_t commits;   /* that were answered */
	size_t changes_max; /* of the next transaction; 0: not set yet */
	struct broker_now now;
	uint64_t retry_commit; /* real: a store that refuses is tried again then */
	uint64_t retry_puts;   /* real: the same for reading puts */
	uint64_t clocks_real;  /* real, when the clocks were stored last */
	int64_t clocks_wall;   /* wall clock - real then */
	struct counts counts;
	unsigned int unsure_count; /* above BROKER_UNSURE: of tokens that are not listed, too */
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
