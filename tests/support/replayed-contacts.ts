import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { contactsPipeline } from '../../pipelines/contacts/topology.ts';
import { ensureTopics } from '../../runtime/kafka/admin.ts';
import { EpochProducer } from '../../runtime/kafka/epoch-producer.ts';
import { planTopics } from '../../runtime/topic-plan.ts';
import type { CdcPublicContactsEnvelope } from '../../schemas/types.ts';
import { testStack } from '../integration/stack.ts';
import { kafkaFixture } from './kafka.ts';

const ROOT = new URL('../..', import.meta.url).pathname;
const TOPIC = 'cdc.public.contacts';
const PARTITIONS = 2;
/** What the package has in it is what a checkout needs to run; the modules are those that are installed. */
function packaged(): string[] {
  const text = readFileSync(join(ROOT, 'package.json'), 'utf8');
  const { files } = JSON.parse(text) as { readonly files: readonly string[] };
  return files.filter((file) => !file.startsWith('!'));
}

/** Contacts as Debezium would send them, and `reachflow` as its users run it, with code of today or with a bug in it. */
export class ReplayedContacts {
  readonly kafka = kafkaFixture({ partitions: PARTITIONS });
  readonly home = mkdtempSync(join(tmpdir(), 'reachflow-replay-'));
  readonly buggy = join(this.home, 'buggy');
  readonly #children = new Set<ReturnType<typeof spawn>>();
  #producer: EpochProducer | undefined;
  #keySchema = 0;

  get namespace(): string {
    return this.kafka.client.config.namespace;
  }

  get env(): Record<string, string> {
    const { kafka, registry, postgres, clickhouse, elasticsearch } = testStack();
    const { PATH = '', HOME = '' } = process.env;
    return {
      ...{ PATH, HOME, NO_COLOR: '1' },
      REACHFLOW_KAFKA_BROKERS: kafka.brokers.join(','),
      REACHFLOW_KAFKA_NAMESPACE: this.namespace,
      REACHFLOW_KAFKA_PARTITIONS: String(PARTITIONS),
      REACHFLOW_KAFKA_SESSION_TIMEOUT_MS: '6000',
      REACHFLOW_REGISTRY_URL: registry.url,
      REACHFLOW_POSTGRES_URL: postgres.url,
      REACHFLOW_POSTGRES_SCHEMA: this.namespace,
      REACHFLOW_CLICKHOUSE_URL: clickhouse.url,
      REACHFLOW_CLICKHOUSE_USERNAME: clickhouse.username,
      REACHFLOW_CLICKHOUSE_PASSWORD: clickhouse.password,
      REACHFLOW_CLICKHOUSE_DATABASE: this.namespace,
      REACHFLOW_CLICKHOUSE_FLUSH_MS: '200',
      REACHFLOW_ELASTICSEARCH_URL: elasticsearch.url,
      REACHFLOW_ELASTICSEARCH_INDEX_PREFIX: `${this.namespace}-`,
      REACHFLOW_STATE_DIR: join(this.home, 'state'),
      REACHFLOW_WEBHOOK_SPOOL_DIR: join(this.home, 'spool'),
      REACHFLOW_CHECKPOINT_TARGET: 'none',
    };
  }

  /** Topics, and a checkout whose contacts have wrong names. */
  async open(): Promise<void> {
    const { client, codec } = this.kafka;
    for (const file of [...packaged(), 'package.json']) {
      cpSync(join(ROOT, file), join(this.buggy, file), { recursive: true });
    }
    symlinkSync(join(ROOT, 'node_modules'), join(this.buggy, 'node_modules'));
    const file = join(this.buggy, 'pipelines', 'contacts', 'steps', 'validate.ts');
    const text = readFileSync(file, 'utf8');
    const wrong = "full_name: (row.id % 10 === 7 ? 'wrong ' : '') + name,";
    if (!text.includes('full_name: name,')) throw new Error('the bug cannot be planted');
    writeFileSync(file, text.replace('full_name: name,', wrong));
    await ensureTopics(client, planTopics([contactsPipeline], [], PARTITIONS));
    await codec.registerFor(TOPIC, client.physical(TOPIC));
    this.#keySchema = await this.#registerKey();
    this.#producer = await EpochProducer.open(client, 'test-load');
    await this.#producer.prepare([TOPIC]);
  }

