/* SPDX-License-Identifier: MIT */
/*
 * Passes arbitrary bytes to the codec of the queues' packets, as either side reads them. The lowest
 * bit of the first byte says who sent the rest. If the codec accepts a packet, the target reads all
 * of it, with everything that its records refer to, and writes it again. The result must be the
 * same bytes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "queue_codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

union record {
	uint64_t align;
	uint8_t bytes[256];
	struct proto_queue_put put;
	struct proto_queue_reschedule reschedule;
	struct proto_queue_open open;
};

static void check(const struct queue_codec_packet *p, const union record *r)
{
	uint32_t status = PROTO_OK;

	if (p->header.opcode == PROTO_QUEUE_PUT) {
		status = queue_codec_check_put(p, &r->put);
		if (status == PROTO_OK && r->put.key_size)
			require(memchr(queue_codec_bytes(p, r->put.data), 0, r->put.key_size) ==
				NULL);
	} else if (p->header.opcode == PROTO_QUEUE_RESCHEDULE) {
		status = queue_codec_check_reschedule(p, &r->reschedule);
	} else if (p->header.opcode == PROTO_QUEUE_OPEN) {
		queue_codec_name_valid(queue_codec_bytes(p, r->open.name), r->open.name_size);
	}
	require(status <= PROTO_Q_PAYLOAD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static _Alignas(8) uint8_t written[QUEUE_CODEC_BUFFER];
	struct queue_codec_packet p;
	struct queue_codec_writer w;
	enum codec_fault fault;

	if (size == 0)
		return 0;
	fault = queue_codec_open(
		data + 1, size - 1, data[0] & 1 ? CODEC_FROM_DAEMON : CODEC_FROM_CLIENT, &p);
	require(fault < CODEC_FAULTS && *codec_fault_text(fault));
	if (fault != CODEC_OK)
		return 0;
	require(strcmp(queue_codec_opcode_name(p.header.opcode), "unknown") != 0);
	queue_codec_begin(&w, written, p.header.opcode, p.header.serial);
	w.header.status = p.header.status;
	for (uint32_t i = 0; i < p.header.count; i++) {
		union record record;

		require(p.header.record_size <= sizeof(record));
		queue_codec_get(&p, i, &record);
		check(&p, &record);
		require(queue_codec_fits(&w, 0));
		queue_codec_put(&w, &record);
	}
	queue_codec_add_bytes(&w, p.area, p.area_size);
	require(queue_codec_end(&w, p.header.cursor) == size - 1);
	require(memcmp(written, data + 1, size - 1) == 0);
	return 0;
}
