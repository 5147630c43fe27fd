import { join, resolve } from 'node:path';
import type { ComponentName } from '../types.ts';

/** Where a stack keeps what belongs to it; nothing outside `dir` and the user cache is ever written. */
export interface StackLayout {
  readonly dir: string;
  /** Engine, ports, ids: what later starts must know. */
  readonly stateFile: string;
  pidFile(component: ComponentName): string;
  /** The process that makes the component's data directory, while there is one. */
  preparationFile(component: ComponentName): string;
  readyFile(component: ComponentName): string;
  logFile(component: ComponentName): string;
  confDir(component: ComponentName): string;
  dataDir(component: ComponentName): string;
}

/** The files of the stack in `dir`. Creates nothing. */
export function stackLayout(dir: string): StackLayout {
  const root = resolve(dir);
  return {
    dir: root,
    stateFile: join(root, 'stack.json'),
    pidFile: (component) => join(root, 'run', `${component}.pid`),
    preparationFile: (component) => join(root, 'run', `${component}.preparation.pid`),
    readyFile: (component) => join(root, 'run', `${component}.ready.json`),
    logFile: (component) => join(root, 'logs', `${component}.log`),
    confDir: (component) => join(root, 'conf', component),
    dataDir: (component) => join(root, 'data', component),
  };
}

/** Subdirectories that `reset` removes with their contents. */
export const stackSubdirectories = ['run', 'conf', 'data', 'logs'] as const;

/** Sources that the launcher reads: poms, Java, SQL. */
export const composeDir = resolve(import.meta.dirname, '..');
