// What the scripts share: a page that reports whatever the browser complains about.
import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";

/** hangGuard ends a wait that would never end, in milliseconds. A test that passes does not come near it. */
export const hangGuard = 120_000;

/** need throws if a condition does not hold. */
export const need = (what, ok) => {
  if (!ok) throw new Error(what);
};

/** tell returns a function that makes the test do something: POST to its control server. */
export const tell = (control) => async (what) => {
  const answer = await fetch(`${control}/${what}`, { method: "POST" });
  need(`${what}: ${answer.status}`, answer.ok);
};

/**
 * withPage opens a browser, calls use, prints "seen" if that succeeds, and closes the browser.
 * use gets the page, and noise: console messages, exceptions, failed requests, and requests to
 * other hosts than base.
 */
export const withPage = async (browserPath, base, options, use) => {
  const browser = await chromium.launch({ executablePath: browserPath, args: ["--no-sandbox"] });
  try {
    const page = await browser.newPage(options);
    page.setDefaultTimeout(hangGuard);
    const noise = [];
    page.on("console", (m) => ["error", "warning"].includes(m.type()) && noise.push(`${m.type()}: ${m.text()}`));
    page.on("pageerror", (e) => noise.push(`exception: ${e.message}`));
    page.on("request", (r) => !r.url().startsWith(base) && !r.url().startsWith("data:") && noise.push(`asks ${r.url()}`));
    page.on("response", (r) => r.status() >= 400 && noise.push(`${r.status()} ${r.url()}`));
    await use(page, noise);
    console.log("seen");
  } finally {
    await browser.close();
  }
};

/** readable returns a function that checks the page against WCAG 2.2 AA. */
export const readable = (page) => async (when) => {
  await page.evaluate(readFileSync("node_modules/axe-core/axe.min.js", "utf8"));
  const found = await page.evaluate(() => axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"] }));
  need(`${when}: ${JSON.stringify(found.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]), null, 1)}`, found.violations.length === 0);
};

/** fitsAPhone checks that the page is not wider than 375 px. Charts take their new width when the browser has reported it to them. */
export const fitsAPhone = (page) =>
  page.waitForFunction(() => document.documentElement.scrollWidth <= 375).catch(() => need("it is wider than a phone", false));
