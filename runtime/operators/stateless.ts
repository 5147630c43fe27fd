import type { Operator, OperatorContext, OperatorFactory } from '../topology/operator.ts';
import type { NotOk, Outcome } from '../topology/outcome.ts';
import { derive, type StreamRecord } from '../topology/record.ts';

type Of<R> = (value: never, record: never) => R;

/** Forwards what it gets: sources, merges. */
export const passOperator: OperatorFactory = ({ forward }) => ({ process: forward });

export function filterOperator(predicate: Of<boolean>): OperatorFactory {
  const keep = predicate as (value: unknown, record: StreamRecord) => boolean;
  return (context): Operator => ({
    process(record) {
      if (keep(record.value, record)) context.forward(record);
      else context.drop(record, 'filtered');
    },
  });
}

export function mapOperator(mapper: Of<unknown>): OperatorFactory {
  const map = mapper as (value: unknown, record: StreamRecord) => unknown;
  return ({ forward }): Operator => ({
    process(record) {
      forward(derive(record, map(record.value, record)));
    },
  });
}

export function flatMapOperator(mapper: Of<Iterable<unknown>>): OperatorFactory {
  const map = mapper as (value: unknown, record: StreamRecord) => Iterable<unknown>;
  return ({ forward }): Operator => ({
    process(record) {
      for (const value of map(record.value, record)) forward(derive(record, value));
    },
  });
}

export function selectKeyOperator(key: Of<string>): OperatorFactory {
  const keyOf = key as (value: unknown, record: StreamRecord) => string;
  return ({ forward }): Operator => ({
    process(record) {
      forward(derive(record, record.value, keyOf(record.value, record)));
    },
  });
}

export function branchOperator(branches: Readonly<Record<string, Of<boolean>>>): OperatorFactory {
  return (context): Operator => {
    const routes = Object.entries(branches).map(([name, predicate]) => ({
      takes: predicate as (value: unknown, record: StreamRecord) => boolean,
      forward: requireOutput(context, name),
    }));
    const rest = requireOutput(context, 'rest');
    return {
      process(record) {
        const route = routes.find(({ takes }) => takes(record.value, record));
        (route?.forward ?? rest)(record);
      },
    };
  };
}

/** The forwarder of a connected output. @throws Error for a name that the node does not have. */
export function requireOutput(context: OperatorContext, name: string) {
  const forward = context.output(name);
  if (forward === undefined) throw new Error(`${context.name} has no output named ${name}`);
  return forward;
}

/** Does what is not `ok` says. */
export function settle(context: OperatorContext, record: StreamRecord, outcome: NotOk): void {
  if (outcome.kind === 'drop') context.drop(record, outcome.reason);
  else if (outcome.kind === 'dlq') context.deadLetter(record, outcome.error, outcome.tenant);
  else context.retryLater(record, outcome.afterMs);
}

/** Does what a step said of a record. */
export function apply(
  context: OperatorContext,
  record: StreamRecord,
  outcome: Outcome<unknown>,
): void {
  if (outcome.kind === 'ok') context.forward(derive(record, outcome.value));
  else if (outcome.kind === 'redirect')
    requireOutput(context, outcome.output)(derive(record, outcome.value));
  else settle(context, record, outcome);
}

export function stepOperator(work: Of<Outcome<unknown>>): OperatorFactory {
  const run = work as (value: unknown, record: StreamRecord) => Outcome<unknown>;
  return (context): Operator => ({
    process(record) {
      apply(context, record, run(record.value, record));
    },
  });
}
