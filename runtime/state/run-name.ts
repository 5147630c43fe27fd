import { randomBytes } from 'node:crypto';

/** A file's name that no other run has or had. */
export function newRunName(): string {
  return `run-${randomBytes(8).toString('hex')}.seg`;
}

/** Whether a file of a state's directory is a run. */
export function isRunName(name: string): boolean {
  return /^run-[0-9a-f]{16}\.seg$/.test(name);
}
