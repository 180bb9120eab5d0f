// A query-api of a test's own, beside the one that all share, over the same Kafka and ClickHouse.
import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { until } from "./harness.mjs";

const { WEIR_TEST_BINARY: binary, WEIR_TEST_KAFKA: kafka, WEIR_TEST_CLICKHOUSE: clickhouse } = process.env;

export async function freePort() {
  const server = createServer();
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Its address, and functions that start and kill it; null, said aloud, where WEIR_TEST_BINARY names no weir. Without its Kafka it is never ready. */
export async function queryApi(flags = [], brokers = kafka) {
  if (!binary) {
    console.log("        skipped: WEIR_TEST_BINARY names no weir");
    return null;
  }
  const listen = `127.0.0.1:${await freePort()}`;
  const origin = `http://${listen}`;
  let server = null;
  return {
    origin,
    start: async () => {
      server = spawn(binary, ["query-api", "--listen", listen, "--kafka", brokers, "--clickhouse", clickhouse, ...flags], { stdio: "ignore" });
      await until("query-api is ready", () => fetch(`${origin}/${brokers === kafka ? "ready" : "health"}`).then(({ ok }) => ok, () => false));
    },
    kill: async () => {
      if (server?.exitCode !== null || server.signalCode !== null) return;
      const ended = new Promise((done) => server.once("exit", done));
      server.kill("SIGKILL");
      await ended;
    },
  };
}
