import type { GraphNode, SubTopology, Topology } from './graph.ts';

/** Mermaid takes word characters for identifiers. */
function id(text: string): string {
  return text.replaceAll(/\W/g, '_');
}

function topicId(topic: string): string {
  return `topic_${id(topic)}`;
}

function label(node: GraphNode): string {
  const stores = node.stores.map(({ name }) => name);
  const state = stores.length === 0 ? '' : `<br/>state: ${stores.join(', ')}`;
  const name = node.name.replace(/\.(source|repartition|combine|key)$/, '');
  return `"${name}<br/><i>${node.operation}</i>${state}"`;
}

function subgraph(topology: string, { name, nodes }: SubTopology): string[] {
  const inside = nodes.map((node) => `    ${id(node.name)}[${label(node)}]`);
  const edges = nodes.flatMap((node) =>
    node.inputs.map(({ node: from, output }) => {
      const arrow = output === '' ? '-->' : `-- ${output} -->`;
      return `    ${id(from)} ${arrow} ${id(node.name)}`;
    }),
  );
  return [`  subgraph sub_${id(name)}["${topology}.${name}"]`, ...inside, ...edges, '  end'];
}

/** The topology as a Mermaid flow chart: sub-topologies as boxes, topics as cylinders. */
export function toMermaid({ name, subTopologies }: Topology): string {
  const lines = ['flowchart LR'];
  const topics = new Set<string>();
  const links: string[] = [];
  for (const sub of subTopologies) {
    for (const { name: node, source, sink, tables } of sub.nodes) {
      if (source !== undefined) {
        topics.add(source.topic);
        links.push(`  ${topicId(source.topic)} --> ${id(node)}`);
      }
      if (sink !== undefined) {
        topics.add(sink.topic);
        links.push(`  ${id(node)} --> ${topicId(sink.topic)}`);
      }
      for (const { topic } of tables) {
        topics.add(topic);
        links.push(`  ${topicId(topic)} -. table .-> ${id(node)}`);
      }
    }
  }
  for (const topic of topics) lines.push(`  ${topicId(topic)}[("${topic}")]`);
  for (const sub of subTopologies) lines.push(...subgraph(name, sub));
  return [...lines, ...links].join('\n');
}

/** The topology as text: each sub-topology with its topics, steps and stores. */
export function describeTopology({ name, subTopologies }: Topology): string {
  const lines = [`Topology ${name}`];
  for (const { name: sub, nodes, stateful } of subTopologies) {
    lines.push(`  Sub-topology ${sub}${stateful ? '' : ' (stateless)'}`);
    for (const node of nodes) {
      const from = node.source?.topic ?? node.inputs.map(edgeText).join(', ');
      const to = node.sink === undefined ? '' : ` → ${node.sink.topic}`;
      const stores = node.stores.map((store) => store.name).join(', ');
      lines.push(
        `    ${node.name} [${node.operation}] ← ${from}${to}${stores === '' ? '' : ` (state: ${stores})`}`,
      );
    }
  }
  return lines.join('\n');
}

function edgeText({ node, output }: { node: string; output: string }): string {
  return output === '' ? node : `${node}.${output}`;
}
