import { createRequire } from 'node:module';
import type * as KafkaJs from 'kafkajs';
import { FetchedBatch, rawRecords } from './fetched-batch.ts';
import { resetToStart } from './offset-reset.ts';

const require = createRequire(import.meta.url);

/**
 * Modules of KafkaJS that are replaced by ours, with the module that uses each. What is wrong with its own: aborted
 * transactions (see `read-committed.ts`), and their cost (docs/adr/0001-kafka-client.md).
 */
const REPLACED = [
  {
    module: 'protocol/requests/fetch/v4/decodeMessages.js',
    user: 'protocol/requests/fetch/v11/response.js',
    by: rawRecords,
  },
  { module: 'consumer/batch.js', user: 'consumer/consumerGroup.js', by: FetchedBatch },
] as const;

/**
 * KafkaJS with modules replaced. They are exchanged before the ones that use them are loaded, so this has to be the
 * only place that loads KafkaJS. Its version is pinned exactly for that.
 */
function loadKafkaJs(): typeof KafkaJs {
  for (const { module, user, by } of REPLACED) {
    if (require.cache[require.resolve(`kafkajs/src/${user}`)] !== undefined) {
      throw new Error('kafkajs was loaded before runtime/kafka/kafkajs.ts: import it from there');
    }
    const path = require.resolve(`kafkajs/src/${module}`);
    require(path);
    const loaded = require.cache[path];
    if (loaded === undefined)
      throw new Error('kafkajs cannot be corrected: has its layout changed?');
    loaded.exports = by;
  }
  const { prototype } = require('kafkajs/src/consumer/offsetManager') as {
    readonly prototype: Record<string, unknown>;
  };
  if (typeof prototype['setDefaultOffset'] !== 'function')
    throw new Error('kafkajs cannot be corrected: has its layout changed?');
  prototype['setDefaultOffset'] = resetToStart;
  return require('kafkajs') as typeof KafkaJs;
}

export const kafkajs = loadKafkaJs();

/** A module of KafkaJS that its package does not export; typed in `kafkajs-internals.ts`. */
export function kafkajsModule(path: string): unknown {
  return require(`kafkajs/src/${path}.js`);
}
