import { ConnectProcess, provisionConnect } from '../harness/connect-process.ts';
import type { Environment } from '../harness/environment.ts';

function properties(environment: Environment, name: string, plugins: string) {
  const json = 'org.apache.kafka.connect.json.JsonConverter';
  const storage = (kind: string) => ({
    [`${kind}.storage.topic`]: `${name}.${kind}s`,
    [`${kind}.storage.replication.factor`]: 1,
    ...(kind === 'config' ? {} : { [`${kind}.storage.partitions`]: 1 }),
  });
  return {
    'bootstrap.servers': environment.brokers.join(','),
    'group.id': name,
    'plugin.path': plugins,
    // The stock converter has no service file.
    'plugin.discovery': 'hybrid_warn',
    'key.converter': json,
    'value.converter': json,
    ...storage('config'),
    ...storage('offset'),
    ...storage('status'),
    'exactly.once.source.support': 'enabled',
    'connector.client.config.override.policy': 'All',
  };
}

/**
 * A distributed worker of Kafka Connect, the only one of its group, with Debezium and every converter.
 * @param name of its group and internal topics.
 * @throws ReachflowError `CONTESTANT_FAILED`, or why Connect cannot be provisioned.
 */
export async function startWorker(
  environment: Environment,
  name: string,
  onProgress: (text: string) => void,
): Promise<ConnectProcess> {
  const plugins = await provisionConnect(onProgress);
  return ConnectProcess.start({
    mode: 'ConnectDistributed',
    directory: await environment.directory('connect'),
    properties: properties(environment, name, plugins),
  });
}
