// Opens /docs as a person would: reads it, gives the key, and tries the list.
import { chromium } from "playwright-core";

const [base, key, browserPath, picture] = [process.argv[2], process.env.KEY, process.argv[3], process.argv[4]];
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  page.setDefaultTimeout(120_000); // a hang guard
  const noise = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && noise.push(`${m.type()}: ${m.text()}`));
  page.on("pageerror", (e) => noise.push(`exception: ${e.message}`));
  page.on("request", (r) => !r.url().startsWith(base) && !r.url().startsWith("data:") && noise.push(`asks ${r.url()}`));
  page.on("response", (r) => r.status() >= 400 && noise.push(`${r.status()} ${r.url()}`));

  await page.goto(`${base}/docs`);
  await page.getByRole("button", { name: "Authorize" }).first().click();
  await page.getByLabel("auth-bearer-value").fill(key);
  await page.locator(".auth-container").filter({ hasText: "bearer" }).getByRole("button", { name: "Apply credentials" }).click();
  await page.getByRole("button", { name: "Close" }).first().click();
  await page.locator("#operations-agents-listAgents").getByRole("button").first().click();
  const answer = page.waitForResponse((r) => r.url().startsWith(`${base}/v1/agents`));
  await page.locator("#operations-agents-listAgents").getByRole("button", { name: "Execute" }).click();
  const listed = await (await answer).json();
  await page.locator("#operations-agents-listAgents .live-responses-table .response-col_description").getByText("klen:123").first().waitFor();
  await page.screenshot({ path: picture, fullPage: false });
  if (listed.object !== "list" || !listed.complete || listed.data.length === 0) throw new Error(JSON.stringify(listed));

  await page.goto(`${base}/docs/errors#upstream_timeout`);
  if (!(await page.locator("#upstream_timeout").isVisible())) throw new Error("the code has no anchor");
  if (noise.length) throw new Error(noise.join("\n"));
  console.log(listed.data.length, "agents");
} finally {
  await browser.close();
}
