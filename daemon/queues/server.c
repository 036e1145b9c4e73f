/* SPDX-License-Identifier: MIT */
#include "server.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timex.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-id128.h>
#include <time.h>
#include <unistd.h>

#include "../seqpacket.h"

/* The most connections that wait to be accepted. /proc/sys/net/core/somaxconn is also a bound. */
#define BACKLOG 4096

/* systemd-timesyncd writes this file when it has set the clock from the network. */
#define SYNCHRONIZED "/run/systemd/timesync/synchronized"

/* If the host's clock differs from the database's by this much, timerqd logs it. Microseconds. */
#define CLOCK_OFF_US INT64_C(100000)

/* How long before its due a host of a fleet loads a wake, microseconds. */
#define LOAD_AHEAD_US UINT64_C(60000000)

/* How long a clean stop waits for the disk, microseconds. */
#define STOP_US	     UINT64_C(10000000)
#define STOP_LOOK_MS 100

/* How long a clean stop waits if only locks of other sessions of the database are in the way,
 * microseconds. It is short, because this host gives up its leases only after this wait. */
#define STOP_LOCKED_US UINT64_C(1000000)

static uint64_t read_clock(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec < 0 ? 0 : (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static bool is_synchronised(void)
{
	struct timex state = {0};

	if (access(SYNCHRONIZED, F_OK) == 0)
		return true;
	return adjtimex(&state) >= 0 && !(state.status & STA_UNSYNC);
}

static struct clocks_reading read_clocks(const struct server *s)
{
	return (struct clocks_reading){
		.at =
			{
				[PROTO_CLOCK_MONOTONIC] = read_clock(CLOCK_MONOTONIC),
				[PROTO_CLOCK_BOOTTIME] = read_clock(CLOCK_BOOTTIME),
				[PROTO_CLOCK_REALTIME] = read_clock(CLOCK_REALTIME),
			},
		/* Two system calls: only while the wall clock is not trusted. */
		.synchronised = !s->clocks.trusted && is_synchronised(),
	};
}

/* If this host's clock has begun to differ from the database's, or agrees with it again: logs that,
 * and sends it to systemd for systemctl status. */
static void report_clock(struct server *s, int64_t off)
{
	bool is_off = off >= CLOCK_OFF_US || off <= -CLOCK_OFF_US;

	if (is_off == s->clock_off_logged)
		return;
	s->clock_off_logged = is_off;
	if (is_off) {
		log_print(s->log, LOG_WARNING,
			"this host's clock is %lld ms off the database's, by which timers are due; "
			"set it",
			(long long)(off / 1000));
		sd_notifyf(0, "STATUS=This host's clock is %lld ms off the database's",
			(long long)(off / 1000));
	} else {
		log_print(s->log, LOG_NOTICE, "this host's clock agrees with the database's again");
		sd_notify(0, "STATUS=");
	}
}

/* All hosts of a fleet use the database's clock. A fleet has no monotonic clock. */
static void read_fleet_clock(struct server *s, uint64_t real)
{
	struct store_clock c = {0};
	bool known = s->store->ops->fleet->read_clock(s->store, real, &c);

	s->now.real = real;
	s->now.uncertainty = c.uncertainty;
	s->now.clock_off = known ? c.host_off : INT64_MIN;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		s->now.at[i] = c.at;
		s->now.held[i] = !known;
	}
	s->now.clocks = (struct clocks_stored){.trusted = known};
	memcpy(s->now.clocks.now, s->now.at, sizeof(s->now.at));
	if (known)
		report_clock(s, c.host_off);
}

static const struct broker_now *read_now(void *userdata)
{
	struct server *s = userdata;
	struct clocks_reading kernel = read_clocks(s);
	bool trusted;

	if (s->store->ops->fleet) {
		read_fleet_clock(s, kernel.at[PROTO_CLOCK_BOOTTIME]);
		return &s->now;
	}
	trusted = clocks_now(&s->clocks, &kernel, s->now.at);

	s->now.real = kernel.at[PROTO_CLOCK_BOOTTIME];
	s->now.clock_off = INT64_MIN;
	for (unsigned int i = 0; i < PROTO_CLOCKS; i++)
		s->now.held[i] = clocks_holds(&s->clocks, i);
	s->now.clocks = clocks_store(&s->clocks, s->now.at);
	if (trusted && s->clocks.impatient)
		log_print(s->log, LOG_WARNING,
			"the wall clock is behind what was stored last, and nothing has set it; it "
			"is trusted from now on (--clock-patience)");
	return &s->now;
}

/* Makes the broker serve after all clients that are ready now, so that one commit takes all that
 * they send. */
static void want_turn(void *userdata)
{
	struct server *s = userdata;

	sd_event_source_set_enabled(s->serve, SD_EVENT_ONESHOT);
}

/* Makes the broker serve before a client is read from, because a timer is due. */
static void want_turn_now(void *userdata)
{
	struct server *s = userdata;

	sd_event_source_set_priority(s->serve, SD_EVENT_PRIORITY_IMPORTANT);
	want_turn(s);
}

static int timed_turn(sd_event_source *source, uint64_t usec, void *userdata)
{
	(void)source;
	(void)usec;
	want_turn(userdata);
	return 0;
}

/* Waits for instants of the database's clock by elapsed time, because this host's wall clock may be
 * off. */
static void set_fleet_wakeup(struct server *s)
{
	uint64_t first = PROTO_FOREVER, now = s->now.at[PROTO_CLOCK_BOOTTIME];

	for (unsigned int i = 0; i < PROTO_CLOCKS; i++) {
		uint64_t next = broker_next(s->broker, i, false);

		first = next < first ? next : first;
	}
	if (first != PROTO_FOREVER)
		first = s->now.real + (first > now ? first - now : 0);
	wakeups_set(&s->wakeups, PROTO_CLOCK_BOOTTIME, first);
}

/* Sets the instants and events that the next turn waits for. */
static int arm(struct server *s)
{
	uint64_t real = broker_next_real(s->broker), look = clocks_next_check(&s->clocks);
	uint64_t paused = connections_listen_again(&s->connections, s->now.real);

	if (s->store->ops->fleet)
		set_fleet_wakeup(s);

	for (unsigned int i = 0; i < PROTO_CLOCKS && !s->store->ops->fleet; i++) {
		uint64_t next = broker_next(s->broker, i, false);

		wakeups_set(&s->wakeups, i, clocks_to_kernel(&s->clocks, i, next));
		if (i == PROTO_CLOCK_MONOTONIC)
			continue;
		next = broker_next(s->broker, i, true);
		wakeups_set(&s->wakeups,
			i == PROTO_CLOCK_BOOTTIME ? WAKEUP_SYSTEM_BOOTTIME : WAKEUP_SYSTEM_REALTIME,
			clocks_to_kernel(&s->clocks, i, next));
	}
	/* The clocks of a fleet are the database's. */
	if (!s->store->ops->fleet) {
		wakeups_set(&s->wakeups, WAKEUP_ASIDE, broker_next_aside(s->broker));
		wakeups_set(&s->wakeups, WAKEUP_CLOCK_SET,
			broker_holds_timers(s->broker) ? WAKEUPS_NEVER : PROTO_FOREVER);
	}
	if (look < real)
		real = look;
	if (paused < real)
		real = paused;
	/* While the wall clock is not trusted, a look each second shows whether it was set. */
	if (look != PROTO_FOREVER && s->now.real + 1000000 < real)
		real = s->now.real + 1000000;
	if (real == PROTO_FOREVER) {
		sd_event_source_set_enabled(s->real, SD_EVENT_OFF);
	} else {
		sd_event_source_set_time(s->real, real);
		sd_event_source_set_enabled(s->real, SD_EVENT_ONESHOT);
	}
	return wakeups_flush(&s->wakeups);
}

static int take_turn(sd_event_source *source, void *userdata)
{
	struct server *s = userdata;
	bool more;
	int r;

	(void)source;
	/* Before the broker serves, because it has to do what follows from a client's end. */
	connections_reap(&s->connections, read_now(s));
	more = broker_serve(s->broker, &s->now);
	store_report(&s->report);
	sd_event_source_set_priority(s->serve, SD_EVENT_PRIORITY_NORMAL);
	if (more)
		want_turn(s);
	r = arm(s);
	if (r < 0)
		log_print(s->log, LOG_WARNING, "timerd: %s", strerror(-r));
	return 0;
}

static int store_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct server *s = userdata;

	(void)source;
	(void)fd;
	(void)events;
	s->store->ops->process(s->store);
	want_turn(s);
	return 0;
}

