import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { nextLife, type TaskEvent, type TaskLife, transitions } from './lifecycle.ts';

const lives = Object.keys(transitions) as TaskLife[];
const events = Object.keys(transitions.created) as TaskEvent[];

describe('the life of a task', () => {
  it('is the one of the specification', () => {
    const spec = readFileSync(new URL('../SPEC.md', import.meta.url), 'utf8');
    const rows = lives.map((life) => {
      const cells = events.map((event) => transitions[life][event].replace('illegal', '–'));
      return `| **${life}** | ${cells.join(' | ')} |`;
    });
    expect(spec).toContain(`| state | ${events.join(' | ')} |`);
    expect(spec).toContain(rows.join('\n'));
  });

  it('goes from assignment to work and back', () => {
    const life = (['open', 'restored', 'revoke', 'drained'] as const).reduce<TaskLife>(
      nextLife,
      'created',
    );
    expect(life).toBe('closed');
  });

  it('refuses what the runner must not do', () => {
    expect(() => nextLife('running', 'open')).toThrow('a task that is running cannot get open');
  });

  it('never works again once it was fenced, unless it is opened anew', () => {
    fc.assert(
      fc.property(fc.constantFrom(...lives), fc.array(fc.constantFrom(...events)), (from, then) => {
        let life = from;
        let fenced = false;
        for (const event of then) {
          if (transitions[life][event] === 'illegal') continue;
          life = nextLife(life, event);
          if (life === 'fenced') fenced = true;
          if (life === 'restoring') fenced = false;
          // The states in which a task has a producer.
          if (fenced) expect(['running', 'draining']).not.toContain(life);
        }
      }),
    );
  });

  it('can always be let go of', () => {
    for (const life of lives) {
      const revoked = nextLife(life, 'revoke');
      expect(['closed', 'draining']).toContain(revoked);
      if (revoked === 'draining') expect(nextLife(revoked, 'drained')).toBe('closed');
    }
  });
});
