import { existsSync, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { LineCounter, parseDocument } from 'yaml';
import { errorCode } from '../errors.ts';
import { ConfigError } from './problem.ts';

/** Names looked for in the working directory, in this order. */
export const CONFIG_FILE_NAMES = [
  'reachflow.config.yaml',
  'reachflow.config.yml',
  'reachflow.config.json',
] as const;

const MAX_BYTES = 1_048_576;

/** A file's content, parsed but not checked. */
export interface ConfigFile {
  /** As given, or found. */
  readonly path: string;
  readonly content: unknown;
}

function invalid(path: string, message: string): ConfigError {
  return new ConfigError([{ source: { kind: 'file', path }, message }]);
}

function readText(path: string, absolute: string): string {
  try {
    if (statSync(absolute).size > MAX_BYTES) {
      throw invalid(path, `is larger than ${MAX_BYTES} bytes`);
    }
    return readFileSync(absolute, 'utf8');
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const code = errorCode(error);
    throw invalid(path, code === 'ENOENT' ? 'there is no such file' : `cannot be read (${code})`);
  }
}

/** YAML 1.2, of which JSON is a part. Messages carry a position, never the text around it: that may be a secret. */
function parse(path: string, text: string): unknown {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, prettyErrors: false });
  const [first] = document.errors;
  if (first !== undefined) {
    const { line, col } = counter.linePos(first.pos[0]);
    throw invalid(path, `is not valid YAML or JSON at line ${line}, column ${col} (${first.code})`);
  }
  try {
    return document.toJS() as unknown;
  } catch (error) {
    // Aliases without an anchor, or too many of them.
    throw invalid(path, `cannot be read as YAML: ${error instanceof Error ? error.name : 'error'}`);
  }
}

/**
 * Reads the configuration file: the one that is named, else the first of `CONFIG_FILE_NAMES` in `cwd`.
 * @returns undefined when none is named and there is none.
 * @throws ConfigError when a named one is missing, or it cannot be read or parsed.
 */
export function readConfigFile(cwd: string, named?: string): ConfigFile | undefined {
  const path = named ?? CONFIG_FILE_NAMES.find((name) => existsSync(resolve(cwd, name)));
  if (path === undefined) return undefined;
  return { path, content: parse(path, readText(path, resolve(cwd, path))) };
}
