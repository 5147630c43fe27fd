import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ReachflowError } from '../../../runtime/errors.ts';
import type { EmbeddedComponent, StartContext } from '../component.ts';
import { composeDir } from '../layout.ts';
import { embeddedVersions } from '../versions.ts';

const serverScript = join(composeDir, 'embedded', 'clickhouse', 'server.ts');

/** The user that the stack's endpoints name; reachable from this machine only. */
export const CLICKHOUSE_USER = 'reachflow';
export const CLICKHOUSE_PASSWORD = 'reachflow';
export const CLICKHOUSE_DATABASE = 'reachflow';

/** ClickHouse's engine with its own HTTP and TCP listeners, out of the npm package `chdb`. */
export const clickhouseComponent: EmbeddedComponent = {
  name: 'clickhouse',
  version: embeddedVersions.clickhouse,
  jvm: false,
  units: [],
  needs: [],
  stopSignal: 'SIGTERM',
  stopTimeoutMs: 10_000,

  async prepare({ layout }) {
    const conf = layout.confDir('clickhouse');
    await mkdir(conf, { recursive: true });
    await mkdir(layout.dataDir('clickhouse'), { recursive: true });
    await writeFile(join(conf, 'users.xml'), usersXml());
    await writeFile(join(conf, 'config.xml'), configXml(join(conf, 'users.xml')));
  },

  async command(context) {
    const { layout, ports } = context;
    return {
      file: process.execPath,
      args: [
        serverScript,
        layout.dataDir('clickhouse'),
        String(ports.clickhouse),
        String(ports.clickhouseTcp),
        join(layout.confDir('clickhouse'), 'config.xml'),
      ],
      env: { NODE_OPTIONS: '' },
      // Its listeners live until standard input ends.
      stdin: 'never-ending',
    };
  },

  async setUp(context) {
    await query(context, `CREATE DATABASE IF NOT EXISTS ${CLICKHOUSE_DATABASE}`);
  },
};

async function query({ endpoints }: StartContext, sql: string): Promise<void> {
  const response = await fetch(endpoints.clickhouse.url, {
    method: 'POST',
    headers: {
      'X-ClickHouse-User': CLICKHOUSE_USER,
      'X-ClickHouse-Key': CLICKHOUSE_PASSWORD,
    },
    body: sql,
  });
  const answer = await response.text();
  if (response.ok) return;
  throw new ReachflowError(`ClickHouse refused \`${sql}\`: ${answer.slice(0, 300)}`, {
    code: 'STACK_SETUP_FAILED',
    domain: 'external',
    retry: 'backoff',
  });
}

/** Limits for a development machine: the server's defaults reckon with all of its memory. */
function configXml(usersFile: string): string {
  return `<clickhouse>
  <logger><level>warning</level><console>true</console></logger>
  <user_directories><users_xml><path>${usersFile}</path></users_xml></user_directories>
  <max_server_memory_usage>1073741824</max_server_memory_usage>
  <mark_cache_size>67108864</mark_cache_size>
  <uncompressed_cache_size>0</uncompressed_cache_size>
  <background_pool_size>4</background_pool_size>
  <background_schedule_pool_size>8</background_schedule_pool_size>
  <merge_tree>
    <number_of_free_entries_in_pool_to_execute_mutation>2</number_of_free_entries_in_pool_to_execute_mutation>
    <number_of_free_entries_in_pool_to_lower_max_size_of_merge>2</number_of_free_entries_in_pool_to_lower_max_size_of_merge>
    <number_of_free_entries_in_pool_to_execute_optimize_entire_partition>2</number_of_free_entries_in_pool_to_execute_optimize_entire_partition>
  </merge_tree>
  <query_log>
    <database>system</database>
    <table>query_log</table>
    <flush_interval_milliseconds>1000</flush_interval_milliseconds>
    <ttl>event_date + INTERVAL 1 DAY</ttl>
  </query_log>
  <shutdown_wait_unfinished>1</shutdown_wait_unfinished>
</clickhouse>
`;
}

function usersXml(): string {
  const user = (name: string, password: string): string => `    <${name}>
      <password>${password}</password>
      <networks><ip>127.0.0.1</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <access_management>1</access_management>
    </${name}>
`;
  return `<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
${user('default', '')}${user(CLICKHOUSE_USER, CLICKHOUSE_PASSWORD)}  </users>
</clickhouse>
`;
}
