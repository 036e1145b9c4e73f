/* SPDX-License-Identifier: MIT */
#include "wakeups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* How often timerqd looks for a timerd that it has never reached, microseconds. */
#define RETRY_US UINT64_C(1000000)

static const struct {
	enum toytimer_clock clock;
	unsigned int flags;
	uint64_t slack;
} kinds[WAKEUPS] = {
	[PROTO_CLOCK_MONOTONIC] = {TOYTIMER_MONOTONIC, 0, 0},
	[PROTO_CLOCK_BOOTTIME] = {TOYTIMER_BOOTTIME, 0, 0},
	[PROTO_CLOCK_REALTIME] = {TOYTIMER_REALTIME, 0, 0},
	[WAKEUP_SYSTEM_BOOTTIME] = {TOYTIMER_BOOTTIME, TOYTIMER_WAKE_SYSTEM, 0},
	[WAKEUP_SYSTEM_REALTIME] = {TOYTIMER_REALTIME, TOYTIMER_WAKE_SYSTEM, 0},
	[WAKEUP_CLOCK_SET] = {TOYTIMER_REALTIME, TOYTIMER_TELL_CLOCK_SET, 0},
	[WAKEUP_ASIDE] = {TOYTIMER_BOOTTIME, 0, TOYTIMER_FOREVER},
};

/* timerd has refused a timer. timerqd registers it again after a second, because trying at once
 * would be a busy loop. If timerd cannot wake the machine, timerqd does not try again; the clock's
 * other timer then wakes timerqd while the machine is awake. */
static void refused(struct wakeups *w, unsigned int i, int error)
{
	if (!w->refusal_logged)
		log_print(w->log, LOG_WARNING, "timerd refuses a timer: %s",
			toytimer_strerror(error));
	w->refusal_logged = true;
	w->set[i] = w->wanted[i];
	if (error == -EPERM)
		return;
	w->refused[i] = true;
	sd_event_source_set_time_relative(w->again, RETRY_US);
	sd_event_source_set_enabled(w->again, SD_EVENT_ONESHOT);
}

static int timer_event(toytimer *t, const toytimer_event *event, void *userdata)
{
	struct wakeups *w = userdata;

	(void)t;
	for (unsigned int i = 0; i < WAKEUPS; i++) {
		if (w->timers[i] != event->timer)
			continue;
		if (event->last) {
			w->timers[i] = 0;
			w->set[i] = PROTO_FOREVER;
		}
		if (event->type == TOYTIMER_REFUSED)
			refused(w, i, event->error);
	}
	if (event->type != TOYTIMER_REFUSED)
		w->woken(w->userdata);
	return 0;
}

/* Registers refused timers again. */
static void ask_again(struct wakeups *w)
{
	for (unsigned int i = 0; i < WAKEUPS; i++) {
		if (w->refused[i])
			w->set[i] = PROTO_FOREVER;
		w->refused[i] = false;
	}
	w->woken(w->userdata);
}

static int handle_ready(sd_event_source *source, int fd, uint32_t events, void *userdata)
{
	struct wakeups *w = userdata;
	int r;

	(void)source;
	(void)fd;
	(void)events;
	do
		r = toytimer_process(w->t);
	while (r > 0);
	if (r < 0 && !w->away)
		log_print(w->log, LOG_WARNING, "timerd: %s", toytimer_strerror(r));
	w->away = r < 0;
	return 0;
}

/* Connects to the path, because the library has one error for every reason. Return: the reason. */
static const char *why_unreachable(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	const char *why = "it closed the connection";
	int fd;

	if (strlen(path) >= sizeof(address.sun_path))
		return strerror(ENAMETOOLONG);
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		why = strerror(errno);
	if (fd >= 0)
		close(fd);
	return why;
}

static void log_unreachable(const struct wakeups *w, int error)
{
	const char *path = w->path ? w->path : getenv("TIMERD_SOCKET");

	if (!path || (!*path && !w->path))
		path = PROTO_SOCKET_SYSTEM;
	log_print(w->log, LOG_WARNING,
		"timerd cannot be reached at '%s' (%s); timers wait until it is there", path,
		error == -ECONNREFUSED ? why_unreachable(path) : toytimer_strerror(error));
}

