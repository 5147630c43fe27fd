import { createHash } from 'node:crypto';
import { createTransport } from 'nodemailer';
import { DELIVERED, type RecordResult } from '../../runtime/delivery/sink.ts';
import { errorCode, errorMessage } from '../../runtime/errors.ts';
import type { AlertActions } from './config.ts';
import { away, refused } from './outcome.ts';
import type { AlertChannel } from './sink.ts';
import { descriptionOf, titleOf } from './text.ts';

/**
 * Mails. `Message-ID` follows from the alert's id: mail that comes twice after a crash is one to most mail clients.
 * @param url of the mail server.
 */
export function emailChannel(url: string, config: AlertActions['email']): AlertChannel {
  const { from, to, timeoutMs, requireTls } = config;
  const transport = createTransport({
    url,
    requireTLS: requireTls,
    connectionTimeout: timeoutMs,
    greetingTimeout: timeoutMs,
    socketTimeout: timeoutMs,
    disableFileAccess: true,
    disableUrlAccess: true,
  });
  return {
    mode: 'at-least-once',
    async send(alert) {
      const digest = createHash('sha256').update(alert.alert_id).digest('hex').slice(0, 32);
      try {
        await transport.sendMail({
          from,
          to: [...to],
          subject: titleOf(alert),
          text: descriptionOf(alert),
          messageId: `<${digest}@reachflow>`,
          date: new Date(alert.raised_at),
          headers: { 'Auto-Submitted': 'auto-generated' },
        });
        return DELIVERED;
      } catch (error) {
        return classify(error);
      }
    },
    close: () => transport.close(),
  };
}

/** SMTP's permanent failures. */
const PERMANENT = 500;

/**
 * Only what the server says of the content speaks of the alert. Sender, recipients and password are the same for all
 * alerts: what is wrong with them is the configuration's.
 */
function classify(error: unknown): RecordResult {
  const { responseCode, command } = error as { responseCode?: unknown; command?: unknown };
  const isContent = command === 'DATA' && typeof responseCode === 'number';
  const why = `${errorCode(error) ?? 'SMTP'}: ${errorMessage(error)}`;
  if (isContent && responseCode >= PERMANENT) return refused('email', why, error);
  return away('email', why, error);
}
