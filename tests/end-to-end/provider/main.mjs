// A real OpenID provider for the tests: `oidc-provider` over HTTP or HTTPS on loopback.
//
// The one argument is JSON: `library` is where the package lies, `tls` holds a certificate and
// a key as PEM, or is missing. One line of JSON on standard output says where it listens. It
// ends when standard input does, so that a killed test leaves nothing behind.

import http from 'node:http';
import https from 'node:https';
import path from 'node:path';
import { once } from 'node:events';
import { pathToFileURL } from 'node:url';

import { Accounts } from './accounts.mjs';
import { configuration, keys, registerAccountGrant } from './configuration.mjs';
import { Control } from './control.mjs';
import { interact } from './pages.mjs';

// Requests nobody answers are closed by this, never by a time-out of the server's own.
const SERVER = { keepAliveTimeout: 5_000, requestTimeout: 0 };

class Served {
  constructor(library, tls) {
    this.library = library;
    this.accounts = new Accounts();
    this.outage = 'none';
    this.requests = {};
    this.slowDowns = 0;
    this.storage = library.createMemoryAdapter();
    this.keys = keys();
    this.server = tls
      ? https.createServer({ ...SERVER, cert: tls.certificate, key: tls.key })
      : http.createServer(SERVER);
    this.server.on('request', (request, response) => this.answer(request, response));
  }

  async listen(scheme) {
    this.server.listen(this.port ?? 0, '127.0.0.1');
    await once(this.server, 'listening');
    this.port = this.server.address().port;
    // A name, because a certificate for an address alone is seldom what clients check.
    this.issuer = `${scheme}://${scheme === 'https' ? 'localhost' : '127.0.0.1'}:${this.port}`;
  }

  // Keys, clients and settings are fixed when a provider is made, as they are when a real one
  // is started anew. What it has stored stays.
  configure() {
    const provider = new this.library.Provider(this.issuer, configuration(this));
    registerAccountGrant(provider, this);
    provider.use(async (context, next) => this.amend(context, next));
    this.provider = provider;
    this.callback = provider.callback();
  }

  // What the package leaves out of the device grant: how often to ask, and being told to ask
  // less often.
  async amend(context, next) {
    await next();
    const asked = context.oidc?.params;
    if (context.oidc?.route === 'device_authorization' && context.status === 200) {
      context.body = { ...context.body, interval: this.accounts.lifetimes.interval };
    }
    const pending = context.oidc?.route === 'token'
      && asked?.device_code && context.body?.error === 'authorization_pending';
    if (pending && this.slowDowns > 0) {
      this.slowDowns -= 1;
      context.body = { error: 'slow_down' };
    }
  }

  answer(request, response) {
    const { pathname } = new URL(request.url, this.issuer);
    this.requests[pathname] = (this.requests[pathname] ?? 0) + 1;
    if (this.outage === 'silent') {
      return;
    }
    if (this.outage === 'failing') {
      response.writeHead(503).end();
      return;
    }
    if (pathname.startsWith('/interaction/')) {
      interact(this, request, response).catch((error) => {
        response.writeHead(error.statusCode ?? 500).end(error.message);
      });
      return;
    }
    this.replaceAudienceToken(request, pathname);
    this.callback(request, response);
  }

  // Most providers take a token for an API at their own userinfo endpoint as well. This one
  // does not, so it gets the one that was issued beside it.
  replaceAudienceToken(request, pathname) {
    const token = request.headers.authorization?.replace(/^Bearer /i, '');
    const beside = pathname === '/me' && this.accounts.besides.get(token);
    if (beside) {
      request.headers.authorization = `Bearer ${beside}`;
    }
  }
}

async function load(directory) {
  const from = (file) => import(pathToFileURL(path.join(directory, file)));
  const { Provider } = await from('lib/index.js');
  const { createMemoryAdapter } = await from('lib/adapters/memory_adapter.js');
  const { default: ResourceServer } = await from('lib/helpers/resource_server.js');
  return { Provider, createMemoryAdapter, ResourceServer };
}

// The package says there that its pages want styling; the line about where we listen must stay alone.
console.info = () => {};
const { library, tls } = JSON.parse(process.argv[2]);
process.stdin.resume().on('end', () => process.exit(0));
const served = new Served(await load(library), tls);
await served.listen(tls ? 'https' : 'http');
served.configure();
const control = new Control(served);
const controlled = await control.listen();
process.stdout.write(`${JSON.stringify({ issuer: served.issuer, control: controlled })}\n`);
