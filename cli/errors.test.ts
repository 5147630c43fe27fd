import { stripVTControlCharacters } from 'node:util';
import { CommanderError } from 'commander';
import { afterEach, beforeEach, describe, expect, it, type MockInstance, vi } from 'vitest';
import { ConfigError } from '../runtime/config/problem.ts';
import { ReachflowError } from '../runtime/errors.ts';
import { reportError } from './errors.ts';

describe('reportError', () => {
  let stderr: MockInstance<typeof process.stderr.write>;
  beforeEach(() => {
    stderr = vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  });
  afterEach(() => stderr.mockRestore());

  function report(error: unknown, env: NodeJS.ProcessEnv = {}): { code: number; text: string } {
    const code = reportError(error, env);
    const text = stderr.mock.calls.map(([written]) => String(written)).join('');
    return { code, text: stripVTControlCharacters(text) };
  }

  it('prints code, message, causes and hint, without a stack', () => {
    const cause = new Error('registry away', { cause: new Error('ECONNREFUSED') });
    const error = new ReachflowError('cannot decode', {
      code: 'DECODE_FAILED',
      domain: 'external',
      hint: 'Start the registry.',
      cause,
    });
    expect(report(error)).toEqual({
      code: 1,
      text: 'error DECODE_FAILED: cannot decode\n  cause: registry away\n  cause: ECONNREFUSED\n  hint: Start the registry.\n',
    });
  });

  it('prints every error of an aggregate', () => {
    const cause = new AggregateError([new Error('::1 refused'), new Error('127.0.0.1 refused')]);
    const error = new ReachflowError('no broker', { code: 'X', domain: 'external', cause });
    expect(report(error).text).toContain('cause: ::1 refused\n  cause: 127.0.0.1 refused\n');
  });

  it('ends with causes that go in a circle', () => {
    const error = new Error('round');
    error.cause = new Error('and round', { cause: error });
    expect(report(error).text).toContain('cause: and round');
  });

  it('shows the stack when asked', () => {
    expect(report(new Error('bug')).text).not.toContain('errors.test.ts');
    expect(report(new Error('bug'), { REACHFLOW_DEBUG: '1' }).text).toContain('errors.test.ts');
  });

  it('hides passwords in URLs', () => {
    expect(report(new Error('at postgres://u:hunter2@h/d')).text).toContain('postgres://u:***@h/d');
  });

  it('ends with 2 for usage and configuration, and with 0 for help', () => {
    const problem = { source: { kind: 'env', name: 'REACHFLOW_X' }, message: 'no' } as const;
    expect(report(new ConfigError([problem])).code).toBe(2);
    expect(report(new CommanderError(1, 'commander.unknownCommand', 'said already')).code).toBe(2);
    expect(report(new CommanderError(0, 'commander.help', '')).code).toBe(0);
  });
});
