import type { Client, estypes } from '@elastic/elasticsearch';
import { isForbidden, isNotFound } from './classify.ts';
import type { ElasticsearchConfig } from './config.ts';
import type { IndexNames } from './indices.ts';

export type LifecycleAges = Pick<
  ElasticsearchConfig,
  'warmAfterDays' | 'coldAfterDays' | 'retentionDays'
>;

/** The module that has index lifecycle management. */
const ILM_MODULE = 'x-pack-ilm';

/**
 * What the nodes say of themselves; nothing when the user may not ask (`monitor` of the cluster).
 * @throws other errors of the client.
 */
export async function nodesInfo(
  client: Client,
  metric: 'http' | 'plugins',
  filter_path: string,
): Promise<estypes.NodesInfoResponse['nodes'] | undefined> {
  try {
    return (await client.nodes.info({ metric, filter_path })).nodes;
  } catch (error) {
    if (isForbidden(error)) return undefined;
    throw error;
  }
}

/**
 * Whether the server has ILM: it is part of the distribution, not of the server proper. No where a user may not ask: the
 * sink then deletes old days itself.
 * @throws errors of the client.
 */
export async function hasLifecycle(client: Client): Promise<boolean> {
  const nodes = await nodesInfo(client, 'plugins', 'nodes.*.modules.name');
  return Object.values(nodes ?? {}).some(
    ({ modules }) => modules?.some(({ name }) => name === ILM_MODULE) === true,
  );
}

export function policyName(names: IndexNames): string {
  return `${names.alias}-days`;
}

/**
 * Hot, warm, cold, gone. Nothing here makes an index read-only or gives it another name: a late record of its day
 * would then wait for ever, or be written beside it. There is no rollover: a day is an index.
 */
export function lifecyclePolicy(ages: LifecycleAges): estypes.IlmPolicy {
  const { warmAfterDays, coldAfterDays, retentionDays } = ages;
  return {
    phases: {
      hot: { min_age: '0ms', actions: { set_priority: { priority: 100 } } },
      ...(warmAfterDays < retentionDays
        ? {
            warm: {
              min_age: `${warmAfterDays}d`,
              actions: { set_priority: { priority: 50 }, forcemerge: { max_num_segments: 1 } },
            },
          }
        : {}),
      ...(coldAfterDays > warmAfterDays && coldAfterDays < retentionDays
        ? { cold: { min_age: `${coldAfterDays}d`, actions: { set_priority: { priority: 0 } } } }
        : {}),
      delete: { min_age: `${retentionDays}d`, actions: { delete: {} } },
    },
  };
}

/** What the indices of days have besides: the age of a day is counted from its name, not from its first record. */
export function lifecycleSettings(names: IndexNames): estypes.IndicesIndexSettings {
  return {
    'index.lifecycle.name': policyName(names),
    'index.lifecycle.parse_origination_date': true,
  };
}

/** Makes the policy unless it is there: what an operator has changed stays. @throws errors of the client. */
export async function ensurePolicy(
  client: Client,
  names: IndexNames,
  ages: LifecycleAges,
): Promise<void> {
  try {
    await client.ilm.getLifecycle({ name: policyName(names) });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await client.ilm.putLifecycle({ name: policyName(names), policy: lifecyclePolicy(ages) });
  }
}
