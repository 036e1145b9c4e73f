/* SPDX-License-Identifier: MIT */
/* The store under test is a PostgreSQL server that the program starts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include "database.h"
#include "store_module.h"
#include "store_stage.h"

static const struct store_module *module;
struct clocks_stored clocks;

void stage_begin(void)
{
	struct pollfd p = {.events = POLLIN};
	char *why = NULL;

	if (module->open(&store, postgres.uri, &why))
		fail_msg("%s", why);
	free(why);
	assert_int_equal(store->ops->open_queue(store, 7, "mail", &queue), 0);
	store->ops->fleet->want(store, queue, true);
	p.fd = store->ops->get_fd(store);
	while (!store->ops->fleet->delivers(store, queue, 0, &term)) {
		assert_int_equal(poll(&p, 1, 20000), 1);
		store->ops->process(store);
	}
}

/* Releases the lease first: otherwise the new start would wait for it, as after a kill. */
void stage_again(void)
{
	store->ops->close(store, &clocks);
	stage_begin();
}

int stage_start(void **state)
{
	(void)state;
	postgres_reset(getenv("TIMERQD_BINARY"), 15000000);
	stage_begin();
	return 0;
}

int stage_end(void **state)
{
	(void)state;
	store->ops->close(store, &clocks);
	return 0;
}

int stage_run(const struct CMUnitTest *tests, size_t n)
{
	void *object = dlopen(getenv("TIMERQD_POSTGRESQL"), RTLD_NOW);
	int failed;

	if (!postgres_start())
		return 77;
	module = object ? dlsym(object, STORE_MODULE_SYMBOL) : NULL;
	if (!module) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	failed = _cmocka_run_group_tests("store on PostgreSQL", tests, n, NULL, NULL);
	postgres_stop();
	return failed;
}
