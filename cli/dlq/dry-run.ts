import { DLQ_HEADER_PREFIX } from '../../runtime/delivery/dead-letter.ts';
import { VERSION_HEADER } from '../../runtime/delivery/decode.ts';
import type { DeadLetter } from '../../runtime/delivery/letter.ts';
import type { Sink } from '../../runtime/delivery/sink.ts';
import { errorMessage } from '../../runtime/errors.ts';
import { decodeLetters, topicOf } from '../../runtime/letters/decode.ts';
import { TopologyTestDriver } from '../../runtime/testing/topology-test-driver.ts';
import { sinksOf, type Topology } from '../../runtime/topology/graph.ts';
import type { TopicCodec } from '../../schemas/codec.ts';
import { isTopicName, type TopicName, type TopicValue } from '../../schemas/topics.ts';
import { type LoadedPatch, patchDecoded } from './patch.ts';

/** What would become of a letter. */
export interface Prospect {
  readonly letter: DeadLetter;
  readonly key: string;
  /** `delivered`: it would pass; `fails`: it would be back; `left`: it would not be sent; `unknown`: only the store can tell. */
  readonly verdict: 'delivered' | 'fails' | 'left' | 'unknown';
  /** For people. */
  readonly detail: string;
}

/** What letters are tried with. */
export interface Trial {
  readonly codec: TopicCodec;
  readonly pipelines: readonly Topology[];
  /** Not opened: only their encoders are used. */
  readonly sinks: readonly Sink[];
  readonly patch?: LoadedPatch;
}

/** A letter as it would be sent. */
interface Candidate {
  readonly letter: DeadLetter;
  readonly key: string;
  readonly value: unknown;
  readonly problem: string | undefined;
}

/**
 * Tries letters without sending anything: a pipeline's through its real topology over a log in memory, with empty state
 * and tables; a sink's through its encoder.
 * @throws ReachflowError `REGISTRY_UNAVAILABLE`, `PATCH_FAILED`.
 */
export async function dryRun(trial: Trial, letters: readonly DeadLetter[]): Promise<Prospect[]> {
  const candidates = await candidatesOf(trial, letters);
  const prospects: Prospect[] = [];
  for (const [consumer, own] of Map.groupBy(candidates, ({ letter }) => letter.info.consumer)) {
    const topology = trial.pipelines.find(({ name }) => name === consumer);
    if (topology !== undefined) prospects.push(...(await throughTopology(topology, own)));
    else prospects.push(...own.map((candidate) => throughSink(trial.sinks, candidate)));
  }
  return prospects;
}

async function candidatesOf(
  { codec, patch }: Trial,
  letters: readonly DeadLetter[],
): Promise<Candidate[]> {
  const decoded = await decodeLetters(codec, letters);
  const outcomes = patch === undefined ? undefined : await patchDecoded(patch, codec, letters);
  return letters.map((letter, i) => {
    const { key = '', value, problem } = decoded[i] ?? {};
    if (outcomes === undefined) return { letter, key, value, problem };
    return { letter, key, value: outcomes[i]?.value, problem: undefined };
  });
}

/** What can be said without trying it. */
function atOnce({ letter, key, value, problem }: Candidate): Prospect | undefined {
  if (problem !== undefined) return { letter, key, verdict: 'fails', detail: problem };
  if (value !== undefined) return undefined;
  return { letter, key, verdict: 'left', detail: 'the patch leaves it' };
}

async function throughTopology(
  topology: Topology,
  candidates: readonly Candidate[],
): Promise<Prospect[]> {
  const driver = await TopologyTestDriver.open(topology, { startMs: Date.now() });
  try {
    const prospects: Prospect[] = [];
    for (const candidate of candidates) {
      const { letter, key } = candidate;
      const internal = topicOf(letter) === undefined;
      const detail = 'it comes from inside the pipeline and cannot be tried alone';
      prospects.push(
        internal
          ? { letter, key, verdict: 'unknown', detail }
          : (atOnce(candidate) ?? (await throughDriver(driver, topology, candidate))),
      );
    }
    return prospects;
  } finally {
    await driver.close();
  }
}

async function throughDriver(
  driver: TopologyTestDriver,
  topology: Topology,
  { letter, key, value }: Candidate,
): Promise<Prospect> {
  const topic = letter.info.topic as TopicName;
  const dropsBefore = dropsOf(driver);
  try {
    await driver.redrive(inOnePartition(letter), {
      topic,
      key,
      value: value as TopicValue<TopicName> | null,
    });
  } catch (error) {
    return { letter, key, verdict: 'fails', detail: errorMessage(error) };
  }
  const [again] = driver.deadLetters();
  if (again !== undefined) {
    const { step, code, message } = again.info;
    return { letter, key, verdict: 'fails', detail: `${step}: ${code} ${message}` };
  }
  const outputs = outputsOf(driver, topology);
  if (outputs.length > 0) {
    return { letter, key, verdict: 'delivered', detail: outputs.join(', ') };
  }
  const drop = dropsOf(driver).find((reason) => !dropsBefore.includes(reason));
  const detail = drop === undefined ? 'it changes state only' : `dropped by ${drop}`;
  return { letter, key, verdict: 'delivered', detail };
}

/** The driver has one partition of each topic. */
function inOnePartition({ info, record }: DeadLetter) {
  const headers = { ...record.headers, [`${DLQ_HEADER_PREFIX}partition`]: Buffer.from('0') };
  return { info: { ...info, partition: 0 }, record: { ...record, headers } };
}

function outputsOf(driver: TopologyTestDriver, topology: Topology): string[] {
  const topics = new Set(topology.subTopologies.flatMap(sinksOf).map(({ topic }) => topic));
  return [...topics].flatMap((topic) => {
    if (!isTopicName(topic)) return [];
    return driver.read(topic).map(({ key }) => `${topic} key ${key}`);
  });
}

/** Each drop so far as `step: reason #n`, so that a new one is told from those before. */
function dropsOf(driver: TopologyTestDriver): string[] {
  return [...driver.counters().steps].flatMap(([step, { dropped }]) =>
    [...dropped].map(([reason, count]) => `${step}: ${reason} (#${count})`),
  );
}

function throughSink(sinks: readonly Sink[], candidate: Candidate): Prospect {
  const early = atOnce(candidate);
  if (early !== undefined) return early;
  const { letter, key, value } = candidate;
  const { info, record } = letter;
  const sink = sinks.find(({ name }) => name === info.consumer);
  if (sink === undefined) {
    return { letter, key, verdict: 'fails', detail: `there is no consumer ${info.consumer}` };
  }
  const fields = value as Readonly<Record<string, unknown>> | null;
  const inValue = fields?.['version'];
  const inHeader = record.headers[VERSION_HEADER]?.toString('utf8') ?? '';
  if (fields === null && !/^\d+$/.test(inHeader)) {
    const detail = `VERSION_MISSING: a tombstone without the header ${VERSION_HEADER}`;
    return { letter, key, verdict: 'fails', detail };
  }
  const { topic, partition, timestamp } = info;
  const version = typeof inValue === 'bigint' ? inValue : BigInt(inHeader === '' ? 0 : inHeader);
  const offset = BigInt(info.offset);
  const error = sink.check?.({ topic, partition, offset, timestamp, key, value: fields, version });
  if (error !== undefined) {
    return { letter, key, verdict: 'fails', detail: `${error.code} ${error.message}` };
  }
  const how = sink.check === undefined ? 'it can be read' : 'it can be encoded';
  return { letter, key, verdict: 'unknown', detail: `${how}; ${info.consumer} decides the rest` };
}
