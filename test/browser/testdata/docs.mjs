// Opens /docs as a person would: reads it, gives the key, and tries the list.
import { need, withPage } from "./page.mjs";

const [base, key, browserPath, picture] = [process.argv[2], process.env.KEY, process.argv[3], process.argv[4]];
await withPage(browserPath, base, {}, async (page, noise) => {
  await page.goto(`${base}/docs`);
  await page.getByRole("button", { name: "Authorize" }).first().click();
  need("more than one box for the key", (await page.locator(".auth-container").count()) === 1);
  await page.getByLabel("auth-bearer-value").fill(key);
  await page.locator(".auth-container").filter({ hasText: "bearer" }).getByRole("button", { name: "Apply credentials" }).click();
  await page.getByRole("button", { name: "Close" }).first().click();
  await page.locator("#operations-agents-listAgents").getByRole("button").first().click();
  const answer = page.waitForResponse((r) => r.url().startsWith(`${base}/v1/agents`));
  await page.locator("#operations-agents-listAgents").getByRole("button", { name: "Execute" }).click();
  const listed = await (await answer).json();
  await page.locator("#operations-agents-listAgents .live-responses-table .response-col_description").getByText("klen:123").first().waitFor();
  await page.screenshot({ path: picture, fullPage: false });
  need(JSON.stringify(listed), listed.object === "list" && listed.complete && listed.data.length > 0);

  const height = (await page.locator("#operations-agents-listAgents").boundingBox()).height;
  need(`an operation is ${height} px high`, height < 8000);

  // The demo's link brings its key along, and takes it out of the address.
  await page.goto("about:blank");
  await page.goto(`${base}/docs#key=${key}`);
  await page.locator(".auth-wrapper .authorize.locked").waitFor(); // the key is in use
  await page.locator("#operations-agents-listAgents").getByRole("button").first().click();
  need(`the key is in the address ${page.url()}`, !page.url().includes("key="));
  const second = page.waitForResponse((r) => r.url().startsWith(`${base}/v1/agents`));
  await page.locator("#operations-agents-listAgents").getByRole("button", { name: "Execute" }).click();
  need("the key of the link is not used", (await second).status() === 200);

  await page.goto(`${base}/docs/errors#upstream_timeout`);
  need("the code has no anchor", await page.locator("#upstream_timeout").isVisible());
  need(noise.join("\n"), noise.length === 0);
  console.log(listed.data.length, "agents");
});
