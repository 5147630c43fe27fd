import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { defineTopology } from '../../runtime/topology/builder.ts';
import { topologyCommand } from './topology.ts';

const copy = defineTopology('copy', (t) => {
  t.stream('event.recorded')
    .filter('paid', ({ event_type }) => event_type === 'paid')
    .to('contact.golden', { value: () => null });
});
const counts = defineTopology('counts', (t) => {
  t.stream('event.recorded')
    .groupBy(({ tenant_id }) => tenant_id)
    .count('by-tenant')
    .toStream()
    .ignore('only its shape matters here');
});

describe('reachflow topology', () => {
  let stdout: MockInstance<typeof process.stdout.write>;
  beforeEach(() => {
    stdout = vi.spyOn(process.stdout, 'write').mockReturnValue(true);
  });
  afterEach(() => stdout.mockRestore());

  async function printed(...args: string[]): Promise<string> {
    await topologyCommand([copy, counts]).parseAsync(args, { from: 'user' });
    return stdout.mock.calls.map(([text]) => String(text)).join('');
  }

  it('prints every pipeline as text', async () => {
    const text = await printed();
    expect(text).toContain('Topology copy\n  Sub-topology event-recorded (stateless)\n');
    expect(text).toContain('paid [filter] ← event-recorded');
    expect(text).toContain('\n\nTopology counts\n');
  });

  it('prints one pipeline as a Mermaid chart', async () => {
    const text = await printed('copy', '--format', 'mermaid');
    expect(text).toMatch(/^%% copy\nflowchart LR\n/);
    expect(text).toContain('topic_event_recorded[("event.recorded")]');
    expect(text).not.toContain('counts');
  });

  it('prints data for tools: groups, topics, stores', async () => {
    const [topology] = JSON.parse(await printed('counts', '--format', 'json'));
    const [first, second] = topology.subTopologies;
    expect(topology.subTopologies).toHaveLength(2);
    expect(first.group).toBe(`counts.${first.name}`);
    expect(first.reads).toEqual([{ topic: 'event.recorded', kind: 'topic' }]);
    expect(first.writes).toEqual(second.reads);
    expect(second.stateful).toBe(true);
    expect(second.steps.flatMap(({ stores }: { stores: string[] }) => stores)).toContain(
      'by-tenant',
    );
  });

  it('refuses a name and a format that do not exist', async () => {
    await expect(printed('cuonts')).rejects.toMatchObject({
      code: 'UNKNOWN_PIPELINE',
      hint: 'The pipelines are: copy, counts.',
    });
    const command = topologyCommand([copy])
      .exitOverride()
      .configureOutput({ writeErr: () => {} });
    await expect(command.parseAsync(['--format', 'png'], { from: 'user' })).rejects.toMatchObject({
      code: 'commander.invalidArgument',
    });
  });
});
