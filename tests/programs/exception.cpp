/* SPDX-License-Identifier: MIT */
/* A handler throws through the library. The caller of toytimer_run() catches it and goes on. */
#include <stdexcept>
#include <toytimer.h>

static int throw_one(toytimer *, const toytimer_event *, void *)
{
	throw std::runtime_error("from a handler");
}

int main()
{
	toytimer_registration r = toytimer_registration();
	toytimer *t;
	int caught = 0;

	r.due = 1000;
	r.flags = TOYTIMER_RELATIVE;
	r.handler = throw_one;
	if (toytimer_open(&t, 0) < 0 || toytimer_register(t, &r, 0) < 0 ||
		toytimer_register(t, &r, 0) < 0)
		return 1;
	while (toytimer_count(t) > 0)
		try {
			toytimer_run(t);
		} catch (const std::runtime_error &) {
			caught++;
		}
	toytimer_unref(t);
	return caught == 2 ? 0 : 2;
}
