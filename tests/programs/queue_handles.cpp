/* SPDX-License-Identifier: MIT */
/*
 * A C++98 program keeps queue handles in objects, and its objects get the wakes. A handler throws
 * through the library: the caller of toytimer_queue_run() catches it, and the wake is not lost.
 */
#include <map>
#include <stdexcept>
#include <stdio.h>
#include <string>
#include <toytimer-queue.h>

#define SECOND 1000000

/* Throws on an error, so that main() has one place for all of them. */
static void check(const char *call, int r)
{
	if (r < 0)
		throw std::runtime_error(std::string(call) + ": " + toytimer_queue_strerror(r));
}

class Queue
{
      public:
	explicit Queue(const char *path = 0) : q(0)
	{
		check("open", toytimer_queue_open(&q, path, 0));
	}
	Queue(const Queue &other) : q(toytimer_queue_ref(other.q))
	{
	}
	~Queue()
	{
		toytimer_queue_unref(q);
	}
	toytimer_queue *get() const
	{
		return q;
	}

      private:
	Queue &operator=(const Queue &);
	toytimer_queue *q;
};

/* The timer borrows the strings. */
static toytimer_queue_timer make_timer(const std::string &key, const std::string &payload)
{
	toytimer_queue_timer timer = toytimer_queue_timer();

	timer.clock = TOYTIMER_BOOTTIME;
	timer.flags = TOYTIMER_RELATIVE;
	timer.key = key.c_str();
	timer.payload = payload.data();
	timer.payload_size = payload.size();
	return timer;
}

/* Counts the wakes of each key, and stops after so many. */
class Worker
{
      public:
	Worker(const Queue &queue, int most) : queue(queue), most(most), answers(0)
	{
		toytimer_queue_consumer consumer = toytimer_queue_consumer();

		consumer.window = 10;
		consumer.handler = woken;
		consumer.userdata = this;
		check("consume", toytimer_queue_consume(queue.get(), "cxx", &consumer));
	}
	~Worker()
	{
		toytimer_queue_detach(queue.get(), "cxx");
	}
	/* Returns how many exceptions came out of run(). */
	int run()
	{
		for (int caught = 0;; caught++)
			try {
				check("run", toytimer_queue_run(queue.get()));
				return caught;
			} catch (const std::out_of_range &) {
			}
	}
	static int stored(toytimer_queue *, const toytimer_queue_stored *answer, void *worker)
	{
		static_cast<Worker *>(worker)->answers += answer->error == 0;
		return answer->error;
	}

	Queue queue; /* one more reference */
	int most;
	int answers;
	std::map<std::string, std::string> payloads;

      private:
	Worker(const Worker &);
	Worker &operator=(const Worker &);

	static int woken(toytimer_queue *, const toytimer_wake *wake, void *worker)
	{
		return static_cast<Worker *>(worker)->handle(*wake);
	}
	int handle(const toytimer_wake &wake)
	{
		payloads[wake.key] = std::string(
			static_cast<const char *>(wake.payload), wake.payload_size);
		if (payloads.size() == static_cast<size_t>(most))
			toytimer_queue_stop(queue.get());
		/* The reference to the wake outlives the handler. */
		if (payloads[wake.key] == "throws") {
			thrown = wake.ref;
			throw std::out_of_range(wake.key);
		}
		return toytimer_queue_ack(queue.get(), &wake.ref);
	}

      public:
	toytimer_wake_ref thrown;
};

static int count_listed(const toytimer_queue_listed *, void *n)
{
	++*static_cast<int *>(n);
	return 0;
}

static int count_timers(const Queue &queue)
{
	int n = 0;

	check("list", toytimer_queue_list(queue.get(), "cxx", 0, count_listed, &n));
	return n;
}

static void use()
{
	const std::string keys[] = {"one", "two", "late"};
	const std::string payloads[] = {"1", "throws", "3"};
	toytimer_queue_timer timers[] = {make_timer(keys[0], payloads[0]),
		make_timer(keys[1], payloads[1]), make_timer(keys[2], payloads[2])};
	toytimer_queue_stored stored[3];
	Queue queue;

	timers[2].due = 3600 * static_cast<uint64_t>(SECOND);
	check("put_many", toytimer_queue_put_many(queue.get(), "cxx", timers, 3, stored));
	if (stored[2].error || count_timers(queue) != 3)
		throw std::runtime_error("put_many: not all are listed");
	check("cancel", toytimer_queue_cancel(queue.get(), "cxx", stored[2].id, 0));

	Worker worker(queue, 3);
	const std::string key("three");
	const std::string binary("\0x", 2);
	toytimer_queue_timer timer = make_timer(key, binary);

	check("put_async",
		toytimer_queue_put_async(queue.get(), "cxx", &timer, Worker::stored, &worker));
	if (worker.run() != 1 || worker.answers != 1)
		throw std::runtime_error("run: not one exception and one answer");
	if (worker.payloads["one"] != "1" || worker.payloads[key] != binary)
		throw std::runtime_error("run: not the payloads that were put");
	check("ack", toytimer_queue_ack(queue.get(), &worker.thrown));
	if (count_timers(queue) != 0)
		throw std::runtime_error("ack: timers are left");
}

int main()
{
	try {
		use();
	} catch (const std::runtime_error &e) {
		fprintf(stderr, "# %s\n", e.what());
		return 1;
	}
	try {
		Queue queue("none");
	} catch (const std::runtime_error &) {
		return 0;
	}
	return 2;
}
