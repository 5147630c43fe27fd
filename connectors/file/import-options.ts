import type { Logger } from 'pino';
import type { KafkaClient } from '../../runtime/kafka/client.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import type { ImportMap } from './map.ts';

/** What imports need of the process. */
export interface ImportDeps {
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly logger: Logger;
}

export interface ImportOptions {
  readonly path: string;
  /** The file's own name, where `path` has another. */
  readonly name?: string | undefined;
  readonly map: ImportMap;
  /** Where each import has a directory of its own, for its rejects. */
  readonly directory: string;
  /** Imports a finished file once more; one that was begun so goes on. */
  readonly again?: boolean | undefined;
  /** Rows that may be rejected before the import stops. */
  readonly maxRejects: number;
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
  /** Ends the import where it is: it can go on later. */
  readonly signal?: AbortSignal | undefined;
}

export interface ImportProgress {
  readonly importId: string;
  /** So far, rejected ones included. */
  readonly rows: number;
  readonly rejected: number;
  /** From 0 to 1; undefined where only the end will tell. */
  readonly done: number | undefined;
}

export interface ImportResult {
  readonly importId: string;
  /** `already`: it had been finished before, and nothing was done. */
  readonly outcome: 'finished' | 'already';
  readonly rows: number;
  readonly rejected: number;
  readonly fileBytes: number;
  /** Rows that an earlier run had done. */
  readonly resumedAt: number;
  /** Of the rows that were rejected; there if there are any. */
  readonly rejectsPath: string;
}
