import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';
import { findChromium } from '../chromium.ts';

const TIMEOUT_MS = 120_000;

/** A page, and everything that went wrong in it. */
export interface Watched {
  readonly page: Page;
  readonly context: BrowserContext;
  /** Errors and warnings of the console, uncaught errors, violations of the policy, requests to other hosts. */
  readonly troubles: string[];
}

/** Starts a browser. @returns a reason where there is none. */
export async function startBrowser(): Promise<Browser | { readonly missing: string }> {
  const found = await findChromium();
  return 'missing' in found ? found : chromium.launch(found);
}

/** Opens a page of the console at an address, in a profile of its own. */
export async function openPage(browser: Browser, url: string): Promise<Watched> {
  const context = await browser.newContext({
    viewport: { width: 1_440, height: 900 },
    ...{ locale: 'en-GB', timezoneId: 'Europe/Berlin', colorScheme: 'light' },
  });
  // A machine that does much else is slow, not wrong.
  context.setDefaultTimeout(TIMEOUT_MS);
  const page = await context.newPage();
  const troubles: string[] = [];
  page.on('console', (message) => {
    const type = message.type();
    if (type === 'error' || type === 'warning') troubles.push(`${type}: ${message.text()}`);
  });
  page.on('pageerror', (error) => troubles.push(`uncaught: ${error.message}`));
  page.on('request', (request) => {
    if (new URL(request.url()).origin !== new URL(url).origin) troubles.push(request.url());
  });
  await page.exposeFunction('violated', (what: string) => void troubles.push(`policy: ${what}`));
  await page.addInitScript(
    'document.addEventListener("securitypolicyviolation", (e) => violated(e.violatedDirective + " " + e.blockedURI))',
  );
  await page.goto(url);
  return { page, context, troubles };
}
