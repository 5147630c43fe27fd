import type { RecordResult } from '../../runtime/delivery/sink.ts';
import { ReachflowError } from '../../runtime/errors.ts';
import { quote } from '../record.ts';

/** The receiver takes nothing now: alerts wait. @param why without secrets. */
export function away(channel: string, why: string, cause?: unknown): RecordResult {
  const error = new ReachflowError(`${channel} did not take the alert: ${quote(why)}`, {
    code: 'ALERT_CHANNEL_AWAY',
    domain: 'external',
    retry: 'backoff',
    hint: `Alerts wait for it, and nothing else does. Check alerts.actions.${channel}.`,
    cause,
  });
  return { status: 'retry', of: 'store', error };
}

/** This alert can never be told as it is. */
export function refused(channel: string, why: string, cause?: unknown): RecordResult {
  const error = new ReachflowError(`${channel} rejects the alert: ${quote(why)}`, {
    code: 'ALERT_REJECTED',
    domain: 'user',
    hint: `What it says of the alert’s content is in the message; see alerts.actions.${channel}.`,
    cause,
  });
  return { status: 'rejected', error };
}
