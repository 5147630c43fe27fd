import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import type { LaunchOptions } from 'playwright-core';
import { stackConfigSchema } from '../../compose/config.ts';

const run = promisify(execFile);

const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];
/** Debian's package, and a font: a small installation has none. */
const PACKAGES = ['chromium', 'fonts-dejavu-core'];
const DOWNLOAD_MS = 300_000;

/** How Playwright starts it: as root, as in a container, its sandbox cannot work. */
function optionsOf(executablePath: string, env?: Record<string, string>): LaunchOptions {
  return {
    executablePath,
    args: [
      ...(process.getuid?.() === 0 ? ['--no-sandbox'] : []),
      ...['--disable-dev-shm-usage', '--disable-gpu'],
    ],
    ...(env === undefined ? {} : { env }),
  };
}

function onPath(): string | undefined {
  const places = (process.env['PATH'] ?? '').split(delimiter);
  const all = places.flatMap((place) => NAMES.map((name) => join(place, name)));
  return all.find((file) => existsSync(file));
}

/**
 * The installed browser; else Debian's packages with what they depend on and is missing, unpacked once below the user's cache.
 * Nothing is installed.
 * @returns a reason where it cannot be had, for people.
 */
export async function findChromium(): Promise<LaunchOptions | { readonly missing: string }> {
  const installed = onPath();
  if (installed !== undefined) return optionsOf(installed);
  const { cacheDir } = stackConfigSchema.parse({});
  const home = join(process.env['REACHFLOW_STACK_CACHE_DIR'] ?? cacheDir, 'test', 'chromium');
  if (!existsSync(home)) {
    const making = `${home}.making-${process.pid}`;
    try {
      await fetchInto(making);
      await rename(making, home);
    } catch (error) {
      await rm(making, { recursive: true, force: true });
      const why = error instanceof Error ? error.message.split('\n')[0] : String(error);
      return { missing: `Chromium is not installed, and apt-get could not fetch it: ${why}` };
    }
  }
  return optionsOf(join(home, 'usr/lib/chromium/chromium'), await environmentOf(home));
}

/** Downloads and unpacks what an installation would bring. */
async function fetchInto(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true });
  const { stdout: plan } = await run('apt-get', [
    ...['install', '--simulate', '--no-install-recommends', ...PACKAGES],
  ]);
  const names = [...plan.matchAll(/^Inst (\S+)/gm)].map(([, name = '']) => name);
  if (names.length === 0) throw new Error('apt-get knows of nothing to install');
  const options = { cwd: directory, timeout: DOWNLOAD_MS };
  await run('apt-get', ['download', ...names], options);
  const { stdout } = await run('find', [directory, '-name', '*.deb']);
  for (const file of stdout.trim().split('\n')) {
    await run('dpkg-deb', ['-x', file, directory]);
    await rm(file);
  }
}

/** Where its libraries and fonts are. */
async function environmentOf(home: string): Promise<Record<string, string>> {
  const architecture = process.arch === 'arm64' ? 'aarch64' : 'x86_64';
  const fonts = join(home, 'fonts.conf');
  const known = await readFile(fonts, 'utf8').catch(() => '');
  const wanted = `<?xml version="1.0"?><fontconfig><dir>${join(home, 'usr/share/fonts')}</dir><cachedir>${join(home, 'font-cache')}</cachedir></fontconfig>\n`;
  if (known !== wanted) await writeFile(fonts, wanted);
  const own = Object.entries(process.env).filter(
    (entry): entry is [string, string] => entry[1] !== undefined,
  );
  return {
    ...Object.fromEntries(own),
    LD_LIBRARY_PATH: ['usr/lib', 'lib']
      .map((at) => join(home, at, `${architecture}-linux-gnu`))
      .join(':'),
    FONTCONFIG_FILE: fonts,
  };
}
