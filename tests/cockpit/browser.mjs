// A Chromium for one scenario: reads a command per line on stdin, writes an answer per line on stdout.
// Ends with stdin. Decides nothing: the scenario asserts what must be on the page.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({
  executablePath: process.argv[2],
  // Root has no sandbox; /dev/shm is small in containers. The page under test is our own.
  args: ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
});
let page;
const problems = [];

const acts = {
  async open({ url, width, height, scheme }) {
    const context = await browser.newContext({ viewport: { width, height }, colorScheme: scheme, locale: "en-GB", timezoneId: "UTC" });
    page = await context.newPage();
    page.on("console", message => {
      const { url } = message.location();
      // An edge without orders answers 404, which the page expects and Chromium reports.
      if (message.type() === "error" && !url.endsWith("/api/v1/orders")) problems.push(`${message.text()} ${url}`);
    });
    page.on("pageerror", error => problems.push(String(error)));
    const requests = [];
    page.on("request", request => requests.push(request.url()));
    await page.goto(url, { waitUntil: "commit" });
    return requests;
  },
  // A page that is being loaded anew has no text yet.
  text: ({ of }) => page.evaluate(of => document.querySelector(of)?.textContent ?? null, of)
    .catch(error => String(error).includes("context was destroyed") ? null : Promise.reject(error)),
  eval: ({ js }) => page.evaluate(js),
  press: ({ key }) => page.keyboard.press(key),
  type: ({ text }) => page.keyboard.type(text),
  shot: ({ path }) => page.screenshot({ path }).then(() => true),
  async axe() {
    await page.evaluate(axe);
    const { violations } = await page.evaluate(() => axe.run(document, { resultTypes: ["violations"] }));
    return violations.map(one => `${one.id}: ${one.help}: ${one.nodes.slice(0, 3).map(node => node.html).join(" | ")}`);
  },
  problems: async () => problems.splice(0),
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  let answer;
  try {
    answer = { ok: (await acts[command.do](command)) ?? null };
  } catch (error) {
    answer = { error: String(error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
await browser.close();
