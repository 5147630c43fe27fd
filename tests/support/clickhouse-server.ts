import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StartContext } from '../../compose/embedded/component.ts';
import { clickhouseComponent } from '../../compose/embedded/components/clickhouse.ts';
import { stackLayout } from '../../compose/embedded/layout.ts';
import { choosePorts } from '../../compose/embedded/ports.ts';

const START_LIMIT_MS = 60_000;
const POLL_MS = 100;

/** A user of the server and the settings of its profile. */
export interface ServerUser {
  readonly name: string;
  readonly settings: Readonly<Record<string, string | number>>;
  /** Settings that the user may not change. */
  readonly constant?: readonly string[];
}

/** A ClickHouse server that only one test uses, to kill and to freeze. Users have no password. */
export class ClickhouseServer {
  readonly url: string;
  readonly #dir: string;
  readonly #context: StartContext;
  #child: ChildProcess | undefined;

  private constructor(dir: string, context: StartContext) {
    this.#dir = dir;
    this.#context = context;
    this.url = `http://127.0.0.1:${context.ports.clickhouse}`;
  }

  /** Starts one on new data. @param users besides `default`, who may do all. */
  static async start(users: readonly ServerUser[] = []): Promise<ClickhouseServer> {
    const dir = await mkdtemp(join(tmpdir(), 'reachflow-clickhouse-'));
    const ports = await choosePorts(dir, {}, new Set());
    const layout = stackLayout(dir);
    // All that this component reads of its context.
    const context = { layout, ports } as StartContext;
    const server = new ClickhouseServer(dir, context);
    await clickhouseComponent.prepare(context);
    await writeFile(join(layout.confDir('clickhouse'), 'users.xml'), usersXml(users));
    await server.restart();
    return server;
  }

  /** Starts it again on its data, and waits until it answers. */
  async restart(): Promise<void> {
    const { file, args, env } = await clickhouseComponent.command(this.#context);
    // Its listeners live until standard input ends: with this process at the latest.
    const child = spawn(file, args, {
      env: { ...process.env, ...env },
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    this.#child = child;
    const deadline = Date.now() + START_LIMIT_MS;
    while (!(await this.#answers())) {
      if (child.exitCode !== null) throw new Error(`the server ended (${child.exitCode})`);
      if (Date.now() > deadline) throw new Error('the server does not answer');
      await sleep(POLL_MS);
    }
  }

  async #answers(): Promise<boolean> {
    return fetch(`${this.url}/ping`).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  /** As a power cut of the process: nothing is finished. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (child === undefined) return;
    this.#child = undefined;
    const closed = once(child, 'close');
    child.kill('SIGKILL');
    await closed;
  }

  /** It keeps its connections, and does nothing. */
  freeze(): void {
    this.#child?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#child?.kill('SIGCONT');
  }

  /** Ends it and removes its data. */
  async destroy(): Promise<void> {
    await this.kill();
    await rm(this.#dir, { recursive: true, force: true, maxRetries: 3 });
  }
}

function userXml({ name, settings, constant = [] }: ServerUser): { profile: string; user: string } {
  const values = Object.entries(settings).map(([key, value]) => `<${key}>${value}</${key}>`);
  const constants = constant.map((key) => `<${key}><const/></${key}>`);
  return {
    profile: `<${name}>${values.join('')}<constraints>${constants.join('')}</constraints></${name}>`,
    user: `<${name}><password></password><networks><ip>127.0.0.1</ip></networks><profile>${name}</profile>
      <quota>default</quota><access_management>1</access_management></${name}>`,
  };
}

function usersXml(users: readonly ServerUser[]): string {
  const all = [{ name: 'default', settings: {} }, ...users].map(userXml);
  return `<clickhouse>
  <profiles>${all.map(({ profile }) => profile).join('\n')}</profiles>
  <quotas><default/></quotas>
  <users>${all.map(({ user }) => user).join('\n')}</users>
</clickhouse>
`;
}
