import type { Client } from '@elastic/elasticsearch';

/** Snapshots of an index (Elasticsearch's points in time) that searches share. */
export interface Snapshots {
  /** The current one, opened when the last is too old. @throws errors of the client. */
  current(): Promise<string>;
  /** The current one is not there any more: the next call opens another. */
  lost(snapshot: string): void;
}

export interface SnapshotOptions {
  readonly index: string;
  /** How old one may be that a search begins with, ms. */
  readonly maxAgeMs: number;
  /** How long it is kept after its last use, ms. */
  readonly keepMs: number;
  /** ms, of any beginning. */
  readonly now: () => number;
}

interface Opened {
  readonly at: number;
  readonly id: Promise<string>;
}

/**
 * They are never closed, but end when they are idle: cursors of one may be with another process by then.
 * A search that opened its own would pay one more request, and each page that nobody turns would hold a snapshot. So at most one is
 * opened within `maxAgeMs`, by whoever searches; they are of the whole index, and the tenant is in the query.
 */
export function createSnapshots(client: Client, options: SnapshotOptions): Snapshots {
  const { index, maxAgeMs, keepMs, now } = options;
  let opened: Opened | undefined;
  let known: string | undefined;
  const open = async (): Promise<string> => {
    const { id } = await client.openPointInTime({ index, keep_alive: `${keepMs}ms` });
    known = id;
    return id;
  };
  return {
    current() {
      if (opened !== undefined && now() - opened.at <= maxAgeMs) return opened.id;
      const next: Opened = { at: now(), id: open() };
      opened = next;
      next.id.catch(() => {
        if (opened === next) opened = undefined;
      });
      return next.id;
    },
    lost(snapshot) {
      if (snapshot === known) opened = undefined;
    },
  };
}
