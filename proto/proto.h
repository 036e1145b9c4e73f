/* SPDX-License-Identifier: MIT */
/*
 * What timerd and its clients say to each other, defined once.
 *
 * The socket is SOCK_SEQPACKET on AF_UNIX, so a packet has a beginning and an end and an identity
 * (SO_PEERCRED) comes with the connection. A packet is a header and up to as many records of one
 * kind as fit in 64 KB: a thousand registrations, a thousand answers or a thousand wakes are one
 * system call on each side. Records have a fixed width, so both sides can check a packet's length
 * before they look at anything in it, and an index into a packet is a multiplication.
 *
 * Every integer is little-endian; every span and instant is in microseconds, as in systemd. An
 * instant counts from its clock's zero: CLOCK_MONOTONIC, CLOCK_BOOTTIME or the Unix epoch.
 * timerd-protocol(7) tells the same in prose; vectors/ holds packets with their meaning.
 *
 * These structs are the wire itself. Only the codec may read them from a packet; they are written
 * into the places that codec_add() gives, as codec_end() turns their byte order.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

/* "TTMR", little-endian: the first four bytes of a hello. */
#define PROTO_MAGIC   UINT32_C(0x524d5454)
#define PROTO_VERSION 1

#define PROTO_SOCKET_SYSTEM "/run/timerd/socket"
#define PROTO_SOCKET_USER   "timerd/socket" /* below $XDG_RUNTIME_DIR */

/* Limits of the wire. */
#define PROTO_PACKET_MAX       65536
#define PROTO_LABEL_MAX	       24 /* bytes; a full label has no terminating NUL */
#define PROTO_COMM_MAX	       16 /* TASK_COMM_LEN of Linux */
#define PROTO_ERROR_TEXT_MAX   104
#define PROTO_VERSION_TEXT_MAX 24

/* A span that never ends, an instant that never comes. */
#define PROTO_FOREVER UINT64_MAX

/* The hello must come within this time of the connection. */
#define PROTO_HELLO_TIMEOUT_US UINT64_C(5000000)

/*
 * The ids of timers: low bits are the timer's place, high bits tell who holds that place now, so
 * that a stale id never hits a new timer. 53 bits in all: JSON readers that keep numbers as doubles
 * (jq among them) hand an id back unharmed. Peers treat an id as a number without structure.
 */
#define PROTO_ID_INDEX_BITS 22
#define PROTO_ID_BITS	    53

enum proto_opcode {
	/* Requests; each is answered by one packet with the same serial and PROTO_ANSWER set. */
	PROTO_HELLO = 1,
	PROTO_REGISTER = 2,
	PROTO_CANCEL = 3,
	PROTO_REARM = 4,
	PROTO_LIST = 5,
	PROTO_STATUS = 6,
	PROTO_CANCEL_MATCHING = 7, /* only to a daemon with PROTO_CAN_MATCH */
	PROTO_LIST_MATCHING = 8,   /* the same */

	PROTO_ANSWER = 0x80,

	/* Events; serial 0. */
	PROTO_WAKE = 0x100,
	PROTO_CANCELLED = 0x101,  /* a timer of this session was cancelled by another session */
	PROTO_GOING_AWAY = 0x102, /* the daemon stops; the connection closes next */
	PROTO_ERROR = 0x103,	  /* this session did something that ends it; it closes next */
	PROTO_RESUMED = 0x104,	  /* a new daemon has taken this session over from one that died */
	PROTO_CLOCK_SET = 0x105,  /* the wall clock was set: see PROTO_TELL_CLOCK_SET */
};

/*
 * What became of a record, or why a session ends. Kept apart from errno: these numbers are the
 * wire's and never change. Codes up to 63 refuse one record, those above end the connection.
 */
enum proto_status {
	PROTO_OK = 0,

