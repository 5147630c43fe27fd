import type { ProcessContext } from '../../../runtime/operators/process-api.ts';
import { jsonSerde, keyValueStore } from '../../../runtime/state/contract.ts';
import { ACTIVE_MODEL, type Model, models, openModel } from '../model/scoring-model.ts';

/** The model as a task keeps it. */
interface KeptModel {
  readonly version: string;
  readonly publishedAt: number;
  readonly text: string;
}

/** One entry: the model that this task scores with. */
export const modelStore = keyValueStore<KeptModel>('model', jsonSerde());

/**
 * The model that a task scores with. It is state: a task switches in an epoch, goes on with the same one after a crash or a
 * move, and keeps it when the topic holds none that is valid any more.
 */
export class ActiveModel {
  readonly #context: Pick<ProcessContext<never, Record<never, never>>, 'store' | 'table'>;
  #model: Model | undefined;

  constructor(context: Pick<ProcessContext<never, Record<never, never>>, 'store' | 'table'>) {
    this.#context = context;
  }

  get model(): Model | undefined {
    return this.#model;
  }

  /** Reads what the task scored with before. Once, before `adopt`. */
  restore(): void {
    const kept = this.#context.store(modelStore).get(ACTIVE_MODEL);
    if (kept === undefined) return;
    const { version, publishedAt, text } = kept;
    const published = { name: ACTIVE_MODEL, version, published_at: publishedAt, features: [] };
    this.#model = openModel({ ...published, model: text }, publishedAt);
  }

  /**
   * Takes the published model where that is a later one: a process that has read less of the topic than the task's last
   * owner does not take a step back.
   * @returns whether there is another model now.
   */
  adopt(): boolean {
    const model = this.#context.table(models).get(ACTIVE_MODEL);
    if (model === undefined || model.publishedAt <= (this.#model?.publishedAt ?? 0)) return false;
    this.#model = model;
    const { version, publishedAt, text } = model;
    this.#context.store(modelStore).set(ACTIVE_MODEL, { version, publishedAt, text });
    return true;
  }
}
