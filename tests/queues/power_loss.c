/* SPDX-License-Identifier: MIT */
/*
 * The power fails at every moment of a long random run, and the store is opened on what is left.
 *
 * The run is one of transactions, merges, checkpoints, stops, kills and recoveries, on a disk in
 * memory (disk.h). After each change of the disk the power fails: once with all that was written so
 * far (each prefix), and some more times with what a disk may leave of what was not synced. Each
 * image is opened, and holds what was answered, and the transaction under way as a whole or not at
 * all.
 *
 * 	power_loss [--points N] [--seed N] [--swallow KIND] [--timerqd PATH]
 *
 * --points: stop after so many images. --seed: another run. --swallow: syncs of that kind do
 * nothing; exit 1 is right then. --timerqd: every hundredth image is opened by that program, too.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "disk.h"
#include "dump.h"
#include "fresh.h"
#include "sqlite_changes.h"
#include "sqlite_file.h"
#include "sqlite_index.h"
#include "sqlite_recover.h"

#define CHANGES_MAX 12
#define IDS_MAX	    4096
#define HELD_MAX    96
#define QUEUES	    3

static const char *const kinds[DISK_SYNCS] = {
	"none",
	"commit",
	"log-header",
	"start",
	"cut",
	"checkpoint",
	"new",
	"replace",
	"made",
	"journal",
	"folder",
	"again",
};

/* Small limits, so that each event happens often. */
static const struct sqlite_tuning tuning = {
	.recent_max = 24,
	.merge_slice = 8,
	.log_idle = 30,
	.log_max = 60,
	.receipts_max = 3000,
	.check_pages = UINT32_MAX,
	.recover_us = 10000000,
};

struct held {
	uint64_t id;
	uint32_t queue, number;
};

struct run {
	struct disk disk, image;
	struct sqlite_queues queues;
	struct sqlite q;
	uint32_t numbers[QUEUES]; /* the numbers of the queues since the last start */
	uint64_t random, points, most;
	const char *timerqd;
	/* A hash of the answered state, and of the other state that a start may find. */
	uint64_t answered, other;
	bool has_answered, has_other;
	struct held held[HELD_MAX];
	unsigned int held_count;
	/* dump_mix() of the ids of the timers that were answered as stored and have not ended. */
	uint64_t timers;
	uint64_t serial, clock, transactions;
	enum disk_pick pick; /* the kind of the last crash */
	uint64_t pick_seed;
	const char *step; /* what the run does now */
};

static int fault(const struct run *r, const char *what, const char *detail)
{
	printf("crash point %llu, transaction %llu, %s: %s%s%s\n", (unsigned long long)r->points,
		(unsigned long long)r->transactions, r->step, what, detail ? ": " : "",
		detail ? detail : "");
	disk_export(&r->image, ".");
	exit(1);
}

static uint64_t below(struct run *r, uint64_t n)
{
	return disk_random(&r->random) % n;
}

static int open_queues(
	struct sqlite *q, struct sqlite_queues *queues, const struct disk *disk, char **ret_why)
{
	int r;

	sqlite_queues_init(queues);
	*q = (struct sqlite){
		.path = "/queues.db",
		.host = &disk->host,
		.tuning = tuning,
		.queues = queues,
	};
	r = sqlite_open(q, ret_why);
	return r ? r : sqlite_read_queues(q) ? -EIO : 0;
}

/* Checks the content of an image. */
static void check_state(struct run *r, const struct dump *dump)
{
	if (dump->fault)
		fault(r, dump->fault, NULL);
	/* While the file is created, nothing has been answered. */
	if (!r->has_answered || dump->all == r->answered)
		return;
	if (r->has_other && dump->all == r->other)
		return;
	if (r->has_other)
		fault(r, "neither what was answered nor the transaction under way", NULL);
	r->other = dump->all;
	r->has_other = true;
}

