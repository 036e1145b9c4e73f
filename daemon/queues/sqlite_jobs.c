/* SPDX-License-Identifier: MIT */
#include "sqlite_jobs.h"

void jobs_push(struct jobs *jobs, struct job *job)
{
	job->next = NULL;
	if (jobs->last)
		jobs->last->next = job;
	else
		jobs->first = job;
	jobs->last = job;
}

struct job *jobs_pop(struct jobs *jobs)
{
	struct job *job = jobs->first;

	if (job)
		jobs->first = job->next;
	if (!jobs->first)
		jobs->last = NULL;
	return job;
}

bool jobs_wait(const struct jobs_waiting *w)
{
	return w->urgent.first || w->pages.first;
}

static bool is_page(const struct job *job)
{
	return job->type == JOB_LIST || job->type == JOB_QUEUES || job->type == JOB_PURGE;
}

void jobs_add(struct jobs_waiting *w, struct job *job)
{
	jobs_push(is_page(job) ? &w->pages : &w->urgent, job);
}

struct job *jobs_take(struct jobs_waiting *w)
{
	/* Commits may follow one another without a pause. After each, one page has its turn. */
	bool page = w->pages.first && (w->committed || !w->urgent.first);
	struct job *job = jobs_pop(page ? &w->pages : &w->urgent);

	w->committed = job && job->type == JOB_COMMIT;
	return job;
}
