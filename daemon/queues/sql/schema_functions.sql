-- SPDX-License-Identifier: MIT
-- What changes timers. Each function is called by one statement, so that a host that is halted
-- half-way holds no lock: the server begins only when it has all of it.
--
-- A commit comes as arrays: q_ of the queues, c_ of the changes in order (c_queue: which queue), p_ of
-- the put packets, r_ of their records that were refused at once. Spans of -1 stand for "none".
-- Types of changes: enum store_change_type; 99: nothing. Statuses: enum proto_status, enum
-- proto_queue_status: 1 no such timer, 3 and 37 a user's limits, 8 out of range, 45 not parked.
-- Wakes are changed through the row of their queue, locked where it names this owner and term.

CREATE OR REPLACE FUNCTION timerd.lock_queues(in_owner text, q_uid bigint[], q_name text[],
	q_term bigint[], make boolean, OUT o_number integer[], OUT o_state integer[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	r record;
BEGIN
	o_number := array_fill(NULL::integer, ARRAY[cardinality(q_uid)]);
	o_state := array_fill(0, ARRAY[cardinality(q_uid)]);
	FOR try IN 1..3 LOOP
		-- In the order of numbers, as everybody locks them.
		FOR r IN SELECT i.ord, q.number, q.owner, q.term
			FROM unnest(q_uid, q_name) WITH ORDINALITY i (uid, name, ord)
			JOIN timerd.queues q ON q.uid = i.uid AND q.name = i.name
			ORDER BY q.number FOR SHARE OF q
		LOOP
			o_number[r.ord] := r.number;
			-- 0: nobody's, 1: ours under that term, 2: another's
			o_state[r.ord] := CASE WHEN r.owner IS NULL THEN 0
				WHEN r.owner = in_owner AND r.term = q_term[r.ord] THEN 1 ELSE 2 END;
		END LOOP;
		EXIT WHEN NOT make OR array_position(o_number, NULL) IS NULL;
		INSERT INTO timerd.queues (uid, name)
			SELECT i.uid, i.name FROM unnest(q_uid, q_name, o_number) i (uid, name, number)
			WHERE i.number IS NULL AND i.name IS NOT NULL ORDER BY i.uid, i.name
			ON CONFLICT DO NOTHING;
	END LOOP;
END $$;

-- Adds to what queues and their users hold. A change through a host that is not the owner is counted.
CREATE OR REPLACE FUNCTION timerd.add_counts(in_slot integer, q_uid bigint[], q_number integer[],
	q_state integer[], d_timers bigint[], d_parked bigint[], d_bytes bigint[], d_changed boolean[])
RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
	INSERT INTO timerd.counts AS n (queue, slot, timers, parked, bytes, changes)
		SELECT i.number, in_slot, i.timers, i.parked, i.bytes, (i.state = 2)::integer
		FROM unnest(q_number, q_state, d_timers, d_parked, d_bytes, d_changed)
			i (number, state, timers, parked, bytes, changed)
		WHERE i.number IS NOT NULL AND i.changed
			AND (i.timers <> 0 OR i.parked <> 0 OR i.bytes <> 0 OR i.state = 2)
		ORDER BY i.number
		ON CONFLICT (queue, slot) DO UPDATE SET timers = n.timers + EXCLUDED.timers,
			parked = n.parked + EXCLUDED.parked, bytes = n.bytes + EXCLUDED.bytes,
			changes = n.changes + EXCLUDED.changes;
	INSERT INTO timerd.users AS n (uid, slot, timers, parked, bytes)
		SELECT i.uid, in_slot, sum(i.timers), sum(i.parked), sum(i.bytes)
		FROM unnest(q_uid, d_timers, d_parked, d_bytes) i (uid, timers, parked, bytes)
		GROUP BY i.uid
		HAVING sum(i.timers) <> 0 OR sum(i.parked) <> 0 OR sum(i.bytes) <> 0
		ORDER BY i.uid
		ON CONFLICT (uid, slot) DO UPDATE SET timers = n.timers + EXCLUDED.timers,
			parked = n.parked + EXCLUDED.parked, bytes = n.bytes + EXCLUDED.bytes;
END $$;

CREATE OR REPLACE FUNCTION timerd.commit(
	in_owner text, in_slot integer, in_stored bigint, in_clocks bigint[], in_slow boolean,
	q_uid bigint[], q_name text[], q_term bigint[], q_limit_timers bigint[],
	q_limit_bytes bigint[], q_puts bigint[], q_put_bytes bigint[],
	c_type integer[], c_queue integer[], c_id bigint[], c_due bigint[], c_ready bigint[],
	c_slack bigint[], c_every bigint[], c_max_late bigint[], c_count bigint[],
	c_number bigint[], c_attempt bigint[], c_max_attempts bigint[], c_clock integer[],
	c_flags integer[], c_packet integer[], c_record integer[],
	c_label text[], c_key text[], c_payload bytea[],
	p_uid bigint[], p_token uuid[], p_serial bigint[],
	r_packet integer[], r_record integer[], r_status integer[],
	OUT o_number integer[], OUT o_state integer[],
	OUT o_ok integer[], OUT o_put integer[], OUT o_put_id bigint[],
	OUT o_ord integer[], OUT o_status integer[], OUT o_flags integer[], OUT o_id bigint[],
	OUT o_due bigint[], OUT o_clock integer[], OUT o_replaced bigint[], OUT o_removed integer[],
	OUT u_uid bigint[], OUT u_timers bigint[], OUT u_parked bigint[], OUT u_bytes bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	zero CONSTANT bigint[] := array_fill(0::bigint, ARRAY[cardinality(q_uid)]);
	d_timers bigint[] := zero;
	d_parked bigint[] := zero;
	d_bytes bigint[] := zero;
	d_changed boolean[] := array_fill(false, ARRAY[cardinality(q_uid)]);
	set_puts bigint[] := q_puts;
	set_bytes bigint[] := q_put_bytes;
	has_puts CONSTANT boolean := 0 = ANY (c_type);
	-- Conditions of queries without a column: if one is false, its query does not unnest its arrays.
	has_keys CONSTANT boolean := has_puts
		AND EXISTS (SELECT FROM unnest(c_key) k WHERE k IS NOT NULL);
	has_rest boolean;
	-- Types; 100: a put that is done by itself, because its key is there or a limit is near.
	t_type integer[] := c_type;
	c record;
	r record;
	was timerd.timers%ROWTYPE;
	gone record;
	n integer;
	s integer;
	x_status integer;
	x_flags integer;
	x_id bigint;
	x_due bigint;
	x_clock integer;
	x_replaced bigint;
	x_removed integer;
	new_bytes bigint;
	more_timers bigint;
	more_bytes bigint;
	holds_timers bigint;
	holds_bytes bigint;
BEGIN
	o_ok := '{}'; o_put := '{}'; o_put_id := '{}';
	o_ord := '{}'; o_status := '{}'; o_flags := '{}'; o_id := '{}'; o_due := '{}';
	o_clock := '{}'; o_replaced := '{}'; o_removed := '{}';
	SELECT l.o_number, l.o_state INTO o_number, o_state
		FROM timerd.lock_queues(in_owner, q_uid, q_name, q_term, has_puts) l;

	IF NOT in_slow AND 3 = ANY (c_type) THEN
		FOR r IN
			WITH gone AS (
				DELETE FROM timerd.timers t
				USING unnest(c_type, c_queue, c_id, c_number)
					WITH ORDINALITY c (type, queue, id, number, ord)
				WHERE c.type = 3 AND o_state[c.queue] = 1 AND t.id = c.id
					AND t.number = c.number AND t.queue = o_number[c.queue]
				RETURNING c.ord::integer, c.queue,
					coalesce(octet_length(t.key), 0)
					+ coalesce(octet_length(t.payload), 0) AS bytes)
			SELECT queue, array_agg(ord) AS ords, count(*) AS n, sum(bytes) AS bytes
			FROM gone GROUP BY queue
		LOOP
			o_ok := o_ok || r.ords;
			d_timers[r.queue] := d_timers[r.queue] - r.n;
			d_bytes[r.queue] := d_bytes[r.queue] - r.bytes;
			d_changed[r.queue] := true;
		END LOOP;
	END IF;

	IF NOT in_slow AND c_type && ARRAY[4, 5] THEN
		WITH moved AS (
			UPDATE timerd.timers t SET
				due = CASE c.type WHEN 4 THEN c.due ELSE t.due END,
				ready = CASE c.type WHEN 4 THEN c.due ELSE c.ready END,
				number = CASE c.type WHEN 4 THEN t.number + 1 ELSE t.number END,
				attempt = CASE c.type WHEN 4 THEN 0 ELSE c.attempt END
			FROM unnest(c_type, c_queue, c_id, c_number, c_due, c_ready, c_attempt)
				WITH ORDINALITY
				c (type, queue, id, number, due, ready, attempt, ord)
			WHERE c.type IN (4, 5) AND o_state[c.queue] = 1 AND t.id = c.id
				AND t.number = c.number AND t.queue = o_number[c.queue]
			RETURNING c.ord::integer)
		SELECT o_ok || coalesce(array_agg(ord), '{}') INTO o_ok FROM moved;
	END IF;

	IF NOT in_slow AND has_puts THEN
		FOR r IN SELECT u.uid FROM (
				SELECT i.uid, max(i.limit_timers) AS limit_timers,
					max(i.limit_bytes) AS limit_bytes, sum(i.puts) AS puts,
					sum(i.bytes) AS bytes
				FROM unnest(q_uid, q_limit_timers, q_limit_bytes, q_puts, q_put_bytes)
					i (uid, limit_timers, limit_bytes, puts, bytes)
				GROUP BY i.uid) u,
			LATERAL (SELECT coalesce(sum(timers + parked), 0) AS timers,
				coalesce(sum(bytes), 0) AS bytes
				FROM timerd.users WHERE uid = u.uid) h
			WHERE (u.limit_timers > 0 AND h.timers + u.puts > u.limit_timers)
				OR (u.limit_bytes > 0 AND h.bytes + u.bytes > u.limit_bytes)
		LOOP
			FOR i IN 1..cardinality(t_type) LOOP
				IF t_type[i] = 0 AND q_uid[c_queue[i]] = r.uid THEN
					t_type[i] := 100;
				END IF;
			END LOOP;
			FOR i IN 1..cardinality(q_uid) LOOP
				IF q_uid[i] = r.uid THEN
					set_puts[i] := 0;
					set_bytes[i] := 0;
				END IF;
			END LOOP;
		END LOOP;
		FOR r IN SELECT k.ord::integer, k.queue, octet_length(k.key)
				+ coalesce(octet_length(k.payload), 0) AS bytes
			FROM unnest(t_type, c_queue, c_key, c_payload)
				WITH ORDINALITY k (type, queue, key, payload, ord)
			JOIN timerd.timers t ON t.queue = o_number[k.queue] AND t.key = k.key
				AND t.revived IS NULL
			WHERE has_keys AND k.type = 0 AND k.key IS NOT NULL
		LOOP
			t_type[r.ord] := 100;
			set_puts[r.queue] := set_puts[r.queue] - 1;
			set_bytes[r.queue] := set_bytes[r.queue] - r.bytes;
		END LOOP;
		WITH added AS (
			INSERT INTO timerd.timers (due, ready, slack, every, max_late, count, number,
				attempt, max_attempts, queue, clock, flags, label, key, payload)
			-- Each array that is unnested costs a table of its own. Subscripts cost less, but only
			-- in arrays whose elements have one length.
			SELECT c_due[ord], c_ready[ord], nullif(c_slack[ord], -1), c_every[ord],
				nullif(c_max_late[ord], -1), c_count[ord], c_number[ord], 0,
				c_max_attempts[ord], o_number[c_queue[ord]], c_clock[ord],
				c_flags[ord] & 255, a.label, a.key, a.payload
			FROM unnest(c_label, c_key, c_payload) WITH ORDINALITY
				a (label, key, payload, ord)
			WHERE t_type[ord] = 0 ORDER BY ord
			RETURNING id)
		SELECT coalesce(array_agg(id ORDER BY id), '{}') INTO o_put_id FROM added;
		SELECT coalesce(array_agg(ord::integer ORDER BY ord), '{}') INTO o_put
			FROM unnest(t_type) WITH ORDINALITY a (type, ord) WHERE type = 0;
		FOR i IN 1..cardinality(q_uid) LOOP
			IF set_puts[i] > 0 THEN
				d_timers[i] := d_timers[i] + set_puts[i];
				d_bytes[i] := d_bytes[i] + set_bytes[i];
				d_changed[i] := true;
			END IF;
		END LOOP;
	END IF;

	has_rest := in_slow OR NOT t_type <@ ARRAY[0, 3, 4, 5, 99];
	FOR c IN SELECT * FROM unnest(t_type, c_queue, c_id, c_due, c_ready, c_slack, c_every,
			c_max_late, c_count, c_number, c_attempt, c_max_attempts, c_clock, c_flags,
			c_label, c_key, c_payload) WITH ORDINALITY
			a (type, queue, id, due, ready, slack, every, max_late, count, number, attempt,
			max_attempts, clock, flags, label, key, payload, ord)
		WHERE has_rest AND type <> 99 AND (in_slow OR type NOT IN (0, 3, 4, 5)) ORDER BY ord
	LOOP
		n := o_number[c.queue];
		s := o_state[c.queue];
		x_status := 0; x_flags := 0; x_id := 0; x_due := 0; x_clock := 0;
		x_replaced := 0; x_removed := 0;
		was := NULL;
		IF c.type IN (0, 100) THEN
			new_bytes := coalesce(octet_length(c.key), 0) + coalesce(octet_length(c.payload), 0);
			more_timers := 1;
			more_bytes := new_bytes;
			IF c.key IS NOT NULL THEN
				SELECT * INTO was FROM timerd.timers
					WHERE queue = n AND key = c.key AND revived IS NULL FOR UPDATE;
			END IF;
			IF was.id IS NOT NULL AND c.flags & 256 <> 0 THEN
				x_flags := 2; x_id := was.id; x_due := was.due; x_clock := was.clock;
			ELSE
				IF was.id IS NOT NULL THEN
					more_timers := 0;
					more_bytes := new_bytes - octet_length(was.key)
						- coalesce(octet_length(was.payload), 0);
				END IF;
				SELECT coalesce(sum(timers + parked), 0), coalesce(sum(bytes), 0)
					INTO holds_timers, holds_bytes
					FROM timerd.users WHERE uid = q_uid[c.queue];
				SELECT holds_timers + sum(timers + parked), holds_bytes + sum(bytes)
					INTO holds_timers, holds_bytes
					FROM unnest(q_uid, d_timers, d_parked, d_bytes)
						d (uid, timers, parked, bytes) WHERE uid = q_uid[c.queue];
				IF q_limit_timers[c.queue] > 0 AND more_timers > 0
					AND holds_timers + more_timers > q_limit_timers[c.queue] THEN
					x_status := 3;
				ELSIF q_limit_bytes[c.queue] > 0 AND more_bytes > 0
					AND holds_bytes + more_bytes > q_limit_bytes[c.queue] THEN
					x_status := 37;
				ELSE
					IF was.id IS NOT NULL THEN
						DELETE FROM timerd.timers WHERE id = was.id;
						x_flags := 1; x_replaced := was.id;
					END IF;
					INSERT INTO timerd.timers (due, ready, slack, every, max_late, count,
						number, attempt, max_attempts, queue, clock, flags, label, key,
						payload)
					VALUES (c.due, c.ready, nullif(c.slack, -1), c.every,
						nullif(c.max_late, -1), c.count, c.number, 0, c.max_attempts, n,
						c.clock, c.flags & 255, c.label, c.key, c.payload)
					RETURNING id INTO x_id;
					x_due := c.due; x_clock := c.clock;
					d_timers[c.queue] := d_timers[c.queue] + more_timers;
					d_bytes[c.queue] := d_bytes[c.queue] + more_bytes;
					d_changed[c.queue] := true;
				END IF;
			END IF;
		ELSIF c.type IN (1, 2) THEN
			IF c.key IS NOT NULL THEN
				SELECT * INTO was FROM timerd.timers
					WHERE queue = n AND key = c.key AND revived IS NULL FOR UPDATE;
			ELSE
				SELECT * INTO was FROM timerd.timers
					WHERE id = c.id AND queue = n AND revived IS NULL FOR UPDATE;
			END IF;
			IF c.type = 1 THEN
				x_id := c.id;
				IF was.id IS NOT NULL THEN
					DELETE FROM timerd.timers WHERE id = was.id;
					x_id := was.id; x_due := was.due; x_clock := was.clock; x_removed := 1;
					d_timers[c.queue] := d_timers[c.queue] - 1;
					d_bytes[c.queue] := d_bytes[c.queue] - coalesce(octet_length(was.key), 0)
						- coalesce(octet_length(was.payload), 0);
				END IF;
				IF c.key IS NULL THEN
					WITH gone AS (DELETE FROM timerd.timers
						WHERE queue = n AND revived = c.id
						RETURNING coalesce(octet_length(key), 0)
							+ coalesce(octet_length(payload), 0) AS bytes)
					SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes INTO gone
						FROM gone;
					x_removed := x_removed + gone.n;
					d_timers[c.queue] := d_timers[c.queue] - gone.n;
					d_bytes[c.queue] := d_bytes[c.queue] - gone.bytes;
					WITH gone AS (DELETE FROM timerd.parked WHERE queue = n AND id = c.id
						RETURNING coalesce(octet_length(key), 0)
							+ coalesce(octet_length(payload), 0) AS bytes)
					SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes INTO gone
						FROM gone;
					x_removed := x_removed + gone.n;
					d_parked[c.queue] := d_parked[c.queue] - gone.n;
					d_bytes[c.queue] := d_bytes[c.queue] - gone.bytes;
				END IF;
				IF x_removed = 0 THEN
					x_status := 1;
				ELSE
					d_changed[c.queue] := true;
				END IF;
			ELSIF was.id IS NULL THEN
				x_status := 1;
			ELSE
				x_due := c.due;
				IF c.flags & 512 <> 0 THEN
					IF x_due > 9223372036854775807 - in_clocks[was.clock + 1] THEN
						x_status := 8;
					ELSE
						x_due := x_due + in_clocks[was.clock + 1];
					END IF;
				END IF;
				IF x_status = 0 THEN
					UPDATE timerd.timers SET due = x_due, ready = x_due,
						slack = nullif(c.slack, -1), every = c.every,
						number = was.number + 1, attempt = 0,
						-- A new count counts from now on.
						count = CASE c.count WHEN 0 THEN 0
							ELSE least(was.number + c.count, 4294967295) END
						WHERE id = was.id;
					x_id := was.id; x_clock := was.clock; x_replaced := was.id;
					d_changed[c.queue] := true;
				END IF;
			END IF;
		ELSIF c.type IN (3, 4, 5, 6) THEN
			IF s = 1 THEN
				SELECT * INTO was FROM timerd.timers
					WHERE id = c.id AND queue = n AND number = c.number FOR UPDATE;
			END IF;
			IF was.id IS NULL THEN
				x_status := 1;
			ELSE
				x_id := coalesce(was.revived, was.id); x_due := was.due; x_clock := was.clock;
				d_changed[c.queue] := true;
				more_bytes := coalesce(octet_length(was.key), 0)
					+ coalesce(octet_length(was.payload), 0);
				IF c.type = 6 THEN
					INSERT INTO timerd.parked (queue, id, number, due, slack, every, count,
						attempt, max_attempts, clock, flags, label, key, payload)
					VALUES (n, x_id, was.number, was.due, was.slack, was.every, was.count,
						c.attempt, was.max_attempts, was.clock, was.flags, was.label, was.key, was.payload)
					ON CONFLICT (queue, id, number) DO NOTHING;
					IF FOUND THEN
						d_parked[c.queue] := d_parked[c.queue] + 1;
						d_bytes[c.queue] := d_bytes[c.queue] + more_bytes;
					END IF;
				END IF;
				IF c.type = 5 THEN
					UPDATE timerd.timers SET ready = c.ready, attempt = c.attempt
						WHERE id = was.id;
				ELSIF c.type = 3 OR c.due < 0 THEN
					DELETE FROM timerd.timers WHERE id = was.id;
					d_timers[c.queue] := d_timers[c.queue] - 1;
					d_bytes[c.queue] := d_bytes[c.queue] - more_bytes;
				ELSE
					UPDATE timerd.timers SET due = c.due, ready = c.due,
						number = was.number + 1, attempt = 0 WHERE id = was.id;
				END IF;
			END IF;
		ELSIF c.type = 7 THEN
			x_id := c.id;
			FOR r IN DELETE FROM timerd.parked WHERE queue = n AND id = c.id RETURNING * LOOP
				INSERT INTO timerd.timers (due, ready, slack, every, max_late, count, number,
					attempt, max_attempts, revived, queue, clock, flags, label, key, payload)
				VALUES (r.due, in_clocks[r.clock + 1], r.slack, 0, NULL, 0, r.number, 0,
					r.max_attempts, r.id, n, r.clock, r.flags, r.label, r.key, r.payload);
				x_due := r.due; x_clock := r.clock; x_removed := x_removed + 1;
			END LOOP;
			IF x_removed = 0 THEN
				x_status := 45;
			ELSE
				d_parked[c.queue] := d_parked[c.queue] - x_removed;
				d_timers[c.queue] := d_timers[c.queue] + x_removed;
				d_changed[c.queue] := true;
			END IF;
		END IF;
		o_ord := array_append(o_ord, c.ord::integer);
		o_status := array_append(o_status, x_status);
		o_flags := array_append(o_flags, x_flags);
		o_id := array_append(o_id, x_id);
		o_due := array_append(o_due, x_due);
		o_clock := array_append(o_clock, x_clock);
		o_replaced := array_append(o_replaced, x_replaced);
		o_removed := array_append(o_removed, x_removed);
	END LOOP;

	PERFORM timerd.add_counts(in_slot, q_uid, o_number, o_state, d_timers, d_parked, d_bytes,
		d_changed);

	IF cardinality(p_token) > 0 THEN
		INSERT INTO timerd.puts (uid, token, slot, serial, stored, statuses, flags, ids,
			dues)
		SELECT p_uid[a.packet], p_token[a.packet], p_serial[a.packet] % 64, p_serial[a.packet], in_stored,
			array_agg(a.status), array_agg(a.flags), array_agg(a.id), array_agg(a.due)
		FROM (SELECT u.* FROM (
			SELECT c_packet[i.ord] AS packet, c_record[i.ord] AS record, 0 AS status,
				0 AS flags, i.id, c_due[i.ord] AS due
			FROM unnest(o_put, o_put_id) i (ord, id)
			UNION ALL
			SELECT c_packet[i.ord], c_record[i.ord], i.status,
				CASE i.status WHEN 0 THEN i.flags ELSE 0 END,
				CASE i.status WHEN 0 THEN i.id ELSE 0 END,
				CASE i.status WHEN 0 THEN i.due ELSE 0 END
			FROM unnest(o_ord, o_status, o_flags, o_id, o_due) i (ord, status, flags, id, due)
			UNION ALL
			SELECT i.packet, i.record, i.status, 0, 0, 0
			FROM unnest(r_packet, r_record, r_status) i (packet, record, status)) u
			-- This sorts once for all four arrays.
			WHERE u.packet > 0 ORDER BY u.packet, u.record) a
		GROUP BY a.packet
		ORDER BY 1, 2, 3
		ON CONFLICT (uid, token, slot) DO UPDATE SET serial = EXCLUDED.serial,
			stored = EXCLUDED.stored, statuses = EXCLUDED.statuses, flags = EXCLUDED.flags,
			ids = EXCLUDED.ids, dues = EXCLUDED.dues;
	END IF;

	SELECT array_agg(u.uid), array_agg(u.timers), array_agg(u.parked), array_agg(u.bytes)
		INTO u_uid, u_timers, u_parked, u_bytes
		FROM (SELECT uid, sum(timers)::bigint AS timers, sum(parked)::bigint AS parked,
			sum(bytes)::bigint AS bytes FROM timerd.users WHERE uid = ANY (q_uid)
			GROUP BY uid) u;
END $$;

-- Calls commit() without the queues in which another session has locked the queue's row, or a row that a
-- change names. So the other queues do not wait. A host uses it after commit() has waited for a lock in
-- vain. A change that is left out has no effect, and gets the status -1. If one change of a put packet is
-- left out, the whole packet is. o_state of a locked queue is 3.
CREATE OR REPLACE FUNCTION timerd.commit_unlocked(
	in_owner text, in_slot integer, in_stored bigint, in_clocks bigint[], in_slow boolean,
	q_uid bigint[], q_name text[], q_term bigint[], q_limit_timers bigint[],
	q_limit_bytes bigint[], q_puts bigint[], q_put_bytes bigint[],
	c_type integer[], c_queue integer[], c_id bigint[], c_due bigint[], c_ready bigint[],
	c_slack bigint[], c_every bigint[], c_max_late bigint[], c_count bigint[],
	c_number bigint[], c_attempt bigint[], c_max_attempts bigint[], c_clock integer[],
	c_flags integer[], c_packet integer[], c_record integer[],
	c_label text[], c_key text[], c_payload bytea[],
	p_uid bigint[], p_token uuid[], p_serial bigint[],
	r_packet integer[], r_record integer[], r_status integer[],
	OUT o_number integer[], OUT o_state integer[],
	OUT o_ok integer[], OUT o_put integer[], OUT o_put_id bigint[],
	OUT o_ord integer[], OUT o_status integer[], OUT o_flags integer[], OUT o_id bigint[],
	OUT o_due bigint[], OUT o_clock integer[], OUT o_replaced bigint[], OUT o_removed integer[],
	OUT u_uid bigint[], OUT u_timers bigint[], OUT u_parked bigint[], OUT u_bytes bigint[])
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	locked integer[]; -- queues that are left out
	waits integer[]; -- locked, and the other queues of put packets that are left out
	packets integer[];
	left_out integer[]; -- changes
	rows_id bigint[];
	rows_queue integer[];
	got integer[];
	got_id bigint[];
	got_parked tid[];
	rows_parked tid[];
	n integer;
BEGIN
	got := ARRAY(SELECT q.number FROM timerd.queues q JOIN unnest(q_uid, q_name) i (uid, name)
		ON q.uid = i.uid AND q.name = i.name FOR SHARE OF q SKIP LOCKED);
	SELECT coalesce(array_agg(i.ord::integer), '{}') INTO locked
		FROM unnest(q_uid, q_name) WITH ORDINALITY i (uid, name, ord)
		JOIN timerd.queues q ON q.uid = i.uid AND q.name = i.name WHERE q.number <> ALL (got);
	-- Rows that the changes name by id, by key, or by the id of the timer whose wake was revived.
	WITH c AS (SELECT c.*, q.number AS q
		FROM unnest(c_type, c_queue, c_id, c_key) c (type, queue, id, key)
		JOIN timerd.queues q ON q.uid = q_uid[c.queue] AND q.name = q_name[c.queue])
	SELECT array_agg(r.id), array_agg(r.queue) INTO rows_id, rows_queue FROM (
		SELECT t.id, c.queue FROM c JOIN timerd.timers t ON t.id = c.id AND t.queue = c.q
			WHERE c.type BETWEEN 1 AND 6 AND c.key IS NULL
		UNION ALL
		SELECT t.id, c.queue FROM c JOIN timerd.timers t ON t.queue = c.q AND t.key = c.key
			AND t.revived IS NULL WHERE c.type < 3
		UNION ALL
		SELECT t.id, c.queue FROM c JOIN timerd.timers t ON t.queue = c.q AND t.revived = c.id
			WHERE c.type = 1) r;
	got_id := ARRAY(SELECT id FROM timerd.timers WHERE id = ANY (rows_id) FOR UPDATE SKIP LOCKED);
	locked := locked || ARRAY(SELECT DISTINCT r.queue FROM unnest(rows_id, rows_queue) r (id, queue)
		WHERE NOT EXISTS (SELECT FROM unnest(got_id) g WHERE g = r.id));
	IF c_type && ARRAY[1, 7] THEN
		SELECT array_agg(p.ctid), array_agg(c.queue) INTO rows_parked, rows_queue
			FROM unnest(c_type, c_queue, c_id) c (type, queue, id)
			JOIN timerd.queues q ON q.uid = q_uid[c.queue] AND q.name = q_name[c.queue]
			JOIN timerd.parked p ON p.queue = q.number AND p.id = c.id WHERE c.type IN (1, 7);
		got_parked := ARRAY(SELECT ctid FROM timerd.parked WHERE ctid = ANY (rows_parked)
			FOR UPDATE SKIP LOCKED);
		locked := locked || ARRAY(SELECT DISTINCT r.queue
			FROM unnest(rows_parked, rows_queue) r (id, queue) WHERE r.id <> ALL (got_parked));
	END IF;
	-- A put packet that is left out may also put into queues that are not locked. Clients' changes of these
	-- queues are left out, too, so that they do not overtake the packet. Changes of wakes may overtake it.
	waits := ARRAY(SELECT DISTINCT w.queue FROM unnest(locked) w (queue));
	LOOP
		packets := ARRAY(SELECT DISTINCT c.packet FROM unnest(c_packet, c_queue) c (packet, queue)
			WHERE c.packet > 0 AND c.queue = ANY (waits));
		n := cardinality(waits);
		waits := ARRAY(SELECT w.queue FROM unnest(waits) w (queue)
			UNION SELECT c.queue FROM unnest(c_packet, c_queue) c (packet, queue)
			WHERE c.packet = ANY (packets));
		EXIT WHEN cardinality(waits) = n;
	END LOOP;
	left_out := ARRAY(SELECT c.ord::integer
		FROM unnest(c_type, c_queue) WITH ORDINALITY c (type, queue, ord)
		WHERE c.queue = ANY (locked) OR (c.queue = ANY (waits) AND c.type IN (0, 1, 2, 7)));
	FOREACH n IN ARRAY left_out LOOP
		IF c_type[n] = 0 THEN
			q_puts[c_queue[n]] := q_puts[c_queue[n]] - 1;
			q_put_bytes[c_queue[n]] := q_put_bytes[c_queue[n]]
				- coalesce(octet_length(c_key[n]), 0) - coalesce(octet_length(c_payload[n]), 0);
		END IF;
		c_type[n] := 99;
		c_packet[n] := 0;
	END LOOP;
	FOREACH n IN ARRAY locked LOOP
		q_name[n] := NULL;
	END LOOP;
	FOR i IN 1..cardinality(r_packet) LOOP
		IF r_packet[i] = ANY (packets) THEN
			r_packet[i] := 0;
		END IF;
	END LOOP;
	SELECT x.o_number, x.o_state, x.o_ok, x.o_put, x.o_put_id, x.o_ord || left_out,
			x.o_status || array_fill(-1, m), x.o_flags || array_fill(0, m),
			x.o_id || array_fill(0::bigint, m), x.o_due || array_fill(0::bigint, m),
			x.o_clock || array_fill(0, m), x.o_replaced || array_fill(0::bigint, m),
			x.o_removed || array_fill(0, m), x.u_uid, x.u_timers, x.u_parked, x.u_bytes
		INTO o_number, o_state, o_ok, o_put, o_put_id, o_ord, o_status, o_flags, o_id, o_due,
			o_clock, o_replaced, o_removed, u_uid, u_timers, u_parked, u_bytes
		FROM timerd.commit(in_owner, in_slot, in_stored, in_clocks, in_slow, q_uid, q_name, q_term,
			q_limit_timers, q_limit_bytes, q_puts, q_put_bytes, c_type, c_queue, c_id, c_due,
			c_ready, c_slack, c_every, c_max_late, c_count, c_number, c_attempt, c_max_attempts,
			c_clock, c_flags, c_packet, c_record, c_label, c_key, c_payload, p_uid, p_token,
			p_serial, r_packet, r_record, r_status) x,
			(SELECT ARRAY[cardinality(left_out)] AS m) m;
	FOREACH n IN ARRAY locked LOOP
		o_state[n] := 3;
	END LOOP;
END $$;

-- Removes rows of a queue, at most so many: waiting ones first unless only parked ones are meant.
CREATE OR REPLACE FUNCTION timerd.purge(in_owner text, in_slot integer, in_uid bigint, in_name text,
	in_term bigint, in_parked boolean, in_most integer, OUT o_n bigint, OUT o_bytes bigint,
	OUT u_timers bigint, OUT u_parked bigint, OUT u_bytes bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	l record;
	q integer;
	timers record;
	parked record;
BEGIN
	SELECT * INTO l FROM timerd.lock_queues(in_owner, ARRAY[in_uid], ARRAY[in_name],
		ARRAY[in_term], false);
	q := l.o_number[1];
	WITH gone AS (DELETE FROM timerd.timers WHERE id IN (
			SELECT id FROM timerd.timers WHERE queue = q AND NOT in_parked
			ORDER BY clock, ready, id LIMIT in_most FOR UPDATE)
		RETURNING coalesce(octet_length(key), 0) + coalesce(octet_length(payload), 0) AS bytes)
	SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes INTO timers FROM gone;
	WITH gone AS (DELETE FROM timerd.parked WHERE (queue, id, number) IN (
			SELECT queue, id, number FROM timerd.parked WHERE queue = q
			ORDER BY id, number LIMIT in_most - timers.n FOR UPDATE)
		RETURNING coalesce(octet_length(key), 0) + coalesce(octet_length(payload), 0) AS bytes)
	SELECT count(*) AS n, coalesce(sum(bytes), 0) AS bytes INTO parked FROM gone;
	o_n := timers.n + parked.n;
	o_bytes := timers.bytes + parked.bytes;
	PERFORM timerd.add_counts(in_slot, ARRAY[in_uid], l.o_number, l.o_state, ARRAY[-timers.n],
		ARRAY[-parked.n], ARRAY[(-o_bytes)::bigint], ARRAY[o_n > 0]);
	SELECT sum(timers)::bigint, sum(parked)::bigint, sum(bytes)::bigint
		INTO u_timers, u_parked, u_bytes FROM timerd.users WHERE uid = in_uid;
END $$;

-- A round of a host: what it asks of leases, in one statement (core/lease.h says what each question
-- means), and for the queues that it owns whether other hosts changed them. 0 nothing, 1 look, 2 take
-- if free, 3 take if unchanged, 4 renew, 5 release. o_done: 0 no effect, 1 took effect, 2 no effect,
-- perhaps because another session holds a lock.
CREATE OR REPLACE FUNCTION timerd.ask_leases(in_owner text, in_host text, q_uid bigint[], q_name text[],
	q_ask integer[], q_term bigint[], q_beat bigint[],
	OUT o_done integer[], OUT o_owner integer[], OUT o_term bigint[], OUT o_beat bigint[],
	OUT o_changes bigint[], OUT o_now bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	matches integer[] := '{}';
	locked integer[] := '{}';
	takes integer := 0;
	base bigint := 0;
	r record;
BEGIN
	IF 2 = ANY (q_ask) THEN
		FOR r IN SELECT i.uid, i.name FROM unnest(q_uid, q_name, q_ask) i (uid, name, ask)
			WHERE i.ask = 2 AND NOT EXISTS (SELECT FROM timerd.queues q
				WHERE q.uid = i.uid AND q.name = i.name)
			ORDER BY i.uid, i.name
		LOOP
			BEGIN
				INSERT INTO timerd.queues (uid, name) VALUES (r.uid, r.name)
					ON CONFLICT DO NOTHING;
			EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
				NULL; -- Another transaction inserts this queue. The next round asks again.
			END;
		END LOOP;
	END IF;
	-- Locks and changes only what matches, in the order of numbers, as everybody locks it: a host
	-- that looks at what others hold must not wait for the owner, nor make the owner wait.
	-- The same subtransaction locks and changes a row. If one locked it and another changed it, each renewal
	-- would need a MultiXactId.
	FOR try IN 1..2 LOOP
		BEGIN
			IF try = 1 THEN
				SELECT coalesce(array_agg(m.ord), '{}') INTO matches
					FROM (SELECT i.ord::integer
						FROM unnest(q_uid, q_name, q_ask, q_term, q_beat) WITH ORDINALITY
							i (uid, name, ask, term, beat, ord)
						JOIN timerd.queues q ON q.uid = i.uid AND q.name = i.name
						WHERE (i.ask = 2 AND q.owner IS NULL)
							OR (i.ask = 3 AND q.term = i.term AND q.beat = i.beat)
							OR (i.ask IN (4, 5) AND q.owner = in_owner AND q.term = i.term)
						ORDER BY q.number FOR NO KEY UPDATE OF q) m;
			ELSE
				-- Another session keeps a row locked. Leaves it out, so that other queues do not wait.
				SELECT coalesce(array_agg(m.ord), '{}') INTO matches
					FROM (SELECT i.ord::integer
						FROM unnest(q_uid, q_name, q_ask, q_term, q_beat) WITH ORDINALITY
							i (uid, name, ask, term, beat, ord)
						JOIN timerd.queues q ON q.uid = i.uid AND q.name = i.name
						WHERE (i.ask = 2 AND q.owner IS NULL)
							OR (i.ask = 3 AND q.term = i.term AND q.beat = i.beat)
							OR (i.ask IN (4, 5) AND q.owner = in_owner AND q.term = i.term)
						FOR NO KEY UPDATE OF q SKIP LOCKED) m;
				SELECT coalesce(array_agg(i.ord::integer), '{}') INTO locked
					FROM unnest(q_ask) WITH ORDINALITY i (ask, ord)
					WHERE i.ask > 1 AND i.ord <> ALL (matches);
			END IF;
			SELECT count(*) INTO takes FROM unnest(matches) m (ord) WHERE q_ask[m.ord] IN (2, 3);
			IF takes > 0 THEN
				BEGIN
					UPDATE timerd.meta SET term = term + takes RETURNING term - takes INTO base;
				EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
					-- Nobody can take a lease now, but leases can be renewed and released.
					SELECT locked || coalesce(array_agg(m.ord) FILTER (WHERE q_ask[m.ord] < 4), '{}'),
							coalesce(array_agg(m.ord) FILTER (WHERE q_ask[m.ord] > 3), '{}')
						INTO locked, matches FROM unnest(matches) m (ord);
				END;
			END IF;
			UPDATE timerd.queues q SET
				owner = CASE a.ask WHEN 5 THEN NULL ELSE in_owner END,
				host = CASE a.ask WHEN 5 THEN NULL ELSE in_host END,
				term = CASE WHEN a.ask IN (2, 3) THEN base + a.take ELSE q.term END,
				beat = CASE a.ask WHEN 4 THEN q.beat + 1 WHEN 5 THEN q.beat ELSE 0 END
			FROM (SELECT i.*, sum((i.ask IN (2, 3))::integer) OVER (ORDER BY ord) AS take
				FROM unnest(q_uid, q_name, q_ask) WITH ORDINALITY i (uid, name, ask, ord)
				JOIN unnest(matches) m (ord) USING (ord)) a
			WHERE q.uid = a.uid AND q.name = a.name;
			EXIT;
		EXCEPTION WHEN lock_not_available OR deadlock_detected THEN
			matches := '{}';
			SELECT coalesce(array_agg(i.ord::integer), '{}') INTO locked
				FROM unnest(q_ask) WITH ORDINALITY i (ask, ord) WHERE i.ask > 1;
		END;
	END LOOP;
	SELECT coalesce(array_agg(CASE WHEN i.ord = ANY (matches) THEN 1 WHEN i.ord = ANY (locked) THEN 2
			ELSE 0 END ORDER BY i.ord), '{}') INTO o_done
		FROM unnest(q_ask) WITH ORDINALITY i (ask, ord);
	SELECT array_agg(CASE WHEN q.owner IS NULL THEN 0 WHEN q.owner = in_owner THEN 1 ELSE 2 END
			ORDER BY i.ord),
		array_agg(coalesce(q.term, 0) ORDER BY i.ord),
		array_agg(coalesce(q.beat, 0) ORDER BY i.ord),
		array_agg(coalesce(n.changes, 0) ORDER BY i.ord)
		INTO o_owner, o_term, o_beat, o_changes
		FROM unnest(q_uid, q_name) WITH ORDINALITY i (uid, name, ord)
		LEFT JOIN timerd.queues q ON q.uid = i.uid AND q.name = i.name
		LEFT JOIN LATERAL (SELECT sum(changes)::bigint AS changes FROM timerd.counts
			WHERE queue = q.number AND q.owner = in_owner) n ON true;
	o_now := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
END $$;

-- Forgets queues that hold nothing and that nobody owns, some at a time; and users that hold nothing,
-- because each status adds up the rows of all users, and uids come and go.
CREATE OR REPLACE FUNCTION timerd.tidy() RETURNS void LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	q integer;
	u bigint;
	locked integer[];
BEGIN
	FOR q IN SELECT number FROM timerd.queues WHERE owner IS NULL AND NOT EXISTS (
			SELECT FROM timerd.timers WHERE queue = number) AND NOT EXISTS (
			SELECT FROM timerd.parked WHERE queue = number)
		ORDER BY number LIMIT 1000 FOR UPDATE SKIP LOCKED
	LOOP
		locked := ARRAY(SELECT slot FROM timerd.counts WHERE queue = q ORDER BY slot
			FOR UPDATE SKIP LOCKED);
		CONTINUE WHEN EXISTS (SELECT FROM timerd.counts WHERE queue = q AND slot <> ALL (locked));
		-- While this holds the lock, nobody adds to the queue. The DELETE sees all earlier rows.
		DELETE FROM timerd.queues WHERE number = q AND NOT EXISTS (
				SELECT FROM timerd.timers WHERE queue = q) AND NOT EXISTS (
				SELECT FROM timerd.parked WHERE queue = q);
		IF FOUND THEN
			DELETE FROM timerd.counts WHERE queue = q;
		END IF;
	END LOOP;
	-- Rows of several slots can add up to nothing, because one host stored and another one removed.
	FOR u IN SELECT uid FROM timerd.users GROUP BY uid
			HAVING sum(timers) = 0 AND sum(parked) = 0 AND sum(bytes) = 0
		ORDER BY uid LIMIT 1000
	LOOP
		-- Locked rows do not change, so rows that add up to nothing can go, whatever other slots hold.
		SELECT array_agg(slot) INTO locked FROM (
			SELECT slot FROM timerd.users WHERE uid = u ORDER BY slot FOR UPDATE SKIP LOCKED) l;
		DELETE FROM timerd.users WHERE uid = u AND slot = ANY (locked) AND (
			SELECT sum(timers) = 0 AND sum(parked) = 0 AND sum(bytes) = 0
			FROM timerd.users WHERE uid = u AND slot = ANY (locked));
	END LOOP;
END $$;
