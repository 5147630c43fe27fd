import {
  changelogOf,
  DLQ_RETENTION_MS,
  dlqOf,
  isTopicName,
  type TopicName,
  topicNames,
  topics,
} from '../schemas/topics.ts';
import type { Sink } from './delivery/sink.ts';
import { ReachflowError } from './errors.ts';
import { ensureTopics, type TopicPlan, topicPartitions } from './kafka/admin.ts';
import type { KafkaClient } from './kafka/client.ts';
import type { PipelineSpec } from './task/processor.ts';

/** A consumer of topics, as far as its DLQs go. */
type SinkTopics = Pick<Sink, 'name' | 'topics'>;

function sourceTopics(): TopicPlan[] {
  return topicNames.map((name) => {
    const { cleanup, retentionMs, maxMessageBytes, partitions } = topics[name];
    return { name, cleanup, retentionMs, maxMessageBytes, partitions };
  });
}

function dlq(topic: TopicName, consumer: string, partitions: number): TopicPlan {
  // A dead letter is its record and the headers that say why.
  const maxMessageBytes = topics[topic].maxMessageBytes + 65_536;
  const name = dlqOf(topic, consumer);
  return { name, cleanup: 'delete', retentionMs: DLQ_RETENTION_MS, maxMessageBytes, partitions };
}

/** A table is read from its topic's beginning at each start: what retention deleted would look like deleted rows. */
function requireKeptTable(topic: TopicName): void {
  if (topics[topic].cleanup === 'compact') return;
  throw new ReachflowError(`${topic} is used as a table, but its records expire`, {
    code: 'TABLE_EXPIRES',
    domain: 'internal',
    hint: "Give it cleanup 'compact' and no retention limit in schemas/topics.ts.",
  });
}

/**
 * Every topic that pipelines and sinks need: the map's own, a changelog per processor, a DLQ per consumer.
 * @param partitions of each topic; 0 takes the production figures of the map.
 */
export function planTopics(
  pipelines: readonly PipelineSpec[],
  sinks: readonly SinkTopics[],
  partitions: number,
): TopicPlan[] {
  const count = (name: TopicName) => (partitions === 0 ? topics[name].partitions : partitions);
  const plans = sourceTopics().map((plan) => ({
    ...plan,
    partitions: partitions || plan.partitions,
  }));
  for (const pipeline of pipelines) {
    for (const processor of pipeline.processors) {
      for (const { topic } of processor.tables) requireKeptTable(topic);
      const input: TopicName = processor.input;
      plans.push({
        name: changelogOf(pipeline.name, processor.name),
        cleanup: 'compact',
        retentionMs: -1,
        maxMessageBytes: 1_048_576,
        partitions: count(input),
      });
      plans.push(dlq(input, pipeline.name, count(input)));
    }
  }
  for (const sink of sinks) {
    for (const topic of sink.topics) {
      if (isTopicName(topic)) plans.push(dlq(topic, sink.name, count(topic)));
    }
  }
  return plans;
}

/**
 * Creates what is missing, then checks that changelogs and DLQs have as many partitions as their input.
 * @throws ReachflowError `TOPIC_PARTITIONS` when a topic that exists cannot be used as planned.
 */
export async function applyTopicPlan(
  client: KafkaClient,
  pipelines: readonly PipelineSpec[],
  plans: readonly TopicPlan[],
): Promise<void> {
  await ensureTopics(client, plans);
  const actual = await topicPartitions(client);
  for (const { name, processors } of pipelines) {
    for (const processor of processors) {
      const input: TopicName = processor.input;
      const expected = actual.get(input);
      for (const topic of [changelogOf(name, processor.name), dlqOf(input, name)]) {
        if (actual.get(topic) === expected) continue;
        throw new ReachflowError(
          `${topic} has ${actual.get(topic)} partitions, but ${input}, which it follows, has ${expected}`,
          {
            code: 'TOPIC_PARTITIONS',
            domain: 'user',
            hint: 'Partitions of an input cannot be changed under a stateful pipeline: replay it into a new namespace.',
          },
        );
      }
    }
  }
}