  async #registerKey(): Promise<number> {
    const fields = [{ name: 'id', type: 'long' }];
    const schema = JSON.stringify({ type: 'record', name: 'Key', fields });
    const url = `${testStack().registry.url}/subjects/${this.kafka.client.physical(TOPIC)}-key/versions`;
    const answer = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ schema }),
    });
    return Number(((await answer.json()) as { id: number }).id);
  }

  /** Inserts of the contacts from one id up to another. */
  async insert(from: number, to: number): Promise<void> {
    const producer = this.#producer;
    if (producer === undefined) throw new Error('not open');
    const batch = producer.begin();
    for (let id = from; id < to; id += 1) {
      const key = this.#key(id);
      const value = this.kafka.codec.encode(TOPIC, inserted(id));
      batch.append(TOPIC, producer.partitionFor(TOPIC, key), key, value, Date.now());
    }
    await producer.commit(batch, []);
  }

  #key(id: number): Buffer {
    const bytes = [0, 0, 0, 0, 0];
    // Avro's long: zigzag, seven bits a byte.
    for (let left = id * 2; ; left = Math.floor(left / 128)) {
      if (left < 128) {
        bytes.push(left);
        break;
      }
      bytes.push((left % 128) + 128);
    }
    const key = Buffer.from(bytes);
    key.writeInt32BE(this.#keySchema, 1);
    return key;
  }

  /** `reachflow run` of a checkout: contacts into all three stores. Resolves when it runs. */
  async run(root: string): Promise<{ end: () => Promise<void> }> {
    const parts = 'contacts,postgres,clickhouse,elasticsearch';
    const child = spawn(
      process.execPath,
      [join(root, 'bin', 'reachflow.js'), 'run', '--only', parts],
      {
        env: { ...this.env, REACHFLOW_OBSERVABILITY_PORT: '0' },
        stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      },
    );
    this.#children.add(child);
    let log = '';
    child.stdout?.on('data', (data: Buffer) => {
      log += String(data);
    });
    child.stderr?.on('data', (data: Buffer) => {
      log += String(data);
    });
    const exited = once(child, 'exit');
    await Promise.race([
      once(child, 'message'),
      exited.then(() => {
        throw new Error(`reachflow run ended: ${log.slice(-2_000)}`);
      }),
    ]);
    return {
      end: async () => {
        child.kill('SIGTERM');
        await exited;
        this.#children.delete(child);
      },
    };
  }

  /** A command on replays, as a user runs it. @throws Error with what it said. */
  async replay(...args: readonly string[]): Promise<string> {
    const bin = join(ROOT, 'bin', 'reachflow.js');
    const options = { env: this.env, maxBuffer: 16_777_216 };
    const began = Date.now();
    try {
      return (await promisify(execFile)(process.execPath, [bin, 'replay', ...args], options))
        .stdout;
    } finally {
      if (process.env['REACHFLOW_TEST_LOG'] !== undefined)
        process.stderr.write(`replay ${args.join(' ')}: ${Date.now() - began} ms\n`);
    }
  }

  /** The same, killed once it says that it has done a step of a swap. @throws Error when it ended before. */
  async replayKilledAt(step: string, ...args: readonly string[]): Promise<void> {
    const bin = join(ROOT, 'bin', 'reachflow.js');
    const child = spawn(process.execPath, [bin, 'replay', ...args], {
      env: this.env,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    this.#children.add(child);
    let said = '';
    child.stderr?.on('data', (data: Buffer) => {
      said += String(data);
      if (said.includes(`  ${step}\n`)) child.kill('SIGKILL');
    });
    await once(child, 'exit');
    this.#children.delete(child);
    if (child.signalCode !== 'SIGKILL')
      throw new Error(`it ended before it could be killed at ${step}: ${said.slice(-2_000)}`);
  }

  /** Leaves no process of its own behind. */
  async close(): Promise<void> {
    for (const child of this.#children) child.kill('SIGKILL');
    await this.#producer?.close();
    rmSync(this.home, { recursive: true, force: true });
  }
}

/** The name that a contact is to have. */
export function nameOf(id: number): string {
  return `Contact ${id}`;
}

function inserted(id: number): CdcPublicContactsEnvelope {
  const time = '2026-01-01T00:00:00Z';
  return {
    op: 'c',
    before: null,
    after: {
      ...{ id, tenant_id: `tenant-${id % 5}`, full_name: nameOf(id), email: `c${id}@example.com` },
      ...{ phone: null, company_id: null, tags: [], created_at: time, updated_at: time },
    },
    source: {
      ...{ ts_ms: 1, snapshot: null, table: 'contacts', lsn: BigInt(id + 1_000) },
      ...{ sequence: null, file: null, pos: null, row: null },
    },
    ts_ms: 1,
  };
}
