// A certified OpenID provider (panva's oidc-provider) on loopback, for the tests: `node issuer.mjs settings.json`.
//
// Access tokens are JWTs signed RS256 whose header says `typ: JWT` and which name a mailbox, as Dovecot 2.3 wants them,
// and the client as `azp`, as Keycloak's do. Those for the resource `opaque` say nothing and are introspected (RFC 7662).
// The provider lives below a path of its issuer, for MSAL takes no other as `oidc_authority`.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import Provider from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { port, path, audience, scope, mailbox } = settings;

const provider = new Provider(`https://localhost:${port}${path}`, {
  clients: settings.clients,
  jwks: { keys: [settings.key] },
  cookies: { keys: [settings.cookie] },
  scopes: ['openid', 'offline_access', scope],
  clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
  findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: (ctx, token) => ({ email: token.accountId ?? mailbox, azp: token.clientId }),
  rotateRefreshToken: true,
  issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
  formats: { customizers: { jwt: (ctx, token, jwt) => { jwt.header = { typ: 'JWT' }; } } },
  ttl: { AccessToken: 3600, ClientCredentials: 3600, DeviceCode: 600, RefreshToken: 86400, Grant: 86400, Session: 3600, Interaction: 3600 },
  features: {
    clientCredentials: { enabled: true },
    deviceFlow: { enabled: true },
    devInteractions: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => settings.resource,
      useGrantedResource: () => true,
      getResourceServerInfo: (ctx, resource) => ({
        audience, scope, accessTokenFormat: resource === settings.opaque ? 'opaque' : 'jwt', accessTokenTTL: 3600,
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
});

provider.on('server_error', (ctx, error) => console.error(error));

const answer = provider.callback();
createServer({ key: readFileSync(settings.tls.key), cert: readFileSync(settings.tls.chain) }, (request, response) => {
  request.originalUrl = request.url;
  request.url = request.url.slice(path.length) || '/';
  answer(request, response);
}).listen(port, '127.0.0.1');
