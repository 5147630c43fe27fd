import { Command, Option } from 'commander';
import { ReachflowError } from '../../runtime/errors.ts';
import {
  groupOf,
  type SubTopology,
  sinksOf,
  sourcesOf,
  type Topology,
} from '../../runtime/topology/graph.ts';
import { describeTopology, toMermaid } from '../../runtime/topology/mermaid.ts';
import { line } from '../output.ts';

const FORMATS = ['text', 'mermaid', 'json'] as const;
type Format = (typeof FORMATS)[number];

/** A sub-topology as data, for tools: names only, no functions. */
function subTopologyData(topology: string, sub: SubTopology) {
  return {
    name: sub.name,
    group: groupOf(topology, sub.name),
    stateful: sub.stateful,
    reads: sourcesOf(sub).map(({ topic, kind }) => ({ topic, kind })),
    writes: sinksOf(sub).map(({ topic, kind }) => ({ topic, kind })),
    steps: sub.nodes.map(({ name, operation, inputs, outputs, stores, tables, source, sink }) => ({
      name,
      operation,
      inputs,
      outputs: outputs.map((output) => output.name),
      stores: stores.map((store) => store.name),
      tables: tables.map(({ topic }) => topic),
      ...(source === undefined ? {} : { source: source.topic }),
      ...(sink === undefined ? {} : { sink: sink.topic }),
    })),
  };
}

function dataOf({ name, subTopologies }: Topology) {
  return { name, subTopologies: subTopologies.map((sub) => subTopologyData(name, sub)) };
}

/** The topologies in one of the formats. Mermaid: one chart each, with its name in a comment before it. */
export function formatTopologies(topologies: readonly Topology[], format: Format): string {
  switch (format) {
    case 'text':
      return topologies.map(describeTopology).join('\n\n');
    case 'mermaid':
      return topologies
        .map((topology) => `%% ${topology.name}\n${toMermaid(topology)}`)
        .join('\n\n');
    case 'json':
      return JSON.stringify(topologies.map(dataOf), null, 2);
  }
}

/** @throws ReachflowError `UNKNOWN_PIPELINE`. */
function select(topologies: readonly Topology[], name: string | undefined): readonly Topology[] {
  if (name === undefined) return topologies;
  const found = topologies.filter((topology) => topology.name === name);
  if (found.length > 0) return found;
  throw new ReachflowError(`there is no pipeline named ${name}`, {
    code: 'UNKNOWN_PIPELINE',
    domain: 'user',
    hint: `The pipelines are: ${topologies.map((topology) => topology.name).join(', ')}.`,
  });
}

/** `reachflow topology`: prints the graphs of pipelines. It connects to nothing. */
export function topologyCommand(topologies: readonly Topology[]): Command {
  return new Command('topology')
    .description('print the steps, topics and stores of the pipelines')
    .argument(
      '[pipeline]',
      `one of: ${topologies.map(({ name }) => name).join(', ')}; default: all`,
    )
    .addOption(
      new Option('--format <format>', 'how it is printed').choices(FORMATS).default('text'),
    )
    .addHelpText(
      'after',
      '\nExamples:\n  reachflow topology\n  reachflow topology events --format mermaid > events.mmd\n',
    )
    .action((pipeline: string | undefined, { format }: { readonly format: Format }) => {
      line(formatTopologies(select(topologies, pipeline), format));
    });
}
