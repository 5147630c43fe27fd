import { describe, expect, it } from 'vitest';
import { checkParts } from '../product.ts';
import { runCommand } from './run.ts';

describe('reachflow run', () => {
  it.each(['0', '65', '1.5', '-1', 'many', ''])('refuses --workers %j', async (count) => {
    const command = runCommand()
      .exitOverride()
      .configureOutput({ writeErr: () => undefined });
    const refused = command.parseAsync([`--workers=${count}`], { from: 'user' });
    await expect(refused).rejects.toMatchObject({ code: 'commander.invalidArgument' });
  });

  it('names the parts that do not exist, and those that do', () => {
    expect(() => checkParts(['webhook', 'evnts'])).toThrow(
      expect.objectContaining({
        code: 'UNKNOWN_PART',
        message: 'there is no part named evnts',
        hint: expect.stringContaining('events'),
      }),
    );
    expect(checkParts(undefined)).toBeUndefined();
  });
});
