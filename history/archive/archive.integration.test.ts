import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DirectoryStorage } from '../../runtime/checkpoint/directory-storage.ts';
import type { CheckpointStorage } from '../../runtime/checkpoint/storage.ts';
import { deleteRecordsBefore, ensureTopics } from '../../runtime/kafka/admin.ts';
import { EpochProducer } from '../../runtime/kafka/epoch-producer.ts';
import { partitionOffsets } from '../../runtime/kafka/partition-offsets.ts';
import { readTopic } from '../../runtime/kafka/reader.ts';
import type { KafkaRecord } from '../../runtime/kafka/record.ts';
import { topicId } from '../../runtime/kafka/topic-settings.ts';
import type { PayloadSource } from '../../schemas/payloads.ts';
import { testStack } from '../../tests/integration/stack.ts';
import { eventually, kafkaFixture } from '../../tests/support/kafka.ts';
import { readHeads } from '../head-log.ts';
import { verifyTopic } from '../verify/topic.ts';
import { type Archived, archivePartition } from './archiver.ts';
import { segmentNames } from './catalog.ts';
import { type ArchivePlace, partitionPrefix } from './layout.ts';
import type { Manifest } from './manifest.ts';
import { openHistory } from './reader.ts';
import { verifyArchive } from './verify.ts';

const { client, codec } = kafkaFixture();
const BIN = new URL('../../bin/reachflow.js', import.meta.url).pathname;
const TOPIC = 'history.archived';
const TRANSACTIONS = 40;
const EACH = 200;
const END = BigInt(TRANSACTIONS * (EACH + 1));

const noPayloads: PayloadSource = { read: () => Promise.reject(new Error('no payloads here')) };

let dir = '';
let storage: CheckpointStorage;
let place: ArchivePlace;
let written: Plain[] = [];

/** A record as values that can be compared. */
interface Plain {
  readonly offset: bigint;
  readonly timestamp: number;
  readonly key: string | undefined;
  readonly value: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
}

function plain({ offset, timestamp, key, value, headers }: KafkaRecord): Plain {
  const texts = Object.entries(headers).map(([name, bytes]) => [name, bytes.toString('hex')]);
  const all = { key: key?.toString('hex'), value: value?.toString('hex') };
  return { offset, timestamp, ...all, headers: Object.fromEntries(texts) };
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'reachflow-archive-test-'));
  storage = new DirectoryStorage(dir);
  const plan = { name: TOPIC, partitions: 1, retentionMs: -1, maxMessageBytes: 1_048_576 };
  await ensureTopics(client, [{ ...plan, cleanup: 'delete' }]);
  const { namespace } = client.config;
  place = { namespace, topic: TOPIC, topicId: await topicId(client, TOPIC), partition: 0 };
  const producer = await EpochProducer.open(client, 'archive-test');
  await producer.prepare([TOPIC]);
  for (let i = 0; i < TRANSACTIONS; i += 1) {
    const batches = producer.begin();
    for (let j = 0; j < EACH; j += 1) {
      const value = j % 50 === 0 ? null : Buffer.from(`${i}-${j} `.repeat(60));
      batches.append(TOPIC, 0, j % 7 === 0 ? null : `k${j}`, value, 1_700_000_000_000 + i, {
        n: `${j}`,
      });
    }
    await producer.commit(batches, []);
  }
  await producer.close();
  await eventually('all is stable', async () => {
    return (await partitionOffsets(client, TOPIC, 0)).lastStable === END;
  });
  const records: Plain[] = [];
  await readTopic(client, { topic: TOPIC, onRecord: (record) => void records.push(plain(record)) });
  written = records;
});

afterAll(async () => {
  storage.close();
  await rm(dir, { recursive: true, force: true });
});

/** A storage that stops for good at its n-th write, before or behind it. */
function stoppingAt(n: number, isBefore: boolean): CheckpointStorage {
  let writes = 0;
  const at = async <T>(write: () => Promise<T>): Promise<T> => {
    writes += 1;
    if (writes === n && isBefore) throw new Error('killed');
    const result = await write();
    if (writes === n) throw new Error('killed');
    return result;
  };
  return {
    ...{ location: storage.location, stagingDir: storage.stagingDir, close: () => undefined },
    putFile: (key, path, options) => at(() => storage.putFile(key, path, options)),
    putBytes: (key, bytes) => at(() => storage.putBytes(key, bytes)),
    getFile: (key, path, options) => storage.getFile(key, path, options),
    getBytes: (key, most) => storage.getBytes(key, most),
    digest: (key, options) => storage.digest(key, options),
    list: (prefix) => storage.list(prefix),
    directories: (prefix) => storage.directories(prefix),
    remove: (key) => storage.remove(key),
    removePrefix: (prefix) => storage.removePrefix(prefix),
    removeUnfinished: (prefix, before) => storage.removeUnfinished(prefix, before),
  };
}

function archive(
  into: CheckpointStorage,
  onSegment?: (manifest: Manifest) => void,
): Promise<Archived> {
  const config = { segmentBytes: 400_000, segmentAgeMs: 0 };
  const deps = { client, codec, payloads: noPayloads, storage: into, config };
  const given = onSegment === undefined ? {} : { onSegment };
  return archivePartition(deps, { place, low: 0n, end: END, all: true, ...given });
}

