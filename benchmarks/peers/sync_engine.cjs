// The sync engine, either package: makes its tables, takes webhooks in two processes, or imports all invoices.
//
//     node sync_engine.cjs migrate | serve | import
//
// Its requests to Stripe go to the stand-in at PEER_STRIPE_PORT: both packages use Stripe's SDK, which uses node's `https`.
"use strict";
const cluster = require("node:cluster");
const http = require("node:http");
const https = require("node:https");
const { createRequire, syncBuiltinESMExports } = require("node:module");

const given = process.env;
const PROCESSES = 2; // as many as ours has
const CONNECTIONS = 4; // of each process to the database

const agent = new http.Agent({ keepAlive: true });
https.request = (options, answered) => {
  const where = { protocol: "http:", host: "127.0.0.1", port: Number(given.PEER_STRIPE_PORT), agent };
  const request = http.request({ ...options, ...where }, answered);
  // The SDK sends when TLS is there.
  request.once("socket", (socket) => socket.once("connect", () => socket.emit("secureConnect")));
  return request;
};
syncBuiltinESMExports();

const { StripeSync, runMigrations } = createRequire(`${given.PEER_FOLDER}/package.json`)(given.PEER_PACKAGE);
const config = {
  stripeSecretKey: given.PEER_KEY,
  stripeWebhookSecret: given.PEER_SECRET,
  poolConfig: { connectionString: given.PEER_DATABASE, max: CONNECTIONS },
};
const quiet = { info() {}, debug() {}, warn: console.warn, error: console.error };

const open = async () => (StripeSync.create ? StripeSync.create(config) : new StripeSync(config));

async function migrate() {
  const where = { databaseUrl: given.PEER_DATABASE, logger: quiet };
  await runMigrations(StripeSync.create ? { ...where, openApiSpecPath: given.STRIPE_OPENAPI } : { ...where, schema: "stripe" });
  process.exit(0);
}

async function serve() {
  if (cluster.isPrimary) {
    for (let n = 0; n < PROCESSES; n++) cluster.fork();
    process.on("SIGTERM", () => process.exit(0));
    return;
  }
  const sync = await open();
  const server = http.createServer((request, response) => {
    if (request.method !== "POST") return response.writeHead(404).end();
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", async () => {
      try {
        await (sync.webhook ?? sync).processWebhook(Buffer.concat(chunks), request.headers["stripe-signature"]);
        response.writeHead(200).end();
      } catch (error) {
        console.error(error);
        response.writeHead(500).end();
      }
    });
  });
  server.listen(Number(given.PEER_PORT), "127.0.0.1");
}

async function importAll() {
  const sync = await open();
  if (sync.syncBackfill) {
    await sync.syncBackfill({ object: "invoice", backfillRelatedEntities: false });
  } else {
    const done = await sync.fullSync(["invoice"], false, 1, 1000, false);
    if (done.errors.length) throw new Error(JSON.stringify(done.errors));
  }
  process.exit(0);
}

({ migrate, serve, import: importAll })[process.argv[2]]().catch((error) => {
  console.error(error);
  process.exit(1);
});