/* What a new timerqd must list. */
static struct fresh_sum sum_up(struct run *r, struct sqlite *q)
{
	struct fresh_sum sum = {0};
	sqlite3_stmt *s;

	/* The list has the timer's id for a revived wake. */
	if (sqlite3_prepare_v2(q->db,
		    "SELECT coalesce(revived, id), due, length(payload) FROM timers UNION ALL "
		    "SELECT id, due, length(payload) FROM parked",
		    -1, &s, NULL))
		fault(r, "a table cannot be read", sqlite3_errmsg(q->db));
	while (sqlite3_step(s) == SQLITE_ROW)
		fresh_add(&sum, (uint64_t)sqlite3_column_int64(s, 0),
			(uint64_t)sqlite3_column_int64(s, 1), (uint64_t)sqlite3_column_int64(s, 2));
	sqlite3_finalize(s);
	return sum;
}

static void check_image(struct run *r)
{
	struct sqlite_queues queues;
	struct fresh_sum sum = {0};
	struct sqlite q;
	struct dump dump;
	const char *wrong;
	char *why;

	r->points++;
	if (open_queues(&q, &queues, &r->image, &why))
		fault(r, "the store does not open", why);
	if (dump_read(&q, &dump))
		fault(r, "a table cannot be read", sqlite3_errmsg(q.db));
	if (r->timerqd && r->points % 100 == 0)
		sum = sum_up(r, &q);
	sqlite_close(&q);
	sqlite_queues_free(&queues);
	check_state(r, &dump);
	if (!r->timerqd || r->points % 100)
		return;
	/* Repeats the crash, since opening the image has changed it. */
	disk_crash(&r->disk, r->pick, r->pick_seed, &r->image);
	wrong = fresh_check(r->timerqd, &r->image, &sum);
	if (wrong)
		fault(r, "a fresh timerqd", wrong);
}

static void crash_by(struct run *r, enum disk_pick pick)
{
	r->pick = pick;
	r->pick_seed = disk_random(&r->random);
	disk_crash(&r->disk, pick, r->pick_seed, &r->image);
	check_image(r);
}

static void crash(void *userdata)
{
	static const enum disk_pick picks[] = {
		DISK_NOTHING, DISK_PREFIX, DISK_SOME, DISK_TORN, DISK_TORN};
	struct run *r = userdata;
	enum disk_pick pick = picks[below(r, sizeof(picks) / sizeof(picks[0]))];

	crash_by(r, DISK_ALL);
	crash_by(r, pick);
}

/* After a step: the pending transaction was answered, or its answer will never come. The state of
 * the store becomes the answered state. */
static void settle(struct run *r, bool answered)
{
	struct dump dump;

	if (dump_read(&r->q, &dump))
		fault(r, "the store cannot be read", sqlite3_errmsg(r->q.db));
	if (dump.fault)
		fault(r, dump.fault, "while it runs");
	if (answered && dump.timers != r->timers)
		fault(r, "the timers are not those that were answered", "while it runs");
	if (r->has_other && dump.all != r->other && dump.all != r->answered)
		fault(r, "a crash would have left something else than what was answered", NULL);
	r->answered = dump.all;
	r->timers = dump.timers;
	r->has_other = false;
	r->has_answered = true;
}

static void hold(struct run *r, const struct store_change *c)
{
	if (r->held_count < HELD_MAX)
		r->held[r->held_count++] = (struct held){c->id, c->timer.queue, 1};
}

static void make_put(struct run *r, struct store_change *c, char *key, char *payload)
{
	struct store_timer *t = &c->timer;

	c->type = STORE_PUT;
	c->keep = below(r, 4) == 0;
	t->clock = (uint8_t)below(r, PROTO_CLOCKS);
	t->due = t->ready = below(r, 1000000);
	t->slack = below(r, 3) ? 0 : PROTO_FOREVER;
	t->max_late = PROTO_FOREVER;
	t->every = below(r, 2) * 60;
	t->number = 1;
	if (below(r, 2)) {
		t->key_size = (uint16_t)snprintf(key, 16, "key-%u", (unsigned int)below(r, 40));
		t->key = key;
	}
	t->payload_size = (uint32_t)below(r, below(r, 20) ? 80 : 9000);
	memset(payload, (int)below(r, 256), t->payload_size);
	t->payload = payload;
}

