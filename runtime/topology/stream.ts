import { isTopicName, type TopicName } from '../../schemas/topics.ts';
import { Matcher } from '../cep/matcher.ts';
import type { AnyPattern } from '../cep/pattern.ts';
import { asyncMapOperator, journalStore } from '../operators/async-map.ts';
import type { AsyncOptions } from '../operators/async-options.ts';
import { dedupOperator, dedupStore } from '../operators/dedup.ts';
import { matchOperator, matchStores } from '../operators/match.ts';
import { MATCH_DEFAULTS, type MatchOptions } from '../operators/match-api.ts';
import { processOperator } from '../operators/process.ts';
import type { CallOptions } from '../operators/process-api.ts';
import { topicSinkOperator } from '../operators/sink.ts';
import {
  branchOperator,
  filterOperator,
  flatMapOperator,
  mapOperator,
  passOperator,
  selectKeyOperator,
  stepOperator,
} from '../operators/stateless.ts';
import { joinBuffer, streamJoinOperator } from '../operators/stream-join.ts';
import { globalJoinOperator, streamTableJoinOperator } from '../operators/tables.ts';
import { timerStore } from '../operators/timers.ts';
import { type Serde, structuredSerde } from '../state/contract.ts';
import type { Grouped, Stream, Table, ToOptions, WithOutputs } from './api.ts';
import type { Edge } from './graph.ts';
import type { GraphBuilder, NodeInput } from './graph-builder.ts';
import { invalidTopology } from './graph-builder.ts';
import { repartition } from './repartition.ts';

/** Makes the builder's objects; they need each other, and modules must not. */
export interface Make {
  grouped(
    graph: GraphBuilder,
    from: Keyed,
    key: KeyOf | undefined,
    serde: AnySerde,
  ): Grouped<never>;
  table(graph: GraphBuilder, edge: Edge, name: string, serde: AnySerde): Table<never>;
}

export type AnySerde = Serde<unknown>;
export type KeyOf = (value: unknown, record: never) => string;

/** An output, and whether its records still have the key that they were partitioned by. */
export interface Keyed {
  readonly edge: Edge;
  readonly rekeyed: boolean;
  /** For a repartition topic that a later step may need. */
  readonly serde: AnySerde | undefined;
}

/** What a table shows to joins. */
export interface TableParts {
  readonly edge: Edge;
  readonly rows: Parameters<typeof streamTableJoinOperator>[0];
}

type Step = Pick<NodeInput, 'operation' | 'operator'> & Partial<NodeInput>;

// The graph does not know types: those of the author's functions are checked by the `Stream` interface.
type Fn = (...args: never[]) => never;

/** The builder's stream: each method adds a node behind the last one. */
export class StreamNode {
  readonly graph: GraphBuilder;
  readonly keyed: Keyed;
  readonly #make: Make;

  constructor(graph: GraphBuilder, make: Make, keyed: Keyed) {
    this.graph = graph;
    this.keyed = keyed;
    this.#make = make;
  }

