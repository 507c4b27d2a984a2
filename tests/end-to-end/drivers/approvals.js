// Statements that wait for people, in node-postgres. Reads the PG* variables, prints one line of
// JSON per step and per notice; whoever reads them decides meanwhile. The last step ends in the
// middle.
'use strict';
const { createRequire } = require('node:module');
const path = require('node:path');

const fromTools = createRequire(path.join(process.env.PORTCULLIS_TOOLS, 'package.json'));
const pg = fromTools('pg');

function report(check, value) {
  console.log(JSON.stringify({ check, value }));
}

// node-postgres keeps the key and leaves the sending of it to us.
function cancel(client) {
  const { connection } = new pg.Client({ ssl: false });
  connection.on('connect', () => connection.cancel(client.processID, client.secretKey));
  connection.on('error', () => {});
  connection.connect(client.port, client.host);
}

async function main() {
  const client = new pg.Client({ ssl: false });
  await client.connect();
  let then = null;
  client.on('notice', ({ severity, message, detail, hint }) => {
    report('notice', [severity, message, detail, hint]);
    if (then) then();
  });

  async function attempt(name, query, next = null) {
    then = next;
    report('step', name);
    try {
      report(name, (await client.query(query)).rowCount);
    } catch (error) {
      report(name, [error.code, error.message]);
    }
  }

  const add = (value, name) => (
    { name, text: 'UPDATE scratch SET amount = amount + $1::numeric', values: [value] });
  await attempt('granted', add(1));
  await attempt('granted as text', 'UPDATE scratch SET amount = amount + 1');
  await attempt('refused', add(1000, 'named'));
  await attempt('expired', 'TRUNCATE scratch');
  await attempt('cancelled', add(1000), () => cancel(client));
  await client.query('BEGIN');
  await attempt('granted in a transaction', add(1, 'named'));
  await client.query('COMMIT');
  report('alive', (await client.query("SELECT 'yes' AS answer")).rows[0].answer);
  await attempt('disconnected', add(1000), () => process.exit(0));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