static void make_change(struct run *r, struct store_change *c, char *key, char *payload)
{
	static const enum store_change_type types[] = {STORE_REMOVE, STORE_REMOVE, STORE_REMOVE,
		STORE_ADVANCE, STORE_DELAY, STORE_PARK, STORE_CANCEL, STORE_RESCHEDULE,
		STORE_REVIVE};
	struct held *h;

	*c = (struct store_change){.timer.queue = r->numbers[below(r, QUEUES)]};
	if (!r->held_count || below(r, HELD_MAX) > r->held_count) {
		make_put(r, c, key, payload);
		return;
	}
	h = &r->held[below(r, r->held_count)];
	c->type = types[below(r, sizeof(types) / sizeof(types[0]))];
	c->timer.id = h->id;
	c->timer.queue = h->queue;
	c->timer.number = h->number;
	c->timer.due = below(r, 3) ? below(r, 1000000) : PROTO_FOREVER;
	if (c->type == STORE_RESCHEDULE)
		c->timer.due = below(r, 1000000);
	c->timer.ready = below(r, 1000000);
	c->timer.attempt = (uint32_t)below(r, 5);
	if (c->type == STORE_ADVANCE || c->type == STORE_PARK)
		h->number++;
	if (c->type == STORE_REMOVE || c->type == STORE_CANCEL)
		*h = r->held[--r->held_count];
}

/* Counts the timers by the answers alone, without the store. */
static void count_answers(struct run *r, const struct store_change *changes, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct store_change *c = &changes[i];

		if (c->status)
			continue;
		if (c->type == STORE_PUT && !(c->flags & PROTO_QUEUE_KEPT)) {
			r->timers += dump_mix(c->id);
			if (c->flags & PROTO_QUEUE_REPLACED)
				r->timers -= dump_mix(c->replaced);
			hold(r, c);
		} else if (c->type == STORE_REMOVE) {
			r->timers -= dump_mix(c->timer.id);
		} else if ((c->type == STORE_PARK || c->type == STORE_ADVANCE) &&
			/* a revived wake, identified by its row, is the last wake of its timer */
			(c->timer.due == PROTO_FOREVER || c->id != c->timer.id)) {
			r->timers -= dump_mix(c->timer.id);
		}
	}
}

/* Whether the answer identifies each row. It does not for cancelling and reviving. */
static bool names_all(const struct store_change *changes, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++)
		if (changes[i].type == STORE_CANCEL || changes[i].type == STORE_REVIVE)
			return false;
	return true;
}

static void transact(struct run *r)
{
	static char keys[CHANGES_MAX][16], payloads[CHANGES_MAX][9000];
	static struct proto_queue_stored answers[CHANGES_MAX];
	struct store_change changes[CHANGES_MAX];
	struct store_commit commit = {.clocks.now = {r->clock, r->clock, r->clock}};
	struct store_put put = {.token = {1}, .serial = ++r->serial, .answers = answers};
	unsigned int n = 1 + (unsigned int)below(r, CHANGES_MAX);
	int result;

	r->step = "a transaction";
	r->transactions++;
	r->clock += below(r, 3) ? 1000 : UINT64_C(1800000000);
	for (unsigned int i = 0; i < n; i++) {
		make_change(r, &changes[i], keys[i], payloads[i]);
		changes[i].answer = &answers[i];
		changes[i].next = i + 1 < n ? &changes[i + 1] : NULL;
	}
	put.count = n;
	put.token[1] = (uint8_t)below(r, 3);
	commit.changes = changes;
	if (below(r, 2))
		commit.puts = &put;
	result = sqlite_commit(&r->q, &commit);
	if (result && !r->disk.failed)
		fault(r, "a transaction fails", sqlite3_errmsg(r->q.db));
	if (!result)
		count_answers(r, changes, n);
	settle(r, !result && names_all(changes, n));
}