	PROTO_E_NO_SUCH_TIMER = 1, /* gone, never was, or not yours */
	PROTO_E_TIMERS = 2,	   /* limit of timers in all (--max-timers) */
	PROTO_E_TIMERS_USER = 3,   /* limit of timers of a user (--max-timers-per-user) */
	PROTO_E_CLOCK = 4,	   /* no such clock */
	PROTO_E_FLAGS = 5,	   /* unknown flag bits, or reserved bytes that are not zero */
	PROTO_E_COUNT = 6,	   /* a count of more than one wake without a period */
	PROTO_E_LABEL = 7,	   /* a label that is not printable UTF-8 padded with zeroes */
	PROTO_E_RANGE = 8,	   /* now + due passes the end of the clock, or due is FOREVER */
	PROTO_E_WAKE_SYSTEM = 9,   /* the daemon does not hold CAP_WAKE_ALARM */
	PROTO_E_WAKE_CLOCK = 10,   /* this clock cannot wake the system: monotonic */
	PROTO_E_PERMISSION = 11,   /* asked for what only root may see */
	PROTO_E_SET_CLOCK = 12,	   /* TELL_CLOCK_SET, on a clock that nobody can set */

	PROTO_E_CLIENTS = 64,	    /* limit of clients in all (--max-clients) */
	PROTO_E_CLIENTS_USER = 65,  /* limit of clients of a user (--max-clients-per-user) */
	PROTO_E_DESCRIPTORS = 66,   /* the daemon is out of file descriptors or memory */
	PROTO_E_VERSION = 67,	    /* no version in common */
	PROTO_E_HELLO_TIMEOUT = 68, /* no hello came in time */
	PROTO_E_PACKET = 69,	    /* malformed packet */
	PROTO_E_SEQUENCE = 70, /* well-formed, but not now: no hello, two hellos, wrong serial */
	PROTO_E_PASSED_DESCRIPTOR = 71, /* a file descriptor came with a packet */
	PROTO_E_NOBODY = 72, /* the peer's uid is the overflow uid: it has no identity here */
	PROTO_E_SLOW_SOCKETS = 73, /* calls on this user's sockets take too long: wait 10 s */
};

enum proto_clock {
	PROTO_CLOCK_MONOTONIC = 0,
	PROTO_CLOCK_BOOTTIME = 1,
	PROTO_CLOCK_REALTIME = 2,
	PROTO_CLOCKS,
};

enum proto_timer_flag {
	PROTO_RELATIVE = 1 << 0,    /* due is a span from now */
	PROTO_WAKE_SYSTEM = 1 << 1, /* wake the machine from suspend */
	/* Tell this session each time that the wall clock is set; only of realtime timers, and only
	 * to a daemon with PROTO_CAN_TELL_CLOCK_SET. */
	PROTO_TELL_CLOCK_SET = 1 << 2,
};

enum proto_capability {
	PROTO_CAN_WAKE_SYSTEM = 1 << 0,	   /* daemon: WAKE_SYSTEM will be accepted */
	PROTO_CAN_MATCH = 1 << 1,	   /* daemon: knows the two requests that match */
	PROTO_CAN_TELL_CLOCK_SET = 1 << 2, /* daemon: knows TELL_CLOCK_SET */
};

enum proto_list_flag {
	PROTO_LIST_ALL = 1 << 0, /* everybody's timers; root only */
};

/* Without USER and EVERYBODY: timers of the user that asks. */
enum proto_match_flag {
	PROTO_MATCH_USER = 1 << 0,	/* of `uid`; of another user: root only */
	PROTO_MATCH_LABEL = 1 << 1,	/* with just this label; an empty one: with none */
	PROTO_MATCH_EVERYBODY = 1 << 2, /* of all users: root only; not with USER */
};

enum proto_wake_flag {
	PROTO_WAKE_LAST = 1 << 0, /* the timer is gone */
};

enum proto_going_away_reason {
	PROTO_STOPPING = 1,
	PROTO_LAYOUT = 2, /* a new build cannot read what the old one left: register again */
};

struct proto_header {
	uint16_t opcode;      /* enum proto_opcode */
	uint16_t record_size; /* bytes of each record; 0 where the opcode has none */
	uint16_t count;	      /* records that follow */
	uint16_t status; /* of an answer: enum proto_status of the request as a whole; else 0 */
	uint64_t serial; /* requests: 1, then one more than the request before; events: 0 */
	uint64_t cursor; /* list and its answer: where to go on, 0 = from the start / at the end */
};

