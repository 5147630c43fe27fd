import { aggregateOperator, aggregateStore } from '../operators/aggregate.ts';
import { type AnyAggregator, anyAggregator, counting, reducing } from '../operators/aggregator.ts';
import { combineOperator, combineWindowsOperator } from '../operators/combine.ts';
import { sessionAggregateOperator, sessionsStore } from '../operators/session-aggregate.ts';
import { selectKeyOperator } from '../operators/stateless.ts';
import { timerStore } from '../operators/timers.ts';
import {
  partialSerde,
  windowAggregateOperator,
  windowsStore,
} from '../operators/window-aggregate.ts';
import type { Aggregator, EmitOptions } from './api.ts';
import type { Edge } from './graph.ts';
import { type GraphBuilder, invalidTopology } from './graph-builder.ts';
import { repartition } from './repartition.ts';
import { type AnySerde, type Keyed, type KeyOf, type Make, StreamNode } from './stream.ts';
import { TableNode } from './table.ts';
import type { SessionWindow, WindowSpec } from './windows.ts';

/** What an aggregate is made from. */
interface Group {
  readonly graph: GraphBuilder;
  readonly make: Make;
  readonly from: Keyed;
  /** Undefined: by the key that records have. */
  readonly key: KeyOf | undefined;
  readonly serde: AnySerde;
}

/** Values as they are, or combined before a repartition topic. */
interface Input {
  readonly edge: Edge;
  readonly kind: 'values' | 'partials';
}

function isRepartitioned({ key, from }: Group): boolean {
  return key !== undefined || from.rekeyed;
}

function keyFunction({ key }: Group) {
  return (key ?? ((_value: unknown, record: { readonly key: string }) => record.key)) as (
    value: unknown,
    record: unknown,
  ) => string;
}

/** Values one by one, under their group's key, on its partition. */
function values(group: Group, name: string): Input {
  const { graph, from, serde } = group;
  if (!isRepartitioned(group)) return { edge: from.edge, kind: 'values' };
  const keyed = graph.add({
    name: `${name}.key`,
    operation: 'group by',
    inputs: [from.edge],
    operator: selectKeyOperator(keyFunction(group)),
  });
  return { edge: repartition(graph, name, keyed, serde), kind: 'values' };
}

function combined(group: Group, name: string, aggregator: AnyAggregator): Input {
  if (!isRepartitioned(group) || aggregator.merge === undefined) return values(group, name);
  const { graph, from } = group;
  const partials = graph.add({
    name: `${name}.combine`,
    operation: 'combine',
    inputs: [from.edge],
    operator: combineOperator(keyFunction(group), aggregator),
  });
  return { edge: repartition(graph, name, partials, aggregator.serde), kind: 'partials' };
}

export class GroupedNode {
  readonly #group: Group;

  constructor(
    graph: GraphBuilder,
    make: Make,
    from: Keyed,
    key: KeyOf | undefined,
    serde: AnySerde,
  ) {
    this.#group = { graph, make, from, key, serde };
  }

  count(name: string): TableNode {
    return this.#aggregate(name, anyAggregator(counting), 'count');
  }

