// Looks at /console as an operator would, while the gateway's backends fail and recover.
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
/** tell makes the test change the gateway or its backends. */
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
  const picture = async (name) => {
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: join(pictures, `console-${name}.png`), fullPage: true });
  };
  /** readable checks the page against WCAG 2.2 AA. */
  const readable = async (when) => {
    await page.evaluate(axe);
    const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] }));
    need(`${when}: ${JSON.stringify(found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]), null, 1)}`, found.violations.length === 0);
  };
  const card = (name) => page.locator(`article[data-backend=${name}]`);
  const rows = page.locator("#list > li > button");

  // Without traffic there is something to see, and to do.
  await page.goto(`${base}/console`);
  await page.locator("#status.live").waitFor();
  await card("krosai").locator(".badge.closed").waitFor();
  await page.getByText("No requests yet").waitFor();
  need("no charts", (await page.locator("canvas").count()) === 3 + 2 * (await page.locator("article").count()));
  await readable("idle");
  await picture("idle");

  // Traffic, whole.
  for (let i = 0; i < 4; i++) await tell("ask?path=/v1/agents");
  await tell("ask?path=/v1/agents/klen:none");
  await rows.nth(4).waitFor();
  await page.getByRole("button", { name: /GET \/v1\/agents .* krosai hit/ }).first().waitFor();
  await page.getByRole("button", { name: /404 agent_not_found/ }).first().waitFor();
  await picture("traffic");

  // A backend that fails: retries, an incomplete list, the breaker opens.
  await tell("fail?backend=krosai");
  for (const began = Date.now(); (await card("krosai").locator(".badge.open").count()) === 0; ) {
    need("the breaker is not seen to open", Date.now() - began < hangGuard);
    await tell("ask?path=/v1/agents&fresh=1");
    await page.waitForTimeout(250);
  }
  await page.getByText("the breaker of krosai opened").first().waitFor();
  await page.locator("#incomplete td", { hasText: "krosai" }).first().waitFor();
  await page.keyboard.press("t"); // light
  await page.keyboard.press("t"); // dark
  need("it is not dark", (await page.evaluate(() => document.documentElement.dataset.theme)) === "dark");
  await readable("the breaker is open, dark");
  await picture("breaker-open-dark");

  // What became of one of the requests, by keyboard alone.
  await page.getByLabel("Failed or partial").focus();
  await page.keyboard.press("Space");
  await page.keyboard.press("/");
  await page.keyboard.type("upstream_error");
  await page.keyboard.press("Escape");
  for (let i = await rows.count(); i > 0; i--) await page.keyboard.press("j"); // to the first that failed: it was retried
  await page.keyboard.press("Enter");
  const waterfall = page.locator("#list .waterfall").first();
  await waterfall.getByText("attempt 2").first().waitFor();
  need("no bars", (await waterfall.locator(".bar.failed").count()) >= 2);
  await waterfall.scrollIntoViewIfNeeded();
  await readable("a waterfall, dark");
  await picture("waterfall-dark");
  await page.keyboard.press("Enter");
  need("it does not close", (await page.locator("#list .details:not([hidden])").count()) === 0);
  await page.keyboard.press("k");
  need("no row has the focus", await page.evaluate(() => document.activeElement.matches("#list > li > button")));

  // It recovers.
  await tell("heal?backend=krosai");
  for (const began = Date.now(); (await card("krosai").locator(".badge.closed").count()) === 0; ) {
    need("the breaker is not seen to close", Date.now() - began < hangGuard);
    await tell("ask?path=/v1/agents&fresh=1");
    await page.waitForTimeout(250);
  }
  await page.getByText("the breaker of krosai closed").first().waitFor();
  await page.keyboard.press("t"); // auto: the browser asks for light
  await readable("it has recovered, light");
  await picture("recovered");

  // Held still, it stays so; and help is there.
  await page.keyboard.press("p");
  await page.locator("#status.paused").waitFor();
  await page.keyboard.press("p");
  await page.locator("#status.live").waitFor();
  await page.keyboard.press("?");
  await page.getByRole("heading", { name: "Keyboard shortcuts" }).waitFor();
  await page.keyboard.press("Escape");

  // At phone width nothing is cut off.
  await page.setViewportSize({ width: 375, height: 740 });
  await page.getByLabel("All", { exact: true }).check();
  await page.locator("input[type=search]").fill("");
  await rows.first().click();
  await page.locator("#list .waterfall").first().waitFor();
  // Charts take their new width when the browser has told them of it.
  await page.waitForFunction(() => document.documentElement.scrollWidth <= 375).catch(() => need("it is wider than a phone", false));
  await readable("a phone");
  await picture("phone");
  need(noise.join("\n"), noise.length === 0);

  // A gateway that is gone is said to be, and one that is back is found.
  await tell("cut");
  await page.locator("#status.lost").waitFor();
  await picture("lost");
  await tell("mend");
  await page.locator("#status.live").waitFor();
  console.log("seen");
} finally {
  await browser.close();
}
