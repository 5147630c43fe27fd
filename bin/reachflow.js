#!/usr/bin/env node
// The command `reachflow`, on any Node ≥ 18: finds the pinned Node and runs cli/main.ts with it.
import { join } from 'node:path';
import { findNode, isInstalled, NODE_MAJOR, packageRoot, runScript } from './pinned-node.js';

const node = findNode();
if (!isInstalled()) {
  process.stderr.write(
    `error NOT_INSTALLED: reachflow's dependencies are missing in ${packageRoot}\n`,
  );
  process.stderr.write('  hint: run `npm install` first, or `npm ci` in a clone.\n');
  process.exitCode = 1;
} else if (node === undefined) {
  process.stderr.write(
    `error NODE_MISSING: reachflow needs Node ${NODE_MAJOR}, this is ${process.version}\n`,
  );
  process.stderr.write(
    '  hint: its own was not installed, because npm ran no install scripts: `npm rebuild --ignore-scripts=false`.\n',
  );
  process.exitCode = 1;
} else await runScript(node, join(packageRoot, 'cli', 'main.ts'), process.argv.slice(2));
