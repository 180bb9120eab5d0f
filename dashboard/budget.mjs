// What a first visit loads, compressed, and what all of the page is. Fails when it has grown beyond its budget.
import { readFileSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";

const FIRST_KB = 170;
const ALL_KB = 260;

const page = readFileSync("dist/index.html", "utf8");
const sizes = readdirSync("dist/page").map((name) => ({ name, kb: gzipSync(readFileSync(`dist/page/${name}`)).length / 1024 }));
// The map is home, so it belongs to the first visit.
const first = sizes.filter(({ name }) => page.includes(name) || name.startsWith("MapView"));
const sum = (files) => files.reduce((total, { kb }) => total + kb, 0);
const told = [["first visit", sum(first), FIRST_KB], ["everything", sum(sizes), ALL_KB]];
for (const [what, kb, budget] of told) console.log(`${what}: ${kb.toFixed(0)} kB gzip of ${budget}`);
process.exit(told.some(([, kb, budget]) => kb > budget) ? 1 : 0);
