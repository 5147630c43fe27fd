import { existsSync, globSync, readFileSync } from 'node:fs';
import { basename, dirname, join, posix } from 'node:path';
import type { Command } from 'commander';

/** Something that a document names and that is not there. */
export interface DocProblem {
  readonly file: string;
  readonly line: number;
  readonly message: string;
}

export interface DocContext {
  /** The directory that documents and paths are relative to. */
  readonly root: string;
  readonly program: Command;
  /** Names of the scripts in package.json. */
  readonly scripts: ReadonlySet<string>;
}

/** Code of a document: where it is, and whether it is a block or inside a sentence. */
interface Code {
  readonly line: number;
  readonly text: string;
}

function isForeign(path: string): boolean {
  return ['node_modules', '.reachflow', 'target', '.git'].includes(basename(path));
}

/** The documents to check: all markdown of the repository. */
export function documents(root: string): string[] {
  return globSync('**/*.md', {
    cwd: root,
    exclude: isForeign,
  })
    .map((path) => path.split('\\').join(posix.sep))
    .sort();
}

/** Splits markdown into prose lines and the lines of its code, fenced or in backticks. */
function split(markdown: string): { readonly prose: Code[]; readonly code: Code[] } {
  const prose: Code[] = [];
  const code: Code[] = [];
  let fence: string | undefined;
  for (const [index, text] of markdown.split('\n').entries()) {
    const line = index + 1;
    const mark = /^\s*(```+|~~~+)/.exec(text)?.[1];
    if (mark !== undefined && (fence === undefined || mark.startsWith(fence))) {
      fence = fence === undefined ? mark : undefined;
    } else if (fence !== undefined) code.push({ line, text });
    else {
      for (const [, inline = ''] of text.matchAll(/`([^`]+)`/g)) code.push({ line, text: inline });
      prose.push({ line, text: text.replace(/`[^`]+`/g, '') });
    }
  }
  return { prose, code };
}

/** GitHub's anchor of a heading. */
function anchorOf(heading: string): string {
  return heading
    .trim()
    .toLowerCase()
    .replace(/[`*]/g, '')
    .replace(/[^\p{L}\p{N}\s_-]/gu, '')
    .replace(/\s/g, '-');
}

function anchorsOf(markdown: string): Set<string> {
  const { prose } = split(markdown.replace(/`([^`\n]*)`/g, '$1'));
  return new Set(
    prose.flatMap(({ text }) => {
      const heading = /^#{1,6}\s+(.*)$/.exec(text)?.[1];
      return heading === undefined ? [] : [anchorOf(heading)];
    }),
  );
}

function linkProblem(file: string, target: string, { root }: DocContext): string | undefined {
  if (/^[a-z][a-z0-9+.-]*:/i.test(target)) return undefined;
  const [path = '', anchor] = target.split('#');
  const resolved = path === '' ? join(root, file) : join(root, dirname(file), decodeURI(path));
  if (!existsSync(resolved)) return `the link ${target} leads nowhere`;
  if (anchor === undefined || anchor === '' || !resolved.endsWith('.md')) return undefined;
  return anchorsOf(readFileSync(resolved, 'utf8')).has(anchor)
    ? undefined
    : `the link ${target} names no heading of ${path === '' ? file : path}`;
}

function optionProblem(command: Command, words: readonly string[]): string | undefined {
  const known = new Set(
    command.options
      .flatMap(({ long, short }) => [long, short])
      .filter((name) => name !== undefined),
  );
  for (const word of words) {
    const name = /^(--[a-z][a-z-]*|-[a-z])(=|$)/i.exec(word)?.[1];
    if (name === undefined || name === '--help' || name === '-h' || known.has(name)) continue;
    return `\`${command.name()}\` has no option ${name}`;
  }
  return undefined;
}

/** Words of a command up to what ends it in a shell or a sentence. */
function wordsOf(text: string): string[] {
  return (/^[^|;&>#…\\]*/.exec(text)?.[0] ?? '').split(/\s+/).filter((word) => word !== '');
}

function reachflowProblem(text: string, program: Command): string | undefined {
  const words = wordsOf(text);
  let command = program;
  let at = 0;
  for (; at < words.length; at += 1) {
    const word = words[at] ?? '';
    if (!/^[a-z][a-z-]*$/.test(word)) break;
    const next = command.commands.find((child) => child.name() === word);
    if (next === undefined) {
      const takesMore = command.commands.length === 0 || command.registeredArguments.length > 0;
      if (takesMore) break;
      return `there is no command \`${[command.name(), word].join(' ')}\``;
    }
    command = next;
  }
  return optionProblem(command, words.slice(at));
}

function commandProblems(text: string, { program, scripts }: DocContext): string[] {
  const problems: (string | undefined)[] = [];
  for (const [, rest = ''] of text.matchAll(/(?:^|[\s($])(?:npx )?reachflow ([^`)]*)/g)) {
    problems.push(reachflowProblem(rest, program));
  }
  for (const [, rest = ''] of text.matchAll(/npm run (?:-s |--silent )?([^`)]*)/g)) {
    const [script = '', ...more] = wordsOf(rest);
    if (!/^[a-z]/.test(script)) continue;
    if (!scripts.has(script)) problems.push(`package.json has no script \`${script}\``);
    else if (more[0] === '--' && script === 'reachflow')
      problems.push(reachflowProblem(more.slice(1).join(' '), program));
    else if (more[0] === '--' && program.commands.some((child) => child.name() === script))
      problems.push(reachflowProblem([script, ...more.slice(1)].join(' '), program));
  }
  if (/\bnpm test\b/.test(text) && !scripts.has('test')) problems.push('package.json has no test');
  return problems.filter((problem) => problem !== undefined);
}

const PATH = /^(?:[a-z.][\w.-]*\/)+[\w.-]*$/i;

/** A path from the root, or the end of one: `steps/` is in several folders. */
function pathProblem(text: string, { root }: DocContext): string | undefined {
  if (!PATH.test(text) || text.startsWith('node_modules/')) return undefined;
  if (existsSync(join(root, text))) return undefined;
  const found = globSync(`*/**/${text.replace(/\/$/, '')}`, { cwd: root, exclude: isForeign });
  return found.length > 0 ? undefined : `there is no file ${text}`;
}

/**
 * What one document names and is not there: relative links and their headings, `reachflow …` commands with their
 * options, `npm run …` scripts, and in `ARCHITECTURE.md` every path in code.
 */
export function checkDocument(file: string, context: DocContext): DocProblem[] {
  const { prose, code } = split(readFileSync(join(context.root, file), 'utf8'));
  const problems: DocProblem[] = [];
  const add = (line: number, message: string | undefined) => {
    if (message !== undefined) problems.push({ file, line, message });
  };
  for (const { line, text } of prose) {
    for (const [, target = ''] of text.matchAll(/\]\(<?([^)\s>]+)>?[^)]*\)/g)) {
      add(line, linkProblem(file, target, context));
    }
  }
  for (const { line, text } of code) {
    for (const message of commandProblems(text, context)) add(line, message);
    if (file.endsWith('ARCHITECTURE.md')) add(line, pathProblem(text, context));
  }
  return problems;
}
