import { Command, InvalidArgumentError } from 'commander';
import { ReachflowError } from '../../runtime/errors.ts';
import type { TenantThrottled } from '../../schemas/types.ts';
import { loadAppConfig } from '../config.ts';
import { line, table } from '../output.ts';
import { TableTopic } from '../table-topic.ts';

interface TenantOptions {
  readonly json?: boolean;
  readonly config?: string;
}

interface ThrottleOptions extends TenantOptions {
  readonly for: number;
  readonly limit: number;
  readonly reason: string;
}

const UNITS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

function duration(text: string): number {
  const [, amount, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  const ms = Number(amount) * (UNITS[unit as keyof typeof UNITS] ?? Number.NaN);
  if (ms > 0) return ms;
  throw new InvalidArgumentError('a time such as 30s, 15m, 2h or 1d');
}

function limit(text: string): number {
  const events = Number(text);
  if (/^\d{1,9}$/.test(text)) return events;
  throw new InvalidArgumentError('a whole number of events, 0 or more');
}

/** Throttles are followed by ingestors where the pipeline alerts is. @throws ReachflowError `THROTTLES_NOT_READ`. */
async function open(file: string | undefined): Promise<TableTopic<'tenant.throttled'>> {
  const { config } = await loadAppConfig(file === undefined ? {} : { file });
  if (config.pipelines.optional.includes('alerts'))
    return TableTopic.open('tenant.throttled', file);
  throw new ReachflowError('no ingestor would read it: pipelines.optional does not name alerts', {
    code: 'THROTTLES_NOT_READ',
    domain: 'user',
    hint: 'Name alerts in pipelines.optional, for `reachflow run` and here.',
  });
}

async function throttle(tenant: string, options: ThrottleOptions): Promise<void> {
  const topic = await open(options.config);
  const now = Date.now();
  const value: TenantThrottled = {
    tenant_id: tenant,
    limit_per_minute: options.limit,
    until: now + options.for,
    reason: options.reason,
    alert_id: '',
    throttled_at: now,
  };
  await topic.put(tenant, value);
  await topic.close();
  const end = new Date(value.until).toISOString();
  line(`${tenant} may send ${options.limit} events a minute until ${end}.`);
}

async function unthrottle(tenant: string, { config }: TenantOptions): Promise<void> {
  const topic = await open(config);
  await topic.delete(tenant);
  await topic.close();
  line(`${tenant} is not throttled any more.`);
}

async function list({ json, config }: TenantOptions): Promise<void> {
  const topic = await open(config);
  const newest = new Map<string, TenantThrottled>();
  for (const record of await topic.records()) {
    if ('unreadable' in record) continue;
    if (record.value === null) newest.delete(record.key);
    else newest.set(record.key, record.value);
  }
  await topic.close();
  const active = [...newest.values()].filter(({ until }) => until > Date.now());
  if (json === true) for (const row of active) line(JSON.stringify(row));
  else if (active.length === 0) line('No tenant is throttled.');
  else line(table(['tenant', 'a minute', 'until', 'reason', 'alert'], active.map(cellsOf)));
}

function cellsOf({ tenant_id, limit_per_minute, until, reason, alert_id }: TenantThrottled) {
  return [tenant_id, String(limit_per_minute), new Date(until).toISOString(), reason, alert_id];
}

/** `reachflow tenant`. */
export function tenantCommand(): Command {
  const command = new Command('tenant').description('tenants that may send less for now');
  // KafkaJS keeps timers for a moment after its last disconnect; nothing is left to wait for.
  const ending =
    <A extends unknown[]>(work: (...args: A) => Promise<void>) =>
    async (...args: A) => {
      await work(...args);
      process.exit(0);
    };
  command
    .command('throttle')
    .description('let a tenant send less, in every ingestor, within a second or so')
    .argument('<tenant>', 'the tenant')
    .option('--limit <events>', 'events a minute, in each ingestor; 0 takes none', limit, 60)
    .option('--for <time>', 'how long: 30s, 15m, 2h or 1d', duration, 15 * 60_000)
    .option('--reason <text>', 'the tenant is told it', 'an operator decided so')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      '\nThe newest counts: an alert may follow with its own. Example:\n  reachflow tenant throttle acme --limit 10 --for 1h\n',
    )
    .action(ending(throttle));
  command
    .command('unthrottle')
    .description('let a tenant send again what its tier allows')
    .argument('<tenant>', 'the tenant')
    .option('--config <file>', 'configuration file')
    .action(ending(unthrottle));
  command
    .command('list')
    .description('the tenants that are throttled, until when and why')
    .option('--json', 'one JSON object a line')
    .option('--config <file>', 'configuration file')
    .action(ending(list));
  return command;
}
