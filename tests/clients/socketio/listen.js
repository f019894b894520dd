// Reads {url, token, transports?, subscribe?} from stdin; prints a JSON line for each thing that happens, and ends
// with the first `completed`, `failed` or refusal.
const { io } = require("socket.io-client");

const told = JSON.parse(require("fs").readFileSync(0, "utf8"));
const say = (event, data) => process.stdout.write(`${JSON.stringify({ event, data })}\n`);
const options = { auth: { token: told.token }, reconnection: false };
if (told.transports) options.transports = told.transports;
const socket = io(`${told.url}/image-progress`, options);

const end = () => {
  socket.disconnect();
  setTimeout(() => process.exit(0), 100); // a poll that is under way would keep the process
};
socket.on("connect", async () => {
  say("connect", { transport: socket.io.engine.transport.name });
  socket.io.engine.on("upgrade", (transport) => say("upgrade", { transport: transport.name }));
  if (told.subscribe) say("ack", await socket.timeout(5000).emitWithAck("subscribe", told.subscribe));
});
socket.on("connect_error", (error) => {
  say("connect_error", { message: error.message, data: error.data });
  end();
});
socket.on("progress", (data) => say("progress", data));
for (const name of ["completed", "failed"]) {
  socket.on(name, (data) => {
    say(name, data);
    end();
  });
}
