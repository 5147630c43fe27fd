import { Command } from 'commander';
import { openClaims } from '../../runtime/claims/open.ts';
import { sweepClaims } from '../../runtime/claims/sweep.ts';
import { createLogger } from '../../runtime/observability/logger.ts';
import { formatBytes } from '../checkpoint-view.ts';
import { loadAppConfig } from '../config.ts';
import { line, note } from '../output.ts';

interface SweepOptions {
  readonly config?: string;
  readonly dryRun?: boolean;
}

async function sweep({ config: file, dryRun = false }: SweepOptions): Promise<void> {
  const { config } = await loadAppConfig(file === undefined ? {} : { file });
  const { retentionDays } = config.claimCheck;
  const { storage } = openClaims(
    config.claimCheck,
    createLogger({ ...config.log, level: 'error' }),
  );
  try {
    let shown = 0;
    const { days, objects, bytes } = await sweepClaims(storage, {
      ...{ retentionDays, now: Date.now(), dryRun },
      onProgress(swept) {
        if (swept.objects - shown < 10_000) return;
        shown = swept.objects;
        note(`${swept.objects} payloads, ${formatBytes(swept.bytes)} …`);
      },
    });
    const what = dryRun ? 'would be removed' : 'removed';
    line(
      `${objects} payloads, ${formatBytes(bytes)}, of ${days.length} days ${what} from ${storage.location}: they are older than ${retentionDays} days`,
    );
  } finally {
    storage.close();
  }
}

/** `reachflow claim-check`. */
export function claimCheckCommand(): Command {
  const command = new Command('claim-check').description(
    'large payloads that are kept beside their topic',
  );
  command
    .command('sweep')
    .description(
      'remove those that are older than claimCheck.retentionDays; `run` does it every hour',
    )
    .option('--dry-run', 'say what would be removed')
    .option('--config <file>', 'configuration file')
    .addHelpText('after', '\nExamples:\n  reachflow claim-check sweep --dry-run\n')
    .action(sweep);
  return command;
}
