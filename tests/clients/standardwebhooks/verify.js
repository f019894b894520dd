// Reads {secret, body, headers} from stdin; ends with 1 when the library does not know the signature.
const { Webhook } = require("standardwebhooks");

const told = JSON.parse(require("fs").readFileSync(0, "utf8"));
try {
  process.stdout.write(JSON.stringify(new Webhook(told.secret).verify(told.body, told.headers)));
} catch (error) {
  process.stderr.write(`${error.message}\n`);
  process.exit(1);
}