static void start(struct run *r)
{
	char *why;

	r->step = "a start";
	if (open_queues(&r->q, &r->queues, &r->disk, &why))
		fault(r, "the store does not open again", why);
	for (int i = 0; i < QUEUES; i++) {
		char name[2] = {(char)('a' + i), 0};

		/* A queue that was empty before the start may get another number. */
		sqlite_queues_open(&r->queues, getuid(), name, &r->numbers[i]);
	}
}

static void stop(struct run *r)
{
	sqlite_close(&r->q);
	sqlite_queues_free(&r->queues);
}

/* The process is killed during a step. Its writes stay in the cache of the system. Clients may
 * learn what the next start finds, so this state counts as answered. */
static void kill_it(struct run *r)
{
	static const enum disk_call calls[] = {DISK_WRITE, DISK_WRITE, DISK_SYNC};
	static char key[16], payload[9000];
	struct store_change c;
	struct store_commit commit = {.changes = &c};

	disk_fail(&r->disk, calls[below(r, 3)], 1 + below(r, 12), 1, DISK_DEAD);
	switch (below(r, 4)) {
	case 0:
		r->step = "a checkpoint that is killed";
		sqlite_checkpoint(&r->q);
		break;
	case 1:
		r->step = "a merge that is killed";
		sqlite_merge(&r->q);
		break;
	default:
		r->step = "a transaction that is killed";
		r->transactions++;
		make_change(r, &c, key, payload);
		sqlite_commit(&r->q, &commit);
		break;
	}
	stop(r);
	disk_heal(&r->disk);
	start(r);
	settle(r, false);
	r->held_count = 0;
}

/* A sync or a write fails. The store recovers, and still has everything that was answered. */
static void fail_and_recover(struct run *r)
{
	static char key[16], payload[9000];
	struct store_change c;
	struct store_commit commit = {.changes = &c};
	struct dump dump;
	char *why = NULL;
	int result;

	r->step = "a failed transaction";
	r->transactions++;
	disk_fail(&r->disk, below(r, 2) ? DISK_SYNC : DISK_WRITE, 1 + below(r, 3), 1, DISK_EIO);
	make_change(r, &c, key, payload);
	result = sqlite_commit(&r->q, &commit);
	disk_heal(&r->disk);
	if (!result) {
		count_answers(r, &c, 1);
		settle(r, names_all(&c, 1));
		return;
	}
	r->step = "a recovery";
	if (sqlite_recover(&r->q, &why))
		fault(r, "the store does not recover", why);
	if (dump_read(&r->q, &dump) || dump.fault)
		fault(r, "the recovered store", dump.fault);
	if (dump.all != r->answered)
		fault(r, "the recovered store does not hold what was answered", NULL);
	/* Until the old log has been replaced, a crash may bring back what was not answered. */
	r->has_other = false;
}

static void fill_held(struct run *r)
{
	sqlite3_stmt *s;

	if (r->held_count > HELD_MAX / 8)
		return;
	r->held_count = 0;
	if (sqlite3_prepare_v2(r->q.db,
		    "SELECT id, queue, number FROM timers ORDER BY random() LIMIT 64", -1, &s,
		    NULL))
		fault(r, "timers cannot be read", NULL);
	while (sqlite3_step(s) == SQLITE_ROW)
		r->held[r->held_count++] = (struct held){
			(uint64_t)sqlite3_column_int64(s, 0),
			(uint32_t)sqlite3_column_int64(s, 1),
			(uint32_t)sqlite3_column_int64(s, 2),
		};
	sqlite3_finalize(s);
}

