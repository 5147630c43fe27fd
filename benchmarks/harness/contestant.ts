import { type ChildProcess, spawn } from 'node:child_process';
import { createWriteStream, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ReachflowError } from '../../runtime/errors.ts';
import {
  type Answer,
  answerSchema,
  type RunNamespace,
  type Started,
  startCommand,
} from './protocol.ts';

export type WorkName = 't0' | 't1' | 't1-heavy';

/** What a contestant's process is started with. */
export interface ProcessContext {
  readonly work: WorkName;
  readonly brokers: readonly string[];
  readonly registryUrl: string;
  /** A directory of its own for local state. */
  readonly stateDir: string;
  /** A directory for what is to survive the loss of `stateDir`: checkpoints. */
  readonly checkpointDir: string;
  /** How often to save state there, ms; as in production when absent. */
  readonly checkpointMs?: number;
}

/** Who takes part. Each process works on one namespace after the other, as told through its standard input. */
export interface Contestant {
  readonly name: string;
  /** Late events: `due` leaves out those that are, `all` counts every event. */
  readonly rule: 'due' | 'all';
  command(context: ProcessContext): { readonly file: string; readonly args: readonly string[] };
}

const ANSWER_TIMEOUT_MS = 600_000;
const EXIT_TIMEOUT_MS = 20_000;
const LOG_TAIL_LINES = 30;

/** A contestant's process. */
export class ContestantProcess {
  readonly pid: number;
  readonly #name: string;
  readonly #child: ChildProcess;
  readonly #logFile: string;
  readonly #exited: Promise<void>;
  #settle: { resolve(answer: Answer): void; reject(error: Error): void } | undefined;

  private constructor(name: string, child: ChildProcess, pid: number, logFile: string) {
    this.#name = name;
    this.#child = child;
    this.pid = pid;
    this.#logFile = logFile;
    const { stdout, stderr } = child;
    if (stdout === null || stderr === null) throw new Error('the child has no output');
    stderr.pipe(createWriteStream(logFile));
    createInterface({ input: stdout }).on('line', (line) => this.#onLine(line));
    this.#exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.#settle?.reject(this.#error(`ended (${code ?? signal})`));
        resolve();
      });
    });
    // A closed standard input is noticed by the process' end.
    child.stdin?.on('error', () => undefined);
  }

  /** @param dir for its state and its log. */
  static async spawn(
    contestant: Contestant,
    context: Omit<ProcessContext, 'stateDir' | 'checkpointDir'>,
    dir: string,
  ): Promise<ContestantProcess> {
    const [stateDir, checkpointDir] = [join(dir, 'state'), join(dir, 'checkpoints')];
    await Promise.all([stateDir, checkpointDir].map((path) => mkdir(path, { recursive: true })));
    const { file, args } = contestant.command({ ...context, stateDir, checkpointDir });
    const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    const pid = await new Promise<number>((resolve, reject) => {
      child.once('spawn', () => resolve(child.pid ?? -1));
      child.once('error', reject);
    });
    return new ContestantProcess(contestant.name, child, pid, join(dir, `${pid}.log`));
  }

  /** Resolves when it runs on the namespace. @throws ReachflowError `CONTESTANT_FAILED`. */
  async start(namespace: RunNamespace): Promise<Started> {
    const answer = await this.#ask(startCommand(namespace));
    if (answer.event !== 'started') throw this.#error(`answered ${answer.event} to start`);
    return answer;
  }

  /** @throws ReachflowError `CONTESTANT_FAILED`. */
  async finish(): Promise<void> {
    const answer = await this.#ask('finish');
    if (answer.event !== 'finished') throw this.#error(`answered ${answer.event} to finish`);
  }

  /** Ends the process; kills it when it does not end by itself. */
  async end(): Promise<void> {
    this.#child.stdin?.end();
    const kill = setTimeout(() => this.#child.kill('SIGKILL'), EXIT_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(kill);
  }

  async #ask(command: string): Promise<Answer> {
    if (this.#child.exitCode !== null) throw this.#error(`has ended (${this.#child.exitCode})`);
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise<Answer>((resolve, reject) => {
        this.#settle = { resolve, reject };
        const late = () => reject(this.#error(`gave no answer to ${command}`));
        timer = setTimeout(late, ANSWER_TIMEOUT_MS);
        this.#child.stdin?.write(`${command}\n`);
      });
    } finally {
      clearTimeout(timer);
      this.#settle = undefined;
    }
  }

  #onLine(line: string): void {
    try {
      this.#settle?.resolve(answerSchema.parse(JSON.parse(line)));
    } catch {
      this.#settle?.reject(this.#error(`answered what is no answer: ${line}`));
    }
  }

  #error(what: string): ReachflowError {
    const log = readFileSync(this.#logFile, 'utf8').trimEnd().split('\n').slice(-LOG_TAIL_LINES);
    return new ReachflowError(`${this.#name} ${what}\n${log.join('\n')}`, {
      code: 'CONTESTANT_FAILED',
      domain: 'external',
      hint: `All that it said is in ${this.#logFile}.`,
    });
  }
}
