import { createHash } from 'node:crypto';
import type { Chart } from '../../dashboards/chart.ts';
import { problemOf } from '../../runtime/http/problem.ts';
import type { ConsoleConfig } from '../config.ts';
import { tooMany } from '../problems.ts';
import { boundsOf, type Range } from './ranges.ts';
import type { Rows, Warehouse } from './warehouse.ts';

/** What is asked for: one chart for one tenant ('' is all) and range. */
export interface Question {
  readonly chart: Chart;
  readonly tenant: string;
  readonly range: Range;
}

/** An answer as browsers get it. */
export interface Answer extends Partial<Rows> {
  readonly id: string;
  /** When it was asked for, and the bounds of the question, ms since the epoch. */
  readonly at: number;
  readonly from: number;
  readonly to: number;
  /** Of a point, seconds. */
  readonly step: number;
  /** How long ClickHouse took, with what it waited, ms. */
  readonly ms: number;
  /** In the place of rows. */
  readonly problem?: { readonly code: string; readonly detail: string; readonly hint: string };
}

/** @param event `chart` with a new answer, or `same` when only its time is new. */
export type Listener = (event: 'chart' | 'same', json: string) => void;

interface Poll {
  readonly question: Question;
  readonly listeners: Set<Listener>;
  /** The last answer as JSON, and the digest of what it says. */
  last: { readonly json: string; readonly digest: string } | undefined;
  timer: NodeJS.Timeout | undefined;
}

/** Asks once. Problems are answers, too. */
export async function ask(warehouse: Warehouse, { chart, tenant, range }: Question) {
  const at = Date.now();
  const { from, to } = boundsOf(range, at);
  const { step } = range;
  const began = performance.now();
  const frame = () => ({
    ...{ id: chart.id, at, from, to, step },
    ms: Math.round(performance.now() - began),
  });
  try {
    const parameters = { tenant, from: new Date(from), to: new Date(to), step };
    const { columns, rows } = await warehouse.query(chart.sql, parameters);
    return { ...frame(), columns, rows } satisfies Answer;
  } catch (error) {
    const { code, message: detail, hint = '' } = problemOf(error);
    return { ...frame(), problem: { code, detail, hint } } satisfies Answer;
  }
}

/**
 * Keeps charts up to date that somebody looks at: one question at a time for each chart, tenant and range, however many
 * browsers show it. It remembers the last answer, and nothing when nobody looks. The slower the answers, the seldomer it
 * asks: all of them together keep ClickHouse busy for `queryShare` of the time.
 */
export class ChartPolls {
  readonly #warehouse: Warehouse;
  readonly #config: Pick<ConsoleConfig, 'refreshMs' | 'queryShare' | 'maxCharts'>;
  readonly #polls = new Map<string, Poll>();
  #isClosed = false;

  constructor(
    warehouse: Warehouse,
    config: Pick<ConsoleConfig, 'refreshMs' | 'queryShare' | 'maxCharts'>,
  ) {
    this.#warehouse = warehouse;
    this.#config = config;
  }

  /** Charts that are kept up to date. */
  get size(): number {
    return this.#polls.size;
  }

  /**
   * Tells of each answer, the last one at once. @returns ends that; idempotent.
   * @throws ProblemError 503 where as many are kept up to date as may be.
   */
  follow(question: Question, listener: Listener): () => void {
    const key = JSON.stringify([question.chart.id, question.tenant, question.range.id]);
    const known = this.#polls.get(key);
    if (known === undefined && this.#polls.size >= this.#config.maxCharts) throw tooMany('charts');
    const poll: Poll = known ?? {
      ...{ question, listeners: new Set(), last: undefined, timer: undefined },
    };
    poll.listeners.add(listener);
    if (poll.last !== undefined) listener('chart', poll.last.json);
    if (known === undefined) {
      this.#polls.set(key, poll);
      void this.#ask(key, poll);
    }
    return () => {
      poll.listeners.delete(listener);
      if (poll.listeners.size > 0 || this.#polls.get(key) !== poll) return;
      clearTimeout(poll.timer);
      this.#polls.delete(key);
    };
  }

  /** Never rejects: a problem is an answer. */
  async #ask(key: string, poll: Poll): Promise<void> {
    const answer = await ask(this.#warehouse, poll.question);
    if (this.#isClosed || this.#polls.get(key) !== poll) return;
    this.#tell(poll, answer);
    const { refreshMs, queryShare } = this.#config;
    const everyMs = Math.max(refreshMs, (answer.ms * this.#polls.size) / queryShare);
    const dueMs = Math.max(0, answer.at + everyMs - Date.now());
    poll.timer = setTimeout(() => void this.#ask(key, poll), dueMs);
  }

  #tell(poll: Poll, answer: Answer): void {
    const { columns, rows, problem } = answer;
    const content = JSON.stringify([columns, rows, problem]);
    const digest = createHash('sha256').update(content).digest('base64');
    const isNew = digest !== poll.last?.digest;
    const json = JSON.stringify(answer);
    poll.last = { json, digest };
    const { id, at, from, to, ms } = answer;
    const sent = isNew ? json : JSON.stringify({ id, at, from, to, ms });
    for (const listener of poll.listeners) listener(isNew ? 'chart' : 'same', sent);
  }

  close(): void {
    this.#isClosed = true;
    for (const { timer } of this.#polls.values()) clearTimeout(timer);
    this.#polls.clear();
  }
}
