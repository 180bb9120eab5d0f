// An OpenID provider for the tests of logging in, by a certified library: node e2e/provider.mjs PORT CALLBACK.
// Whoever gives a name is that person, and in a group of the same name.
import Provider from "oidc-provider";

const [port, callback] = process.argv.slice(2);
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: "weir", client_secret: "secret of the test", redirect_uris: [callback] }],
  claims: { openid: ["sub"], profile: ["name", "groups"] },
  // Weir reads the token only.
  conformIdTokenClaims: false,
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, name: `${id} of the test`, groups: [id] }) }),
});
provider.listen(Number(port), "127.0.0.1");
