import { errorCode, errorMessage, ReachflowError } from '../runtime/errors.ts';
import type { EngineAccess, StackEndpoints } from './endpoints.ts';
import { checkHealth } from './health.ts';
import {
  type ComponentName,
  type ComponentStatus,
  componentNames,
  endpointText,
  type RunningStack,
  type StackOptions,
  type StackStatus,
} from './types.ts';

/**
 * Check that your own engines answer. Starts nothing.
 * @throws ReachflowError `STACK_ENDPOINTS_MISSING` without endpoints, `STACK_UNREACHABLE` naming each engine
 *   that does not answer, where, and why.
 */
export async function upExternal(options: StackOptions): Promise<RunningStack> {
  const { endpoints } = options;
  if (endpoints === undefined) {
    throw new ReachflowError('`--engine external` needs the endpoints of your engines.', {
      code: 'STACK_ENDPOINTS_MISSING',
      domain: 'user',
      hint:
        'Set them in the configuration file or the environment: REACHFLOW_KAFKA_BROKERS, ' +
        'REACHFLOW_REGISTRY_URL, REACHFLOW_CONNECT_URL, REACHFLOW_POSTGRES_URL, ' +
        'REACHFLOW_CLICKHOUSE_URL, REACHFLOW_ELASTICSEARCH_URL.',
    });
  }
  const failures: string[] = [];
  await Promise.all(
    (options.components ?? componentNames).map(async (name) => {
      const began = Date.now();
      const report = (status: 'done' | 'failed', message: string): void =>
        options.onProgress({
          component: name,
          phase: 'start',
          status,
          message,
          elapsedMs: Date.now() - began,
        });
      try {
        await checkHealth(name, endpoints, options.access);
        report('done', 'answers');
      } catch (error) {
        const reason = reasonOf(error);
        report('failed', reason);
        failures.push(`${name} (${withoutPassword(endpointText(name, endpoints))}): ${reason}`);
      }
    }),
  );
  if (failures.length > 0) {
    throw new ReachflowError(`These engines do not answer:\n  ${failures.sort().join('\n  ')}`, {
      code: 'STACK_UNREACHABLE',
      domain: 'external',
      retry: 'backoff',
      hint: 'Check that they run and that this machine may reach them at these addresses.',
    });
  }
  return { ...(await externalStatus(endpoints, options.access)), started: false };
}

/** Which of your own engines answer now. Process and memory are not ours to see. */
export async function externalStatus(
  endpoints: StackEndpoints,
  access?: EngineAccess,
): Promise<StackStatus> {
  const status = async (name: ComponentName): Promise<ComponentStatus> => ({
    name,
    version: '',
    endpoint: endpointText(name, endpoints),
    state: await checkHealth(name, endpoints, access).then(
      () => 'running' as const,
      () => 'unhealthy' as const,
    ),
    pid: undefined,
    rssBytes: undefined,
    startedInMs: undefined,
  });
  return {
    engine: 'external',
    endpoints,
    components: await Promise.all(componentNames.map(status)),
  };
}

/** A URL as it may be shown. Text that is not a URL (a list of brokers) holds no password. */
export function withoutPassword(url: string): string {
  if (!URL.canParse(url)) return url;
  const parsed = new URL(url);
  if (parsed.password !== '') parsed.password = '***';
  return parsed.toString();
}

/** A status as it may be shown. */
export function withoutPasswords(status: StackStatus): StackStatus {
  const { endpoints, components } = status;
  const hide = <T extends { readonly url: string }>(endpoint: T): T => ({
    ...endpoint,
    url: withoutPassword(endpoint.url),
  });
  return {
    ...status,
    endpoints: {
      kafka: endpoints.kafka,
      registry: hide(endpoints.registry),
      connect: hide(endpoints.connect),
      postgres: hide(endpoints.postgres),
      clickhouse: { ...hide(endpoints.clickhouse), password: '***' },
      elasticsearch: hide(endpoints.elasticsearch),
    },
    components: components.map((one) => ({ ...one, endpoint: withoutPassword(one.endpoint) })),
  };
}

/** fetch() and pg hide the system's error code in a cause or a list. */
function reasonOf(error: unknown): string {
  const causes = [error, error instanceof Error ? error.cause : undefined];
  const all = causes.flatMap((one) =>
    one instanceof AggregateError ? [one, ...one.errors] : [one],
  );
  const code = all.map(errorCode).find((found) => found !== undefined);
  const text = all
    .map((one) => (one === undefined ? '' : errorMessage(one)))
    .find((one) => one !== '');
  return code === undefined ? (text ?? 'no reason given') : `${code} ${text ?? ''}`.trim();
}
