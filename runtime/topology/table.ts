import { rowStore, tableOperator, tableTableJoinOperator } from '../operators/tables.ts';
import { structuredSerde } from '../state/contract.ts';
import type { Edge } from './graph.ts';
import type { GraphBuilder } from './graph-builder.ts';
import { type AnySerde, type Make, StreamNode, type TableParts } from './stream.ts';

/** The builder's table: its rows are in a store of the task. */
export class TableNode {
  readonly parts: TableParts;
  readonly #graph: GraphBuilder;
  readonly #make: Make;

  constructor(graph: GraphBuilder, make: Make, parts: TableParts) {
    this.#graph = graph;
    this.#make = make;
    this.parts = parts;
  }

  /** Adds the node that keeps the newest value of each key. */
  static keep(
    graph: GraphBuilder,
    make: Make,
    from: Edge,
    { name, serde }: { readonly name: string; readonly serde: AnySerde },
  ): TableNode {
    const rows = rowStore(name, serde);
    const edge = graph.add({
      name,
      operation: 'table',
      inputs: [from],
      operator: tableOperator(rows),
      stores: [rows],
      // A table that only joins look at has nothing behind its own changes.
      terminal: true,
    });
    return new TableNode(graph, make, { edge, rows });
  }

  toStream(): StreamNode {
    const { edge } = this.parts;
    return new StreamNode(this.#graph, this.#make, { edge, rekeyed: false, serde: undefined });
  }

  join(
    name: string,
    other: TableNode,
    joiner: (left: never, right: never, key: string) => unknown,
  ): TableNode {
    const rows = rowStore(name, structuredSerde());
    const edge = this.#graph.add({
      name: this.#graph.named(name),
      operation: 'table join',
      inputs: [this.parts.edge, other.parts.edge],
      operator: tableTableJoinOperator(this.parts.rows, other.parts.rows, rows, joiner),
      stores: [this.parts.rows, other.parts.rows, rows],
      copartitioned: true,
    });
    return new TableNode(this.#graph, this.#make, { edge, rows });
  }
}
