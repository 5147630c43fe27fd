/** What may import what: docs/ARCHITECTURE.md says why. `npm run boundaries` checks it. */

/** Of the repository's own code; tests may reach further, since they put the parts together. */
const TEST = '\\.test\\.ts$|^tests/|/testing/';

/** @type {import('dependency-cruiser').IConfiguration} */
module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'Modules that need each other are one module, or share a third.',
      severity: 'error',
      from: {},
      to: { circular: true },
    },
    {
      name: 'resolvable',
      comment: 'An import that leads nowhere fails at run time only.',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'runtime-stands-alone',
      comment: 'The engine knows no connector, pipeline or sink, and nothing of how it is started.',
      severity: 'error',
      from: { path: '^runtime/', pathNot: TEST },
      to: {
        path: '^(connectors|pipelines|sinks|subscriptions|search|compose|replay|cli|console|dashboards|demo|prove|benchmarks|tests|scripts)/',
      },
    },
    {
      name: 'schemas-stand-alone',
      comment: 'What a topic holds does not depend on who moves, fills or reads it.',
      severity: 'error',
      from: { path: '^schemas/', pathNot: TEST },
      to: {
        path: '^(runtime|connectors|pipelines|sinks|subscriptions|search|compose|replay|cli|console|dashboards|demo|prove|benchmarks|tests|scripts)/',
        pathNot: '^runtime/errors\\.ts$',
      },
    },
    {
      name: 'pipelines-apart',
      comment: 'Pipelines meet in topics only.',
      severity: 'error',
      from: { path: '^pipelines/([^/]+)/' },
      to: { path: '^pipelines/[^/]+/', pathNot: '^pipelines/$1/' },
    },
    {
      name: 'sinks-apart',
      comment: 'What sinks share is in sinks/ itself, or in runtime/delivery.',
      severity: 'error',
      from: { path: '^sinks/([^/]+)/' },
      to: { path: '^sinks/[^/]+/', pathNot: '^sinks/$1/' },
    },
    {
      name: 'connectors-apart',
      comment: 'What connectors share is in connectors/ itself.',
      severity: 'error',
      from: { path: '^connectors/([^/]+)/' },
      to: { path: '^connectors/[^/]+/', pathNot: '^connectors/$1/' },
    },
    {
      name: 'stages-meet-in-topics',
      comment: 'A connector, a pipeline and a sink know the topic between them, not each other.',
      severity: 'error',
      from: { path: '^(connectors|pipelines|sinks|subscriptions|search)/', pathNot: TEST },
      to: {
        path: '^(connectors|pipelines|sinks|subscriptions|search)/',
        pathNot: '^$1/',
      },
    },
    {
      name: 'stages-know-no-program',
      comment:
        'Programs are put together from stages, and engines started for them, not the other way round.',
      severity: 'error',
      from: { path: '^(connectors|pipelines|sinks|subscriptions|search)/', pathNot: TEST },
      to: { path: '^(compose|replay|cli|console|dashboards|demo|prove|benchmarks|tests|scripts)/' },
    },
    {
      name: 'console-is-given-its-parts',
      comment: 'Whoever starts it says what runs: it shows that, and knows how no part works.',
      severity: 'error',
      from: { path: '^console/', pathNot: TEST },
      to: {
        path: '^(connectors|pipelines|sinks|subscriptions|compose|replay|cli|demo|prove|benchmarks|tests|scripts)/',
        pathNot: '^sinks/clickhouse/config\\.ts$',
      },
    },
    {
      name: 'page-stands-alone',
      comment: 'Browsers load it as it is.',
      severity: 'error',
      from: { path: '^console/page/' },
      to: { pathNot: '^console/page/' },
    },
    {
      name: 'compose-starts-engines-only',
      comment: 'The engines run without the product.',
      severity: 'error',
      from: { path: '^compose/', pathNot: TEST },
      to: {
        path: '^(runtime|schemas|connectors|pipelines|sinks|subscriptions|search|replay|cli|console|demo|prove|benchmarks|tests|scripts)/',
        pathNot: '^runtime/errors\\.ts$',
      },
    },
    {
      name: 'replay-knows-no-program',
      comment: 'Commands and processes are put together in cli/.',
      severity: 'error',
      from: { path: '^replay/', pathNot: TEST },
      to: {
        path: '^(connectors|subscriptions|compose|cli|console|demo|prove|benchmarks|tests|scripts)/',
      },
    },
    {
      name: 'one-kafka-client',
      comment: 'The client can be replaced in one place: docs/adr/0001-kafka-client.md.',
      severity: 'error',
      from: { pathNot: '^runtime/kafka/' },
      to: { path: 'node_modules/(kafkajs|@platformatic/kafka)/' },
    },
    {
      name: 'one-avro-codec',
      comment: 'Wire format and registry are in one place: docs/adr/0003-schema-registry.md.',
      severity: 'error',
      from: { pathNot: `^schemas/|${TEST}` },
      to: { path: 'node_modules/(avsc|@kafkajs/confluent-schema-registry)/' },
    },
    {
      name: 'store-clients-in-sinks',
      comment:
        "A store's client belongs to its sink; the stack, the demo and tests look at stores, too.",
      severity: 'error',
      from: { path: '^(runtime|schemas|pipelines|replay|cli)/', pathNot: TEST },
      to: { path: 'node_modules/(pg|@clickhouse/client|@elastic/elasticsearch)/' },
    },
    {
      name: 'no-test-code-in-the-product',
      comment: 'Tests and their helpers are not shipped.',
      severity: 'error',
      from: { pathNot: `${TEST}|^vitest\\.config\\.ts$|conformance\\.ts$` },
      to: { path: '\\.test\\.ts$|^tests/|node_modules/(vitest|fast-check)/' },
    },
    {
      name: 'declared-dependencies',
      comment: 'What is imported is in package.json, in the right list.',
      severity: 'error',
      from: { pathNot: `${TEST}|^scripts/|^vitest\\.config\\.ts$|conformance\\.ts$` },
      to: {
        dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'],
        dependencyTypesNot: ['type-only'],
        pathNot: 'node_modules/@types/',
      },
    },
    {
      name: 'no-orphans',
      comment: 'A module that nothing imports and that is no entry point is dead.',
      severity: 'error',
      from: {
        orphan: true,
        pathNot:
          '\\.test\\.ts$|^(scripts|bin|benchmarks|(console|search)/page)/|\\.(cjs|d\\.ts)$|^vitest\\.config\\.ts$',
      },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '(^|/)(target|\\.reachflow)/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['node', 'import', 'require', 'default', 'types'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json', '.d.ts'],
    },
  },
};