static int connect_or_ask_again(sd_event_source *source, uint64_t usec, void *userdata)
{
	struct wakeups *w = userdata;
	int r;

	(void)usec;
	if (w->t) {
		ask_again(w);
		return 0;
	}
	r = toytimer_open(&w->t, w->path);
	if (r >= 0)
		r = sd_event_add_io(
			w->event, &w->source, toytimer_get_fd(w->t), EPOLLIN, handle_ready, w);
	/* timerd's events are handled before those of clients. */
	if (r >= 0)
		r = sd_event_source_set_priority(w->source, SD_EVENT_PRIORITY_IMPORTANT);
	if (r >= 0) {
		if (w->away)
			log_print(w->log, LOG_NOTICE, "timerd is there");
		w->away = false;
		w->woken(w->userdata);
		return 0;
	}
	w->t = toytimer_unref(w->t);
	if (!w->away)
		log_unreachable(w, r);
	w->away = true;
	r = sd_event_source_set_time_relative(source, RETRY_US);
	return r < 0 ? r : sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
}

int wakeups_init(struct wakeups *w, sd_event *event, struct log *log, const char *path,
	void (*woken)(void *userdata), void *userdata)
{
	*w = (struct wakeups){
		.event = event,
		.log = log,
		.path = path,
		.woken = woken,
		.userdata = userdata,
	};
	for (unsigned int i = 0; i < WAKEUPS; i++)
		w->wanted[i] = w->set[i] = PROTO_FOREVER;
	return sd_event_add_time_relative(
		event, &w->again, CLOCK_BOOTTIME, 0, 0, connect_or_ask_again, w);
}

void wakeups_close(struct wakeups *w)
{
	sd_event_source_disable_unref(w->source);
	sd_event_source_disable_unref(w->again);
	toytimer_unref(w->t);
	*w = (struct wakeups){0};
}

void wakeups_set(struct wakeups *w, unsigned int which, uint64_t due)
{
	w->wanted[which] = due;
}

static int register_wakeup(struct wakeups *w, unsigned int i)
{
	toytimer_registration r;
	int e;

	memset(&r, 0, sizeof(r));
	r.due = w->wanted[i];
	r.clock = kinds[i].clock;
	r.flags = kinds[i].flags;
	r.slack = kinds[i].slack;
	r.label = "queues";
	r.handler = timer_event;
	r.userdata = w;
	if (w->wanted[i] == PROTO_FOREVER)
		e = w->timers[i] ? toytimer_cancel_async(w->t, w->timers[i]) : 0;
	else if (w->timers[i])
		e = toytimer_rearm_async(w->t, w->timers[i], &r);
	else
		e = toytimer_register_async(w->t, &r, &w->timers[i]);
	/* Its last wake has arrived: timer_event() handles the wake, and the next flush comes
	 * after. */
	if (e == -ENOENT)
		return 0;
	/* An older timerd does not report a set clock. */
	if (e == -ENOSYS) {
		w->set[i] = w->wanted[i];
		return 0;
	}
	if (e < 0)
		return e;
	if (w->wanted[i] == PROTO_FOREVER)
		w->timers[i] = 0;
	w->set[i] = w->wanted[i];
	return 0;
}

/* A timer with infinite slack rings with other timers. If it rings too early, it is set again. So
 * it is not set to a later instant, because each commit would do that. */
static bool is_early_enough(const struct wakeups *w, unsigned int i)
{
	return w->wanted[i] == w->set[i] ||
		(kinds[i].slack == TOYTIMER_FOREVER && w->timers[i] && w->set[i] < w->wanted[i] &&
			w->wanted[i] != PROTO_FOREVER);
}

int wakeups_flush(struct wakeups *w)
{
	int r = 0;

	if (!w->t)
		return 0;
	for (unsigned int i = 0; i < WAKEUPS && r >= 0; i++)
		if (!is_early_enough(w, i))
			r = register_wakeup(w, i);
	return r < 0 ? r : toytimer_flush(w->t);
}
