/* SPDX-License-Identifier: MIT */
/*
 * toytimerctl consume: prints the wakes of a queue, or runs COMMAND for each.
 *
 * A wake is acknowledged after its line is written, so that no wake is lost if the reader dies.
 * With COMMAND, its exit status decides. At the end, toytimerctl detaches from the queue, so that
 * timerqd counts no attempt for the wakes that were not handled.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "command.h"
#include "ctl.h"
#include "output.h"
#include "verbs.h"
#include "when.h"

#define WINDOW	   100
#define RETRY_US   UINT64_C(10000000)
#define LONGEST_US UINT64_C(86400000000)

/* A line reports a lost connection after this time. A restart of timerqd takes less. */
#define AWAY_MS 200

/* The timeout of calls: a signal has no effect while toytimerctl waits for timerqd's answer. */
#define PATIENCE_US UINT64_C(1000000)

#define WAITING (-1)

struct consume {
	FILE *out;
	const char *queue;
	toytimer_queue_consumer consumer;
	uint64_t count; /* 0: no end */
	uint64_t retry;
	bool json;
	char **command; /* NULL: lines */
	toytimer_queue *q;
	struct signals signals;
	uint64_t handled;
	int status; /* the exit status; WAITING: not known yet */
	int command_status;
	bool away_reported;
};

static int print_json(FILE *out, const toytimer_wake *w)
{
	json_t *object = json_object();
	json_t *payload = output_json_bytes(w->payload, w->payload_size);

	output_json_add(&object, "event", json_string("wake"));
	output_json_add(&object, "queue", output_json_text(w->queue));
	output_json_add(&object, "id", output_json_number(w->ref.id));
	output_json_add(&object, "key", output_json_text(w->key));
	output_json_add(&object, "label", output_json_text(w->label));
	output_json_add(&object, "number", json_integer(w->ref.number));
	output_json_add(&object, "attempt", json_integer(w->attempt));
	output_json_add(&object, "term", output_json_number(w->ref.term));
	output_json_add(&object, "due_us", output_json_number(w->due));
	output_json_add(&object, "late_us", output_json_number(w->late));
	output_json_add(&object, "overruns", output_json_number(w->overruns));
	if (payload)
		output_json_add(&object, "payload", payload);
	else
		output_json_add(
			&object, "payload_base64", output_json_base64(w->payload, w->payload_size));
	return output_json(out, object) < 0 ? -1 : output_flush(out);
}

static int print_line(FILE *out, const toytimer_wake *w)
{
	char span[WHEN_SPAN_MAX], *payload = output_escape(w->payload, w->payload_size);

	if (!payload) {
		ctl_no_memory();
		return -1;
	}
	when_format_span(span, sizeof(span), w->late, 0);
	fprintf(out, "wake %llu late %s overruns %llu number %u attempt %u",
		(unsigned long long)w->ref.id, span, (unsigned long long)w->overruns, w->ref.number,
		w->attempt);
	if (*w->key)
		fprintf(out, " key %s", w->key);
	if (w->payload_size)
		fprintf(out, " payload %s", payload);
	fputc('\n', out);
	free(payload);
	return output_flush(out);
}

/* While a line is written, signals have their default action: the reader may be slow. */
static int print_wake(struct consume *c, const toytimer_wake *w)
{
	int r;

	signals_unblock(&c->signals);
	r = c->json ? print_json(c->out, w) : print_line(c->out, w);
	signals_block(&c->signals);
	return r < 0 ? CTL_FAILED : WAITING;
}

static int set_number(const char *name, uint64_t number)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
	return setenv(name, text, 1);
}

static int set_environment(const toytimer_wake *w)
{
	if (set_number("TIMERD_ID", w->ref.id) < 0 || set_number("TIMERD_DUE_US", w->due) < 0 ||
		set_number("TIMERD_LATE_US", w->late) < 0 ||
		set_number("TIMERD_OVERRUNS", w->overruns) < 0 ||
		set_number("TIMERD_NUMBER", w->ref.number) < 0 ||
		set_number("TIMERD_ATTEMPT", w->attempt) < 0 ||
		setenv("TIMERD_KEY", w->key, 1) < 0 || setenv("TIMERD_QUEUE", w->queue, 1) < 0 ||
		setenv("TIMERD_LABEL", w->label, 1) < 0)
		return -ENOMEM;
	return 0;
}

/* Makes a file with the payload, at offset 0. Returns a descriptor or a negative errno. */
static int open_payload(const toytimer_wake *w)
{
	const char *at = w->payload;
	size_t left = w->payload_size;
	int fd = memfd_create("payload", MFD_CLOEXEC);

	if (fd < 0)
		return -errno;
	while (left > 0) {
		ssize_t n = write(fd, at, left);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			int error = errno;

			close(fd);
			return -error;
		}
		at += n;
		left -= (size_t)n;
	}
	if (lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -EIO;
	}
	return fd;
}

