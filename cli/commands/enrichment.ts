import { once } from 'node:events';
import { Command } from 'commander';
import { startLocalProvider } from '../../pipelines/enrichment/providers/local/server.ts';
import { providerKinds } from '../../pipelines/enrichment/providers/provider.ts';
import { line } from '../output.ts';
import { numberIn } from './arguments.ts';

interface ServeOptions {
  readonly host: string;
  readonly port: number;
  readonly key?: string;
}

async function serve({ host, port, key }: ServeOptions): Promise<void> {
  const provider = await startLocalProvider({ host, port, ...(key === undefined ? {} : { key }) });
  line('enrichment:');
  for (const kind of providerKinds) line(`  ${kind}: { url: ${provider.url}/${kind} }`);
  line(
    `# PUT ${provider.url}/company/behaviour {"delayMs": 500}; GET ${provider.url}/company/stats`,
  );
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  await provider.close();
}

/** `reachflow enrichment`. */
export function enrichmentCommand(): Command {
  const command = new Command('enrichment').description('what providers say of contacts');
  command
    .command('provider')
    .description(
      'serve a provider of all three kinds with invented answers, for trials; prints the configuration that asks it',
    )
    .option('--host <address>', 'address to listen on', '127.0.0.1')
    .option('--port <n>', 'port to listen on; 0 takes a free one', numberIn(0, 65_535), 8085)
    .option('--key <text>', 'requests need it as a bearer token')
    .addHelpText(
      'after',
      `
It can be made slow, wrong, strict or silent while it runs: PUT /<kind>/behaviour with some of
  {"delayMs": 500 | "never", "status": 503, "retryAfter": 2, "requestsPerSecond": 5,
   "garbage": "text" | "shape" | "results" | "left-out"}

Examples:
  reachflow enrichment provider --port 8085
  curl -X PUT localhost:8085/person/behaviour -H 'content-type: application/json' -d '{"delayMs": "never"}'
`,
    )
    .action(serve);
  return command;
}
