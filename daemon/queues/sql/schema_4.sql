-- SPDX-License-Identifier: MIT
-- Version 4: functions that skip rows that other sessions have locked. The tables stay as they are.

-- ask_leases() replaces round(), because o_done has a third value. A connected host of version 3 would read
-- this value as "done". Without round() it fails, connects again, and is refused.
DROP FUNCTION IF EXISTS timerd.round;
COMMENT ON SCHEMA timerd IS 'Durable timers of timerqd: see timerqd(8).';
