// What people do with the official client, against the gateway on stdin; what came of it on stdout.
const { createHash } = require("crypto");
const OpenAI = require("openai");
const { AzureOpenAI, toFile } = OpenAI;

const told = JSON.parse(require("fs").readFileSync(0, "utf8"));
const MODEL = "gpt-image-2";
const SMALL = { model: MODEL, size: "256x256" };
const PICTURE = Buffer.from(told.picture, "base64");
const MASK = Buffer.from(told.mask, "base64");

const client = (key = told.key) => new OpenAI({ baseURL: `${told.url}/v1`, apiKey: key, maxRetries: 0 });
const azure = () =>
  new AzureOpenAI({ endpoint: told.url, apiKey: told.key, apiVersion: "2025-04-01-preview", maxRetries: 0 });
const digest = (text) => createHash("sha256").update(Buffer.from(text, "base64")).digest("hex");
const pictures = async (asked) => (await asked).data.map((image) => digest(image.b64_json));
const urls = async (asked) => (await asked).data.map((image) => image.url);
const named = () => toFile(PICTURE, "a.png", { type: "image/png" });

async function events(asked) {
  const found = [];
  for await (const event of await asked) {
    found.push({ type: event.type, index: event.partial_image_index ?? null, sha256: digest(event.b64_json) });
  }
  return found;
}

async function error(ask) {
  try {
    await ask();
  } catch (refused) {
    return { class: refused.constructor.name, status: refused.status, code: refused.code, param: refused.param };
  }
  return null;
}

async function main() {
  const asking = client();
  const images = asking.images;
  await client(told.limited).models.list();
  const found = {
    version: "npm",
    generate: await pictures(images.generate({ ...SMALL, prompt: "walk: four", n: 4 })),
    url: await urls(images.generate({ ...SMALL, prompt: "walk: by address", response_format: "url" })),
    "edit one": await pictures(images.edit({ ...SMALL, prompt: "walk: edit one", image: await toFile(PICTURE, "a.png") })),
    "edit three": await urls(
      images.edit({
        ...SMALL,
        prompt: "walk: edit three",
        image: [await named(), await named(), await named()],
        response_format: "url",
      }),
    ),
    "edit masked": await pictures(
      images.edit({
        model: MODEL,
        prompt: "walk: edit masked",
        image: await named(),
        mask: await toFile(MASK, "m.png", { type: "image/png" }),
      }),
    ),
    stream: await events(images.generate({ ...SMALL, prompt: "walk: stream [delay=0.9]", stream: true, partial_images: 2 })),
    "edit stream": await events(
      images.edit({ ...SMALL, prompt: "walk: edit stream [delay=0.9]", image: await named(), stream: true, partial_images: 2 }),
    ),
    azure: await pictures(azure().images.generate({ ...SMALL, prompt: "walk: azure" })),
    "azure edit": await pictures(
      azure().images.edit({ ...SMALL, prompt: "walk: azure edit", image: [await named(), await named()] }),
    ),
    models: (await asking.models.list()).data.map((model) => model.id),
    model: (await asking.models.retrieve(MODEL)).id,
    errors: {
      "bad request": await error(() => images.generate({ model: MODEL, prompt: "walk", size: "3x3" })),
      policy: await error(() => images.generate({ ...SMALL, prompt: "walk [refuse]" })),
      auth: await error(() => client("wrong").images.generate({ ...SMALL, prompt: "walk" })),
      permission: await error(() => client(told.narrow).images.generate({ ...SMALL, prompt: "walk" })),
      "not found": await error(() => images.generate({ model: "no-such-model", prompt: "walk" })),
      "rate limit": await error(() => client(told.limited).images.generate({ ...SMALL, prompt: "walk" })),
      server: await error(() => images.generate({ ...SMALL, prompt: "walk [500]" })),
      stream: await error(() => events(images.generate({ ...SMALL, prompt: "walk [refuse] stream", stream: true }))),
    },
  };
  process.stdout.write(JSON.stringify(found));
}

main();
