// How the tests tell the provider what happens to it: one JSON command per POST, on a port of
// its own, so that an outage of the provider is none of the control.

import http from 'node:http';
import { once } from 'node:events';
import { json } from 'node:stream/consumers';

import { keys } from './configuration.mjs';

export class Control {
  constructor(served) {
    this.served = served;
    this.server = http.createServer((request, response) => this.answer(request, response));
  }

  async listen() {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
    return `http://127.0.0.1:${this.server.address().port}`;
  }

  async answer(request, response) {
    try {
      const { command, ...rest } = await json(request);
      const answer = await COMMANDS[command](this.served, rest);
      response.writeHead(200, { 'content-type': 'application/json' });
      response.end(JSON.stringify(answer ?? {}));
    } catch (error) {
      response.writeHead(500).end(error.stack);
    }
  }
}

const COMMANDS = {
  account({ accounts }, { id, ...account }) {
    accounts.byId.set(id, account);
  },
  remove({ accounts }, { id }) {
    accounts.byId.delete(id);
  },
  service(served, { id, ...service }) {
    served.accounts.services.set(id, service);
    served.configure();
  },
  redirect(served, { uri }) {
    served.accounts.redirects.push(uri);
    served.configure();
  },
  lifetimes({ accounts }, lifetimes) {
    Object.assign(accounts.lifetimes, lifetimes);
  },
  // The new keys come first, so that they sign; old ones that are kept still verify.
  rotate(served, { keep }) {
    served.keys = [...keys(), ...(keep ? served.keys : [])];
    served.configure();
    return { kids: served.keys.map(({ kid }) => kid) };
  },
  requests({ requests }) {
    return requests;
  },
  slow(served, { times }) {
    served.slowDowns = times;
  },
  async outage(served, { kind }) {
    const { server } = served;
    served.outage = kind;
    if (kind === 'refused' && server.listening) {
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      await closed;
    } else if (kind !== 'refused' && !server.listening) {
      server.listen(served.port, '127.0.0.1');
      await once(server, 'listening');
    }
    if (kind === 'none') {
      // Those that were left without an answer try again.
      server.closeAllConnections();
    }
  },
};
