// Looks at /console as an operator would, while the gateway's backends fail and recover.
import { join } from "node:path";
import { fitsAPhone, hangGuard, need, readable, tell, withPage } from "./page.mjs";

const [base, controlURL, browserPath, pictures] = process.argv.slice(2);
const control = tell(controlURL); // makes the test change the gateway or its backends
await withPage(browserPath, base, { viewport: { width: 1280, height: 900 }, colorScheme: "light" }, async (page, noise) => {
  const picture = async (name) => {
    await page.evaluate(() => scrollTo(0, 0));
    await page.screenshot({ path: join(pictures, `console-${name}.png`), fullPage: true });
  };
  const checkReadable = readable(page);
  const card = (name) => page.locator(`article[data-backend=${name}]`);
  const rows = page.locator("#list > li > button");

  // Without traffic there is something to see, and to do.
  await page.goto(`${base}/console`);
  await page.locator("#status.live").waitFor();
  await card("krosai").locator(".badge.closed").waitFor();
  await page.getByText("No requests yet").waitFor();
  need("no charts", (await page.locator("canvas").count()) === 3 + 2 * (await page.locator("article").count()));
  await checkReadable("idle");
  await picture("idle");

  // Traffic, whole.
  for (let i = 0; i < 4; i++) await control("ask?path=/v1/agents");
  await control("ask?path=/v1/agents/klen:none");
  await rows.nth(4).waitFor();
  await page.getByRole("button", { name: /GET \/v1\/agents .* krosai hit/ }).first().waitFor();
  await page.getByRole("button", { name: /404 agent_not_found/ }).first().waitFor();
  await picture("traffic");

  // A backend that fails: retries, an incomplete list, the breaker opens.
  await control("fail?backend=krosai");
  for (const began = Date.now(); (await card("krosai").locator(".badge.open").count()) === 0; ) {
    need("the breaker is not seen to open", Date.now() - began < hangGuard);
    await control("ask?path=/v1/agents&fresh=1");
    await page.waitForTimeout(250);
  }
  await page.getByText("the breaker of krosai opened").first().waitFor();
  await page.locator("#incomplete td", { hasText: "krosai" }).first().waitFor();
  await page.keyboard.press("t"); // light
  await page.keyboard.press("t"); // dark
  need("it is not dark", (await page.evaluate(() => document.documentElement.dataset.theme)) === "dark");
  await checkReadable("the breaker is open, dark");
  await picture("breaker-open-dark");

  // What became of one of the requests, by keyboard alone.
  await page.getByLabel("Failed or partial").focus();
  await page.keyboard.press("Space");
  await page.keyboard.press("/");
  await page.keyboard.type("upstream_error");
  await page.keyboard.press("Escape");
  const waterfall = page.locator("#list .waterfall").first();
  let retried = false; // the retry budget allows one a second: one of the first that failed was retried
  for (let i = await rows.count(); i > 0; i--) await page.keyboard.press("j");
  for (let i = await rows.count(); i > 0 && !retried; i--) {
    await page.keyboard.press("Enter");
    await waterfall.waitFor();
    retried = (await waterfall.getByText("attempt 2").count()) > 0;
    if (!retried) {
      await page.keyboard.press("Enter");
      await page.keyboard.press("k");
    }
  }
  need("no request that failed was retried", retried);
  need("no bars", (await waterfall.locator(".bar.failed").count()) >= 2);
  await waterfall.scrollIntoViewIfNeeded();
  await checkReadable("a waterfall, dark");
  await picture("waterfall-dark");
  await page.keyboard.press("Enter");
  need("it does not close", (await page.locator("#list .details:not([hidden])").count()) === 0);
  await page.keyboard.press("k");
  need("no row has the focus", await page.evaluate(() => document.activeElement.matches("#list > li > button")));

  // It recovers.
  await control("heal?backend=krosai");
  for (const began = Date.now(); (await card("krosai").locator(".badge.closed").count()) === 0; ) {
    need("the breaker is not seen to close", Date.now() - began < hangGuard);
    await control("ask?path=/v1/agents&fresh=1");
    await page.waitForTimeout(250);
  }
  await page.getByText("the breaker of krosai closed").first().waitFor();
  await page.keyboard.press("t"); // auto: the browser asks for light
  await checkReadable("it has recovered, light");
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
  await fitsAPhone(page);
  await checkReadable("a phone");
  await picture("phone");
  need(noise.join("\n"), noise.length === 0);

  // A gateway that is gone is said to be, and one that is back is found.
  await control("cut");
  await page.locator("#status.lost").waitFor();
  await picture("lost");
  await control("mend");
  await page.locator("#status.live").waitFor();
});
