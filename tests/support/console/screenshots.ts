/**
 * Takes the pictures of `docs/guides/console.md` from a console that runs with data: `node tests/support/console/screenshots.ts [url] [range]`.
 * Run it beside `npm run demo`, once that has played for a few minutes.
 */
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { findChromium } from '../chromium.ts';

const url = process.argv[2] ?? 'http://127.0.0.1:8088';
const range = process.argv[3] ?? '15m';
const directory = join(import.meta.dirname, '..', '..', '..', 'docs', 'guides', 'console');
/** How long figures take until rates are known, ms. */
const SETTLE_MS = 12_000;
const VIEWS = { dashboards: 820, pipelines: 700, letters: 640 } as const;
/** Small enough for pictures below 150 KB, px. */
const WIDTH = 1_200;
/** The machine may be busy. */
const TIMEOUT_MS = 120_000;

const found = await findChromium();
if ('missing' in found) throw new Error(found.missing);
const browser = await chromium.launch(found);
for (const colorScheme of ['light', 'dark'] as const) {
  for (const [view, height] of Object.entries(VIEWS)) {
    const page = await browser.newPage({
      ...{ viewport: { width: WIDTH, height }, colorScheme, locale: 'en-GB' },
    });
    page.setDefaultTimeout(TIMEOUT_MS);
    await page.goto(`${url}/?range=${range}#${view}`);
    await page.locator('#live:not([data-state=waiting])').waitFor();
    await page.waitForTimeout(SETTLE_MS);
    await page.screenshot({ path: join(directory, `${view}-${colorScheme}.png`) });
    await page.close();
  }
}
await browser.close();