static int add_listener(struct server *s, int fd)
{
	int flags = fcntl(fd, F_GETFL);
	int r;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	seqpacket_forbid_descriptors(fd);
	r = sd_event_add_io(s->event, NULL, fd, EPOLLIN, connections_accept, &s->connections);
	if (r >= 0)
		s->listeners[s->listener_count++] = fd;
	return r;
}

/* Takes systemd's sockets, or makes one. */
static int open_listeners(struct server *s)
{
	bool user = s->setup->options->user;
	int n = sd_listen_fds(true), r = 0, fd;

	if (n < 0)
		return n;
	for (int i = 0; i < n && r >= 0; i++) {
		fd = SD_LISTEN_FDS_START + i;
		if (s->listener_count < CONNECTIONS_LISTENERS &&
			sd_is_socket(fd, AF_UNIX, SOCK_SEQPACKET, true) > 0) {
			r = add_listener(s, fd);
			continue;
		}
		log_print(s->log, LOG_ERR,
			"a descriptor from systemd is not a listening "
			"SOCK_SEQPACKET of AF_UNIX");
		r = -EINVAL;
	}
	if (n > 0 || r < 0)
		return r;
	fd = socket_file_make(
		&s->file, s->log, s->setup->socket, user ? 0600 : 0666, user ? 0700 : 0755);
	if (fd < 0)
		return -EINVAL; /* the reason is logged */
	if (listen(fd, BACKLOG) < 0)
		return -errno;
	return add_listener(s, fd);
}

