/* SPDX-License-Identifier: MIT */
/*
 * Each epoll event carries a 64-bit value: the source in the upper half, its index in the lower
 * half.
 */
#include "loop.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum source {
	SOURCE_CLIENT = 0,   /* + session */
	SOURCE_ALARM = 1,    /* + clock */
	SOURCE_LISTENER = 2, /* + number */
	SOURCE_SIGNALS = 3,
	SOURCE_RELOAD = 4,
};

#define SOURCE(source) ((uint64_t)(source) << 32)

/* How many events one epoll_wait() takes, and how often a turn calls it while it returns that many:
 * enough for all clients of 16 users. An event costs some 50 ns, as it only queues its client. */
#define EVENTS_MAX 64
#define WAITS_MAX  16

/* A slice has three parts: requests, connections and wakes. Each part ends with the packet after
 * which this time has passed, or with the packet that reaches the number below. */
#define SLICE_US 300

/* The cost of the requests in one slice, in cancel records: 8 KB of them. */
#define SLICE_COST 1024

/* The bytes of wakes that one slice sends: 4 full packets, or 60 packets of one wake. Each packet
 * counts as PACKET_EXTRA_BYTES more. With 64 full packets, a wake that fell due while a million
 * wakes were sent was 12 ms late; with 8 packets it was 5 ms late. */
#define SLICE_BYTES	   (4 * PROTO_PACKET_MAX)
#define PACKET_EXTRA_BYTES 4096

/* When a message to systemd is sent again, without a watchdog. Microseconds. */
#define RETRY_US 1000000

static int open_signals(struct loop *loop)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = SOURCE(SOURCE_SIGNALS)};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	/* The parent process may ignore SIGHUP, as nohup(1) does. An ignored signal does not
	 * arrive. */
	signal(SIGHUP, SIG_DFL);
	loop->signals = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (loop->signals < 0 || epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->signals, &event) < 0)
		return -errno;
	return 0;
}

static int watch_reload(struct loop *loop)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u64 = SOURCE(SOURCE_RELOAD)};

	return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->reload.fd, &event) < 0 ? -errno : 0;
}

/* Takes one descriptor that systemd passed: a listener, or what an earlier process stored. Anything
 * else must not keep the daemon from starting: a later version may have stored it. */
static int inherit_one(struct loop *loop, int fd, const char *name)
{
	int r = fdstore_take(&loop->fdstore, fd, name);

	if (r)
		return r;
	if (sd_is_socket(fd, AF_UNSPEC, 0, true) > 0)
		return listener_take(&loop->listener, loop->log, fd, name);
	log_print(loop->log, LOG_WARNING, "'%s' from systemd is unknown: removed", name);
	fdstore_remove_unknown(&loop->fdstore, fd, name);
	return 0;
}

static int inherit(struct loop *loop)
{
	char **names = NULL;
	int n = sd_listen_fds_with_names(true, &names);
	int r = n < 0 ? n : 0;

	for (int i = 0; i < n; i++) {
		if (r >= 0)
			r = inherit_one(loop, SD_LISTEN_FDS_START + i, names[i]);
	}
	for (int i = 0; names && i < n; i++)
		free(names[i]);
	free(names);
	return r < 0 ? r : 0;
}

/* Fills the new block from the block of the previous layout, if systemd has passed a valid one.
 * Return: whether it did. */
static bool convert(struct loop *loop, const struct worker_config *config)
{
	size_t size = worker_previous_size(config);
	void *previous;
	bool converted;

	if (fdstore_map_previous(&loop->fdstore, size, &previous) < 0)
		return false;
	converted = worker_convert(previous, loop->block, config);
	munmap(previous, size);
	if (converted)
		log_print(loop->log, LOG_INFO, "converted the state of an earlier version");
	return converted;
}

/* Starts the worker with the arena of an earlier process if that is valid, else with a new
 * arena. */
