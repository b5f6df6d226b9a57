// The browser of all tests and pictures.
import { chromium } from "playwright-core";

/**
 * The longest that a step waits for what it wants to see, in milliseconds: far more than a quiet machine needs, for a busy one, and less
 * than the minute after which a page asks by itself for what it was not told.
 */
export const WAIT_MS = 45_000;

/** The longest that a test waits until its pages are closed, in milliseconds: what is not closed then ends with the browser. */
const CLOSE_MS = 10_000;

/** The bound of a whole script, in minutes. */
const SCRIPT_MINUTES = 10;

/** Ends the process with an error when a script is not done in time. `running` tells what it is at. */
export function bound(running = () => "") {
  setTimeout(() => {
    console.error(`not done after ${SCRIPT_MINUTES} minutes ${running()}`);
    process.exit(1);
  }, SCRIPT_MINUTES * 60_000).unref();
}

/**
 * Starts Debian's Chromium, or another one that `CHROMIUM` names, without graphics hardware: CI's machines have none. A busy machine's
 * Chromium has closed a context after minutes only, which says nothing of the page, so a close has a bound of its own.
 */
export async function launch() {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--disable-gpu"] });
  const newContext = browser.newContext.bind(browser);
  browser.newContext = async (options) => {
    const context = await newContext(options);
    const close = context.close.bind(context);
    context.close = async () => {
      let timer;
      const late = new Promise((go) => {
        timer = setTimeout(() => {
          console.error(`the browser has not closed a page within ${CLOSE_MS / 1000} s: the page ends with the browser`);
          go();
        }, CLOSE_MS);
      });
      await Promise.race([close(), late]).finally(() => clearTimeout(timer));
    };
    return context;
  };
  return browser;
}
