/* SPDX-License-Identifier: MIT */
/*
 * Passes arbitrary bytes to the codec, as either side reads them. The lowest bit of the first byte
 * says who sent the rest. If the codec accepts a packet, the target reads all of it, checks it as
 * the daemon does, and writes it again. The result must be the same bytes: otherwise a client and a
 * daemon could understand a packet differently.
 *
 *	clang -g -O1 -std=gnu17 -fsanitize=fuzzer,address,undefined -I proto \
 *		tests/fuzz/fuzz_codec.c proto/codec.c -o fuzz_codec
 *	./fuzz_codec -max_len=65545 NEW-FINDS tests/fuzz/corpus/codec
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition)
{
	if (!condition)
		abort();
}

/* The widest record there is, aligned for all of them. */
union record {
	uint64_t align;
	uint8_t bytes[256];
	struct proto_register reg;
	struct proto_rearm rearm;
	struct proto_listed listed;
};

static void check(uint16_t opcode, const union record *record)
{
	enum proto_status status = PROTO_OK;

	if (opcode == PROTO_REGISTER)
		status = codec_check_register(&record->reg);
	else if (opcode == PROTO_REARM)
		status = codec_check_rearm(&record->rearm);
	else if (opcode == (PROTO_LIST | PROTO_ANSWER))
		codec_label_valid(record->listed.label, sizeof(record->listed.label));
	require(status < PROTO_E_CLIENTS);

	if (opcode != PROTO_REGISTER || status != PROTO_OK)
		return;
	require(record->reg.clock < PROTO_CLOCKS);
	require(record->reg.due != PROTO_FOREVER);
	require(memchr(record->reg.label, '\x1b', sizeof(record->reg.label)) == NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t written[PROTO_PACKET_MAX];
	enum codec_sender sender;
	enum codec_fault fault;
	struct proto_header h;
	struct codec_writer w;

	if (size == 0)
		return 0;
	sender = data[0] & 1 ? CODEC_FROM_DAEMON : CODEC_FROM_CLIENT;
	data++, size--;

	fault = codec_open(data, size, sender, &h);
	require(fault < CODEC_FAULTS && *codec_fault_text(fault));
	if (fault != CODEC_OK)
		return 0;
	require(size == sizeof(h) + (size_t)h.count * h.record_size);
	require(strcmp(codec_opcode_name(h.opcode), "unknown") != 0);

	codec_begin(&w, written, h.opcode, h.serial);
	w.header.status = h.status;
	for (uint32_t i = 0; i < h.count; i++) {
		union record record;

		require(h.record_size <= sizeof(record));
		codec_get(data, &h, i, &record, h.record_size);
		check(h.opcode, &record);
		require(!codec_full(&w));
		codec_put(&w, &record, w.header.record_size);
	}
	require(codec_end(&w, h.cursor) == size);
	require(memcmp(written, data, size) == 0);
	return 0;
}
