import type { Command } from 'commander';
import { describe, expect, it } from 'vitest';
import { createProgram } from './program.ts';

function leaves(command: Command, path: readonly string[] = []): [string, Command][] {
  if (command.commands.length === 0) return [[path.join(' '), command]];
  return command.commands.flatMap((child) => leaves(child, [...path, child.name()]));
}

async function failureOf(...args: string[]): Promise<{ code: string; text: string }> {
  let text = '';
  const program = createProgram();
  const silence = (command: Command): void => {
    command.configureOutput({
      writeErr: (written) => {
        text += written;
      },
    });
    command.commands.forEach(silence);
  };
  silence(program);
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof Error && 'code' in error) return { code: String(error.code), text };
    throw error;
  }
  throw new Error('accepted');
}

describe('the command line', () => {
  it.each(leaves(createProgram()))('%s says what it does', (_, command) => {
    expect(command.description().length).toBeGreaterThan(10);
  });

  it.each([
    [['cnfig'], 'commander.unknownCommand', 'Did you mean config?'],
    [['stack', 'upp'], 'commander.unknownCommand', 'Did you mean up?'],
    [['config', '--jsn'], 'commander.unknownOption', 'Did you mean --json?'],
  ])('%j is refused, with the nearest name', async (args, code, text) => {
    const failure = await failureOf(...args);
    expect(failure.code).toBe(code);
    expect(failure.text).toContain(text);
  });
});
