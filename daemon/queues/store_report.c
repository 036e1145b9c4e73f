/* SPDX-License-Identifier: MIT */
#include "store_report.h"

static void report_failure(struct store_report *r)
{
	const struct store_ops *ops = r->store->ops;
	const char *why = ops->failure ? ops->failure(r->store) : NULL;

	if (!why)
		return;
	log_print(r->log, LOG_CRIT,
		"the store has failed (%s): nothing is stored until it has been read from the disk "
		"again and written to a new file; check the disk",
		why);
	r->logged_state = STORE_FAILED;
}

/* Whether this reason was not logged. Two of them are remembered, because a store that is away may
 * give its two connections different ones. */
static bool is_new_reason(struct store_report *r, const char *why)
{
	uint32_t hash = 2166136261;

	for (const char *at = why; *at; at++)
		hash = (hash ^ (uint8_t)*at) * 16777619;
	if (hash == r->logged_why[0] || hash == r->logged_why[1])
		return false;
	r->logged_why[1] = r->logged_why[0];
	r->logged_why[0] = hash;
	return true;
}

void store_report(struct store_report *r)
{
	const char *why;
	enum store_state state;
	bool is_new;

	report_failure(r);
	state = r->store->ops->state(r->store, &why);
	is_new = state == STORE_AWAY && is_new_reason(r, why);
	if (state == r->logged_state && !is_new)
		return;
	r->logged_state = state;
	switch (state) {
	case STORE_OK:
		log_print(r->log, LOG_NOTICE, "the store takes timers again");
		break;
	case STORE_FULL:
		log_print(r->log, LOG_ERR,
			"the store is full (%s): timers are refused until there is room", why);
		break;
	case STORE_AWAY:
		log_print(r->log, LOG_WARNING, "the store cannot be reached: %s", why);
		break;
	case STORE_FAILED: /* report_failure() */
		break;
	}
}
