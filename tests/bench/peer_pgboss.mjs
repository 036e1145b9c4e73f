// SPDX-License-Identifier: MIT
// node peer_pgboss.mjs URI put|drain N: pg-boss in its default mode, payloads of 64 bytes.
//   put    N jobs, 1,000 a call
//   drain  N jobs that are there: fetched and completed, by three workers, 1,000 a call
import PgBoss from 'pg-boss';

const [uri, work, count] = process.argv.slice(2);
const n = Number(count);
const BATCH = 1000, WORKERS = 3, QUEUE = 'bench';
const url = new URL(uri.replace('postgresql:///', 'postgresql://localhost/'));
const boss = new PgBoss({
	host: url.searchParams.get('host'), user: url.searchParams.get('user'), database: 'postgres',
});
const data = { payload: 'x'.repeat(64) };

async function put() {
	for (let i = 0; i < n; i += BATCH)
		await boss.insert(Array.from({ length: BATCH }, () => ({ name: QUEUE, data })));
}

async function work_off() {
	for (;;) {
		const jobs = await boss.fetch(QUEUE, { batchSize: BATCH });

		if (!jobs.length)
			return;
		await boss.complete(QUEUE, jobs.map(job => job.id));
	}
}

boss.on('error', error => { console.error(String(error)); process.exit(1); });
await boss.start();
await boss.createQueue(QUEUE);
await boss.purgeQueue(QUEUE);
let start = process.hrtime.bigint();
await put();
if (work === 'drain') {
	start = process.hrtime.bigint();
	await Promise.all(Array.from({ length: WORKERS }, work_off));
}
console.log('rate', n * 1e6 / Number(process.hrtime.bigint() - start), 'k/s');
process.exit(0);
