import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { mayWrite, nextLife, type TaskEvent, type TaskLife, transitions } from './lifecycle.ts';

const lives = Object.keys(transitions) as TaskLife[];
const events = Object.keys(transitions.created) as TaskEvent[];

describe('the life of a task', () => {
  it('is the one of the specification', () => {
    const table = lives.map((life) => [life, ...events.map((event) => transitions[life][event])]);
    expect(table.map((row) => row.join(' '))).toMatchInlineSnapshot(`
      [
        "created restoring illegal backoff failed illegal closed illegal",
        "restoring illegal running backoff failed fenced draining illegal",
        "running illegal illegal backoff failed fenced draining illegal",
        "backoff restoring illegal backoff failed illegal closed illegal",
        "draining illegal draining draining draining fenced draining closed",
        "failed restoring illegal failed failed illegal closed illegal",
        "closed illegal closed closed closed closed closed closed",
        "fenced restoring fenced fenced failed fenced closed illegal",
      ]
    `);
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

  it('never writes once it was fenced, unless it is opened anew', () => {
    fc.assert(
      fc.property(fc.constantFrom(...lives), fc.array(fc.constantFrom(...events)), (from, then) => {
        let life = from;
        let fenced = false;
        for (const event of then) {
          if (transitions[life][event] === 'illegal') continue;
          life = nextLife(life, event);
          if (life === 'fenced') fenced = true;
          if (life === 'restoring') fenced = false;
          if (fenced) expect(mayWrite(life)).toBe(false);
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
