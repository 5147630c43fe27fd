import type { Sink } from '../../runtime/delivery/sink.ts';
import type { SinkDeps } from '../deps.ts';
import { pagerdutyChannel, slackChannel, ticketChannel, webhookChannel } from './channels.ts';
import type { AlertActions, AlertRoute } from './config.ts';
import { emailChannel } from './email.ts';
import { type AlertChannel, AlertSink } from './sink.ts';

/** What can be done with an alert: each a sink with a consumer group, breaker and DLQ of its own. */
export interface AlertAction {
  /** Of the sink: `alert-<kind>`. */
  readonly name: string;
  /** How to get there; undefined where the configuration does not say it. */
  channel(actions: AlertActions): AlertChannel | undefined;
  route(actions: AlertActions): AlertRoute;
}

/** Every action. A new one: its channel, its section, and its entry here. */
export const alertActions: readonly AlertAction[] = [
  {
    name: 'alert-slack',
    channel: ({ slack }) => (slack.url === undefined ? undefined : slackChannel(slack.url, slack)),
    route: ({ slack }) => slack,
  },
  {
    name: 'alert-pagerduty',
    channel: ({ pagerduty }) =>
      pagerduty.routingKey === undefined
        ? undefined
        : pagerdutyChannel(pagerduty.routingKey, pagerduty),
    route: ({ pagerduty }) => pagerduty,
  },
  {
    name: 'alert-webhook',
    channel: ({ webhook }) =>
      webhook.url === undefined ? undefined : webhookChannel(webhook.url, webhook),
    route: ({ webhook }) => webhook,
  },
  {
    name: 'alert-ticket',
    channel: ({ ticket }) =>
      ticket.url === undefined ? undefined : ticketChannel(ticket.url, ticket),
    route: ({ ticket }) => ticket,
  },
  {
    name: 'alert-email',
    channel: ({ email }) =>
      email.url === undefined || email.to.length === 0 ? undefined : emailChannel(email.url, email),
    route: ({ email }) => email,
  },
];

/** The sink of an action; undefined where it is not configured, or no alerts are raised. */
export function createAlertSink(
  action: AlertAction,
  actions: AlertActions,
  deps: SinkDeps,
): Sink | undefined {
  if (deps.parts?.includes('alerts') !== true) return undefined;
  const channel = action.channel(actions);
  if (channel === undefined) return undefined;
  return new AlertSink(action.name, channel, action.route(actions), deps);
}
