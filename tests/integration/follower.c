/* SPDX-License-Identifier: MIT */
#include "follower.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

void follower_open(struct follower *f, const char *socket, const unsigned int *starts)
{
	memset(f, 0, sizeof(*f));
	wire_open(&f->wire, socket);
	f->answered = f->wire.serial;
	f->starts = starts;
}

static void take_wake(struct follower *f, uint32_t i)
{
	struct proto_wake wake;

	wire_get(&f->wire, i, &wake);
	check(wake.cookie < f->timers);
	/* A daemon that died while it sent a wake may cause a repeat. */
	if (f->of[wake.cookie].gone || (int32_t)(wake.number - f->of[wake.cookie].number) <= 0) {
		check(f->again++ < *f->starts);
		return;
	}
	f->wakes++;
	check(wake.number == f->of[wake.cookie].number + 1);
	check(wake.due == f->of[wake.cookie].due);
	check(!f->of[wake.cookie].id || wake.id == f->of[wake.cookie].id);
	f->of[wake.cookie].number++;
	f->of[wake.cookie].gone = wake.flags & PROTO_WAKE_LAST;
	check(f->of[wake.cookie].gone == !f->of[wake.cookie].every);
	f->of[wake.cookie].due += (wake.overruns + 1) * f->of[wake.cookie].every;
	check(wake.overruns ==
		(f->of[wake.cookie].every ? wake.late / f->of[wake.cookie].every : 0));
}

bool follower_take(struct follower *f, int timeout_ms)
{
	struct wire *w = &f->wire;
	struct proto_registered registered;
	struct proto_resumed resumed;

	if (!wire_wait(w, timeout_ms))
		return false;
	check(w->size > 0);
	switch (w->header.opcode) {
	case PROTO_WAKE:
		for (uint32_t i = 0; i < w->header.count; i++)
			take_wake(f, i);
		break;
	case PROTO_RESUMED:
		wire_get(w, 0, &resumed);
		f->resumed++;
		check(resumed.serial == f->answered);
		if (w->serial > f->answered)
			check(wire_send(w, w->out, f->asked));
		break;
	case PROTO_REGISTER | PROTO_ANSWER:
		if (w->header.serial <= f->answered)
			break; /* the wake came twice */
		check(w->header.serial == w->serial && w->header.count == 1);
		wire_get(w, 0, &registered);
		check(registered.status == PROTO_OK);
		f->of[f->timers - 1].id = registered.id;
		check(f->of[f->timers - 1].gone || registered.due == f->of[f->timers - 1].due ||
			f->of[f->timers - 1].number > 0);
		f->answered = w->serial;
		break;
	default:
		fail_msg("opcode %u", w->header.opcode);
	}
	return true;
}

void follower_ask(struct follower *f, uint64_t span, uint64_t every)
{
	struct proto_register r = {
		.cookie = f->timers,
		.due = wire_now(f->clock) + span,
		.every = every,
		.clock = f->clock,
		.flags = f->flags,
	};

	check(f->timers < FOLLOWER_TIMERS_MAX && f->answered == f->wire.serial);
	f->of[f->timers].due = r.due;
	f->of[f->timers].every = every;
	wire_begin(&f->wire, PROTO_REGISTER);
	wire_put(&f->wire, &r);
	f->timers++;
	f->asked = codec_end(&f->wire.writer, 0);
	check(wire_send(&f->wire, f->wire.out, f->asked));
}

void follower_await_answer(struct follower *f)
{
	while (f->answered < f->wire.serial)
		check(follower_take(f, WIRE_PATIENCE_MS));
}

void follower_enroll(struct follower *f, uint64_t span, uint64_t every)
{
	follower_ask(f, span, every);
	follower_await_answer(f);
}

void follower_await_resumed(struct follower *f, uint64_t times)
{
	while (f->resumed < times)
		check(follower_take(f, WIRE_PATIENCE_MS));
}
