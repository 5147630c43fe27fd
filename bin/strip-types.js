// Lets Node run this package's TypeScript where it is installed below node_modules: Node itself refuses to there.
import { readFileSync } from 'node:fs';
import { registerHooks, stripTypeScriptTypes } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = new URL('..', import.meta.url).href;
const isOurs = (url) => url.startsWith(root) && !url.slice(root.length).includes('node_modules/');

// It says that stripping is experimental; Node's own, which does the same, is not.
const { emitWarning } = process;
process.emitWarning = (warning, ...rest) => {
  if (!String(warning).includes('stripTypeScriptTypes')) emitWarning(warning, ...rest);
};

registerHooks({
  load(url, context, nextLoad) {
    if (!url.endsWith('.ts') || !isOurs(url)) return nextLoad(url, context);
    const source = stripTypeScriptTypes(readFileSync(fileURLToPath(url), 'utf8'));
    return { format: 'module', source, shortCircuit: true };
  },
});
