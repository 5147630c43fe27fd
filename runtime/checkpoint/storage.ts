import { ReachflowError } from '../errors.ts';

/** What a file's bytes are: their number, and their SHA-256 in lower-case hex. */
export interface FileDigest {
  readonly bytes: number;
  readonly sha256: string;
}

/** An object as a listing has it. */
export interface StoredObject {
  readonly key: string;
  readonly bytes: number;
  /** When it was written, by the storage's clock; ms. */
  readonly modifiedMs: number;
}

export interface TransferOptions {
  /** Ends the transfer: it throws `CHECKPOINT_ABORTED`. */
  readonly signal?: AbortSignal | undefined;
  /** Called now and then with the bytes moved since the last call. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * Where checkpoints are kept: objects by key. A key is path segments with `/` between them, each of letters, digits
 * and `._%-`. Safe to be used by several processes at once. Every method throws ReachflowError
 * `CHECKPOINT_STORAGE_UNAVAILABLE` (retry: backoff) when the storage does not do what was asked, or
 * `CHECKPOINT_STORAGE_INVALID` (retry: none) when it never will, as settings are wrong.
 */
export interface CheckpointStorage {
  /** Where it is, for people; no secrets. */
  readonly location: string;
  /** Where local files are best written that are to be put: there `putFile` need not copy them. Any place when undefined. */
  readonly stagingDir: string | undefined;
  /**
   * Stores a local file, durably, and may take it away from where it is.
   * @returns what was stored.
   */
  putFile(key: string, path: string, options?: TransferOptions): Promise<FileDigest>;
  /** Stores a few bytes, durably. Readers see none of them, or all; what was there before is replaced. */
  putBytes(key: string, bytes: Buffer): Promise<void>;
  /**
   * Writes an object to a local file, which must not be there yet, and onto the disk.
   * @returns what was written, undefined when there is no such object.
   */
  getFile(key: string, path: string, options?: TransferOptions): Promise<FileDigest | undefined>;
  /** An object of up to `maxBytes`; undefined when there is none. @throws ReachflowError `CHECKPOINT_CORRUPT` when it is larger. */
  getBytes(key: string, maxBytes: number): Promise<Buffer | undefined>;
  /** Reads an object and keeps nothing of it; undefined when there is none. */
  digest(key: string, options?: TransferOptions): Promise<FileDigest | undefined>;
  /** Every whole object whose key begins with `prefix`, which ends with `/` or is empty; in order of keys. */
  list(prefix: string): Promise<StoredObject[]>;
  /** Names of the directories right below `prefix`, which ends with `/` or is empty; in order. */
  directories(prefix: string): Promise<string[]>;
  /** Removes an object; no error when there is none. */
  remove(key: string): Promise<void>;
  /** Removes all that begins with `prefix`, which ends with `/`, and what unfinished `put`s left there. */
  removePrefix(prefix: string): Promise<void>;
  /** Removes what `put`s below `prefix` left that began before `beforeMs` and did not end. */
  removeUnfinished(prefix: string, beforeMs: number): Promise<void>;
  close(): void;
}

/** Objects of one listing, at most: beyond it something other than checkpoints is stored there. */
export const MAX_LISTED = 200_000;

/** @throws ReachflowError `CHECKPOINT_ABORTED`. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw abortedError(signal.reason);
}

/** A transfer that its caller ended. */
export function abortedError(cause?: unknown): ReachflowError {
  return new ReachflowError('the work on a checkpoint was ended', {
    code: 'CHECKPOINT_ABORTED',
    domain: 'internal',
    retry: 'backoff',
    cause,
  });
}

/** A listing has more objects than checkpoints can be. */
export function tooMany(location: string): ReachflowError {
  return new ReachflowError(`${location} holds more than ${MAX_LISTED} objects`, {
    code: 'CHECKPOINT_STORAGE_INVALID',
    domain: 'user',
    hint: 'Give checkpoints a directory, or a bucket and prefix, of their own.',
  });
}

const KEY = /^[A-Za-z0-9_%-][A-Za-z0-9._%-]*(\/[A-Za-z0-9_%-][A-Za-z0-9._%-]*)*$/;

/** @throws Error when it is no key: a mistake of the caller. */
export function checkKey(key: string): void {
  if (!KEY.test(key)) throw new Error(`${JSON.stringify(key)} is no key of a checkpoint storage`);
}

/** @throws Error when it is no prefix of keys: a mistake of the caller. */
export function checkPrefix(prefix: string): void {
  if (!prefix.endsWith('/')) throw new Error(`${JSON.stringify(prefix)} does not end with /`);
  checkKey(prefix.slice(0, -1));
}
