import type { CheckpointConfig } from './config.ts';
import { DirectoryStorage } from './directory-storage.ts';
import { S3Storage } from './s3-storage.ts';
import type { CheckpointStorage } from './storage.ts';

/**
 * The storage of a configuration; undefined when checkpoints are off. Connects to nothing.
 * @throws ReachflowError `CHECKPOINT_STORAGE_INVALID` when settings are missing.
 */
export function createCheckpointStorage(
  config: Pick<CheckpointConfig, 'target' | 'directory' | 's3'>,
): CheckpointStorage | undefined {
  switch (config.target) {
    case 'none':
      return undefined;
    case 'directory':
      return new DirectoryStorage(config.directory);
    case 's3':
      return new S3Storage(config.s3);
  }
}
