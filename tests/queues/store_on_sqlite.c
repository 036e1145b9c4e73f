/* SPDX-License-Identifier: MIT */
/* The store under test is an SQLite file on a disk in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "store_on_sqlite.h"
#include "store_sqlite.h"
#include "store_stage.h"

struct disk disk;
struct clocks_stored clocks;

const struct sqlite_tuning tuning = {
	.recent_max = 16,
	.merge_slice = 4,
	.log_idle = 20,
	.log_max = 40,
	.receipts_max = 20000,
	.check_pages = UINT32_MAX,
	.recover_us = 10000000,
};

void stage_begin(void)
{
	char *why;

	assert_int_equal(
		store_sqlite_open(&store, "/queues.db", &disk.host, &tuning, &clocks, &why), 0);
	assert_int_equal(store->ops->open_queue(store, 7, "mail", &queue), 0);
}

/* As after a crash and a new start. */
void stage_again(void)
{
	store->ops->close(store, NULL);
	stage_begin();
}

int stage_start(void **state)
{
	(void)state;
	disk_init(&disk, "disk", 5);
	disk_record(&disk);
	stage_begin();
	return 0;
}

int stage_end(void **state)
{
	(void)state;
	store->ops->close(store, NULL);
	disk_free(&disk);
	return 0;
}

int stage_run(const struct CMUnitTest *tests, size_t n)
{
	return _cmocka_run_group_tests("store", tests, n, NULL, NULL);
}
