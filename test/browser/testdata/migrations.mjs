// Looks at /console/migrations as an operator would, while an agent is moved.
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** hangGuard ends a wait that would never end, in milliseconds. A test that passes does not come near it. */
const hangGuard = 120_000;
const [base, control, browserPath, pictures] = process.argv.slice(2);
const axe = readFileSync("node_modules/axe-core/axe.min.js", "utf8");
const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
const need = (what, ok) => {
  if (!ok) throw new Error(what);
};
/** tell makes the test do a step of the migration. */
const tell = async (what) => {
  const answer = await fetch(`${control}/${what}`, { method: "POST" });
  need(`${what}: ${answer.status}`, answer.ok);
};
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 }, colorScheme: "light" });
  page.setDefaultTimeout(hangGuard);
  const noise = [];
  page.on("console", (m) => ["error", "warning"].includes(m.type()) && noise.push(`${m.type()}: ${m.text()}`));
  page.on("pageerror", (e) => noise.push(`exception: ${e.message}`));
  page.on("request", (r) => !r.url().startsWith(base) && !r.url().startsWith("data:") && noise.push(`asks ${r.url()}`));
  page.on("response", (r) => r.status() >= 400 && noise.push(`${r.status()} ${r.url()}`));
  const picture = (name) => page.screenshot({ path: join(pictures, `migrations-${name}.png`), fullPage: true });
  /** readable checks the page against WCAG 2.2 AA. */
  const readable = async (when) => {
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] }));
    need(`${when}: ${JSON.stringify(found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]), null, 1)}`, found.violations.length === 0);
  };
  const row = page.locator("#list > li").first();

  // From the live page one comes here; there is nothing yet.
  await page.goto(`${base}/console`);
  await page.getByRole("link", { name: "Migrations" }).click();
  await page.locator("#status.live").waitFor();
  await page.getByText("No migrations yet").waitFor();
  await readable("empty");

  // A plan: how severe its findings are, and, once it is opened, each of them.
  await tell("plan");
  await row.getByText("ready", { exact: true }).waitFor();
  await row.getByText(/\d+ lost/).waitFor();
  await row.getByRole("button").focus();
  await page.keyboard.press("Enter");
  await row.getByRole("cell", { name: "/description" }).waitFor();
  await row.locator("tr.data_loss").first().waitFor();
  await row.getByText("plan → ready", { exact: false }).waitFor();
  need("a value is shown", !(await page.locator("body").innerText()).includes("canary"));
  await readable("a plan");
  await picture("plan");

  // The shadow: which fields differ, over time.
  await tell("shadow");
  await row.getByText("shadowing", { exact: true }).waitFor();
  for (const began = Date.now(); (await row.getByRole("cell", { name: "/language" }).count()) < 2; ) {
    need("no difference is seen", Date.now() - began < hangGuard);
    await tell("read");
    await page.waitForTimeout(250);
  }
  need("no chart", (await row.locator("canvas").count()) === 1);
  need("the chart does not say what differs", (await row.locator(".canvas").getAttribute("aria-label")).includes("/language"));
  await readable("a shadow");
  await picture("shadow");

  // The cutover, in the dark, on a phone.
  await tell("cutover");
  await row.getByText("cut over", { exact: true }).first().waitFor();
  await page.locator("select[name=state]").selectOption("ready");
  await page.getByText("No migration matches the filter.").waitFor();
  await page.locator("select[name=state]").selectOption("cut_over");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 375, height: 740 });
  await row.waitFor();
  // Charts take their new width when the browser has told them of it.
  await page.waitForFunction(() => document.documentElement.scrollWidth <= 375).catch(() => need("it is wider than a phone", false));
  await readable("a phone, dark");
  await picture("phone-dark");
  need(noise.join("\n"), noise.length === 0);
  console.log("seen");
} finally {
  await browser.close();
}
