import { createRequire } from 'node:module';
import type * as KafkaJs from 'kafkajs';
import { dropAborted } from './read-committed.ts';

const require = createRequire(import.meta.url);

/**
 * KafkaJS with its filter of aborted transactions replaced by ours (see `read-committed.ts` for what is wrong with
 * its own). The module is exchanged before the one that uses it is loaded, so this has to be the only place that
 * loads KafkaJS.
 */
function loadKafkaJs(): typeof KafkaJs {
  const filter = require.resolve('kafkajs/src/consumer/filterAbortedMessages.js');
  const user = require.resolve('kafkajs/src/consumer/batch.js');
  if (require.cache[user] !== undefined) {
    throw new Error('kafkajs was loaded before runtime/kafka/kafkajs.ts: import it from there');
  }
  require(filter);
  const module = require.cache[filter];
  if (module === undefined) throw new Error('kafkajs cannot be corrected: has its layout changed?');
  module.exports = dropAborted;
  return require('kafkajs') as typeof KafkaJs;
}

export const kafkajs = loadKafkaJs();
