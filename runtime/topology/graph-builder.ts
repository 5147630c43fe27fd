import { ReachflowError } from '../errors.ts';
import type { Edge, GraphNode } from './graph.ts';

/** A node without what most nodes do not have. */
export type NodeInput = Pick<GraphNode, 'name' | 'operation' | 'inputs' | 'operator'> &
  Partial<GraphNode>;

const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,99}$/;

export function invalidTopology(message: string, hint?: string): ReachflowError {
  return new ReachflowError(message, {
    code: 'TOPOLOGY_INVALID',
    domain: 'user',
    ...(hint === undefined ? {} : { hint }),
  });
}

/** Gathers the nodes of one topology as its author names them. */
export class GraphBuilder {
  readonly topology: string;
  readonly #nodes = new Map<string, GraphNode>();

  constructor(topology: string) {
    checkName(topology, 'topology');
    this.topology = topology;
  }

  get nodes(): readonly GraphNode[] {
    return [...this.#nodes.values()];
  }

  /** Returns the main output. @throws ReachflowError `TOPOLOGY_INVALID` for a name that is taken or no name. */
  add(node: NodeInput): Edge {
    if (this.#nodes.has(node.name)) {
      throw invalidTopology(
        `${this.topology} has two steps named ${node.name}`,
        'Names are in stores, topics and metrics: give each step its own.',
      );
    }
    this.#nodes.set(node.name, {
      outputs: [],
      stores: [],
      tables: [],
      terminal: false,
      timed: false,
      async: false,
      copartitioned: false,
      ...node,
    });
    return { node: node.name, output: '' };
  }

  /** For a name given by the author; the builder's own have a dot. */
  named(name: string): string {
    checkName(name, `step of ${this.topology}`);
    return name;
  }
}

function checkName(name: string, what: string): void {
  if (NAME.test(name)) return;
  throw invalidTopology(
    `${JSON.stringify(name)} is no name for a ${what}`,
    'Letters, digits, _ and - only, at most 100: it becomes part of topic names.',
  );
}
