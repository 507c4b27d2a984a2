// What the provider is made with: clients, keys, claims, how long things last.

import { generateKeyPairSync, randomBytes } from 'node:crypto';

export const ACCOUNT_GRANT = 'urn:portcullis:tests:account';
const LOOPBACK = ['http://127.0.0.1/callback', 'http://127.0.0.1/sign-in/callback'];
const RESOURCE = 'urn:audience:';
const OWN_SCOPES = 'openid offline_access profile email groups';
const COOKIE_KEYS = [randomBytes(32).toString('base64url')];

// One key of every kind that tokens are signed with.
export function keys() {
  const pairs = [
    generateKeyPairSync('rsa', { modulusLength: 2048 }),
    generateKeyPairSync('ec', { namedCurve: 'P-256' }),
    generateKeyPairSync('ed25519'),
  ];
  return pairs.map(({ privateKey }) => ({
    ...privateKey.export({ format: 'jwk' }),
    kid: randomBytes(9).toString('base64url'),
    use: 'sig',
  }));
}

function clients(accounts) {
  const people = ['authorization_code', 'refresh_token',
    'urn:ietf:params:oauth:grant-type:device_code', ACCOUNT_GRANT];
  // A native client may come back to any port of the loopback address.
  const native = {
    application_type: 'native',
    grant_types: people,
    redirect_uris: [...LOOPBACK, ...accounts.redirects],
  };
  const services = [...accounts.services.keys()].map((id) => ({
    client_id: id,
    client_secret: `secret-of-${id}`,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  }));
  return [
    { ...native, client_id: 'portcullis', token_endpoint_auth_method: 'none' },
    { ...native, client_id: 'portcullis-secret', client_secret: 'secret-of-portcullis' },
    { ...native, client_id: 'other-application', token_endpoint_auth_method: 'none' },
    ...services,
  ];
}

function resourceServer(served, indicator, alg = 'RS256') {
  if (!indicator.startsWith(RESOURCE)) {
    throw new Error(`a resource begins with ${RESOURCE}`);
  }
  return {
    scope: OWN_SCOPES,
    audience: indicator.slice(RESOURCE.length),
    accessTokenFormat: 'jwt',
    accessTokenTTL: served.accounts.lifetimes.access_token,
    jwt: { sign: { alg } },
  };
}

export function configuration(served) {
  const { accounts } = served;
  const lasts = (name) => () => accounts.lifetimes[name];
  return {
    adapter: served.storage,
    clients: clients(accounts),
    jwks: { keys: served.keys },
    cookies: { keys: COOKIE_KEYS },
    conformIdTokenClaims: false,
    claims: {
      openid: ['sub', 'kind', 'may_act', 'act'],
      profile: ['preferred_username', 'team', 'clearance'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    enabledJWA: { idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256', 'EdDSA'] },
    features: {
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true },
      revocation: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, indicator) => resourceServer(served, indicator),
        useGrantedResource: () => true,
      },
    },
    findAccount: (_context, id) => accounts.find(id),
    extraTokenClaims: (_context, token) => extraClaims(accounts, token),
    formats: { customizers: { jwt: customize } },
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    pkce: { required: () => true },
    ttl: {
      AccessToken: lasts('access_token'),
      ClientCredentials: lasts('access_token'),
      IdToken: lasts('id_token'),
      DeviceCode: lasts('device_code'),
      Grant: () => 86_400,
      Interaction: () => 600,
      RefreshToken: () => 86_400,
      Session: () => 86_400,
    },
  };
}

function extraClaims(accounts, token) {
  const { sub: _sub, ...claims } = accounts.claims(token.accountId ?? token.clientId);
  return claims;
}

// What a test wants in one token, instead of what would be there; null takes a claim away.
function customize(context, _token, jwt) {
  for (const [name, value] of Object.entries(asked(context).claims)) {
    jwt.payload[name] = value ?? undefined;
  }
}

function asked(context) {
  const { claims, ...others } = context?.oidc?.params ?? {};
  const own = others.grant_type === ACCOUNT_GRANT ? JSON.parse(claims ?? '{}') : {};
  return { ...others, claims: own };
}

// The tests' own grant: tokens for an account, without a browser. They are the provider's own,
// signed with its keys and known to its userinfo endpoint.
export function registerAccountGrant(provider, served) {
  const parameters = ['account', 'audience', 'scope', 'lifetime', 'alg', 'claims'];
  provider.registerGrantType(ACCOUNT_GRANT, (context) => issue(provider, served, context), parameters);
}

async function issue(provider, served, context) {
  const { account, audience, scope, lifetime, alg, claims } = asked(context);
  const { client } = context.oidc;
  const found = served.accounts.find(account);
  if (!found) {
    context.status = 400;
    context.body = { error: 'invalid_grant', error_description: 'no such account' };
    return;
  }
  const grant = new provider.Grant({ accountId: account, clientId: client.clientId });
  grant.addOIDCScope(scope);
  const common = { accountId: account, client, scope, grantId: await grant.save() };
  const seconds = lifetime ? { expiresIn: Number(lifetime) } : {};
  const opaque = await new provider.AccessToken({ ...common, gty: 'account', ...seconds }).save();
  const indicator = RESOURCE + audience;
  const access = new provider.AccessToken({ ...common, gty: 'account', ...seconds });
  const server = resourceServer(served, indicator, alg);
  access.resourceServer = new served.library.ResourceServer(indicator, server);
  access.expiresIn ??= server.accessTokenTTL;
  access.extra = extraClaims(served.accounts, access);
  const value = await access.save();
  served.accounts.besides.set(value, opaque);
  context.body = {
    access_token: value,
    opaque_token: opaque,
    id_token: await idToken(provider, context, found, { scope, claims, lifetime }),
    token_type: 'Bearer',
    expires_in: access.expiresIn,
    scope,
  };
}

async function idToken(provider, context, account, { scope, claims, lifetime }) {
  const token = new provider.IdToken(await account.claims(), { ctx: context });
  token.scope = scope;
  for (const [name, value] of Object.entries(claims)) {
    token.set(name, value ?? undefined);
  }
  const now = Math.floor(Date.now() / 1000);
  return token.issue({ use: 'idtoken', expiresAt: lifetime ? now + Number(lifetime) : null });
}
