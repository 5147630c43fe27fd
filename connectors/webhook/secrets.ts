import { open } from 'node:fs/promises';
import type { Logger } from 'pino';
import { errorMessage, ReachflowError } from '../../runtime/errors.ts';
import type { Metrics } from '../../runtime/observability/metrics.ts';
import type { WebhookConfig } from './config.ts';
import { secretsSchema } from './source-config.ts';

/** The secrets of the configured sources, as they are now. */
export interface Secrets {
  /** Of one source; empty for a name that is not configured. */
  of(source: string): readonly string[];
  /** Looks at every file at once, e.g. on SIGHUP. Does not throw: a bad file leaves the secrets as they were. */
  reload(): Promise<void>;
  /** Stops to look at files. Idempotent. */
  close(): void;
}

export interface SecretsDeps {
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
}

interface SecretsFile {
  readonly source: string;
  readonly scheme: string;
  readonly path: string;
  /** What the secrets in use were read from; to tell a change. */
  text: string;
  /** Message of the failure that was logged last; undefined while the file is good. */
  failure: string | undefined;
}

/** Eight secrets need far less. */
const MAX_FILE_BYTES = 65_536;

/**
 * Opens the secrets of all sources, and keeps looking at their files (`webhook.secretsReloadMs`): by content, since a
 * mounted secret is replaced through a link whose times say nothing.
 * @throws ReachflowError `WEBHOOK_SECRETS_INVALID` when a file cannot be used at the start.
 */
export async function openSecrets(config: WebhookConfig, deps: SecretsDeps): Promise<Secrets> {
  const current = new Map<string, readonly string[]>();
  const files: SecretsFile[] = [];
  for (const [source, { scheme, secrets, secretsFile: path }] of Object.entries(config.sources)) {
    if (secrets !== undefined) current.set(source, secrets);
    if (path === undefined) continue;
    const text = await readSmall(path).catch((error: unknown) => {
      throw invalid(source, path, errorMessage(error), error);
    });
    current.set(source, parseSecrets(text, { source, scheme, path }));
    files.push({ source, scheme, path, text, failure: undefined });
  }

  const look = async (file: SecretsFile): Promise<void> => {
    try {
      const text = await readSmall(file.path);
      if (text === file.text && file.failure === undefined) return;
      const secrets = parseSecrets(text, file);
      current.set(file.source, secrets);
      file.text = text;
      file.failure = undefined;
      deps.metrics?.delivery.webhookSecrets(file.source, 'reloaded');
      deps.logger.info(
        { source: file.source, secrets: secrets.length },
        'webhook: secrets reloaded',
      );
    } catch (error) {
      deps.metrics?.delivery.webhookSecrets(file.source, 'failed');
      const failure = errorMessage(error);
      if (failure === file.failure) return;
      file.failure = failure;
      deps.logger.error(
        { source: file.source, file: file.path, err: error },
        'webhook: secretsFile cannot be used, the secrets read before stay active',
      );
    }
  };
  let looking: Promise<void> | undefined;
  const reload = (): Promise<void> => {
    looking ??= Promise.all(files.map(look)).then(() => {
      looking = undefined;
    });
    return looking;
  };
  const timer =
    files.length === 0 ? undefined : setInterval(() => void reload(), config.secretsReloadMs);
  timer?.unref();
  return {
    of: (source) => current.get(source) ?? [],
    async reload() {
      await looking;
      await reload();
    },
    close: () => clearInterval(timer),
  };
}

async function readSmall(path: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    if (bytesRead > MAX_FILE_BYTES) throw new RangeError(`it is over ${MAX_FILE_BYTES} bytes`);
    return bytes.toString('utf8', 0, bytesRead);
  } finally {
    await file.close();
  }
}

/**
 * The secrets of a file: one a line; empty lines and lines that begin with `#` are left out.
 * @throws ReachflowError `WEBHOOK_SECRETS_INVALID`, which names lines and quotes nothing of them.
 */
export function parseSecrets(
  text: string,
  of: { readonly source: string; readonly scheme: string; readonly path: string },
): readonly string[] {
  const lines = text
    .split('\n')
    .map((line, index) => ({ number: index + 1, secret: line.trim() }))
    .filter(({ secret }) => secret !== '' && !secret.startsWith('#'));
  const parsed = secretsSchema(of.scheme).safeParse(lines.map(({ secret }) => secret));
  if (parsed.success) return parsed.data;
  const reasons = parsed.error.issues.map(({ path, message }) => {
    const line = typeof path[0] === 'number' ? lines[path[0]]?.number : undefined;
    return line === undefined ? message : `line ${line}: ${message}`;
  });
  throw invalid(of.source, of.path, reasons.join('; '));
}

function invalid(source: string, path: string, reason: string, cause?: unknown): ReachflowError {
  return new ReachflowError(
    `webhook source ${source}: ${path} holds no usable secrets: ${reason}`,
    {
      code: 'WEBHOOK_SECRETS_INVALID',
      domain: 'user',
      hint: 'Write one secret a line, all that are active, and replace the file in one step (rename).',
      cause,
    },
  );
}
