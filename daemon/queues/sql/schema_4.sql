-- SPDX-License-Identifier: MIT
-- Version 4: functions that pass over rows that other sessions have locked. The tables stay as they are.

COMMENT ON SCHEMA timerd IS 'Durable timers of timerqd: see timerqd(8).';
