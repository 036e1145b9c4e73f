/* SPDX-License-Identifier: MIT */
/*
 * The conversion copies check words as they are: they cover values and an index, which do not
 * change.
 */
#include "layout_3.h"

#include <assert.h>
#include <string.h>

#define MAGIC	      UINT64_C(0x3164726d69745454)
#define SECTION_ALIGN 4096
#define CLOCKS	      5
#define WIRE_CLOCKS   3
#define LABEL_MAX     24
#define COMM_MAX      16
#define PACKET_MAX    65536
#define REARMED_MAX   1637
#define LATE_STEPS    976
#define FREE_LEVELS   4
#define TAG_LABELLED  UINT32_C(0x10000)

/* A scan ends after this number of slots in a row that were never used. It continues beyond the
 * greatest indexes in the header, because these may be damaged. */
#define UNUSED_STRETCH 1024

struct node_3 {
	uint64_t due, latest, least;
	uint32_t child_red[2];
	uint32_t parent, tag;
};

struct tree_3 {
	uint32_t root, first, last;
};

struct timer_3 {
	uint64_t sequence, every, cookie;
	uint32_t session, count, fired, check;
};

struct session_3 {
	struct tree_3 timers[CLOCKS];
	uint32_t user, uid, pid, held;
	uint64_t serial, born, socket;
	uint64_t sent_at[WIRE_CLOCKS];
	uint32_t check, told_first, told_last, ready_next, ready_prev, hello_timer;
	uint8_t state, place;
	uint16_t fault;
	bool resumed, tell_resumed, send_again;
	uint32_t sending;
	char comm[COMM_MAX];
};

struct user_3 {
	uint32_t uid, timers, clients, next;
};

struct counters_3 {
	uint64_t registered, woken, cancelled, refused, wakeups;
	uint64_t restarts, adopted_sessions, adopted_timers, dropped_records;
	uint64_t late_max;
	uint64_t late[LATE_STEPS];
};

struct intent_3 {
	uint32_t timer, check, count, fired;
	uint64_t due, latest, every;
};

struct applying_3 {
	uint32_t session, answer_size;
	uint64_t serial, sequence;
	uint32_t rearmed, check;
};

struct header_3 {
	uint64_t magic, size, instance;
	uint32_t layout, adopting, max_timers, max_clients;
	uint32_t timers_top, timers_left, sessions_top, sessions_free;
	uint32_t users_top, users_free, ready_first, ready_last;
	uint32_t timers, clients;
	uint64_t sequence;
	struct intent_3 intent;
	struct applying_3 applying;
	struct tree_3 watched[CLOCKS];
	struct counters_3 counters;
};

static_assert(sizeof(struct node_3) == 40 && sizeof(struct timer_3) == 40, "a timer");
/* i386 aligns 64-bit numbers to 4 bytes in a struct, so these are smaller there. */
struct pair {
	uint32_t word;
	uint64_t number;
};
#define IS_SMALLER (offsetof(struct pair, number) == 4)
static_assert(IS_SMALLER || sizeof(struct session_3) == 184, "a session");
static_assert(sizeof(struct intent_3) == 40 && sizeof(struct applying_3) == 32, "the journal");
static_assert(IS_SMALLER || sizeof(struct header_3) == 8112, "the header");

/* The protocol fixes these values, so all layouts have the same. */
static_assert(LABEL_MAX == PROTO_LABEL_MAX && COMM_MAX == PROTO_COMM_MAX &&
		WIRE_CLOCKS == PROTO_CLOCKS && PACKET_MAX == PROTO_PACKET_MAX &&
		REARMED_MAX == ARENA_REARMED_MAX,
	"the wire's");

/* A view of the sections that the conversion reads. */
struct view_3 {
	const struct header_3 *header;
	const struct session_3 *sessions;
	const uint8_t *answer;
	const struct intent_3 *rearmed;
	const struct node_3 *nodes;
	const struct timer_3 *timers;
	const char (*labels)[LABEL_MAX];
};

static const void *section(const void *block, size_t *end, size_t count, size_t width)
{
	size_t start = (*end + SECTION_ALIGN - 1) / SECTION_ALIGN * SECTION_ALIGN;

	*end = start + count * width;
	/* Not pointer arithmetic: layout_3_size() asks for the sizes of a block at NULL. */
	return (const void *)((uintptr_t)block + start);
}

/* The size of the bitset of free timers, in words. */
static size_t free_words(size_t size)
{
	size_t words = 0;

	for (unsigned int level = 0; level < FREE_LEVELS; level++) {
		size = (size + 63) / 64;
		words += size;
	}
	return words;
}

/* Return: the size of the block. */
static size_t view(
	struct view_3 *view, const void *block, uint32_t max_timers, uint32_t max_clients)
{
	size_t timers = (size_t)max_timers + 1, sessions = (size_t)max_clients + 2;
	size_t end = sizeof(struct header_3), buckets = 16;

	while (buckets < max_clients)
		buckets *= 2;
	view->header = block;
	view->sessions = section(block, &end, sessions, sizeof(struct session_3));
	section(block, &end, sessions * CLOCKS, sizeof(struct node_3));
	section(block, &end, sessions, sizeof(struct user_3));
	section(block, &end, buckets, sizeof(uint32_t));
	section(block, &end, free_words(timers), sizeof(uint64_t));
	view->answer = section(block, &end, 1, PACKET_MAX);
	view->rearmed = section(block, &end, REARMED_MAX, sizeof(struct intent_3));
	view->nodes = section(block, &end, timers, sizeof(struct node_3));
	view->timers = section(block, &end, timers, sizeof(struct timer_3));
	view->labels = section(block, &end, timers, LABEL_MAX);
	return (end + SECTION_ALIGN - 1) / SECTION_ALIGN * SECTION_ALIGN;
}

