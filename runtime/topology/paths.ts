import type { GraphNode, Topology } from './graph.ts';

/** Which nodes of a sub-topology come behind which. */
export class Paths {
  readonly #nodes: readonly GraphNode[];
  readonly #behind = new Map<string, ReadonlySet<string>>();

  /** @param nodes in topological order. */
  constructor(nodes: readonly GraphNode[]) {
    this.#nodes = nodes;
  }

  /** Whether records of `from` can come to `to`; a node does not lead to itself. */
  leads(from: string, to: string): boolean {
    let behind = this.#behind.get(from);
    if (behind === undefined) {
      behind = this.#reachable(from);
      this.#behind.set(from, behind);
    }
    return behind.has(to);
  }

  #reachable(from: string): ReadonlySet<string> {
    const found = new Set<string>();
    for (const { name, inputs } of this.#nodes) {
      if (inputs.some(({ node }) => node === from || found.has(node))) found.add(name);
    }
    return found;
  }

  /**
   * Whether a record that `failed` gave up on has work left at `step`: on the way to it, itself, and behind it. The
   * other steps had it when it came first.
   */
  concerns(step: string, failed: string): boolean {
    return step === failed || this.leads(step, failed) || this.leads(failed, step);
  }
}

/** Steps whose state a record may pass twice: they take it for a repeat, or set the same again. */
const REPEATABLE: readonly string[] = ['dedup', 'async map', 'table'];

/**
 * Steps with state that lead to the one that gave up on a record: a redriven record passes them again, and what they
 * count is counted twice.
 */
export function repeatedBefore({ subTopologies }: Topology, failed: string): string[] {
  return subTopologies.flatMap(({ nodes }) => {
    const paths = new Paths(nodes);
    return nodes
      .filter(({ stores, operation }) => stores.length > 0 && !REPEATABLE.includes(operation))
      .filter(({ name }) => paths.leads(name, failed))
      .map(({ name }) => name);
  });
}
