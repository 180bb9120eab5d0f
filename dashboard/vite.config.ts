import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Where a running query-api is, for `npm run dev`.
const api = process.env["WEIR_API"] ?? "http://127.0.0.1:8080";

const proxy = Object.fromEntries(
  ["/api", "/auth", "/graphql"].map((path) => [path, { target: api, ws: true, changeOrigin: true, headers: { origin: api } }]),
);

// As query-api/src/page.rs has it: `npm run preview` shows what it would refuse.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export default defineConfig({
  plugins: [react()],
  build: {
    // The server keeps what is below /page open, and lets browsers keep it for ever: names hold a digest.
    assetsDir: "page",
    target: "es2022",
    // The policy of the page allows no `data:`.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  server: { proxy },
  preview: { proxy, headers: { "content-security-policy": policy } },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"] },
});
