/* SPDX-License-Identifier: MIT */
/*
 * timerd: parses the arguments, opens the socket and runs the loop.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "log.h"
#include "loop.h"
#include "options.h"
#include "resources.h"

enum {
	EXIT_USAGE = 2,
};

/* Opens the standard streams that are closed, so that no other descriptor gets their numbers. */
static void open_standard(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static uint64_t choose_instance(const struct now *now)
{
	uint64_t instance;

	if (getrandom(&instance, sizeof(instance), GRND_NONBLOCK) != sizeof(instance))
		instance = now->at[PROTO_CLOCK_BOOTTIME] << 20 ^ (uint64_t)getpid();
	return instance;
}

/* Logs the complaints about options. Return: how many there are. */
static unsigned int log_complaints(struct log *log, const struct options *o)
{
	for (unsigned int i = 0; i < o->complaints && i < OPTIONS_COMPLAINTS_MAX; i++)
		log_print(log, LOG_ERR, "bad option, its default holds: %s", o->complaint[i]);
	if (o->complaints > OPTIONS_COMPLAINTS_MAX)
		log_print(log, LOG_ERR, "bad options, their defaults hold: %u more",
			o->complaints - OPTIONS_COMPLAINTS_MAX);
	return o->complaints;
}

/* What systemctl status shows after the counts. Return: the text; "": all options and limits
 * apply. */
static const char *notice_of(
	const struct options *o, unsigned int warnings, char *buffer, size_t size)
{
	if (!warnings)
		return "";
	if (!o->complaints)
		return "; a limit is lowered: see the log";
	snprintf(buffer, size, "; bad option, its default holds: %s", o->complaint[0]);
	return buffer;
}

/* Makes the socket, as systemd has passed none. ret_status: set to EXIT_USAGE after a bad option.
 * Return: 0, or a negative errno after a line that says why. */
static int make_socket(struct loop *loop, struct log *log, struct options *o, int *ret_status)
{
	const char *path;
	int r = options_socket(o, &path);

	if (r < 0) {
		*ret_status = EXIT_USAGE;
		return r;
	}
	return listener_open(
		&loop->listener, log, path, o->user ? 0600 : 0666, o->user ? 0700 : 0755);
}

static int run(struct options *o)
{
	struct now now = alarm_now();
	struct worker_config config = {
		.limits = o->limits,
		/* The layout of the arena does not depend on the options, so that the next process
		 * can adopt it with other options. */
		.room_timers = ARENA_TIMERS_MAX,
		.room_clients = ARENA_CLIENTS_MAX,
		.pid = (uint32_t)getpid(),
		.instance = choose_instance(&now),
		.version = TIMERD_VERSION,
	};
	char notice[OPTIONS_COMPLAINT_MAX + 64];
	int r, status = EXIT_FAILURE;
	static struct loop loop;
	struct log log;

	open_standard();
	log_init(&log, o->log_level);
	config.warnings = log_complaints(&log, o);
	config.warnings += resources_fit(&log, &config.limits);
	r = loop_init(&loop, &log, &config);
	loop.notice = notice_of(o, config.warnings, notice, sizeof(notice));
	if (r == 0 && !loop.listener.count)
		r = make_socket(&loop, &log, o, &status);
	if (r >= 0) {
		log_print(&log, LOG_INFO, "timerd %s serves %s", TIMERD_VERSION,
			loop.listener.path ? loop.listener.path : "the socket from systemd");
		r = loop_run(&loop);
	}
	loop_close(&loop);
	return r < 0 ? status : EXIT_SUCCESS;
}

/* --check: checks the options without a start. Return: the exit status. */
static int check(struct options *o)
{
	const char *path;
	struct log log;

	if (options_socket(o, &path) < 0)
		return EXIT_USAGE;
	if (!*path || strlen(path) >= sizeof(o->path)) {
		fprintf(stderr, "timerd: --socket: '%s' is empty or longer than %zu bytes\n", path,
			sizeof(o->path) - 1);
		return EXIT_USAGE;
	}
	log_init(&log, LOG_INFO);
	resources_fit(&log, &o->limits);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options o;
	const char *path;
	int r = options_parse(&o, argc, argv);

	/* Whether a service needs a path is known only later: systemd may pass a socket. */
	if (r == 0 && !o.service && !o.check)
		r = options_socket(&o, &path);
	if (r < 0)
		return EXIT_USAGE;
	if (r > 0)
		return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
	return o.check ? check(&o) : run(&o);
}
