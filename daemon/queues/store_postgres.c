/* SPDX-License-Identifier: MIT */
/*
 * The PostgreSQL store as timerqd sees it. One epoll descriptor stands for both sockets and a
 * timer, so the event loop has one descriptor to watch.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "postgres_commit.h"
#include "postgres_hints.h"
#include "postgres_leases.h"
#include "postgres_reads.h"
#include "postgres_timer.h"
#include "store_module.h"

/* How long a start waits for the database before it counts as away, and how long a clean stop waits
 * for the release of its leases. Microseconds. */
#define START_US   UINT64_C(5000000)
#define RELEASE_US UINT64_C(1000000)

static void pg_process(struct store *store)
{
	struct store_postgres *s = pg_store_of(store);
	uint64_t rings;

	if (read(s->timer, &rings, sizeof(rings)) > 0)
		s->armed = 0;
	pg_link_run(&s->control);
	pg_leases_run(s);
	pg_link_run(&s->data);
	pg_link_hand_out(&s->control);
	pg_link_hand_out(&s->data);
	pg_leases_run(s);
	pg_hints_run(s);
	if (pg_now() >= pg_timer_next_usage(s))
		pg_read_usage(s);
	pg_timer_arm(s);
}

static int pg_get_fd(const struct store *store)
{
	return pg_store_of(store)->epoll;
}

static enum store_state pg_state(const struct store *store, const char **ret_why)
{
	struct store_postgres *s = pg_store_of(store);
	bool data = pg_link_is_away(&s->data), control = pg_link_is_away(&s->control);

	*ret_why = s->state_text;
	if (data || control) {
		snprintf(s->state_text, sizeof(s->state_text), "%s",
			data ? s->data.why : s->control.why);
		return STORE_AWAY;
	}
	snprintf(s->state_text, sizeof(s->state_text), "%s", s->why);
	return s->state;
}

static int pg_open_queue(struct store *store, uint32_t uid, const char *name, uint32_t *ret)
{
	struct pg_queue *queue = pg_queues_open(&pg_store_of(store)->queues, uid, name);

	if (!queue)
		return -ENOMEM;
	queue->references++;
	*ret = queue->number;
	return 0;
}

static void pg_ref_queue(struct store *store, uint32_t number)
{
	pg_queues_get(&pg_store_of(store)->queues, number)->references++;
}

static void pg_unref_queue(struct store *store, uint32_t number)
{
	struct pg_queues *queues = &pg_store_of(store)->queues;

	pg_queues_unref(queues, pg_queues_get(queues, number));
}

static void pg_usage(const struct store *store, uint32_t uid, struct store_usage *ret)
{
	struct store_postgres *s = pg_store_of(store);

	pg_queues_usage(&s->queues, uid, ret);
	s->usage_asked = true;
	pg_timer_arm(s);
}

static void store_free(struct store_postgres *s)
{
	pg_link_close(&s->data);
	pg_link_close(&s->control);
	pg_queues_free(&s->queues);
	if (s->timer >= 0)
		close(s->timer);
	if (s->epoll >= 0)
		close(s->epoll);
	free(s->uri);
	free(s);
}

/* Runs the store until done() returns true, or until that instant. */
static void wait_for(
	struct store_postgres *s, bool (*done)(const struct store_postgres *s), uint64_t until)
{
	struct pollfd p = {.fd = s->epoll, .events = POLLIN};
	uint64_t now;

	pg_process(&s->base);
	while (!done(s) && (now = pg_now()) < until) {
		poll(&p, 1, (int)((until - now) / 1000 + 1));
		pg_process(&s->base);
	}
}

static bool has_released(const struct store_postgres *s)
{
	return (leases_gone(&s->leases) && pg_hints_are_sent(s)) ||
		s->control.state != PG_LINK_READY;
}

static void pg_close(struct store *store, const struct clocks_stored *clocks)
{
	struct store_postgres *s = pg_store_of(store);

	s->watcher = (struct store_watcher){0};
	if (clocks) {
		pg_leases_release(s);
		wait_for(s, has_released, pg_now() + RELEASE_US);
	}
	store_free(s);
}

static const struct store_ops ops = {
	.close = pg_close,
	.get_fd = pg_get_fd,
	.process = pg_process,
	.state = pg_state,
	.commit = pg_commit,
	.open_queue = pg_open_queue,
	.ref_queue = pg_ref_queue,
	.unref_queue = pg_unref_queue,
	.usage = pg_usage,
	.find_puts = pg_find_puts,
	.load = pg_load,
	.list = pg_list,
	.queues = pg_list_queues,
	.purge = pg_purge,
	.fleet = &pg_fleet,
};