/* PROTO_HELLO: the client speaks first. */
struct proto_hello {
	uint32_t magic;	       /* PROTO_MAGIC */
	uint16_t version;      /* the highest that the client speaks */
	uint16_t reserved;     /* 0 */
	uint64_t capabilities; /* bits that it does not know are ignored by either side */
};

struct proto_hello_answer {
	uint32_t magic;
	uint16_t version; /* the one to be spoken: at most the client's */
	uint16_t reserved;
	uint64_t capabilities; /* enum proto_capability */
	uint64_t instance;     /* differs after each start that lost the sessions */
	uint32_t pid;	       /* the daemon's, as it sees itself */
	uint32_t reserved2;
};

struct proto_register {
	uint64_t cookie; /* the client's own; comes back in each event of this timer */
	uint64_t due;	 /* instant, or span with PROTO_RELATIVE */
	uint64_t
		slack; /* how much later still suits; due + slack past the end means never forced */
	uint64_t every;		     /* period; 0: none */
	uint32_t count;		     /* wakes; 0: one without a period, no end with one */
	uint8_t clock;		     /* enum proto_clock */
	uint8_t flags;		     /* enum proto_timer_flag */
	uint16_t reserved;	     /* 0 */
	char label[PROTO_LABEL_MAX]; /* UTF-8, padded with zeroes */
};

/* Answers PROTO_REGISTER and PROTO_REARM, a record each, in order. */
struct proto_registered {
	uint64_t id;	 /* 0 if refused */
	uint64_t due;	 /* the first due, absolute on its clock */
	uint32_t status; /* enum proto_status */
	uint32_t reserved;
};

struct proto_cancel {
	uint64_t id;
};

/* PROTO_OK: cancelled before its wake, which will not come. PROTO_E_NO_SUCH_TIMER: the last wake
 * won (it is in the stream before this answer), or the id is not one of yours. */
struct proto_cancel_answer {
	uint64_t id;
	uint32_t status;
	uint32_t reserved;
};

/* Keeps id, clock, cookie and label, and the place among equal dues; own session's timers only. */
struct proto_rearm {
	uint64_t id;
	uint64_t due;
	uint64_t slack;
	uint64_t every;
	uint32_t count;
	uint8_t flags; /* PROTO_RELATIVE */
	uint8_t reserved[3];
};

struct proto_list {
	uint32_t flags; /* enum proto_list_flag */
	uint32_t reserved;
};

/*
 * Which timers PROTO_CANCEL_MATCHING and PROTO_LIST_MATCHING mean. Either is answered for a part of
 * the daemon's timers; the answer's cursor says where the next request goes on, 0: that was all.
 * PROTO_LIST_MATCHING is answered with proto_listed, PROTO_CANCEL_MATCHING with a proto_cancelled
 * for each timer that it cancelled, whose cookie is 0 unless it was this session's own.
 */
struct proto_match {
	uint32_t flags; /* enum proto_match_flag */
	uint32_t uid;	/* 0 without USER */
	char label[PROTO_LABEL_MAX];
};

struct proto_listed {
	uint64_t id;
	uint64_t cookie; /* 0 unless it is this session's own */
	uint64_t due;
	int64_t left; /* due - now on its clock; negative: late */
	uint64_t slack;
	uint64_t every;
	uint32_t fired; /* wakes so far, modulo 2^32 */
	uint32_t count; /* wakes asked for; 0: no end */
	uint32_t uid;
	uint32_t pid;
	uint8_t clock;
	uint8_t flags;
	uint8_t reserved[6];
	/* Of the client's process when it connected, zero-padded; empty where the daemon cannot see
	 * it. */
	char comm[PROTO_COMM_MAX];
	char label[PROTO_LABEL_MAX];
};

