// node-postgres for as long as standard input stays open; then says what became of its
// statements.
'use strict';

const { createRequire } = require('module');
const path = require('path');
const { Client } = createRequire(path.join(process.env.PORTCULLIS_TOOLS, 'index.js'))('pg');

const KEYED = 'SELECT subject, email, notes FROM people WHERE id = ';
const counted = { completed: 0, failed: 0, denied: 0 };
const key = () => 1 + Math.floor(Math.random() * 1_000_000);

async function openSession() {
  const session = new Client({ ssl: false });
  await session.connect();
  return session;
}

function masked({ rows }) {
  for (const row of rows) {
    if (!row.email.startsWith('u***@example')) throw new Error(`not masked: ${JSON.stringify(row)}`);
  }
  counted.completed += 1;
}

async function refused(query, code, count) {
  const error = await query.then(() => null, (error) => error);
  if (error?.code !== code) throw new Error(`expected ${code}, got ${error}`);
  counted[count] += 1;
}

const steps = [
  async (session) => masked(await session.query(`${KEYED}${key()}`)),
  async (session) => masked(await session.query(`${KEYED}$1`, [key()])),
  async (session) => masked(await session.query({ name: 'kept', text: `${KEYED}$1`, values: [key()] })),
  async (session) => {
    const first = key() % 990_000;
    const text = 'SELECT subject, email, notes FROM people WHERE id BETWEEN $1 AND $2';
    masked(await session.query(text, [first, first + 999]));
  },
  // Sent one behind the other without waiting.
  async (session) => (await Promise.all([1, 2, 3].map(() => session.query(`${KEYED}$1`, [key()])))).forEach(masked),
  async (session) => {
    for (const text of ['BEGIN', 'SELECT count(*) FROM people WHERE id < 100', 'ROLLBACK']) {
      await session.query(text);
      counted.completed += 1;
    }
  },
  (session) => refused(session.query('SELECT 1 / (id - id) FROM people WHERE id = $1', [key()]), '22012', 'failed'),
  (session) => refused(session.query('DELETE FROM people'), '42501', 'denied'),
];

async function main() {
  let open = true;
  process.stdin.on('end', () => { open = false; }).resume();
  let session = await openSession();
  for (let turn = 0; open; turn += 1) {
    await steps[turn % steps.length](session);
    await new Promise((resume) => { setTimeout(resume, 20); });
    if (turn % 89 === 88) {
      await session.end();
      session = await openSession();
    }
  }
  await session.end();
  console.log(JSON.stringify(counted));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