  #then(name: string, step: Step, rekeyed = this.keyed.rekeyed): StreamNode {
    const edge = this.graph.add({
      name: this.graph.named(name),
      inputs: [this.keyed.edge],
      ...step,
    });
    return this.#at(edge, rekeyed);
  }

  #at(edge: Edge, rekeyed = this.keyed.rekeyed, serde = this.keyed.serde): StreamNode {
    return new StreamNode(this.graph, this.#make, { edge, rekeyed, serde });
  }

  /** The same records, back on the partition of their key. */
  #partitioned(name: string, serde = this.keyed.serde ?? structuredSerde()): Edge {
    if (!this.keyed.rekeyed) return this.keyed.edge;
    return repartition(this.graph, name, this.keyed.edge, serde);
  }

  output(name: string): StreamNode {
    return this.#at({ node: this.keyed.edge.node, output: name });
  }

  late(): StreamNode {
    return this.output('late');
  }

  filter(name: string, predicate: Fn): StreamNode {
    return this.#then(name, { operation: 'filter', operator: filterOperator(predicate) });
  }

  map(name: string, mapper: Fn): StreamNode {
    return this.#then(name, { operation: 'map', operator: mapOperator(mapper) });
  }

  flatMap(name: string, mapper: Fn): StreamNode {
    return this.#then(name, { operation: 'flat map', operator: flatMapOperator(mapper) });
  }

  step(name: string, work: Fn, outputs: readonly string[] = []): StreamNode {
    return this.#then(name, {
      operation: 'step',
      operator: stepOperator(work),
      outputs: required(outputs),
    });
  }

  selectKey(name: string, key: Fn, options: { serde?: AnySerde } = {}): StreamNode {
    const step = { operation: 'select key', operator: selectKeyOperator(key) };
    const { keyed } = this.#then(name, step, true);
    return this.#at(keyed.edge, true, options.serde);
  }

  repartition(name: string): StreamNode {
    return this.#at(this.#partitioned(this.graph.named(name)), false);
  }

  branch(name: string, branches: Record<string, Fn>): Record<string, StreamNode> {
    const names = [...Object.keys(branches), 'rest'];
    if (new Set(names).size !== names.length) {
      throw invalidTopology(`the branch ${name} names one of its branches rest`);
    }
    const node = this.#then(name, {
      operation: 'branch',
      operator: branchOperator(branches),
      outputs: required(names),
      terminal: true,
    });
    return Object.fromEntries(names.map((output) => [output, node.output(output)]));
  }

  merge(name: string, other: StreamNode): StreamNode {
    const inputs = [this.keyed.edge, other.keyed.edge];
    const step = { operation: 'merge', operator: passOperator, inputs };
    return this.#then(name, step, this.keyed.rekeyed || other.keyed.rekeyed);
  }

  dedup(name: string, options: { id: Fn; ttlMs: number; time?: Fn }): StreamNode {
    const { ttlMs } = options;
    if (!(ttlMs > 0))
      throw invalidTopology(`the dedup ${name} needs a ttlMs above 0, but has ${ttlMs}`);
    const store = dedupStore(name, ttlMs);
    return this.#then(name, {
      operation: 'dedup',
      operator: dedupOperator(store, options.id, options.time),
      stores: [store],
      timed: true,
    });
  }

  asyncMap(name: string, options: never, call: Fn): StreamNode {
    checkAsyncOptions(name, options);
    const { journal } = options as { journal?: unknown };
    const store = journal === undefined ? undefined : journalStore(`${name}.journal`, options);
    return this.#then(name, {
      operation: 'async map',
      operator: asyncMapOperator(options, call, store),
      stores: store === undefined ? [] : [store],
      async: true,
      timed: store !== undefined,
    });
  }

  join(name: string, table: { parts: TableParts }, joiner: Fn): StreamNode {
    return this.#joinTable(name, table.parts, joiner, 'inner');
  }

  leftJoin(name: string, table: { parts: TableParts }, joiner: Fn): StreamNode {
    return this.#joinTable(name, table.parts, joiner, 'left');
  }

  #joinTable(name: string, table: TableParts, joiner: Fn, kind: 'inner' | 'left'): StreamNode {
    const step = {
      operation: kind === 'inner' ? 'join' : 'left join',
      operator: streamTableJoinOperator(table.rows, joiner, kind),
      inputs: [this.#partitioned(name), table.edge],
      stores: [table.rows],
      copartitioned: true,
    };
    return this.#then(name, step, false);
  }

  joinStream(
    name: string,
    other: StreamNode,
    options: { withinMs: number; graceMs?: number; leftSerde?: AnySerde; rightSerde?: AnySerde },
    joiner: Fn,
  ): StreamNode {
    const { withinMs, graceMs = 0 } = options;
    if (!(withinMs >= 0) || !(graceMs >= 0)) {
      throw invalidTopology(`the join ${name} needs withinMs and graceMs of 0 or more`);
    }
    const keepMs = 2 * withinMs + graceMs + 1;
    const left = joinBuffer(`${name}.left`, options.leftSerde ?? structuredSerde(), keepMs);
    const right = joinBuffer(`${name}.right`, options.rightSerde ?? structuredSerde(), keepMs);
    const step = {
      operation: 'stream join',
      operator: streamJoinOperator([left, right], joiner, { withinMs, graceMs }),
      inputs: [this.#partitioned(`${name}-left`), other.#partitioned(`${name}-right`)],
      outputs: [{ name: 'late', required: false }],
      stores: [left, right],
      copartitioned: true,
      timed: true,
    };
    return this.#then(name, step, false);
  }

  joinGlobal(name: string, table: never, options: { key: Fn; join: Fn }): StreamNode {
    return this.#then(name, {
      operation: 'global join',
      operator: globalJoinOperator(table, options.key, options.join),
      tables: [table],
    });
  }

  groupBy(key: KeyOf, options: { serde?: AnySerde } = {}): Grouped<never> {
    return this.#make.grouped(this.graph, this.keyed, key, options.serde ?? structuredSerde());
  }

  groupByKey(options: { serde?: AnySerde } = {}): Grouped<never> {
    const serde = options.serde ?? this.keyed.serde ?? structuredSerde();
    return this.#make.grouped(this.graph, this.keyed, undefined, serde);
  }

  match(name: string, pattern: AnyPattern, options: MatchOptions<unknown> = {}): StreamNode {
    const { serde = this.keyed.serde ?? structuredSerde() } = options;
    const limits = matchLimits(name, options);
    const matcher = new Matcher(pattern, limits);
    const stores = matchStores(name, matcher, serde);
    const step = {
      operation: 'match',
      operator: matchOperator(matcher, stores, limits.waiting),
      inputs: [this.#partitioned(`${name}-events`, serde)],
      outputs: ['late', 'timed-out', 'abandoned'].map((output) => ({
        name: output,
        required: false,
      })),
      stores: Object.values(stores),
      timed: true,
    };
    return this.#then(name, step, false);
  }

  timedOut(): StreamNode {
    return this.output('timed-out');
  }

  abandoned(): StreamNode {
    return this.output('abandoned');
  }

  process(
    name: string,
    spec: { stores?: never[]; tables?: never[]; outputs?: string[]; calls?: CallOptions },
  ): StreamNode {
    const timers = timerStore(name);
    const { stores = [], tables = [], outputs = [] } = spec;
    const step = {
      operation: 'process',
      operator: processOperator(spec as unknown as Parameters<typeof processOperator>[0], timers),
      outputs: required(outputs),
      stores: [...stores, timers],
      tables,
      timed: true,
      async: spec.calls !== undefined,
    };
    return this.#then(name, step, true);
  }

  toTable(name: string, serde?: AnySerde): Table<never> {
    const rows = serde ?? this.keyed.serde ?? structuredSerde();
    return this.#make.table(this.graph, this.#partitioned(name), this.graph.named(name), rows);
  }

  to(topic: TopicName, options: ToOptions<never, TopicName> = {}): void {
    if (!isTopicName(topic)) {
      throw invalidTopology(
        `${this.graph.topology} writes ${JSON.stringify(topic)}, which is no topic of schemas/topics.ts`,
      );
    }
    this.graph.add({
      name: `${this.keyed.edge.node}${suffix(this.keyed.edge)}.to.${topic}`,
      operation: 'to',
      inputs: [this.keyed.edge],
      sink: { kind: 'topic', topic },
      operator: topicSinkOperator(topic, options),
      terminal: true,
    });
  }

  ignore(why: string): void {
    if (why.trim() === '') throw invalidTopology('ignore() needs to be told why');
    this.graph.add({
      name: `${this.keyed.edge.node}${suffix(this.keyed.edge)}.ignored`,
      operation: `ignored: ${why}`,
      inputs: [this.keyed.edge],
      operator: () => ({ process: () => undefined }),
      terminal: true,
    });
  }
}

