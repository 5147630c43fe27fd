import type { Logger } from 'pino';
import { codeDigest, OWN_ROOT } from '../replay/code.ts';
import { type ControlState, followControl } from '../replay/control.ts';
import { liveGenerationOf, outputsOf, suffixOf } from '../replay/ownership.ts';
import type { Sink } from '../runtime/delivery/sink.ts';
import { Engine, type EngineOptions, type EngineStatus } from '../runtime/engine.ts';
import { errorMessage, ReachflowError } from '../runtime/errors.ts';
import { createLazyPublisher, type OwnedPublisher } from '../runtime/kafka/batching-publisher.ts';
import { createKafkaClient, type KafkaClient } from '../runtime/kafka/client.ts';
import type { TopicFollower } from '../runtime/kafka/reader.ts';
import type { SinkStatus, TaskStatus } from '../runtime/observability/process-status.ts';
import type { Topology } from '../runtime/topology/graph.ts';
import type { TopicCodec } from '../schemas/codec.ts';
import type { TopicName } from '../schemas/topics.ts';

/** What an engine is made of, for the generations that are live at a time. */
export interface HostOptions
  extends Pick<EngineOptions, 'delivery' | 'metrics' | 'tracing' | 'onFatal'> {
  /** Of the first generation of all; its connections serve as long as that is what is live. */
  readonly client: KafkaClient;
  readonly codec: TopicCodec;
  readonly publisher: OwnedPublisher;
  readonly codecOf: (client: KafkaClient) => TopicCodec;
  /** Those of the catalog, also those that do not run here: their generations name their topics. */
  readonly catalog: readonly Topology[];
  readonly pipelines: readonly Topology[];
  readonly sinks: (live: ReadonlyMap<TopicName, string>) => readonly Sink[];
  readonly states: () => EngineOptions['states'];
  readonly logger: Logger;
}

/** Which parts run, and under which names: when this changes, the engine is made anew. */
interface Plan {
  readonly live: ReadonlyMap<string, string>;
  readonly pipelines: readonly Topology[];
  /** Outputs that no sink may write now. */
  readonly held: ReadonlySet<TopicName>;
  readonly text: string;
}

interface Running {
  readonly engine: Engine;
  readonly plan: Plan;
  readonly close: () => Promise<void>;
}

/**
 * Runs the engine of the generations that are live, and makes it anew when a replay is promoted, rolled back, or about to
 * be: sinks whose tables are exchanged are not run meanwhile (docs/adr/0021-replay.md). What takes input goes on.
 */
export class EngineHost {
  readonly #options: HostOptions;
  #follower: TopicFollower | undefined;
  #control: ControlState | undefined;
  #current: Running | undefined;
  #changing: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: HostOptions) {
    this.#options = options;
  }

  /** As `Engine.prepare`. May be tried again. @throws ReachflowError. */
  async prepare(): Promise<void> {
    await this.#follow();
    const running = this.#current ?? this.#make(this.#plan());
    this.#current = running;
    await running.engine.prepare();
  }

  async #follow(): Promise<void> {
    if (this.#follower !== undefined) return;
    const { client, onFatal } = this.#options;
    const { state, follower } = await followControl(client, () => this.#changed(), onFatal);
    this.#control = state;
    this.#follower = follower;
  }

  /** As `Engine.start`; resolves when its tasks run. @throws ReachflowError. */
  async start(): Promise<void> {
    await this.prepare();
    await this.#current?.engine.start();
    await this.#current?.engine.whenRunning();
    // What came while it started.
    this.#changed();
  }

  tasks(): TaskStatus[] {
    return this.#current?.engine.tasks() ?? [];
  }

  sinks(): SinkStatus[] {
    return this.#current?.engine.sinks() ?? [];
  }

  status(): EngineStatus[] {
    return this.#current?.engine.status() ?? [];
  }

  #plan(): Plan {
    const { pipelines, catalog } = this.#options;
    const pointers = this.#control?.pointers ?? new Map();
    const live = this.#control?.live() ?? new Map<string, string>();
    const held = catalog.filter(({ name }) => pointers.get(name)?.held === true);
    const own = pipelines.filter(({ name }) => {
      const code = pointers.get(name)?.code ?? null;
      return code === null || code === codeDigest(OWN_ROOT, name);
    });
    const names = own.map(({ name }) => name);
    const heldTopics = held.flatMap(outputsOf);
    const text = JSON.stringify([[...live], names, heldTopics]);
    return { live, pipelines: own, held: new Set(heldTopics), text };
  }

  #make(plan: Plan): Running {
    const options = this.#options;
    const { catalog, pipelines, logger } = options;
    const generations = liveGenerationOf(catalog, plan.live);
    const suffixes = new Map(
      catalog.flatMap((topology) => {
        const generation = plan.live.get(topology.name);
        if (generation === undefined) return [];
        return outputsOf(topology).map((topic) => [topic, suffixOf(generation)] as const);
      }),
    );
    const isFirst = plan.live.size === 0;
    const client = isFirst
      ? options.client
      : createKafkaClient(options.client.config, logger, generations);
    const codec = isFirst ? options.codec : options.codecOf(client);
    const publisher = isFirst ? options.publisher : createLazyPublisher(client, codec);
    const sinks = options
      .sinks(suffixes)
      .filter(({ topics }) => !topics.some((topic) => plan.held.has(topic as TopicName)));
    const left = pipelines.filter((topology) => !plan.pipelines.includes(topology));
    for (const { name } of left) {
      const generation = plan.live.get(name);
      logger.warn(
        { pipeline: name, generation },
        'the pipeline is made by other code than this: its replay runs it',
      );
    }
    const { delivery, metrics, tracing, onFatal } = options;
    const engine = new Engine({
      ...{ client, codec, publisher, sinks, delivery, metrics, tracing, onFatal, logger },
      pipelines: plan.pipelines,
      states: options.states(),
    });
    return {
      engine,
      plan,
      close: async () => {
        if (!isFirst) await publisher.close();
      },
    };
  }

  #changed(): void {
    this.#changing = this.#changing
      .then(() => this.#renew())
      .catch((error: unknown) => {
        const { onFatal } = this.#options;
        onFatal(
          error instanceof ReachflowError
            ? error
            : new ReachflowError(`the engine cannot be made anew: ${errorMessage(error)}`, {
                code: 'ENGINE_FAILED',
                domain: 'internal',
                cause: error,
              }),
        );
      });
  }

  async #renew(): Promise<void> {
    const plan = this.#plan();
    const before = this.#current;
    if (this.#stopped || before === undefined || before.plan.text === plan.text) return;
    this.#options.logger.info({ live: [...plan.live] }, 'another generation is live');
    await before.engine.stop();
    await before.close();
    if (this.#stopped) return;
    this.#current = this.#make(plan);
    await this.#current.engine.start();
  }

  /** Idempotent. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#changing;
    await this.#follower?.stop();
    await this.#current?.engine.stop();
    await this.#current?.close();
  }
}