static int open_arena(struct loop *loop, const struct worker_config *config, bool *ret_adopted)
{
	bool inherited, filled;
	int r;

	*ret_adopted = false;
	loop->block_size = worker_size(config);
	r = fdstore_map(&loop->fdstore, loop->block_size, &loop->block, &inherited);
	if (r < 0)
		return r;
	filled = inherited || convert(loop, config);
	/* Only now: until the new block is filled and stored, the next process needs the previous
	 * one. */
	if (!inherited)
		fdstore_put_memory(&loop->fdstore);
	fdstore_drop_previous(&loop->fdstore);
	if (filled)
		*ret_adopted = worker_adopt(&loop->worker, loop->block, config, &loop->now);
	if (filled && !*ret_adopted) {
		munmap(loop->block, loop->block_size);
		loop->block = NULL;
		r = fdstore_replace_memory(&loop->fdstore, loop->block_size, &loop->block);
	}
	if (r == 0 && !*ret_adopted)
		worker_init(&loop->worker, loop->block, config, &loop->now);
	return r;
}

/* Starts the worker, and adopts the clients of an earlier process. */
static int start_worker(struct loop *loop, const struct worker_config *asked)
{
	struct worker_config own = *asked, *config = &own;
	bool adopted,
		inherited = loop->fdstore.memory >= 0 || loop->fdstore.previous >= 0 ||
		loop->fdstore.connection_count;
	int r;

	own.can_wake_system = alarm_can_wake_system(&loop->alarm);
	r = open_arena(loop, config, &adopted);
	if (r < 0)
		return r;
	population_init(&loop->population, loop->log, loop->block, loop->block_size);
	r = clients_init(&loop->clients, &loop->worker, loop->log, loop->setup->config,
		&loop->fdstore, loop->epoll, SOURCE(SOURCE_CLIENT));
	if (r < 0)
		return r;
	if (adopted) {
		clients_adopt(&loop->clients);
	} else if (inherited) {
		log_print(loop->log, LOG_WARNING,
			"cannot read the state of another version: %zu sessions end",
			loop->fdstore.connection_count);
		clients_dismiss_inherited(&loop->clients);
	}
	return 0;
}

static void start_watchdog(struct loop *loop)
{
	/* The keep-alive has slack: it is sent after at most five eighths of the timeout. */
	if (sd_watchdog_enabled(0, &loop->watchdog_timeout) > 0)
		worker_start_internal(&loop->worker, WORKER_WATCHDOG, loop->watchdog_timeout / 2,
			loop->watchdog_timeout / 2, &loop->now);
}

int loop_init(struct loop *loop, struct log *log, const struct worker_config *config,
	struct setup *setup, const struct reload *reload)
{
	int r, error;

	*loop = (struct loop){.log = log, .signals = -1, .setup = setup, .reload = *reload};
	listener_init(&loop->listener);
	fdstore_init(&loop->fdstore);
	loop->epoll = epoll_create1(EPOLL_CLOEXEC);
	error = loop->epoll < 0 ? -errno : 0;
	r = alarm_init(&loop->alarm, loop->epoll, SOURCE(SOURCE_ALARM));
	r = error ?: r;
	loop->now = alarm_now();
	if (r == 0)
		r = open_signals(loop);
	if (r == 0)
		r = watch_reload(loop);
	if (r == 0)
		r = inherit(loop);
	if (r == 0)
		r = start_worker(loop, config);
	if (r < 0) {
		log_print(log, LOG_ERR, "cannot start: %s", strerror(-r));
		return r;
	}
	start_watchdog(loop);
	return 0;
}

/* Sends systemd the status after the lines of `news`. Return: whether its queue had room. */
static bool send_status(struct loop *loop, const char *news)
{
	const struct arena_header *h = loop->worker.arena.header;

	if (!fdstore_has_room(&loop->fdstore, 0))
		return false;
	sd_notifyf(0, "%sSTATUS=%u clients, %u timers%s", news, h->clients, h->timers,
		loop->setup->notice);
	return true;
}

/* Other processes can fill systemd's queue for a moment. */
static void retry_soon(struct loop *loop)
{
	uint64_t delay = loop->watchdog_timeout ? loop->watchdog_timeout / 16 : RETRY_US;

	if (!loop->retry_scheduled)
		worker_start_internal(&loop->worker, WORKER_WATCHDOG_AGAIN, delay, 0, &loop->now);
	loop->retry_scheduled = true;
}