async function history(from = 0n, to = END): Promise<{ records: Plain[]; sources: Set<string> }> {
  const reader = await openHistory({ client, storage, topic: TOPIC });
  const [records, sources]: [Plain[], Set<string>] = [[], new Set()];
  for await (const batch of reader.read(0, from, to)) {
    records.push(...batch.records.map(plain));
    if (batch.records.length > 0) sources.add(batch.from);
  }
  return { records, sources };
}

describe('an archive', () => {
  it('is whole, whatever write it was stopped at, and goes on where it ended', async () => {
    for (const isBefore of [true, false]) {
      for (const n of [1, 2, 3]) {
        await expect(archive(stoppingAt(n, isBefore))).rejects.toThrow('killed');
        const { faults } = await verifyArchive(storage, { place, heads: [] });
        expect(faults).toEqual([]);
      }
    }
    const rest = await archive(storage);
    expect(rest).toMatchObject({ next: END, lost: undefined });
    expect(await archive(storage)).toMatchObject({ segments: 0, records: 0, next: END });
    const { heads } = await readHeads(client, TOPIC);
    const report = await verifyArchive(storage, { place, heads });
    expect(report).toMatchObject({
      records: written.length,
      faults: [],
      range: { from: 0n, to: END },
    });
    expect(report.confirmed).toBe(report.segments);
    // The topic's own records lead to the heads of the archive.
    const topic = await verifyTopic(client, { topic: TOPIC });
    expect(topic.partitions[0]).toMatchObject({ faults: [], proven: [{ from: 0n, to: END }] });
  });

  it('is whole when its process is killed, and goes on in the next', async () => {
    const own = join(dir, 'killed');
    const env = {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      REACHFLOW_KAFKA_BROKERS: testStack().kafka.brokers.join(','),
      REACHFLOW_KAFKA_NAMESPACE: client.config.namespace,
      REACHFLOW_REGISTRY_URL: testStack().registry.url,
      REACHFLOW_ARCHIVE_DIRECTORY: own,
      REACHFLOW_ARCHIVE_SEGMENT_BYTES: '1048576',
    };
    const args = [BIN, 'archive', 'run', TOPIC, '--all'];
    const child = spawn(process.execPath, args, { env, stdio: ['ignore', 'pipe', 'ignore'] });
    const exited = once(child, 'exit');
    // The first segment is there: the second is under way.
    await once(child.stdout, 'data');
    child.kill('SIGKILL');
    expect(await exited).toEqual([null, 'SIGKILL']);
    const killed = new DirectoryStorage(own);
    const before = await verifyArchive(killed, { place, heads: [] });
    expect(before.faults).toEqual([]);
    expect(before.segments).toBeGreaterThan(0);
    expect(before.range?.to).toBeLessThan(END);
    await promisify(execFile)(process.execPath, args, { env });
    const { heads } = await readHeads(client, TOPIC);
    const after = await verifyArchive(killed, { place, heads });
    expect(after).toMatchObject({
      faults: [],
      records: written.length,
      range: { from: 0n, to: END },
    });
    killed.close();
  });

  it('gives back what the broker has deleted, and goes over to the topic', async () => {
    expect((await history()).records).toEqual(written);
    await deleteRecordsBefore(client, TOPIC, 0, 5_001n);
    const { records, sources } = await history();
    expect(records).toEqual(written);
    expect(sources).toEqual(new Set(['archive', 'topic']));
    const part = await history(4_990n, 5_010n);
    expect(part.records).toEqual(
      written.filter(({ offset }) => offset >= 4_990n && offset < 5_010n),
    );
  });

  it('shows where an object was altered, and refuses to read it', async () => {
    const names = await segmentNames(storage, place);
    const base = join(dir, partitionPrefix(place));
    const files = (await readdir(base)).filter((name) => name.endsWith('.log')).sort();
    const manifests = (await readdir(base)).filter((name) => name.endsWith('.json')).sort();
    const [path, from] = [join(base, files[1] ?? ''), names[1]?.from ?? 0n];
    const whole = await readFile(path);
    const cut = Buffer.from(whole);
    cut[cut.length - 20] = (cut.at(-20) ?? 0) ^ 1;
    await writeFile(path, cut);
    const { faults } = await verifyArchive(storage, { place, heads: [] });
    expect(faults).toMatchObject([{ code: 'ARCHIVE_DAMAGED' }]);
    expect(faults[0]?.from).toBeGreaterThanOrEqual(from);
    expect(faults[0]?.to).toBeLessThanOrEqual(names[1]?.to ?? 0n);
    await expect(history()).rejects.toMatchObject({ code: 'ARCHIVE_DAMAGED' });
    await writeFile(path, whole);
    // A manifest that was altered with its own root: the next one, and the recorded head, say otherwise.
    const manifestPath = join(base, manifests[0] ?? '');
    const text = await readFile(manifestPath, 'utf8');
    const forged = JSON.parse(text) as Manifest;
    await writeFile(manifestPath, JSON.stringify({ ...forged, after: forged.before }));
    const { heads } = await readHeads(client, TOPIC);
    const found = await verifyArchive(storage, { place, heads });
    expect(new Set(found.faults.map(({ code }) => code))).toEqual(new Set(['ARCHIVE_DIFFERS']));
    await writeFile(manifestPath, text);
    await rm(path);
    const gone = await verifyArchive(storage, { place, heads });
    expect(gone.faults).toMatchObject([{ code: 'ARCHIVE_DAMAGED' }]);
  });
});
