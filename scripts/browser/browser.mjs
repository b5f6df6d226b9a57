// The browser of all tests and pictures.
import { chromium } from "playwright-core";

/** The longest that a step waits for what it wants to see, in milliseconds: far more than a quiet machine needs, for a busy one. */
export const WAIT_MS = 60_000;

/** The longest that a test waits until its pages are closed, in milliseconds: what is not closed then ends with the browser. */
const CLOSE_MS = 10_000;

/**
 * Starts Debian's Chromium, or another one that `CHROMIUM` names, without a process for graphics hardware, which CI has none of. On a
 * busy machine Chromium has closed a context after minutes only, which says nothing of the page.
 */
export async function launch() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--disable-gpu"] });
  const newContext = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await newContext(options);
    const close = context.close.bind(context);
    context.close = () => Promise.race([close(), new Promise((go) => setTimeout(go, CLOSE_MS).unref())]);
    return context;
  };
  return browser;
}
