import type { FoundConfig } from '../../connectors/debezium/connect-client.ts';
import { maskUrl, REDACTED } from '../../runtime/config/redact.ts';
import { styled } from '../output.ts';

/** One setting that is not as it should be; a value that is not there is undefined. */
export interface SettingChange {
  readonly key: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
}

const SECRET_KEY = /passw|secret|token|credential|jaas|private|passphrase|user\.info/i;

/** Settings that differ, by key. What Connect adds by itself (`name`) is none. Pure. */
export function configChanges(
  found: FoundConfig | undefined,
  wanted: Readonly<Record<string, string>>,
): SettingChange[] {
  const { name: _ours, ...has } = found ?? {};
  const keys = [...new Set([...Object.keys(has), ...Object.keys(wanted)])].sort();
  return keys
    .map((key) => ({ key, from: has[key] ?? undefined, to: wanted[key] }))
    .filter(({ from, to }) => from !== to);
}

/** A change without what is secret in it: that it changes still shows. Pure. */
export function masked({ key, from, to }: SettingChange): SettingChange {
  const mask = (value: string | undefined, mark: string) => {
    if (value === undefined) return undefined;
    return SECRET_KEY.test(key) ? `${REDACTED}${mark}` : maskUrl(value);
  };
  const bothSecret = from !== undefined && to !== undefined && SECRET_KEY.test(key);
  return { key, from: mask(from, ''), to: mask(to, bothSecret ? ' (another)' : '') };
}

/** What an apply would change, one line per setting. */
export function diffText(name: string, exists: boolean, changes: readonly SettingChange[]): string {
  if (!exists) {
    const lines = changes.map(masked).map(({ key, to }) => `  + ${key} = ${to ?? ''}`);
    return [`${name}: is created`, ...lines.map((text) => styled('green', text))].join('\n');
  }
  if (changes.length === 0) return `${name}: is as configured`;
  const lines = changes.map(masked).map(({ key, from, to }) => {
    if (from === undefined) return styled('green', `  + ${key} = ${to ?? ''}`);
    if (to === undefined) return styled('red', `  - ${key} = ${from}`);
    return styled('yellow', `  ~ ${key} = ${from} → ${to}`);
  });
  const count = changes.length === 1 ? '1 setting differs' : `${changes.length} settings differ`;
  return [`${name}: ${count}`, ...lines].join('\n');
}
