/* SPDX-License-Identifier: MIT */
#include "histogram.h"

static unsigned int bucket_of(uint64_t late)
{
	unsigned int doubling;

	if (late < LATENESS_STEPS)
		return (unsigned int)late;
	doubling = 63u - (unsigned int)__builtin_clzll(late) - 4; /* 16 to 31: 0 */
	return (doubling + 1) * LATENESS_STEPS + (unsigned int)(late >> doubling) % LATENESS_STEPS;
}

static uint64_t bucket_end(unsigned int bucket)
{
	unsigned int doubling;

	if (bucket < LATENESS_STEPS)
		return bucket;
	doubling = bucket / LATENESS_STEPS - 1;
	return ((uint64_t)(LATENESS_STEPS + bucket % LATENESS_STEPS) << doubling) +
		((UINT64_C(1) << doubling) - 1);
}

void histogram_add(struct counters *counters, uint64_t late)
{
	counters->late[bucket_of(late)]++;
	if (late > counters->late_max)
		counters->late_max = late;
}

uint64_t histogram_quantile(const struct counters *counters, unsigned int percent)
{
	uint64_t total = 0, wanted, seen, end;
	unsigned int bucket = 0;

	for (unsigned int i = 0; i < LATENESS_BUCKETS; i++)
		total += counters->late[i];
	if (!total)
		return 0;
	/* The rank of the quantile, rounded up, without overflow. */
	wanted = total / 100 * percent + (total % 100 * percent + 99) / 100;
	/* Ends at the last bucket, where seen is total, or earlier. */
	for (seen = counters->late[0]; seen < wanted; seen += counters->late[bucket])
		bucket++;
	end = bucket_end(bucket);
	return end < counters->late_max ? end : counters->late_max;
}
