/** `npm run check`: lint, types, boundaries, generated files, documents, Docker Compose file. */
import { runChecks } from './checks.ts';

const failed = (await runChecks()).filter(({ outcome }) => outcome === 'failed');
if (failed.length > 0) process.exitCode = 1;
