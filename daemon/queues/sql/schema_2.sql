-- SPDX-License-Identifier: MIT
-- Version 2: what a user holds, so that a limit is checked without adding up the user's queues.

CREATE TABLE timerd.users (
	uid bigint NOT NULL,
	slot integer NOT NULL,
	timers bigint NOT NULL,
	parked bigint NOT NULL,
	bytes bigint NOT NULL,
	PRIMARY KEY (uid, slot)
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
	autovacuum_vacuum_cost_delay = 0);
INSERT INTO timerd.users (uid, slot, timers, parked, bytes)
	SELECT q.uid, n.slot, sum(n.timers), sum(n.parked), sum(n.bytes)
	FROM timerd.counts n JOIN timerd.queues q ON q.number = n.queue GROUP BY q.uid, n.slot;
