import type { Chart } from './chart.ts';
import { inRange, OF_TENANT, stepOf } from './sql.ts';

/** Contacts as they are now. */
export const contactCharts: readonly Chart[] = [
  {
    id: 'contacts',
    title: 'Contacts',
    description: 'Contacts that there are now, whenever they came.',
    unit: 'count',
    kind: 'number',
    sql: `SELECT count() AS value FROM contacts FINAL WHERE ${OF_TENANT}`,
  },
  {
    id: 'contacts-created',
    title: 'Contacts by age',
    description: 'Contacts that there are now, by when they were created.',
    unit: 'count',
    kind: 'lines',
    sql: `SELECT ${stepOf('created_at')} AS time, 'created' AS series, count() AS value
FROM contacts FINAL
WHERE ${OF_TENANT} AND ${inRange('created_at')}
GROUP BY time ORDER BY time`,
  },
  {
    id: 'data-quality',
    title: 'Data quality',
    description: 'Share of the contacts that there are now that have each field.',
    unit: 'ratio',
    kind: 'bars',
    sql: `SELECT field.1 AS label, field.2 AS value
FROM (
  SELECT count() AS total, countIf(full_name != '') AS name, countIf(email != '') AS email,
    countIf(phone IS NOT NULL) AS phone, countIf(company IS NOT NULL) AS company,
    countIf(industry IS NOT NULL) AS industry, countIf(score IS NOT NULL) AS score
  FROM contacts FINAL WHERE ${OF_TENANT}
  HAVING total > 0)
ARRAY JOIN [('name', name / total), ('email', email / total), ('phone', phone / total),
  ('company', company / total), ('industry', industry / total), ('score', score / total)] AS field`,
  },
  {
    id: 'lead-scores',
    title: 'Lead scores',
    description:
      'Contacts that there are now by their score, in tenths; those without one left out.',
    unit: 'count',
    kind: 'bars',
    sql: `SELECT concat(toString(tenth / 10), '–', toString((tenth + 1) / 10)) AS label, count() AS value
FROM (
  SELECT least(intDiv(toUInt32(assumeNotNull(score) * 1000), 100), 9) AS tenth
  FROM contacts FINAL WHERE ${OF_TENANT} AND score IS NOT NULL)
GROUP BY tenth ORDER BY tenth`,
  },
];
