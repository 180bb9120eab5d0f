// node e2e/run.mjs [WORDS OF A NAME], over a running Weir: WEIR_TEST_HTTP (ingest), WEIR_TEST_API.
import { runAll } from "./harness.mjs";
import "./first.test.mjs";
import "./map.test.mjs";
import "./truth.test.mjs";
import "./views.test.mjs";
import "./ways.test.mjs";
import "./keys.test.mjs";
import "./states.test.mjs";
import "./how.test.mjs";
import "./safe.test.mjs";
import "./login.test.mjs";
import "./speed.test.mjs";
import "./large.test.mjs";
import "./demo.test.mjs";
import "./access.test.mjs";

const failed = await runAll(process.argv[2]);
process.exit(failed === 0 ? 0 : 1);
