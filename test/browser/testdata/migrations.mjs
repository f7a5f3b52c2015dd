// Looks at /console/migrations as an operator would, while an agent is moved.
import { join } from "node:path";
import { fitsAPhone, hangGuard, need, readable, tell, withPage } from "./page.mjs";

const [base, controlURL, browserPath, pictures] = process.argv.slice(2);
const control = tell(controlURL); // makes the test do a step of the migration
await withPage(browserPath, base, { viewport: { width: 1280, height: 900 }, colorScheme: "light" }, async (page, noise) => {
  const picture = (name) => page.screenshot({ path: join(pictures, `migrations-${name}.png`), fullPage: true });
  const checkReadable = readable(page);
  const row = page.locator("#list > li").first();

  // From the live page one comes here; there is nothing yet.
  await page.goto(`${base}/console`);
  await page.getByRole("link", { name: "Migrations" }).click();
  await page.locator("#status.live").waitFor();
  await page.getByText("No migrations yet").waitFor();
  await checkReadable("empty");

  // A plan: how severe its findings are, and, once it is opened, each of them.
  await control("plan");
  await row.getByText("ready", { exact: true }).waitFor();
  await row.getByText(/\d+ lost/).waitFor();
  await row.getByRole("button").focus();
  await page.keyboard.press("Enter");
  await row.getByRole("cell", { name: "/description" }).waitFor();
  await row.locator("tr.data_loss").first().waitFor();
  await row.getByText("plan → ready", { exact: false }).waitFor();
  need("a value is shown", !(await page.locator("body").innerText()).includes("canary"));
  await checkReadable("a plan");
  await picture("plan");

  // The shadow: which fields differ, over time.
  await control("shadow");
  await row.getByText("shadowing", { exact: true }).waitFor();
  for (const began = Date.now(); (await row.getByRole("cell", { name: "/language" }).count()) < 2; ) {
    need("no difference is seen", Date.now() - began < hangGuard);
    await control("read");
    await page.waitForTimeout(250);
  }
  need("no chart", (await row.locator("canvas").count()) === 1);
  need("the chart does not say what differs", (await row.locator(".canvas").getAttribute("aria-label")).includes("/language"));
  await checkReadable("a shadow");
  await picture("shadow");

  // The cutover, in the dark, on a phone.
  await control("cutover");
  await row.getByText("cut over", { exact: true }).first().waitFor();
  await page.locator("select[name=state]").selectOption("ready");
  await page.getByText("No migration matches the filter.").waitFor();
  await page.locator("select[name=state]").selectOption("cut_over");
  await page.emulateMedia({ colorScheme: "dark" });
  await page.setViewportSize({ width: 375, height: 740 });
  await row.waitFor();
  await fitsAPhone(page);
  await checkReadable("a phone, dark");
  await picture("phone-dark");
  need(noise.join("\n"), noise.length === 0);
});
