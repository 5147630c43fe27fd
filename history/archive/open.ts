import { DirectoryStorage } from '../../runtime/checkpoint/directory-storage.ts';
import { S3Storage } from '../../runtime/checkpoint/s3-storage.ts';
import type { CheckpointStorage } from '../../runtime/checkpoint/storage.ts';
import type { ArchiveConfig } from './config.ts';

/** Where the archive is. Connects to nothing. @throws ReachflowError `CHECKPOINT_STORAGE_INVALID` when settings of S3 are missing. */
export function openArchive({ storage, directory, s3 }: ArchiveConfig): CheckpointStorage {
  return storage === 's3' ? new S3Storage(s3, 'archive.s3') : new DirectoryStorage(directory);
}
