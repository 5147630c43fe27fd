import type { ValueWriter } from '../../schemas/codec.ts';
import type { TopicName } from '../../schemas/topics.ts';
import type { ReachflowError } from '../errors.ts';
import type { BroadcastTable } from '../state/broadcast-table.ts';
import type { TaskState } from '../state/task-state.ts';
import type { GraphNode, SubTopology } from '../topology/graph.ts';
import type { EpochOutput, Forward, Operator, OperatorContext } from '../topology/operator.ts';
import { Paths } from '../topology/paths.ts';
import { NO_SOURCE, type SourceRecord, type StreamRecord } from '../topology/record.ts';
import { type StepCounters, stepCounters, type TaskCounters } from './counters.ts';

/** What a task lends to its operators. */
export interface TaskServices {
  readonly partition: number;
  readonly state: TaskState;
  readonly tables: ReadonlyMap<TopicName, BroadcastTable<unknown>>;
  readonly epoch: EpochOutput;
  readonly counters: TaskCounters;
  writer(topic: TopicName): ValueWriter;
  isIdle(): boolean;
  now(): number;
  drop(step: string, reason: string): void;
  deadLetter(step: string, record: StreamRecord, error: ReachflowError, tenant?: string): void;
  retryLater(record: StreamRecord, afterMs: number): never;
}

/** A node in its task, and when it wants to be woken; Infinity is never. */
interface Member {
  readonly node: GraphNode;
  readonly counters: StepCounters;
  readonly operator: Operator;
  wakeAt: number;
  wakeAtWallClock: number;
}

const NEVER = Number.POSITIVE_INFINITY;

/** The operators of one task, connected. */
export class Assembly {
  /** In topological order. */
  readonly members: readonly Member[];
  readonly #services: TaskServices;
  readonly #paths: Paths;
  readonly #entries = new Map<string, Forward>();
  #nextWake = NEVER;
  #nextWallClock = NEVER;
  /** The watermark that every operator was woken by: while one of them is, those behind it have not come to it yet. */
  #passed = Number.NEGATIVE_INFINITY;
  /** Of the record that was forwarded last: where an error outside of a record's own processing came from. */
  source: SourceRecord = NO_SOURCE;
  /** The step at work: what an error is blamed on. */
  step = '';
  /** Operators are woken by time, or end their epoch: what they write then is no one record's. */
  isWaking = false;