size_t layout_3_size(uint32_t max_timers, uint32_t max_clients)
{
	struct view_3 unused;

	return view(&unused, NULL, max_timers, max_clients);
}

bool layout_3_fits(const void *block, uint32_t max_timers, uint32_t max_clients)
{
	const struct header_3 *h = block;

	return h->magic == MAGIC && h->layout == 3 && h->max_timers == max_timers &&
		h->max_clients == max_clients && h->size == layout_3_size(max_timers, max_clients);
}

uint32_t *layout_3_adopting(void *block)
{
	return &((struct header_3 *)block)->adopting;
}

static struct arena_intent convert_intent(const struct intent_3 *from)
{
	return (struct arena_intent){
		.timer = from->timer,
		.check = from->check,
		.count = from->count,
		.fired = from->fired,
		.due = from->due,
		.latest = from->latest,
		.every = from->every,
	};
}

/* The histogram of lateness starts empty, because layout 3 measures something else. */
static void convert_counters(const struct counters_3 *from, struct counters *to)
{
	to->registered = from->registered;
	to->woken = from->woken;
	to->cancelled = from->cancelled;
	to->refused = from->refused;
	to->wakeups = from->wakeups;
	to->restarts = from->restarts;
	to->adopted_sessions = from->adopted_sessions;
	to->adopted_timers = from->adopted_timers;
	to->dropped_records = from->dropped_records;
}

/* The packet that was being applied, its answer, and the old values of re-armed timers. */
static void convert_applying(const struct view_3 *from, struct arena *to)
{
	const struct applying_3 *was = &from->header->applying;
	uint32_t rearmed = was->rearmed < REARMED_MAX ? was->rearmed : REARMED_MAX;
	uint32_t size = was->answer_size < PACKET_MAX ? was->answer_size : PACKET_MAX;

	to->header->applying = (struct arena_applying){
		.session = was->session,
		.answer_size = was->answer_size,
		.serial = was->serial,
		.sequence = was->sequence,
		.rearmed = rearmed,
		.check = was->check,
	};
	memcpy(to->answer, from->answer, size);
	for (uint32_t i = 0; i < rearmed; i++)
		to->rearmed[i] = convert_intent(&from->rearmed[i]);
}

static void convert_session(const struct session_3 *from, struct session *to)
{
	to->uid = from->uid;
	to->pid = from->pid;
	to->serial = from->serial;
	to->born = from->born;
	to->socket = from->socket;
	memcpy(to->sent_at, from->sent_at, sizeof(to->sent_at));
	to->check = from->check;
	to->state = from->state;
	to->sending = from->sending;
	memcpy(to->comm, from->comm, sizeof(to->comm));
}

static void convert_sessions(const struct view_3 *from, struct arena *to)
{
	uint32_t most = from->header->max_clients + 1, unused = 0;

	for (uint32_t i = 1; i <= most; i++) {
		unused = from->sessions[i].state || from->sessions[i].check ? 0 : unused + 1;
		if (i > from->header->sessions_top && unused > UNUSED_STRETCH)
			return;
		to->header->sessions_top = i;
		if (!unused)
			convert_session(&from->sessions[i], &to->sessions[i]);
	}
}

static void convert_timer(const struct view_3 *from, struct arena *to, uint32_t i)
{
	to->nodes[i].due = from->nodes[i].due;
	to->nodes[i].latest = from->nodes[i].latest;
	to->nodes[i].tag = from->nodes[i].tag;
	to->timers[i].sequence = from->timers[i].sequence;
	to->timers[i].every = from->timers[i].every;
	to->timers[i].cookie = from->timers[i].cookie;
	to->timers[i].session = from->timers[i].session;
	to->timers[i].count = from->timers[i].count;
	to->timers[i].fired = from->timers[i].fired;
	to->timers[i].check = from->timers[i].check;
	/* Reading a label that was never written would allocate its page. */
	if (from->nodes[i].tag & TAG_LABELLED)
		memcpy(to->labels[i], from->labels[i], LABEL_MAX);
}

static void convert_timers(const struct view_3 *from, struct arena *to)
{
	uint32_t most = from->header->max_timers, unused = 0;

	for (uint32_t i = 1; i <= most; i++) {
		unused = from->nodes[i].tag || from->timers[i].sequence ? 0 : unused + 1;
		if (i > from->header->timers_top && unused > UNUSED_STRETCH)
			return;
		to->header->timers_top = i;
		if (!unused)
			convert_timer(from, to, i);
	}
}

void layout_3_convert(const void *block, struct arena *arena)
{
	const struct header_3 *h = block;
	struct view_3 from;

	view(&from, block, h->max_timers, h->max_clients);
	arena->header->instance = h->instance;
	arena->header->sequence = h->sequence;
	arena->header->intent = convert_intent(&h->intent);
	convert_counters(&h->counters, &arena->header->counters);
	convert_applying(&from, arena);
	convert_sessions(&from, arena);
	convert_timers(&from, arena);
}