/* Sends a keep-alive to systemd's watchdog. Its timeout allows for two keep-alives only. */
static void keep_alive(struct loop *loop, unsigned int fired)
{
	if (fired & WORKER_WATCHDOG_AGAIN)
		loop->retry_scheduled = false;
	if (!send_status(loop, "WATCHDOG=1\n"))
		retry_soon(loop);
}

/* SIGHUP: see systemd.service(5), Type=notify-reload, for what systemd is told. */
static void begin_reload(struct loop *loop)
{
	const struct arena_header *h = loop->worker.arena.header;
	char news[64];
	int r;

	log_print(loop->log, LOG_INFO,
		"SIGHUP: reading the configuration again; %u clients, %u timers", h->clients,
		h->timers);
	snprintf(news, sizeof(news), "RELOADING=1\nMONOTONIC_USEC=%" PRIu64 "\n",
		alarm_now().at[PROTO_CLOCK_MONOTONIC]);
	send_status(loop, news);
	loop->reloading = true;
	r = reload_start(&loop->reload);
	if (r < 0)
		log_print(loop->log, LOG_ERR, "not reloaded: %s", strerror(-r));
}

static void apply_reload(struct loop *loop)
{
	struct config *config, *former;
	int r = reload_take(&loop->reload, &config);

	if (r < 0)
		log_print(loop->log, LOG_ERR, "not reloaded: %s", strerror(-r));
	if (r <= 0)
		return;
	former = setup_reload(loop->setup, config);
	worker_set_limits(&loop->worker, &loop->setup->limits, loop->setup->warnings);
	clients_relimit(&loop->clients, loop->setup->config);
	config_free(former);
}

/* Brings a reload to its end, a slice of the clients in each turn. Return: whether to go on at
 * once. */
static bool continue_reload(struct loop *loop)
{
	if (clients_relimit_next(&loop->clients))
		return true;
	if (!loop->reloading || loop->reload.job || loop->retry_scheduled)
		return false;
	if (send_status(loop, "READY=1\n"))
		loop->reloading = false;
	else
		retry_soon(loop);
	return false;
}

static void handle_signal(struct loop *loop)
{
	struct signalfd_siginfo info;

	if (read(loop->signals, &info, sizeof(info)) != sizeof(info))
		return;
	if (info.ssi_signo == SIGHUP) {
		begin_reload(loop);
		return;
	}
	log_print(loop->log, LOG_INFO, "%s: stopping",
		info.ssi_signo == SIGTERM ? "SIGTERM" : "SIGINT");
	loop->stopping = true;
}

static void run_internal_timers(struct loop *loop, unsigned int fired)
{
	if (fired & WORKER_FDSTORE)
		fdstore_queue_run(&loop->clients.fdstore_queue, &loop->now);
	if (fired & (WORKER_WATCHDOG | WORKER_WATCHDOG_AGAIN))
		keep_alive(loop, fired);
}

/* Whether this part of the slice has used its time. */
static bool is_over(uint64_t since)
{
	return meter_clock() - since >= SLICE_US;
}

/* Handles requests, a packet of each client in turn. */
static void read_requests(struct loop *loop)
{
	uint64_t since = meter_clock();
	uint32_t cost, total = 0;

	do {
		cost = clients_handle_next(&loop->clients, &loop->now);
		total += cost;
	} while (cost && total < SLICE_COST && !is_over(since));
}

static void accept_clients(struct loop *loop)
{
	uint64_t at = loop->now.at[PROTO_CLOCK_MONOTONIC];
	bool refused = false;

	for (unsigned int i = 0; i < loop->listener.count; i++)
		if (loop->listeners_ready & 1u << i)
			refused = listener_accept(&loop->listener, i, &loop->clients, &loop->now) ||
				refused;
	loop->listeners_ready = 0; /* epoll reports again if more connections wait */
	if (refused && !loop->listener.paused_until)
		loop->listener.paused_until = at + LISTENER_REFUSED_PAUSE_US;
}