/* A boot id and a random number: never the host's name. */
static void choose_owner(struct store_postgres *s)
{
	uint64_t random = 0;
	char boot[37] = "";
	int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);

	if (fd >= 0) {
		if (read(fd, boot, sizeof(boot) - 1) < 0)
			boot[0] = 0;
		close(fd);
	}
	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		random = pg_now() ^ (uint64_t)getpid() << 40;
	snprintf(s->owner, sizeof(s->owner), "%s %016llx", boot, (unsigned long long)random);
	s->slot = (int32_t)(random % PG_SLOTS);
	if (gethostname(s->host, sizeof(s->host) - 1) < 0 || !*s->host)
		snprintf(s->host, sizeof(s->host), "unknown");
}

/* Accepts a URI only, whose parts can be checked: a password in it would be visible to everybody in
 * /proc. */
static int check_uri(const char *uri, char **ret_why)
{
	char *error = NULL;
	PQconninfoOption *options = PQconninfoParse(uri, &error);
	int r = options ? 0 : -EINVAL;

	/* libpq's sentence quotes parts of the URI, and one of these may be a password. */
	if (!options && error && (strchr(uri, '@') || strstr(uri, "password")))
		*ret_why = strdup("this is no valid URI of PostgreSQL; a password in it would not "
				  "be allowed either: use ~/.pgpass, or a peer's identity");
	else if (!options && error)
		*ret_why = strndup(error, strcspn(error, "\n"));
	for (PQconninfoOption *o = options; o && o->keyword; o++)
		/* sslpassword decrypts the client's private key. */
		if ((!strcmp(o->keyword, "password") || !strcmp(o->keyword, "sslpassword")) &&
			o->val) {
			r = -EINVAL;
			*ret_why = strdup("the URI holds a password, which /proc shows to "
					  "everybody: use ~/.pgpass, or a peer's identity");
		}
	PQconninfoFree(options);
	PQfreemem(error);
	return r;
}

static bool has_begun(const struct store_postgres *s)
{
	return s->data.misfit || s->control.misfit ||
		(s->data.state == PG_LINK_READY && s->clock.known) || pg_link_is_away(&s->data) ||
		pg_link_is_away(&s->control);
}

/* Changes that were sent over the last connection may stand though nobody has got an answer. */
static void data_changed(void *userdata, bool ready)
{
	struct store_postgres *s = userdata;

	if (ready && s->watcher.changed)
		s->watcher.changed(s->watcher.userdata, 0);
}

static int init(struct store_postgres *s, const char *uri)
{
	const struct lease_config config = lease_config_of(LEASE_LENGTH_US);
	struct epoll_event e = {.events = EPOLLIN};

	s->base.ops = &ops;
	s->uri = strdup(uri);
	s->epoll = epoll_create1(EPOLL_CLOEXEC);
	s->timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (!s->uri)
		return -ENOMEM;
	if (s->epoll < 0 || s->timer < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->timer, &e) < 0)
		return -errno;
	choose_owner(s);
	leases_init(&s->leases, &config);
	pg_link_init(&s->data, s->uri, s->epoll);
	pg_link_init(&s->control, s->uri, s->epoll);
	s->data.changed = data_changed;
	s->data.userdata = s;
	s->control.listens = true;
	s->control.changed = pg_leases_changed;
	s->control.notified = pg_leases_notified;
	s->control.userdata = s;
	return 0;
}

static int pg_open(struct store **ret, const char *uri, char **ret_why)
{
	struct store_postgres *s;
	const char *why;
	int r = check_uri(uri, ret_why);

	if (r)
		return r;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	r = init(s, uri);
	if (!r) {
		wait_for(s, has_begun, pg_now() + START_US);
		if (s->data.misfit || s->control.misfit)
			r = -EPROTO;
		if (r)
			*ret_why = strdup(s->data.misfit ? s->data.why : s->control.why);
		else if (pg_state(&s->base, &why) == STORE_AWAY)
			*ret_why = strdup(why);
	}
	if (r) {
		store_free(s);
		return r;
	}
	pg_read_usage(s);
	*ret = &s->base;
	return 0;
}

static int pg_migrate(const char *uri)
{
	char *why = NULL;
	int r = check_uri(uri, &why);

	if (r)
		fprintf(stderr, "timerqd: --store: %s\n", why ? why : strerror(-r));
	free(why);
	return r ? r : schema_migrate(uri);
}

__attribute__((visibility("default"))) extern const struct store_module timerqd_store_module;

const struct store_module timerqd_store_module = {
	.version = STORE_MODULE_VERSION,
	.name = "postgresql",
	.open = pg_open,
	.migrate = pg_migrate,
	.print_schema = schema_print,
};