static uint64_t choose_instance(void)
{
	uint64_t instance;

	if (getrandom(&instance, sizeof(instance), GRND_NONBLOCK) != sizeof(instance))
		instance = read_clock(CLOCK_BOOTTIME) << 20 ^ (uint64_t)getpid();
	return instance;
}

static int open_connections(struct server *s)
{
	s->connections = (struct connections){
		.event = s->event,
		.log = s->log,
		.setup = s->setup,
		.now = read_now,
		.wants_turn = want_turn,
		.userdata = s,
	};
	return connections_init(&s->connections, s->setup->limits.max_clients);
}

/* Logs a line of the store about its leases. */
static void log_line(void *userdata, const char *line)
{
	struct server *s = userdata;

	log_print(s->log, LOG_INFO, "%s", line);
}

static int open_broker(struct server *s)
{
	const struct peer_rules *peers = &s->connections.peers;
	struct broker_config config = {
		.limits = s->setup->limits,
		.pid = (uint32_t)getpid(),
		.instance = choose_instance(),
		.started = s->now.real,
		/* If timerd cannot wake the machine, it refuses that wake-up. */
		.can_wake_system = !s->store->ops->fleet,
		.load_ahead = s->store->ops->fleet ? LOAD_AHEAD_US : 0,
		.overflow_uid = peers->overflow_is_nobody ? peers->overflow_uid : 0,
		.version = TIMERD_VERSION,
	};
	int r;

	s->outlet = (struct broker_outlet){
		.send = connections_send,
		.resume = connections_resume,
		.end = connections_end,
		.own = connections_own,
		.userdata = &s->connections,
	};
	r = broker_new(&s->broker, &config, s->store, &s->outlet);
	s->connections.broker = s->broker;
	if (s->store->ops->fleet)
		s->store->ops->fleet->log(s->store, log_line, s);
	return r;
}

static int start_clocks(struct server *s, const struct clocks_stored *stored, uint64_t patience)
{
	struct clocks_reading kernel;
	sd_id128_t boot;
	int r = sd_id128_get_boot(&boot);

	if (r < 0)
		return r;
	s->clocks.trusted = false;
	kernel = read_clocks(s);
	clocks_start(&s->clocks, stored, boot.bytes, patience, &kernel);
	read_now(s);
	return 0;
}

/* Tells the service manager that a reload has ended: see systemd.service(5), Type=notify-reload. */
static void end_reload(struct server *s)
{
	if (s->reloading && !s->reload->job)
		sd_notify(0, "READY=1");
	s->reloading = s->reloading && s->reload->job;
}

static int hung_up(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata)
{
	struct server *s = userdata;
	int r;

	(void)source;
	(void)info;
	log_print(s->log, LOG_INFO, "SIGHUP: reading the configuration again");
	sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%llu",
		(unsigned long long)read_clock(CLOCK_MONOTONIC));
	s->reloading = true;
	r = reload_start(s->reload);
	if (r < 0)
		log_print(s->log, LOG_ERR, "not reloaded: %s", strerror(-r));
	end_reload(s);
	return 0;
}

static int reloaded(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct server *s = userdata;
	struct config *config;
	int r = reload_take(s->reload, &config);

	(void)source;
	(void)fd;
	(void)events;
	if (r > 0) {
		queue_setup_reload(s->setup, config);
		broker_set_limits(s->broker, &s->setup->limits);
	} else if (r < 0) {
		log_print(s->log, LOG_ERR, "not reloaded: %s", strerror(-r));
	}
	end_reload(s);
	return 0;
}

