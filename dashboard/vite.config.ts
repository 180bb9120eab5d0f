import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

// Where a running query-api is, for `npm run dev`.
const api = process.env["WEIR_API"] ?? "http://127.0.0.1:8080";

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
  server: {
    proxy: Object.fromEntries(
      ["/api", "/auth", "/graphql"].map((path) => [path, { target: api, ws: true, changeOrigin: true, headers: { origin: api } }]),
    ),
  },
  test: { environment: "jsdom", include: ["src/**/*.test.{ts,tsx}"] },
});