static void step(struct run *r)
{
	uint64_t chance = below(r, 100);

	fill_held(r);
	if (chance < 3) {
		kill_it(r);
	} else if (chance < 6) {
		r->step = "a stop";
		if (below(r, 2) && sqlite_empty_log(&r->q))
			fault(r, "the log cannot be emptied", sqlite3_errmsg(r->q.db));
		stop(r);
		start(r);
		settle(r, true);
	} else if (chance < 10) {
		fail_and_recover(r);
	} else if (r->q.log_frames >= tuning.log_max && !r->q.log_copied) {
		r->step = "a checkpoint";
		if (sqlite_checkpoint(&r->q))
			fault(r, "a checkpoint fails", sqlite3_errmsg(r->q.db));
	} else if (sqlite_wants_merge(&r->q) && chance < 70) {
		r->step = "a merge";
		if (sqlite_merge(&r->q))
			fault(r, "a merge fails", sqlite3_errmsg(r->q.db));
		settle(r, true);
	} else {
		transact(r);
	}
}

/* Creates the file anew. The first start is killed before it ends. */
static void make_again(struct run *r)
{
	struct sqlite_queues queues;
	struct sqlite q;
	char *why;

	r->step = "the first start, which is killed";
	r->has_answered = r->has_other = false;
	r->held_count = 0;
	r->timers = 0;
	disk_erase(&r->disk);
	disk_fail(&r->disk, below(r, 3) ? DISK_WRITE : DISK_SYNC, 1 + below(r, 30), 1, DISK_DEAD);
	if (!open_queues(&q, &queues, &r->disk, &why)) {
		struct store_commit commit = {.clocks.now = {1}};

		sqlite_commit(&q, &commit);
		/* The process ends before any client knows of the store. */
		sqlite_close(&q);
	}
	sqlite_queues_free(&queues);
	sqlite3_free(why);
	disk_heal(&r->disk);
	r->has_other = false;
	start(r);
	settle(r, false);
	transact(r);
	transact(r);
}

static int parse(struct run *r, int argc, char **argv, uint64_t *ret_seed)
{
	static const struct option options[] = {{"points", required_argument, NULL, 'p'},
		{"seed", required_argument, NULL, 's'}, {"swallow", required_argument, NULL, 'w'},
		{"timerqd", required_argument, NULL, 't'}, {0}};
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (option == 'p')
			r->most = strtoull(optarg, NULL, 10);
		else if (option == 's')
			*ret_seed = strtoull(optarg, NULL, 10);
		else if (option == 't')
			r->timerqd = optarg;
		else if (option != 'w')
			return -1;
		for (int i = 1; option == 'w' && i < DISK_SYNCS; i++)
			if (!strcmp(kinds[i], optarg))
				r->disk.swallow = (enum disk_sync)i;
	}
	return 0;
}

int main(int argc, char **argv)
{
	static struct run r = {.most = 50000};
	uint64_t seed = 1;

	disk_init(&r.disk, "disk", 1);
	disk_init(&r.image, "image", 2);
	if (parse(&r, argc, argv, &seed) < 0)
		return 2;
	setvbuf(stdout, NULL, _IONBF, 0);
	r.random = r.disk.random = seed;
	disk_repeat(seed);
	disk_record(&r.disk);
	r.disk.lost = true;
	r.disk.changed = crash;
	r.disk.userdata = &r;
	for (int i = 0; i < 40 && r.points < r.most; i++) {
		make_again(&r);
		stop(&r);
	}
	start(&r);
	settle(&r, true);
	while (r.points < r.most)
		step(&r);
	printf("%llu crash points, %llu transactions; syncs:", (unsigned long long)r.points,
		(unsigned long long)r.transactions);
	for (int i = 1; i < DISK_SYNCS; i++)
		printf(" %s %llu", kinds[i], (unsigned long long)r.disk.syncs[i]);
	printf("\n");
	stop(&r);
	fresh_clean();
	disk_free(&r.disk);
	disk_free(&r.image);
	return 0;
}
