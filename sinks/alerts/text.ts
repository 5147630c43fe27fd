import type { AlertRaised } from '../../schemas/types.ts';

const WHAT: Readonly<Record<string, string>> = {
  abandoned_import: 'Abandoned import',
  suspicious_activity: 'Suspicious activity',
  data_quality_issue: 'Data quality issue',
};

/** Without line breaks and what else a name of a tenant's making should not do to a message. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\s]+/gu, ' ').trim();
}

/** One line for people. */
export function titleOf({ pattern, severity, tenant_id, subject }: AlertRaised): string {
  const of = tenant_id === '' ? subject : tenant_id;
  return oneLine(`[${severity}] ${WHAT[pattern] ?? pattern}: ${of}`).slice(0, 200);
}

/** All of it, for people, as plain text. */
export function descriptionOf(alert: AlertRaised): string {
  return [
    alert.summary,
    '',
    `Pattern: ${alert.pattern}`,
    `Severity: ${alert.severity}`,
    ...(alert.tenant_id === '' ? [] : [`Tenant: ${alert.tenant_id}`]),
    `Subject: ${alert.subject}`,
    `From: ${new Date(alert.started_at).toISOString()}`,
    `Raised: ${new Date(alert.raised_at).toISOString()}`,
    `Events: ${alert.count}`,
    `Alert: ${alert.alert_id}`,
  ]
    .map(oneLine)
    .join('\n');
}