/* Sends what is due, a packet to each session in turn. Return: whether there is more to send. */
static bool serve(struct loop *loop)
{
	bool more = worker_tick(&loop->worker, &loop->now);
	uint64_t since = meter_clock();
	size_t size;

	for (size_t sent = 0; sent < SLICE_BYTES; sent += PACKET_EXTRA_BYTES + size)
		if (!client_serve(&loop->clients, &loop->now, &size) || is_over(since))
			break;
	run_internal_timers(loop, worker_take_internal(&loop->worker));
	return more || worker_busy(&loop->worker);
}

static void dispatch(struct loop *loop, const struct epoll_event *event)
{
	uint32_t which = (uint32_t)event->data.u64;

	switch (event->data.u64 >> 32) {
	case SOURCE_CLIENT:
		client_event(&loop->clients, which, event->events, &loop->now);
		break;
	case SOURCE_ALARM:
		if (alarm_rang(&loop->alarm, which, &loop->now))
			worker_rang(&loop->worker);
		break;
	case SOURCE_LISTENER:
		loop->listeners_ready |= 1u << which;
		break;
	case SOURCE_RELOAD:
		apply_reload(loop);
		break;
	default:
		handle_signal(loop);
	}
}

/* Makes epoll report waiting connections, or not while the listeners are paused. After a failure
 * the next turn tries again. */
static int watch_listeners(struct loop *loop, int operation)
{
	bool watch = !loop->listener.paused_until;

	loop->watches_listeners = false; /* until all of them are watched */
	for (unsigned int i = 0; i < loop->listener.count; i++) {
		struct epoll_event event = {
			.events = watch ? EPOLLIN : 0,
			.data.u64 = SOURCE(SOURCE_LISTENER) + i,
		};

		if (epoll_ctl(loop->epoll, operation, loop->listener.fds[i], &event) < 0)
			return -errno;
	}
	loop->watches_listeners = watch;
	return 0;
}

/* Waits for events for at most `timeout` milliseconds, reads the clocks, and notes all events.
 * Return: 1: there were no events except of alarms; 0: there were others; a negative errno. */
static int wait_for_events(struct loop *loop, int timeout)
{
	struct epoll_event events[EVENTS_MAX];
	bool only_alarms = true;
	int n = EVENTS_MAX;

	for (int i = 0; i < WAITS_MAX && n == EVENTS_MAX; i++) {
		n = epoll_wait(loop->epoll, events, EVENTS_MAX, i ? 0 : timeout);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (i == 0)
			loop->now = alarm_now();
		for (int k = 0; k < n; k++) {
			only_alarms = only_alarms && events[k].data.u64 >> 32 == SOURCE_ALARM;
			dispatch(loop, &events[k]);
		}
	}
	alarm_learn(&loop->alarm, timeout != 0);
	if (alarm_take_clock_set(&loop->alarm))
		worker_clock_set(&loop->worker);
	return only_alarms;
}

static void log_arming(const struct loop *loop)
{
	static const char *const names[ARENA_CLOCKS] = {
		[CLOCK_OF_MONOTONIC] = "monotonic",
		[CLOCK_OF_BOOTTIME] = "boottime",
		[CLOCK_OF_REALTIME] = "realtime",
		[CLOCK_OF_BOOTTIME_ALARM] = "boottime alarm",
		[CLOCK_OF_REALTIME_ALARM] = "realtime alarm",
	};

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++) {
		uint64_t at = loop->alarm.armed[clock], is = timers_now(&loop->now, clock);

		if (!(loop->alarm.changed & 1u << clock))
			continue;
		if (at == TIMERS_FOREVER)
			log_debug(loop->log, NULL, "disarmed the %s clock", names[clock]);
		else
			log_debug(loop->log, NULL, "armed the %s clock: in %" PRIu64 " us",
				names[clock], at > is ? at - is : 0);
	}
}

/* How long the listeners stay paused, in milliseconds; -1: they are not paused. */
static int listener_pause(const struct loop *loop)
{
	uint64_t until = loop->listener.paused_until, now = loop->now.at[PROTO_CLOCK_MONOTONIC];

	if (!until)
		return -1;
	return until <= now ? 0 : (int)((until - now + 999) / 1000);
}

