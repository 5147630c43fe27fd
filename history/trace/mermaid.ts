import type { Trace, Visit } from './model.ts';

/** The trace as a Mermaid flowchart: visits, what was made from what, and rows of stores. */
export function traceMermaid({ visits, stores }: Trace): string {
  const names = new Map(visits.map(({ id }, i) => [id, `v${i}`]));
  const lines = ['flowchart LR'];
  for (const visit of visits) lines.push(`  ${names.get(visit.id)}${box(visit)}`);
  for (const { id, from } of visits) {
    const source = from === undefined ? undefined : names.get(from.visit);
    if (from === undefined || source === undefined) continue;
    const label = from.steps.length === 0 ? (from.pipeline ?? 'failed') : from.steps.join(' → ');
    const arrow = from.by === 'key' ? '-.->' : '-->';
    lines.push(`  ${source} ${arrow}|"${safe(label)}"| ${names.get(id)}`);
  }
  for (const [i, { store, table, found, deleted, version, visit }] of stores.entries()) {
    if (!found) continue;
    const text = [
      store,
      table,
      version === undefined ? '' : `version ${version}`,
      deleted ? 'deleted' : '',
    ];
    lines.push(`  s${i}[("${safe(text.filter((part) => part !== '').join('<br/>'))}")]`);
    lines.push(`  ${names.get(visit)} --> s${i}`);
  }
  return `${lines.join('\n')}\n`;
}

function box({ kind, topic, partition, offset, failure }: Visit): string {
  const place = `${topic}<br/>${partition}@${offset}`;
  if (kind === 'record') return `["${safe(place)}"]`;
  const why =
    failure === undefined
      ? ''
      : `<br/>${failure.code}${failure.resolution === undefined ? '' : `, ${failure.resolution}`}`;
  return `{{"${safe(place + why)}"}}`;
}

/** Quotes end a text in Mermaid. */
function safe(text: string): string {
  return text.replaceAll('"', '#quot;');
}
