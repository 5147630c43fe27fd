import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { configMarkdown, describeConfig, redactConfig } from './describe.ts';
import { REDACTED } from './redact.ts';
import { envNameOf, rootSchemaOf, settingsOf } from './settings.ts';

const source = z.discriminatedUnion('scheme', [
  z.strictObject({ scheme: z.literal('a'), secrets: z.array(z.string()).meta({ secret: true }) }),
  z.strictObject({ scheme: z.literal('b'), name: z.string() }),
]);

const schema = z.strictObject({
  web: z.strictObject({
    port: z.int().min(0).max(65_535).default(8080).describe('Port to listen on.'),
    mode: z.enum(['on', 'off']).default('on').describe('Either a|b.'),
    // The same after optional() and default(): the mark must not get lost on the way.
    token: z.string().meta({ secret: true }).optional(),
    password: z.string().default('').describe('Password.').meta({ secret: true }),
    url: z.string().default('http://localhost'),
    sources: z.record(z.string(), source).default({}),
  }),
});

describe('describeConfig', () => {
  it('gives every setting its key, variable, type, default and description', () => {
    const rows = describeConfig(schema);
    expect(rows.map(({ key, secret }) => [key, secret])).toEqual([
      ['web.port', false],
      ['web.mode', false],
      ['web.token', true],
      ['web.password', true],
      ['web.url', false],
      ['web.sources', true],
    ]);
    expect(rows[0]).toEqual({
      key: 'web.port',
      env: 'REACHFLOW_WEB_PORT',
      type: 'integer, 0 to 65535',
      default: '8080',
      description: 'Port to listen on.',
      secret: false,
    });
    expect(rows[1]).toMatchObject({ type: 'on | off', default: '"on"' });
    expect(rows[2]?.default).toBeUndefined();
  });

  it('keeps table cells apart', () => {
    expect(configMarkdown(schema)).toContain('| on \\| off | `"on"` | Either a\\|b. |');
  });
});

describe('redactConfig', () => {
  it('replaces secrets at any depth and passwords in URLs, and nothing else', () => {
    const config = {
      web: {
        port: 1,
        token: 'hunter2',
        password: '',
        url: 'https://me:hunter2@host:1/path?token=hunter2',
        sources: { x: { scheme: 'a', secrets: ['hunter2', 'hunter3'] } },
      },
    };
    expect(redactConfig(schema, config)).toEqual({
      web: {
        port: 1,
        token: REDACTED,
        password: '',
        url: 'https://me:***@host:1/path?***',
        sources: { x: { scheme: 'a', secrets: [REDACTED, REDACTED] } },
      },
    });
    expect(config.web.token).toBe('hunter2');
  });

  it('shows where a secret URL points to', () => {
    const stores = z.strictObject({
      pg: z.strictObject({ url: z.string().meta({ secret: true }) }),
    });
    const shown = (url: string) => redactConfig(stores, { pg: { url } });
    expect(shown('postgres://u:hunter2@h:5432/d')).toEqual({
      pg: { url: 'postgres://u:***@h:5432/d' },
    });
    expect(shown('postgres://u@h/d?password=hunter2')).toEqual({
      pg: { url: 'postgres://u@h/d?***' },
    });
    expect(shown('https://hooks.example.com/hunter2')).toEqual({ pg: { url: REDACTED } });
    expect(shown('postgres://u:hunter/2@h/d')).toEqual({ pg: { url: REDACTED } });
  });
});

describe('names of the environment', () => {
  it.each([
    [['kafka', 'lingerMs'], 'REACHFLOW_KAFKA_LINGER_MS'],
    [['webhook', 'bodyLimitBytes'], 'REACHFLOW_WEBHOOK_BODY_LIMIT_BYTES'],
    [['http', 'baseURLPath'], 'REACHFLOW_HTTP_BASE_URL_PATH'],
    [['s3', 'bucket'], 'REACHFLOW_S3_BUCKET'],
  ])('%j is %s', (path, name) => {
    expect(envNameOf(path)).toBe(name);
  });

  it('must be unique', () => {
    const twins = z.object({ a: z.object({ bC: z.string() }), aB: z.object({ c: z.string() }) });
    expect(() => settingsOf(rootSchemaOf(twins))).toThrow('REACHFLOW_A_B_C');
  });
});
