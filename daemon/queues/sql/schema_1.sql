-- SPDX-License-Identifier: MIT
-- Version 1 of timerqd's schema. Instants and spans are microseconds; NULL is "none".

CREATE SCHEMA timerd;

-- lease: how long the owner of a queue holds it without a renewal; margin: how long before its end the
-- owner delivers no more. All hosts read them here, so that they agree. term: the last one that a lease
-- was given.
CREATE TABLE timerd.meta (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	version integer NOT NULL,
	lease bigint NOT NULL DEFAULT 15000000,
	margin bigint NOT NULL DEFAULT 1500000,
	term bigint NOT NULL DEFAULT 0
);
INSERT INTO timerd.meta (version) VALUES (1);

-- A row for each queue. fillfactor: its owner writes `beat` every few seconds, and the new version of
-- the row finds room in its page, so that no index is written. autovacuum: by number of dead rows, not
-- by share, because the table is small and is read each second.
CREATE TABLE timerd.queues (
	number integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	uid bigint NOT NULL,
	name text COLLATE "C" NOT NULL,
	owner text COLLATE "C",
	host text,
	term bigint NOT NULL DEFAULT 0,
	beat bigint NOT NULL DEFAULT 0,
	UNIQUE (uid, name)
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
	autovacuum_vacuum_cost_delay = 0);

-- A row for each wake to come. fillfactor: a period and a retry move a row, mostly within its page.
-- autovacuum: rows go at the head of the index `due`, and a scan of the head has to step over dead
-- ones; so it starts after so many dead rows, however large the table is, and does not pause.
CREATE TABLE timerd.timers (
	id bigint GENERATED ALWAYS AS IDENTITY (MAXVALUE 9007199254740991 CACHE 1) PRIMARY KEY,
	due bigint NOT NULL,
	ready bigint NOT NULL,
	slack bigint,
	every bigint NOT NULL,
	max_late bigint,
	count bigint NOT NULL,
	number bigint NOT NULL,
	attempt bigint NOT NULL,
	max_attempts bigint NOT NULL,
	revived bigint,
	queue integer NOT NULL,
	clock smallint NOT NULL,
	flags smallint NOT NULL,
	label text COLLATE "C",
	key text COLLATE "C",
	payload bytea
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 20000,
	autovacuum_vacuum_insert_scale_factor = 0.2, autovacuum_vacuum_cost_delay = 0);
CREATE INDEX due ON timerd.timers (queue, clock, ready, id);
CREATE UNIQUE INDEX keys ON timerd.timers (queue, key) WHERE key IS NOT NULL AND revived IS NULL;
CREATE INDEX revived ON timerd.timers (queue, revived) WHERE revived IS NOT NULL;

-- A row for each parked wake. They are few, and stay.
CREATE TABLE timerd.parked (
	queue integer NOT NULL,
	id bigint NOT NULL,
	number bigint NOT NULL,
	due bigint NOT NULL,
	slack bigint,
	every bigint NOT NULL,
	count bigint NOT NULL,
	attempt bigint NOT NULL,
	max_attempts bigint NOT NULL,
	clock smallint NOT NULL,
	flags smallint NOT NULL,
	label text COLLATE "C",
	key text COLLATE "C",
	payload bytea,
	PRIMARY KEY (queue, id, number)
);

-- What clients were answered within a day. fillfactor: each client writes its 64 slots in turn.
CREATE TABLE timerd.puts (
	uid bigint NOT NULL,
	token uuid NOT NULL,
	slot integer NOT NULL,
	serial bigint NOT NULL,
	stored bigint NOT NULL,
	statuses integer[] NOT NULL,
	flags integer[] NOT NULL,
	ids bigint[] NOT NULL,
	dues bigint[] NOT NULL,
	PRIMARY KEY (uid, token, slot)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_cost_delay = 0);

-- What a queue holds. Several rows that are added up, so that hosts do not wait for each other: each
-- host writes the row of its slot. changes: of this queue through hosts that did not own it; the owner
-- looks each second whether the sum differs. fillfactor and autovacuum: each commit writes a row.
CREATE TABLE timerd.counts (
	queue integer NOT NULL,
	slot integer NOT NULL,
	timers bigint NOT NULL,
	parked bigint NOT NULL,
	bytes bigint NOT NULL,
	changes bigint NOT NULL,
	PRIMARY KEY (queue, slot)
) WITH (fillfactor = 25, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
	autovacuum_vacuum_cost_delay = 0);
