-- SPDX-License-Identifier: MIT
-- Version 4: functions that pass over rows that other sessions have locked. The tables stay as they are.

-- Now ask_leases(), which has a further answer. A connected host of version 3 would take this answer for
-- "done". Without its function it fails, connects again, and is refused.
DROP FUNCTION IF EXISTS timerd.round;
COMMENT ON SCHEMA timerd IS 'Durable timers of timerqd: see timerqd(8).';
