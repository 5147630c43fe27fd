/**
 * Takes the pictures of `docs/guides/console.md` from a console that runs with data: `node scripts/console-screenshots.ts [url]`.
 * Run it beside `npm run demo`, once that has played for a few minutes.
 */
import { join } from 'node:path';
import { chromium } from 'playwright-core';
import { findChromium } from '../tests/support/chromium.ts';

const url = process.argv[2] ?? 'http://127.0.0.1:8088';
const directory = join(import.meta.dirname, '..', 'docs', 'guides', 'console');
/** How long figures take until rates are known, ms. */
const SETTLE_MS = 12_000;
const VIEWS = { dashboards: 1_000, pipelines: 720, letters: 760 } as const;

const found = await findChromium();
if ('missing' in found) throw new Error(found.missing);
const browser = await chromium.launch(found);
for (const colorScheme of ['light', 'dark'] as const) {
  for (const [view, height] of Object.entries(VIEWS)) {
    const page = await browser.newPage({
      ...{ viewport: { width: 1_360, height }, colorScheme, locale: 'en-GB' },
    });
    await page.goto(`${url}/?range=15m#${view}`);
    await page.locator('#live[data-state=well]').waitFor();
    await page.waitForTimeout(SETTLE_MS);
    await page.screenshot({ path: join(directory, `${view}-${colorScheme}.png`) });
    await page.close();
  }
}
await browser.close();
