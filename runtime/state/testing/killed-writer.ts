import { openBackend } from '../open-backend.ts';
import { storesOf, TaskState } from '../task-state.ts';
import { COUNTERS, KEYS, WRITER_TASK } from './counters.ts';

/** A process to be killed: it commits epochs and flushes each, until then. */
const [dir = '', from = '0'] = process.argv.slice(2);
const backend = await openBackend({
  kind: 'lmdb',
  dir,
  identity: WRITER_TASK,
  stores: storesOf([COUNTERS]),
  maxBytes: 2 ** 30,
  onSetAside: ({ reason }) => process.stdout.write(`set aside: ${reason}\n`),
});
const state = new TaskState([COUNTERS], backend);
const store = state.store(COUNTERS);
process.stdout.write('open\n');
for (let epoch = Number(from) + 1; ; epoch += 1) {
  for (let index = 0; index < KEYS; index += 1) {
    const key = `counter-${index}`;
    if ((index + epoch) % 3 === 0) store.set(key, (store.get(key) ?? 0) + 1);
  }
  state.takeChanges();
  state.committed(BigInt(epoch));
  state.flush();
  if (epoch % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
}
