/* SPDX-License-Identifier: MIT */
#include "throwing.h"

#include <stdexcept>

int throwing_handler(toytimer *, const toytimer_event *, void *)
{
	throw std::runtime_error("from a handler");
}

static int throw_listed(const toytimer_listed *, void *)
{
	throw std::runtime_error("from a list");
}

int throwing_run(toytimer *t)
{
	try {
		return toytimer_run(t);
	} catch (const std::runtime_error &) {
		return 1;
	}
}

int throwing_list(toytimer *t)
{
	try {
		return toytimer_list(t, 0, throw_listed, nullptr);
	} catch (const std::runtime_error &) {
		return 1;
	}
}
