import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadAppConfig } from './config.ts';

const GUIDES = ['api-pulls.md', 'sockets.md', 'subscriptions.md'];

describe('the settings in guides', () => {
  let cwd: string;
  beforeAll(async () => {
    cwd = await mkdtemp(join(tmpdir(), 'reachflow-guides-'));
  });
  afterAll(() => rm(cwd, { recursive: true }));

  it.each(GUIDES)('%s: are settings that there are', async (name) => {
    const guide = await readFile(new URL(`../docs/guides/${name}`, import.meta.url), 'utf8');
    const [, settings = ''] = /^```yaml\n(.*?)^```/ms.exec(guide) ?? [];
    const text = settings.replaceAll(/<at least[^>]*>/g, 'x'.repeat(24));
    const file = join(cwd, 'reachflow.config.yaml');
    await writeFile(file, text);
    const { config } = await loadAppConfig({ file, env: {}, cwd });
    const { httpPoll, socket, subscriptions } = config;
    const all = [httpPoll.sources, socket.sources, subscriptions.subscribers];
    expect(all.flatMap((each) => Object.keys(each)).length).toBeGreaterThan(0);
  });
});