/** @throws ReachflowError `TOPOLOGY_INVALID`. */
function matchLimits(name: string, options: MatchOptions<unknown>) {
  const { maxPartialMatches, maxEvents, maxWaiting } = { ...MATCH_DEFAULTS, ...options };
  for (const limit of [maxPartialMatches, maxEvents, maxWaiting]) {
    if (!(limit >= 1)) throw invalidTopology(`${name}: a limit is ${limit}, but has to be above 0`);
  }
  return { partialMatches: maxPartialMatches, events: maxEvents, waiting: maxWaiting };
}

/** @throws ReachflowError `TOPOLOGY_INVALID`. */
function checkAsyncOptions(name: string, options: AsyncOptions<never, never>): void {
  const { concurrency, timeoutMs, retries, backoffMs, journal } = options;
  const bounds: readonly (readonly [string, number | undefined, number])[] = [
    ['concurrency', concurrency, 1],
    ['timeoutMs', timeoutMs, 1],
    ['retries', retries, 0],
    ['backoffMs', backoffMs, 0],
    ['journal.ttlMs', journal?.ttlMs, 1],
  ];
  for (const [option, value, least] of bounds) {
    if (value === undefined || (Number.isSafeInteger(value) && value >= least)) continue;
    throw invalidTopology(
      `${name}: ${option} is ${value}, but has to be a whole number from ${least}`,
    );
  }
}

function suffix({ output }: Edge): string {
  return output === '' ? '' : `.${output}`;
}

function required(names: readonly string[]) {
  return names.map((name) => ({ name, required: true }));
}

/** The typed face of a stream. */
export function asStream<V>(stream: StreamNode): Stream<V> & WithOutputs<V, never> {
  return stream as unknown as Stream<V> & WithOutputs<V, never>;
}