/* Sleeps until there is something to do, unless there is already. Return: as wait_for_events(). */
static int await(struct loop *loop)
{
	int timeout = loop->busy || loop->near ? 0 : listener_pause(loop);
	int r = wait_for_events(loop, timeout);

	meter_slice_begin(&loop->clients.meter, loop->now.at[PROTO_CLOCK_MONOTONIC]);
	if (loop->listener.paused_until <= loop->now.at[PROTO_CLOCK_MONOTONIC])
		loop->listener.paused_until = 0;
	return r;
}

/* The first two parts of a slice: requests and connections. Return: 0, or a negative errno. */
static int handle_clients(struct loop *loop)
{
	uint64_t since = meter_clock();

	read_requests(loop);
	accept_clients(loop);
	/* Meanwhile more timers may have become due, and blocked clients may have read. */
	return is_over(since) ? wait_for_events(loop, 0) : 0;
}

/* When the alarm of each clock has to ring. */
static struct alarm_deadlines deadlines_of(const struct worker *w)
{
	struct alarm_deadlines deadlines;

	for (unsigned int clock = 0; clock < ARENA_CLOCKS; clock++)
		deadlines.at[clock] = worker_next(w, clock);
	return deadlines;
}

/* Ends a turn. Return: 0, or a negative errno. */
static int prepare_sleep(struct loop *loop)
{
	struct alarm_deadlines deadlines;
	int r;

	population_run(&loop->population, &loop->worker.arena);
	fdstore_queue_schedule(&loop->clients.fdstore_queue, &loop->now);
	if (loop->watches_listeners == (loop->listener.paused_until > 0) &&
		watch_listeners(loop, EPOLL_CTL_MOD) < 0)
		loop->listener.paused_until = loop->now.at[PROTO_CLOCK_MONOTONIC];
	deadlines = deadlines_of(&loop->worker);
	r = alarm_arm(&loop->alarm, &deadlines, &loop->now);
	if (alarm_take_clock_set(&loop->alarm)) {
		worker_clock_set(&loop->worker);
		loop->busy = true;
	}
	loop->near = r > 0;
	if (loop->alarm.changed && loop->log->level >= LOG_DEBUG)
		log_arming(loop);
	if (r < 0)
		log_print(loop->log, LOG_ERR, "cannot arm the alarm: %s", strerror(-r));
	return r < 0 ? r : 0;
}

/* One turn: one slice of everything. */
static int turn(struct loop *loop)
{
	struct alarm_deadlines deadlines;
	int r = await(loop);

	if (r < 0)
		return r;
	deadlines = deadlines_of(&loop->worker);
	/* Timers with slack may be due already. They wait for the alarm, so that they share its
	 * wake-up. */
	loop->near = r > 0 && !loop->busy && alarm_near(&loop->alarm, &deadlines, &loop->now);
	if (loop->near)
		return 0;
	r = handle_clients(loop);
	if (r < 0)
		return r;
	loop->busy = serve(loop);
	loop->busy = clients_cut_off_next(&loop->clients) || loop->busy ||
		loop->clients.turns.first;
	loop->busy = continue_reload(loop) || loop->busy;
	meter_slice_end(&loop->clients.meter, meter_clock());
	return prepare_sleep(loop);
}

int loop_run(struct loop *loop)
{
	int r = watch_listeners(loop, EPOLL_CTL_ADD);

	loop->busy = true; /* adopted timers may be due already */
	if (r >= 0) {
		sd_notify(0, "READY=1");
		send_status(loop, "");
	}
	if (r >= 0)
		r = turn(loop);
	if (r >= 0)
		worker_adopted(&loop->worker);
	while (r >= 0 && !loop->stopping)
		r = turn(loop);
	if (r < 0)
		log_print(loop->log, LOG_ERR, "the loop ends: %s", strerror(-r));
	sd_notify(0, "STOPPING=1");
	return r;
}

void loop_close(struct loop *loop)
{
	listener_close(&loop->listener);
	clients_close(&loop->clients);
	fdstore_close(&loop->fdstore);
	reload_close(&loop->reload);
	alarm_close(&loop->alarm);
	if (loop->block)
		munmap(loop->block, loop->block_size);
	if (loop->signals >= 0)
		close(loop->signals);
	if (loop->epoll >= 0)
		close(loop->epoll);
	log_close(loop->log);
}
