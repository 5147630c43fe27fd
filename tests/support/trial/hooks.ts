import { ReachflowError } from '../../../runtime/errors.ts';
import { KafkaCluster } from '../../../runtime/kafka/cluster.ts';
import { EpochProducer } from '../../../runtime/kafka/epoch-producer.ts';
import type { Broker } from '../../../runtime/kafka/kafkajs-internals.ts';
import { TaskState } from '../../../runtime/state/task-state.ts';
import type { Hook, HookPoint } from './settings.ts';

/** Ends or freezes this process, or throws, when it comes to a point for the nth time. */
export class Hooks {
  readonly #hooks: readonly Hook[];
  readonly #times = new Map<HookPoint, number>();

  constructor(hooks: readonly Hook[]) {
    this.#hooks = hooks;
  }

  reached(at: HookPoint): void {
    const times = (this.#times.get(at) ?? 0) + 1;
    this.#times.set(at, times);
    for (const hook of this.#hooks) {
      if (hook.at !== at || hook.nth !== times) continue;
      if (hook.action === 'fail') throw failure(at);
      // A signal that a process sends to itself takes effect before the call returns.
      process.kill(process.pid, hook.action === 'kill' ? 'SIGKILL' : 'SIGSTOP');
    }
  }

  /** Puts the points between transaction and store into the runtime of this process. */
  install(): void {
    this.#installCommit();
    this.#installEnd();
    const hooks = this;
    const { restore } = TaskState.prototype;
    TaskState.prototype.restore = function restoreWithHook(segment, nextOffset) {
      restore.call(this, segment, nextOffset);
      hooks.reached('restore');
    };
  }

  #installCommit(): void {
    const hooks = this;
    const { commit } = EpochProducer.prototype;
    EpochProducer.prototype.commit = async function commitWithHooks(batches, offsets) {
      hooks.reached('commit');
      const result = await commit.call(this, batches, offsets);
      hooks.reached('committed');
      return result;
    };
  }

  #installEnd(): void {
    const hooks = this;
    const { callCoordinator } = KafkaCluster.prototype;
    KafkaCluster.prototype.callCoordinator = function callWithHooks(kind, id, call) {
      return callCoordinator.call(this, kind, id, (broker) => call(hooks.#ending(broker))) as never;
    };
  }

  #ending(broker: Broker): Broker {
    const hooks = this;
    return new Proxy(broker, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name);
        if (typeof value !== 'function') return value;
        if (name !== 'endTxn') return value.bind(target);
        return async (request: Parameters<Broker['endTxn']>[0]) => {
          hooks.reached('end-transaction');
          const answer = await target.endTxn(request);
          hooks.reached('ended');
          return answer;
        };
      },
    });
  }
}

/** A step's error is a bug; the others may pass, as those of a broker do. */
function failure(at: HookPoint): Error {
  const message = `failed at ${at}, as the test wants it`;
  if (at === 'record') return new TypeError(message);
  return new ReachflowError(message, { code: 'TEST', domain: 'external', retry: 'backoff' });
}
