/** What operators, tasks and checkpoints know of state. */
export type {
  BackendKind,
  SnapshotFile,
  StateBackend,
  StateIdentity,
  StoreDescriptor,
  StoreSize,
} from './backend.ts';
export { type KeyValueStore, keyValueStore } from './key-value-store.ts';
export {
  type OpenBackendOptions,
  openBackend,
  removeState,
  type SetAside,
  stateDirectory,
} from './open-backend.ts';
export {
  bytesSerde,
  jsonSerde,
  numberSerde,
  type Serde,
  structuredSerde,
  textSerde,
} from './serde.ts';
export { type Session, type SessionStore, sessionStore } from './session-store.ts';
export type { StoreOptions, StoreSpec } from './spec.ts';
export { type StateStats, storesOf, TaskState, type TaskStateOptions } from './task-state.ts';
export { type TtlOptions, type TtlStore, ttlStore } from './ttl-store.ts';
export { type WindowEntry, type WindowStore, windowStore } from './window-store.ts';
