// Auth.js behind Express on loopback, with sessions in cookies (/auth, /secure/auth with secure ones) or in a database (/auth).
import { ExpressAuth } from "@auth/express";
import Credentials from "@auth/express/providers/credentials";
import { encode } from "@auth/core/jwt";
import express from "express";

const [port, secret, strategy] = process.argv.slice(2);
const asked = { sessions: 0 };
const nobody = async () => null;
const tables = [
  ...["createUser", "getUser", "getUserByEmail", "getUserByAccount", "updateUser", "linkAccount"],
  ...["createSession", "updateSession", "deleteSession"],
];
const adapter = {
  ...Object.fromEntries(tables.map((name) => [name, nobody])),
  getSessionAndUser: async (sessionToken) => {
    asked.sessions += 1;
    if (!sessionToken.startsWith("of-")) return null;
    const user = { id: "1", email: sessionToken.slice(3), name: "Somebody" };
    return { session: { sessionToken, userId: "1", expires: new Date(Date.now() + 86_400_000) }, user };
  },
};
const credentials = Credentials({
  credentials: { email: {}, name: {} },
  authorize: ({ email, name }) => ({ id: "1", email, name }),
});
const shared = { secret, trustHost: true };

const app = express();
if (strategy === "database") {
  app.use("/auth", ExpressAuth({ ...shared, providers: [], adapter, session: { strategy } }));
} else {
  app.use("/auth", ExpressAuth({ ...shared, providers: [credentials] }));
  app.use("/secure/auth", ExpressAuth({ ...shared, providers: [credentials], useSecureCookies: true }));
}
app.get("/asked", (_, res) => res.json(asked));
app.get("/token", async (req, res) => {
  const { email, maxAge, by, cookie } = req.query;
  res.send(await encode({ token: { email }, secret: by ?? secret, salt: cookie, maxAge: Number(maxAge) }));
});
app.listen(Number(port), "127.0.0.1");
