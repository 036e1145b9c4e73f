// SPDX-License-Identifier: MIT
// node peer_graphile.mjs URI put|drain N: graphile-worker in its default mode, payloads of 64 bytes.
//   put    N jobs, 1,000 a call of add_jobs()
//   drain  N jobs that are there, whose task does nothing, by a worker of ten jobs at a time
import { Logger, makeWorkerUtils, run } from 'graphile-worker';
import pg from 'pg';

const [uri, work, count] = process.argv.slice(2);
const n = Number(count);
const BATCH = 1000, CONCURRENCY = 10;
const url = new URL(uri.replace('postgresql:///', 'postgresql://localhost/'));
const pool = new pg.Pool({
	host: url.searchParams.get('host'), user: url.searchParams.get('user'), database: 'postgres',
	max: CONCURRENCY + 2,
});
const utils = await makeWorkerUtils({ pgPool: pool });

async function put() {
	const spec = { identifier: 'nothing', payload: { payload: 'x'.repeat(64) } };
	const batch = JSON.stringify(Array(BATCH).fill(spec));

	for (let i = 0; i < n; i += BATCH)
		await pool.query(`SELECT count(*) FROM graphile_worker.add_jobs(ARRAY(
			SELECT json_populate_record(NULL::graphile_worker.job_spec, j)
			FROM json_array_elements($1::json) j))`, [batch]);
}

await utils.migrate();
await pool.query('DELETE FROM graphile_worker._private_jobs');
let start = process.hrtime.bigint();
await put();
if (work === 'drain') {
	let done = 0, finished;
	const all = new Promise(resolve => { finished = resolve; });

	start = process.hrtime.bigint();
	const runner = await run({
		pgPool: pool, concurrency: CONCURRENCY, noHandleSignals: true,
		taskList: { nothing: () => { if (++done === n) finished(); } },
		logger: new Logger(() => () => {}),
	});
	await all;
	await runner.stop();
}
console.log('rate', n * 1e6 / Number(process.hrtime.bigint() - start), 'k/s');
process.exit(0);
