import { describe, expect, it } from 'vitest';
import { ReachflowError } from '../errors.ts';
import { type LogConfig, logConfigSchema } from './config.ts';
import { componentLogger, createLogger, taskLogger } from './logger.ts';

function capture(config: Partial<LogConfig> = {}) {
  const lines: string[] = [];
  const destination = { write: (text: string) => void lines.push(text) };
  const logger = createLogger(logConfigSchema.parse(config), {
    destination,
    bindings: { role: 't' },
  });
  return { logger, lines, last: (): unknown => JSON.parse(lines.at(-1) ?? 'null') };
}

describe('createLogger', () => {
  it('writes one JSON object a line, with level by name, ISO time, bindings and component', () => {
    const { logger, last } = capture();
    componentLogger(logger, 'kafka').info({ partition: 3 }, 'assigned');
    expect(last()).toMatchObject({
      level: 'info',
      role: 't',
      component: 'kafka',
      partition: 3,
      msg: 'assigned',
    });
    expect(last()).toHaveProperty('time', expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/));
  });

  it('leaves out what is below the level', () => {
    const { logger, lines } = capture({ level: 'warn' });
    logger.info('no');
    logger.warn('yes');
    expect(lines).toHaveLength(1);
  });

  it('writes errors with code, hint and cause', () => {
    const { logger, last } = capture();
    const error = new ReachflowError('broker away', {
      code: 'KAFKA_UNAVAILABLE',
      domain: 'external',
      hint: 'start it',
      cause: new Error('ECONNREFUSED'),
    });
    logger.error({ error }, 'failed');
    expect(last()).toMatchObject({
      error: {
        code: 'KAFKA_UNAVAILABLE',
        hint: 'start it',
        stack: expect.stringContaining('ECONNREFUSED'),
      },
    });
  });

  it.each<[string, (log: ReturnType<typeof capture>['logger']) => void]>([
    ['a field', (log) => log.info({ password: 'hunter2' })],
    ['a field of an object', (log) => log.info({ config: { secrets: ['hunter2'] } })],
    ['a header', (log) => log.info({ req: { headers: { authorization: 'hunter2' } } })],
    ['a signature', (log) => log.info({ headers: { 'x-hub-signature-256': 'hunter2' } })],
    ['a URL in a field', (log) => log.info({ url: 'postgres://u:hunter2@h/d' })],
    ['a URL in a message', (log) => log.info('at postgres://u:hunter2@h/d')],
    ['a URL in an error', (log) => log.error({ err: new Error('at postgres://u:hunter2@h/d') })],
    ['a configured path', (log) => log.info({ contact: { email: 'hunter2' } })],
    ['a payload', (log) => log.info({ payload: { name: 'hunter2' } })],
    ['the payload of a record', (log) => log.warn({ record: { payload: 'hunter2' } })],
    ['the body of a request', (log) => log.warn({ req: { body: 'hunter2' } })],
  ])('does not show a secret in %s', (_, write) => {
    const { logger, lines } = capture({ redact: ['contact.email'] });
    write(logger);
    expect(lines).toHaveLength(1);
    expect(lines[0]).not.toContain('hunter2');
  });
});

describe('correlation', () => {
  const task = { pipeline: 'events', subTopology: 'webhooks', partition: 3 };

  it('names the task in each line, and its epoch and trace of the moment, in children too', () => {
    const { logger, last } = capture();
    let epoch = 7;
    let traceId: string | undefined = 'a'.repeat(32);
    const log = componentLogger(
      taskLogger(logger, task, () => ({ epoch, traceId })),
      'state',
    );
    log.info({ entries: 1 }, 'first');
    expect(last()).toMatchObject({ ...task, component: 'state', epoch: 7, traceId, entries: 1 });
    epoch = 8;
    traceId = undefined;
    log.info('second');
    expect(last()).toMatchObject({ ...task, epoch: 8, msg: 'second' });
    expect(last()).not.toHaveProperty('traceId');
    expect(last()).not.toHaveProperty('entries');
  });

  it('does not reach other loggers', () => {
    const { logger, last } = capture();
    taskLogger(logger, task, () => ({ epoch: 7 })).info('its own');
    logger.info('another');
    expect(last()).not.toHaveProperty('epoch');
    expect(last()).not.toHaveProperty('pipeline');
  });
});

describe('bytes', () => {
  it('are never written, only how many there were', () => {
    const { logger, last, lines } = capture();
    logger.info({ key: Buffer.from('hunter2'), value: new Uint8Array(3) }, 'record');
    expect(last()).toMatchObject({ key: '[7 bytes]', value: '[3 bytes]' });
    expect(lines[0]).not.toContain('104');
  });

  it('of the caller stay as they are', () => {
    const { logger } = capture();
    const line = { key: Buffer.from('k') };
    logger.info(line);
    expect(line.key).toEqual(Buffer.from('k'));
  });
});
