import { openBackend } from '../open-backend.ts';
import { storesOf, TaskState } from '../task-state.ts';
import { COUNTERS, KEYS, SEEN, SEEN_KEYS, SEGMENT_ENTRIES, WRITER_TASK } from './counters.ts';

/** A process to be killed: it commits epochs and flushes each, until then. */
const [dir = '', from = '0'] = process.argv.slice(2);
const backend = await openBackend({
  kind: 'lmdb',
  dir,
  identity: WRITER_TASK,
  stores: storesOf([COUNTERS, SEEN]),
  maxBytes: 2 ** 30,
  segmentEntries: SEGMENT_ENTRIES,
  onSetAside: ({ reason }) => process.stdout.write(`set aside: ${reason}\n`),
});
const state = new TaskState([COUNTERS, SEEN], backend);
const store = state.store(COUNTERS);
process.stdout.write('open\n');
for (let epoch = Number(from) + 1; ; epoch += 1) {
  for (let index = 0; index < KEYS; index += 1) {
    const key = `counter-${index}`;
    if ((index + epoch) % 3 === 0) store.set(key, (store.get(key) ?? 0) + 1);
  }
  for (let index = 0; index < 10; index += 1)
    state.store(SEEN).set(`${epoch % SEEN_KEYS}/${index}`, epoch, epoch);
  state.housekeep(epoch);
  state.takeChanges();
  state.committed(BigInt(epoch));
  state.flush();
  if (epoch % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
}
