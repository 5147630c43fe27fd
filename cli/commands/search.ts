import { once } from 'node:events';
import { Command, InvalidArgumentError } from 'commander';
import { createLogger } from '../../runtime/observability/logger.ts';
import type { FoundContact } from '../../search/contact.ts';
import { pageDocument } from '../../search/routes.ts';
import { ContactSearch, DEFAULT_LIMIT, MAX_LIMIT } from '../../search/search.ts';
import { createSearchServer } from '../../search/server.ts';
import { type AppConfig, loadAppConfig } from '../config.ts';
import { line, note, styled, table } from '../output.ts';

interface Options {
  readonly tenant?: string;
  readonly limit: number;
  readonly cursor?: string;
  readonly json?: boolean;
  readonly serve?: boolean;
  readonly config?: string;
}

function pageSize(text: string): number {
  const number = Number(text);
  if (Number.isInteger(number) && number >= 1 && number <= MAX_LIMIT) return number;
  throw new InvalidArgumentError(`a whole number from 1 to ${MAX_LIMIT}`);
}

/** A field with what was matched in bold. */
function highlighted(contact: FoundContact, field: 'full_name' | 'company' | 'email'): string {
  const text = contact[field] ?? '';
  let shown = '';
  let at = 0;
  for (const [start, end] of contact.highlights[field] ?? []) {
    shown += text.slice(at, start) + styled('bold', text.slice(start, end));
    at = end;
  }
  return shown + text.slice(at);
}

function rowOf(contact: FoundContact): readonly string[] {
  const { tenant_id, phone, tags, id } = contact;
  const [name, company, email] = (['full_name', 'company', 'email'] as const).map((field) =>
    highlighted(contact, field),
  );
  return [name ?? '', company ?? '', email ?? '', phone ?? '', tags.join(', '), tenant_id, id];
}

/** Cursors of one call are good for the next: they are sealed with what both know. It keeps no secret from who runs it. */
function withSecret({ search, elasticsearch }: AppConfig): AppConfig['search'] {
  const { cursorSecret } = search;
  const own = `command line, ${elasticsearch.url}, ${elasticsearch.password}`.padEnd(32);
  return { ...search, cursorSecret: cursorSecret === '' ? own : cursorSecret };
}

async function find(text: string, options: Options, config: AppConfig): Promise<void> {
  const search = new ContactSearch(withSecret(config), config.elasticsearch);
  try {
    const { tenant, limit, cursor, json = false } = options;
    const tenants = tenant === undefined || tenant === '*' ? '*' : [tenant];
    const page = await search.search({ text, tenants, pii: 'shown', limit, cursor });
    if (json) return line(JSON.stringify(pageDocument(page), null, 2));
    if (page.contacts.length === 0) return note('Nothing was found.');
    const head = ['name', 'company', 'e-mail', 'phone', 'tags', 'tenant', 'id'];
    line(table(head, page.contacts.map(rowOf)));
    if (page.cursor !== undefined) note(`There are more: --cursor ${page.cursor}`);
  } finally {
    await search.close();
  }
}

async function serve({ search, elasticsearch, log }: AppConfig): Promise<void> {
  const stop = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  const server = createSearchServer(search, elasticsearch, createLogger(log));
  await server.start();
  note(`${(await server.status()).detail}/`);
  await stop;
  await server.stop();
}

/** `reachflow search`. */
export function searchCommand(): Command {
  return new Command('search')
    .description('find contacts by name, company, e-mail, phone or tag, as Elasticsearch has them')
    .argument(
      '[query]',
      'what to look for; the last word may be a beginning, names may be misspelled',
    )
    .option('--tenant <tenant>', 'only contacts of this tenant; *: of all')
    .option('--limit <n>', `contacts of a page, to ${MAX_LIMIT}`, pageSize, DEFAULT_LIMIT)
    .option('--cursor <cursor>', 'the page after the one that ended with it')
    .option('--json', 'as the API answers')
    .option('--serve', 'listen at search.port instead: the API and a page to search with')
    .option('--config <file>', 'configuration file')
    .addHelpText(
      'after',
      "\nExamples:\n  reachflow search 'ada lovel' --tenant acme\n  reachflow search ada@example.com --tenant '*' --json\n  reachflow search --serve\n",
    )
    .action(async (query: string | undefined, options: Options, command: Command) => {
      const file = options.config;
      const { config } = await loadAppConfig(file === undefined ? {} : { file });
      if (options.serve === true) return serve(config);
      if (query === undefined) command.error("error: missing argument 'query', or --serve");
      if (options.tenant === undefined) command.error("error: missing --tenant; '*' is everybody");
      return find(query, options, config);
    });
}
