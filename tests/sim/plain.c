/* SPDX-License-Identifier: MIT */
/*
 * There are eight requests. A table has the length of each one's records, and how many there may
 * be. The checks do not look into labels: a table says which of the labels in use is valid.
 */
#include "plain.h"

#include <endian.h>
#include <string.h>

static const char *const labels[PLAIN_LABELS] = {
	"", "tea", "größe 日", "\xf0\x9f\x95\xb0", "twenty-four bytes of it.",
	/* These labels are invalid: */
	"\x1b[2J", "a\x7f", "\xc2\x85",		 /* a control character */
	"\xe2\x80\xae",				 /* turns the direction of the line */
	"\xff",					 /* no UTF-8 */
	"\xc0\xaf",				 /* longer than it need be */
	"twenty-four bytes of \xf0\x9f\x95\xb0", /* cut */
};

void plain_label(unsigned int which, char label[static PROTO_LABEL_MAX])
{
	memset(label, 0, PROTO_LABEL_MAX);
	memcpy(label, labels[which], strnlen(labels[which], PROTO_LABEL_MAX));
}

bool plain_request(const void *packet, size_t size, struct proto_header *ret)
{
	static const struct {
		size_t opcode, record, least, most;
	} kinds[] = {
		{PROTO_HELLO, 16, 1, 1},
		{PROTO_REGISTER, 64, 1, 1023},
		{PROTO_CANCEL, 8, 1, 4094},
		{PROTO_REARM, 40, 1, 1637},
		{PROTO_LIST, 8, 1, 1},
		{PROTO_STATUS, 0, 0, 0},
		{PROTO_CANCEL_MATCHING, 32, 1, 1},
		{PROTO_LIST_MATCHING, 32, 1, 1},
	};
	struct proto_header h;

	if (size < sizeof(h))
		return false;
	memcpy(&h, packet, sizeof(h));
	h.opcode = le16toh(h.opcode);
	h.record_size = le16toh(h.record_size);
	h.count = le16toh(h.count);
	h.serial = le64toh(h.serial);
	h.cursor = le64toh(h.cursor);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (h.opcode != kinds[i].opcode)
			continue;
		*ret = h;
		return h.record_size == kinds[i].record && h.count >= kinds[i].least &&
			h.count <= kinds[i].most && size == 24 + h.count * kinds[i].record &&
			h.serial != 0 && h.status == 0;
	}
	return false;
}

static enum proto_status check_times(uint64_t due, uint64_t every, uint32_t count)
{
	if (due == UINT64_MAX)
		return PROTO_E_RANGE;
	return count > 1 && !every ? PROTO_E_COUNT : PROTO_OK;
}

static bool is_good_label(const char label[static PROTO_LABEL_MAX])
{
	for (unsigned int i = 0; i < PLAIN_LABELS_GOOD; i++) {
		char good[PROTO_LABEL_MAX];

		plain_label(i, good);
		if (memcmp(good, label, sizeof(good)) == 0)
			return true;
	}
	return false;
}

enum proto_status plain_register(const struct proto_register *r)
{
	if (r->clock != 0 && r->clock != 1 && r->clock != 2)
		return PROTO_E_CLOCK;
	if (r->flags > 7 || r->reserved != 0)
		return PROTO_E_FLAGS;
	if (r->flags & 2 && r->clock == 0)
		return PROTO_E_WAKE_CLOCK;
	if (r->flags & 4 && r->clock != 2)
		return PROTO_E_SET_CLOCK;
	if (!is_good_label(r->label))
		return PROTO_E_LABEL;
	return check_times(r->due, r->every, r->count);
}

enum proto_status plain_match(const struct proto_match *m)
{
	char none[PROTO_LABEL_MAX] = {0};

	if (m->flags > 4 + 2 || (m->flags & 4 && m->flags & 1))
		return PROTO_E_FLAGS;
	if (m->uid && !(m->flags & 1))
		return PROTO_E_FLAGS;
	if (!(m->flags & 2) && memcmp(m->label, none, sizeof(none)) != 0)
		return PROTO_E_FLAGS;
	return is_good_label(m->label) ? PROTO_OK : PROTO_E_LABEL;
}

enum proto_status plain_rearm(const struct proto_rearm *r)
{
	if (r->flags > 1 || r->reserved[0] != 0 || r->reserved[1] != 0 || r->reserved[2] != 0)
		return PROTO_E_FLAGS;
	return check_times(r->due, r->every, r->count);
}
