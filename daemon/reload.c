/* SPDX-License-Identifier: MIT */
#include "reload.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "thread.h"

/* How long a start waits for look-ups, in milliseconds. */
#define FIRST_MS 1000

/* How long the end of the daemon waits for a load, in milliseconds. */
#define CLOSE_MS 100

/* What the thread works on. It belongs to the thread until the thread was joined. */
struct reload_job {
	const struct config_source *source;
	int fd;
	struct config *config;
	int result;
};

static void *load(void *user)
{
	static const uint64_t one = 1;
	struct reload_job *job = user;
	ssize_t n;

	job->result = config_load(&job->config, job->source, CONFIG_LOOK_UP_NAMES);
	do
		n = write(job->fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
	return NULL;
}

int reload_start(struct reload *reload)
{
	struct reload_job *job;
	int r;

	if (reload->job) {
		reload->again = true;
		return 0;
	}
	job = calloc(1, sizeof(*job));
	if (!job)
		return -ENOMEM;
	*job = (struct reload_job){.source = &reload->source, .fd = reload->fd};
	/* A start blocks SIGTERM and SIGHUP only later: a thread that took signals would end the
	 * daemon. */
	r = thread_start(&reload->thread, load, job);
	if (r < 0) {
		free(job);
		return r;
	}
	reload->job = job;
	return 0;
}

/* Waits for a result, but not for ever. */
static void wait_for_result(const struct reload *reload, int timeout)
{
	struct pollfd fd = {.fd = reload->fd, .events = POLLIN};

	if (reload->job)
		poll(&fd, 1, timeout);
}

int reload_take(struct reload *reload, struct config **ret)
{
	struct reload_job *job = reload->job;
	uint64_t count;
	int r;

	if (!job || read(reload->fd, &count, sizeof(count)) != sizeof(count))
		return 0;
	pthread_join(reload->thread, NULL);
	reload->job = NULL;
	r = job->result;
	if (reload->again || r < 0) {
		config_free(job->config);
	} else {
		*ret = job->config;
		r = 1;
	}
	free(job);
	if (reload->again) {
		reload->again = false;
		r = reload_start(reload);
	}
	return r;
}

/* The first load: see reload_open(). */
static int load_first(struct reload *reload, struct config **ret)
{
	struct config *whole;
	int r = config_load(ret, &reload->source, CONFIG_SKIP_NAMES);

	if (r < 0 || !(*ret)->has_names)
		return r;
	r = reload_start(reload);
	if (r == 0) {
		wait_for_result(reload, FIRST_MS);
		r = reload_take(reload, &whole);
	}
	if (r < 0) {
		*ret = config_free(*ret);
	} else if (r > 0) {
		config_free(*ret);
		*ret = whole;
	}
	return r < 0 ? r : 0;
}

int reload_open(
	struct reload *reload, struct log *log, const char *path, bool user, struct config **ret)
{
	int r;

	*reload = (struct reload){.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
	r = reload->fd < 0 ? -errno : config_find(path, user, &reload->source);
	if (r == 0)
		r = load_first(reload, ret);
	if (r < 0)
		log_print(log, LOG_ERR, "cannot start: %s", strerror(-r));
	else if (reload->job)
		log_print(log, LOG_WARNING,
			"the look-up of users takes long: limits by name apply when it ends");
	return r;
}

void reload_close(struct reload *reload)
{
	struct config *config = NULL;

	reload->again = false;
	wait_for_result(reload, CLOSE_MS);
	reload_take(reload, &config);
	config_free(config);
	if (reload->job)
		return;
	if (reload->fd >= 0)
		close(reload->fd);
	free(reload->source.path);
	*reload = (struct reload){.fd = -1};
}
