// The driver scenario in node-postgres. Reads the PG* variables, prints one line of JSON per
// check; what it prints must be the same whoever answers, PostgreSQL or Portcullis before it.
'use strict';
const fs = require('node:fs');
const { createRequire } = require('node:module');
const path = require('node:path');
const { setTimeout: delay } = require('node:timers/promises');

const fromTools = createRequire(path.join(process.env.PORTCULLIS_TOOLS, 'package.json'));
const pg = fromTools('pg');
const Cursor = fromTools('pg-cursor');

const encrypted = process.env.PGSSLMODE !== 'disable';
const ssl = encrypted
  ? { ca: fs.readFileSync(process.env.PGSSLROOTCERT), servername: 'localhost' }
  : false;

function report(check, value) {
  console.log(JSON.stringify({ check, value }));
}

async function connect(options = {}) {
  const client = new pg.Client({ ssl, ...options });
  await client.connect();
  return client;
}

async function errorOf(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return [error.code, error.message, error.constraint ?? null];
  }
}

const VALUES = [
  ['int2', 7], ['int4', -70000], ['int8', '9000000000'], ['numeric', '12345.6700'],
  ['float8', 1.5e300], ['float4', 0.25], ['bool', true], ['text', 'naïve \u{1f600} \'quoted\''],
  ['bytea', Buffer.from([0, 1, 127, 128, 255])], ['date', '2026-02-28'],
  ['timestamp', '2026-02-28 23:59:59.123456'], ['timestamptz', '2026-02-28 23:59:59+00'],
  ['interval', '3 days 7 seconds'], ['uuid', '00000000-0000-0000-0000-001234567890'],
  ['json', '{"a":[1,null]}'], ['jsonb', '{"b":{"c":true}}'], ['int4[]', [1, null, 3]],
  ['text[]', ['x', 'y"z', null, '']], ['inet', '192.0.2.1'], ['text', null], ['int4', null],
];

// node-postgres reads other types wrongly in binary, and some of those very slowly.
const READ_IN_BINARY = new Set(['int2', 'bool', 'text', 'json', 'jsonb']);

async function types(client) {
  for (const binary of [false, true]) {
    for (const [name, value] of VALUES.filter(([type]) => !binary || READ_IN_BINARY.has(type))) {
      const text = `SELECT $1::${name} AS v, NULL::${name} AS n`;
      const { rows, fields } = await client.query({ text, values: [value], binary });
      report(`type ${name} binary=${binary}`, [rows[0], fields[0].dataTypeID, fields[0].format]);
    }
  }
}

async function transactions(client) {
  await client.query('BEGIN');
  await client.query('CREATE TEMP TABLE kept (id int PRIMARY KEY, word text)');
  await client.query('INSERT INTO kept VALUES ($1, $2)', [1, 'one']);
  await client.query('COMMIT');
  await client.query('BEGIN');
  await client.query('INSERT INTO kept VALUES (2)');
  await client.query('ROLLBACK');
  report('rollback', (await client.query('SELECT count(*) FROM kept')).rows);
  await client.query('BEGIN');
  await client.query('SAVEPOINT here');
  report('unique', await errorOf(client.query('INSERT INTO kept VALUES ($1)', [1])));
  report('25P02', await errorOf(client.query('SELECT $1::int', [1])));
  await client.query('ROLLBACK TO here');
  await client.query('INSERT INTO kept VALUES (3)');
  report('commit', (await client.query('COMMIT')).command);
  report('after savepoint', (await client.query('SELECT array_agg(id ORDER BY id) FROM kept')).rows);
  await client.query('BEGIN');
  report('error', await errorOf(client.query('SELECT 1/0')));
  report('commit of a failed transaction', (await client.query('COMMIT')).command);
}

async function errors(client) {
  const statements = ['SELEC 1', 'SELECT 1/0', "INSERT INTO scratch VALUES (1, 'x', 1)", 'SELECT nope',
    'SELECT * FROM nowhere', "SELECT 'x'::int", 'SELECT 1; SELECT 1/0'];
  for (const text of statements) {
    report(`simple error ${text}`, await errorOf(client.query(text)));
    report(`extended error ${text}`, await errorOf(client.query({ text, values: [], queryMode: 'extended' })));
  }
  report('still alive', (await client.query('SELECT 1 AS one')).rows);
}

async function prepared(client) {
  let total = 0;
  for (let number = 0; number < 100; number++) {
    const query = { name: 'again', text: 'SELECT $1::int + 1 AS sum, $2::text AS word', values: [number, `n${number}`] };
    const { rows } = await client.query(query);
    total += rows[0].sum + rows[0].word.length;
  }
  report('prepared 100 times', total);
  report('one named statement', (await client.query("SELECT name, statement FROM pg_prepared_statements WHERE name = 'again'")).rows);
}

async function portals(client) {
  const cursor = client.query(new Cursor('SELECT id, word FROM scratch WHERE id > $1 ORDER BY id', [2]));
  const sizes = [];
  for (;;) {
    const rows = await cursor.read(5);
    sizes.push(rows.map((row) => row.id));
    if (rows.length === 0) break;
  }
  report('portal with a row limit', sizes);
  const early = client.query(new Cursor('SELECT id FROM scratch ORDER BY id'));
  report('portal left early', await early.read(3));
  await early.close();
  const failing = client.query(new Cursor('SELECT 1 / (5 - id) FROM scratch ORDER BY id'));
  report('portal that fails', await errorOf(failing.read(10)));
}

async function cancel(client) {
  const began = Date.now();
  const canceller = new pg.Client({ ssl });
  const sleeping = errorOf(client.query('SELECT pg_sleep(30)'));
  await delay(300);
  // node-postgres keeps the key and leaves the sending of it to us.
  canceller.connection.on('connect', () => canceller.connection.cancel(client.processID, client.secretKey));
  canceller.connection.on('sslconnect', () => canceller.connection.cancel(client.processID, client.secretKey));
  canceller.connection.on('error', () => {});
  canceller.connection.connect(client.port, client.host);
  report('cancelled', [await sleeping, Date.now() - began < 5000]);
  report('after cancel', (await client.query('SELECT 1 AS one')).rows);
}

async function notifications(client) {
  const heard = [];
  const done = new Promise((resolve) => {
    client.on('notification', ({ channel, payload }) => {
      heard.push([channel, payload]);
      if (heard.length === 2) resolve();
    });
  });
  await client.query('LISTEN news');
  const other = await connect();
  await other.query("NOTIFY news, 'it''s here'");
  await other.query('SELECT pg_notify($1, $2)', ['news', 'again']);
  await other.end();
  await Promise.race([done, delay(10000, undefined, { ref: false })]);
  report('notified', heard);
}

async function several(client) {
  const results = await client.query("SELECT 1 AS a; SELECT 2 AS b, 'two' AS c; INSERT INTO kept VALUES (9); SELECT 3 AS d");
  report('several statements', results.map(({ command, rowCount, rows }) => [command, rowCount, rows]));
  report('nothing at all', (await client.query('')).rows);
}

async function main() {
  const client = await connect();
  const notices = [];
  client.on('notice', ({ severity, message }) => notices.push([severity, message]));
  report('tls', Boolean(client.connection.stream.encrypted) === encrypted);
  await types(client);
  await transactions(client);
  await errors(client);
  await prepared(client);
  await portals(client);
  await cancel(client);
  await notifications(client);
  await several(client);
  await client.query('DROP TABLE IF EXISTS never_was');
  report('notice', notices);
  await client.end();
  report('wrong password', (await errorOf(connect({ password: 'wrong' })))[0]);
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
