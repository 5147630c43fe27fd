import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { z } from 'zod';

/** Where a page ended. */
export interface Position {
  /** The snapshot of the index that is paged through: Elasticsearch's point in time. */
  readonly snapshot: string;
  /** When paging began, ms since the epoch. */
  readonly since: number;
  /** Whether the search was relaxed: what misspelled forms match follows. */
  readonly relaxed: boolean;
  /** Contacts before it: how pages near the beginning are found. */
  readonly offset: number;
  /** Sort values of the last contact: how deep pages are found; undefined near the beginning. */
  readonly after: SortValues | undefined;
}

export type SortValues = readonly [score: number, document: number];

/** Turns positions into text that only the same search, by someone with the same rights, can use. */
export interface Cursors {
  seal(position: Position, search: readonly unknown[]): string;
  /** Undefined for a text that was altered, or sealed for another search or by another key. */
  open(cursor: string, search: readonly unknown[]): Position | undefined;
}

const VERSION = 1;
const CIPHER = 'aes-256-gcm';
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** A snapshot's name is some hundred characters a shard. */
export const MAX_CURSOR_CHARACTERS = 8_192;

const positionSchema = z.object({
  snapshot: z.string(),
  since: z.int(),
  relaxed: z.boolean(),
  offset: z.int(),
  after: z.tuple([z.number(), z.int()]).optional(),
});

/**
 * Cursors that are sealed by AES-256-GCM: scores in them say something of others' contacts. What the search is about (query,
 * tenants, rights) is authenticated with it, not in it, so a cursor of another tenant is refused.
 * @param secret shared by the processes that are to take each other's cursors; empty: of this process alone.
 */
export function createCursors(secret: string): Cursors {
  const key =
    secret === ''
      ? randomBytes(KEY_BYTES)
      : Buffer.from(hkdfSync('sha256', secret, '', 'reachflow search cursor', KEY_BYTES));
  return {
    seal(position, search) {
      const nonce = randomBytes(NONCE_BYTES);
      const cipher = createCipheriv(CIPHER, key, nonce);
      cipher.setAAD(bytesOf(search));
      const sealed = cipher.update(JSON.stringify(position), 'utf8');
      const parts = [Buffer.of(VERSION), nonce, sealed, cipher.final(), cipher.getAuthTag()];
      return Buffer.concat(parts).toString('base64url');
    },
    open(cursor, search) {
      if (cursor.length > MAX_CURSOR_CHARACTERS || !/^[A-Za-z0-9_-]+$/.test(cursor)) return;
      const bytes = Buffer.from(cursor, 'base64url');
      if (bytes.length <= 1 + NONCE_BYTES + TAG_BYTES || bytes[0] !== VERSION) return undefined;
      const decipher = createDecipheriv(CIPHER, key, bytes.subarray(1, 1 + NONCE_BYTES));
      decipher.setAAD(bytesOf(search));
      decipher.setAuthTag(bytes.subarray(-TAG_BYTES));
      const sealed = bytes.subarray(1 + NONCE_BYTES, -TAG_BYTES);
      let text: string;
      try {
        text = decipher.update(sealed, undefined, 'utf8') + decipher.final('utf8');
      } catch {
        // The one thing that `final` throws for: it was not sealed so.
        return undefined;
      }
      const position = positionSchema.parse(JSON.parse(text));
      return { ...position, after: position.after };
    },
  };
}

function bytesOf(search: readonly unknown[]): Buffer {
  return Buffer.from(JSON.stringify(search));
}