  constructor(sub: SubTopology, services: TaskServices) {
    this.#services = services;
    this.#paths = new Paths(sub.nodes);
    const members: Member[] = [];
    // From the ends to the sources: what a node forwards to is there before it.
    for (const node of [...sub.nodes].reverse()) members.unshift(this.#make(node, members));
    this.members = members;
    for (const member of members) {
      const topic = member.node.source?.topic;
      if (topic !== undefined) this.#entries.set(topic, this.#enter(member, 0, ''));
    }
  }

  /** Where records of a source topic go in. */
  entry(topic: string): Forward {
    const forward = this.#entries.get(topic);
    if (forward === undefined) throw new Error(`no step reads ${topic}`);
    return forward;
  }

  /**
   * Wakes the operators whose event time has come. Returns false when one of them has more to do than an epoch should
   * hold: those behind it, and downstream tasks, have not come to the watermark then, so that what is left is not late
   * for them. Wake again in the next epoch, before another record.
   */
  wake(watermark: number): boolean {
    if (watermark >= this.#nextWake) {
      // Upstream first: what it forwards when woken is there before the ones behind it close their windows.
      const isDone = this.members.every((member) => this.#wakeOne(member, watermark));
      this.#nextWake = Math.min(...this.members.map(({ wakeAt }) => wakeAt));
      if (!isDone) return false;
    }
    this.#passed = watermark;
    return true;
  }

  /** As `wake`, with each step's work under way awaited before the steps behind it are woken. */
  async drainAndWake(watermark: number): Promise<boolean> {
    let isDone = true;
    for (const member of this.members) {
      await this.drain(member);
      // Work under way ends with the epoch in any case.
      isDone = isDone && this.#wakeOne(member, watermark);
    }
    this.#nextWake = Math.min(...this.members.map(({ wakeAt }) => wakeAt));
    if (isDone) this.#passed = watermark;
    return isDone;
  }

  /** Awaits one step's work under way. */
  async drain({ node, operator }: Member): Promise<void> {
    this.step = node.name;
    await operator.drain?.();
  }

  /** False when there is more to do at this watermark. */
  #wakeOne(member: Member, watermark: number): boolean {
    if (member.wakeAt > watermark) return true;
    member.wakeAt = NEVER;
    this.step = member.node.name;
    this.isWaking = true;
    const next = member.operator.onWatermark?.(watermark) ?? NEVER;
    this.isWaking = false;
    member.wakeAt = Math.min(member.wakeAt, next);
    return next > watermark;
  }

  /** Wakes the operators whose wall-clock time has come. */
  wakeWallClock(now: number): void {
    if (now < this.#nextWallClock) return;
    for (const member of this.members) {
      if (member.wakeAtWallClock > now) continue;
      member.wakeAtWallClock = NEVER;
      this.step = member.node.name;
      this.isWaking = true;
      const next = member.operator.onWallClock?.(now) ?? NEVER;
      this.isWaking = false;
      member.wakeAtWallClock = Math.min(member.wakeAtWallClock, next);
    }
    this.#nextWallClock = Math.min(...this.members.map((member) => member.wakeAtWallClock));
  }

  #make(node: GraphNode, downstream: readonly Member[]): Member {
    const counters = stepCounters(this.#services.counters, node.name);
    const member: Omit<Member, 'operator'> & { operator?: Operator } = {
      node,
      counters,
      wakeAt: NEVER,
      wakeAtWallClock: NEVER,
    };
    member.operator = node.operator(this.#context(node, member, downstream));
    return member as Member;
  }

  #context(
    node: GraphNode,
    alarm: Omit<Member, 'node' | 'operator'>,
    downstream: readonly Member[],
  ): OperatorContext {
    const services = this.#services;
    const { name } = node;
    const outputs = new Map(
      node.outputs.map(({ name: output }) => [output, this.#connect(node, output, downstream)]),
    );
    return {
      name,
      partition: services.partition,
      counters: alarm.counters,
      forward: this.#connect(node, '', downstream) ?? ignore,
      output: (output) => outputs.get(output),
      store: (spec) => services.state.store(spec),
      table: <T extends TopicName, R>({ topic }: { readonly topic: T }) => {
        const table = services.tables.get(topic);
        if (table === undefined) throw new Error(`${name} does not declare the table ${topic}`);
        return table as BroadcastTable<R>;
      },
      epoch: services.epoch,
      writer: services.writer,
      wakeAt: (at) => {
        if (at < alarm.wakeAt) alarm.wakeAt = at;
        if (at < this.#nextWake) this.#nextWake = at;
      },
      wakeAtWallClock: (at) => {
        if (at < alarm.wakeAtWallClock) alarm.wakeAtWallClock = at;
        if (at < this.#nextWallClock) this.#nextWallClock = at;
      },
      watermark: () => this.#passed,
      isIdle: services.isIdle,
      leadsTo: (step) => this.#paths.leads(name, step),
      now: services.now,
      resume: ({ source }) => {
        this.step = name;
        this.source = source;
      },
      drop: (_record, reason) => services.drop(name, reason),
      deadLetter: (record, error, tenant) => services.deadLetter(name, record, error, tenant),
      retryLater: services.retryLater,
    };
  }

  /** What an output leads to; undefined when to nothing. */
  #connect(node: GraphNode, output: string, downstream: readonly Member[]): Forward | undefined {
    const steps = downstream.flatMap((member) =>
      member.node.inputs.flatMap((edge, input) =>
        edge.node === node.name && edge.output === output
          ? [{ name: member.node.name, enter: this.#enter(member, input, node.name) }]
          : [],
      ),
    );
    const [only] = steps;
    if (only === undefined || steps.length === 1) return only?.enter;
    return (record) => {
      const { failedStep } = record.source;
      for (const { name, enter } of steps) {
        // The branches that do not lead to where it failed have had it.
        if (failedStep === undefined || this.#paths.concerns(name, failedStep)) enter(record);
      }
    };
  }

  #enter({ node, operator, counters }: Member, input: number, from: string): Forward {
    const { name } = node;
    return (record) => {
      this.step = name;
      this.source = record.source;
      counters.in += 1;
      operator.process(record, input);
      this.step = from;
    };
  }
}

function ignore(): void {}
