-- SPDX-License-Identifier: MIT
-- Version 3: the timeline of the server, as hosts see it, under which some host has waited for a lease. A
-- server that takes over has another one, and may lack the last leases: nobody takes a lease there before.
-- The step to this version also sets it, if no lease was ever given.

ALTER TABLE timerd.meta ADD COLUMN timeline bigint NOT NULL DEFAULT 0;