static int add_reload(struct server *s)
{
	int r = sd_event_add_signal(s->event, NULL, SIGHUP, hung_up, s);

	if (r >= 0)
		r = sd_event_add_io(s->event, NULL, s->reload->fd, EPOLLIN, reloaded, s);
	return r;
}

static int add_sources(struct server *s)
{
	sigset_t signals;
	int r;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
		return -errno;
	/* The program that started timerqd may have ignored SIGHUP, as nohup(1) does. An ignored
	 * signal does not arrive. */
	signal(SIGHUP, SIG_DFL);
	r = sd_event_add_signal(s->event, NULL, SIGTERM, NULL, NULL);
	if (r >= 0)
		r = sd_event_add_signal(s->event, NULL, SIGINT, NULL, NULL);
	if (r >= 0)
		r = add_reload(s);
	if (r >= 0)
		r = sd_event_add_io(s->event, &s->store_source, s->store->ops->get_fd(s->store),
			EPOLLIN, store_ready, s);
	/* Until a timer is due (want_turn_now()), it has the priority of clients: among equals
	 * sd-event takes the source that has waited for longest. */
	if (r >= 0)
		r = sd_event_add_defer(s->event, &s->serve, take_turn, s);
	if (r >= 0)
		r = sd_event_add_time(s->event, &s->real, CLOCK_BOOTTIME, 0, 1000, timed_turn, s);
	if (r >= 0)
		r = sd_event_source_set_enabled(s->real, SD_EVENT_OFF);
	return r;
}

int server_init(struct server *s, struct queue_setup *setup, struct reload *reload,
	struct store *store, const struct clocks_stored *stored)
{
	struct log *log = setup->log;
	int r;

	*s = (struct server){
		.log = log,
		.report = {.log = log, .store = store},
		.setup = setup,
		.reload = reload,
		.store = store,
		.connections.epoll = -1,
	};
	socket_file_init(&s->file);
	r = sd_event_default(&s->event);
	if (r >= 0)
		r = start_clocks(s, stored, setup->clock_patience);
	if (r >= 0)
		r = open_connections(s);
	if (r >= 0)
		r = open_broker(s);
	if (r >= 0)
		r = add_sources(s);
	if (r >= 0)
		r = wakeups_init(&s->wakeups, s->event, log, setup->timerd, want_turn_now, s);
	if (r >= 0)
		r = sd_event_set_watchdog(s->event, true);
	if (r >= 0)
		r = open_listeners(s);
	if (r < 0 && r != -EINVAL)
		log_print(log, LOG_ERR, "cannot start: %s", strerror(-r));
	return r < 0 ? r : 0;
}

int server_run(struct server *s)
{
	int r;

	sd_notify(0, "READY=1");
	r = sd_event_loop(s->event);
	if (r < 0)
		log_print(s->log, LOG_ERR, "the loop ends: %s", strerror(-r));
	sd_notify(0, "STOPPING=1");
	return r < 0 ? r : 0;
}

/* Answers the requests that are under way, as long as the disk answers in time. The loop has ended,
 * and sd-event runs nothing any more. So this calls the store directly, and reads nothing from
 * clients. */
static void finish(struct server *s)
{
	uint64_t from = read_clock(CLOCK_BOOTTIME), until = from + STOP_US;
	struct pollfd store = {.fd = s->store->ops->get_fd(s->store), .events = POLLIN};
	const char *why;

	while (!broker_idle(s->broker) && s->now.real < until &&
		!(broker_waits_for_locks(s->broker) && s->now.real >= from + STOP_LOCKED_US) &&
		s->store->ops->state(s->store, &why) == STORE_OK) {
		poll(&store, 1, STOP_LOOK_MS);
		s->store->ops->process(s->store);
		broker_serve(s->broker, read_now(s));
	}
}

void server_close(struct server *s)
{
	struct clocks_stored clocks;

	if (s->broker)
		finish(s);
	connections_close(&s->connections);
	socket_file_remove(&s->file);
	for (unsigned int i = 0; i < s->listener_count; i++)
		close(s->listeners[i]);
	wakeups_close(&s->wakeups);
	read_now(s);
	clocks = s->now.clocks;
	clocks.clean = true;
	sd_event_source_disable_unref(s->serve);
	sd_event_source_disable_unref(s->real);
	sd_event_source_disable_unref(s->store_source);
	/* The store is closed first, because it hands its last results to the broker. */
	s->store->ops->close(s->store, &clocks);
	broker_free(s->broker);
	sd_event_unref(s->event);
	connections_free(&s->connections);
}
