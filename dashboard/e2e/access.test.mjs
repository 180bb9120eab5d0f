// No serious problem for people with other eyes, other hands or other tools, in any view and any theme.
import AxeBuilder from "@axe-core/playwright";
import { api, ask, test, until } from "./harness.mjs";
import { environment, prepare, truth } from "./workload.mjs";

const THEMES = [["light", "system"], ["dark", "system"], ["light", "more"], ["dark", "more"]];

async function views() {
  const { failed } = await prepare();
  const { nodes } = await ask(`/api/v1/graph?environment=${environment}&window=15m`);
  const node = encodeURIComponent(nodes.find(({ service }) => service.name === "page-auth").id);
  await until("the flow is stored", async () => ask(`/api/v1/flows/${failed}`).then(() => true, () => false));
  const here = `environment=${environment}&live=15m`;
  return {
    map: [`/?${here}`, "[data-node]"], table: [`/?${here}&as=table`, "tbody tr"], tree: [`/?${here}&as=tree`, ".tree li"], panel: [`/?${here}&node=${node}`, "[data-panel] .chart svg"],
    operations: [`/operations?${here}`, "tbody tr"], live: [`/live?${here}`, "tbody tr"], errors: [`/errors?${here}&operation=${truth.operation}`, ".heatmap canvas"],
    compare: [`/compare?${here}`, "tbody tr"], flow: [`/flows/${failed}`, ".span-row"], status: ["/status", "tbody tr"], settings: ["/settings", "select"],
    nothing: ["/?environment=nowhere", ".empty"],
  };
}

for (const [theme, contrast] of THEMES) {
  test(`axe finds nothing serious: ${theme}${contrast === "more" ? ", high contrast" : ""}`, async (page) => {
    await page.addInitScript((chosen) => localStorage.setItem("weir-settings", JSON.stringify(chosen)), { theme, contrast });
    const problems = [];
    for (const [name, [path, wanted]] of Object.entries(await views())) {
      await page.goto(api + path);
      await page.locator(wanted).first().waitFor();
      const { violations } = await new AxeBuilder({ page }).analyze();
      for (const { id, impact, nodes } of violations) if (["serious", "critical"].includes(impact)) problems.push(`${name}: ${id} (${nodes.length}×, ${nodes[0].target.join(" ")}: ${nodes[0].failureSummary.split("\n")[1]?.trim()})`);
    }
    if (problems.length > 0) throw new Error(problems.join("\n"));
  });
}
