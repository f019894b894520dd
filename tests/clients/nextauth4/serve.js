// NextAuth 4 behind Express on loopback, as a Next.js front end has it: /api/auth, and /secure/api/auth with secure cookies.
const express = require("express");
const NextAuth = require("next-auth").default;
const Credentials = require("next-auth/providers/credentials").default;
const { encode } = require("next-auth/jwt");

const [port, secret] = process.argv.slice(2);
process.env.NEXTAUTH_URL = `http://127.0.0.1:${port}`;
process.env.NEXTAUTH_URL_INTERNAL = process.env.NEXTAUTH_URL;

const options = {
  secret,
  providers: [
    Credentials({
      credentials: { email: {}, name: {} },
      authorize: ({ email, name }) => ({ id: "1", email, name }),
    }),
  ],
};

function serve(more) {
  return (req, res) => {
    const cookies = Object.fromEntries((req.headers.cookie ?? "").split("; ").map((pair) => pair.split(/=(.*)/s)));
    const query = { ...req.query, nextauth: req.path.slice(1).split("/") };
    Object.defineProperty(req, "query", { value: query });
    for (const name in cookies) cookies[name] = decodeURIComponent(cookies[name] ?? "");
    req.cookies = cookies;
    return NextAuth(req, res, { ...options, ...more });
  };
}

const app = express();
app.use(express.urlencoded({ extended: false, limit: "1mb" }), express.json());
app.use("/api/auth", serve({}));
app.use("/secure/api/auth", serve({ useSecureCookies: true }));
app.get("/token", async (req, res) => {
  const { email, maxAge, by } = req.query;
  res.send(await encode({ token: { email }, secret: by ?? secret, maxAge: Number(maxAge) }));
});
app.listen(Number(port), "127.0.0.1");
