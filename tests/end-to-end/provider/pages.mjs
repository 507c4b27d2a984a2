// The pages on which somebody logs in and agrees, as every provider has them.

import { text } from 'node:stream/consumers';

export async function interact(served, request, response) {
  const details = await served.provider.interactionDetails(request, response);
  if (request.method !== 'POST') {
    return show(response, 200, details, '');
  }
  const fields = new URLSearchParams(await text(request));
  if (fields.has('refuse')) {
    const result = { error: 'access_denied', error_description: 'refused by the account' };
    return finish(served, request, response, result, false);
  }
  if (details.prompt.name === 'login') {
    const account = fields.get('account');
    if (!served.accounts.login(account, fields.get('password'))) {
      return show(response, 403, details, 'That is not right.');
    }
    return finish(served, request, response, { login: { accountId: account } }, false);
  }
  return finish(served, request, response, { consent: { grantId: await agree(served, details) } }, true);
}

function finish(served, request, response, result, mergeWithLastSubmission) {
  return served.provider.interactionFinished(request, response, result, { mergeWithLastSubmission });
}

async function agree(served, { grantId, session, params, prompt: { details } }) {
  const { Grant } = served.provider;
  const grant = grantId
    ? await Grant.find(grantId)
    : new Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope((details.missingOIDCScope ?? []).join(' '));
  grant.addOIDCClaims(details.missingOIDCClaims ?? []);
  for (const [indicator, scopes] of Object.entries(details.missingResourceScopes ?? {})) {
    grant.addResourceScope(indicator, scopes.join(' '));
  }
  return grant.save();
}

function show(response, status, { uid, prompt, params }, message) {
  const fields = prompt.name === 'login'
    ? '<input type="text" name="account"/><input type="password" name="password"/>'
    : '<input type="hidden" name="agree" value="yes"/>';
  const body = `<!DOCTYPE html><html><head><title>${prompt.name}</title></head><body>
<p>${message}</p><p>${escape(params.client_id)} asks for ${escape(params.scope ?? '')}</p>
<form method="post" action="/interaction/${uid}">${fields}
<button type="submit">Continue</button>
<button type="submit" name="refuse" value="yes">Refuse</button></form></body></html>`;
  response.writeHead(status, { 'content-type': 'text/html; charset=utf-8' }).end(body);
}

function escape(text) {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
