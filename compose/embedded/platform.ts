import { ReachflowError } from '../../runtime/errors.ts';

/** What the embedded engines are published for, as `process.platform`-`process.arch`. */
export const supportedPlatforms = ['linux-x64', 'linux-arm64'] as const;

/** How to go on where the embedded engines cannot run. */
export const dockerHint = 'With Docker instead: `reachflow stack up --engine docker`.';

/**
 * @throws ReachflowError `STACK_PLATFORM_UNSUPPORTED` where the embedded engines do not run: other systems, and
 *   Linux with a C library other than glibc (the Postgres and ClickHouse binaries need glibc).
 */
export function assertPlatform(
  platform: string = `${process.platform}-${process.arch}`,
  glibc: boolean = hasGlibc(),
): void {
  const supported = (supportedPlatforms as readonly string[]).includes(platform);
  if (supported && glibc) return;
  const found = supported ? `${platform} without glibc` : platform;
  throw new ReachflowError(
    `The embedded engines run on ${supportedPlatforms.join(' and ')} (glibc); this is ${found}.`,
    { code: 'STACK_PLATFORM_UNSUPPORTED', domain: 'user', hint: dockerHint },
  );
}

function hasGlibc(): boolean {
  const report: unknown = process.report?.getReport();
  if (typeof report !== 'object' || report === null || !('header' in report)) return false;
  const { header } = report;
  return typeof header === 'object' && header !== null && 'glibcVersionRuntime' in header;
}
