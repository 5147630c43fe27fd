import type { Logger } from 'pino';
import { DirectoryStorage } from '../checkpoint/directory-storage.ts';
import { S3Storage } from '../checkpoint/s3-storage.ts';
import type { CheckpointStorage } from '../checkpoint/storage.ts';
import type { ClaimMetrics } from '../observability/claim-metrics.ts';
import { ClaimReader } from './claim-reader.ts';
import { ClaimWriter } from './claim-writer.ts';
import type { ClaimCheckConfig } from './config.ts';

/** The claim check of a process. */
export interface Claims {
  readonly storage: CheckpointStorage;
  readonly reader: ClaimReader;
  /** Undefined where nothing is to be written. */
  readonly writer: ClaimWriter | undefined;
}

/** Connects to nothing. @throws ReachflowError `CHECKPOINT_STORAGE_INVALID` when settings of S3 are missing. */
export function openClaims(
  config: ClaimCheckConfig,
  logger: Logger,
  metrics?: ClaimMetrics,
): Claims {
  const storage =
    config.storage === 's3'
      ? new S3Storage(config.s3, 'claimCheck.s3')
      : new DirectoryStorage(config.directory);
  const options = { storage, config, metrics, logger: logger.child({ part: 'claim-check' }) };
  return {
    storage,
    reader: new ClaimReader(options),
    writer: config.enabled ? new ClaimWriter(options) : undefined,
  };
}