/* PROTO_STATUS has no record; it is answered with one of these. */
struct proto_status_answer {
	char version[PROTO_VERSION_TEXT_MAX]; /* of timerd, zero-padded */
	uint64_t uptime;		      /* since the daemon's start */
	uint64_t clients;
	uint64_t timers;
	uint64_t next;	     /* until the alarm rings for a client's timer; PROTO_FOREVER: never */
	uint64_t registered; /* these count since the start */
	uint64_t woken;
	uint64_t cancelled;
	uint64_t refused;
	uint64_t wakeups; /* times that the alarm rang */
	/* Lateness of all wakes since the start, from when each could first have been sent: see
	 * timerd(8). Quantiles are the upper bounds of their buckets (6 %). */
	uint64_t late_p50;
	uint64_t late_p99;
	uint64_t late_max;
	uint64_t restarts; /* that the sessions survived; these survive what sessions survive */
	uint64_t adopted_sessions;
	uint64_t adopted_timers;
	uint64_t dropped_records;
	uint32_t pid;
	uint32_t warnings; /* settings that the daemon could not hold to; its log says which */
};

struct proto_wake {
	uint64_t cookie;
	uint64_t id;
	uint64_t due;	   /* the one that this wake is for */
	uint64_t late;	   /* sent - due, 0 where the clock was set back in between */
	uint64_t overruns; /* further periods that had passed when this was sent */
	uint32_t number;   /* 1 for a timer's first wake, one more each, modulo 2^32 */
	uint32_t flags;	   /* enum proto_wake_flag */
};

struct proto_cancelled {
	uint64_t cookie;
	uint64_t id;
};

struct proto_going_away {
	uint32_t reason; /* enum proto_going_away_reason */
	uint32_t reserved;
};

/*
 * What was answered before stands, and no wake is lost: one that was being sent when the old daemon
 * died may come again, with the same number. Every request up to `serial` was applied, and its
 * answer is in the stream before this event. Requests after it have to be sent again, in order and
 * with the same serials; those of them that did arrive are not applied twice.
 */
struct proto_resumed {
	uint64_t serial; /* of the last request that was applied */
};

struct proto_error {
	uint32_t status; /* enum proto_status, 64 and above */
	uint32_t reserved;
	uint64_t serial;		 /* of the request at fault; 0: none */
	char text[PROTO_ERROR_TEXT_MAX]; /* for people: what was wrong; UTF-8, zero-padded */
};

static_assert(sizeof(struct proto_header) == 24, "the wire");
static_assert(sizeof(struct proto_hello) == 16, "the wire");
static_assert(sizeof(struct proto_hello_answer) == 32, "the wire");
static_assert(sizeof(struct proto_register) == 64, "the wire");
static_assert(sizeof(struct proto_registered) == 24, "the wire");
static_assert(sizeof(struct proto_cancel) == 8, "the wire");
static_assert(sizeof(struct proto_cancel_answer) == 16, "the wire");
static_assert(sizeof(struct proto_rearm) == 40, "the wire");
static_assert(sizeof(struct proto_list) == 8, "the wire");
static_assert(sizeof(struct proto_match) == 32, "the wire");
static_assert(sizeof(struct proto_listed) == 112, "the wire");
static_assert(sizeof(struct proto_status_answer) == 160, "the wire");
static_assert(sizeof(struct proto_resumed) == 8, "the wire");
static_assert(sizeof(struct proto_wake) == 48, "the wire");
static_assert(sizeof(struct proto_cancelled) == 16, "the wire");
static_assert(sizeof(struct proto_going_away) == 8, "the wire");
static_assert(sizeof(struct proto_error) == 120, "the wire");

/* How many records of a kind one packet holds. */
#define PROTO_RECORDS_MAX(type) \
	((uint16_t)((PROTO_PACKET_MAX - sizeof(struct proto_header)) / sizeof(type)))

static_assert(PROTO_RECORDS_MAX(struct proto_register) >= 1000, "a thousand a packet");
static_assert(PROTO_RECORDS_MAX(struct proto_registered) >= 1000, "a thousand a packet");
static_assert(PROTO_RECORDS_MAX(struct proto_wake) >= 1000, "a thousand a packet");
