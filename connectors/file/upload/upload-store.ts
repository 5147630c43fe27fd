import { mkdir, open, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { errorCode } from '../../../runtime/errors.ts';

/** What became of an upload that is whole. */
const uploadStateSchema = z.object({
  id: z.string(),
  source: z.string(),
  file: z.string(),
  bytes: z.int().min(0),
  state: z.enum(['queued', 'importing', 'finished', 'failed']),
  uploadedAt: z.int(),
  updatedAt: z.int(),
  rows: z.int().min(0),
  rejected: z.int().min(0),
  /** From 0 to 1; null where only the end will tell. */
  done: z.number().nullable(),
  importId: z.string().nullable(),
  /** The same content by the same map had been imported before. */
  already: z.boolean(),
  rejectsPath: z.string().nullable(),
  error: z
    .object({ code: z.string(), message: z.string(), hint: z.string().nullable() })
    .nullable(),
});

export type UploadState = z.infer<typeof uploadStateSchema>;

/** As tus names uploads here: nothing else is a file name. */
export const UPLOAD_ID = /^[0-9a-f]{32}$/;
const STATE_SUFFIX = '.state';

/**
 * The uploads of one source on disk: `<id>` is the content, `<id>.json` what tus knows of it, `<id>.state` what became
 * of it once it was whole.
 */
export class UploadStore {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  async create(): Promise<void> {
    await mkdir(this.directory, { recursive: true });
  }

  contentPath(id: string): string {
    return join(this.directory, id);
  }

  /** Ids of all uploads that have anything left. */
  async ids(): Promise<string[]> {
    const names = await readdir(this.directory);
    const ids = names.map((name) => name.replace(/[.](json|state)$/, ''));
    return [...new Set(ids)].filter((id) => UPLOAD_ID.test(id));
  }

  /** Undefined where the upload is not whole, or gone. */
  async readState(id: string): Promise<UploadState | undefined> {
    if (!UPLOAD_ID.test(id)) return undefined;
    try {
      const text = await readFile(join(this.directory, id + STATE_SUFFIX), 'utf8');
      return uploadStateSchema.parse(JSON.parse(text));
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** On disk when it resolves, whole or not at all. */
  async writeState(state: UploadState): Promise<void> {
    const path = join(this.directory, state.id + STATE_SUFFIX);
    await writeFile(`${path}.tmp`, JSON.stringify(state), { flush: true });
    await rename(`${path}.tmp`, path);
    await syncDirectory(this.directory);
  }

  /** The content survives the machine's end, too, once it resolves. */
  async syncContent(id: string): Promise<void> {
    const handle = await open(this.contentPath(id), 'r+');
    try {
      await handle.datasync();
    } finally {
      await handle.close();
    }
  }

  async removeContent(id: string): Promise<void> {
    await rm(this.contentPath(id), { force: true });
  }

  /** Nothing of it is left. */
  async remove(id: string): Promise<void> {
    for (const suffix of ['', '.json', STATE_SUFFIX, `${STATE_SUFFIX}.tmp`])
      await rm(this.contentPath(id) + suffix, { force: true });
  }
}

async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