static uint64_t retry_after(const struct consume *c, uint32_t attempt)
{
	uint64_t delay = c->retry;

	while (attempt-- > 1 && delay < LONGEST_US)
		delay *= 2;
	/* A --retry of more than LONGEST_US is not doubled, and not shortened either. */
	if (delay > LONGEST_US)
		delay = c->retry > LONGEST_US ? c->retry : LONGEST_US;
	return delay;
}

/* Returns a status, or WAITING. */
static int run_command(struct consume *c, const toytimer_wake *w)
{
	int fd, r;

	/* Standard output belongs to COMMAND, as with register. */
	if (c->json && print_json(stderr, w) < 0)
		return CTL_FAILED;
	if (set_environment(w) < 0)
		return ctl_no_memory();
	fd = open_payload(w);
	if (fd < 0) {
		output_error("payload: %s", strerror(-fd));
		return CTL_FAILED;
	}
	c->command_status = command_run(c->command, &c->signals, fd);
	close(fd);
	signals_read(&c->signals);
	/* The signal probably ended COMMAND. The wake stays unacknowledged, and goes back to the
	 * queue without a counted attempt when the handle detaches. */
	if (c->command_status != 0 && c->signals.caught)
		return WAITING;
	r = c->command_status == 0
		? toytimer_queue_ack(c->q, &w->ref)
		: toytimer_queue_retry(c->q, &w->ref, retry_after(c, w->attempt));
	/* Not failures: -ENOENT: the timer was cancelled, or timerqd took the wake back. The other
	 * three: the connection is lost, and the wake comes again. */
	if (r < 0 && r != -ENOENT && r != -ECONNRESET && r != -ECONNREFUSED && r != -ETIMEDOUT)
		return ctl_queue_failed(c->queue, r);
	return WAITING;
}

static int acknowledge(struct consume *c, const toytimer_wake *w)
{
	int r;

	/* timerqd stores acknowledgements in order. So the answer to the last one means that all
	 * are stored. */
	if (c->count && c->handled == c->count)
		r = toytimer_queue_ack(c->q, &w->ref);
	else
		r = toytimer_queue_ack_async(c->q, &w->ref);
	return r < 0 && r != -ENOENT && r != -ECONNRESET ? ctl_queue_failed(c->queue, r) : WAITING;
}

static int handle_wake(toytimer_queue *q, const toytimer_wake *w, void *userdata)
{
	struct consume *c = userdata;

	(void)q;
	if (c->status != WAITING || c->signals.caught)
		return 0;
	c->handled++;
	if (c->command) {
		c->status = run_command(c, w);
	} else {
		c->status = print_wake(c, w);
		if (c->status == WAITING)
			c->status = acknowledge(c, w);
	}
	if (c->status == WAITING && c->count && c->handled == c->count)
		c->status = c->command ? c->command_status : CTL_DONE;
	return 0;
}

/* Reports, once for each loss, that timerqd is away. Returns how many milliseconds to wait. */
static int report_connection(struct consume *c, bool waited)
{
	int error = toytimer_queue_get_error(c->q);

	if (error == 0) {
		c->away_reported = false;
		return -1;
	}
	if (!waited && !c->away_reported)
		return AWAY_MS;
	if (!c->away_reported)
		output_error("%s: waiting to consume again", toytimer_queue_strerror(error));
	c->away_reported = true;
	return -1;
}

/* Waits for an event or a signal. Returns a status, or WAITING. */
static int wait_for_event(struct consume *c)
{
	struct pollfd fds[2] = {
		{.fd = toytimer_queue_get_fd(c->q), .events = POLLIN},
		{.fd = c->signals.fd, .events = POLLIN},
	};
	int r = poll(fds, 2, report_connection(c, false));

	if (r < 0 && errno != EINTR) {
		output_error("poll: %s", strerror(errno));
		return CTL_FAILED;
	}
	if (r == 0)
		(void)report_connection(c, true);
	return WAITING;
}

static int consume_loop(struct ctl *ctl, struct consume *c)
{
	while (c->status == WAITING) {
		int r = toytimer_queue_process(c->q);

		if (r < 0)
			c->status = ctl_queue_failed(c->queue, r);
		signals_read(&c->signals);
		ctl->signal = c->signals.caught;
		if (ctl->signal != 0)
			c->status = CTL_SIGNAL + ctl->signal;
		if (r == 0 && c->status == WAITING)
			c->status = wait_for_event(c);
	}
	(void)toytimer_queue_set_timeout(c->q, PATIENCE_US);
	(void)toytimer_queue_detach(c->q, c->queue);
	return c->status;
}

enum {
	OPTION_WINDOW = CTL_OPTION_VERB,
	OPTION_COUNT,
	OPTION_RETRY,
	OPTION_MAX_ATTEMPTS,
	OPTION_ACK_WITHIN,
	OPTION_JSON,
};