  reduce(name: string, reducer: (a: never, b: never) => never, serde?: AnySerde): TableNode {
    return this.#aggregate(
      name,
      reducing(reducer, (serde ?? this.#group.serde) as never),
      'reduce',
    );
  }

  aggregate(name: string, aggregator: Aggregator<never, never>): TableNode {
    return this.#aggregate(name, anyAggregator(aggregator), 'aggregate');
  }

  #aggregate(name: string, aggregator: AnyAggregator, operation: string): TableNode {
    const { graph, make } = this.#group;
    graph.named(name);
    const input = combined(this.#group, name, aggregator);
    const rows = aggregateStore(name, aggregator.serde);
    const edge = graph.add({
      name,
      operation,
      inputs: [input.edge],
      operator: aggregateOperator(rows, aggregator, input.kind),
      stores: [rows],
    });
    return new TableNode(graph, make, { edge, rows });
  }

  window(spec: WindowSpec | SessionWindow): WindowedNode {
    return new WindowedNode(this.#group, spec);
  }
}

class WindowedNode {
  readonly #group: Group;
  readonly #window: WindowSpec | SessionWindow;

  constructor(group: Group, window: WindowSpec | SessionWindow) {
    this.#group = group;
    this.#window = window;
  }

  count(name: string, options: EmitOptions = {}): StreamNode {
    return this.#aggregate(name, anyAggregator(counting), 'count', options);
  }

  reduce(
    name: string,
    reducer: (a: never, b: never) => never,
    options: EmitOptions & { serde?: AnySerde } = {},
  ): StreamNode {
    const serde = options.serde ?? this.#group.serde;
    return this.#aggregate(name, reducing(reducer, serde as never), 'reduce', options);
  }

  aggregate(
    name: string,
    aggregator: Aggregator<never, never>,
    options: EmitOptions = {},
  ): StreamNode {
    return this.#aggregate(name, anyAggregator(aggregator), 'aggregate', options);
  }

  #aggregate(
    name: string,
    aggregator: AnyAggregator,
    operation: string,
    { emit = 'update' }: EmitOptions,
  ): StreamNode {
    this.#group.graph.named(name);
    const window = this.#window;
    if (window.kind === 'session') return this.#sessions(name, aggregator, window, emit);
    return this.#windows(name, aggregator, operation, window, emit);
  }

  #sessions(
    name: string,
    aggregator: AnyAggregator,
    window: SessionWindow,
    emit: 'update' | 'close',
  ): StreamNode {
    if (aggregator.merge === undefined) {
      throw invalidTopology(
        `${name} aggregates sessions without merge`,
        'A record between two sessions makes one of them: say how two aggregates become one.',
      );
    }
    const { graph } = this.#group;
    const sessions = sessionsStore(name, aggregator.serde);
    const timers = timerStore(name);
    const edge = graph.add({
      name,
      operation: 'session windows',
      inputs: [values(this.#group, name).edge],
      operator: sessionAggregateOperator(sessions, timers, { aggregator, window, emit }),
      outputs: LATE,
      stores: [sessions, timers],
      timed: true,
    });
    return this.#results(edge, { node: name, output: 'late' });
  }

  #windows(
    name: string,
    aggregator: AnyAggregator,
    operation: string,
    window: WindowSpec,
    emit: 'update' | 'close',
  ): StreamNode {
    const { graph, from } = this.#group;
    const combines = isRepartitioned(this.#group) && aggregator.merge !== undefined;
    let input: Input;
    let late: Edge = { node: name, output: 'late' };
    if (combines) {
      const partials = graph.add({
        name: `${name}.combine`,
        operation: 'combine windows',
        inputs: [from.edge],
        operator: combineWindowsOperator(keyFunction(this.#group), aggregator, window),
        outputs: LATE,
        timed: true,
      });
      late = { node: partials.node, output: 'late' };
      const serde = partialSerde(aggregator.serde) as AnySerde;
      input = { edge: repartition(graph, name, partials, serde), kind: 'partials' };
    } else {
      input = values(this.#group, name);
    }
    const store = windowsStore(name, aggregator.serde);
    const edge = graph.add({
      name,
      operation: `${window.kind} window ${operation}`,
      inputs: [input.edge],
      operator: windowAggregateOperator(store, { aggregator, window, emit, input: input.kind }),
      outputs: combines ? [] : LATE,
      stores: [store],
      timed: true,
    });
    return this.#results(edge, late);
  }

  #results(edge: Edge, late: Edge): StreamNode {
    return new WindowedResults(this.#group, edge, late);
  }
}

const LATE = [{ name: 'late', required: false }];

class WindowedResults extends StreamNode {
  readonly #late: StreamNode;

  constructor({ graph, make, from }: Group, edge: Edge, late: Edge) {
    super(graph, make, { edge, rekeyed: false, serde: undefined });
    this.#late = new StreamNode(graph, make, {
      edge: late,
      rekeyed: from.rekeyed,
      serde: from.serde,
    });
  }

  override late(): StreamNode {
    return this.#late;
  }
}
