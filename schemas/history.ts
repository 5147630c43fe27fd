import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { errorMessage, ReachflowError } from '../runtime/errors.ts';
import { basicAuthorization, type RegistryCredentials } from './registry.ts';

/** Versions of one schema, oldest first. */
export interface SchemaHistory {
  /** Where they are from, for people. */
  readonly from: string;
  /** JSON texts. */
  readonly versions: readonly string[];
}

/** Commits that are looked at for transitive levels, at most. */
const MAX_COMMITS = 200;
const TIMEOUT_MS = 10_000;
const root = join(dirname(fileURLToPath(import.meta.url)), '..');

async function git(...args: readonly string[]): Promise<string | undefined> {
  try {
    const options = { cwd: root, timeout: TIMEOUT_MS, maxBuffer: 16_777_216 };
    return (await promisify(execFile)('git', [...args], options)).stdout;
  } catch {
    return undefined;
  }
}

/** Whether git knows the commit here: not in a package, and not every branch in a shallow clone. */
export async function isCommit(ref: string): Promise<boolean> {
  const found = await git(
    'rev-parse',
    '--verify',
    '--quiet',
    '--end-of-options',
    `${ref}^{commit}`,
  );
  return found !== undefined;
}

/**
 * The versions of `schemas/avro/<schema>.avsc` up to a commit, as far as this clone reaches.
 * @throws ReachflowError `SCHEMA_HISTORY` when there is no such commit.
 */
export async function gitHistory(schema: string, ref: string): Promise<SchemaHistory> {
  if (!(await isCommit(ref))) {
    throw unavailable(
      `git has no commit ${ref} here`,
      'Name a commit, branch or tag of this clone.',
    );
  }
  const path = `schemas/avro/${schema}.avsc`;
  const log = await git('log', `--max-count=${MAX_COMMITS}`, '--format=%H', ref, '--', path);
  const commits = (log ?? '').split('\n').filter((commit) => commit !== '');
  const versions: string[] = [];
  for (const commit of commits.toReversed()) {
    const text = await git('show', `${commit}:${path}`);
    if (text !== undefined && text !== versions.at(-1)) versions.push(text);
  }
  return { from: `git ${ref}`, versions };
}

/** The version that a directory has: `<schema>.avsc` in it. @throws ReachflowError `SCHEMA_HISTORY`. */
export async function directoryHistory(schema: string, directory: string): Promise<SchemaHistory> {
  try {
    const versions = [await readFile(join(directory, `${schema}.avsc`), 'utf8')];
    return { from: directory, versions };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT')
      return { from: directory, versions: [] };
    throw unavailable(`${directory} cannot be read: ${errorMessage(error)}`, 'Is it a directory?');
  }
}

/**
 * The versions that a registry has under a subject; none when it does not know it.
 * @param url base of the Confluent API. @throws ReachflowError `SCHEMA_HISTORY`.
 */
export async function registryHistory(
  url: string,
  subject: string,
  credentials?: RegistryCredentials,
): Promise<SchemaHistory> {
  const base = `${url}/subjects/${encodeURIComponent(subject)}/versions`;
  const headers = basicAuthorization(credentials);
  const numbers = await get(url, base, headers);
  const versions: string[] = [];
  for (const number of Array.isArray(numbers) ? numbers : []) {
    const found = await get(url, `${base}/${number}`, headers);
    const { schema } = (found ?? {}) as { readonly schema?: unknown };
    if (typeof schema === 'string') versions.push(schema);
  }
  return { from: `registry, ${subject}`, versions };
}

/** The JSON of an answer; undefined for 404. */
async function get(
  url: string,
  address: string,
  headers: Readonly<Record<string, string>>,
): Promise<unknown> {
  const hint = 'Is the registry running? registry.url says where it is looked for.';
  let response: Response;
  try {
    response = await fetch(address, { headers, signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch (error) {
    throw unavailable(`the registry at ${url} does not answer: ${errorMessage(error)}`, hint);
  }
  if (response.status === 404) {
    await response.body?.cancel();
    return undefined;
  }
  if (!response.ok) throw unavailable(`the registry answers ${response.status}`, hint);
  return response.json();
}

function unavailable(message: string, hint: string): ReachflowError {
  return new ReachflowError(message, { code: 'SCHEMA_HISTORY', domain: 'user', hint });
}