static int parse_word(struct ctl *ctl, struct consume *c, const char *word)
{
	if (c->queue)
		return ctl_usage(ctl, "%s: consume takes one queue; write COMMAND after --",
			output_word(word));
	c->queue = word;
	return ctl_check_queue(ctl, "consume", word);
}

/* To the library, 0 means no limit. Returns 0 or CTL_STOP. */
static int parse_ack_within(struct ctl *ctl, const char *text, uint64_t *ret)
{
	uint64_t span = 0;

	if (ctl_parse_span(ctl, "--ack-within", text, true, &span) == CTL_STOP)
		return CTL_STOP;
	if (span == 0)
		return ctl_usage(
			ctl, "--ack-within %s: too short; say for example 30s, or infinity", text);
	*ret = span == TOYTIMER_FOREVER ? 0 : span;
	return 0;
}

/* Returns 0 or CTL_STOP. */
static int parse_option(struct ctl *ctl, struct consume *c, int option)
{
	uint64_t number = 0;
	int r = 0;

	switch (option) {
	case CTL_WORD:
		return parse_word(ctl, c, optarg);
	case OPTION_WINDOW:
		r = ctl_parse_number(
			ctl, "--window", optarg, 1, TOYTIMER_QUEUE_WINDOW_MAX, &number);
		c->consumer.window = (uint32_t)number;
		return r;
	case OPTION_COUNT:
		return ctl_parse_number(ctl, "--count", optarg, 0, UINT32_MAX, &c->count);
	case OPTION_RETRY:
		return ctl_parse_span(ctl, "--retry", optarg, false, &c->retry);
	case OPTION_MAX_ATTEMPTS:
		r = ctl_parse_number(ctl, "--max-attempts", optarg, 0, UINT32_MAX, &number);
		c->consumer.max_attempts = (uint32_t)number;
		return r;
	case OPTION_ACK_WITHIN:
		return parse_ack_within(ctl, optarg, &c->consumer.ack_within);
	case OPTION_JSON:
		c->json = true;
		return 0;
	default:
		return CTL_STOP;
	}
}

static int parse(struct ctl *ctl, int argc, char **argv, struct consume *c)
{
	static const struct option options[] = {
		{"window", required_argument, NULL, OPTION_WINDOW},
		{"count", required_argument, NULL, OPTION_COUNT},
		{"retry", required_argument, NULL, OPTION_RETRY},
		{"max-attempts", required_argument, NULL, OPTION_MAX_ATTEMPTS},
		{"ack-within", required_argument, NULL, OPTION_ACK_WITHIN},
		{"json", no_argument, NULL, OPTION_JSON},
		{NULL, 0, NULL, 0},
	};
	const char *last = NULL; /* the last argument of an option, which may be "--" */
	int option;

	while ((option = ctl_getopt(ctl, argc, argv, "", options)) != CTL_END) {
		if (parse_option(ctl, c, option) == CTL_STOP)
			return CTL_STOP;
		last = optarg;
	}
	if (!c->queue)
		return ctl_usage(ctl,
			"consume: needs the NAME of a queue; "
			"usage: toytimerctl consume [OPTION...] NAME [-- COMMAND [ARG...]]");
	if (optind < argc)
		c->command = argv + optind;
	else if (last != argv[argc - 1] && strcmp(argv[argc - 1], "--") == 0)
		return ctl_usage(ctl, "--: needs a COMMAND after it");
	return 0;
}

static void consume_close(struct consume *c)
{
	signals_close(&c->signals);
	toytimer_queue_unref(c->q);
}

int verb_consume(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(consume_close) struct consume c = {
		.out = ctl->out,
		.retry = RETRY_US,
		.signals.fd = -1,
		.status = WAITING,
	};
	int r;

	if (parse(ctl, argc, argv, &c) == CTL_STOP)
		return ctl->status;
	if (!c.consumer.window) {
		c.consumer.window = c.command ? 1 : WINDOW;
		/* With --count N, timerqd delivers no wake that this process does not handle. */
		if (c.count && c.count < c.consumer.window)
			c.consumer.window = (uint32_t)c.count;
	}
	c.consumer.handler = handle_wake;
	c.consumer.userdata = &c;
	r = ctl_open_queues(ctl, &c.q);
	if (r != CTL_DONE)
		return r;
	r = signals_open(&c.signals, &ctl->inherited);
	if (r < 0) {
		output_error("signals: %s", strerror(-r));
		return r == -EMFILE || r == -ENFILE ? CTL_REFUSED : CTL_FAILED;
	}
	r = toytimer_queue_consume(c.q, c.queue, &c.consumer);
	if (r < 0)
		return ctl_queue_failed(c.queue, r);
	signals_block(&c.signals);
	return consume_loop(ctl, &c);
}
