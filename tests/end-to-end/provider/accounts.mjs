// Who can log in, as the tests say while the provider runs.

export class Accounts {
  constructor() {
    this.byId = new Map();
    this.services = new Map();
    this.redirects = [];
    this.lifetimes = { access_token: 3600, id_token: 3600, device_code: 600, interval: 1 };
    // The token without an audience that was issued beside each one with an audience.
    this.besides = new Map();
  }

  // An account as the provider wants it; a disabled one is as good as none.
  find(id) {
    const account = this.byId.get(id);
    if (!account || account.disabled) {
      return undefined;
    }
    return { accountId: id, claims: () => this.claims(id) };
  }

  claims(id) {
    const { groups, claims } = this.byId.get(id) ?? this.services.get(id) ?? {};
    return {
      sub: id,
      preferred_username: id,
      email: `${id}@shop.example`,
      email_verified: true,
      groups: groups ?? [],
      ...claims,
    };
  }

  // Every account's password follows from its name: what differs is who they are.
  login(id, password) {
    return this.find(id) !== undefined && password === `password-of-${id}`;
  }
}
