import { describe, expect, it } from 'vitest';
import { type KafkaConfig, kafkaConfigSchema } from './config.ts';
import { kafkaSecurity } from './security.ts';

type Given = { tls?: Partial<KafkaConfig['tls']>; sasl?: Partial<KafkaConfig['sasl']> };
const security = (given: Given) => kafkaSecurity(kafkaConfigSchema.parse(given));

describe('kafkaSecurity', () => {
  it('is an open connection by default', () => {
    expect(security({})).toEqual({ ssl: false });
  });

  it("trusts Node's authorities when TLS names no file", () => {
    expect(security({ tls: { enabled: true } })).toEqual({ ssl: {} });
  });

  it('logs in as configured', () => {
    const sasl = { mechanism: 'scram-sha-512', username: 'u', password: 'p' } as const;
    expect(security({ sasl })).toEqual({ ssl: false, sasl });
  });

  it.each<[string, Given]>([
    ['files without TLS', { tls: { caFile: 'ca.pem' } }],
    ['a certificate without its key', { tls: { enabled: true, certFile: 'c.pem' } }],
    ['a key without its certificate', { tls: { enabled: true, keyFile: 'k.pem' } }],
    ['a mechanism without a user', { sasl: { mechanism: 'plain', password: 'p' } }],
    ['a mechanism without a password', { sasl: { mechanism: 'plain', username: 'u' } }],
    ['a user without a mechanism', { sasl: { username: 'u', password: 'p' } }],
  ])('refuses %s', (_what, given) => {
    expect(() => security(given)).toThrowError(
      expect.objectContaining({ code: 'KAFKA_SECURITY_INCOMPLETE' }),
    );
  });

  it('names the file that cannot be read', () => {
    expect(() => security({ tls: { enabled: true, caFile: '/nonexistent/ca.pem' } })).toThrowError(
      expect.objectContaining({
        code: 'KAFKA_TLS_FILE',
        message: expect.stringContaining('/nonexistent/ca.pem'),
      }),
    );
  });
});
